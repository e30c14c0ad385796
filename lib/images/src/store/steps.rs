//! The steps that make something visible or durable, one function each.
//!
//! Owns every rename, flush and removal of a final name below the store's root, so that tests can
//! look, fail or stop in between. Promise: when a function returns, the step is done; with
//! [`Durability::Relaxed`] flushes are left out. Does not know in which order steps are safe.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::{IoContext, Result};
use crate::sys;

/// Up to this many files are flushed one by one: flushing a whole file system waits for what
/// other programs have written.
const FEW: usize = 8;

/// Whether what was published survives a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Content is flushed before it gets its name, names before the verb returns.
    #[default]
    Full,
    /// Nothing is flushed: for machines that are thrown away after the job.
    Relaxed,
}

/// Something that is about to happen to final names.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// One file's content goes to disk.
    FlushFile(&'a Path),
    /// The whole file system of a directory goes to disk.
    FlushAll(&'a Path),
    /// The names in a directory go to disk.
    FlushDir(&'a Path),
    /// A file gets another name.
    Rename(&'a Path, &'a Path),
    /// A name goes away.
    Remove(&'a Path),
}

/// Called before every [`Step`]; an error from it is the step's failure.
pub type StepHook = Arc<dyn Fn(&Step<'_>) -> io::Result<()> + Send + Sync>;

/// A hook that ends the process, as `kill -9` would, instead of the `n`-th step (from 1).
#[cfg(debug_assertions)]
pub fn abort_at(n: u64) -> StepHook {
    let left = std::sync::atomic::AtomicU64::new(n);
    Arc::new(move |_| match left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) {
        1 => std::process::abort(),
        _ => Ok(()),
    })
}

/// How steps are made.
#[derive(Clone, Default)]
pub(super) struct Steps {
    pub(super) hook: Option<StepHook>,
    pub(super) durability: Durability,
}

impl Steps {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(&step))
    }

    fn durable(&self) -> bool {
        self.durability == Durability::Full
    }

    /// Brings the content of `files`, all of one file system, to disk.
    pub(super) fn flush_files(&self, files: &[&Path]) -> Result<()> {
        match files {
            _ if !self.durable() => Ok(()),
            [] => Ok(()),
            [first, ..] if files.len() > FEW => self.flush_all(first.parent().unwrap_or(first)),
            _ => self.flush_each(files),
        }
    }

    /// Brings everything that was written to the file system of a directory to disk.
    pub(super) fn flush_all(&self, beside: &Path) -> Result<()> {
        if !self.durable() {
            return Ok(());
        }
        let flushing = || format!("flushing {}", beside.display());
        self.before(Step::FlushAll(beside)).doing(flushing)?;
        sys::sync_filesystem(File::open(beside).doing(flushing)?).doing(flushing)
    }

    fn flush_each(&self, files: &[&Path]) -> Result<()> {
        let flushing = |path: &Path| format!("flushing {}", path.display());
        let mut open = Vec::with_capacity(files.len());
        for path in files {
            let file = File::open(path).doing(|| flushing(path))?;
            let length = file.metadata().doing(|| flushing(path))?.len();
            // All begin before the first is waited for, so that they share the disk's time.
            sys::start_write_back(&file, 0, length);
            open.push((file, path));
        }
        for (file, path) in open {
            self.before(Step::FlushFile(path)).doing(|| flushing(path))?;
            file.sync_all().doing(|| flushing(path))?;
        }
        Ok(())
    }

    /// Makes the names in a directory durable.
    pub(super) fn flush_dir(&self, path: &Path) -> Result<()> {
        if !self.durable() {
            return Ok(());
        }
        let flushing = || format!("flushing {}", path.display());
        self.before(Step::FlushDir(path)).doing(flushing)?;
        File::open(path).and_then(|dir| dir.sync_all()).doing(flushing)
    }

    /// Gives a file another name, in the place of what had it.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let moving = || format!("moving {} to {}", from.display(), to.display());
        self.before(Step::Rename(from, to)).doing(moving)?;
        std::fs::rename(from, to).doing(moving)
    }

    /// Removes a file's name; `false` when there was none.
    pub(super) fn remove(&self, path: &Path) -> Result<bool> {
        let removing = || format!("removing {}", path.display());
        self.before(Step::Remove(path)).doing(removing)?;
        match std::fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).doing(removing),
        }
    }

    /// Makes a directory and those above it, readable by their owner alone, and their names
    /// durable.
    pub(super) fn make_dir(&self, path: &Path) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        if path.is_dir() {
            return Ok(());
        }
        let making = || format!("making directory {}", path.display());
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.make_dir(parent)?;
        }
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            other => other.doing(making)?,
        }
        self.flush_dir(parent.unwrap_or(Path::new(".")))
    }
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.durability.fmt(f)
    }
}
