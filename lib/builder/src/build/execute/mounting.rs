//! `RUN --mount`: what is mounted for one command. `binding` adds what contexts and images show.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::super::dockerfile::{MountKind, Sharing};
use super::super::graph::Mount;
use super::mounts::Mounted;
use super::options::Credentials;
use super::relay::Relay;
use super::run::cache_place;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::runtime::Sources;
use crate::runtime::options::{MountRequest, MountSource};
use crate::store::Writer;
use crate::sys::{self, Lock, LockMode};

/// So many builds use one private cache at a time.
const MAX_PRIVATE: usize = 100;
const SECRET_MODE: u32 = 0o400;
const CACHE_MODE: u32 = 0o755;
const AGENT_MODE: u32 = 0o600;

/// What a cache's directory begins with; only asked where it is not there yet.
pub(super) type Seed<'s> = &'s dyn Fn(&mut Mounting<'_>) -> Result<PathBuf>;

/// What a bind mount shows.
pub(super) struct Shown {
    pub(super) directory: PathBuf,
    /// The path of it below that directory.
    pub(super) part: String,
}

/// Everything that is mounted for one command; taken away when dropped.
pub(in crate::build) struct Mounting<'a> {
    writer: &'a Writer,
    /// The store's root, where caches are.
    root: &'a Path,
    credentials: &'a Credentials,
    pub(in crate::build) requests: Vec<MountRequest>,
    pub(in crate::build) sources: Sources,
    /// Variables that secrets and agents set.
    pub(in crate::build) env: Vec<String>,
    /// Memory for secrets.
    memory: Option<PathBuf>,
    pub(super) trees: Vec<Mounted>,
    locks: Vec<Lock>,
    relays: Vec<Relay>,
}

impl<'a> Mounting<'a> {
    pub(in crate::build) fn new(
        writer: &'a Writer,
        root: &'a Path,
        credentials: &'a Credentials,
    ) -> Result<Mounting<'a>> {
        let sources = Sources::in_directory(&writer.scratch()?);
        Ok(Mounting {
            writer,
            root,
            credentials,
            requests: Vec::new(),
            sources,
            env: Vec::new(),
            memory: None,
            trees: Vec::new(),
            locks: Vec::new(),
            relays: Vec::new(),
        })
    }

    /// Adds a mount that shows nothing of a context or an image.
    pub(in crate::build) fn add(&mut self, mount: &Mount) -> Result<()> {
        let what = mount.kind.name();
        let added = match mount.kind {
            _ if mount.from.is_some() => {
                Err(Error::unsupported("there is nothing that from= may name"))
            }
            MountKind::Bind => Err(Error::unsupported("there is no build context")),
            MountKind::Cache => self.cache(mount, None),
            MountKind::Tmpfs => {
                let source = MountSource::Tmpfs { size: mount.size, mode: mount.mode };
                self.request(mount.target.as_deref(), source, false)
            }
            MountKind::Secret => self.secret(mount),
            MountKind::Ssh => self.agent(mount),
        };
        added.doing(|| format!("mounting {what}"))
    }

    pub(super) fn request(
        &mut self,
        target: Option<&str>,
        source: MountSource,
        read_only: bool,
    ) -> Result<()> {
        let target = target.ok_or_else(|| Error::invalid("a mount without a target"))?;
        let request = MountRequest { read_only, ..MountRequest::new(target, source) };
        self.requests.push(request);
        Ok(())
    }

    /// Part of a directory, held by a handle.
    pub(super) fn part(&mut self, mount: &Mount, shown: &Shown, read_only: bool) -> Result<()> {
        let target = mount.target.clone().unwrap_or_default();
        let Shown { directory, part } = shown;
        self.sources.hold_part(&target, directory, part).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let part = mount.source.as_deref().unwrap_or("/");
                Error::not_found(format!("{part} is not there"))
            }
            _ => error,
        })?;
        let source = MountSource::Bind { path: directory.to_owned(), create: false };
        self.request(Some(&target), source, read_only)
    }

    /// A directory that outlives the command.
    pub(super) fn cache(&mut self, mount: &Mount, seed: Option<Seed<'_>>) -> Result<()> {
        let root = self.root;
        let mut turn = 0;
        let place = loop {
            let place = cache_place(root, mount, turn);
            let lock = place.with_extension("lock");
            let parent = place.parent().unwrap_or(root);
            let making = || format!("making directory {}", parent.display());
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).doing(making)?;
            match mount.sharing {
                Sharing::Shared => {
                    // Whoever tidies up leaves what is in use.
                    self.locks.push(Lock::acquire(&lock, LockMode::Shared)?);
                    break place;
                }
                Sharing::Locked => {
                    self.locks.push(Lock::acquire(&lock, LockMode::Exclusive)?);
                    break place;
                }
                Sharing::Private => match Lock::try_acquire(&lock, LockMode::Exclusive)? {
                    Some(held) => {
                        self.locks.push(held);
                        break place;
                    }
                    None if turn >= MAX_PRIVATE => {
                        return Err(Error::new(ErrorKind::Busy, "too many builds use this cache"));
                    }
                    None => turn += 1,
                },
            }
        };
        self.make_cache(mount, &place, seed)?;
        let source = MountSource::Bind { path: place, create: false };
        self.request(mount.target.as_deref(), source, mount.read_only)
    }

    /// Makes a cache's directory, with what it is seeded with.
    fn make_cache(&mut self, mount: &Mount, place: &Path, seed: Option<Seed<'_>>) -> Result<()> {
        if place.is_dir() {
            return Ok(());
        }
        let making = || format!("making directory {}", place.display());
        if let Some(seed) = seed {
            return publish(&seed(self)?, place);
        }
        let fresh = self.writer.scratch()?;
        let dir = sys::Dir::open(&fresh).doing(making)?;
        sys::set_owner(&dir, mount.uid.unwrap_or(0), mount.gid.unwrap_or(0)).doing(making)?;
        sys::set_mode(&dir, mount.mode.unwrap_or(CACHE_MODE)).doing(making)?;
        publish(&fresh, place)
    }

    fn secret(&mut self, mount: &Mount) -> Result<()> {
        let id = mount.id.clone().unwrap_or_default();
        let value = match self.credentials.secrets.get(&id) {
            Some(source) => source.read(&id)?,
            None if mount.required => {
                return Err(Error::not_found(format!("secret {id}: not found")));
            }
            None => {
                if let Some(name) = &mount.env {
                    self.env.push(format!("{name}="));
                }
                return Ok(());
            }
        };
        if let Some(name) = &mount.env {
            let text = String::from_utf8(value.clone()).map_err(|_| {
                Error::invalid(format!("secret {id} is no text and cannot be a variable"))
            })?;
            self.env.push(format!("{name}={text}"));
        }
        let Some(target) = &mount.target else { return Ok(()) };
        let path = self.in_memory(&value, mount.mode.unwrap_or(SECRET_MODE), mount)?;
        self.request(Some(target), MountSource::Bind { path, create: false }, true)
    }

    /// A file that never reaches a disk.
    fn in_memory(&mut self, content: &[u8], mode: u32, mount: &Mount) -> Result<PathBuf> {
        let memory = match &self.memory {
            Some(memory) => memory.clone(),
            None => {
                let place = self.writer.scratch()?;
                sys::mount_memory(&place).doing(|| "making memory for secrets")?;
                self.memory.insert(place).clone()
            }
        };
        let path = memory.join(self.requests.len().to_string());
        let writing = || "writing into memory";
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(&path).doing(writing)?;
        file.write_all(content).doing(writing)?;
        sys::set_owner(&file, mount.uid.unwrap_or(0), mount.gid.unwrap_or(0)).doing(writing)?;
        sys::set_mode(&file, mode).doing(writing)?;
        Ok(path)
    }

    fn agent(&mut self, mount: &Mount) -> Result<()> {
        let id = mount.id.clone().unwrap_or_default();
        let Some(path) = self.credentials.agents.get(&id).cloned() else {
            return match mount.required {
                true => Err(Error::not_found(format!("no SSH agent {id} was given (--ssh)"))),
                false => Ok(()),
            };
        };
        let target = mount.target.clone().unwrap_or_default();
        let owner = (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
        let mode = mount.mode.unwrap_or(AGENT_MODE);
        let relay = Relay::start(&path, &self.writer.scratch()?, owner, mode)?;
        let path = relay.path().to_owned();
        self.relays.push(relay);
        self.env.push(format!("SSH_AUTH_SOCK={target}"));
        self.request(Some(&target), MountSource::Bind { path, create: false }, false)
    }

    /// The script of a here-document with an interpreter of its own.
    pub(super) fn add_script(&mut self, name: &str, content: &str) -> Result<()> {
        let memory = Mount {
            kind: MountKind::Secret,
            from: None,
            source: None,
            target: None,
            read_only: true,
            size: None,
            id: None,
            sharing: Sharing::Shared,
            required: false,
            env: None,
            mode: None,
            uid: None,
            gid: None,
        };
        let path = self.in_memory(content.as_bytes(), 0o755, &memory)?;
        let target = format!("/dev/pipes/{name}");
        self.request(Some(&target), MountSource::Bind { path, create: false }, true)
    }
}

impl Drop for Mounting<'_> {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            let _ = sys::detach(memory);
        }
    }
}

/// Gives a directory its name, unless another build was quicker.
fn publish(fresh: &Path, place: &Path) -> Result<()> {
    match std::fs::rename(fresh, place) {
        Err(_) if place.is_dir() => Ok(()),
        other => other.doing(|| format!("making directory {}", place.display())),
    }
}
