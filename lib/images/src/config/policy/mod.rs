//! policy.json: which images may be used (containers-policy.json(5)).
//!
//! Owns the choice of the file, its strict parsing, and the search for the most specific scope.
//! Promises: a key that is unknown or there twice makes the whole file invalid; a requirement
//! that nothing here can verify refuses the image. Knows no signatures yet.

mod scope;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use self::scope::PolicyScope;
use super::{ConfigPaths, files};
use crate::error::{Error, ErrorKind, Result};

/// The requirements for all images.
#[derive(Debug, Default)]
pub struct Policy {
    /// Without a file everything is accepted.
    file: Option<PathBuf>,
    default: Vec<Requirement>,
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    AcceptAnything,
    Reject,
    /// A type that is well formed but that nothing here can verify.
    Unverifiable(&'static str),
}

/// The types of requirements, with the keys that each may have besides `type`.
const TYPES: [(&str, &[&str]); 5] = [
    ("insecureAcceptAnything", &[]),
    ("reject", &[]),
    ("signedBy", &["keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"]),
    (
        "sigstoreSigned",
        &[
            "keyPath",
            "keyPaths",
            "keyData",
            "keyDatas",
            "fulcio",
            "pki",
            "rekorPublicKeyPath",
            "rekorPublicKeyPaths",
            "rekorPublicKeyData",
            "rekorPublicKeyDatas",
            "signedIdentity",
        ],
    ),
    ("signedBaseLayer", &["baseLayerIdentity"]),
];

impl Policy {
    /// Reads the policy that `paths` name. No file is no error: everything is accepted then.
    ///
    /// # Errors
    /// The file cannot be read, or it breaks a rule of its format.
    pub fn load(paths: &ConfigPaths) -> Result<Policy> {
        match files::read_choice(&paths.policy)? {
            Some((path, bytes)) => Policy::parse(path, &bytes),
            None => Ok(Policy::accept_anything()),
        }
    }

    /// No requirements at all (`--insecure-policy`).
    pub fn accept_anything() -> Policy {
        Policy::default()
    }

    /// The file that was read, if there was one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Accepts the image that `scope` describes, or says why not.
    ///
    /// # Errors
    /// Denied where the policy rejects it; Corrupt where a signature is required, since none can
    /// be verified.
    pub fn check(&self, scope: &PolicyScope) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let (requirements, place) = self.requirements(scope);
        for requirement in requirements {
            let refuse = |kind, why: &str| {
                let file = file.display();
                Err(Error::new(kind, format!("{}: {why} ({place} of {file})", scope.image())))
            };
            match requirement {
                Requirement::AcceptAnything => {}
                Requirement::Reject => return refuse(ErrorKind::Denied, "rejected by policy"),
                Requirement::Unverifiable(name) => {
                    let why = format!("policy requires {name}, which cannot be verified yet");
                    return refuse(ErrorKind::Corrupt, &why);
                }
            }
        }
        Ok(())
    }

    /// The requirements of the most specific scope, and where in the file they are.
    fn requirements(&self, scope: &PolicyScope) -> (&[Requirement], String) {
        if let Some(scopes) = self.transports.get(scope.transport()) {
            for name in scope.names().chain([""]) {
                if let Some(requirements) = scopes.get(name) {
                    let place = format!("scope {name:?} of transport {:?}", scope.transport());
                    return (requirements, place);
                }
            }
        }
        (&self.default, "the default".to_owned())
    }

    fn parse(file: PathBuf, bytes: &[u8]) -> Result<Policy> {
        let at = |why: String| Error::invalid(format!("{}: {why}", file.display()));
        let value =
            crate::spec::json::parse_unambiguous(bytes).map_err(|error| at(error.to_string()))?;
        let mut top = members(value, "the policy").map_err(at)?;
        only(&top, "the policy", &["default", "transports"]).map_err(at)?;
        let Some(default) = top.remove("default") else {
            return Err(at("the policy has no \"default\"".to_owned()));
        };
        let default = requirements(default, "\"default\"").map_err(at)?;
        let transports = match top.remove("transports") {
            Some(transports) => all_scopes(transports).map_err(at)?,
            None => BTreeMap::new(),
        };
        Ok(Policy { file: Some(file), default, transports })
    }
}

type Scopes = BTreeMap<String, Vec<Requirement>>;

fn all_scopes(value: Value) -> Result<BTreeMap<String, Scopes>, String> {
    let mut transports = BTreeMap::new();
    for (transport, scopes) in members(value, "\"transports\"")? {
        let mut checked = Scopes::new();
        for (name, list) in members(scopes, &format!("transport {transport:?}"))? {
            let place = format!("scope {name:?} of transport {transport:?}");
            if !name.is_empty() {
                scope::check(&transport, &name).map_err(|why| format!("{place} {why}"))?;
            }
            checked.insert(name, requirements(list, &place)?);
        }
        transports.insert(transport, checked);
    }
    Ok(transports)
}

fn requirements(value: Value, place: &str) -> Result<Vec<Requirement>, String> {
    match value {
        Value::Array(list) if !list.is_empty() => {
            list.into_iter().map(|value| requirement(value, place)).collect()
        }
        Value::Array(_) => Err(format!("{place} has no requirements")),
        _ => Err(format!("{place} is not a list of requirements")),
    }
}

fn requirement(value: Value, place: &str) -> Result<Requirement, String> {
    let what = format!("a requirement of {place}");
    let requirement = members(value, &what)?;
    let name = requirement.get("type").and_then(Value::as_str);
    let name = name.ok_or_else(|| format!("{what} has no \"type\""))?;
    let (name, keys) = TYPES
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| format!("{what} has the unknown type {name:?}"))?;
    let keys: Vec<&str> = keys.iter().copied().chain(["type"]).collect();
    only(&requirement, &what, &keys)?;
    Ok(match *name {
        "insecureAcceptAnything" => Requirement::AcceptAnything,
        "reject" => Requirement::Reject,
        other => Requirement::Unverifiable(other),
    })
}

fn members(value: Value, what: &str) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(format!("{what} is not an object")),
    }
}

fn only(members: &Map<String, Value>, what: &str, known: &[&str]) -> Result<(), String> {
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("{what} has the unknown key {key:?}")),
        None => Ok(()),
    }
}
