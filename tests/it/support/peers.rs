//! Other programs as judges: skopeo, umoci, podman, buildah, docker, in surroundings of their own,
//! and what to do when one is missing.
//!
//! ```ignore
//! #[test]
//! fn skopeo_reads_it() {
//!     need!("skopeo");
//!     let sandbox = Sandbox::new();
//!     let out = peers::skopeo(&sandbox, ["inspect", &image]).run().success();
//! }
//! ```
//!
//! `need!` takes program names and these capabilities: `root`, `userns`, `overlay`, `cgroup-v1`, `cgroup-v2`,
//! `systemd`, `lsm`, `device-mapper`, `quota`, `fs-verity`. What is missing makes the test return
//! with a line on stderr; with `CI=true` it fails instead, unless the need is listed in
//! `tests/host-limits.md` as something that a host may lack.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::program::{Invocation, Sandbox};

/// The needs that even a CI host may lack.
const HOST_LIMITS: &str = include_str!("../../host-limits.md");

/// Returns from the test, saying so, unless everything named is there.
macro_rules! need {
    ($($what:expr),+ $(,)?) => {
        if !$crate::support::peers::have(&[$($what),+]) {
            return;
        }
    };
}
pub(crate) use need;

/// Is everything there? If not, says what is missing (or fails: see the module).
pub fn have(needs: &[&str]) -> bool {
    let Some(missing) = first_missing(needs) else { return true };
    let test = std::thread::current().name().unwrap_or("a test").to_string();
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(may_skip(missing, in_ci), "{test}: {missing} is missing, and this is CI");
    // Not `eprintln!`: a skipped test shall be seen although it passes.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {missing} is missing");
    false
}

/// The first need that is not met.
pub fn first_missing<'a>(needs: &[&'a str]) -> Option<&'a str> {
    needs.iter().copied().find(|need| !is_there(need))
}

/// May a test be skipped because this is missing?
pub fn may_skip(missing: &str, in_ci: bool) -> bool {
    !in_ci || is_host_limit(missing)
}

/// Is this need in the first column of `host-limits.md`?
fn is_host_limit(need: &str) -> bool {
    HOST_LIMITS.lines().any(|line| line.starts_with(&format!("| `{need}` |")))
}

fn is_there(need: &str) -> bool {
    let exists = |path: &str| Path::new(path).exists();
    match need {
        "root" => nix::unistd::geteuid().is_root(),
        "userns" => succeeds("unshare", ["--user", "true"]),
        "overlay" => {
            let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
            known.lines().any(|line| line.ends_with("\toverlay"))
        }
        "cgroup-v1" => exists("/sys/fs/cgroup/memory/cgroup.procs"),
        "cgroup-v2" => exists("/sys/fs/cgroup/cgroup.controllers"),
        "systemd" => exists("/run/systemd/system"),
        "lsm" => exists("/sys/kernel/security/apparmor") || exists("/sys/fs/selinux/enforce"),
        "device-mapper" => exists("/dev/mapper/control"),
        "quota" => {
            let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            mounts.contains("prjquota") || mounts.contains("pquota")
        }
        "fs-verity" => exists("/proc/sys/fs/verity"),
        program => find(program).is_some(),
    }
}

/// A program in PATH or in the system's own folders.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(system);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn succeeds<const N: usize>(program: &str, args: [&str; N]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A peer with a home beside the sandbox's own, so that its configuration is not our programs'.
fn peer<I: AsRef<OsStr>>(
    sandbox: &Sandbox,
    program: &str,
    first: impl IntoIterator<Item = String>,
    args: impl IntoIterator<Item = I>,
) -> Invocation {
    let home = sandbox.path("peer/home");
    std::fs::create_dir_all(sandbox.path("peer/run")).expect("a directory for peers");
    let policy = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
    sandbox.write("peer/home/.config/containers/policy.json", policy);
    sandbox
        .write("peer/registries.conf", "[[registry]]\nlocation = \"127.0.0.1\"\ninsecure = true\n");
    sandbox.write(
        "peer/containers.conf",
        "[containers]\ndefault_ulimits = []\n[engine]\nruntime = \"runc\"\n\
         cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n",
    );
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = {:?}\nrunroot = {:?}\n",
        sandbox.path("peer/storage"),
        sandbox.path("peer/run/storage")
    );
    sandbox.write("peer/storage.conf", storage);
    sandbox
        .command(find(program).unwrap_or_else(|| program.into()), first)
        .args(args)
        .unset("DOCKER_CONFIG")
        .env("HOME", &home)
        .env("XDG_CONFIG_HOME", home.join(".config"))
        .env("XDG_RUNTIME_DIR", sandbox.path("peer/run"))
        .env("CONTAINERS_CONF", sandbox.path("peer/containers.conf"))
        .env("CONTAINERS_STORAGE_CONF", sandbox.path("peer/storage.conf"))
        .env("CONTAINERS_REGISTRIES_CONF", sandbox.path("peer/registries.conf"))
}

/// skopeo without a signature policy. As for all peers, every registry on 127.0.0.1 counts as
/// insecure: plain HTTP and unknown certificates are fine without a flag.
pub fn skopeo<I: AsRef<OsStr>>(sandbox: &Sandbox, args: impl IntoIterator<Item = I>) -> Invocation {
    let conf = format!("--registries-conf={}", sandbox.path("peer/registries.conf").display());
    peer(sandbox, "skopeo", ["--insecure-policy".to_string(), conf], args)
}

pub fn umoci<I: AsRef<OsStr>>(sandbox: &Sandbox, args: impl IntoIterator<Item = I>) -> Invocation {
    peer(sandbox, "umoci", [], args)
}

/// podman with a storage of its own inside the sandbox, runc, and no systemd.
pub fn podman<I: AsRef<OsStr>>(sandbox: &Sandbox, args: impl IntoIterator<Item = I>) -> Invocation {
    let mut first = storage_flags(sandbox);
    let more = ["--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=file"];
    first.extend(more.map(String::from));
    first.push(format!("--tmpdir={}", sandbox.path("peer/run/libpod").display()));
    peer(sandbox, "podman", first, args)
}

/// buildah with the same storage as [`podman`].
pub fn buildah<I: AsRef<OsStr>>(
    sandbox: &Sandbox,
    args: impl IntoIterator<Item = I>,
) -> Invocation {
    peer(sandbox, "buildah", storage_flags(sandbox), args)
}

fn storage_flags(sandbox: &Sandbox) -> Vec<String> {
    vec![
        format!("--root={}", sandbox.path("peer/storage").display()),
        format!("--runroot={}", sandbox.path("peer/run/storage").display()),
        "--storage-driver=overlay".into(),
    ]
}

/// The place of an image in the storage of [`podman`], as skopeo names it.
pub fn containers_storage(sandbox: &Sandbox, name: &str) -> String {
    let root = sandbox.path("peer/storage");
    let run = sandbox.path("peer/run/storage");
    format!("containers-storage:[overlay@{}+{}]{name}", root.display(), run.display())
}
