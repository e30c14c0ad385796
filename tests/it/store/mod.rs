//! The local store as programs see it: trees against the peers', power cuts, small disks, many
//! processes.

mod disks;
mod peers;
mod powercut;
mod stress;
mod verbs;

use std::path::{Path, PathBuf};
use std::process::Command;

/// How much longer than usual tests shall run.
pub(super) fn soak() -> bool {
    std::env::var_os("CREEL_SOAK").is_some_and(|value| value == "1")
}

/// Runs a tool of the host; its standard output.
#[track_caller]
pub(super) fn tool<const N: usize>(program: &str, args: [&str; N]) -> String {
    let output = Command::new(crate::support::peers::find(program).expect(program))
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {} {said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A file system in a file, mounted until it is dropped.
pub(super) struct Disk {
    pub(super) place: PathBuf,
}

impl Disk {
    /// Mounts the file `image`, which holds a file system of this type.
    pub(super) fn mount(image: &Path, place: &Path, kind: &str, options: &str) -> Disk {
        std::fs::create_dir_all(place).expect("a directory");
        let options = format!("loop,{options}");
        let (from, to) = (image.to_str().expect("text"), place.to_str().expect("text"));
        tool("mount", ["-t", kind, "-o", &options, from, to]);
        Disk { place: place.to_owned() }
    }

    /// A new file system of so many MiB.
    pub(super) fn make(image: &Path, place: &Path, kind: &str, mib: u64, options: &str) -> Disk {
        let file = std::fs::File::create(image).expect("a file");
        file.set_len(mib << 20).expect("room");
        let path = image.to_str().expect("text");
        match kind {
            "ext4" => tool("mkfs.ext4", ["-q", "-F", path]),
            _ => tool("mkfs.xfs", ["-q", "-f", path]),
        };
        Disk::mount(image, place, kind, options)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The sandbox may have done so already.
        let _ = Command::new("umount").arg("-q").arg(&self.place).status();
    }
}
