//! rpm's databases of all forms, made by rpm and by Berkeley DB.

use std::fs;

use serde_json::Value;

use crate::support::image::{image, layer};
use crate::support::peers::need;
use crate::support::program::Sandbox;

const SPEC: &str = "Name: hello\nEpoch: 4\nVersion: 1.2\nRelease: 3\nSummary: a greeting\n\
    License: MIT and BSD\nBuildArch: noarch\n%description\nA greeting.\n%files\n";

/// What is found in an image with this file.
fn found(sandbox: &Sandbox, path: &str, database: Vec<u8>) -> Value {
    let built = image().layer(layer().file(path, database)).build();
    let name = path.replace('/', "-");
    built.write_layout(&sandbox.work(&name), Some("1"));
    sandbox.inspect(["packages", "--json", &format!("oci:{name}:1")]).run().success().json()
}

fn one(report: &Value) -> (&str, &str, &str) {
    let packages = report["packages"].as_array().unwrap();
    assert_eq!(packages.len(), 1, "{report}");
    let text = |key: &str| packages[0][key].as_str().unwrap();
    (text("name"), text("version"), text("license"))
}

#[test]
fn what_rpm_writes_is_read() {
    need!("rpm", "rpmbuild");
    let sandbox = Sandbox::new();
    fs::write(sandbox.work("hello.spec"), SPEC).unwrap();
    let script = r#"
        rpmbuild --quiet -bb --define "_topdir $PWD/top" --define "_rpmdir $PWD" hello.spec
        rpm --define "_db_backend sqlite" --dbpath "$PWD/db" --initdb
        rpm --define "_db_backend sqlite" --dbpath "$PWD/db" -i --justdb --nodeps noarch/hello-*.rpm
    "#;
    sandbox.command("sh", ["-ec", script]).run().success();
    let database = fs::read(sandbox.work("db/rpmdb.sqlite")).unwrap();
    let report = found(&sandbox, "usr/lib/sysimage/rpm/rpmdb.sqlite", database);
    assert_eq!(one(&report), ("hello", "4:1.2-3", "MIT and BSD"));
}

/// A database in the form that SUSE uses, which Debian's rpm does not write: as rpm lays it out.
pub fn slots(count: usize) -> Vec<u8> {
    let numbers = |magic: &[u8; 4], rest: [u32; 3]| {
        let rest = rest.iter().flat_map(|number| number.to_le_bytes());
        magic.iter().copied().chain(rest).collect::<Vec<u8>>()
    };
    let mut file = [numbers(b"RpmP", [0, 2, 1]), vec![0; 16]].concat();
    let records: Vec<Vec<u8>> =
        (1..=count).map(|n| header(&format!("package{n:02}"), n * 99)).collect();
    let mut block = 256;
    for (number, record) in (1_u32..).zip(&records) {
        let blocks = (record.len() + 16 + 12).div_ceil(16) as u32;
        file.extend(numbers(b"Slot", [number, block, blocks]));
        block += blocks;
    }
    while file.len() < 4096 {
        file.extend(numbers(b"Slot", [0, 0, 0]));
    }
    for (number, record) in (1_u32..).zip(&records) {
        file.extend(numbers(b"BlbS", [number, 1, record.len() as u32]));
        file.extend(record);
        file.resize(file.len() + (record.len() + 12).next_multiple_of(16) - record.len(), 0);
    }
    file
}

#[test]
fn slots_and_records_are_read() {
    let report = found(&Sandbox::new(), "usr/lib/sysimage/rpm/Packages.db", slots(20));
    let names = report["packages"].as_array().unwrap().iter().map(|p| p["name"].clone());
    let expected: Vec<Value> = (1..=20).map(|n| format!("package{n:02}").into()).collect();
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

/// An SQLite database whose rows all lie in one place: one header with so much of a licence.
pub fn shared_rows(rows: usize, license: usize) -> Vec<u8> {
    const PAGE: usize = 65_536;
    let varint = |mut number: usize| {
        let mut bytes = vec![(number & 0x7f) as u8];
        while number > 0x7f {
            number >>= 7;
            bytes.insert(0, (number & 0x7f) as u8 | 0x80);
        }
        bytes
    };
    let record = |types: Vec<Vec<u8>>, body: Vec<u8>| {
        let types = types.concat();
        [varint(types.len() + 1), types, body].concat()
    };
    let text = |text: &str| varint(2 * text.len() + 13);
    let sql = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)";
    let words = ["table", "Packages", "Packages"];
    let types = [&words.map(text)[..], &[varint(1), text(sql)]].concat();
    let schema = record(types, [words.concat().as_bytes(), &[2], sql.as_bytes()].concat());
    let value = header("evil", license);
    let row = record(vec![varint(0), varint(2 * value.len() + 12)], value);
    let mut first = vec![0; PAGE];
    first[..18].copy_from_slice(b"SQLite format 3\0\0\x01");
    let cell = [varint(schema.len()), varint(1), schema].concat();
    let at = PAGE - cell.len();
    first[at..].copy_from_slice(&cell);
    first[100] = 13;
    first[104] = 1;
    first[108..110].copy_from_slice(&(at as u16).to_be_bytes());
    // As much of a long row stands on its page as fills its last page with the rest.
    let least = (PAGE - 12) * 32 / 255 - 23;
    let fitting = least + (row.len() - least) % (PAGE - 4);
    let local = if fitting <= PAGE - 35 { fitting } else { least };
    let cell = [varint(row.len()), varint(1), row[..local].to_vec(), vec![0, 0, 0, 3]].concat();
    let mut second = vec![0; PAGE];
    let at = PAGE - cell.len();
    second[at..].copy_from_slice(&cell);
    second[0] = 13;
    second[3..5].copy_from_slice(&(rows as u16).to_be_bytes());
    for row in 0..rows {
        second[8 + 2 * row..10 + 2 * row].copy_from_slice(&(at as u16).to_be_bytes());
    }
    let mut file = [first, second].concat();
    let parts: Vec<&[u8]> = row[local..].chunks(PAGE - 4).collect();
    for (number, part) in parts.iter().enumerate() {
        let next = if number + 1 < parts.len() { number as u32 + 4 } else { 0 };
        file.extend(next.to_be_bytes());
        file.extend(*part);
        file.resize(file.len() + PAGE - 4 - part.len(), 0);
    }
    file
}

/// A header as rpm stores it: with so many bytes more.
fn header(name: &str, more: usize) -> Vec<u8> {
    let more = "x".repeat(more);
    let texts = [(1000_u32, name), (1001, "1.0"), (1002, "2"), (1014, "MIT"), (1005, &more)];
    let (mut tags, mut data) = (Vec::new(), Vec::new());
    for (tag, text) in texts {
        for number in [tag, 6, data.len() as u32, 1] {
            tags.extend(number.to_be_bytes());
        }
        data.extend(text.bytes().chain([0]));
    }
    let sizes = [texts.len() as u32, data.len() as u32];
    sizes.iter().flat_map(|size| size.to_be_bytes()).chain(tags).chain(data).collect()
}

#[test]
fn a_berkeley_database_is_read() {
    need!("db5.3_load");
    let sandbox = Sandbox::new();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut dump = String::from("VERSION=3\nformat=bytevalue\ntype=hash\nHEADER=END\n");
    dump.push_str(" 00000000\n 78000000\n");
    for number in 1_u32..=120 {
        // Some fit on a page, others take many.
        let value = header(&format!("package{number:03}"), (number as usize % 7) * 3000);
        dump.push_str(&format!(" {}\n {}\n", hex(&number.to_le_bytes()), hex(&value)));
    }
    dump.push_str("DATA=END\n");
    for page in ["512", "4096", "16384"] {
        let file = format!("Packages-{page}");
        let words = ["-c".to_owned(), format!("db_pagesize={page}"), file.clone()];
        sandbox.command("db5.3_load", words).input(dump.clone()).run().success();
        let database = fs::read(sandbox.work(&file)).unwrap();
        let _ = fs::remove_dir_all(sandbox.work("var-lib-rpm-Packages"));
        let report = found(&sandbox, "var/lib/rpm/Packages", database.clone());
        let names: Vec<_> =
            report["packages"].as_array().unwrap().iter().map(|p| p["name"].clone()).collect();
        let expected: Vec<_> = (1..=120).map(|n| Value::from(format!("package{n:03}"))).collect();
        assert_eq!(names, expected, "{page}");
        // Half a database is named, not guessed at.
        let _ = fs::remove_dir_all(sandbox.work("var-lib-rpm-Packages"));
        let half = database[..database.len() / 2].to_vec();
        let report = found(&sandbox, "var/lib/rpm/Packages", half);
        assert_eq!(report["packages"], Value::Array(Vec::new()), "{page}");
        let unread = report["unread"][0].as_str().unwrap();
        assert!(unread.starts_with("/var/lib/rpm/Packages: it is damaged"), "{unread}");
    }
}
