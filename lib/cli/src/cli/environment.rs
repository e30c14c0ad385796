//! What a program finds around it. Besides `oci_runtime`, the one place here where the environment
//! is read.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::{Choice, ConfigPaths, Credential, Secret};
use crate::error::{Error, Result};
use crate::sys;

/// Where things are, by the environment and by what was said instead.
pub struct Surroundings {
    /// Where people keep their configuration.
    pub paths: ConfigPaths,
    /// Root of the local store.
    pub root: PathBuf,
}

impl Surroundings {
    /// Reads the environment; what is given counts instead.
    pub fn read(
        root: Option<PathBuf>,
        registries_conf: Option<PathBuf>,
        policy: Option<PathBuf>,
    ) -> Result<Surroundings> {
        let lookup = |name: &str| std::env::var_os(name);
        let uid = sys::effective_uid();
        let mut paths = ConfigPaths::from_environment(&lookup, uid);
        if let Some(file) = registries_conf {
            paths.registries_conf = Choice::Explicit(file);
        }
        if let Some(file) = policy {
            paths.policy = Choice::Explicit(file);
        }
        let root = match root {
            Some(root) => root,
            None => default_root(&lookup, uid)?,
        };
        Ok(Surroundings { paths, root })
    }
}

/// The credential that flags give, in whichever of skopeo's four ways; `None` if they give none.
pub fn given_credential(
    creds: Option<&str>,
    user_and_password: Option<(&str, &str)>,
    registry_token: Option<&str>,
    no_creds: bool,
) -> Result<Option<Credential>> {
    let given = [creds.is_some(), user_and_password.is_some(), registry_token.is_some(), no_creds];
    if given.iter().filter(|given| **given).count() > 1 {
        return Err(Error::usage(
            "give credentials in one way only: creds, username, registry-token or no-creds",
        ));
    }
    if no_creds {
        return Ok(Some(Credential::Anonymous));
    }
    if let Some(token) = registry_token {
        return Ok(Some(Credential::RegistryToken(Secret::new(token))));
    }
    let pair = creds.map(|creds| creds.split_once(':').unwrap_or((creds, "")));
    match pair.or(user_and_password) {
        Some(("", _)) => {
            Err(Error::usage("the credentials have no user name (expected USER[:PASSWORD])"))
        }
        Some((user, password)) => {
            Ok(Some(Credential::from_login(user.to_owned(), Secret::new(password))))
        }
        None => Ok(None),
    }
}

/// The store's root without `--root` or `CREEL_ROOT`: `/var/lib/creel` for root, otherwise
/// `$XDG_DATA_HOME/creel` or `~/.local/share/creel`. `lookup` answers like `std::env::var_os`.
fn default_root(lookup: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> Result<PathBuf> {
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
