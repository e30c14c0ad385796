//! Frees what nothing refers to.
//!
//! Owns the decision what goes. Everything is read once without a lock; then, under the lock, names
//! and leases are read again, names are removed for good, content is moved aside, and only after
//! the lock is gone is it deleted. Promise: nothing that a name, a container or a living writer
//! needs is taken, and when anything that is referred to cannot be read, nothing is.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::marks::{Marks, Reached};
use super::partial::Partials;
use super::{Image, LayerRecord, Store, StoreName};
use crate::error::{Error, IoContext, Result};
use crate::spec::{Algorithm, Digest};
use crate::sys::LockMode;

/// What a layer is called while it is removed in its place.
const GONE: &str = "gone";

/// What is freed.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// Only what has not changed for this time.
    pub older_than: Option<Duration>,
    /// Then the oldest tagged names too, until content takes up no more bytes than this, or all
    /// names are younger than `older_than`.
    pub max_size: Option<u64>,
    /// Report, but remove nothing.
    pub dry_run: bool,
}

/// What was freed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Names taken away: untagged results, and what `max_size` asked for.
    pub names: Vec<String>,
    /// Number of blobs.
    pub blobs: u64,
    /// Number of unpacked layers.
    pub layers: u64,
    /// Number of cut downloads.
    pub partials: u64,
    /// Bytes of all that.
    pub bytes: u64,
}

/// What goes.
#[derive(Default)]
struct Plan {
    names: Vec<Image>,
    content: Vec<Stored>,
}

/// A blob or an unpacked layer on disk.
pub(super) struct Stored {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) path: PathBuf,
    changed: SystemTime,
    tree: bool,
}

impl Store {
    /// Removes untagged results, blobs that nothing refers to, cut downloads, and what writers that
    /// are gone have left. Referrers of an image stay as long as it does.
    ///
    /// # Errors
    /// `Corrupt` if a name, or a manifest in use, is damaged; then nothing is removed.
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned> {
        if !self.root.exists() {
            return Ok(Pruned::default());
        }
        let mut marks = Marks::new(self);
        let mut pruned = if options.dry_run {
            plan(&mut marks, options)?.report()
        } else {
            self.writable()?;
            self.sweep()?;
            self.forget_old_mounts()?;
            self.take_away(|| plan(&mut marks, options))?
        };
        self.drop_partials(options, &mut pruned)?;
        Ok(pruned)
    }

    /// Takes a name away, and what nothing else needs of the image it stood for.
    ///
    /// # Errors
    /// `NotFound` when nothing has that name.
    pub fn remove(&self, name: &StoreName) -> Result<Pruned> {
        self.writable()?;
        let missing = || Error::not_found(format!("the store has no image {name}"));
        let mut marks = Marks::new(self);
        self.take_away(|| {
            let image = self.image(name)?.ok_or_else(missing)?;
            let below = marks.below(image.roots().map(Reached::root))?;
            let kept = marks.roots(|other| other.name != image.name)?;
            let live = marks.below(kept)?;
            let gone = |it: &Stored| below.contains(&it.digest) && !live.contains(&it.digest);
            let content = self.content()?.into_iter().filter(gone).collect();
            Ok(Plan { names: vec![image], content })
        })
    }

    /// The content that no name, container or living writer needs, with its size: blobs and
    /// unpacked layers, which have one digest where a layer is there in both forms.
    pub fn loose(&self) -> Result<Vec<(Digest, u64)>> {
        if !self.root.exists() {
            return Ok(Vec::new());
        }
        let content = loose(&mut Marks::new(self))?.into_iter();
        Ok(content.map(|content| (content.digest, content.size)).collect())
    }

    /// Removes those of `digests` that no name, container or living writer needs.
    pub fn remove_loose(&self, digests: &HashSet<Digest>) -> Result<Pruned> {
        if digests.is_empty() || !self.root.exists() {
            return Ok(Pruned::default());
        }
        self.writable()?;
        let mut marks = Marks::new(self);
        self.take_away(|| {
            let mut content = loose(&mut marks)?;
            content.retain(|content| digests.contains(&content.digest));
            Ok(Plan { names: Vec::new(), content })
        })
    }

    /// Carries out what `plan` decides while nothing can change.
    fn take_away(&self, mut plan: impl FnMut() -> Result<Plan>) -> Result<Pruned> {
        // Once without the lock, so that what takes long has been read before it is held.
        plan()?;
        // On a full disk there may be no room to move anything to.
        let aside = self.workplace().ok();
        let alone = self.lock(LockMode::Exclusive)?;
        let plan = plan()?;
        for image in &plan.names {
            self.steps.remove(&self.image_path(&StoreName::parse(&image.name)?))?;
        }
        if !plan.names.is_empty() {
            // A name that came back after a power cut would find its content gone.
            self.steps.flush_dir(&self.images_dir())?;
        }
        for content in &plan.content {
            match &aside {
                Some(aside) => self.steps.rename(&content.path, &aside.fresh())?,
                None if content.tree => self.remove_tree(&content.path)?,
                None => drop(self.steps.remove(&content.path)?),
            }
        }
        drop(alone);
        drop(aside);
        Ok(plan.report())
    }

    /// Cut downloads, and notes on cut uploads.
    fn drop_partials(&self, options: &PruneOptions, pruned: &mut Pruned) -> Result<()> {
        let idle = Partials::new(&self.root).idle().doing(|| "listing cut downloads")?;
        for file in idle.iter().filter(|file| old_enough(file.changed, options.older_than)) {
            if !options.dry_run && !file.remove()? {
                continue;
            }
            pruned.partials += u64::from(file.path.extension().is_none());
            pruned.bytes += file.size;
        }
        for (path, meta) in files(&self.uploads())? {
            let free = std::fs::File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
            let changed = meta.modified().unwrap_or(SystemTime::now());
            if free && old_enough(changed, options.older_than) {
                if !options.dry_run {
                    self.steps.remove(&path)?;
                }
                pruned.bytes += meta.len();
            }
        }
        Ok(())
    }

    /// Removes an unpacked layer in its place. It loses its name first: half a tree has none.
    pub(super) fn remove_tree(&self, path: &Path) -> Result<()> {
        let gone = self.layers_dir().join(GONE);
        super::intake::remove(&gone);
        self.steps.rename(path, &gone)?;
        super::intake::remove(&gone);
        Ok(())
    }

    /// All blobs and unpacked layers there are.
    fn content(&self) -> Result<Vec<Stored>> {
        let mut content = self.blobs()?;
        for layer in self.unpacked_layers()? {
            let record = LayerRecord::read(&layer.path);
            let changed = std::fs::metadata(&layer.path).and_then(|meta| meta.modified());
            content.push(Stored {
                digest: layer.digest,
                size: record.ok().flatten().map_or(0, |record| record.bytes),
                path: layer.path,
                changed: changed.unwrap_or(SystemTime::now()),
                tree: true,
            });
        }
        Ok(content)
    }

    /// All blobs there are.
    pub(super) fn blobs(&self) -> Result<Vec<Stored>> {
        let mut blobs = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let directory = self.root.join("blobs").join(algorithm.as_str());
            for (path, meta) in files(&directory)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                // Foreign files are nobody's to delete.
                let Ok(digest) = format!("{}:{name}", algorithm.as_str()).parse() else { continue };
                let changed = meta.modified().unwrap_or(SystemTime::now());
                let size = meta.len();
                blobs.push(Stored { digest, size, path, changed, tree: false });
            }
        }
        Ok(blobs)
    }
}

impl Plan {
    fn report(&self) -> Pruned {
        Pruned {
            names: self.names.iter().map(|image| image.name.clone()).collect(),
            blobs: self.content.iter().filter(|content| !content.tree).count() as u64,
            layers: self.content.iter().filter(|content| content.tree).count() as u64,
            partials: 0,
            bytes: self.content.iter().map(|content| content.size).sum(),
        }
    }
}

/// What is not in use, whatever its age.
fn loose(marks: &mut Marks<'_>) -> Result<Vec<Stored>> {
    let roots = marks.roots(|_| true)?;
    let live = marks.below(roots)?;
    let mut content = marks.store().content()?;
    content.retain(|content| !live.contains(&content.digest));
    Ok(content)
}

fn plan(marks: &mut Marks<'_>, options: &PruneOptions) -> Result<Plan> {
    let mut kept = Vec::new();
    let pinned = marks.roots(|image| {
        kept.push(image.clone());
        false
    })?;
    let content = marks.store().content()?;
    let loose: Vec<Image> = kept
        .extract_if(.., |image| {
            image.name.starts_with('@') && old_enough(image.time(), options.older_than)
        })
        .collect();
    let mut names = without_subjects(marks, loose, &mut kept, &pinned)?;
    if let Some(limit) = options.max_size {
        let bounds = (limit, options.older_than);
        names.extend(oldest(marks, bounds, &mut kept, &pinned, &content)?);
    }
    let live = live(marks, &kept, &pinned)?;
    let gone = |content: &Stored| {
        !live.contains(&content.digest) && old_enough(content.changed, options.older_than)
    };
    Ok(Plan { names, content: content.into_iter().filter(gone).collect() })
}

/// Those of `loose` that are about nothing in use; the others join `kept`.
fn without_subjects(
    marks: &mut Marks<'_>,
    mut loose: Vec<Image>,
    kept: &mut Vec<Image>,
    pinned: &[Reached],
) -> Result<Vec<Image>> {
    loop {
        let live = live(marks, kept, pinned)?;
        let about = |image: &Image| image.subject.as_ref().is_some_and(|s| live.contains(s));
        let (used, rest): (Vec<Image>, Vec<Image>) = loose.into_iter().partition(about);
        if used.is_empty() {
            return Ok(rest);
        }
        // Something may be about these, in turn.
        kept.extend(used);
        loose = rest;
    }
}

/// Takes the oldest of `kept` away until what the others need fits into `limit`; what is younger
/// than `age` stays in any case.
fn oldest(
    marks: &mut Marks<'_>,
    (limit, age): (u64, Option<Duration>),
    kept: &mut Vec<Image>,
    pinned: &[Reached],
    content: &[Stored],
) -> Result<Vec<Image>> {
    let mut sizes: HashMap<&Digest, u64> = HashMap::new();
    for content in content {
        *sizes.entry(&content.digest).or_default() += content.size;
    }
    let size = |digest: &Digest| sizes.get(digest).copied().unwrap_or(0);
    let mut live = marks.below(pinned.to_vec())?;
    let mut used: u64 = live.iter().map(size).sum();
    kept.sort_by_key(|image| std::cmp::Reverse(image.time()));
    let (mut fits, mut gone) = (Vec::new(), Vec::new());
    for image in kept.drain(..) {
        let below = marks.below(image.roots().map(Reached::root))?;
        let more: u64 = below.difference(&live).map(size).sum();
        if used + more <= limit || !old_enough(image.time(), age) {
            used += more;
            live.extend(below);
            fits.push(image);
        } else {
            gone.push(image);
        }
    }
    *kept = fits;
    Ok(gone)
}

fn live(marks: &mut Marks<'_>, images: &[Image], pinned: &[Reached]) -> Result<HashSet<Digest>> {
    let named = images.iter().flat_map(Image::roots).map(Reached::root);
    marks.below(named.chain(pinned.iter().cloned()))
}

/// The regular files in a directory; none if there is no directory.
pub(super) fn files(directory: &Path) -> Result<Vec<(PathBuf, std::fs::Metadata)>> {
    let mut found = list(directory)?;
    found.retain(|(_, meta)| meta.is_file());
    Ok(found)
}

pub(super) fn directories(directory: &Path) -> Result<Vec<PathBuf>> {
    let found = list(directory)?.into_iter();
    Ok(found.filter(|(_, meta)| meta.is_dir()).map(|(path, _)| path).collect())
}

/// What is in a directory, links not followed.
pub(super) fn list(directory: &Path) -> Result<Vec<(PathBuf, std::fs::Metadata)>> {
    let listing = || format!("listing {}", directory.display());
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(listing(), error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.doing(listing)?;
        match entry.metadata() {
            Ok(meta) => found.push((entry.path(), meta)),
            // Gone since it was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(listing(), error)),
        }
    }
    Ok(found)
}

/// A clock that went backwards makes nothing old.
fn old_enough(changed: SystemTime, age: Option<Duration>) -> bool {
    let Some(age) = age else { return true };
    SystemTime::now().duration_since(changed).is_ok_and(|since| since >= age)
}
