//! dpkg's status, and the single stanzas that distroless images keep in `status.d`.

use std::io;

use super::found::Found;
use super::text::Lines;
use super::{Ecosystem, Package};

/// Adds the installed packages of a status file.
pub(super) fn parse(mut lines: Lines<'_>, found_in: &str, found: &mut Found) -> io::Result<()> {
    let mut stanza = Stanza::default();
    while let Some(line) = lines.next()? {
        // Lines that begin with a space belong to the field before.
        if line.starts_with([' ', '\t']) {
            continue;
        }
        match line.split_once(':') {
            Some((key, value)) => stanza.take(key, value.trim()),
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

/// The fields of one package; the first of each name counts.
#[derive(Default)]
struct Stanza {
    name: Option<String>,
    version: Option<String>,
    status: Option<String>,
    architecture: Option<String>,
    source: Option<String>,
}

impl Stanza {
    fn take(&mut self, key: &str, value: &str) {
        let field = match key.to_ascii_lowercase().as_str() {
            "package" => &mut self.name,
            "version" => &mut self.version,
            "status" => &mut self.status,
            "architecture" => &mut self.architecture,
            "source" => &mut self.source,
            _ => return,
        };
        field.get_or_insert_with(|| value.to_owned());
    }

    fn package(self, found_in: &str) -> Option<Package> {
        // A stanza without a status is one of status.d: it is there because it is installed.
        let installed = self.status.is_none_or(|status| {
            let mut words = status.split_whitespace();
            words.nth(2).is_some_and(|state| !["not-installed", "config-files"].contains(&state))
        });
        let mut package = Package::new(Ecosystem::Deb, &self.name?, &self.version?, found_in);
        package.architecture = self.architecture;
        // `Source: glibc (2.36-9)`: the version is told where it differs.
        package.source = self.source;
        installed.then_some(package)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::text::Text;
    use super::*;

    #[test]
    fn what_is_installed() {
        let text = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\
                    Description: x\n Version: not a field\n\nPackage: b\nStatus: deinstall ok \
                    config-files\nVersion: 2\n\nPackage: c\nVersion: 3\nSource: cc (2)\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n"), format!("\u{feff}{text}")] {
            let mut found = Found::default();
            parse(Text::lines(&mut text.as_bytes()), "/s", &mut found).unwrap();
            let found = found.into_packages();
            let names: Vec<_> =
                found.iter().map(|p| (p.name.as_str(), p.version.as_str())).collect();
            assert_eq!(names, [("a", "1"), ("c", "3")]);
            assert_eq!(found[1].source.as_deref(), Some("cc (2)"));
        }
    }
}
