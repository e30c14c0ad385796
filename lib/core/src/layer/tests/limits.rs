//! Archives that cost too much (advisory class 1.9).

use std::io::{BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::tar::{Entry, EntryKind};
use super::super::{Limits, Ratio, UnpackOptions, Unpacker};
use super::support::{Archive, Place, archive, entry, options};
use crate::error::{Error, ErrorKind};
use crate::sys::Root;

#[track_caller]
fn refused_by(limits: Limits, made: Archive, reason: &str) {
    let options = UnpackOptions { limits, ..options() };
    let error = Place::new().unpack_with(&made.end(), options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{}", error.chain());
    assert!(error.chain().contains(reason), "{}", error.chain());
}

fn files(count: usize) -> Archive {
    (0..count).fold(archive(), |made, number| made.file(&format!("f{number}"), "12345"))
}

#[test]
fn entries() {
    refused_by(Limits { entries: 9, ..Limits::default() }, files(10), "more than 9 entries");
    let options =
        UnpackOptions { limits: Limits { entries: 10, ..Limits::default() }, ..options() };
    assert_eq!(Place::new().unpack_with(&files(10).end(), options).unwrap().entries, 10);
}

#[test]
fn bytes() {
    refused_by(Limits { bytes: 49, ..Limits::default() }, files(10), "more than 49 bytes of files");
    let options = UnpackOptions { limits: Limits { bytes: 50, ..Limits::default() }, ..options() };
    assert_eq!(Place::new().unpack_with(&files(10).end(), options).unwrap().bytes, 50);
}

#[test]
fn sparse_bombs() {
    // An exabyte of nothing.
    let made = archive()
        .pax(&[
            ("GNU.sparse.size", b"1152921504606846976"),
            ("GNU.sparse.numblocks", b"0"),
            ("GNU.sparse.map", b""),
        ])
        .file("hole", "");
    refused_by(Limits::default(), made, "bytes of files");
}

#[test]
fn depth_and_length() {
    let deep = "d/".repeat(30);
    refused_by(
        Limits { depth: 29, ..Limits::default() },
        archive().dir(&deep),
        "30 levels deep (limit 29)",
    );
    refused_by(
        Limits { path_bytes: 59, ..Limits::default() },
        archive().dir(&deep),
        "name of 60 bytes (limit 59)",
    );
    // As deep as allowed by default, and deeper than one process may have files open.
    let deep = format!("{}f", "d/".repeat(511));
    let place = Place::new();
    place.unpack(&archive().file(&deep, "x").end()).unwrap();
    assert!(place.root().join(&deep).is_file());
}

#[test]
fn memory() {
    let made = (0..2000).fold(archive(), |made, number| made.dir(&format!("d{number}")));
    refused_by(
        Limits { memory: 100_000, ..Limits::default() },
        made,
        "needs more than 100000 bytes to keep its names",
    );
    let heavy = Entry {
        xattrs: vec![(b"user.a".to_vec(), vec![b'x'; 60_000])],
        ..entry("d", EntryKind::Directory)
    };
    refused_by(
        Limits { memory: 50_000, ..Limits::default() },
        archive().entry(heavy, b""),
        "to keep its names",
    );
}

/// Endless zeros, as a small compressed layer may yield.
struct Zeros;

impl Read for Zeros {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        into.fill(0);
        Ok(into.len())
    }
}

#[test]
fn ratio() {
    let compressed = Arc::new(AtomicU64::new(1000));
    let ratio = Ratio { compressed: Arc::clone(&compressed), times: 50, floor: 10_000 };
    let limits = Limits { ratio: Some(ratio), ..Limits::default() };
    let place = Place::new();
    let unpacker = |place: &Place| {
        let options = UnpackOptions { limits: limits.clone(), ..options() };
        Unpacker::new(Root::open(&place.root()).unwrap(), options).unwrap()
    };
    let error = unpacker(&place).unpack(BufReader::with_capacity(1 << 12, Zeros)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.chain().contains("from 1000 compressed, more than 50 times"),
        "{}",
        error.chain()
    );
    // The more came in, the more may come out; and the floor is always allowed.
    let bytes = archive().entry(entry("f", EntryKind::File), &[1; 60_000]).end();
    assert!(unpacker(&Place::new()).unpack(BufReader::with_capacity(512, &bytes[..])).is_err());
    compressed.store(2000, Ordering::Relaxed);
    assert!(unpacker(&Place::new()).unpack(BufReader::with_capacity(512, &bytes[..])).is_ok());
    compressed.store(0, Ordering::Relaxed);
    assert!(unpacker(&Place::new()).unpack(&files(3).end()[..]).is_ok());
}

#[test]
fn endless_padding() {
    let limits = Limits { entries: 1, bytes: 1, ..Limits::default() };
    let options = UnpackOptions { limits, ..options() };
    let place = Place::new();
    let unpacker = Unpacker::new(Root::open(&place.root()).unwrap(), options).unwrap();
    let error = unpacker.unpack(BufReader::new(Zeros)).unwrap_err();
    assert!(error.chain().contains("more than 1056769 bytes"), "{}", error.chain());
}

#[test]
fn errors_of_the_stream_keep_their_kind() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(Error::corrupt("layer sha256:00: wrong digest").into())
        }
    }
    let bytes = archive().file("a", "x").unended();
    let place = Place::new();
    let unpacker = Unpacker::new(Root::open(&place.root()).unwrap(), options()).unwrap();
    let error = unpacker.unpack(BufReader::new((&bytes[..]).chain(Broken))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", error.chain());
    assert!(error.chain().ends_with("layer sha256:00: wrong digest"), "{}", error.chain());
}
