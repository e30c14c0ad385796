//! What the caller of the unpacker decides.

use super::super::form::WhiteoutForm;
use super::super::ids::Ownership;
use super::limits::Limits;

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
