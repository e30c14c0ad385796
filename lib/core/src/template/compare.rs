//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`.

use std::cmp::Ordering;

use super::value::Value;

/// Whether the first value equals one of the others.
pub(super) fn equals_any(values: &[Value<'_>]) -> Result<bool, String> {
    let Some((first, others)) = values.split_first().filter(|(_, others)| !others.is_empty())
    else {
        return Err("missing argument for comparison".to_owned());
    };
    for other in others {
        if equals(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn equals(a: &Value<'_>, b: &Value<'_>) -> Result<bool, String> {
    let nothing = |value: &Value<'_>| match value {
        Value::Missing | Value::Null => true,
        Value::Map(object) => object.is_none(),
        Value::Array(items, _) => items.is_none(),
        _ => false,
    };
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        _ => match (integer(a), integer(b)) {
            (Some(a), Some(b)) => Ok(a == b),
            _ if nothing(a) || nothing(b) => Ok(nothing(a) && nothing(b)),
            _ if a.type_name() == b.type_name() => {
                Err(format!("non-comparable type {}", a.type_name()))
            }
            _ => Err("incompatible types for comparison".to_owned()),
        },
    }
}

pub(super) fn order(a: &Value<'_>, b: &Value<'_>) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        _ => match (integer(a), integer(b)) {
            (Some(a), Some(b)) => Ok(Some(a.cmp(&b))),
            _ if is_ordered(a) && is_ordered(b) => {
                Err("incompatible types for comparison".to_owned())
            }
            _ => Err("invalid type for comparison".to_owned()),
        },
    }
}

fn integer(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    }
}

fn is_ordered(value: &Value<'_>) -> bool {
    matches!(value, Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Text(_))
}
