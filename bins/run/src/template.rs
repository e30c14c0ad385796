//! Go templates, as far as people use them here: `{{.Field}}`, `{{.A.B}}`, `{{json .A}}`.

use creel::cli;
use creel::error::{Error, Result};
use creel::spec::shown::escape_json;
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
        _ if as_json => escape_json(&found.to_string()).into_owned(),
        other => go_text(other),
    })
}

/// A value in Go's words: `[a b]` for lists, `map[a:1 b:2]` for objects.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_text).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}:{}", go_text(value))).collect();
            fields.sort();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}

/// Fills a template for each of several rows, as a table with titles (`--format "table …"`); cells
/// end at tabs. `fields` is a row like the others, for the names in it.
pub fn fill_table(
    template: &str,
    fields: &Value,
    rows: &[Value],
    title: impl Fn(&str) -> String,
) -> Result<String> {
    let cells = |text: String| text.split('\t').map(str::to_owned).collect::<Vec<_>>();
    let names = fields.as_object().into_iter().flat_map(serde_json::Map::keys);
    let titles = names.map(|name| (name.clone(), Value::String(title(name)))).collect();
    let head = cells(fill(template, &Value::Object(titles))?);
    let filled =
        rows.iter().map(|row| fill(template, row).map(cells)).collect::<Result<Vec<_>>>()?;
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    Ok(cli::table(&head, &filled))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let value = serde_json::json!({"A": {"B": 5, "C": "x"}, "L": ["1"], "N": null});
        assert_eq!(fill("{{.A.B}}-{{ .A.C }}\\t{{json .L}}", &value).unwrap(), "5-x\t[\"1\"]");
        assert_eq!(fill("{{.L}} {{.A}} {{.N}}", &value).unwrap(), "[1] map[B:5 C:x] <no value>");
        assert_eq!(fill("{{json .}}", &value).unwrap(), value.to_string());
        for bad in ["{{.A", "{{range .L}}", "{{.X}}", "{{A}}"] {
            assert!(fill(bad, &value).is_err(), "{bad}");
        }
    }
}
