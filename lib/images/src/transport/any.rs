//! All kinds of places behind two types, so that `copy` is compiled once.

use super::{
    Abilities, DirectorySink, DirectorySource, DockerArchiveSink, DockerArchiveSource,
    DockerDaemonSink, Item, LayerContent, LayoutArchiveSink, LayoutSink, LayoutSource, Origin,
    Presence, Referrer, RegistrySink, RegistrySource, Sink, Source, StorageSource, StoreSink,
    StoreSource,
};
use crate::blob::Blob;
use crate::error::Result;
use crate::spec::{Descriptor, Digest, Manifest};

/// A place to read from.
#[allow(clippy::large_enum_variant, reason = "there is one for each copy")]
pub enum AnySource {
    /// `docker://`
    Registry(RegistrySource),
    /// `oci:` and `oci-archive:`
    Layout(LayoutSource),
    /// `docker-archive:` and `docker-daemon:`
    DockerArchive(DockerArchiveSource),
    /// `dir:`
    Directory(DirectorySource),
    /// `containers-storage:`
    Storage(StorageSource),
    /// `store:`
    Store(StoreSource),
}

/// A place to write to.
#[allow(clippy::large_enum_variant, reason = "there is one for each copy")]
pub enum AnySink {
    /// `docker://`
    Registry(RegistrySink),
    /// `oci:`
    Layout(LayoutSink),
    /// `oci-archive:`
    LayoutArchive(LayoutArchiveSink),
    /// `docker-archive:`
    DockerArchive(DockerArchiveSink),
    /// `dir:`
    Directory(DirectorySink),
    /// `docker-daemon:`
    DockerDaemon(DockerDaemonSink),
    /// `store:`
    Store(StoreSink),
}

/// Calls one method of whichever place it is.
macro_rules! each {
    ($any:expr, $place:ident => $call:expr; $($kind:ident)+) => {
        match $any { $(Self::$kind($place) => $call,)+ }
    };
}

macro_rules! each_source {
    ($any:expr, $place:ident => $call:expr) => {
        each!($any, $place => $call; Registry Layout DockerArchive Directory Storage Store)
    };
}

macro_rules! each_sink {
    ($any:expr, $place:ident => $call:expr) => {
        each!($any, $place => $call;
            Registry Layout LayoutArchive DockerArchive Directory DockerDaemon Store)
    };
}

impl Source for AnySource {
    async fn resolve(&self) -> Result<Descriptor> {
        each_source!(self, place => place.resolve().await)
    }

    async fn read_root(&self) -> Result<Manifest> {
        each_source!(self, place => place.read_root().await)
    }

    async fn open(&self, what: &Descriptor) -> Result<Blob> {
        each_source!(self, place => place.open(what).await)
    }

    async fn glance(&self, what: &Descriptor) -> Result<()> {
        each_source!(self, place => place.glance(what).await)
    }

    async fn open_layer(&self, layer: &Descriptor) -> Result<LayerContent> {
        each_source!(self, place => place.open_layer(layer).await)
    }

    async fn measure(&self, blob: &Digest) -> Result<u64> {
        each_source!(self, place => place.measure(blob).await)
    }

    async fn referrers(&self, subject: &Descriptor) -> Result<Vec<Referrer>> {
        each_source!(self, place => place.referrers(subject).await)
    }

    fn origin(&self) -> Origin {
        each_source!(self, place => place.origin())
    }
}

impl Sink for AnySink {
    async fn current(&self) -> Result<Option<Descriptor>> {
        each_sink!(self, place => place.current().await)
    }

    async fn occupant(&self) -> Result<Option<Descriptor>> {
        each_sink!(self, place => place.occupant().await)
    }

    async fn presence(&self, what: &Descriptor) -> Result<Presence> {
        each_sink!(self, place => place.presence(what).await)
    }

    async fn put(&self, item: Item, content: Blob) -> Result<Descriptor> {
        each_sink!(self, place => place.put(item, content).await)
    }

    async fn link(&self, what: &Descriptor, origin: &Origin) -> Result<bool> {
        each_sink!(self, place => place.link(what, origin).await)
    }

    async fn publish(&self, name: Option<&str>, root: &Manifest) -> Result<()> {
        each_sink!(self, place => place.publish(name, root).await)
    }

    async fn holds(&self, blob: &Descriptor) -> Result<bool> {
        each_sink!(self, place => place.holds(blob).await)
    }

    async fn finish(&self) -> Result<()> {
        each_sink!(self, place => place.finish().await)
    }

    fn abilities(&self) -> Abilities {
        each_sink!(self, place => place.abilities())
    }
}
