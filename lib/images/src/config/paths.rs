//! Where people keep their configuration.
//!
//! Owns the well-known places and the variables that move them. Reads no environment and no
//! file itself: a program hands in a look-up function, or fills [`ConfigPaths`] by hand.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

/// How the credentials in a file are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFormat {
    /// `auth.json` of the containers tools: keys may be `host/namespace/repository`.
    Containers,
    /// Docker's `config.json`: one entry for a whole registry.
    Docker,
    /// `~/.dockercfg`: the entries without anything around them. Only read.
    Dockercfg,
}

/// A file with credentials in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthFile {
    /// Where it is; it need not exist.
    pub path: PathBuf,
    /// How it is laid out.
    pub format: AuthFormat,
}

/// One file that was asked for, or the first that exists of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This file, which must exist.
    Explicit(PathBuf),
    /// The first of these that exists; perhaps none.
    FirstOf(Vec<PathBuf>),
}

impl Default for Choice {
    fn default() -> Choice {
        Choice::FirstOf(Vec::new())
    }
}

/// All paths of people's configuration. The default names nothing, so nothing is read.
#[derive(Clone, Debug, Default)]
pub struct ConfigPaths {
    /// The only file for credentials, read and written: `--authfile`, `--compat-auth-file` or
    /// `REGISTRY_AUTH_FILE`. It need not exist.
    pub auth_file: Option<AuthFile>,
    /// Without `auth_file`: the files to look in, in order. `login` writes to the first.
    pub auth_files: Vec<AuthFile>,
    /// What credential helpers get to see of the environment.
    pub helper_environment: HelperEnvironment,
    /// `registries.conf`.
    pub registries_conf: Choice,
    /// Folders of drop-ins; later ones win.
    pub registries_conf_dirs: Vec<PathBuf>,
    /// Folders with a folder of certificates for each host; the first that has one wins.
    pub certs_dirs: Vec<PathBuf>,
    /// `policy.json`.
    pub policy: Choice,
    /// Where podman and buildah keep their images, unless a place names another root.
    pub container_stores: Vec<PathBuf>,
}

impl ConfigPaths {
    /// The usual places for user `uid`, as the variables that `lookup` knows move them.
    ///
    /// `lookup` answers like `std::env::var_os`. Empty values count as unset, and so do relative
    /// ones of the `XDG_…` family (XDG base directory specification). Without `HOME` there are
    /// no files of the user.
    pub fn from_environment(lookup: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> ConfigPaths {
        let places = Places::new(lookup, uid);
        ConfigPaths {
            auth_file: set(lookup, "REGISTRY_AUTH_FILE")
                .map(|path| AuthFile { path, format: AuthFormat::Containers }),
            auth_files: places.auth_files(set(lookup, "DOCKER_CONFIG")),
            helper_environment: HelperEnvironment::from_environment(lookup),
            registries_conf: match set(lookup, "CONTAINERS_REGISTRIES_CONF") {
                Some(path) => Choice::Explicit(path),
                None => Choice::FirstOf(places.user_then_system("registries.conf")),
            },
            registries_conf_dirs: places.system_then_user("registries.conf.d"),
            certs_dirs: {
                let mut dirs = places.user_then_system("certs.d");
                dirs.push(PathBuf::from("/etc/docker/certs.d"));
                dirs
            },
            policy: Choice::FirstOf(places.user_then_system("policy.json")),
            container_stores: places.container_store(lookup, uid).into_iter().collect(),
        }
    }
}

/// The folders that everything else is named from.
struct Places {
    home: Option<PathBuf>,
    runtime: PathBuf,
    /// `$XDG_CONFIG_HOME/containers`, then `~/.config/containers` where that is another folder:
    /// the containers tools look for some files in the one and for some in the other.
    user: Vec<PathBuf>,
}

impl Places {
    fn new(lookup: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> Places {
        let absolute = |name| set(lookup, name).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let xdg = absolute("XDG_CONFIG_HOME").map(|dir| dir.join("containers"));
        let usual = home.as_ref().map(|home| home.join(".config/containers"));
        let mut user: Vec<PathBuf> = xdg.into_iter().chain(usual).collect();
        user.dedup();
        let runtime = match absolute("XDG_RUNTIME_DIR") {
            Some(dir) => dir.join("containers"),
            None => PathBuf::from(format!("/run/containers/{uid}")),
        };
        Places { home, runtime, user }
    }

    fn auth_files(&self, docker_config: Option<PathBuf>) -> Vec<AuthFile> {
        let containers = |path| AuthFile { path, format: AuthFormat::Containers };
        let mut files = vec![containers(self.runtime.join("auth.json"))];
        files.extend(self.user.first().map(|dir| containers(dir.join("auth.json"))));
        let docker = docker_config.or_else(|| self.home.as_ref().map(|home| home.join(".docker")));
        files.extend(
            docker
                .map(|dir| AuthFile { path: dir.join("config.json"), format: AuthFormat::Docker }),
        );
        files.extend(
            self.home.as_ref().map(|home| AuthFile {
                path: home.join(".dockercfg"),
                format: AuthFormat::Dockercfg,
            }),
        );
        files
    }

    fn container_store(
        &self,
        lookup: &dyn Fn(&str) -> Option<OsString>,
        uid: u32,
    ) -> Option<PathBuf> {
        if uid == 0 {
            return Some(PathBuf::from("/var/lib/containers/storage"));
        }
        let data = set(lookup, "XDG_DATA_HOME").filter(|path| path.is_absolute());
        let data = data.or_else(|| self.home.as_ref().map(|home| home.join(".local/share")));
        data.map(|data| data.join("containers/storage"))
    }

    fn user_then_system(&self, name: &str) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = self.user.iter().map(|dir| dir.join(name)).collect();
        all.push(Path::new("/etc/containers").join(name));
        all
    }

    fn system_then_user(&self, name: &str) -> Vec<PathBuf> {
        let mut all = self.user_then_system(name);
        all.reverse();
        all
    }
}

fn set(lookup: &dyn Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// What a credential helper needs besides `PATH` and `HOME` to reach its own keychain or cloud.
/// Without these it would fail where Docker's succeeds: a keychain behind a session bus, a role
/// that a CI runner hands out through variables. No helper sees the variables of another.
const HELPER_VARIABLES: [(&str, &[&str]); 6] = [
    ("secretservice", &["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"]),
    ("pass", &["GNUPGHOME", "GPG_TTY", "PASSWORD_STORE_DIR"]),
    (
        "ecr-login",
        &[
            "AWS_ACCESS_KEY_ID",
            "AWS_CONFIG_FILE",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_DEFAULT_REGION",
            "AWS_PROFILE",
            "AWS_REGION",
            "AWS_ROLE_ARN",
            "AWS_ROLE_SESSION_NAME",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "HTTPS_PROXY",
            "NO_PROXY",
        ],
    ),
    ("gcloud", &["CLOUDSDK_CONFIG", "HTTPS_PROXY", "NO_PROXY"]),
    ("gcr", &["CLOUDSDK_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "HTTPS_PROXY", "NO_PROXY"]),
    (
        "acr-env",
        &[
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_TENANT_ID",
            "HTTPS_PROXY",
            "NO_PROXY",
        ],
    ),
];

/// The part of the environment that credential helpers may see.
#[derive(Clone, Default)]
pub struct HelperEnvironment(Vec<(&'static str, OsString)>);

impl HelperEnvironment {
    /// `PATH`, `HOME`, and what the table of known helpers asks for.
    pub fn from_environment(lookup: &dyn Fn(&str) -> Option<OsString>) -> HelperEnvironment {
        let special = HELPER_VARIABLES.iter().flat_map(|(_, names)| names.iter().copied());
        let mut names: Vec<&str> = ["HOME", "PATH"].into_iter().chain(special).collect();
        names.sort_unstable();
        names.dedup();
        HelperEnvironment(
            names.into_iter().filter_map(|name| Some((name, lookup(name)?))).collect(),
        )
    }

    /// The variables for the helper called `helper`.
    pub(super) fn for_helper(&self, helper: &str) -> impl Iterator<Item = (&'static str, &OsStr)> {
        let own = HELPER_VARIABLES.iter().find(|(name, _)| *name == helper);
        let own: &[&str] = own.map_or(&[], |(_, names)| names);
        self.0
            .iter()
            .filter(move |(name, _)| matches!(*name, "HOME" | "PATH") || own.contains(name))
            .map(|(name, value)| (*name, value.as_os_str()))
    }

    /// The folders of `PATH`. Relative ones are left out: what is found there depends on where
    /// the program happens to be started.
    pub(super) fn search_path(&self) -> impl Iterator<Item = PathBuf> {
        let path = self.0.iter().find(|(name, _)| *name == "PATH");
        path.into_iter()
            .flat_map(|(_, value)| std::env::split_paths(value))
            .filter(|dir| dir.is_absolute())
    }
}

/// Names only: some of the values are secrets.
impl fmt::Debug for HelperEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn paths(variables: &[(&str, &str)]) -> ConfigPaths {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        ConfigPaths::from_environment(&lookup, 1000)
    }

    fn auth_files(paths: &ConfigPaths) -> Vec<&str> {
        paths.auth_files.iter().map(|file| file.path.to_str().unwrap()).collect()
    }

    fn first_of(paths: &[&str]) -> Choice {
        Choice::FirstOf(paths.iter().map(PathBuf::from).collect())
    }

    #[test]
    fn a_plain_home() {
        let paths = paths(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/1000")]);
        assert_eq!(paths.auth_file, None);
        assert_eq!(
            auth_files(&paths),
            [
                "/run/user/1000/containers/auth.json",
                "/h/.config/containers/auth.json",
                "/h/.docker/config.json",
                "/h/.dockercfg"
            ]
        );
        let formats: Vec<AuthFormat> = paths.auth_files.iter().map(|file| file.format).collect();
        use AuthFormat::{Containers, Docker, Dockercfg};
        assert_eq!(formats, [Containers, Containers, Docker, Dockercfg]);
        assert_eq!(
            paths.registries_conf,
            first_of(&["/h/.config/containers/registries.conf", "/etc/containers/registries.conf"])
        );
        assert_eq!(
            paths.registries_conf_dirs,
            [
                Path::new("/etc/containers/registries.conf.d"),
                Path::new("/h/.config/containers/registries.conf.d")
            ]
        );
        assert_eq!(
            paths.certs_dirs,
            [
                Path::new("/h/.config/containers/certs.d"),
                Path::new("/etc/containers/certs.d"),
                Path::new("/etc/docker/certs.d")
            ]
        );
        assert_eq!(
            paths.policy,
            first_of(&["/h/.config/containers/policy.json", "/etc/containers/policy.json"])
        );
        assert_eq!(paths.container_stores, [Path::new("/h/.local/share/containers/storage")]);
    }

    #[test]
    fn variables_move_things() {
        let paths = paths(&[
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "/x"),
            ("DOCKER_CONFIG", "/d"),
            ("REGISTRY_AUTH_FILE", "ci/auth.json"),
            ("CONTAINERS_REGISTRIES_CONF", "/r.conf"),
            ("XDG_DATA_HOME", "/data"),
        ]);
        assert_eq!(paths.container_stores, [Path::new("/data/containers/storage")]);
        assert_eq!(
            auth_files(&paths),
            [
                "/run/containers/1000/auth.json",
                "/x/containers/auth.json",
                "/d/config.json",
                "/h/.dockercfg"
            ]
        );
        let explicit = paths.auth_file.unwrap();
        assert_eq!(explicit.path, Path::new("ci/auth.json"));
        assert_eq!(explicit.format, AuthFormat::Containers);
        assert_eq!(paths.registries_conf, Choice::Explicit(PathBuf::from("/r.conf")));
        assert_eq!(
            paths.policy,
            first_of(&[
                "/x/containers/policy.json",
                "/h/.config/containers/policy.json",
                "/etc/containers/policy.json"
            ])
        );
    }

    #[test]
    fn empty_and_relative_values_count_as_unset() {
        let paths = paths(&[
            ("REGISTRY_AUTH_FILE", ""),
            ("DOCKER_CONFIG", ""),
            ("XDG_CONFIG_HOME", "relative"),
            ("XDG_RUNTIME_DIR", ""),
        ]);
        assert_eq!(paths.auth_file, None);
        assert_eq!(auth_files(&paths), ["/run/containers/1000/auth.json"]);
        assert_eq!(paths.policy, first_of(&["/etc/containers/policy.json"]));
    }

    #[test]
    fn helpers_see_their_own_variables_and_no_others() {
        let paths = paths(&[
            ("HOME", "/h"),
            ("PATH", "/usr/bin:relative::/bin"),
            ("AWS_PROFILE", "ci"),
            ("GNUPGHOME", "/g"),
            ("MY_PASSWORD", "hunter2"),
        ]);
        let seen = |helper| {
            let environment = &paths.helper_environment;
            environment.for_helper(helper).map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(seen("anything"), ["HOME", "PATH"]);
        assert_eq!(seen("ecr-login"), ["AWS_PROFILE", "HOME", "PATH"]);
        assert_eq!(seen("pass"), ["GNUPGHOME", "HOME", "PATH"]);
        let dirs: Vec<PathBuf> = paths.helper_environment.search_path().collect();
        assert_eq!(dirs, [Path::new("/usr/bin"), Path::new("/bin")]);
        assert!(!format!("{paths:?}").contains("/usr/bin"));
    }
}
