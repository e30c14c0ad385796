//! Texts in quotes, and texts escaped for other languages.

/// What a Go string or character constant means, without its quotes.
pub(super) fn unquote(text: &str, quote: char) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            push(&mut out, c);
            continue;
        }
        let escape = rest.next().ok_or("unterminated escape")?;
        let bad = || format!("unknown escape \\{escape} in {text:?}");
        let mut digits = |count: usize, radix: u32, first: Option<char>| -> Option<u32> {
            let more = count - usize::from(first.is_some());
            let word: String = first.into_iter().chain(rest.by_ref().take(more)).collect();
            (word.chars().count() == count).then(|| u32::from_str_radix(&word, radix).ok())?
        };
        match escape {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' => out.push(b'\\'),
            '"' | '\'' if escape == quote => push(&mut out, escape),
            'x' => out.push(u8::try_from(digits(2, 16, None).ok_or_else(bad)?).map_err(|_| bad())?),
            '0'..='7' => {
                let value = digits(3, 8, Some(escape)).ok_or_else(bad)?;
                out.push(u8::try_from(value).map_err(|_| bad())?);
            }
            'u' | 'U' => {
                let count = if escape == 'u' { 4 } else { 8 };
                let value = digits(count, 16, None).and_then(char::from_u32).ok_or_else(bad)?;
                push(&mut out, value);
            }
            _ => return Err(bad()),
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// `%q`: the text as a Go constant; `ascii` alone if asked for.
pub(super) fn quoted(text: &str, ascii: bool) -> String {
    let inside: String = text.chars().map(|c| escaped(c, '"', ascii)).collect();
    format!("\"{inside}\"")
}

/// A character as a Go constant.
pub(super) fn quoted_character(c: char, ascii: bool) -> String {
    format!("'{}'", escaped(c, '\'', ascii))
}

fn escaped(c: char, quote: char, ascii: bool) -> String {
    match c {
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\x0b' => "\\v".to_owned(),
        '\\' => "\\\\".to_owned(),
        _ if c == quote => format!("\\{c}"),
        _ if is_printable(c) && (c.is_ascii() || !ascii) => c.to_string(),
        _ if c.is_ascii() => format!("\\x{:02x}", c as u32),
        _ if (c as u32) < 0x10000 => format!("\\u{:04x}", c as u32),
        _ => format!("\\U{:08x}", c as u32),
    }
}

fn is_printable(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace() || is_format(c))
}

/// Characters that only say how others are shown.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}')
}

/// Text for HTML.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

/// Text for a JavaScript string.
pub(super) fn javascript(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", c as u32)),
            _ if c < ' ' || !is_printable(c) => out.push_str(&format!("\\u{:04X}", c as u32)),
            _ => out.push(c),
        }
    }
    out
}

/// Text for the query of a URL.
pub(super) fn url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
