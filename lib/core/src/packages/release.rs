//! Which distribution a tree is: os-release(5).

use serde::Serialize;

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

pub(super) fn parse(text: &str) -> Release {
    let mut release = Release::default();
    for line in text.lines() {
        let Some((key, value)) = line.trim().split_once('=') else { continue };
        let value = value.trim_matches(['"', '\'']).to_owned();
        match key {
            "ID" => release.id = value,
            "VERSION_ID" => release.version = value,
            "PRETTY_NAME" => release.name = value,
            _ => {}
        }
    }
    release
}
