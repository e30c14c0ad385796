//! `-v`, `--mount` and `--tmpfs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{clean, parse_size};
use crate::error::{Error, Result};
use crate::runtime::options::{IdMap, IdRange, MountRequest, MountSource, Propagation, Relabel};

/// Switches of mount(8) that a person may give, each beside its opposite.
pub(in crate::runtime) const SWITCHES: [(&str, &str); 8] = [
    ("exec", "noexec"),
    ("suid", "nosuid"),
    ("dev", "nodev"),
    ("async", "sync"),
    ("atime", "noatime"),
    ("diratime", "nodiratime"),
    ("relatime", "norelatime"),
    ("strictatime", "nostrictatime"),
];

fn is_switch(word: &str) -> bool {
    SWITCHES.iter().any(|(on, off)| *on == word || *off == word)
}

/// `[SOURCE:]TARGET[:OPTION,…]`. A source that begins with `/` or `.` is a path (relative ones
/// start at `base`), any other is the name of a volume, none is a new volume.
pub fn parse_volume(text: &str, base: &Path) -> Result<MountRequest> {
    let bad = || Error::usage(format!("invalid volume specification: {text:?}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] => (None, *target, ""),
        // A mode alone says nothing about a volume without a name.
        [_, mode] if !mode.starts_with('/') && is_mode(mode) => return Err(bad()),
        [source, target] => (Some(*source), *target, ""),
        [source, target, mode] if !mode.is_empty() => (Some(*source), *target, *mode),
        _ => return Err(bad()),
    };
    let source = match source {
        None => volume(None),
        Some("") => return Err(bad()),
        Some(path) if path.starts_with(['/', '.']) => {
            MountSource::Bind { path: absolute(base, path).ok_or_else(bad)?, create: true }
        }
        Some(name) => volume(Some(checked_name(name)?)),
    };
    let mut request = MountRequest::new(checked_target(target, text)?, source);
    let mut access = None;
    for word in mode.split(',').filter(|_| !mode.is_empty()) {
        apply_word(&mut request, word, &mut access)
            .ok_or_else(|| Error::usage(format!("invalid mode {mode:?} in volume {text:?}")))?;
    }
    Ok(request)
}

fn is_mode(text: &str) -> bool {
    let mut request = MountRequest::new("/x", volume(None));
    let mut access = None;
    text.split(',').all(|word| apply_word(&mut request, word, &mut access).is_some())
}

fn volume(name: Option<String>) -> MountSource {
    let (options, labels) = (BTreeMap::new(), BTreeMap::new());
    MountSource::Volume { name, no_copy: false, options, labels }
}

/// One word of `-v`'s last part; `None` when it is unknown or contradicts another.
fn apply_word(request: &mut MountRequest, word: &str, access: &mut Option<bool>) -> Option<()> {
    let is_bind = matches!(request.source, MountSource::Bind { .. });
    match word {
        "ro" | "rw" => {
            request.read_only = word == "ro";
            return access.replace(request.read_only).is_none().then_some(());
        }
        "z" => request.relabel = Some(Relabel::Shared),
        "Z" => request.relabel = Some(Relabel::Private),
        "U" => request.chown = true,
        "rbind" => request.recursive = true,
        "bind" => request.recursive = false,
        // Hints for other operating systems, and the default.
        "cached" | "delegated" | "consistent" | "copy" => {}
        "nocopy" => match &mut request.source {
            MountSource::Volume { no_copy, .. } => *no_copy = true,
            _ => return None,
        },
        _ if is_switch(word) => request.options.push(word.to_owned()),
        _ if word == "idmap" || word.starts_with("idmap=") => {
            request.idmap = Some(parse_idmap(word.strip_prefix("idmap").unwrap_or_default())?);
        }
        _ => {
            let propagation = Propagation::from_word(word)?;
            if !is_bind || request.propagation.replace(propagation).is_some() {
                return None;
            }
        }
    }
    Some(())
}

/// Nothing, or `=uids=FROM-TO-COUNT#…;gids=…`.
fn parse_idmap(text: &str) -> Option<IdMap> {
    let mut map = IdMap::default();
    let Some(text) = text.strip_prefix('=') else { return Some(map) };
    for list in text.split(';') {
        let (kind, ranges) = list.split_once('=')?;
        let target = match kind {
            "uids" => &mut map.users,
            "gids" => &mut map.groups,
            _ => return None,
        };
        for range in ranges.split('#') {
            let range = super::parse_id_range(&range.replace('-', ":")).ok()?;
            target.push(IdRange { ..range });
        }
    }
    Some(map)
}

fn absolute(base: &Path, path: &str) -> Option<PathBuf> {
    if path.contains('\0') {
        return None;
    }
    let joined = base.join(path);
    Some(PathBuf::from(clean(joined.to_str()?)))
}

fn checked_target(target: &str, text: &str) -> Result<String> {
    if !target.starts_with('/') || target.contains('\0') {
        return Err(Error::usage(format!(
            "invalid mount path: {target:?} in {text:?}: mount path must be absolute"
        )));
    }
    let cleaned = clean(target);
    if cleaned == "/" {
        return Err(Error::usage(format!(
            "invalid specification {text:?}: destination can't be '/'"
        )));
    }
    Ok(cleaned)
}

fn checked_name(name: &str) -> Result<String> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if !first || !rest || name.len() > 255 {
        return Err(Error::usage(format!(
            "{name:?} includes invalid characters for a local volume name, only \
             [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed; to mount a host directory, use an absolute path"
        )));
    }
    Ok(name.to_owned())
}

/// `/target[:OPTION,…]`, options as of mount(8) and tmpfs.
pub fn parse_tmpfs(text: &str) -> Result<MountRequest> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let source = MountSource::Tmpfs { size: None, mode: None };
    let mut request = MountRequest::new(checked_target(target, text)?, source);
    for word in options.split(',').filter(|_| !options.is_empty()) {
        match word {
            "ro" => request.read_only = true,
            "rw" => request.read_only = false,
            "U" => request.chown = true,
            "notmpcopyup" => {}
            _ if is_tmpfs_option(word) => request.options.push(word.to_owned()),
            _ => return Err(Error::usage(format!("invalid tmpfs option {word:?} in {text:?}"))),
        }
    }
    Ok(request)
}

fn is_tmpfs_option(word: &str) -> bool {
    const VALUES: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];
    match word.split_once('=') {
        Some((key, value)) => VALUES.contains(&key) && !value.is_empty() && !value.contains('\0'),
        None => is_switch(word) || matches!(word, "tmpcopyup" | "noswap"),
    }
}

/// `type=bind,source=…,target=…,…`, with CSV quotes. Relative sources start at `base`.
pub fn parse_mount(text: &str, base: &Path) -> Result<MountRequest> {
    let fields = csv_fields(text)
        .ok_or_else(|| Error::usage(format!("invalid quotes in mount {text:?}")))?;
    let mut spec = MountSpec { text, base, kind: Kind::Volume, fields: BTreeMap::new() };
    let mut lists = Vec::new();
    for field in &fields {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        let (name, shape) =
            known_key(&key, value).ok_or_else(|| spec.error(format!("unexpected key {key:?}")))?;
        match (shape, value) {
            (Shape::Text | Shape::List, None | Some("")) => {
                return Err(spec.error(format!("invalid field {field:?} must be a key=value pair")));
            }
            (Shape::List, Some(value)) => lists.push((name, value.to_owned())),
            (Shape::Switch, value) => {
                let on = parse_bool(value.unwrap_or("true"))
                    .ok_or_else(|| spec.error(format!("invalid value for {key}")))?;
                spec.fields.insert(name, on.to_string());
            }
            (Shape::Text | Shape::Optional, value) => {
                spec.fields.insert(name, value.unwrap_or_default().to_owned());
            }
        }
    }
    spec.kind = spec.kind()?;
    spec.check_owners(&lists)?;
    spec.finish(lists)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Switch,
    /// A value or none.
    Optional,
    /// May be repeated.
    List,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bind,
    Volume,
    Tmpfs,
    Image,
}

impl Kind {
    const WORDS: [(&'static str, Kind); 4] = [
        ("bind", Kind::Bind),
        ("volume", Kind::Volume),
        ("tmpfs", Kind::Tmpfs),
        ("image", Kind::Image),
    ];
}

/// The one name of a key that has several, and what values it takes.
fn known_key(key: &str, value: Option<&str>) -> Option<(&'static str, Shape)> {
    Some(match key {
        "type" => ("type", Shape::Text),
        "src" | "source" => ("source", Shape::Text),
        "dst" | "dest" | "destination" | "target" => ("target", Shape::Text),
        "ro" | "readonly" => ("readonly", Shape::Switch),
        "rw" => ("rw", Shape::Switch),
        "consistency" => ("consistency", Shape::Text),
        "bind-propagation" => ("bind-propagation", Shape::Text),
        "bind-nonrecursive" => ("bind-nonrecursive", Shape::Switch),
        "bind-recursive" => ("bind-recursive", Shape::Text),
        "bind-create-src" => ("bind-create-src", Shape::Switch),
        "relabel" => ("relabel", Shape::Text),
        "u" | "chown" => ("chown", Shape::Switch),
        "idmap" => ("idmap", if value.is_some() { Shape::Optional } else { Shape::Switch }),
        "volume-nocopy" => ("volume-nocopy", Shape::Switch),
        "subpath" | "volume-subpath" | "image-subpath" => ("subpath", Shape::Text),
        "volume-driver" => ("volume-driver", Shape::Text),
        "volume-opt" => ("volume-opt", Shape::List),
        "volume-label" => ("volume-label", Shape::List),
        "tmpfs-size" => ("tmpfs-size", Shape::Text),
        "tmpfs-mode" => ("tmpfs-mode", Shape::Text),
        "tmpcopyup" => ("tmpfs-copyup", Shape::Switch),
        "notmpcopyup" => ("tmpfs-nocopyup", Shape::Switch),
        "noswap" => ("tmpfs-noswap", Shape::Switch),
        _ => return None,
    })
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A `--mount` half read.
struct MountSpec<'a> {
    text: &'a str,
    base: &'a Path,
    kind: Kind,
    fields: BTreeMap<&'static str, String>,
}

impl MountSpec<'_> {
    fn error(&self, what: String) -> Error {
        Error::usage(format!("{what} in mount {:?}", self.text))
    }

    fn text_of(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn is_on(&self, name: &str) -> bool {
        self.text_of(name) == Some("true")
    }

    fn kind(&self) -> Result<Kind> {
        let Some(word) = self.text_of("type") else { return Ok(Kind::Volume) };
        let known = Kind::WORDS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
        known.map(|(_, kind)| *kind).ok_or_else(|| {
            self.error(format!(
                "unsupported mount type {word:?} (expected bind, volume, tmpfs or image)"
            ))
        })
    }

    fn check_owners(&self, lists: &[(&'static str, String)]) -> Result<()> {
        let name = Kind::WORDS.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(n, _)| n);
        for key in self.fields.keys().copied().chain(lists.iter().map(|(key, _)| *key)) {
            let owner = key.split_once('-').map(|(owner, _)| owner);
            let foreign = match key {
                "relabel" => (self.kind == Kind::Tmpfs).then_some("relabel"),
                "subpath" => {
                    (!matches!(self.kind, Kind::Volume | Kind::Image)).then_some("subpath")
                }
                "idmap" => (self.kind == Kind::Tmpfs).then_some("idmap"),
                _ => owner.filter(|owner| *owner != name),
            };
            if let Some(owner) = foreign {
                return Err(self.error(format!(
                    "cannot mix '{owner}{}' options with mount type '{name}'",
                    if owner == key { "" } else { "-*" }
                )));
            }
        }
        Ok(())
    }

    fn finish(&self, lists: Vec<(&'static str, String)>) -> Result<MountRequest> {
        let target =
            self.text_of("target").ok_or_else(|| self.error("target is required".into()))?;
        let mut request =
            MountRequest::new(checked_target(target, self.text)?, self.source(lists)?);
        request.read_only = match (self.text_of("readonly"), self.text_of("rw")) {
            (Some(_), Some(_)) => return Err(self.error("both ro and rw".into())),
            (Some(on), None) => on == "true",
            (None, Some(on)) => on == "false",
            (None, None) => self.kind == Kind::Image,
        };
        if self.kind == Kind::Image && self.is_on("rw") {
            request.read_only = false;
        }
        self.apply_recursion(&mut request)?;
        if let Some(word) = self.text_of("bind-propagation") {
            let read = Propagation::from_word(word);
            let bad = || self.error(format!("invalid propagation value {word:?}"));
            request.propagation = Some(read.ok_or_else(bad)?);
        }
        request.relabel = match self.text_of("relabel") {
            None => None,
            Some("shared") => Some(Relabel::Shared),
            Some("private") => Some(Relabel::Private),
            Some(other) => return Err(self.error(format!("invalid relabel value {other:?}"))),
        };
        request.chown = self.is_on("chown");
        request.idmap = match self.text_of("idmap") {
            None | Some("false") => None,
            Some("true") => Some(IdMap::default()),
            Some(map) => Some(
                parse_idmap(&format!("={map}"))
                    .ok_or_else(|| self.error(format!("invalid idmap {map:?}")))?,
            ),
        };
        request.subpath = self.text_of("subpath").map(str::to_owned);
        for (field, word) in [("tmpfs-copyup", "tmpcopyup"), ("tmpfs-noswap", "noswap")] {
            if self.is_on(field) {
                request.options.push(word.to_owned());
            }
        }
        Ok(request)
    }

    fn apply_recursion(&self, request: &mut MountRequest) -> Result<()> {
        request.recursive = !self.is_on("bind-nonrecursive");
        match self.text_of("bind-recursive") {
            None | Some("enabled") => {}
            Some("disabled") => request.recursive = false,
            Some("writable") => request.writable_below = true,
            Some("readonly") if request.read_only => {}
            Some("readonly") => {
                return Err(
                    self.error("option 'bind-recursive=readonly' requires 'readonly'".into())
                );
            }
            Some(other) => {
                return Err(self.error(format!("invalid value for bind-recursive: {other:?}")));
            }
        }
        Ok(())
    }

    fn source(&self, lists: Vec<(&'static str, String)>) -> Result<MountSource> {
        let source = self.text_of("source");
        let required = || source.ok_or_else(|| self.error("source is required".into()));
        match self.kind {
            Kind::Bind => Ok(MountSource::Bind {
                path: absolute(self.base, required()?)
                    .ok_or_else(|| self.error("invalid source".into()))?,
                create: self.is_on("bind-create-src"),
            }),
            Kind::Image => {
                Ok(MountSource::Image { name: required()?.to_owned(), writable: self.is_on("rw") })
            }
            Kind::Tmpfs => {
                if source.is_some() {
                    return Err(self.error("a tmpfs has no source".into()));
                }
                let size = self.text_of("tmpfs-size").map(parse_size).transpose()?;
                let mode = self.text_of("tmpfs-mode").map(|mode| {
                    let parsed = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777);
                    parsed.ok_or_else(|| {
                        self.error(format!("invalid value for tmpfs-mode: {mode:?}"))
                    })
                });
                Ok(MountSource::Tmpfs { size, mode: mode.transpose()? })
            }
            Kind::Volume => self.volume_source(source, lists),
        }
    }

    fn volume_source(
        &self,
        source: Option<&str>,
        lists: Vec<(&'static str, String)>,
    ) -> Result<MountSource> {
        if let Some(driver) = self.text_of("volume-driver").filter(|driver| *driver != "local") {
            return Err(
                self.error(format!("unknown volume driver {driver:?} (only local is there)"))
            );
        }
        let (mut options, mut labels) = (BTreeMap::new(), BTreeMap::new());
        for (list, value) in lists {
            let (key, value) = value.split_once('=').unwrap_or((&value, ""));
            let target = if list == "volume-opt" { &mut options } else { &mut labels };
            target.insert(key.to_owned(), value.to_owned());
        }
        let name = source.map(checked_name).transpose()?;
        Ok(MountSource::Volume { name, no_copy: self.is_on("volume-nocopy"), options, labels })
    }
}

/// The fields of one CSV record (RFC 4180); `None` when its quotes do not match.
fn csv_fields(text: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    let mut at_start = true;
    while let Some(c) = characters.next() {
        let field = fields.last_mut()?;
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => {
                quoted = false;
                if !matches!(characters.peek(), None | Some(',')) {
                    return None;
                }
            }
            '"' if at_start => quoted = true,
            '"' => return None,
            ',' if !quoted => {
                fields.push(String::new());
                at_start = true;
                continue;
            }
            _ => field.push(c),
        }
        at_start = false;
    }
    (!quoted).then_some(fields)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
