//! Python: the metadata that installers leave beside a package, or in an egg.

use std::io::{self, Read};

use super::found::Found;
use super::held::At;
use super::text::{Lines, Text};
use super::{Ecosystem, Package, zip};

/// Largest metadata inside an egg.
const MAX_METADATA: u64 = 1 << 20;

/// The package of a `METADATA` or `PKG-INFO` file; its head ends at the first empty line.
pub(super) fn parse(mut lines: Lines<'_>, found_in: &str, found: &mut Found) -> io::Result<()> {
    let [mut name, mut version, mut license, mut expression] = [const { None::<String> }; 4];
    while let Some(line) = lines.next()?.filter(|line| !line.is_empty()) {
        let Some((key, value)) = line.split_once(':') else { continue };
        let field = match key.to_ascii_lowercase().as_str() {
            "name" => &mut name,
            "version" => &mut version,
            "license" => &mut license,
            "license-expression" => &mut expression,
            _ => continue,
        };
        if field.is_none() && !value.trim().is_empty() {
            *field = Some(value.trim().to_owned());
        }
    }
    // Python 2 describes itself like a package of its own.
    let is_package = name.as_deref() != Some("Python");
    if let (Some(name), Some(version), true) = (name, version, is_package) {
        let mut package = Package::new(Ecosystem::Pypi, &name, &version, found_in);
        package.license = expression.or(license).filter(|license| license != "UNKNOWN");
        found.add(package);
    }
    Ok(())
}

/// The package of an egg that is a zip file; `None` where the file is broken.
pub(super) fn egg(file: &dyn At, found_in: &str, found: &mut Found) -> Option<()> {
    let metadata = zip::member(file, "EGG-INFO/PKG-INFO", MAX_METADATA)?;
    let mut content: &mut dyn Read = &mut metadata.as_slice();
    parse(Text::lines(&mut content), found_in, found).ok()
}
