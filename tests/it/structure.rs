//! The shape of the source, checked as text: which folder uses which, where `unsafe` may stand,
//! what must not be left in a program, and that no file is forgotten.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders of `lib/src`, from the ground up; the order is what "everything below" refers to.
const FOLDERS: &[&str] = &[
    "spec",
    "sys",
    "blob",
    "layer",
    "config",
    "registry",
    "store",
    "transport",
    "snapshot",
    "runtime",
    "network",
    "monitor",
    "packages",
    "copy",
    "run",
    "build",
    "inspect",
    "cli",
];

/// What a folder may use besides itself, `error` and `progress`.
fn may_use(folder: &str) -> Option<&'static [&'static str]> {
    let below = |end: &str| FOLDERS.iter().position(|f| *f == end).map(|n| &FOLDERS[..n]);
    Some(match folder {
        "spec" | "sys" | "error" => &[],
        "blob" | "progress" => &["spec"],
        "layer" | "config" | "runtime" | "packages" => &["spec", "sys"],
        "registry" => &["spec", "sys", "blob", "config"],
        "store" => &["spec", "sys", "blob", "layer"],
        "snapshot" | "network" => &["spec", "sys", "store"],
        "monitor" => &["spec", "sys", "runtime"],
        // `run`, `build` and `inspect` use `copy` but not each other.
        "transport" | "copy" => return below(folder),
        "run" | "build" | "inspect" => return below("run"),
        "cli" => return below("cli"),
        _ => return None,
    })
}

#[test]
fn folders_use_only_what_the_architecture_allows() {
    let source = repository().join("lib/src");
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        let folder = module_of(&source, &file);
        if folder == "lib" {
            continue;
        }
        let Some(allowed) = may_use(&folder) else {
            wrong.push(format!("{}: the table does not know {folder}", shown(&file)));
            continue;
        };
        for used in crate_paths(&code_of(&file)) {
            let free = ["error", "progress", folder.as_str()].contains(&used.as_str());
            if !free && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: {folder} may not use {used}", shown(&file)));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn unsafe_stands_only_below_sys() {
    let sys = repository().join("lib/src/sys");
    let outside = sources().into_iter().filter(|file| !file.starts_with(&sys));
    let wrong: Vec<String> = outside
        .filter(|file| has_word(&code_of(file), "unsafe"))
        .map(|file| format!("{}: unsafe", shown(&file)))
        .collect();
    assert_none(&wrong);
}

#[test]
fn nothing_unfinished_is_left_outside_tests() {
    let mut wrong = Vec::new();
    let roots = ["lib/src", "bins"].map(|root| repository().join(root));
    let files: Vec<PathBuf> = roots.iter().flat_map(|root| rust_files(root)).collect();
    let test_files: Vec<PathBuf> = files.iter().flat_map(|file| test_modules(file)).collect();
    for file in files.iter().filter(|file| !test_files.iter().any(|test| file.starts_with(test))) {
        for left in unfinished(&without_tests(&code_of(file))) {
            wrong.push(format!("{}: {left}", shown(file)));
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_file_belongs_to_a_module() {
    let mut wrong = Vec::new();
    for file in sources() {
        let name = stem(&file);
        if ["main", "lib", "mod"].contains(&name.as_str()) {
            if name != "mod" {
                continue;
            }
            let folder = file.parent().expect("a file is in a folder");
            let parents = declaring_files(folder.parent().expect("a module is in a folder"));
            if !parents.iter().any(|parent| declares(parent, &stem(folder))) {
                wrong.push(format!("{}: no `mod {};`", shown(&file), stem(folder)));
            }
            continue;
        }
        let parents = declaring_files(file.parent().expect("a file is in a folder"));
        if !parents.iter().any(|parent| declares(parent, &name)) {
            wrong.push(format!("{}: no `mod {name};`", shown(&file)));
        }
    }
    assert_none(&wrong);
}

// --- the repository ------------------------------------------------------------------------------

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").into()
}

/// All Rust files of ours but those of the interoperability suite, which is a workspace apart.
fn sources() -> Vec<PathBuf> {
    let roots = ["lib/src", "bins", "tests/it", "benches"];
    roots.iter().flat_map(|root| rust_files(&repository().join(root))).collect()
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

/// The folder below `lib/src` that a file is in, or its own name for a file that is in none.
fn module_of(source: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(source).expect("a file of the library");
    stem(Path::new(inside.components().next().expect("a path").as_os_str()))
}

/// The files that may declare modules of a folder.
fn declaring_files(folder: &Path) -> Vec<PathBuf> {
    let candidates = ["mod.rs", "lib.rs", "main.rs"].map(|name| folder.join(name));
    let beside = folder.with_extension("rs");
    candidates.into_iter().chain([beside]).filter(|file| file.is_file()).collect()
}

fn declares(file: &Path, module: &str) -> bool {
    let code = code_of(file);
    code.match_indices(&format!("mod {module};")).next().is_some()
}

/// Where the test modules lie that this file declares without a body.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let folder = match stem(file).as_str() {
        "mod" | "lib" | "main" => file.parent().expect("a file is in a folder").to_path_buf(),
        _ => file.with_extension(""),
    };
    let code = code_of(file);
    let items = test_items(&code).into_iter().map(|range| &code[range]);
    items
        .filter_map(|item| item.strip_suffix(';')?.rsplit_once("mod ").map(|(_, name)| name))
        .flat_map(|name| [folder.join(name), folder.join(format!("{name}.rs"))])
        .collect()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

// --- Rust as text --------------------------------------------------------------------------------

fn code_of(file: &Path) -> String {
    code_only(&std::fs::read_to_string(file).expect("a source file"))
}

/// The text with blanks in place of comments and of what is inside literals.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = match comment(rest).or_else(|| literal(rest, after_word)) {
            Some(length) => {
                code.extend(rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' }));
                length
            }
            None => {
                code.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    code
}

/// The length of the comment that the text begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match text.get(at..at + 2) {
            Some("/*") => (depth, at) = (depth + 1, at + 2),
            Some("*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += text[at..].chars().next().map_or(1, char::len_utf8),
        }
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

/// The length of the string or character literal that the text begins with.
fn literal(text: &str, after_word: bool) -> Option<usize> {
    if !text.starts_with(['"', '\'', 'b', 'c', 'r']) {
        return None;
    }
    let quote = text.find(['"', '\''])?;
    let prefix = &text[..quote];
    let hashes = prefix.trim_start_matches(['b', 'c', 'r']);
    let raw = prefix.contains('r');
    if prefix.len() - hashes.len() > 2
        || (after_word && !prefix.is_empty())
        || hashes.chars().any(|c| c != '#')
        || (!raw && !hashes.is_empty())
    {
        return None;
    }
    let body = &text[quote + 1..];
    if text[quote..].starts_with('\'') {
        return character(body).map(|length| quote + 1 + length);
    }
    let length = if raw {
        let end = format!("\"{hashes}");
        body.find(&end).map_or(body.len(), |at| at + end.len())
    } else {
        end_of_escaped(body, '"')
    };
    Some(quote + 1 + length)
}

/// The length up to the quote that ends a character, unless this is a lifetime.
fn character(body: &str) -> Option<usize> {
    if body.starts_with('\\') {
        return Some(end_of_escaped(body, '\''));
    }
    let first = body.chars().next()?;
    body[first.len_utf8()..].starts_with('\'').then(|| first.len_utf8() + 1)
}

fn end_of_escaped(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    body.len()
}

/// The first names of all paths that begin with `crate::`, but for what the root itself exports:
/// types and macros.
fn crate_paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        let rest = code[at + start.len()..].trim_start();
        match rest.strip_prefix('{') {
            Some(group) => found.extend(members(group).into_iter().filter_map(first_name)),
            None => found.extend(first_name(rest)),
        }
    }
    found
}

/// The members of a group whose opening brace is just behind.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(group[start..at].trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

fn first_name(path: &str) -> Option<String> {
    if path.starts_with('*') {
        return Some("*".to_string());
    }
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    let module = name.starts_with(|c: char| c.is_lowercase()) && !rest.starts_with('!');
    module.then(|| name.to_string())
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

/// What a finished program does not contain.
fn unfinished(code: &str) -> Vec<&'static str> {
    let marks = [".unwrap()", "todo!", "unimplemented!", "dbg!"];
    marks.into_iter().filter(|mark| code.contains(mark)).collect()
}

/// The places of all items under `#[cfg(test)]`, attributes included.
fn test_items(code: &str) -> Vec<std::ops::Range<usize>> {
    let starts = code.match_indices("#[cfg(test)]").map(|(at, _)| at);
    starts.map(|start| start..start + end_of_item(&code[start..])).collect()
}

/// The length of an item: up to its semicolon, or to the brace that closes its body.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (c == ';' || c == '}') {
            return at + 1;
        }
    }
    code.len()
}

fn without_tests(code: &str) -> String {
    let mut left = String::with_capacity(code.len());
    let mut end = 0;
    for item in test_items(code) {
        if item.start >= end {
            left.push_str(&code[end..item.start]);
            end = item.end;
        }
    }
    left.push_str(&code[end..]);
    left
}

// --- do the checks see what they look for? -------------------------------------------------------

#[test]
fn comments_and_literals_are_not_code() {
    let check = |text: &str, code: &str| assert_eq!(code_only(text), code, "{text}");
    check("a // unsafe\nb", "a          \nb");
    check("a /* x /* y */ z */ b", "a                   b");
    check(r#"f("un\"safe", b)"#, r#"f(          , b)"#);
    check(r###"f(r#"a " b"#, c)"###, "f(          , c)");
    check(r#"f(b"x", br"\", 'x', b'\'')"#, "f(    ,      ,    ,      )");
    check("fn f<'a>(x: &'a str) -> &'a str", "fn f<'a>(x: &'a str) -> &'a str");
    check("r#type + number", "r#type + number");
}

#[test]
fn paths_from_the_root_are_found() {
    let check = |text: &str, names: &[&str]| {
        let found = crate_paths(&code_only(text));
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), names, "{text}");
    };
    check("use crate::spec::Digest;", &["spec"]);
    check("use crate::{blob, sys::{Root, Time}, Error};", &["blob", "sys"]);
    check("use crate::{\n    store::Store,\n    spec::{self, Digest},\n};", &["spec", "store"]);
    check("fn f() -> crate::Result<crate::copy::Report> {}", &["copy"]);
    check("// use crate::cli\nlet x = \"crate::run\";", &[]);
    check("use crate::*;", &["*"]);
    check("$crate::macros!()", &[]);
}

#[test]
fn the_table_says_no() {
    assert_eq!(may_use("spec"), Some(&[][..]));
    assert!(may_use("transport").is_some_and(|allowed| allowed.contains(&"store")));
    assert!(may_use("copy").is_some_and(|allowed| !allowed.contains(&"run")));
    assert!(may_use("build").is_some_and(|allowed| allowed.contains(&"copy")));
    assert!(may_use("build").is_some_and(|allowed| !allowed.contains(&"run")));
    assert!(FOLDERS.iter().all(|folder| may_use(folder).is_some_and(|a| !a.contains(&"cli"))));
    assert_eq!(may_use("utils"), None);
}

#[test]
fn only_code_outside_tests_counts() {
    let code =
        "fn a() { b.unwrap() }\n#[cfg(test)]\n#[allow(x)]\nmod tests { fn c() { todo!() } }\n";
    assert_eq!(unfinished(code), [".unwrap()", "todo!"]);
    assert_eq!(unfinished(&without_tests(code)), [".unwrap()"]);
    assert_eq!(
        unfinished(&without_tests("#[cfg(test)]\nuse a::{b};\nfn c() { dbg!(d) }")),
        ["dbg!"]
    );
    assert!(has_word("pub unsafe fn", "unsafe") && !has_word("unsafe_code", "unsafe"));
}
