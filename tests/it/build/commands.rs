//! The surroundings of `RUN`: users, programs that cannot be started, host names, caches and the
//! working directory.

use super::result::{build, built, steps};
use super::run::sandbox;
use crate::support::program::Sandbox;

/// A base without account files, in the store as `bare`.
fn bare() -> Option<Sandbox> {
    let sandbox = sandbox()?;
    built(&sandbox, "FROM base\nRUN rm /etc/passwd /etc/group\n", &["-t", "bare"]);
    sandbox.write("work/f", "f");
    Some(sandbox)
}

#[test]
fn root_is_user_and_group_0_without_account_files() {
    let Some(sandbox) = bare() else { return };
    for (instructions, top) in [
        ("USER root\nRUN id -u > /o", "o 644 0:0 \"0\\n\""),
        ("USER root:root\nRUN id -G > /o", "o 644 0:0 \"0\\n\""),
        ("USER 7:root\nRUN echo > /tmp/x || id -u", "-"),
        ("USER root\nWORKDIR /w", "w/ 755 0:0 dir"),
        ("COPY --chown=root f /o", "o 644 0:0 \"f\""),
        ("COPY --chown=root:root f /o", "o 644 0:0 \"f\""),
        ("COPY --chown=5:root f /o", "o 644 5:0 \"f\""),
        ("COPY --chown=5 f /o", "o 644 5:5 \"f\""),
        ("ADD --chown=root:8 f /o", "o 644 0:8 \"f\""),
    ] {
        let made = built(&sandbox, &format!("FROM bare\n{instructions}\n"), &[]);
        let found = made.top().first().cloned().unwrap_or("-".to_owned());
        assert_eq!(found, top, "{instructions}");
    }
    for instructions in ["USER app\nRUN true", "COPY --chown=app f /", "COPY --chown=0:app f /"] {
        sandbox.write("work/Dockerfile", format!("FROM bare\n{instructions}\n"));
        build(&sandbox, &["-q", "."]).fails(3).says("no matching entries");
    }
}

#[test]
fn a_working_directory_needs_no_known_user() {
    let Some(sandbox) = bare() else { return };
    let none: &[&str] = &[];
    for (instructions, top) in [
        ("USER svc\nWORKDIR /etc", none),
        ("USER svc\nWORKDIR /w/x", &["w/ 755 0:0 dir", "w/x/ 755 0:0 dir"]),
        ("USER 7\nWORKDIR /w", &["w/ 755 7:7 dir"]),
        ("USER 7:8\nWORKDIR /w", &["w/ 755 7:8 dir"]),
        ("USER svc:8\nWORKDIR /w", &["w/ 755 0:0 dir"]),
    ] {
        let made = built(&sandbox, &format!("FROM bare\n{instructions}\nCMD [\"x\"]\n"), &[]);
        assert_eq!(made.top(), top, "{instructions}");
    }
    sandbox.write("work/Dockerfile", "FROM bare\nUSER svc\nWORKDIR /new\n");
    let out = build(&sandbox, &["--no-cache", "."]).success();
    assert!(out.stderr.contains("warning: WORKDIR /new belongs to root: "), "{}", out.stderr);
}

#[test]
fn a_removed_working_directory_is_made_again() {
    let Some(sandbox) = sandbox() else { return };
    let removed = "FROM base\nWORKDIR /w/x\nRUN cd / && rm -r /w\n";
    for (next, top) in [
        ("RUN true", &["w/ 755 0:0 dir", "w/x/ 755 0:0 dir"][..]),
        ("RUN pwd > o", &["w/ 755 0:0 dir", "w/x/ 755 0:0 dir", "w/x/o 644 0:0 \"/w/x\\n\""]),
        ("RUN --mount=type=tmpfs,target=/w/x pwd", &[]),
        ("RUN cd / && rmdir /w/x", &["w/ 755 0:0 dir"]),
    ] {
        let made = built(&sandbox, &format!("{removed}{next}\n"), &[]);
        assert_eq!(made.top(), top, "{next}");
    }
}

#[test]
fn a_program_that_cannot_be_started_has_dockers_code() {
    let Some(sandbox) = sandbox() else { return };
    let base = "FROM base\nRUN echo x > /text && chmod 755 /text && echo '#!/none' > /script && \
                chmod 755 /script && echo > /plain\n";
    built(&sandbox, base, &["-t", "programs"]);
    sandbox.write("work/mounted/text", "x");
    for (command, code, says) in [
        ("[\"none\"]", 127, "executable file not found in $PATH"),
        ("[\"/none\"]", 127, "no such file or directory"),
        ("[\"/plain\"]", 126, "permission denied"),
        ("[\"/text\"]", 126, "neither a program nor a script"),
        ("[\"/script\"]", 126, "its interpreter /none is missing"),
        ("--mount=from=programs,target=/m [\"none\"]", 127, "executable file not found"),
        ("--mount=from=programs,target=/m [\"/m/none\"]", 127, "no such file or directory"),
        ("--mount=from=programs,target=/m [\"/m/plain\"]", 126, "permission denied"),
        ("--mount=from=programs,target=/m [\"/m/text\"]", 126, "neither a program nor a script"),
        ("--mount=target=/m,source=mounted [\"/m/text\"]", 126, "permission denied"),
        ("--mount=type=cache,target=/bin [\"sh\"]", 127, "executable file not found"),
        ("--mount=type=tmpfs,target=/bin [\"/bin/sh\"]", 127, "no such file or directory"),
        ("--mount=from=programs,target=/m exit 1", 1, "exit code: 1"),
        ("exit 200", 200, "exit code: 200"),
        ("sh -c 'kill -9 $$'; exit $?", 137, "exit code: 137"),
    ] {
        sandbox.write("work/Dockerfile", format!("FROM programs\nRUN {command}\n"));
        let out = build(&sandbox, &["-q", "."]).fails(code);
        assert!(out.stderr.contains(says), "{command}: {}", out.stderr);
    }
    let container = sandbox.build(["from", "programs"]).run().success().stdout.trim().to_owned();
    let volume = format!("{}:/m", sandbox.work("mounted").display());
    for (args, code) in [
        (vec!["run", &container, "--", "none"], 127),
        (vec!["run", "-v", &volume, &container, "--", "/m/none"], 127),
        (vec!["run", "-v", &volume, &container, "--", "/m/text"], 126),
    ] {
        sandbox.build(args).run().fails(code);
    }
}

#[test]
fn the_host_of_commands_has_a_name() {
    let Some(sandbox) = sandbox() else { return };
    let file =
        "FROM base\nRUN hostname > /o && grep -c \"localhost $(hostname)\" /etc/hosts >> /o\n";
    let argument = |name: &str| format!("BUILDKIT_SANDBOX_HOSTNAME={name}");
    for (name, shown) in [("", "buildkitsandbox"), ("myhost", "myhost"), ("a.b-c", "a.b-c")] {
        let made = built(&sandbox, file, &["--build-arg", &argument(name)]);
        assert_eq!(made.top(), [format!("o 644 0:0 \"{shown}\\n1\\n\"")]);
    }
    sandbox.write("work/Dockerfile", file);
    for bad in ["a b", "-x", "a\nb", &"x".repeat(65)] {
        let out = build(&sandbox, &["--build-arg", &argument(bad), "."]).fails(2);
        assert!(out.stderr.contains("invalid hostname"), "{}", out.stderr);
    }
}

#[test]
fn what_a_command_runs_with_is_in_its_key() {
    let Some(sandbox) = sandbox() else { return };
    let file = "FROM base\nRUN true\n";
    let first: &[&str] = &["--add-host", "a:1.2.3.4"];
    assert_eq!(steps(&sandbox, file, first), (1, 0));
    for (args, made) in [
        (&["--add-host", "a:1.2.3.4"][..], 0),
        // Addresses may change, names count.
        (&["--add-host", "a:4.3.2.1"], 0),
        (&["--add-host", "b:1.2.3.4"], 1),
        (&["--add-host", "a:1.2.3.4", "--add-host", "b:1.2.3.4"], 1),
        (&[], 1),
        (&["--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=x"], 1),
        (&["--ulimit", "nofile=100"], 1),
        (&["--shm-size", "1m"], 1),
        (&["--security-opt", "no-new-privileges"], 1),
        (&["--build-arg", "HTTP_PROXY=http://p", "--build-arg", "no_proxy=h"], 0),
        (&["--memory", "1g"], 0),
    ] {
        assert_eq!(steps(&sandbox, file, args), (made, 1 - made), "{args:?}");
    }
}

#[test]
fn a_cache_that_is_free_is_used_whatever_its_sharing() {
    let Some(sandbox) = sandbox() else { return };
    let file = |mounts: &str| format!("FROM base\nRUN {mounts} echo x >> /c/f; cat /c/f > /o\n");
    let mut lines = String::new();
    for sharing in ["shared", "private", "locked", "private", "shared"] {
        lines.push_str("x\\n");
        let mount = format!("--mount=type=cache,id=i,target=/c,sharing={sharing}");
        let made = built(&sandbox, &file(&mount), &["--no-cache"]);
        assert_eq!(made.top(), [format!("o 644 0:0 \"{lines}\"")], "{sharing}");
    }
    // A command that mounts one twice has it in both places, and does not wait for itself.
    for sharing in ["shared", "private", "locked"] {
        let mount = |target| format!("--mount=type=cache,id=j,target={target},sharing={sharing} ");
        let twice = format!("{}{}", mount("/c"), mount("/d"));
        let made = built(
            &sandbox,
            &format!("FROM base\nRUN {twice} echo {sharing} > /c/f; cat /d/f > /o\n"),
            &[],
        );
        assert_eq!(made.top(), [format!("o 644 0:0 \"{sharing}\\n\"")]);
    }
    // A namespace of its own is another cache.
    let one = "--mount=type=cache,target=/c";
    for (namespace, content) in [("", "x\\n"), ("a", "x\\n"), ("b", "x\\n"), ("a", "x\\nx\\n")] {
        let argument = format!("BUILDKIT_CACHE_MOUNT_NS={namespace}");
        let made = built(&sandbox, &file(one), &["--no-cache", "--build-arg", &argument]);
        assert_eq!(made.top(), [format!("o 644 0:0 \"{content}\"")], "{namespace}");
    }
}

#[test]
fn arguments_for_buildkit_work_or_are_told_of() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", "FROM scratch\nLABEL a=b\n");
    for (argument, told) in [
        ("BUILDKIT_BUILD_NAME=x", true),
        ("BUILDKIT_INLINE_CACHE=1", true),
        ("BUILDKIT_INLINE_CACHE=0", false),
        ("BUILDKIT_INLINE_CACHE=", false),
        ("BUILDKIT_MULTI_PLATFORM=true", true),
        ("BUILDKIT_MULTI_PLATFORM=false", false),
        ("BUILDKIT_SBOM_SCAN_CONTEXT=true", true),
        ("BUILDKIT_SBOM_SCAN_STAGE=base", true),
        ("BUILDKIT_SYNTAX=docker/dockerfile:1", false),
        ("BUILDKIT_SYNTAX=docker.io/docker/dockerfile-upstream:master-labs", false),
        ("BUILDKIT_SYNTAX=example.com/frontend", true),
        ("BUILDKIT_SYNTAX=docker/dockerfiles", true),
        ("BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", false),
        ("BUILDKIT_CACHE_MOUNT_NS=x", false),
        ("BUILDKIT_SANDBOX_HOSTNAME=x", false),
        ("BUILDKIT_DOCKERFILE_CHECK=skip=all", false),
        ("BUILDKIT_NONSENSE=1", true),
    ] {
        let out = build(&sandbox, &["--build-arg", argument, "."]).success();
        let name = argument.split('=').next().expect("a name");
        assert_eq!(out.stderr.contains(&format!("--build-arg {name}")), told, "{argument}");
    }
}
