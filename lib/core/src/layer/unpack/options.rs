//! What the caller of the unpacker decides.

use super::super::form::WhiteoutForm;
use super::super::ids::Ownership;
use super::limits::Limits;

/// Whether files keep what gives rights on this machine to whoever uses them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rights {
    /// As the archive has it: for trees that nobody but containers reaches.
    #[default]
    Keep,
    /// Files lose set-user-ID and set-group-ID bits and capabilities, devices are left out: for
    /// trees that the users of this machine reach.
    Drop,
}

/// How a layer is unpacked.
#[derive(Clone, Debug)]
pub struct UnpackOptions {
    /// What becomes of deletions.
    pub whiteouts: WhiteoutForm,
    /// Whom the files belong to.
    pub ownership: Ownership,
    /// What becomes of set-id bits, capabilities and devices.
    pub rights: Rights,
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
            rights: Rights::Keep,
            limits: Limits::default(),
            writers: 0,
        }
    }
}
