//! What all copies of one job share: the gate, the listener, and who moves which blob.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::gate::Gate;
use super::remembered::Remembered;
use crate::progress::Listener;
use crate::spec::{Descriptor, Digest};

/// One job: a single copy, or all those of a sync.
///
/// Cloning gives another handle on the same job.
#[derive(Clone)]
pub struct Session {
    /// Lets so many transfers run at a time, the largest first.
    pub(super) gate: Gate,
    /// Told what happens.
    pub(super) listener: Listener,
    /// Which layer became which when it was compressed anew.
    pub(super) remembered: Arc<Remembered>,
    /// Where large temporary files lie (unnamed, so that they go with the process).
    pub(super) scratch: Arc<Path>,
    claims: Arc<Mutex<HashMap<Claim, Arc<OnceCell<Descriptor>>>>>,
}

/// A blob on its way to one destination.
type Claim = (String, Digest);

impl Session {
    /// A job that moves `jobs` blobs at a time. `remembered` says where results of compressing
    /// are looked up and kept; large temporary files go to `scratch`.
    pub fn new(jobs: usize, listener: Listener, remembered: Remembered, scratch: &Path) -> Session {
        Session {
            gate: Gate::new(jobs),
            listener,
            remembered: Arc::new(remembered),
            scratch: scratch.into(),
            claims: Arc::default(),
        }
    }

    /// The place where the first copy that needs a blob at `destination` leaves the result, so
    /// that the others wait for it instead of moving the same bytes.
    pub(super) fn claim(&self, destination: &str, digest: &Digest) -> Arc<OnceCell<Descriptor>> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.entry((destination.to_owned(), digest.clone())).or_default().clone()
    }
}
