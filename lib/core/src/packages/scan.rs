//! Files go in one by one, packages come out.

use std::io::{BufReader, Read, Write};

use serde::Serialize;

use super::found::Found;
use super::held::Held;
use super::text::Text;
use super::{Package, Release, apk, cargo, deb, elf, golang, npm, python, release, rpm, zip};
use crate::error::{IoContext, Result};
use crate::sys::{Dir, scratch_file};

/// Largest text that is read, line by line.
const MAX_TEXT: u64 = 64 << 20;
/// Largest JSON document that is read.
const MAX_JSON: u64 = 16 << 20;
/// Executables and databases up to this size are held in memory, larger ones in a file.
const MAX_HELD: u64 = 8 << 20;
/// Largest executable or database that is looked into.
const MAX_FILE: u64 = 4 << 30;
/// Most files that are noted as unread.
const MAX_UNREAD: usize = 1000;

/// Files that are known by their paths below the root; any of them may be behind links.
pub const DATABASES: [&str; 14] = [
    "etc/os-release",
    "usr/lib/os-release",
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/Packages",
    "usr/lib/sysimage/rpm/Packages.db",
    "usr/share/rpm/rpmdb.sqlite",
    "usr/share/rpm/Packages",
    "usr/share/rpm/Packages.db",
];
/// Directories whose files are databases.
pub const DATABASE_DIRS: [&str; 1] = ["var/lib/dpkg/status.d"];

/// What a scanner wants of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// A file with a meaning by its name.
    Database,
    /// It may be an executable that tells of itself.
    Executable,
}

/// Whether a scanner wants a file: by its path below the root, its permissions and size.
pub fn interest(path: &[u8], mode: u32, size: u64) -> Option<Interest> {
    if size == 0 {
        return None;
    }
    if kind(path).is_some() {
        return Some(Interest::Database);
    }
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let library = name.ends_with(b".so") || name.windows(4).any(|part| part == b".so.");
    (mode & 0o111 != 0 && size >= 4096 && !library).then_some(Interest::Executable)
}

/// What is known by its name.
#[derive(Clone, Copy)]
enum Kind {
    Release,
    Dpkg,
    Apk,
    Rpm,
    Python,
    PythonEgg,
    /// What SQLite has not yet put into the database beside it.
    RpmLog,
    NpmPackage,
    NpmLock,
    CargoLock,
}

impl Kind {
    fn is_egg(self) -> bool {
        matches!(self, Kind::PythonEgg)
    }
}

fn kind(path: &[u8]) -> Option<Kind> {
    Some(match path {
        b"etc/os-release" | b"usr/lib/os-release" => Kind::Release,
        b"var/lib/dpkg/status" => Kind::Dpkg,
        b"lib/apk/db/installed" | b"usr/lib/apk/db/installed" => Kind::Apk,
        b"var/lib/rpm/rpmdb.sqlite"
        | b"usr/lib/sysimage/rpm/rpmdb.sqlite"
        | b"var/lib/rpm/Packages"
        | b"var/lib/rpm/Packages.db"
        | b"usr/lib/sysimage/rpm/Packages"
        | b"usr/lib/sysimage/rpm/Packages.db"
        | b"usr/share/rpm/rpmdb.sqlite"
        | b"usr/share/rpm/Packages"
        | b"usr/share/rpm/Packages.db" => Kind::Rpm,
        _ => {
            let mut parts = path.rsplit(|&b| b == b'/');
            let (name, parent) = (parts.next()?, parts.next().unwrap_or_default());
            match name {
                b"METADATA" if parent.ends_with(b".dist-info") => Kind::Python,
                b"PKG-INFO" if parent.ends_with(b".egg-info") || parent == b"EGG-INFO" => {
                    Kind::Python
                }
                _ if name.ends_with(b".egg-info") => Kind::Python,
                _ if name.ends_with(b".egg") => Kind::PythonEgg,
                b"rpmdb.sqlite-wal" if parent == b"rpm" => Kind::RpmLog,
                b"package-lock.json" => Kind::NpmLock,
                b"Cargo.lock" => Kind::CargoLock,
                b"package.json" => {
                    let above = parts.next().unwrap_or_default();
                    let scope = above.starts_with(b"@");
                    let modules = if scope { parts.next().unwrap_or_default() } else { above };
                    return (modules == b"node_modules").then_some(Kind::NpmPackage);
                }
                _ if path.starts_with(b"var/lib/dpkg/status.d/")
                    && !name.ends_with(b".md5sums") =>
                {
                    Kind::Dpkg
                }
                _ => return None,
            }
        }
    })
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// The distribution, if the tree says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// The packages, sorted.
    pub packages: Vec<Package>,
    /// Databases that could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// Collects packages from files.
pub struct Scanner {
    /// Where large files lie while they are looked into.
    scratch: Option<Dir>,
    release: Option<Release>,
    found: Found,
    unread: Vec<String>,
}

impl Scanner {
    /// A scanner that keeps what is too large for memory in unnamed files in `scratch`; without,
    /// such files are noted as unread.
    pub fn new(scratch: Option<Dir>) -> Scanner {
        Scanner { scratch, release: None, found: Found::default(), unread: Vec::new() }
    }

    /// Looks at a file that [`interest`] wanted. It need not be read to its end.
    ///
    /// # Errors
    /// Only what reading `content` says.
    pub fn take(&mut self, path: &[u8], size: u64, content: &mut dyn Read) -> Result<()> {
        let shown = format!("/{}", String::from_utf8_lossy(path));
        let reading = || format!("reading {shown}");
        match kind(path) {
            None => self.executable(&shown, size, content),
            Some(kind @ (Kind::Rpm | Kind::PythonEgg)) => {
                self.database(kind, &shown, size, content)
            }
            Some(Kind::RpmLog) => {
                self.note(format!("{shown}: it holds changes to the database, which are not read"));
                Ok(())
            }
            Some(kind) => self.text(kind, &shown, size, content),
        }
        .doing(reading)
    }

    /// All that was found.
    pub fn finish(mut self) -> Findings {
        if self.found.is_full() {
            self.note(
                "there are more packages than fit into memory: the list is cut off".to_owned(),
            );
        }
        Findings {
            release: self.release,
            packages: self.found.into_packages(),
            unread: self.unread,
        }
    }

    fn note(&mut self, what: String) {
        if self.unread.len() < MAX_UNREAD {
            self.unread.push(what);
        }
    }

    fn note_damage(&mut self, path: &str) {
        self.note(format!("{path}: it is damaged or of an unknown form"));
    }

    /// Text and JSON, which is read as it comes.
    fn text(&mut self, kind: Kind, path: &str, size: u64, content: &mut dyn Read) -> Result<()> {
        let is_json = matches!(kind, Kind::NpmLock | Kind::NpmPackage);
        let most = if is_json { MAX_JSON } else { MAX_TEXT };
        if size > most {
            self.note(format!("{path}: larger than {most} bytes"));
            return Ok(());
        }
        let mut failed = Failed { content, error: None };
        let mut own = self.found.beside();
        let (found, lines) = (&mut own, Text::lines);
        let whole = match kind {
            Kind::Release => release::parse(lines(&mut failed)).map(|release| {
                // `/etc/os-release` counts, which is mostly a link to the other one.
                if self.release.is_none() || path.starts_with("/etc/") {
                    self.release = Some(release);
                }
                true
            }),
            Kind::Dpkg => deb::parse(lines(&mut failed), path, found).map(|()| true),
            Kind::Apk => apk::parse(lines(&mut failed), path, found).map(|()| true),
            Kind::Python => python::parse(lines(&mut failed), path, found).map(|()| true),
            Kind::CargoLock => cargo::lock(lines(&mut failed), path, found),
            Kind::NpmLock => {
                Ok(npm::lock(BufReader::new(Text::new(&mut failed)), path, found).is_some())
            }
            // Many a `package.json` is a fixture or a part of a package.
            Kind::NpmPackage => {
                let _ = npm::manifest(BufReader::new(Text::new(&mut failed)), path, found);
                Ok(true)
            }
            Kind::Rpm | Kind::RpmLog | Kind::PythonEgg => Ok(false),
        };
        // A layer that cannot be read says nothing of the file.
        let whole = match failed.error {
            Some(error) => Err(error),
            None => whole,
        };
        let whole = whole.doing(|| "reading")?;
        self.settle(path, own, whole);
        Ok(())
    }

    /// Keeps what a file holds, unless it is broken.
    fn settle(&mut self, path: &str, own: Found, whole: bool) {
        match whole {
            true => self.found.merge(own),
            false => self.note_damage(path),
        }
    }

    /// What must be read at any place.
    fn database(
        &mut self,
        kind: Kind,
        path: &str,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<()> {
        let mut start = Vec::new();
        Read::take(&mut *content, 4).read_to_end(&mut start).doing(|| "reading")?;
        if kind.is_egg() && !zip::is_zip(&start) {
            return Ok(());
        }
        let mut whole = start.as_slice().chain(content);
        let Some(held) = self.hold(path, size, &mut whole)? else { return Ok(()) };
        let mut own = self.found.beside();
        let read = match kind.is_egg() {
            true => python::egg(&held, path, &mut own),
            false => rpm::parse(&held, path, &mut own),
        };
        self.settle(path, own, read.is_some());
        Ok(())
    }

    fn executable(&mut self, path: &str, size: u64, content: &mut dyn Read) -> Result<()> {
        let mut start = Vec::new();
        Read::take(&mut *content, 4).read_to_end(&mut start).doing(|| "reading")?;
        if !elf::is_elf(&start) {
            return Ok(());
        }
        let mut whole = start.as_slice().chain(content);
        let Some(held) = self.hold(path, size, &mut whole)? else { return Ok(()) };
        let [go, rust] = elf::sections(&held, [".go.buildinfo", ".dep-v0"]);
        drop(held);
        if let Some(section) = go {
            let _ = golang::parse(&section, path, &mut self.found);
        }
        if let Some(section) = rust
            && cargo::audited(&section, path, &mut self.found).is_none()
        {
            self.note_damage(path);
        }
        Ok(())
    }

    /// Takes content in so that it can be read at any place; `None` if it is too large.
    fn hold(&mut self, path: &str, size: u64, content: &mut dyn Read) -> Result<Option<Held>> {
        if size <= MAX_HELD {
            let mut memory = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            content.take(MAX_HELD).read_to_end(&mut memory).doing(|| "reading")?;
            return Ok(Some(Held::Memory(memory)));
        }
        let Some(scratch) = self.scratch.as_ref().filter(|_| size <= MAX_FILE) else {
            self.note(format!("{path}: too large to look into"));
            return Ok(None);
        };
        let mut file = scratch_file(scratch).doing(|| "making a temporary file")?;
        let written = std::io::copy(&mut content.take(MAX_FILE), &mut file)
            .doing(|| "writing a temporary file")?;
        file.flush().doing(|| "writing a temporary file")?;
        Ok(Some(Held::File(file, written)))
    }
}

/// A reader that remembers that it failed, because parsers take that for a fault of the text.
struct Failed<'r> {
    content: &'r mut dyn Read,
    error: Option<std::io::Error>,
}

impl Read for Failed<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        match self.content.read(out) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                let shown = std::io::Error::new(error.kind(), "reading failed");
                self.error = Some(error);
                Err(shown)
            }
            other => other,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        let wanted = |path: &str, mode| interest(path.as_bytes(), mode, 5000);
        for path in [
            "var/lib/dpkg/status",
            "var/lib/dpkg/status.d/base",
            "lib/apk/db/installed",
            "usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA",
            "app/node_modules/left-pad/package.json",
            "app/node_modules/@types/node/package.json",
            "src/Cargo.lock",
        ] {
            assert_eq!(wanted(path, 0o644), Some(Interest::Database), "{path}");
        }
        for path in ["app/package.json", "METADATA", "var/lib/dpkg/status.d/base.md5sums"] {
            assert_eq!(wanted(path, 0o644), None, "{path}");
        }
        assert_eq!(wanted("usr/bin/x", 0o755), Some(Interest::Executable));
        assert_eq!(wanted("usr/lib/libx.so.1", 0o755), None);
    }

    #[test]
    fn damaged_files_are_noted() {
        let mut scanner = Scanner::new(None);
        for (path, content) in [
            ("package-lock.json", "{"),
            ("Cargo.lock", "["),
            ("var/lib/rpm/rpmdb.sqlite", "x"),
            ("x/a.egg", "PK\x03\x04"),
            ("x/nothing.egg", "text"),
        ] {
            let size = content.len() as u64;
            scanner.take(path.as_bytes(), size, &mut content.as_bytes()).unwrap();
        }
        let findings = scanner.finish();
        assert_eq!((findings.packages.len(), findings.unread.len()), (0, 4));
    }

    #[test]
    fn notes_of_damage_have_an_end() {
        let mut scanner = Scanner::new(None);
        for number in 0..MAX_UNREAD + 100 {
            let path = format!("{number}/Cargo.lock");
            scanner.take(path.as_bytes(), 1, &mut &b"["[..]).unwrap();
        }
        assert_eq!(scanner.finish().unread.len(), MAX_UNREAD);
    }

    #[test]
    fn every_database_is_known_by_its_path() {
        for path in DATABASES {
            assert_eq!(interest(path.as_bytes(), 0o644, 1), Some(Interest::Database), "{path}");
        }
        for dir in DATABASE_DIRS {
            let file = format!("{dir}/base");
            assert_eq!(interest(file.as_bytes(), 0o644, 1), Some(Interest::Database), "{file}");
        }
    }
}
