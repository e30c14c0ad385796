//! The proxies that Docker's `config.json` gives to containers and builds.
//!
//! Reads the member `proxies` by Go's rules for JSON, as Docker's client does: names of members
//! match whatever their case, and null is the same as nothing. Does not know the proxies that this
//! process uses itself: those are variables of its environment.

use serde_json::{Map, Value};

use super::{ConfigPaths, files};
use crate::error::{Error, ErrorKind, Result};

/// The address by which Docker's client knows its daemon when nothing else is said.
const DEFAULT_DAEMON: &str = "unix:///var/run/docker.sock";
/// The member of `proxies` for all daemons that have none of their own.
const DEFAULT_MEMBER: &str = "default";

/// A member of a proxy configuration and the variable that it becomes.
const VARIABLES: [(&str, &str); 5] = [
    ("httpProxy", "HTTP_PROXY"),
    ("httpsProxy", "HTTPS_PROXY"),
    ("noProxy", "NO_PROXY"),
    ("ftpProxy", "FTP_PROXY"),
    ("allProxy", "ALL_PROXY"),
];

/// Variables for the processes of containers and builds. The values may hold passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ContainerProxies(Vec<(&'static str, String)>);

impl ContainerProxies {
    /// Reads them from Docker's `config.json` at `paths`; none if there is no such file, or none
    /// that this user may read. `daemon` is `DOCKER_HOST`: a configuration can have other proxies
    /// for each daemon.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the file is not JSON, or a proxy is not a string.
    pub fn load(paths: &ConfigPaths, daemon: Option<&str>) -> Result<ContainerProxies> {
        let Some(path) = paths.docker_config() else { return Ok(ContainerProxies::default()) };
        let bytes = match files::read_optional(path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(ContainerProxies::default()),
            Err(error) if error.kind() == ErrorKind::Denied => {
                return Ok(ContainerProxies::default());
            }
            Err(error) => return Err(error),
        };
        let invalid = |why: String| {
            Error::invalid(format!("{}: {why}", path.display())).while_doing("reading proxies")
        };
        if bytes.trim_ascii().is_empty() {
            return Ok(ContainerProxies::default());
        }
        // The parser's own words may repeat a password.
        let root: Value = serde_json::from_slice(&bytes).map_err(|error| {
            invalid(format!("invalid JSON at line {} column {}", error.line(), error.column()))
        })?;
        let daemon = daemon.filter(|host| !host.is_empty()).unwrap_or(DEFAULT_DAEMON);
        ContainerProxies::of(&root, daemon).map_err(invalid)
    }

    fn of(root: &Value, daemon: &str) -> Result<ContainerProxies, String> {
        let root = root.as_object().ok_or("not a JSON object")?;
        let Some(all) = object(member(root, "proxies"), "proxies")? else {
            return Ok(ContainerProxies::default());
        };
        let chosen = all.get_key_value(daemon).or_else(|| all.get_key_value(DEFAULT_MEMBER));
        let Some((name, chosen)) = chosen else { return Ok(ContainerProxies::default()) };
        let Some(chosen) = object(Some(chosen), name)? else {
            return Ok(ContainerProxies::default());
        };
        let mut variables = Vec::new();
        for (field, variable) in VARIABLES {
            match member(chosen, field) {
                None | Some(Value::Null) => {}
                Some(Value::String(value)) if value.contains('\0') => {
                    return Err(format!("proxies.{name}.{field} contains a NUL byte"));
                }
                Some(Value::String(value)) if value.is_empty() => {}
                Some(Value::String(value)) => variables.push((variable, value.clone())),
                Some(_) => return Err(format!("proxies.{name}.{field} is not a string")),
            }
        }
        Ok(ContainerProxies(variables))
    }

    /// The variables as `NAME=value`, each in upper and lower case, without those that `is_given`
    /// knows: what a person says counts, be it only that a variable is not set.
    pub fn unless(&self, is_given: impl Fn(&str) -> bool) -> Vec<String> {
        let both = self.0.iter().flat_map(|(name, value)| {
            [(*name).to_owned(), name.to_ascii_lowercase()].map(|name| (name, value))
        });
        both.filter(|(name, _)| !is_given(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }
}

/// Names only: values may hold passwords.
impl std::fmt::Debug for ContainerProxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A member whatever the case of its name; one with the very name counts more.
fn member<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    let similar = || object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    object.get(name).or_else(|| similar().map(|(_, value)| value))
}

/// An object, or nothing where there is none.
fn object<'v>(
    value: Option<&'v Value>,
    name: &str,
) -> Result<Option<&'v Map<String, Value>>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(format!("{name:?} is not an object")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{AuthFile, AuthFormat};
    use super::*;

    fn load(text: &str, daemon: Option<&str>) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        let file = AuthFile { path, format: AuthFormat::Docker };
        let paths = ConfigPaths { auth_files: vec![file], ..ConfigPaths::default() };
        ContainerProxies::load(&paths, daemon).map(|variables| variables.unless(|_| false))
    }

    #[test]
    fn members_become_variables() {
        for (text, variables) in [
            ("", ""),
            (" \n", ""),
            ("{}", ""),
            (r#"{"proxies":null}"#, ""),
            (r#"{"proxies":{}}"#, ""),
            (r#"{"proxies":{"default":null}}"#, ""),
            (r#"{"proxies":{"other":{"httpProxy":"a"}}}"#, ""),
            (r#"{"proxies":{"default":{"httpProxy":"","noProxy":null,"more":1}}}"#, ""),
            (r#"{"proxies":{"default":{"httpProxy":"a"}}}"#, "HTTP_PROXY=a http_proxy=a"),
            (
                r#"{"proxies":{"default":{"allProxy":"e","noProxy":"c","ftpProxy":"d","httpsProxy":"b","httpProxy":"a"}}}"#,
                "HTTP_PROXY=a http_proxy=a HTTPS_PROXY=b https_proxy=b NO_PROXY=c no_proxy=c \
                 FTP_PROXY=d ftp_proxy=d ALL_PROXY=e all_proxy=e",
            ),
            // As Go reads JSON.
            (r#"{"Proxies":{"default":{"HTTPProxy":"a"}}}"#, "HTTP_PROXY=a http_proxy=a"),
            (
                r#"{"proxies":{"default":{"HTTPPROXY":"b","httpProxy":"a"}}}"#,
                "HTTP_PROXY=a http_proxy=a",
            ),
            (
                r#"{"proxies":{"unix:///var/run/docker.sock":{"noProxy":"l"},"default":{"httpProxy":"a"}}}"#,
                "NO_PROXY=l no_proxy=l",
            ),
        ] {
            assert_eq!(load(text, None).unwrap().join(" "), variables, "{text}");
        }
    }

    #[test]
    fn a_daemon_can_have_proxies_of_its_own() {
        let text = r#"{"proxies":{"tcp://h:1":{"httpProxy":"own"},"default":{"httpProxy":"all"}}}"#;
        for (daemon, first) in [
            (Some("tcp://h:1"), "HTTP_PROXY=own"),
            (Some("tcp://h:2"), "HTTP_PROXY=all"),
            (Some(""), "HTTP_PROXY=all"),
            (None, "HTTP_PROXY=all"),
        ] {
            assert_eq!(load(text, daemon).unwrap()[0], first, "{daemon:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named_without_its_values() {
        for (text, says) in [
            ("[]", "not a JSON object"),
            ("{\"proxies\":{\"default\":{\"httpProxy\":\"hunter2", "invalid JSON at line 1"),
            (r#"{"proxies":[]}"#, "\"proxies\" is not an object"),
            (r#"{"proxies":{"default":"hunter2"}}"#, "\"default\" is not an object"),
            (
                r#"{"proxies":{"default":{"httpProxy":["hunter2"]}}}"#,
                "proxies.default.httpProxy is not a string",
            ),
            (
                r#"{"proxies":{"default":{"noProxy":"hunter2\u0000"}}}"#,
                "proxies.default.noProxy contains a NUL byte",
            ),
        ] {
            let error = load(text, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.chain().contains(says), "{}", error.chain());
            assert!(!error.chain().contains("hunter2"), "{}", error.chain());
        }
    }

    #[test]
    fn what_a_person_says_counts() {
        let given = ["HTTP_PROXY", "no_proxy"];
        let variables =
            ContainerProxies(vec![("HTTP_PROXY", "a".to_owned()), ("NO_PROXY", "b".to_owned())]);
        let rest = variables.unless(|name| given.contains(&name));
        assert_eq!(rest, ["http_proxy=a", "NO_PROXY=b"]);
        assert_eq!(format!("{variables:?}"), r#"["HTTP_PROXY", "NO_PROXY"]"#);
    }

    #[test]
    fn no_file_is_no_proxy() {
        let paths = ConfigPaths::default();
        assert_eq!(ContainerProxies::load(&paths, None).unwrap(), ContainerProxies::default());
        let path = std::path::PathBuf::from("/none/config.json");
        let file = AuthFile { path, format: AuthFormat::Docker };
        let paths = ConfigPaths { auth_files: vec![file], ..ConfigPaths::default() };
        assert_eq!(ContainerProxies::load(&paths, None).unwrap(), ContainerProxies::default());
    }
}
