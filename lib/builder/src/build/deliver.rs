//! Results on their way elsewhere: to registries, layouts, archives and engines.
//!
//! Uses `copy` from the store; layers are compressed on the way, and what they became is
//! remembered. Does not build.

use std::sync::Arc;

use super::bases::{Remote, run_async};
use crate::copy::{CopyOptions, LayerCompression, Remembered, Selection, Session, copy};
use crate::error::Result;
use crate::spec::{Compression, Digest};
use crate::store::{Store, StoreName};
use crate::transport::{Location, Sink};

/// Copies an image of the store to `to`; the digest of its manifest there.
///
/// # Errors
/// Of the places; the store keeps the image.
pub fn deliver(
    store: &Store,
    remote: &Remote,
    name: &StoreName,
    to: &Location,
    compression: Option<Compression>,
) -> Result<Digest> {
    let places = (remote.places)()?;
    let compression = compression.unwrap_or(match to {
        Location::DockerArchive(_) | Location::DockerDaemon(_) | Location::Store(_) => {
            Compression::None
        }
        _ => Compression::Gzip,
    });
    let work = async {
        let from = Location::Store(name.clone());
        let source = Arc::new(places.source(&from, &remote.side).await?);
        let sink = Arc::new(places.sink(to, &remote.side)?);
        let change = LayerCompression { compression, level: None, recompress: false };
        let options = CopyOptions {
            selection: Selection::Usual,
            compression: (compression != Compression::None).then_some(change),
            ..CopyOptions::default()
        };
        let session = Session::new(
            remote.jobs,
            remote.listener.clone(),
            Remembered::new(Some(store.root().join("cache/recompressed"))),
            &places.scratch(),
        );
        let report =
            copy(source, sink.clone(), &to.to_string(), Arc::new(options), &session).await?;
        sink.finish().await?;
        Ok(report.digest)
    };
    run_async(work).map_err(|error| error.while_doing(format!("copying {name} to {to}")))
}
