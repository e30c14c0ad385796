//! The version of what is on disk.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::steps::Steps;
use crate::error::{Error, ErrorKind, IoContext, Result};

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

/// Refuses a store that this program cannot read. No file, no store: that is fine. Returns why it
/// must not be written to, if that is so.
pub(super) fn check(root: &Path) -> Result<Option<String>> {
    let path = root.join(NAME);
    let format: Option<Format> = super::record::read(&path, MAX, ErrorKind::Invalid)?;
    let Some(format) = format else { return Ok(None) };
    // No feature has been added since version 1: whichever is named comes from a later program.
    let newer = match format.incompatible.first() {
        Some(feature) => Some(format!("uses {feature:?}")),
        None if format.version != VERSION => Some(format!("has format version {}", format.version)),
        None => None,
    };
    if let Some(newer) = newer {
        return Err(Error::unsupported(format!(
            "the store {} {newer}, which a newer version of this program wrote: use that one, or \
             another store with --root",
            root.display()
        )));
    }
    Ok(format.read_only_compatible.first().map(|feature| {
        format!("it uses {feature:?}, which a newer version of this program must keep up")
    }))
}

/// Notes the format in a store that has none yet. `temporary` is a path to write to before.
///
/// # Errors
/// `Corrupt` where there is content but no format: nobody knows how to read that.
pub(super) fn ensure(root: &Path, temporary: &Path, steps: &Steps) -> Result<()> {
    let path = root.join(NAME);
    if path.exists() {
        return Ok(());
    }
    let found = ["blobs", "images", "layers"].iter().find(|dir| root.join(dir).exists());
    // Somebody else may have noted it meanwhile.
    if let Some(found) = found.filter(|_| !path.exists()) {
        return Err(Error::corrupt(format!(
            "{} is missing although there is {}",
            path.display(),
            root.join(found).display()
        )));
    }
    let format = Format {
        version: VERSION,
        compatible: Vec::new(),
        read_only_compatible: Vec::new(),
        incompatible: Vec::new(),
    };
    let text = serde_json::to_vec(&format)
        .map_err(|error| Error::caused(ErrorKind::Failed, "writing the store's format", error))?;
    // Others may have made it for their own files, with other permissions.
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(root, private).doing(|| format!("protecting {}", root.display()))?;
    std::fs::write(temporary, text).doing(|| format!("writing {}", temporary.display()))?;
    steps.flush_files(&[temporary])?;
    steps.rename(temporary, &path)?;
    steps.flush_dir(root)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn newer_stores_are_refused_and_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        assert_eq!(check(root).unwrap(), None);
        ensure(root, &root.join("new"), &Steps::default()).unwrap();
        assert_eq!(check(root).unwrap(), None);
        let write = |text: &str| std::fs::write(root.join(NAME), text).unwrap();
        for newer in [r#"{"version":2}"#, r#"{"version":1,"incompatible":["fsverity"]}"#] {
            write(newer);
            let error = check(root).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("--root"), "{error}");
        }
        write(r#"{"version":1,"compatible":["x"]}"#);
        assert_eq!(check(root).unwrap(), None);
        write(r#"{"version":1,"readOnlyCompatible":["chunks"]}"#);
        assert!(check(root).unwrap().unwrap().contains("\"chunks\""));
        write("{");
        assert_eq!(check(root).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn content_without_a_format_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("blobs")).unwrap();
        let new = place.path().join("new");
        let error = ensure(place.path(), &new, &Steps::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(!place.path().join(NAME).exists());
    }
}
