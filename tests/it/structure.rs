//! The shape of the source, checked as text: which folder uses which, where `unsafe` may stand,
//! what must not be left in a program, and that no file is forgotten.

mod map;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use map::Map;
use text::{code_only, crate_paths, has_word, test_items, unfinished, without_tests};

#[test]
fn folders_use_only_what_the_map_allows() {
    let mut wrong = Vec::new();
    for (file, code) in below("lib") {
        let folder = folder_of(file);
        if folder == "lib" {
            continue;
        }
        for used in crate_paths(code) {
            match MAP.allows(&folder, &used) {
                Some(true) => {}
                Some(false) => wrong.push(format!("{}: {folder} may not use {used}", shown(file))),
                None => wrong.push(format!("{}: the map has no row {folder}", shown(file))),
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_map_shows_what_is_there() {
    let there: BTreeSet<_> = below("lib").map(|(file, _)| folder_of(file)).collect();
    let files = ["error", "lib", "progress"];
    let there = there.iter().map(String::as_str).filter(|folder| !files.contains(folder));
    assert_eq!(there.collect::<Vec<_>>(), MAP.folders().collect::<Vec<_>>());
}

#[test]
fn unsafe_stands_only_below_sys() {
    let sys = repository().join("lib/core/src/sys");
    let outside = below("").filter(|(file, _)| !file.starts_with(&sys));
    let wrong = outside.filter(|(_, code)| has_word(code, "unsafe"));
    assert_none(&wrong.map(|(file, _)| format!("{}: unsafe", shown(file))).collect::<Vec<_>>());
}

#[test]
fn nothing_unfinished_is_left_outside_tests() {
    let mut wrong = Vec::new();
    let files: Vec<_> = below("lib").chain(below("bins")).collect();
    let tests: Vec<_> = files.iter().flat_map(|(file, code)| test_modules(file, code)).collect();
    for (file, code) in files {
        if !tests.iter().any(|test| file.starts_with(test)) {
            let left = unfinished(&without_tests(code)).into_iter();
            wrong.extend(left.map(|left| format!("{}: {left}", shown(file))));
        }
    }
    assert_none(&wrong);
}

/// `suite.rs` looks after the tests' own files.
#[test]
fn every_file_belongs_to_a_module() {
    let mut wrong = Vec::new();
    for (file, _) in below("lib").chain(below("bins")).chain(below("benches")) {
        let folder = file.parent().expect("a file is in a folder");
        let (name, folder) = match stem(file).as_str() {
            "main" | "lib" => continue,
            // A further program of a package.
            _ if folder.ends_with("src/bin") => continue,
            "mod" => (stem(folder), folder.parent().expect("a module is in a folder")),
            name => (name.to_string(), folder),
        };
        let says = format!("mod {name};");
        if !declaring_files(folder).iter().any(|parent| CODE[parent].contains(&says)) {
            wrong.push(format!("{}: no `{says}`", shown(file)));
        }
    }
    assert_none(&wrong);
}

// --- the repository ------------------------------------------------------------------------------

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").into()
}

/// The code of all Rust files of ours, but those of the interoperability suite, which is a
/// workspace apart.
static CODE: LazyLock<BTreeMap<PathBuf, String>> = LazyLock::new(|| {
    let roots = ["lib", "bins", "tests/it", "benches"];
    let files = roots.iter().flat_map(|root| rust_files(&repository().join(root)));
    let code = |file: &Path| code_only(&std::fs::read_to_string(file).expect("a source file"));
    files.map(|file| (file.clone(), code(&file))).collect()
});

static MAP: LazyLock<Map> = LazyLock::new(|| {
    let readme = repository().join("lib/README.md");
    Map::parse(&std::fs::read_to_string(readme).expect("the library's README"))
});

/// The files below a folder of the repository, with their code.
fn below(folder: &str) -> impl Iterator<Item = (&'static PathBuf, &'static str)> {
    let folder = repository().join(folder);
    CODE.iter()
        .filter(move |(file, _)| file.starts_with(&folder))
        .map(|(file, code)| (file, code.as_str()))
}

fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the source") {
            let path = entry.expect("an entry of the source").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no source below {}", root.display());
    found
}

fn shown(file: &Path) -> String {
    file.strip_prefix(repository()).unwrap_or(file).display().to_string()
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

/// The folder of the library that a file is in (`lib/images/src/store/…` is in `store`), or its own
/// name for a file beside the folders.
fn folder_of(file: &Path) -> String {
    let inside = file.strip_prefix(repository().join("lib")).expect("a file of the library");
    let mut parts = inside.components().skip_while(|part| part.as_os_str() != "src").skip(1);
    stem(Path::new(parts.next().expect("a file below src").as_os_str()))
}

/// The files that may declare modules of a folder.
fn declaring_files(folder: &Path) -> Vec<PathBuf> {
    let candidates = ["mod.rs", "lib.rs", "main.rs"].map(|name| folder.join(name));
    let beside = folder.with_extension("rs");
    candidates.into_iter().chain([beside]).filter(|file| CODE.contains_key(file)).collect()
}

/// Where the test modules lie that this file declares without a body.
fn test_modules(file: &Path, code: &str) -> Vec<PathBuf> {
    let folder = match stem(file).as_str() {
        "mod" | "lib" | "main" => file.parent().expect("a file is in a folder").to_path_buf(),
        _ => file.with_extension(""),
    };
    let items = test_items(code).into_iter().map(|range| &code[range]);
    items
        .filter_map(|item| item.strip_suffix(';')?.rsplit_once("mod ").map(|(_, name)| name))
        .flat_map(|name| [folder.join(name), folder.join(format!("{name}.rs"))])
        .collect()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_map_keeps_the_architecture() {
    let no = [
        ("spec", "sys"),
        ("sys", "spec"),
        ("registry", "store"),
        ("store", "registry"),
        ("copy", "run"),
        ("build", "run"),
        ("run", "build"),
        ("inspect", "build"),
        ("build", "cli"),
    ];
    for (folder, used) in no {
        assert_eq!(MAP.allows(folder, used), Some(false), "{folder} uses {used}");
    }
    assert_eq!(MAP.allows("build", "copy"), Some(true));
}
