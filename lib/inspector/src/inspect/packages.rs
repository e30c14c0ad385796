//! The packages of an image, out of its layers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::files::{FileEntry, Merged, Wanted, visit};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::packages::{Findings, Scanner, interest};
use crate::spec::Image;
use crate::sys::Dir;
use crate::transport::Source;

/// Finds the packages of what the merged tree shows, reading each layer that has a part in it once.
///
/// Executables too large for memory lie as unnamed files in `scratch` while they are looked into.
pub async fn packages<S: Source>(
    source: &S,
    image: &Image,
    merged: &Merged<'_>,
    scratch: Option<PathBuf>,
) -> Result<Findings> {
    let scratch = scratch.map(|path| open(&path)).transpose()?;
    let scanner = Arc::new(Mutex::new(Scanner::new(scratch)));
    let wish =
        |path: &[u8], content: &FileEntry| interest(path, content.mode, content.size).is_some();
    for (number, wanted) in Wanted::of(merged, merged.all(), wish) {
        let Some((layer, index)) = image.layers().get(number).zip(merged.layers().get(number))
        else {
            continue;
        };
        let (shared, wanted) = (scanner.clone(), Arc::new(wanted));
        visit(source, &layer.descriptor, index, wanted.clone(), move |member| {
            let Some(name) = wanted.paths(member.entry.ordinal).next() else { return Ok(()) };
            let size = member.entry.size;
            let mut scanner = shared.lock().unwrap_or_else(PoisonError::into_inner);
            scanner.take(name, size, &mut member.into_reader())
        })
        .await?;
    }
    let scanner = Arc::into_inner(scanner);
    let scanner = scanner.ok_or_else(|| Error::new(ErrorKind::Failed, "a layer is being read"))?;
    Ok(scanner.into_inner().unwrap_or_else(PoisonError::into_inner).finish())
}

fn open(path: &std::path::Path) -> Result<Dir> {
    let doing = || format!("opening {}", path.display());
    std::fs::create_dir_all(path).doing(doing)?;
    Dir::open(path).doing(doing)
}
