//! Values while a template runs: parts of the data, and what functions make of them.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::LazyLock;

use serde_json::{Map, Value as Json};

use super::schema::{Schema, Zero};

static EMPTY: LazyLock<Map<String, Json>> = LazyLock::new(Map::new);

/// A value. Parts of the data are not copied; with each goes the name of its field, which the
/// schema knows.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// What a map has not: printed as `<no value>`.
    Missing,
    /// A pointer to nothing.
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(Cow<'a, str>),
    Struct(&'a Map<String, Json>, &'a str),
    /// Without an object, Go's nil map.
    Map(Option<&'a Map<String, Json>>),
    /// Without elements, Go's nil slice.
    Array(Option<&'a [Json]>, &'a str),
    /// What a function made.
    List(Rc<Vec<Value<'a>>>),
}

/// Why there is no such field.
pub(super) enum NoField {
    /// The value is a pointer to nothing.
    OfNull,
    /// The struct has others: these.
    Unknown(Vec<String>),
    /// Only structs and maps have fields.
    OfOther,
}

impl<'a> Value<'a> {
    /// What the data has under the field `name`.
    pub(super) fn of(json: &'a Json, name: &'a str, schema: &Schema) -> Value<'a> {
        match json {
            Json::Null if schema.is_map(name) => Value::Map(None),
            Json::Null if schema.is_list(name) => Value::Array(None, name),
            Json::Null => Value::Null,
            Json::Bool(truth) => Value::Bool(*truth),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Value::Int(number),
                (None, Some(number)) => Value::Uint(number),
                (None, None) => Value::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Value::Text(Cow::Borrowed(text)),
            Json::Array(items) => Value::Array(Some(items), name),
            Json::Object(object) if schema.is_map(name) => Value::Map(Some(object)),
            Json::Object(object) => Value::Struct(object, name),
        }
    }

    pub(super) fn text(text: impl Into<String>) -> Value<'a> {
        Value::Text(Cow::Owned(text.into()))
    }

    pub(super) fn count(number: usize) -> Value<'a> {
        Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// The field `name`, or what a map has under that key.
    pub(super) fn field(&self, name: &'a str, schema: &Schema) -> Result<Value<'a>, NoField> {
        match self {
            Value::Missing => Ok(Value::Missing),
            Value::Null => Err(NoField::OfNull),
            Value::Map(object) => {
                let found = object.and_then(|object| object.get(name));
                // What it is called is the data's choice and says nothing of its type.
                Ok(found.map_or(Value::Missing, |found| Value::of(found, "", schema)))
            }
            Value::Struct(object, within) => {
                let field = schema.field(within, name);
                let key = field.map_or(name, |field| field.key);
                let found = object.get(key).or_else(|| object.get(name));
                match (found, field) {
                    (Some(found), None) => Ok(Value::of(found, name, schema)),
                    (Some(found), Some(_)) if !found.is_null() => {
                        Ok(Value::of(found, name, schema))
                    }
                    (_, Some(field)) => Ok(Value::zero(field.zero, name)),
                    (None, None) => Err(NoField::Unknown(names(object, within, schema))),
                }
            }
            _ => Err(NoField::OfOther),
        }
    }

    fn zero(zero: Zero, name: &'a str) -> Value<'a> {
        match zero {
            Zero::Text => Value::Text(Cow::Borrowed("")),
            Zero::False => Value::Bool(false),
            Zero::List => Value::Array(None, name),
            Zero::Map => Value::Map(None),
            Zero::Struct => Value::Struct(&EMPTY, name),
            Zero::Pointer => Value::Null,
        }
    }

    /// What counts as true: everything but false, 0, and what is nothing or empty.
    pub(super) fn truth(&self) -> bool {
        match self {
            Value::Missing | Value::Null => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Uint(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Struct(..) => true,
            _ => self.len().is_some_and(|length| length > 0),
        }
    }

    /// Bytes of a text, elements of a list, keys of a map.
    pub(super) fn len(&self) -> Option<usize> {
        Some(match self {
            Value::Text(text) => text.len(),
            Value::Map(object) => object.map_or(0, Map::len),
            Value::Array(items, _) => items.map_or(0, <[Json]>::len),
            Value::List(items) => items.len(),
            _ => return None,
        })
    }

    /// An element of a list.
    pub(super) fn element(&self, at: usize, schema: &Schema) -> Option<Value<'a>> {
        match self {
            Value::Array(items, name) => {
                items.and_then(|items| items.get(at)).map(|item| Value::of(item, name, schema))
            }
            Value::List(items) => items.get(at).cloned(),
            _ => None,
        }
    }

    /// The elements of a list; `None` of other values.
    pub(super) fn elements(&self, schema: &Schema) -> Option<Vec<Value<'a>>> {
        match self {
            Value::Array(items, name) => {
                let items = items.unwrap_or_default().iter();
                Some(items.map(|item| Value::of(item, name, schema)).collect())
            }
            Value::List(items) => Some(items.to_vec()),
            _ => None,
        }
    }

    /// Its type's name in Go, as near as can be said.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Missing => "<nil>",
            Value::Null => "nil pointer",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint64",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Struct(..) => "struct",
            Value::Map(..) => "map[string]interface {}",
            Value::Array(Some(items), _) if !items.iter().all(Json::is_string) => "[]interface {}",
            Value::Array(..) | Value::List(_) => "[]string",
        }
    }
}

/// Keys of a map in the order in which Go shows them.
pub(super) fn sorted(object: &Map<String, Json>) -> Vec<(&String, &Json)> {
    let mut members: Vec<_> = object.iter().collect();
    members.sort_by_key(|(key, _)| *key);
    members
}

/// The names that a template can use of a struct.
fn names(object: &Map<String, Json>, within: &str, schema: &Schema) -> Vec<String> {
    let known: Vec<_> = schema.fields.iter().filter(|field| field.within == within).collect();
    let own = object.keys().filter(|key| !known.iter().any(|field| field.key == *key));
    known.iter().map(|field| field.name.to_owned()).chain(own.cloned()).collect()
}

/// What `index` gives for a key that a map has not: the empty value of what its values are.
pub(super) fn missing_element<'a>(object: Option<&'a Map<String, Json>>) -> Value<'a> {
    match object.is_none_or(|object| object.values().all(Json::is_string)) {
        true => Value::Text(Cow::Borrowed("")),
        false => Value::Missing,
    }
}
