//! Reading and replacing configuration files.
//!
//! Promises: no read is larger than [`MAX_FILE`]; a file that is written is either the old one
//! or the new one at any moment, is readable by its owner only, and two writers wait for each
//! other. Knows no format.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind as Io, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use zeroize::Zeroizing;

use super::Choice;
use crate::error::{Error, ErrorKind, IoContext, Result};

/// No configuration file is larger, in bytes.
pub(super) const MAX_FILE: u64 = 4 << 20;

/// How long a writer waits for another one. Edits take milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// What a file holds; erased when dropped, since many of these files hold passwords.
pub(super) type Contents = Zeroizing<Vec<u8>>;

/// The bytes of `path`. Need not be a regular file: shells hand out pipes.
pub(super) fn read(path: &Path) -> Result<Contents> {
    let reading = || format!("reading {}", path.display());
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).doing(reading)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).doing(reading)?;
    if bytes.len() as u64 > MAX_FILE {
        let what = format!("{} is larger than {MAX_FILE} bytes", path.display());
        return Err(Error::invalid(what));
    }
    Ok(bytes)
}

/// The bytes of `path`, or nothing if there is no such file.
pub(super) fn read_optional(path: &Path) -> Result<Option<Contents>> {
    if is_absent(path)? { Ok(None) } else { read(path).map(Some) }
}

/// The file that `choice` stands for, with its bytes.
pub(super) fn read_choice(choice: &Choice) -> Result<Option<(PathBuf, Contents)>> {
    match choice {
        Choice::Explicit(path) => Ok(Some((path.clone(), read(path)?))),
        Choice::FirstOf(paths) => {
            for path in paths {
                if let Some(bytes) = read_optional(path)? {
                    return Ok(Some((path.clone(), bytes)));
                }
            }
            Ok(None)
        }
    }
}

/// The names in folder `dir` that end in one of `endings`, sorted; nothing if there is no such
/// folder. At most `limit` names.
pub(super) fn list(dir: &Path, endings: &[&str], limit: usize) -> Result<Vec<PathBuf>> {
    if is_absent(dir)? {
        return Ok(Vec::new());
    }
    let listing = || format!("listing {}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).doing(listing)? {
        let path = entry.doing(listing)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if !ending.is_some_and(|ending| endings.contains(&ending)) || path.is_dir() {
            continue;
        }
        if paths.len() == limit {
            return Err(Error::invalid(format!("{} has more than {limit} files", dir.display())));
        }
        paths.push(path);
    }
    paths.sort();
    Ok(paths)
}

/// Whether there is nothing at `path`; an error where that cannot be told.
pub(super) fn is_absent(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(_) => Ok(false),
        Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => Ok(true),
        Err(error) => Err(Error::io(format!("reading {}", path.display()), error)),
    }
}

/// Replaces what `path` holds by what `edit` makes of it, unless `edit` returns nothing.
///
/// `edit` sees the old bytes, if there are any, and is called while other writers wait. Missing
/// folders are made for the owner only. Where `path` is a symbolic link, the file it leads to is
/// replaced and the link stays.
pub(super) fn replace(
    path: &Path,
    edit: impl FnOnce(Option<&[u8]>) -> Result<Option<Contents>>,
) -> Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let writing = || format!("writing {}", path.display());
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Err(Error::usage(format!("{} does not name a file", path.display())));
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).doing(writing)?;
    let lock = lock(&dir.join(format!(".{name}.lock")))?;
    let old = read_optional(&path)?;
    let Some(new) = edit(old.as_deref().map(Vec::as_slice))? else { return Ok(()) };
    // The name is fixed: under the lock whatever has it was left by a writer that died.
    let temporary = dir.join(format!(".{name}.new"));
    let done = write_new(&temporary, &new).and_then(|()| fs::rename(&temporary, &path));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done.doing(writing)?;
    File::open(dir).and_then(|dir| dir.sync_all()).doing(writing)?;
    drop(lock);
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != Io::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Takes the kernel lock on the file `path`; it is released when the handle is closed. The file
/// stays, since removing it would let two writers hold two different locks.
fn lock(path: &Path) -> Result<File> {
    let locking = || format!("locking {}", path.display());
    let flags = OFlags::NOFOLLOW.bits() as i32;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let file = options.open(path).doing(locking)?;
    let give_up = Instant::now() + LOCK_PATIENCE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let what = format!("{} is held by another program", path.display());
                return Err(Error::new(ErrorKind::Busy, what));
            }
            Err(error) => return Err(Error::io(locking(), error.into())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn reads_have_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        fs::write(&path, vec![b' '; MAX_FILE as usize]).unwrap();
        assert_eq!(read(&path).unwrap().len() as u64, MAX_FILE);
        fs::write(&path, vec![b' '; MAX_FILE as usize + 1]).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.chain().ends_with("/big is larger than 4194304 bytes"));
        let endless = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.kind(), ErrorKind::Invalid);
    }

    #[test]
    fn absent_is_not_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(read_optional(&dir.path().join("none")).unwrap().is_none());
        assert!(read_optional(&file.join("below")).unwrap().is_none());
        let error = read_optional(dir.path()).unwrap_err().chain();
        assert!(error.starts_with("reading /"), "{error}");
    }

    #[test]
    fn choices() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        fs::write(&b, "B").unwrap();
        let (path, bytes) =
            read_choice(&Choice::FirstOf(vec![a.clone(), b.clone()])).unwrap().unwrap();
        assert_eq!((path, bytes.as_slice()), (b, b"B".as_slice()));
        assert!(read_choice(&Choice::default()).unwrap().is_none());
        let error = read_choice(&Choice::Explicit(a)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn replacing_is_private_and_leaves_no_traces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/auth.json");
        let to = |text: &str| Ok(Some(Zeroizing::new(text.as_bytes().to_vec())));
        replace(&path, |old| {
            assert_eq!(old, None);
            to("one")
        })
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        // What a writer that died left behind does not stop the next one.
        fs::write(path.with_file_name(".auth.json.new"), "half").unwrap();
        replace(&path, |old| {
            assert_eq!(old, Some(b"one".as_slice()));
            to("two")
        })
        .unwrap();
        replace(&path, |_| Ok(None)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let folder = path.parent().unwrap();
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".auth.json.lock", "auth.json"]);
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let [real, link] = ["real", "link"].map(|name| dir.path().join(name));
        fs::write(&real, "old").unwrap();
        symlink(&real, &link).unwrap();
        replace(&link, |_| Ok(Some(Zeroizing::new(b"new".to_vec())))).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
    }

    #[test]
    fn writers_wait_for_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("count");
        let count = |old: Option<&[u8]>| {
            let mut bytes = old.unwrap_or_default().to_vec();
            bytes.push(b'x');
            Ok(Some(Zeroizing::new(bytes)))
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..5).for_each(|_| replace(&path, count).unwrap()));
            }
        });
        assert_eq!(fs::read(&path).unwrap().len(), 40);
    }
}
