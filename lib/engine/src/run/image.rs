//! The image of a run: found in the store, or brought there first.

use std::path::PathBuf;

use super::supply::{Fetcher, Wanted};
use super::{Engine, Pull, RunRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::ImageDefaults;
use crate::spec::{Descriptor, Digest, Image, MAX_INDEX_DEPTH, Manifest, Platform};
use crate::store::{Store, StoreName, UnpackSettings};
use crate::transport::{Bare, Location};

/// Fewer digits of an ID than this name no image.
const LEAST_DIGITS: usize = 4;

/// An image that is in the store.
pub(super) struct Chosen {
    pub(super) image: Image,
}

impl Chosen {
    /// Looks for the image, and fetches it as the request allows.
    pub(super) fn find(
        engine: &Engine,
        request: &RunRequest,
        text: &str,
        fetcher: &mut Fetcher<'_>,
    ) -> Result<Chosen> {
        let store = &engine.store;
        let platform = request.platform.as_ref();
        let location = Location::parse(text, Bare::Store)?;
        let Location::Store(name) = &location else {
            // An archive, a layout, …: its content may be another than last time.
            let name = fetcher.fetch(&Wanted { text, platform })?;
            return held(store, &name, platform)?.ok_or_else(|| no_such(text, platform));
        };
        if matches!(request.pull, Pull::Missing | Pull::Never)
            && let Some(found) = look(store, text, name, platform)?
        {
            return Ok(found);
        }
        if request.pull == Pull::Never {
            return Err(no_such(text, platform));
        }
        let known = fetcher.name_of(text)?;
        if request.pull == Pull::Missing
            && known != *name
            && let Some(found) = held(store, &known, platform)?
        {
            return Ok(found);
        }
        match fetcher.fetch(&Wanted { text, platform }) {
            Err(error) if request.pull == Pull::Newer => {
                held(store, &known, platform)?.ok_or(error)
            }
            Err(error) => Err(error),
            Ok(name) => held(store, &name, platform)?.ok_or_else(|| no_such(text, platform)),
        }
    }

    /// What must stay in the store for its containers.
    pub(super) fn needs(&self) -> Vec<Digest> {
        vec![self.image.manifest().digest().clone()]
    }

    /// The trees to stack, lowest first. They stay while a container has them among its needs.
    pub(super) fn trees(&self, store: &Store) -> Result<Vec<PathBuf>> {
        match store.ready(&self.image)? {
            Some(trees) => Ok(trees),
            None => store.begin()?.unpack(&self.image, &UnpackSettings::default()),
        }
    }

    /// What a person should know about it.
    pub(super) fn warning(&self, asked: Option<&Platform>) -> Option<String> {
        let (own, host) = (self.image.platform(), Platform::host());
        let foreign = host.accepts(&own).is_none() && asked.is_none();
        foreign.then(|| {
            format!(
                "the image's platform ({own}) does not match the host's ({host}), and no specific \
                 platform was requested"
            )
        })
    }

    /// What it says about its containers.
    pub(super) fn defaults(&self) -> ImageDefaults {
        let config = &self.image.config().fields().config;
        ImageDefaults {
            entrypoint: config.entrypoint.clone(),
            cmd: config.cmd.clone(),
            env: config.env.clone(),
            user: config.user.clone(),
            workdir: config.working_dir.clone(),
            volumes: config.volumes.clone(),
            stop_signal: config.stop_signal.clone(),
            exposed_ports: config.exposed_ports.clone(),
            labels: config.labels.clone(),
        }
    }
}

fn no_such(text: &str, platform: Option<&Platform>) -> Error {
    let of = platform.map(|platform| format!(" for {platform}")).unwrap_or_default();
    Error::not_found(format!("no such image in the store: {text}{of}"))
}

/// By name, or else by the first digits of its ID.
fn look(
    store: &Store,
    text: &str,
    name: &StoreName,
    platform: Option<&Platform>,
) -> Result<Option<Chosen>> {
    if let Some(found) = held(store, name, platform)? {
        return Ok(Some(found));
    }
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_id = (LEAST_DIGITS..=64).contains(&digits.len())
        && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match is_id {
        true => by_id(store, digits, platform),
        false => Ok(None),
    }
}

fn by_id(store: &Store, digits: &str, platform: Option<&Platform>) -> Result<Option<Chosen>> {
    let mut found: Vec<Descriptor> = Vec::new();
    for named in store.images()? {
        let fits = named.images.iter().filter(|image| image.config.hex().starts_with(digits));
        for image in fits {
            let manifest = below(store, &named.descriptor, &image.manifest, MAX_INDEX_DEPTH)?;
            found.extend(manifest.filter(|one| !found.iter().any(|o| o.digest == one.digest)));
        }
    }
    match found.as_slice() {
        [] => Ok(None),
        [one] => match if_there(store.manifest(one))? {
            Some(manifest) => chosen(store, manifest, platform),
            None => Ok(None),
        },
        several => Err(Error::usage(format!(
            "{digits} may be any of {} images: write more digits",
            several.len()
        ))),
    }
}

/// The descriptor of a manifest at or below `root`.
fn below(
    store: &Store,
    root: &Descriptor,
    wanted: &Digest,
    depth: usize,
) -> Result<Option<Descriptor>> {
    if root.digest == *wanted {
        return Ok(Some(root.clone()));
    }
    if depth == 0 || !root.media_type.is_manifest() {
        return Ok(None);
    }
    let Some(manifest) = if_there(store.manifest(root))? else { return Ok(None) };
    for child in manifest.as_index().iter().flat_map(|index| &index.manifests) {
        if let Some(found) = below(store, child, wanted, depth - 1)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The image that a name stands for on a platform; `None` when the name is unknown, or stands for
/// images of other platforms.
fn held(store: &Store, name: &StoreName, platform: Option<&Platform>) -> Result<Option<Chosen>> {
    let Some(root) = store.resolve(name)? else { return Ok(None) };
    let Some(manifest) = choose(store, &root, platform, MAX_INDEX_DEPTH)? else { return Ok(None) };
    chosen(store, manifest, platform)
}

fn chosen(
    store: &Store,
    manifest: Manifest,
    platform: Option<&Platform>,
) -> Result<Option<Chosen>> {
    let Some(body) = manifest.as_image() else {
        return Err(Error::unsupported(format!(
            "{} is not the manifest of one image",
            manifest.digest()
        )));
    };
    let Some(config) = if_there(store.config(&body.config))? else { return Ok(None) };
    let image = Image::new(manifest, config)?;
    let fits = platform.is_none_or(|wanted| wanted.accepts(&image.platform()).is_some());
    Ok(fits.then_some(Chosen { image }))
}

/// Goes down an index to the manifest for a platform.
fn choose(
    store: &Store,
    what: &Descriptor,
    platform: Option<&Platform>,
    depth: usize,
) -> Result<Option<Manifest>> {
    let Some(manifest) = if_there(store.manifest(what))? else { return Ok(None) };
    let Some(index) = manifest.as_index() else { return Ok(Some(manifest)) };
    let host = Platform::host();
    let child = platform.unwrap_or(&host).choose(&index.manifests);
    match child.filter(|_| depth > 0) {
        Some(child) => choose(store, child, platform, depth - 1),
        None => Ok(None),
    }
}

/// What is missing or damaged is fetched again.
fn if_there<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => Ok(None),
        Err(error) => Err(error),
    }
}
