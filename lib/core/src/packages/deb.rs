//! dpkg's status, and the single stanzas that distroless images keep in `status.d`.

use super::{Ecosystem, Package};

/// The installed packages of a status file.
pub(super) fn parse(text: &str, found_in: &str) -> Vec<Package> {
    // A stanza without a status is one of status.d: it is there because it is installed.
    text.split("\n\n").filter_map(|stanza| package(stanza, found_in)).collect()
}

fn package(stanza: &str, found_in: &str) -> Option<Package> {
    let field = |name: &str| {
        stanza.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let installed = field("Status").is_none_or(|status| {
        let mut words = status.split_whitespace();
        words.nth(2).is_some_and(|state| !["not-installed", "config-files"].contains(&state))
    });
    let (name, version) = (field("Package")?, field("Version")?);
    if !installed {
        return None;
    }
    let mut package = Package::new(Ecosystem::Deb, name, version, found_in);
    package.architecture = field("Architecture").map(str::to_owned);
    // `Source: glibc (2.36-9)`: the version is told where it differs.
    package.source = field("Source").map(|source| source.to_owned());
    Some(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed() {
        let text = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\
                    Description: x\n Version: not a field\n\nPackage: b\nStatus: deinstall ok \
                    config-files\nVersion: 2\n\nPackage: c\nVersion: 3\nSource: cc (2)\n";
        let found = parse(text, "/s");
        let names: Vec<_> = found.iter().map(|p| (p.name.as_str(), p.version.as_str())).collect();
        assert_eq!(names, [("a", "1"), ("c", "3")]);
        assert_eq!(found[1].source.as_deref(), Some("cc (2)"));
    }
}
