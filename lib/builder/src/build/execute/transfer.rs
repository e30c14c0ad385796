//! `COPY` and `ADD`.

use std::sync::Mutex;

use super::super::cache::{Key, Prints, StepKey};
use super::super::diagnostic::Diagnostic;
use super::super::dockerignore::Ignore;
use super::super::graph::{Input, Place, Step, Transfer, has_wildcards};
use super::super::image::{Draft, Layer};
use super::super::transfer::{Chosen, Layout, Missing, Origin, Owner, Pattern, Placement, select};
use super::super::view::View;
use super::elsewhere::Brought;
use super::inputs::{Files, Taken};
use super::options::{Failure, StepName};
use super::pieces::{Laying, Pieces};
use super::stage::How;
use super::{BuildResult, Builder, locked};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::Digest;
use crate::sys::Meta;

/// What each source means.
type Found = Vec<Taken>;

impl Builder<'_> {
    pub(super) fn transfer(
        &self,
        draft: &mut Draft,
        step: &Step,
        transfer: &Transfer,
        name: StepName<'_>,
    ) -> BuildResult<How> {
        if !transfer.sources.iter().any(|source| matches!(source, Place::Path(_))) {
            return self.take_files(draft, step, transfer, name, None);
        }
        let from = transfer.from.as_ref().unwrap_or(&Input::Context);
        match self.directory(from) {
            Some(context) => {
                let files =
                    Files { origin: &context.origin, prints: &context.prints, keep_owners: false };
                self.take_files(draft, step, transfer, name, Some(&files))
            }
            None if *from == Input::Context => {
                Err(Error::not_found("there is no build context to take files from").into())
            }
            None => self.take_of_image(draft, step, transfer, name, from),
        }
    }

    /// Takes files of a stage or an image.
    fn take_of_image(
        &self,
        draft: &mut Draft,
        step: &Step,
        transfer: &Transfer,
        name: StepName<'_>,
        from: &Input,
    ) -> BuildResult<How> {
        let source = self.source_draft(from)?;
        let mut key = Key::new("from");
        key.text(self.parts(draft, transfer).key("copy").hex());
        key.texts(transfer.sources.iter().map(Place::text));
        key.texts(transfer.exclude.iter().map(String::as_str));
        let mut inputs = Key::new("chain");
        inputs.maybe(source.chain().as_ref().map(|chain| chain.0.hex()));
        // The same files of the same image need not even be looked at.
        let key = StepKey { definition: key.finish(), inputs: inputs.finish() };
        let flight = match self.take_off(&key, name)? {
            Ok(flight) => flight,
            Err(made) => {
                draft.push_layer(step, Layer::plain(made.diff_id, made.size), &made.created);
                return Ok(How::Cached);
            }
        };
        let how = self.in_own_mounts(|| {
            let tree = self.mounted(&source)?;
            let origin = Origin::image(crate::sys::Root::open(tree.path())?, &self.title(from));
            let prints = Mutex::new(Prints::passing());
            let files = Files { origin: &origin, prints: &prints, keep_owners: true };
            self.take_files(draft, step, transfer, name, Some(&files))
        })?;
        if let Some(made) = self.last_made(draft) {
            self.land(flight, key, made)?;
        }
        Ok(how)
    }

    /// What messages call the place that files are taken from.
    pub(super) fn title(&self, from: &Input) -> String {
        match from {
            Input::Image(name) => format!("image {name}"),
            Input::Stage(index) => {
                format!("stage {}", self.checked.plan.stages[*index].title(*index))
            }
            _ => "what it is copied from".to_owned(),
        }
    }

    fn take_files(
        &self,
        draft: &mut Draft,
        step: &Step,
        transfer: &Transfer,
        name: StepName<'_>,
        files: Option<&Files<'_>>,
    ) -> BuildResult<How> {
        let exclude = Ignore::parse(transfer.exclude.join("\n").as_bytes())
            .map_err(|error| Error::caused(ErrorKind::Invalid, "--exclude", error))?;
        let parts = self.parts(draft, transfer);
        let definition = parts.key("copy");
        let known = self.may_find(name.stage) && self.cache.knows(&definition);
        let mut found = Found::new();
        for source in &transfer.sources {
            let Place::Path(text) = source else {
                found.push(Taken::Elsewhere(self.fetcher().look(source, transfer, known)?));
                continue;
            };
            let Some(files) = files else { continue };
            let parents = transfer.parents;
            let pattern = Pattern { text, exclude: &exclude, parents, plain: false };
            match select(files.origin, &pattern)? {
                Ok(chosen) => {
                    self.warn_of_nothing(text, &chosen, files.origin);
                    found.push(Taken::Files(chosen));
                }
                Err(missing) => return Err(self.missing(step, files.origin, &missing)),
            }
        }
        if known {
            let inputs = self.inputs(transfer, files, &found)?;
            let key = StepKey { definition: definition.clone(), inputs };
            if let Some(made) = self.find(&key, name.stage)? {
                self.remember(&made);
                draft.push_layer(step, Layer::plain(made.diff_id, made.size), &made.created);
                return Ok(How::Cached);
            }
        }
        self.reporter.event(super::BuildEvent::Begun(name));
        // The files are read once: while they are copied, unless that is to be explained before.
        let (first, last) = match self.options.explain {
            true => (Some(parts), None),
            false => (None, Some(parts)),
        };
        if let Some(parts) = first {
            self.explain_files(name, parts, transfer, files, &found)?;
        }
        let brought = self.bring_all(&mut found, &exclude, transfer.unpack == Some(true))?;
        self.copy(draft, step, transfer, files, (&found, brought), definition)?;
        if let Some(parts) = last {
            self.explain_files(name, parts, transfer, files, &found)?;
        }
        Ok(How::Made)
    }

    /// The content of all sources from elsewhere, in their order.
    fn bring_all(&self, found: &mut Found, exclude: &Ignore, unpack: bool) -> Result<Vec<Brought>> {
        let elsewhere = found.iter_mut().filter_map(|taken| match taken {
            Taken::Elsewhere(source) => Some(source),
            Taken::Files(_) => None,
        });
        elsewhere.map(|source| self.fetcher().bring(source, exclude, unpack)).collect()
    }

    /// Makes the layer.
    fn copy(
        &self,
        draft: &mut Draft,
        step: &Step,
        transfer: &Transfer,
        files: Option<&Files<'_>>,
        (found, brought): (&Found, Vec<Brought>),
        definition: Digest,
    ) -> Result<()> {
        let view = match !transfer.link || transfer.chown.is_some() {
            true => self.view(&draft.layers)?,
            false => View::default(),
        };
        let owner = match &transfer.chown {
            Some(text) => Some(self.named_owner(&view, text)?),
            None if files.is_some_and(|files| files.keep_owners) => None,
            None => Some(Owner::default()),
        };
        let mut pieces = Pieces::new(files.map(|files| files.origin));
        let mut brought = brought.iter();
        for taken in found {
            match taken {
                Taken::Files(chosen) => {
                    pieces.add(chosen, transfer.add && transfer.unpack != Some(false));
                }
                Taken::Elsewhere(_) => {
                    brought.by_ref().take(1).for_each(|brought| pieces.add_brought(brought));
                }
            }
        }
        let made_at = pieces.times().max().unwrap_or_else(|| self.made_at());
        let mut layout = Layout::new(Placement {
            view: Some(&view).filter(|_| !transfer.link),
            owner,
            chmod: transfer.chmod.as_ref(),
            made_at,
        });
        let (target, there) = layout.destination(&transfer.destination)?;
        let laying = Laying {
            writer: self.writer,
            shown: &transfer.destination,
            target: &target,
            into: there || transfer.destination.ends_with('/'),
            owner: owner.filter(|_| transfer.chown.is_some()),
            documents: &transfer.documents,
            made_at,
        };
        laying.lay(&mut layout, &pieces)?;
        let mut seen = |origin: usize, path: &[u8], meta: &Meta, digest: Digest| {
            if let Some(files) = files.filter(|_| origin == 0) {
                locked(files.prints).note(path, meta, &digest);
            }
        };
        // Its key is known when its files have been read: once is enough.
        let made = self.keep_layer(draft, step, layout, &pieces.origins, Some(&mut seen))?;
        let inputs = self.inputs(transfer, files, found)?;
        locked(&self.pending).push((StepKey { definition, inputs }, made));
        Ok(())
    }

    /// Tells of a source that means no files, which is no error.
    fn warn_of_nothing(&self, text: &str, chosen: &[Chosen], origin: &Origin) {
        if !chosen.is_empty() {
            return;
        }
        let title = &origin.title;
        let text = match has_wildcards(text) {
            true => format!("nothing in {title} matches {text}"),
            false => format!("{text} is left out by --exclude"),
        };
        self.reporter.event(super::BuildEvent::Warning(&text));
    }

    /// The failure for a source that is not there: what was looked for, where, and why it may be
    /// missing.
    fn missing(&self, step: &Step, origin: &Origin, missing: &Missing) -> Failure {
        let error = Error::not_found(format!("{} is not in {}", missing.path, origin.title));
        let mut problem = Diagnostic::error(step.span, error.to_string());
        if let Some((pattern, line)) = &missing.ignored_by {
            let file = self.options.context.as_ref().map_or("", |dir| dir.ignore_name.as_str());
            problem = problem.hint(match file {
                "" => format!("the pattern {pattern:?} leaves it out"),
                file => format!("{file}:{line} leaves it out: {pattern}"),
            });
        }
        if let Some((link, target)) = &missing.link {
            problem = problem.hint(match *link == missing.path {
                true => format!("{link} is a symbolic link to {target}"),
                false => format!(
                    "{link} is a symbolic link to {target}: --parents follows links in front of \
                     /./ only"
                ),
            });
        }
        problem = problem.suggest(missing.nearest.clone());
        Failure::at(self.checked, problem, error)
    }
}
