//! A fresh checkout, made the same everywhere.

use crate::error::{Error, IoContext, Result};
use crate::sys::{Dir, FileKind, Time};

/// Levels of directories; more are an error.
const MAX_DEPTH: usize = 512;

/// What git keeps for itself: nothing that is checked out can be called so.
const GIT: &[u8] = b".git";

/// How a checkout is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tidy {
    /// Whether `.git` stays, in the repository and in its submodules.
    pub(super) keep_git: bool,
    /// The time of everything, if not that of the checkout.
    pub(super) time: Option<Time>,
}

impl Tidy {
    /// Goes through the whole checkout.
    pub(super) fn apply(self, dir: &Dir) -> Result<()> {
        self.visit(dir, b"", 0)
    }

    fn visit(self, dir: &Dir, path: &[u8], level: usize) -> Result<()> {
        let doing = || format!("going through /{} of a checkout", path.escape_ascii());
        if level > MAX_DEPTH {
            return Err(Error::unsupported(format!("more than {MAX_DEPTH} levels"))).doing(doing);
        }
        for entry in dir.entries().doing(doing)? {
            let name = entry.name.as_slice();
            if name == GIT && !self.keep_git {
                dir.remove_tree(name).doing(doing)?;
                continue;
            }
            let meta = dir.lookup(name).doing(doing)?;
            let directory = meta.is_some_and(|meta| meta.kind == FileKind::Directory);
            if directory && name != GIT {
                let inner = super::super::view::join(path, name);
                self.visit(&dir.open_dir(name).doing(doing)?, &inner, level + 1)?;
            }
            if let Some(time) = self.time {
                dir.set_time_of(name, time).doing(doing)?;
            }
        }
        match self.time {
            Some(time) => crate::sys::set_time(dir, time).doing(doing),
            None => Ok(()),
        }
    }
}
