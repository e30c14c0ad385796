//! `RUN --mount`: what is mounted for one command.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::super::cache::Key;
use super::super::dockerfile::{MountKind, Sharing};
use super::super::dockerignore::Ignore;
use super::super::graph::{Input, Mount};
use super::super::transfer::{Layout, Owner, Pattern, Placement, select, write};
use super::inputs::Files;
use super::mounts::Mounted;
use super::options::RunSettings;
use super::run::cache_place;
use super::{Builder, Context, locked};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::{UnpackOptions, Unpacker, WhiteoutForm};
use crate::runtime::Sources;
use crate::runtime::options::{MountRequest, MountSource};
use crate::sys::{self, Lock, LockMode, Root, Time};

/// So many builds use one private cache at a time.
const MAX_PRIVATE: usize = 100;
const SECRET_MODE: u32 = 0o400;
const CACHE_MODE: u32 = 0o755;

/// Everything that is mounted for one command; taken away when dropped.
pub(super) struct Mounting<'b, 'a> {
    builder: &'b Builder<'a>,
    settings: &'a RunSettings,
    pub(super) requests: Vec<MountRequest>,
    pub(super) sources: Sources,
    /// Variables that secrets and agents set.
    pub(super) env: Vec<String>,
    /// Memory for secrets.
    memory: Option<PathBuf>,
    trees: Vec<Mounted>,
    locks: Vec<Lock>,
}

impl<'b, 'a> Mounting<'b, 'a> {
    pub(super) fn new(
        builder: &'b Builder<'a>,
        settings: &'a RunSettings,
    ) -> Result<Mounting<'b, 'a>> {
        let sources = Sources::in_directory(&builder.writer.scratch()?);
        Ok(Mounting {
            builder,
            settings,
            requests: Vec::new(),
            sources,
            env: Vec::new(),
            memory: None,
            trees: Vec::new(),
            locks: Vec::new(),
        })
    }

    pub(super) fn add(&mut self, mount: &Mount) -> Result<()> {
        let what = mount.kind.name();
        self.add_one(mount).doing(|| format!("mounting {what}"))
    }

    fn add_one(&mut self, mount: &Mount) -> Result<()> {
        match mount.kind {
            MountKind::Bind => self.bind(mount),
            MountKind::Cache => self.cache(mount),
            MountKind::Tmpfs => {
                let source = MountSource::Tmpfs { size: mount.size, mode: mount.mode };
                self.request(mount.target.as_deref(), source, false)
            }
            MountKind::Secret => self.secret(mount),
            MountKind::Ssh => self.agent(mount),
        }
    }

    fn request(
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
    fn part(&mut self, mount: &Mount, directory: &Path, read_only: bool) -> Result<()> {
        let target = mount.target.clone().unwrap_or_default();
        let part = mount.source.as_deref().unwrap_or("/");
        self.sources.hold_part(&target, directory, part).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::not_found(format!("{part} is not there")),
            _ => error,
        })?;
        let source = MountSource::Bind { path: directory.to_owned(), create: false };
        self.request(Some(&target), source, read_only)
    }

    fn bind(&mut self, mount: &Mount) -> Result<()> {
        let from = mount.from.as_ref().unwrap_or(&Input::Context);
        let directory = match self.builder.directory(from) {
            Some(context) => self.context(context)?,
            None if *from == Input::Context => {
                return Err(Error::not_found("there is no build context"));
            }
            None => {
                let draft = self.builder.source_draft(from)?;
                let mounted = self.builder.mounted(&draft)?;
                let path = mounted.path().to_owned();
                self.trees.push(mounted);
                path
            }
        };
        if mount.read_only {
            return self.part(mount, &directory, true);
        }
        // What is written is thrown away.
        let part = mount.source.as_deref().unwrap_or("/");
        let root = Root::open(&directory)?;
        if root.open_dir(part.as_bytes()).is_err() {
            return self.part(mount, &directory, true);
        }
        let part = super::super::dockerignore::clean(&format!("/{part}"));
        let inner = directory.join(part.trim_start_matches('/'));
        let mounted = self.builder.disposable(&inner)?;
        let path = mounted.path().to_owned();
        self.trees.push(mounted);
        self.part(&Mount { source: None, ..mount.clone() }, &path, false)
    }

    /// The context as steps see it: without what is left out of it.
    fn context(&self, context: &Context) -> Result<PathBuf> {
        let dir = &context.dir;
        if dir.ignore.patterns().is_empty() {
            return std::fs::canonicalize(&dir.path).doing(|| "opening the build context");
        }
        let all = Pattern { text: ".", exclude: &Ignore::default(), parents: false };
        let chosen = select(&context.origin, &all)?.unwrap_or_default();
        let owner = Some(Owner::default());
        let placement = Placement { view: None, owner, chmod: None, made_at: Time::default() };
        let mut layout = Layout::new(placement);
        for chosen in &chosen {
            layout.place(0, chosen, b"", true, false)?;
        }
        let scratch = self.builder.writer.scratch()?;
        let archive = scratch.join("archive");
        let writing = || format!("writing {}", archive.display());
        let file = std::fs::File::create_new(&archive).doing(writing)?;
        write(&layout, &[&context.origin], None, file, None)?;
        let tree = self.builder.writer.scratch()?;
        let options = UnpackOptions { whiteouts: WhiteoutForm::Apply, ..UnpackOptions::default() };
        let file = std::fs::File::open(&archive).doing(writing)?;
        Unpacker::new(Root::open(&tree)?, options)?.unpack(std::io::BufReader::new(file))?;
        std::fs::remove_file(&archive).doing(writing)?;
        Ok(tree)
    }

    fn cache(&mut self, mount: &Mount) -> Result<()> {
        let root = self.builder.store.root();
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
        self.make_cache(mount, &place)?;
        let source = MountSource::Bind { path: place, create: false };
        self.request(mount.target.as_deref(), source, mount.read_only)
    }

    /// Makes a cache's directory, with what it is seeded with.
    fn make_cache(&mut self, mount: &Mount, place: &Path) -> Result<()> {
        if place.is_dir() {
            return Ok(());
        }
        let making = || format!("making directory {}", place.display());
        if let Some(from) = &mount.from {
            return self.seed_cache(mount, from, place);
        }
        let fresh = self.builder.writer.scratch()?;
        let dir = sys::Dir::open(&fresh).doing(making)?;
        sys::set_owner(&dir, mount.uid.unwrap_or(0), mount.gid.unwrap_or(0)).doing(making)?;
        sys::set_mode(&dir, mount.mode.unwrap_or(CACHE_MODE)).doing(making)?;
        publish(&fresh, place)
    }

    fn seed_cache(&mut self, mount: &Mount, from: &Input, place: &Path) -> Result<()> {
        let seed = match self.builder.directory(from) {
            Some(context) => self.context(context)?,
            None => {
                let mounted = self.builder.mounted(&*self.builder.source_draft(from)?)?;
                let path = mounted.path().to_owned();
                self.trees.push(mounted);
                path
            }
        };
        let part = mount.source.as_deref().unwrap_or("/");
        let part = seed.join(super::super::dockerignore::clean(part).trim_start_matches('/'));
        let scratch = self.builder.writer.scratch()?;
        let copied = crate::snapshot::Snapshot::prepare(
            &[part],
            &scratch.join("seed"),
            &crate::snapshot::SnapshotOptions {
                method: Some(crate::snapshot::Method::Copy),
                ..Default::default()
            },
        )?;
        let tree = copied
            .copy()
            .map(Path::to_owned)
            .ok_or_else(|| Error::new(ErrorKind::Failed, "a copy without a tree"))?;
        publish(&tree, place)
    }

    fn secret(&mut self, mount: &Mount) -> Result<()> {
        let id = mount.id.clone().unwrap_or_default();
        let value = match self.settings.secrets.get(&id) {
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
                let place = self.builder.writer.scratch()?;
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
        let Some(path) = self.settings.agents.get(&id).cloned() else {
            return match mount.required {
                true => Err(Error::not_found(format!("no SSH agent {id} was given (--ssh)"))),
                false => Ok(()),
            };
        };
        let target = mount.target.clone().unwrap_or_default();
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

impl Drop for Mounting<'_, '_> {
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

impl Builder<'_> {
    /// Adds the content that a bind mount of the context shows to a key.
    pub(super) fn context_key(
        &self,
        key: &mut Key,
        context: &Context,
        mount: &Mount,
    ) -> Result<()> {
        let text = mount.source.as_deref().unwrap_or("/");
        let exclude = Ignore::default();
        let found = select(&context.origin, &Pattern { text, exclude: &exclude, parents: false })?;
        let found = found.map_err(|missing| {
            Error::not_found(format!("{} is not in {}", missing.path, context.origin.title))
        })?;
        let files = Files { origin: &context.origin, prints: &context.prints, keep_owners: false };
        let mut prints = locked(&context.prints);
        found.iter().try_for_each(|chosen| files.add(key, &mut prints, chosen, false))
    }
}
