//! Content out of layers.

use std::io::Write;
use std::sync::Arc;

use super::entry::FileEntry;
use super::layer::{LayerIndex, Origin};
use super::toc::{self, Table};
use super::walk::{Member, Step, walk};
use super::wanted::Wanted;
use crate::error::{Error, IoContext, Result};
use crate::spec::Descriptor;
use crate::transport::{LayerContent, Source};

/// Writes the content of one entry of a layer, of which `index` is the index, to `out`.
///
/// The layer, or the file where there is a table of contents, is read to its end, so that an error
/// tells where it does not match its digest; what was written until then is not to be trusted.
pub async fn copy_content<S: Source, W: Write + Send + 'static>(
    source: &S,
    layer: &Descriptor,
    index: &LayerIndex,
    entry: &FileEntry,
    mut out: W,
) -> Result<()> {
    let wanted = Arc::new(Wanted::one(entry.ordinal));
    visit(source, layer, index, wanted, move |mut member| member.write_to(&mut out)).await
}

/// The content of one entry of a layer, as [`copy_content`] gets it, in memory.
///
/// # Errors
/// `Unsupported` if it has more than `most` bytes.
pub async fn read_content<S: Source>(
    source: &S,
    layer: &Descriptor,
    index: &LayerIndex,
    entry: &FileEntry,
    most: u64,
) -> Result<Vec<u8>> {
    if entry.size > most {
        let path = &entry.path;
        return Err(Error::unsupported(format!("/{path} is larger than {most} bytes")));
    }
    let (sender, pieces) = std::sync::mpsc::channel();
    copy_content(source, layer, index, entry, Pieces(sender)).await?;
    Ok(pieces.into_iter().flatten().collect())
}

/// What is written goes to another thread.
struct Pieces(std::sync::mpsc::Sender<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads what a layer holds in the way in which `index` came about; `take` sees the entries with
/// ordinals that are `wanted`.
pub(in crate::inspect) async fn visit<S, F>(
    source: &S,
    layer: &Descriptor,
    index: &LayerIndex,
    wanted: Arc<Wanted>,
    mut take: F,
) -> Result<()>
where
    S: Source,
    F: FnMut(Member<'_>) -> Result<()> + Send + 'static,
{
    let doing = || format!("reading layer {}", layer.digest);
    if let Origin::Table(digest) = &index.origin {
        let table = Table::of(layer).filter(|table| table.digest() == digest);
        let (Some(table), Some(dir)) = (table, &index.dir) else {
            return Err(Error::invalid("the table of contents is of another layer")).doing(doing);
        };
        return toc::visit(source, layer, table, dir, wanted, take).await.doing(doing);
    }
    let blob = match source.open_layer(layer).await.doing(doing)? {
        LayerContent::Blob(blob) | LayerContent::Repacked { archive: blob, .. } => blob,
    };
    let work = move |blob| {
        walk(blob, |step| match step {
            Step::Member(member) if wanted.has(member.entry.ordinal) => take(member),
            _ => Ok(()),
        })
        .map(drop)
    };
    blob.consume(work).await.doing(doing)
}
