//! Archives with random damage: whatever comes of them, it stays inside and is no accident.

use proptest::prelude::*;

use super::super::UnpackOptions;
use super::super::tar::{Entry, EntryKind};
use super::support::{Place, archive, entry, gnu, is_root, options};
use crate::sys::Time;

/// One archive with every feature the reader knows.
fn rich() -> Vec<u8> {
    let described = Entry {
        mtime: Time { secs: 5, nanos: 6 },
        xattrs: vec![(b"user.a".to_vec(), b"b".to_vec())],
        ..entry("d/pax", EntryKind::File)
    };
    archive()
        .dir("d/")
        .entry(described, b"content")
        .symlink("l", "d")
        .file("l/through", "x")
        .link("h", "d/pax")
        .gnu_long(b'L', b"d/long-name\0")
        .file("short", "y")
        .file("d/.wh.gone", "")
        .file(".wh.d2", "")
        .file("d2/new", "")
        .file("d/.wh..wh..opq", "")
        .pax(&[
            ("GNU.sparse.size", b"600"),
            ("GNU.sparse.numblocks", b"1"),
            ("GNU.sparse.map", b"512,3"),
        ])
        .raw(b'0', "sparse", b"abc", |_| {})
        .raw(b'S', "old", b"abc", |header| {
            *header = gnu(header);
            let gnu = header.as_gnu_mut().unwrap();
            gnu.set_real_size(9);
            gnu.sparse[0].set_offset(6);
            gnu.sparse[0].set_length(3);
        })
        .entry(entry("p", EntryKind::Fifo), b"")
        .end()
}

/// Makes the sums of all headers right again, so that damage gets past them.
fn mend_checksums(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

fn any_change() -> impl Strategy<Value = (usize, u8)> {
    let interesting = proptest::sample::select(b"\0./01257xgLKS= \n\xff\x80".to_vec());
    // Names, numbers and types stand in the first part of a block.
    let place = (0_usize..40, prop_oneof![0_usize..160, 0_usize..512]);
    (place, prop_oneof![interesting, any::<u8>()])
        .prop_map(|((block, at), byte)| (block * 512 + at, byte))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_stays_inside(changes in proptest::collection::vec(any_change(), 1..6), cut: Option<u16>) {
        // Damaged modes keep others from reading what they have unpacked.
        if !is_root() {
            return Ok(());
        }
        let mut bytes = rich();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        mend_checksums(&mut bytes);
        if let Some(length) = cut.filter(|length| length % 4 == 0) {
            bytes.truncate(usize::from(length));
        }
        let mut seen = Vec::new();
        for writers in [0, 2] {
            let place = Place::new();
            let result = place.unpack_with(&bytes, UnpackOptions { writers, ..options() });
            let listing = result.is_ok().then(|| place.listing());
            seen.push((format!("{result:?}"), listing));
            let _ = place.apply(&bytes);
        }
        prop_assert_eq!(&seen[0], &seen[1]);
    }
}
