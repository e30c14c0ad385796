//! `RUN --mount` of what contexts, stages and images hold.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::super::cache::{Key, Prints};
use super::super::context::below;
use super::super::dockerfile::MountKind;
use super::super::dockerignore::Ignore;
use super::super::graph::{Input, Mount};
use super::super::transfer::{Chosen, Layout, Origin, Owner, Pattern, Placement, select, write};
use super::inputs::Files;
use super::mounting::{Mounting, Shown};
use super::{Builder, Context, locked};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::{UnpackOptions, Unpacker, WhiteoutForm};
use crate::snapshot::{Method, Snapshot, SnapshotOptions};
use crate::sys::{self, FileKind, Meta, Root, Time};

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
        let part = mount.source.as_deref().unwrap_or("/");
        let shown = match self.directory(from) {
            Some(context) => self.context(context, part)?,
            None if *from == Input::Context => {
                return Err(Error::not_found("there is no build context"));
            }
            None => self.image_tree(mounting, from, part)?,
        };
        if mount.read_only {
            return mounting.part(mount, &shown, true);
        }
        // What is written is thrown away.
        let root = Root::open(&shown.directory)?;
        let opening = || format!("opening {part}");
        let shown = match root.open_dir(shown.part.as_bytes()) {
            Ok(_) => {
                let mounted = self.disposable(&below(&shown.directory, &shown.part)?)?;
                let directory = mounted.path().to_owned();
                mounting.trees.push(mounted);
                Shown { directory, part: "/".to_owned() }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                self.copied(root.open_file(shown.part.as_bytes()).doing(opening)?)?
            }
            Err(_) => shown,
        };
        mounting.part(mount, &shown, false)
    }

    /// A copy of a file that goes with the build.
    fn copied(&self, mut file: File) -> Result<Shown> {
        let directory = self.writer.scratch()?;
        let path = directory.join("file");
        let copying = || "copying a file that may be written";
        let meta = Meta::of(&file).doing(copying)?;
        let mut copy = File::create_new(&path).doing(copying)?;
        std::io::copy(&mut file, &mut copy).doing(copying)?;
        sys::set_owner(&copy, meta.uid, meta.gid).doing(copying)?;
        sys::set_mode(&copy, meta.mode).doing(copying)?;
        sys::set_time(&copy, meta.mtime).doing(copying)?;
        Ok(Shown { directory, part: "/file".to_owned() })
    }

    /// The files of a stage or an image.
    fn image_tree(&self, mounting: &mut Mounting<'_>, from: &Input, part: &str) -> Result<Shown> {
        let mounted = self.mounted(&*self.source_draft(from)?)?;
        let directory = mounted.path().to_owned();
        mounting.trees.push(mounted);
        Ok(Shown { directory, part: part.to_owned() })
    }

    /// Part of the context as steps see it: without what is left out of it.
    fn context(&self, context: &Context, part: &str) -> Result<Shown> {
        let dir = &context.dir;
        if dir.ignore.patterns().is_empty() {
            let directory = std::fs::canonicalize(&dir.path);
            let directory = directory.doing(|| "opening the build context")?;
            return Ok(Shown { directory, part: part.to_owned() });
        }
        let chosen = mounted_part(&context.origin, part)?;
        let owner = Some(Owner::default());
        let placement = Placement { view: None, owner, chmod: None, made_at: Time::default() };
        let mut layout = Layout::new(placement);
        match chosen.meta.kind {
            FileKind::Directory => layout.place_content(0, &chosen, b"part")?,
            _ => layout.place_file(0, &chosen, b"part".to_vec())?,
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
        Ok(Shown { directory: tree, part: "/part".to_owned() })
    }

    /// A copy of what a cache is seeded with.
    fn seed(&self, mounting: &mut Mounting<'_>, mount: &Mount, from: &Input) -> Result<PathBuf> {
        let part = mount.source.as_deref().unwrap_or("/");
        let seed = match self.directory(from) {
            Some(context) => self.context(context, part)?,
            None => self.image_tree(mounting, from, part)?,
        };
        let part = below(&seed.directory, &seed.part)?;
        let scratch = self.writer.scratch()?;
        let copied = Snapshot::prepare(
            &[part],
            &scratch.join("seed"),
            &SnapshotOptions { method: Some(Method::Copy), ..Default::default() },
        )?;
        let tree = copied.copy().map(Path::to_owned);
        tree.ok_or_else(|| Error::new(ErrorKind::Failed, "a copy without a tree"))
    }

    /// Adds the content that a bind mount shows to a key.
    pub(super) fn mounted_key(&self, key: &mut Key, from: &Input, part: &str) -> Result<()> {
        if let Some(context) = self.directory(from) {
            let files =
                Files { origin: &context.origin, prints: &context.prints, keep_owners: false };
            return files.add_part(key, part);
        }
        let draft = self.source_draft(from)?;
        self.in_own_mounts(|| {
            let tree = self.mounted(&draft)?;
            let origin = Origin::image(Root::open(tree.path())?, &self.title(from));
            let prints = Mutex::new(Prints::passing());
            Files { origin: &origin, prints: &prints, keep_owners: true }.add_part(key, part)
        })
    }
}

impl Files<'_> {
    fn add_part(&self, key: &mut Key, part: &str) -> Result<()> {
        let chosen = mounted_part(self.origin, part)?;
        // Of a directory that is mounted its own metadata shows.
        key.number(u64::from(chosen.meta.mode));
        if self.keep_owners {
            key.number(u64::from(chosen.meta.uid)).number(u64::from(chosen.meta.gid));
        }
        self.add(key, &mut locked(self.prints), &chosen)
    }
}

/// What a mount shows of an origin.
fn mounted_part(origin: &Origin, part: &str) -> Result<Chosen> {
    let exclude = Ignore::default();
    let missing = |path: &str| Error::not_found(format!("{path} is not in {}", origin.title));
    match select(origin, &Pattern::path(part, &exclude))? {
        Ok(chosen) => chosen.into_iter().next().ok_or_else(|| missing(part)),
        Err(found) => Err(missing(&found.path)),
    }
}
