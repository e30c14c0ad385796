//! Media types: Docker's and OCI's spellings of one meaning.
//!
//! Follows media-types.md of the OCI image spec and Docker's "Image Manifest V2, Schema 2". A type
//! that is not known here keeps its text; printing gives back exactly what was parsed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whose names a document uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `application/vnd.oci.image.…`
    Oci,
    /// `application/vnd.docker.…`, schema version 2.
    Docker,
}

/// How a layer's tar stream is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952, possibly in several members.
    Gzip,
    /// RFC 8878, possibly in several frames.
    Zstd,
}

/// What a layer's media type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayerType {
    /// Whose name it is.
    pub dialect: Dialect,
    /// How the tar stream is wrapped.
    pub compression: Compression,
    /// Not to be distributed: may have to be fetched from the descriptor's `urls`.
    pub foreign: bool,
    /// Encrypted (`+encrypted` at the end); opaque to everything here.
    pub encrypted: bool,
}

/// The type of a manifest, config, layer or anything else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// A list of manifests for several platforms.
    Index(Dialect),
    /// One image.
    Manifest(Dialect),
    /// Docker's schema 1, read only; `true` when wrapped in a signature.
    Schema1(bool),
    /// An image's configuration.
    Config(Dialect),
    /// One layer.
    Layer(LayerType),
    /// `{}`: OCI's placeholder config of artifacts.
    Empty,
    /// Any other type, verbatim.
    Other(String),
}

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const ENCRYPTED: &str = "+encrypted";

/// Layer spellings: (text, dialect, compression, foreign).
const LAYERS: &[(&str, Dialect, Compression, bool)] = &[
    ("application/vnd.oci.image.layer.v1.tar", Dialect::Oci, Compression::None, false),
    ("application/vnd.oci.image.layer.v1.tar+gzip", Dialect::Oci, Compression::Gzip, false),
    ("application/vnd.oci.image.layer.v1.tar+zstd", Dialect::Oci, Compression::Zstd, false),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        Dialect::Oci,
        Compression::None,
        true,
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        Dialect::Oci,
        Compression::Gzip,
        true,
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        Dialect::Oci,
        Compression::Zstd,
        true,
    ),
    ("application/vnd.docker.image.rootfs.diff.tar", Dialect::Docker, Compression::None, false),
    (
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        Dialect::Docker,
        Compression::Gzip,
        false,
    ),
    (
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        Dialect::Docker,
        Compression::Zstd,
        false,
    ),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        Dialect::Docker,
        Compression::None,
        true,
    ),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        Dialect::Docker,
        Compression::Gzip,
        true,
    ),
];

impl MediaType {
    /// What a registry is told we read, most wanted first (one `Accept` header).
    pub const ACCEPT_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
         application/vnd.oci.image.manifest.v1+json, \
         application/vnd.docker.distribution.manifest.list.v2+json, \
         application/vnd.docker.distribution.manifest.v2+json, \
         application/vnd.docker.distribution.manifest.v1+prettyjws, \
         application/vnd.docker.distribution.manifest.v1+json;q=0.5, \
         */*;q=0.1";

    /// Reads a type; parameters after `;` and surrounding space are dropped. Never fails.
    pub fn parse(text: &str) -> MediaType {
        let text = text.split(';').next().unwrap_or_default().trim();
        match text {
            OCI_INDEX => MediaType::Index(Dialect::Oci),
            DOCKER_INDEX => MediaType::Index(Dialect::Docker),
            OCI_MANIFEST => MediaType::Manifest(Dialect::Oci),
            DOCKER_MANIFEST => MediaType::Manifest(Dialect::Docker),
            SCHEMA1_SIGNED => MediaType::Schema1(true),
            SCHEMA1 => MediaType::Schema1(false),
            OCI_CONFIG => MediaType::Config(Dialect::Oci),
            DOCKER_CONFIG => MediaType::Config(Dialect::Docker),
            EMPTY => MediaType::Empty,
            _ => match parse_layer(text) {
                Some(layer) => MediaType::Layer(layer),
                None => MediaType::Other(text.to_owned()),
            },
        }
    }

    /// A plain, distributable layer.
    pub fn layer(dialect: Dialect, compression: Compression) -> MediaType {
        MediaType::Layer(LayerType { dialect, compression, foreign: false, encrypted: false })
    }

    /// Whether it is a list of manifests.
    pub fn is_index(&self) -> bool {
        matches!(self, MediaType::Index(_))
    }

    /// Whether it is stored under `manifests/` in a registry: index, image or schema 1.
    pub fn is_manifest(&self) -> bool {
        matches!(self, MediaType::Index(_) | MediaType::Manifest(_) | MediaType::Schema1(_))
    }

    /// The layer type, if it is one.
    pub fn as_layer(&self) -> Option<LayerType> {
        match self {
            MediaType::Layer(layer) => Some(*layer),
            _ => None,
        }
    }

    /// Whose name it is; `None` for types that both use or that are not known.
    pub fn dialect(&self) -> Option<Dialect> {
        match self {
            MediaType::Index(dialect)
            | MediaType::Manifest(dialect)
            | MediaType::Config(dialect) => Some(*dialect),
            MediaType::Layer(layer) => Some(layer.dialect),
            MediaType::Schema1(_) => Some(Dialect::Docker),
            MediaType::Empty => Some(Dialect::Oci),
            MediaType::Other(_) => None,
        }
    }

    /// The same meaning in the other vocabulary, where there is a word for it.
    ///
    /// Docker has none for zstd or encrypted layers; schema 1 has none in OCI.
    pub fn in_dialect(&self, dialect: Dialect) -> Option<MediaType> {
        Some(match self {
            MediaType::Index(_) => MediaType::Index(dialect),
            MediaType::Manifest(_) => MediaType::Manifest(dialect),
            MediaType::Config(_) => MediaType::Config(dialect),
            MediaType::Layer(layer) if layer.dialect == dialect => self.clone(),
            MediaType::Layer(layer) => {
                if dialect == Dialect::Docker
                    && (layer.encrypted || layer.compression == Compression::Zstd)
                {
                    return None;
                }
                MediaType::Layer(LayerType { dialect, ..*layer })
            }
            MediaType::Schema1(_) if dialect == Dialect::Docker => self.clone(),
            MediaType::Schema1(_) => return None,
            MediaType::Empty | MediaType::Other(_) => self.clone(),
        })
    }
}

fn parse_layer(text: &str) -> Option<LayerType> {
    let (plain, encrypted) = match text.strip_suffix(ENCRYPTED) {
        Some(plain) => (plain, true),
        None => (text, false),
    };
    LAYERS
        .iter()
        .find(|(name, dialect, ..)| *name == plain && !(encrypted && *dialect == Dialect::Docker))
        .map(|&(_, dialect, compression, foreign)| LayerType {
            dialect,
            compression,
            foreign,
            encrypted,
        })
}

fn write_layer(layer: &LayerType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = LAYERS.iter().find(|(_, dialect, compression, foreign)| {
        (*dialect, *compression, *foreign) == (layer.dialect, layer.compression, layer.foreign)
    });
    // The one combination without a Docker name (foreign zstd) borrows OCI's.
    let name =
        name.map_or("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", |row| row.0);
    f.write_str(name)?;
    if layer.encrypted { f.write_str(ENCRYPTED) } else { Ok(()) }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MediaType::Index(Dialect::Oci) => OCI_INDEX,
            MediaType::Index(Dialect::Docker) => DOCKER_INDEX,
            MediaType::Manifest(Dialect::Oci) => OCI_MANIFEST,
            MediaType::Manifest(Dialect::Docker) => DOCKER_MANIFEST,
            MediaType::Schema1(true) => SCHEMA1_SIGNED,
            MediaType::Schema1(false) => SCHEMA1,
            MediaType::Config(Dialect::Oci) => OCI_CONFIG,
            MediaType::Config(Dialect::Docker) => DOCKER_CONFIG,
            MediaType::Empty => EMPTY,
            MediaType::Layer(layer) => return write_layer(layer, f),
            MediaType::Other(text) => text,
        })
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MediaType, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(MediaType::parse(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_prints_as_it_was_read() {
        let fixed = [
            OCI_INDEX,
            DOCKER_INDEX,
            OCI_MANIFEST,
            DOCKER_MANIFEST,
            SCHEMA1_SIGNED,
            SCHEMA1,
            OCI_CONFIG,
            DOCKER_CONFIG,
            EMPTY,
            "text/plain",
            "",
        ];
        for text in fixed.into_iter().chain(LAYERS.iter().map(|row| row.0)) {
            assert_eq!(MediaType::parse(text).to_string(), text);
        }
        let encrypted = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
        assert!(MediaType::parse(encrypted).as_layer().is_some_and(|layer| layer.encrypted));
        assert_eq!(MediaType::parse(encrypted).to_string(), encrypted);
    }

    #[test]
    fn parameters_are_ignored() {
        assert_eq!(
            MediaType::parse(" application/vnd.oci.image.index.v1+json; charset=utf-8"),
            MediaType::Index(Dialect::Oci)
        );
    }

    #[test]
    fn translation_loses_nothing_or_is_refused() {
        for (name, dialect, compression, _) in LAYERS {
            let read = MediaType::parse(name);
            let other = if *dialect == Dialect::Oci { Dialect::Docker } else { Dialect::Oci };
            match read.in_dialect(other) {
                Some(translated) if *compression == Compression::Zstd => {
                    assert_eq!(translated.dialect(), Some(Dialect::Oci));
                }
                Some(translated) => assert_eq!(translated.in_dialect(*dialect), Some(read)),
                None => assert_eq!(*compression, Compression::Zstd),
            }
        }
    }
}
