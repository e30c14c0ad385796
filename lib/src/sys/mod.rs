//! The kernel: directory handles, paths that cannot leave a root, file metadata, locks, atomic
//! files.
//!
//! Owns every system call of the library and is the only place where `unsafe` may stand. Uses
//! nothing but [`crate::error`]. Promise: names are resolved from an open handle and never through
//! a link that somebody else put in the way; what [`remove`](Dir::remove_tree) deletes lies below
//! the handle and on the same mount. Does not know images, layers or stores.

mod atomic;
mod copy;
mod dir;
mod file;
mod lock;
mod machine;
mod meta;
mod pin;
mod process;
mod remove;
mod root;
mod signals;
mod terminal;
mod xattr;

pub use atomic::{AtomicFile, write_file};
pub use copy::copy_contents;
pub use dir::{Dir, DirEntry};
pub use file::{NewFile, scratch_file, share_blocks, start_write_back};
pub use lock::{Lock, LockMode};
pub use machine::{is_writable, runs_x32};
pub use meta::{
    Device, FileKind, Meta, Time, effective_ids, file_creation_mask, set_mode, set_owner, set_time,
    sync_filesystem,
};
pub use pin::Pin;
pub use process::{available_cores, effective_uid};
pub use root::{Gap, Root, Walked};
pub use signals::die_of_closed_pipe;
pub use terminal::HiddenInput;
pub use xattr::{
    MAX_XATTR_NAME, MAX_XATTR_VALUE, read_xattr, read_xattrs, remove_xattr, set_xattr,
};
