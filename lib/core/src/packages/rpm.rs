//! rpm: headers in the table `Packages` of `rpmdb.sqlite` (rpm 4.16 and later), in the records of
//! `Packages.db` (SUSE), and in those of the Berkeley database `Packages` (before).

use super::found::Found;
use super::held::At;
use super::sqlite::{Database, Value};
use super::{Ecosystem, Package, berkeley, ndb};

/// Tags of a header that are read.
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const LICENSE: u32 = 1014;
const ARCHITECTURE: u32 = 1022;
const SOURCE: u32 = 1044;
/// Most tags and bytes of one header.
const MAX_TAGS: usize = 65_536;

/// Adds the installed packages of a database of any form; `None` for one that cannot be read to its
/// end.
pub(super) fn parse(file: &dyn At, found_in: &str, found: &mut Found) -> Option<()> {
    let mut take = |header: &[u8]| {
        package(header, found_in).into_iter().for_each(|package| found.add(package));
    };
    match found_in.rsplit('/').next() {
        Some("Packages.db") => ndb::records(file, take),
        Some("Packages") => berkeley::values(file, take),
        _ => Database::open(file)?.rows("Packages", |row| {
            let header = row.iter().find_map(|value| match value {
                Value::Bytes(bytes) => Some(*bytes),
                _ => None,
            });
            header.into_iter().for_each(&mut take);
        }),
    }
}

/// A header as it stands in the database: number of tags, bytes of data, tags, data.
fn package(header: &[u8], found_in: &str) -> Option<Package> {
    let number = |at: usize| {
        let bytes = header.get(at..at.checked_add(4)?)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let tags = usize::try_from(number(0)?).ok().filter(|tags| *tags <= MAX_TAGS)?;
    let data = header.get(8 + 16 * tags..)?;
    let find = |tag: u32| {
        let at = (0..tags).map(|n| 8 + 16 * n).find(|at| number(*at) == Some(tag))?;
        data.get(usize::try_from(number(at + 8)?).ok()?..)
    };
    let text = |tag: u32| {
        let bytes = find(tag)?;
        let end = bytes.iter().position(|&b| b == 0)?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    };
    let epoch = find(EPOCH)
        .and_then(|bytes| Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?)))
        .filter(|epoch| *epoch > 0)
        .map(|epoch| format!("{epoch}:"))
        .unwrap_or_default();
    let version = format!("{epoch}{}-{}", text(VERSION)?, text(RELEASE)?);
    let name = text(NAME)?;
    // Keys that packages are signed with.
    if name == "gpg-pubkey" {
        return None;
    }
    let mut package = Package::new(Ecosystem::Rpm, &name, &version, found_in);
    package.architecture = text(ARCHITECTURE);
    package.license = text(LICENSE);
    package.source = text(SOURCE);
    Some(package)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_header() {
        let texts = [(NAME, "bash"), (VERSION, "5.2"), (RELEASE, "1.fc40"), (LICENSE, "GPL")];
        let mut data = Vec::new();
        let mut tags = Vec::new();
        for (tag, text) in texts {
            for number in [tag, 6, data.len() as u32, 1] {
                tags.extend(number.to_be_bytes());
            }
            data.extend(text.as_bytes());
            data.push(0);
        }
        let mut header = Vec::new();
        header.extend((texts.len() as u32).to_be_bytes());
        header.extend((data.len() as u32).to_be_bytes());
        header.extend([tags, data].concat());
        let package = package(&header, "/db").unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("bash", "5.2-1.fc40"));
        assert_eq!(package.license.as_deref(), Some("GPL"));
        for cut in 0..header.len() - 5 {
            let _ = super::package(&header[..cut], "/db");
        }
    }
}
