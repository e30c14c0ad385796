//! Rust: `Cargo.lock`, and the list that `cargo auditable` puts into executables.

use std::io::{self, Read};

use serde::Deserialize;

use super::found::Found;
use super::text::Lines;
use super::{Ecosystem, Package};

/// Largest list inside an executable, unpacked.
const MAX_LIST: u64 = 4 << 20;

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    packages: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
    #[serde(default)]
    kind: Option<String>,
}

/// Adds the packages of a lock file, whose form Cargo alone writes: one `key = value` a line.
/// `false` for a file of another form.
pub(super) fn lock(mut lines: Lines<'_>, found_in: &str, found: &mut Found) -> io::Result<bool> {
    let mut package: Option<(Option<String>, Option<String>)> = None;
    let mut add = |package: Option<(Option<String>, Option<String>)>| {
        if let Some((Some(name), Some(version))) = package {
            found.add(Package::new(Ecosystem::Cargo, &name, &version, found_in));
        }
    };
    while let Some(line) = lines.next()? {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') && line.ends_with(']') {
            add(package.take());
            package = (line == "[[package]]").then_some((None, None));
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            // Elements of a list stand each on a line.
            if line == "]" || line.starts_with('"') {
                continue;
            }
            return Ok(false);
        };
        let text = value.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        match (key.trim(), &mut package, text) {
            ("name", Some((name, _)), Some(text)) => *name = Some(text.to_owned()),
            ("version", Some((_, version)), Some(text)) => *version = Some(text.to_owned()),
            _ => {}
        }
    }
    add(package);
    Ok(true)
}

/// The section `.dep-v0`: JSON packed with zlib. `None` where it is broken.
pub(super) fn audited(section: &[u8], found_in: &str, found: &mut Found) -> Option<()> {
    let json = flate2::read::ZlibDecoder::new(section).take(MAX_LIST);
    let list: List = serde_json::from_reader(io::BufReader::new(json)).ok()?;
    // What only the build needed is not in the executable.
    for entry in list.packages.iter().filter(|entry| entry.kind.as_deref() != Some("build")) {
        found.add(Package::new(Ecosystem::Cargo, &entry.name, &entry.version, found_in));
    }
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::text::Text;
    use super::*;

    #[test]
    fn lock_files_of_all_versions() {
        let lock_of = |text: &str| {
            let mut found = Found::default();
            let known = lock(Text::lines(&mut text.as_bytes()), "/l", &mut found).unwrap();
            let names: Vec<String> = found
                .into_packages()
                .iter()
                .map(|package| format!("{}@{}", package.name, package.version))
                .collect();
            known.then_some(names)
        };
        let fourth = "# made by Cargo\nversion = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
            source = \"registry+https://x\"\nchecksum = \"00\"\ndependencies = [\n \"b 1\",\n \"c\",\n]\n\n\
            [[package]]\nname = \"b\"\nversion = \"2\"\n\n[[patch.unused]]\nname = \"p\"\nversion = \"9\"\n";
        for text in [fourth.to_owned(), format!("\u{feff}{fourth}"), fourth.replace('\n', "\r\n")] {
            assert_eq!(lock_of(&text).unwrap(), ["a@1.0.0", "b@2"]);
        }
        let first = "[root]\nname = \"app\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"x\"\n\
            version = \"1\"\n\n[metadata]\n\"checksum x 1\" = \"00\"\n";
        assert_eq!(lock_of(first).unwrap(), ["x@1"]);
        assert_eq!(lock_of("version = 4\n").unwrap(), [""; 0]);
        for broken in ["[", "{\"a\": 1}", "[[package]]\nname\n"] {
            assert_eq!(lock_of(broken), None, "{broken}");
        }
    }
}
