//! An unpacked layer.

use std::io::{self, Read};
use std::path::Path;

use super::{Node, NodeKind, Saying};
use crate::error::{Error, IoContext, Result};
use crate::sys::{Device, FileKind, Meta, Root, read_xattr, read_xattrs};

/// Most bytes of an account file.
const MAX_ACCOUNTS: u64 = 4 << 20;

/// A tree in one of overlayfs' forms.
pub(in crate::build) struct TreeLayer {
    root: Root,
}

impl TreeLayer {
    /// The tree at a path of the store.
    pub(in crate::build) fn open(path: &Path) -> Result<TreeLayer> {
        Ok(TreeLayer { root: Root::open(path)? })
    }

    pub(super) fn at(&self, path: &[u8]) -> Result<Saying> {
        self.look(path).doing(|| format!("looking at /{} in a layer", path.escape_ascii()))
    }

    fn look(&self, path: &[u8]) -> io::Result<Saying> {
        if path.is_empty() {
            let meta = self.root.dir().meta()?;
            return self.directory(self.root.dir(), &meta);
        }
        let (parent, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b""[..], path),
        };
        let parent = match self.root.open_dir_plain(parent) {
            Ok(parent) => parent,
            Err(error) if is_absent(&error) => return Ok(Saying::Nothing),
            Err(error) => return Err(error),
        };
        let Some(meta) = parent.lookup(name)? else { return Ok(Saying::Nothing) };
        let kind = match meta.kind {
            FileKind::Char if meta.device == Device::default() => return Ok(Saying::Deleted),
            FileKind::Directory => return self.directory(&parent.open_dir(name)?, &meta),
            FileKind::File => NodeKind::File,
            FileKind::Symlink => NodeKind::Symlink(parent.read_link(name)?),
            _ => NodeKind::Other,
        };
        Ok(Saying::Node { node: node(kind, &meta, Vec::new()), implied: false, opaque: false })
    }

    fn directory(&self, dir: &crate::sys::Dir, meta: &Meta) -> io::Result<Saying> {
        let is =
            |name: &[u8]| Ok::<bool, io::Error>(read_xattr(dir, name)?.is_some_and(|v| v == b"y"));
        let opaque = is(b"trusted.overlay.opaque")? || is(b"user.overlay.opaque")?;
        let mut xattrs = read_xattrs(dir)?;
        xattrs.retain(|(name, _)| super::super::transfer::is_for_images(name));
        let node = node(NodeKind::Directory, meta, xattrs);
        Ok(Saying::Node { node, implied: false, opaque })
    }

    pub(super) fn account_file(&self, path: &[u8]) -> Result<Vec<u8>> {
        let reading = || format!("reading /{} of the image", path.escape_ascii());
        let mut content = Vec::new();
        let file = self.root.open_file(path).doing(reading)?;
        file.take(MAX_ACCOUNTS + 1).read_to_end(&mut content).doing(reading)?;
        if content.len() as u64 > MAX_ACCOUNTS {
            return Err(Error::unsupported("more than 4 MiB of accounts").while_doing(reading()));
        }
        Ok(content)
    }
}

fn node(kind: NodeKind, meta: &Meta, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Node {
    let Meta { mode, uid, gid, mtime, .. } = *meta;
    Node { kind, mode, uid, gid, mtime, xattrs }
}

fn is_absent(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let number = Errno::from_io_error(error);
    matches!(number, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}
