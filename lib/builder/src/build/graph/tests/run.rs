//! RUN: command, documents, mounts.

use super::*;

fn run(body: &str) -> Run {
    let checked = checked(&format!("FROM scratch\n{body}\n"), &Ask::default());
    assert!(checked.found.iter().all(|f| f.severity != Severity::Error), "{:?}", checked.found);
    let last = checked.plan.stages[0].steps.last().unwrap();
    let Operation::Run(run) = &last.operation else { panic!("{last:?}") };
    (**run).clone()
}

#[test]
fn commands() {
    assert_eq!(run("RUN a $b").arguments, ["/bin/sh", "-c", "a $b"]);
    assert_eq!(run("RUN [\"a\", \"$b\"]").arguments, ["a", "$b"]);
    assert_eq!(run("SHELL [\"x\", \"y\"]\nRUN a").arguments, ["x", "y", "a"]);
    assert_eq!(run("RUN <<E\na\nb\nE").arguments, ["/bin/sh", "-c", "a\nb\n"]);
    assert_eq!(run("RUN cat <<E > f\na\nE").arguments, ["/bin/sh", "-c", "cat <<E > f\na\nE"]);
    let script = run("RUN <<E\n#!/usr/bin/env python3\nprint(1)\nE");
    assert_eq!(script.arguments, ["/bin/sh", "-c", "/dev/pipes/E"]);
    let content = "#!/usr/bin/env python3\nprint(1)\n".to_owned();
    assert_eq!(script.script, Some(("E".to_owned(), content)));
    let run = run(
        "USER u\nWORKDIR /w\nRUN --network=none --security=insecure --device=d.com/x=1,required a",
    );
    assert_eq!((run.user.as_str(), run.workdir.as_deref()), ("u", Some("/w")));
    assert_eq!((run.network, run.security), (Network::None, Security::Insecure));
    assert_eq!(run.devices, [Device { name: "d.com/x=1".to_owned(), required: true }]);
}

/// Mounts as a plan shows them.
fn mounts(body: &str) -> Vec<String> {
    let line = steps(body).pop().unwrap();
    line.split("  [").skip(1).map(|mount| mount.trim_end_matches(']').to_owned()).collect()
}

#[test]
fn mounts_get_their_defaults() {
    for (flag, expected) in [
        ("target=/a", "bind / of the context at /a"),
        ("target=a,source=s,from=x:1", "bind s of image docker.io/library/x:1 at /w/a"),
        ("source=s", "bind s of the context at /w"),
        ("type=cache,target=/a/../b", "cache /b at /b"),
        ("type=cache,target=c//d", "cache c/d at /w/c/d"),
        (
            "type=cache,target=/b,id=i$v,from=x:1,source=y",
            "cache i1 y of image docker.io/library/x:1 at /b",
        ),
        ("type=tmpfs,target=/t", "tmpfs at /t"),
        ("type=secret,id=a", "secret a at /run/secrets/a"),
        ("type=secret,target=/x/y", "secret y at /x/y"),
        ("type=secret,source=d/e", "secret d/e at /run/secrets/e"),
        ("type=secret,id=a,env=E", "secret a as $E"),
        ("type=secret,id=a,env=E,target=t", "secret a at /w/t as $E"),
        ("type=ssh", "ssh default at /run/buildkit/ssh_agent.0"),
    ] {
        assert_eq!(
            mounts(&format!("ENV v=1\nWORKDIR /w\nRUN --mount={flag} x")),
            [expected],
            "{flag}"
        );
    }
    assert_eq!(
        mounts("RUN --mount=type=ssh,id=a --mount=type=ssh,id=b,target=/s --mount=type=ssh x"),
        [
            "ssh a at /run/buildkit/ssh_agent.0",
            "ssh b at /s",
            "ssh default at /run/buildkit/ssh_agent.2",
        ]
    );
}

#[test]
fn mounts_are_checked_when_expanded() {
    for (flag, expected) in [
        ("target=/", "2:13: invalid mount target \"/\""),
        ("source=a", "2:13: invalid mount target \"/\""),
        ("typ=tmpfs", "2:13: unexpected key 'typ' in 'typ=tmpfs' (did you mean type?)"),
        ("target=/a,mode=${v:-755}", "2:13: mode not allowed for \"bind\" type mounts"),
        ("type=ssh,source=a", "2:13: ssh does not support source"),
        ("target=${", "2:13: failed to process \"${\": syntax error: missing '}'"),
    ] {
        assert_eq!(errors(&format!("FROM scratch\nRUN --mount={flag} x\n")), [expected], "{flag}");
    }
    // Of a stage that nobody needs nothing is asked but its grammar.
    assert_eq!(
        errors("FROM scratch\nRUN --mount=typ=tmpfs x\nFROM scratch\n"),
        Vec::<String>::new()
    );
}

#[test]
fn mounts_make_stages_needed() {
    let text =
        "FROM scratch AS A\nFROM scratch AS b\nFROM scratch\nRUN --mount=from=a,target=/a x\n";
    let needed: Vec<bool> =
        checked(text, &Ask::default()).plan.stages.iter().map(|stage| stage.reachable).collect();
    assert_eq!(needed, [true, false, true]);
}
