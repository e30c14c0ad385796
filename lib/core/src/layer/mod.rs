//! Layers: what a tar archive with whiteouts means on a file system, in both directions.
//!
//! Owns the reading and writing of layer archives, unpacking below a root and packing of a
//! directory tree. Uses `sys` for every touch of the file system. Promise: nothing in an archive
//! reaches a file outside the root it is unpacked into, and equal trees pack to equal bytes. Does
//! not know where layers come from, how they are compressed or what they are called.

mod complete;
mod diff;
mod form;
mod ids;
mod name;
mod pack;
mod stack;
pub mod tar;
mod unpack;
mod verify;

pub use complete::patch_implied;
pub use diff::{Change, ChangeKind, changes};
pub use form::WhiteoutForm;
pub use form::is_private as is_private_xattr;
pub use ids::{IdMap, IdRange, Ownership};
pub use name::{
    EntryPath, Meaning, OPAQUE, check_added_name, join as join_path, split as split_path,
};
pub use pack::{PackOptions, PackReport, pack};
pub use stack::Stack;
pub use unpack::{
    DropReason, DroppedXattr, ImpliedDir, Limits, Ratio, Rights, UnpackOptions, UnpackReport,
    Unpacker,
};
pub use verify::differences;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
