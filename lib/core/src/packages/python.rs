//! Python: the metadata that installers leave beside a package.

use super::{Ecosystem, Package};

/// The package of a `METADATA` or `PKG-INFO` file.
pub(super) fn parse(text: &str, found_in: &str) -> Option<Package> {
    let head = text.split("\n\n").next().unwrap_or_default();
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim()).filter(|value| !value.is_empty())
        })
    };
    let mut package = Package::new(Ecosystem::Pypi, field("Name")?, field("Version")?, found_in);
    let license = field("License-Expression").or_else(|| field("License"));
    package.license = license.filter(|license| *license != "UNKNOWN").map(str::to_owned);
    Some(package)
}
