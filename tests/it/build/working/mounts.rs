//! `run --mount`: caches, secrets and agents, as in a Dockerfile.

use super::{commit, verb, with_commands};
use crate::support::program::Sandbox;

/// Runs a script in container `c`; what it printed.
#[track_caller]
fn run(sandbox: &Sandbox, flags: &[&str], script: &str) -> String {
    let words = ["c", "sh", "-c", script];
    verb(sandbox, &[&["run", "--network", "none"], flags, &words[..]].concat())
}

#[test]
fn caches_outlive_commands_and_are_those_of_dockerfiles() {
    let Some(sandbox) = with_commands() else { return };
    verb(&sandbox, &["from", "--name", "c", "base"]);
    let cache = ["--mount", "type=cache,target=/c"];
    assert_eq!(run(&sandbox, &cache, "echo 1 >> /c/f; cat /c/f"), "1");
    assert_eq!(run(&sandbox, &cache, "echo 2 >> /c/f; cat /c/f"), "1\n2");
    let file = "FROM base\nRUN --mount=type=cache,target=/c cat /c/f > /o\n";
    assert_eq!(super::super::result::built(&sandbox, file, &[]).top(), ["o 644 0:0 \"1\\n2\\n\""]);
    // Another name, another cache; below the working directory.
    verb(&sandbox, &["config", "--workingdir", "/w", "c"]);
    let other = ["--mount", "type=cache,id=other,target=in,mode=700,uid=5,gid=6"];
    assert_eq!(run(&sandbox, &other, "stat -c '%a %u:%g' /w/in; ls /w/in"), "700 5:6");
    let read_only = ["--mount", "type=cache,target=/c,ro"];
    assert_eq!(run(&sandbox, &read_only, "cat /c/f; ! touch /c/x"), "1\n2");
    assert!(commit(&sandbox, &["c"]).top().is_empty());
}

#[test]
fn agents_have_the_owner_that_was_asked_for() {
    let Some(sandbox) = with_commands() else { return };
    let agent = sandbox.path("agent");
    let _listening = std::os::unix::net::UnixListener::bind(&agent).expect("a socket");
    let given = format!("mine={}", agent.display());
    verb(&sandbox, &["from", "--name", "c", "base"]);
    let flags = ["--ssh", &given, "--mount", "type=ssh,id=mine,uid=5,mode=640"];
    let script = "echo $SSH_AUTH_SOCK; stat -c '%F %a %u:%g' $SSH_AUTH_SOCK";
    let expected = "/run/buildkit/ssh_agent.0\nsocket 640 5:0";
    assert_eq!(run(&sandbox, &flags, script), expected);
    assert!(commit(&sandbox, &["c"]).top().is_empty());
}

#[test]
fn secrets_are_in_memory_alone() {
    let Some(sandbox) = with_commands() else { return };
    sandbox.write("secret", "geheim");
    verb(&sandbox, &["from", "--name", "c", "base"]);
    let given = ["--secret", "id=s,src=../secret", "--add-history", "--mount"];
    let with = |mount: &str, script: &str| run(&sandbox, &[&given[..], &[mount]].concat(), script);
    let script = "stat -c %a /run/secrets/s; cat /run/secrets/s; ! touch /run/secrets/s";
    assert_eq!(with("type=secret,id=s", script), "400\ngeheim");
    let mount = "type=secret,id=s,target=/k,mode=440,uid=5,gid=6";
    assert_eq!(with(mount, "stat -c '%a %u:%g' /k"), "440 5:6");
    assert_eq!(
        with("type=secret,id=s,env=S", "echo $S; ls /run/secrets 2>&1 | wc -l"),
        "geheim\n1"
    );
    assert_eq!(with("type=secret,id=none,env=N", "echo \"<$N>\""), "<>");
    let refused = |flags: &[&str], code: i32, why: &str| {
        let args = [&["run", "--mount"], flags, &["c", "true"]].concat();
        sandbox.build(args).run().fails(code).says(why);
    };
    refused(&["type=secret,id=s,required"], 3, "secret s: not found");
    refused(&["type=secret,idd=s"], 2, "unexpected key 'idd'");
    refused(&["type=cache"], 2, "a target is missing");
    refused(&["type=cache,from=base,target=/c"], 1, "copy --from");
    let made = commit(&sandbox, &["c"]);
    assert!(made.top().is_empty() && !made.config.to_string().contains("geheim"));
    let mut found = std::process::Command::new("grep");
    let found = found.args(["-rl", "geheim"]).arg(sandbox.store());
    assert_eq!(String::from_utf8_lossy(&found.output().expect("grep").stdout), "");
    assert!(sandbox.mounts().is_empty());
}
