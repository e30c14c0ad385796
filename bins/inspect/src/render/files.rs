//! Lists of files.

use creel::Error;
use creel::cli::Columns;
use creel::error::Result;
use creel::inspect::files::{EntryKind, FileEntry, Name};
use creel::spec::Digest;
use creel::spec::shown::escape_json;

/// Bytes that are written at once.
const PIECE: usize = 64 << 10;
const HEAD: [&str; 6] = ["MODE", "OWNER", "SIZE", "MODIFIED", "LAYER", "PATH"];

/// One row of a list.
pub struct FileRow<'a> {
    /// Path with a leading slash.
    pub path: Name,
    /// The layer that it comes from, counted from 1.
    pub layer: usize,
    /// The digest of that layer.
    pub layer_digest: &'a Digest,
    /// `None` where no layer has an entry for it: a path below it implies the directory.
    pub entry: Option<FileEntry>,
}

/// Writes the rows as JSON, one at a time: the fields of the entry beside those of the row. Digests
/// only if they were asked for, whatever happens to be known.
pub fn file_rows<'a>(rows: impl Iterator<Item = FileRow<'a>>, digests: bool) -> Result<()> {
    let (mut out, mut any) = (String::from("["), false);
    for row in rows {
        out.push_str(if any { ",\n" } else { "\n" });
        any = true;
        let written = serde_json::to_string_pretty(&value(&row, digests))
            .map_err(|error| Error::caused(creel::ErrorKind::Failed, "writing JSON", error))?;
        let written = escape_json(&written);
        let lines: Vec<String> = written.lines().map(|line| format!("  {line}")).collect();
        out.push_str(&lines.join("\n"));
        flush(&mut out, PIECE)?;
    }
    out.push_str(if any { "\n]\n" } else { "]\n" });
    flush(&mut out, 0)
}

fn value(row: &FileRow<'_>, digests: bool) -> serde_json::Value {
    let mut value = serde_json::to_value(&row.entry).unwrap_or_default();
    let mut object = value.as_object_mut().map(std::mem::take).unwrap_or_default();
    object.remove("ordinal");
    if !digests {
        object.remove("digest");
    }
    object.insert("path".into(), serde_json::to_value(&row.path).unwrap_or_default());
    if row.entry.is_none() {
        object.insert("type".into(), "directory".into());
        object.insert("implied".into(), true.into());
    }
    object.insert("layer".into(), row.layer.into());
    object.insert("layerDigest".into(), row.layer_digest.to_string().into());
    serde_json::Value::Object(object)
}

/// Writes the rows as `ls -l` would show them, with the layer of each. They are made twice, so that
/// columns are as wide as need be and a million of them take no memory.
pub fn files<'a, I: Iterator<Item = FileRow<'a>>>(
    rows: impl Fn() -> I,
    xattrs: bool,
) -> Result<()> {
    let mut columns = Columns::new(&HEAD);
    rows().for_each(|row| columns.fit(&cells(&row)));
    let mut out = columns.line(&HEAD);
    for row in rows() {
        out.push_str(&columns.line(&cells(&row)));
        for (key, value) in row.entry.iter().filter(|_| xattrs).flat_map(|entry| &entry.xattrs) {
            let mut cells = vec![String::new(); HEAD.len() - 1];
            cells.push(format!("  {key}={value}"));
            out.push_str(&columns.line(&cells));
        }
        flush(&mut out, PIECE)?;
    }
    flush(&mut out, 0)
}

/// Writes what has come together, if it is so much.
fn flush(out: &mut String, least: usize) -> Result<()> {
    if out.len() >= least {
        super::text(out)?;
        out.clear();
    }
    Ok(())
}

fn cells(row: &FileRow<'_>) -> Vec<String> {
    let Some(entry) = &row.entry else {
        let line = ["drwxr-xr-x", "-", "-", "-"].map(str::to_owned).to_vec();
        return [line, vec![row.layer.to_string(), row.path.to_string()]].concat();
    };
    let (owner, size) = match entry.kind {
        EntryKind::Whiteout | EntryKind::Opaque => ("-".to_owned(), "-".to_owned()),
        EntryKind::Char | EntryKind::Block => {
            let (major, minor) = entry.device.unwrap_or_default();
            (owner(entry), format!("{major},{minor}"))
        }
        _ => (owner(entry), entry.size.to_string()),
    };
    vec![
        entry.mode_text(),
        owner,
        size,
        if entry.is_deletion() { "-".to_owned() } else { entry.modified() },
        row.layer.to_string(),
        format!("{}{}", row.path, after(entry)),
    ]
}

fn owner(entry: &FileEntry) -> String {
    format!("{}:{}", entry.uid, entry.gid)
}

/// What follows the path of an entry.
fn after(entry: &FileEntry) -> String {
    match (entry.kind, &entry.link) {
        (EntryKind::Symlink, Some(target)) => format!(" -> {target}"),
        (EntryKind::Hardlink, Some(target)) => format!(" = /{target}"),
        (EntryKind::Opaque, _) => "/*".to_owned(),
        _ => String::new(),
    }
}
