//! Rows about the local store: from a registry until an image can be run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::bench::{Bench, Image};
use crate::contest::{Contest, Who};
use crate::measure::{CommandLine, run};
use crate::rows::Measured;

/// From the registry into the store, unpacked, against podman.
pub(crate) fn against_podman(bench: &Bench, image: &Image, rounds: usize) -> Result<Measured> {
    let from = image.load(bench)?;
    // podman wants short paths for what it keeps while it runs.
    let run_root = tempfile::tempdir()?;
    let storage = Storage { root: bench.work().join("podman"), run: run_root.path().to_owned() };
    let contest = Contest {
        peer: vec![podman(&storage, ["pull", "--quiet", "--tls-verify=false", &from])],
        ours: vec![bench.creel_copy(["-q", "--src-tls-verify=false", &from, "store:bench"])],
        rounds: bench.rounds(rounds),
    };
    let clear = || {
        clear_podman(bench, &storage)?;
        clear_store(bench)
    };
    let check = |who, _: &str| match who {
        Who::Peer => {
            run(&podman(&storage, ["image", "exists", &from[9..]]), bench.work()).map(drop)
        }
        Who::Ours => unpacked(bench, image.bytes),
    };
    let samples = contest.hold(bench, clear, check)?;
    clear_podman(bench, &storage)?;
    clear_store(bench)?;
    bench.source()?.clear()?;
    Ok(Measured::of(samples))
}

/// From a layout into the store, unpacked, against umoci, which unpacks into a directory.
pub(crate) fn against_umoci(bench: &Bench, image: &Image, rounds: usize) -> Result<Measured> {
    let named = format!("{}:{}", image.layout.display(), image.tag);
    let bundle = bench.work().join("bundle");
    let unpack = ["umoci".into(), "unpack".into(), "--image".into(), OsString::from(&named)];
    let contest = Contest {
        peer: vec![unpack.into_iter().chain([bundle.clone().into()]).collect()],
        ours: vec![bench.creel_copy(["-q", &format!("oci:{named}"), "store:bench"])],
        rounds: bench.rounds(rounds),
    };
    let clear = || {
        put_away(bench, &bundle)?;
        clear_store(bench)
    };
    let check = |who, _: &str| match who {
        Who::Peer => enough(size(&bundle.join("rootfs"))?, image.bytes),
        Who::Ours => unpacked(bench, image.bytes),
    };
    let samples = contest.hold(bench, clear, check)?;
    clear()?;
    remove(&image.layout)?;
    Ok(Measured::of(samples))
}

/// A thousand names in the store, listed.
pub(crate) fn thousand_names(bench: &Bench) -> Result<Measured> {
    let image = bench.small()?;
    let (layout, _) = &image;
    clear_store(bench)?;
    let from = format!("oci:{}:0", layout.display());
    run(&bench.creel_copy(["-q", &from, "store:image:0"]), bench.work())?;
    for part in (1..1000).collect::<Vec<_>>().chunks(100) {
        let names: Vec<String> = part.iter().map(|number| format!("image:{number}")).collect();
        let words = ["-q", "tag", "store:image:0"].into_iter().map(str::to_owned).chain(names);
        run(&bench.creel_copy(words), bench.work())?;
    }
    let list = bench.creel_inspect(["images", "--json"]);
    let contest = Contest { peer: Vec::new(), ours: vec![list], rounds: bench.rounds(21) };
    let check = |who, printed: &str| match (who, printed.matches("\"name\"").count()) {
        (Who::Peer, _) | (Who::Ours, 1000) => Ok(()),
        (Who::Ours, other) => Err(format!("{other} names").into()),
    };
    let samples = contest.hold(bench, || Ok(()), check)?;
    clear_store(bench)?;
    remove(layout)?;
    Ok(Measured::of(samples))
}

/// Where podman keeps what it has.
pub(crate) struct Storage {
    pub(crate) root: PathBuf,
    pub(crate) run: PathBuf,
}

pub(crate) fn podman<const N: usize>(storage: &Storage, arguments: [&str; N]) -> CommandLine {
    let mut command: CommandLine = vec!["podman".into(), "--root".into()];
    command.push(storage.root.clone().into());
    command.extend(["--runroot".into(), storage.run.clone().into()]);
    command.extend(arguments.map(OsString::from));
    command
}

pub(crate) fn clear_podman(bench: &Bench, storage: &Storage) -> Result<()> {
    if !storage.root.exists() {
        return Ok(());
    }
    // What it has mounted has to go before it can be moved.
    let _ = std::process::Command::new("umount").arg(storage.root.join("overlay")).output()?;
    put_away(bench, &storage.root)
}

/// Out of the way and not deleted: ext4 is slow to make files where many were deleted in the last
/// minutes, and that is not what is measured.
pub(crate) fn clear_store(bench: &Bench) -> Result<()> {
    put_away(bench, &bench.work().join("store"))
}

fn put_away(bench: &Bench, path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let old = bench.work().join("old");
    std::fs::create_dir_all(&old)?;
    let number = std::fs::read_dir(&old)?.count();
    Ok(std::fs::rename(path, old.join(number.to_string()))?)
}

fn unpacked(bench: &Bench, expected: u64) -> Result<()> {
    let layers = bench.work().join("store/layers");
    let mut found = 0;
    for entry in std::fs::read_dir(&layers)? {
        found += size(&entry?.path().join("diff"))?;
    }
    enough(found, expected)
}

fn enough(found: u64, expected: u64) -> Result<()> {
    match found >= expected {
        true => Ok(()),
        false => Err(format!("{found} bytes of files instead of {expected}").into()),
    }
}

/// Bytes of all files below a directory.
fn size(directory: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() { size(&entry.path())? } else { meta.len() };
    }
    Ok(sum)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
