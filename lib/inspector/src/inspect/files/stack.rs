//! One more layer on a stack of layers: two sorted lists become one.
//!
//! What is shown is a list of [`Slot`]s in the order of the tree, eight bytes each. A layer's
//! deletions act on what is below it, wherever they stand in its archive; among its own entries the
//! later one wins.

use super::entries::{At, Entries};
use super::entry::EntryKind;
use super::layer::LayerIndex;
use super::name::{is_within, tree_order};

/// Says that a slot shows the entry itself.
const ITSELF: u16 = u16::MAX;

/// Something that the merged tree shows.
#[derive(Clone, Copy, Debug)]
pub(in crate::inspect) struct Slot {
    at: At,
    layer: u16,
    /// Where no layer has an entry: so many bytes of the path of the entry that implies it.
    implied: u16,
}

impl Slot {
    /// The root, about which no layer has said anything yet.
    pub(super) const ROOT: Slot = Slot { at: 0, layer: 0, implied: 0 };

    /// The entry itself.
    pub(in crate::inspect) fn whole(layer: usize, at: At) -> Slot {
        Slot { at, layer: number(layer), implied: ITSELF }
    }

    /// A directory that the entry implies: so many bytes of its path.
    pub(in crate::inspect) fn part(layer: usize, at: At, length: usize) -> Slot {
        Slot { at, layer: number(layer), implied: part(length) }
    }

    /// Bytes of the entry; 0 of what is only implied.
    pub(in crate::inspect) fn size(self, layers: &[LayerIndex]) -> u64 {
        let layer = layers.get(self.layer());
        self.entry().zip(layer).map_or(0, |(at, layer)| layer.entries.size(at))
    }

    /// Whether it is a directory that has an entry.
    pub(in crate::inspect) fn is_explicit_directory(self, layers: &[LayerIndex]) -> bool {
        self.entry().is_some() && self.is_directory(layers)
    }

    pub(super) fn layer(self) -> usize {
        usize::from(self.layer)
    }

    /// The entry in its layer; `None` for a directory that is only implied.
    pub(super) fn entry(self) -> Option<At> {
        (self.implied == ITSELF).then_some(self.at)
    }

    pub(in crate::inspect) fn path(self, layers: &[LayerIndex]) -> &[u8] {
        let whole = || layers.get(self.layer()).map(|layer| layer.entries.path(self.at));
        match self.implied {
            0 => b"",
            ITSELF => whole().unwrap_or_default(),
            part => whole().and_then(|path| path.get(..usize::from(part))).unwrap_or_default(),
        }
    }

    fn is_directory(self, layers: &[LayerIndex]) -> bool {
        let kind = |at| layers.get(self.layer()).map(|layer| layer.entries.kind(at));
        self.entry().and_then(kind).is_none_or(|kind| kind == EntryKind::Directory)
    }
}

/// What a layer puts somewhere.
struct Own {
    slot: Slot,
    /// Only implied: a directory that is there already stays.
    soft: bool,
    /// Nothing that lower layers have below it stays.
    hides: bool,
}

/// Puts layer `number` on what the layers below it show.
pub(super) fn stack(layers: &[LayerIndex], lower: Vec<Slot>, number: usize) -> Vec<Slot> {
    let Some(layer) = layers.get(number) else { return lower };
    let own = own(&layer.entries, number);
    let mut hiding = Hiding::new(&layer.entries);
    let mut out = Vec::with_capacity(lower.len() + own.len());
    let (mut lower, mut own) = (lower.into_iter().peekable(), own.into_iter().peekable());
    loop {
        let order = match (lower.peek(), own.peek()) {
            (None, None) => return out,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => tree_order(old.path(layers), new.slot.path(layers)),
        };
        let old = if order.is_le() { lower.next() } else { None };
        let new = if order.is_ge() { own.next() } else { None };
        let old = old.filter(|old| !hiding.hides(old.path(layers)));
        match (old, new) {
            (Some(old), None) => out.push(old),
            (Some(old), Some(new)) if new.soft && old.is_directory(layers) => out.push(old),
            (_, Some(new)) => {
                if new.hides {
                    hiding.cover(new.slot.path(layers));
                }
                out.push(new.slot);
            }
            (None, None) => {}
        }
    }
}

/// What of lower layers a layer hides. Asked and told in the order of the tree.
struct Hiding<'a> {
    entries: &'a Entries,
    /// Whiteouts and opaque marks.
    deletions: std::iter::Peekable<std::vec::IntoIter<At>>,
    /// The deletion that reaches furthest up, and whether it takes the path itself too.
    gone: Option<(&'a [u8], bool)>,
    covered: Option<Vec<u8>>,
}

impl<'a> Hiding<'a> {
    fn new(entries: &'a Entries) -> Hiding<'a> {
        let deletes = |kind| matches!(kind, EntryKind::Whiteout | EntryKind::Opaque);
        let heads = entries.heads().filter(|head| deletes(head.kind));
        let mut deletions: Vec<At> = heads.map(|head| head.at).collect();
        deletions.sort_unstable_by(|a, b| {
            let order = tree_order(entries.path(*a), entries.path(*b));
            // A whiteout takes more than an opaque mark at the same place.
            order.then_with(|| entries.kind(*a).cmp(&entries.kind(*b)))
        });
        let deletions = deletions.into_iter().peekable();
        Hiding { entries, deletions, gone: None, covered: None }
    }

    fn hides(&mut self, path: &[u8]) -> bool {
        let entries = self.entries;
        while let Some(at) =
            self.deletions.next_if(|at| tree_order(entries.path(*at), path).is_le())
        {
            let deleted = entries.path(at);
            if !self.gone.is_some_and(|(gone, _)| is_within(deleted, gone)) {
                self.gone = Some((deleted, entries.kind(at) == EntryKind::Whiteout));
            }
        }
        let gone =
            self.gone.is_some_and(|(gone, whole)| is_below(path, gone) || (whole && path == gone));
        gone || self.covered.as_ref().is_some_and(|covered| is_below(path, covered))
    }

    fn cover(&mut self, path: &[u8]) {
        if !self.covered.as_ref().is_some_and(|covered| is_within(path, covered)) {
            self.covered = Some(path.to_vec());
        }
    }
}

fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.len() > dir.len() && is_within(path, dir)
}

/// A directory, or what stands in its place, above the entry that was come to.
struct Above {
    index: usize,
    /// The last entry here that was no directory: what came before it, below, is gone.
    wiped: Option<At>,
}

/// What a layer's entries come to, in the order of the tree, with the directories that they imply.
fn own(entries: &Entries, layer: usize) -> Vec<Own> {
    let heads = entries.heads();
    let added = heads.filter(|head| !matches!(head.kind, EntryKind::Whiteout | EntryKind::Opaque));
    let mut added: Vec<At> = added.map(|head| head.at).collect();
    added.sort_unstable_by(|a, b| {
        tree_order(entries.path(*a), entries.path(*b)).then_with(|| a.cmp(b))
    });
    let mut own: Vec<Own> = Vec::with_capacity(added.len());
    let mut above: Vec<Above> = Vec::new();
    let path_of = |own: &Own| match own.slot.implied {
        ITSELF => entries.path(own.slot.at),
        part => &entries.path(own.slot.at)[..usize::from(part)],
    };
    for same in added.chunk_by(|a, b| entries.path(*a) == entries.path(*b)) {
        let path = entries.path(same[0]);
        while above.pop_if(|above| !is_below(path, path_of(&own[above.index]))).is_some() {}
        let wiped = above.iter().filter_map(|above| above.wiped).max();
        let left = || same.iter().copied().filter(|at| wiped.is_none_or(|wiped| *at > wiped));
        let Some(last) = left().next_back() else { continue };
        // What something was put into is a directory again.
        for above in &above {
            let slot = &mut own[above.index].slot;
            if slot.implied == ITSELF && entries.kind(slot.at) != EntryKind::Directory {
                slot.implied = part(entries.path(slot.at).len());
            }
        }
        let known = above.last().map_or(0, |above| path_of(&own[above.index]).len() + 1);
        for end in (known.max(1)..path.len()).filter(|end| path[*end] == b'/') {
            above.push(Above { index: own.len(), wiped: None });
            let slot = Slot::part(layer, last, end);
            own.push(Own { slot, soft: true, hides: false });
        }
        let wiped = left().rfind(|at| entries.kind(*at) != EntryKind::Directory);
        above.push(Above { index: own.len(), wiped });
        let slot = Slot::whole(layer, last);
        own.push(Own { slot, soft: false, hides: wiped.is_some() });
    }
    own
}

/// A manifest has not nearly so many layers.
fn number(layer: usize) -> u16 {
    u16::try_from(layer).unwrap_or(u16::MAX)
}

/// Paths are much shorter than this can tell.
fn part(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(ITSELF - 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::entries::Room;
    use super::super::entry::FileEntry;
    use super::super::name::Name;
    use super::*;
    use crate::layer::split_path as split;
    use crate::spec::{Descriptor, MediaType};

    type Shown = BTreeMap<Vec<u8>, Option<(usize, u64)>>;

    fn layer(entries: &[(String, EntryKind)]) -> LayerIndex {
        let blob = Descriptor::of(MediaType::parse("x"), b"");
        let mut layer = LayerIndex::new(&blob, false);
        for (ordinal, (path, kind)) in entries.iter().enumerate() {
            let path = Name::from(path.as_bytes());
            let entry =
                FileEntry { path, kind: *kind, ordinal: ordinal as u64, ..FileEntry::implied() };
            layer.entries.push(&entry, &Room::default()).unwrap();
        }
        layer
    }

    /// What the layers show, entry by entry as they stand in the archives: layer and ordinal.
    fn one_by_one(layers: &[LayerIndex]) -> Shown {
        let mut shown = Shown::from([(Vec::new(), None)]);
        let mut kinds: BTreeMap<Vec<u8>, EntryKind> = BTreeMap::new();
        for (number, layer) in layers.iter().enumerate() {
            let (deletions, added): (Vec<_>, Vec<_>) =
                layer.entries.iter().partition(FileEntry::is_deletion);
            for entry in deletions {
                let path = entry.path.as_bytes();
                shown.retain(|known, _| !is_below(known, path));
                if entry.kind == EntryKind::Whiteout {
                    shown.remove(path);
                }
            }
            for entry in added {
                let path = entry.path.as_bytes();
                let mut rest = path;
                while let Some((dir, _)) = split(rest) {
                    let is_dir = |kinds: &BTreeMap<Vec<u8>, EntryKind>,
                                  what: Option<(usize, u64)>| {
                        what.is_none() || kinds[dir] == EntryKind::Directory
                    };
                    if !shown.get(dir).is_some_and(|what| is_dir(&kinds, *what)) {
                        shown.insert(dir.to_vec(), None);
                    }
                    rest = dir;
                }
                if entry.kind != EntryKind::Directory {
                    shown.retain(|known, _| !is_below(known, path));
                }
                shown.insert(path.to_vec(), Some((number, entry.ordinal)));
                kinds.insert(path.to_vec(), entry.kind);
            }
        }
        shown
    }

    fn stacked(layers: &[LayerIndex]) -> Shown {
        let mut slots = vec![Slot::ROOT];
        for number in 0..layers.len() {
            slots = stack(layers, slots, number);
        }
        let paths: Vec<&[u8]> = slots.iter().map(|slot| slot.path(layers)).collect();
        assert!(paths.is_sorted_by(|a, b| tree_order(a, b).is_lt()), "{paths:?}");
        let show = |slot: &Slot| {
            let ordinal = |at| layers[slot.layer()].entries.entry(at).ordinal;
            (slot.path(layers).to_vec(), slot.entry().map(|at| (slot.layer(), ordinal(at))))
        };
        slots.iter().map(show).collect()
    }

    fn entry() -> impl Strategy<Value = (String, EntryKind)> {
        let part = prop_oneof![Just("a"), Just("b"), Just("a-")];
        let kind = prop_oneof![
            3 => Just(EntryKind::File),
            3 => Just(EntryKind::Directory),
            1 => Just(EntryKind::Whiteout),
            1 => Just(EntryKind::Opaque),
        ];
        (prop::collection::vec(part, 1..4), kind).prop_map(|(parts, kind)| (parts.join("/"), kind))
    }

    proptest! {
        #[test]
        fn whole_layers_at_once_show_what_single_entries_show(
            layers in prop::collection::vec(prop::collection::vec(entry(), 0..8), 1..4)
        ) {
            let layers: Vec<LayerIndex> = layers.iter().map(|entries| layer(entries)).collect();
            prop_assert_eq!(stacked(&layers), one_by_one(&layers));
        }
    }
}
