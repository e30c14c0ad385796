//! What is shared with the host or with other containers.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::runtime::options::{IpcMode, NamespaceMode, UserMode};

/// `--pid`, `--uts` (`flag` names it in errors): `private`, `host`, `container:NAME`, `ns:PATH`.
pub fn parse_mode(text: &str, flag: &str) -> Result<NamespaceMode> {
    match text {
        "" | "private" => Ok(NamespaceMode::Private),
        "host" => Ok(NamespaceMode::Host),
        _ => match shared(text) {
            Some(Shared::Container(name)) => Ok(NamespaceMode::Container(name)),
            Some(Shared::Path(path)) => Ok(NamespaceMode::Path(path)),
            None => Err(invalid_mode(flag, text)),
        },
    }
}

/// `--cgroupns`: as [`parse_mode`]; empty text leaves the choice to the host.
pub fn parse_cgroup_mode(text: &str) -> Result<Option<NamespaceMode>> {
    if text.is_empty() { Ok(None) } else { parse_mode(text, "--cgroupns").map(Some) }
}

/// `--ipc`: as [`parse_mode`], and `shareable` and `none`.
pub fn parse_ipc_mode(text: &str) -> Result<IpcMode> {
    match text {
        "shareable" => Ok(IpcMode::Shareable),
        "none" => Ok(IpcMode::None),
        _ => Ok(match parse_mode(text, "--ipc")? {
            NamespaceMode::Private => IpcMode::Private,
            NamespaceMode::Host => IpcMode::Host,
            NamespaceMode::Path(path) => IpcMode::Path(path),
            NamespaceMode::Container(name) => IpcMode::Container(name),
        }),
    }
}

/// The kinds of `--network` that need nobody to make one: `none`, `host`, `ns:PATH`,
/// `container:NAME`. `None` for names of networks and everything else.
pub fn parse_network(text: &str) -> Result<Option<NamespaceMode>> {
    match text {
        "none" => Ok(Some(NamespaceMode::Private)),
        "host" => Ok(Some(NamespaceMode::Host)),
        _ if text.starts_with("container:") || text.starts_with("ns:") => {
            parse_mode(text, "--network").map(Some)
        }
        _ => Ok(None),
    }
}

/// `--userns`: `host`, `auto[:size=N]`, `keep-id[:uid=N,gid=N]`, `nomap`, `ns:PATH`.
pub fn parse_userns(text: &str) -> Result<UserMode> {
    let bad = || invalid_mode("--userns", text);
    let (name, details) = text.split_once(':').unwrap_or((text, ""));
    let mut fields = Vec::new();
    if matches!(name, "auto" | "keep-id") {
        for field in details.split(',').filter(|field| !field.is_empty()) {
            let (key, value) = field.split_once('=').ok_or_else(bad)?;
            fields.push((key, value.parse::<u32>().map_err(|_| bad())?));
        }
    }
    let known = |keys: &[&str]| fields.iter().all(|(key, _)| keys.contains(key));
    let field = |name: &str| fields.iter().rev().find(|(key, _)| *key == name).map(|(_, n)| *n);
    match name {
        "" | "host" if details.is_empty() => Ok(UserMode::Host),
        "nomap" if details.is_empty() => Ok(UserMode::NoMap),
        "auto" if known(&["size"]) => Ok(UserMode::Auto { size: field("size") }),
        "keep-id" if known(&["uid", "gid"]) => {
            Ok(UserMode::KeepId { uid: field("uid"), gid: field("gid") })
        }
        "ns" if details.starts_with('/') => Ok(UserMode::Path(PathBuf::from(details))),
        _ => Err(bad()),
    }
}

enum Shared {
    Container(String),
    Path(PathBuf),
}

fn shared(text: &str) -> Option<Shared> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "container" if !rest.is_empty() => Some(Shared::Container(rest.to_owned())),
        "ns" if rest.starts_with('/') => Some(Shared::Path(PathBuf::from(rest))),
        _ => None,
    }
}

fn invalid_mode(flag: &str, text: &str) -> Error {
    Error::usage(format!("{flag}: invalid mode {text:?}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let container = NamespaceMode::Container("c".into());
        assert_eq!(parse_mode("container:c", "--pid").unwrap(), container);
        assert_eq!(parse_mode("", "--pid").unwrap(), NamespaceMode::Private);
        assert_eq!(parse_mode("ns:/a", "--pid").unwrap(), NamespaceMode::Path("/a".into()));
        let error = parse_mode("ns:a", "--pid").unwrap_err();
        assert_eq!(error.chain(), "--pid: invalid mode \"ns:a\"");
        for bad in ["shareable", "container:", "hosts"] {
            assert!(parse_mode(bad, "--uts").is_err(), "{bad}");
        }
        assert_eq!(parse_ipc_mode("shareable").unwrap(), IpcMode::Shareable);
        assert_eq!(parse_ipc_mode("none").unwrap(), IpcMode::None);
        assert_eq!(parse_cgroup_mode("").unwrap(), None);
        assert_eq!(parse_cgroup_mode("host").unwrap(), Some(NamespaceMode::Host));
        assert_eq!(parse_network("none").unwrap(), Some(NamespaceMode::Private));
        assert_eq!(parse_network("bridge").unwrap(), None);
        assert!(parse_network("ns:x").is_err());
    }

    #[test]
    fn user_namespaces() {
        for (text, mode) in [
            ("", UserMode::Host),
            ("host", UserMode::Host),
            ("nomap", UserMode::NoMap),
            ("auto", UserMode::Auto { size: None }),
            ("auto:size=4096", UserMode::Auto { size: Some(4096) }),
            ("keep-id", UserMode::KeepId { uid: None, gid: None }),
            ("keep-id:uid=5,gid=6", UserMode::KeepId { uid: Some(5), gid: Some(6) }),
            ("ns:/proc/1/ns/user", UserMode::Path("/proc/1/ns/user".into())),
        ] {
            assert_eq!(parse_userns(text).unwrap(), mode, "{text}");
        }
        for bad in ["x", "auto:uid=1", "auto:size", "keep-id:uid=x", "keep-id:size=1", "host:x"] {
            assert!(parse_userns(bad).is_err(), "{bad}");
        }
    }
}
