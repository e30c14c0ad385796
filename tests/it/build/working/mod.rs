//! Images without a Dockerfile: `from`, `copy`, `config`, `run`, `commit` and the rest.

mod commands;
mod config;
mod elsewhere;
mod files;
mod keeping;
mod mounts;
mod peers;

use super::result::{Made, build};
use crate::support::peers as others;
use crate::support::program::Sandbox;

/// One verb that succeeds; what it printed.
#[track_caller]
fn verb(sandbox: &Sandbox, args: &[&str]) -> String {
    sandbox.build(args).run().success().stdout.trim_end().to_owned()
}

/// Commits a container; the image.
#[track_caller]
fn commit(sandbox: &Sandbox, args: &[&str]) -> Made {
    Made::of(sandbox, &verb(sandbox, &[&["commit"], args].concat()))
}

/// A store with an image `base` of two layers; `None` where containers cannot be mounted.
fn with_base() -> Option<Sandbox> {
    if !others::have(&["root", "overlay"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.write("work/base/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:5:6::/:/bin/sh\n");
    sandbox.write("work/base/etc/group", "root:x:0:\nweb:x:9:app\n");
    sandbox.write("work/base/old", "old");
    sandbox.write(
        "work/base/Dockerfile",
        "FROM scratch\nCOPY etc /etc\nCOPY old /d/old\nENV A=1\nCMD [\"/d/old\"]\nLABEL l=1\n",
    );
    build(&sandbox, &["-q", "-t", "base", "base"]).success();
    std::fs::remove_dir_all(sandbox.work("base")).expect("removed");
    Some(sandbox)
}

/// The same with busybox for commands; `None` where they cannot be run.
pub(super) fn with_commands() -> Option<Sandbox> {
    if !others::have(&["root", "overlay", "runc", "busybox"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    let busybox = others::find("busybox").expect("busybox");
    std::fs::create_dir_all(sandbox.work("base")).expect("a folder");
    std::fs::copy(busybox, sandbox.work("base/busybox")).expect("copied");
    sandbox.write("work/base/passwd", "root:x:0:0::/root:/bin/sh\napp:x:5:6::/:/bin/sh\n");
    sandbox.write(
        "work/base/Dockerfile",
        "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\nCOPY passwd /etc/\n\
         ENV PATH=/bin\nRUN busybox --install -s /bin\n",
    );
    build(&sandbox, &["-q", "-t", "base", "base"]).success();
    std::fs::remove_dir_all(sandbox.work("base")).expect("removed");
    Some(sandbox)
}
