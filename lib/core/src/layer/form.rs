//! How a directory tree writes down what a layer deletes.

use crate::sys::{Device, FileKind, Meta};

/// How deletions stand in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhiteoutForm {
    /// As overlayfs reads them in the initial user namespace: devices 0:0 and
    /// `trusted.overlay.opaque`. Needs root.
    OverlayTrusted,
    /// As overlayfs reads them with `userxattr`: devices 0:0 and `user.overlay.opaque`.
    OverlayUser,
    /// Not at all: they have deleted from the tree that was there.
    Apply,
}

impl WhiteoutForm {
    /// Full name of an attribute of overlayfs; `None` outside the overlay forms.
    pub(super) fn xattr(self, name: &str) -> Option<Vec<u8>> {
        match self {
            WhiteoutForm::OverlayTrusted => Some(format!("trusted.overlay.{name}").into_bytes()),
            WhiteoutForm::OverlayUser => Some(format!("user.overlay.{name}").into_bytes()),
            WhiteoutForm::Apply => None,
        }
    }

    /// Whether `meta` is a deletion.
    pub(super) fn is_whiteout(self, meta: &Meta) -> bool {
        self != WhiteoutForm::Apply
            && meta.kind == FileKind::Char
            && meta.device == Device::default()
    }
}

/// Attributes that overlayfs and the host's security module read. They are the host's own: no layer
/// sets them, and none takes them along.
pub fn is_private(xattr: &[u8]) -> bool {
    xattr.starts_with(b"trusted.")
        || xattr.starts_with(b"user.overlay.")
        || xattr == b"security.selinux"
}
