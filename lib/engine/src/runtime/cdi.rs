//! Devices by name: what a vendor's file says that a container needs for them.
//!
//! Owns the names and the reading of specification files (Container Device Interface,
//! `specs-go`/`SPEC.md` up to version 0.8): device nodes, mounts, variables, hooks and groups.
//! The files are the administrator's, like the runtime itself: what they ask for is done. Promise:
//! a name that no file explains, or that two files of one directory explain, is an error before
//! anything is made. Makes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::devices::{FoundDevice, HostDevice, find};
use crate::error::{Error, ErrorKind, IoContext, Result};

/// Where specifications are by default; those of a later directory count more.
pub const CDI_DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

const MAX_FILES: usize = 1024;
const MAX_FILE: u64 = 4 << 20;

/// `vendor.com/class=device`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CdiName {
    /// `vendor.com/class`.
    pub kind: String,
    /// The device's own name, or `all`.
    pub device: String,
}

impl CdiName {
    /// Reads a qualified name; `None` for what is none.
    pub fn parse(text: &str) -> Option<CdiName> {
        let (kind, device) = text.split_once('=')?;
        let (vendor, class) = kind.split_once('/')?;
        let word = |text: &str, marks: &str, first: fn(&u8) -> bool| {
            let letters = text.as_bytes();
            letters.first().is_some_and(first)
                && letters.last().is_some_and(u8::is_ascii_alphanumeric)
                && text.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
        };
        let good = word(vendor, "_-.", u8::is_ascii_alphabetic)
            && word(class, "_-", u8::is_ascii_alphabetic)
            && word(device, "_-.:", u8::is_ascii_alphanumeric);
        good.then(|| CdiName { kind: kind.to_owned(), device: device.to_owned() })
    }
}

impl std::fmt::Display for CdiName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.kind, self.device)
    }
}

/// What a container needs for its named devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CdiEdits {
    /// Variables, `NAME=value`.
    pub env: Vec<String>,
    /// Device nodes.
    pub devices: Vec<FoundDevice>,
    /// File systems of the host.
    pub mounts: Vec<CdiMount>,
    /// Programs to run in the container's life.
    pub hooks: Vec<CdiHook>,
    /// Further groups of the process.
    pub groups: Vec<u32>,
}

/// A file system of the host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CdiMount {
    /// Its path on the host.
    pub host_path: PathBuf,
    /// Its path inside.
    pub container_path: String,
    /// File system type; none: a bind mount.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Mount options.
    #[serde(default)]
    pub options: Vec<String>,
}

/// A program to run at a point of the container's life.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CdiHook {
    /// The point, in the words of the runtime specification (`createContainer`).
    pub hook_name: String,
    /// The program.
    pub path: PathBuf,
    /// Its words, the first of them its name.
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// Its variables.
    #[serde(default)]
    pub env: Option<Vec<String>>,
    /// Seconds that it may take.
    #[serde(default)]
    pub timeout: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Specification {
    kind: String,
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    name: String,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Edits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<CdiMount>,
    hooks: Vec<CdiHook>,
    additional_gids: Vec<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    path: String,
    host_path: Option<PathBuf>,
    #[serde(rename = "type")]
    kind: Option<String>,
    major: Option<u32>,
    minor: Option<u32>,
    file_mode: Option<u32>,
    permissions: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
}

/// Finds what the devices need in the specifications of these directories.
///
/// Fails with [`ErrorKind::NotFound`] for a device that no readable file describes, naming the
/// files that could not be read, and with [`ErrorKind::Invalid`] for one that two files of one
/// directory describe.
pub fn resolve_cdi(directories: &[PathBuf], names: &[CdiName]) -> Result<CdiEdits> {
    let mut edits = CdiEdits::default();
    if names.is_empty() {
        return Ok(edits);
    }
    let found = Specifications::read(directories)?;
    let mut applied: Vec<usize> = Vec::new();
    for name in names {
        let doing = || format!("adding device {name}");
        let (at, device) = found.device(name).map_err(|error| error.while_doing(doing()))?;
        // What all devices of a file have in common comes once.
        if !applied.contains(&at)
            && let Some((_, specification)) = found.files.get(at)
        {
            edits.add(&specification.container_edits).map_err(|e| e.while_doing(doing()))?;
            applied.push(at);
        }
        edits.add(device).map_err(|error| error.while_doing(doing()))?;
    }
    Ok(edits)
}

/// All files, those that count less first.
struct Specifications {
    files: Vec<(PathBuf, Specification)>,
    /// Those that could not be read, and why.
    broken: Vec<String>,
}

impl Specifications {
    fn read(directories: &[PathBuf]) -> Result<Specifications> {
        let mut read = Specifications { files: Vec::new(), broken: Vec::new() };
        for directory in directories {
            let entries = match fs::read_dir(directory) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.doing(|| format!("listing {}", directory.display()))?,
            };
            let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            paths.retain(|path| {
                path.extension().is_some_and(|e| e == "json" || e == "yaml" || e == "yml")
            });
            paths.sort();
            if paths.len() + read.files.len() > MAX_FILES {
                return Err(Error::invalid(format!(
                    "{} holds more than {MAX_FILES} device specifications",
                    directory.display()
                )));
            }
            for path in paths {
                match specification(&path) {
                    Ok(specification) => read.files.push((path, specification)),
                    Err(reason) => read.broken.push(format!("{}: {reason}", path.display())),
                }
            }
        }
        Ok(read)
    }

    /// The last directory's description of a device, and the file it is in.
    fn device(&self, name: &CdiName) -> Result<(usize, &Edits)> {
        let mut best: BTreeMap<PathBuf, Vec<(usize, &Edits)>> = BTreeMap::new();
        let mut last = None;
        for (at, (path, specification)) in self.files.iter().enumerate() {
            let devices = specification.devices.iter();
            let mut same = devices.filter(|device| device.name == name.device);
            if specification.kind == name.kind
                && let Some(device) = same.next()
            {
                let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
                best.entry(directory.clone()).or_default().push((at, &device.container_edits));
                last = Some(directory);
            }
        }
        let found = last.and_then(|directory| best.remove(&directory)).unwrap_or_default();
        let shown = |at: usize| {
            self.files.get(at).map(|(path, _)| path.display().to_string()).unwrap_or_default()
        };
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(self.unknown(name)),
            [first, second, ..] => Err(Error::invalid(format!(
                "both {} and {} describe it",
                shown(first.0),
                shown(second.0)
            ))),
        }
    }

    fn unknown(&self, name: &CdiName) -> Error {
        let mut known: Vec<String> = Vec::new();
        for (_, specification) in &self.files {
            let names = specification.devices.iter();
            known.extend(names.map(|device| format!("{}={}", specification.kind, device.name)));
        }
        let mut text = match known.is_empty() {
            true => format!("no device specification describes {name}"),
            false => format!("no device specification describes {name}, but {}", known.join(", ")),
        };
        if !self.broken.is_empty() {
            text = format!("{text}; not readable: {}", self.broken.join("; "));
        }
        Error::new(ErrorKind::NotFound, text)
    }
}

fn specification(path: &Path) -> Result<Specification, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("larger than {MAX_FILE} bytes"));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    if path.extension().is_some_and(|extension| extension == "json") {
        return serde_json::from_str(&text).map_err(|error| error.to_string());
    }
    serde_saphyr::from_str(&text).map_err(|error| error.to_string())
}

impl CdiEdits {
    fn add(&mut self, edits: &Edits) -> Result<()> {
        self.env.extend(edits.env.iter().cloned());
        self.mounts.extend(edits.mounts.iter().cloned());
        self.hooks.extend(edits.hooks.iter().cloned());
        self.groups.extend(edits.additional_gids.iter().filter(|gid| **gid != 0));
        for node in &edits.device_nodes {
            self.devices.push(node.find()?);
        }
        Ok(())
    }
}

impl Node {
    /// What the file says; what it leaves out is as the host's node has it.
    fn find(&self) -> Result<FoundDevice> {
        let host = self.host_path.clone().unwrap_or_else(|| PathBuf::from(&self.path));
        let kind = match self.kind.as_deref() {
            Some("b") => Some('b'),
            Some("c" | "u") => Some('c'),
            Some("") | None => None,
            Some(other) => {
                return Err(Error::unsupported(format!(
                    "{}: device nodes of type {other:?}",
                    host.display()
                )));
            }
        };
        let told = match (kind, self.major, self.minor) {
            (Some(kind), Some(major), Some(minor)) => Some(HostDevice {
                path: host.clone(),
                kind,
                major,
                minor,
                mode: 0o666,
                uid: 0,
                gid: 0,
            }),
            _ => None,
        };
        let mut device = match told {
            Some(device) => device,
            None => find(&host, &self.path)?
                .into_iter()
                .map(|(_, device)| device)
                .next()
                .ok_or_else(|| Error::invalid(format!("{} is no device", host.display())))?,
        };
        device.mode = self.file_mode.map_or(device.mode, |mode| mode & 0o7777);
        device.uid = self.uid.unwrap_or(device.uid);
        device.gid = self.gid.unwrap_or(device.gid);
        let access = self.permissions.clone().filter(|access| !access.is_empty());
        Ok(FoundDevice {
            target: self.path.clone(),
            device,
            access: access.unwrap_or_else(|| "rwm".to_owned()),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = CdiName::parse("nvidia.com/gpu=0:1").unwrap();
        assert_eq!((name.kind.as_str(), name.device.as_str()), ("nvidia.com/gpu", "0:1"));
        for bad in ["/dev/null", "a/b", "a/b=", "a=b", "1a/b=c", "a/b=c/d", "a/b=-", "a./b=c"] {
            assert_eq!(CdiName::parse(bad), None, "{bad}");
        }
    }

    const YAML: &str = "cdiVersion: 0.6.0\nkind: v.com/gpu\ncontainerEdits:\n  env: [COMMON=1]\n\
                        devices:\n- name: '0'\n  containerEdits:\n    env: [N=0]\n    \
                        deviceNodes:\n    - {path: /dev/g0, hostPath: /dev/zero, permissions: r}\n\
                        - name: '1'\n  containerEdits:\n    additionalGids: [0, 44]\n    \
                        deviceNodes:\n    - {path: /dev/g1, type: c, major: 500, minor: 2}\n";
    const JSON: &str = r#"{"cdiVersion": "0.6.0", "kind": "v.com/gpu", "devices": [{"name": "1",
        "containerEdits": {"env": ["OTHER=1"], "hooks": [{"hookName": "createContainer",
        "path": "/bin/hook", "args": ["hook", "x"]}],
        "mounts": [{"hostPath": "/usr", "containerPath": "/u", "options": ["ro"]}]}}]}"#;

    #[test]
    fn files_explain_names() {
        let place = tempfile::tempdir().unwrap();
        let [low, high] = ["low", "high"].map(|name| place.path().join(name));
        for directory in [&low, &high] {
            fs::create_dir(directory).unwrap();
        }
        fs::write(low.join("v.yaml"), YAML).unwrap();
        let dirs = [low.clone(), high.clone(), place.path().join("absent")];
        let of = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| CdiName::parse(name).unwrap()).collect();
            resolve_cdi(&dirs, &names)
        };
        let edits = of(&["v.com/gpu=0", "v.com/gpu=1"]).unwrap();
        assert_eq!(edits.env, ["COMMON=1", "N=0"]);
        assert_eq!(edits.groups, [44]);
        let [zero, one] = edits.devices.as_slice() else { panic!("{edits:?}") };
        assert_eq!((zero.target.as_str(), zero.access.as_str()), ("/dev/g0", "r"));
        assert_eq!((zero.device.major, zero.device.minor), (1, 5));
        assert_eq!((one.device.major, one.device.minor, one.device.kind), (500, 2, 'c'));

        // A later directory counts more; a file that cannot be read hurts nobody else.
        fs::write(high.join("v.json"), JSON).unwrap();
        fs::write(high.join("broken.json"), "{").unwrap();
        let edits = of(&["v.com/gpu=1"]).unwrap();
        assert_eq!(edits.env, ["OTHER=1"]);
        assert_eq!(edits.hooks[0].hook_name, "createContainer");
        assert_eq!(edits.mounts[0].container_path, "/u");
        let unknown = of(&["v.com/gpu=2"]).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        let text = unknown.chain();
        assert!(text.contains("v.com/gpu=0") && text.contains("broken.json"), "{text}");

        fs::write(high.join("w.json"), JSON).unwrap();
        let twice = of(&["v.com/gpu=1"]).unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::Invalid);
        assert!(twice.chain().contains("w.json"), "{}", twice.chain());
    }
}
