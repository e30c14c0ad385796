//! What identifies a `COPY` or `ADD`: its definition, and what it reads.

use std::sync::Mutex;

use super::super::cache::{Key, Prints};
use super::super::graph::{Chmod, Transfer};
use super::super::image::Draft;
use super::super::transfer::{Chosen, Inside, Origin};
use super::super::view::join;
use super::elsewhere::Elsewhere;
use super::explain::Parts;
use super::options::StepName;
use super::{Builder, locked};
use crate::error::Result;
use crate::spec::Digest;
use crate::sys::{FileKind, Meta};

/// Of more files than this not each is remembered.
const MAX_EXPLAINED: usize = 1000;

/// Files to take, and what is known of them.
pub(super) struct Files<'a> {
    pub(super) origin: &'a Origin,
    pub(super) prints: &'a Mutex<Prints>,
    /// Whether they keep their owners.
    pub(super) keep_owners: bool,
}

/// What a source means.
pub(super) enum Taken {
    /// Files of the step's origin.
    Files(Vec<Chosen>),
    /// Something that is not here yet.
    Elsewhere(Elsewhere),
}

impl Taken {
    /// The files of the origin.
    pub(super) fn files(&self) -> &[Chosen] {
        match self {
            Taken::Files(chosen) => chosen,
            Taken::Elsewhere(_) => &[],
        }
    }

    fn elsewhere(&self) -> Option<&Elsewhere> {
        match self {
            Taken::Files(_) => None,
            Taken::Elsewhere(source) => Some(source),
        }
    }
}

impl Builder<'_> {
    /// What a step is, apart from the content that it reads.
    pub(super) fn parts(&self, draft: &Draft, transfer: &Transfer) -> Parts {
        let mut parts = Parts::default();
        // A layer of its own does not depend on what is below, unless a name has to be looked up.
        let numeric = |owner: &str| owner.bytes().all(|b| b.is_ascii_digit() || b == b':');
        let alone = transfer.link && transfer.chown.as_deref().is_none_or(numeric);
        parts.add("what is below", |key| {
            let chain = draft.chain().filter(|_| !alone);
            key.maybe(chain.as_ref().map(|chain| chain.0.hex()));
        });
        parts.add("the destination", |key| {
            key.text(&transfer.destination);
        });
        parts.add("a flag", |key| {
            key.number(u64::from(transfer.add)).maybe(transfer.chown.as_deref());
            match &transfer.chmod {
                None => key.number(0),
                Some(Chmod::Octal(mode)) => key.number(1).number(u64::from(*mode)),
                Some(Chmod::Symbolic(text)) => key.number(2).text(text),
            };
            key.number(u64::from(transfer.link)).number(u64::from(transfer.parents));
            key.number(transfer.unpack.map_or(2, u64::from));
        });
        parts.add("the time of everything", |key| {
            key.number(self.options.epoch.unwrap_or(i64::MAX) as u64);
        });
        parts
    }

    /// Tells which file is the reason, where there are not too many to remember each.
    pub(super) fn explain_files(
        &self,
        name: StepName<'_>,
        mut parts: Parts,
        transfer: &Transfer,
        files: Option<&Files<'_>>,
        found: &[Taken],
    ) -> Result<()> {
        let inputs = self.inputs(transfer, files, found)?;
        let chosen = || found.iter().flat_map(Taken::files);
        let count: usize = chosen().map(|chosen| 1 + chosen.inside.len()).sum();
        if let Some(files) = files.filter(|_| count <= MAX_EXPLAINED) {
            let mut prints = locked(files.prints);
            for chosen in chosen() {
                let one = (chosen.path.clone(), chosen.meta);
                let inside = chosen.inside.iter();
                let inside = inside.map(|inside| (join(&chosen.path, &inside.path), inside.meta));
                for (path, meta) in std::iter::once(one).chain(inside) {
                    let print = prints.digest(&files.origin.root, &path, &meta)?;
                    parts.add(format!("/{}", String::from_utf8_lossy(&path)), |key| {
                        key.number(u64::from(meta.mode)).text(print.hex());
                    });
                }
            }
        }
        for source in found.iter().filter_map(Taken::elsewhere) {
            parts.add(source.shown(), |key| source.add(key));
        }
        parts.add("a file that it takes", |key| {
            key.text(inputs.hex());
        });
        self.explain(name, parts);
        Ok(())
    }

    /// What a step reads: names and everything that matters of files, but not their times.
    pub(super) fn inputs(
        &self,
        transfer: &Transfer,
        files: Option<&Files<'_>>,
        found: &[Taken],
    ) -> Result<Digest> {
        let mut key = Key::new("files");
        key.number(transfer.documents.len() as u64);
        for (name, content) in &transfer.documents {
            key.text(name).text(content);
        }
        let mut prints = files.map(|files| (files, locked(files.prints)));
        for taken in found {
            match taken {
                Taken::Elsewhere(source) => {
                    source.add(&mut key);
                    // Of files that are here, those that are left out are not among the inputs.
                    key.texts(transfer.exclude.iter().map(String::as_str));
                }
                Taken::Files(chosen) => {
                    key.number(chosen.len() as u64);
                    let Some((files, prints)) = &mut prints else { continue };
                    for chosen in chosen {
                        files.add(&mut key, prints, chosen)?;
                    }
                }
            }
        }
        Ok(key.finish())
    }
}

impl Files<'_> {
    /// Adds one found thing to a key.
    pub(super) fn add(&self, key: &mut Key, prints: &mut Prints, chosen: &Chosen) -> Result<()> {
        // Of a directory only the content is copied.
        let whole = chosen.meta.kind != FileKind::Directory;
        key.number(u64::from(whole));
        if whole {
            self.add_one(key, prints, &chosen.name, &chosen.path, &chosen.meta)?;
        }
        key.number(chosen.inside.len() as u64);
        for Inside { path, meta, passed } in &chosen.inside {
            key.number(u64::from(*passed));
            self.add_one(key, prints, path, &join(&chosen.path, path), meta)?;
        }
        Ok(())
    }

    fn add_one(
        &self,
        key: &mut Key,
        prints: &mut Prints,
        name: &[u8],
        path: &[u8],
        meta: &Meta,
    ) -> Result<()> {
        key.bytes(name).number(meta.kind as u64).number(u64::from(meta.mode));
        if self.keep_owners {
            key.number(u64::from(meta.uid)).number(u64::from(meta.gid));
        }
        let print = prints.digest(&self.origin.root, path, meta)?;
        key.bytes(print.hex().as_bytes());
        Ok(())
    }
}
