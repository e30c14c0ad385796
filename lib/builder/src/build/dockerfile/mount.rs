//! `RUN --mount` and `RUN --device`: comma-separated fields.

use super::super::diagnostic::Diagnostic;
use super::super::source::Span;
use super::super::suggest;
use super::instruction::{Device, Word};

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountKind {
    /// A directory or file of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret, as a file or a variable.
    Secret,
    /// An agent's socket.
    Ssh,
}

/// Who may use a cache at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    Shared,
    /// One; a second user gets another cache.
    Private,
    /// One; a second user waits.
    Locked,
}

/// One mount, expanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// `type`.
    pub kind: MountKind,
    /// `from`: stage, context or image.
    pub from: Option<String>,
    /// `source`.
    pub source: Option<String>,
    /// `target`, as written: may be relative to the working directory.
    pub target: Option<String>,
    /// `ro`, `rw` or the kind's own.
    pub read_only: bool,
    /// `size` of a tmpfs (bytes).
    pub size: Option<u64>,
    /// `id`.
    pub id: Option<String>,
    /// `sharing`.
    pub sharing: Option<Sharing>,
    /// `required`.
    pub required: bool,
    /// `env`: the variable that takes the secret.
    pub env: Option<String>,
    /// `mode`.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
}

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

/// A field and where it stands.
struct Field {
    text: String,
    span: Span,
}

/// What puts values in place of variables; the error is the text of a diagnostic.
pub type Expand<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

impl Mount {
    /// What can be said before anything is expanded: the fields are well formed and `from` holds
    /// no variable. Returns `from`.
    pub fn check(word: &Word) -> Result<Option<String>, Diagnostic> {
        let mut from = None;
        for field in fields(word)? {
            let Some((key, value)) = field.text.split_once('=') else { continue };
            if !key.eq_ignore_ascii_case("from") {
                continue;
            }
            if value.find('$').is_some_and(|at| at + 1 != value.len()) {
                let text = "'from' doesn't support variable expansion, define alias stage instead";
                return Err(Diagnostic::error(field.span, text)
                    .hint("as FROM $IMAGE AS name, with ARG IMAGE before the first FROM"));
            }
            from = Some(value.to_owned());
        }
        Ok(from.filter(|from| !from.is_empty()))
    }

    /// Reads a mount, every value expanded.
    pub fn parse(word: &Word, expand: Expand<'_>) -> Result<Mount, Diagnostic> {
        let mut mount = Mount::default();
        let mut read_only = None;
        for field in fields(word)? {
            mount
                .set(&field, &mut read_only, expand)
                .map_err(|(text, known)| Diagnostic::error(field.span, text).suggest(known))?;
        }
        mount.read_only =
            read_only.unwrap_or(!matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs));
        mount.consistent().map_err(|text| Diagnostic::error(word.span, text))?;
        Ok(mount)
    }

    /// Reads a mount that stands on a command line: nothing is put in place of variables.
    pub fn alone(text: &str) -> Result<Mount, String> {
        let word = Word { text: text.to_owned(), span: Span::default() };
        let parsed = Mount::parse(&word, &mut |value| Ok(value.to_owned()));
        parsed.map_err(|problem| problem.message)
    }

    fn set(
        &mut self,
        field: &Field,
        read_only: &mut Option<bool>,
        expand: Expand<'_>,
    ) -> Result<(), (String, Option<String>)> {
        let plain = |text: String| (text, None);
        let (key, value) = match field.text.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.text.to_ascii_lowercase(), None),
        };
        let is_switch = matches!(key.as_str(), "readonly" | "ro" | "readwrite" | "rw" | "required");
        let value = match value {
            None if is_switch => "true".to_owned(),
            None => {
                let text = format!("invalid field '{}' must be a key=value pair", field.text);
                return Err(plain(text));
            }
            Some(value) => expand(value).map_err(plain)?,
        };
        let invalid = |_| plain(format!("invalid value for {key}: {value}"));
        let number = |radix| {
            u32::from_str_radix(&value, radix)
                .map_err(|_| plain(format!("invalid value {value} for {key}")))
        };
        match key.as_str() {
            "type" => self.kind = kind(&value)?,
            "from" => self.from = Some(value).filter(|from| !from.is_empty()),
            "source" | "src" => self.source = Some(value).filter(|source| !source.is_empty()),
            "target" | "dst" | "destination" => {
                self.target = Some(value).filter(|target| !target.is_empty());
            }
            "readonly" | "ro" => *read_only = Some(boolean(&value).map_err(invalid)?),
            "readwrite" | "rw" => *read_only = Some(!boolean(&value).map_err(invalid)?),
            "required" if matches!(self.kind, MountKind::Secret | MountKind::Ssh) => {
                self.required = boolean(&value).map_err(invalid)?;
            }
            "size" if self.kind == MountKind::Tmpfs => {
                self.size = Some(size(&value).ok_or(()).map_err(invalid)?);
            }
            "required" | "size" => {
                let kind = self.kind.name();
                return Err(plain(format!("unexpected key '{key}' for mount type '{kind}'")));
            }
            "id" => self.id = Some(value).filter(|id| !id.is_empty()),
            "sharing" => self.sharing = Some(sharing(&value)?),
            "mode" => self.mode = Some(number(8)?),
            "uid" => self.uid = Some(number(10)?),
            "gid" => self.gid = Some(number(10)?),
            "env" => self.env = Some(value),
            _ => {
                let text = format!("unexpected key '{key}' in '{}'", field.text);
                return Err((text, suggest::nearest(&key, KEYS, false)));
            }
        }
        Ok(())
    }

    /// Whether the fields fit the kind and each other.
    fn consistent(&self) -> Result<(), String> {
        let kind = self.kind.name();
        if matches!(self.kind, MountKind::Bind | MountKind::Tmpfs) {
            let owner = [
                ("mode", self.mode.is_some()),
                ("uid", self.uid.is_some()),
                ("gid", self.gid.is_some()),
            ];
            if let Some((key, _)) = owner.iter().find(|(_, given)| *given) {
                return Err(format!("{key} not allowed for {kind:?} type mounts"));
            }
        }
        if self.kind == MountKind::Secret {
            if self.from.is_some() {
                return Err("secret mount should not have a from".to_owned());
            }
            if self.sharing.is_some() {
                return Err("secret mount should not define sharing".to_owned());
            }
            if self.source.is_none() && self.target.is_none() && self.id.is_none() {
                let text = "invalid secret mount. one of source, target required";
                return Err(text.to_owned());
            }
            if self.source.is_some() && self.id.is_some() {
                return Err("both source and id can't be set".to_owned());
            }
        }
        if self.sharing.is_some() && self.kind != MountKind::Cache {
            return Err(format!("invalid cache sharing set for {kind} mount"));
        }
        Ok(())
    }
}

impl MountKind {
    /// Its name in `type=`.
    pub fn name(self) -> &'static str {
        match self {
            MountKind::Bind => "bind",
            MountKind::Cache => "cache",
            MountKind::Tmpfs => "tmpfs",
            MountKind::Secret => "secret",
            MountKind::Ssh => "ssh",
        }
    }
}

impl Sharing {
    /// Its name in `sharing=`.
    pub fn name(self) -> &'static str {
        match self {
            Sharing::Shared => "shared",
            Sharing::Private => "private",
            Sharing::Locked => "locked",
        }
    }
}

fn kind(value: &str) -> Result<MountKind, (String, Option<String>)> {
    let all =
        [MountKind::Bind, MountKind::Cache, MountKind::Tmpfs, MountKind::Secret, MountKind::Ssh];
    let lower = value.to_ascii_lowercase();
    all.into_iter().find(|kind| kind.name() == lower).ok_or_else(|| {
        let known = suggest::nearest(&lower, all.map(MountKind::name), false);
        (format!("unsupported mount type {value:?}"), known)
    })
}

fn sharing(value: &str) -> Result<Sharing, (String, Option<String>)> {
    let all = [Sharing::Shared, Sharing::Private, Sharing::Locked];
    let lower = value.to_ascii_lowercase();
    all.into_iter().find(|sharing| sharing.name() == lower).ok_or_else(|| {
        let known = suggest::nearest(&lower, all.map(Sharing::name), false);
        (format!("unsupported sharing value {value:?}"), known)
    })
}

fn boolean(value: &str) -> Result<bool, ()> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(()),
    }
}

/// `128m`, `1.5 GiB`, `4096`: bytes.
fn size(text: &str) -> Option<u64> {
    let number =
        text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(number);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * (1_u64 << shift) as f64;
    // Larger numbers are no sizes of memory.
    (bytes.is_finite() && bytes < 9e18).then_some(bytes as u64)
}

/// `NAME[,required]` or `name=NAME,required=BOOL`.
pub(super) fn device(word: &Word) -> Result<Device, Diagnostic> {
    let mut device = Device { name: String::new(), required: false };
    for field in fields(word)? {
        let wrong = |text: String| Diagnostic::error(field.span, text);
        let (key, value) = match field.text.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.text.to_ascii_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("name", Some(value)) if device.name.is_empty() => device.name = value.to_owned(),
            ("name", Some(_)) => {
                return Err(wrong(format!("device name already set to {}", device.name)));
            }
            ("required", value) => {
                let value = value.unwrap_or("true");
                device.required = boolean(value)
                    .map_err(|()| wrong(format!("invalid value for {key}: {value}")))?;
            }
            _ if device.name.is_empty() => device.name.clone_from(&field.text),
            (_, None) => {
                let text = format!("invalid field '{}' must be a key=value pair", field.text);
                return Err(wrong(text));
            }
            (key, Some(_)) => {
                let text = format!("unexpected key '{key}' in '{}'", field.text);
                let known = suggest::nearest(key, ["name", "required"], false);
                return Err(wrong(text).suggest(known));
            }
        }
    }
    Ok(device)
}

/// Comma-separated fields; a field in double quotes may hold commas, a quote inside is doubled.
fn fields(word: &Word) -> Result<Vec<Field>, Diagnostic> {
    let text = &word.text;
    let exact = word.span.end - word.span.start == text.len();
    let place = |start: usize, end: usize| match exact {
        true => Span::new(word.span.start + start, word.span.start + end),
        false => word.span,
    };
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        let (field, end) = match text[at..].strip_prefix('"') {
            None => plain_field(text, at),
            Some(_) => quoted_field(text, at),
        }
        .map_err(|problem| {
            let text = format!("failed to parse csv mounts: {problem}");
            Diagnostic::error(word.span, text)
        })?;
        out.push(Field { text: field, span: place(at, end) });
        match text[end..].strip_prefix(',') {
            Some(_) => at = end + 1,
            None => return Ok(out),
        }
    }
}

fn plain_field(text: &str, at: usize) -> Result<(String, usize), &'static str> {
    let end = text[at..].find(',').map_or(text.len(), |length| at + length);
    match text[at..end].contains('"') {
        true => Err("bare \" in non-quoted field"),
        false => Ok((text[at..end].to_owned(), end)),
    }
}

fn quoted_field(text: &str, at: usize) -> Result<(String, usize), &'static str> {
    let mut field = String::new();
    let mut chars = text[at + 1..].char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        if c != '"' {
            field.push(c);
            continue;
        }
        match chars.peek() {
            Some((_, '"')) => {
                chars.next();
                field.push('"');
            }
            None | Some((_, ',')) => return Ok((field, at + 1 + offset + 1)),
            Some(_) => return Err("extraneous or missing \" in quoted-field"),
        }
    }
    Err("extraneous or missing \" in quoted-field")
}
