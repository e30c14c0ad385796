//! Where directories that hold images collect content before any of it becomes visible.
//!
//! Owns one temporary directory `.creel-…` inside the place, locked while its owner lives; what
//! has no owner any more is swept by the next writer. Uses `sys` and `blob`. Promise: what
//! [`Staging::promote`] gives its final name was verified and, after [`Staging::flush`], is on
//! disk. Knows no formats: which names and which index is the business of the place.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fill::fill;
use super::partial::{Claim, Partial, Partials, WORTH_KEEPING};
use crate::blob::{Blob, RemoteBlob, blocking};
use crate::error::{Error, IoContext, Result};
use crate::spec::{Algorithm, Descriptor, Digest};
use crate::sys::{self, Dir, Lock, LockMode};

const PREFIX: &str = ".creel-";
const OWNER: &str = "lock";
/// Up to this many files are flushed one by one: flushing a whole file system waits for others.
const FEW: usize = 4;

/// A file that marks what kind of place a directory is; writers hold its lock to publish.
pub(crate) struct Marker {
    pub(crate) name: &'static str,
    pub(crate) content: &'static str,
}

/// Content that waits to become visible in one place.
pub(crate) struct Staging {
    path: PathBuf,
    place: Dir,
    name: String,
    temporary: Dir,
    files: Mutex<HashMap<Digest, Staged>>,
    count: AtomicU64,
    partials: Option<Partials>,
    _owner: Lock,
}

#[derive(Clone)]
struct Staged {
    name: String,
    size: u64,
    /// A further name of what the place has already.
    held: bool,
}

/// Waits for the right to change what is visible in the place at `path`.
pub(crate) fn lock_place(path: &Path, marker: &Marker) -> Result<Lock> {
    let place = Dir::open(path).doing(|| format!("opening directory {}", path.display()))?;
    let writing = || format!("writing {}", path.join(marker.name).display());
    match place.create_file(marker.name.as_bytes(), 0o644) {
        Ok(mut file) => file.write_all(marker.content.as_bytes()).doing(writing)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io(writing(), error)),
    }
    let lock = Lock::acquire(&path.join(marker.name), LockMode::Exclusive)?;
    // A writer that was killed right after it made the file left it empty.
    let length = lock.file().metadata().doing(writing)?.len();
    if length == 0 {
        lock.file().write_all(marker.content.as_bytes()).doing(writing)?;
    }
    Ok(lock)
}

/// Removes what writers that are gone have left in the place, whose lock the caller holds.
pub(crate) fn sweep(path: &Path) -> Result<()> {
    let sweeping = || format!("removing left-over files from {}", path.display());
    let place = Dir::open(path).doing(sweeping)?;
    for entry in place.entries().doing(sweeping)? {
        let Some(name) = std::str::from_utf8(&entry.name).ok().filter(|n| n.starts_with(PREFIX))
        else {
            continue;
        };
        let owner = Lock::try_acquire(&path.join(name).join(OWNER), LockMode::Exclusive);
        // Whatever cannot be locked is not ours to judge.
        if let Ok(Some(_owner)) = owner {
            place.remove_tree(name.as_bytes()).doing(sweeping)?;
        }
    }
    Ok(())
}

impl Staging {
    /// Starts collecting in the directory at `path`, which is made if it is missing.
    pub(crate) fn begin(path: &Path, marker: &Marker) -> Result<Staging> {
        let making = || format!("making directory {}", path.display());
        std::fs::create_dir_all(path).doing(making)?;
        let _lock = lock_place(path, marker)?;
        sweep(path)?;
        let place = Dir::open(path).doing(making)?;
        let (name, temporary) = make_temporary(&place).doing(making)?;
        let owner = Lock::acquire(&path.join(&name).join(OWNER), LockMode::Exclusive)?;
        Ok(Staging {
            path: path.to_owned(),
            place,
            name,
            temporary,
            files: Mutex::default(),
            count: AtomicU64::new(0),
            partials: None,
            _owner: owner,
        })
    }

    /// Keeps large downloads among `partials` until they are whole, so that a cut one goes on.
    pub(crate) fn with_partials(mut self, partials: Partials) -> Staging {
        self.partials = Some(partials);
        self
    }

    /// The place itself.
    pub(crate) fn place(&self) -> &Dir {
        &self.place
    }

    /// Where the place is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn files(&self) -> MutexGuard<'_, HashMap<Digest, Staged>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of `digest` if it is collected already.
    pub(crate) fn size_of(&self, digest: &Digest) -> Option<u64> {
        self.files().get(digest).map(|staged| staged.size)
    }

    /// All that was collected.
    #[cfg(test)]
    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.files().keys().cloned().collect()
    }

    /// Opens something collected, to read.
    pub(crate) fn open(&self, digest: &Digest) -> Result<Option<File>> {
        let Some(name) = self.files().get(digest).map(|staged| staged.name.clone()) else {
            return Ok(None);
        };
        self.temporary.open_file(name.as_bytes()).doing(|| format!("opening {digest}")).map(Some)
    }

    /// Keeps `name` of the place's directory `dir` from vanishing before this writer publishes.
    /// `false` when there is nothing of that name and size.
    pub(crate) fn hold(&self, what: &Descriptor, dir: &Dir, name: &str) -> Result<bool> {
        let looking = || format!("looking for {}", what.digest);
        let found = dir.lookup(name.as_bytes()).doing(looking)?;
        if !found.is_some_and(|meta| meta.kind == sys::FileKind::File && meta.size == what.size) {
            return Ok(false);
        }
        let held = self.fresh_name();
        // Some file systems have no links: then it is simply there, and a `gc` may come between.
        if self.temporary.make_link(dir, name.as_bytes(), held.as_bytes()).is_ok() {
            let staged = Staged { name: held, size: what.size, held: true };
            self.files().entry(what.digest.clone()).or_insert(staged);
        }
        Ok(true)
    }

    /// Takes content in; fails unless it is what `expected` says. Without that, `algorithm` names it.
    pub(crate) async fn write(
        self: &Arc<Staging>,
        content: Blob,
        expected: Option<&Descriptor>,
        algorithm: Algorithm,
    ) -> Result<(Digest, u64)> {
        if let Some(known) = expected
            && self.size_of(&known.digest) == Some(known.size)
        {
            return Ok((known.digest.clone(), known.size));
        }
        let name = self.fresh_name();
        if let Blob::Remote(remote) = &content
            && let Some(partial) = self.partial(remote, expected).await?
        {
            let whole = partial.receive(remote).await?;
            whole.move_to(&self.path.join(&self.name).join(&name))?;
            let staged = Staged { name, size: remote.size, held: false };
            self.files().insert(remote.digest.clone(), staged);
            return Ok((remote.digest.clone(), remote.size));
        }
        let staging = self.clone();
        let created = {
            let name = name.clone();
            blocking(move || {
                let made = staging.temporary.create_file_rw(name.as_bytes(), 0o644);
                made.doing(|| format!("making a file in {}", staging.path.display()))
            })
        };
        let written = fill(Arc::new(created.await?), 0, content, expected, algorithm).await;
        let (digest, size) = written.doing(|| format!("writing into {}", self.path.display()))?;
        let staged = Staged { name, size, held: false };
        self.files().insert(digest.clone(), staged);
        Ok((digest, size))
    }

    /// The kept part of a large download, if it can be kept at all.
    async fn partial(
        &self,
        remote: &RemoteBlob,
        expected: Option<&Descriptor>,
    ) -> Result<Option<Partial>> {
        let as_expected =
            expected.is_none_or(|known| known.digest == remote.digest && known.size == remote.size);
        if !as_expected || remote.size < WORTH_KEEPING {
            return Ok(None);
        }
        let Some(partials) = self.partials.clone() else { return Ok(None) };
        let (digest, size, path) = (remote.digest.clone(), remote.size, self.path.clone());
        blocking(move || {
            Ok(match partials.claim(&digest, size, &path) {
                Claim::Ours(partial) => Some(partial),
                Claim::Busy => None,
                Claim::Impossible if partials.same_filesystem(&path) => None,
                Claim::Impossible => match partials.is_kept() {
                    true => Partials::beside(&path).take(&digest, size, &path),
                    false => None,
                },
            })
        })
        .await
    }

    /// Brings `digests`, as far as they are new, to disk.
    pub(crate) fn flush(&self, digests: &[Digest]) -> Result<()> {
        let flushing = || format!("flushing {}", self.path.display());
        let files = self.files();
        let wanted = digests.iter().filter_map(|digest| files.get(digest));
        let new: Vec<Staged> = wanted.filter(|staged| !staged.held).cloned().collect();
        drop(files);
        if new.len() > FEW {
            return sys::sync_filesystem(&self.temporary).doing(flushing);
        }
        for staged in new {
            let file = self.temporary.open_file(staged.name.as_bytes()).doing(flushing)?;
            file.sync_all().doing(flushing)?;
        }
        Ok(())
    }

    /// Gives `digest` its final name and keeps a further one, for another image may count on it.
    /// The caller flushes first and makes `to` durable afterwards.
    pub(crate) fn promote(&self, digest: &Digest, to: &Dir, name: &str) -> Result<()> {
        let publishing = || format!("moving {digest} into {}", self.path.display());
        let mut files = self.files();
        let Some(staged) = files.get_mut(digest) else { return Ok(()) };
        let (from, name) = (staged.name.as_bytes(), name.as_bytes());
        self.temporary.rename(from, to, name).doing(publishing)?;
        // Where it was a further name of the same file already, both names stay.
        match self.temporary.make_link(to, name, from) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                // Some file systems have no links: then it is simply there.
                files.remove(digest);
            }
            _ => staged.held = true,
        }
        Ok(())
    }

    fn fresh_name(&self) -> String {
        format!("{}", self.count.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Whatever stays is swept by the next writer.
        let _ = self.place.remove_tree(self.name.as_bytes());
        Partials::tidy(&self.path);
    }
}

fn make_temporary(place: &Dir) -> std::io::Result<(String, Dir)> {
    use std::hash::{BuildHasher, RandomState};
    loop {
        let name = format!("{PREFIX}{:016x}", RandomState::new().hash_one(std::process::id()));
        match place.make_dir(name.as_bytes(), 0o755) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok((name.clone(), place.open_dir(name.as_bytes())?)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::blob::FileBlob;
    use crate::spec::MediaType;

    const MARKER: Marker = Marker { name: "mark", content: "here\n" };

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn nothing_is_visible_before_it_is_promoted_and_nothing_stays_behind() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("new");
        let staging = Arc::new(Staging::begin(&path, &MARKER).unwrap());
        let what = Descriptor::of(MediaType::Other("x".into()), b"abc");
        let content = Blob::Bytes(Bytes::from_static(b"abc"));
        staging.write(content, Some(&what), Algorithm::Sha256).await.unwrap();
        let other = Blob::Unnamed(Box::new(&b"other"[..]));
        let named = staging.write(other, None, Algorithm::Sha512).await.unwrap();
        assert_eq!(named, (Digest::compute(Algorithm::Sha512, b"other"), 5));
        staging.flush(&staging.digests()).unwrap();
        staging.promote(&what.digest, staging.place(), "final").unwrap();
        drop(staging);
        assert_eq!(names(&path), ["final", "mark"]);
        assert_eq!(std::fs::read(path.join("mark")).unwrap(), b"here\n");
    }

    #[tokio::test]
    async fn wrong_bytes_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let staging = Arc::new(Staging::begin(place.path(), &MARKER).unwrap());
        let what = Descriptor::of(MediaType::Other("x".into()), b"abc");
        for wrong in [&b"abd"[..], b"ab", b"abcd"] {
            let content = Blob::Unnamed(Box::new(wrong));
            let error = staging.write(content, Some(&what), Algorithm::Sha256).await.unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Corrupt, "{error:?}");
        }
        let path = place.path().join("file");
        std::fs::write(&path, "abd").unwrap();
        let content = Blob::File(FileBlob::whole(File::open(&path).unwrap(), &what));
        let error = staging.write(content, Some(&what), Algorithm::Sha256).await.unwrap_err();
        assert!(error.chain().contains("has other bytes"), "{error:?}");
        assert_eq!(staging.size_of(&what.digest), None);
    }

    #[test]
    fn only_what_has_no_owner_is_swept() {
        let place = tempfile::tempdir().unwrap();
        let living = Staging::begin(place.path(), &MARKER).unwrap();
        let dead = place.path().join(".creel-dead");
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join("0"), "half").unwrap();
        std::fs::write(place.path().join(".creel-foreign"), "no directory").unwrap();
        let next = Staging::begin(place.path(), &MARKER).unwrap();
        let mut expected =
            vec![".creel-foreign".to_owned(), living.name.clone(), next.name.clone()];
        expected.push("mark".to_owned());
        expected.sort();
        assert_eq!(names(place.path()), expected);
    }

    #[tokio::test]
    async fn what_is_held_survives_its_removal() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path();
        std::fs::write(path.join("blob"), "abc").unwrap();
        let staging = Arc::new(Staging::begin(path, &MARKER).unwrap());
        let what = Descriptor::of(MediaType::Other("x".into()), b"abc");
        let longer = Descriptor { size: 4, ..what.clone() };
        assert!(!staging.hold(&longer, staging.place(), "blob").unwrap());
        assert!(staging.hold(&what, staging.place(), "blob").unwrap());
        std::fs::remove_file(path.join("blob")).unwrap();
        staging.promote(&what.digest, staging.place(), "blob").unwrap();
        assert_eq!(std::fs::read(path.join("blob")).unwrap(), b"abc");
    }
}
