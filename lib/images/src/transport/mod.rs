//! Places: where images come from and go to.
//!
//! A [`Source`] resolves names and opens content; a [`Sink`] says what it has, takes content and
//! publishes names. Nothing is decided here: `copy` plans, places obey. Adding a kind of place is
//! one variant of [`Location`], one file, and the arms of the two enums in `any.rs`.

mod any;
mod archive;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod cases;
mod containers_storage;
mod directory;
mod docker_archive;
mod docker_daemon;
mod layout;
mod layout_archive;
mod location;
mod places;
mod registry;
mod store;

pub use crate::store::StoreName;
pub use any::{AnySink, AnySource};
pub use containers_storage::StorageSource;
pub use directory::{DirectorySink, DirectorySource};
pub use docker_archive::{DockerArchiveSink, DockerArchiveSource, names as docker_archive_names};
pub use docker_daemon::DockerDaemonSink;
pub use layout::{
    Collected, LayoutSink, LayoutSource, archive_entries as layout_archive_entries,
    collect_garbage as collect_layout_garbage, entries as layout_entries,
    remove_name as remove_layout_name,
};
pub use layout_archive::LayoutArchiveSink;
pub use location::{Bare, Entry, InPath, Location};
pub use places::{Places, PlacesOptions, SideOptions};
pub use registry::{RegistrySink, RegistrySource};
pub use store::{StoreSink, StoreSource};

use crate::blob::Blob;
use crate::error::Result;
use crate::spec::{Descriptor, DiffId, Digest, Manifest, Reference};

/// Where content can be read.
pub trait Source: Send + Sync {
    /// Finds what the place's name points to, without reading it.
    ///
    /// # Errors
    /// `NotFound` when nothing has the name; `Usage` when there is no name and several images.
    fn resolve(&self) -> impl Future<Output = Result<Descriptor>> + Send;

    /// Finds and reads the root manifest, in one request where the place allows it.
    fn read_root(&self) -> impl Future<Output = Result<Manifest>> + Send;

    /// Opens one blob or manifest; whoever reads it to the end knows that it matches.
    fn open(&self, what: &Descriptor) -> impl Future<Output = Result<Blob>> + Send;

    /// Whether content is there in its size, as far as that costs no request; what is looked at is
    /// not read.
    ///
    /// # Errors
    /// `NotFound`, and `Corrupt` for another size.
    fn glance(&self, _what: &Descriptor) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Opens what a layer holds, for whoever wants to look into it: its bytes, or where the place
    /// has them no more, its files as another archive.
    fn open_layer(&self, layer: &Descriptor) -> impl Future<Output = Result<LayerContent>> + Send {
        async { self.open(layer).await.map(LayerContent::Blob) }
    }

    /// The size of a blob that no descriptor tells (schema 1 manifests do not).
    fn measure(&self, blob: &Digest) -> impl Future<Output = Result<u64>> + Send;

    /// What is known to refer to `subject`: signatures, SBOMs, attestations (one level).
    fn referrers(&self, subject: &Descriptor)
    -> impl Future<Output = Result<Vec<Referrer>>> + Send;

    /// Where the content is, for sinks that can take it from there without moving bytes.
    fn origin(&self) -> Origin;
}

/// Where content can be put.
pub trait Sink: Send + Sync {
    /// What the place's name points to now; `None` when it is free (or there is no name), or
    /// where that cannot be found out cheaply. For decisions that only save work.
    fn current(&self) -> impl Future<Output = Result<Option<Descriptor>>> + Send;

    /// What the place's name points to now, asked for certain, whatever that costs.
    fn occupant(&self) -> impl Future<Output = Result<Option<Descriptor>>> + Send {
        self.current()
    }

    /// Whether something is there already. May answer `Missing` where asking costs as much as
    /// putting.
    fn presence(&self, what: &Descriptor) -> impl Future<Output = Result<Presence>> + Send;

    /// Takes the bytes; returns the descriptor they ended up with.
    fn put(&self, item: Item, content: Blob) -> impl Future<Output = Result<Descriptor>> + Send;

    /// Cheaper than bytes when possible: a registry mounts what another of its repositories has.
    /// `false`: nothing was done, send the bytes.
    fn link(&self, what: &Descriptor, origin: &Origin)
    -> impl Future<Output = Result<bool>> + Send;

    /// Makes `root` (whose children are all there) visible under the place's name, or under
    /// `name` instead. Puts the root's own bytes as well.
    fn publish(
        &self,
        name: Option<&str>,
        root: &Manifest,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Whether a blob is there, asked for certain: unlike [`Sink::presence`], whatever that costs.
    fn holds(&self, blob: &Descriptor) -> impl Future<Output = Result<bool>> + Send {
        async { Ok(self.presence(blob).await? != Presence::Missing) }
    }

    /// Completes the place: after this returns, all that was published is whole and on disk.
    fn finish(&self) -> impl Future<Output = Result<()>> + Send;

    /// What the place can hold.
    fn abilities(&self) -> Abilities;
}

/// What a layer holds.
pub enum LayerContent {
    /// The layer itself.
    Blob(Blob),
    /// An uncompressed archive with the same files, made from the tree that the layer was unpacked
    /// to: other bytes, which nothing verifies.
    Repacked {
        /// The archive.
        archive: Blob,
        /// Directories in it that the layer itself only implied.
        implied: Vec<Vec<u8>>,
    },
}

/// A manifest that refers to another one.
#[derive(Clone, Debug)]
pub struct Referrer {
    /// The referring manifest.
    pub descriptor: Descriptor,
    /// The tag that makes the connection where it is not the manifest itself that does:
    /// cosign's `sha256-<hex>.sig` and its like.
    pub tag: Option<String>,
}

/// What is already there of a piece of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nothing, or not known cheaply.
    Missing,
    /// The bytes themselves; what they refer to is not known to be there.
    Present,
    /// The bytes and everything they refer to.
    Complete,
}

/// What is being put: data, so that a sink needs no side channel.
#[derive(Clone, Debug)]
pub struct Item {
    /// What role the bytes have.
    pub kind: ItemKind,
    /// Their descriptor, when it is known before they are read.
    pub descriptor: Option<Descriptor>,
}

/// The role of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// A manifest that is not the root (the root comes with `publish`).
    Manifest,
    /// An image's configuration; put before its layers.
    Config,
    /// A layer, with the digest of its uncompressed stream where the config told it.
    Layer(Option<DiffId>),
    /// Anything else: an artifact's content.
    Other,
}

/// Where some content lies.
#[derive(Clone, Debug)]
pub enum Origin {
    /// In this repository.
    Repository(Reference),
    /// Nowhere that another place could reach by itself.
    Elsewhere,
}

/// What a sink can hold.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// What of an index is put there when nobody said.
    pub usual: Usual,
    /// Manifests that are no images.
    pub artifacts: bool,
    /// Keeps manifests byte for byte (docker-archive and docker-daemon rebuild them).
    pub keeps_manifests: bool,
    /// Wants to know each layer's DiffId beforehand, so configs are read first.
    pub wants_diff_ids: bool,
    /// May refuse manifests in one vocabulary (Docker's or OCI's) and take them in the other.
    pub has_dialects: bool,
}

/// What of an index belongs into a place unless a person asks for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usual {
    /// All of it.
    Whole,
    /// The host's image, under the index's own bytes.
    HostInIndex,
    /// The host's image and no index: the place can hold none.
    HostAlone,
}
