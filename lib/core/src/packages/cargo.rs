//! Rust: `Cargo.lock`, and the list that `cargo auditable` puts into executables.

use std::io::Read;

use serde::Deserialize;

use super::{Ecosystem, Package};

/// Largest list inside an executable, unpacked.
const MAX_LIST: u64 = 8 << 20;

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Entry>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    packages: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
    #[serde(default)]
    kind: Option<String>,
}

pub(super) fn lock(text: &str, found_in: &str) -> Option<Vec<Package>> {
    let lock: Lock = toml::from_str(text).ok()?;
    Some(lock.package.iter().map(|entry| package(entry, found_in)).collect())
}

/// The section `.dep-v0`: JSON packed with zlib.
pub(super) fn audited(section: &[u8], found_in: &str) -> Option<Vec<Package>> {
    let mut json = Vec::new();
    flate2::read::ZlibDecoder::new(section).take(MAX_LIST).read_to_end(&mut json).ok()?;
    let list: List = serde_json::from_slice(&json).ok()?;
    // What only the build needed is not in the executable.
    let inside = list.packages.iter().filter(|entry| entry.kind.as_deref() != Some("build"));
    Some(inside.map(|entry| package(entry, found_in)).collect())
}

fn package(entry: &Entry, found_in: &str) -> Package {
    Package::new(Ecosystem::Cargo, &entry.name, &entry.version, found_in)
}
