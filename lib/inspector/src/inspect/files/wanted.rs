//! Which entries of a layer are wanted, and the paths that show each: packed, because it may be all
//! of a million.

use std::collections::BTreeMap;

use super::entry::EntryKind;
use super::merged::{Merged, Node};

/// Wanted entries of one layer.
#[derive(Clone, Debug, Default)]
pub(in crate::inspect) struct Wanted {
    text: Vec<u8>,
    /// Ordinals, and where the path begins and ends in the text; sorted by ordinal once complete.
    list: Vec<(u64, u32, u32)>,
}

impl Wanted {
    /// One entry, whose path is of no interest.
    pub(in crate::inspect) fn one(ordinal: u64) -> Wanted {
        Wanted { text: Vec::new(), list: vec![(ordinal, 0, 0)] }
    }

    /// By layer: the contents of the regular files among the nodes that `wish` wants (asked with
    /// the path and the entry that has the content), hard links included.
    pub(in crate::inspect) fn of<'a>(
        merged: &Merged<'_>,
        nodes: impl Iterator<Item = (&'a [u8], Node)>,
        mut wish: impl FnMut(&[u8], &super::FileEntry) -> bool,
    ) -> BTreeMap<usize, Wanted> {
        let mut all: BTreeMap<usize, Wanted> = BTreeMap::new();
        for (path, node) in nodes {
            let content = match node.entry {
                Some(entry) if entry.kind == EntryKind::File => Some(entry),
                Some(entry) if entry.kind == EntryKind::Hardlink => {
                    merged.content(node.layer, &entry)
                }
                _ => None,
            };
            if let Some(content) = content.filter(|content| wish(path, content)) {
                all.entry(node.layer).or_default().add(content.ordinal, path);
            }
        }
        all.values_mut().for_each(|wanted| wanted.list.sort_by_key(|(ordinal, ..)| *ordinal));
        all
    }

    fn add(&mut self, ordinal: u64, path: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(path);
        // The lists that this comes from are limited to less than 4 GiB of text.
        let place = |at| u32::try_from(at).unwrap_or(u32::MAX);
        self.list.push((ordinal, place(start), place(self.text.len())));
    }

    /// Whether an entry is wanted.
    pub(in crate::inspect) fn has(&self, ordinal: u64) -> bool {
        self.list.binary_search_by_key(&ordinal, |(ordinal, ..)| *ordinal).is_ok()
    }

    /// The paths that show it, in the order of the tree.
    pub(in crate::inspect) fn paths(&self, ordinal: u64) -> impl Iterator<Item = &[u8]> {
        let start = self.list.partition_point(|(known, ..)| *known < ordinal);
        let same = self.list[start..].iter().take_while(move |(known, ..)| *known == ordinal);
        same.map(|(_, start, end)| {
            self.text.get(*start as usize..*end as usize).unwrap_or_default()
        })
    }
}
