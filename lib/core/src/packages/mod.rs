//! Which packages are installed in a tree of files.
//!
//! Owns the reading of package databases (dpkg, apk, rpm), of what language tools leave beside
//! installed code (pip, npm, cargo), and of what Go and `cargo auditable` put into executables.
//! Files are handed to a [`Scanner`] one by one, so that a tree on disk and a stream of layers serve
//! alike. Promise: nothing a file says makes it fail, grow without limit or touch anything; a
//! database that is broken or of an unknown form is noted. Does not know images.

mod apk;
mod berkeley;
mod cargo;
mod changes;
mod deb;
mod elf;
mod found;
mod golang;
mod held;
mod ndb;
mod npm;
mod package;
mod python;
mod release;
mod rpm;
mod scan;
mod sqlite;
mod text;
mod zip;

pub use changes::{PackageChange, PackageChanges};
pub use package::{Ecosystem, Package};
pub use release::Release;
pub use scan::{DATABASE_DIRS, DATABASES, Findings, Interest, Scanner, interest};
