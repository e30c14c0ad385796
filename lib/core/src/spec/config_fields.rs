//! What a config says, field by field.
//!
//! Follows config.md of the OCI image spec and Docker's image JSON. Reading is as forgiving as
//! Go's: `null` and a missing field mean the empty value, also inside lists and maps.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::DiffId;
use super::json::{null_is_default, nulls_in_list, nulls_in_map};

/// What a config says (config.md "Properties"; Docker's image JSON).
///
/// Empty text, lists and maps mean "not given", as in Go. Written in the order of Go's structs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigFields {
    /// When the image was made, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Processor architecture in Go's names.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub architecture: String,
    /// Variant of the processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Operating system in Go's names.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub os: String,
    /// Needed version of the operating system (Windows).
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Needed features of the operating system.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "nulls_in_list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// Docker: a note of whoever made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// How containers of this image run.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "ContainerConfig::is_default"
    )]
    pub config: ContainerConfig,
    /// The layers.
    #[serde(default, deserialize_with = "null_is_default")]
    pub rootfs: RootFs,
    /// How the image came about, oldest step first.
    #[serde(default, deserialize_with = "nulls_in_list", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Docker: the version that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_version: Option<String>,
    /// Docker: the container that was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Docker: how that container ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<Value>,
}

/// How containers run (config.md "config"; Docker's container config).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// Host name (Docker; of the build container in old images).
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Domain name (Docker).
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// `user`, `uid`, `user:group`, `uid:gid`, …
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Docker: attached when it was committed.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub attach_stdin: bool,
    /// Docker: attached when it was committed.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub attach_stdout: bool,
    /// Docker: attached when it was committed.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub attach_stderr: bool,
    /// `80/tcp`, `53/udp`, `8080`.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Docker: had a terminal when it was committed.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub tty: bool,
    /// Docker: had standard input when it was committed.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub open_stdin: bool,
    /// Docker: standard input closed after the first client.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub stdin_once: bool,
    /// `NAME=value`.
    #[serde(deserialize_with = "nulls_in_list", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Program when there is no entrypoint, else its default arguments.
    #[serde(deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// How to find out whether a container is well (Docker).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Windows: `Cmd` is one line, already escaped.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// Docker: the image it was committed from.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Directories that hold data.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// Directory to start in.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Program and leading arguments.
    #[serde(deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Docker: no network.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub network_disabled: bool,
    /// Docker: network address of the build container.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// Instructions for images built on this one (Docker).
    #[serde(deserialize_with = "nulls_in_list", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// Free-form notes.
    #[serde(deserialize_with = "nulls_in_map", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `SIGTERM`, `15`, `SIGRTMIN+3`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Seconds between the stop signal and the kill (Docker).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// What shell forms run in (Docker).
    #[serde(deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
}

impl ContainerConfig {
    fn is_default(&self) -> bool {
        *self == ContainerConfig::default()
    }
}

/// A health check; times in nanoseconds, 0 means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]`, `["CMD-SHELL", "…"]`; empty inherits.
    #[serde(deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Until one check counts as failed.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// After the start, in which failures do not count.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between two checks during that period.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// The stack of layers (config.md "rootfs").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// `layers`, which is also written when it is empty.
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub kind: String,
    /// One per layer, lowest first.
    #[serde(deserialize_with = "null_is_default")]
    pub diff_ids: Vec<DiffId>,
}

/// One step of the image's making (config.md "history").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A note of whoever made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

pub(super) const TOP_KEYS: &[&str] = &[
    "created",
    "author",
    "comment",
    "architecture",
    "variant",
    "os",
    "os.version",
    "os.features",
    "config",
    "rootfs",
    "history",
    "docker_version",
    "container",
    "container_config",
];
pub(super) const CONTAINER_KEYS: &[&str] = &[
    "Hostname",
    "Domainname",
    "User",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "ExposedPorts",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Env",
    "Cmd",
    "Healthcheck",
    "ArgsEscaped",
    "Image",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "NetworkDisabled",
    "MacAddress",
    "OnBuild",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "Shell",
];
pub(super) const HEALTH_KEYS: &[&str] =
    &["Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"];
pub(super) const ROOTFS_KEYS: &[&str] = &["type", "diff_ids"];
pub(super) const HISTORY_KEYS: &[&str] =
    &["created", "created_by", "author", "comment", "empty_layer"];

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// A list of words; Docker also takes a single text (images of its first years have them).
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<Option<String>>),
    }
    Ok(match Option::<Words>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Words::One(word)) => vec![word],
        Some(Words::Many(words)) => words.into_iter().map(Option::unwrap_or_default).collect(),
    })
}

/// Sets, which Go writes as maps to empty objects.
mod set {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::de::IgnoredAny;
    use serde::ser::SerializeMap;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        set: &BTreeSet<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(set.len()))?;
        for key in set {
            map.serialize_entry(key, &serde_json::Map::new())?;
        }
        map.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        let map = Option::<BTreeMap<String, IgnoredAny>>::deserialize(deserializer)?;
        Ok(map.unwrap_or_default().into_keys().collect())
    }
}
