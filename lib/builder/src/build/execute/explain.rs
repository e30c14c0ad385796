//! Why a step is made: what differs from the last time.
//!
//! A step's definition is a list of named parts. Those of the last time are kept beside the cache,
//! by the step's place in its file; the first that differs is the reason.

use super::super::cache::{Key, Part};
use super::Builder;
use super::options::{BuildEvent, StepName};
use crate::spec::Digest;

/// The parts of a step's key, in the order in which they are told.
#[derive(Default)]
pub(super) struct Parts(Vec<Part>);

impl Parts {
    /// Adds a part.
    pub(super) fn add(&mut self, name: impl Into<String>, fill: impl FnOnce(&mut Key)) {
        let name = name.into();
        let mut key = Key::new("part");
        key.text(&name);
        fill(&mut key);
        self.0.push(Part { name, digest: key.finish() });
    }

    /// The key of all of them.
    pub(super) fn key(&self, kind: &str) -> Digest {
        let mut key = Key::new(kind);
        for part in &self.0 {
            key.text(&part.name).text(part.digest.hex());
        }
        key.finish()
    }
}

impl Builder<'_> {
    /// Tells why a step is made, if that is wanted, and notes its parts for the next time.
    pub(super) fn explain(&self, name: StepName<'_>, parts: Parts) {
        let source = self.checked.file.source.name();
        let mut place = Key::new("place");
        if let Some(context) = self.options.context.as_ref().filter(|context| !context.passing) {
            let path = context.path.canonicalize().unwrap_or_else(|_| context.path.clone());
            place.bytes(path.as_os_str().as_encoded_bytes());
        }
        place.text(source).text(name.stage).number(name.number as u64);
        let place = place.finish();
        if self.options.explain {
            let before = self.cache.last_parts(&place);
            let why = match (&before, self.options.no_cache) {
                (_, true) => "--no-cache says so".to_owned(),
                _ if !self.may_find(name.stage) => "--no-cache-filter says so".to_owned(),
                (None, _) => "it was never made here".to_owned(),
                (Some(before), _) => difference(before, &parts.0),
            };
            self.reporter.event(BuildEvent::Explained(name, &why));
        }
        self.cache.note_parts(&place, &parts.0);
    }
}

/// The first part that differs.
fn difference(before: &[Part], now: &[Part]) -> String {
    let find = |parts: &[Part], name: &str| {
        parts.iter().find(|part| part.name == name).map(|part| part.digest.clone())
    };
    for part in now {
        match find(before, &part.name) {
            Some(digest) if digest == part.digest => {}
            Some(_) => return format!("{} is different", part.name),
            None => return format!("{} is new", part.name),
        }
    }
    let gone = before.iter().find(|part| find(now, &part.name).is_none());
    match gone {
        Some(part) => format!("{} is gone", part.name),
        None => "its layer is not in the store any more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_counts() {
        let parts = |pairs: &[(&str, &str)]| {
            let mut parts = Parts::default();
            for (name, value) in pairs {
                parts.add(*name, |key| {
                    key.text(value);
                });
            }
            parts
        };
        let old = parts(&[("the command", "a"), ("variable A", "1"), ("variable B", "1")]);
        for (now, why) in [
            (&[("the command", "b"), ("variable A", "2")][..], "the command is different"),
            (&[("the command", "a"), ("variable A", "2")], "variable A is different"),
            (&[("the command", "a"), ("variable C", "1")], "variable C is new"),
            (&[("the command", "a"), ("variable B", "1")], "variable A is gone"),
            (
                &[("the command", "a"), ("variable A", "1"), ("variable B", "1")],
                "its layer is not in the store any more",
            ),
        ] {
            assert_eq!(difference(&old.0, &parts(now).0), why);
        }
        assert_ne!(old.key("x"), parts(&[("the command", "a")]).key("x"));
    }
}
