//! The text of auth files: `auth.json`, Docker's `config.json`, `~/.dockercfg`.
//!
//! Promises: an error never repeats what a file says beyond host names, since the rest is
//! secrets; an edit keeps every member that it is not about, byte for byte. Does no I/O.

use std::path::Path;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::super::credential::{Credential, Secret, TOKEN_USER};
use super::super::files::Contents;
use super::super::members::Members;
use super::super::{AuthFile, AuthFormat};
use super::key::{self, AuthKey};
use crate::error::{Error, Result};

/// Padded or not: both are found in the wild.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What is read of an auth file.
#[derive(Default, Deserialize)]
pub(super) struct Document {
    auths: Option<Members<Option<Entry>>>,
    #[serde(rename = "credHelpers")]
    cred_helpers: Option<Members<String>>,
    #[serde(rename = "credsStore")]
    creds_store: Option<String>,
    #[serde(rename = "HttpHeaders")]
    http_headers: Option<Members<Secret>>,
}

/// One member of `auths`.
#[derive(Default, Deserialize)]
struct Entry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

impl Document {
    /// Parses what `file` holds.
    pub(super) fn parse(file: &AuthFile, bytes: &[u8]) -> Result<Document> {
        if is_blank(bytes) {
            return Ok(Document::default());
        }
        let parsed = match file.format {
            AuthFormat::Dockercfg => serde_json::from_slice(bytes)
                .map(|auths| Document { auths: Some(auths), ..Document::default() }),
            AuthFormat::Containers | AuthFormat::Docker => serde_json::from_slice(bytes),
        };
        parsed.map_err(|error| discreet(&file.path, &error))
    }

    /// The helper that `credHelpers` names for the registry of `key`.
    pub(super) fn helper_for(&self, key: &AuthKey) -> Option<&str> {
        let helpers = &self.cred_helpers.as_ref()?.0;
        let exact = helpers.iter().find(|(host, _)| host == key.registry());
        let similar = || helpers.iter().find(|(host, _)| key::host(host) == key.registry());
        exact.or_else(similar).map(|(_, helper)| helper.as_str())
    }

    /// `credHelpers`: registry and helper.
    pub(super) fn helpers(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.cred_helpers.iter().flat_map(|helpers| &helpers.0);
        all.map(|(host, helper)| (host.as_str(), helper.as_str()))
    }

    /// `credsStore`: the helper for all other registries.
    pub(super) fn store(&self) -> Option<&str> {
        self.creds_store.as_deref().filter(|name| !name.is_empty())
    }

    /// The credential for `key` and the member of `auths` that it comes from: the most specific
    /// path first, then whatever else means the same registry. Members that hold nothing are
    /// passed over; Docker leaves those where a helper has the secret.
    pub(super) fn find(&self, path: &Path, key: &AuthKey) -> Result<Option<(Credential, String)>> {
        let members = self.auths.as_ref().map_or(&[][..], |auths| auths.0.as_slice());
        let exact =
            key.scopes().filter_map(|scope| members.iter().find(|(name, _)| *name == scope));
        let similar = members.iter().filter(|(name, _)| key::host(name) == key.registry());
        for (name, entry) in exact.chain(similar) {
            let Some(entry) = entry else { continue };
            let credential = entry.credential().map_err(|why| {
                Error::invalid(format!("{}: the entry for {name:?} {why}", path.display()))
            })?;
            if credential != Credential::Anonymous {
                return Ok(Some((credential, name.clone())));
            }
        }
        Ok(None)
    }

    /// The headers that go to registries: those of `HttpHeaders` whose name starts with
    /// `X-Meta-`. The others are meant for the Docker daemon, which passes on only these.
    pub(super) fn headers(&self, path: &Path) -> Result<Vec<(String, Secret)>> {
        let all = self.http_headers.iter().flat_map(|headers| &headers.0);
        let mut headers = Vec::new();
        for (name, value) in all {
            let prefix = name.get(..7).unwrap_or_default();
            if !prefix.eq_ignore_ascii_case("x-meta-") {
                continue;
            }
            let plain_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let plain_value = value.expose().bytes().all(|b| (b' '..=b'~').contains(&b));
            if !(plain_name && plain_value) {
                let what = format!("{}: {name:?} is not a usable header", path.display());
                return Err(Error::invalid(what));
            }
            headers.push((name.clone(), value.clone()));
        }
        Ok(headers)
    }
}

impl Entry {
    fn credential(&self) -> Result<Credential, &'static str> {
        let full = |secret: &Option<Secret>| secret.clone().filter(|s| !s.expose().is_empty());
        if let Some(token) = full(&self.registrytoken) {
            return Ok(Credential::RegistryToken(token));
        }
        if let Some(token) = full(&self.identitytoken) {
            return Ok(Credential::IdentityToken(token));
        }
        match full(&self.auth) {
            Some(auth) => decode(auth.expose()),
            None => {
                let user = self.username.clone().unwrap_or_default();
                let password = self.password.clone().unwrap_or_else(|| Secret::new(""));
                Ok(Credential::from_login(user, password))
            }
        }
    }
}

/// Takes `auth` apart: base64 of `user:password`. Old Docker versions padded it with zero bytes.
fn decode(auth: &str) -> Result<Credential, &'static str> {
    let text: String = auth.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = BASE64.decode(Zeroizing::new(text).as_bytes()).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| "holds an \"auth\" that is not base64")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "holds an \"auth\" that is not UTF-8")?;
    let (user, password) =
        text.split_once(':').ok_or("holds an \"auth\" that is not USER:PASSWORD")?;
    Ok(Credential::from_login(user.to_owned(), Secret::new(password.trim_matches('\0'))))
}

/// An empty file, as `mktemp` makes them, holds no credentials.
fn is_blank(text: &[u8]) -> bool {
    text.trim_ascii().is_empty()
}

/// The error without the parser's text where that may repeat a value of the file.
fn discreet(path: &Path, error: &serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    let why = match error.classify() {
        Category::Data => {
            format!(
                "unexpected type of value, or a key that is there twice, at line {line} column {column}"
            )
        }
        _ => error.to_string(),
    };
    Error::invalid(format!("{}: {why}", path.display()))
}

/// A change of `auths`.
pub(super) enum Change<'a> {
    /// Sets the member of this name.
    Set(&'a str, &'a Credential),
    /// Removes each member that this says yes to.
    Remove(&'a dyn Fn(&str) -> bool),
}

type RawMembers = Members<Box<RawValue>>;

/// The text of `path` after `change`, or nothing if that changes nothing.
///
/// Everything but the members in question is kept as it is, also how their values are indented.
pub(super) fn edit(path: &Path, old: Option<&[u8]>, change: &Change) -> Result<Option<Contents>> {
    let parse = |text: &[u8]| -> Result<RawMembers> {
        serde_json::from_slice::<Option<RawMembers>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|error| discreet(path, &error))
    };
    let old = old.filter(|text| !is_blank(text)).unwrap_or(b"{}\n");
    let indent = indentation(old);
    let mut top = parse(old)?;
    let place = match top.0.iter().position(|(name, _)| name == "auths") {
        Some(place) => place,
        None => {
            top.0.insert(0, ("auths".to_owned(), raw("{}".to_owned())?));
            0
        }
    };
    let mut auths = parse(top.0[place].1.get().as_bytes())?;
    match change {
        Change::Set(name, credential) => {
            let value = raw(entry_text(credential, &indent)?)?;
            match auths.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, old)) => *old = value,
                None => auths.0.push(((*name).to_owned(), value)),
            }
        }
        Change::Remove(which) => {
            let before = auths.0.len();
            auths.0.retain(|(name, _)| !which(name));
            if auths.0.len() == before {
                return Ok(None);
            }
        }
    }
    top.0[place].1 = raw(object(&auths, &indent, 1)?)?;
    let mut text = Zeroizing::new(object(&top, &indent, 0)?.into_bytes());
    if old.ends_with(b"\n") {
        text.push(b'\n');
    }
    Ok(Some(text))
}

fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|_| Error::invalid("making JSON of credentials"))
}

/// What the file is indented with; tabs if it does not say, as Docker does.
fn indentation(text: &[u8]) -> String {
    let line = text.split(|&b| b == b'\n').nth(1).unwrap_or_default();
    let blank = line.iter().take_while(|b| matches!(b, b' ' | b'\t'));
    let indent: String = blank.map(|&b| char::from(b)).collect();
    if indent.is_empty() { "\t".to_owned() } else { indent }
}

fn object(members: &RawMembers, indent: &str, depth: usize) -> Result<String> {
    if members.0.is_empty() {
        return Ok("{}".to_owned());
    }
    let outer = indent.repeat(depth);
    let lines: Vec<String> = members
        .0
        .iter()
        .map(|(name, value)| format!("{outer}{indent}{}: {}", quoted(name), value.get()))
        .collect();
    Ok(format!("{{\n{}\n{outer}}}", lines.join(",\n")))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn entry_text(credential: &Credential, indent: &str) -> Result<String> {
    let (name, value) = match credential {
        Credential::Anonymous => return Err(Error::usage("there is no credential to store")),
        Credential::Basic { user, .. } if user.contains(':') || user == TOKEN_USER => {
            return Err(Error::usage(format!("{user:?} cannot be stored as a user name")));
        }
        Credential::Basic { user, password } => {
            let both = Zeroizing::new(format!("{user}:{}", password.expose()));
            ("auth", BASE64.encode(both.as_bytes()))
        }
        Credential::IdentityToken(token) => ("identitytoken", token.expose().to_owned()),
        Credential::RegistryToken(token) => ("registrytoken", token.expose().to_owned()),
    };
    let (inner, outer) = (indent.repeat(3), indent.repeat(2));
    Ok(format!("{{\n{inner}\"{name}\": {}\n{outer}}}", quoted(&value)))
}
