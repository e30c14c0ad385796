//! `docker-archive:`, what `docker save` writes and `docker load` reads.
//!
//! Owns the format in both directions, for files and for the Docker engine. Uses `archive` for the
//! tar file and `layout` for the index that newer archives hold as well. Promise: layers come out
//! as they lie in the archive, and a manifest that is in it comes out byte for byte; where there is
//! none, one is made of what `manifest.json` tells.

mod index;
mod sink;
mod source;

pub use sink::DockerArchiveSink;
pub(super) use sink::{ABILITIES, ImageWriter};
pub use source::DockerArchiveSource;

const LIST: &str = "manifest.json";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
