//! `RUN --mount=type=bind`: single files, and what of a mount counts for the cache.

use super::result::{build, built};
use super::run::sandbox;
use crate::support::program::Sandbox;

/// Whether the last step of a build was found.
fn is_cached(sandbox: &Sandbox, file: &str, args: &[&str]) -> bool {
    sandbox.write("work/Dockerfile", file);
    let out = build(sandbox, &[&["--progress=plain"], args, &["."]].concat()).success();
    let last = out.stderr.lines().rfind(|line| line.contains("RUN --mount")).expect("a step");
    last.ends_with("(cached)")
}

#[test]
fn a_single_file_may_be_written_and_nothing_stays() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.write("work/f", "old\n");
    sandbox.write("work/d/a[1]", "old\n");
    sandbox.write("named/n", "old\n");
    std::os::unix::fs::symlink("d/a[1]", sandbox.work("l")).expect("a link");
    let stage = "FROM base AS s\nRUN echo old > /o && chmod 640 /o && chown 5:6 /o && ln -s o /p\n";
    let named = format!("named={}", sandbox.path("named").display());
    for ignore in ["", "nothing\n", "f\n!f\n"] {
        sandbox.write("work/.dockerignore", ignore);
        for mount in [
            "source=f",
            "source=/f",
            "source=../f",
            "source=d/a[1]",
            "source=l",
            "from=s,source=/o",
            "from=s,source=p",
            "from=named,source=n",
        ] {
            let command = "echo new >> /t && [ \"$(cat /t)\" = \"$(printf 'old\\nnew')\" ]";
            let file = format!("{stage}FROM base\nRUN --mount=target=/t,rw,{mount} {command}\n");
            let made = built(&sandbox, &file, &["--build-context", &named]);
            assert!(made.top().is_empty(), "{mount}: {:?}", made.top());
            // Without rw it is not to be written.
            let file = file.replace(",rw", "").replace(command, "! echo new >> /t");
            built(&sandbox, &file, &["--build-context", &named]);
        }
    }
    for path in ["work/f", "work/d/a[1]", "named/n"] {
        let content = std::fs::read_to_string(sandbox.path(path)).expect("a file");
        assert_eq!(content, "old\n", "{path}");
    }
    let owner = "[ \"$(stat -c '%u:%g %a' /t)\" = '5:6 640' ]";
    for rw in ["", ",rw"] {
        let mount = format!("RUN --mount=from=s,source=o,target=/t{rw} {owner}\n");
        built(&sandbox, &format!("{stage}FROM base\n{mount}"), &[]);
    }
    sandbox.write("work/Dockerfile", "FROM base\nRUN --mount=source=gone,target=/t,rw true\n");
    build(&sandbox, &["-q", "."]).fails(3).says("/gone is not in the build context");
    assert!(sandbox.mounts().is_empty());
}

#[test]
fn of_a_stage_the_mounted_part_counts() {
    let Some(sandbox) = sandbox() else { return };
    let stage = |commands: &str| {
        format!("FROM base AS s\nRUN mkdir -p /d/e && echo 1 > /f && echo 1 > /d/g && {commands}\n")
    };
    let first = stage("echo 1 > /other");
    for (mount, commands, cached) in [
        ("source=/f", "echo 2 > /other", true),
        ("source=f", "touch -d 2001-01-01 /f", true),
        ("source=/f", "echo 2 > /f", false),
        ("source=/f", "chmod 600 /f", false),
        ("source=/f", "chown 5 /f", false),
        ("source=/d", "echo 2 > /other; mkdir /new", true),
        ("source=/d", "echo 2 > /d/e/new", false),
        ("source=/d", "mv /d/g /d/h", false),
        ("source=/d", "chmod 700 /d", false),
        ("source=/d/e", "echo 2 > /d/g", true),
        ("source=/", "echo 2 > /other", false),
        ("source=.", "echo 2 > /other", false),
    ] {
        let run = format!("FROM base\nRUN --mount=from=s,{mount},target=/t true\n");
        // Everything anew each time, so that no row hangs on another.
        assert!(!is_cached(&sandbox, &format!("{first}{run}"), &["--no-cache"]), "{mount}");
        let file = format!("{}{run}", stage(commands));
        assert_eq!(is_cached(&sandbox, &file, &[]), cached, "{mount}, {commands}");
        assert!(is_cached(&sandbox, &file, &[]), "the same once more: {mount}, {commands}");
    }
}

#[test]
fn of_a_context_the_mounted_part_counts() {
    let Some(sandbox) = sandbox() else { return };
    for (mount, change, cached) in [
        ("source=f", "other", true),
        ("source=f", "f", false),
        ("source=d", "f", true),
        ("source=d", "d/g", false),
        ("source=d", "d/ignored", true),
        ("source=.", "f", false),
        ("source=d/[x]", "d/x", true),
        ("source=d/[x]", "d/[x]", false),
    ] {
        sandbox.write("work/.dockerignore", "Dockerfile\n**/ignored\n");
        for name in ["f", "other", "d/g", "d/x", "d/[x]", "d/ignored"] {
            sandbox.write(&format!("work/{name}"), "1");
        }
        let file = format!("FROM base\nRUN --mount={mount},target=/t true\n");
        assert!(!is_cached(&sandbox, &file, &["--no-cache"]), "{mount}");
        sandbox.write(&format!("work/{change}"), "2");
        assert_eq!(is_cached(&sandbox, &file, &[]), cached, "{mount}, {change}");
    }
}
