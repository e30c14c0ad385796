//! The files of an image without unpacking it.
//!
//! Owns the index of a layer (what its archive holds, without content), where that index is kept,
//! the merged view of a stack of layers, and reading content out of layers. Uses `Source` for the
//! blobs and the strict tar reader. Promise: one streaming pass per layer, or only its table of
//! contents where it has one; memory bounded by [`Room`]; and a layer that is broken is told apart
//! from one that is empty. Does not print and does not know the store.

mod content;
mod entries;
mod entry;
mod extract;
mod grep;
mod keep;
mod layer;
mod merged;
mod name;
mod stack;
mod toc;
mod walk;
mod wanted;

pub(in crate::inspect) use content::visit;
pub use content::{copy_content, read_content};
pub(in crate::inspect) use entries::At;
pub use entries::{Entries, Room};
pub use entry::{EntryKind, FileEntry};
pub use extract::extract;
pub use grep::{GrepOptions, Match, grep};
pub(in crate::inspect) use keep::kept_size;
pub(in crate::inspect) use layer::table_index;
pub use layer::{Broken, IndexOptions, LayerIndex, Origin, Problem, index_layers};
pub use merged::{Merged, Node};
pub(in crate::inspect) use name::is_within;
pub use name::{Name, tree_order};
pub(in crate::inspect) use stack::Slot;
pub(in crate::inspect) use toc::{Comparison, is_tables_fault};
pub(in crate::inspect) use walk::{Step, walk_hashed};
pub(in crate::inspect) use wanted::Wanted;
