//! A store with an image in it, and what must be left of runs: nothing.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::image::{ImageBuilder, Layer, image, layer};
use crate::support::program::{Invocation, Sandbox};

/// What the image's shell can do.
const APPLETS: &[&str] = &[
    "awk", "cat", "chmod", "cp", "cut", "date", "dd", "df", "echo", "env", "false", "find", "grep",
    "head", "hostname", "id", "ip", "kill", "ln", "ls", "mkdir", "mkfifo", "mknod", "mount", "mv",
    "nc", "nslookup", "od", "ping", "printf", "ps", "pwd", "readlink", "rm", "rmdir", "seq", "sh",
    "sleep", "sort", "stat", "stty", "sync", "tail", "test", "timeout", "touch", "tr", "true",
    "tty", "umount", "uname", "wc", "wget", "whoami", "yes",
];

pub const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/usr/sbin:/bin/sh\n\
                          web:x:1000:1001::/home/web:/bin/sh\n";
pub const GROUP: &str = "root:x:0:\ndaemon:x:1:\nwww:x:1001:\naudio:x:29:web\nvideo:x:44:web\n";

/// A file system with busybox and two account files.
pub fn busybox() -> Layer {
    let binary = fs::read("/bin/busybox").expect("/bin/busybox");
    let mut layer = layer()
        .dir("bin")
        .file("bin/busybox", binary)
        .mode(0o755)
        .dir("etc")
        .file("etc/passwd", PASSWD)
        .file("etc/group", GROUP)
        .dir("tmp")
        .mode(0o1777)
        .dir("root")
        .mode(0o700);
    for applet in APPLETS {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    layer
}

/// An image of that.
pub fn base() -> ImageBuilder {
    image().layer(busybox()).env("PATH", "/bin").cmd(["/bin/sh"])
}

/// A sandbox with a store.
pub struct Machine {
    pub sandbox: Sandbox,
}

impl Machine {
    /// With [`base`] in the store as `app`.
    pub fn new() -> Machine {
        Machine::with(base())
    }

    /// With this image in the store as `app`.
    pub fn with(image: ImageBuilder) -> Machine {
        let machine = Machine { sandbox: Sandbox::new() };
        machine.add("app", image);
        machine
    }

    /// Brings an image into the store.
    pub fn add(&self, name: &str, image: ImageBuilder) {
        let layout = self.sandbox.path(&format!("layout-{name}"));
        image.build().write_layout(&layout, Some("x"));
        let (from, to) = (format!("oci:{}:x", layout.display()), format!("store:{name}"));
        self.sandbox.copy(["--all", &from, &to]).run().success();
    }

    /// `creel-run` with these words.
    pub fn creel<I: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = I>) -> Invocation {
        self.sandbox.container(words).env("CREEL_STATE", self.state())
    }

    /// `creel-run --rm --network none FLAGS app COMMAND`.
    pub fn run(&self, flags: &[&str], command: &[&str]) -> Invocation {
        let words = ["--rm", "--network", "none"];
        self.creel(words.iter().chain(flags).chain(&["app"]).chain(command))
    }

    /// What a shell script says with these flags, whose code must be 0.
    pub fn shell(&self, flags: &[&str], script: &str) -> String {
        self.run(flags, &["sh", "-c", script]).run().success().stdout
    }

    /// A volume flag and the beginning of a script: so many containers wait there for each other.
    pub fn meeting(&self, count: usize) -> (String, String) {
        use std::os::unix::fs::PermissionsExt;
        let place = self.sandbox.path("meeting");
        fs::create_dir(&place).expect("a directory");
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).expect("a mode");
        let all = format!("test $(ls /meeting | wc -l) -ge {count}");
        let script = format!("touch /meeting/$(hostname); until {all}; do sleep 0.05; done");
        (format!("--volume={}:/meeting", place.display()), script)
    }

    pub fn state(&self) -> PathBuf {
        self.sandbox.path("state")
    }

    /// What runs have left anywhere: state, containers, mounts, processes, cgroups.
    pub fn left(&self) -> Vec<String> {
        let names = |path: &Path| {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.path().display().to_string()).collect::<Vec<_>>()
        };
        let mut left = names(&self.state().join("containers"));
        left.extend(names(&self.state().join("runtime")));
        left.extend(names(&self.sandbox.store().join("containers")));
        left.extend(names(&self.sandbox.store().join("tmp")));
        left.extend(self.sandbox.mounts().iter().map(|mount| mount.display().to_string()));
        left
    }

    #[track_caller]
    pub fn nothing_left(&self) {
        assert_eq!(self.left(), Vec::<String>::new());
    }
}

/// Everything that a container of ours needs.
macro_rules! need_containers {
    () => {
        crate::support::peers::need!("root", "runc", "busybox", "overlay");
    };
}
pub(crate) use need_containers;
