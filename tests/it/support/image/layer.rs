//! Layers made in code: tar entries as they are told, hostile ones too, and their compression.

use std::io::{Cursor, Read, Write};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tar::{Builder, EntryType, Header};

use super::super::content::{Content, Descriptor, HashWriter, Noise, Spool, sha256};
use super::Format;
use super::table::{self, Lie, Member, TableForm};

/// When all files were last changed, unless told otherwise: 2001-09-09 01:46:40 UTC.
pub const MTIME: u64 = 1_000_000_000;

/// How a layer's tar is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Compression {
    None,
    #[default]
    Gzip,
    Zstd,
}

/// A layer being put together; see [`layer`]. Entries keep their order.
#[derive(Clone, Default)]
pub struct Layer {
    entries: Vec<Entry>,
    compression: Compression,
    media_type: Option<String>,
    urls: Vec<String>,
    annotations: Map<String, Value>,
    comment: Option<String>,
    tail: Option<Bytes>,
    raw: Option<(Bytes, String)>,
    table: Option<(TableForm, Option<Lie>)>,
}

#[derive(Clone)]
struct Entry {
    name: Vec<u8>,
    link: Option<Vec<u8>>,
    kind: EntryType,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    device: (u32, u32),
    pax: Vec<(String, Vec<u8>)>,
    data: Data,
}

#[derive(Clone)]
enum Data {
    Bytes(Bytes),
    Noise { seed: u64, len: u64 },
}

impl Data {
    fn reader(&self) -> Box<dyn Read> {
        match self {
            Data::Bytes(bytes) => Box::new(Cursor::new(bytes.clone())),
            Data::Noise { seed, len } => Box::new(Noise::new(*seed, *len)),
        }
    }
}

/// An empty layer, gzip-compressed unless told otherwise.
pub fn layer() -> Layer {
    Layer::default()
}

impl Layer {
    fn entry(mut self, name: &str, kind: EntryType, mode: u32, data: Data) -> Layer {
        self.entries.push(Entry {
            name: name.into(),
            link: None,
            kind,
            mode,
            owner: (0, 0),
            mtime: MTIME,
            device: (0, 0),
            pax: Vec::new(),
            data,
        });
        self
    }

    fn empty(self, name: &str, kind: EntryType, mode: u32) -> Layer {
        self.entry(name, kind, mode, Data::Bytes(Bytes::new()))
    }

    /// The entry added last.
    fn last(&mut self) -> &mut Entry {
        self.entries.last_mut().expect("add an entry first")
    }

    /// A regular file, 0644 root:root.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Layer {
        let content = Bytes::copy_from_slice(content.as_ref());
        self.entry(name, EntryType::Regular, 0o644, Data::Bytes(content))
    }

    /// A file of `len` bytes that depend on the seed and do not compress. Made while streaming.
    pub fn noise(self, name: &str, len: u64, seed: u64) -> Layer {
        self.entry(name, EntryType::Regular, 0o644, Data::Noise { seed, len })
    }

    /// One such file in a layer that has nothing else to say.
    pub fn random(self, len: u64, seed: u64) -> Layer {
        self.noise(&format!("random-{seed}"), len, seed)
    }

    /// A directory, 0755 root:root.
    pub fn dir(self, name: &str) -> Layer {
        let name = if name.ends_with('/') { name.into() } else { format!("{name}/") };
        self.empty(&name, EntryType::Directory, 0o755)
    }

    pub fn symlink(self, name: &str, target: &str) -> Layer {
        self.empty(name, EntryType::Symlink, 0o777).link(target)
    }

    pub fn hardlink(self, name: &str, target: &str) -> Layer {
        self.empty(name, EntryType::Link, 0o644).link(target)
    }

    pub fn char_device(self, name: &str, major: u32, minor: u32) -> Layer {
        self.empty(name, EntryType::Char, 0o600).device(major, minor)
    }

    pub fn block_device(self, name: &str, major: u32, minor: u32) -> Layer {
        self.empty(name, EntryType::Block, 0o600).device(major, minor)
    }

    pub fn fifo(self, name: &str) -> Layer {
        self.empty(name, EntryType::Fifo, 0o644)
    }

    /// `.wh.NAME` beside the path that shall vanish.
    pub fn whiteout(self, path: &str) -> Layer {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let separator = if folder.is_empty() { "" } else { "/" };
        self.file(&format!("{folder}{separator}.wh.{name}"), "")
    }

    /// `.wh..wh..opq` in this directory.
    pub fn opaque(self, folder: &str) -> Layer {
        self.file(&format!("{}/.wh..wh..opq", folder.trim_end_matches('/')), "")
    }

    fn link(mut self, target: &str) -> Layer {
        self.last().link = Some(target.into());
        self
    }

    fn device(mut self, major: u32, minor: u32) -> Layer {
        self.last().device = (major, minor);
        self
    }

    // What follows concerns the entry added last.

    pub fn mode(mut self, mode: u32) -> Layer {
        self.last().mode = mode;
        self
    }

    pub fn owner(mut self, uid: u64, gid: u64) -> Layer {
        self.last().owner = (uid, gid);
        self
    }

    /// Whole seconds since 1970.
    pub fn mtime(mut self, seconds: u64) -> Layer {
        self.last().mtime = seconds;
        self
    }

    /// An extended attribute (`SCHILY.xattr.NAME`).
    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Layer {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// Any PAX record, for instance `mtime` = `1.5`.
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Layer {
        self.last().pax.push((key.into(), value.as_ref().into()));
        self
    }

    /// Another type byte than the entry would have.
    pub fn type_byte(mut self, byte: u8) -> Layer {
        self.last().kind = EntryType::new(byte);
        self
    }

    // What follows concerns the whole layer.

    pub fn compression(mut self, compression: Compression) -> Layer {
        self.compression = compression;
        self
    }

    pub fn plain(self) -> Layer {
        self.compression(Compression::None)
    }

    pub fn zstd(self) -> Layer {
        self.compression(Compression::Zstd)
    }

    /// With a table of contents in the blob, and what annotations say about it.
    pub fn table(mut self, form: TableForm) -> Layer {
        self.table = Some((form, None));
        self.compression(form.compression())
    }

    /// The same, with a table that is changed before its digest is made.
    pub fn false_table(mut self, form: TableForm, change: Lie) -> Layer {
        self.table = Some((form, Some(change)));
        self.compression(form.compression())
    }

    /// Another media type than format and compression give.
    pub fn media_type(mut self, media_type: &str) -> Layer {
        self.media_type = Some(media_type.into());
        self
    }

    /// Makes it a foreign layer: the media type of those, and where to get it.
    pub fn foreign(mut self, url: &str) -> Layer {
        self.urls.push(url.into());
        self
    }

    /// An annotation of the layer's descriptor.
    pub fn annotation(mut self, key: &str, value: &str) -> Layer {
        self.annotations.insert(key.into(), json!(value));
        self
    }

    /// `created_by` in the history.
    pub fn created_by(mut self, text: &str) -> Layer {
        self.comment = Some(text.into());
        self
    }

    /// Appends these bytes behind the (compressed) stream.
    pub fn trailing(mut self, bytes: impl Into<Bytes>) -> Layer {
        self.tail = Some(bytes.into());
        self
    }

    /// These very bytes are the blob, and this is claimed as its DiffID.
    pub fn raw(mut self, blob: impl Into<Bytes>, diff_id: &str) -> Layer {
        self.raw = Some((blob.into(), diff_id.into()));
        self
    }

    pub(super) fn history(&self) -> String {
        self.comment.clone().unwrap_or_else(|| "made by the tests".into())
    }

    /// The uncompressed tar in memory.
    pub fn tar(&self) -> Vec<u8> {
        self.write_tar(Vec::new())
    }

    /// Streams the tar into a writer and gives that back.
    pub fn write_tar<W: Write>(&self, out: W) -> W {
        let mut tar = Builder::new(out);
        for entry in &self.entries {
            entry.append(&mut tar);
        }
        tar.into_inner().expect("writing a tar")
    }

    pub(super) fn build(&self, format: Format) -> BuiltLayer {
        let mut annotations = Map::new();
        let (content, diff_id, digest) = match (&self.raw, self.table) {
            (None, Some((form, change))) => {
                let members: Vec<Member> = self.entries.iter().map(Entry::member).collect();
                let packed = table::pack(form, &members, change);
                let told = packed.annotations.into_iter();
                annotations.extend(told.map(|(key, value)| (key, json!(value))));
                let content = Content::from(Bytes::from(packed.blob));
                let digest = content.digest_like("sha256:");
                (content, sha256(&packed.tar), digest)
            }
            (Some((blob, diff_id)), _) => {
                let content = Content::from(blob.clone());
                let digest = content.digest_like("sha256:");
                (content, diff_id.clone(), digest)
            }
            (None, None) => self.pack(),
        };
        let media_type = self.media_type.clone();
        let media_type = media_type.unwrap_or_else(|| self.usual_media_type(format));
        let mut descriptor = Descriptor::new(&media_type, &digest, content.size());
        if !self.urls.is_empty() {
            descriptor = descriptor.with("urls", json!(self.urls));
        }
        // What a test says itself counts more.
        annotations.extend(self.annotations.clone());
        if !annotations.is_empty() {
            descriptor = descriptor.with("annotations", Value::Object(annotations));
        }
        BuiltLayer { descriptor, diff_id, compression: self.compression, content }
    }

    /// Tar → DiffID → compression → digest, in one pass.
    fn pack(&self) -> (Content, String, String) {
        let spool = Spool::new();
        let (mut spool, diff_id) = match self.compression {
            Compression::None => {
                let (spool, diff_id, _) = self.write_tar(HashWriter::new(spool)).finish();
                (spool, diff_id)
            }
            Compression::Gzip => {
                let gzip = flate2::write::GzEncoder::new(spool, flate2::Compression::new(6));
                let (gzip, diff_id, _) = self.write_tar(HashWriter::new(gzip)).finish();
                (gzip.finish().expect("gzip"), diff_id)
            }
            Compression::Zstd => {
                let zstd = zstd::Encoder::new(spool, 3).expect("zstd");
                let (zstd, diff_id, _) = self.write_tar(HashWriter::new(zstd)).finish();
                (zstd.finish().expect("zstd"), diff_id)
            }
        };
        if let Some(tail) = &self.tail {
            spool.write_all(tail).expect("spooling");
        }
        let (content, digest) = spool.finish();
        (content, diff_id, digest)
    }

    fn usual_media_type(&self, format: Format) -> String {
        let foreign = !self.urls.is_empty();
        let base = match (format, foreign) {
            (Format::Oci, false) => "application/vnd.oci.image.layer.v1.tar",
            (Format::Oci, true) => "application/vnd.oci.image.layer.nondistributable.v1.tar",
            (Format::Docker, false) => "application/vnd.docker.image.rootfs.diff.tar",
            (Format::Docker, true) => "application/vnd.docker.image.rootfs.foreign.diff.tar",
        };
        let join = if format == Format::Oci { '+' } else { '.' };
        match self.compression {
            Compression::None => base.into(),
            Compression::Gzip => format!("{base}{join}gzip"),
            Compression::Zstd => format!("{base}{join}zstd"),
        }
    }
}

impl Entry {
    fn member(&self) -> Member {
        let mut tar = Builder::new(Vec::new());
        let header = self.append(&mut tar);
        let content = table::all(self.data.reader());
        let mut head = tar.get_ref().clone();
        head.truncate(head.len() - content.len().next_multiple_of(512));
        let item = table::item(&header, &self.name, self.link.as_deref(), &self.pax);
        Member { head, content, item }
    }

    /// Writes name and link target as raw bytes: `tar` would refuse `..` and absolute ones.
    fn append<W: Write>(&self, tar: &mut Builder<W>) -> Header {
        let mut pax = self.pax.clone();
        let mut header = Header::new_ustar();
        let mut put = |field: &mut [u8], text: &[u8], key: &str| {
            let n = text.len().min(field.len());
            field[..n].copy_from_slice(&text[..n]);
            if text.len() > n {
                pax.push((key.into(), text.into()));
            }
        };
        put(&mut header.as_old_mut().name, &self.name, "path");
        if let Some(link) = &self.link {
            put(&mut header.as_old_mut().linkname, link, "linkpath");
        }
        let len = match &self.data {
            Data::Bytes(bytes) => bytes.len() as u64,
            Data::Noise { len, .. } => *len,
        };
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(self.mtime);
        header.set_size(len);
        if matches!(self.kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(self.device.0).expect("a ustar header");
            header.set_device_minor(self.device.1).expect("a ustar header");
        }
        header.set_cksum();
        let records = pax.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        tar.append_pax_extensions(records).expect("writing PAX records");
        tar.append(&header, self.data.reader()).expect("writing a tar entry");
        header
    }
}

/// A layer that is made.
#[derive(Clone)]
pub struct BuiltLayer {
    pub descriptor: Descriptor,
    pub diff_id: String,
    pub compression: Compression,
    pub content: Content,
}

impl BuiltLayer {
    /// The uncompressed tar as a stream.
    pub fn tar_reader(&self) -> Box<dyn Read> {
        let raw = self.content.reader();
        match self.compression {
            Compression::None => Box::new(raw),
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(raw)),
            Compression::Zstd => Box::new(zstd::Decoder::new(raw).expect("zstd")),
        }
    }

    /// The uncompressed tar as content.
    pub fn tar(&self) -> Content {
        let mut spool = Spool::new();
        std::io::copy(&mut self.tar_reader(), &mut spool).expect("unpacking a layer");
        spool.finish().0
    }
}
