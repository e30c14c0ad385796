//! What sound archives become.

use super::super::tar::{Entry, EntryKind};
use super::super::{IdMap, IdRange, Ownership, UnpackOptions};
use super::support::{Place, archive, entry, gnu, is_root, listing, options};
use crate::sys::{Device, Time};

#[test]
fn every_type_with_its_metadata() {
    if !is_root() {
        return;
    }
    let time = Time { secs: 1_700_000_000, nanos: 123_456_789 };
    let with = |path: &str, kind, mode, uid, gid| Entry {
        mode,
        uid,
        gid,
        mtime: time,
        ..entry(path, kind)
    };
    let device = Device { major: 1, minor: 3 };
    let bytes = archive()
        .entry(with("./", EntryKind::Directory, 0o750, 1, 2), b"")
        .entry(with("d", EntryKind::Directory, 0o1777, 3, 4), b"")
        .entry(with("d/suid", EntryKind::File, 0o4755, 5, 6), b"content")
        .entry(with("d/none", EntryKind::File, 0, 0, 0), b"")
        .entry(with("d/link", EntryKind::Symlink(b"../x".to_vec()), 0o777, 7, 8), b"")
        .entry(with("d/again", EntryKind::HardLink(b"d/suid".to_vec()), 0o4755, 5, 6), b"")
        .entry(with("c", EntryKind::Char(device), 0o666, 9, 10), b"")
        .entry(with("b", EntryKind::Block(device), 0o660, 11, 12), b"")
        .entry(with("p", EntryKind::Fifo, 0o622, 13, 14), b"")
        .entry(with("linklink", EntryKind::HardLink(b"./d/link".to_vec()), 0o777, 7, 8), b"")
        .end();
    let place = Place::new();
    let report = place.unpack(&bytes).unwrap();
    assert_eq!(
        place.listing(),
        "Block 1:3 0660 11:12 @1700000000.123456789 b\n\
         Char 1:3 0666 9:10 @1700000000.123456789 c\n\
         d 1777 3:4 @1700000000.123456789 d/\n\
         f 4755 5:6 @1700000000.123456789 x2 d/again \"content\"\n\
         l 7:8 @1700000000.123456789 x2 d/link -> ../x\n\
         f 0000 @1700000000.123456789 d/none \"\"\n\
         f 4755 5:6 @1700000000.123456789 x2 d/suid \"content\"\n\
         l 7:8 @1700000000.123456789 x2 linklink -> ../x\n\
         Fifo 0:0 0622 13:14 @1700000000.123456789 p\n"
    );
    let parent = listing(place.root().parent().unwrap());
    assert!(parent.contains("d 0750 1:2 @1700000000.123456789 root/\n"), "{parent}");
    assert_eq!(report.entries, 10);
    assert_eq!(report.bytes, 7);
    assert_eq!(report.archive_bytes, bytes.len() as u64);
    assert_eq!(report.implied_dirs, []);
}

#[test]
fn xattrs_are_set_and_refusals_reported() {
    if !is_root() {
        return;
    }
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // user::rw-, user:5:r--, group::r--, mask::r--, other::r--
    let acl = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x05\0\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";
    let file = |path: &str, xattrs: &[(&str, &[u8])]| Entry {
        xattrs: xattrs.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.to_vec())).collect(),
        ..entry(path, EntryKind::File)
    };
    let bytes = archive()
        .entry(
            Entry { mode: 0o755, uid: 3, ..file("ping", &[("security.capability", &capability)]) },
            b"x",
        )
        .entry(Entry { mode: 0o444, ..file("acl", &[("system.posix_acl_access", acl)]) }, b"x")
        .entry(
            Entry {
                kind: EntryKind::Directory,
                mode: 0o755,
                ..file("dir", &[("user.a", b"1"), ("user.empty", b"")])
            },
            b"",
        )
        .file("dir/child", "")
        .entry(
            Entry {
                kind: EntryKind::Symlink(b"dir".to_vec()),
                ..file("link", &[("user.a", b"1")])
            },
            b"",
        )
        .entry(file("odd", &[("nonsense.name", b"1"), ("user.good", b"\n=\0")]), b"")
        .end();
    let place = Place::new();
    let report = place.unpack(&bytes).unwrap();
    let listing = place.listing();
    assert!(
        listing.contains("f 0755 3:0 ping \"x\" [security.capability=\\x01\\x00\\x00\\x02"),
        "{listing}"
    );
    assert!(listing.contains("f 0444 acl \"x\" [system.posix_acl_access="), "{listing}");
    assert!(
        listing.contains("d 0755 dir/ [user.a=1] [user.empty=]\nf 0644 dir/child \"\"\n"),
        "{listing}"
    );
    assert!(listing.contains("f 0644 odd \"\" [user.good=\\n=\\x00]\n"), "{listing}");
    let dropped: Vec<String> = report
        .dropped_xattrs
        .iter()
        .map(|d| format!("{} {} {:?}", d.path.escape_ascii(), d.name.escape_ascii(), d.reason))
        .collect();
    assert_eq!(dropped, ["link user.a Refused(1)", "odd nonsense.name Refused(95)"]);
    assert_eq!(report.dropped_xattr_count, 2);
}

#[test]
fn a_default_access_list_does_not_reach_the_layers_own_files() {
    if !is_root() {
        return;
    }
    let acl = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x07\0\x05\0\0\0\x04\0\x07\0\xff\xff\xff\xff\x10\0\x07\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
    let with_default = Entry {
        mode: 0o2775,
        gid: 7,
        xattrs: vec![(b"system.posix_acl_default".to_vec(), acl.to_vec())],
        ..entry("d", EntryKind::Directory)
    };
    let expected =
        "d 0755 d/sub/\nf 0644 d/sub/file \"x\"\nf 0644 d/top \"x\"\nFifo 0:0 0644 d/pipe\n";
    let below = archive()
        .file("d/top", "x")
        .dir("d/sub")
        .file("d/sub/file", "x")
        .entry(entry("d/pipe", EntryKind::Fifo), b"");
    // In one layer, and on top of a layer that has settled.
    let one = archive().entry(with_default.clone(), b"").bytes(&below.clone().unended()).end();
    let place = Place::new();
    place.unpack(&one).unwrap();
    let stacked = Place::new();
    stacked.apply(&archive().entry(with_default, b"").end()).unwrap();
    stacked.apply(&below.end()).unwrap();
    for listing in [place.listing(), stacked.listing()] {
        for line in expected.lines() {
            assert!(listing.contains(&format!("{line}\n")), "{line}: {listing}");
        }
        assert!(listing.starts_with("d 2775 0:7 d/ [system.posix_acl_default="), "{listing}");
    }
}

#[test]
fn times_before_1970_and_long_after() {
    let at = |path: &str, secs, nanos| Entry {
        mtime: Time { secs, nanos },
        ..entry(path, EntryKind::File)
    };
    let bytes = archive()
        .entry(at("old", -5, 0), b"")
        .entry(at("older", -6, 500_000_000), b"")
        .entry(at("future", 1 << 33, 1), b"")
        .end();
    let place = Place::new();
    let options = UnpackOptions { ownership: Ownership::Current, ..options() };
    place.unpack_with(&bytes, options).unwrap();
    let listing = place.listing();
    assert!(listing.contains("@-5 old"), "{listing}");
    assert!(listing.contains("@-6.500000000 older"), "{listing}");
    assert!(listing.contains("@8589934592.000000001 future"), "{listing}");
}

#[test]
fn names_of_any_bytes_and_lengths() {
    let long = format!("{}/{}", "d".repeat(200), "n".repeat(255));
    let target = "t".repeat(3000);
    let bytes = archive()
        .file(&long, "x")
        .symlink("to", &target)
        .raw(b'0', "", b"", |header| header.as_old_mut().name[..3].copy_from_slice(b"\xff\xfe\n"))
        .end();
    let place = Place::new();
    place.unpack(&bytes).unwrap();
    let listing = place.listing();
    assert!(listing.contains(&format!("f 0644 {long} \"x\"\n")), "{listing}");
    assert!(listing.contains(&format!("l to -> {target}\n")), "{listing}");
    assert!(listing.contains("f 0644 \\xff\\xfe\\n \"\"\n"), "{listing}");
}

#[test]
fn later_entries_replace_earlier_ones() {
    let bytes = archive()
        .file("same", "one")
        .file("same", "two")
        .dir("dir-to-file")
        .file("dir-to-file/x", "gone")
        .file("dir-to-file", "now a file")
        .file("file-to-link", "gone")
        .symlink("file-to-link", "same")
        .symlink("link-to-file", "same")
        .file("link-to-file", "own")
        .file("linked", "kept")
        .link("other", "linked")
        .file("other", "new")
        .file("again", "gone")
        .link("again", "same")
        .entry(Entry { mode: 0o700, ..entry("twice", EntryKind::Directory) }, b"")
        .file("twice/kept", "")
        .entry(Entry { mode: 0o711, ..entry("twice", EntryKind::Directory) }, b"")
        .end();
    let expected = "f 0644 x2 again \"two\"\n\
                    f 0644 dir-to-file \"now a file\"\n\
                    l file-to-link -> same\n\
                    f 0644 link-to-file \"own\"\n\
                    f 0644 linked \"kept\"\n\
                    f 0644 other \"new\"\n\
                    f 0644 x2 same \"two\"\n\
                    d 0711 twice/\n\
                    f 0644 twice/kept \"\"\n";
    let place = Place::new();
    place.unpack(&bytes).unwrap();
    assert_eq!(place.listing(), expected);
    let place = Place::new();
    place.apply(&bytes).unwrap();
    assert_eq!(place.listing(), expected);
}

#[test]
fn implied_directories_are_made_and_reported() {
    let bytes = archive()
        .file("a/b/c", "x")
        .dir("a/b")
        .symlink("run", "/var/run")
        .file("run/pid", "1")
        .end();
    let place = Place::new();
    let report = place.unpack(&bytes).unwrap();
    assert_eq!(
        place.listing(),
        "d 0755 a/\nd 0755 a/b/\nf 0644 a/b/c \"x\"\nl run -> /var/run\n\
         d 0755 var/\nd 0755 var/run/\nf 0644 var/run/pid \"1\"\n"
    );
    let implied: Vec<_> = report.implied_dirs.iter().map(|dir| dir.path.as_slice()).collect();
    assert_eq!(implied, [&b""[..], b"a", b"var", b"var/run"]);
}

#[test]
fn writers_change_nothing() {
    let mut made = archive();
    for number in 0..600 {
        let size = (number * 7919) % 90_000;
        let content: Vec<u8> = (0..size).map(|at| (at * number) as u8).collect();
        let path = format!("d{}/f{}", number % 7, number % 450);
        let mtime = Time { secs: number as i64, nanos: 1 };
        made = made.entry(Entry { mtime, ..entry(&path, EntryKind::File) }, &content);
        if number % 50 == 3 {
            made = made.link(&format!("l{number}"), &path);
        }
    }
    let bytes = made.entry(entry("big", EntryKind::File), &vec![5; 700_000]).end();
    let mut seen = Vec::new();
    for writers in [0, 1, 3] {
        let place = Place::new();
        let options = UnpackOptions { writers, ..options() };
        let report = place.unpack_with(&bytes, options).unwrap();
        let sums: Vec<_> = (0..7)
            .flat_map(|d| (0..450).map(move |f| format!("d{d}/f{f}")))
            .chain(["big".to_owned()])
            .filter_map(|path| std::fs::read(place.root().join(path)).ok())
            .collect();
        assert!(sums.len() > 400);
        seen.push((place.listing(), report, sums));
    }
    assert!(seen[0] == seen[1] && seen[1] == seen[2]);
}

#[test]
fn holes_and_zeros() {
    let mut content = vec![0; 1 << 20];
    content[600_000] = 1;
    let map = b"2\n0\n5\n4000\n3\n";
    let mut body = map.to_vec();
    body.resize(512, 0);
    body.extend_from_slice(b"helloend");
    let bytes = archive()
        .entry(entry("zeros", EntryKind::File), &content)
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"v1"),
            ("GNU.sparse.realsize", b"5000"),
        ])
        .raw(b'0', "GNUSparseFile.1/v1", &body, |_| {})
        .pax(&[
            ("GNU.sparse.size", b"10"),
            ("GNU.sparse.numblocks", b"1"),
            ("GNU.sparse.offset", b"7"),
            ("GNU.sparse.numbytes", b"3"),
        ])
        .raw(b'0', "v0", b"end", |_| {})
        .raw(b'S', "old", b"abcd", |header| {
            *header = gnu(header);
            let gnu = header.as_gnu_mut().unwrap();
            gnu.set_real_size(9);
            gnu.sparse[0].set_offset(1);
            gnu.sparse[0].set_length(3);
            gnu.sparse[1].set_offset(6);
            gnu.sparse[1].set_length(1);
        })
        .end();
    for writers in [0, 1] {
        let place = Place::new();
        let options = UnpackOptions { writers, ..options() };
        let report = place.unpack_with(&bytes, options).unwrap();
        let read = |name: &str| std::fs::read(place.root().join(name)).unwrap();
        assert_eq!(read("zeros"), content);
        let mut expected = b"hello".to_vec();
        expected.resize(4000, 0);
        expected.extend_from_slice(b"end");
        expected.resize(5000, 0);
        assert_eq!(read("v1"), expected);
        assert_eq!(read("v0"), b"\0\0\0\0\0\0\0end");
        assert_eq!(read("old"), b"\0abc\0\0d\0\0");
        assert_eq!(report.bytes, (1 << 20) + 5000 + 10 + 9);
    }
}

#[test]
fn owners_are_translated() {
    if !is_root() {
        return;
    }
    let range = |inside, outside, count| IdRange { inside, outside, count };
    let map = IdMap { users: vec![range(0, 70_000, 10)], groups: vec![range(0, 80_000, 10)] };
    let owned = |path: &str, uid| Entry { uid, gid: 2, ..entry(path, EntryKind::File) };
    let options = UnpackOptions { ownership: Ownership::Map(map), ..options() };
    let place = Place::new();
    let bytes = archive().entry(owned("a/b", 9), b"").end();
    place.unpack_with(&bytes, options.clone()).unwrap();
    assert_eq!(place.listing(), "d 0755 70000:80000 a/\nf 0644 70009:80002 a/b \"\"\n");
    let error =
        Place::new().unpack_with(&archive().entry(owned("c", 10), b"").end(), options).unwrap_err();
    assert_eq!(error.chain(), "unpacking \"c\": owner 10:2 is outside the id map");
}
