//! Unfinished uploads, noted in files so that another process can go on with them.
//!
//! One file per registry, repository and digest, locked by whoever works on the upload; who finds
//! it locked uploads without a note. A note may be lost or torn at any time: then the upload begins
//! anew. Readable by their owner alone, since locations hold tickets of the registry.

use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::upload::UploadSession;
use crate::blob::blocking;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Digest, Hasher};
use crate::sys::{Lock, LockMode};

/// Largest note that is read.
const MAX_NOTE: u64 = 64 << 10;

/// The note of one upload, or nothing where none is kept.
pub(super) struct Journal {
    kept: Option<Kept>,
}

struct Kept {
    path: PathBuf,
    lock: Arc<Lock>,
    upload: String,
    note: Option<Note>,
}

/// What stands in the file.
#[derive(Clone, Serialize, Deserialize)]
struct Note {
    /// Registry, repository and digest: the file's name is only their hash.
    upload: String,
    location: String,
    least_piece: usize,
    /// How many bytes the registry had.
    offset: u64,
    /// The state of the hash over them, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
}

/// An upload to go on with.
pub(super) struct Entry {
    pub(super) session: UploadSession,
    /// The state of the hash over the bytes that the registry had.
    pub(super) hasher: Option<Hasher>,
}

impl Journal {
    /// The note of an upload in `dir`; without a directory nothing is kept.
    pub(super) async fn open(
        dir: Option<&Path>,
        registry: &str,
        repository: &str,
        digest: &Digest,
    ) -> Result<Journal> {
        let Some(dir) = dir.map(Path::to_owned) else { return Ok(Journal { kept: None }) };
        let upload = format!("{registry}/{repository}@{digest}");
        let path = dir.join(format!("{}.json", Digest::sha256(upload.as_bytes()).hex()));
        let kept = blocking(move || {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .doing(|| format!("creating {}", dir.display()))?;
            let Some(lock) = Lock::try_acquire(&path, LockMode::Exclusive)? else {
                return Ok(None);
            };
            let note = read_note(&lock, &upload);
            Ok(Some(Kept { path, lock: Arc::new(lock), upload, note }))
        });
        Ok(Journal { kept: kept.await? })
    }

    /// Whether notes go anywhere.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// What an earlier process has left.
    pub(super) fn entry(&self) -> Option<Entry> {
        let note = self.kept.as_ref()?.note.as_ref()?;
        let location = Url::parse(&note.location).ok()?;
        let hash = note.hash.as_ref().and_then(|text| STANDARD.decode(text).ok());
        let hasher = hash.and_then(|bytes| Hasher::restore(&bytes));
        Some(Entry {
            session: UploadSession { location, least_piece: note.least_piece },
            hasher: hasher.filter(|hasher| hasher.count() == note.offset),
        })
    }

    /// Notes how far an upload has come.
    pub(super) async fn note(
        &mut self,
        session: &UploadSession,
        offset: u64,
        hasher: Option<&Hasher>,
    ) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let note = Note {
            upload: kept.upload.clone(),
            location: session.location.to_string(),
            least_piece: session.least_piece,
            offset,
            hash: hasher.map(|hasher| STANDARD.encode(hasher.save())),
        };
        let text = serde_json::to_vec(&note)
            .map_err(|error| Error::caused(ErrorKind::Failed, "writing JSON", error))?;
        kept.note = Some(note);
        kept.write(text).await
    }

    /// The session is of no use any more.
    pub(super) async fn forget_session(&mut self) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        kept.note = None;
        kept.write(Vec::new()).await
    }

    /// The upload is done.
    pub(super) async fn forget(self) -> Result<()> {
        let Some(Kept { path, lock, .. }) = self.kept else { return Ok(()) };
        blocking(move || {
            // Removed while it is locked, so nobody can have begun to use it.
            let removed = std::fs::remove_file(&path);
            drop(lock);
            removed.doing(|| format!("removing {}", path.display()))
        })
        .await
    }
}

impl Kept {
    async fn write(&self, text: Vec<u8>) -> Result<()> {
        let (lock, path) = (self.lock.clone(), self.path.clone());
        blocking(move || {
            let file = lock.file();
            file.set_len(0)
                .and_then(|()| file.write_all_at(&text, 0))
                .doing(|| format!("writing {}", path.display()))
        })
        .await
    }
}

/// The note in a file, if it is whole and of this upload.
fn read_note(lock: &Lock, upload: &str) -> Option<Note> {
    let mut text = Vec::new();
    lock.file().take(MAX_NOTE).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok().filter(|note: &Note| note.upload == upload)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::spec::Algorithm;

    #[tokio::test]
    async fn another_process_goes_on() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("uploads");
        let digest = Digest::sha256(b"blob");
        let open = async |name| Journal::open(Some(&dir), "r.io", name, &digest).await.unwrap();
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(b"bl");
        let location = Url::parse("https://r.io/u?state=s").unwrap();
        let session = UploadSession { location, least_piece: 7 };

        let mut first = open("a").await;
        assert!(first.entry().is_none());
        first.note(&session, 2, Some(&hasher)).await.unwrap();
        assert!(!open("a").await.is_kept(), "it is being worked on");
        drop(first);

        assert!(open("b").await.entry().is_none(), "another repository");
        let second = open("a").await;
        let entry = second.entry().unwrap();
        assert_eq!(entry.session.location, session.location);
        assert_eq!((entry.session.least_piece, entry.hasher.unwrap().count()), (7, 2));
        second.forget().await.unwrap();
        assert!(open("a").await.entry().is_none());
    }

    #[tokio::test]
    async fn torn_notes_are_none() {
        let place = tempfile::tempdir().unwrap();
        let digest = Digest::sha256(b"blob");
        let open = || Journal::open(Some(place.path()), "r.io", "a", &digest);
        let mut journal = open().await.unwrap();
        let location = Url::parse("https://r.io/u").unwrap();
        let session = UploadSession { location, least_piece: 0 };
        journal.note(&session, 2, None).await.unwrap();
        let path = journal.kept.as_ref().unwrap().path.clone();
        drop(journal);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(open().await.unwrap().entry().is_none());
    }
}
