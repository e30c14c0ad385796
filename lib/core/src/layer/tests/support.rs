//! Archives made in code, a place to unpack them, and trees as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::tar::{Entry, EntryKind, TarWriter};
use super::super::{Ownership, UnpackOptions, UnpackReport, Unpacker, WhiteoutForm, differences};
use crate::error::Result;
use crate::sys::{Device, Dir, FileKind, Meta, Root, Time, effective_ids};

/// Whether this process may do what only root may; says so when not.
pub(super) fn is_root() -> bool {
    let root = effective_ids().0 == 0;
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// What this process may ask for: as root the defaults.
pub(super) fn options() -> UnpackOptions {
    if effective_ids().0 == 0 {
        return UnpackOptions::default();
    }
    UnpackOptions {
        whiteouts: WhiteoutForm::OverlayUser,
        ownership: Ownership::Current,
        ..UnpackOptions::default()
    }
}

/// An archive in the making: entries in order, without the end mark.
#[derive(Clone, Default)]
pub(super) struct Archive(Vec<u8>);

pub(super) fn archive() -> Archive {
    Archive::default()
}

pub(super) fn entry(path: &str, kind: EntryKind) -> Entry {
    let mode = if kind == EntryKind::Directory { 0o755 } else { 0o644 };
    Entry {
        path: path.into(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        size: 0,
        xattrs: Vec::new(),
        unread: Vec::new(),
    }
}

impl Archive {
    pub(super) fn entry(mut self, entry: Entry, content: &[u8]) -> Archive {
        let mut writer = TarWriter::new(Vec::new());
        writer.begin(&Entry { size: content.len() as u64, ..entry }).unwrap();
        writer.content(content).unwrap();
        let bytes = writer.finish().unwrap().0;
        self.0.extend_from_slice(&bytes[..bytes.len() - 1024]);
        self
    }

    pub(super) fn file(self, path: &str, content: &str) -> Archive {
        self.entry(entry(path, EntryKind::File), content.as_bytes())
    }

    pub(super) fn dir(self, path: &str) -> Archive {
        self.entry(entry(path, EntryKind::Directory), b"")
    }

    pub(super) fn symlink(self, path: &str, target: &str) -> Archive {
        self.entry(entry(path, EntryKind::Symlink(target.into())), b"")
    }

    pub(super) fn link(self, path: &str, target: &str) -> Archive {
        self.entry(entry(path, EntryKind::HardLink(target.into())), b"")
    }

    pub(super) fn char(self, path: &str, major: u32, minor: u32) -> Archive {
        self.entry(entry(path, EntryKind::Char(Device { major, minor })), b"")
    }

    /// A header as `edit` leaves it, with a right checksum, and its body.
    pub(super) fn raw(
        mut self,
        typeflag: u8,
        name: &str,
        body: &[u8],
        edit: impl FnOnce(&mut tar::Header),
    ) -> Archive {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(body.len() as u64);
        header.as_old_mut().linkflag = [typeflag];
        edit(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Archive {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A PAX header with these records.
    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Archive {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let digits = if rest + 1 < 10 {
                1
            } else if rest + 2 < 100 {
                2
            } else {
                3
            };
            let digits = if rest + digits >= 1000 { 4 } else { digits };
            body.extend_from_slice(format!("{} {key}=", rest + digits).as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.raw(b'x', "pax", &body, |_| {})
    }

    /// A GNU long name or link target.
    pub(super) fn gnu_long(self, typeflag: u8, name: &[u8]) -> Archive {
        self.raw(typeflag, "././@LongLink", name, |header| *header = gnu(header))
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }

    pub(super) fn unended(self) -> Vec<u8> {
        self.0
    }
}

/// The same header in GNU's dialect.
pub(super) fn gnu(header: &tar::Header) -> tar::Header {
    let mut gnu = tar::Header::new_gnu();
    let old = header.as_old();
    let fields = gnu.as_old_mut();
    (fields.name, fields.mode, fields.uid) = (old.name, old.mode, old.uid);
    (fields.gid, fields.size, fields.mtime) = (old.gid, old.size, old.mtime);
    (fields.linkflag, fields.linkname) = (old.linkflag, old.linkname);
    gnu
}

/// A directory to unpack into, with something beside it that nobody may touch.
pub(super) struct Place {
    temp: TempDir,
}

impl Place {
    pub(super) fn new() -> Place {
        let temp = TempDir::new().unwrap();
        fs::create_dir(temp.path().join("root")).unwrap();
        fs::create_dir(temp.path().join("canary")).unwrap();
        fs::write(temp.path().join("canary/file"), "untouched").unwrap();
        let mode = fs::Permissions::from_mode(0o640);
        fs::set_permissions(temp.path().join("canary/file"), mode).unwrap();
        Place { temp }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.temp.path().join("root")
    }

    /// What stands beside the root.
    pub(super) fn canary(&self) -> String {
        self.temp.path().join("canary").to_str().unwrap().to_owned()
    }

    pub(super) fn unpack_with(&self, bytes: &[u8], options: UnpackOptions) -> Result<UnpackReport> {
        let before = self.outside();
        let root = Root::open(&self.root())?;
        let (limits, compares) = (options.limits.clone(), options.whiteouts != WhiteoutForm::Apply);
        let result = Unpacker::new(root, options)?.unpack(bytes);
        assert_eq!(self.outside(), before, "something outside the root was changed");
        if compares && result.is_ok() {
            let root = Root::open(&self.root())?;
            assert_eq!(differences(&root, bytes, &limits)?, BTreeMap::new());
        }
        result
    }

    pub(super) fn unpack(&self, bytes: &[u8]) -> Result<UnpackReport> {
        self.unpack_with(bytes, options())
    }

    pub(super) fn apply(&self, bytes: &[u8]) -> Result<UnpackReport> {
        self.unpack_with(bytes, UnpackOptions { whiteouts: WhiteoutForm::Apply, ..options() })
    }

    pub(super) fn listing(&self) -> String {
        listing(&self.root())
    }

    fn outside(&self) -> String {
        let mut all = listing(&self.temp.path().join("canary"));
        let mut names: Vec<_> = fs::read_dir(self.temp.path()).unwrap().collect();
        names.sort_by_key(|name| name.as_ref().unwrap().file_name());
        for name in names {
            writeln!(all, "{:?}", name.unwrap().file_name()).unwrap();
        }
        all
    }
}

/// A tree as text, one line for each name: type, mode, owner, size, time if not 1970, name,
/// content or target, attributes.
pub(super) fn listing(path: &Path) -> String {
    let mut text = String::new();
    list(&Dir::open(path).unwrap(), "", &mut text);
    text
}

fn list(dir: &Dir, prefix: &str, text: &mut String) {
    let mut names: Vec<_> = dir.entries().unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    for name in names {
        // Overlayfs lists whiteouts in directories that only one layer has.
        let Some(meta) = dir.lookup(&name).unwrap() else { continue };
        let path = format!("{prefix}{}", name.escape_ascii());
        line(dir, &name, &path, &meta, text);
        if meta.kind == FileKind::Directory {
            list(&dir.open_dir(&name).unwrap(), &format!("{path}/"), text);
        }
    }
}

fn line(dir: &Dir, name: &[u8], path: &str, meta: &Meta, text: &mut String) {
    let Meta { mode, uid, gid, size, mtime, device, .. } = meta;
    let owner =
        if (*uid, *gid) == effective_ids() { String::new() } else { format!(" {uid}:{gid}") };
    let time = match mtime {
        Time { secs: 0, nanos: 0 } => String::new(),
        Time { secs, nanos: 0 } => format!(" @{secs}"),
        Time { secs, nanos } => format!(" @{secs}.{nanos:09}"),
    };
    let links = if meta.links > 1 && meta.kind != FileKind::Directory {
        format!(" x{}", meta.links)
    } else {
        String::new()
    };
    match meta.kind {
        FileKind::Directory => write!(text, "d {mode:04o}{owner}{time} {path}/"),
        FileKind::Symlink => {
            let target = dir.read_link(name).unwrap();
            write!(text, "l{owner}{time}{links} {path} -> {}", target.escape_ascii())
        }
        FileKind::File if *size <= 40 => {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut dir.open_file(name).unwrap(), &mut content).unwrap();
            write!(
                text,
                "f {mode:04o}{owner}{time}{links} {path} {:?}",
                content.escape_ascii().to_string()
            )
        }
        FileKind::File => write!(text, "f {mode:04o}{owner}{time}{links} {path} {size}"),
        FileKind::Char if *device == Device::default() => write!(text, "whiteout {path}"),
        kind => {
            let Device { major, minor } = device;
            write!(text, "{kind:?} {major}:{minor} {mode:04o}{owner}{time}{links} {path}")
        }
    }
    .unwrap();
    for (key, value) in dir.read_xattrs_of(name).unwrap() {
        if key.ends_with(b".overlay.opaque") && value == b"y" {
            text.push_str(" [opaque]");
            continue;
        }
        write!(text, " [{}={}]", key.escape_ascii(), value.escape_ascii()).unwrap();
    }
    text.push('\n');
}
