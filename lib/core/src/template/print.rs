//! Values as Go prints them, and as JSON.

use serde_json::Value as Json;

use super::numbers::shortest;
use super::schema::Schema;
use super::value::{Value, sorted};

/// A value as text: lists as `[a b]`, structs as `{a b}`, maps as `map[k:v]`.
pub(super) fn print(value: &Value<'_>, schema: &Schema) -> String {
    let mut out = String::new();
    match value {
        Value::Missing => out.push_str("<no value>"),
        other => print_to(&mut out, other, schema),
    }
    out
}

/// The same; what is missing is nil, as within other values.
pub(super) fn print_to(out: &mut String, value: &Value<'_>, schema: &Schema) {
    match value {
        Value::Missing | Value::Null => out.push_str("<nil>"),
        Value::Bool(truth) => out.push_str(&truth.to_string()),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Uint(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&shortest(*number)),
        Value::Text(text) => out.push_str(text),
        Value::Struct(object, _) => {
            out.push('{');
            for (at, (name, part)) in object.iter().enumerate() {
                separate(out, at, ' ');
                print_to(out, &Value::of(part, name, schema), schema);
            }
            out.push('}');
        }
        Value::Map(object) => {
            out.push_str("map[");
            let members = object.map(sorted).unwrap_or_default();
            for (at, (key, part)) in members.into_iter().enumerate() {
                separate(out, at, ' ');
                out.push_str(key);
                out.push(':');
                print_to(out, &Value::of(part, "", schema), schema);
            }
            out.push(']');
        }
        Value::Array(..) | Value::List(_) => {
            out.push('[');
            for (at, part) in value.elements(schema).unwrap_or_default().iter().enumerate() {
                separate(out, at, ' ');
                print_to(out, part, schema);
            }
            out.push(']');
        }
    }
}

fn separate(out: &mut String, at: usize, separator: char) {
    if at > 0 {
        out.push(separator);
    }
}

/// `print`: spaces between two values neither of which is a text.
pub(super) fn print_all(values: &[Value<'_>], schema: &Schema) -> String {
    let mut out = String::new();
    let mut after_text = true;
    for value in values {
        let is_text = matches!(value, Value::Text(_));
        if !is_text && !after_text {
            out.push(' ');
        }
        print_to(&mut out, value, schema);
        after_text = is_text;
    }
    out
}

/// `println`: spaces between all values.
pub(super) fn print_line(values: &[Value<'_>], schema: &Schema) -> String {
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        separate(&mut out, at, ' ');
        print_to(&mut out, value, schema);
    }
    out + "\n"
}

/// Compact JSON. Keys of maps are in order, fields of structs as they stand in the data.
pub(super) fn json(value: &Value<'_>, schema: &Schema) -> String {
    let mut out = String::new();
    json_to(&mut out, value, schema);
    out
}

fn json_to(out: &mut String, value: &Value<'_>, schema: &Schema) {
    match value {
        Value::Map(Some(object)) => {
            let members = sorted(object).into_iter();
            members_to(out, members.map(|(key, part)| (key, Value::of(part, "", schema))), schema);
        }
        Value::Struct(object, _) => {
            let members = object.iter();
            members_to(out, members.map(|(key, part)| (key, Value::of(part, key, schema))), schema);
        }
        Value::Array(Some(_), _) | Value::List(_) => {
            out.push('[');
            for (at, part) in value.elements(schema).unwrap_or_default().iter().enumerate() {
                separate(out, at, ',');
                json_to(out, part, schema);
            }
            out.push(']');
        }
        Value::Missing | Value::Null | Value::Map(None) | Value::Array(None, _) => {
            out.push_str("null");
        }
        Value::Bool(truth) => out.push_str(&truth.to_string()),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Uint(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&Json::from(*number).to_string()),
        Value::Text(text) => out.push_str(&Json::from(text.as_ref()).to_string()),
    }
}

fn members_to<'a>(
    out: &mut String,
    members: impl Iterator<Item = (&'a String, Value<'a>)>,
    schema: &Schema,
) {
    out.push('{');
    for (at, (key, part)) in members.enumerate() {
        separate(out, at, ',');
        out.push_str(&Json::from(key.as_str()).to_string());
        out.push(':');
        json_to(out, &part, schema);
    }
    out.push('}');
}
