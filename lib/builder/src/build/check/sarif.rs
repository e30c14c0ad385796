//! Findings as SARIF 2.1.0, which code hosts show beside the lines.

use serde_json::{Value, json};

use super::super::diagnostic::{Diagnostic, Severity};
use super::super::lint::rules;
use super::super::source::Source;
use super::Checked;

/// The rule of what is no rule: mistakes.
const SYNTAX: &str = "DockerfileError";

/// One run with all findings.
pub fn to_sarif(checked: &Checked, version: &str) -> Value {
    let mut known: Vec<Value> = rules::ALL
        .iter()
        .map(|rule| {
            let mut out = json!({
                "id": rule.name,
                "shortDescription": { "text": rule.summary },
                "defaultConfiguration": { "level": "warning" },
            });
            if let (Value::Object(members), Some(url)) = (&mut out, rule.url()) {
                members.insert("helpUri".to_owned(), url.into());
            }
            out
        })
        .collect();
    known.push(json!({
        "id": SYNTAX,
        "shortDescription": { "text": "The file can be built." },
        "defaultConfiguration": { "level": "error" },
    }));
    let source = &checked.file.source;
    let results: Vec<Value> = checked.found.iter().map(|found| result(found, source)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "creel-build", "version": version, "rules": known } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(found: &Diagnostic, source: &Source) -> Value {
    let (start, end) = (source.position(found.span.start), source.position(found.span.end));
    let level = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let text = std::iter::once(&found.message).chain(&found.hints);
    let text = text.map(String::as_str).collect::<Vec<_>>().join("\n");
    json!({
        "ruleId": found.rule.unwrap_or(SYNTAX),
        "level": level,
        "message": { "text": text },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(source.name()) },
                "region": {
                    "startLine": start.line,
                    "startColumn": start.column,
                    "endLine": end.line,
                    "endColumn": end.column,
                },
            },
        }],
    })
}

/// A file's name as a relative URI.
fn uri(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    let one = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    name.bytes().map(one).collect()
}
