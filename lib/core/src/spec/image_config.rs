//! The config blob: what an image runs, how it came about, and its layers' diff IDs.
//!
//! Owns the raw bytes of a config beside their typed reading. Promise: the digest is of the raw
//! bytes; a changed config is made by [`ImageConfig::with`], which touches only the fields that
//! differ, so that unknown fields, their order and Docker's own ones survive. Does not know
//! manifests.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::config_fields::{
    CONTAINER_KEYS, ConfigFields, HEALTH_KEYS, HISTORY_KEYS, ROOTFS_KEYS, TOP_KEYS,
};
use super::json::{parse_strict, refuse_case_variants, rewrite, to_go_bytes};
use super::{Descriptor, Dialect, Digest, MediaType, Platform};
use crate::error::{Error, ErrorKind, Result};

/// Largest config that is read, in bytes.
pub const MAX_CONFIG: u64 = 8 << 20;

/// A config: its bytes, their digest, and what they say.
#[derive(Clone, Debug)]
pub struct ImageConfig {
    raw: Bytes,
    digest: Digest,
    document: Value,
    fields: ConfigFields,
}

impl ImageConfig {
    /// Reads `raw`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is too large, is no config, or can be read in two ways
    /// (duplicate keys, keys that differ from the known ones in case only).
    pub fn parse(raw: Bytes) -> Result<ImageConfig> {
        check_size(&raw)?;
        let digest = Digest::sha256(&raw);
        ImageConfig::read(raw, digest)
    }

    /// Reads bytes that `descriptor` points to, after checking size and digest.
    pub fn verified(raw: Bytes, descriptor: &Descriptor) -> Result<ImageConfig> {
        let expected = &descriptor.digest;
        if raw.len() as u64 != descriptor.size {
            return Err(Error::corrupt(format!(
                "config {expected}: expected {} bytes, found {}",
                descriptor.size,
                raw.len()
            )));
        }
        check_size(&raw)?;
        let digest = Digest::compute(expected.algorithm(), &raw);
        if digest != *expected {
            return Err(Error::corrupt(format!(
                "config {expected} has other bytes: their digest is {digest}"
            )));
        }
        ImageConfig::read(raw, digest)
            .map_err(|error| error.while_doing(format!("reading config {expected}")))
    }

    /// Writes a config that holds `fields` and nothing else.
    pub fn new(fields: ConfigFields) -> Result<ImageConfig> {
        ImageConfig::write(Value::Object(Map::new()), None, fields)
    }

    /// The same config with `fields` in place of what it says; all that they do not cover stays.
    ///
    /// Returns the very same bytes when nothing differs.
    pub fn with(&self, fields: ConfigFields) -> Result<ImageConfig> {
        if fields == self.fields {
            return Ok(self.clone());
        }
        ImageConfig::write(self.document.clone(), Some(&self.fields), fields)
    }

    fn write(
        mut document: Value,
        old: Option<&ConfigFields>,
        mut fields: ConfigFields,
    ) -> Result<ImageConfig> {
        if fields.rootfs.kind.is_empty() {
            fields.rootfs.kind = "layers".to_owned();
        }
        rewrite(&mut document, old, &fields)?;
        ImageConfig::parse(to_go_bytes(&document)?.into())
    }

    fn read(raw: Bytes, digest: Digest) -> Result<ImageConfig> {
        let document = parse_strict(&raw, "image config")?;
        if !document.is_object() {
            return Err(Error::invalid("image config is no JSON object"));
        }
        refuse_ambiguity(&document)?;
        let fields = ConfigFields::deserialize(&document).map_err(|error| {
            Error::caused(ErrorKind::Invalid, "image config breaks its format", error)
        })?;
        Ok(ImageConfig { raw, digest, document, fields })
    }

    /// The bytes as they were received or written.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Their digest: Docker's image ID.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What it says.
    pub fn fields(&self) -> &ConfigFields {
        &self.fields
    }

    /// The whole document, with what has no field here.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// A descriptor of these bytes; they are legal in both vocabularies.
    pub fn descriptor(&self, dialect: Dialect) -> Descriptor {
        let size = self.raw.len() as u64;
        Descriptor::new(MediaType::Config(dialect), self.digest.clone(), size)
    }

    /// The machine the image is for.
    pub fn platform(&self) -> Platform {
        Platform {
            os_version: self.fields.os_version.clone(),
            os_features: self.fields.os_features.clone(),
            ..Platform::new(
                &self.fields.os,
                &self.fields.architecture,
                self.fields.variant.as_deref(),
            )
        }
    }
}

fn check_size(raw: &[u8]) -> Result<()> {
    if raw.len() as u64 > MAX_CONFIG {
        return Err(Error::invalid(format!(
            "image config of {} bytes is larger than the limit of {MAX_CONFIG}",
            raw.len()
        )));
    }
    Ok(())
}

/// Go matches keys without regard to case, so a second spelling could hide another value.
fn refuse_ambiguity(document: &Value) -> Result<()> {
    const WHAT: &str = "image config";
    refuse_case_variants(document, TOP_KEYS, WHAT)?;
    if let Some(container) = document.get("config") {
        refuse_case_variants(container, CONTAINER_KEYS, WHAT)?;
        if let Some(health) = container.get("Healthcheck") {
            refuse_case_variants(health, HEALTH_KEYS, WHAT)?;
        }
    }
    if let Some(rootfs) = document.get("rootfs") {
        refuse_case_variants(rootfs, ROOTFS_KEYS, WHAT)?;
    }
    let steps = document.get("history").and_then(Value::as_array);
    steps.into_iter().flatten().try_for_each(|step| refuse_case_variants(step, HISTORY_KEYS, WHAT))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::spec::{DiffId, History};

    fn parse(text: &str) -> Result<ImageConfig> {
        ImageConfig::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    const FULL: &str = r#"{"architecture":"arm","config":{"Hostname":"h","Domainname":"","User":"0:0","AttachStdin":false,"ExposedPorts":{"80/tcp":{},"53/udp":null},"Tty":true,"Env":["A=1"],"Cmd":null,"Healthcheck":{"Test":["CMD-SHELL","x"],"Interval":30000000000,"Retries":3,"New":1},"ArgsEscaped":true,"Image":"sha256:00","Volumes":{"/v":{}},"WorkingDir":"/w","Entrypoint":"/e","NetworkDisabled":true,"MacAddress":"02:42","OnBuild":["RUN x"],"Labels":{"b":"2","a":"1"},"StopSignal":"SIGINT","StopTimeout":7,"Shell":["/bin/bash","-c"],"CpuShares":5},"container":"c0ffee","container_config":{"Cmd":["a"]},"created":"2024-01-02T03:04:05Z","docker_version":"20.10","history":[{"created_by":"one","vendor":1},{"created_by":"two","empty_layer":true}],"id":"legacy","os":"windows","os.version":"10.0.1","os.features":["win32k"],"rootfs":{"type":"layers","diff_ids":["sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],"base":"b"},"variant":"v7"}"#;

    #[test]
    fn every_field_is_read() {
        let config = parse(FULL).unwrap();
        let fields = config.fields();
        let container = &fields.config;
        assert_eq!(config.platform().to_string(), "windows/arm/v7:10.0.1");
        assert_eq!(fields.os_features, ["win32k"]);
        assert_eq!(fields.created.as_deref(), Some("2024-01-02T03:04:05Z"));
        assert_eq!(fields.docker_version.as_deref(), Some("20.10"));
        assert_eq!(fields.container.as_deref(), Some("c0ffee"));
        assert_eq!(fields.container_config.as_ref().unwrap()["Cmd"][0], "a");
        assert_eq!(fields.rootfs.diff_ids.len(), 1);
        assert_eq!(fields.history[0].created_by.as_deref(), Some("one"));
        assert!(fields.history[1].empty_layer && !fields.history[0].empty_layer);
        let ports: Vec<&str> = container.exposed_ports.iter().map(String::as_str).collect();
        assert_eq!(ports, ["53/udp", "80/tcp"]);
        assert!(container.volumes.contains("/v"));
        // Docker also takes a single word where a list belongs.
        assert_eq!((&container.cmd[..], &container.entrypoint[..]), (&[][..], &["/e".into()][..]));
        let health = container.healthcheck.as_ref().unwrap();
        assert_eq!((health.interval, health.retries, health.start_period), (30_000_000_000, 3, 0));
        assert_eq!(health.test, ["CMD-SHELL", "x"]);
        assert!(container.args_escaped && container.network_disabled && container.tty);
        assert_eq!((container.stop_timeout, container.stop_signal.as_str()), (Some(7), "SIGINT"));
        assert_eq!((container.on_build.len(), container.shell.len()), (1, 2));
        assert_eq!((container.mac_address.as_str(), container.user.as_str()), ("02:42", "0:0"));
        assert_eq!(config.document()["config"]["CpuShares"], 5);
        assert_eq!(config.raw(), FULL.as_bytes());
        assert_eq!(*config.digest(), Digest::sha256(FULL.as_bytes()));
    }

    #[test]
    fn a_change_leaves_all_else_as_it_was() {
        let config = parse(FULL).unwrap();
        let same = config.with(config.fields().clone()).unwrap();
        assert_eq!(same.raw(), config.raw());
        let mut fields = config.fields().clone();
        fields.config.env.push("B=<2>".into());
        fields.config.labels.remove("b");
        fields.config.exposed_ports.insert("1/tcp".into());
        fields.config.cmd = vec!["run".into()];
        fields.created = None;
        fields.rootfs.diff_ids.push(DiffId(Digest::sha256(b"x")));
        fields.history.push(History { created_by: Some("three".into()), ..History::default() });
        let changed = config.with(fields).unwrap();
        let expected = FULL
            .replace(r#""A=1"]"#, r#""A=1","B=\u003c2\u003e"]"#)
            .replace(r#""b":"2","#, "")
            .replace(r#""53/udp":null"#, r#""53/udp":null,"1/tcp":{}"#)
            .replace(r#""Cmd":null"#, r#""Cmd":["run"]"#)
            .replace(r#""created":"2024-01-02T03:04:05Z","#, "")
            .replace(r#"0015ad"]"#, &format!(r#"0015ad","{}"]"#, Digest::sha256(b"x")))
            .replace(r#""empty_layer":true}]"#, r#""empty_layer":true},{"created_by":"three"}]"#);
        assert_eq!(std::str::from_utf8(changed.raw()).unwrap(), expected);
    }

    #[test]
    fn a_new_config_is_written_in_go_s_order() {
        let mut fields = ConfigFields {
            architecture: "amd64".into(),
            os: "linux".into(),
            created: Some("2024-01-02T03:04:05Z".into()),
            ..ConfigFields::default()
        };
        fields.config.volumes.insert("/data".into());
        fields.config.labels.insert("z".into(), "1".into());
        fields.config.labels.insert("a".into(), "2".into());
        let config = ImageConfig::new(fields.clone()).unwrap();
        assert_eq!(
            std::str::from_utf8(config.raw()).unwrap(),
            r#"{"created":"2024-01-02T03:04:05Z","architecture":"amd64","os":"linux","config":{"Volumes":{"/data":{}},"Labels":{"a":"2","z":"1"}},"rootfs":{"type":"layers","diff_ids":[]}}"#
        );
        fields.rootfs.kind = "layers".into();
        assert_eq!(*config.fields(), fields);
    }

    #[test]
    fn what_real_images_leave_out_is_tolerated() {
        for text in [
            "{}",
            r#"{"rootfs":{"type":"layers","diff_ids":null},"config":null,"history":null}"#,
            r#"{"rootfs":{"diff_ids":[]},"os":null,"config":{"Env":null,"Labels":null,"Tty":null}}"#,
            r#"{"rootfs":null,"history":[{"empty_layer":null,"created":null}]}"#,
        ] {
            let config = parse(text).unwrap();
            assert!(config.fields().rootfs.diff_ids.is_empty(), "{text}");
            // An edit gives a whole rootfs.
            let mut fields = config.fields().clone();
            fields.rootfs.diff_ids.push(DiffId(Digest::sha256(b"x")));
            let edited = config.with(fields).unwrap();
            assert_eq!(edited.document()["rootfs"]["type"], "layers", "{text}");
        }
    }

    /// Go writes null for what was never set, and reads it as the empty value.
    #[test]
    fn nulls_are_empty_wherever_they_stand() {
        let nulls = |text: &str| {
            let config = parse(text).unwrap();
            assert_eq!(config.raw(), text.as_bytes());
            config.fields().clone()
        };
        let fields = nulls(
            r#"{"config":{"Labels":{"a":null,"b":"1"},"Env":["A=1",null],"Cmd":[null,"x"],"Entrypoint":null,
            "Shell":[null],"OnBuild":[null],"ExposedPorts":{"80":null},"Volumes":{"/v":null},"User":null,
            "WorkingDir":null,"StopSignal":null,"StopTimeout":null,"Healthcheck":{"Test":[null],"Interval":null,
            "Retries":null},"ArgsEscaped":null,"Hostname":null,"Tty":null,"Image":null},"author":null,
            "architecture":null,"os.features":[null],"history":[null,{"empty_layer":null,"created_by":null}],
            "rootfs":{"type":null,"diff_ids":null},"docker_version":null,"container_config":null}"#,
        );
        let container = &fields.config;
        assert_eq!((container.labels["a"].as_str(), container.labels["b"].as_str()), ("", "1"));
        assert_eq!(
            (&container.env[..], &container.cmd[..]),
            (&["A=1".into(), String::new()][..], &[String::new(), "x".into()][..])
        );
        assert_eq!((container.shell.len(), container.on_build.len()), (1, 1));
        assert_eq!(container.healthcheck.as_ref().unwrap().test, [""]);
        assert_eq!((fields.os_features.len(), fields.history.len()), (1, 2));
        // What is not changed keeps its nulls.
        let config = parse(r#"{"config":{"Labels":{"a":null,"b":"1"}},"history":[null]}"#).unwrap();
        let mut fields = config.fields().clone();
        fields.config.labels.insert("b".into(), "2".into());
        let changed = config.with(fields).unwrap();
        assert_eq!(changed.document()["config"]["Labels"].to_string(), r#"{"a":null,"b":"2"}"#);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (text, word) in [
            (r#"{"os":"a","os":"b"}"#, "is there twice"),
            (r#"{"Os":"a"}"#, "\"Os\""),
            (r#"{"config":{"user":"root"}}"#, "\"user\""),
            (r#"{"config":{"Healthcheck":{"test":[]}}}"#, "\"test\""),
            (r#"{"rootfs":{"Diff_IDs":[]}}"#, "\"Diff_IDs\""),
            (r#"{"history":[{"Empty_Layer":true}]}"#, "\"Empty_Layer\""),
            (r#"{"os":"a"}{}"#, "not valid JSON"),
            (r#"["os"]"#, "no JSON object"),
            (r#"{"rootfs":{"diff_ids":["sha256:zz"]}}"#, "breaks its format"),
            (r#"{"config":{"Env":"A=1"}}"#, "breaks its format"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.chain().contains(word), "{text}: {error:?}");
        }
        let huge = format!("\"{}\"", "x".repeat(8 << 20));
        let error = parse(&huge).unwrap_err().to_string();
        assert_eq!(error, "image config of 8388610 bytes is larger than the limit of 8388608");
    }

    #[test]
    fn other_bytes_are_no_match() {
        let descriptor = parse("{}").unwrap().descriptor(Dialect::Docker);
        let verified = |text: &str| ImageConfig::verified(text.to_owned().into(), &descriptor);
        assert!(verified("{}").is_ok());
        for (text, message) in [("[]", "has other bytes"), ("{ }", "expected 2 bytes, found 3")] {
            let error = verified(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.chain().contains(message), "{error:?}");
        }
    }
}
