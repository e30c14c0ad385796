//! Values of flags as buildah reads them: words of a shell, lists in JSON, variables.

/// The words of a text as a shell splits it: quotes and backslashes protect, nothing is filled in.
/// `None` where a quote does not end.
pub(super) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// The words of a list in JSON; `None` for anything else.
pub(super) fn json(text: &str) -> Option<Vec<String>> {
    text.trim_start().starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// Fills `$NAME` and `${NAME}` in from variables `NAME=value`; what is not set is empty.
pub(super) fn filled(text: &str, env: &[String]) -> String {
    let value = |name: &str| {
        let set = env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
        set.unwrap_or_default()
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        if let Some((name, behind)) = braced.filter(|(name, _)| name.chars().all(is_name)) {
            out.push_str(value(name));
            rest = behind;
            continue;
        }
        let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
        match &after[..end] {
            "" => out.push('$'),
            name => out.push_str(value(name)),
        }
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell() {
        for (text, words) in [
            ("", Some(vec![])),
            ("a  b\tc", Some(vec!["a", "b", "c"])),
            (r#"a 'b c' "d \" e" f\ g ''"#, Some(vec!["a", "b c", "d \" e", "f g", ""])),
            (r#""a\b$c""#, Some(vec![r"a\b$c"])),
            ("a 'b", None),
            ("a \"b", None),
            ("a\\", None),
        ] {
            let words = words.map(|all| all.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(split(text), words, "{text}");
        }
    }

    #[test]
    fn variables() {
        let env = ["A=1".to_owned(), "B=x=y".to_owned()];
        for (text, filled_in) in [
            ("/x:$A", "/x:1"),
            ("${A}b$B", "1bx=y"),
            ("$C.", "."),
            ("a$", "a$"),
            ("$$A", "$1"),
            ("${A", "${A"),
        ] {
            assert_eq!(filled(text, &env), filled_in, "{text}");
        }
    }

    #[test]
    fn lists() {
        assert_eq!(json(r#"["a", "b c"]"#), Some(vec!["a".to_owned(), "b c".to_owned()]));
        assert!(json("a b").is_none() && json("[a]").is_none() && json("[1]").is_none());
    }
}
