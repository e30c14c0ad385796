//! What was found, within a budget: a file of a few kilobytes can name millions of packages.

use std::collections::BTreeSet;

use super::Package;

/// Bytes that all packages together may take: some hundred thousand.
const MAX_BYTES: usize = 24 << 20;
/// Longest name, version or the like.
const MAX_WORD: usize = 1024;
/// Longest licence; some list those of hundreds of fonts.
const MAX_LICENSE: usize = 16 << 10;

/// Packages without repetition.
#[derive(Debug, Default)]
pub(super) struct Found {
    packages: BTreeSet<Package>,
    bytes: usize,
    full: bool,
}

impl Found {
    /// Takes a package, unless it has a name or version that no package has, or there is no room.
    pub(super) fn add(&mut self, mut package: Package) {
        if package.name.len() > MAX_WORD || package.version.len() > MAX_WORD {
            return;
        }
        package.architecture = package.architecture.filter(|word| word.len() <= MAX_WORD);
        package.source = package.source.filter(|word| word.len() <= MAX_WORD);
        package.license = package.license.filter(|text| text.len() <= MAX_LICENSE);
        let size = size_of_package(&package);
        if self.full || self.packages.contains(&package) {
            return;
        }
        if self.bytes + size > MAX_BYTES {
            self.full = true;
            return;
        }
        self.bytes += size;
        self.packages.insert(package);
    }

    /// An empty list that shares the room that is left, for a file that may turn out to be broken.
    pub(super) fn beside(&self) -> Found {
        Found { packages: BTreeSet::new(), bytes: self.bytes, full: self.full }
    }

    /// Takes in what a list beside this one holds.
    pub(super) fn merge(&mut self, beside: Found) {
        self.packages.extend(beside.packages);
        (self.bytes, self.full) = (beside.bytes, beside.full);
    }

    /// Whether packages were left out because there was no room.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// All of them, in order.
    pub(super) fn into_packages(self) -> Vec<Package> {
        self.packages.into_iter().collect()
    }
}

fn size_of_package(package: &Package) -> usize {
    let optional = [&package.architecture, &package.source, &package.license];
    let optional = optional.into_iter().flatten().map(String::len);
    let words = [package.name.len(), package.version.len(), package.found_in.len()];
    // Each text is an allocation of its own.
    size_of::<Package>() + 96 + words.into_iter().chain(optional).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::super::Ecosystem;
    use super::*;

    #[test]
    fn there_is_room_for_many_but_not_for_everything() {
        let mut found = Found::default();
        let package =
            |n: usize| Package::new(Ecosystem::Npm, &format!("package-{n}"), "1.0.0", "/x");
        for n in 0..40_000 {
            found.add(package(n));
            found.add(package(n));
        }
        assert!(!found.is_full());
        for n in 40_000..2_000_000 {
            found.add(package(n));
        }
        assert!(found.is_full());
        let count = found.into_packages().len();
        assert!((40_000..200_000).contains(&count), "{count}");
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let mut found = Found::default();
        let long = "x".repeat(MAX_WORD + 1);
        found.add(Package::new(Ecosystem::Npm, &long, "1", "/x"));
        found.add(Package::new(Ecosystem::Npm, "a", &long, "/x"));
        let license = Some("y".repeat(MAX_LICENSE + 1));
        let (source, architecture) = (Some(long.clone()), Some(long));
        let package = Package::new(Ecosystem::Npm, "a", "1", "/x");
        found.add(Package { license, source, architecture, ..package.clone() });
        assert_eq!(found.into_packages(), [package]);
    }
}
