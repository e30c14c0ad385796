//! `packages` and `sbom`: what is installed.

use std::io::Write;
use std::process::Command;

use serde_json::Value;

use crate::support::image::{Built, image, layer};
use crate::support::peers::need;
use crate::support::program::Sandbox;

const STATUS: &str = "Package: bash\nStatus: install ok installed\nVersion: 5.2.15-2+b2\n\
    Architecture: amd64\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n";

/// One package of every kind that needs no tool to make.
fn mixed() -> Built {
    image()
        .layer(
            layer()
                .file("usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n")
                .symlink("etc/os-release", "../usr/lib/os-release")
                .file("var/lib/dpkg/status", "Package: hidden\nVersion: 9\n")
                .file("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a\n")
                .file("lib/apk/db/installed", "P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\n\n")
                .file(
                    "usr/lib/python3/six-1.16.0.dist-info/METADATA",
                    "Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\nLicense: MIT License\n\nName: no\n",
                )
                .file(
                    "app/node_modules/@a/b/package.json",
                    r#"{"name": "@a/b", "version": "1.2.3", "license": "MIT"}"#,
                )
                .file("src/Cargo.lock", "[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\n"),
        )
        .layer(layer().file("var/lib/dpkg/status", STATUS))
        .build()
}

fn names(report: &Value) -> Vec<String> {
    let packages = report["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let text = |key: &str| package[key].as_str().unwrap().to_owned();
            format!("{} {} {}", text("type"), text("name"), text("version"))
        })
        .collect()
}

#[test]
fn databases_of_all_kinds_are_read() {
    let sandbox = Sandbox::new();
    mixed().write_layout(&sandbox.work("l"), Some("1"));
    let report = sandbox.inspect(["packages", "--json", "oci:l:1"]).run().success().json();
    let expected = [
        "deb bash 5.2.15-2+b2",
        "deb tzdata 2024a",
        "apk musl 1.2.4-r2",
        "pypi six 1.16.0",
        "npm @a/b 1.2.3",
        "cargo serde 1.0.1",
    ];
    assert_eq!(names(&report), expected);
    assert_eq!(report["release"]["id"], "debian");
    let text = sandbox.inspect(["packages", "oci:l:1"]).run().success().stdout;
    assert!(text.starts_with("Debian 12\n\nTYPE "), "{text}");
    assert!(text.contains("apk    musl    1.2.4-r2     x86_64  MIT "), "{text}");
}

#[test]
fn bills_of_materials_are_reproducible_and_complete() {
    let sandbox = Sandbox::new();
    mixed().write_layout(&sandbox.work("l"), Some("1"));
    let make = |format: &str| {
        let words = ["sbom", "--format", format, "oci:l:1"];
        let first = sandbox.inspect(words).run().success();
        assert_eq!(first.stdout, sandbox.inspect(words).run().success().stdout);
        first.json()
    };
    let spdx = make("spdx");
    assert_eq!(spdx["spdxVersion"], "SPDX-2.3");
    let packages = spdx["packages"].as_array().unwrap();
    assert_eq!(packages.len(), 7);
    let bash = packages.iter().find(|package| package["name"] == "bash").unwrap();
    assert_eq!(
        bash["externalRefs"][0]["referenceLocator"],
        "pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64&distro=debian-12"
    );
    let six = packages.iter().find(|package| package["name"] == "six").unwrap();
    let other = &spdx["hasExtractedLicensingInfos"][0];
    assert_eq!(
        (&six["licenseDeclared"], &other["extractedText"]),
        (&other["licenseId"], &"MIT License".into())
    );
    let cyclone = make("cyclonedx");
    assert_eq!(
        (&cyclone["bomFormat"], &cyclone["specVersion"]),
        (&"CycloneDX".into(), &"1.6".into())
    );
    assert_eq!(cyclone["components"].as_array().unwrap().len(), 7);
}

fn found(sandbox: &Sandbox, name: &str, built: &Built) -> Vec<String> {
    built.write_layout(&sandbox.work(name), Some("1"));
    let words = ["packages", "--json", &format!("oci:{name}:1")];
    names(&sandbox.inspect(words).run().success().json())
}

/// Where images move a database and leave a link, it is found as a container finds it.
#[test]
fn databases_behind_links_are_read() {
    let status = "Package: a\nStatus: install ok installed\nVersion: 1\n";
    let apk = "P:a\nV:1\n\n";
    let stanza = "Package: a\nVersion: 1\n";
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        ("directory", &[("var/lib/dpkg", "/usr/lib/dpkg-db")], "usr/lib/dpkg-db/status", status),
        (
            "relative",
            &[("var/lib/dpkg", "../../usr/lib/dpkg-db")],
            "usr/lib/dpkg-db/status",
            status,
        ),
        ("file", &[("var/lib/dpkg/status", "/data/packages")], "data/packages", status),
        ("twice", &[("var/lib/dpkg", "/one"), ("one", "two")], "two/status", status),
        ("above", &[("var", "system/var")], "system/var/lib/dpkg/status", status),
        ("single stanzas", &[("var/lib/dpkg/status.d", "/stanzas")], "stanzas/base", stanza),
        ("apk", &[("lib/apk", "/state/apk")], "state/apk/db/installed", apk),
        ("apk in usr", &[("lib", "usr/lib")], "usr/lib/apk/db/installed", apk),
    ];
    for (name, links, path, content) in cases {
        let sandbox = Sandbox::new();
        let linked = links.iter().fold(layer(), |layer, (from, to)| layer.symlink(from, to));
        let built = image().layer(layer().file(path, content)).layer(linked).build();
        let kind = if content.starts_with("P:") { "apk" } else { "deb" };
        assert_eq!(found(&sandbox, "l", &built), [format!("{kind} a 1")], "{name}");
    }
    // Out of the image, in circles and to nothing.
    let sandbox = Sandbox::new();
    let built = image()
        .layer(
            layer()
                .symlink("var/lib/dpkg", "/../../var/lib/dpkg")
                .symlink("lib/apk", "apk")
                .symlink("var/lib/rpm", "/nothing"),
        )
        .build();
    assert_eq!(found(&sandbox, "l", &built), [""; 0]);
}

/// `rpm-ostree` and SUSE keep `/var/lib/rpm` as a link.
#[test]
fn rpm_databases_behind_links_are_read() {
    let records = super::old_rpm::slots(3);
    for (name, link, target, path) in [
        (
            "sysimage",
            "var/lib/rpm",
            "../../usr/lib/sysimage/rpm",
            "usr/lib/sysimage/rpm/Packages.db",
        ),
        ("share", "var/lib/rpm", "/usr/share/rpm", "usr/share/rpm/Packages.db"),
        ("elsewhere", "var/lib/rpm", "/data", "data/Packages.db"),
        ("file", "var/lib/rpm/Packages.db", "/data/db", "data/db"),
    ] {
        let sandbox = Sandbox::new();
        let layer = layer().symlink(link, target).file(path, &records);
        let built = image().layer(layer).build();
        assert_eq!(found(&sandbox, "l", &built).len(), 3, "{name}");
    }
}

#[test]
fn eggs_of_all_kinds_are_read() {
    let metadata = "Metadata-Version: 1.2\nName: A\nVersion: 1.0\nLicense: MIT\n\nName: no\n";
    let expected = ["pypi A 1.0"];
    for path in [
        "usr/lib/python3/dist-packages/A-1.0.egg-info",
        "usr/lib/python3/dist-packages/A-1.0-py3.6.egg-info",
        "usr/lib/python3/dist-packages/A.egg-info/PKG-INFO",
        "opt/A-1.0-py3.8.egg/EGG-INFO/PKG-INFO",
        "opt/A-1.0.dist-info/METADATA",
    ] {
        for (form, content) in [
            ("plain", metadata.as_bytes().to_vec()),
            ("with a mark", format!("\u{feff}{metadata}").into_bytes()),
            ("of Windows", metadata.replace('\n', "\r\n").into_bytes()),
        ] {
            let sandbox = Sandbox::new();
            let built = image().layer(layer().file(path, content)).build();
            assert_eq!(found(&sandbox, "l", &built), expected, "{path} {form}");
        }
    }
    for (deflate, path) in [(false, "opt/A-1.0-py3.8.egg"), (true, "opt/x.egg")] {
        let sandbox = Sandbox::new();
        let egg = zip(&[("a.py", b"x = 1"), ("EGG-INFO/PKG-INFO", metadata.as_bytes())], deflate);
        let built = image().layer(layer().file(path, egg)).build();
        assert_eq!(found(&sandbox, "l", &built), expected, "{path}");
    }
}

/// A zip file; members are stored or deflated.
fn zip(members: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
    let (mut file, mut list) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let stored = match deflate {
            true => {
                let level = flate2::Compression::best();
                let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), level);
                packed.write_all(content).unwrap();
                packed.finish().unwrap()
            }
            false => content.to_vec(),
        };
        let place = file.len() as u32;
        let mut shared = vec![20, 0, 0, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0];
        shared.extend([0; 4]);
        shared.extend((stored.len() as u32).to_le_bytes());
        shared.extend((content.len() as u32).to_le_bytes());
        shared.extend([name.len() as u8, 0, 0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&shared);
        file.extend(name.as_bytes());
        file.extend(&stored);
        list.extend(b"PK\x01\x02\x14\x00");
        list.extend(&shared);
        list.extend([0; 10]);
        list.extend(place.to_le_bytes());
        list.extend(name.as_bytes());
    }
    let (start, count) = (file.len() as u32, members.len() as u8);
    file.extend(&list);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, 0, count, 0]);
    file.extend((list.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// Byte order marks as Windows' editors leave them.
#[test]
fn marks_and_encodings_of_lock_files() {
    let utf16 = |text: &str| -> Vec<u8> {
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    let lock = r#"{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1"}}}"#;
    let manifest = r#"{"name":"a","version":"1"}"#;
    let cargo = "[[package]]\nname = \"a\"\nversion = \"1\"\n";
    for (path, text, expected) in [
        ("app/package-lock.json", lock, "npm a 1"),
        ("app/node_modules/a/package.json", manifest, "npm a 1"),
        ("src/Cargo.lock", cargo, "cargo a 1"),
        ("lib/apk/db/installed", "P:a\nV:1\n", "apk a 1"),
        ("var/lib/dpkg/status", "Package: a\nVersion: 1\n", "deb a 1"),
    ] {
        for bytes in [text.as_bytes().to_vec(), format!("\u{feff}{text}").into_bytes(), utf16(text)]
        {
            let sandbox = Sandbox::new();
            let built = image().layer(layer().file(path, &bytes)).build();
            assert_eq!(found(&sandbox, "l", &built), [expected], "{path} {:?}", &bytes[..3]);
        }
    }
}

/// Small files that name very many or very large packages cost little memory.
#[test]
fn no_list_of_packages_fills_the_memory() {
    const MOST: u64 = if cfg!(debug_assertions) { 200 << 20 } else { 100 << 20 };
    let long = "x".repeat(1 << 20);
    let stanzas = |make: &dyn Fn(usize) -> String| (0..400_000).map(make).collect::<String>();
    for (path, content) in [
        ("var/lib/dpkg/status", stanzas(&|n| format!("Package: p{n}\nVersion: 1\n\n"))),
        ("lib/apk/db/installed", stanzas(&|n| format!("P:p{n}\nV:1\n\n"))),
        ("Cargo.lock", stanzas(&|n| format!("[[package]]\nname = \"p{n}\"\nversion = \"1\"\n"))),
        (
            "package-lock.json",
            format!(
                "{{\"packages\":{{{}\"x\":{{}}}}}}",
                stanzas(&|n| format!("\"node_modules/p{n}\":{{\"version\":\"1\"}},"))
            ),
        ),
        (
            "package-lock.json",
            format!(
                "{{\"packages\":{{\"node_modules/x\":{{\"version\":{}0{}}}}}}}",
                "[".repeat(100),
                "]".repeat(100)
            ),
        ),
        ("package-lock.json", format!("{{\"x\":[{}0]}}", "[],".repeat(4_000_000))),
        ("Cargo.lock", format!("[[package]]\nname = \"{long}\"\nversion = \"1\"\n").repeat(12)),
        ("x.dist-info/METADATA", format!("Name: a\nVersion: 1\nLicense: {}\n", long.repeat(30))),
    ] {
        let sandbox = Sandbox::new();
        let built = image().layer(layer().file(path, content).zstd()).build();
        built.write_layout(&sandbox.work("l"), Some("1"));
        let output = sandbox.inspect(["packages", "oci:l:1"]).run().success();
        assert!(output.peak_memory < MOST, "{path}: {}", output.peak_memory);
    }
}

/// All rows of a database lie in one place: a layer of two kilobytes.
#[test]
fn rows_that_share_their_bytes_are_read_a_few_times() {
    let sandbox = Sandbox::new();
    let database = super::old_rpm::shared_rows(2000, 1_000_000);
    let built = image().layer(layer().file("var/lib/rpm/rpmdb.sqlite", database)).build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let started = std::time::Instant::now();
    let output = sandbox.inspect(["packages", "oci:l:1"]).run().success();
    assert!(output.peak_memory < 100 << 20, "{}", output.peak_memory);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    output.says("/var/lib/rpm/rpmdb.sqlite: it is damaged or of an unknown form");
}

/// An rpm database as rpm makes it, but for indexes.
#[test]
fn an_rpm_database_is_read() {
    need!("python3");
    let sandbox = Sandbox::new();
    let script = r#"
import sqlite3, struct
def header(name, version, release, pad):
    texts = [(1000, name), (1001, version), (1002, release), (1014, 'MIT'), (1022, 'x86_64'), (1028, 'x' * pad)]
    tags, data = b'', b''
    for tag, text in texts:
        tags += struct.pack('>4I', tag, 6, len(data), 1)
        data += text.encode() + b'\0'
    return struct.pack('>2I', len(texts), len(data)) + tags + data
db = sqlite3.connect('rpmdb.sqlite')
db.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
for n in range(300):
    db.execute('INSERT INTO Packages (blob) VALUES (?)', [header('pkg%03d' % n, '1', str(n), 50000 if n % 7 == 0 else 10)])
db.commit()
"#;
    let made = Command::new("python3").current_dir(sandbox.work("")).args(["-c", script]).status();
    assert!(made.unwrap().success());
    let database = std::fs::read(sandbox.work("rpmdb.sqlite")).unwrap();
    let built = image().layer(layer().file("var/lib/rpm/rpmdb.sqlite", database)).build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let report = sandbox.inspect(["packages", "--json", "oci:l:1"]).run().success().json();
    let names = names(&report);
    assert_eq!(names.len(), 300);
    assert_eq!((names[0].as_str(), names[299].as_str()), ("rpm pkg000 1-0", "rpm pkg299 1-299"));
    assert_eq!(report["packages"][7]["license"], "MIT");
}

/// What `cargo auditable` leaves, in a program with hardly anything else.
#[test]
fn executables_tell_what_they_are_made_of() {
    let sandbox = Sandbox::new();
    let list = br#"{"packages":[{"name":"app","version":"0.1.0","source":"local","root":true},
        {"name":"cc","version":"1.0.0","kind":"build"},{"name":"libc","version":"0.2.1"}]}"#;
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(list).unwrap();
    let program = elf(".dep-v0", &packed.finish().unwrap());
    let built = image().layer(layer().file("bin/app", program.clone()).mode(0o755)).build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let report = sandbox.inspect(["packages", "--json", "oci:l:1"]).run().success().json();
    assert_eq!(names(&report), ["cargo app 0.1.0", "cargo libc 0.2.1"]);
    // A program whose tables point nowhere is no program.
    let mut broken = program;
    broken[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
    let built = image().layer(layer().file("bin/app", broken).mode(0o755)).build();
    built.write_layout(&sandbox.work("b"), Some("1"));
    let report = sandbox.inspect(["packages", "--json", "oci:b:1"]).run().success().json();
    assert_eq!(names(&report), [""; 0]);
}

/// A 64-bit ELF file with one section beside that of the names.
fn elf(name: &str, content: &[u8]) -> Vec<u8> {
    let names = format!("\0{name}\0.shstrtab\0");
    let table = 64 + content.len() + names.len();
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(40, 0);
    file.extend((table as u64).to_le_bytes());
    file.resize(58, 0);
    for number in [64_u16, 3, 2] {
        file.extend(number.to_le_bytes());
    }
    file.extend(content);
    file.extend(names.as_bytes());
    let strings = 64 + content.len();
    let section = |name: u32, offset: usize, size: usize| {
        let mut header = name.to_le_bytes().to_vec();
        header.resize(24, 0);
        header.extend((offset as u64).to_le_bytes());
        header.extend((size as u64).to_le_bytes());
        header.resize(64, 0);
        header
    };
    file.extend(section(0, 0, 0));
    file.extend(section(1, 64, content.len()));
    file.extend(section(name.len() as u32 + 2, strings, names.len()));
    file.resize(file.len().max(5000), 0);
    file
}
