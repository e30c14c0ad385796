//! Which distribution a tree is: os-release(5).

use std::io;

use serde::Serialize;

use super::text::Lines;

/// What `os-release` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Release {
    /// `debian`, `alpine`, `fedora`.
    pub id: String,
    /// `12`.
    pub version: String,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
}

pub(super) fn parse(mut lines: Lines<'_>) -> io::Result<Release> {
    let mut release = Release::default();
    while let Some(line) = lines.next()? {
        let Some((key, value)) = line.trim().split_once('=') else { continue };
        let value = value.trim_matches(['"', '\'']).to_owned();
        match key {
            "ID" => release.id = value,
            "VERSION_ID" => release.version = value,
            "PRETTY_NAME" => release.name = value,
            _ => {}
        }
    }
    Ok(release)
}
