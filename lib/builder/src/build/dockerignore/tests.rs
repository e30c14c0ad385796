#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

/// Whether a file of these lines leaves the path out.
fn excluded(lines: &[&str], path: &str) -> bool {
    let ignore = Ignore::parse(lines.join("\n").as_bytes()).unwrap();
    let by = ignore.excluded_by(path.as_bytes()).is_some();
    let mut above = Above::default();
    let mut walked = false;
    for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
        walked = ignore.step(&path.as_bytes()[..at], &mut above).is_some();
    }
    assert_eq!(by, walked, "{lines:?} {path}");
    by
}

#[test]
fn single_patterns() {
    for (pattern, path, expected) in [
        ("**", "file", true),
        ("**/", "dir/file", true),
        ("**/**", "dir/file", true),
        ("dir/**", "dir/dir2/file", true),
        ("**/dir", "dir", true),
        ("**/dir", "dir/file", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/**", "dir/dir2/dir3/file", true),
        ("**file", "file", true),
        ("**file", "dir/xfile", true),
        ("**/file", "dir/xfile", false),
        ("**/file*", "dir/dir/file.txt", true),
        ("**file*", "dir/xfile", false),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("**/**/*.txt", "file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/dir/file.txt", true),
        ("a**", "abc/def", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt**", "a/file.txt", true),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[b-d]e", "aae", false),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcZdef", false),
        ("abc?def", "abcZdef", true),
        ("abc?def", "abcdef", false),
        (r"a\\", r"a\", true),
        (r"a\*b", "a*b", true),
        (r"a\*b", "ab", false),
        ("**/foo/bar", "dir/dir2/foo/bar", true),
        ("abc/**", "abc", false),
        ("abc/**", "abc/def/ghi", true),
        ("**/.foo", "bar.foo", false),
        ("a(b)c/def", "a(b)c/def", true),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        ("a|b*", "bx", false),
        ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true),
        ("a*", "ab/c", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("a?b", "a☺b", true),
        ("a???b", "a☺b", false),
        ("a[^a]b", "a☺b", true),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        (r"[\]a]", "]", true),
        (r"[x\-]", "-", true),
        (r"[x\-]", "z", false),
        ("a]", "a]", true),
        ("*x", "xxx", true),
        ("foo/../bar/./baz//x/", "bar/baz/x", true),
        ("/foo", "foo", true),
        ("../foo", "foo", false),
        ("/", "foo", false),
        (".", "foo", false),
        (" # no comment ", "# no comment", true),
        ("subdir", "subdir/a/b", true),
    ] {
        assert_eq!(excluded(&[pattern], path), expected, "{pattern:?} {path:?}");
    }
}

#[test]
fn later_lines_win() {
    for (lines, path, expected) in [
        (&["**", "!util/docker/web"][..], "util/docker/web/foo", false),
        (&["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo", true),
        (&["**", "!dist/proxy.py", "!dist/x.whl"], "dist/x.whl", false),
        (&["**", "!dist/*.whl"], "dist/x.whl", false),
        (&["ba*", "!bay"], "bar", true),
        (&["ba*", "!bay"], "bay", false),
        (&["subdir", "!*/sub1*"], "subdir/sub1.txt", false),
        (&["subdir", "!*/sub1*"], "subdir/sub2.txt", true),
        (&["volume/", "!**/oneline.txt"], "volume/data/oneline.txt", false),
        (&["!a", "a"], "a", true),
        (&["*", "!folder1/file1"], "folder1/file1", false),
        (&["*", "!folder1/file1"], "folder1/file2", true),
    ] {
        assert_eq!(excluded(lines, path), expected, "{lines:?} {path:?}");
    }
}

#[test]
fn lines_are_cleaned() {
    let file = "\u{feff}test1\n/test2\r\n/a/file/here\n\nlastfile\n# this is a comment\n ! /inverted/abs/path\n";
    let ignore = Ignore::parse(file.as_bytes()).unwrap();
    let shown: Vec<String> = ignore
        .patterns()
        .iter()
        .map(|p| format!("{}{}{}", p.line, if p.exception { "!" } else { ":" }, p.text))
        .collect();
    assert_eq!(shown, ["1:test1", "2:test2", "3:a/file/here", "5:lastfile", "7!inverted/abs/path"]);
    assert!(ignore.has_exceptions());
    assert!(!Ignore::parse(b"").unwrap().has_exceptions());
    assert_eq!(ignore.excluded_by(b"test2/x").map(|pattern| pattern.line), Some(2));
}

#[test]
fn malformed_patterns_are_errors() {
    for bad in
        ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\", "a\\", "[b-a]"]
    {
        let error = Ignore::parse(format!("ok\n{bad}").as_bytes()).unwrap_err();
        assert_eq!(error.line, 2, "{bad}");
        assert_eq!(error.problem, format!("syntax error in pattern {bad:?}"));
    }
    for bad in ["!", "! ", "  !"] {
        let error = Ignore::parse(bad.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "line 1: illegal exclusion pattern: \"!\"");
    }
    let long = Ignore::parse(&vec![b'a'; MAX_LINE + 1]).unwrap_err();
    assert_eq!(long.problem, "the line is longer than 65535 bytes");
    let large = Ignore::parse(&vec![b'\n'; MAX_IGNORE_FILE + 1]).unwrap_err();
    assert_eq!(large.problem, "the file has more than 1048576 bytes");
}

#[test]
fn directories_are_walked_for_exceptions() {
    let walked = |lines: &str, directory: &str| {
        Ignore::parse(lines.as_bytes()).unwrap().may_take_back_below(directory.as_bytes())
    };
    assert!(walked("*\n!a/b/c", "a"));
    assert!(walked("*\n!a/b/c", "a/b"));
    assert!(!walked("*\n!a/b/c", "a/x"));
    assert!(!walked("*\n!a/b/c", "ab"));
    assert!(!walked("*\n!a/b/c", "a/b/c"));
    assert!(walked("*\n!**/x", "deep/er"));
    assert!(walked("*\n!a/*/c", "a/b"));
    assert!(!walked("*\n!a/*/c", "a/b/x"));
    assert!(!walked("*", "a"));
}

#[test]
fn names_need_not_be_text() {
    let ignore = Ignore::parse(b"a?c\n\xff*").unwrap();
    assert!(ignore.excluded_by(b"a\xffc").is_some());
    assert!(ignore.excluded_by(b"a\xff\xffc").is_none());
}

#[test]
fn the_whole_context() {
    for (lines, expected) in
        [("*", Some(1)), ("a\n**", Some(2)), ("**/*", Some(1)), (".*", None), ("!*", None)]
    {
        let ignore = Ignore::parse(lines.as_bytes()).unwrap();
        assert_eq!(ignore.excludes_everything().map(|pattern| pattern.line), expected, "{lines}");
    }
    assert_eq!(own_file("build/Dockerfile2"), "build/Dockerfile2.dockerignore");
}

proptest! {
    #[test]
    fn nothing_panics(file in "[a-c/*?\\\\\\[\\]!^#. \n-]{0,40}", path in "[a-c/]{0,12}") {
        if let Ok(ignore) = Ignore::parse(file.as_bytes()) {
            ignore.excluded_by(path.as_bytes());
            ignore.may_take_back_below(path.as_bytes());
        }
    }

    /// What can match below a directory is never pruned.
    #[test]
    fn pruning_loses_nothing(pattern in "[ab/*?]{1,10}", path in "[ab]{1,2}(/[ab]{1,2}){1,3}") {
        let ignore = Ignore::parse(format!("!{pattern}").as_bytes()).unwrap();
        let exception = &ignore.patterns()[0];
        if exception.matcher.matches(path.as_bytes()) {
            for (at, _) in path.match_indices('/') {
                prop_assert!(ignore.may_take_back_below(&path.as_bytes()[..at]), "{} {}", pattern, path);
            }
        }
    }
}
