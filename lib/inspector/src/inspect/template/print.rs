//! Values as Go prints them.

use serde_json::Value;

use super::wrong;
use crate::error::Result;

/// A value as text: lists as `[a b]`, maps as `map[k:v]` in the order of their keys.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().map(inner).collect();
            format!("[{}]", parts.join(" "))
        }
        Value::Object(map) => {
            let mut parts: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", inner(value))).collect();
            parts.sort();
            format!("map[{}]", parts.join(" "))
        }
        other => other.to_string(),
    }
}

fn inner(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        other => print(other),
    }
}

/// What counts as true: everything but false, 0, null and what is empty.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// `printf` with `%s`, `%v`, `%d`, `%q` and `%%`.
pub(super) fn format(values: &[Value]) -> Result<String> {
    let Some((Value::String(form), values)) = values.split_first() else {
        return Err(wrong("printf begins with a text"));
    };
    let mut values = values.iter();
    let mut out = String::new();
    let mut characters = form.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let verb = characters.next();
        if verb == Some('%') {
            out.push('%');
            continue;
        }
        let value = values.next().ok_or_else(|| wrong("printf has too few values"))?;
        match verb {
            Some('s' | 'v' | 'd') => out.push_str(&print(value)),
            Some('q') => out.push_str(&Value::from(print(value)).to_string()),
            _ => return Err(wrong("printf knows %s, %v, %d and %q")),
        }
    }
    Ok(out)
}
