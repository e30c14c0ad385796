//! Content and names on their way into the store.
//!
//! Owns the order in which things become visible: what is collected is flushed in groups, renamed
//! (children before manifests), the directories flushed, and names written last. Uses a workplace
//! and a lease of its own. Promise: whatever stops this, at any step, leaves names that stand for
//! whole images. Does not know where content comes from.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fill::fill;
use super::graph::{self, Holding, Look};
use super::intake::Tree;
use super::lease::Lease;
use super::owner::Workplace;
use super::partial::{Claim, Partial, Partials, WORTH_KEEPING};
use super::{Image, Store, StoreName, format, if_good, open_blob, read_config, read_manifest};
use crate::blob::{Blob, FileBlob, RemoteBlob, Verifier, VerifyReader, blocking};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Algorithm, Descriptor, DiffId, Digest, ImageConfig, Manifest};
use crate::sys::LockMode;

/// What is whole is published with the next content that arrives after so long, so that a long
/// pull that is killed keeps it, and others need not fetch it.
const GROUP: Duration = Duration::from_secs(1);
/// Another process's download that has not grown for so long is not waited for.
const STALLED: Duration = Duration::from_secs(3);
/// Between two looks at another process's download.
const LOOK: Duration = Duration::from_millis(50);

/// What bytes are, as far as their order matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// They refer to others, which must be visible first.
    Manifest,
    /// They refer to nothing.
    Leaf,
}

/// The store, open for writing. Dropped, it leaves nothing but what it published and downloads
/// that can be gone on with.
pub struct Writer {
    store: Store,
    partials: Partials,
    lease: Lease,
    pending: Mutex<Vec<Pending>>,
    committing: Mutex<()>,
    work: Workplace,
}

/// Verified content without a final name.
struct Pending {
    content: Content,
    path: PathBuf,
    since: Instant,
    /// Keeps others from a download until it has been moved.
    partial: Option<Partial>,
}

/// What waits for its final name.
enum Content {
    Blob { digest: Digest, size: u64, role: Role },
    Tree(DiffId),
}

impl Pending {
    fn is_blob(&self, wanted: &Digest) -> bool {
        matches!(&self.content, Content::Blob { digest, .. } if digest == wanted)
    }

    fn is_tree(&self) -> bool {
        matches!(self.content, Content::Tree(_))
    }
}

/// What became of waiting for a download.
pub(super) enum Turn {
    Ours(Partial),
    /// Somebody else has published it.
    There,
    /// To be downloaded without keeping a part.
    Aside,
}

impl Writer {
    pub(super) fn begin(store: &Store) -> Result<Writer> {
        store.writable()?;
        let steps = &store.steps;
        let tmp = store.tmp();
        steps.make_dir(&tmp)?;
        store.sweep()?;
        let work = store.workplace()?;
        format::ensure(&store.root, &work.fresh(), steps)?;
        steps.make_dir(&store.root.join("blobs/sha256"))?;
        steps.make_dir(&store.images_dir())?;
        Ok(Writer {
            store: store.clone(),
            partials: Partials::new(&store.root),
            lease: Lease::create(store, work.path())?,
            pending: Mutex::default(),
            committing: Mutex::default(),
            work,
        })
    }

    fn pending(&self) -> MutexGuard<'_, Vec<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of `what` is there. Nothing of that is taken away while this writer lives.
    pub fn need(&self, what: &Descriptor) -> Result<Holding> {
        graph::holding(self, what)
    }

    /// Takes content in, unless it is there already; fails unless it is what `expected` says.
    /// Without that, SHA-256 names it. Visible after the next [`Writer::commit`].
    pub async fn put(
        self: &Arc<Self>,
        role: Role,
        content: Blob,
        expected: Option<&Descriptor>,
    ) -> Result<(Digest, u64)> {
        if let Some(known) = expected.cloned() {
            let there = (known.digest.clone(), known.size);
            let writer = self.clone();
            if blocking(move || writer.has(&known)).await? {
                return Ok(there);
            }
        }
        if let Blob::Remote(remote) = &content
            && worth_keeping(remote, expected)
        {
            match self.turn(remote).await? {
                Turn::There => return Ok((remote.digest.clone(), remote.size)),
                Turn::Ours(partial) => {
                    let partial = partial.receive(remote).await?;
                    let path = partial.path().to_owned();
                    self.collect(role, (remote.digest.clone(), remote.size), path, Some(partial));
                    self.commit_if_due().await?;
                    return Ok((remote.digest.clone(), remote.size));
                }
                Turn::Aside => {}
            }
        }
        let found = self.write(role, content, expected).await?;
        self.commit_if_due().await?;
        Ok(found)
    }

    /// Writes content into a file of its own.
    async fn write(
        self: &Arc<Self>,
        role: Role,
        content: Blob,
        expected: Option<&Descriptor>,
    ) -> Result<(Digest, u64)> {
        let path = self.work.fresh();
        let writing = || format!("writing {}", path.display());
        let file = create(&path).doing(writing)?;
        let filled = fill(Arc::new(file), 0, content, expected, Algorithm::Sha256).await;
        match filled {
            Ok(found) => {
                let (writer, digest) = (self.clone(), found.0.clone());
                blocking(move || writer.lease.add(&digest)).await?;
                self.collect(role, found.clone(), path, None);
                Ok(found)
            }
            Err(error) => {
                // On a full disk, every block counts.
                let _ = std::fs::remove_file(&path);
                Err(error.while_doing(writing()))
            }
        }
    }

    /// [`Writer::put`] for blocking callers: takes in what `reader` gives, which must be `what`.
    pub fn put_reader(&self, role: Role, what: &Descriptor, reader: impl Read) -> Result<()> {
        self.lease.add(&what.digest)?;
        let path = self.work.fresh();
        let verifier = Verifier::new(&what.digest, what.size);
        let copied = create(&path)
            .and_then(|mut file| io::copy(&mut VerifyReader::new(reader, verifier), &mut file));
        if let Err(error) = copied {
            let _ = std::fs::remove_file(&path);
            return Err(error).doing(|| format!("writing {}", path.display()));
        }
        self.collect(role, (what.digest.clone(), what.size), path, None);
        Ok(())
    }

    pub(super) fn collect(
        &self,
        role: Role,
        (digest, size): (Digest, u64),
        path: PathBuf,
        partial: Option<Partial>,
    ) {
        let content = Content::Blob { digest, size, role };
        self.pending().push(Pending { content, path, since: Instant::now(), partial });
    }

    pub(super) fn collect_tree(&self, diff_id: &DiffId, tree: Tree) {
        self.collect_path(diff_id, tree.keep());
    }

    /// A layer's directory, complete.
    pub(super) fn collect_path(&self, diff_id: &DiffId, path: PathBuf) {
        let content = Content::Tree(diff_id.clone());
        self.pending().push(Pending { content, path, since: Instant::now(), partial: None });
    }

    /// A path in this writer's workplace that nothing has yet.
    pub(super) fn fresh(&self) -> PathBuf {
        self.work.fresh()
    }

    /// Whether what is published is flushed first.
    pub(super) fn flushes(&self) -> bool {
        self.store.steps.durability == super::Durability::Full
    }

    /// The store that is written to.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Counts on `digest` from now on, whatever it is. Look for it only afterwards.
    pub fn lease(&self, digest: &Digest) -> Result<()> {
        self.lease.add(digest)
    }

    /// Waits while somebody else downloads the same, as long as bytes flow.
    pub(super) async fn turn(self: &Arc<Self>, remote: &RemoteBlob) -> Result<Turn> {
        let mut seen = (0, Instant::now());
        loop {
            let (writer, digest, size) = (self.clone(), remote.digest.clone(), remote.size);
            let claim = move || Ok(writer.partials.claim(&digest, size, writer.work.path()));
            // May have to read all that is there.
            match blocking(claim).await? {
                Claim::Ours(partial) => {
                    // Whoever had it may have published it just before.
                    if self.store.size_of(&remote.digest)? == Some(remote.size) {
                        partial.discard();
                        return Ok(Turn::There);
                    }
                    return Ok(Turn::Ours(partial));
                }
                Claim::Impossible => return Ok(Turn::Aside),
                Claim::Busy => {}
            }
            // Somebody may wait for what we have in the meantime.
            let writer = self.clone();
            blocking(move || writer.commit()).await?;
            if self.store.size_of(&remote.digest)? == Some(remote.size) {
                return Ok(Turn::There);
            }
            let received = self.partials.received(&remote.digest);
            if received != seen.0 {
                seen = (received, Instant::now());
            } else if seen.1.elapsed() >= STALLED {
                return Ok(Turn::Aside);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) async fn commit_if_due(self: &Arc<Self>) -> Result<()> {
        if self.pending().iter().all(|pending| pending.since.elapsed() < GROUP) {
            return Ok(());
        }
        let writer = self.clone();
        blocking(move || writer.commit()).await
    }

    /// Makes all that was taken in so far visible, durably.
    pub fn commit(&self) -> Result<()> {
        let _one = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        self.publish_pending(&[])
    }

    /// Makes all that was taken in so far visible, and then each name stand for its root, durably.
    ///
    /// # Errors
    /// `NotFound` if a root is not whole; then no name is changed.
    pub fn publish(&self, names: &[(StoreName, Descriptor)]) -> Result<()> {
        let _one = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = Vec::with_capacity(names.len());
        for (name, root) in names {
            let image = Image::describe(self, name, root)?;
            records.push((self.write_record(&image)?, self.store.image_path(name)));
        }
        let written: Vec<&Path> = records.iter().map(|(path, _)| path.as_path()).collect();
        self.publish_pending(&written)?;
        if records.is_empty() {
            return Ok(());
        }
        // Nobody decides on the fate of names while they change.
        let _together = self.store.lock(LockMode::Shared)?;
        for (from, to) in &records {
            self.store.steps.rename(from, to)?;
        }
        self.store.steps.flush_dir(&self.store.images_dir())
    }

    fn write_record(&self, image: &Image) -> Result<PathBuf> {
        let path = self.work.fresh();
        let writing = || format!("writing {}", path.display());
        let text = serde_json::to_vec(image)
            .map_err(|error| Error::caused(ErrorKind::Failed, writing(), error))?;
        std::fs::write(&path, text).doing(writing)?;
        Ok(path)
    }

    /// Flushes what waits, together with `others`, and gives it its final names. The caller is the
    /// only one to do so.
    fn publish_pending(&self, others: &[&Path]) -> Result<()> {
        let steps = &self.store.steps;
        let (waiting, trees): (Vec<PathBuf>, bool) = {
            let pending = self.pending();
            let paths = pending.iter().map(|pending| pending.path.clone()).collect();
            (paths, pending.iter().any(Pending::is_tree))
        };
        let mut files: Vec<&Path> = waiting.iter().map(PathBuf::as_path).collect();
        files.extend(others);
        match trees {
            true => steps.flush_all(self.work.path())?,
            false => steps.flush_files(&files)?,
        }
        let mut directories = Vec::new();
        for role in [Role::Leaf, Role::Manifest] {
            for path in &waiting {
                self.promote(path, role, &mut directories)?;
            }
        }
        directories.iter().try_for_each(|directory| steps.flush_dir(directory))
    }

    /// Gives something its final name, if it has the role whose turn it is.
    fn promote(&self, path: &Path, role: Role, directories: &mut Vec<PathBuf>) -> Result<()> {
        let to = {
            let pending = self.pending();
            match pending.iter().find(|pending| pending.path == *path).map(|found| &found.content) {
                Some(Content::Blob { digest, role: own, .. }) if *own == role => {
                    self.store.blob_path(digest)
                }
                Some(Content::Tree(diff_id)) if role == Role::Leaf => {
                    self.store.layer_path(diff_id)
                }
                _ => return Ok(()),
            }
        };
        let Some(directory) = to.parent().map(Path::to_owned) else { return Ok(()) };
        self.store.steps.make_dir(&directory)?;
        if path.is_dir() {
            self.rename_tree(path, &to)?;
        } else {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o444))
                .doing(|| format!("protecting {}", path.display()))?;
            self.store.steps.rename(path, &to)?;
        }
        if !directories.contains(&directory) {
            directories.push(directory);
        }
        let mut pending = self.pending();
        if let Some(at) = pending.iter().position(|pending| pending.path == *path) {
            let done = pending.remove(at);
            done.partial.iter().for_each(Partial::forget_note);
        }
        Ok(())
    }

    /// Gives a tree its final name, unless somebody else's equal one has it by now.
    fn rename_tree(&self, from: &Path, to: &Path) -> Result<()> {
        match self.store.steps.rename(from, to) {
            Err(_) if to.is_dir() => {
                super::intake::remove(from);
                Ok(())
            }
            renamed => renamed,
        }
    }

    /// Flushes a finished tree and gives it its final name at once.
    pub(super) fn publish_tree(&self, from: &Path, to: &Path) -> Result<()> {
        let steps = &self.store.steps;
        steps.make_dir(&self.store.layers_dir())?;
        steps.flush_all(from)?;
        self.rename_tree(from, to)?;
        steps.flush_dir(&self.store.layers_dir())
    }

    /// Opens content, visible or not.
    pub fn open(&self, what: &Descriptor) -> Result<FileBlob> {
        let waiting =
            self.pending().iter().find(|p| p.is_blob(&what.digest)).map(|p| p.path.clone());
        match waiting.map(|path| open_blob(&path, what)) {
            // Between the two looks it may have got its final name.
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => self.store.blob(what),
            Some(opened) => opened,
            None => self.store.blob(what),
        }
    }
}

/// Whatever this writer has looked for stays while it lives.
impl Look for Writer {
    fn has(&self, what: &Descriptor) -> Result<bool> {
        self.lease.add(&what.digest)?;
        let waits = self.pending().iter().any(|p| {
            matches!(&p.content, Content::Blob { digest, size, .. }
                if *digest == what.digest && *size == what.size)
        });
        Ok(waits || Look::has(&self.store, what)?)
    }

    fn manifest(&self, what: &Descriptor) -> Result<Option<Manifest>> {
        self.lease.add(&what.digest)?;
        if_good(self.open(what).and_then(|blob| read_manifest(blob, what)))
    }

    fn config(&self, what: &Descriptor) -> Result<Option<ImageConfig>> {
        self.lease.add(&what.digest)?;
        if_good(self.open(what).and_then(|blob| read_config(blob, what)))
    }

    fn unpacked(&self, layer: &DiffId) -> Result<bool> {
        self.lease.add(&layer.0)?;
        let waits = self
            .pending()
            .iter()
            .any(|p| matches!(&p.content, Content::Tree(diff_id) if diff_id == layer));
        Ok(waits || Look::unpacked(&self.store, layer)?)
    }
}

pub(super) fn worth_keeping(remote: &RemoteBlob, expected: Option<&Descriptor>) -> bool {
    let as_expected =
        expected.is_none_or(|known| known.digest == remote.digest && known.size == remote.size);
    as_expected && remote.size >= WORTH_KEEPING
}

pub(super) fn create(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600).open(path)
}
