//! `RUN --mount` of what contexts, stages and images hold.

use std::path::{Path, PathBuf};

use super::super::cache::Key;
use super::super::context::below;
use super::super::dockerfile::MountKind;
use super::super::dockerignore::Ignore;
use super::super::graph::{Input, Mount};
use super::super::transfer::{Layout, Owner, Pattern, Placement, select, write};
use super::inputs::Files;
use super::mounting::Mounting;
use super::{Builder, Context, locked};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::{UnpackOptions, Unpacker, WhiteoutForm};
use crate::snapshot::{Method, Snapshot, SnapshotOptions};
use crate::sys::{Root, Time};

impl Builder<'_> {
    /// Adds a mount of any kind.
    pub(super) fn mount(&self, mounting: &mut Mounting<'_>, mount: &Mount) -> Result<()> {
        let added = match (mount.kind, &mount.from) {
            (MountKind::Bind, _) => self.bind(mounting, mount),
            (MountKind::Cache, Some(from)) => {
                mounting.cache(mount, Some(&|mounting| self.seed(mounting, mount, from)))
            }
            _ => return mounting.add(mount),
        };
        added.doing(|| format!("mounting {}", mount.kind.name()))
    }

    fn bind(&self, mounting: &mut Mounting<'_>, mount: &Mount) -> Result<()> {
        let from = mount.from.as_ref().unwrap_or(&Input::Context);
        let directory = match self.directory(from) {
            Some(context) => self.context(context)?,
            None if *from == Input::Context => {
                return Err(Error::not_found("there is no build context"));
            }
            None => {
                let draft = self.source_draft(from)?;
                let mounted = self.mounted(&draft)?;
                let path = mounted.path().to_owned();
                mounting.trees.push(mounted);
                path
            }
        };
        if mount.read_only {
            return mounting.part(mount, &directory, true);
        }
        // What is written is thrown away.
        let part = mount.source.as_deref().unwrap_or("/");
        let root = Root::open(&directory)?;
        if root.open_dir(part.as_bytes()).is_err() {
            return mounting.part(mount, &directory, true);
        }
        let mounted = self.disposable(&below(&directory, part)?)?;
        let path = mounted.path().to_owned();
        mounting.trees.push(mounted);
        mounting.part(&Mount { source: None, ..mount.clone() }, &path, false)
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
        let scratch = self.writer.scratch()?;
        let archive = scratch.join("archive");
        let writing = || format!("writing {}", archive.display());
        let file = std::fs::File::create_new(&archive).doing(writing)?;
        write(layout, &[&context.origin], None, file, None)?;
        let tree = self.writer.scratch()?;
        let options = UnpackOptions { whiteouts: WhiteoutForm::Apply, ..UnpackOptions::default() };
        let file = std::fs::File::open(&archive).doing(writing)?;
        Unpacker::new(Root::open(&tree)?, options)?.unpack(std::io::BufReader::new(file))?;
        std::fs::remove_file(&archive).doing(writing)?;
        Ok(tree)
    }

    /// A copy of what a cache is seeded with.
    fn seed(&self, mounting: &mut Mounting<'_>, mount: &Mount, from: &Input) -> Result<PathBuf> {
        let seed = match self.directory(from) {
            Some(context) => self.context(context)?,
            None => {
                let mounted = self.mounted(&*self.source_draft(from)?)?;
                let path = mounted.path().to_owned();
                mounting.trees.push(mounted);
                path
            }
        };
        let part = below(&seed, mount.source.as_deref().unwrap_or("/"))?;
        let scratch = self.writer.scratch()?;
        let copied = Snapshot::prepare(
            &[part],
            &scratch.join("seed"),
            &SnapshotOptions { method: Some(Method::Copy), ..Default::default() },
        )?;
        let tree = copied.copy().map(Path::to_owned);
        tree.ok_or_else(|| Error::new(ErrorKind::Failed, "a copy without a tree"))
    }

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
