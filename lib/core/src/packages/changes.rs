//! What two lists of packages have not in common.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Findings;

/// Packages that are not the same.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PackageChanges {
    /// What one has and the other has not, or in another version; sorted.
    pub changed: Vec<PackageChange>,
}

/// A package that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PackageChange {
    /// Where it comes from: `deb`, `npm`.
    #[serde(rename = "type")]
    pub ecosystem: String,
    /// Its name.
    pub name: String,
    /// Versions of the old list; several where it is installed several times.
    pub old: Vec<String>,
    /// Versions of the new list.
    pub new: Vec<String>,
}

impl PackageChanges {
    /// Compares packages by name and version.
    pub fn between(old: &Findings, new: &Findings) -> PackageChanges {
        let (mut left, right) = (versions(old), versions(new));
        let mut changed = Vec::new();
        for (key, new) in right {
            let old = left.remove(&key).unwrap_or_default();
            if old != new {
                changed.push(change(key, old, new));
            }
        }
        changed.extend(left.into_iter().map(|(key, old)| change(key, old, BTreeSet::new())));
        changed.sort();
        PackageChanges { changed }
    }
}

type Versions = BTreeMap<(String, String), BTreeSet<String>>;

fn versions(findings: &Findings) -> Versions {
    let mut versions = Versions::new();
    for package in &findings.packages {
        let key = (package.ecosystem.to_string(), package.name.clone());
        versions.entry(key).or_default().insert(package.version.clone());
    }
    versions
}

fn change(key: (String, String), old: BTreeSet<String>, new: BTreeSet<String>) -> PackageChange {
    let (ecosystem, name) = key;
    let (old, new) = (old.into_iter().collect(), new.into_iter().collect());
    PackageChange { ecosystem, name, old, new }
}

#[cfg(test)]
mod tests {
    use super::super::{Ecosystem, Package};
    use super::*;

    #[test]
    fn what_is_new_gone_and_other_is_told() {
        let list = |packages: &[(&str, &str)]| Findings {
            packages: packages
                .iter()
                .map(|(name, version)| Package::new(Ecosystem::Deb, name, version, "/x"))
                .collect(),
            ..Findings::default()
        };
        let old = list(&[("same", "1"), ("gone", "1"), ("other", "1"), ("twice", "1")]);
        let new =
            list(&[("same", "1"), ("new", "2"), ("other", "2"), ("twice", "1"), ("twice", "2")]);
        let changes = PackageChanges::between(&old, &new).changed;
        let shown: Vec<String> = changes
            .iter()
            .map(|change| format!("{} {:?} {:?}", change.name, change.old, change.new))
            .collect();
        let expected = [
            r#"gone ["1"] []"#,
            r#"new [] ["2"]"#,
            r#"other ["1"] ["2"]"#,
            r#"twice ["1"] ["1", "2"]"#,
        ];
        assert_eq!(shown, expected);
    }
}
