//! What is in use: everything that names, containers and living writers lead to.
//!
//! Owns the walk from digests alone. What a blob leads to follows from its bytes, never from what
//! another document calls it: else a hostile image that lists a manifest as its layer would hide
//! what that manifest needs. Promise: if anything that should lead on cannot be read, an error.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use super::prune::directories;
use super::{Image, Store, lease, open_blob, read_small};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{
    ChainId, Descriptor, DiffId, Digest, MAX_CONFIG, MAX_MANIFEST, Manifest, MediaType,
};

const HINT: &str = "nothing was removed; `creel-inspect check --repair` mends the store";

/// Something that is in use.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    digest: Digest,
    /// Whether whoever refers to it calls it a manifest.
    manifest: bool,
}

impl Reached {
    /// What a name stands for.
    pub(super) fn root(digest: &Digest) -> Reached {
        Reached { digest: digest.clone(), manifest: true }
    }

    fn unknown(digest: Digest) -> Reached {
        Reached { digest, manifest: false }
    }
}

/// Finds what is in use. What a blob leads to never changes, so it is read once.
pub(super) struct Marks<'a> {
    store: &'a Store,
    /// `None`: does not begin like a manifest.
    children: HashMap<Digest, Option<Vec<Reached>>>,
}

impl<'a> Marks<'a> {
    pub(super) fn new(store: &'a Store) -> Marks<'a> {
        Marks { store, children: HashMap::new() }
    }

    pub(super) fn store(&self) -> &'a Store {
        self.store
    }

    /// Leases, what containers need, and the images that `keep` accepts.
    pub(super) fn roots(&self, mut keep: impl FnMut(&Image) -> bool) -> Result<Vec<Reached>> {
        // Before names: a writer ends its lease only after its name is there.
        let mut pinned = lease::leased(&self.store.tmp())?;
        for path in directories(&self.store.root.join("containers"))? {
            pinned.extend(lease::read(&path.join("needs"))?);
        }
        for path in self.store.mount_needs()? {
            pinned.extend(lease::read(&path)?);
        }
        let mut roots: Vec<Reached> = pinned.into_iter().map(Reached::unknown).collect();
        for (path, record) in self.store.records()? {
            let damaged = || format!("the name in {} cannot be read; {HINT}", path.display());
            let image = record.map_err(|error| error.while_doing(damaged()))?;
            if keep(&image) {
                roots.extend(image.roots().map(Reached::root));
            }
        }
        Ok(roots)
    }

    /// Everything that `roots` lead to, themselves included.
    pub(super) fn below(
        &mut self,
        roots: impl IntoIterator<Item = Reached>,
    ) -> Result<HashSet<Digest>> {
        let mut found = HashSet::new();
        let mut ahead: Vec<Reached> = roots.into_iter().collect();
        while let Some(next) = ahead.pop() {
            let new = found.insert(next.digest.clone());
            if !new && !next.manifest {
                continue;
            }
            if !self.children.contains_key(&next.digest) {
                let Some(children) = self.read(&next.digest)? else { continue };
                self.children.insert(next.digest.clone(), children);
            }
            match self.children.get(&next.digest) {
                Some(Some(children)) if new => ahead.extend(children.iter().cloned()),
                Some(None) if next.manifest => {
                    let what = format!("{} is damaged: it is no manifest; {HINT}", next.digest);
                    return Err(Error::corrupt(what));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// What a blob refers to. Nothing at all if it is not there, which is no reason to stop: an
    /// index may be here for one platform.
    fn read(&self, digest: &Digest) -> Result<Option<Option<Vec<Reached>>>> {
        let size = match self.store.size_of(digest)? {
            None => return Ok(None),
            Some(size) if size > MAX_MANIFEST.max(MAX_CONFIG) => return Ok(Some(None)),
            Some(size) => size,
        };
        let what = Descriptor::new(MediaType::Other("blob".to_owned()), digest.clone(), size);
        let reading = || format!("finding out what {digest} needs; {HINT}");
        let blob = open_blob(&self.store.blob_path(digest), &what).doing(reading)?;
        let mut first = [0];
        let length = (&*blob.file).read(&mut first).doing(reading)?;
        if length == 0 || first != *b"{" {
            return Ok(Some(None));
        }
        let raw = read_small(blob, &what, MAX_MANIFEST.max(MAX_CONFIG)).doing(reading)?;
        let trees = trees(&raw);
        let manifest = match Manifest::parse(raw, None) {
            Ok(manifest) => manifest,
            // A config or something else in JSON.
            Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported) => {
                return Ok(Some(Some(trees)));
            }
            Err(error) => return Err(error.while_doing(reading())),
        };
        let reached = |child: &Descriptor| Reached {
            digest: child.digest.clone(),
            manifest: child.media_type.is_manifest(),
        };
        let children = manifest.children().into_iter().map(reached);
        Ok(Some(Some(children.chain(trees).collect())))
    }
}

/// The names of unpacked layers that the bytes of a config lead to: diff IDs and chain IDs.
fn trees(raw: &[u8]) -> Vec<Reached> {
    #[derive(serde::Deserialize)]
    struct Config {
        rootfs: RootFs,
    }
    #[derive(serde::Deserialize)]
    struct RootFs {
        diff_ids: Vec<DiffId>,
    }
    let Ok(config) = serde_json::from_slice::<Config>(raw) else { return Vec::new() };
    let diff_ids = config.rootfs.diff_ids;
    let chain_ids = ChainId::of_stack(&diff_ids).into_iter().map(|chain| chain.0);
    let all = diff_ids.into_iter().map(|layer| layer.0).chain(chain_ids);
    all.map(Reached::unknown).collect()
}
