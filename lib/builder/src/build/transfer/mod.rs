//! `COPY` and `ADD`: from files somewhere to a layer's archive, in one pass.
//!
//! Owns which files are meant ([`mod@select`]), where they and the members of archives go and what
//! becomes of their metadata ([`layout`], [`place`], [`archive`]), and the writing of the layer's
//! archive ([`mod@write`]). Uses handles: nothing outside a source's root can be reached. Promise:
//! equal files, options and lower layers give equal bytes. Does not know stages, caches or stores.

mod archive;
mod glob;
mod layout;
mod locate;
mod modes;
mod place;
mod select;
mod walk;
mod write;

use std::path::Path;

pub(super) use archive::{ArchivePlace, lay_out};
pub(super) use layout::{Layout, Owner, Placement};
pub(super) use select::{Chosen, Inside, Missing, Pattern, select};
pub(super) use write::{Seen, write};

use super::dockerignore::Ignore;
use crate::error::Result;
use crate::sys::Root;

/// Links that one path may lead through.
const MAX_LINKS: usize = 40;
/// Levels of directories; more are an error.
const MAX_DEPTH: usize = 512;
/// Most files of one instruction.
const MAX_FILES: usize = 4_000_000;

/// Where files are taken from.
pub(super) struct Origin {
    pub(super) root: Root,
    /// What is left out of it.
    pub(super) ignore: Ignore,
    /// What messages call it.
    pub(super) title: String,
}

impl Origin {
    /// A tree of an image.
    pub(super) fn image(root: Root, title: &str) -> Origin {
        Origin { root, ignore: Ignore::default(), title: title.to_owned() }
    }

    /// A directory of a person: owners mean nothing in an image.
    pub(super) fn context(path: &Path, ignore: Ignore, title: &str) -> Result<Origin> {
        let root = Root::open(path)?;
        Ok(Origin { root, ignore, title: title.to_owned() })
    }
}

/// Whether an attribute belongs into an image rather than to this host.
pub(super) fn is_for_images(name: &[u8]) -> bool {
    let private = name.starts_with(b"trusted.")
        || name.starts_with(b"user.overlay.")
        || name.starts_with(b"system.");
    !private && (name == b"security.capability" || !name.starts_with(b"security."))
}
