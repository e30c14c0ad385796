//! Where the local store is, by the conventions of all four programs.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// The store's root without `--root` or `CREEL_ROOT`: `/var/lib/creel` for root, otherwise
/// `$XDG_DATA_HOME/creel` or `~/.local/share/creel`. `lookup` answers like `std::env::var_os`.
pub fn default_root(lookup: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> Result<PathBuf> {
    if uid == 0 {
        return Ok(PathBuf::from("/var/lib/creel"));
    }
    let set = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("creel"))
        .ok_or_else(|| {
            Error::usage("HOME is not set: say where the store is with --root or CREEL_ROOT")
        })
}

/// Where podman and buildah keep the images of user `uid`.
pub fn containers_storage_roots(
    lookup: &dyn Fn(&str) -> Option<OsString>,
    uid: u32,
) -> Vec<PathBuf> {
    if uid == 0 {
        return vec![PathBuf::from("/var/lib/containers/storage")];
    }
    let set = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("containers/storage")).into_iter().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_root() {
        let root = |vars: &[(&str, &str)], uid| {
            let vars: Vec<(String, OsString)> =
                vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
            let lookup =
                move |name: &str| vars.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
            default_root(&lookup, uid).map(|path| path.display().to_string())
        };
        assert_eq!(root(&[("HOME", "/h")], 0).unwrap(), "/var/lib/creel");
        assert_eq!(root(&[("HOME", "/h")], 5).unwrap(), "/h/.local/share/creel");
        assert_eq!(root(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")], 5).unwrap(), "/d/creel");
        assert_eq!(
            root(&[("HOME", "/h"), ("XDG_DATA_HOME", "rel")], 5).unwrap(),
            "/h/.local/share/creel"
        );
        assert!(root(&[], 5).is_err());
    }
}
