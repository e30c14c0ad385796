//! The packages of an image, out of its layers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::files::{FileEntry, Merged, Wanted, visit};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::packages::{DATABASE_DIRS, DATABASES, Findings, Interest, Scanner, interest};
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
    let linked = Arc::new(linked(merged));
    let wish = |path: &[u8], content: &FileEntry| {
        let known = linked.get(path).map_or(path, Vec::as_slice);
        interest(known, content.mode, content.size).is_some()
    };
    for (number, wanted) in Wanted::of(merged, merged.all(), wish) {
        let Some((layer, index)) = image.layers().get(number).zip(merged.layers().get(number))
        else {
            continue;
        };
        let (shared, wanted, linked) = (scanner.clone(), Arc::new(wanted), linked.clone());
        visit(source, &layer.descriptor, index, wanted.clone(), move |member| {
            let Some(name) = wanted.paths(member.entry.ordinal).next() else { return Ok(()) };
            let size = member.entry.size;
            let mut scanner = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let known = linked.get(name).map_or(name, Vec::as_slice);
            scanner.take(known, size, &mut member.into_reader())
        })
        .await?;
    }
    let scanner = Arc::into_inner(scanner);
    let scanner = scanner.ok_or_else(|| Error::new(ErrorKind::Failed, "a layer is being read"))?;
    Ok(scanner.into_inner().unwrap_or_else(PoisonError::into_inner).finish())
}

/// Databases that lie elsewhere, behind links, as a container sees them: the real path of each, and
/// the path that it is known by.
fn linked(merged: &Merged<'_>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut linked = BTreeMap::new();
    let mut note = |real: &[u8], known: Vec<u8>| {
        // What is known where it really is keeps that name.
        if interest(real, 0, 1) != Some(Interest::Database) {
            linked.entry(real.to_vec()).or_insert(known);
        }
    };
    for known in DATABASES {
        if let Ok(real) = merged.resolve(known.as_bytes(), true) {
            note(&real, known.into());
        }
    }
    for dir in DATABASE_DIRS {
        let Ok(real) = merged.resolve(dir.as_bytes(), true) else { continue };
        for (path, _) in merged.children(&real) {
            let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
            note(path, [dir.as_bytes(), b"/", name].concat());
        }
    }
    linked
}

fn open(path: &std::path::Path) -> Result<Dir> {
    let doing = || format!("opening {}", path.display());
    std::fs::create_dir_all(path).doing(doing)?;
    Dir::open(path).doing(doing)
}
