//! buildah as a judge: what both know, both build the same.
//!
//! Files, config and the order of history are compared, in both directions; umoci unpacks both
//! images, so that neither builder judges itself. Left out are the times of directories, and what
//! buildah 1.28 does otherwise on purpose or by age: `docs/differences.md`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::result::build;
use super::run;
use crate::support::content::sha256;
use crate::support::git::TIME;
use crate::support::peers;
use crate::support::program::Sandbox;

/// Dockerfiles on `base`, which has busybox, and the context that [`sandbox`] writes.
const FILES: [(&str, &str); 14] = [
    ("copies", "COPY a /a\nCOPY a b dir/sub /d/\nCOPY dir /e\nCOPY dir/ /g/h\n"),
    ("wildcards", "COPY *.txt /t/\nCOPY d?r/sub/[xy] /u/\nCOPY dir/*/x /v/\n"),
    ("owners", "COPY --chown=5:6 a /n/a\nCOPY --chown=app:web dir /o\nCOPY --chown=7 b /p\n"),
    ("modes", "COPY --chmod=600 a /a\nCOPY --chmod=0751 b /etc/b\n"),
    ("links", "COPY links /l\nCOPY links/to-file /f\nRUN ln -s /l /m\nCOPY a /m/a\n"),
    ("archives", "ADD files.tar.gz /x\nADD files.tar.gz a /y/\nCOPY files.tar.gz /z/\n"),
    ("working directories", "WORKDIR /w\nCOPY a .\nWORKDIR sub\nRUN pwd > o\nCOPY b ./c/\n"),
    (
        "commands",
        "RUN echo a > /a && mkdir -p /b/c && ln -s a /b/l\nRUN rm -r /b && chmod 700 /a\n\
         RUN [\"touch\", \"/x y\"]\nRUN mkdir /b && touch /b/new && rm /etc/group\n",
    ),
    (
        "variables",
        "ARG A=1\nARG B\nENV C=$A D=\"x $C\" E=${B:-none}\nENV C=2\n\
         RUN echo $A $B $C $D $E > /o\nCOPY $A* /$C/\nLABEL l=$C\n",
    ),
    (
        "config",
        "CMD [\"a\", \"b\"]\nENTRYPOINT [\"/e\"]\nEXPOSE 80 53/udp\nVOLUME /v /w\nUSER app\n\
         STOPSIGNAL SIGINT\nLABEL a=b c=\"d e\"\nHEALTHCHECK --interval=3s --retries=2 CMD true\n\
         ONBUILD RUN x\nMAINTAINER me\nCMD c\nSHELL [\"/bin/sh\", \"-ec\"]\n",
    ),
    ("users", "USER app\nRUN id > /tmp/o || true\nUSER 0\nRUN id -u > /o\n"),
    ("triggers", "ONBUILD COPY a /later\nONBUILD LABEL x=y\nRUN touch /now\n"),
    (
        "mounts",
        "RUN --mount=type=bind,source=dir,target=/m cat /m/sub/x > /o\n\
         RUN --mount=type=tmpfs,target=/t touch /t/x\n",
    ),
    ("removals", "COPY dir /d\nRUN rm -r /d/sub && echo n > /d/sub\nRUN rm -rf /d\nCOPY a /d/a\n"),
];

fn sandbox() -> Option<Sandbox> {
    if !peers::have(&["buildah", "umoci"]) {
        return None;
    }
    let sandbox = run::sandbox()?;
    for (name, text) in [
        ("a", "a"),
        ("b", "b"),
        ("1", "1"),
        ("one.txt", "1"),
        ("two.txt", "2"),
        ("dir/sub/x", "x"),
        ("dir/sub/y", "y"),
        ("dir/f", "f"),
        ("links/file", "l"),
    ] {
        sandbox.write(&format!("work/{name}"), text);
    }
    std::os::unix::fs::symlink("file", sandbox.work("links/to-file")).expect("a link");
    std::os::unix::fs::symlink("/nowhere", sandbox.work("links/dangling")).expect("a link");
    let mut folders = vec![sandbox.work("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let meta = path.symlink_metadata().expect("metadata");
            if meta.is_dir() {
                folders.push(path);
            } else if meta.is_file() {
                // buildah rounds what is between two seconds.
                let time = UNIX_EPOCH + Duration::from_secs(TIME);
                let file = std::fs::File::open(path).expect("a file");
                file.set_modified(time).expect("a time");
            }
        }
    }
    sandbox.command("tar", ["-czf", "files.tar.gz", "dir"]).run().success();
    let archive = std::fs::File::open(sandbox.work("files.tar.gz")).expect("a file");
    archive.set_modified(UNIX_EPOCH + Duration::from_secs(TIME)).expect("a time");
    let name = "docker-archive:base.tar:localhost/base:latest";
    sandbox.copy(["store:base", name]).run().success();
    peers::buildah(&sandbox, ["pull", "-q", "docker-archive:base.tar"]).run().success();
    Some(sandbox)
}

/// What is at every path: kind, mode, owner and content.
fn tree(root: &Path) -> BTreeMap<String, String> {
    use std::os::unix::fs::MetadataExt;
    let mut out = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let meta = path.symlink_metadata().expect("metadata");
            let what = match () {
                () if meta.is_symlink() => {
                    format!("-> {}", std::fs::read_link(&path).expect("a link").display())
                }
                () if meta.is_dir() => {
                    folders.push(path.clone());
                    "dir".to_owned()
                }
                () => {
                    let content = std::fs::read(&path).expect("a file");
                    let copied = if meta.mtime() == TIME as i64 { "copied" } else { "made" };
                    format!("{copied} {}", sha256(&content))
                }
            };
            let name = path.strip_prefix(root).expect("a path below").display().to_string();
            out.insert(name, format!("{:o} {}:{} {what}", meta.mode(), meta.uid(), meta.gid()));
        }
    }
    out
}

/// The files of an image in a layout.
fn files(sandbox: &Sandbox, layout: &str) -> BTreeMap<String, String> {
    let (image, bundle) = (format!("{layout}:x"), format!("{layout}-bundle"));
    peers::umoci(sandbox, ["unpack", "--image", &image, &bundle]).run().success();
    let mut tree = tree(&sandbox.work(&bundle).join("rootfs"));
    // buildah 1.28 leaves its mount points in the layer.
    for left in ["dev", "proc", "sys", "run", "etc/hosts", "etc/hostname", "etc/resolv.conf"] {
        tree.remove(left);
    }
    for name in [&bundle, layout] {
        std::fs::remove_dir_all(sandbox.work(name)).expect("removed");
    }
    tree
}

/// What a config says, in the order of history and without what only buildah writes.
fn told(config: &Value) -> (BTreeMap<String, Value>, Vec<String>) {
    let inner = config["config"].as_object().expect("a config");
    let mut fields = BTreeMap::new();
    for (name, value) in inner {
        let mut value = value.clone();
        if let Some(labels) = value.as_object_mut() {
            labels.remove("io.buildah.version");
        }
        let nothing = match &value {
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::String(text) => text.is_empty() || name == "Hostname",
            other => other.is_null() || *other == json!(false),
        };
        if !nothing {
            fields.insert(name.clone(), value);
        }
    }
    for name in ["architecture", "os", "author"] {
        fields.insert(name.to_owned(), config[name].clone());
    }
    let lines = config["history"].as_array().expect("history").iter();
    let lines = lines.map(|line| {
        let text = line["created_by"].as_str().expect("created_by");
        let text = match text.split_once("#(nop)") {
            Some((_, rest)) => rest.trim_start(),
            None if text.starts_with("/bin/sh") || text.starts_with('|') => "RUN",
            None => text,
        };
        text.split(' ').next().unwrap_or_default().to_owned()
    });
    // BuildKit has no line for triggers.
    (fields, lines.filter(|word| word != "ONBUILD").collect())
}

#[test]
fn both_build_the_same() {
    let Some(sandbox) = sandbox() else { return };
    for (name, text) in FILES {
        sandbox.write("Dockerfile", format!("FROM base\n{text}"));
        let file = sandbox.path("Dockerfile").display().to_string();
        let args = ["-q", "-f", &file, "-t", "ours", "-o", "oci:ours:x", "."];
        build(&sandbox, &args).success();
        let args = ["bud", "-q", "--layers=false", "--format=docker", "-f", &file, "-t", "theirs"];
        peers::buildah(&sandbox, args).arg(".").run().success();
        let args = ["push", "-q", "--format=oci", "theirs", "oci:theirs:x"];
        peers::buildah(&sandbox, args).run().success();
        let out = sandbox.inspect(["--config", "--raw", "oci:ours:x"]).run().success();
        let ours: Value = serde_json::from_str(&out.stdout).expect("JSON");
        let args = ["inspect", "--type=image", "theirs"];
        let theirs = peers::buildah(&sandbox, args).run().success().json();
        assert_eq!(told(&ours), told(&theirs["Docker"]), "{name}");
        let (ours, theirs) = (files(&sandbox, "ours"), files(&sandbox, "theirs"));
        let all: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for path in all {
            assert_eq!(ours.get(path), theirs.get(path), "{name}: {path}");
        }
        assert!(ours.len() > 10, "{name}");
    }
}
