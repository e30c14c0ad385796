//! The content of single files out of a layer with a table of contents: only their stretches of
//! the blob move, and every piece is verified by its own digest.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::entry::FileEntry;
use super::super::walk::{Content, Member, meaning};
use super::super::wanted::Wanted as Wishes;
use super::fetch::fetch;
use super::item::Item;
use super::read::scan;
use super::{Form, Table};
use crate::blob::{BlobReader, CHUNK, Decoder, blocking};
use crate::error::{Error, IoContext, Result};
use crate::layer::tar::Chunk;
use crate::spec::{Descriptor, Digest, Hasher};
use crate::transport::Source;

/// Files this close to each other come with one request.
const GAP: u64 = 256 << 10;
/// Most pieces of all wanted files.
const MAX_PIECES: usize = 1_000_000;

/// A wanted file.
struct Wanted {
    entry: FileEntry,
    pieces: Vec<Piece>,
    /// The digest of the whole, where a piece has none of its own.
    whole: Option<Digest>,
}

/// Some content of a file.
struct Piece {
    /// Where in the file.
    at: u64,
    size: u64,
    /// Where in the blob a stream begins that has it; where it ends at the latest.
    from: u64,
    to: u64,
    /// Bytes of the stream before it.
    skip: u64,
    digest: Option<Digest>,
    /// Nothing but zeros, and nowhere in the blob.
    zeros: bool,
}

impl Wanted {
    fn start(&self) -> Option<u64> {
        self.pieces.iter().find(|piece| !piece.zeros).map(|piece| piece.from)
    }

    fn stored(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(|piece| !piece.zeros)
    }
}

/// Reads the entries with ordinals that are `wanted`; `take` sees each once, in any order.
pub(in crate::inspect::files) async fn visit<S, F>(
    source: &S,
    layer: &Descriptor,
    table: Table,
    dir: &Path,
    wanted: Arc<Wishes>,
    take: F,
) -> Result<()>
where
    S: Source,
    F: FnMut(Member<'_>) -> Result<()> + Send + 'static,
{
    let file = fetch(source, layer, &table, dir).await?;
    let size = layer.size;
    let files = blocking(move || plan(&table, &file, size, &wanted)).await?;
    // The closure moves from run to run.
    let take = Arc::new(Mutex::new(take));
    for run in runs(files) {
        let take = take.clone();
        let work = move |reader| {
            let mut take = take.lock().unwrap_or_else(PoisonError::into_inner);
            read(reader, run.stretch.start, &run.files, &mut *take)
        };
        source.open(layer).await?.consume_stretch(run.stretch, work).await?;
    }
    Ok(())
}

/// What the table tells about the wanted files.
fn plan(table: &Table, file: &File, size: u64, wanted: &Wishes) -> Result<Vec<Wanted>> {
    let end = match &table.form {
        // A frame that is skipped begins with eight bytes.
        Form::Chunked(place) => place.start.saturating_sub(8),
        Form::Stargz => {
            let kept = file.metadata().doing(|| "looking at the table")?.len();
            size.saturating_sub(kept)
        }
    };
    let mut plan = Plan { files: Vec::new(), open: Vec::new(), pieces: 0 };
    let scanned = scan(table, file, &mut |ordinal, item| {
        plan.close(item.offset);
        match wanted.has(ordinal) {
            true => plan.add(ordinal, &item),
            false => Ok(()),
        }
    })?;
    plan.close(end);
    if let Some((own, start)) = scanned.own.filter(|_| wanted.has(scanned.count)) {
        let piece = Piece {
            at: 0,
            size: own.size,
            from: end,
            to: size,
            skip: start,
            digest: Some(table.digest.clone()),
            zeros: false,
        };
        let entry = FileEntry { ordinal: scanned.count, ..own };
        plan.files.push(Wanted { entry, pieces: vec![piece], whole: None });
    }
    plan.files.iter().try_for_each(|file| check(file, size))?;
    Ok(plan.files)
}

struct Plan {
    files: Vec<Wanted>,
    /// Pieces whose end is not known yet: that of the next stream.
    open: Vec<(usize, usize)>,
    pieces: usize,
}

impl Plan {
    /// Something else begins at `offset`.
    fn close(&mut self, offset: u64) {
        let files = &mut self.files;
        self.open.retain(|(file, piece)| {
            let piece = &mut files[*file].pieces[*piece];
            if offset > piece.from {
                piece.to = piece.to.min(offset);
            }
            offset <= piece.from
        });
    }

    fn add(&mut self, ordinal: u64, item: &Item) -> Result<()> {
        if !item.is_piece() {
            let Some(entry) = meaning(item.entry()?, ordinal)? else { return Ok(()) };
            self.files.push(Wanted { entry, pieces: Vec::new(), whole: None });
        }
        let number = self.files.len().saturating_sub(1);
        let Some(file) = self.files.last_mut() else { return Ok(()) };
        if !(item.is_file() || item.is_piece()) || file.entry.size == 0 {
            return Ok(());
        }
        self.pieces += 1;
        if self.pieces > MAX_PIECES {
            return Err(Error::unsupported(format!(
                "the files have more than {MAX_PIECES} pieces"
            )));
        }
        let rest = file.entry.size.saturating_sub(item.chunk_offset);
        let size = if item.chunk_size == 0 { rest } else { item.chunk_size };
        let digest = item.piece_digest()?;
        if item.is_file() {
            file.whole = item.file_digest()?;
        }
        let ends = item.end_offset > item.offset && size == rest;
        let to = if ends { item.end_offset } else { u64::MAX };
        let piece = Piece {
            at: item.chunk_offset,
            size,
            from: item.offset,
            to,
            skip: item.inner_offset,
            digest,
            zeros: item.is_zeros(),
        };
        if !piece.zeros {
            self.open.push((number, file.pieces.len()));
        }
        file.pieces.push(piece);
        Ok(())
    }
}

/// Whether the pieces make up the file and lie in the blob.
fn check(file: &Wanted, size: u64) -> Result<()> {
    let wrong = |what: &str| {
        let path = &file.entry.path;
        Err(Error::corrupt(format!("the table of contents tells wrong pieces of /{path}: {what}")))
    };
    let mut at = 0_u64;
    for piece in &file.pieces {
        if piece.at != at {
            return wrong("they leave gaps or overlap");
        }
        let Some(end) = at.checked_add(piece.size) else { return wrong("they have no end") };
        at = end;
        if !piece.zeros && (piece.from >= piece.to || piece.to > size) {
            return wrong("they are outside of the blob");
        }
        if !piece.zeros && piece.digest.is_none() && file.whole.is_none() {
            return wrong("they have no digest");
        }
    }
    let stored: Vec<&Piece> = file.stored().collect();
    if !stored.is_sorted_by(|a, b| (a.from, a.skip) <= (b.from, b.skip)) {
        return wrong("they are in disorder");
    }
    if at != file.entry.size { wrong("they are not as long as the file") } else { Ok(()) }
}

/// Files that come with one request.
struct Run {
    stretch: Range<u64>,
    files: Vec<Wanted>,
}

fn runs(mut files: Vec<Wanted>) -> Vec<Run> {
    let first = |file: &Wanted| file.stored().next().map(|piece| (piece.from, piece.skip));
    files.sort_by_key(first);
    let mut runs: Vec<Run> = Vec::new();
    // Where reading has got to: the stream, and how far in it.
    let mut reached = (0, 0);
    for file in files {
        let start = file.start();
        let last = file.stored().last();
        let end = last.map_or(0, |piece| piece.to);
        let next =
            last.map_or(reached, |piece| (piece.from, piece.skip.saturating_add(piece.size)));
        let fits = first(&file).is_none_or(|first| first >= reached);
        match runs.last_mut().filter(|run| {
            let near = start.is_none_or(|start| {
                run.stretch.is_empty() || start <= run.stretch.end.saturating_add(GAP)
            });
            near && fits
        }) {
            Some(run) => {
                if let Some(start) = start.filter(|_| run.stretch.is_empty()) {
                    run.stretch = start..end;
                }
                run.stretch.end = run.stretch.end.max(end);
                run.files.push(file);
            }
            None => {
                let start = start.unwrap_or(end);
                runs.push(Run { stretch: start..end, files: vec![file] });
            }
        }
        reached = next;
    }
    runs
}

fn read(
    reader: BlobReader,
    start: u64,
    files: &[Wanted],
    take: &mut impl FnMut(Member<'_>) -> Result<()>,
) -> Result<()> {
    let input = Rc::new(RefCell::new(Placed { reader, at: start }));
    let mut streams = Streams { input, open: None };
    for file in files {
        let mut content = Pieces {
            streams: &mut streams,
            left: file.pieces.iter(),
            now: None,
            whole: file.whole.as_ref().filter(|_| file.stored().any(|p| p.digest.is_none())),
            hasher: file.whole.as_ref().map(|digest| Hasher::new(digest.algorithm())),
            buffer: Vec::new(),
        };
        let reading = || format!("reading /{}", file.entry.path);
        take(Member { entry: &file.entry, reader: &mut content }).doing(reading)?;
        // Whoever had enough before its end is not to be left with what nobody verified.
        while content.next_chunk().doing(reading)?.is_some() {}
    }
    Ok(())
}

/// The blob from some place on.
struct Placed {
    reader: BlobReader,
    at: u64,
}

impl Read for Placed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The same up to some place.
struct Bounded {
    input: Rc<RefCell<Placed>>,
    end: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut input = self.input.borrow_mut();
        let left = usize::try_from(self.end.saturating_sub(input.at)).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        input.read(&mut buffer[..most])
    }
}

/// Compressed streams of a blob, one after the other.
struct Streams {
    input: Rc<RefCell<Placed>>,
    /// Where the open one begins, and how much came out of it.
    open: Option<(u64, Decoder<Bounded>)>,
}

impl Streams {
    /// The stream of a piece, at its start.
    fn seek(&mut self, piece: &Piece) -> Result<&mut Decoder<Bounded>> {
        let skipping = || "passing over what is not wanted";
        let open = match self.open.take().filter(|(from, _)| *from == piece.from) {
            Some(open) => open,
            None => {
                {
                    let mut input = self.input.borrow_mut();
                    let gap = piece.from.saturating_sub(input.at);
                    std::io::copy(&mut Read::take(&mut *input, gap), &mut std::io::sink())
                        .doing(skipping)?;
                }
                let bounded = Bounded { input: self.input.clone(), end: piece.to };
                (piece.from, Decoder::new(bounded).doing(|| "unpacking it")?)
            }
        };
        let (_, decoder) = self.open.insert(open);
        let gap = piece.skip.saturating_sub(decoder.count());
        std::io::copy(&mut Read::take(&mut *decoder, gap), &mut std::io::sink()).doing(skipping)?;
        Ok(decoder)
    }
}

/// The content of a file, piece by piece.
struct Pieces<'p> {
    streams: &'p mut Streams,
    left: std::slice::Iter<'p, Piece>,
    now: Option<Now<'p>>,
    /// The digest to compare at the end, and what was hashed until now.
    whole: Option<&'p Digest>,
    hasher: Option<Hasher>,
    buffer: Vec<u8>,
}

/// The piece that is being read.
struct Now<'p> {
    piece: &'p Piece,
    done: u64,
    hasher: Option<Hasher>,
}

impl Content for Pieces<'_> {
    fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>> {
        while self.now.is_none() {
            let Some(piece) = self.left.next() else {
                self.finish()?;
                return Ok(None);
            };
            if piece.zeros || piece.size == 0 {
                self.hash_zeros(piece.size);
                continue;
            }
            let hasher = piece.digest.as_ref().map(|digest| Hasher::new(digest.algorithm()));
            self.now = Some(Now { piece, done: 0, hasher });
        }
        let Some(mut now) = self.now.take() else { return Ok(None) };
        let piece = now.piece;
        let decoder = self.streams.seek(piece)?;
        self.buffer.clear();
        let most = (piece.size - now.done).min(CHUNK as u64);
        Read::take(&mut *decoder, most)
            .read_to_end(&mut self.buffer)
            .doing(|| "unpacking a piece of it")?;
        if self.buffer.is_empty() && piece.size > now.done {
            return Err(Error::corrupt("the blob has less of it than the table of contents says"));
        }
        let offset = piece.at + now.done;
        now.done += self.buffer.len() as u64;
        if let Some(hasher) = &mut now.hasher {
            hasher.update(&self.buffer);
        }
        if let Some(hasher) = self.hasher.as_mut().filter(|_| self.whole.is_some()) {
            hasher.update(&self.buffer);
        }
        // Verified before the last of it is handed out.
        if now.done < piece.size {
            self.now = Some(now);
        } else if let Some(digest) = &piece.digest {
            same(digest, now.hasher.take())?;
        }
        Ok(Some(Chunk { offset, bytes: &self.buffer }))
    }
}

impl Pieces<'_> {
    fn hash_zeros(&mut self, mut size: u64) {
        const ZEROS: [u8; 4096] = [0; 4096];
        let Some(hasher) = self.hasher.as_mut().filter(|_| self.whole.is_some()) else { return };
        while size > 0 {
            let part = size.min(ZEROS.len() as u64);
            hasher.update(&ZEROS[..part as usize]);
            size -= part;
        }
    }

    fn finish(&mut self) -> Result<()> {
        match self.whole.take() {
            Some(digest) => same(digest, self.hasher.take()),
            None => Ok(()),
        }
    }
}

fn same(digest: &Digest, hasher: Option<Hasher>) -> Result<()> {
    let found = hasher.map(Hasher::finish);
    match found {
        Some(found) if found == *digest => Ok(()),
        Some(found) => Err(Error::corrupt(format!(
            "the blob has other bytes of it than the table of contents says: {digest} is told, \
             {found} is there"
        ))),
        None => Ok(()),
    }
}
