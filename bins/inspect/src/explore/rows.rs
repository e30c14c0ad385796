//! The tree of files as rows, each with what the chosen layer did to it.

use std::collections::BTreeSet;

use creel::inspect::files::{LayerIndex, Merged, Name, Node, tree_order};

/// What a layer did to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Same,
    Added,
    Modified,
    Removed,
}

/// One path.
#[derive(Clone, Debug)]
pub struct Row {
    pub path: Vec<u8>,
    pub depth: usize,
    pub name: String,
    pub is_directory: bool,
    /// Bytes, of a directory those of all below it.
    pub size: u64,
    pub mode: String,
    pub owner: String,
    pub change: Change,
    /// Something below it has changed.
    pub changed_below: bool,
}

/// All rows of the tree that layers up to `number` make, directories before what is in them.
pub fn rows(layers: &[LayerIndex], number: usize) -> Vec<Row> {
    let below = Merged::new(&layers[..number]);
    let now = Merged::new(&layers[..=number]);
    let (mut rows, mut gone) = (Vec::new(), below.all().peekable());
    // Both are in the order of the tree; what only the lower layers have is gone.
    for (path, node) in now.all() {
        while let Some((old, node)) = gone.next_if(|(old, _)| tree_order(old, path).is_lt()) {
            rows.push(row(old, &node, Change::Removed));
        }
        let before = gone.next_if(|(old, _)| *old == path);
        let change = match (node.layer == number, before) {
            (false, _) => Change::Same,
            (true, None) => Change::Added,
            (true, Some(_)) if node.entry.is_none() => Change::Same,
            (true, Some(_)) => Change::Modified,
        };
        if !path.is_empty() {
            rows.push(row(path, &node, change));
        }
    }
    rows.extend(gone.map(|(path, node)| row(path, &node, Change::Removed)));
    sum_up(&mut rows);
    rows
}

fn row(path: &[u8], node: &Node, change: Change) -> Row {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let mut shown = Name::from(name).to_string();
    let entry = node.entry.as_ref();
    if let Some(link) = entry.and_then(|entry| entry.link.as_ref()) {
        shown = format!("{shown} -> {link}");
    }
    Row {
        path: path.to_vec(),
        depth: path.iter().filter(|&&b| b == b'/').count(),
        name: shown,
        is_directory: node.is_directory(),
        size: entry.map_or(0, |entry| entry.size),
        mode: entry.map_or_else(|| "drwxr-xr-x".to_owned(), |entry| entry.mode_text()),
        owner: entry.map_or_else(|| "-".to_owned(), |e| format!("{}:{}", e.uid, e.gid)),
        change,
        changed_below: false,
    }
}

/// Adds sizes and changes up to the directories: children follow their parents.
fn sum_up(rows: &mut [Row]) {
    let mut parents: Vec<usize> = Vec::new();
    for at in 0..rows.len() {
        parents.truncate(rows[at].depth);
        let (size, changed) = (rows[at].size, rows[at].change != Change::Same);
        let counts = rows[at].change != Change::Removed && !rows[at].is_directory;
        for &parent in &parents {
            if counts {
                rows[parent].size = rows[parent].size.saturating_add(size);
            }
            rows[parent].changed_below |= changed;
        }
        parents.push(at);
    }
}

/// Which rows are seen: below open directories, and matching the filter with what leads to it.
pub fn visible(
    rows: &[Row],
    open: &BTreeSet<Vec<u8>>,
    filter: &str,
    only_changes: bool,
) -> Vec<usize> {
    let filter = filter.to_lowercase();
    let mut wanted = vec![false; rows.len()];
    let mut parents: Vec<usize> = Vec::new();
    for at in 0..rows.len() {
        parents.truncate(rows[at].depth);
        let row = &rows[at];
        let matches = filter.is_empty()
            || Name::from(&row.path[..]).to_string().to_lowercase().contains(&filter);
        let changed = !only_changes || row.change != Change::Same;
        if matches && changed {
            wanted[at] = true;
            parents.iter().for_each(|&parent| wanted[parent] = true);
        }
        parents.push(at);
    }
    // With a filter all that leads to a match is open.
    let all_open = !filter.is_empty();
    let mut seen = Vec::new();
    let mut closed: Option<usize> = None;
    for (at, row) in rows.iter().enumerate() {
        if closed.is_some_and(|depth| row.depth > depth) {
            continue;
        }
        closed = None;
        if wanted[at] {
            seen.push(at);
        }
        if row.is_directory && !all_open && !open.contains(&row.path) {
            closed = Some(row.depth);
        }
    }
    seen
}
