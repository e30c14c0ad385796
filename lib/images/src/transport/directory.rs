//! `dir:`, skopeo's plain directory of one image.
//!
//! Owns the format: `version`, `manifest.json` (the root's bytes), `<hex>.manifest.json` for every
//! other manifest, and everything else by its digest's digits alone; other algorithms than SHA-256
//! stand in front of the digits (`sha512-<hex>`). Uses the store's staging to write. Promise: only
//! an empty directory or an earlier image of this form is written to, and `manifest.json` stands
//! for something whole at every moment.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::layout::{read_file, sized};
use super::{Abilities, Item, ItemKind, Origin, Presence, Referrer, Sink, Source, Usual};
use crate::blob::{Blob, blocking};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Algorithm, Descriptor, Digest, MAX_MANIFEST, Manifest, MediaType};
use crate::store::{Marker, Staging, lock_place};
use crate::sys::{self, Dir};

const ROOT: &str = "manifest.json";
const INSTANCE: &str = ".manifest.json";
const VERSION: &str = "Directory Transport Version: 1.1\n";
/// What says that there are digests of other algorithms.
const VERSION_OTHERS: &str = "Directory Transport Version: 1.2\n";
const MARKER: Marker = Marker { name: "version", content: VERSION };

/// The name of a blob's file.
fn blob_name(digest: &Digest) -> String {
    match digest.algorithm() {
        Algorithm::Sha256 => digest.hex().to_owned(),
        other => format!("{}-{}", other.as_str(), digest.hex()),
    }
}

/// The name of the file for content of this kind.
fn file_name(digest: &Digest, is_manifest: bool) -> String {
    let instance = if is_manifest { INSTANCE } else { "" };
    format!("{}{instance}", blob_name(digest))
}

/// An image in a plain directory, for reading.
pub struct DirectorySource {
    dir: Arc<Dir>,
    root: Manifest,
    place: String,
}

impl DirectorySource {
    /// Opens the directory of `dir:` and reads the root manifest.
    pub async fn open(path: &Path) -> Result<DirectorySource> {
        let path = path.to_owned();
        blocking(move || {
            let place = format!("dir:{}", path.display());
            let opening = || format!("opening {place}");
            let dir = Dir::open(&path).doing(opening)?;
            let root = read_root(&dir).doing(opening)?;
            let root = root.ok_or_else(|| {
                Error::not_found(format!("{place} holds no image: it has no {ROOT}"))
            })?;
            Ok(DirectorySource { dir: Arc::new(dir), root, place })
        })
        .await
    }

    fn file(&self, digest: &Digest, is_manifest: bool) -> Result<File> {
        let opening = || format!("opening {digest} of {}", self.place);
        self.dir.open_file(file_name(digest, is_manifest).as_bytes()).doing(opening)
    }
}

fn read_root(dir: &Dir) -> Result<Option<Manifest>> {
    let raw = read_file(dir, ROOT, MAX_MANIFEST)?;
    raw.map(|raw| Manifest::parse(raw, None)).transpose()
}

impl Source for DirectorySource {
    async fn resolve(&self) -> Result<Descriptor> {
        Ok(self.root.descriptor())
    }

    async fn read_root(&self) -> Result<Manifest> {
        Ok(self.root.clone())
    }

    async fn open(&self, what: &Descriptor) -> Result<Blob> {
        if what.digest == *self.root.digest() && what.size == self.root.raw().len() as u64 {
            return Ok(Blob::Bytes(self.root.raw().clone()));
        }
        let file = self.file(&what.digest, what.media_type.is_manifest())?;
        sized(file, what).doing(|| format!("opening {}", self.place)).map(Blob::File)
    }

    async fn glance(&self, what: &Descriptor) -> Result<()> {
        self.open(what).await.map(drop)
    }

    async fn measure(&self, blob: &Digest) -> Result<u64> {
        let meta = self.file(blob, false)?.metadata();
        Ok(meta.doing(|| format!("looking at {blob} of {}", self.place))?.len())
    }

    /// Manifests that lie beside the image.
    async fn referrers(&self, subject: &Descriptor) -> Result<Vec<Referrer>> {
        let (dir, subject) = (self.dir.clone(), subject.digest.clone());
        let place = self.place.clone();
        let scan = move || referrers(&dir, &subject).doing(|| format!("reading {place}"));
        blocking(scan).await
    }

    fn origin(&self) -> Origin {
        Origin::Elsewhere
    }
}

fn referrers(dir: &Dir, subject: &Digest) -> Result<Vec<Referrer>> {
    let mut found = Vec::new();
    for entry in dir.entries().doing(|| "listing it")? {
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        let Some(digest) = name.strip_suffix(INSTANCE).and_then(digest_of) else { continue };
        let Some(raw) = read_file(dir, &name, MAX_MANIFEST)? else { continue };
        if !digest.matches(&raw) {
            return Err(Error::corrupt(format!("{digest} has other bytes")));
        }
        let Ok(manifest) = Manifest::parse_with(raw, None, digest.algorithm()) else { continue };
        if manifest.subject().is_some_and(|about| about.digest == *subject) {
            found.push(Referrer { descriptor: manifest.descriptor(), tag: None });
        }
    }
    Ok(found)
}

/// The digest that a blob's file name stands for.
fn digest_of(name: &str) -> Option<Digest> {
    let full = match name.split_once('-') {
        Some((algorithm, hex)) => format!("{algorithm}:{hex}"),
        None => format!("sha256:{name}"),
    };
    full.parse().ok()
}

/// A plain directory, for writing one image.
///
/// What an earlier image had in common stays; the rest of it goes when the new one is there.
pub struct DirectorySink {
    path: PathBuf,
    /// Made when there is something to write.
    staging: OnceCell<Arc<Staging>>,
    /// What belongs to this image, and the name of its file.
    needs: Mutex<HashMap<Digest, String>>,
    root: Mutex<Option<Manifest>>,
}

impl DirectorySink {
    /// A sink for the directory at `path`, which is made when the first content arrives.
    ///
    /// # Errors
    /// `AlreadyExists` when something else than an earlier image of this form is there.
    pub fn new(path: &Path) -> Result<DirectorySink> {
        refuse_foreign(path)?;
        Ok(DirectorySink {
            path: path.to_owned(),
            staging: OnceCell::new(),
            needs: Mutex::default(),
            root: Mutex::default(),
        })
    }

    async fn staging(&self) -> Result<Arc<Staging>> {
        let path = self.path.clone();
        let begin = || blocking(move || Staging::begin(&path, &MARKER).map(Arc::new));
        self.staging.get_or_try_init(begin).await.cloned()
    }

    fn need(&self, digest: &Digest, name: String) {
        let mut needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        needs.insert(digest.clone(), name);
    }

    fn root(&self) -> MutexGuard<'_, Option<Manifest>> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only nothing, or an image that was written in this form, may be written over.
fn refuse_foreign(path: &Path) -> Result<()> {
    let looking = || format!("opening dir:{}", path.display());
    let dir = match Dir::open(path) {
        Ok(dir) => dir,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(looking(), error)),
    };
    if dir.entries().doing(looking)?.is_empty() {
        return Ok(());
    }
    let version = read_file(&dir, MARKER.name, 1024).doing(looking)?;
    // Left empty by a writer that was killed right after it began.
    let known = [VERSION, VERSION_OTHERS, "Directory Transport Version: 1.0\n", ""];
    if version.is_some_and(|version| known.iter().any(|known| version == known.as_bytes())) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::AlreadyExists,
        format!(
            "{} is neither empty nor an image of dir:; it is not overwritten, remove it first",
            path.display()
        ),
    ))
}

impl Sink for DirectorySink {
    async fn current(&self) -> Result<Option<Descriptor>> {
        let path = self.path.clone();
        blocking(move || {
            let root = match Dir::open(&path) {
                Ok(dir) => read_root(&dir),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::io("opening the directory", error)),
            };
            let root = root.doing(|| format!("reading dir:{}", path.display()))?;
            Ok(root.map(|root| root.descriptor()))
        })
        .await
    }

    async fn presence(&self, what: &Descriptor) -> Result<Presence> {
        let name = file_name(&what.digest, what.media_type.is_manifest());
        let collected = self.staging.get().is_some_and(|s| s.size_of(&what.digest).is_some());
        if !collected && !self.path.join(&name).exists() {
            return Ok(Presence::Missing);
        }
        let (staging, known, held) = (self.staging().await?, what.clone(), name.clone());
        let there = blocking(move || {
            let there = staging.size_of(&known.digest) == Some(known.size);
            Ok(there || staging.hold(&known, staging.place(), &held)?)
        });
        if !there.await? {
            return Ok(Presence::Missing);
        }
        self.need(&what.digest, name);
        Ok(Presence::Present)
    }

    async fn put(&self, item: Item, content: Blob) -> Result<Descriptor> {
        let (known, is_manifest) = (item.descriptor, item.kind == ItemKind::Manifest);
        let content = match is_manifest {
            true => Blob::Bytes(content.into_bytes(MAX_MANIFEST).await?),
            false => content,
        };
        let staging = self.staging().await?;
        let (digest, size) = staging.write(content, known.as_ref(), Algorithm::Sha256).await?;
        self.need(&digest, file_name(&digest, is_manifest));
        Ok(known.unwrap_or_else(|| {
            // Whoever made the bytes knows better what they are.
            Descriptor::new(MediaType::Other("application/octet-stream".into()), digest, size)
        }))
    }

    async fn link(&self, _: &Descriptor, _: &Origin) -> Result<bool> {
        Ok(false)
    }

    async fn publish(&self, name: Option<&str>, root: &Manifest) -> Result<()> {
        if let Some(name) = name {
            return Err(Error::usage(format!(
                "dir:{} holds an image without a name, so it cannot be called {name:?}",
                self.path.display()
            )));
        }
        self.staging().await?;
        let mut current = self.root();
        if current.as_ref().is_some_and(|current| current.digest() != root.digest()) {
            let what = format!("dir:{} holds one image, and this is a second", self.path.display());
            return Err(Error::usage(what));
        }
        *current = Some(root.clone());
        Ok(())
    }

    async fn finish(&self) -> Result<()> {
        let (staging, root) = (self.staging.get().cloned(), self.root().clone());
        let (Some(staging), Some(root)) = (staging, root) else { return Ok(()) };
        let needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let raw = root.raw().clone();
        let writing = format!("writing dir:{}", self.path.display());
        blocking(move || complete(&staging, &needs, &raw).doing(|| writing)).await
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            usual: Usual::Whole,
            artifacts: true,
            keeps_manifests: true,
            wants_diff_ids: false,
            has_dialects: false,
        }
    }
}

/// Makes the image visible: content first, then the manifest, then away with what is not its own.
fn complete(staging: &Staging, needs: &HashMap<Digest, String>, raw: &Bytes) -> Result<()> {
    let digests: Vec<Digest> = needs.keys().cloned().collect();
    staging.flush(&digests)?;
    let lock = lock_place(staging.path(), &MARKER)?;
    let dir = staging.place();
    for (digest, name) in needs {
        staging.promote(digest, dir, name)?;
    }
    let others = digests.iter().any(|digest| digest.algorithm() != Algorithm::Sha256);
    let version = if others { VERSION_OTHERS } else { VERSION };
    lock.file().write_all_at(version.as_bytes(), 0).doing(|| "writing version")?;
    lock.file().sync_all().doing(|| "writing version")?;
    dir.sync().doing(|| "flushing")?;
    sys::write_file(dir, ROOT.as_bytes(), raw, 0o644)?;
    let keep: HashSet<&str> = needs.values().map(String::as_str).collect();
    for entry in dir.entries().doing(|| "listing")? {
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        if is_part(&name) && !keep.contains(&name[..]) {
            dir.remove_file(&entry.name).doing(|| format!("removing {name}"))?;
        }
    }
    dir.sync().doing(|| "flushing")
}

/// Whether a file of this name belongs to an image of this form: a blob, a manifest beside the
/// root, or a signature.
fn is_part(name: &str) -> bool {
    let numbered = |name: &str| {
        let number = name.strip_prefix("signature-");
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let of_instance = name
        .split_once('.')
        .is_some_and(|(digest, rest)| digest_of(digest).is_some() && numbered(rest));
    let blob = name.strip_suffix(INSTANCE).unwrap_or(name);
    digest_of(blob).is_some() || numbered(name) || of_instance
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::spec::Dialect;
    use crate::transport::cases::{
        bytes_of, check, check_children, check_sink, image, index, put_as_child, put_children,
        signature, store,
    };

    fn listing(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        let made = image(Dialect::Docker, "1");
        let sink = DirectorySink::new(&path).unwrap();
        assert!(!path.exists());
        check_sink(&sink, &made).await;
        sink.publish(None, &made.manifest).await.unwrap();
        assert!(!path.join(ROOT).exists());
        sink.finish().await.unwrap();
        drop(sink);
        check(&DirectorySource::open(&path).await.unwrap(), &made).await;
        let parts = made.manifest.as_image().unwrap();
        let mut expected = vec![ROOT.to_owned(), "version".to_owned()];
        expected.push(parts.config.digest.hex().to_owned());
        expected.extend(parts.layers.iter().map(|layer| layer.digest.hex().to_owned()));
        expected.sort();
        assert_eq!(listing(&path), expected);
        assert_eq!(
            std::fs::read_to_string(path.join("version")).unwrap(),
            "Directory Transport Version: 1.1\n"
        );
    }

    #[tokio::test]
    async fn lists_keep_their_images_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (image(Dialect::Oci, "1"), image(Dialect::Docker, "2"));
        let root = index(&[&one, &two]);
        let sink = DirectorySink::new(dir.path()).unwrap();
        put_as_child(&sink, &one).await.unwrap();
        put_as_child(&sink, &two).await.unwrap();
        put_as_child(&sink, &signature(&one)).await.unwrap();
        sink.publish(None, &root).await.unwrap();
        sink.finish().await.unwrap();
        let source = DirectorySource::open(dir.path()).await.unwrap();
        assert_eq!(source.read_root().await.unwrap().raw(), root.raw());
        check_children(&source, &one).await;
        check_children(&source, &two).await;
        let subject = one.manifest.descriptor();
        let referrers = source.referrers(&subject).await.unwrap();
        assert_eq!(referrers.len(), 1);
        assert_eq!(referrers[0].descriptor, signature(&one).manifest.descriptor());
        let name = format!("{}.manifest.json", one.manifest.digest().hex());
        assert!(listing(dir.path()).contains(&name));
    }

    #[tokio::test]
    async fn a_new_image_replaces_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let (old, new) = (image(Dialect::Oci, "old"), image(Dialect::Oci, "new"));
        store(&DirectorySink::new(path).unwrap(), &old, None).await.unwrap();
        for name in ["signature-1", "README", &format!("{}.signature-2", "a".repeat(64))] {
            std::fs::write(path.join(name), "x").unwrap();
        }
        let sink = DirectorySink::new(path).unwrap();
        assert_eq!(sink.current().await.unwrap().unwrap().digest, *old.manifest.digest());
        let parts = new.manifest.as_image().unwrap();
        assert_eq!(sink.presence(&parts.layers[0]).await.unwrap(), Presence::Missing);
        assert_eq!(sink.presence(&parts.layers[1]).await.unwrap(), Presence::Present);
        put_children(&sink, &new).await.unwrap();
        check(&DirectorySource::open(path).await.unwrap(), &old).await;
        sink.publish(None, &new.manifest).await.unwrap();
        sink.finish().await.unwrap();
        drop(sink);
        check(&DirectorySource::open(path).await.unwrap(), &new).await;
        assert_eq!(listing(path).len(), 6);
        assert!(listing(path).contains(&"README".to_owned()));
    }

    #[tokio::test]
    async fn foreign_directories_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "x").unwrap();
        for version in [None, Some("1"), Some("Directory Transport Version: 9\n")] {
            if let Some(text) = version {
                std::fs::write(dir.path().join("version"), text).unwrap();
            }
            let error = DirectorySink::new(dir.path()).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        }
        let error = DirectorySource::open(dir.path()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let missing = DirectorySource::open(&dir.path().join("x")).await.err().unwrap();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn one_image_without_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (image(Dialect::Oci, "1"), image(Dialect::Oci, "2"));
        let sink = DirectorySink::new(dir.path()).unwrap();
        store(&sink, &one, None).await.unwrap();
        assert!(sink.publish(Some("name"), &one.manifest).await.is_err());
        assert!(sink.publish(None, &two.manifest).await.is_err());
        sink.publish(None, &one.manifest).await.unwrap();
    }

    #[tokio::test]
    async fn other_algorithms_stand_before_the_digits() {
        let dir = tempfile::tempdir().unwrap();
        let made = image(Dialect::Oci, "1");
        let digest = Digest::compute(Algorithm::Sha512, b"abc");
        let what = Descriptor::new(MediaType::Other("x".into()), digest, 3);
        let sink = DirectorySink::new(dir.path()).unwrap();
        let item = Item { kind: ItemKind::Other, descriptor: Some(what.clone()) };
        sink.put(item, Blob::Bytes(Bytes::from_static(b"abc"))).await.unwrap();
        store(&sink, &made, None).await.unwrap();
        assert!(listing(dir.path()).contains(&format!("sha512-{}", what.digest.hex())));
        let version = std::fs::read_to_string(dir.path().join("version")).unwrap();
        assert_eq!(version, "Directory Transport Version: 1.2\n");
        let source = DirectorySource::open(dir.path()).await.unwrap();
        assert_eq!(bytes_of(&source, &what).await.unwrap(), &b"abc"[..]);
    }

    #[test]
    fn which_files_are_part_of_an_image() {
        let hex = "a".repeat(64);
        for part in [
            hex.clone(),
            format!("{hex}.manifest.json"),
            format!("sha512-{}", "b".repeat(128)),
            "signature-12".into(),
            format!("{hex}.signature-1"),
        ] {
            assert!(is_part(&part), "{part}");
        }
        for other in ["manifest.json", "version", "README", "signature-", "signature-x", ".creel-1"]
        {
            assert!(!is_part(other), "{other}");
        }
    }
}
