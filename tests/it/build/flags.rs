//! Flags that change how commands run, what is found, and what comes out.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::kill::{PATIENCE, cgroups, own_number, sleeper, wait_until};
use super::result::{Made, build, built, steps};
use super::run::sandbox;
use crate::support::image::{image, layer};
use crate::support::program::Sandbox;

#[track_caller]
fn output(sandbox: &Sandbox, command: &str, args: &[&str]) -> String {
    let made = built(sandbox, &format!("FROM base\nRUN {command} > /o\n"), args);
    let line = made.layers.last().expect("a layer")["o"].clone();
    line.strip_prefix("644 0:0 ").expect("a file").to_owned()
}

#[test]
fn directories_capabilities_and_devices_of_commands() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.write("work/more/x", "x");
    let both = ["-v", "./more:/v", "--volume", "./more:/r:ro"];
    assert_eq!(output(&sandbox, "cat /v/x /r/x", &both), "\"xx\"");
    // Nothing of it is in the layer, and another directory is another step.
    let made = built(&sandbox, "FROM base\nRUN touch /v/new; ! touch /r/no\n", &both);
    assert!(made.top().is_empty(), "{:?}", made.top());
    assert!(sandbox.work("more/new").exists() && !sandbox.work("more/no").exists());
    let file = "FROM base\nRUN touch /v/new; ! touch /r/no\n";
    assert_eq!(steps(&sandbox, file, &both), (0, 1));
    let other = ["-v", "./more:/v", "-v", "./more:/r:ro", "-v", "./more:/w"];
    assert_eq!(steps(&sandbox, file, &other), (1, 0));
    build(&sandbox, &["-q", "-v", "./none:/v", "."]).fails(3).says("none");
    build(&sandbox, &["-q", "-v", "name:/v", "."]).fails(2).says("names no directory or file");

    let capabilities = |args: &[&str]| {
        let text = output(&sandbox, "grep CapEff /proc/self/status", args);
        let hex = text.trim_matches('"').trim_end_matches("\\n").rsplit("\\t").next();
        u64::from_str_radix(hex.expect("a number"), 16).expect("a number")
    };
    let usual = capabilities(&[]);
    assert_eq!(capabilities(&["--cap-drop", "CHOWN"]), usual & !1);
    assert_eq!(capabilities(&["--cap-add", "CAP_SYS_ADMIN"]), usual | 1 << 21);
    assert_eq!(capabilities(&["--cap-drop", "all"]), 0);
    let device = ["--device", "/dev/null:/dev/mine:rw"];
    assert_eq!(output(&sandbox, "test -c /dev/mine && echo there", &device), "\"there\\n\"");
    assert_eq!(output(&sandbox, "echo plain", &["--isolation", "oci"]), "\"plain\\n\"");
    build(&sandbox, &["--isolation", "chroot", "."]).fails(2).says("leave the machine open");
    let confined = ["--security-opt", "no-new-privileges", "--no-cache"];
    let status = output(&sandbox, "grep NoNewPrivs /proc/self/status", &confined);
    assert_eq!(status, "\"NoNewPrivs:\\t1\\n\"");
}

#[test]
fn some_stages_are_made_anew() {
    let sandbox = Sandbox::new();
    sandbox.write("work/f", "f");
    let file = "FROM scratch AS One\nCOPY f /1\nFROM scratch AS two\nCOPY f /2\nWORKDIR /w\n\
                FROM scratch\nCOPY --from=one / /\nCOPY --from=two / /\n";
    assert_eq!(steps(&sandbox, file, &[]).0, 5);
    assert_eq!(steps(&sandbox, file, &[]), (0, 5));
    assert_eq!(steps(&sandbox, file, &["--no-cache-filter", "one"]), (1, 4));
    assert_eq!(steps(&sandbox, file, &["--no-cache-filter=two,stage-2"]), (4, 1));
    assert_eq!(steps(&sandbox, file, &[]), (0, 5));
}

const CARD: &str = r#"cdiVersion: "0.6.0"
kind: example.com/card
devices:
- name: "0"
  containerEdits:
    env: ["CARD=yes"]
    deviceNodes:
    - {path: /dev/card0, type: c, major: 1, minor: 3, permissions: rw}
"#;

#[test]
fn devices_by_their_names() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.write("work/cdi/card.yaml", CARD);
    let with = |flag: &str, args: &[&str]| {
        let run = "test -c /dev/card0 && echo $CARD > /o || echo none > /o";
        sandbox.write("work/Dockerfile", format!("FROM base\nRUN {flag} {run}\n"));
        build(&sandbox, &[&["-q", "--cdi-spec-dir", "cdi"], args, &["."]].concat())
    };
    let made = |flag: &str, args: &[&str]| {
        Made::of(&sandbox, with(flag, args).success().stdout.trim()).top()
    };
    let there = ["o 644 0:0 \"yes\\n\""];
    assert_eq!(made("--device=example.com/card=0,required", &["--allow", "device"]), there);
    assert_eq!(made("--device=example.com/card=0", &["--allow=device=example.com/card=0"]), there);
    assert_eq!(made("", &["--device", "example.com/card=0"]), there);
    let none = ["o 644 0:0 \"none\\n\""];
    assert_eq!(made("", &[]), none);
    assert_eq!(made("--device=example.com/card=9", &["--allow", "device"]), none);
    with("--device=example.com/card=0", &[]).fails(4).says("entitlement device is not allowed");
    with("--device=example.com/card=9,required", &["--allow", "device"]).fails(3).says("card=9");
    with("--device=card", &["--allow", "device"]).fails(1).says("no name of a device by CDI");
}

#[test]
fn flags_of_others() {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "Left", ".dockerignore"] {
        sandbox.write(&format!("work/{name}"), "a\n");
    }
    let file = "FROM scratch AS x\nCOPY . /x/\nFROM scratch\nCOPY --from=x /x /\n";
    let left = |args: &[&str]| {
        let made = built(&sandbox, file, args);
        made.layers[0].keys().cloned().collect::<Vec<_>>()
    };
    let usual =
        left(&["--jobs", "1", "--layers", "--rm=false", "--force-rm", "--provenance=false"]);
    assert_eq!(usual, [".dockerignore", "Dockerfile", "Left", "b"]);
    sandbox.write("work/Left", "*\n!b\n!a\n");
    assert_eq!(left(&["--ignorefile", "Left"]), ["a", "b"]);
    build(&sandbox, &["--ignorefile", "none", "."]).fails(3).says("there is no file none");
    build(&sandbox, &["--provenance=mode=max", "."]).fails(2).says("attestations are not made");
    let out = build(&sandbox, &["--cache-from", "type=gha", "--sbom=false", "."]).success();
    assert!(out.stderr.contains("warning: caches are not shared between machines yet: type=gha"));
}

#[test]
fn the_files_of_a_command_that_failed() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.write("work/Dockerfile", "FROM base\nENV A=b\nRUN echo made > /made; exit 7\n");
    let out = build(&sandbox, &["-q", "--on-failure", "keep", "."]).fails(7);
    let kept: Vec<_> = std::fs::read_dir(sandbox.path("tmp")).expect("a folder").collect();
    let kept = kept[0].as_ref().expect("an entry").path();
    assert!(out.stderr.contains(&format!("creel-run -it --rootfs {} sh", kept.display())));
    assert_eq!(std::fs::read_to_string(kept.join("made")).expect("a file"), "made\n");
    assert!(kept.join("bin/busybox").exists() && sandbox.mounts().is_empty());
    let shell = sandbox.build(["build", "--on-failure=shell", "."]);
    let out = shell.input("echo \"<$(cat /made) $A>\"\nexit 3\n").run().fails(7);
    assert!(out.stderr.contains("<made b>"), "{}", out.stderr);
    assert!(out.stdout.is_empty() && sandbox.mounts().is_empty());
    // What succeeds needs neither.
    sandbox.write("work/Dockerfile", "FROM base\nRUN true\n");
    build(&sandbox, &["-q", "--on-failure=keep", "."]).success();
    assert_eq!(std::fs::read_dir(sandbox.path("tmp")).expect("a folder").count(), 1);
}

/// All files of a tar archive, with their metadata.
fn tree(path: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(std::fs::File::open(path).expect("a file"));
    let entries = archive.entries().expect("an archive").map(|entry| {
        let entry = entry.expect("an entry");
        let header = entry.header();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let what = format!(
            "{:?} {:o} {}:{} {} {} {link:?}",
            header.entry_type(),
            header.mode().expect("a mode"),
            header.uid().expect("an owner"),
            header.gid().expect("a group"),
            header.mtime().expect("a time"),
            header.size().expect("a size"),
        );
        (name, what)
    });
    entries.collect()
}

#[test]
fn layers_are_put_together() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.write("work/x", "x");
    let file = "FROM base\nRUN mkdir -p /d/e && echo a > /d/e/f && ln /d/e/f /d/g && echo b > /h\n\
                RUN rm -r /d/e /h /etc/group && mkdir /d/e && chmod 700 /bin\n\
                COPY x /d/e/x\nENV A=b\nRUN echo more >> /d/g\n";
    sandbox.write("work/Dockerfile", file);
    let plain = Made::of(&sandbox, build(&sandbox, &["-q", "."]).success().stdout.trim());
    let base = plain.layers.len() - 4;
    let made = |args: &[&str], name: &str| {
        let args = [&["-q", "-t", name], args, &["."]].concat();
        Made::of(&sandbox, build(&sandbox, &args).success().stdout.trim())
    };
    let new = made(&["--squash=new"], "new");
    assert_eq!(new.layers.len(), base + 1);
    let same = |made: &Made| {
        made.manifest["layers"].as_array().expect("layers")[..base]
            == plain.manifest["layers"].as_array().expect("layers")[..base]
    };
    assert!(same(&new), "the base stays what it is");
    assert_eq!(
        new.top(),
        [
            "bin/ 700 0:0 dir",
            "d/ 755 0:0 dir",
            "d/e/ 755 0:0 dir",
            "d/e/x 644 0:0 \"x\"",
            "d/g 644 0:0 \"a\\nmore\\n\"",
            "etc/ 755 0:0 dir",
            "etc/.wh.group 644 0:0 \"\"",
        ]
    );
    let history = new.history();
    assert_eq!(history.len(), plain.history().len() + 1);
    assert_eq!(history.last().expect("a line"), "squash");
    assert!(
        history[history.len() - 6..history.len() - 1].iter().all(|line| line.starts_with("- "))
    );
    let all = made(&["--squash"], "all");
    assert_eq!(all.layers.len(), 1);
    assert_eq!(all.history().iter().filter(|line| !line.starts_with("- ")).count(), 1);
    assert_eq!(made(&["--squash=all"], "all").manifest, all.manifest);
    assert_eq!(made(&["--squash=new"], "new").manifest, new.manifest);
    // The files are the same in all three.
    for name in ["plain", "new", "all"] {
        if name == "plain" {
            made(&[], "plain");
        }
        sandbox.write("work/Dockerfile", format!("FROM {name}\n"));
        build(&sandbox, &["-q", "-o", &format!("type=tar,dest={name}.tar"), "."]).success();
        sandbox.write("work/Dockerfile", file);
    }
    let plain = tree(&sandbox.work("plain.tar"));
    assert_eq!(plain, tree(&sandbox.work("new.tar")));
    assert_eq!(plain, tree(&sandbox.work("all.tar")));
}

#[test]
fn one_vocabulary_for_all_layers() {
    let sandbox = Sandbox::new();
    sandbox.write("work/x", "x");
    let base = image().layer(layer().file("a", "a").zstd()).layer(layer().file("b", "b")).build();
    base.write_layout(&sandbox.work("layout"), None);
    let context = format!("base=oci-layout://{}", sandbox.work("layout").display());
    let types = |format: &str| {
        let args = ["--build-context", &context, "--format", format];
        let made = built(&sandbox, "FROM base\nCOPY x /\n", &args);
        let layers = made.manifest["layers"].as_array().expect("layers").clone();
        let types = layers.iter().map(|l| l["mediaType"].as_str().expect("a type").to_owned());
        (types.collect::<Vec<_>>(), made)
    };
    let docker = "application/vnd.docker.image.rootfs.diff.tar";
    let (found, made) = types("docker");
    assert_eq!(found, [docker, &format!("{docker}.gzip"), docker]);
    assert_eq!(made.layers[0].keys().collect::<Vec<_>>(), ["a"]);
    let oci = "application/vnd.oci.image.layer.v1.tar";
    assert_eq!(types("oci").0, [&format!("{oci}+zstd"), &format!("{oci}+gzip"), oci]);
}

#[test]
fn equal_commands_of_builds_at_the_same_time_run_once() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.write("work/v/hold", "");
    sandbox.write("work/v/n", "0\n");
    let count = "n=$(cat /v/n); echo $((n+1)) > /v/n; while test -e /v/hold; do sleep 0.1; done";
    let first = format!("FROM base\nRUN {count}; echo $n > /o\n");
    let two = |file: &str| {
        sandbox.write("work/Dockerfile", file);
        let args = ["build", "--progress", "json", "-v", "./v:/v", "."];
        let one = sandbox.build(args).start();
        let begun = |number: &str| {
            let path = sandbox.work("v/n");
            while std::fs::read_to_string(&path).is_ok_and(|text| text != number) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        };
        begun("1\n");
        let other = sandbox.build(args).start();
        // The lock that is waited with appears before the wait.
        let flights = sandbox.store().join("cache/build/flights");
        let waits = || {
            std::fs::read_dir(&flights).is_ok_and(|entries| {
                entries.flatten().any(|e| e.path().extension().is_some_and(|x| x == "waiting"))
            })
        };
        while !waits() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        std::fs::remove_file(sandbox.work("v/hold")).expect("removed");
        (one.wait(), other.wait())
    };
    let (one, other) = two(&first);
    let (one, other) = (one.success(), other.success());
    assert_eq!(one.stdout, other.stdout);
    assert!(other.stderr.contains("\"event\":\"waiting\""), "{}", other.stderr);
    assert_eq!(std::fs::read_to_string(sandbox.work("v/n")).expect("a file"), "1\n");
    // What one could not make, the other tries.
    sandbox.write("work/v/hold", "");
    sandbox.write("work/v/n", "0\n");
    let (one, other) = two(&format!("FROM base\nRUN {count}; test $n -gt 0\n"));
    one.fails(1);
    other.success();
    assert_eq!(std::fs::read_to_string(sandbox.work("v/n")).expect("a file"), "2\n");
    let left = std::fs::read_dir(sandbox.store().join("cache/build/flights")).expect("a folder");
    assert_eq!(left.count(), 0);
}

#[test]
fn labels_of_bases_and_history_are_left_out_on_demand() {
    let sandbox = Sandbox::new();
    sandbox.write("work/f", "f");
    sandbox.write("work/Dockerfile", "FROM scratch\nLABEL a=1\nCOPY f /f\n");
    build(&sandbox, &["-q", "-t", "base", "."]).success();
    let file = "FROM base AS one\nLABEL b=2\nFROM one\nLABEL c=3\n";
    let labels = |args: &[&str]| built(&sandbox, file, args).config["config"]["Labels"].clone();
    assert_eq!(labels(&[]), json!({"a": "1", "b": "2", "c": "3"}));
    assert_eq!(labels(&["--inherit-labels=true"]), json!({"a": "1", "b": "2", "c": "3"}));
    assert_eq!(labels(&["--inherit-labels=false"]), json!({"c": "3"}));
    assert_eq!(labels(&["--inherit-labels=false", "--label", "d=4"]), json!({"c": "3", "d": "4"}));
    let whole = built(&sandbox, file, &[]);
    assert_eq!(whole.history().len(), 4);
    let without = built(&sandbox, file, &["--omit-history"]);
    assert!(without.config.get("history").is_none() && without.config["created"].is_string());
    assert_eq!(without.layers, whole.layers);
    assert_eq!(built(&sandbox, file, &["--omit-history=false"]).history(), whole.history());
    // What is built on it has its own history alone.
    sandbox.write("work/Dockerfile", file);
    build(&sandbox, &["-q", "--omit-history", "-t", "bare", "."]).success();
    let above = built(&sandbox, "FROM bare\nENV A=1\n", &["--timestamp", "7"]);
    let lines = above.config["history"].as_array().expect("history");
    assert_eq!((lines.len(), &lines[1]["created_by"]), (2, &json!("ENV A=1")));
    assert_eq!(above.config["created"], "1970-01-01T00:00:07Z");
    for (flag, why) in [("--manifest", "not made"), ("--sign-by", "not signed")] {
        build(&sandbox, &[flag, "x", "."]).fails(2).says(why);
    }
}

#[test]
fn commands_can_know_the_host_by_a_name() {
    let Some(sandbox) = sandbox() else { return };
    let args = ["--add-host", "gw:host-gateway", "--no-cache"];
    assert_eq!(output(&sandbox, "grep -cE '^[0-9.]+.gw$' /etc/hosts", &args), "\"1\\n\"");
    let out = build(&sandbox, &[&args[..], &["-q", "--network", "none", "."]].concat()).fails(2);
    out.says("host-gateway");
    build(&sandbox, &["--add-host", "gw", "."]).fails(2).says("add-host");
}

#[test]
fn memory_of_commands() {
    let Some(sandbox) = sandbox() else { return };
    let limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || \
                 cat /sys/fs/cgroup/memory.max";
    assert_eq!(output(&sandbox, &format!("({limit})"), &["--memory", "64m"]), "\"67108864\\n\"");
    // Too much is refused by the kernel.
    sandbox.write(
        "work/Dockerfile",
        "FROM base\nRUN dd if=/dev/zero of=/dev/shm/x bs=1M count=50 2>/dev/null\n",
    );
    build(&sandbox, &["-q", "--memory", "16m", "."]).fails(137);
    // How commands are bounded says nothing about what they make.
    let file = "FROM base\nRUN echo bounded > /o\n";
    assert_eq!(steps(&sandbox, file, &[]), (1, 0));
    assert_eq!(steps(&sandbox, file, &["--memory", "64m"]), (0, 1));
}

#[test]
fn commands_are_in_the_cgroup_that_was_named() {
    let Some(sandbox) = sandbox() else { return };
    let number = own_number(3);
    // systemd's cgroups have names of its own.
    let systemd = Path::new("/run/systemd/system").exists();
    let parent = match systemd {
        true => format!("creeltest{number}.slice"),
        false => format!("creel-test-{number}"),
    };
    sandbox.write("work/Dockerfile", format!("FROM base\nRUN sleep {number}\n"));
    let named = match systemd {
        true => parent.clone(),
        false => format!("/{parent}"),
    };
    let args = ["build", "-q", "--cgroup-parent", &named, "."];
    let mut groups = String::new();
    sandbox.build(args).start().patience(PATIENCE).kill_when(|| {
        let process = sleeper(&number);
        groups = process.map_or(String::new(), |process| {
            std::fs::read_to_string(process.join("cgroup")).unwrap_or_default()
        });
        !groups.is_empty()
    });
    assert!(groups.contains(&format!("/{parent}/")), "{groups}");
    // The command ends with its builder, and its cgroups go with the next build.
    wait_until("the command goes on", || sleeper(&number).is_none());
    sandbox.write("work/Dockerfile", "FROM base\nRUN true\n");
    build(&sandbox, &["-q", "."]).success();
    wait_until("its cgroups stay", || cgroups(&parent).iter().all(|group| is_empty(group)));
    cgroups(&parent).iter().for_each(|group| drop(std::fs::remove_dir(group)));
}

/// Whether a cgroup has no others in it.
fn is_empty(group: &Path) -> bool {
    let mut entries = std::fs::read_dir(group).into_iter().flatten().flatten();
    !entries.any(|entry| entry.path().is_dir())
}
