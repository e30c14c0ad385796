use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::runtime::config::{Container, build};
use crate::runtime::flags::parse_volume;
use crate::runtime::options::{ImageDefaults, RunOptions};
use crate::runtime::user::ResolvedUser;

struct Place {
    dir: tempfile::TempDir,
    options: RunOptions,
    uid: u32,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let options = RunOptions {
            env: vec!["PATH=/none:/bin:/usr/bin".into()],
            workdir: Some("/work".into()),
            ..RunOptions::default()
        };
        Place { dir, options, uid: 0 }
    }

    fn file(self, path: &str, content: &[u8], mode: u32) -> Place {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn find(&self, program: &str) -> Result<(), (u8, String)> {
        self.look(program, Look::InRoot)
    }

    fn look(&self, program: &str, look: Look) -> Result<(), (u8, String)> {
        let options = RunOptions { command: vec![program.into()], ..self.options.clone() };
        let mut host = HostFacts::gather(false).unwrap();
        host.architecture = "amd64".into();
        let user = ResolvedUser { uid: self.uid, groups: vec![50], ..ResolvedUser::default() };
        let container = Container { id: "a".repeat(64), user, ..Container::default() };
        let spec = build(&options, &ImageDefaults::default(), &host, &container).unwrap().spec;
        let root = Root::open(self.dir.path()).unwrap();
        find_program(&root, &spec, &host, look, &|header| header.starts_with(b"known"))
            .map_err(|error| (error.code, error.reason))
    }
}

/// A 64-bit little-endian program for `machine` that asks for `loader`.
fn elf(machine: u16, loader: &str) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = u8::from(!loader.is_empty());
    let mut segment = vec![0; 56];
    segment[0] = 3;
    segment[8] = 120;
    segment[32] = loader.len() as u8 + 1;
    bytes.extend(segment);
    bytes.extend(loader.as_bytes());
    bytes.push(0);
    bytes
}

fn cannot(code: u8, reason: &str) -> Result<(), (u8, String)> {
    Err((code, reason.to_owned()))
}

#[test]
fn programs_that_run() {
    let place = Place::new()
        .file("bin/static", &elf(62, ""), 0o755)
        .file("bin/dynamic", &elf(62, "/lib/ld.so"), 0o755)
        .file("bin/old", &elf(3, ""), 0o755)
        .file("lib/ld.so", &elf(62, ""), 0o755)
        .file("usr/bin/script", b"#! /bin/static -x\necho", 0o755)
        .file("work/here", b"#!../bin/static\n", 0o755)
        .file("bin/known", b"known format", 0o755);
    symlink("/bin/static", place.dir.path().join("usr/bin/link")).unwrap();
    for name in [
        "static",
        "dynamic",
        "old",
        "script",
        "/bin/static",
        "./here",
        "here/../here",
        "known",
        "link",
        "../bin/static",
    ] {
        assert_eq!(place.find(name), Ok(()), "{name}");
    }
}

#[test]
fn programs_that_are_not_there() {
    let place = Place::new();
    symlink("/etc/hostname", place.dir.path().join("outside")).unwrap();
    assert_eq!(
        place.find("nope"),
        cannot(127, "exec: \"nope\": executable file not found in $PATH")
    );
    for name in ["/bin/nope", "./nope", "/outside", "/outside/x"] {
        let reason = format!("exec: {name:?}: no such file or directory");
        assert_eq!(place.find(name), cannot(127, &reason), "{name}");
    }
}

#[test]
fn programs_that_cannot_run() {
    let place = Place::new()
        .file("bin/arm", &elf(183, ""), 0o755)
        .file("bin/odd", &elf(999, ""), 0o755)
        .file("bin/noloader", &elf(62, "/lib/ld-linux.so.2"), 0o755)
        .file("bin/script", b"#!/bin/bash\n", 0o755)
        .file("bin/viaarm", b"#!/bin/arm\n", 0o755)
        .file("bin/loop", b"#!/bin/loop\n", 0o755)
        .file("bin/empty", b"", 0o755)
        .file("bin/text", b"echo hello\n", 0o755)
        .file("bin/noname", b"#!  \n", 0o755)
        .file("bin/plain", &elf(62, ""), 0o644);
    let deep = "exec: \"/bin/loop\": its interpreter: ".repeat(3);
    for (name, reason) in [
        ("arm", "exec: \"arm\": exec format error: built for arm64, this host is amd64"),
        (
            "odd",
            "exec: \"odd\": exec format error: built for another processor, this host is amd64",
        ),
        ("noloader", "exec: \"noloader\": its interpreter /lib/ld-linux.so.2 is missing"),
        ("script", "exec: \"script\": its interpreter /bin/bash is missing"),
        (
            "viaarm",
            "exec: \"viaarm\": its interpreter: exec: \"/bin/arm\": exec format error: built for \
             arm64, this host is amd64",
        ),
        (
            "loop",
            &format!(
                "exec: \"loop\": its interpreter: {deep}exec: \"/bin/loop\": too many levels of interpreters"
            ),
        ),
        ("empty", "exec: \"empty\": exec format error: neither a program nor a script"),
        ("text", "exec: \"text\": exec format error: neither a program nor a script"),
        ("noname", "exec: \"noname\": exec format error: the interpreter after #! is not a path"),
        ("plain", "exec: \"plain\": permission denied"),
        ("/bin/plain", "exec: \"/bin/plain\": permission denied"),
        ("/bin", "exec: \"/bin\": is a directory"),
    ] {
        assert_eq!(place.find(name), cannot(126, reason), "{name}");
    }
}

#[test]
fn permission_is_the_user_s() {
    let mut place = Place::new()
        .file("bin/others", &elf(62, ""), 0o701)
        .file("bin/owners", &elf(62, ""), 0o700)
        .file("usr/bin/owners", &elf(62, ""), 0o711);
    place.uid = 1000;
    assert_eq!(place.find("others"), Ok(()));
    assert_eq!(place.find("/bin/owners"), cannot(126, "exec: \"/bin/owners\": permission denied"));
    // The search goes on behind what may not be run.
    assert_eq!(place.find("owners"), Ok(()));
}

#[test]
fn nothing_is_claimed_about_mounts() {
    let mut place = Place::new().file("tools/x", b"", 0o644).file("bin/sh", b"text", 0o755);
    place.options.mounts = vec![parse_volume("/opt:/tools", Path::new("/")).unwrap()];
    for name in ["/tools/x", "/tools/none", "none", "/elsewhere/none"] {
        assert_eq!(place.find(name), Ok(()), "{name}");
    }
    assert_eq!(place.find("sh").unwrap_err().0, 126);
    assert_eq!(place.find("/proc/self/exe"), Ok(()));
}

#[test]
fn broken_headers_are_no_trouble() {
    for cut in 0..80 {
        let bytes = elf(62, "/lib/ld.so");
        let place = Place::new().file("bin/cut", &bytes[..cut], 0o755);
        let _ = place.find("cut");
    }
    let mut endless = elf(62, "/x");
    endless[56] = 0xff;
    endless[57] = 0xff;
    endless[54] = 0;
    endless[64] = 1;
    assert_eq!(Place::new().file("bin/e", &endless, 0o755).find("e"), Ok(()));
}

#[test]
fn mounts_are_looked_through_when_the_runtime_has_failed() {
    let source = tempfile::tempdir().unwrap();
    let tool = source.path().join("tool");
    std::fs::write(&tool, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/bin/sh", source.path().join("out")).unwrap();
    symlink("../bin/./none", source.path().join("nowhere")).unwrap();
    symlink("round", source.path().join("round")).unwrap();
    let mut place = Place::new().file("bin/sh", &elf(62, ""), 0o755);
    symlink("/opt/tool", place.dir.path().join("bin/in")).unwrap();
    let volume = format!("{}:/opt", source.path().display());
    place.options.mounts = vec![parse_volume(&volume, Path::new("/")).unwrap()];
    for (program, found) in [
        ("/opt/tool", Ok(())),
        ("/opt/out", Ok(())),
        ("/bin/in", Ok(())),
        ("/opt/../bin/sh", Ok(())),
        ("/opt/none", cannot(127, "exec: \"/opt/none\": no such file or directory")),
        ("/opt/nowhere", cannot(127, "exec: \"/opt/nowhere\": no such file or directory")),
        ("none", cannot(127, "exec: \"none\": executable file not found in $PATH")),
        // Nobody can look into what the kernel makes.
        ("/proc/self/exe", Ok(())),
    ] {
        assert_eq!(place.look(program, Look::ThroughMounts), found, "{program}");
        assert_eq!(place.find(program), Ok(()), "{program}");
    }
    let (code, _) = place.look("/opt/round", Look::ThroughMounts).unwrap_err();
    assert_eq!(code, 126);
}
