//! JSON as strict as signed documents need it, and written as Go writes it.
//!
//! Two readers of one document must see the same thing (I-JSON, RFC 7493): duplicate keys, keys
//! that differ from ours only in case (Go takes them, serde does not), trailing bytes and deep
//! nesting are refused. Go-compatible output keeps digests equal to what Docker's tools compute.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// Most values of one document: objects, lists, texts and numbers. Small values cost fifty times
/// their bytes in memory, so a limit of bytes alone does not bound it.
const MAX_VALUES: usize = 1 << 17;

/// Parses one document; `what` names it in errors. Key order is kept.
pub fn parse_strict(bytes: &[u8], what: &str) -> Result<Value> {
    let invalid = |error: serde_json::Error| {
        Error::caused(crate::ErrorKind::Invalid, format!("{what} is not valid JSON"), error)
    };
    parse_unambiguous(bytes).map_err(invalid)
}

/// Parses one document in which no object, however deep, has equal keys.
pub fn parse_unambiguous(bytes: &[u8]) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    // serde_json itself stops at 128 levels.
    let left = Cell::new(MAX_VALUES);
    let value = Strict(&left).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Refuses keys of `object` that equal one of `known` but for case.
pub fn refuse_case_variants(object: &Value, known: &[&str], what: &str) -> Result<()> {
    let Some(map) = object.as_object() else { return Ok(()) };
    for key in map.keys() {
        if known.iter().any(|name| name.eq_ignore_ascii_case(key) && name != key) {
            return Err(Error::invalid(format!(
                "{what} has a field {key:?}, which other programs may read as another spelling"
            )));
        }
    }
    Ok(())
}

/// Writes compact JSON with Go's escapes (`<`, `>`, `&`, U+2028 and U+2029 as `\u….`).
pub fn to_go_bytes(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let plain = serde_json::to_string(value)
        .map_err(|error| Error::caused(crate::ErrorKind::Failed, "writing JSON", error))?;
    let mut out = String::with_capacity(plain.len() + 16);
    // These characters stand only inside strings, and replacing them there keeps the meaning.
    for character in plain.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    // Go writes these two by number, serde_json by letter; a doubled backslash is no escape.
    Ok(rewrite_short_escapes(&out).into_bytes())
}

fn rewrite_short_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('b') => out.push_str("\\u0008"),
            Some('f') => out.push_str("\\u000c"),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// Brings into `document` what differs between `old`, its typed reading, and `new`.
///
/// Whatever the types do not cover, and the order of what stays, is left as it is. Elements of a
/// list are the same when they stand at the same place of equally long lists, else when they are
/// equal.
pub fn rewrite<T: Serialize>(document: &mut Value, old: Option<&T>, new: &T) -> Result<()> {
    let value = |typed: &T| {
        serde_json::to_value(typed)
            .map_err(|error| Error::caused(crate::ErrorKind::Failed, "writing JSON", error))
    };
    let old = old.map_or(Ok(Value::Null), value)?;
    merge(document, &old, value(new)?);
    Ok(())
}

fn merge(document: &mut Value, old: &Value, new: Value) {
    if *old == new {
        return;
    }
    match (document, new) {
        (Value::Object(document), Value::Object(new)) => {
            for key in old.as_object().into_iter().flat_map(serde_json::Map::keys) {
                if !new.contains_key(key) {
                    document.shift_remove(key);
                }
            }
            for (key, value) in new {
                merge(
                    document.entry(key.as_str()).or_insert(Value::Null),
                    &old[key.as_str()],
                    value,
                );
            }
        }
        (Value::Array(document), Value::Array(new)) => {
            let old = old.as_array().map_or(&[][..], Vec::as_slice);
            *document = merge_lists(std::mem::take(document), old, new);
        }
        (document, new) => *document = new,
    }
}

fn merge_lists(mut document: Vec<Value>, old: &[Value], new: Vec<Value>) -> Vec<Value> {
    if document.len() != old.len() {
        return new;
    }
    if old.len() == new.len() {
        for (place, (old, new)) in document.iter_mut().zip(old.iter().zip(new)) {
            merge(place, old, new);
        }
        return document;
    }
    let mut next = 0;
    new.into_iter()
        .map(|value| match old[next..].iter().position(|old| *old == value) {
            Some(distance) => {
                next += distance + 1;
                document[next - 1].take()
            }
            None => value,
        })
        .collect()
}

/// Reads `null` as the default: Go writes empty lists and maps that way.
pub fn null_is_default<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// [`null_is_default`] of a list and of its elements, as Go reads lists.
pub fn nulls_in_list<'de, D, T>(deserializer: D) -> std::result::Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    let items: Vec<Option<T>> = null_is_default(deserializer)?;
    Ok(items.into_iter().map(Option::unwrap_or_default).collect())
}

/// [`null_is_default`] of a map of texts and of its values, as Go reads maps.
pub fn nulls_in_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    let members: BTreeMap<String, Option<String>> = null_is_default(deserializer)?;
    Ok(members.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
}

/// Knows how many more values may come.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<Value, D::Error> {
        let Some(left) = self.0.get().checked_sub(1) else {
            return Err(serde::de::Error::custom(format_args!("more than {MAX_VALUES} values")));
        };
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value without duplicate keys")
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        let mut out = serde_json::Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if out.contains_key(&key) {
                return Err(serde::de::Error::custom(format_args!(
                    "the key {key:?} is there twice"
                )));
            }
            out.insert(key, map.next_value_seed(self)?);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_documents_are_refused() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"[{"b":{"a":1,"\u0061":2}}]"#,
            r#"{"a":1} {"#,
            "{} {}",
            "",
            "[1,",
        ] {
            assert!(parse_strict(bad.as_bytes(), "manifest").is_err(), "{bad}");
        }
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(parse_strict(deep.as_bytes(), "manifest").is_err());
        let value = parse_strict(br#"{"Layers":[]}"#, "manifest").unwrap();
        let error = refuse_case_variants(&value, &["layers"], "manifest").unwrap_err();
        assert!(error.to_string().contains("\"Layers\""), "{error}");
    }

    #[test]
    fn values_without_number_are_refused() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
        assert!(parse_strict(list(MAX_VALUES).as_bytes(), "manifest").is_ok());
        let error = parse_strict(list(MAX_VALUES + 1).as_bytes(), "manifest").unwrap_err();
        assert!(error.chain().contains("more than 131072 values"), "{}", error.chain());
    }

    #[test]
    fn key_order_and_numbers_survive() {
        let text = r#"{"z":1,"a":-5,"m":{"y":1.5,"b":null},"n":18446744073709551615}"#;
        let value = parse_strict(text.as_bytes(), "config").unwrap();
        assert_eq!(to_go_bytes(&value).unwrap(), text.as_bytes());
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        let value = Value::from("a<b>&\u{2028}\u{8}\u{c}\n\\b\u{1}");
        let written = String::from_utf8(to_go_bytes(&value).unwrap()).unwrap();
        assert_eq!(written, r#""a\u003cb\u003e\u0026\u2028\u0008\u000c\n\\b\u0001""#);
    }

    #[test]
    fn a_rewrite_touches_only_what_differs() {
        let check = |document: &str, old: &str, new: &str| {
            let mut document: Value = serde_json::from_str(document).unwrap();
            let [old, new] = [old, new].map(|text| serde_json::from_str::<Value>(text).unwrap());
            rewrite(&mut document, Some(&old), &new).unwrap();
            document.to_string()
        };
        // Unknown fields and order stay, removed keys go, a null is filled where it stands.
        assert_eq!(
            check(
                r#"{"z":1,"b":{"x":1,"q":[]},"n":null,"gone":1}"#,
                r#"{"b":{"q":[]},"gone":1}"#,
                r#"{"b":{"q":[2]},"n":3,"new":4}"#
            ),
            r#"{"z":1,"b":{"x":1,"q":[2]},"n":3,"new":4}"#
        );
        // Elements keep what is unknown in them, also when others come and go.
        let list = r#"[{"a":1,"x":1},{"a":2,"x":2},{"a":3,"x":3}]"#;
        let typed = r#"[{"a":1},{"a":2},{"a":3}]"#;
        assert_eq!(
            check(list, typed, r#"[{"a":1},{"a":3},{"a":4},{"a":5}]"#),
            r#"[{"a":1,"x":1},{"a":3,"x":3},{"a":4},{"a":5}]"#
        );
        assert_eq!(
            check(list, typed, r#"[{"a":1},{"a":9},{"a":3}]"#),
            r#"[{"a":1,"x":1},{"a":9,"x":2},{"a":3,"x":3}]"#
        );
        assert_eq!(check(r#""one""#, r#"["one"]"#, r#"["two"]"#), r#"["two"]"#);
    }
}
