//! Alpine's database: `lib/apk/db/installed`, one letter for each field.

use super::{Ecosystem, Package};

pub(super) fn parse(text: &str, found_in: &str) -> Vec<Package> {
    text.split("\n\n").filter_map(|stanza| package(stanza, found_in)).collect()
}

fn package(stanza: &str, found_in: &str) -> Option<Package> {
    let field = |letter: char| {
        let mut lines = stanza.lines();
        lines.find_map(|line| line.strip_prefix(letter)?.strip_prefix(':')).map(str::to_owned)
    };
    let mut package = Package::new(Ecosystem::Apk, &field('P')?, &field('V')?, found_in);
    package.architecture = field('A');
    package.license = field('L');
    package.source = field('o').filter(|origin| *origin != package.name);
    Some(package)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_database() {
        let text = "C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:libc.so\n\nP:x\n";
        let found = parse(text, "/db");
        assert_eq!(found.len(), 1);
        let musl = found.first().unwrap();
        assert_eq!((musl.name.as_str(), musl.version.as_str()), ("musl", "1.2.4-r2"));
        assert_eq!((musl.license.as_deref(), musl.source.as_deref()), (Some("MIT"), None));
    }
}
