//! Archives that readers disagree about (advisory class 1.8), and those that only look odd.

use super::super::tar::{EntryKind, TarReader};
use super::support::{Archive, archive, gnu};
use crate::error::{Error, ErrorKind, Result};

/// Entries as text: name, type, size, content.
fn read(bytes: &[u8]) -> Result<Vec<String>> {
    let mut reader = TarReader::new(bytes);
    let mut seen = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = vec![b'.'; entry.size as usize];
        while let Some(chunk) = reader.data()? {
            let start = chunk.offset as usize;
            content[start..start + chunk.bytes.len()].copy_from_slice(chunk.bytes);
        }
        let kind = match &entry.kind {
            EntryKind::Symlink(target) => format!("link to {}", target.escape_ascii()),
            EntryKind::HardLink(target) => format!("hard link to {}", target.escape_ascii()),
            other => format!("{other:?}"),
        };
        seen.push(format!("{} {kind} {}", entry.path.escape_ascii(), content.escape_ascii()));
    }
    assert_eq!(reader.position(), bytes.len() as u64, "the stream was not read to its end");
    Ok(seen)
}

#[track_caller]
fn accepted(made: Archive, expected: &[&str]) {
    assert_eq!(read(&made.end()).unwrap(), expected);
}

#[track_caller]
fn failure(bytes: &[u8]) -> Error {
    match read(bytes) {
        Err(error) => error,
        Ok(seen) => panic!("accepted: {seen:?}"),
    }
}

#[track_caller]
fn refused(made: Archive, reason: &str) {
    let error = failure(&made.end());
    assert_eq!(error.kind(), ErrorKind::Invalid, "{}", error.chain());
    assert!(error.chain().contains(reason), "{}", error.chain());
}

fn hidden() -> Archive {
    archive().file("hidden", "x")
}

#[test]
fn pax_size_over_header_size() {
    // Both headers count the body differently; the record rules.
    let inner = hidden().unended();
    let made = archive().pax(&[("size", inner.len().to_string().as_bytes())]);
    let zero_in_header = made.raw(b'0', "file", &inner, |header| header.set_size(0));
    assert!(matches!(read(&zero_in_header.end()), Ok(seen) if seen.len() == 1));
    let made =
        archive().pax(&[("size", b"0")]).raw(b'0', "file", b"", |header| header.set_size(1024));
    accepted(made.file("next", ""), &["file File ", "next File "]);
}

#[test]
fn pax_size_for_entries_without_content() {
    let made = || archive().pax(&[("size", b"512")]);
    refused(made().dir("d"), "has a size of 512");
    refused(made().symlink("l", "t"), "has a size of 512");
    refused(archive().raw(b'5', "d", &hidden().unended(), |_| {}), "has a size of 1024");
    refused(archive().raw(b'6', "p", b"x", |_| {}), "has a size of 1");
}

#[test]
fn pax_records_malformed() {
    for body in ["5 a=b\n", "9 path=x", "8 path=xy\n", "path=x\n", "09 path=x\n\0", "9 pathxx\n"] {
        let made = archive().raw(b'x', "pax", body.as_bytes(), |_| {}).file("ok", "");
        refused(made, "malformed PAX record");
    }
    // A leading zero changes nothing for anybody.
    accepted(archive().raw(b'x', "pax", b"011 path=x\n", |_| {}).file("ok", ""), &["x File "]);
    refused(archive().pax(&[("size", b"+1")]).file("ok", ""), "not a number");
    refused(archive().pax(&[("size", b"-1")]).file("ok", ""), "not a number");
    refused(archive().pax(&[("size", b"9223372036854775807")]).file("ok", ""), "out of range");
    refused(archive().pax(&[("mtime", b"1.2.3")]).file("ok", ""), "not a number");
    refused(archive().pax(&[("linkpath", b"a\0")]).symlink("ok", "x"), "NUL");
}

#[test]
fn pax_repeated_unknown_and_empty() {
    let made =
        archive().pax(&[("path", b"a"), ("path", b"b"), ("comment", b"c"), ("VENDOR.x", b"")]);
    accepted(made.file("ok", ""), &["b File "]);
    accepted(archive().pax(&[("path", b"a"), ("path", b"")]).file("ok", ""), &["ok File "]);
}

#[test]
fn pax_and_gnu_names_together() {
    let made = archive().pax(&[("path", b"a")]).gnu_long(b'L', b"b\0").file("ok", "");
    refused(made, "both a PAX and a GNU name");
    let made = archive().gnu_long(b'K', b"b\0").pax(&[("linkpath", b"a")]).symlink("ok", "t");
    refused(made, "both a PAX and a GNU link target");
    let made = archive().pax(&[("mtime", b"7")]).gnu_long(b'L', b"b\0").file("ok", "");
    accepted(made, &["b File "]);
}

#[test]
fn pax_does_not_reach_other_extension_headers() {
    let made = archive().pax(&[("size", b"3")]).gnu_long(b'L', b"long-name\0").raw(
        b'0',
        "x",
        b"abc",
        |h| h.set_size(0),
    );
    accepted(made, &["long-name File abc"]);
}

#[test]
fn extension_headers_twice_or_dangling() {
    refused(
        archive().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("ok", ""),
        "two extension headers",
    );
    refused(
        archive().gnu_long(b'L', b"a\0").gnu_long(b'L', b"b\0").file("ok", ""),
        "two extension headers",
    );
    refused(archive().pax(&[("path", b"a")]), "extension header without an entry");
    refused(archive().gnu_long(b'L', b"a\0"), "extension header without an entry");
    let error = failure(&archive().pax(&[("path", b"a")]).unended());
    assert!(error.chain().contains("extension header without an entry"), "{}", error.chain());
}

#[test]
fn pax_global_headers() {
    let global = |body: &[u8]| archive().raw(b'g', "pax_global_header", body, |_| {});
    accepted(global(b"17 comment=abcde\n").file("ok", ""), &["ok File "]);
    refused(global(b"9 path=xx").file("ok", ""), "malformed PAX record");
    // Docker and podman ignore what they say, whatever it is.
    for body in [
        &b"9 path=x\n"[..],
        b"20 mtime=1700000000\n",
        b"12 uid=1000\n",
        b"9 size=9\n",
        b"11 size=-1\n",
        b"22 SCHILY.xattr.a.b=1\n",
        b"22 GNU.sparse.major=1\n",
        b"",
    ] {
        accepted(global(body).file("ok", "x").file("b", ""), &["ok File x", "b File "]);
        accepted(archive().file("a", "").raw(b'g', "g", body, |_| {}), &["a File "]);
    }
    let own = global(b"9 path=x\n").pax(&[("path", b"own")]).file("ok", "");
    accepted(own, &["own File "]);
    let between = archive().pax(&[("path", b"a")]).raw(b'g', "g", b"9 path=x\n", |_| {});
    refused(between.file("ok", ""), "global PAX header between an entry's headers");
}

/// A layer of a hundred kilobytes expands to billions of records.
#[test]
fn pax_records_are_counted_over_the_archive() {
    let many = b"5 a=\n".repeat(60_000);
    let with = |typeflag, headers: usize| {
        (0..headers)
            .fold(archive(), |made, _| made.raw(typeflag, "pax", &many, |_| {}).file("f", ""))
    };
    for typeflag in [b'x', b'g'] {
        accepted(with(typeflag, 17), &["f File "; 17]);
        refused(with(typeflag, 18), "more PAX records than a million and sixteen for each entry");
    }
}

#[test]
fn gnu_long_names() {
    accepted(archive().gnu_long(b'L', b"name\0\0\0").file("ok", ""), &["name File "]);
    accepted(archive().gnu_long(b'L', b"no-nul").file("ok", ""), &["no-nul File "]);
    accepted(archive().gnu_long(b'K', b"target\0").symlink("ok", "t"), &["ok link to target "]);
    refused(
        archive().gnu_long(b'L', b"name\0evil\0").file("ok", ""),
        "bytes after the end of a GNU long name",
    );
    refused(archive().gnu_long(b'L', b"\0").file("ok", ""), "empty GNU long name");
}

#[test]
fn extension_bombs() {
    let claims =
        |typeflag, size| archive().raw(typeflag, "big", b"", |header| header.set_size(size));
    for typeflag in [b'x', b'g', b'L', b'K'] {
        refused(claims(typeflag, (1 << 20) + 1), "limit 1 MiB");
    }
    let error = failure(&claims(b'x', 1 << 20).end());
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", error.chain());
}

#[test]
fn numbers_out_of_range() {
    let with = |edit: fn(&mut tar::Header)| archive().raw(b'0', "x", b"", edit);
    refused(with(|h| h.as_old_mut().size = [0xff; 12]), "size -1 is out of range");
    refused(
        with(|h| h.as_old_mut().size = *b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
        "out of range",
    );
    refused(with(|h| h.as_old_mut().size = *b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), "size is too large");
    refused(
        with(|h| h.as_old_mut().mtime = *b"12345x78901\0"),
        "mtime \"12345x78901\\\\x00\" is not a number",
    );
    refused(with(|h| h.as_old_mut().mode = [0xff; 8]), "mode -1 is out of range");
    accepted(with(|h| h.as_old_mut().mode = *b"0100644\0"), &["x File "]);
}

#[test]
fn checksums() {
    let mut bytes = archive().file("file", "x").end();
    bytes[0] = b'F';
    assert!(failure(&bytes).chain().contains("header checksum is"));
    // Signed sums, as some old writers made them.
    let mut bytes = archive().raw(b'0', "x", b"", |h| h.as_old_mut().name[1] = 0xe9).end();
    let sum: i32 = (0..512)
        .map(|at| if (148..156).contains(&at) { 32 } else { i32::from(bytes[at] as i8) })
        .sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(read(&bytes).unwrap(), ["x\\xe9 File "]);
}

#[test]
fn unknown_types_are_refused() {
    for typeflag in [b'7', b'D', b'M', b'N', b'V', b'X', b'A', b'9', b'\xff'] {
        let error = failure(&archive().raw(typeflag, "x", b"", |_| {}).end());
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", error.chain());
    }
}

#[test]
fn old_dialects() {
    let v7 = |name: &'static str| {
        archive().raw(0, name, b"", |header| {
            header.as_mut_bytes()[257..].fill(0);
        })
    };
    accepted(v7("file"), &["file File "]);
    accepted(v7("dir/"), &["dir/ Directory "]);
    // The name prefix counts in every dialect whose magic has the NUL, whatever its version.
    let prefix = |edit: fn(&mut [u8; 512])| {
        archive().raw(b'0', "name", b"", |header| {
            header.as_mut_bytes()[345..348].copy_from_slice(b"pre");
            edit(header.as_mut_bytes());
        })
    };
    accepted(prefix(|_| {}), &["pre/name File "]);
    accepted(prefix(|block| block[263..265].fill(0)), &["pre/name File "]);
    accepted(prefix(|block| block[508..].copy_from_slice(b"tar\0")), &["pre/name File "]);
    accepted(prefix(|block| block[257..265].fill(0)), &["name File "]);
    refused(prefix(|block| block[257..265].copy_from_slice(b"ustar  \0")), "atime \"pre");
}

#[test]
fn end_of_archive() {
    let file = || archive().file("a", "x");
    assert_eq!(read(b"").unwrap(), [""; 0]);
    assert_eq!(read(&archive().end()).unwrap(), [""; 0]);
    assert_eq!(read(&file().unended()).unwrap(), ["a File x"]);
    assert_eq!(read(&file().bytes(&[0; 512]).unended()).unwrap(), ["a File x"]);
    assert_eq!(read(&file().bytes(&[0; 10240]).unended()).unwrap(), ["a File x"]);
    assert_eq!(read(&file().bytes(&[0; 1300]).unended()).unwrap(), ["a File x"]);
    refused(file().bytes(&[0; 512]).file("b", ""), "a single block of zeros between entries");
    // What follows the end mark is no part of the archive, whatever it looks like.
    for behind in [&b"x"[..], &[b'x'; 512], &[0xff; 5000], b"\0\0\0x", &hidden().end()] {
        assert_eq!(read(&file().bytes(&[0; 1024]).bytes(behind).unended()).unwrap(), ["a File x"]);
        assert_eq!(read(&archive().bytes(&[0; 1024]).bytes(behind).unended()).unwrap(), [""; 0]);
    }
}

#[test]
fn truncated() {
    let whole = archive().pax(&[("path", b"abc")]).file("x", "content").unended();
    // The padding of the last member may be missing.
    let padding = whole.len() - (512 - b"content".len());
    for length in padding..whole.len() {
        assert_eq!(read(&whole[..length]).unwrap(), ["abc File content"], "{length}");
    }
    for length in 1..padding {
        let Err(error) = read(&whole[..length]) else {
            panic!("accepted after {length} bytes");
        };
        // Without its padding an extension header is whole: what is missing is its entry.
        let is_extension_alone = (512 + b"12 path=abc\n".len()..=1024).contains(&length);
        let kind = if is_extension_alone { ErrorKind::Invalid } else { ErrorKind::Corrupt };
        assert_eq!(error.kind(), kind, "{length}: {}", error.chain());
    }
}

#[test]
fn devices() {
    let made = |edit: fn(&mut tar::Header)| archive().raw(b'3', "x", b"", edit);
    accepted(
        made(|h| {
            h.set_device_major(1).unwrap();
            h.set_device_minor(5).unwrap();
        }),
        &["x Char(Device { major: 1, minor: 5 }) "],
    );
    refused(made(|h| h.set_device_major(4096).unwrap()), "device major 4096 is out of range");
    refused(
        made(|h| h.as_mut_bytes()[337..345].copy_from_slice(b"04000000")),
        "device minor 1048576 is out of range",
    );
    refused(made(|h| h.as_mut_bytes()[257..].fill(0)), "device without a device number");
}

fn sparse_1_0(map: &str, data: &[u8], size: &str) -> Archive {
    let mut body = map.as_bytes().to_vec();
    body.resize(body.len().next_multiple_of(512), 0);
    body.extend_from_slice(data);
    archive()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"s"),
            ("GNU.sparse.realsize", size.as_bytes()),
        ])
        .raw(b'0', "x", &body, |_| {})
}

#[test]
fn sparse_maps() {
    accepted(sparse_1_0("2\n0\n2\n4\n1\n", b"abc", "6"), &["s File ab..c."]);
    accepted(sparse_1_0("0\n", b"", "3"), &["s File ..."]);
    accepted(sparse_1_0("1\n3\n0\n", b"", "3"), &["s File ..."]);
    for (map, data, size) in [
        ("2\n0\n2\n1\n1\n", "abc", "6"),
        ("2\n4\n1\n0\n2\n", "abc", "6"),
        ("1\n4\n3\n", "abc", "6"),
        ("1\n0\n2\n", "abc", "6"),
        ("1\n0\n4\n", "abc", "6"),
        ("2\n0\n2\n", "abc", "6"),
        ("1\n0\n-3\n", "abc", "6"),
        ("1\n18446744073709551615\n3\n", "abc", "6"),
        ("9223372036854775807\n", "", "6"),
        ("x\n", "", "6"),
        ("\n", "", "6"),
    ] {
        refused(sparse_1_0(map, data.as_bytes(), size), "");
    }
    // A map that never ends must end at 1 MiB.
    let endless = format!("1000000000\n{}", "1\n".repeat(1 << 20));
    refused(sparse_1_0(&endless, b"", "6"), "larger than 1 MiB");
}

#[test]
fn sparse_records() {
    let with = |records: &[(&str, &[u8])]| archive().pax(records).raw(b'0', "s", b"abc", |_| {});
    let size = ("GNU.sparse.size", &b"6"[..]);
    let one_block = ("GNU.sparse.numblocks", &b"1"[..]);
    accepted(with(&[size, one_block, ("GNU.sparse.map", b"1,3")]), &["s File .abc.."]);
    accepted(
        with(&[size, one_block, ("GNU.sparse.offset", b"2"), ("GNU.sparse.numbytes", b"3")]),
        &["s File ..abc."],
    );
    for records in [
        &[size][..],
        &[one_block, ("GNU.sparse.map", b"1,3")],
        &[size, ("GNU.sparse.map", b"1,3")],
        &[size, one_block, ("GNU.sparse.map", b"1,3,4")],
        &[size, one_block, ("GNU.sparse.map", b"1,3,4,0")],
        &[size, one_block, ("GNU.sparse.map", b"1,2")],
        &[size, one_block, ("GNU.sparse.map", b"5,3")],
        &[size, one_block, ("GNU.sparse.numbytes", b"3"), ("GNU.sparse.offset", b"2")],
        &[size, one_block, ("GNU.sparse.map", b"1,3"), ("GNU.sparse.realsize", b"7")],
        &[
            size,
            one_block,
            ("GNU.sparse.map", b"1,3"),
            ("GNU.sparse.major", b"2"),
            ("GNU.sparse.minor", b"0"),
        ],
        &[size, one_block, ("GNU.sparse.map", b"1,3"), ("GNU.sparse.unknown", b"2")],
        &[("GNU.sparse.name", b"only")],
        &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")],
    ] {
        refused(with(records), "");
    }
    refused(
        archive().pax(&[size, one_block, ("GNU.sparse.map", b"1,3")]).dir("d"),
        "sparse map for an entry without content",
    );
}

#[test]
fn sparse_old_gnu() {
    let with = |edit: fn(&mut tar::GnuHeader), body: &'static [u8]| {
        archive().raw(b'S', "s", body, |header| {
            *header = gnu(header);
            edit(header.as_gnu_mut().unwrap());
        })
    };
    accepted(
        with(
            |gnu| {
                gnu.set_real_size(5);
                gnu.sparse[0].set_offset(2);
                gnu.sparse[0].set_length(3);
            },
            b"abc",
        ),
        &["s File ..abc"],
    );
    refused(
        with(
            |gnu| {
                gnu.set_real_size(4);
                gnu.sparse[0].set_offset(2);
                gnu.sparse[0].set_length(3);
            },
            b"abc",
        ),
        "passes the end of file",
    );
    refused(
        with(
            |gnu| {
                gnu.set_real_size(5);
                gnu.set_is_extended(true);
            },
            b"abc",
        ),
        "sparse map with a gap",
    );
    refused(archive().raw(b'S', "s", b"abc", |_| {}), "described twice");
    // Extension blocks that never end must end at 1 MiB.
    let mut more = tar::GnuExtSparseHeader::new();
    more.isextended[0] = 1;
    for slot in more.sparse_mut() {
        slot.set_offset(0);
        slot.set_length(0);
    }
    let endless = with(
        |gnu| {
            gnu.set_real_size(5);
            gnu.set_is_extended(true);
            for slot in &mut gnu.sparse {
                slot.set_offset(0);
                slot.set_length(0);
            }
        },
        b"",
    )
    .bytes(&more.as_bytes().repeat(2100));
    refused(endless, "more than 1 MiB");
}

#[test]
fn sparse_old_gnu_with_an_extension() {
    let mut more = tar::GnuExtSparseHeader::new();
    more.sparse_mut()[0].set_offset(9);
    more.sparse_mut()[0].set_length(1);
    let made = archive().raw(b'S', "s", b"", |header| {
        *header = gnu(header);
        header.set_size(5);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(10);
        gnu.set_is_extended(true);
        for (at, slot) in gnu.sparse.iter_mut().enumerate() {
            slot.set_offset(2 * at as u64);
            slot.set_length(1);
        }
    });
    let mut body = b"abcde".to_vec();
    body.resize(512, 0);
    accepted(
        made.bytes(more.as_bytes()).bytes(&body).file("next", ""),
        &["s File a.b.c.d..e", "next File "],
    );
}
