//! Archives written member by member.
//!
//! Blobs of known size go straight into their place; what is made while it is read is spooled
//! first, for a tar header tells the size in front.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::BLOCK;
use crate::blob::{Blob, ByteStream, FileBlob, blocking};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::tar::{Entry, EntryKind, TarWriter};
use crate::spec::{Algorithm, Descriptor, Digest, Hasher, MediaType};
use crate::store::fill;
use crate::sys::{Dir, NewFile, Time};
use crate::transport::layout::blob_path;

/// Where an archive goes.
pub(in crate::transport) enum Output {
    File(Arc<ArchiveFile>),
    Stream(ArchiveStream),
}

impl Output {
    /// Whether the blob `digest` is in the archive.
    pub(in crate::transport) async fn size_of(&self, digest: &Digest) -> Option<u64> {
        match self {
            Output::File(file) => file.size_of(digest),
            Output::Stream(stream) => stream.state.lock().await.blobs.get(digest).copied(),
        }
    }

    /// Adds a blob; one that is there already is not read again.
    pub(in crate::transport) async fn put(
        &self,
        known: Option<&Descriptor>,
        content: Blob,
        scratch: &Path,
    ) -> Result<(Digest, u64)> {
        let (known, content) = match known {
            Some(known) => (known.clone(), content),
            None => spool(content, scratch).await?,
        };
        match self {
            Output::File(file) => file.put(&known, content).await?,
            Output::Stream(stream) => stream.put(&known, content).await?,
        }
        Ok((known.digest, known.size))
    }

    /// Adds a small member.
    pub(in crate::transport) async fn append(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        match self {
            Output::File(file) => file.append(name, &bytes),
            Output::Stream(stream) => stream.append(name, bytes).await,
        }
    }

    /// Writes the end mark and completes the archive.
    pub(in crate::transport) async fn finish(&self) -> Result<()> {
        match self {
            Output::Stream(stream) => stream.finish().await,
            Output::File(file) => {
                let file = file.clone();
                blocking(move || file.finish()).await
            }
        }
    }
}

/// Gives content a digest and a size by writing it to a nameless file in `scratch`.
async fn spool(content: Blob, scratch: &Path) -> Result<(Descriptor, Blob)> {
    let media_type = MediaType::Other("application/octet-stream".into());
    let named = |digest, size| Descriptor::new(media_type, digest, size);
    match content {
        Blob::Bytes(bytes) => {
            Ok((named(Digest::sha256(&bytes), bytes.len() as u64), Blob::Bytes(bytes)))
        }
        Blob::File(blob) => Ok((named(blob.digest.clone(), blob.size), Blob::File(blob))),
        Blob::Remote(blob) => Ok((named(blob.digest.clone(), blob.size), Blob::Remote(blob))),
        unnamed @ Blob::Unnamed(_) => {
            let scratch = scratch.to_owned();
            let file = Arc::new(blocking(move || super::scratch_file(&scratch)).await?);
            let (digest, size) = fill(file.clone(), 0, unnamed, None, Algorithm::Sha256).await?;
            let what = named(digest.clone(), size);
            Ok((what, Blob::File(FileBlob { file, offset: 0, size, digest, meter: None })))
        }
    }
}

/// The headers of a member: the same for the same name and size.
fn header(name: &str, size: u64) -> Result<Vec<u8>> {
    let directory = name.ends_with('/');
    let entry = Entry {
        path: name.as_bytes().to_vec(),
        kind: if directory { EntryKind::Directory } else { EntryKind::File },
        mode: if directory { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        size,
        xattrs: Vec::new(),
        unread: Vec::new(),
    };
    let mut bytes = Vec::new();
    TarWriter::new(&mut bytes).begin(&entry)?;
    Ok(bytes)
}

/// An archive in a file, several members of which can be written at once; it appears under its
/// name when it is finished.
pub(in crate::transport) struct ArchiveFile {
    path: PathBuf,
    target: Target,
    file: Arc<File>,
    state: Mutex<FileState>,
}

enum Target {
    /// A regular file, or nothing yet.
    Replace(Mutex<Option<NewFile>>),
    /// A pipe or device, which gets the bytes at the end.
    CopyInto,
}

#[derive(Default)]
struct FileState {
    end: u64,
    blobs: HashMap<Digest, Region>,
}

#[derive(Clone, Copy)]
struct Region {
    offset: u64,
    size: u64,
    whole: bool,
}

impl ArchiveFile {
    /// Starts an archive that is to be `path`. Blocks.
    pub(in crate::transport) fn create(path: &Path, scratch: &Path) -> Result<Output> {
        let making = || format!("making {}", path.display());
        // A link stays: what it leads to is replaced.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let kind = std::fs::metadata(&path).map(|meta| meta.file_type());
        let special = kind.is_ok_and(|kind| {
            kind.is_fifo() || kind.is_char_device() || kind.is_block_device() || kind.is_socket()
        });
        let (target, file) = if special {
            (Target::CopyInto, super::scratch_file(scratch)?)
        } else {
            if path.is_dir() {
                return Err(Error::usage(format!("{} is a directory", path.display())));
            }
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let dir = Dir::open(parent.unwrap_or(Path::new("."))).doing(making)?;
            let new = NewFile::create(dir, 0o644).doing(making)?;
            let file = new.file().try_clone().doing(making)?;
            (Target::Replace(Mutex::new(Some(new))), file)
        };
        let file = Arc::new(file);
        Ok(Output::File(Arc::new(ArchiveFile { path, target, file, state: Mutex::default() })))
    }

    fn state(&self) -> MutexGuard<'_, FileState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> String {
        format!("writing {}", self.path.display())
    }

    fn size_of(&self, digest: &Digest) -> Option<u64> {
        self.state().blobs.get(digest).filter(|region| region.whole).map(|region| region.size)
    }

    async fn put(&self, known: &Descriptor, content: Blob) -> Result<()> {
        if self.size_of(&known.digest) == Some(known.size) {
            return Ok(());
        }
        let region = self.reserve(known)?;
        let written =
            fill(self.file.clone(), region.offset, content, Some(known), known.digest.algorithm());
        written.await.doing(|| self.writing())?;
        let whole = Region { whole: true, ..region };
        self.state().blobs.insert(known.digest.clone(), whole);
        Ok(())
    }

    /// The place for a blob: that of an earlier attempt, or a new one at the end.
    fn reserve(&self, known: &Descriptor) -> Result<Region> {
        if let Some(region) = self.state().blobs.get(&known.digest)
            && region.size == known.size
        {
            return Ok(*region);
        }
        let offset = self.member(&blob_path(&known.digest), known.size)?;
        let region = Region { offset, size: known.size, whole: false };
        self.state().blobs.insert(known.digest.clone(), region);
        Ok(region)
    }

    /// Writes the headers of a member and returns where its content belongs.
    fn member(&self, name: &str, size: u64) -> Result<u64> {
        let header = header(name, size)?;
        let start = {
            let mut state = self.state();
            let offset = state.end + header.len() as u64;
            let padded = size.checked_next_multiple_of(BLOCK);
            let end = padded.and_then(|padded| offset.checked_add(padded));
            let end = end.filter(|end| i64::try_from(*end).is_ok());
            let end = end.ok_or_else(|| Error::invalid(format!("{name} has no possible size")))?;
            std::mem::replace(&mut state.end, end)
        };
        self.file.write_all_at(&header, start).doing(|| self.writing())?;
        Ok(start + header.len() as u64)
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let offset = self.member(name, bytes.len() as u64)?;
        self.file.write_all_at(bytes, offset).doing(|| self.writing())
    }

    /// Writes the end mark, flushes, and makes the archive appear under its name. Blocks.
    fn finish(&self) -> Result<()> {
        let end = {
            let state = self.state();
            if let Some((digest, _)) = state.blobs.iter().find(|(_, region)| !region.whole) {
                let what = format!("{} lacks {digest}, which was not sent", self.path.display());
                return Err(Error::new(ErrorKind::Failed, what));
            }
            state.end + 2 * BLOCK
        };
        self.file.set_len(end).doing(|| self.writing())?;
        match &self.target {
            Target::CopyInto => self.copy_out(end).doing(|| self.writing()),
            Target::Replace(new) => {
                let new = new.lock().unwrap_or_else(PoisonError::into_inner).take();
                let name = self.path.file_name().map(|name| name.as_encoded_bytes());
                match (new, name) {
                    (Some(new), Some(name)) => new.publish(name).doing(|| self.writing()),
                    _ => Err(Error::new(ErrorKind::Failed, "the archive is finished already")),
                }
            }
        }
    }

    fn copy_out(&self, end: u64) -> Result<()> {
        let mut out = File::options().write(true).open(&self.path).doing(|| "opening it")?;
        let mut archive = super::Positioned::new(self.file.clone(), 0, end);
        std::io::copy(&mut archive, &mut out).doing(|| "copying")?;
        Ok(())
    }
}

/// An archive as a stream of bytes: one member at a time, nothing kept.
pub(in crate::transport) struct ArchiveStream {
    state: tokio::sync::Mutex<StreamState>,
}

struct StreamState {
    /// `None` when the stream has ended, well or not.
    sender: Option<mpsc::Sender<Part>>,
    blobs: HashMap<Digest, u64>,
}

enum Part {
    Bytes(Bytes),
    /// All of it was sent.
    End,
}

impl ArchiveStream {
    /// An archive and where its bytes come out. The stream ends in an error unless the archive is
    /// finished.
    pub(in crate::transport) fn new() -> (ArchiveStream, ByteStream) {
        let (sender, receiver) = mpsc::channel(8);
        let state = StreamState { sender: Some(sender), blobs: HashMap::new() };
        let chunks = stream::unfold(Some(receiver), |receiver| async move {
            let mut receiver = receiver?;
            match receiver.recv().await {
                Some(Part::Bytes(bytes)) => Some((Ok(bytes), Some(receiver))),
                Some(Part::End) => None,
                None => {
                    let given_up = Error::new(ErrorKind::Cancelled, "the archive was given up");
                    Some((Err(given_up), None))
                }
            }
        });
        (ArchiveStream { state: tokio::sync::Mutex::new(state) }, Box::pin(chunks))
    }

    async fn put(&self, known: &Descriptor, content: Blob) -> Result<()> {
        let mut state = self.state.lock().await;
        if state.blobs.contains_key(&known.digest) {
            return Ok(());
        }
        let sent = state.send_member(known, content).await;
        match sent {
            Ok(()) => drop(state.blobs.insert(known.digest.clone(), known.size)),
            // Half a member is in the stream: nothing can follow.
            Err(_) => state.sender = None,
        }
        sent
    }

    async fn append(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let mut state = self.state.lock().await;
        state.send(header(name, bytes.len() as u64)?.into()).await?;
        let padding = padding(bytes.len() as u64);
        state.send(bytes.into()).await?;
        state.send(padding).await
    }

    /// Sends the end mark and closes the stream.
    async fn finish(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        state.send(Bytes::from_static(&[0; 2 * BLOCK as usize])).await?;
        state.send_part(Part::End).await?;
        state.sender = None;
        Ok(())
    }
}

impl StreamState {
    async fn send(&mut self, bytes: Bytes) -> Result<()> {
        self.send_part(Part::Bytes(bytes)).await
    }

    async fn send_part(&mut self, part: Part) -> Result<()> {
        let closed = || Error::new(ErrorKind::Failed, "the receiver of the archive has stopped");
        let sender = self.sender.as_ref().ok_or_else(closed)?;
        sender.send(part).await.map_err(|_| closed())
    }

    async fn send_member(&mut self, known: &Descriptor, content: Blob) -> Result<()> {
        self.send(header(&blob_path(&known.digest), known.size)?.into()).await?;
        let unnamed = matches!(content, Blob::Unnamed(_));
        let mut hasher = Hasher::new(known.digest.algorithm());
        let mut count = 0;
        let mut stream = content.into_stream().await?;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            count += chunk.len() as u64;
            if count > known.size {
                break;
            }
            if unnamed {
                hasher.update(&chunk);
            }
            self.send(chunk).await?;
        }
        let wrong = unnamed && hasher.finish() != known.digest;
        if count != known.size || wrong {
            return Err(Error::corrupt(format!("{} came with other bytes", known.digest)));
        }
        self.send(padding(count)).await
    }
}

fn padding(size: u64) -> Bytes {
    Bytes::from_static(&[0; BLOCK as usize]).slice(..(size.wrapping_neg() % BLOCK) as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Archive;
    use super::*;

    fn described(bytes: &[u8]) -> Descriptor {
        Descriptor::of(MediaType::Other("x".into()), bytes)
    }

    fn unnamed(bytes: &'static [u8]) -> Blob {
        Blob::Unnamed(Box::new(bytes))
    }

    async fn write_all(output: &Output, scratch: &Path) {
        let bytes = Bytes::from_static(b"abc");
        output.append("blobs/", Vec::new()).await.unwrap();
        output.put(Some(&described(b"abc")), Blob::Bytes(bytes), scratch).await.unwrap();
        output.put(None, unnamed(b"unnamed"), scratch).await.unwrap();
        output.put(None, unnamed(b"unnamed"), scratch).await.unwrap();
        output.put(Some(&described(b"known")), unnamed(b"known"), scratch).await.unwrap();
        output.append("index.json", b"{}".to_vec()).await.unwrap();
    }

    fn check(archive: &Archive) {
        for content in [&b"abc"[..], b"unnamed", b"known"] {
            let found = archive.read(&blob_path(&Digest::sha256(content)), 99).unwrap();
            assert_eq!(found.unwrap(), content);
        }
        assert_eq!(archive.read("index.json", 99).unwrap().unwrap(), &b"{}"[..]);
    }

    #[tokio::test]
    async fn file_and_stream_write_the_same_archive() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.tar");
        let file = ArchiveFile::create(&path, place.path()).unwrap();
        write_all(&file, place.path()).await;
        assert!(!path.exists());
        file.finish().await.unwrap();
        let written = std::fs::read(&path).unwrap();
        assert_eq!(written.len(), 512 * (1 + 4 * 2 + 2));
        check(&Archive::open(&path, place.path()).unwrap());
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);

        let (stream, mut receiver) = ArchiveStream::new();
        let output = Output::Stream(stream);
        let collect = async {
            let mut all = Vec::new();
            while let Some(chunk) = receiver.next().await {
                all.extend_from_slice(&chunk.unwrap());
            }
            all
        };
        let write = async {
            write_all(&output, place.path()).await;
            output.finish().await.unwrap();
        };
        let (streamed, ()) = tokio::join!(collect, write);
        assert_eq!(streamed, written);
    }

    #[tokio::test]
    async fn a_blob_that_failed_can_be_sent_again() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.tar");
        std::fs::write(&path, "old").unwrap();
        let output = ArchiveFile::create(&path, place.path()).unwrap();
        let known = described(b"known");
        for wrong in [&b"knowm"[..], b"known and more", b"kno"] {
            let error = output.put(Some(&known), unnamed(wrong), place.path()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
        let error = output.finish().await.unwrap_err();
        assert!(error.to_string().contains("lacks sha256:"), "{error}");
        output.put(Some(&known), unnamed(b"known"), place.path()).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        output.finish().await.unwrap();
        let archive = Archive::open(&path, place.path()).unwrap();
        let blob = archive.blob(&blob_path(&known.digest), &known).unwrap();
        assert_eq!(blob.size, 5);
    }

    #[tokio::test]
    async fn a_broken_stream_says_so_to_its_receiver() {
        let (stream, mut receiver) = ArchiveStream::new();
        let output = Output::Stream(stream);
        let known = described(b"known");
        let result = output.put(Some(&known), unnamed(b"kno"), Path::new("/")).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Corrupt);
        let mut last = None;
        while let Some(chunk) = receiver.next().await {
            last = Some(chunk);
        }
        assert!(last.unwrap().is_err());
        assert!(output.append("x", Vec::new()).await.is_err());
    }

    #[tokio::test]
    async fn a_pipe_gets_the_whole_archive() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        let archive = ArchiveFile::create(&path, place.path()).unwrap();
        archive.append("a", b"abc".to_vec()).await.unwrap();
        let reader = std::thread::spawn({
            let path = path.clone();
            move || std::fs::read(path).unwrap()
        });
        archive.finish().await.unwrap();
        assert_eq!(reader.join().unwrap().len(), 2048);
    }
}
