//! Digests of a context's files, kept so that an unchanged file need not be read again.
//!
//! A file is unchanged when its inode, size and both times are: nobody can set the time of the last
//! change. What changed a moment before it was read is read again the next time.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::record::{Key, Reader, Writer};
use crate::build::transfer::is_for_images;
use crate::error::{IoContext, Result};
use crate::spec::{Algorithm, Digest, Hasher};
use crate::sys::{FileKind, Meta, Root, Time, read_xattrs};

const MAGIC: &[u8; 8] = b"creelpr1";
/// Times of files are as coarse as this.
const RACY: Duration = Duration::from_millis(100);
/// More files than this are not remembered.
const MAX_PRINTS: usize = 2_000_000;
const BUFFER: usize = 128 << 10;

/// What `stat` says of an unchanged file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    ino: u64,
    size: u64,
    mtime: Time,
    ctime: Time,
}

impl Stamp {
    fn of(meta: &Meta) -> Stamp {
        Stamp { ino: meta.ino, size: meta.size, mtime: meta.mtime, ctime: meta.ctime }
    }
}

/// The digests of one context's files.
pub(in crate::build) struct Prints {
    place: Option<(PathBuf, String)>,
    known: HashMap<Vec<u8>, (Stamp, Digest)>,
    changed: bool,
    buffer: Vec<u8>,
}

impl Prints {
    /// Remembers for as long as it lives, of files that nobody changes.
    pub(in crate::build) fn passing() -> Prints {
        Prints { place: None, known: HashMap::new(), changed: false, buffer: Vec::new() }
    }

    pub(super) fn load(dir: PathBuf, name: String) -> Prints {
        let bytes = super::read(&dir.join(&name)).unwrap_or_default();
        let known = parse(&bytes).unwrap_or_default();
        Prints { place: Some((dir, name)), known, ..Prints::passing() }
    }

    /// The digest of what a path below `root` holds: a file's content and attributes, a link's
    /// text, a directory's attributes.
    pub(in crate::build) fn digest(
        &mut self,
        root: &Root,
        path: &[u8],
        meta: &Meta,
    ) -> Result<Digest> {
        if let Some((stamp, digest)) = self.known.get(path)
            && *stamp == Stamp::of(meta)
        {
            return Ok(digest.clone());
        }
        let reading = || format!("reading /{} of the context", String::from_utf8_lossy(path));
        let begun = SystemTime::now();
        let digest = self.read(root, path, meta).doing(reading)?;
        self.note_at(path, meta, &digest, begun);
        Ok(digest)
    }

    fn read(&mut self, root: &Root, path: &[u8], meta: &Meta) -> std::io::Result<Digest> {
        if meta.kind == FileKind::Directory {
            let xattrs = read_xattrs(&root.open_dir_plain(path)?)?;
            return Ok(with_xattrs(Digest::sha256(b""), &xattrs));
        }
        let (parent, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b""[..], path),
        };
        let dir = root.open_dir_plain(parent)?;
        match meta.kind {
            FileKind::Symlink => return Ok(Digest::sha256(&dir.read_link(name)?)),
            FileKind::File => {}
            _ => {
                let numbers = format!("{}:{}", meta.device.major, meta.device.minor);
                return Ok(Digest::sha256(numbers.as_bytes()));
            }
        }
        let mut file = dir.open_known_file(name, meta)?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        self.buffer.resize(BUFFER, 0);
        loop {
            match file.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&self.buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(with_xattrs(hasher.finish(), &read_xattrs(&file)?))
    }

    /// Remembers a digest that was computed elsewhere, just now.
    pub(in crate::build) fn note(&mut self, path: &[u8], meta: &Meta, digest: &Digest) {
        self.note_at(path, meta, digest, SystemTime::now());
    }

    fn note_at(&mut self, path: &[u8], meta: &Meta, digest: &Digest, begun: SystemTime) {
        if self.known.len() >= MAX_PRINTS {
            return;
        }
        if self.place.is_none() {
            self.known.insert(path.to_vec(), (Stamp::of(meta), digest.clone()));
            return;
        }
        let since = begun.duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::new(u64::try_from(meta.ctime.secs).unwrap_or(0), meta.ctime.nanos);
        if since < changed + RACY {
            self.changed |= self.known.remove(path).is_some();
            return;
        }
        self.known.insert(path.to_vec(), (Stamp::of(meta), digest.clone()));
        self.changed = true;
    }

    /// Writes down what was learned.
    pub(in crate::build) fn save(&mut self) {
        let Some((dir, name)) = self.place.as_ref().filter(|_| self.changed) else { return };
        let mut out = Writer::new(MAGIC);
        for (path, (stamp, digest)) in &self.known {
            out.bytes(path);
            out.number(stamp.ino);
            out.number(stamp.size);
            for time in [stamp.mtime, stamp.ctime] {
                out.number(time.secs as u64);
                out.number(u64::from(time.nanos));
            }
            out.bytes(digest.hex().as_bytes());
        }
        // Without it, files are read again.
        let _ = super::publish(dir, name, &out.finish());
        self.changed = false;
    }
}

fn parse(bytes: &[u8]) -> Option<HashMap<Vec<u8>, (Stamp, Digest)>> {
    let mut reader = Reader::new(bytes, MAGIC)?;
    let mut known = HashMap::new();
    while !reader.is_empty() {
        let path = reader.bytes()?.to_vec();
        let (ino, size) = (reader.number()?, reader.number()?);
        let mut time = || {
            let secs = reader.number()? as i64;
            Some(Time { secs, nanos: u32::try_from(reader.number()?).ok()? })
        };
        let stamp = Stamp { ino, size, mtime: time()?, ctime: time()? };
        let hex = std::str::from_utf8(reader.bytes()?).ok()?;
        known.insert(path, (stamp, format!("sha256:{hex}").parse().ok()?));
    }
    Some(known)
}

/// The digest of a content together with its attributes.
pub(in crate::build) fn with_xattrs(content: Digest, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Digest {
    let mut ours: Vec<_> = xattrs.iter().filter(|(name, _)| is_for_images(name)).collect();
    if ours.is_empty() {
        return content;
    }
    ours.sort();
    let mut key = Key::new("attributes");
    key.text(content.hex());
    for (name, value) in ours {
        key.bytes(name).bytes(value);
    }
    key.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settled(path: &Path) {
        let old = SystemTime::now() - Duration::from_secs(10);
        std::fs::File::open(path).unwrap().set_modified(old).unwrap();
        std::thread::sleep(RACY * 2);
    }

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let place = tempfile::tempdir().unwrap();
        let context = place.path().join("context");
        std::fs::create_dir(&context).unwrap();
        let file = context.join("f");
        std::fs::write(&file, "one").unwrap();
        settled(&file);
        let root = Root::open(&context).unwrap();
        let load = || Prints::load(place.path().join("cache"), "x".into());
        let meta = || root.lookup(b"f").unwrap().unwrap();
        let mut prints = load();
        assert_eq!(prints.digest(&root, b"f", &meta()).unwrap(), Digest::sha256(b"one"));
        prints.save();
        // Believed as long as nothing tells otherwise: a wrong digest shows that it was.
        let mut prints = load();
        let wrong = Digest::sha256(b"wrong");
        prints.known.get_mut(&b"f"[..]).unwrap().1 = wrong.clone();
        assert_eq!(prints.digest(&root, b"f", &meta()).unwrap(), wrong);
        // The same size and the same time of writing, but written.
        let before = std::fs::metadata(&file).unwrap().modified().unwrap();
        std::fs::write(&file, "two").unwrap();
        std::fs::File::open(&file).unwrap().set_modified(before).unwrap();
        assert_eq!(prints.digest(&root, b"f", &meta()).unwrap(), Digest::sha256(b"two"));
        // Changed just now: not to be trusted later.
        assert!(prints.known.is_empty());
        std::fs::write(place.path().join("cache/x"), b"torn").unwrap();
        assert!(load().known.is_empty());
    }
}
