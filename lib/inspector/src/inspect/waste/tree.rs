//! Layers as dive sees them: trees in which whiteouts are files named `.wh.…`, stacked by its rules.
//!
//! Lists of eight bytes a path, in the order of the tree, so that a million files fit.

use std::cmp::Ordering;

use crate::inspect::files::{At, EntryKind, LayerIndex, Slot, is_within, tree_order};
use crate::layer::{join_path, split_path};

/// One layer's tree.
pub(super) struct LayerTree {
    /// What is there, with the directories that are only implied.
    slots: Vec<Slot>,
    /// Whiteouts, by the names that they have in the archive, and what they hide.
    whiteouts: Vec<Whiteout>,
}

struct Whiteout {
    name: Vec<u8>,
    hidden: Vec<u8>,
}

/// The end of a branch of a layer's tree.
pub(super) enum Leaf<'a> {
    /// A path, and its bytes.
    Path(&'a [u8], u64),
    /// What a whiteout hides.
    Hidden(&'a [u8]),
}

impl LayerTree {
    pub(super) fn new(layers: &[LayerIndex], number: usize) -> LayerTree {
        let entries = &layers[number].entries;
        let mut order: Vec<At> = entries.heads().map(|head| head.at).collect();
        order.sort_unstable_by(|a, b| {
            tree_order(entries.path(*a), entries.path(*b)).then_with(|| a.cmp(b))
        });
        let (mut slots, mut whiteouts) = (Vec::with_capacity(order.len()), Vec::new());
        // The last path: its directories are there, and mostly it itself.
        let (mut last, mut is_there): (&[u8], bool) = (b"", false);
        for same in order.chunk_by(|a, b| entries.path(*a) == entries.path(*b)) {
            let path = entries.path(same[0]);
            if path.is_empty() {
                continue;
            }
            for end in (0..path.len()).filter(|end| path[*end] == b'/') {
                let dir = &path[..end];
                if !is_within(last, dir) || (last == dir && !is_there) {
                    slots.push(Slot::part(number, same[0], end));
                }
            }
            let before = slots.len();
            let added = same.iter().rfind(|at| !is_deletion(entries.kind(**at)));
            if let Some(at) = added {
                slots.push(Slot::whole(number, *at));
            } else if same.iter().any(|at| entries.kind(*at) == EntryKind::Opaque) {
                slots.push(Slot::part(number, same[0], path.len()));
            }
            if same.iter().any(|at| entries.kind(*at) == EntryKind::Whiteout) {
                let (dir, name) = split_path(path).unwrap_or_default();
                let name = join_path(dir, &[b".wh.", name].concat());
                whiteouts.push(Whiteout { name, hidden: path.to_vec() });
            }
            (last, is_there) = (path, slots.len() > before);
        }
        whiteouts.sort_by(|a, b| tree_order(&a.name, &b.name));
        LayerTree { slots, whiteouts }
    }

    /// Hands out the leaves in their order, until `take` wants no more.
    pub(super) fn leaves(&self, layers: &[LayerIndex], mut take: impl FnMut(Leaf<'_>) -> bool) {
        let mut slots = self.slots.iter().peekable();
        let mut whiteouts = self.whiteouts.iter().peekable();
        loop {
            let order = match (slots.peek(), whiteouts.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(slot), Some(whiteout)) => tree_order(slot.path(layers), &whiteout.name),
            };
            let leaf = if order.is_le() {
                let Some(slot) = slots.next() else { return };
                let path = slot.path(layers);
                let below = |next: &[u8]| is_within(next, path) && next != path;
                if slots.peek().is_some_and(|next| below(next.path(layers)))
                    || whiteouts.peek().is_some_and(|next| below(&next.name))
                {
                    continue;
                }
                Leaf::Path(path, slot.size(layers))
            } else {
                let Some(whiteout) = whiteouts.next() else { return };
                Leaf::Hidden(&whiteout.hidden)
            };
            if !take(leaf) {
                return;
            }
        }
    }
}

fn is_deletion(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Whiteout | EntryKind::Opaque)
}

/// What layers make together.
#[derive(Default)]
pub(super) struct Stacked(Vec<Slot>);

impl Stacked {
    /// One layer's tree as it is.
    pub(super) fn of(tree: &LayerTree) -> Stacked {
        Stacked(tree.slots.clone())
    }

    /// The bytes of what a whiteout of `path` deletes: nothing for a file, of a directory all that
    /// is below it; `None` if it is not there.
    pub(super) fn deleted(&self, layers: &[LayerIndex], path: &[u8]) -> Option<u64> {
        let at = self.0.binary_search_by(|slot| tree_order(slot.path(layers), path)).ok()?;
        if !self.0[at].is_explicit_directory(layers) {
            return Some(0);
        }
        let within = self.0[at..].iter().take_while(|slot| is_within(slot.path(layers), path));
        Some(within.map(|slot| slot.size(layers)).sum())
    }

    /// Puts a layer's tree on the others. A whiteout deletes what is there when its turn comes, of
    /// its own layer too.
    pub(super) fn stack(&mut self, layers: &[LayerIndex], upper: &LayerTree) {
        let mut hiding: Vec<&Whiteout> = upper.whiteouts.iter().collect();
        hiding.sort_by(|a, b| tree_order(&a.hidden, &b.hidden));
        let all: Vec<&[u8]> = hiding.iter().map(|one| &one.hidden[..]).collect();
        hiding.retain(|one| tree_order(&one.hidden, &one.name).is_lt());
        let own: Vec<&[u8]> = hiding.iter().map(|one| &one.hidden[..]).collect();
        let mut lower = without(layers, &self.0, &all).peekable();
        let mut upper = without(layers, &upper.slots, &own).peekable();
        let mut out = Vec::with_capacity(self.0.len());
        loop {
            let order = match (lower.peek(), upper.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => tree_order(a.path(layers), b.path(layers)),
            };
            let old = if order.is_le() { lower.next() } else { None };
            let new = if order.is_ge() { upper.next() } else { None };
            out.extend(new.or(old));
        }
        drop(lower);
        self.0 = out;
    }
}

/// The slots that are neither one of the sorted paths nor below one.
fn without<'a>(
    layers: &'a [LayerIndex],
    slots: &'a [Slot],
    paths: &'a [&'a [u8]],
) -> impl Iterator<Item = Slot> + 'a {
    let mut paths = paths.iter().peekable();
    let mut reached: Option<&[u8]> = None;
    slots.iter().copied().filter(move |slot| {
        let path = slot.path(layers);
        while let Some(next) = paths.next_if(|next| tree_order(next, path).is_le()) {
            if !reached.is_some_and(|reached| is_within(next, reached)) {
                reached = Some(next);
            }
        }
        !reached.is_some_and(|reached| is_within(path, reached))
    })
}
