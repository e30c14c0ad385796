//! `docs/inspect.schema.json` describes what `--json` prints, and nothing else is printed.

use std::path::Path;

use serde_json::Value;

use crate::support::image::{artifact, image, index, layer, three_platforms};
use crate::support::program::Sandbox;

fn schema() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("docs/inspect.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The part of JSON Schema that the document uses; what is wrong, with its place.
fn wrong(value: &Value, rule: &Value, root: &Value, at: &str) -> Option<String> {
    if let Some(name) = rule.get("$ref").and_then(Value::as_str) {
        let rule = root.pointer(name.strip_prefix('#').unwrap()).expect("a definition");
        return wrong(value, rule, root, at);
    }
    if let Some(rules) = rule.get("anyOf").and_then(Value::as_array) {
        let fits = rules.iter().any(|rule| wrong(value, rule, root, at).is_none());
        return (!fits).then(|| format!("{at}: {value} is none of {rules:?}"));
    }
    if let Some(values) = rule.get("enum").and_then(Value::as_array) {
        return (!values.contains(value)).then(|| format!("{at}: {value} is not of {values:?}"));
    }
    let fits = match rule.get("type").and_then(Value::as_str) {
        None => true,
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some(other) => panic!("the schema has a type {other}"),
    };
    if !fits {
        return Some(format!("{at}: {value} is no {}", rule["type"]));
    }
    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
        if let Some(found) = wrong(item, &rule["items"], root, &format!("{at}[{number}]")) {
            return Some(found);
        }
    }
    let required = rule.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.map(|name| name.as_str().unwrap()) {
        if value.get(name).is_none() {
            return Some(format!("{at}: {name} is missing"));
        }
    }
    for (name, item) in value.as_object().into_iter().flatten() {
        let known = rule.get("properties").and_then(|all| all.get(name));
        let rule = match (known, rule.get("additionalProperties")) {
            (Some(rule), _) => rule,
            (None, Some(Value::Bool(false))) => return Some(format!("{at}: {name} is not known")),
            (None, Some(rule)) => rule,
            (None, None) => continue,
        };
        if let Some(found) = wrong(item, rule, root, &format!("{at}.{name}")) {
            return Some(found);
        }
    }
    None
}

#[test]
fn what_is_printed_is_what_is_described() {
    let sandbox = Sandbox::new();
    let schema = schema();
    let app = |text: &str| {
        image()
            .layer(
                layer()
                    .dir("etc")
                    .file("etc/motd", text)
                    .symlink("link", "etc/motd")
                    .hardlink("hard", "etc/motd")
                    .char_device("dev/null", 1, 3)
                    .file("xattr", "x")
                    .xattr("user.a", b"\xff\xfe")
                    .file("var/lib/dpkg/status", format!("Package: a\nVersion: {text}\n"))
                    .created_by("RUN one"),
            )
            .layer(layer().file("etc/motd", "again").whiteout("link").opaque("var"))
            .annotation("org.opencontainers.image.base.name", "oci:l:base")
            .annotation("note", "x")
            .empty_history()
    };
    app("one").build().write_layout(&sandbox.work("l"), Some("old"));
    app("two").env("A", "1").build().write_layout(&sandbox.work("l"), Some("new"));
    image().layer(layer().file("b", "")).build().write_layout(&sandbox.work("l"), Some("base"));
    three_platforms().attestations().build().write_layout(&sandbox.work("l"), Some("many"));
    index().build().write_layout(&sandbox.work("l"), Some("none"));
    let thing = artifact("application/x-thing").layer("text/plain", "hello").build();
    thing.write_layout(&sandbox.work("l"), Some("thing"));
    for (verb, code, words) in [
        ("image", 0, &["--full", "oci:l:old"][..]),
        ("image", 0, &["oci:l:many"]),
        ("image", 0, &["oci:l:none"]),
        ("image", 0, &["oci:l:thing"]),
        ("layers", 0, &["layers", "oci:l:old"]),
        ("history", 0, &["history", "oci:l:old"]),
        ("files", 0, &["files", "-R", "--full", "oci:l:old"]),
        ("files", 0, &["files", "--layer=2", "oci:l:old"]),
        ("grep", 0, &["grep", "again", "oci:l:old"]),
        ("waste", 1, &["waste", "--ci", "oci:l:old"]),
        ("diff", 1, &["diff", "oci:l:old", "oci:l:new"]),
        ("packages", 0, &["packages", "oci:l:old"]),
        ("validate", 0, &["validate", "oci:l:many"]),
        ("base", 0, &["base", "oci:l:old"]),
        ("base", 1, &["base", "--check", "oci:l:old"]),
        ("tree", 0, &["tree", "--referrers", "oci:l:many"]),
    ] {
        let output = sandbox.inspect(["--json"]).args(words).run().fails(code);
        let rule = &schema["$defs"][format!("{verb}-verb")];
        assert!(rule.is_object(), "{verb}");
        let found = wrong(&output.json(), rule, &schema, "$");
        assert!(found.is_none(), "{words:?}: {}", found.unwrap_or_default());
    }
}
