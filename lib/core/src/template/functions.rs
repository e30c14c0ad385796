//! The functions of Go's templates and of Docker's.

use std::cmp::Ordering;
use std::rc::Rc;

use super::compare::{equals, equals_any, order};
use super::print::{json, print, print_all, print_line};
use super::printf::printf;
use super::quote::{html, javascript, url_query};
use super::schema::Schema;
use super::value::Value;
use super::{MAX_OUTPUT, value};
use crate::spec::shown::escape_json;

/// Go's own, then Docker's.
const FUNCTIONS: [&str; 27] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or",
    "print", "printf", "println", "slice", "urlquery", "join", "json", "lower", "pad", "split",
    "title", "truncate", "upper",
];

pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

/// One call.
pub(super) struct Call<'a, 's> {
    pub(super) name: &'s str,
    pub(super) values: Vec<Value<'a>>,
    pub(super) schema: &'s Schema,
    /// Whether the titles of a table are made: then what only changes the look does nothing.
    pub(super) titles: bool,
}

/// Calls a function; the error is in Go's words.
pub(super) fn call<'a>(call: Call<'a, '_>) -> Result<Value<'a>, String> {
    let Call { name, values, schema, titles } = call;
    let count = values.len();
    let (least, most) = arguments(name);
    if count < least || count > most {
        let at_least = if most == usize::MAX { "at least " } else { "" };
        return Err(format!("wrong number of args for {name}: want {at_least}{least} got {count}"));
    }
    let changes_looks =
        ["json", "join", "split", "title", "lower", "upper", "pad", "truncate"].contains(&name);
    if titles && changes_looks {
        return Ok(values.into_iter().next().unwrap_or(Value::Missing));
    }
    let failed = |what: String| format!("error calling {name}: {what}");
    let made = match name {
        "and" | "or" => return Ok(values.into_iter().next_back().unwrap_or(Value::Missing)),
        "not" => Ok(Value::Bool(!values[0].truth())),
        "eq" => equals_any(&values).map(Value::Bool),
        "ne" => equals(&values[0], &values[1]).map(|equal| Value::Bool(!equal)),
        "lt" => compared(&values, Ordering::is_lt),
        "le" => compared(&values, Ordering::is_le),
        "gt" => compared(&values, Ordering::is_gt),
        "ge" => compared(&values, Ordering::is_ge),
        "len" => values[0].len().map(Value::count).ok_or_else(|| match &values[0] {
            Value::Missing | Value::Null => "len of nil pointer".to_owned(),
            other => format!("len of type {}", other.type_name()),
        }),
        "index" => index(values, schema),
        "slice" => slice(&values, schema),
        "html" => Ok(Value::text(html(&all_text(&values, schema)))),
        "js" => Ok(Value::text(javascript(&all_text(&values, schema)))),
        "urlquery" => Ok(Value::text(url_query(&all_text(&values, schema)))),
        "print" => Ok(Value::text(print_all(&values, schema))),
        "println" => Ok(Value::text(print_line(&values, schema))),
        "printf" => printf(&values, schema).map(Value::text),
        // What would change a terminal is written as JSON can: it means the same.
        "json" => Ok(Value::text(escape_json(&json(&values[0], schema)).into_owned())),
        "call" => Err(format!("non-function of type {}", values[0].type_name())),
        _ => words(name, &values, schema),
    };
    made.map_err(failed)
}

/// The fewest and the most values that a function takes.
fn arguments(name: &str) -> (usize, usize) {
    match name {
        "not" | "len" | "json" | "title" | "lower" | "upper" => (1, 1),
        "ne" | "lt" | "le" | "gt" | "ge" | "join" | "split" | "truncate" => (2, 2),
        "pad" => (3, 3),
        "slice" => (1, 4),
        "html" | "js" | "urlquery" | "print" | "println" => (0, usize::MAX),
        _ => (1, usize::MAX),
    }
}

fn compared<'a>(values: &[Value<'a>], wanted: fn(Ordering) -> bool) -> Result<Value<'a>, String> {
    let found = order(&values[0], &values[1])?;
    Ok(Value::Bool(found.is_some_and(wanted)))
}

/// Several values as one text, as `print` has them.
fn all_text(values: &[Value<'_>], schema: &Schema) -> String {
    match values {
        [one] => print(one, schema),
        all => {
            let named = all.iter().map(|value| match value {
                Value::Missing => Value::text("<no value>"),
                other => other.clone(),
            });
            print_all(&named.collect::<Vec<_>>(), schema)
        }
    }
}

/// A place in something of that length.
fn place(value: &Value<'_>, length: usize) -> Result<usize, String> {
    let number = match value {
        Value::Int(number) => i128::from(*number),
        Value::Uint(number) => i128::from(*number),
        Value::Missing | Value::Null => return Err("cannot index slice/array with nil".to_owned()),
        other => {
            return Err(format!("cannot index slice/array with type {}", other.type_name()));
        }
    };
    let fits = usize::try_from(number).ok().filter(|place| *place <= length);
    fits.ok_or_else(|| format!("index out of range: {number}"))
}

/// `index .Map "key"`, `index .List 0`, and so on inwards.
fn index<'a>(values: Vec<Value<'a>>, schema: &Schema) -> Result<Value<'a>, String> {
    let mut values = values.into_iter();
    let mut value = values.next().unwrap_or(Value::Missing);
    for key in values {
        value = match &value {
            Value::Missing | Value::Null => return Err("index of untyped nil".to_owned()),
            Value::Map(object) => {
                let Value::Text(key) = &key else {
                    let found = key.type_name();
                    return Err(format!("value has type {found}; should be string"));
                };
                let found = object.and_then(|object| object.get(key.as_ref()));
                match found {
                    Some(found) => Value::of(found, "", schema),
                    None => value::missing_element(*object),
                }
            }
            Value::Text(text) => {
                let at = place(&key, text.len())?;
                let byte = text.as_bytes().get(at);
                byte.map(|byte| Value::Int(i64::from(*byte)))
                    .ok_or_else(|| format!("index out of range: {at}"))?
            }
            Value::Array(..) | Value::List(_) => {
                let at = place(&key, value.len().unwrap_or(0))?;
                value.element(at, schema).ok_or_else(|| format!("index out of range: {at}"))?
            }
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

/// `slice .Text 1 5`: bytes of a text, elements of a list.
fn slice<'a>(values: &[Value<'a>], schema: &Schema) -> Result<Value<'a>, String> {
    let (value, places) = values.split_first().ok_or("slice of untyped nil")?;
    let length = match value {
        Value::Missing | Value::Null => return Err("slice of untyped nil".to_owned()),
        Value::Text(_) if places.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Text(_) | Value::Array(..) | Value::List(_) => value.len().unwrap_or(0),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let places = places.iter().map(|at| place(at, length)).collect::<Result<Vec<_>, _>>()?;
    let start = places.first().copied().unwrap_or(0);
    let end = places.get(1).copied().unwrap_or(length);
    if let Some(pair) = places.windows(2).find(|pair| pair[0] > pair[1]) {
        return Err(format!("invalid slice index: {} > {}", pair[0], pair[1]));
    }
    Ok(match value {
        Value::Text(text) => {
            let bytes = text.as_bytes().get(start..end).unwrap_or_default();
            Value::text(String::from_utf8_lossy(bytes))
        }
        _ => {
            let elements = value.elements(schema).unwrap_or_default();
            Value::List(Rc::new(elements.get(start..end).unwrap_or_default().to_vec()))
        }
    })
}

/// Docker's functions of texts.
fn words<'a>(name: &str, values: &[Value<'a>], schema: &Schema) -> Result<Value<'a>, String> {
    if name == "join" {
        return join(values, schema).map(Value::text);
    }
    let text = |at: usize| match values.get(at) {
        Some(Value::Text(text)) => Ok(text.as_ref()),
        Some(Value::Missing) => Err("invalid value; expected string".to_owned()),
        Some(other) => {
            Err(format!("wrong type for value; expected string; got {}", other.type_name()))
        }
        None => Ok(""),
    };
    let number = |at: usize| match values.get(at) {
        Some(Value::Int(number)) => Ok(usize::try_from(*number).unwrap_or(0)),
        _ => Err("wrong type for value; expected int".to_owned()),
    };
    let subject = text(0)?;
    Ok(match name {
        "upper" => Value::text(subject.to_uppercase()),
        "lower" => Value::text(subject.to_lowercase()),
        "title" => Value::text(title(subject)),
        "truncate" => Value::text(subject.chars().take(number(1)?).collect::<String>()),
        "split" => Value::List(Rc::new(split(subject, text(1)?))),
        "pad" if subject.is_empty() => Value::text(""),
        "pad" => {
            let spaces = |count: usize| " ".repeat(count.min(MAX_OUTPUT / 4));
            Value::text(format!("{}{subject}{}", spaces(number(1)?), spaces(number(2)?)))
        }
        _ => return Err("not a function".to_owned()),
    })
}

fn join(values: &[Value<'_>], schema: &Schema) -> Result<String, String> {
    let Value::Text(separator) = &values[1] else {
        return Err(format!(
            "wrong type for value; expected string; got {}",
            values[1].type_name()
        ));
    };
    let items = match &values[0] {
        Value::Missing | Value::Null => Vec::new(),
        list => list.elements(schema).ok_or_else(|| {
            format!("wrong type for value; expected []string; got {}", list.type_name())
        })?,
    };
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(separator);
        }
        out.push_str(&print(item, schema));
        if out.len() > MAX_OUTPUT {
            return Err("the result is too long".to_owned());
        }
    }
    Ok(out)
}

/// As Go's `strings.Split`: an empty separator splits characters.
fn split<'a>(text: &str, separator: &str) -> Vec<Value<'a>> {
    match separator {
        "" => text.chars().map(|c| Value::text(c.to_string())).collect(),
        separator => text.split(separator).map(Value::text).collect(),
    }
}

/// The first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        let letter = c.is_alphanumeric() || c == '_' || c == '\'';
        match letter && !inside {
            true => out.extend(c.to_uppercase()),
            false => out.push(c),
        }
        inside = letter;
    }
    out
}
