//! The kernel: directory handles, paths that cannot leave a root, file metadata, locks, atomic
//! files.
//!
//! Owns every system call of the library and is the only place where `unsafe` may stand. Uses
//! nothing but [`crate::error`]. Promise: names are resolved from an open handle and never through
//! a link that somebody else put in the way; what [`remove`](Dir::remove_tree) deletes lies below
//! the handle and on the same mount. Does not know images, layers or stores.

mod atomic;
mod child;
mod copy;
mod dir;
mod file;
mod guard;
mod lock;
mod machine;
mod meta;
mod mounts;
mod namespace;
mod netlink;
mod pin;
mod poll;
mod process;
mod remove;
mod root;
mod signals;
mod terminal;
mod user_namespace;
mod xattr;

pub use atomic::{AtomicFile, write_file};
pub use child::{Ended, Watched, adopt_orphans, kill_group, spawn_clean, spawn_tied};
pub use copy::copy_contents;
pub use dir::{Dir, DirEntry};
pub use file::{NewFile, scratch_file, share_blocks, spread_directories, start_write_back};
pub use guard::Guard;
pub use lock::{Lock, LockMode};
pub use machine::{boot_id, is_writable, runs_x32};
pub use meta::{
    Device, FileKind, Meta, Time, effective_ids, file_creation_mask, set_mode, set_owner, set_time,
    sync_filesystem,
};
pub use mounts::{
    DetachedMount, Overlay, detach, is_mount, mount_again, mount_memory, mount_overlay, own_mounts,
    unmount_idle,
};
pub use namespace::{NamespaceKind, namespace_kind};
pub use netlink::{Netlink, NetlinkFamily, NetlinkReply, new_network};
pub use pin::Pin;
pub use poll::{Wait, wait_any};
pub use process::{available_cores, effective_uid};
pub use remove::remove_tree;
pub use root::{Gap, Root, Walked};
pub use signals::{SignalQueue, die_of_closed_pipe, no_sigpipe_here};
pub use terminal::{
    HiddenInput, RawTerminal, receive_file, set_nonblocking, set_terminal_size, terminal_size,
};
pub use user_namespace::{IdExtent, UserNamespace};
pub use xattr::{
    MAX_XATTR_NAME, MAX_XATTR_VALUE, read_xattr, read_xattrs, remove_xattr, set_xattr,
};
