//! File content, written by this thread or handed to a few others.
//!
//! A file is always created by the thread that reads the archive, so names appear in the order of
//! the archive; the other threads only ever see open files, whose order does not matter.

use std::fs::File;
use std::io::BufRead;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{Scope, ScopedJoinHandle};

use super::super::tar::{TarReader, is_zero};
use super::report::{DropReason, Dropped};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::{Time, remove_xattr, set_mode, set_owner, set_time, set_xattr};

/// Larger files are written by the reading thread, straight from the reader's buffer.
const SMALL: u64 = 256 * 1024;

/// Files that wait for one writer.
const QUEUE: usize = 16;

/// Runs of zeros of this length (and alignment within what is written at once) become holes.
const HOLE: usize = 64 * 1024;

/// What is still to be set on a file whose content is written. The order matters: a change of
/// owner takes set-id bits and capabilities away.
#[derive(Debug)]
pub(super) struct FileFinish {
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
    /// Whether the directory may have given it an access list.
    pub(super) clear_acl: bool,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) time: Time,
    /// For the report; only needed with attributes.
    pub(super) path: Vec<u8>,
}

impl FileFinish {
    fn apply(&self, file: &File, dropped: &Dropped) -> Result<()> {
        if let Some((uid, gid)) = self.owner {
            set_owner(file, uid, gid).doing(|| "setting the owner")?;
        }
        if self.clear_acl {
            remove_xattr(file, b"system.posix_acl_access").doing(|| "clearing the access list")?;
        }
        for (name, value) in &self.xattrs {
            if let Err(error) = set_xattr(file, name, value) {
                dropped.refused(&self.path, name, error)?;
            }
        }
        if let Some(mode) = self.mode {
            set_mode(file, mode).doing(|| "setting the mode")?;
        }
        set_time(file, self.time).doing(|| "setting the time")
    }
}

impl Dropped {
    /// Notes an attribute that cannot be set here. A full disk is an error of another kind.
    pub(super) fn refused(&self, path: &[u8], name: &[u8], error: std::io::Error) -> Result<()> {
        let no_room = matches!(
            error.kind(),
            std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::ReadOnlyFilesystem
        );
        match error.raw_os_error() {
            Some(number) if !no_room => {
                self.add(path, name, DropReason::Refused(number));
                Ok(())
            }
            _ => Err(Error::io(format!("setting attribute {}", name.escape_ascii()), error)),
        }
    }
}

enum Job {
    File {
        number: u64,
        file: File,
        content: Vec<u8>,
        finish: FileFinish,
    },
    /// Answers when all before it is done.
    Wait(SyncSender<()>),
}

/// The threads that write small files; none of them is a valid number.
pub(super) struct Writers<'s> {
    queues: Vec<SyncSender<Job>>,
    threads: Vec<ScopedJoinHandle<'s, Option<(u64, Error)>>>,
    failed: Arc<AtomicBool>,
    spare: Receiver<Vec<u8>>,
    count: u64,
    dropped: &'s Dropped,
}

impl<'s> Writers<'s> {
    pub(super) fn start<'env: 's>(
        scope: &'s Scope<'s, 'env>,
        number: usize,
        dropped: &'env Dropped,
    ) -> Writers<'s> {
        let failed = Arc::new(AtomicBool::new(false));
        let (give_back, spare) = mpsc::channel();
        let mut queues = Vec::new();
        let mut threads = Vec::new();
        for _ in 0..number {
            let (queue, jobs) = mpsc::sync_channel(QUEUE);
            let (failed, give_back) = (Arc::clone(&failed), give_back.clone());
            threads.push(scope.spawn(move || work(&jobs, &give_back, &failed, dropped)));
            queues.push(queue);
        }
        Writers { queues, threads, failed, spare, count: 0, dropped }
    }

    /// Writes the content of the reader's current entry, now or soon.
    pub(super) fn write<R: BufRead>(
        &mut self,
        reader: &mut TarReader<R>,
        file: File,
        size: u64,
        finish: FileFinish,
    ) -> Result<()> {
        if self.queues.is_empty() || size > SMALL {
            stream(reader, &file, size)?;
            return finish.apply(&file, self.dropped);
        }
        let mut content = self.spare.try_recv().unwrap_or_default();
        content.clear();
        content.resize(usize::try_from(size).unwrap_or_default(), 0);
        while let Some(chunk) = reader.data()? {
            // The reader has checked that chunks lie within the size, which is small.
            let start = usize::try_from(chunk.offset).unwrap_or_default();
            content[start..start + chunk.bytes.len()].copy_from_slice(chunk.bytes);
        }
        self.count += 1;
        let number = self.count;
        let turn = (number % self.queues.len() as u64) as usize;
        let job = Job::File { number, file, content, finish };
        if self.failed.load(Ordering::Relaxed) || self.queues[turn].send(job).is_err() {
            return Err(stopped());
        }
        Ok(())
    }

    /// Waits until all files handed over are written.
    pub(super) fn wait(&self) -> Result<()> {
        let (done, all_done) = mpsc::sync_channel(self.queues.len());
        for queue in &self.queues {
            queue.send(Job::Wait(done.clone())).map_err(|_| stopped())?;
        }
        for _ in &self.queues {
            all_done.recv().map_err(|_| stopped())?;
        }
        Ok(())
    }

    /// Ends the threads. Of several failures it returns the one that is first in the archive.
    pub(super) fn join(self) -> Result<()> {
        drop(self.queues);
        let mut first: Option<(u64, Error)> = None;
        for thread in self.threads {
            let failure = thread.join().unwrap_or_else(|_| Some((0, stopped())));
            if let Some((number, error)) = failure
                && first.as_ref().is_none_or(|(earlier, _)| number < *earlier)
            {
                first = Some((number, error));
            }
        }
        first.map_or(Ok(()), |(_, error)| Err(error))
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Failed, "a thread that writes files has stopped")
}

/// Takes jobs until there are no more, also after a failure: an earlier one may follow.
fn work(
    jobs: &Receiver<Job>,
    give_back: &Sender<Vec<u8>>,
    failed: &AtomicBool,
    dropped: &Dropped,
) -> Option<(u64, Error)> {
    let mut first = None;
    for job in jobs {
        match job {
            Job::Wait(done) => drop(done.send(())),
            Job::File { number, file, content, finish } => {
                let result = whole(&file, &content).and_then(|()| finish.apply(&file, dropped));
                if let (Err(error), None) = (result, &first) {
                    failed.store(true, Ordering::Relaxed);
                    first = Some((number, error));
                }
                // Nobody may be left to use it again.
                let _ = give_back.send(content);
            }
        }
    }
    first
}

fn whole(file: &File, content: &[u8]) -> Result<()> {
    let end = write_at(file, content, 0)?;
    set_length(file, end, content.len() as u64)
}

fn stream<R: BufRead>(reader: &mut TarReader<R>, file: &File, size: u64) -> Result<()> {
    let mut end = 0;
    while let Some(chunk) = reader.data()? {
        end = write_at(file, chunk.bytes, chunk.offset)?.max(end);
    }
    set_length(file, end, size)
}

fn set_length(file: &File, written: u64, size: u64) -> Result<()> {
    if written == size {
        return Ok(());
    }
    file.set_len(size).doing(|| "setting the length")
}

/// Writes `bytes` at `offset`, leaving long runs of zeros out; returns where the last write ended.
fn write_at(file: &File, bytes: &[u8], offset: u64) -> Result<u64> {
    let mut end = 0;
    let mut put = |from: usize, to: usize| -> Result<()> {
        if from < to {
            file.write_all_at(&bytes[from..to], offset + from as u64).doing(|| "writing")?;
            end = offset + to as u64;
        }
        Ok(())
    };
    let mut start = 0;
    for (index, piece) in bytes.chunks_exact(HOLE).enumerate() {
        if is_zero(piece) {
            put(start, index * HOLE)?;
            start = (index + 1) * HOLE;
        }
    }
    put(start, bytes.len())?;
    Ok(end)
}
