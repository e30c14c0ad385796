//! Files copied into a working container.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::bases::{Finder, Pull, Remote};
use super::super::cache::Cache;
use super::super::dockerignore::Ignore;
use super::super::execute::elsewhere::{Brought, Fetcher};
use super::super::execute::pieces::{Laying, Pieces};
use super::super::execute::{Credentials, workdir};
use super::super::graph::{Chmod, Place, Transfer, has_wildcards, paths};
use super::super::transfer::{Layout, Missing, Origin, Owner, Pattern, Placement, select, write};
use super::super::view::{LayerView, TreeLayer, View};
use super::{Working, find, with};
use crate::blob::DigestWriter;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::{UnpackOptions, Unpacker, WhiteoutForm};
use crate::snapshot::{Snapshot, SnapshotOptions};
use crate::spec::{Digest, Image, Platform, Reference};
use crate::store::{Store, UnpackSettings, Writer};
use crate::sys::{self, Root, Time};

const BUFFER: usize = 256 << 10;

/// What is copied, and how.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// Paths, with wildcards, URLs of files and git repositories.
    pub sources: Vec<String>,
    /// Where to; below the container's working directory unless it begins with `/`. None: there.
    pub destination: Option<String>,
    /// Whether archives of this machine are unpacked.
    pub add: bool,
    /// What the one URL holds, or the commit of the one repository.
    pub checksum: Option<String>,
    /// What lets in elsewhere.
    pub credentials: Credentials,
    /// `user[:group]`.
    pub chown: Option<String>,
    /// Permissions.
    pub chmod: Option<Chmod>,
    /// A container or an image that sources are taken from.
    pub from: Option<String>,
    /// A directory that sources are below of and cannot lead out of.
    pub context: Option<PathBuf>,
    /// What is left out of that directory.
    pub ignore: Ignore,
    /// Where paths begin that do not begin with `/`.
    pub current: PathBuf,
    /// Whether history gets a line about it.
    pub add_history: bool,
}

/// Copies files into a container; the digest of what was copied. `warn` hears what a person should
/// know.
///
/// # Errors
/// `NotFound` for a source that is not there; then nothing was copied.
pub fn copy(
    store: &Store,
    remote: &Remote,
    text: &str,
    options: &CopyOptions,
    warn: &mut dyn FnMut(&str),
) -> Result<Digest> {
    with(store, text, |working| {
        let writer = store.begin()?;
        let places: Vec<Place> = options.sources.iter().map(|text| place(options, text)).collect();
        // Before anything is changed or mounted.
        let brought = bring(
            &places,
            options,
            &Fetcher {
                writer: &writer,
                remote,
                cache: &Cache::new(store.root()),
                credentials: Some(&options.credentials),
            },
        )?;
        let from = Source::find(store, &writer, remote, working, options)?;
        let job = Job { working, options, writer: &writer, places, brought };
        let done = match &from {
            Source::Host => working.with_files(|tree| job.carry_out(tree, None)),
            Source::Container(other) => working
                .with_files(|tree| other.with_files(|source| job.carry_out(tree, Some(source)))),
            Source::Image(trees) => working.with_mount(|tree| {
                let place = writer.scratch()?;
                let view = Snapshot::view(trees, &writer.scratch()?, &SnapshotOptions::default())?;
                view.mount(&place)?;
                let done = job.carry_out(tree, Some(&place));
                let detached = sys::detach(&place).doing(|| "taking an image's files away");
                let done = done?;
                detached.map(|()| done)
            }),
        };
        if let Source::Container(other) = from {
            other.dir.rest()?;
        }
        let (digest, dropped) = done?;
        for name in dropped {
            let name = String::from_utf8_lossy(&name);
            warn(&format!("/{name} is left out: names with .wh. mean deletions in layers"));
        }
        if options.add_history {
            let verb = if options.add { "ADD" } else { "COPY" };
            let target = options.destination.as_deref().unwrap_or(".");
            working.note(&format!("{verb} file:{} in {target} ", digest.hex()));
            working.save()?;
        }
        Ok(digest)
    })
}

/// Where files come from.
enum Source {
    Host,
    Container(Box<Working>),
    /// Unpacked layers, lowest first.
    Image(Vec<PathBuf>),
}

impl Source {
    fn find(
        store: &Store,
        writer: &Writer,
        remote: &Remote,
        working: &Working,
        options: &CopyOptions,
    ) -> Result<Source> {
        let Some(text) = &options.from else { return Ok(Source::Host) };
        match find(store, text) {
            Ok(other) if other.id == working.record.id => {
                return Err(Error::usage("a container cannot be copied into itself"));
            }
            Ok(other) => {
                return Working::open(store, &other.id).map(Box::new).map(Source::Container);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let name = Reference::parse(text)?.with_default_tag().to_string();
        let platform = Platform::new(
            &working.record.config.os,
            &working.record.config.architecture,
            working.record.config.variant.as_deref(),
        );
        let image: Arc<Image> =
            Finder::new(store, writer, remote, Pull::Missing).find(&name, &platform)?;
        writer.unpack(&image, &UnpackSettings::default()).map(Source::Image)
    }
}

/// What a source is. What is here is meant before what only looks like an address.
fn place(options: &CopyOptions, text: &str) -> Place {
    let here = options.from.is_none() && options.context.is_none();
    match here && options.current.join(text).symlink_metadata().is_ok() {
        true => Place::Path(text.to_owned()),
        false => Place::parse(text),
    }
}

/// Gets what is elsewhere, in the order of its sources.
fn bring(places: &[Place], options: &CopyOptions, fetcher: &Fetcher<'_>) -> Result<Vec<Brought>> {
    let checksum = options.checksum.clone();
    if checksum.is_some() && !matches!(places, [Place::Url(_) | Place::Git(_)]) {
        return Err(Error::usage("--checksum is for one URL or git repository alone"));
    }
    let wanted = Transfer { add: true, checksum, ..Transfer::default() };
    let elsewhere = places.iter().filter(|place| !matches!(place, Place::Path(_)));
    let get = |place| {
        let mut source = fetcher.look(place, &wanted, false)?;
        fetcher.bring(&mut source, &Ignore::default(), false)
    };
    elsewhere.map(get).collect()
}

struct Job<'a> {
    working: &'a Working,
    options: &'a CopyOptions,
    writer: &'a Writer,
    /// What each source is.
    places: Vec<Place>,
    /// What came from elsewhere, in the order of its sources.
    brought: Vec<Brought>,
}

/// Digest of what was copied, and names that no layer can have.
type Done = (Digest, Vec<Vec<u8>>);

impl Job<'_> {
    /// Copies below `root`, from `source` if that is not this machine.
    fn carry_out(self, root: &Path, source: Option<&Path>) -> Result<Done> {
        let origin = self.origin(source)?;
        let mut found = Vec::new();
        for place in &self.places {
            let Place::Path(text) = place else {
                found.push(None);
                continue;
            };
            let text = self.pattern(text, source.is_some());
            let exclude = Ignore::default();
            let pattern = Pattern { text: &text, exclude: &exclude, parents: false, plain: false };
            match select(&origin, &pattern)? {
                Ok(chosen) if chosen.is_empty() => {
                    return Err(Error::not_found(format!("nothing matches {text}")));
                }
                Ok(chosen) => found.push(Some(chosen)),
                Err(missing) => return Err(not_there(&origin, &missing)),
            }
        }
        let mut view = View::default();
        view.push(Arc::new(LayerView::Tree(TreeLayer::open(root)?)));
        let chown = self.options.chown.as_deref();
        let owner = match chown {
            Some(text) => Some(workdir::named_owner(&view, text)?),
            None if source.is_some() => None,
            None => Some(Owner::default()),
        };
        let now = Time { secs: jiff::Timestamp::now().as_second(), nanos: 0 };
        let mut layout = Layout::new(Placement {
            view: Some(&view),
            owner,
            chmod: self.options.chmod.as_ref(),
            made_at: now,
        });
        let destination = self.destination();
        let (target, there) = layout.destination(&destination)?;
        let count: usize = found.iter().map(|chosen| chosen.as_ref().map_or(1, Vec::len)).sum();
        let laying = Laying {
            writer: self.writer,
            shown: &destination,
            target: &target,
            into: there || destination.ends_with('/') || count > 1,
            owner: owner.filter(|_| chown.is_some()),
            documents: &[],
            made_at: now,
        };
        let mut pieces = Pieces::new(Some(&origin));
        let mut brought = self.brought.iter();
        for chosen in &found {
            match chosen {
                Some(chosen) => pieces.add(chosen, self.options.add),
                None => brought.by_ref().take(1).for_each(|brought| pieces.add_brought(brought)),
            }
        }
        laying.lay(&mut layout, &pieces)?;
        apply(layout, &pieces.origins, root)
    }

    fn origin(&self, source: Option<&Path>) -> Result<Origin> {
        match (source, &self.options.context) {
            (Some(source), _) => {
                let title = self.options.from.as_deref().unwrap_or("its source");
                Ok(Origin::image(Root::open(source)?, title))
            }
            (None, Some(context)) => {
                let title = context.display().to_string();
                Origin::context(context, self.options.ignore.clone(), &title)
            }
            (None, None) => Origin::context(Path::new("/"), Ignore::default(), "this machine"),
        }
    }

    /// A source as a pattern below its origin.
    fn pattern(&self, text: &str, elsewhere: bool) -> String {
        if elsewhere || self.options.context.is_some() {
            return text.to_owned();
        }
        let whole = self.options.current.join(text);
        // What is there by its own name is no pattern.
        if whole.symlink_metadata().is_ok() || !has_wildcards(text) {
            return escaped(&whole.to_string_lossy());
        }
        match text.starts_with('/') {
            true => text.to_owned(),
            false => format!("{}/{text}", escaped(&self.options.current.to_string_lossy())),
        }
    }

    /// Where to, from the root of the container.
    fn destination(&self) -> String {
        let base = match self.working.record.config.config.working_dir.as_str() {
            "" => "/",
            base => base,
        };
        let text = self.options.destination.as_deref().unwrap_or_default();
        paths::destination(Some(base), text)
    }
}

/// Takes the meaning from what would be a wildcard.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn not_there(origin: &Origin, missing: &Missing) -> Error {
    let mut text = format!("{} is not on {}", missing.path, origin.title);
    if origin.title != "this machine" {
        text = format!("{} is not in {}", missing.path, origin.title);
    }
    if let Some((pattern, line)) = &missing.ignored_by {
        text.push_str(&format!(" (line {line} of the ignore file leaves it out: {pattern})"));
    }
    if let Some((link, target)) = &missing.link {
        text.push_str(&format!(" ({link} is a symbolic link to {target})"));
    }
    if let Some(nearest) = &missing.nearest {
        text.push_str(&format!(" (did you mean {nearest}?)"));
    }
    Error::not_found(text)
}

/// Brings what is laid out below `root`, as an archive through a pipe: what packs and unpacks
/// layers copies these files too. The archive's digest, and what no layer can have.
fn apply(layout: Layout<'_>, origins: &[&Origin], root: &Path) -> Result<(Digest, Vec<Vec<u8>>)> {
    let target = Root::open(root)?;
    let (reader, writer) = std::io::pipe().doing(|| "making a pipe")?;
    let options = UnpackOptions { whiteouts: WhiteoutForm::Apply, ..UnpackOptions::default() };
    let lost = || Error::new(ErrorKind::Failed, "a thread ended unexpectedly");
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || {
            let mut writer = DigestWriter::new(writer);
            let written = write(layout, origins, None, &mut writer, None);
            written.map(|written| (writer.finish().0, written.dropped))
        });
        let reader = BufReader::with_capacity(BUFFER, reader);
        let unpacked = Unpacker::new(target, options).and_then(|to| to.unpack(reader));
        let packed = packing.join().unwrap_or_else(|_| Err(lost()));
        // What unpacking says is the cause where both fail.
        unpacked.and(packed)
    })
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_are_no_patterns() {
        assert_eq!(escaped(r"/a[1]/*?\x"), r"/a\[1]/\*\?\\x");
    }
}
