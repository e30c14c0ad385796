//! Rows about running: one short container, from an image that is there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Result;
use crate::bench::Bench;
use crate::content::Kind;
use crate::contest::Contest;
use crate::layout::{Encoding, Layout};
use crate::measure::{CommandLine, run};
use crate::pull::{Storage, clear_podman, clear_store, podman};
use crate::rows::Measured;

const SHELL: &str = "/bin/busybox";

/// `run --rm --network NETWORK IMAGE true` of an image with so many layers, against podman.
pub(crate) fn against_podman(bench: &Bench, network: &str, layers: u64) -> Result<Measured> {
    let path = bench.work().join("busybox");
    image(&path, layers)?;
    let from = load(bench, &path)?;
    // podman wants short paths for what it keeps while it runs.
    let run_root = tempfile::tempdir()?;
    let storage = Storage { root: bench.work().join("podman"), run: run_root.path().to_owned() };
    let place = format!("[overlay@{}+{}]", storage.root.display(), storage.run.display());
    let to = format!("containers-storage:{place}localhost/bench:1");
    run(&bench.skopeo(["copy", "--quiet", &from, &to]), bench.work())?;
    let network = format!("--network={network}");
    let words = ["run", "--rm", &network];
    let (theirs, ours) = (["localhost/bench:1", SHELL, "true"], ["bench", SHELL, "true"]);
    // Its own limits may be more than this process is allowed.
    let settings = bench.work().join("containers.conf");
    fs::write(&settings, "[containers]\ndefault_ulimits = []\n")?;
    let settings = format!("CONTAINERS_CONF={}", settings.display());
    let mut peer: CommandLine = vec!["env".into(), settings.into()];
    peer.extend(podman(&storage, ["--runtime=runc", "--cgroup-manager=cgroupfs"]));
    peer.extend(words.iter().chain(&theirs).map(|word| (*word).into()));
    let contest = Contest {
        peer: vec![peer],
        ours: vec![bench.creel_run(words.iter().chain(&ours))],
        rounds: bench.rounds(21),
    };
    let samples = contest.hold(bench, || Ok(()), |_, _| Ok(()))?;
    clear_podman(bench, &storage)?;
    clear_store(bench)?;
    fs::remove_dir_all(&path)?;
    Ok(Measured::of(samples))
}

/// The same of an image with one layer, against runc alone: the configuration that ours makes, on
/// the same layer mounted beforehand.
pub(crate) fn against_runc(bench: &Bench) -> Result<Measured> {
    let path = bench.work().join("busybox");
    image(&path, 1)?;
    load(bench, &path)?;
    let ours = ["run", "--rm", "--network=none", "bench", SHELL, "true"];
    let bundle = Bundle::taken_from(bench, &ours)?;
    let root = bench.work().join("runc").into_os_string();
    let mut peer: CommandLine = vec!["runc".into(), "--root".into(), root];
    peer.extend(["run", "--bundle"].map(Into::into));
    peer.extend([bundle.path.clone().into(), "bench".into()]);
    let contest =
        Contest { peer: vec![peer], ours: vec![bench.creel_run(ours)], rounds: bench.rounds(41) };
    let samples = contest.hold(bench, || Ok(()), |_, _| Ok(()))?;
    drop(bundle);
    clear_store(bench)?;
    fs::remove_dir_all(&path)?;
    Ok(Measured::of(samples))
}

/// Puts the image into our store; returns where it came from.
fn load(bench: &Bench, layout: &Path) -> Result<String> {
    let from = format!("oci:{}:1", layout.display());
    run(&bench.creel_copy(["-q", &from, "store:bench"]), bench.work())?;
    Ok(from)
}

/// What runc needs to run what ours has run.
struct Bundle {
    path: PathBuf,
}

impl Bundle {
    /// Lets ours run once with a runtime that keeps what it is given.
    fn taken_from(bench: &Bench, words: &[&str]) -> Result<Bundle> {
        let bundle = Bundle { path: bench.work().join("bundle") };
        let kept = bench.work().join("kept");
        fs::create_dir_all(&kept)?;
        let runtime = bench.work().join("runtime");
        let script = format!(
            "#!/bin/sh\nfor word; do\n\
             [ ! -e \"$word/config.json\" ] || find \"$word\" -maxdepth 1 -type f -exec cp {{}} '{}' ';'\n\
             done\nexec runc \"$@\"\n",
            kept.display()
        );
        fs::write(&runtime, script)?;
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755))?;
        let mut command: CommandLine = vec!["env".into()];
        command.push(format!("CREEL_RUNTIME={}", runtime.display()).into());
        command.extend(bench.creel_run(words));
        run(&command, bench.work())?;

        let mut config: Value = serde_json::from_slice(&fs::read(kept.join("config.json"))?)?;
        let from = PathBuf::from(config["root"]["path"].as_str().ok_or("no root")?);
        let from = from.parent().ok_or("a root without a bundle")?;
        config["root"]["path"] = json!(bundle.path.join("root"));
        for mount in config["mounts"].as_array_mut().ok_or("no mounts")? {
            let source = PathBuf::from(mount["source"].as_str().unwrap_or_default());
            if let Ok(name) = source.strip_prefix(from) {
                mount["source"] = json!(kept.join(name));
            }
        }
        for name in ["root", "upper", "work"] {
            fs::create_dir_all(bundle.path.join(name))?;
        }
        fs::write(bundle.path.join("config.json"), config.to_string())?;
        bundle.mount(&bench.work().join("store"))?;
        Ok(bundle)
    }

    fn mount(&self, store: &Path) -> Result<()> {
        let mut trees = fs::read_dir(store.join("layers"))?;
        let tree = trees.next().ok_or("the store has no layer")??.path().join("diff");
        let [upper, work, root] = ["upper", "work", "root"].map(|name| self.path.join(name));
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            tree.display(),
            upper.display(),
            work.display()
        );
        let mut mount: CommandLine = ["mount", "-t", "overlay", "-o"].map(Into::into).to_vec();
        mount.extend([options.into(), "bench".into(), root.into()]);
        run(&mount, &self.path.join(".."))?;
        Ok(())
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // What cannot be unmounted is seen when the folder is removed.
        let _ = std::process::Command::new("umount").arg(self.path.join("root")).status();
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// busybox, and small layers above it.
fn image(path: &Path, layers: u64) -> Result<()> {
    let program = fs::read(SHELL)?;
    let mut layout = Layout::create(path)?;
    let gzip = Encoding::Gzip(6);
    let mut all = vec![layout.layer(gzip, |tree| tree.program("bin/busybox", &program))?];
    for number in 1..layers {
        let name = format!("file-{number}");
        all.push(layout.layer(gzip, |tree| tree.file(&name, 100, Kind::Text, number))?);
    }
    layout.image("1", &all)?;
    layout.finish()?;
    Ok(())
}
