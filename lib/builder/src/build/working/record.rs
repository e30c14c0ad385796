//! What is written down about a working container.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{ConfigFields, Descriptor, Dialect, Digest, History};
use crate::store::{ContainerDir, WORKING};

/// Largest record that is read.
const MAX_RECORD: u64 = 16 << 20;

/// A working container as its record tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkingRecord {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The image's full name; empty for one from scratch.
    pub image: String,
    /// The config's digest.
    pub image_id: Option<Digest>,
    /// The manifest of the image that its files are based on.
    pub base: Option<Descriptor>,
    /// Vocabulary of the image that it will become.
    pub format: Format,
    /// The config of the image that it will become, with the base's history.
    pub config: ConfigFields,
    /// Lines of history that `--add-history` asked for, in front of the layer's.
    pub history: Vec<History>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// What history says of the layer.
    pub created_by: String,
    /// The comment in the layer's line of history.
    pub history_comment: String,
    /// Commands are run with these, unless they say otherwise.
    pub defaults: RunDefaults,
}

/// What `from` says for all commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunDefaults {
    /// `--volume`, with absolute sources.
    pub volumes: Vec<String>,
    /// `--network`.
    pub network: Option<String>,
    /// `--cap-add`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// `--add-host`.
    pub hosts: Vec<String>,
    /// `--shm-size` in bytes.
    pub shm_size: Option<u64>,
    /// `--ulimit`.
    pub ulimits: Vec<String>,
}

/// A vocabulary of manifests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// OCI.
    #[default]
    Oci,
    /// Docker, schema 2.
    Docker,
}

impl From<Format> for Dialect {
    fn from(format: Format) -> Dialect {
        match format {
            Format::Oci => Dialect::Oci,
            Format::Docker => Dialect::Docker,
        }
    }
}

impl WorkingRecord {
    /// Writes it into the container's directory.
    pub(super) fn write(&self, dir: &ContainerDir) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|error| {
            Error::caused(ErrorKind::Failed, "writing a container's record", error)
        })?;
        dir.write(WORKING, &bytes)
    }

    /// Reads it; `None` for what is no working container.
    pub(super) fn read(container: &Path) -> Result<Option<WorkingRecord>> {
        let path = container.join(WORKING);
        let reading = || format!("reading {}", path.display());
        let mut text = Vec::new();
        let file = std::fs::File::open(&path);
        match file.and_then(|file| file.take(MAX_RECORD).read_to_end(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(reading(), error)),
        }
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Error::caused(ErrorKind::Corrupt, reading(), error))
    }
}
