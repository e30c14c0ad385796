//! Names of places: `docker://host/repo:tag`, `oci:DIR:name`, `store:name` and the rest.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::spec::{Digest, Reference};
use crate::store::StoreName;

/// A place and, inside it, a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `docker://host/repo[:tag][@digest]`: a registry.
    Registry(Reference),
    /// `oci:DIR[:name]`: an OCI layout directory.
    Layout(InPath),
    /// `oci-archive:FILE[:name]`: an OCI layout in a tar file.
    LayoutArchive(InPath),
    /// `docker-archive:FILE[:name]`: what `docker save` writes.
    DockerArchive(InPath),
    /// `dir:DIR`: skopeo's plain directory of one image.
    Directory(PathBuf),
    /// `docker-daemon:name`: a Docker engine, through its socket.
    DockerDaemon(Reference),
    /// `containers-storage:name`: podman's and buildah's store (read only).
    ContainersStorage(String),
    /// `store:name`: the local store.
    Store(StoreName),
}

/// A path and what to take inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InPath {
    /// The directory or file.
    pub path: PathBuf,
    /// Which image in it.
    pub entry: Entry,
}

/// Which image of a layout or archive is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The only one there is.
    Only,
    /// The one of this name.
    Named(String),
    /// The n-th, counting from zero (`@N`; reading only).
    Nth(usize),
    /// The one with this digest (`@sha256:…`; reading only).
    Digest(Digest),
}

/// What a bare name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// The registry (a copy's source).
    Registry,
    /// The registry, but only if the name contains one (a copy's destination).
    RegistryIfNamed,
    /// The local store (run, a build's result).
    Store,
}

const KINDS: &str = "docker://, oci:, oci-archive:, docker-archive:, dir:, docker-daemon:, \
                     containers-storage: and store:";

impl Location {
    /// Reads a place; `bare` says what a name without a kind means.
    pub fn parse(text: &str, bare: Bare) -> Result<Location> {
        if let Some(rest) = text.strip_prefix("docker://") {
            return Ok(Location::Registry(Reference::parse(rest)?));
        }
        let known = text.split_once(':').and_then(|(kind, rest)| parse_kind(kind, rest));
        match known {
            Some(location) => location,
            None => parse_bare(text, bare),
        }
    }

    /// The kind as it stands before the name.
    pub fn kind(&self) -> &'static str {
        match self {
            Location::Registry(_) => "docker",
            Location::Layout(_) => "oci",
            Location::LayoutArchive(_) => "oci-archive",
            Location::DockerArchive(_) => "docker-archive",
            Location::Directory(_) => "dir",
            Location::DockerDaemon(_) => "docker-daemon",
            Location::ContainersStorage(_) => "containers-storage",
            Location::Store(_) => "store",
        }
    }
}

fn parse_kind(kind: &str, rest: &str) -> Option<Result<Location>> {
    Some(match kind {
        "oci" => in_path(kind, rest).map(Location::Layout),
        "oci-archive" => in_path(kind, rest).map(Location::LayoutArchive),
        "docker-archive" => in_path(kind, rest).map(Location::DockerArchive),
        "dir" => path(kind, rest).map(Location::Directory),
        "docker-daemon" => {
            Reference::parse(rest).map(|name| Location::DockerDaemon(name.with_default_tag()))
        }
        "containers-storage" if rest.is_empty() => Err(missing_name(kind)),
        "containers-storage" => Ok(Location::ContainersStorage(rest.to_owned())),
        "store" => StoreName::parse(rest).map(Location::Store),
        _ => return None,
    })
}

fn parse_bare(text: &str, bare: Bare) -> Result<Location> {
    if let Some((kind, _)) = text.split_once("://") {
        return Err(Error::usage(format!("{kind}:// is no kind of place (there are {KINDS})")));
    }
    if let Some(error) = path_without_kind(text) {
        return Err(error);
    }
    match bare {
        Bare::Registry => Ok(Location::Registry(Reference::parse(text)?)),
        Bare::Store => StoreName::parse(text).map(Location::Store),
        Bare::RegistryIfNamed if Reference::has_explicit_registry(text) => {
            Ok(Location::Registry(Reference::parse(text)?))
        }
        Bare::RegistryIfNamed => Err(Error::usage(format!(
            "{text:?} does not say where to: write docker://{text} for Docker Hub or another \
             registry, or store:{text} for the local store"
        ))),
    }
}

/// `PATH[:name]`, `PATH@N` or `PATH@DIGEST`. The name begins at the first colon that is not part
/// of the path, so it may hold more of them.
fn in_path(kind: &str, rest: &str) -> Result<InPath> {
    if let Some((file, digest)) = rest.rsplit_once('@')
        && let Ok(digest) = digest.parse()
        && colon_of_name(file).is_none()
    {
        return Ok(InPath { path: path(kind, file)?, entry: Entry::Digest(digest) });
    }
    let split = colon_of_name(rest).map(|at| (&rest[..at], &rest[at + 1..]));
    let (file, entry) = match split {
        Some((_, "")) => {
            return Err(Error::usage(format!("{kind}:{rest} ends in a colon without a name")));
        }
        Some((file, name)) => match name.strip_prefix('@').map(str::parse) {
            Some(Ok(number)) => (file, Entry::Nth(number)),
            _ => (file, Entry::Named(name.to_owned())),
        },
        None => match rest.rsplit_once('@').map(|(file, number)| (file, number.parse())) {
            Some((file, Ok(number))) => (file, Entry::Nth(number)),
            _ => (rest, Entry::Only),
        },
    };
    Ok(InPath { path: path(kind, file)?, entry })
}

/// Where the colon before the name is. Colons in the path are told by what exists: a directory on
/// the way (`b:1/app.tar`), or else a file or directory whose own name has one, where nothing has
/// the shorter name.
fn colon_of_name(text: &str) -> Option<usize> {
    let mut slashes = text.match_indices('/').map(|(at, _)| at);
    let directory = slashes
        .rfind(|at| text[..*at].contains(':') && Path::new(&text[..*at]).is_dir())
        .unwrap_or(0);
    let first = directory + text[directory..].find(':')?;
    if Path::new(&text[..first]).exists() {
        return Some(first);
    }
    let further = text[first + 1..].match_indices(':').map(|(at, _)| first + 1 + at);
    let ends = std::iter::once(text.len()).chain(further.collect::<Vec<_>>().into_iter().rev());
    let existing = ends.into_iter().find(|end| Path::new(&text[..*end]).exists());
    match existing {
        Some(end) if end == text.len() => None,
        Some(end) => Some(end),
        None => Some(first),
    }
}

/// What to say of a path that is given like a name of an image.
fn path_without_kind(text: &str) -> Option<Error> {
    let is_path = text.starts_with('/')
        || text == "."
        || text == ".."
        || text.starts_with("./")
        || text.starts_with("../");
    let archive = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"];
    let is_archive = archive.iter().any(|ending| text.ends_with(ending));
    if !is_path && !is_archive {
        return None;
    }
    let is_file = is_archive || Path::new(text).is_file();
    let kinds = match is_file {
        true => format!("docker-archive:{text} or oci-archive:{text}"),
        false => format!("oci:{text} or dir:{text}"),
    };
    let image = if is_path { String::new() } else { format!(", or docker://{text} for an image") };
    Some(Error::usage(format!("{text:?} is a path, not an image name: use {kinds}{image}")))
}

fn path(kind: &str, text: &str) -> Result<PathBuf> {
    if text.is_empty() { Err(missing_name(kind)) } else { Ok(PathBuf::from(text)) }
}

fn missing_name(kind: &str) -> Error {
    Error::usage(format!("{kind}: needs a name behind the colon"))
}

impl InPath {
    /// The path alone.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for InPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match &self.entry {
            Entry::Only => Ok(()),
            Entry::Named(name) => write!(f, ":{name}"),
            Entry::Nth(number) => write!(f, "@{number}"),
            Entry::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Registry(name) => write!(f, "docker://{name}"),
            Location::Layout(place) => write!(f, "oci:{place}"),
            Location::LayoutArchive(place) => write!(f, "oci-archive:{place}"),
            Location::DockerArchive(place) => write!(f, "docker-archive:{place}"),
            Location::Directory(path) => write!(f, "dir:{}", path.display()),
            Location::DockerDaemon(name) => write!(f, "docker-daemon:{name}"),
            Location::ContainersStorage(name) => write!(f, "containers-storage:{name}"),
            Location::Store(name) => write!(f, "store:{name}"),
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    /// Reads a place as a copy's source: bare names are in the registry.
    fn from_str(text: &str) -> Result<Location> {
        Location::parse(text, Bare::Registry)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_and_printed() {
        for (given, printed) in [
            ("docker://debian", "docker://docker.io/library/debian"),
            ("docker://h:5000/a:1", "docker://h:5000/a:1"),
            ("oci:dir", "oci:dir"),
            ("oci:dir:name", "oci:dir:name"),
            ("oci:/a/b:host/x:1", "oci:/a/b:host/x:1"),
            ("oci:dir@3", "oci:dir@3"),
            ("oci:dir:@3", "oci:dir@3"),
            ("oci-archive:f.tar:n", "oci-archive:f.tar:n"),
            ("docker-archive:f.tar", "docker-archive:f.tar"),
            ("dir:/x", "dir:/x"),
            ("docker-daemon:app", "docker-daemon:docker.io/library/app:latest"),
            ("containers-storage:app", "containers-storage:app"),
            ("store:app", "store:docker.io/library/app:latest"),
            ("debian:12", "docker://docker.io/library/debian:12"),
            ("localhost:5000/a", "docker://localhost:5000/a"),
        ] {
            assert_eq!(given.parse::<Location>().unwrap().to_string(), printed, "{given}");
        }
    }

    #[test]
    fn digests_in_a_place() {
        let digest = Digest::sha256(b"x");
        for (given, entry) in [
            (format!("oci:dir@{digest}"), Entry::Digest(digest.clone())),
            (format!("oci-archive:/a/b.tar@{digest}"), Entry::Digest(digest.clone())),
            (format!("oci:dir:name@{digest}"), Entry::Named(format!("name@{digest}"))),
            (format!("oci:dir:{digest}"), Entry::Named(digest.to_string())),
        ] {
            let location = given.parse::<Location>().unwrap();
            assert_eq!(location.to_string(), given);
            let (Location::Layout(place) | Location::LayoutArchive(place)) = location else {
                unreachable!("a layout")
            };
            assert_eq!(place.entry, entry, "{given}");
        }
    }

    #[test]
    fn colons_in_paths_are_told_by_what_exists() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display();
        for name in ["b:1", "both", "both:1", "own:2", "x:1:2"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (rest, file, name) in [
            ("b:1/app.tar", "b:1/app.tar", None),
            ("b:1/app.tar:n", "b:1/app.tar", Some("n")),
            ("b:1/lay:host/x:1", "b:1/lay", Some("host/x:1")),
            ("b:1", "b:1", None),
            ("b:1:n", "b:1", Some("n")),
            ("both:1", "both", Some("1")),
            ("both:1/x", "both:1/x", None),
            ("own:2:3:4", "own:2", Some("3:4")),
            ("x:1:2", "x:1:2", None),
            ("new:1/x", "new", Some("1/x")),
            ("new:host/x:1", "new", Some("host/x:1")),
        ] {
            let location: Location = format!("oci:{root}/{rest}").parse().unwrap();
            let Location::Layout(place) = location else { unreachable!("a layout") };
            assert_eq!(place.path, folder.path().join(file), "{rest}");
            let entry = name.map_or(Entry::Only, |name| Entry::Named(name.to_owned()));
            assert_eq!(place.entry, entry, "{rest}");
        }
    }

    #[test]
    fn paths_without_a_kind() {
        for (text, proposed) in [
            ("./layout", "oci:./layout"),
            ("../layout", "dir:../layout"),
            ("/srv/layout", "oci:/srv/layout"),
            (".", "oci:."),
            ("app.tar", "docker-archive:app.tar"),
            ("some/app.tar.gz", "oci-archive:some/app.tar.gz"),
            ("./app.tgz", "docker-archive:./app.tgz"),
        ] {
            for bare in [Bare::Registry, Bare::RegistryIfNamed, Bare::Store] {
                let error = Location::parse(text, bare).unwrap_err();
                assert_eq!(error.kind(), crate::error::ErrorKind::Usage, "{text}");
                assert!(error.chain().contains(proposed), "{error}");
            }
        }
        assert!(Location::parse("docker://app.tar", Bare::Registry).is_ok());
        assert!(Location::parse("app.tar:1", Bare::Registry).is_ok());
    }

    #[test]
    fn a_bare_destination_needs_a_host() {
        let error = Location::parse("app:1", Bare::RegistryIfNamed).unwrap_err().to_string();
        assert!(error.contains("docker://app:1") && error.contains("store:app:1"), "{error}");
        assert!(Location::parse("h.io/app", Bare::RegistryIfNamed).is_ok());
    }

    #[test]
    fn what_is_no_place() {
        for bad in
            ["oci:", "oci:x:", "dir:", "store:", "docker://", "http://a/b", "containers-storage:"]
        {
            assert!(bad.parse::<Location>().is_err(), "{bad}");
        }
    }
}
