#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

impl Variables for HashMap<&str, &str> {
    fn get(&self, name: &str) -> Option<&str> {
        HashMap::get(self, name).copied()
    }
}

fn expand(word: &str, variables: &[(&str, &str)]) -> Result<Expansion, ExpandError> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    Lexer::new('\\').expand(word, &variables, &mut Budget::default())
}

fn text(word: &str, variables: &[(&str, &str)]) -> String {
    match expand(word, variables) {
        Ok(expansion) => expansion.text,
        Err(error) => format!("error: {error}"),
    }
}

const SHELL: &[(&str, &str)] =
    &[("PWD", "/home"), ("SHELL", "bash"), ("NULL", ""), ("KOREAN", "한국어")];

#[test]
fn quotes_and_escapes() {
    for (word, expected) in [
        ("hello", "hello"),
        ("he'll'o", "hello"),
        (r"he\'llo", "he'llo"),
        (r"abc\tdef", "abctdef"),
        (r#""abc\tdef""#, r"abc\tdef"),
        (r#""abc\\tdef""#, r"abc\tdef"),
        (r"'abc\tdef'", r"abc\tdef"),
        (r"hello\", "hello"),
        (r"hello\\", r"hello\"),
        (r#""hel'lo""#, "hel'lo"),
        (r"'hello\'", r"hello\"),
        (r"'hello\\there'", r"hello\\there"),
        (r#""''""#, "''"),
        (r#"'"hello"'"#, r#""hello""#),
        (r#""a\"b""#, r#"a"b"#),
        (r"안'녕'하세요", "안녕하세요"),
        (r"안녕\'하세요", "안녕'하세요"),
        (r#""안녕\t하세요""#, r"안녕\t하세요"),
        ("a<<b <c", "a<<b <c"),
    ] {
        assert_eq!(text(word, SHELL), expected, "{word}");
    }
}

#[test]
fn unterminated_quotes_are_errors() {
    for word in ["he'llo", r"he\\'llo", "'hello", "안'녕하세요"] {
        assert_eq!(
            text(word, SHELL),
            "error: unexpected end of statement while looking for matching single-quote",
            "{word}"
        );
    }
    for word in [r#""hello"#, r#""hello\""#] {
        assert_eq!(
            text(word, SHELL),
            "error: unexpected end of statement while looking for matching double-quote",
            "{word}"
        );
    }
}

#[test]
fn plain_substitutions() {
    for (word, expected) in [
        ("$.", "$."),
        ("$", "$"),
        ("he$1x", "hex"),
        ("he$.x", "he$.x"),
        ("he$pwd.", "he."),
        ("he$PWD", "he/home"),
        (r"he\$PWD", "he$PWD"),
        (r"he\\$PWD", r"he\/home"),
        (r#""he\$PWD""#, "he$PWD"),
        (r#""he\\$PWD""#, r"he\/home"),
        (r"\${}aaa", "${}aaa"),
        ("he${hi}xx", "hexx"),
        ("he${PWD}", "he/home"),
        ("'he${XX}'", "he${XX}"),
        (r#""he'$PWD'""#, "he'/home'"),
        (r"'\$PWD'", r"\$PWD"),
        ("안녕$KOREAN", "안녕한국어"),
        ("${aaa}}", "}"),
        ("$999aaa", "aaa"),
        ("${001}aaa", "aaa"),
        ("$@@@", "@@"),
        ("$*$#$?$-$$$!$0", ""),
        ("${*}${#}${?}${-}${$}${!}${0}", ""),
        ("${@:+bbb}aaa", "aaa"),
        ("${-:-bbb}", "bbb"),
        ("${999:-bbb}aaa", "bbbaaa"),
    ] {
        assert_eq!(text(word, SHELL), expected, "{word}");
    }
}

#[test]
fn alternatives() {
    for (word, expected) in [
        ("he${XXX:-000}xx", "he000xx"),
        ("he${PWD:-000}xx", "he/homexx"),
        ("he${XXX:-$PWD}xx", "he/homexx"),
        ("he${XXX:-${PWD:-yyy}}xx", "he/homexx"),
        ("he${XXX:-${YYY:-yyy}}xx", "heyyyxx"),
        ("he${XXX:+${PWD}}xx", "hexx"),
        ("he${PWD:+${SHELL}}xx", "hebashxx"),
        ("he${PWD:+000}xx", "he000xx"),
        ("he${PWD:+${PWD}:}xx", "he/home:xx"),
        (r"he${XXX:-\$PWD:}xx", "he$PWD:xx"),
        (r"he${XXX:-\${PWD}z}xx", "he${PWDz}xx"),
        ("${NULL-a}|${NULL:-a}", "|a"),
        ("${NULL+a}|${NULL:+a}", "a|"),
        ("he${PWD?}${PWD:?}${NULL?}", "he/home/home"),
        ("${aaa:-bbb {foo}", "bbb {foo"),
        ("${aaa:-bbb}}", "bbb}"),
        ("${aaa:-'x}y'}", "x}y"),
        ("${aaa:-}", ""),
    ] {
        assert_eq!(text(word, SHELL), expected, "{word}");
    }
}

#[test]
fn bad_substitutions() {
    for (word, expected) in [
        ("${}", "syntax error: bad substitution"),
        ("he${}xx", "syntax error: bad substitution"),
        ("${{aaa}", "syntax error: bad substitution"),
        ("${:-bbb}", "syntax error: bad substitution"),
        ("he${.}", "unsupported modifier (.) in substitution"),
        ("he${XXX:YYY}", "unsupported modifier (:Y) in substitution"),
        ("he${PWD:=000}xx", "unsupported modifier (:=) in substitution"),
        ("${FOO=aaa}", "unsupported modifier (=) in substitution"),
        ("${FOO:#}", "unsupported modifier (:#) in substitution"),
        ("${FOO:%%}", "unsupported modifier (:%) in substitution"),
        ("he${PWD", "syntax error: missing '}'"),
        ("${", "syntax error: missing '}'"),
        ("${a:", "syntax error: missing '}'"),
        ("${aaa:-bbb", "syntax error: missing '}'"),
        ("${aaa:-bbb ${foo}", "syntax error: missing '}'"),
        ("${FOO//ww}", "syntax error: missing '/' in ${}"),
        ("${FOO//}", "syntax error: missing '/' in ${}"),
        ("${FOO/a/b", "syntax error: missing '}'"),
        ("${XXX?}", "XXX: is not allowed to be unset"),
        ("${XXX:?}", "XXX: is not allowed to be unset"),
        ("${NULL:?}", "NULL: is not allowed to be empty"),
        ("${XXX:?needs a value}", "XXX: needs a value"),
        (r"${PWD#\q}", r"invalid pattern (\q) in substitution: invalid escape '\q'"),
    ] {
        assert_eq!(text(word, SHELL), format!("error: {expected}"), "{word}");
    }
}

#[test]
fn trimming() {
    for (word, value, expected) in [
        (r"${v#()[]{\}^$.\*\?|\\}", r"()[]{}^$.*?|\x", "x"),
        (r"${v%%\**}", "xx**", "xx"),
        ("${v#*x*y}", "xxyy", "y"),
        ("${v##*x*y}", "xxyy", ""),
        ("${v#*}", "xxyy", "xxyy"),
        ("${v##*}", "xxyy", ""),
        ("${v#}", "xxyy", "xxyy"),
        ("${v##}", "xxyy", "xxyy"),
        ("${v##*x}", "xxyy", "yy"),
        (r"${v#?\?}", "???y", "?y"),
        ("${v%x}", "xxyy", "xxyy"),
        ("${v%y}", "xxyy", "xxy"),
        (r"${v%%\**\*}", "a***yy*", "a"),
        ("${v%/*}", "/a/b/c", "/a/b"),
        ("${v%%/*}", "a/b/c", "a"),
        ("${v##*/}", "/a/b/c", "c"),
        ("${v#*/}", "a/b/c", "b/c"),
        ("${v%.*.*}", "1.2.3", "1"),
    ] {
        assert_eq!(text(word, &[("v", value)]), expected, "{word} of {value}");
    }
    assert_eq!(text("${FOO#$BAR}", &[("FOO", "xxyy"), ("BAR", "x")]), "xyy");
}

#[test]
fn replacing() {
    let replaced =
        |word: &str, v: &str, n: &str, r: &str| text(word, &[("v", v), ("n", n), ("r", r)]);
    let both = "${v/$n/$r} - ${v//$n/$r}";
    assert_eq!(replaced(both, "/foo*/*/*.txt", r"\*/", "."), "/foo.*/*.txt - /foo..*.txt");
    assert_eq!(replaced(both, "/tmp/tmp/bar.txt", "/tmp", ""), "/tmp/bar.txt - /bar.txt");
    assert_eq!(replaced(both, "/a/foo/b/c.txt", "/?/", "/"), "/foo/b/c.txt - /foo/c.txt");
    assert_eq!(replaced("${v/$n/$r}", "http://a", "http://", "https://"), "https://a");
    assert_eq!(replaced(r"${v//\//\/}", "/tmp/f", "", ""), r"\/tmp\/f");
    assert_eq!(replaced("${v/$n/ww}", "xxyy", "", ""), "wwxxyy");
    assert_eq!(replaced("${v//$n/-}", "abc", "", ""), "-a-b-c-");
    assert_eq!(replaced("${v//$n/-}", "abc", "*", ""), "-");
    assert_eq!(replaced("${v//$n/-}", "abcb", "*c", ""), "-b");
    assert_eq!(replaced("${v///}", "xxyy", "", ""), "xxyy");
    assert_eq!(replaced("${v//b/$$1}", "abc", "", ""), "a1c");
    assert_eq!(text("${unset/a/b}", &[]), "");
}

#[test]
fn used_and_unset_variables_are_told() {
    let expansion =
        expand("${FOO-a} ${BAR:-b} ${BAZ:-c} $FOO", &[("FOO", "x"), ("BAR", "")]).unwrap();
    assert_eq!(expansion.text, "x b c x");
    assert_eq!(expansion.used, ["FOO", "BAR"]);
    assert_eq!(expansion.unset, ["BAZ"]);
}

#[test]
fn words_are_split_where_nothing_protects_blanks() {
    let variables =
        &[("hi", "hi"), ("space", "abc  def"), ("leading", "  ab c"), ("trailing", "ab c   ")];
    for (word, expected) in [
        ("hello", vec!["hello"]),
        ("hello${unset}bye", vec!["hellobye"]),
        ("hello${hi}bye", vec!["hellohibye"]),
        ("hello${space}bye", vec!["helloabc", "defbye"]),
        (r#"hello"${space}"bye"#, vec!["helloabc  defbye"]),
        (r#"hello "${space}"bye"#, vec!["hello", "abc  defbye"]),
        ("hello${leading}def", vec!["hello", "ab", "cdef"]),
        (r#"hello"${leading}" def"#, vec!["hello  ab c", "def"]),
        ("hello${trailing}d", vec!["helloab", "c", "d"]),
        (r#"hel"lo${trailing}""#, vec!["helloab c   "]),
        ("hello there     ", vec!["hello", "there"]),
        (r"hello\ there", vec!["hello there"]),
        (r#"hello\" there"#, vec!["hello\"", "there"]),
        (r"hello'\\there'", vec![r"hello\\there"]),
        ("80${x:-80} 1", vec!["8080", "1"]),
        ("<<  EOF x", vec!["<<  EOF", "x"]),
        ("a \"\" b", vec!["a", "b"]),
    ] {
        assert_eq!(expand(word, variables).unwrap().words, expected, "{word}");
    }
}

#[test]
fn unset_variables_can_stay() {
    let lexer = Lexer { keep_unset: true, ..Lexer::new('\\') };
    let variables = HashMap::from([("A", "1")]);
    for word in ["$X", "${X}", "${X:-a}", "${X+a}", "${X:?}", "${X##*/}", "${X//a/b}", "${X/a/b}"] {
        let expansion = lexer.expand(word, &variables, &mut Budget::default()).unwrap();
        assert_eq!(expansion.text, word);
        assert_eq!(expansion.unset, ["X"]);
    }
    let expansion = lexer.expand("$A${X:-$A}", &variables, &mut Budget::default()).unwrap();
    assert_eq!(expansion.text, "1${X:-1}");
}

#[test]
fn the_backtick_can_escape() {
    let expansion = Lexer::new('`').expand(r"c:\a`$b`", &NoVariables, &mut Budget::default());
    assert_eq!(expansion.unwrap().text, r"c:\a$b");
}

#[test]
fn bodies_of_here_documents_keep_their_quotes() {
    let lexer = Lexer { plain_quotes: true, ..Lexer::new('\\') };
    let variables = HashMap::from([("A", "1")]);
    let body = "\"$A\" 'x$A' \\$A \\\\ end\\\n";
    let expansion = lexer.expand(body, &variables, &mut Budget::default()).unwrap();
    assert_eq!(expansion.text, "\"1\" 'x1' $A \\ end\n");
}

#[test]
fn depth_and_size_are_limited() {
    let deep = |n: usize| format!("{}x{}", "${a:-".repeat(n), "}".repeat(n));
    assert_eq!(text(&deep(MAX_DEPTH), &[]), "x");
    assert_eq!(
        text(&deep(MAX_DEPTH + 1), &[]),
        "error: substitutions are nested more than 100 deep"
    );
    let value = "y".repeat(1 << 10);
    let word = "$v".repeat((1 << 10) + 1);
    assert_eq!(text(&word, &[("v", &value)]), "error: the value is longer than 1048576 bytes");
}

#[test]
fn work_grows_with_the_text() {
    let work = |word: &str, value: &str| {
        let mut budget = Budget::of(1 << 20);
        let variables = HashMap::from([("v", value)]);
        let result = Lexer::new('\\').expand(word, &variables, &mut budget);
        ((1 << 20) - budget.left(), result)
    };
    for word in ["${v#*b}", "${v##*b}", "${v%%a*b}", "${v//b/c}", "$v$v$v"] {
        let (small, _) = work(word, &"a".repeat(1000));
        let (large, _) = work(word, &"a".repeat(10_000));
        assert!(large <= small * 11, "{word}: {small} became {large}");
    }
    // What cannot be linear ends at the budget.
    let (_, result) = work("${v//a*b/c}", &"a".repeat(1 << 15));
    let error = result.unwrap_err().to_string();
    assert_eq!(error, "the variables of this file expand to too much text");
}

proptest! {
    #[test]
    fn nothing_panics(word in "[$\\{\\}a:+?#%/*\\\\\"' <\\-é]{0,40}", value in "[a*/é]{0,12}") {
        let variables = HashMap::from([("a", value.as_str())]);
        for keep_unset in [false, true] {
            let lexer = Lexer { keep_unset, keep_quotes: keep_unset, ..Lexer::new('\\') };
            let _ = lexer.expand(&word, &variables, &mut Budget::default());
        }
    }
}
