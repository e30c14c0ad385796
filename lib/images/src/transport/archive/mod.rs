//! Tar files as places to look things up in.
//!
//! Owns the index of an archive's members and the writing of archives member by member. Uses
//! `layer::tar` for the format. Promise: opening reads headers only and skips over contents, so
//! that one image out of a huge archive costs what it holds; names and links are resolved among
//! the members and never on disk. Does not know images.

mod unpack;
mod writer;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub(super) use unpack::MAGIC;
pub(super) use writer::{ArchiveFile, ArchiveStream, Output};

use crate::blob::FileBlob;
use crate::error::{Error, IoContext, Result};
use crate::layer::tar::{Entry, EntryKind, TarReader};
use crate::spec::Descriptor;
use crate::sys::{self, Dir};

/// Most members of one archive.
const MAX_MEMBERS: usize = 100_000;
/// Longest name of a member.
const MAX_NAME: usize = 1024;
/// Most links that are followed for one name.
const MAX_LINKS: usize = 16;
const BLOCK: u64 = 512;

/// A tar file and where its members are.
pub(super) struct Archive {
    file: Arc<File>,
    members: HashMap<Vec<u8>, Member>,
    /// How it is called in errors.
    name: String,
}

/// What one name stands for.
#[derive(Clone, Debug, PartialEq)]
enum Member {
    Stretch(Stretch),
    /// Another name, in normal form.
    Link(Vec<u8>),
    /// It cannot be read: a hole in it, or two of one name.
    Unreadable(&'static str),
}

/// Part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl Archive {
    /// Opens the archive at `path`. Compressed ones, and what is no regular file, are first
    /// unpacked into a nameless file in the directory `scratch`.
    pub(super) fn open(path: &Path, scratch: &Path) -> Result<Archive> {
        let name = path.display().to_string();
        let file = File::open(path).doing(|| format!("opening {name}"))?;
        Archive::from_file(file, name, scratch)
    }

    /// An archive in an open file, called `name` in errors.
    pub(super) fn from_file(file: File, name: String, scratch: &Path) -> Result<Archive> {
        let file = unpack::plain(file, scratch).doing(|| format!("reading {name}"))?;
        let file = Arc::new(file);
        let members = scan(&file).doing(|| format!("reading {name} as a tar archive"))?;
        Ok(Archive { file, members, name })
    }

    /// How it is called in errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where the content of the member `name` is, links followed; `None` when there is none.
    pub(super) fn find(&self, name: &str) -> Result<Option<Stretch>> {
        let mut name = match normal(name.as_bytes()) {
            Some(name) => name,
            None => return Ok(None),
        };
        for _ in 0..MAX_LINKS {
            match self.members.get(&name) {
                None => return Ok(None),
                Some(Member::Stretch(stretch)) => return Ok(Some(*stretch)),
                Some(Member::Link(target)) => name = target.clone(),
                Some(Member::Unreadable(why)) => {
                    return Err(Error::invalid(format!(
                        "{}: member {:?} {why}",
                        self.name,
                        name.escape_ascii().to_string()
                    )));
                }
            }
        }
        let shown = name.escape_ascii().to_string();
        Err(Error::invalid(format!("{}: too many links at member {shown:?}", self.name)))
    }

    /// A small member as a whole; `None` when there is none.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Bytes>> {
        let Some(stretch) = self.find(name)? else { return Ok(None) };
        if stretch.size > limit {
            return Err(Error::invalid(format!(
                "{}: member {name:?} is larger than the limit of {limit} bytes",
                self.name
            )));
        }
        let mut bytes = vec![0; usize::try_from(stretch.size).unwrap_or_default()];
        let read = self.file.read_exact_at(&mut bytes, stretch.offset);
        read.doing(|| format!("reading {name:?} in {}", self.name))?;
        Ok(Some(bytes.into()))
    }

    /// The member `name` as the blob `what`, if it is of the right size.
    pub(super) fn blob(&self, name: &str, what: &Descriptor) -> Result<FileBlob> {
        let found = self.find(name)?;
        let stretch = found.ok_or_else(|| Error::not_found("there is no such blob"))?;
        if stretch.size != what.size {
            return Err(Error::corrupt(format!(
                "{} has {} bytes but should have {}",
                what.digest, stretch.size, what.size
            )));
        }
        Ok(self.stretch_blob(stretch, what))
    }

    /// A stretch of the archive as the blob `what`.
    pub(super) fn stretch_blob(&self, stretch: Stretch, what: &Descriptor) -> FileBlob {
        FileBlob {
            file: self.file.clone(),
            offset: stretch.offset,
            size: stretch.size,
            digest: what.digest.clone(),
            meter: None,
        }
    }

    /// A reader of a stretch of the archive, which verifies nothing.
    pub(super) fn reader(&self, stretch: Stretch) -> Positioned {
        Positioned::new(self.file.clone(), stretch.offset, stretch.offset + stretch.size)
    }
}

/// A nameless file in the directory `scratch`, which is made if it is missing.
pub(super) fn scratch_file(scratch: &Path) -> Result<File> {
    let making = || format!("making a temporary file in {}", scratch.display());
    std::fs::create_dir_all(scratch).doing(making)?;
    Dir::open(scratch).and_then(|dir| sys::scratch_file(&dir)).doing(making)
}

/// Reads all headers, and nothing of the contents.
fn scan(file: &Arc<File>) -> Result<HashMap<Vec<u8>, Member>> {
    let length = file.metadata().doing(|| "looking at the file")?.len();
    let mut members = HashMap::new();
    let mut input = Positioned::new(file.clone(), 0, length);
    let mut count = 0;
    loop {
        let start = input.position;
        let mut reader = TarReader::new(input);
        let next = reader.next_entry().doing(|| format!("in the part that begins at byte {start}"));
        let Some(entry) = next? else {
            return if count == 0 { Err(Error::invalid("it has no members")) } else { Ok(members) };
        };
        count += 1;
        if count > MAX_MEMBERS {
            return Err(Error::invalid(format!("it has more than {MAX_MEMBERS} members")));
        }
        let stretch = Stretch { offset: start + reader.position(), size: reader.stored() };
        input = reader.into_inner();
        let end = stretch.offset.checked_add(stretch.size.next_multiple_of(BLOCK));
        let end = end.filter(|end| *end <= length).ok_or_else(|| {
            let shown = entry.path.escape_ascii();
            Error::corrupt(format!("it ends within the member \"{shown}\""))
        })?;
        add(&mut members, &entry, stretch)?;
        input.seek(end);
    }
}

fn add(members: &mut HashMap<Vec<u8>, Member>, entry: &Entry, stretch: Stretch) -> Result<()> {
    if entry.path.len() > MAX_NAME {
        return Err(Error::invalid(format!("a member's name has {} bytes", entry.path.len())));
    }
    // Nobody asks for a name that leads out of the archive, so it may stand there.
    let Some(name) = normal(&entry.path) else { return Ok(()) };
    let member = match &entry.kind {
        EntryKind::File if stretch.size != entry.size => Member::Unreadable("has holes"),
        EntryKind::File => Member::Stretch(stretch),
        EntryKind::HardLink(target) => link(target),
        EntryKind::Symlink(target) if target.starts_with(b"/") => link(target),
        EntryKind::Symlink(target) => {
            let parent = name.iter().rposition(|b| *b == b'/').map_or(&b""[..], |at| &name[..at]);
            link(&[parent, b"/", target].concat())
        }
        _ => return Ok(()),
    };
    // Programs differ in which of two members they take.
    let twice = Member::Unreadable("is there twice");
    let same = |old: &Member| matches!(old, Member::Link(_)) && *old == member;
    members
        .entry(name)
        .and_modify(|old| {
            if !same(old) {
                *old = twice;
            }
        })
        .or_insert(member);
    Ok(())
}

fn link(target: &[u8]) -> Member {
    normal(target).map_or(Member::Unreadable("is a link that leads nowhere"), Member::Link)
}

/// A name without `./`, doubled slashes or a leading slash; `None` if it leads out or to nothing.
fn normal(name: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join(&b'/'))
}

/// A buffered reader of part of a file that can jump ahead without reading what lies between.
pub(super) struct Positioned {
    file: Arc<File>,
    position: u64,
    end: u64,
    buffer: Box<[u8]>,
    ready: std::ops::Range<usize>,
}

impl Positioned {
    fn new(file: Arc<File>, position: u64, end: u64) -> Positioned {
        Positioned { file, position, end, buffer: vec![0; 8 << 10].into(), ready: 0..0 }
    }

    /// Goes ahead to `position`.
    fn seek(&mut self, position: u64) {
        let ahead = usize::try_from(position.saturating_sub(self.position));
        self.ready.start = ahead
            .ok()
            .and_then(|ahead| self.ready.start.checked_add(ahead))
            .map_or(self.ready.end, |start| start.min(self.ready.end));
        self.position = position;
    }
}

impl Read for Positioned {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let from = self.fill_buf()?;
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Positioned {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.ready.is_empty() {
            let left = usize::try_from(self.end.saturating_sub(self.position));
            let wanted = left.unwrap_or(usize::MAX).min(self.buffer.len());
            let count = self.file.read_at(&mut self.buffer[..wanted], self.position)?;
            self.ready = 0..count;
        }
        Ok(&self.buffer[self.ready.clone()])
    }

    fn consume(&mut self, count: usize) {
        self.ready.start = (self.ready.start + count).min(self.ready.end);
        self.position += count as u64;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::layer::tar::TarWriter;
    use crate::sys::Time;

    pub(in crate::transport) fn tar_of(members: &[(&str, EntryKind, &[u8])]) -> Vec<u8> {
        let mut writer = TarWriter::new(Vec::new());
        for (path, kind, content) in members {
            let entry = Entry {
                path: path.as_bytes().to_vec(),
                kind: kind.clone(),
                mode: 0o644,
                uid: 0,
                gid: 0,
                mtime: Time::default(),
                size: content.len() as u64,
                xattrs: Vec::new(),
                unread: Vec::new(),
            };
            writer.begin(&entry).unwrap();
            writer.content(content).unwrap();
        }
        writer.finish().unwrap().0
    }

    fn open(bytes: &[u8]) -> Result<Archive> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.tar");
        std::fs::write(&path, bytes).unwrap();
        Archive::open(&path, place.path())
    }

    fn text(archive: &Archive, name: &str) -> Option<String> {
        let bytes = archive.read(name, 100).unwrap();
        bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn members_are_found_by_any_spelling_and_through_links() {
        let archive = open(&tar_of(&[
            ("./a/layer.tar", EntryKind::File, b"one"),
            ("b/layer.tar", EntryKind::Symlink(b"../a/layer.tar".to_vec()), b""),
            ("c", EntryKind::HardLink(b"./b/layer.tar".to_vec()), b""),
            ("/d", EntryKind::Symlink(b"/c".to_vec()), b""),
            ("e/", EntryKind::Directory, b""),
            ("e/f", EntryKind::File, b"two"),
        ]))
        .unwrap();
        for name in ["a/layer.tar", "/a/layer.tar", "./b/layer.tar", "c", "d", "e/../c"] {
            assert_eq!(text(&archive, name).as_deref(), Some("one"), "{name}");
        }
        assert_eq!(text(&archive, "e/f").as_deref(), Some("two"));
        for missing in ["e", "x", "", "..", "../a/layer.tar", "a"] {
            assert_eq!(text(&archive, missing), None, "{missing}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_errors_and_not_files_of_the_machine() {
        let archive = open(&tar_of(&[
            ("loop", EntryKind::Symlink(b"pool".to_vec()), b""),
            ("pool", EntryKind::Symlink(b"loop".to_vec()), b""),
            ("out", EntryKind::Symlink(b"../../etc/passwd".to_vec()), b""),
            ("abs", EntryKind::Symlink(b"/etc/passwd".to_vec()), b""),
            ("twice", EntryKind::File, b"1"),
            ("./twice", EntryKind::File, b"2"),
            ("../evil", EntryKind::File, b"3"),
        ]))
        .unwrap();
        let why = |name: &str| archive.find(name).unwrap_err().to_string();
        assert!(why("loop").contains("too many links"), "{}", why("loop"));
        assert!(why("out").contains("leads nowhere"), "{}", why("out"));
        assert!(why("twice").contains("\"twice\" is there twice"), "{}", why("twice"));
        assert_eq!(archive.find("abs").unwrap(), None);
        assert_eq!(archive.find("evil").unwrap(), None);
    }

    #[test]
    fn what_is_no_archive_says_so() {
        for bad in [&b""[..], b"hello", &[0; 1024], &[7; 2048]] {
            let error = open(bad).err().unwrap();
            assert!(error.chain().contains("a.tar as a tar archive"), "{error:?}");
        }
        let whole = tar_of(&[("a", EntryKind::File, &[1; 2000])]);
        let error = open(&whole[..1024]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.chain().ends_with("it ends within the member \"a\""), "{error:?}");
    }

    #[test]
    fn limits_hold() {
        let archive = open(&tar_of(&[("a", EntryKind::File, &[1; 2000])])).unwrap();
        assert!(archive.read("a", 1999).unwrap_err().to_string().contains("limit of 1999"));
        let what = Descriptor {
            size: 1999,
            ..Descriptor::of(crate::spec::MediaType::Other("x".into()), &[1; 2000])
        };
        assert_eq!(archive.blob("a", &what).err().unwrap().kind(), ErrorKind::Corrupt);
        let name = "n".repeat(2000);
        assert!(open(&tar_of(&[(&name, EntryKind::File, b"")])).is_err());
    }
}
