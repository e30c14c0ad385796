//! Alpine's database: `lib/apk/db/installed`, one letter for each field.

use std::io;

use super::found::Found;
use super::text::Lines;
use super::{Ecosystem, Package};

pub(super) fn parse(mut lines: Lines<'_>, found_in: &str, found: &mut Found) -> io::Result<()> {
    let mut stanza = Stanza::default();
    while let Some(line) = lines.next()? {
        match line.split_once(':') {
            Some((letter, value)) => stanza.take(letter, value),
            None if line.is_empty() => {
                std::mem::take(&mut stanza)
                    .package(found_in)
                    .into_iter()
                    .for_each(|p| found.add(p));
            }
            None => {}
        }
    }
    stanza.package(found_in).into_iter().for_each(|package| found.add(package));
    Ok(())
}

/// The fields of one package; the first of each letter counts.
#[derive(Default)]
struct Stanza {
    name: Option<String>,
    version: Option<String>,
    architecture: Option<String>,
    license: Option<String>,
    origin: Option<String>,
}

impl Stanza {
    fn take(&mut self, letter: &str, value: &str) {
        let field = match letter {
            "P" => &mut self.name,
            "V" => &mut self.version,
            "A" => &mut self.architecture,
            "L" => &mut self.license,
            "o" => &mut self.origin,
            _ => return,
        };
        field.get_or_insert_with(|| value.to_owned());
    }

    fn package(self, found_in: &str) -> Option<Package> {
        let mut package = Package::new(Ecosystem::Apk, &self.name?, &self.version?, found_in);
        package.architecture = self.architecture;
        package.license = self.license;
        package.source = self.origin.filter(|origin| *origin != package.name);
        Some(package)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::text::Text;
    use super::*;

    #[test]
    fn fields_of_the_database() {
        let text = "C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:libc.so\n\nP:x\n";
        let mut found = Found::default();
        parse(Text::lines(&mut text.as_bytes()), "/db", &mut found).unwrap();
        let found = found.into_packages();
        assert_eq!(found.len(), 1);
        let musl = found.first().unwrap();
        assert_eq!((musl.name.as_str(), musl.version.as_str()), ("musl", "1.2.4-r2"));
        assert_eq!((musl.license.as_deref(), musl.source.as_deref()), (Some("MIT"), None));
    }
}
