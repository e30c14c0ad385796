//! The suite itself: no file is forgotten, and the judges stand on their own feet.

use std::fs;
use std::path::{Path, PathBuf};

/// Every `.rs` file below a directory.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a directory of the tests") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> (PathBuf, Vec<PathBuf>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 20, "the tests are at {}", root.display());
    (root, found)
}

/// The file that must say `mod …;` for this one, and the name it must say.
fn declared_in(file: &Path) -> (PathBuf, String) {
    let stem = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let folder = file.parent().expect("a parent");
    let (module, folder) = match stem(file).as_str() {
        "mod" => (stem(folder), folder.parent().expect("a parent")),
        name => (name.to_string(), folder),
    };
    let mut candidates = ["main.rs", "mod.rs"].iter().map(|name| folder.join(name));
    let beside = folder.with_extension("rs");
    (candidates.find(|path| path.exists()).unwrap_or(beside), module)
}

#[test]
fn every_file_is_a_module() {
    let (root, files) = all_sources();
    let mut forgotten = Vec::new();
    for file in files.iter().filter(|file| **file != root.join("main.rs")) {
        let (parent, module) = declared_in(file);
        let text = fs::read_to_string(&parent).unwrap_or_default();
        let says = |line: &str| line.trim_start_matches("pub ") == format!("mod {module};");
        if !text.lines().any(|line| says(line.trim())) {
            forgotten.push(format!("{} is not in {}", file.display(), parent.display()));
        }
    }
    assert!(forgotten.is_empty(), "{}", forgotten.join("\n"));
}

#[test]
fn support_does_not_use_the_library() {
    let (root, files) = all_sources();
    for file in files.iter().filter(|file| file.starts_with(root.join("support"))) {
        let text = fs::read_to_string(file).expect("a source file");
        let uses = text.lines().find(|line| line.contains("creel::"));
        assert_eq!(uses, None, "{}", file.display());
    }
}
