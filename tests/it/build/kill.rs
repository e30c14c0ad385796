//! Builds that are killed, and builds at the same time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::result::{Made, build};
use super::working::with_commands;

/// Long enough for whatever is on its way to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A number that no other process has among its arguments.
pub(super) fn own_number(test: u32) -> String {
    format!("86{test}{:07}", std::process::id())
}

/// The directory in `/proc` of the process that runs `sleep` with this number.
pub(super) fn sleeper(number: &str) -> Option<PathBuf> {
    let processes = std::fs::read_dir("/proc").expect("/proc");
    processes.flatten().map(|process| process.path()).find(|process| {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|&b| b == 0).collect();
        words.first().is_some_and(|word| word.ends_with(b"sleep"))
            && words.contains(&number.as_bytes())
    })
}

fn sleeps(number: &str) -> bool {
    sleeper(number).is_some()
}

/// The cgroups of a name, in any hierarchy.
pub(super) fn cgroups(name: &str) -> Vec<PathBuf> {
    let top = PathBuf::from("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(&top).into_iter().flatten().flatten();
    let places = hierarchies.map(|entry| entry.path()).chain([top.clone()]);
    places.map(|place| place.join(name)).filter(|place| place.is_dir()).collect()
}

pub(super) fn wait_until(what: &str, mut due: impl FnMut() -> bool) {
    let start = Instant::now();
    while !due() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_build_leaves_no_command_and_no_step() {
    let Some(sandbox) = with_commands() else { return };
    let number = own_number(1);
    sandbox.write(
        "work/Dockerfile",
        format!(
            "FROM base\nRUN --network=none --mount=type=cache,target=/c \
             if [ -e /c/second ]; then echo whole > /f; \
             else touch /c/second; echo half > /f; sleep {number}; fi\n"
        ),
    );
    let args = ["build", "-q", "-t", "app", "."];
    sandbox.build(args).start().patience(PATIENCE).kill_when(|| sleeps(&number));
    wait_until("the command goes on", || !sleeps(&number));
    let out = build(&sandbox, &["-q", "-t", "app", "."]).success();
    assert_eq!(Made::of(&sandbox, out.stdout.trim()).top(), ["f 644 0:0 \"whole\\n\""]);
    sandbox.inspect(["check"]).run().success();
    assert!(sandbox.mounts().is_empty());
}

/// Where the bundle of a command lies whose arguments hold a text.
fn bundle_with(text: &str) -> Option<PathBuf> {
    let bundles = std::fs::read_dir("/run/creel/build").into_iter().flatten().flatten();
    bundles.map(|entry| entry.path()).find(|bundle| {
        let spec = std::fs::read_to_string(bundle.join("config.json")).unwrap_or_default();
        spec.contains(text)
    })
}

#[test]
fn what_a_killed_build_leaves_goes_with_the_next_one_or_with_prune() {
    let Some(sandbox) = with_commands() else { return };
    sandbox.write("work/empty/Dockerfile", "FROM scratch\nLABEL a=b\n");
    let left = || std::fs::read_dir(sandbox.store().join("tmp")).expect("a folder").count();
    for (test, prune) in [(4, false), (5, true)] {
        let number = own_number(test);
        let run = format!("FROM base\nRUN --network=none echo x > /f; sleep {number}\n");
        sandbox.write("work/Dockerfile", run);
        let mut bundle = None;
        sandbox.build(["build", "-q", "."]).start().patience(PATIENCE).kill_when(|| {
            bundle = sleeper(&number).and_then(|_| bundle_with(&number));
            bundle.is_some()
        });
        let bundle = bundle.expect("a bundle");
        let id = bundle.file_name().expect("a name").to_string_lossy().into_owned();
        wait_until("the command goes on", || !sleeps(&number));
        assert!(left() > 0, "nothing to sweep");
        match prune {
            true => drop(sandbox.copy(["prune"]).run().success()),
            false => drop(build(&sandbox, &["-q", "empty"]).success()),
        }
        assert_eq!(left(), 0);
        // Other builds on this machine may be on it as well, and not ready yet.
        build(&sandbox, &["-q", "empty"]).success();
        let runtime = Path::new("/run/creel/runtime").join(&id);
        wait_until("the state stays", || !bundle.exists() && !runtime.exists());
        wait_until("cgroups stay", || cgroups(&format!("creel/{id}")).is_empty());
    }
    assert!(sandbox.mounts().is_empty());
}

#[test]
fn a_killed_step_of_a_script_leaves_no_command() {
    let Some(sandbox) = with_commands() else { return };
    let number = own_number(2);
    sandbox.build(["from", "--name", "c", "base"]).run().success();
    let script = format!("echo 1 > /f; sleep {number}");
    let args = ["run", "--network", "none", "c", "--", "sh", "-c", &script];
    sandbox.build(args).start().patience(PATIENCE).kill_when(|| sleeps(&number));
    wait_until("the command goes on", || !sleeps(&number));
    // The container is as the command left it.
    let out = sandbox.build(["run", "--network", "none", "c", "cat", "/f"]).run().success();
    assert_eq!(out.stdout, "1\n");
    let digest = sandbox.build(["commit", "c"]).run().success().stdout;
    assert_eq!(Made::of(&sandbox, digest.trim()).top(), ["f 644 0:0 \"1\\n\""]);
}

#[test]
fn builds_of_one_file_at_the_same_time() {
    let Some(sandbox) = with_commands() else { return };
    sandbox.write("work/a", "a");
    sandbox.write(
        "work/Dockerfile",
        "FROM base AS one\nCOPY a /a\nRUN --network=none cp /a /b\nFROM base\n\
         COPY --from=one /b /c\nRUN --network=none rm /etc/passwd\n",
    );
    let start = |name: &str| {
        sandbox.build(["build", "-q", "--reproducible", "-t", name, "."]).start().patience(PATIENCE)
    };
    let running = [start("one"), start("two"), start("three")];
    let digests = running.map(|build| build.wait().success().stdout);
    assert_eq!((&digests[0], &digests[1]), (&digests[1], &digests[2]));
    let made = Made::of(&sandbox, digests[0].trim());
    assert_eq!(made.top(), ["etc/ 755 0:0 dir", "etc/.wh.passwd 644 0:0 \"\""]);
    sandbox.inspect(["check"]).run().success();
    // What each of them has made counts for the next.
    let next = build(&sandbox, &["--json", "--reproducible", "."]).success().json();
    assert_eq!((&next["made"], &next["digest"]), (&0.into(), &digests[0].trim().into()));
}
