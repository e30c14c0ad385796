//! Rust source as text: enough of it to tell code from comments and literals.

use std::collections::BTreeSet;

/// The text with blanks in place of comments and of what is inside literals.
pub fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(length) = comment(rest).or_else(|| literal(rest)) {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = &rest[length..];
        } else {
            let word = rest.len() - rest.trim_start_matches(is_word).len();
            let length = word.max(first.len_utf8());
            code.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    code
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
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

/// The length of the string or character literal that the text begins with, which is the begin of
/// a word if it begins with a letter.
fn literal(text: &str) -> Option<usize> {
    let unhashed = text.trim_start_matches(['b', 'c', 'r']);
    let quote = text.len() - unhashed.trim_start_matches('#').len();
    let (letters, prefix) = (text.len() - unhashed.len(), &text[..quote]);
    let (hashes, raw) = (&prefix[letters..], prefix.contains('r'));
    if !text[quote..].starts_with(['"', '\'']) || letters > 2 || (!raw && !hashes.is_empty()) {
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
pub fn crate_paths(code: &str) -> BTreeSet<String> {
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
    let end = path.find(|c| !is_word(c)).unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    let module = name.starts_with(|c: char| c.is_lowercase()) && !rest.starts_with('!');
    module.then(|| name.to_string())
}

pub fn has_word(code: &str, word: &str) -> bool {
    code.split(|c| !is_word(c)).any(|part| part == word)
}

/// What a finished program does not contain.
pub fn unfinished(code: &str) -> Vec<&'static str> {
    let marks = [".unwrap()", "todo!", "unimplemented!", "dbg!"];
    marks.into_iter().filter(|mark| code.contains(mark)).collect()
}

/// The places of all items under `#[cfg(test)]`, attributes included.
pub fn test_items(code: &str) -> Vec<std::ops::Range<usize>> {
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

pub fn without_tests(code: &str) -> String {
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
