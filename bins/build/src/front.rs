//! From what was said to a checked file. The environment is read here and nowhere else.

use std::io::Read;
use std::path::Path;

use creel::build::check::{Checked, Request, check};
use creel::build::context::{Context, Found, from_stream, named};
use creel::build::dockerignore::Ignore;
use creel::build::graph::{PlanOptions, context_key};
use creel::build::lint::ContextFiles;
use creel::error::{Error, ErrorKind, IoContext, Result};
use creel::spec::Platform;

use crate::args::FrontArgs;

/// Most that is read of a file with arguments (bytes).
const MAX_ARGUMENT_FILE: u64 = 1 << 20;

/// Finds the files and checks them. With `all_stages` also what the target does not need.
pub(crate) fn load(args: &FrontArgs, all_stages: bool) -> Result<Checked> {
    let options = options(args, all_stages)?;
    let from_stdin = args.context == Path::new("-");
    let context = match from_stdin || !is_local(&args.context)? {
        true => None,
        false => Some(Context::open(&args.context)?),
    };
    let found = dockerfile(args, from_stdin, context.as_ref())?;
    let ignore = match (found.own_ignore, &context) {
        (Some(own), _) => own,
        (None, Some(context)) => context.ignore()?.unwrap_or_default(),
        (None, None) => Ignore::default(),
    };
    let exists = |name: &str| context.as_ref().is_some_and(|context| context.has(name));
    let files = context.as_ref().map(|_| ContextFiles { ignore: &ignore, exists: &exists });
    let request = Request { name: &found.name, bytes: &found.bytes, options, context: files };
    Ok(check(request, &mut |_, _| None))
}

fn dockerfile(args: &FrontArgs, from_stdin: bool, context: Option<&Context>) -> Result<Found> {
    let stdin_file = args.file.as_deref() == Some(Path::new("-"));
    match (&args.file, context) {
        (None, Some(context)) => context.dockerfile(),
        (Some(path), Some(context)) if !stdin_file => context.named(path),
        (Some(path), None) if !stdin_file => named(path),
        _ if from_stdin && stdin_file => {
            Err(Error::usage("standard input cannot be both the context and the Dockerfile"))
        }
        _ => {
            let found = from_stream(std::io::stdin().lock())?;
            match is_archive(&found.bytes) {
                true => Err(later("a context in an archive on standard input")),
                false => Ok(found),
            }
        }
    }
}

/// Whether these bytes start a tar archive, compressed or not.
fn is_archive(bytes: &[u8]) -> bool {
    let magic: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    magic.iter().any(|magic| bytes.starts_with(magic))
        || bytes.get(257..262).is_some_and(|magic| magic == b"ustar")
}

/// Whether a context is a directory here; places elsewhere cannot be opened yet.
fn is_local(context: &Path) -> Result<bool> {
    let text = context.to_string_lossy();
    let remote = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    if remote.iter().any(|prefix| text.starts_with(prefix)) {
        return Err(later("a context from elsewhere"));
    }
    Ok(true)
}

/// What this release cannot do.
pub(crate) fn later(what: &str) -> Error {
    Error::unsupported(format!("{what} comes with a later release"))
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
    if let Ok(value) = std::env::var("SOURCE_DATE_EPOCH")
        && !build_arguments.iter().any(|(name, _)| name == "SOURCE_DATE_EPOCH")
    {
        build_arguments.push(("SOURCE_DATE_EPOCH".to_owned(), value));
    }
    Ok(PlanOptions {
        target: args.target.clone(),
        build_arguments,
        platform: args.platform.clone().unwrap_or_else(Platform::host),
        build_platform: Platform::host(),
        contexts: args.build_contexts.iter().map(|name| context_key(name)).collect(),
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
