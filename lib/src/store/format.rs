//! The version of what is on disk.

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::{self, Dir};

const NAME: &str = "format";
const VERSION: u32 = 1;
const MAX: u64 = 64 << 10;

/// What `<root>/format` holds. Features are names; a program must know all of `incompatible` to
/// touch the store, and all of `read_only_compatible` to write to it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    version: u32,
    #[serde(default)]
    compatible: Vec<String>,
    #[serde(default)]
    read_only_compatible: Vec<String>,
    #[serde(default)]
    incompatible: Vec<String>,
}

/// Refuses a store that this program cannot understand. No file, no store: that is fine.
pub(super) fn check(root: &Path) -> Result<()> {
    let path = root.join(NAME);
    let reading = || format!("reading {}", path.display());
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(reading(), error)),
    };
    let mut text = Vec::new();
    file.take(MAX).read_to_end(&mut text).doing(reading)?;
    let format: Format = serde_json::from_slice(&text)
        .map_err(|error| Error::caused(ErrorKind::Invalid, reading(), error))?;
    // No feature has been added since version 1: whichever is named comes from a later program.
    let unknown = format.incompatible.first().or(format.read_only_compatible.first());
    if format.version > VERSION || unknown.is_some() {
        let why = match unknown {
            Some(feature) => format!("uses {feature:?}"),
            None => format!("has format version {}", format.version),
        };
        return Err(Error::unsupported(format!(
            "the store {} {why}, which a newer version of this program wrote: use that one, or \
             another store with --root",
            root.display()
        )));
    }
    Ok(())
}

/// Notes the format in a store that has none yet.
pub(super) fn ensure(root: &Dir) -> Result<()> {
    if root.lookup(NAME.as_bytes()).doing(|| "looking for the store's format")?.is_some() {
        return Ok(());
    }
    let format = Format {
        version: VERSION,
        compatible: Vec::new(),
        read_only_compatible: Vec::new(),
        incompatible: Vec::new(),
    };
    let text = serde_json::to_vec(&format)
        .map_err(|error| Error::caused(ErrorKind::Failed, "writing the store's format", error))?;
    sys::write_file(root, NAME.as_bytes(), &text, 0o600)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn newer_stores_are_refused_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        assert!(check(root.path()).is_ok());
        ensure(&Dir::open(root.path()).unwrap()).unwrap();
        assert!(check(root.path()).is_ok());
        for newer in [r#"{"version":2}"#, r#"{"version":1,"incompatible":["fsverity"]}"#] {
            std::fs::write(root.path().join(NAME), newer).unwrap();
            let error = check(root.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("--root"), "{error}");
        }
        std::fs::write(root.path().join(NAME), r#"{"version":1,"compatible":["x"]}"#).unwrap();
        assert!(check(root.path()).is_ok());
    }
}
