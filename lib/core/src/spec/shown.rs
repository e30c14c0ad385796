//! Text from outside, as it may be shown.
//!
//! Names, labels, messages and program output come from images, registries and files. Characters
//! in them can move a terminal's cursor, set its title, write its clipboard or reverse the order of
//! what is read. One rule decides which they are; everything printed for people goes through it.
//! Pure functions: `cli` applies them to the standard streams.

use std::borrow::Cow;
use std::fmt::Write;

/// The longest parameters of a colour sequence that pass; real ones have fewer than 20 bytes.
const MAX_PARAMETERS: usize = 64;

/// What ends colours.
const RESET: &str = "\u{1b}[0m";

/// Whether a character acts on a terminal, or on the order or the lines in which text is read: all
/// control characters, Unicode's `Bidi_Control` set, and its line and paragraph separators.
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// `text` on one line: unsafe characters, line feeds and tabs among them, are escaped as in
/// `\u{1b}` and `\n`.
pub fn escape_line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// `text` on as many lines as it has: line feeds and tabs stay.
pub fn escape_text(text: &str) -> Cow<'_, str> {
    escape(text, |character| matches!(character, '\n' | '\t'))
}

/// Bytes on one line: as [`escape_line`], and what is not UTF-8 is escaped as in `\xff`.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape_line(chunk.valid()));
        push_invalid(chunk.invalid(), &mut out);
    }
    out
}

/// Bytes on as many lines as they have: as [`escape_text`], and what is not UTF-8 is escaped.
pub fn escape_text_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape_text(chunk.valid()));
        push_invalid(chunk.invalid(), &mut out);
    }
    out
}

/// One line of what a program wrote: colours (SGR sequences) and tabs stay, everything else is
/// escaped. Colours end with the line.
pub fn escape_output(line: &[u8]) -> String {
    let mut out = String::with_capacity(line.len());
    let mut coloured = false;
    for chunk in line.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find("\u{1b}[") {
            let (before, sequence) = rest.split_at(at);
            let length = colour_sequence(sequence).unwrap_or(1);
            let (sequence, behind) = sequence.split_at(length);
            out.push_str(&escape(before, |character| character == '\t'));
            match length {
                1 => out.push_str(&escape_line(sequence)),
                _ => {
                    coloured = !matches!(sequence, "\u{1b}[m" | RESET);
                    out.push_str(sequence);
                }
            }
            rest = behind;
        }
        out.push_str(&escape(rest, |character| character == '\t'));
        push_invalid(chunk.invalid(), &mut out);
    }
    if coloured {
        out.push_str(RESET);
    }
    out
}

/// A JSON text whose unsafe characters are escaped as in `\u202e`; it means the same.
///
/// Nothing but white space and strings can hold such characters in JSON, and serde_json's only
/// control characters outside strings are line feeds.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    replace(
        json,
        |character| is_unsafe(character) && character != '\n',
        |character, out| {
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        },
    )
}

/// Bytes of a program's output as the text of a JSON string: only what is not UTF-8 is escaped.
pub fn text_of_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        push_invalid(chunk.invalid(), &mut out);
    }
    out
}

/// The length of the colour sequence that `text` begins with: `ESC [`, numbers, `m`.
fn colour_sequence(text: &str) -> Option<usize> {
    let parameters = text.as_bytes().get(2..)?;
    let parameter = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
    let count = parameters.iter().take(MAX_PARAMETERS).take_while(parameter).count();
    (parameters.get(count) == Some(&b'm')).then_some(count + 3)
}

fn escape(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    replace(
        text,
        |character| is_unsafe(character) && !stays(character),
        |character, out| {
            out.extend(character.escape_default());
        },
    )
}

/// `text` with what `picked` picks replaced; borrowed where it picks nothing.
fn replace(
    text: &str,
    picked: impl Fn(char) -> bool,
    write: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    let Some(first) = text.find(&picked) else { return Cow::Borrowed(text) };
    let (before, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(before);
    for character in rest.chars() {
        match picked(character) {
            true => write(character, &mut out),
            false => out.push(character),
        }
    }
    Cow::Owned(out)
}

fn push_invalid(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What terminals act on, by name: none of it may pass anywhere.
    const HARMFUL: [(&str, &str); 20] = [
        ("window title", "\u{1b}]0;title\u{7}"),
        ("clipboard, ended by ST", "\u{1b}]52;c;cm0gLXJmIH4=\u{1b}\\"),
        ("hyperlink", "\u{1b}]8;;http://x\u{1b}\\y\u{1b}]8;;\u{1b}\\"),
        ("clear the screen", "\u{1b}[2J"),
        ("move the cursor", "\u{1b}[1;1H"),
        ("ask for the cursor's place", "\u{1b}[6n"),
        ("set a private mode", "\u{1b}[?1049h"),
        ("keyboard mode, which ends in m", "\u{1b}[>4;2m"),
        ("private SGR", "\u{1b}[?4m"),
        ("SGR with an intermediate byte", "\u{1b}[1 m"),
        ("reset", "\u{1b}c"),
        ("character set", "\u{1b}(0"),
        ("device control", "\u{1b}P1$r0m\u{1b}\\"),
        ("eight-bit CSI", "\u{9b}2J"),
        ("eight-bit OSC", "\u{9d}0;x\u{9c}"),
        ("bell and backspace", "a\u{7}\u{8}\u{8}"),
        ("delete", "\u{7f}"),
        ("right-to-left override", "\u{202e}gnp.exe"),
        ("isolates", "\u{2066}x\u{2069}"),
        ("marks", "\u{61c}\u{200e}\u{200f}"),
    ];

    fn acts(text: &str) -> bool {
        text.chars().any(|character| is_unsafe(character) && !matches!(character, '\n' | '\t'))
    }

    #[test]
    fn nothing_harmful_passes() {
        for (name, text) in HARMFUL {
            let text = format!("before {text} after");
            for shown in [
                escape_line(&text).into_owned(),
                escape_text(&text).into_owned(),
                escape_bytes(text.as_bytes()),
                escape_output(text.as_bytes()),
                escape_json(&serde_json::to_string(&text).unwrap()).into_owned(),
            ] {
                assert!(!acts(&shown), "{name}: {shown:?}");
                assert!(shown.contains("before ") && shown.contains(" after"), "{name}: {shown:?}");
            }
        }
    }

    #[test]
    fn what_is_harmless_stays() {
        for text in ["", "plain", "ä 日本 עברית 👩‍👩‍👧", "C:\\path \"quoted\" \\u{1b}"]
        {
            assert!(matches!(escape_line(text), Cow::Borrowed(same) if same == text));
            assert_eq!(escape_output(text.as_bytes()), text);
            assert_eq!(escape_bytes(text.as_bytes()), text);
        }
        assert_eq!(escape_text("a\tb\nc\r\n"), "a\tb\nc\\r\n");
        assert_eq!(escape_line("a\tb\nc\r\n"), "a\\tb\\nc\\r\\n");
    }

    #[test]
    fn colours_pass_and_end_with_the_line() {
        for (line, shown) in [
            ("\u{1b}[31mred\u{1b}[0m", "\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}[31mred\u{1b}[m", "\u{1b}[31mred\u{1b}[m"),
            ("\u{1b}[31mred", "\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}[38;5;208mx\u{1b}[0m", "\u{1b}[38;5;208mx\u{1b}[0m"),
            ("\u{1b}[38:2::1:2:3mx", "\u{1b}[38:2::1:2:3mx\u{1b}[0m"),
            ("\u{1b}[1m\u{1b}[2J", "\u{1b}[1m\\u{1b}[2J\u{1b}[0m"),
            ("\u{1b}[", "\\u{1b}["),
            ("\u{1b}[31", "\\u{1b}[31"),
            ("\u{1b}", "\\u{1b}"),
            ("\u{1b}\u{1b}[1mx", "\\u{1b}\u{1b}[1mx\u{1b}[0m"),
            ("a\tb\rc", "a\tb\\rc"),
        ] {
            assert_eq!(escape_output(line.as_bytes()), shown, "{line:?}");
        }
        let long = format!("\u{1b}[{}m", "1;".repeat(100));
        assert!(!acts(&escape_output(long.as_bytes())));
    }

    #[test]
    fn bytes_that_are_not_text_are_shown() {
        assert_eq!(escape_bytes(b"a\xff\x1bb\xc3"), "a\\xff\\u{1b}b\\xc3");
        assert_eq!(escape_output(b"\x1b[1m\xffx"), "\u{1b}[1m\\xffx\u{1b}[0m");
        assert_eq!(escape_output(b"\x9b2J"), "\\x9b2J");
        assert_eq!(text_of_bytes(b"\x1b[1m\xff\n"), "\u{1b}[1m\\xff\n");
    }

    #[test]
    fn json_keeps_its_meaning() {
        for (_, text) in HARMFUL {
            let value = serde_json::json!({ text: [text, 1, null], "plain": "a\nb" });
            for json in [value.to_string(), format!("{value:#}")] {
                let shown = escape_json(&json);
                assert!(!acts(&shown), "{shown:?}");
                assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
            }
        }
        assert_eq!(escape_json("[\"\u{202e}\u{7f}\u{9b}\"]"), "[\"\\u202e\\u007f\\u009b\"]");
    }
}
