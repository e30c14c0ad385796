//! `diff`: what changed between two images.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use creel::Error;
use creel::error::Result;
use creel::inspect::files::{Broken, LayerIndex, Merged, Name, index_layers, read_content};
use creel::inspect::{self, DiffOptions};
use creel::packages::{Findings, PackageChanges};
use serde::Serialize;

use super::packages::packages_of;
use crate::args::{DiffArgs, Global, OneArgs};
use crate::place::{FoundImage, find_image, index_options};
use crate::render;

/// Largest file whose difference is shown.
const MAX_TEXT: u64 = 16 << 20;

/// The JSON form.
#[derive(Serialize)]
struct Report<'a> {
    old: String,
    new: String,
    #[serde(flatten)]
    diff: &'a inspect::Diff,
    packages: &'a PackageChanges,
}

struct Side {
    found: FoundImage,
    layers: Vec<LayerIndex>,
}

pub async fn diff(global: &Global, args: DiffArgs) -> Result<u8> {
    let open = |image: &str| OneArgs { image: image.to_owned(), platform: args.platform.clone() };
    let old = find_image(global, &open(&args.old)).await?;
    let new = find_image(global, &open(&args.new)).await?;
    let same = old.image.layers() == new.image.layers();
    // Equal layers hold equal files: no digest is needed to know it.
    let options = index_options(global, !same && args.content.is_none())?;
    let mut old = side(old, &options).await?;
    let mut new = side(new, &options).await?;
    // A layer and the tree that it was unpacked to do not count their files alike.
    let alike = old.layers.iter().zip(&new.layers).all(|(old, new)| old.origin == new.origin);
    if same && !alike {
        let options = index_options(global, true)?;
        old = side(old.found, &options).await?;
        new = side(new.found, &options).await?;
    }
    if let Some(path) = &args.content {
        return content(&old, &new, path).await;
    }
    let (left, right) = (Merged::new(&old.layers), Merged::new(&new.layers));
    let options = DiffOptions { semantic: args.semantic };
    let diff = inspect::diff((&old.found.image, &left), (&new.found.image, &right), options);
    let packages = match same {
        true => PackageChanges::default(),
        false => {
            let old: Findings = packages_of(global, &old.found, &left).await?;
            let new: Findings = packages_of(global, &new.found, &right).await?;
            PackageChanges::between(&old, &new)
        }
    };
    let (old, new) = (old.found.found.at.to_string(), new.found.found.at.to_string());
    if global.json {
        render::json(&Report { old, new, diff: &diff, packages: &packages })?;
    } else {
        let shown = if args.all { usize::MAX } else { render::MANY };
        render::text(&render::diff(&old, &new, &diff, &packages, shown))?;
    }
    Ok(u8::from(!diff.equal))
}

/// A difference is only known where everything is.
async fn side(found: FoundImage, options: &inspect::files::IndexOptions) -> Result<Side> {
    let layers = index_layers(&found.found.source, &found.image, options).await?;
    for (number, layer) in layers.iter().enumerate() {
        if let Some(Broken { kind, why }) = &layer.broken {
            let what = format!("{}: layer {} is broken: {why}", found.found.at, number + 1);
            return Err(Error::new(*kind, what));
        }
    }
    Ok(Side { found, layers })
}

/// The difference of one file's content.
async fn content(old: &Side, new: &Side, path: &OsStr) -> Result<u8> {
    let (left, right) = (text(old, path).await?, text(new, path).await?);
    if left.is_none() && right.is_none() {
        let path = Name::from(path.as_bytes());
        return Err(Error::not_found(format!("neither image has a file {path}")));
    }
    let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
    if left == right {
        return Ok(0);
    }
    let path = Name::from(path.as_bytes());
    if [&left, &right].iter().any(|text| text.contains(&0)) {
        render::text(&format!("binary files {path} differ\n"))?;
        return Ok(1);
    }
    let name = |side: &Side| render::printable(&format!("{} {path}", side.found.found.at));
    render::text(&inspect::unified(&name(old), &name(new), &left, &right))?;
    Ok(1)
}

async fn text(side: &Side, path: &OsStr) -> Result<Option<Vec<u8>>> {
    let merged = Merged::new(&side.layers);
    let (number, entry) = match merged.file(path.as_bytes()) {
        Ok(found) => found,
        Err(error) if error.kind() == creel::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(layer) = side.found.image.layers().get(number) else { return Ok(None) };
    let index = &side.layers[number];
    let source = &side.found.found.source;
    read_content(source, &layer.descriptor, index, &entry, MAX_TEXT).await.map(Some)
}
