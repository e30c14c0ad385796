//! Gzip on several threads, as one member that every reader takes.
//!
//! The input is cut into blocks of a fixed size; each is deflated on its own with the end of the
//! block before as dictionary, and ends on a byte boundary (a sync flush), so that the pieces can be
//! joined. Checksums are combined. Neither the cuts nor the pieces depend on who does the work.

use std::collections::VecDeque;
use std::io::{Error as IoError, Result, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use flate2::{Compress, Compression, Crc, FlushCompress};

/// Input bytes of one piece of work.
const BLOCK: usize = 1 << 20;
/// How far back deflate looks.
const WINDOW: usize = 32 << 10;
/// No name, no time, no system: as Go's writer has it.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Deflates what is written to it.
pub(super) struct GzipWriter<W> {
    writer: W,
    pool: Pool,
    block: Vec<u8>,
    previous: Option<Arc<Vec<u8>>>,
    pending: VecDeque<Receiver<Piece>>,
    most_pending: usize,
    crc: Crc,
    started: bool,
}

/// One block to be deflated.
struct Job {
    block: Arc<Vec<u8>>,
    previous: Option<Arc<Vec<u8>>>,
    last: bool,
    reply: SyncSender<Piece>,
}

/// A deflated block and the checksum of its content.
type Piece = Result<(Vec<u8>, Crc)>;

impl<W: Write> GzipWriter<W> {
    pub(super) fn new(writer: W, level: i32, threads: usize) -> crate::Result<GzipWriter<W>> {
        Ok(GzipWriter {
            writer,
            pool: Pool::new(level, threads)?,
            block: Vec::with_capacity(BLOCK),
            previous: None,
            pending: VecDeque::new(),
            most_pending: threads + 1,
            crc: Crc::new(),
            started: false,
        })
    }

    /// Hands the current block to the workers.
    fn submit(&mut self, last: bool) -> Result<()> {
        while self.pending.len() >= self.most_pending {
            self.collect()?;
        }
        let next = Vec::with_capacity(if last { 0 } else { BLOCK });
        let block = Arc::new(std::mem::replace(&mut self.block, next));
        let (reply, piece) = sync_channel(1);
        let previous = self.previous.replace(block.clone());
        self.pool.start(Job { block, previous, last, reply })?;
        self.pending.push_back(piece);
        Ok(())
    }

    /// Writes the oldest piece of work, once it is done.
    fn collect(&mut self) -> Result<()> {
        let Some(piece) = self.pending.pop_front() else { return Ok(()) };
        let (bytes, crc) = piece.recv().map_err(|_| stopped())??;
        if !self.started {
            self.started = true;
            self.writer.write_all(&HEADER)?;
        }
        self.crc.combine(&crc);
        self.writer.write_all(&bytes)
    }

    pub(super) fn finish(mut self) -> Result<W> {
        self.submit(true)?;
        while !self.pending.is_empty() {
            self.collect()?;
        }
        self.writer.write_all(&self.crc.sum().to_le_bytes())?;
        self.writer.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.writer)
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.block.len() == BLOCK {
            self.submit(false)?;
        }
        let count = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Threads that deflate; they end and are joined when this is dropped.
struct Pool {
    jobs: Option<Sender<Job>>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    fn new(level: i32, threads: usize) -> crate::Result<Pool> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let level = Compression::new(level.unsigned_abs());
        let mut pool = Pool { jobs: Some(jobs), workers: Vec::with_capacity(threads) };
        for _ in 0..threads {
            let queue = queue.clone();
            let worker = std::thread::Builder::new()
                .name("gzip".to_owned())
                .spawn(move || work(&queue, level))
                .map_err(|error| crate::Error::io("starting a compression thread", error))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    fn start(&self, job: Job) -> Result<()> {
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).map_err(|_| stopped())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // A worker that panicked has already made its piece fail.
            let _ = worker.join();
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>, level: Compression) {
    loop {
        // The lock is held while waiting: whoever holds it gets the next job.
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else { return };
        let piece = pack(level, &job);
        // Nobody waits any more when the writer was dropped.
        let _ = job.reply.send(piece);
    }
}

fn pack(level: Compression, job: &Job) -> Piece {
    // A new one for each block: after a reset, zlib-rs still looks at a byte of the old window
    // behind the dictionary, and the result would depend on which blocks a thread had before.
    let mut deflate = Compress::new(level, false);
    if let Some(previous) = &job.previous {
        let start = previous.len().saturating_sub(WINDOW);
        deflate.set_dictionary(&previous[start..]).map_err(IoError::other)?;
    }
    let flush = if job.last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut out = Vec::with_capacity(job.block.len() / 2 + 1024);
    loop {
        // Never larger than a block and what precedes it.
        let taken = deflate.total_in() as usize;
        deflate.compress_vec(&job.block[taken..], &mut out, flush).map_err(IoError::other)?;
        // With room to spare, all was taken and flushed.
        if out.len() < out.capacity() {
            break;
        }
        out.reserve(BLOCK / 4);
    }
    let mut crc = Crc::new();
    crc.update(&job.block);
    Ok((out, crc))
}

fn stopped() -> IoError {
    IoError::other("a compression thread stopped")
}
