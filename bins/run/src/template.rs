//! Go templates, as far as people use them here: `{{.Field}}`, `{{.A.B}}`, `{{json .A}}`.

use creel::error::{Error, Result};
use serde_json::Value;

/// Fills a template from a value.
pub fn fill(template: &str, value: &Value) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (inside, behind) = after
            .split_once("}}")
            .ok_or_else(|| Error::usage(format!("template {template:?}: unclosed action")))?;
        out.push_str(&action(inside.trim(), value, template)?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out.replace("\\t", "\t").replace("\\n", "\n"))
}

fn action(text: &str, value: &Value, template: &str) -> Result<String> {
    let (as_json, path) = match text.strip_prefix("json ") {
        Some(path) => (true, path.trim()),
        None => (false, text),
    };
    let unknown = || {
        Error::usage(format!(
            "template {template:?}: {text:?} is not understood; there are {{{{.Field}}}} and \
             {{{{json .Field}}}}"
        ))
    };
    let path = path.strip_prefix('.').ok_or_else(unknown)?;
    let mut found = value;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        found = found.get(name).ok_or_else(|| {
            Error::usage(format!("template {template:?}: there is no field {name:?}"))
        })?;
    }
    Ok(match found {
        _ if as_json => found.to_string(),
        Value::String(text) => text.clone(),
        Value::Null => "<no value>".to_owned(),
        other => other.to_string(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let value = serde_json::json!({"A": {"B": 5, "C": "x"}, "L": ["1"]});
        assert_eq!(fill("{{.A.B}}-{{ .A.C }}\\t{{json .L}}", &value).unwrap(), "5-x\t[\"1\"]");
        assert_eq!(fill("{{json .}}", &value).unwrap(), value.to_string());
        for bad in ["{{.A", "{{range .L}}", "{{.X}}", "{{A}}"] {
            assert!(fill(bad, &value).is_err(), "{bad}");
        }
    }
}
