//! Node.js: `package.json` of installed packages, and lock files.
//!
//! Read as they come, without the whole document in memory.

use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::found::Found;
use super::{Ecosystem, Package};

/// The package that a `package.json` inside `node_modules` describes, if it does.
pub(super) fn manifest(content: impl Read, found_in: &str, found: &mut Found) -> Option<()> {
    let entry: Entry = serde_json::from_reader(content).ok()?;
    let (name, version) = (entry.name.0?, entry.version.0?);
    let mut package = Package::new(Ecosystem::Npm, &name, &version, found_in);
    package.license = entry.license.0;
    found.add(package);
    Some(())
}

/// The packages that a `package-lock.json` (of any version) pins; `None` where it is broken.
pub(super) fn lock(content: impl Read, found_in: &str, found: &mut Found) -> Option<()> {
    let mut reader = serde_json::Deserializer::from_reader(content);
    let any = Lock { found_in, found }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    any.then_some(())
}

/// What is of interest of a package.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    name: Word,
    version: Word,
    license: Word,
}

/// A text, or the `type` of an object (old licences); anything else is nothing.
#[derive(Default)]
struct Word(Option<String>);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
        deserializer.deserialize_any(WordVisitor)
    }
}

struct WordVisitor;

impl<'de> Visitor<'de> for WordVisitor {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Word, E> {
        Ok(Word(Some(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Word, E> {
        Ok(Word(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Word, E> {
        Ok(Word(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Word, E> {
        Ok(Word(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Word, E> {
        Ok(Word(None))
    }

    fn visit_unit<E>(self) -> Result<Word, E> {
        Ok(Word(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Word, A::Error> {
        let mut first = items.next_element::<Word>()?.unwrap_or_default();
        while let Some(next) = items.next_element::<Word>()? {
            first = Word(first.0.or(next.0));
        }
        Ok(first)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Word, A::Error> {
        let mut kind = Word(None);
        while let Some(key) = map.next_key::<String>()? {
            if key == "type" {
                kind = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(kind)
    }
}

/// The whole file; tells whether it lists anything.
struct Lock<'f> {
    found_in: &'f str,
    found: &'f mut Found,
}

impl<'de> DeserializeSeed<'de> for Lock<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Lock<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a lock file")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let Lock { found_in, found } = self;
        let (mut packages, mut dependencies) = (false, false);
        while let Some(key) = map.next_key::<String>()? {
            let nested = match key.as_str() {
                "packages" => false,
                // Version 2 has both, for older programs.
                "dependencies" if !packages => true,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            (packages, dependencies) = (packages || !nested, dependencies || nested);
            map.next_value_seed(Members { found_in, found: &mut *found, nested })?;
        }
        Ok(packages || dependencies)
    }
}

/// The members of `packages`, named by their paths, or of `dependencies`, which may be inside others.
struct Members<'f> {
    found_in: &'f str,
    found: &'f mut Found,
    nested: bool,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("packages")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Members { found_in, found, nested } = self;
        while let Some(path) = map.next_key::<String>()? {
            let entry = map.next_value_seed(Member { found_in, found: &mut *found, nested })?;
            let name = match (nested, path.rsplit_once("node_modules/")) {
                (true, _) => path.as_str(),
                (false, Some((_, name))) => entry.name.0.as_deref().unwrap_or(name),
                // The project itself, and what is linked to it.
                (false, None) => continue,
            };
            let Some(version) = &entry.version.0 else { continue };
            let mut package = Package::new(Ecosystem::Npm, name, version, found_in);
            package.license = entry.license.0.filter(|_| !nested);
            found.add(package);
        }
        Ok(())
    }
}

/// One member; where they are nested, its dependencies are packages too.
struct Member<'f> {
    found_in: &'f str,
    found: &'f mut Found,
    nested: bool,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Entry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Entry, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a package")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let Member { found_in, found, nested } = self;
        let mut entry = Entry::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "dependencies" if nested => {
                    map.next_value_seed(Members { found_in, found: &mut *found, nested })?;
                }
                "name" => entry.name = map.next_value()?,
                "version" => entry.version = map.next_value()?,
                "license" => entry.license = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(entry)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(found: Found) -> Vec<String> {
        let all = found.into_packages().into_iter();
        let shown = |p: Package| match p.license {
            Some(license) => format!("{}@{} {license}", p.name, p.version),
            None => format!("{}@{}", p.name, p.version),
        };
        all.map(shown).collect()
    }

    fn locked(json: &str) -> Option<Vec<String>> {
        let mut found = Found::default();
        lock(json.as_bytes(), "/l", &mut found).map(|()| names(found))
    }

    #[test]
    fn lock_files_of_all_versions() {
        let third = r#"{"packages":{"":{"version":"1.0.0"},"node_modules/a":{"version":"1",
            "license":"MIT","dependencies":{"x":"^1"}},"node_modules/l":{"resolved":"../l","link":true},
            "node_modules/a/node_modules/@s/b":{"version":"2"},"node_modules/y":{"name":"z","version":"3"}}}"#;
        assert_eq!(locked(third).unwrap(), ["@s/b@2", "a@1 MIT", "z@3"]);
        let first = r#"{"dependencies":{"a":{"version":"1","requires":{"x":"1"},"dependencies":{"b":{"version":"2"}}}}}"#;
        assert_eq!(locked(first).unwrap(), ["a@1", "b@2"]);
        let second = r#"{"lockfileVersion":2,"packages":{"node_modules/a":{"version":"1"}},"dependencies":{"a":{"version":"1"}}}"#;
        assert_eq!(locked(second).unwrap(), ["a@1"]);
        for broken in ["{", "[]", "{}", r#"{"packages":{}} x"#, r#"{"packages":[]}"#, ""] {
            assert_eq!(locked(broken), None, "{broken}");
        }
        assert_eq!(locked(r#"{"packages":{}}"#).unwrap(), [""; 0]);
    }

    #[test]
    fn manifests_with_all_sorts_of_licenses() {
        for (license, shown) in [
            (r#""MIT""#, "a@1 MIT"),
            (r#"{"url":"x","type":"BSD"}"#, "a@1 BSD"),
            (r#"[{"type":"ISC"},{"type":"X"}]"#, "a@1 ISC"),
            ("null", "a@1"),
            ("7", "a@1"),
            ("true", "a@1"),
        ] {
            let json = format!(r#"{{"license":{license},"name":"a","x":[{{}}],"version":"1"}}"#);
            let mut found = Found::default();
            manifest(json.as_bytes(), "/p", &mut found).unwrap();
            assert_eq!(names(found), [shown]);
        }
        let mut found = Found::default();
        for broken in ["{", "[]", r#"{"name":"a"}"#, r#"{"name":"a","version":{}}"#] {
            assert!(manifest(broken.as_bytes(), "/p", &mut found).is_none(), "{broken}");
        }
    }
}
