//! `RUN`: commands in containers, and the layers that they leave.

use super::result::{build, built, steps};
use crate::support::peers;
use crate::support::program::Sandbox;

/// A base with busybox, in the store as `base`; `None` where commands cannot be run.
pub(crate) fn sandbox() -> Option<Sandbox> {
    if !peers::have(&["root", "runc", "busybox"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    let busybox = peers::find("busybox").expect("busybox");
    std::fs::create_dir_all(sandbox.work("base")).expect("a folder");
    std::fs::copy(busybox, sandbox.work("base/busybox")).expect("copied");
    sandbox.write("work/base/passwd", "root:x:0:0::/root:/bin/sh\napp:x:5:6::/home/app:/bin/sh\n");
    sandbox.write("work/base/group", "root:x:0:\nweb:x:9:app\n");
    sandbox.write(
        "work/base/Dockerfile",
        "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\nCOPY passwd group /etc/\n\
         ENV PATH=/bin\nRUN busybox --install -s /bin\n",
    );
    build(&sandbox, &["-q", "-t", "base", "base"]).success();
    std::fs::remove_dir_all(sandbox.work("base")).expect("removed");
    Some(sandbox)
}

/// The newest layer after some instructions, without busybox's own time.
#[track_caller]
fn check(sandbox: &Sandbox, instructions: &str, args: &[&str], expected: &[&str]) {
    let made = built(sandbox, &format!("FROM base\n{instructions}\n"), args);
    assert_eq!(made.top(), expected, "{instructions}");
}

#[test]
fn a_command_leaves_its_changes_and_nothing_else() {
    let Some(sandbox) = sandbox() else { return };
    check(&sandbox, "RUN true", &[], &[]);
    check(
        &sandbox,
        "RUN echo a > /f; mkdir /d; ln -s f /l",
        &[],
        &["d/ 755 0:0 dir", "f 644 0:0 \"a\\n\"", "l 777 0:0 -> f"],
    );
    check(&sandbox, "RUN rm /etc/group", &[], &["etc/ 755 0:0 dir", "etc/.wh.group 644 0:0 \"\""]);
    check(&sandbox, "RUN [\"touch\", \"/x y\"]", &[], &["x y 644 0:0 \"\""]);
    check(
        &sandbox,
        "RUN chmod 700 /etc/passwd",
        &[],
        &[
            "etc/ 755 0:0 dir",
            "etc/passwd 700 0:0 \"root:x:0:0::/root:/bin/sh\\napp:x:5:6::/home/app:/bin/sh\\n\"",
        ],
    );
    check(&sandbox, "RUN mkdir /n && rm -r /n && rm /etc/hosts 2>/dev/null || true", &[], &[]);
    let made = built(&sandbox, "FROM base\nRUN echo a > /f\nRUN rm /f\nRUN echo b > /f\n", &[]);
    assert_eq!(made.layers.len(), 7);
    assert_eq!(made.layers[5].keys().collect::<Vec<_>>(), [".wh.f"]);
    assert!(sandbox.mounts().is_empty());
}

#[test]
fn what_a_command_sees() {
    let Some(sandbox) = sandbox() else { return };
    let file = "ARG G=1\nARG N\nENV E=2 H=/$E\nUSER app\nWORKDIR /w\nRUN id > o; env | sort >> o; pwd >> o; hostname >> o; cat /etc/hosts >> o";
    check(
        &sandbox,
        file,
        &["--build-arg", "HTTP_PROXY=http://p", "--add-host", "h:1.2.3.4"],
        &[
            "w/ 755 5:6 dir",
            "w/o 644 5:6 \"uid=5(app) gid=6 groups=6,9(web)\\nE=2\\nG=1\\nH=/\\nHOME=/home/app\\n\
         HTTP_PROXY=http://p\\nPATH=/bin\\nPWD=/w\\nSHLVL=1\\n/w\\nbuildkitsandbox\\n127.0.0.1\\tlocalhost buildkitsandbox\\n\
         ::1\\tlocalhost ip6-localhost ip6-loopback\\n1.2.3.4\\th\\n\"",
        ],
    );
    check(&sandbox, "USER app:web\nRUN id -G > /tmp/o || id -G > /dev/null", &[], &[]);
    check(
        &sandbox,
        "SHELL [\"/bin/sh\", \"-xc\"]\nRUN echo $- > /o",
        &[],
        &["o 644 0:0 \"xc\\n\""],
    );
    check(&sandbox, "RUN <<EOF\necho 1 > /o\necho 2 >> /o\nEOF", &[], &["o 644 0:0 \"1\\n2\\n\""]);
    check(&sandbox, "RUN <<EOF cat > /o\nsome $text\nEOF", &[], &["o 644 0:0 \"some \\n\""]);
    check(
        &sandbox,
        "RUN <<EOF\n#!/bin/sh -e\necho $0 > /o\nEOF",
        &[],
        &["o 644 0:0 \"/dev/pipes/EOF\\n\""],
    );
    check(
        &sandbox,
        "RUN --network=none ip -o link | cut -d: -f2 > /o",
        &[],
        &["o 644 0:0 \" lo\\n\""],
    );
}

#[test]
fn mounts() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.write("work/in/f", "file");
    sandbox.write("work/left-out", "x");
    sandbox.write("work/.dockerignore", "left-out\n");
    sandbox.write("secret", "geheim");
    check(
        &sandbox,
        "RUN --mount=target=/m,source=in cat /m/f > /o; ! touch /m/x",
        &[],
        &["o 644 0:0 \"file\""],
    );
    check(&sandbox, "RUN --mount=target=/m ls /m > /o", &[], &["o 644 0:0 \"Dockerfile\\nin\\n\""]);
    check(
        &sandbox,
        "RUN --mount=target=/m,source=in,rw echo > /m/g && ls /m > /o",
        &[],
        &["o 644 0:0 \"f\\ng\\n\""],
    );
    assert!(!sandbox.work("in/g").exists());
    let stage = "FROM base AS s\nRUN echo s > /s\nFROM base\n";
    let made = built(&sandbox, &format!("{stage}RUN --mount=from=s,target=/m cp /m/s /o\n"), &[]);
    assert_eq!(made.top(), ["o 644 0:0 \"s\\n\""]);
    for expected in ["1", "1\\n1"] {
        check(
            &sandbox,
            "RUN --mount=type=cache,target=/c echo 1 >> /c/f; cat /c/f > /o",
            &["--no-cache"],
            &[&format!("o 644 0:0 \"{expected}\\n\"")],
        );
    }
    check(
        &sandbox,
        "USER app\nRUN --mount=type=cache,target=/c,uid=5,mode=700 stat -c '%a %u' /c > /dev/null && touch /c/x",
        &[],
        &[],
    );
    check(
        &sandbox,
        "RUN --mount=type=tmpfs,target=/t touch /t/x && mount | grep -c ' /t type tmpfs' > /o",
        &[],
        &["o 644 0:0 \"1\\n\""],
    );
    let args = ["--secret", "id=s,src=../secret", "--no-cache"];
    check(
        &sandbox,
        "RUN --mount=type=secret,id=s stat -c %a /run/secrets/s > /o && grep -c g.heim /run/secrets/s >> /o",
        &args,
        &["o 644 0:0 \"400\\n1\\n\""],
    );
    check(
        &sandbox,
        "RUN --mount=type=secret,id=s,env=S echo \"$S\" | grep -q ^g.heim$ && ! test -e /run/secrets/s",
        &args,
        &[],
    );
    check(&sandbox, "RUN --mount=type=secret,id=none ! test -e /run/secrets/none", &[], &[]);
    let out = build_file(&sandbox, "RUN --mount=type=secret,id=none,required true").fails(3);
    assert!(out.stderr.contains("secret none: not found"), "{}", out.stderr);
    let found = std::process::Command::new("grep")
        .args(["-rl", "geheim"])
        .arg(sandbox.store())
        .output()
        .expect("grep");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    assert!(sandbox.mounts().is_empty());
}

#[test]
fn links_of_an_image_lead_nowhere_else() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.write("work/odd/etc/mine", "");
    std::os::unix::fs::symlink("/etc", sandbox.work("odd/l")).expect("a link");
    sandbox.write("work/odd/Dockerfile", "FROM scratch\nCOPY etc /etc\nCOPY l /l\n");
    build(&sandbox, &["-q", "-t", "odd", "odd"]).success();
    for mount in ["from=odd,source=/l", "from=odd,source=/l,rw", "type=cache,from=odd,source=/l"] {
        let run = format!("RUN --mount={mount},target=/m ls /m > /o");
        check(&sandbox, &run, &[], &["o 644 0:0 \"mine\\n\""]);
    }
}

fn build_file(sandbox: &Sandbox, instructions: &str) -> crate::support::program::Output {
    sandbox.write("work/Dockerfile", format!("FROM base\n{instructions}\n"));
    build(sandbox, &["-q", "."])
}

#[test]
fn a_failure_is_the_command_s_own() {
    let Some(sandbox) = sandbox() else { return };
    let out = build_file(&sandbox, "RUN echo before; echo bad >&2; exit 42").fails(42);
    assert_eq!(out.stdout, "");
    // The runtime passes both streams on, in no particular order.
    assert!(out.stderr.contains("before\n") && out.stderr.contains("bad\n"), "{}", out.stderr);
    let expected = "error: process \"/bin/sh -c echo before; echo bad >&2; exit 42\" did not \
                    complete successfully: exit code: 42\n --> Dockerfile:2:1\n  |\n2 | RUN echo";
    assert!(out.stderr.contains(expected), "{}", out.stderr);
    let out = build_file(&sandbox, "RUN [\"/nothing\"]").fails(127);
    assert!(out.stderr.contains("/nothing"), "{}", out.stderr);
    build_file(&sandbox, "RUN sh -c 'kill -9 $$'; exit $?").fails(137);
    let out = build_file(&sandbox, "RUN --network=host true").fails(4);
    assert!(out.stderr.contains("entitlement network.host is not allowed"), "{}", out.stderr);
    let out = build_file(&sandbox, "USER nobody\nRUN true").fails(3);
    assert!(out.stderr.contains("unable to find user \"nobody\""), "{}", out.stderr);
    // What came before it need not be made again.
    assert!(build_file(&sandbox, "RUN echo kept > /k\nRUN false").code() == Some(1));
    assert_eq!(steps(&sandbox, "FROM base\nRUN echo kept > /k\nRUN true\n", &[]), (1, 1));
}

#[test]
fn commands_are_made_again_when_what_they_depend_on_changes() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.write("work/f", "1");
    let first = "FROM base\nARG A=1\nENV E=1\nCOPY f /f\nRUN cat /f > /o\n";
    assert_eq!(steps(&sandbox, first, &[]), (2, 0));
    for (what, file, args, expected) in [
        ("nothing", first.to_owned(), &[][..], (0, 2)),
        ("a label", first.replace("ENV", "LABEL a=b\nENV"), &[], (0, 2)),
        ("an argument", first.to_owned(), &["--build-arg", "A=2"], (1, 1)),
        ("a new argument", first.replace("ENV", "ARG B=1\nENV"), &[], (1, 1)),
        ("a variable", first.replace("E=1", "E=2"), &[], (1, 1)),
        ("a proxy", first.to_owned(), &["--build-arg", "http_proxy=x"], (0, 2)),
        ("a user", first.replace("RUN", "USER 1\nRUN"), &[], (0, 0)),
        ("the command", first.replace("/o", "/p"), &[], (1, 1)),
        ("a mount", first.replace("RUN", "RUN --mount=type=tmpfs,target=/t"), &[], (1, 1)),
        ("a here-document", first.replace("RUN cat /f > /o", "RUN <<E\ntrue\nE"), &[], (1, 1)),
        (
            "another here-document",
            first.replace("RUN cat /f > /o", "RUN <<E\ntrue;\nE"),
            &[],
            (1, 1),
        ),
        (
            "a secret",
            first.replace("RUN", "RUN --mount=type=secret,id=s"),
            &["--secret", "id=s,src=f"],
            (1, 1),
        ),
    ] {
        if expected == (0, 0) {
            continue;
        }
        assert_eq!(steps(&sandbox, &file, args), expected, "{what}");
    }
    // The value of a secret counts for nothing; the content of what is copied does.
    sandbox.write("work/s", "other");
    let secret = first.replace("RUN", "RUN --mount=type=secret,id=s");
    assert_eq!(steps(&sandbox, &secret, &["--secret", "id=s,src=s"]), (0, 2));
    sandbox.write("work/f", "2");
    assert_eq!(steps(&sandbox, first, &[]), (2, 0));
    let bind = "FROM base\nRUN --mount=target=/m,source=s cat /m > /o\n";
    assert_eq!(steps(&sandbox, bind, &[]), (1, 0));
    assert_eq!(steps(&sandbox, bind, &[]), (0, 1));
    sandbox.write("work/s", "changed");
    assert_eq!(steps(&sandbox, bind, &[]), (1, 0));
}

#[test]
fn stages_hand_files_on() {
    let Some(sandbox) = sandbox() else { return };
    let file = "FROM base AS one\nUSER app\nWORKDIR /w\nRUN echo 1 > f && ln f g && mkdir d && chmod 700 d\n\
                FROM scratch\nCOPY --from=one /w /w\nCOPY --from=0 --chown=7 /w/f /\n";
    let made = built(&sandbox, file, &[]);
    assert_eq!(made.layers[0].keys().collect::<Vec<_>>(), ["w/", "w/d/", "w/f", "w/g"]);
    assert_eq!(made.layers[0]["w/d/"], "700 5:6 dir");
    assert_eq!(made.layers[0]["w/g"], "644 5:6 = w/f");
    assert_eq!(made.top(), ["f 644 7:7 \"1\\n\""]);
    assert_eq!(steps(&sandbox, file, &[]), (0, 4));
    // A stage that is made again and comes to the same changes nothing above it.
    let other = file.replace("echo 1", "echo  1").replace("USER", "ENV X=1\nUSER");
    let (made, _) = steps(&sandbox, &other, &[]);
    assert_eq!(made, 1);
    let image = built(&sandbox, "FROM scratch\nCOPY --from=base /etc/passwd /p\n", &[]);
    assert_eq!(image.layers[0].keys().collect::<Vec<_>>(), ["p"]);
}

#[test]
fn a_time_for_all_covers_what_commands_write() {
    let Some(sandbox) = sandbox() else { return };
    let file = "FROM base\nRUN echo 1 > /etc/new; mkdir -p /d/e\nRUN touch /d/f\n";
    let digest = || {
        let args = ["-q", "--no-cache", "--source-date-epoch", "1000", "."];
        sandbox.write("work/Dockerfile", file);
        build(&sandbox, &args).success().stdout
    };
    let first = digest();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(digest(), first);
}
