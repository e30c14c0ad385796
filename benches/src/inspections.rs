//! Rows about `creel-inspect`.

use std::ffi::OsString;
use std::path::Path;

use crate::Result;
use crate::bench::{Bench, REPOSITORY};
use crate::contest::{Contest, Who};
use crate::layout::{Encoding, Layout};
use crate::measure::{CommandLine, run};
use crate::rows::Measured;

/// What a name at a registry stands for: times, and requests.
pub(crate) fn remote(bench: &Bench) -> Result<Measured> {
    let path = bench.work().join("index");
    let mut layout = Layout::create(&path)?;
    let layer = layout.layer(Encoding::Gzip(6), |tree| tree.files(20, 500_000, 0.12, 900))?;
    let image = layout.image("image", &[layer])?;
    layout.index("index")?;
    layout.finish()?;
    let source = bench.source()?;
    let (from, to) = (
        format!("oci:{}:index", path.display()),
        format!("docker://{}/{REPOSITORY}:index", source.host()),
    );
    let mut load = bench.skopeo_copy(&from, &to);
    load.splice(3..3, ["--all".into(), "--preserve-digests".into()]);
    run(&load, bench.work())?;
    let peer = bench.skopeo(["inspect", "--tls-verify=false", &to]);
    let ours = bench.creel_inspect(["--json", &to]);
    let mut requests = [0, 0];
    for (command, count) in [&peer, &ours].into_iter().zip(&mut requests) {
        let before = source.requests()?;
        run(command, bench.work())?;
        *count = source.requests()? - before;
    }
    let contest = Contest { peer: vec![peer], ours: vec![ours], rounds: bench.rounds(21) };
    // Ours tells the image's digest, skopeo that of its layer and of the name.
    let told = image.to_string();
    let check = |who, printed: &str| match who {
        Who::Ours if !printed.contains(&told) => Err("the image is not told".into()),
        _ if !printed.contains("\"amd64\"") && !printed.contains("\"arm64\"") => {
            Err("the platform is not told".into())
        }
        _ => Ok(()),
    };
    let samples = contest.hold(bench, || Ok(()), check)?;
    source.clear()?;
    std::fs::remove_dir_all(&path)?;
    Ok(Measured { requests: Some((requests[0], requests[1])), ..Measured::of(samples) })
}

/// The list of a large layer's files, with nothing known of it.
pub(crate) fn files(bench: &Bench) -> Result<Measured> {
    let image = bench.big(Encoding::Gzip(6))?;
    let blobs = image.layout.join("blobs/sha256");
    // The layer is the largest file of the layout.
    let list = format!("tar -tvzf \"$(ls -S {0}/* | head -n 1)\"", blobs.display());
    let at = format!("oci:{}:{}", image.layout.display(), image.tag);
    let contest = Contest {
        peer: vec![shell(&list)],
        ours: vec![bench.creel_inspect(["files", "-R", &at])],
        rounds: bench.rounds(5),
    };
    let samples = contest.hold(bench, || forget(bench), |_, printed| sixteen_thousand(printed))?;
    std::fs::remove_dir_all(&image.layout)?;
    Ok(Measured::of(samples))
}

/// The same list once more.
pub(crate) fn files_again(bench: &Bench) -> Result<Measured> {
    let image = bench.big(Encoding::Gzip(6))?;
    let at = format!("oci:{}:{}", image.layout.display(), image.tag);
    forget(bench)?;
    let list = bench.creel_inspect(["files", "-R", &at]);
    let contest = Contest { peer: Vec::new(), ours: vec![list], rounds: bench.rounds(21) };
    let check = |who, printed: &str| match who {
        Who::Peer => Ok(()),
        Who::Ours => sixteen_thousand(printed),
    };
    let samples = contest.hold(bench, || Ok(()), check)?;
    std::fs::remove_dir_all(&image.layout)?;
    Ok(Measured::of(samples))
}

/// What is different between two images that have most layers in common.
pub(crate) fn diff(bench: &Bench) -> Result<Measured> {
    let path = bench.work().join("two");
    let mut layout = Layout::create(&path)?;
    let layer = |layout: &Layout, seed| {
        layout.layer(Encoding::Gzip(6), |tree| tree.files(200, 7_800_000, 0.12, seed))
    };
    let common: Vec<_> = (100..135).map(|seed| layer(&layout, seed)).collect::<Result<_>>()?;
    for (tag, seeds) in [("old", 135..140), ("new", 145..150)] {
        let own: Vec<_> = seeds.map(|seed| layer(&layout, seed)).collect::<Result<_>>()?;
        layout.image(tag, &[common.clone(), own].concat())?;
    }
    layout.finish()?;
    let [old, new] = ["old", "new"].map(|tag| format!("{}:{tag}", path.display()));
    let (left, right) = (bench.work().join("left"), bench.work().join("right"));
    let script = format!(
        "umoci unpack --image {old} {0} >&2 && umoci unpack --image {new} {1} >&2 && \
         diff -rq --no-dereference {0}/rootfs {1}/rootfs; test $? -eq 1",
        left.display(),
        right.display()
    );
    let ours = bench.creel_inspect(["diff", "--all", &format!("oci:{old}"), &format!("oci:{new}")]);
    // Both end with 1, because there are differences.
    let mut differing = shell("\"$@\"; test $? -eq 1");
    differing.push("sh".into());
    differing.extend(ours);
    let contest =
        Contest { peer: vec![shell(&script)], ours: vec![differing], rounds: bench.rounds(5) };
    let clear = || {
        for bundle in [&left, &right] {
            remove(bundle)?;
        }
        forget(bench)
    };
    let check = |who, printed: &str| {
        // Folders that one of them has not, or the files in them.
        let least = if who == Who::Peer { 20 } else { 2000 };
        let found = printed.lines().count();
        if found >= least { Ok(()) } else { Err(format!("{found} lines").into()) }
    };
    let samples = contest.hold(bench, clear, check)?;
    clear()?;
    remove(&path)?;
    Ok(Measured::of(samples))
}

fn shell(script: &str) -> CommandLine {
    ["sh", "-c", script].map(OsString::from).to_vec()
}

fn sixteen_thousand(printed: &str) -> Result<()> {
    let found = printed.matches("/file-").count();
    if found == 16_000 { Ok(()) } else { Err(format!("{found} files").into()) }
}

/// Drops what is kept of layers.
fn forget(bench: &Bench) -> Result<()> {
    remove(&bench.work().join("store"))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
