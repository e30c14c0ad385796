//! Finding a build's files: the Dockerfile and its `.dockerignore`.
//!
//! A link in a context may lead anywhere inside it and nowhere else; pipes and devices are not
//! opened; no file is read beyond its limit. The only part of the front end that touches a disk.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::dockerfile::MAX_FILE;
use super::dockerignore::{self, Ignore, MAX_IGNORE_FILE, SHARED_FILE};
use crate::blob::Decoder;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::{Ownership, UnpackOptions, Unpacker, WhiteoutForm};
use crate::sys::Root;

const BUFFER: usize = 256 << 10;

/// So many bytes tell an archive from a Dockerfile.
pub const START: u64 = 512;

/// Names a Dockerfile may have when none is given, the first that exists counts.
pub const DOCKERFILE_NAMES: [&str; 3] = ["Dockerfile", "dockerfile", "Containerfile"];

/// A directory to build from.
#[derive(Debug)]
pub struct Context {
    root: Root,
    path: PathBuf,
}

/// A Dockerfile that was found.
#[derive(Debug)]
pub struct Found {
    /// What messages call it.
    pub name: String,
    /// Its bytes; one more than [`MAX_FILE`] at most.
    pub bytes: Vec<u8>,
    /// What is left out of the context, by the file beside it.
    pub own_ignore: Option<Ignore>,
}

impl Context {
    /// Opens the directory.
    pub fn open(path: &Path) -> Result<Context> {
        let root = Root::open(path).doing(|| "opening the build context")?;
        Ok(Context { root, path: path.to_owned() })
    }

    /// Finds the Dockerfile in the context's root.
    pub fn dockerfile(&self) -> Result<Found> {
        for name in DOCKERFILE_NAMES {
            match self.root.open_file(name.as_bytes()) {
                Ok(file) => {
                    let shown = self.shown(Path::new(name));
                    return found(&self.root, name.as_bytes(), file, shown);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let shown = self.path.join(name);
                    return Err(Error::io(format!("opening {}", shown.display()), error));
                }
            }
        }
        let path = self.path.display();
        Err(Error::not_found(format!("{path} has no Dockerfile (name another file with -f)")))
    }

    /// Finds the Dockerfile that was named: from here, else from the context.
    pub fn named(&self, path: &Path) -> Result<Found> {
        match named(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_relative() => {
                let bytes = path.as_os_str().as_bytes();
                match self.root.open_file(bytes) {
                    Ok(file) => found(&self.root, bytes, file, self.shown(path)),
                    // Where people look first is what they should read of.
                    Err(_) => Err(error),
                }
            }
            other => other,
        }
    }

    /// Finds the Dockerfile that was named: in the context, which came from elsewhere, else from
    /// here.
    pub fn named_inside(&self, path: &Path) -> Result<Found> {
        let bytes = path.as_os_str().as_bytes();
        match self.root.open_file(bytes) {
            Ok(file) => found(&self.root, bytes, file, path.display().to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => named(path),
            Err(error) => Err(Error::io(format!("opening {}", path.display()), error)),
        }
    }

    /// What messages call a file of the context.
    fn shown(&self, path: &Path) -> String {
        match self.path == Path::new(".") {
            true => path.display().to_string(),
            false => self.path.join(path).display().to_string(),
        }
    }

    /// What is left out by the `.dockerignore` in the root.
    pub fn ignore(&self) -> Result<Option<Ignore>> {
        read_ignore(&self.root, SHARED_FILE.as_bytes(), &self.path.join(SHARED_FILE))
    }

    /// Whether something of this name is there.
    pub fn has(&self, path: &str) -> bool {
        let path = path.as_bytes();
        self.root.open_file(path).is_ok() || self.root.open_dir(path).is_ok()
    }
}

/// Opens a Dockerfile by its path. Links in it stay in its directory.
pub fn named(path: &Path) -> Result<Found> {
    let opening = || format!("opening {}", path.display());
    let Some(name) = path.file_name() else {
        return Err(Error::usage(format!("{} is no file", path.display())));
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let root = Root::open(parent.unwrap_or(Path::new("."))).doing(opening)?;
    let file = root.open_file(name.as_bytes()).doing(opening)?;
    found(&root, name.as_bytes(), file, path.display().to_string())
}

fn found(root: &Root, name: &[u8], file: File, shown: String) -> Result<Found> {
    let bytes = read(file, MAX_FILE).doing(|| format!("reading {shown}"))?;
    let own = dockerignore::own_file(&String::from_utf8_lossy(name));
    let own_shown = PathBuf::from(dockerignore::own_file(&shown));
    let own_ignore = read_ignore(root, own.as_bytes(), &own_shown)?;
    Ok(Found { name: shown, bytes, own_ignore })
}

/// What a file, which must be there, says to leave out.
pub fn ignore_file(path: &Path) -> Result<Ignore> {
    let missing = || Error::not_found(format!("there is no file {}", path.display()));
    let name = path.file_name().ok_or_else(missing)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let root = Root::open(parent.unwrap_or(Path::new(".")))?;
    read_ignore(&root, name.as_bytes(), path)?.ok_or_else(missing)
}

fn read_ignore(root: &Root, name: &[u8], shown: &Path) -> Result<Option<Ignore>> {
    let file = match root.open_file(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(format!("opening {}", shown.display()), error)),
    };
    let reading = || format!("reading {}", shown.display());
    let bytes = read(file, MAX_IGNORE_FILE).doing(reading)?;
    let ignore = Ignore::parse(&bytes)
        .map_err(|error| Error::caused(ErrorKind::Invalid, reading(), error))?;
    Ok(Some(ignore))
}

/// A file's bytes, one more than `most` at most: who reads them sees that it is too large.
fn read(file: File, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Unpacks a context in an archive, compressed or not, into an empty directory. Owners do not
/// matter: in an image the files are root's.
pub fn unpack(archive: impl Read, into: &Path) -> Result<()> {
    let unpacking = || "unpacking the build context";
    let options = UnpackOptions {
        whiteouts: WhiteoutForm::Apply,
        ownership: Ownership::Current,
        ..UnpackOptions::default()
    };
    let decoder = Decoder::new(archive).doing(unpacking)?;
    let unpacker = Unpacker::new(Root::open(into)?, options)?;
    unpacker.unpack(BufReader::with_capacity(BUFFER, decoder)).doing(unpacking).map(drop)
}

/// Whether these bytes start a tar archive, compressed or not.
pub fn is_archive(start: &[u8]) -> bool {
    let magic: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    magic.iter().any(|magic| start.starts_with(magic))
        || start.get(257..262).is_some_and(|magic| magic == b"ustar")
}

/// Reads a Dockerfile from a stream, one byte more than its limit at most.
pub fn from_stream(stream: impl Read) -> Result<Found> {
    let mut bytes = Vec::new();
    stream
        .take(MAX_FILE as u64 + 1)
        .read_to_end(&mut bytes)
        .doing(|| "reading the Dockerfile from standard input")?;
    Ok(Found { name: "-".to_owned(), bytes, own_ignore: None })
}

/// The real path of a directory below another: links in it lead nowhere else.
pub(in crate::build) fn below(place: &Path, directory: &str) -> Result<PathBuf> {
    let root = Root::open(place)?;
    let walked = root.walk(directory.as_bytes(), &mut |gap| {
        Err(Error::not_found(format!("there is no directory /{}", gap.path.escape_ascii())))
    })?;
    Ok(place.join(std::ffi::OsStr::from_bytes(&walked.path)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let open = || Context::open(dir.path()).unwrap();
        let error = open().dockerfile().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.chain().ends_with("has no Dockerfile (name another file with -f)"));
        write("Containerfile", "c");
        assert_eq!(open().dockerfile().unwrap().bytes, b"c");
        write("Dockerfile", "d");
        write("Dockerfile.dockerignore", "x");
        write(".dockerignore", "y\nz");
        let found = open().dockerfile().unwrap();
        assert_eq!(
            (found.bytes.as_slice(), found.own_ignore.unwrap().patterns().len()),
            (&b"d"[..], 1)
        );
        assert_eq!(open().ignore().unwrap().unwrap().patterns().len(), 2);
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        write("sub/Dockerfile2", "2");
        assert_eq!(open().named(Path::new("sub/Dockerfile2")).unwrap().bytes, b"2");
        assert!(
            open()
                .named(Path::new("sub/none"))
                .unwrap_err()
                .chain()
                .starts_with("opening sub/none")
        );
        assert!(open().has("sub") && open().has(".dockerignore") && !open().has("nothing"));
    }

    #[test]
    fn hostile_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("context")).unwrap();
        std::fs::write(dir.path().join("outside"), "FROM x").unwrap();
        let context = dir.path().join("context");
        symlink("../outside", context.join("Dockerfile")).unwrap();
        let opened = Context::open(&context).unwrap();
        assert_eq!(opened.dockerfile().unwrap_err().kind(), ErrorKind::NotFound);
        assert!(named(&context.join("Dockerfile")).is_err());
        std::fs::remove_file(context.join("Dockerfile")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(context.join("Dockerfile")).status();
        assert!(made.unwrap().success());
        assert!(opened.dockerfile().unwrap_err().chain().contains("opening"));
        std::fs::write(context.join("Other"), "FROM x").unwrap();
        std::fs::write(context.join("Other.dockerignore"), "!").unwrap();
        let error = opened.named(&context.join("Other")).unwrap_err();
        assert!(error.chain().ends_with("line 1: illegal exclusion pattern: \"!\""), "{error:?}");
    }
}
