//! Files go in one by one, packages come out.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;

use serde::Serialize;

use super::{Package, Release, apk, cargo, deb, elf, golang, npm, python, release, rpm};
use crate::error::{IoContext, Result};
use crate::sys::{Dir, scratch_file};

/// Largest text that is read into memory.
const MAX_TEXT: u64 = 64 << 20;
/// Executables and databases up to this size are held in memory, larger ones in a file.
const MAX_HELD: u64 = 8 << 20;
/// Largest executable or database that is looked into.
const MAX_FILE: u64 = 4 << 30;
/// Most packages.
const MAX_PACKAGES: usize = 500_000;

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
    NpmPackage,
    NpmLock,
    CargoLock,
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
        | b"usr/lib/sysimage/rpm/Packages.db" => Kind::Rpm,
        _ => {
            let mut parts = path.rsplit(|&b| b == b'/');
            let (name, parent) = (parts.next()?, parts.next().unwrap_or_default());
            match name {
                b"METADATA" if parent.ends_with(b".dist-info") => Kind::Python,
                b"PKG-INFO" if parent.ends_with(b".egg-info") => Kind::Python,
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

/// Bytes at any place of a file.
pub(super) trait At {
    /// Exactly so many bytes; `None` where there are fewer.
    fn at(&self, offset: u64, length: u64) -> Option<Vec<u8>>;
}

/// Content that can be read at any place.
struct Held {
    memory: Vec<u8>,
    file: Option<File>,
}

impl At for Held {
    fn at(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        let Some(file) = &self.file else {
            let start = usize::try_from(offset).ok()?;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            return self.memory.get(start..end).map(<[u8]>::to_vec);
        };
        // A length that lies must not cost memory.
        let size = file.metadata().ok()?.len();
        if offset.checked_add(length)? > size {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }
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
    packages: BTreeSet<Package>,
    unread: Vec<String>,
}

impl Scanner {
    /// A scanner that keeps what is too large for memory in unnamed files in `scratch`; without,
    /// such files are noted as unread.
    pub fn new(scratch: Option<Dir>) -> Scanner {
        Scanner { scratch, release: None, packages: BTreeSet::new(), unread: Vec::new() }
    }

    /// Looks at a file that [`interest`] wanted. It need not be read to its end.
    ///
    /// # Errors
    /// Only what reading `content` says.
    pub fn take(&mut self, path: &[u8], size: u64, content: &mut dyn Read) -> Result<()> {
        let shown = format!("/{}", String::from_utf8_lossy(path));
        let reading = || format!("reading {shown}");
        let Some(kind) = kind(path) else {
            return self.executable(&shown, size, content).doing(reading);
        };
        match kind {
            Kind::Rpm => {
                let Some(held) = self.hold(&shown, size, content).doing(reading)? else {
                    return Ok(());
                };
                self.add(&shown, rpm::parse(&held, &shown));
                return Ok(());
            }
            _ if size > MAX_TEXT => {
                self.unread.push(format!("{shown}: larger than {MAX_TEXT} bytes"));
                return Ok(());
            }
            _ => {}
        }
        let mut bytes = Vec::new();
        content.take(MAX_TEXT).read_to_end(&mut bytes).doing(reading)?;
        let text = String::from_utf8_lossy(&bytes);
        let found = match kind {
            Kind::Release => {
                // `/etc/os-release` counts, which is mostly a link to the other one.
                if self.release.is_none() || path.starts_with(b"etc/") {
                    self.release = Some(release::parse(&text));
                }
                return Ok(());
            }
            Kind::Dpkg => Some(deb::parse(&text, &shown)),
            Kind::Apk => Some(apk::parse(&text, &shown)),
            Kind::Python => python::parse(&text, &shown).map(|package| vec![package]),
            // Many a `package.json` is a fixture or a part of a package.
            Kind::NpmPackage => Some(npm::manifest(&bytes, &shown).into_iter().collect()),
            Kind::NpmLock => npm::lock(&bytes, &shown),
            Kind::CargoLock => cargo::lock(&text, &shown),
            Kind::Rpm => None,
        };
        self.add(&shown, found);
        Ok(())
    }

    /// All that was found.
    pub fn finish(self) -> Findings {
        Findings {
            release: self.release,
            packages: self.packages.into_iter().collect(),
            unread: self.unread,
        }
    }

    fn add(&mut self, path: &str, found: Option<Vec<Package>>) {
        let Some(found) = found else {
            self.unread.push(format!("{path}: it is damaged or of an unknown form"));
            return;
        };
        for package in found {
            if self.packages.len() < MAX_PACKAGES {
                self.packages.insert(package);
            }
        }
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
        if let Some(modules) = go.and_then(|section| golang::parse(&section, path)) {
            self.add(path, Some(modules));
        }
        if let Some(section) = rust {
            self.add(path, cargo::audited(&section, path));
        }
        Ok(())
    }

    /// Takes content in so that it can be read at any place; `None` if it is too large.
    fn hold(&mut self, path: &str, size: u64, content: &mut dyn Read) -> Result<Option<Held>> {
        if size <= MAX_HELD {
            let mut memory = Vec::new();
            content.take(MAX_HELD).read_to_end(&mut memory).doing(|| "reading")?;
            return Ok(Some(Held { memory, file: None }));
        }
        let Some(scratch) = self.scratch.as_ref().filter(|_| size <= MAX_FILE) else {
            self.unread.push(format!("{path}: too large to look into"));
            return Ok(None);
        };
        let mut file = scratch_file(scratch).doing(|| "making a temporary file")?;
        std::io::copy(&mut content.take(MAX_FILE), &mut file)
            .doing(|| "writing a temporary file")?;
        file.flush().doing(|| "writing a temporary file")?;
        Ok(Some(Held { memory: Vec::new(), file: Some(file) }))
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
        for (path, content) in
            [("package-lock.json", "{"), ("Cargo.lock", "["), ("var/lib/rpm/rpmdb.sqlite", "x")]
        {
            let size = content.len() as u64;
            scanner.take(path.as_bytes(), size, &mut content.as_bytes()).unwrap();
        }
        let findings = scanner.finish();
        assert_eq!((findings.packages.len(), findings.unread.len()), (0, 3));
    }
}
