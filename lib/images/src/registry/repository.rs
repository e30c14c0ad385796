//! One repository, at the registry that was named and at its mirrors.
//!
//! Reading tries the places in their order and stays with the one that served last; writing and
//! listing go to the primary alone. What can be done with a repository is in `manifests`, `blobs`,
//! `upload`, `tags` and `referrers`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::Method;

use super::auth::Errand;
use super::options::ClientOptions;
use super::server::{Call, Server, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Event;
use crate::spec::Digest;

/// A repository opened for some [`Access`](super::Access). Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    pub(super) places: Arc<[Arc<Place>]>,
    /// The place that served last.
    current: Arc<AtomicUsize>,
    /// How often each blob was begun, where there are several places to get it from.
    begun: Arc<Mutex<HashMap<Digest, usize>>>,
    pub(super) options: Arc<ClientOptions>,
}

/// A repository at one registry.
pub(super) struct Place {
    pub(super) server: Arc<Server>,
    /// `host[:port]`, as configured.
    pub(super) registry: String,
    /// The repository's name there.
    pub(super) name: String,
    /// What requests to it need permission for.
    pub(super) errand: Errand,
    /// Whether the registry lists referrers itself, once that is known.
    pub(super) lists_referrers: OnceLock<bool>,
}

impl Place {
    /// A call to `/v2/<name>/<rest>`.
    pub(super) fn call(&self, method: Method, rest: &str, expected: &'static [u16]) -> Call {
        let path = format!("/v2/{}/{rest}", self.name);
        Call::new(method, Target::Path(path), self.errand.clone(), expected)
    }
}

impl Repository {
    pub(super) fn new(places: Vec<Arc<Place>>, options: Arc<ClientOptions>) -> Repository {
        let (current, begun) = Default::default();
        Repository { places: places.into(), current, begun, options }
    }

    /// How often the blob has been begun before.
    pub(super) fn note_begun(&self, digest: &Digest) -> usize {
        if self.places.len() == 1 {
            return 0;
        }
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let count = begun.entry(digest.clone()).or_default();
        *count += 1;
        *count - 1
    }

    /// The place that was named itself.
    pub(super) fn primary(&self) -> &Arc<Place> {
        // `Client::repository` makes sure that there is one.
        &self.places[self.places.len() - 1]
    }

    /// Does `attempt` at the places in turn, beginning `skip` after the current one, until one serves.
    pub(super) async fn read<T, F>(
        &self,
        skip: usize,
        attempt: impl Fn(Arc<Place>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let count = self.places.len();
        let start = self.current.load(Ordering::Relaxed) + skip;
        let mut of_primary = None;
        // What a mirror lacks is no news; why it fails otherwise may be.
        for index in (0..count).map(|step| (start + step) % count) {
            match attempt(self.places[index].clone()).await {
                Ok(served) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(served);
                }
                Err(error) if index == count - 1 => of_primary = Some(error),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("a mirror failed: {}", error.chain());
                    self.options.progress.event(Event::Warning(text));
                }
            }
        }
        Err(of_primary.unwrap_or_else(|| Error::new(ErrorKind::Failed, "no place was asked")))
    }
}
