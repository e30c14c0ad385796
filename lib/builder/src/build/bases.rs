//! Finding base images: in the store, else from wherever their names point to.
//!
//! Promise: an image that the store has costs no request; one that has to come goes through `copy`
//! and is whole before it is used. The only part of a build that enters async code.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::execute::NamedContext;
use super::fetch::GitSettings;
use crate::copy::{CopyOptions, Remembered, Selection, Session, Shape, copy};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Listener;
use crate::spec::{Descriptor, Digest, Image, Manifest, Platform, Reference};
use crate::store::{Store, StoreName, Writer};
use crate::transport::{Bare, Entry, Location, Places, SideOptions, Sink, Source, layout_entries};

/// How images and files come from elsewhere.
pub struct Remote {
    /// Opens places; only asked when an image has to come.
    pub places: Box<dyn Fn() -> Result<Places> + Send + Sync>,
    /// Credentials and the like.
    pub side: SideOptions,
    /// Blobs on their way at the same time.
    pub jobs: usize,
    /// Told what moves.
    pub listener: Listener,
    /// How git repositories are reached.
    pub git: GitSettings,
    /// Most bytes of a file or a repository that is fetched.
    pub max_fetch: u64,
}

/// When an image is fetched although the store may have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// When the store does not have it.
    #[default]
    Missing,
    /// Always: names are resolved again.
    Always,
    /// Never.
    Never,
}

/// Base images of one build, each looked for once.
pub(super) struct Finder<'a> {
    pub(super) store: &'a Store,
    pub(super) writer: &'a Writer,
    pub(super) remote: &'a Remote,
    pub(super) pull: Pull,
    found: BTreeMap<(String, String), Arc<Image>>,
    /// Why one could not be had.
    pub(super) failure: Option<Error>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(
        store: &'a Store,
        writer: &'a Writer,
        remote: &'a Remote,
        pull: Pull,
    ) -> Finder<'a> {
        Finder { store, writer, remote, pull, found: BTreeMap::new(), failure: None }
    }

    /// The image of a full name for a platform.
    pub(super) fn find(&mut self, name: &str, platform: &Platform) -> Result<Arc<Image>> {
        let key = (name.to_owned(), platform.to_string());
        if let Some(found) = self.found.get(&key) {
            return Ok(found.clone());
        }
        if let Some(place) = name.strip_prefix(NamedContext::LAYOUT) {
            let opening = || format!("opening {name}");
            let image = self.of_layout(place, platform).map_err(|e| e.while_doing(opening()))?;
            return Ok(self.found.entry(key).or_insert(Arc::new(image)).clone());
        }
        let store_name = StoreName::Named(Reference::parse(name)?.with_default_tag());
        let held = match self.pull {
            Pull::Always => None,
            _ => self.held(&store_name, platform)?,
        };
        let image = match held {
            Some(image) => image,
            None if self.pull == Pull::Never => {
                return Err(Error::not_found(format!(
                    "the store has no {name} for {platform}, and --pull=never forbids to fetch it"
                )));
            }
            None => self.fetch(name, &store_name, platform)?,
        };
        let image = Arc::new(image);
        self.found.insert(key, image.clone());
        Ok(image)
    }

    /// What the store has of a name for a platform.
    fn held(&self, name: &StoreName, platform: &Platform) -> Result<Option<Image>> {
        let Some(root) = self.store.resolve(name)? else { return Ok(None) };
        let Some(manifest) = self.choose(&root, platform)? else { return Ok(None) };
        // Counts on it from now on, and looks whether all of it is there.
        match self.writer.need(&manifest.descriptor())? {
            crate::store::Holding::Whole => self.image(manifest).map(Some),
            _ => Ok(None),
        }
    }

    fn image(&self, manifest: Manifest) -> Result<Image> {
        let body = manifest.as_image().ok_or_else(|| {
            Error::unsupported(format!("{} is not the manifest of an image", manifest.digest()))
        })?;
        let config = self.store.config(&body.config)?;
        Image::new(manifest, config)
    }

    /// The manifest for a platform, of an image or an index; `None` if it is not there.
    fn choose(&self, root: &Descriptor, platform: &Platform) -> Result<Option<Manifest>> {
        let read = |what: &Descriptor| match self.store.manifest(what) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        };
        let mut next = root.clone();
        for _ in 0..crate::spec::MAX_INDEX_DEPTH {
            let Some(manifest) = read(&next)? else { return Ok(None) };
            let Some(index) = manifest.as_index() else {
                return Ok(Some(manifest));
            };
            match platform.choose(&index.manifests) {
                Some(entry) => next = entry.clone(),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The image of a layout, `DIR[:TAG][@DIGEST]`. Its bytes are in the store then.
    fn of_layout(&self, place: &str, platform: &Platform) -> Result<Image> {
        let digest = place
            .rsplit_once('@')
            .and_then(|(rest, text)| text.parse::<Digest>().ok().map(|digest| (rest, digest)));
        let (rest, digest) = match digest {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (place, None),
        };
        let mut from = Location::parse(&format!("oci:{rest}"), Bare::Store)?;
        if let (Location::Layout(at), Some(digest)) = (&mut from, &digest) {
            let known = layout_entries(&at.path)?;
            let number = known.iter().position(|entry| entry.digest == *digest);
            let number = number.ok_or_else(|| {
                Error::not_found(format!("{} has no {digest}", at.path.display()))
            })?;
            at.entry = Entry::Nth(number);
        }
        let places = (self.remote.places)()?;
        let root =
            run_async(async { places.source(&from, &self.remote.side).await?.resolve().await })?;
        let name = StoreName::Digest(root.digest);
        match self.held(&name, platform)? {
            Some(image) => Ok(image),
            None => self.copy(from, &name, platform),
        }
    }

    /// Brings an image into the store, under its name.
    fn fetch(&self, name: &str, store_name: &StoreName, platform: &Platform) -> Result<Image> {
        let from = Location::Registry(Reference::parse(name)?);
        self.copy(from, store_name, platform)
            .map_err(|error| error.while_doing(format!("fetching {name}")))
    }

    fn copy(&self, from: Location, name: &StoreName, platform: &Platform) -> Result<Image> {
        let places = (self.remote.places)()?;
        let work = async {
            let to = Location::Store(name.clone());
            let source = Arc::new(places.source(&from, &self.remote.side).await?);
            let sink = Arc::new(places.sink(&to, &self.remote.side)?);
            let shape = Shape::Sparse;
            let options = CopyOptions {
                selection: Selection::Platforms(vec![platform.clone()], shape),
                ..CopyOptions::default()
            };
            let session = Session::new(
                self.remote.jobs,
                self.remote.listener.clone(),
                Remembered::new(None),
                &places.scratch(),
            );
            copy(source, sink.clone(), &to.to_string(), Arc::new(options), &session).await?;
            sink.finish().await
        };
        run_async(work)?;
        self.held(name, platform)?
            .ok_or_else(|| Error::not_found(format!("{from} has no image for {platform}")))
    }
}

/// Runs what waits for networks.
pub(super) fn run_async<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::io("starting", error))?;
    runtime.block_on(work)
}
