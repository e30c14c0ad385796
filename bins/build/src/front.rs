//! From what was said to a checked file. The environment is read here and nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use creel::build::check::{Checked, Request, check};
use creel::build::context::{Context, Found, IgnoreFile, from_stream, ignore_file, named};
use creel::build::graph::{Bases, PlanOptions, context_key};
use creel::build::lint::ContextFiles;
use creel::build::{ContextDir, NamedContext};
use creel::cli::Surroundings;
use creel::error::{Error, ErrorKind, IoContext, Result};
use creel::spec::{Platform, Reference};
use creel::store::{Store, Writer};

use crate::args::{AccessArgs, FrontArgs, Global};
use crate::contexts::{Needs, Opened, Opener};
use crate::verbs::remote;

/// Most that is read of a file with arguments (bytes).
const MAX_ARGUMENT_FILE: u64 = 1 << 20;

/// The argument that gives everything one time.
pub(crate) const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What was said and found, before any image is looked at.
pub(crate) struct Input {
    found: Found,
    /// The build context, where there is one.
    pub(crate) context: Option<ContextDir>,
    opened: Option<Context>,
    /// Target, arguments, platforms.
    pub(crate) options: PlanOptions,
    /// The time of the context's commit or of its last change elsewhere, in seconds since 1970.
    pub(crate) time: Option<i64>,
    /// Keeps what was made for contexts.
    _keeper: Option<Writer>,
}

impl Input {
    /// Finds the files. With `all_stages` also what the target does not need will be looked at.
    pub(crate) fn read(
        args: &FrontArgs,
        all_stages: bool,
        mut opener: Opener<'_>,
    ) -> Result<Input> {
        let mut options = options(args, all_stages)?;
        let stdin = Path::new("-");
        if args.context == stdin && args.file.as_deref() == Some(stdin) {
            return Err(Error::usage(
                "standard input cannot be both the context and the Dockerfile",
            ));
        }
        let (place, alone) = match opener.open(&args.context)? {
            Opened::Directory(place) => (Some(place), None),
            Opened::Dockerfile(name, bytes) => (None, Some((name, bytes))),
        };
        let opened = place.as_ref().map(|place| Context::open(&place.path)).transpose()?;
        let given = match &args.file {
            Some(path) if alone.is_none() => opener.dockerfile(path)?,
            _ => alone,
        };
        let passing = place.as_ref().is_some_and(|place| place.passing);
        let mut found = match (given, &args.file, &opened) {
            (Some((name, bytes)), _, _) => Found { name, bytes, own_ignore: None },
            (None, Some(path), _) if path == stdin => from_stream(std::io::stdin().lock())?,
            // Who builds from elsewhere means the file there.
            (None, Some(path), Some(context)) if passing => context.named_inside(path)?,
            (None, Some(path), Some(context)) => context.named(path)?,
            (None, Some(path), None) => named(path)?,
            (None, None, Some(context)) => context.dockerfile()?,
            (None, None, None) => from_stream(std::io::stdin().lock())?,
        };
        let ignored = match (&args.ignorefile, found.own_ignore.take(), &opened) {
            (Some(path), ..) => ignore_file(path)?,
            (None, Some(own), _) => own,
            (None, None, Some(context)) => context.ignore()?.unwrap_or_default(),
            (None, None, None) => IgnoreFile::default(),
        };
        let IgnoreFile { name: ignore_name, patterns: ignore } = ignored;
        let time = place.as_ref().and_then(|place| place.time);
        let context =
            place.map(|place| ContextDir { path: place.path, ignore, ignore_name, passing });
        settle_epoch(&mut options, time);
        Ok(Input { found, context, opened, options, time, _keeper: opener.into_keeper() })
    }

    /// Checks the file, with what is known of base images.
    pub(crate) fn check(&self, bases: Bases<'_>) -> Checked {
        let exists = |name: &str| self.opened.as_ref().is_some_and(|context| context.has(name));
        let files = self.context.as_ref();
        let files = files.map(|dir| ContextFiles { ignore: &dir.ignore, exists: &exists });
        let (name, bytes) = (self.found.name.as_str(), self.found.bytes.as_slice());
        let options = self.options.clone();
        check(Request { name, bytes, options, context: files }, bases)
    }
}

/// Where things are.
pub(crate) fn surroundings(global: &Global) -> Result<Surroundings> {
    Surroundings::read(global.root.clone(), global.registries_conf.clone(), global.policy.clone())
}

/// The local store.
pub(crate) fn store(global: &Global) -> Result<Store> {
    Store::open_with(&surroundings(global)?.root, global.store.options())
}

/// Prefixes of images in a registry or in the store.
const IMAGES: [&str; 3] = ["docker-image://", "container-image://", "docker://"];

/// The name of the image that a further context is, if it is one.
fn image_of(place: &str) -> Option<&str> {
    IMAGES.iter().find_map(|prefix| place.strip_prefix(prefix))
}

/// The registries of images that `--build-context` gives.
pub(crate) fn registries_of_contexts(args: &FrontArgs) -> Result<Vec<String>> {
    let images = args.build_contexts.iter().filter_map(|(_, place)| image_of(place));
    images.map(|name| Ok(Reference::parse(name)?.registry().to_owned())).collect()
}

/// Opens what `--build-context` gives.
pub(crate) fn contexts(
    args: &FrontArgs,
    opener: &mut Opener<'_>,
) -> Result<BTreeMap<String, NamedContext>> {
    let mut out = BTreeMap::new();
    for (name, place) in &args.build_contexts {
        let image = image_of(place);
        let opening = || format!("opening context {name}");
        let context = match image {
            Some(image) => {
                NamedContext::Image(Reference::parse(image)?.with_default_tag().to_string())
            }
            None if place.starts_with(NamedContext::LAYOUT) => NamedContext::Image(place.clone()),
            None => match opener.open(Path::new(place)).map_err(|e| e.while_doing(opening()))? {
                Opened::Directory(place) => NamedContext::Directory(place.directory()?),
                Opened::Dockerfile(..) => {
                    return Err(Error::invalid("it is no archive").while_doing(opening()));
                }
            },
        };
        out.insert(context_key(name), context);
    }
    Ok(out)
}

/// Finds the files and checks them, without knowing any image.
pub(crate) fn load(args: &FrontArgs, all_stages: bool, global: &Global) -> Result<Checked> {
    let store = || store(global);
    let remote = || {
        let access = AccessArgs::default();
        remote::remote(global, &access, platform(args), surroundings(global)?, BTreeSet::new())
    };
    let needs =
        Needs { store: &store, remote: &remote, secret: &|_| Ok(None), keep_git_dir: false };
    Ok(Input::read(args, all_stages, Opener::new(needs))?.check(&mut |_, _| None))
}

/// Whether the build arguments ask to keep `.git` of a repository that is built from.
pub(crate) fn keeps_git_dir(args: &FrontArgs) -> bool {
    let given = args.build_args.iter().rev();
    let mut given = given.filter_map(|text| text.strip_prefix("BUILDKIT_CONTEXT_KEEP_GIT_DIR="));
    given.next().is_some_and(|value| matches!(value, "1" | "true"))
}

/// What is built for.
pub(crate) fn platform(args: &FrontArgs) -> Platform {
    args.platform.clone().unwrap_or_else(Platform::host)
}

/// `context` means the time of the context. One here has none that would be the same anywhere.
fn settle_epoch(options: &mut PlanOptions, time: Option<i64>) {
    let arguments = &mut options.build_arguments;
    let Some(at) = arguments.iter().position(|(n, v)| n == EPOCH && v == "context") else { return };
    match time {
        Some(time) => arguments[at].1 = time.to_string(),
        None => drop(arguments.remove(at)),
    }
}

fn options(args: &FrontArgs, all_stages: bool) -> Result<PlanOptions> {
    let mut build_arguments: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| {
        build_arguments.retain(|(known, _)| known != name);
        build_arguments.push((name.to_owned(), value));
    };
    for path in &args.build_arg_files {
        for (name, value) in argument_file(path)? {
            set(&name, value);
        }
    }
    for argument in &args.build_args {
        match argument.split_once('=') {
            Some((name, value)) => set(name, value.to_owned()),
            None => {
                if let Ok(value) = std::env::var(argument) {
                    set(argument, value);
                }
            }
        }
    }
    if let Ok(value) = std::env::var(EPOCH)
        && !build_arguments.iter().any(|(name, _)| name == EPOCH)
    {
        build_arguments.push((EPOCH.to_owned(), value));
    }
    Ok(PlanOptions {
        target: args.target.clone(),
        build_arguments,
        platform: platform(args),
        build_platform: Platform::host(),
        contexts: args.build_contexts.iter().map(|(name, _)| context_key(name)).collect(),
        all_stages: all_stages && args.target.is_none(),
    })
}

/// `NAME=VALUE` lines; blank ones and those that start with `#` do not count.
fn argument_file(path: &Path) -> Result<Vec<(String, String)>> {
    let reading = || format!("reading {}", path.display());
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_ARGUMENT_FILE + 1).read_to_string(&mut text))
        .doing(reading)?;
    if text.len() as u64 > MAX_ARGUMENT_FILE {
        return Err(Error::invalid("more than 1 MiB of arguments").while_doing(reading()));
    }
    let mut out = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            let what = format!("line {}: {line:?} is not NAME=VALUE", index + 1);
            return Err(Error::new(ErrorKind::Invalid, what).while_doing(reading()));
        };
        out.push((name.to_owned(), value.to_owned()));
    }
    Ok(out)
}
