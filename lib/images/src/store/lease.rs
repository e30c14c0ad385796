//! Leases: what work in progress counts on, so that nothing of it is taken away.
//!
//! Owns the file `lease` in a workplace: one digest per line, written before its owner looks
//! whether the content is there. Additions hold the store's lock together; who takes content away
//! holds it alone, reads all leases first, and so has either taken before the look or knows of it.
//! A lease ends with its owner. Protects what a leased manifest refers to as well.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::owner::{owned, workplaces};
use super::{LockMode, Store};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::Digest;

const NAME: &str = "lease";

/// What one writer counts on.
pub(super) struct Lease {
    store: Store,
    path: PathBuf,
    file: File,
    held: Mutex<HashSet<Digest>>,
}

impl Lease {
    /// An empty lease in a workplace.
    pub(super) fn create(store: &Store, workplace: &Path) -> Result<Lease> {
        let path = workplace.join(NAME);
        let file = File::create_new(&path).doing(|| format!("writing {}", path.display()))?;
        Ok(Lease { store: store.clone(), path, file, held: Mutex::default() })
    }

    /// Counts on `digest` from now on. Look for it only afterwards.
    pub(super) fn add(&self, digest: &Digest) -> Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains(digest) {
            return Ok(());
        }
        let _together = self.store.lock(LockMode::Shared)?;
        let line = format!("{digest}\n");
        let mut file = &self.file;
        file.write_all(line.as_bytes()).doing(|| format!("writing {}", self.path.display()))?;
        held.insert(digest.clone());
        Ok(())
    }
}

/// All that living writers count on. The caller holds the store's lock alone.
pub(super) fn leased(tmp: &Path) -> Result<Vec<Digest>> {
    let mut all = Vec::new();
    for workplace in workplaces(tmp)? {
        if owned(&workplace)? {
            all.extend(read(&workplace.join(NAME))?);
        }
    }
    Ok(all)
}

/// The digests in a file of one digest per line; none if there is no file.
pub(super) fn read(path: &Path) -> Result<Vec<Digest>> {
    let reading = || format!("reading {}", path.display());
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).doing(reading),
    };
    text.lines()
        .map(|line| {
            let parsed = line.parse::<Digest>();
            parsed.map_err(|error| Error::caused(ErrorKind::Corrupt, reading(), error))
        })
        .collect()
}
