//! What the caller of the unpacker decides.

use super::super::ids::Ownership;
use super::limits::Limits;

/// How deletions of a layer are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhiteoutForm {
    /// As overlayfs reads them in the initial user namespace: devices 0:0 and
    /// `trusted.overlay.opaque`. Needs root.
    OverlayTrusted,
    /// As overlayfs reads them with `userxattr`: devices 0:0 and `user.overlay.opaque`.
    OverlayUser,
    /// Not at all: they delete from the tree that is there.
    Apply,
}

impl WhiteoutForm {
    /// The attribute of a directory that hides the lower ones; `None` when it is not needed.
    pub(in super::super) fn opaque_xattr(self) -> Option<&'static [u8]> {
        match self {
            WhiteoutForm::OverlayTrusted => Some(b"trusted.overlay.opaque"),
            WhiteoutForm::OverlayUser => Some(b"user.overlay.opaque"),
            WhiteoutForm::Apply => None,
        }
    }
}

/// How a layer is unpacked.
#[derive(Clone, Debug)]
pub struct UnpackOptions {
    /// What becomes of deletions.
    pub whiteouts: WhiteoutForm,
    /// Whom the files belong to.
    pub ownership: Ownership,
    /// What an archive may cost.
    pub limits: Limits,
    /// Threads beside the calling one that write small files. The result is the same for any
    /// number; 0 does everything in the calling thread.
    pub writers: usize,
}

impl Default for UnpackOptions {
    fn default() -> UnpackOptions {
        UnpackOptions {
            whiteouts: WhiteoutForm::OverlayTrusted,
            ownership: Ownership::Keep,
            limits: Limits::default(),
            writers: 0,
        }
    }
}
