//! `index.json` of an OCI layout (image spec, image-layout.md): which names stand for what.
//!
//! Pure data. The document is kept as it is: fields that are not known here survive every edit.

use serde_json::{Value, json};

use super::referrers::subject_of_tag;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::json::{parse_strict, to_go_bytes};
use crate::spec::{Descriptor, MAX_MANIFEST, Platform, REF_NAME};
use crate::transport::Entry;

/// The annotation in which containerd and BuildKit keep the full name beside the short one.
pub(in crate::transport) const FULL_NAME: &str = "io.containerd.image.name";

/// The entries of a layout.
#[derive(Clone, Debug)]
pub(in crate::transport) struct LayoutIndex {
    document: Value,
    entries: Vec<Descriptor>,
}

impl LayoutIndex {
    /// The index of a layout that holds nothing yet.
    pub(in crate::transport) fn empty() -> LayoutIndex {
        let document = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [],
        });
        LayoutIndex { document, entries: Vec::new() }
    }

    /// Reads `bytes`; `what` names the file in errors.
    pub(in crate::transport) fn parse(bytes: &[u8], what: &str) -> Result<LayoutIndex> {
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(Error::invalid(format!("{what} is larger than {MAX_MANIFEST} bytes")));
        }
        let document = parse_strict(bytes, what)?;
        let version = document.get("schemaVersion").and_then(Value::as_u64);
        if version != Some(2) {
            return Err(Error::invalid(format!("{what} does not say schemaVersion 2")));
        }
        let entries = match document.get("manifests") {
            None | Some(Value::Null) => Vec::new(),
            Some(list) => serde_json::from_value(list.clone()).map_err(|error| {
                Error::caused(ErrorKind::Invalid, format!("{what} breaks its format"), error)
            })?,
        };
        Ok(LayoutIndex { document, entries })
    }

    /// The document as it is to be written.
    pub(in crate::transport) fn to_bytes(&self) -> Result<Vec<u8>> {
        let bytes = to_go_bytes(&self.document)?;
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(Error::invalid(format!(
                "index.json would be larger than {MAX_MANIFEST} bytes; remove names first"
            )));
        }
        Ok(bytes)
    }

    /// All entries in order.
    pub(in crate::transport) fn entries(&self) -> &[Descriptor] {
        &self.entries
    }

    /// The entry that is meant; `place` names the layout in errors.
    ///
    /// A name is looked for as it stands, then among the full names that containerd keeps, then as
    /// a digest. Of several entries the one for `platform` counts.
    pub(in crate::transport) fn choose(
        &self,
        entry: &Entry,
        platform: &Platform,
        place: &str,
    ) -> Result<Descriptor> {
        let found = match entry {
            Entry::Nth(number) => self.entries.get(*number).into_iter().collect(),
            Entry::Named(name) => self.named(name),
            Entry::Only => self.images(),
        };
        let Some(first) = found.first() else {
            return Err(Error::not_found(match entry {
                Entry::Only => format!("{place} holds no image"),
                Entry::Named(name) => {
                    format!("{place} holds no image {name:?}; it has {}", self.listing())
                }
                Entry::Nth(number) => {
                    format!("{place} holds {} images, so no @{number}", self.entries.len())
                }
            }));
        };
        if found.iter().all(|other| other.digest == first.digest) {
            return Ok((*first).clone());
        }
        if *entry == Entry::Only {
            return Err(Error::usage(format!(
                "{place} holds several images, name one: {}",
                self.listing()
            )));
        }
        let known: Vec<Descriptor> =
            found.iter().filter(|d| d.platform.is_some()).map(|&d| d.clone()).collect();
        platform.choose(&known).cloned().ok_or_else(|| {
            let digests: Vec<_> = found.iter().map(|d| d.digest.to_string()).collect();
            Error::usage(format!(
                "{place} holds several images of that name and none is for {platform}: {}",
                digests.join(", ")
            ))
        })
    }

    fn named(&self, name: &str) -> Vec<&Descriptor> {
        let by = |test: &dyn Fn(&Descriptor) -> bool| -> Vec<&Descriptor> {
            self.entries.iter().filter(|d| test(d)).collect()
        };
        let mut found = by(&|d| d.ref_name() == Some(name));
        if found.is_empty() {
            found = by(&|d| d.annotations.get(FULL_NAME).is_some_and(|full| full == name));
        }
        if found.is_empty() {
            found = by(&|d| d.digest.to_string() == name);
        }
        found
    }

    /// The entries that are somebody's image, and not something about another entry.
    fn images(&self) -> Vec<&Descriptor> {
        let all = || self.entries.iter().filter(|d| !is_companion(d));
        match all().next() {
            Some(_) => all().collect(),
            None => self.entries.iter().collect(),
        }
    }

    fn listing(&self) -> String {
        const SHOWN: usize = 20;
        let mut names: Vec<String> = self
            .entries
            .iter()
            .enumerate()
            .map(|(at, entry)| match entry.ref_name() {
                Some(name) => name.to_owned(),
                None => format!("@{at}"),
            })
            .collect();
        names.dedup();
        let more = names.len().saturating_sub(SHOWN);
        names.truncate(SHOWN);
        match (names.is_empty(), more) {
            (true, _) => "none".to_owned(),
            (_, 0) => names.join(", "),
            (_, more) => format!("{} and {more} more", names.join(", ")),
        }
    }

    /// What the name (or the place without a name) stands for now.
    pub(in crate::transport) fn current(&self, name: Option<&str>) -> Option<&Descriptor> {
        self.entries.iter().find(|entry| holds_slot(entry, name))
    }

    /// Makes `name` stand for `root`.
    ///
    /// A name, and the place without a name, stands for one thing: what it stood for before goes
    /// from the index, and its content stays until it is collected. An entry of the same digest
    /// without a name is taken over.
    pub(in crate::transport) fn set(&mut self, name: Option<&str>, root: Descriptor) -> Result<()> {
        let mut root = root;
        root.annotations.remove(REF_NAME);
        if let Some(name) = name {
            root.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        }
        let digest = root.digest.clone();
        let goes = |entry: &Descriptor| {
            let taken_over = entry.digest == digest && entry.ref_name().is_none();
            holds_slot(entry, name) || taken_over
        };
        let mut going = self.entries.iter().filter(|entry| goes(entry));
        if (going.next(), going.next()) == (Some(&root), None) {
            return Ok(());
        }
        self.retain(|entry| !goes(entry));
        self.push(root)
    }

    /// Adds something without a name, such as a signature, unless it is there.
    pub(in crate::transport) fn add(&mut self, what: Descriptor) -> Result<()> {
        if self.entries.iter().any(|entry| entry.digest == what.digest) {
            return Ok(());
        }
        self.push(what)
    }

    /// Removes the entries of `name` and tells what they stood for.
    pub(in crate::transport) fn remove(&mut self, name: &str) -> Vec<Descriptor> {
        let gone = self.entries.iter().filter(|e| e.ref_name() == Some(name)).cloned().collect();
        self.retain(|entry| entry.ref_name() != Some(name));
        gone
    }

    /// Adds an entry, whatever else is there.
    pub(in crate::transport) fn push(&mut self, entry: Descriptor) -> Result<()> {
        let value = serde_json::to_value(&entry)
            .map_err(|error| Error::caused(ErrorKind::Failed, "writing index.json", error))?;
        if let Some(list) = self.list() {
            list.push(value);
        }
        self.entries.push(entry);
        Ok(())
    }

    fn retain(&mut self, keep: impl Fn(&Descriptor) -> bool) {
        let kept: Vec<bool> = self.entries.iter().map(keep).collect();
        let mut flags = kept.iter();
        self.entries.retain(|_| flags.next() == Some(&true));
        let mut flags = kept.iter();
        if let Some(list) = self.list() {
            list.retain(|_| flags.next() == Some(&true));
        }
    }

    fn list(&mut self) -> Option<&mut Vec<Value>> {
        let map = self.document.as_object_mut()?;
        let list = map.entry("manifests").or_insert_with(|| json!([]));
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut()
    }
}

fn holds_slot(entry: &Descriptor, name: Option<&str>) -> bool {
    entry.ref_name() == name && (name.is_some() || !is_companion(entry))
}

/// Whether it is about another entry: a list of referrers under a fallback tag, an artifact
/// without a name, an attestation.
fn is_companion(entry: &Descriptor) -> bool {
    match entry.ref_name() {
        Some(name) => subject_of_tag(name).is_some(),
        None => entry.artifact_type.is_some() || entry.is_attestation(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::spec::{Dialect, MediaType};

    fn image(content: &str) -> Descriptor {
        Descriptor::of(MediaType::Manifest(Dialect::Oci), content.as_bytes())
    }

    fn for_platform(content: &str, architecture: &str) -> Descriptor {
        let platform = Platform::new("linux", architecture, None);
        Descriptor { platform: Some(platform), ..image(content) }
    }

    fn named(name: &str) -> Entry {
        Entry::Named(name.to_owned())
    }

    fn amd64() -> Platform {
        Platform::new("linux", "amd64", None)
    }

    fn index(entries: &[(Option<&str>, Descriptor)]) -> LayoutIndex {
        let mut index = LayoutIndex::empty();
        for (name, entry) in entries {
            let mut entry = entry.clone();
            if let Some(name) = name {
                entry.annotations.insert(REF_NAME.to_owned(), (*name).to_owned());
            }
            index.push(entry).unwrap();
        }
        index
    }

    #[test]
    fn an_edit_keeps_what_it_does_not_know() {
        let text = r#"{"schemaVersion":2,"x":{"y":1},"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3,"future":true}],"annotations":{"a":"b"}}"#;
        let mut index = LayoutIndex::parse(text.as_bytes(), "index.json").unwrap();
        assert_eq!(index.to_bytes().unwrap(), text.as_bytes());
        index.set(Some("n"), image("other")).unwrap();
        let written = String::from_utf8(index.to_bytes().unwrap()).unwrap();
        assert!(written.starts_with(&text[..text.len() - "],\"annotations\"}".len() - 20]));
        assert!(written.contains(r#""future":true"#) && written.contains(r#""x":{"y":1}"#));
        assert_eq!(LayoutIndex::parse(written.as_bytes(), "x").unwrap().entries().len(), 2);
    }

    #[test]
    fn damaged_documents_are_refused() {
        for bad in [
            "",
            "{",
            "null",
            "[]",
            r#"{"schemaVersion":2,"manifests":[]}{}"#,
            r#"{"schemaVersion":3,"manifests":[]}"#,
            r#"{"schemaVersion":2,"manifests":[{}]}"#,
            r#"{"schemaVersion":2,"manifests":{}}"#,
            r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
        ] {
            let error = LayoutIndex::parse(bad.as_bytes(), "index.json").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
        }
        for empty in [r#"{"schemaVersion":2}"#, r#"{"schemaVersion":2,"manifests":null}"#] {
            let mut index = LayoutIndex::parse(empty.as_bytes(), "index.json").unwrap();
            index.set(None, image("a")).unwrap();
            let again = LayoutIndex::parse(&index.to_bytes().unwrap(), "x").unwrap();
            assert_eq!(again.entries(), [image("a")]);
        }
        assert!(LayoutIndex::parse(&vec![b' '; (4 << 20) + 1], "index.json").is_err());
    }

    #[test]
    fn a_name_moves() {
        let mut index = LayoutIndex::empty();
        index.set(Some("n"), image("old")).unwrap();
        index.set(Some("m"), image("old")).unwrap();
        index.set(Some("n"), image("new")).unwrap();
        let names: Vec<_> =
            index.entries().iter().map(|e| (e.ref_name().unwrap(), e.digest.clone())).collect();
        assert_eq!(names, [("m", image("old").digest), ("n", image("new").digest)]);
        assert_eq!(index.current(Some("n")).unwrap().digest, image("new").digest);
        assert_eq!(index.remove("n").len(), 1);
        assert_eq!(index.current(Some("n")), None);
    }

    #[test]
    fn the_place_without_a_name_holds_one_thing() {
        let mut index = LayoutIndex::empty();
        let signature =
            Descriptor { artifact_type: Some("application/x".into()), ..image("signature") };
        index.add(signature.clone()).unwrap();
        index.add(signature.clone()).unwrap();
        index.set(None, image("old")).unwrap();
        index.set(None, image("new")).unwrap();
        assert_eq!(index.entries(), [signature.clone(), image("new")]);
        let only = index.choose(&Entry::Only, &amd64(), "oci:x").unwrap();
        assert_eq!(only, image("new"));
        index.set(Some("n"), image("new")).unwrap();
        assert_eq!(index.entries().len(), 2);
        assert_eq!(index.current(None), None);
    }

    #[test]
    fn which_entry_is_meant() {
        let full = Descriptor {
            annotations: [(FULL_NAME.to_owned(), "h.io/c:1".to_owned())].into(),
            ..image("c")
        };
        let tag = format!("sha256-{}", "a".repeat(64));
        let index = index(&[
            (Some("a"), image("a")),
            (Some("h.io/b:1"), image("b")),
            (Some("1"), full.clone()),
            (None, image("d")),
            (Some(&tag), image("referrers")),
        ]);
        let choose = |entry: &Entry| index.choose(entry, &amd64(), "oci:x");
        assert_eq!(choose(&named("a")).unwrap().digest, image("a").digest);
        assert_eq!(choose(&named("h.io/c:1")).unwrap().digest, full.digest);
        assert_eq!(choose(&Entry::Nth(3)).unwrap(), image("d"));
        assert_eq!(choose(&named(&image("d").digest.to_string())).unwrap(), image("d"));
        let error = choose(&named("nope")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("\"nope\"; it has a, h.io/b:1, 1, @3"), "{error}");
        assert_eq!(choose(&Entry::Nth(5)).unwrap_err().kind(), ErrorKind::NotFound);
        let error = choose(&Entry::Only).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }

    #[test]
    fn several_of_one_name_are_told_apart_by_platform() {
        let both = index(&[
            (Some("n"), for_platform("arm", "arm64")),
            (Some("n"), for_platform("amd", "amd64")),
        ]);
        let found = both.choose(&named("n"), &amd64(), "oci:x").unwrap();
        assert_eq!(found.digest, image("amd").digest);
        let s390 = Platform::new("linux", "s390x", None);
        let error = both.choose(&named("n"), &s390, "oci:x").unwrap_err();
        assert!(error.to_string().contains(&image("arm").digest.to_string()), "{error}");
        let unclear = index(&[(Some("n"), image("a")), (Some("n"), image("b"))]);
        assert!(unclear.choose(&named("n"), &amd64(), "oci:x").is_err());
        let same = index(&[(Some("n"), image("a")), (Some("m"), image("a"))]);
        assert!(same.choose(&Entry::Only, &amd64(), "oci:x").is_ok());
    }
}
