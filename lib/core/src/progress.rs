//! What the library reports while it works: events, drawn by the programs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::spec::Digest;

/// Something that happened to one piece of work.
#[derive(Clone, Debug)]
pub enum Event {
    /// Bytes are about to move.
    Started {
        /// Which piece; events of one piece carry the same number.
        task: u64,
        /// What it is: `layer`, `config`, `manifest`.
        what: &'static str,
        /// Its digest, when known.
        digest: Option<Digest>,
        /// How many bytes, when known.
        total: Option<u64>,
    },
    /// So many more bytes have moved.
    Advanced {
        /// Which piece.
        task: u64,
        /// Bytes since the last event.
        bytes: u64,
    },
    /// Nothing had to move.
    Skipped {
        /// What it is.
        what: &'static str,
        /// Its digest.
        digest: Digest,
        /// Its size.
        bytes: u64,
        /// Why: `exists`, `mounted`.
        why: &'static str,
    },
    /// The piece is whole at its destination.
    Done {
        /// Which piece.
        task: u64,
    },
    /// The piece starts anew or goes on after a failure.
    Retrying {
        /// Which piece, if it is one.
        task: Option<u64>,
        /// Why, for people.
        why: String,
    },
    /// A thing worth knowing that is no failure.
    Warning(String),
    /// A new part of the work begins, in words.
    Stage(String),
    /// A request was answered, or not: for whoever looks for a fault.
    Request(String),
}

/// Takes events from any thread; must be quick.
pub trait Progress: Send + Sync {
    /// Called for every event.
    fn event(&self, event: Event);
}

/// Drops every event.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event) {}
}

/// A shared listener.
pub type Listener = Arc<dyn Progress>;

/// One piece of work on its way; reports that it is done when told so.
pub struct Task {
    listener: Listener,
    number: u64,
}

impl Task {
    /// Announces a piece of work.
    pub fn start(
        listener: &Listener,
        what: &'static str,
        digest: Option<&Digest>,
        total: Option<u64>,
    ) -> Task {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        listener.event(Event::Started { task: number, what, digest: digest.cloned(), total });
        Task { listener: listener.clone(), number }
    }

    /// So many more bytes have moved.
    pub fn advance(&self, bytes: u64) {
        self.listener.event(Event::Advanced { task: self.number, bytes });
    }

    /// The piece failed and goes on.
    pub fn retrying(&self, why: impl Into<String>) {
        self.listener.event(Event::Retrying { task: Some(self.number), why: why.into() });
    }

    /// The piece is whole.
    pub fn done(&self) {
        self.listener.event(Event::Done { task: self.number });
    }
}
