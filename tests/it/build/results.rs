//! Where results go besides the store.

use serde_json::{Value, json};

use super::result::{Made, build};
use crate::support::peers;
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

const FILE: &str = "FROM scratch\nCOPY a /d/a\nCOPY b /d/b\nCMD [\"/d/a\"]\n";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("work/a", "a");
    sandbox.write("work/b", "b");
    sandbox.write("work/Dockerfile", FILE);
    sandbox
}

fn config_of(sandbox: &Sandbox, place: &str) -> Value {
    let out = sandbox.inspect(["--config", "--raw", place]).run().success();
    serde_json::from_str(&out.stdout).expect("JSON")
}

#[test]
fn layouts_and_archives() {
    let sandbox = sandbox();
    let args = [
        "-q",
        "-t",
        "app",
        "-o",
        "type=oci,dest=a.tar",
        "-o",
        "type=oci,dest=l,tar=false",
        "-o",
        "type=docker,dest=d.tar,name=app:1",
        "-o",
        "oci:l2:x",
        ".",
    ];
    let digest = build(&sandbox, &args).success().stdout.trim().to_owned();
    let stored =
        Made::of(&sandbox, sandbox.copy(["digest", "store:app"]).run().success().stdout.trim());
    for place in ["oci-archive:a.tar", "oci:l", "docker-archive:d.tar:app:1", "oci:l2:x"] {
        assert_eq!(config_of(&sandbox, place), stored.config, "{place}");
    }
    // What was given last is what the digest is of: compressed, so another than the store's.
    assert_eq!(sandbox.copy(["digest", "oci:l2:x"]).run().success().stdout.trim(), digest);
    let out = sandbox.inspect(["--raw", "oci:l2:x"]).run().success();
    let manifest: Value = serde_json::from_str(&out.stdout).expect("JSON");
    let gzip = json!("application/vnd.oci.image.layer.v1.tar+gzip");
    assert!(manifest["layers"].as_array().expect("layers").iter().all(|l| l["mediaType"] == gzip));
}

#[test]
fn a_registry_gets_what_is_named() {
    let sandbox = sandbox();
    let registry = TestRegistry::start();
    let name = format!("{}/app:1", registry.host());
    let args = ["-q", "--push", "-t", &name, "--metadata-file", "meta", "."];
    let digest = build(&sandbox, &args).success().stdout.trim().to_owned();
    let place = format!("docker://{name}");
    let args = ["digest", &place];
    assert_eq!(sandbox.copy(args).run().success().stdout.trim(), digest);
    let meta = std::fs::read_to_string(sandbox.work("meta")).expect("a file");
    let meta: Value = serde_json::from_str(&meta).expect("JSON");
    assert_eq!(meta["containerimage.digest"], json!(digest));
    // The verb does the same, to another name.
    let other = format!("docker://{}/other:2", registry.host());
    let args = ["push", &name, &other, "--digestfile", "d"];
    let pushed = sandbox.build(args).run().success().stdout.trim().to_owned();
    assert_eq!(pushed, digest);
    assert_eq!(std::fs::read_to_string(sandbox.work("d")).expect("a file"), digest);
    build(&sandbox, &["-q", "--push", "."]).fails(2);
    sandbox.build(["push", "nothing/there:1", "oci:nowhere"]).run().fails(3);
}

#[test]
fn the_files_alone() {
    if !peers::have(&["root"]) {
        return;
    }
    let sandbox = sandbox();
    build(&sandbox, &["-q", "-o", "out", "-o", "type=tar,dest=t.tar", "."]).success();
    assert_eq!(std::fs::read(sandbox.work("out/d/b")).expect("a file"), b"b");
    let file = std::fs::File::open(sandbox.work("t.tar")).expect("a file");
    let mut archive = tar::Archive::new(file);
    let entries = archive.entries().expect("entries");
    let names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string())
        .collect();
    assert_eq!(names, ["d/", "d/a", "d/b"]);
    // Nobody asked for an image.
    assert_eq!(sandbox.inspect(["images", "-q"]).run().success().stdout, "");
    assert!(sandbox.mounts().is_empty());
    build(&sandbox, &["-q", "-o", "type=nonsense", "."]).fails(2);
}

/// A directory is reached by everybody on the machine, an archive is not unpacked yet.
#[test]
fn a_directory_gets_no_rights_unless_asked_for() {
    if !peers::have(&["root"]) {
        return;
    }
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let sandbox = Sandbox::new();
    let base =
        crate::support::image::layer().file("suid", "1").mode(0o4755).char_device("null", 1, 3);
    crate::support::image::image().layer(base).build().write_layout(&sandbox.work("l"), Some("1"));
    sandbox.copy(["oci:l:1", "store:base:1"]).run().success();
    sandbox.write("work/Dockerfile", "FROM base:1\n");
    let mode = |path: &str| {
        std::fs::metadata(sandbox.work(path)).expect("a file").permissions().mode() & 0o7777
    };
    for (number, output) in
        ["out0", "type=local,dest=out1", "type=local,dest=out2,keep-special=false"]
            .into_iter()
            .enumerate()
    {
        build(&sandbox, &["-o", output, "."])
            .success()
            .says("1 files lost set-id bits or capabilities (keep-special=true keeps them)")
            .says("1 device nodes were left out (keep-special=true keeps them)");
        assert_eq!(mode(&format!("out{number}/suid")), 0o755, "{output}");
        assert!(!std::fs::exists(sandbox.work(&format!("out{number}/null"))).expect("known"));
    }
    build(&sandbox, &["-o", "type=local,dest=all,keep-special=true", "."]).success().hides("lost");
    assert_eq!(mode("all/suid"), 0o4755);
    let device = std::fs::symlink_metadata(sandbox.work("all/null")).expect("a device");
    assert!(device.file_type().is_char_device());
    build(&sandbox, &["-q", "-o", "type=tar,dest=t.tar", "."]).success();
    let file = std::fs::File::open(sandbox.work("t.tar")).expect("a file");
    let mut archive = tar::Archive::new(file);
    let entries = archive.entries().expect("entries").map(|entry| entry.expect("an entry"));
    let modes: Vec<u32> = entries.map(|entry| entry.header().mode().expect("a mode")).collect();
    assert_eq!(modes.len(), 2);
    assert!(modes.contains(&0o4755), "{modes:?}");
}

#[test]
fn archives_are_unpacked_by_add_alone() {
    let sandbox = sandbox();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o640);
    header.set_uid(7);
    header.set_gid(8);
    tar.append_data(&mut header, "x/f", &b"f"[..]).expect("an entry");
    let plain = tar.into_inner().expect("an archive");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).expect("written");
    sandbox.write("work/a.tar.gz", gzip.finish().expect("compressed"));
    sandbox.write("work/broken.tar.gz", b"\x1f\x8b\x08not really");
    let top = |instruction: &str| {
        let made = super::result::built(&sandbox, &format!("FROM scratch\n{instruction}\n"), &[]);
        made.top()
    };
    let unpacked = ["d/ 755 0:0 dir", "d/x/ 755 0:0 dir", "d/x/f 640 7:8 \"f\""];
    assert_eq!(top("ADD a.tar.gz /d/"), unpacked);
    assert_eq!(top("ADD a.tar.gz /d"), unpacked);
    assert_eq!(top("ADD --chown=1:2 a.tar.gz /d")[2], "d/x/f 640 1:2 \"f\"");
    assert_eq!(top("ADD --unpack=false a.tar.gz /d/").len(), 2);
    assert_eq!(top("COPY a.tar.gz /d/").len(), 2);
    assert!(top("ADD broken.tar.gz /d/")[1].starts_with("d/broken.tar.gz 644"));
}

#[test]
fn what_made_a_step_miss_is_told() {
    let sandbox = sandbox();
    let why = |file: &str, args: &[&str]| {
        sandbox.write("work/Dockerfile", file);
        let out = build(&sandbox, &[args, &["--explain", "."]].concat()).success();
        let lines = out.stderr.lines().filter_map(|line| line.split_once("made because "));
        lines.map(|(_, why)| why.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(why(FILE, &[]), ["it was never made here"; 2]);
    assert!(why(FILE, &[]).is_empty());
    sandbox.write("work/b", "changed");
    assert_eq!(why(FILE, &[]), ["/b is different"]);
    assert_eq!(why(&FILE.replace("/d/b", "/d/c"), &[]), ["the destination is different"]);
    assert_eq!(
        why(&FILE.replace("COPY a", "COPY --chown=1 a"), &[]),
        ["a flag is different", "what is below is different"]
    );
    assert_eq!(why(FILE, &["--no-cache"]), ["--no-cache says so"; 2]);
}

#[test]
fn stages_are_made_side_by_side() {
    let sandbox = sandbox();
    let mut file = String::new();
    for stage in 0..8 {
        file.push_str(&format!("FROM scratch AS s{stage}\nCOPY a /{stage}\n"));
    }
    file.push_str("FROM s7\nCOPY b /b\nLABEL x=y\n");
    let first = super::result::steps(&sandbox, &file, &[]);
    assert_eq!(first, (2, 0), "unused stages are not made");
    let failing = "FROM scratch AS a\nCOPY missing /\nFROM scratch AS b\nCOPY a /\nFROM b\nCOPY --from=a / /\n";
    sandbox.write("work/Dockerfile", failing);
    let out = build(&sandbox, &["-q", "."]).fails(3);
    assert!(out.stderr.contains("/missing is not in the build context"), "{}", out.stderr);
}

#[test]
fn further_contexts_stand_for_names() {
    let sandbox = sandbox();
    sandbox.write("work/more/x", "x");
    sandbox.write("work/more/left", "l");
    sandbox.write("work/more/.dockerignore", "left\n.dockerignore\n");
    sandbox.write("work/base/Dockerfile", "FROM scratch\nENV B=1\nLABEL from=base\n");
    build(&sandbox, &["-q", "-t", "other", "base"]).success();
    let file = "FROM golang AS g\nCOPY --from=more . /m$B\nCOPY a /\n";
    let args = ["--build-context", "more=more", "--build-context", "golang=docker-image://other"];
    let made = super::result::built(&sandbox, file, &args);
    assert_eq!(made.layers[0].keys().collect::<Vec<_>>(), ["m1/", "m1/x"]);
    assert_eq!(made.config["config"]["Labels"], json!({"from": "base"}));
    assert_eq!(super::result::steps(&sandbox, file, &args), (0, 2));
}
