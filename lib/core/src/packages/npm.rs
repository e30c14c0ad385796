//! Node.js: `package.json` of installed packages, and lock files.

use serde_json::Value;

use super::{Ecosystem, Package};

/// The package that a `package.json` inside `node_modules` describes.
pub(super) fn manifest(bytes: &[u8], found_in: &str) -> Option<Package> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    let mut package = Package::new(Ecosystem::Npm, text("name")?, text("version")?, found_in);
    package.license = license(&document);
    Some(package)
}

/// The packages that a `package-lock.json` (of any version) pins.
pub(super) fn lock(bytes: &[u8], found_in: &str) -> Option<Vec<Package>> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    let mut found = Vec::new();
    if let Some(packages) = document.get("packages").and_then(Value::as_object) {
        for (path, entry) in packages {
            let Some((_, name)) = path.rsplit_once("node_modules/") else { continue };
            let name = entry.get("name").and_then(Value::as_str).unwrap_or(name);
            let Some(version) = entry.get("version").and_then(Value::as_str) else { continue };
            let mut package = Package::new(Ecosystem::Npm, name, version, found_in);
            package.license = license(entry);
            found.push(package);
        }
        return Some(found);
    }
    // Version 1: dependencies inside dependencies.
    let mut levels = vec![document.get("dependencies")?];
    while let Some(level) = levels.pop() {
        for (name, entry) in level.as_object().into_iter().flatten() {
            if let Some(version) = entry.get("version").and_then(Value::as_str) {
                found.push(Package::new(Ecosystem::Npm, name, version, found_in));
            }
            levels.extend(entry.get("dependencies"));
        }
    }
    Some(found)
}

/// `"license": "MIT"`, or the older `{"type": "MIT"}`.
fn license(document: &Value) -> Option<String> {
    let license = document.get("license")?;
    license.as_str().or_else(|| license.get("type")?.as_str()).map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lock_files_of_all_versions() {
        let names = |json: &str| {
            let mut names: Vec<String> = lock(json.as_bytes(), "/l")
                .unwrap()
                .into_iter()
                .map(|p| format!("{}@{}", p.name, p.version))
                .collect();
            names.sort();
            names
        };
        let third = r#"{"packages":{"":{"version":"1.0.0"},"node_modules/a":{"version":"1"},
            "node_modules/a/node_modules/@s/b":{"version":"2"}}}"#;
        assert_eq!(names(third), ["@s/b@2", "a@1"]);
        let first =
            r#"{"dependencies":{"a":{"version":"1","dependencies":{"b":{"version":"2"}}}}}"#;
        assert_eq!(names(first), ["a@1", "b@2"]);
        assert!(lock(b"{", "/l").is_none());
    }
}
