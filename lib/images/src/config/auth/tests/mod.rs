//! Look-up, helpers, login and logout, on files in temporary folders and helpers in shell.
#![allow(clippy::unwrap_used)]

mod find;
mod helpers;
mod login;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::config::HelperEnvironment;
use crate::error::ErrorKind;

/// A home with two auth files, Docker's configuration and a folder of helpers.
struct Home(TempDir);

/// Keeps what it is told in a file beside it; a host with a slash in it becomes a flat name.
const KEYCHAIN: &str = r#"
dir=$(dirname "$0"); host=$(cat)
echo "$1 $host" >> "$dir/log"
case $1 in
get) cat "$dir/kept-$(echo "$host" | tr / _)" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
store) url=${host#*\"ServerURL\":\"}; url=${url%%\"*}; echo "$host" > "$dir/kept-$(echo "$url" | tr / _)" ;;
erase) rm "$dir/kept-$(echo "$host" | tr / _)" ;;
list) echo '{"h1":"u","https://index.docker.io/v1/":"u"}' ;;
esac
"#;

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Another process writes the script: a test that forks in the meantime would hold it open,
    /// and the kernel runs no file that is open for writing.
    fn helper(&self, name: &str, script: &str) {
        let path = self.path(&format!("bin/docker-credential-{name}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let made = Command::new("sh")
            .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""#, "sh"])
            .arg(path)
            .arg(script)
            .status();
        assert!(made.unwrap().success());
    }

    fn paths(&self) -> ConfigPaths {
        let lookup = |name: &str| match name {
            "HOME" => Some(self.0.path().into()),
            "XDG_RUNTIME_DIR" => Some(self.path("run").into()),
            "PATH" => {
                let mut path = OsString::from(self.path("bin"));
                path.push(":/usr/bin:/bin");
                Some(path)
            }
            _ => None,
        };
        ConfigPaths::from_environment(&lookup, 1000)
    }

    fn store(&self) -> AuthStore {
        let mut store = AuthStore::new(&self.paths());
        store.helpers =
            Helpers::new(self.paths().helper_environment).with_patience(Duration::from_secs(20));
        store
    }

    fn compat(&self) -> AuthStore {
        let mut paths = self.paths();
        let path = self.path(".docker/config.json");
        paths.auth_file = Some(AuthFile { path, format: AuthFormat::Docker });
        AuthStore::new(&paths)
    }

    fn find(&self, registry: &str, repository: &str) -> Found {
        self.store().find(registry, repository).unwrap()
    }

    fn fails(&self, registry: &str) -> String {
        self.store().find(registry, "").unwrap_err().chain().replace(&self.tmp(), "HOME")
    }

    fn tmp(&self) -> String {
        self.0.path().display().to_string()
    }
}

const AUTH: &str = "run/containers/auth.json";
const USER: &str = ".config/containers/auth.json";
const DOCKER: &str = ".docker/config.json";

fn basic(user: &str, password: &str) -> Credential {
    Credential::Basic { user: user.to_owned(), password: Secret::new(password) }
}

fn key(text: &str) -> AuthKey {
    AuthKey::parse(text).unwrap()
}

/// `dTpw` and so on: `u:p` in base64.
fn auths(members: &[(&str, &str)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(key, auth)| format!(r#""{key}": {{"auth": "{auth}"}}"#)).collect();
    format!(r#"{{"auths": {{{}}}}}"#, members.join(", "))
}
