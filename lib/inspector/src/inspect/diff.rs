//! What is different between two images: config, history, layers, files.
//!
//! Uses the merged trees of both, so that it does not matter which layer brought a file. Files are
//! compared by digest, hard links by what they are links to.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::files::{EntryKind, FileEntry, Merged, Name, tree_order};
use crate::spec::{Digest, Image};

/// Deepest nesting of a config that is compared part by part.
const MAX_DEPTH: usize = 16;

/// What counts as a difference.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiffOptions {
    /// Times, the history and how files are spread over layers do not count.
    pub semantic: bool,
}

/// The differences between two images.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// Parts of the configs and the annotations.
    pub config: Vec<ValueChange>,
    /// Lines of the history.
    pub history: ListChange<String>,
    /// Layers, by the digest of their archives.
    pub layers: ListChange<Digest>,
    /// Paths, in the order of the tree.
    pub files: Vec<FileChange>,
    /// Whether none of this counts.
    pub equal: bool,
}

/// A part of a config.
#[derive(Clone, Debug, Serialize)]
pub struct ValueChange {
    /// Where: `config.Env.PATH`, `architecture`, `annotations.KEY`.
    pub path: String,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// A list that grows at its end.
#[derive(Clone, Debug, Serialize)]
pub struct ListChange<T> {
    /// How many both begin with.
    pub common: usize,
    /// What the old one has after that.
    pub removed: Vec<T>,
    /// What the new one has after that.
    pub added: Vec<T>,
}

impl<T> ListChange<T> {
    /// Whether both are the same.
    pub fn is_equal(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// A path that is not the same.
#[derive(Clone, Debug, Serialize)]
pub struct FileChange {
    /// Path with a leading slash.
    pub path: Name,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// What of it: `type`, `content`, `mode`, `owner`, `time`, `link`, `device`, `xattrs`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub what: Vec<&'static str>,
    /// How it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<FileEntry>,
    /// How it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<FileEntry>,
}

/// Compares two images whose layers are known with digests of files.
pub fn diff(old: (&Image, &Merged<'_>), new: (&Image, &Merged<'_>), options: DiffOptions) -> Diff {
    let config = config_changes(old.0, new.0, options);
    let history = lists(history(old.0), history(new.0));
    let layers = lists(diff_ids(old.0), diff_ids(new.0));
    let files = file_changes(old.1, new.1, options);
    let same = config.is_empty() && files.is_empty();
    let equal = same && (options.semantic || (history.is_equal() && layers.is_equal()));
    Diff { config, history, layers, files, equal }
}

fn history(image: &Image) -> Vec<String> {
    let lines = image.config().fields().history.iter();
    lines.map(|line| line.created_by.clone().unwrap_or_default()).collect()
}

fn diff_ids(image: &Image) -> Vec<Digest> {
    image.layers().iter().map(|layer| layer.diff_id.0.clone()).collect()
}

fn lists<T: PartialEq>(mut old: Vec<T>, mut new: Vec<T>) -> ListChange<T> {
    let common = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    ListChange { common, removed: old.split_off(common), added: new.split_off(common) }
}

fn config_changes(old: &Image, new: &Image, options: DiffOptions) -> Vec<ValueChange> {
    let mut sides = [BTreeMap::new(), BTreeMap::new()];
    for (image, side) in [old, new].into_iter().zip(&mut sides) {
        for (key, value) in image.config().document().as_object().into_iter().flatten() {
            let elsewhere = ["history", "rootfs"].contains(&key.as_str());
            let passing = ["created", "container", "container_config", "docker_version", "id"];
            let skipped = options.semantic && passing.contains(&key.as_str());
            if !elsewhere && !skipped {
                flatten(key.clone(), value, 0, side);
            }
        }
        for (key, value) in super::summary::annotations(image.manifest()) {
            if !(options.semantic && key == "org.opencontainers.image.created") {
                side.insert(format!("annotations.{key}"), Value::from(value.clone()));
            }
        }
    }
    let [mut old, new] = sides;
    let mut changes = Vec::new();
    for (path, new) in new {
        let old = old.remove(&path);
        if old.as_ref() != Some(&new) {
            changes.push(ValueChange { path, old, new: Some(new) });
        }
    }
    let gone = old.into_iter().map(|(path, old)| ValueChange { path, old: Some(old), new: None });
    changes.extend(gone);
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}

/// Objects part by part, environments variable by variable, the rest as it is. What is null or
/// empty says nothing.
fn flatten(path: String, value: &Value, depth: usize, out: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::Object(map) if depth < MAX_DEPTH && !map.is_empty() => {
            for (key, value) in map {
                let empty = matches!(value, Value::Object(map) if map.is_empty());
                match empty {
                    // A set as Go writes it: `"ExposedPorts": {"80/tcp": {}}`.
                    true => drop(out.insert(format!("{path}.{key}"), value.clone())),
                    false => flatten(format!("{path}.{key}"), value, depth + 1, out),
                }
            }
        }
        Value::Object(map) if map.is_empty() => {}
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) if path == "config.Env" => {
            for item in items {
                let text = item.as_str().unwrap_or_default();
                let (name, value) = text.split_once('=').unwrap_or((text, ""));
                out.insert(format!("{path}.{name}"), Value::from(value));
            }
        }
        other => drop(out.insert(path, other.clone())),
    }
}

fn file_changes(old: &Merged<'_>, new: &Merged<'_>, options: DiffOptions) -> Vec<FileChange> {
    let mut changes = Vec::new();
    let (mut left, mut right) = (old.all().peekable(), new.all().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return changes,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((left, _)), Some((right, _))) => tree_order(left, right),
        };
        let before = if order.is_le() { left.next() } else { None };
        let after = if order.is_ge() { right.next() } else { None };
        let path = before.as_ref().or(after.as_ref()).map(|(path, _)| *path);
        let Some(path) = path else { return changes };
        let before = before.map(|(path, node)| Side::new(old, path, node));
        let after = after.map(|(path, node)| Side::new(new, path, node));
        let (change, what) = match (&before, &after) {
            (Some(_), None) => ("removed", Vec::new()),
            (None, Some(_)) => ("added", Vec::new()),
            (Some(before), Some(after)) => ("changed", before.differences(after, options)),
            (None, None) => return changes,
        };
        if change != "changed" || !what.is_empty() {
            changes.push(FileChange {
                path: Name([b"/", path].concat()),
                change,
                what,
                old: before.map(|side| side.entry),
                new: after.map(|side| side.entry),
            });
        }
    }
}

/// One side of a path.
struct Side {
    entry: FileEntry,
    /// The layer and the entry in it, where content of unknown digest comes from.
    origin: Option<(Digest, u64)>,
}

impl Side {
    fn new(merged: &Merged<'_>, path: &[u8], node: super::files::Node) -> Side {
        let content = node.entry.map(|entry| match entry.kind {
            EntryKind::Hardlink => merged.content(node.layer, &entry).unwrap_or(entry),
            _ => entry,
        });
        let layer = merged.layers().get(node.layer);
        let origin =
            layer.zip(content.as_ref()).map(|(layer, entry)| (layer.digest.clone(), entry.ordinal));
        let mut entry = content.unwrap_or_else(FileEntry::implied);
        entry.path = Name([b"/", path].concat());
        Side { entry, origin }
    }

    fn differences(&self, other: &Side, options: DiffOptions) -> Vec<&'static str> {
        let (a, b) = (&self.entry, &other.entry);
        if a.kind != b.kind {
            return vec!["type"];
        }
        let content = a.size != b.size || a.digest != b.digest;
        let unknown = a.digest.is_none() && a.kind == EntryKind::File;
        let content = content || (unknown && self.origin != other.origin);
        // A link's permissions mean nothing.
        let mode = a.mode != b.mode && a.kind != EntryKind::Symlink;
        let time = (a.mtime, a.mtime_nanos) != (b.mtime, b.mtime_nanos) && !options.semantic;
        let all = [
            ("content", content),
            ("mode", mode),
            ("owner", (a.uid, a.gid) != (b.uid, b.gid)),
            ("time", time),
            ("link", a.link != b.link),
            ("device", a.device != b.device),
            ("xattrs", a.xattrs != b.xattrs),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
    }
}
