//! Whether a container's program can be started, before a runtime tries.
//!
//! Owns the search along `PATH` inside the root and the reading of ELF headers and `#!` lines.
//! Promise: a program that is missing or cannot run is told with its reason and Docker's exit code
//! (127 or 126), without reading a runtime's prose; where mounts hide what would be found, nothing
//! is claimed before the runtime has failed. Reads a few hundred bytes of the image and runs nothing.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use oci_spec::runtime::{LinuxIdMapping, Spec};

use super::config::INIT_TARGET;
use super::flags::clean;
use super::host::HostFacts;
use super::mounted::Mounted;
use super::view;
use crate::sys::{Meta, Root};

/// The image's program cannot be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CannotStart {
    /// 127: there is no such program. 126: it is there and cannot be run.
    pub code: u8,
    /// Why, for people.
    pub reason: String,
}

impl fmt::Display for CannotStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for CannotStart {}

impl CannotStart {
    fn missing(reason: String) -> CannotStart {
        CannotStart { code: 127, reason }
    }

    fn unusable(reason: String) -> CannotStart {
        CannotStart { code: 126, reason }
    }
}

/// Most interpreters of interpreters.
const MAX_DEPTH: u32 = 4;
/// What the kernel reads of a program to know its kind.
const HEADER: usize = 256;
const MAX_SEGMENTS: u64 = 512;
const MAX_PATH: u64 = 4096;

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Into the root alone: what may be in a mount is taken to be fine.
    InRoot,
    /// Through mounts as well; for when the runtime has failed, since what is in them may change.
    ThroughMounts,
}

/// Looks for the program of `spec` in the root. `runs_foreign` tells whether the host has an
/// emulator registered for a program that begins with these bytes.
pub fn find_program(
    root: &Root,
    spec: &Spec,
    host: &HostFacts,
    look: Look,
    runs_foreign: &dyn Fn(&[u8]) -> bool,
) -> Result<(), CannotStart> {
    let Some(process) = spec.process() else { return Ok(()) };
    let args = process.args().as_deref().unwrap_or_default();
    let program = match args {
        [init, _, program, ..] if init == INIT_TARGET => program,
        [program, ..] => program,
        [] => return Ok(()),
    };
    let user = process.user();
    let linux = spec.linux().as_ref();
    let users = linux.and_then(|linux| linux.uid_mappings().as_deref());
    let groups = linux.and_then(|linux| linux.gid_mappings().as_deref());
    let own_groups = user.additional_gids().iter().flatten();
    let mounts = Mounted::of(spec);
    let search = Search {
        root,
        is_open: look == Look::ThroughMounts || !mounts.has_foreign(),
        look,
        mounts,
        architecture: &host.architecture,
        is_root: user.uid() == 0,
        uid: on_host(users, user.uid()),
        groups: own_groups.filter_map(|gid| on_host(groups, *gid)).collect(),
        cwd: process.cwd().to_string_lossy().into_owned(),
        runs_foreign,
    };
    let path = process.env().iter().flatten().find_map(|variable| variable.strip_prefix("PATH="));
    match search.program(program, path.unwrap_or_default()) {
        // A link of the image may lead into a mount, where it would be found.
        Err(Finding::Missing(_)) if !search.is_open => Ok(()),
        Ok(()) | Err(Finding::Hidden) => Ok(()),
        Err(Finding::Missing(reason)) => Err(CannotStart::missing(reason)),
        Err(Finding::Unusable(reason)) => Err(CannotStart::unusable(reason)),
    }
}

/// The ID on the host of an ID in the container; `None` without one.
fn on_host(mappings: Option<&[LinuxIdMapping]>, id: u32) -> Option<u32> {
    let Some(mappings) = mappings else { return Some(id) };
    mappings.iter().find_map(|mapping| {
        let at = id.checked_sub(mapping.container_id()).filter(|at| *at < mapping.size())?;
        mapping.host_id().checked_add(at)
    })
}

/// Why a program was not found to be fine.
enum Finding {
    Missing(String),
    Unusable(String),
    /// A mount will be there, so that the image's files tell nothing.
    Hidden,
}

struct Search<'a> {
    root: &'a Root,
    mounts: Mounted,
    look: Look,
    /// Whether what was not found is not there.
    is_open: bool,
    architecture: &'a str,
    is_root: bool,
    /// As files have them.
    uid: Option<u32>,
    groups: Vec<u32>,
    cwd: String,
    runs_foreign: &'a dyn Fn(&[u8]) -> bool,
}

impl Search<'_> {
    fn program(&self, name: &str, path: &str) -> Result<(), Finding> {
        if name.is_empty() {
            return Err(Finding::Missing("the name of the program is empty".to_owned()));
        }
        if name.contains('/') {
            let file =
                clean(&format!("{}/{name}", if name.starts_with('/') { "" } else { &self.cwd }));
            return self.file(&file, name, 0);
        }
        let mut worst =
            Finding::Missing(format!("exec: {name:?}: executable file not found in $PATH"));
        for directory in path.split(':') {
            // An empty part means the working directory.
            let directory = if directory.starts_with('/') { directory } else { &self.cwd };
            let file = clean(&format!("{directory}/{name}"));
            match self.file(&file, name, 0) {
                Err(Finding::Missing(_)) => {}
                // A later directory may have one that is not a directory, or that one may run.
                Err(other @ Finding::Unusable(_)) if !self.is_program(&file) => worst = other,
                done => return done,
            }
        }
        Err(worst)
    }

    /// Whether a search along `PATH` ends here: a file with permission, whatever is in it.
    fn is_program(&self, path: &str) -> bool {
        self.open(path).and_then(|file| Meta::of(&file)).is_ok_and(|meta| self.may_run(&meta))
    }

    /// Fails with [`io::ErrorKind::Unsupported`] where nobody can look.
    fn open(&self, path: &str) -> io::Result<File> {
        match self.look {
            Look::ThroughMounts => view::open(self.root, &self.mounts, path),
            Look::InRoot if self.mounts.at(path).is_some_and(|mount| !mount.is_ours) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Look::InRoot => self.root.open_file(path.as_bytes()),
        }
    }

    /// Judges the file at an absolute path; `name` is how people called it.
    fn file(&self, path: &str, name: &str, depth: u32) -> Result<(), Finding> {
        let unusable = |why: &str| Finding::Unusable(format!("exec: {name:?}: {why}"));
        let file = match self.open(path) {
            Ok(file) => file,
            Err(error) => {
                return Err(match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                        Finding::Missing(format!("exec: {name:?}: no such file or directory"))
                    }
                    io::ErrorKind::IsADirectory => unusable("is a directory"),
                    // The last: another file system is mounted within the mount.
                    io::ErrorKind::PermissionDenied
                    | io::ErrorKind::Unsupported
                    | io::ErrorKind::CrossesDevices => Finding::Hidden,
                    _ => unusable(&error.to_string()),
                });
            }
        };
        let meta = Meta::of(&file).map_err(|error| unusable(&error.to_string()))?;
        if !self.may_run(&meta) {
            return Err(unusable("permission denied"));
        }
        let mut header = Vec::with_capacity(HEADER);
        io::Read::read_to_end(&mut io::Read::take(&file, HEADER as u64), &mut header)
            .map_err(|error| unusable(&error.to_string()))?;
        match Format::of(&header) {
            Format::Elf(elf) => self.elf(&file, &elf, &header, name, depth),
            Format::Script(interpreter) => self.interpreter(interpreter, name, depth),
            Format::Other if (self.runs_foreign)(&header) => Ok(()),
            Format::Other => Err(unusable("exec format error: neither a program nor a script")),
        }
    }

    fn elf(
        &self,
        file: &File,
        elf: &Elf,
        header: &[u8],
        name: &str,
        depth: u32,
    ) -> Result<(), Finding> {
        if !runs_on(elf.architecture, self.architecture) {
            return match (self.runs_foreign)(header) {
                true => Ok(()),
                false => Err(Finding::Unusable(format!(
                    "exec: {name:?}: exec format error: built for {}, this host is {}",
                    elf.architecture, self.architecture
                ))),
            };
        }
        match elf.interpreter(file) {
            Some(interpreter) => self.interpreter(Some(interpreter), name, depth),
            None => Ok(()),
        }
    }

    /// What must be there to run `name`: a script's shell, a program's loader.
    fn interpreter(
        &self,
        interpreter: Option<String>,
        name: &str,
        depth: u32,
    ) -> Result<(), Finding> {
        let unusable = |why: String| Finding::Unusable(format!("exec: {name:?}: {why}"));
        let Some(interpreter) = interpreter else {
            return Err(unusable(
                "exec format error: the interpreter after #! is not a path".into(),
            ));
        };
        if depth == MAX_DEPTH {
            return Err(unusable("too many levels of interpreters".into()));
        }
        let from_cwd = if interpreter.starts_with('/') { "" } else { &self.cwd };
        let path = clean(&format!("{from_cwd}/{interpreter}"));
        match self.file(&path, &interpreter, depth + 1) {
            Err(Finding::Missing(_)) if self.is_open => {
                Err(unusable(format!("its interpreter {interpreter} is missing")))
            }
            Err(Finding::Missing(_)) => Err(Finding::Hidden),
            Err(Finding::Unusable(why)) => Err(unusable(format!("its interpreter: {why}"))),
            other => other,
        }
    }

    fn may_run(&self, meta: &Meta) -> bool {
        match self.uid {
            _ if self.is_root => meta.mode & 0o111 != 0,
            Some(uid) if uid == meta.uid => meta.mode & 0o100 != 0,
            _ if self.groups.contains(&meta.gid) => meta.mode & 0o010 != 0,
            _ => meta.mode & 0o001 != 0,
        }
    }
}

/// What a file's first bytes say.
enum Format {
    Elf(Elf),
    /// The interpreter; `None` when the line cannot be read.
    Script(Option<String>),
    Other,
}

struct Elf {
    architecture: &'static str,
    little: bool,
    wide: bool,
    table: u64,
    entry_size: u64,
    entries: u64,
}

impl Format {
    fn of(header: &[u8]) -> Format {
        if let Some(rest) = header.strip_prefix(b"#!") {
            return Format::Script(script_interpreter(rest));
        }
        Elf::parse(header).map_or(Format::Other, Format::Elf)
    }
}

fn script_interpreter(rest: &[u8]) -> Option<String> {
    let line = rest.split(|&b| b == b'\n').next()?.trim_ascii();
    let word = line.split(|b| b" \t".contains(b)).next()?;
    let word = std::str::from_utf8(word).ok()?.trim_end_matches('\r');
    (!word.is_empty() && !word.contains('\0')).then(|| word.to_owned())
}

impl Elf {
    /// The header of an ELF file (System V gABI, "ELF header").
    fn parse(header: &[u8]) -> Option<Elf> {
        let rest = header.strip_prefix(b"\x7fELF")?;
        let wide = *rest.first()? == 2;
        let little = *rest.get(1)? == 1;
        let number = |at: usize, size: usize| number(header.get(at..at + size)?, little);
        let (table, entry_size, entries) = match wide {
            true => (number(32, 8)?, number(54, 2)?, number(56, 2)?),
            false => (number(28, 4)?, number(42, 2)?, number(44, 2)?),
        };
        let architecture = architecture_of(number(18, 2)?, little, wide);
        Some(Elf { architecture, little, wide, table, entry_size, entries })
    }

    /// The loader that the program asks for, when it asks for one.
    fn interpreter(&self, file: &File) -> Option<String> {
        const INTERPRETER: u64 = 3;
        let least = if self.wide { 56 } else { 32 };
        for index in 0..self.entries.min(MAX_SEGMENTS) {
            let mut entry = [0; 56];
            let entry = entry.get_mut(..least)?;
            let at = self.table.checked_add(index.checked_mul(self.entry_size)?)?;
            file.read_exact_at(entry, at).ok()?;
            let number = |at: usize, size: usize| number(entry.get(at..at + size)?, self.little);
            if number(0, 4)? != INTERPRETER {
                continue;
            }
            let (offset, size) = match self.wide {
                true => (number(8, 8)?, number(32, 8)?),
                false => (number(4, 4)?, number(16, 4)?),
            };
            let mut path = vec![0; usize::try_from(size.min(MAX_PATH)).ok()?];
            file.read_exact_at(&mut path, offset).ok()?;
            let end = path.iter().position(|&b| b == 0).unwrap_or(path.len());
            path.truncate(end);
            return String::from_utf8(path).ok().filter(|path| !path.is_empty());
        }
        None
    }
}

fn number(bytes: &[u8], little: bool) -> Option<u64> {
    let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    Some(match little {
        true => bytes.iter().rev().fold(0, fold),
        false => bytes.iter().fold(0, fold),
    })
}

/// Go's name of an ELF machine number.
fn architecture_of(machine: u64, little: bool, wide: bool) -> &'static str {
    match (machine, little, wide) {
        (3, ..) => "386",
        (62, ..) => "amd64",
        (40, ..) => "arm",
        (183, ..) => "arm64",
        (243, _, true) => "riscv64",
        (22, ..) => "s390x",
        (21, true, _) => "ppc64le",
        (21, false, _) => "ppc64",
        (258, ..) => "loong64",
        (8, true, true) => "mips64le",
        (8, false, true) => "mips64",
        (8, true, false) => "mipsle",
        (8, false, false) => "mips",
        _ => "another processor",
    }
}

fn runs_on(program: &str, host: &str) -> bool {
    program == host || matches!((program, host), ("386", "amd64") | ("arm", "arm64"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
