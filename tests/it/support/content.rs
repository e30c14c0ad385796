//! Bytes that may be large, and what names them: `Content`, `Spool`, `Descriptor`.
//!
//! Small content stays in memory, the rest lies in unnamed temporary files, so that neither the
//! registry nor the image maker makes the test process grow. Hashing is done here, with `sha2`,
//! and not with the library under test.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};

/// From this size on content lies in a file.
const MEMORY_LIMIT: usize = 1 << 20;

/// Bytes that are read by position, any number of times, from any thread.
#[derive(Clone)]
pub enum Content {
    Memory(Bytes),
    File(Arc<File>, u64),
}

impl Content {
    /// The content of a file as it is now.
    pub fn open(path: &Path) -> Content {
        let file = File::open(path).unwrap_or_else(|e| panic!("opening {}: {e}", path.display()));
        let size = file.metadata().expect("file metadata").len();
        Content::File(Arc::new(file), size)
    }

    pub fn size(&self) -> u64 {
        match self {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File(_, size) => *size,
        }
    }

    /// Up to `len` bytes from `offset`; fewer only at the end.
    pub fn slice(&self, offset: u64, len: usize) -> Bytes {
        let end = self.size().min(offset.saturating_add(len as u64));
        if offset >= end {
            return Bytes::new();
        }
        match self {
            Content::Memory(bytes) => bytes.slice(offset as usize..end as usize),
            Content::File(file, _) => {
                let mut buffer = vec![0; (end - offset) as usize];
                file.read_exact_at(&mut buffer, offset).expect("reading spooled content");
                buffer.into()
            }
        }
    }

    /// All of it in memory: for manifests, configs and small layers.
    pub fn bytes(&self) -> Bytes {
        self.slice(0, self.size() as usize)
    }

    pub fn reader(&self) -> ContentReader {
        ContentReader { content: self.clone(), offset: 0 }
    }

    /// Digest of the content with the algorithm of `like` (`sha256:…` or `sha512:…`).
    pub fn digest_like(&self, like: &str) -> String {
        let mut reader = self.reader();
        if like.starts_with("sha512:") {
            let mut hasher = Sha512::new();
            pump(&mut reader, |part| hasher.update(part));
            return format!("sha512:{}", hex(&hasher.finalize()));
        }
        let mut hasher = Sha256::new();
        pump(&mut reader, |part| hasher.update(part));
        format!("sha256:{}", hex(&hasher.finalize()))
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        Content::Memory(bytes.into())
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Content {
        Content::Memory(bytes)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Content {
        Content::Memory(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Content {
    fn from(text: String) -> Content {
        Content::Memory(text.into())
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Content {
        Content::Memory(Bytes::copy_from_slice(bytes))
    }
}

fn pump(reader: &mut impl Read, mut sink: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer).expect("reading content") {
            0 => return,
            n => sink(&buffer[..n]),
        }
    }
}

/// A sequential reader over a [`Content`].
pub struct ContentReader {
    content: Content,
    offset: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let part = self.content.slice(self.offset, buffer.len());
        buffer[..part.len()].copy_from_slice(&part);
        self.offset += part.len() as u64;
        Ok(part.len())
    }
}

/// Collects bytes, moves to a file when they become many, and hashes (sha256) as they come.
pub struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    size: u64,
    hasher: Sha256,
}

impl Spool {
    pub fn new() -> Spool {
        Spool { memory: Vec::new(), file: None, size: 0, hasher: Sha256::new() }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// The content and its sha256 digest.
    pub fn finish(self) -> (Content, String) {
        let digest = format!("sha256:{}", hex(&self.hasher.finalize()));
        let content = match self.file {
            Some(file) => Content::File(Arc::new(file), self.size),
            None => Content::Memory(self.memory.into()),
        };
        (content, digest)
    }
}

impl Write for Spool {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.memory.len() + part.len() > MEMORY_LIMIT {
            let mut file = tempfile::tempfile()?;
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(part)?,
            None => self.memory.extend_from_slice(part),
        }
        self.hasher.update(part);
        self.size += part.len() as u64;
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes and counts what passes on to `inner`.
pub struct HashWriter<W> {
    pub inner: W,
    hasher: Sha256,
    size: u64,
}

impl<W: Write> HashWriter<W> {
    pub fn new(inner: W) -> HashWriter<W> {
        HashWriter { inner, hasher: Sha256::new(), size: 0 }
    }

    /// The inner writer, the sha256 digest and the number of bytes.
    pub fn finish(self) -> (W, String, u64) {
        (self.inner, format!("sha256:{}", hex(&self.hasher.finalize())), self.size)
    }
}

impl<W: Write> Write for HashWriter<W> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(part)?;
        self.hasher.update(&part[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// `sha256:…` of some bytes.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes.as_ref())))
}

/// `sha512:…` of some bytes.
pub fn sha512(bytes: impl AsRef<[u8]>) -> String {
    format!("sha512:{}", hex(&Sha512::digest(bytes.as_ref())))
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The part of a digest after the colon.
pub fn encoded(digest: &str) -> &str {
    digest.split_once(':').map_or(digest, |(_, hex)| hex)
}

/// `algorithm:hex` with the length that the algorithm has.
pub fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Unpredictable-looking bytes that depend on the seed alone and do not compress.
pub struct Noise {
    state: u64,
    left: u64,
    word: [u8; 8],
    used: usize,
}

impl Noise {
    pub fn new(seed: u64, len: u64) -> Noise {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Noise { state, left: len, word: [0; 8], used: 8 }
    }

    fn next_word(&mut self) -> [u8; 8] {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = (buffer.len() as u64).min(self.left) as usize;
        let mut at = 0;
        while at < n {
            if self.used == 8 {
                self.word = self.next_word();
                self.used = 0;
            }
            let step = (8 - self.used).min(n - at);
            buffer[at..at + step].copy_from_slice(&self.word[self.used..self.used + step]);
            self.used += step;
            at += step;
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// Bytes of [`Noise`] in memory.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    Noise::new(seed, len as u64).read_to_end(&mut bytes).expect("noise");
    bytes
}

/// A descriptor as manifests carry it.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    /// Everything else: `platform`, `annotations`, `urls`, `artifactType`, …
    pub more: Map<String, Value>,
}

impl Descriptor {
    pub fn of(media_type: &str, bytes: &[u8]) -> Descriptor {
        Descriptor::new(media_type, &sha256(bytes), bytes.len() as u64)
    }

    pub fn new(media_type: &str, digest: &str, size: u64) -> Descriptor {
        Descriptor { media_type: media_type.into(), digest: digest.into(), size, more: Map::new() }
    }

    /// The same with one more field.
    pub fn with(mut self, field: &str, value: Value) -> Descriptor {
        self.more.insert(field.into(), value);
        self
    }

    /// The same with one more annotation.
    pub fn annotated(mut self, key: &str, value: &str) -> Descriptor {
        let all = self.more.entry("annotations").or_insert_with(|| json!({}));
        all[key] = json!(value);
        self
    }

    pub fn json(&self) -> Value {
        let mut value = json!({
            "mediaType": self.media_type, "digest": self.digest, "size": self.size,
        });
        for (field, content) in &self.more {
            value[field] = content.clone();
        }
        value
    }

    /// From a descriptor in a manifest; panics when it is none.
    pub fn parse(value: &Value) -> Descriptor {
        let mut more = value.as_object().expect("a descriptor is an object").clone();
        let mut take = |field: &str| more.shift_remove(field).unwrap_or(Value::Null);
        let (media_type, digest, size) = (take("mediaType"), take("digest"), take("size"));
        Descriptor {
            media_type: media_type.as_str().unwrap_or_default().into(),
            digest: digest.as_str().expect("digest").into(),
            size: size.as_u64().expect("size"),
            more,
        }
    }
}
