//! Carrying out a plan: stages, steps, layers, and the image that comes out.
//!
//! Owns the order of things: bases, then the stages that the target needs, then the image's config,
//! manifest and names. Uses `cache` to find what was made before, `transfer` to make layers of
//! files, the store to keep them. Promise: a name is given last, and only to a whole image; a step
//! is recorded after its layer is in the store; what a build counts on is not pruned meanwhile.
//! Prints nothing.

mod aftermath;
mod binding;
pub(super) mod changes;
mod course;
pub(super) mod elsewhere;
mod explain;
mod export;
mod flight;
mod inputs;
pub(super) mod mounting;
mod mounts;
mod options;
pub(super) mod pieces;
mod publish;
mod relay;
mod run;
pub(super) mod sandbox;
mod squash;
mod stage;
pub(super) mod state;
mod transfer;
pub(super) mod workdir;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use options::{
    BuildEvent, BuildOptions, Built, Cancel, ContextDir, Credentials, Failure, NamedContext,
    OnFailure, Reporter, RunSettings, SecretSource, StepName,
};

use course::Course;
use elsewhere::Fetcher;
pub use export::TreeExport;
pub use squash::Squash;
pub use state::Machine;

use super::bases::{Finder, Remote};
use super::cache::{Cache, Made, Prints, StepKey};
use super::check::Checked;
use super::graph::{BaseImage, Bases, CONTEXT_BASE, Input, context_base};
use super::image::{Draft, Layer};
use super::transfer::Origin;
use super::view::{LayerView, Toc, TreeLayer, View};
use crate::blob::Decoder;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{DiffId, Image, Platform};
use crate::store::{Holding, Store, Writer};

type BuildResult<T> = std::result::Result<T, Failure>;

/// Builds an image into the store.
///
/// `check` reads and checks the file, asking for the bases it needs; its error ends the build.
pub fn build(
    store: &Store,
    remote: &Remote,
    options: &BuildOptions,
    reporter: &dyn Reporter,
    check: &mut dyn FnMut(Bases<'_>) -> Result<Checked>,
) -> BuildResult<Built> {
    let begun = Instant::now();
    if let Some(run) = &options.run {
        run.machine.sweep();
    }
    let writer = store.begin()?;
    let mut finder = Finder::new(store, &writer, remote, options.pull);
    let mut images = BTreeMap::new();
    let contexts = &options.contexts;
    let checked = check(&mut |name, platform| match named_base(contexts, name) {
        Some(NamedContext::Directory(_)) => Some(BaseImage::empty()),
        Some(NamedContext::Image(name)) => base(&mut finder, &mut images, name, platform),
        None if name.starts_with(CONTEXT_BASE) => None,
        None => base(&mut finder, &mut images, name, platform),
    });
    // Why a base could not be had says more than what follows from it.
    if let Some(error) = finder.failure.take() {
        return Err(error.into());
    }
    let checked = checked?;
    let needed = checked.plan.stages.iter().filter(|stage| stage.reachable);
    for input in needed.flat_map(|stage| stage.inputs().into_iter().skip(1)) {
        let name = match input {
            Input::Image(name) => Some(name.as_str()),
            Input::Named(key) => named_image(contexts, key),
            _ => None,
        };
        if let Some(name) = name {
            base(&mut finder, &mut images, name, &options.platform);
        }
    }
    if let Some(error) = finder.failure.take() {
        return Err(error.into());
    }
    let builder = Builder {
        store,
        writer: &writer,
        remote,
        cache: Cache::new(store.root()),
        options,
        reporter,
        checked: &checked,
        images,
        context: Context::open_main(options, store)?,
        contexts: Context::open_named(options, store)?,
        drafts: Mutex::new(vec![None; checked.plan.stages.len()]),
        trees: Mutex::default(),
        views: Mutex::default(),
        pending: Mutex::default(),
        known: Mutex::default(),
        counts: [AtomicUsize::new(0), AtomicUsize::new(0)],
    };
    let made = builder.stages();
    // What was made before a failure need not be made again.
    let kept = builder.flush();
    let draft = made?;
    kept?;
    for export in &options.exports {
        builder.export(&draft, export)?;
    }
    let (digest, config_digest, names) = builder.publish(builder.squashed(&draft)?)?;
    builder.flush()?;
    let [made, cached] = builder.counts.map(AtomicUsize::into_inner);
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Built { digest, config_digest, names, made, cached, seconds })
}

/// The further context that a base of a plan means.
fn named_base<'n>(contexts: &'n Contexts, name: &str) -> Option<&'n NamedContext> {
    let found = contexts.iter().find(|(key, _)| context_base(key) == name);
    found.map(|(_, context)| context)
}

/// The image that a further context is, if it is one.
fn named_image<'n>(contexts: &'n Contexts, key: &str) -> Option<&'n str> {
    match contexts.get(key) {
        Some(NamedContext::Image(name)) => Some(name),
        _ => None,
    }
}

/// What `--build-context` gives, by key.
type Contexts = BTreeMap<String, NamedContext>;

/// Base images by name and platform.
type Images = BTreeMap<(String, String), Arc<Image>>;

/// Looks for a base, notes it, and tells what it contributes.
fn base(
    finder: &mut Finder<'_>,
    images: &mut Images,
    name: &str,
    platform: &Platform,
) -> Option<BaseImage> {
    match finder.find(name, platform) {
        Ok(image) => {
            let known = BaseImage::of(image.config());
            images.insert((name.to_owned(), platform.to_string()), image);
            Some(known)
        }
        Err(error) => {
            finder.failure.get_or_insert(error);
            None
        }
    }
}

/// The build context, opened.
struct Context {
    dir: ContextDir,
    origin: Origin,
    prints: Mutex<Prints>,
}

impl Context {
    fn open_main(options: &BuildOptions, store: &Store) -> Result<Option<Context>> {
        let open = |dir| Context::open(dir, "the build context", store);
        options.context.as_ref().map(open).transpose()
    }

    fn open_named(options: &BuildOptions, store: &Store) -> Result<BTreeMap<String, Context>> {
        let mut out = BTreeMap::new();
        for (key, context) in &options.contexts {
            if let NamedContext::Directory(dir) = context {
                out.insert(key.clone(), Context::open(dir, &format!("context {key}"), store)?);
            }
        }
        Ok(out)
    }

    fn open(dir: &ContextDir, title: &str, store: &Store) -> Result<Context> {
        let origin = Origin::context(&dir.path, dir.ignore.clone(), title)?;
        let prints = match dir.passing {
            true => Prints::passing(),
            false => Cache::new(store.root()).prints(&dir.path),
        };
        Ok(Context { origin, prints: Mutex::new(prints), dir: dir.clone() })
    }
}

/// One build.
struct Builder<'a> {
    store: &'a Store,
    writer: &'a Writer,
    remote: &'a Remote,
    cache: Cache,
    options: &'a BuildOptions,
    reporter: &'a dyn Reporter,
    checked: &'a Checked,
    images: Images,
    context: Option<Context>,
    /// Further contexts that are directories.
    contexts: BTreeMap<String, Context>,
    /// The stages that are done.
    drafts: Mutex<Vec<Option<Arc<Draft>>>>,
    /// Trees of layers that are not in the store yet; held while paths of trees are in use.
    trees: Mutex<HashMap<DiffId, PathBuf>>,
    /// Layers that were looked into.
    views: Mutex<HashMap<DiffId, Arc<LayerView>>>,
    /// Steps whose layers are not in the store yet.
    pending: Mutex<Vec<(StepKey, Made)>>,
    /// What is known of layers by their steps.
    known: Mutex<HashMap<DiffId, Made>>,
    /// Steps made and found.
    counts: [AtomicUsize; 2],
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Builder<'_> {
    /// Makes the stages that the target needs, and gives the target's image.
    fn stages(&self) -> BuildResult<Arc<Draft>> {
        let plan = &self.checked.plan;
        let needed = plan.stages.iter().enumerate().filter(|(_, stage)| stage.reachable);
        let needed: Vec<_> = needed.collect();
        if let [(index, stage)] = needed.as_slice() {
            return self.stage(*index, stage).map(Arc::new);
        }
        let most = self.options.jobs.unwrap_or_else(|| crate::sys::available_cores().max(2));
        let course = Course::new(plan.stages.len(), most);
        std::thread::scope(|scope| {
            for (index, stage) in needed {
                let course = &course;
                scope.spawn(move || {
                    course.follow(index, &stage.needs, || {
                        let draft = Arc::new(self.stage(index, stage)?);
                        locked(&self.drafts)[index] = Some(draft);
                        Ok(())
                    });
                });
            }
        });
        course.failure()?;
        self.draft(plan.target).map_err(Failure::from)
    }

    fn draft(&self, index: usize) -> Result<Arc<Draft>> {
        let draft = locked(&self.drafts).get(index).cloned().flatten();
        draft.ok_or_else(|| Error::new(ErrorKind::Failed, "a stage is needed before it is made"))
    }

    /// Brings what was made into the store and then records it.
    fn flush(&self) -> Result<()> {
        for context in self.context.iter().chain(self.contexts.values()) {
            locked(&context.prints).save();
        }
        self.flush_steps()
    }

    /// The same for steps alone.
    fn flush_steps(&self) -> Result<()> {
        let pending = std::mem::take(&mut *locked(&self.pending));
        if pending.is_empty() {
            return Ok(());
        }
        let trees = locked(&self.trees);
        self.writer.commit()?;
        drop(trees);
        pending.iter().try_for_each(|(key, made)| self.cache.record(key, made))
    }

    /// A step that was made before and whose layer is there, unless its stage is to be made anew.
    fn find(&self, key: &StepKey, stage: &str) -> Result<Option<Made>> {
        if !self.may_find(stage) {
            return Ok(None);
        }
        let Some(made) = self.cache.find(key) else { return Ok(None) };
        let layer = Layer::plain(made.diff_id.clone(), made.size);
        let there = self.writer.need(&layer.descriptor)? == Holding::Whole;
        Ok(there.then_some(made))
    }

    /// Whether steps of a stage may be found rather than made.
    fn may_find(&self, stage: &str) -> bool {
        let named = |name: &String| name.eq_ignore_ascii_case(stage);
        !self.options.no_cache && !self.options.no_cache_filter.iter().any(named)
    }

    /// Notes what a step made, for other keys of the same step.
    fn remember(&self, made: &Made) {
        locked(&self.known).insert(made.diff_id.clone(), made.clone());
    }

    /// What is known of an image's newest layer.
    fn last_made(&self, draft: &Draft) -> Option<Made> {
        let last = draft.layers.last()?;
        locked(&self.known).get(&last.diff_id).cloned()
    }

    /// The image that files are taken from.
    fn source_draft(&self, from: &Input) -> Result<Arc<Draft>> {
        match from {
            Input::Stage(index) => self.draft(*index),
            Input::Scratch => Ok(Arc::new(Draft::scratch(&self.options.platform))),
            Input::Image(name) => self.image(name, &self.options.platform),
            Input::Named(key) => match named_image(&self.options.contexts, key) {
                Some(name) => self.image(name, &self.options.platform),
                None => Err(Error::unsupported(format!("context {key} is a directory"))),
            },
            Input::Context => Err(Error::unsupported("the build context is no image")),
        }
    }

    /// An image that was looked for.
    fn image(&self, name: &str, platform: &Platform) -> Result<Arc<Draft>> {
        let found = self.images.get(&(name.to_owned(), platform.to_string()));
        let missing = || Error::not_found(format!("image {name} was not looked for"));
        Ok(Arc::new(Draft::of(found.ok_or_else(missing)?)))
    }

    /// The directory that files are taken from, if it is one.
    fn directory(&self, from: &Input) -> Option<&Context> {
        match from {
            Input::Context => self.context.as_ref(),
            Input::Named(key) => self.contexts.get(key),
            _ => None,
        }
    }

    /// What the layers of an image show.
    fn view(&self, layers: &[Layer]) -> Result<View> {
        let mut view = View::default();
        for layer in layers {
            view.push(self.layer_view(layer)?);
        }
        Ok(view)
    }

    fn layer_view(&self, layer: &Layer) -> Result<Arc<LayerView>> {
        if let Some(known) = locked(&self.views).get(&layer.diff_id) {
            return Ok(known.clone());
        }
        self.writer.lease(&layer.diff_id.0)?;
        if self.store.layer(&layer.diff_id)?.is_some() {
            let tree = TreeLayer::open(&self.store.layer_tree(&layer.diff_id))?;
            return Ok(self.keep_view(&layer.diff_id, LayerView::Tree(tree)));
        }
        let toc = match self.cache.toc(&layer.diff_id) {
            Some(toc) => toc,
            None => {
                let toc = self.read_toc(layer)?;
                self.cache.note_toc(&layer.diff_id, &toc);
                toc
            }
        };
        Ok(self.keep_view(&layer.diff_id, LayerView::Toc(toc)))
    }

    fn keep_view(&self, layer: &DiffId, view: LayerView) -> Arc<LayerView> {
        let view = Arc::new(view);
        locked(&self.views).insert(layer.clone(), view.clone());
        view
    }

    fn read_toc(&self, layer: &Layer) -> Result<Toc> {
        let digest = &layer.descriptor.digest;
        let reading = || format!("reading layer {digest}");
        let blob = self.writer.open(&layer.descriptor)?;
        let decoder = Decoder::new(blob.reader()).doing(reading)?;
        let reader = std::io::BufReader::with_capacity(256 << 10, decoder);
        Toc::read(reader).doing(reading)
    }

    /// Gets what is elsewhere.
    fn fetcher(&self) -> Fetcher<'_> {
        Fetcher {
            writer: self.writer,
            remote: self.remote,
            cache: &self.cache,
            credentials: self.options.run.as_ref().map(|run| &run.credentials),
        }
    }

    /// Counts a step.
    fn count(&self, cached: bool) {
        self.counts[usize::from(cached)].fetch_add(1, Ordering::Relaxed);
    }
}
