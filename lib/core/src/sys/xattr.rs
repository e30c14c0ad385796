//! Extended attributes of open files, and of names that must not be opened.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::dir::Dir;

/// Longest name of an attribute that the kernel takes.
pub const MAX_XATTR_NAME: usize = 255;

/// Longest value of an attribute that the kernel takes.
pub const MAX_XATTR_VALUE: usize = 64 * 1024;

/// Sets one attribute of an open file.
pub fn set_xattr(handle: impl AsFd, name: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(handle, name, value, XattrFlags::empty())?)
}

/// Removes one attribute of an open file; its absence is no error.
pub fn remove_xattr(handle: impl AsFd, name: &[u8]) -> io::Result<()> {
    absent_is_fine(rustix::fs::fremovexattr(handle, name))
}

/// One attribute of an open file; `None` when it has none of that name, or the file system knows
/// no attributes.
pub fn read_xattr(handle: impl AsFd, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let handle = handle.as_fd();
    value_of(&mut |buffer| rustix::fs::fgetxattr(handle, name, buffer))
}

/// All attributes of an open file, sorted by name.
pub fn read_xattrs(handle: impl AsFd) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let handle = handle.as_fd();
    all_of(&mut |buffer| rustix::fs::flistxattr(handle, buffer), &mut |name, buffer| {
        rustix::fs::fgetxattr(handle, name, buffer)
    })
}

impl Dir {
    /// Sets one attribute of `name` itself, also when it is a link or a device.
    pub fn set_xattr_of(&self, name: &[u8], key: &[u8], value: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::lsetxattr(self.path_of(name)?, key, value, XattrFlags::empty())?)
    }

    /// Removes one attribute of `name` itself; its absence is no error.
    pub fn remove_xattr_of(&self, name: &[u8], key: &[u8]) -> io::Result<()> {
        absent_is_fine(rustix::fs::lremovexattr(self.path_of(name)?, key))
    }

    /// All attributes of `name` itself, sorted by name.
    pub fn read_xattrs_of(&self, name: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let path = self.path_of(name)?;
        all_of(&mut |buffer| rustix::fs::llistxattr(&path, buffer), &mut |name, buffer| {
            rustix::fs::lgetxattr(&path, name, buffer)
        })
    }
}

fn absent_is_fine(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}

type Fill<'a> = &'a mut dyn FnMut(&mut [u8]) -> rustix::io::Result<usize>;
type Get<'a> = &'a mut dyn FnMut(&[u8], &mut [u8]) -> rustix::io::Result<usize>;

/// Reads into a buffer that grows until the answer fits.
fn filled(fill: Fill<'_>) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    loop {
        match fill(&mut buffer) {
            Err(Errno::RANGE) if buffer.len() < MAX_XATTR_VALUE => {
                buffer.resize(buffer.len() * 4, 0);
            }
            Err(error) => return Err(error),
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
        }
    }
}

fn value_of(fill: Fill<'_>) -> io::Result<Option<Vec<u8>>> {
    match filled(fill) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn all_of(list: Fill<'_>, get: Get<'_>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let names = match filled(list) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    for name in names.split(|&b| b == 0).filter(|name| !name.is_empty()) {
        if let Some(value) = value_of(&mut |buffer| get(name, buffer))? {
            all.push((name.to_vec(), value));
        }
    }
    all.sort();
    Ok(all)
}
