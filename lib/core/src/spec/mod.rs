//! The vocabulary: what images are made of, as plain data.
//!
//! Parsing and printing of all of it lives here; nothing here does I/O. Bytes are the truth:
//! whatever is parsed keeps its raw form beside it, and is only written anew by an edit.

mod config_fields;
mod descriptor;
mod digest;
mod duration;
pub mod edit;
mod image;
mod image_config;
pub mod json;
mod manifest;
mod media_type;
mod platform;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod properties;
mod reference;
mod schema1;

pub use config_fields::{ConfigFields, ContainerConfig, Healthcheck, History, RootFs};
pub use descriptor::{Descriptor, REF_NAME};
pub use digest::{Algorithm, ChainId, DiffId, Digest, Hasher, ParseDigestError};
pub use duration::parse_duration;
pub use image::{Image, Layer, Step};
pub use image_config::{ImageConfig, MAX_CONFIG};
pub use manifest::{
    Body, ImageManifest, Index, MAX_INDEX_DEPTH, MAX_LAYERS, MAX_MANIFEST, Manifest,
    claimed_compression,
};
pub use media_type::{Compression, Dialect, LayerType, MediaType};
pub use platform::Platform;
pub use reference::{DOCKER_HUB, Reference, is_tag};
pub use schema1::{EMPTY_LAYER, LayerFacts, Schema1, Schema1Entry};
