//! `files`, `cat`, `extract`, `grep`: what is in the layers.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use creel::Error;
use creel::cli::{self, Content};
use creel::error::Result;
use creel::inspect::files::{
    self as library, FileEntry, GrepOptions, LayerIndex, Merged, Name, Node, copy_content,
    index_layers,
};
use creel::layer::{Rights, UnpackReport};

use crate::args::{CatArgs, ExtractArgs, FilesArgs, Global, GrepArgs};
use crate::place::{FoundImage, find_image, index_options};
use crate::render::{self, FileRow};

pub async fn files(global: &Global, args: FilesArgs) -> Result<u8> {
    let FoundImage { found, image, .. } = find_image(global, &args.one).await?;
    let options = index_options(global, args.full && global.json)?;
    let layers = index_layers(&found.source, &image, &options).await?;
    let merged = Merged::new(&layers);
    let list = match &args.layer {
        Some(name) => List::Layer(layer_number(&layers, name)?, args.path.as_bytes().to_vec()),
        // As `ls` does: a link is followed only where the path says that it is a directory.
        None => {
            let path = args.path.as_bytes();
            List::Merged(merged.resolve(path, path.ends_with(b"/"))?, args.recursive)
        }
    };
    match global.json {
        true => render::file_rows(list.rows(&merged), args.full)?,
        false => render::files(|| list.rows(&merged), args.full)?,
    }
    Ok(faults(&layers))
}

/// What is to be listed.
enum List {
    /// What the merged tree shows at a path: the directory's content, or the thing itself; with all
    /// that is below.
    Merged(Vec<u8>, bool),
    /// The entries of one layer in the archive's order, at and below a path.
    Layer(usize, Vec<u8>),
}

type Rows<'a> = Box<dyn Iterator<Item = FileRow<'a>> + 'a>;

impl List {
    fn rows<'a>(&'a self, merged: &'a Merged<'_>) -> Rows<'a> {
        let layers = merged.layers();
        let row = move |path: &[u8], layer: usize, entry: Option<FileEntry>| {
            let layer_digest = &layers.get(layer)?.digest;
            let path = Name([b"/", path].concat());
            Some(FileRow { path, layer: layer + 1, layer_digest, entry })
        };
        let node = move |(path, node): (&[u8], Node)| row(path, node.layer, node.entry);
        match self {
            List::Merged(path, recursive) => {
                let own = merged.at(path).map(|node| (path.as_slice(), node));
                let is_directory = own.as_ref().is_some_and(|(_, node)| node.is_directory());
                match (is_directory, recursive) {
                    (false, _) => Box::new(own.into_iter().filter_map(node)),
                    (true, true) => {
                        Box::new(own.into_iter().chain(merged.below(path)).filter_map(node))
                    }
                    (true, false) => Box::new(merged.children(path).filter_map(node)),
                }
            }
            List::Layer(number, path) => {
                let entries = layers[*number].entries.iter();
                let below = entries.filter(|entry| is_below(entry.path.as_bytes(), path));
                let rows = below.filter_map(move |entry| {
                    let path = entry.path.clone();
                    row(path.as_bytes(), *number, Some(entry))
                });
                Box::new(rows)
            }
        }
    }
}

fn is_below(path: &[u8], wanted: &[u8]) -> bool {
    fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
        path.split(|&b| b == b'/').filter(|part| !part.is_empty())
    }
    let mut found = parts(path);
    parts(wanted).all(|part| found.next() == Some(part))
}

/// A layer by its number from 1 or by the begin of its digest.
fn layer_number(layers: &[LayerIndex], name: &str) -> Result<usize> {
    if let Ok(number) = name.parse::<usize>()
        && (1..=layers.len()).contains(&number)
    {
        return Ok(number - 1);
    }
    let begins = |layer: &LayerIndex| {
        name.len() >= 4
            && (layer.digest.hex().starts_with(name) || layer.digest.to_string().starts_with(name))
    };
    let found: Vec<usize> =
        layers.iter().enumerate().filter(|(_, layer)| begins(layer)).map(|(n, _)| n).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Error::not_found(format!(
            "the image has {} layers, and none is {name:?}: say a number from 1, or the begin of \
             a digest",
            layers.len()
        ))),
        _ => Err(Error::usage(format!("more than one layer begins with {name}"))),
    }
}

/// Tells what is wrong with layers; the exit code if anything is.
pub fn faults(layers: &[LayerIndex]) -> u8 {
    let mut code = 0;
    for (number, layer) in layers.iter().enumerate() {
        for problem in &layer.problems {
            let what = render::printable(&problem.what);
            cli::say(format_args!("layer {}: {}: {what}", number + 1, problem.name));
        }
        if let Some(broken) = &layer.broken {
            let why = render::printable(&broken.why);
            cli::say(format_args!("layer {} is broken: {why}", number + 1));
            code = code.max(cli::exit_code(broken.kind));
        }
    }
    code
}

pub async fn cat(global: &Global, args: CatArgs) -> Result<u8> {
    let FoundImage { found, image, .. } = find_image(global, &args.one).await?;
    let layers = index_layers(&found.source, &image, &index_options(global, false)?).await?;
    let merged = Merged::new(&layers);
    let mut files = Vec::new();
    for path in &args.paths {
        files.push(merged.file(path.as_bytes()).inspect_err(|_| {
            faults(&layers);
        })?);
    }
    for (number, entry) in files {
        let Some(layer) = image.layers().get(number) else { continue };
        let index = &layers[number];
        let content = Content::new();
        copy_content(&found.source, &layer.descriptor, index, &entry, content).await?;
    }
    Ok(faults(&layers))
}

pub async fn extract(global: &Global, args: ExtractArgs) -> Result<u8> {
    let FoundImage { found, image, .. } = find_image(global, &args.one).await?;
    let layers = index_layers(&found.source, &image, &index_options(global, false)?).await?;
    let code = faults(&layers);
    if code != 0 {
        return Ok(code);
    }
    let merged = Merged::new(&layers);
    let (source, path) = (&found.source, args.path.as_bytes());
    let rights = rights(args.keep_special);
    let report = library::extract(source, &image, &merged, path, &args.directory, rights).await?;
    for dropped in &report.dropped_xattrs {
        let (path, name) = (Name::from(&dropped.path[..]), Name::from(&dropped.name[..]));
        cli::say(format_args!("{path}: the attribute {name} was left out"));
    }
    tell_left_out(&report, rights);
    Ok(0)
}

/// What `--keep-special` asks for.
pub fn rights(keep_special: bool) -> Rights {
    if keep_special { Rights::Keep } else { Rights::Drop }
}

fn tell_left_out(report: &UnpackReport, rights: Rights) {
    let hint = match rights {
        Rights::Drop => " (--keep-special keeps them)",
        Rights::Keep => "",
    };
    if report.stripped_files > 0 {
        let count = report.stripped_files;
        cli::say(format_args!("{count} files lost set-id bits or capabilities{hint}"));
    }
    if rights == Rights::Keep {
        for device in &report.skipped_devices {
            let path = Name::from(&device[..]);
            cli::say(format_args!("{path}: devices cannot be made here, it was left out"));
        }
    } else if report.skipped_device_count > 0 {
        let count = report.skipped_device_count;
        cli::say(format_args!("{count} device nodes were left out{hint}"));
    }
}

pub async fn grep(global: &Global, args: GrepArgs) -> Result<u8> {
    let FoundImage { found, image, .. } = find_image(global, &args.one).await?;
    let layers = index_layers(&found.source, &image, &index_options(global, false)?).await?;
    let merged = Merged::new(&layers);
    let options = GrepOptions {
        ignore_case: args.ignore_case,
        fixed: args.fixed_strings,
        first_only: args.files_with_matches,
    };
    let paths: Vec<Vec<u8>> =
        args.paths.iter().map(|path: &OsString| path.as_bytes().to_vec()).collect();
    let mut any = false;
    let mut all = Vec::new();
    let show = |found: library::Match| {
        any = true;
        if global.json {
            all.push(found);
            return Ok(());
        }
        match found.line {
            _ if args.files_with_matches => render::text(&format!("/{}\n", found.path)),
            Some(line) => render::text(&format!("/{}:{line}:{}\n", found.path, found.text)),
            None => render::text(&format!("/{}: binary file matches\n", found.path)),
        }
    };
    library::grep(&found.source, &image, &merged, &args.pattern, &paths, &options, show).await?;
    if global.json {
        render::json(&all)?;
    }
    Ok(faults(&layers).max(u8::from(!any)))
}
