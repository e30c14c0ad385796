//! Text files as people and tools leave them, read line by line.

use std::io::{self, BufRead, BufReader, Read};

/// Bytes of a line that are kept; the rest of it is skipped.
const MAX_LINE: usize = 64 << 10;

/// Reads text: UTF-8 with or without a byte order mark, or UTF-16 with one. What comes out is UTF-8
/// without a mark.
pub(super) struct Text<'r> {
    content: &'r mut dyn Read,
    form: Option<Form>,
    /// What was read and is still to be handed out.
    ready: Vec<u8>,
    /// Half a unit of UTF-16, or the first of two units.
    halves: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Utf8,
    Utf16 { big: bool },
}

impl<'r> Text<'r> {
    pub(super) fn new(content: &'r mut dyn Read) -> Text<'r> {
        Text { content, form: None, ready: Vec::new(), halves: Vec::new() }
    }

    /// The same with a buffer, for lines.
    pub(super) fn lines(content: &'r mut dyn Read) -> Lines<'r> {
        Lines { input: BufReader::with_capacity(16 << 10, Text::new(content)) }
    }

    fn start(&mut self) -> io::Result<Form> {
        let mut start = Vec::new();
        Read::take(&mut *self.content, 3).read_to_end(&mut start)?;
        let (form, mark) = match start.as_slice() {
            [0xef, 0xbb, 0xbf] => (Form::Utf8, 3),
            [0xff, 0xfe, ..] => (Form::Utf16 { big: false }, 2),
            [0xfe, 0xff, ..] => (Form::Utf16 { big: true }, 2),
            _ => (Form::Utf8, 0),
        };
        start.drain(..mark);
        match form {
            Form::Utf8 => self.ready = start,
            Form::Utf16 { .. } => self.halves = start,
        }
        self.form = Some(form);
        Ok(form)
    }

    /// Reads a piece of UTF-16.
    fn transcode(&mut self, big: bool) -> io::Result<()> {
        let mut piece = [0; 4096];
        let count = self.content.read(&mut piece)?;
        self.halves.extend_from_slice(&piece[..count]);
        let (pairs, _) = self.halves.as_chunks::<2>();
        let number = |pair: &[u8; 2]| match big {
            true => u16::from_be_bytes(*pair),
            false => u16::from_le_bytes(*pair),
        };
        let mut units: Vec<u16> = pairs.iter().map(number).collect();
        // The first half of a pair waits for the second.
        if count > 0 && units.last().is_some_and(|last| (0xd800..0xdc00).contains(last)) {
            units.pop();
        }
        self.halves.drain(..2 * units.len());
        for character in char::decode_utf16(units) {
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            self.ready.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        if count == 0 {
            self.halves.clear();
        }
        Ok(())
    }
}

impl Read for Text<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let form = match self.form {
            Some(form) => form,
            None => self.start()?,
        };
        if let Form::Utf16 { big } = form {
            while self.ready.is_empty() && !out.is_empty() {
                let before = self.halves.len();
                self.transcode(big)?;
                if self.ready.is_empty() && self.halves.len() <= before {
                    break;
                }
            }
        }
        if self.ready.is_empty() && form == Form::Utf8 {
            return self.content.read(out);
        }
        let count = self.ready.len().min(out.len());
        out[..count].copy_from_slice(&self.ready[..count]);
        self.ready.drain(..count);
        Ok(count)
    }
}

/// The lines of a text, without their ends.
pub(super) struct Lines<'r> {
    input: BufReader<Text<'r>>,
}

impl Lines<'_> {
    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        let (mut line, mut any) = (Vec::new(), false);
        loop {
            let ready = self.input.fill_buf()?;
            if ready.is_empty() {
                break;
            }
            any = true;
            let end = ready.iter().position(|&b| b == b'\n');
            let piece = &ready[..end.unwrap_or(ready.len())];
            line.extend_from_slice(&piece[..piece.len().min(MAX_LINE - line.len())]);
            let used = piece.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(any.then(|| String::from_utf8_lossy(&line).into_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lines(mut bytes: &[u8]) -> Vec<String> {
        let mut lines = Text::lines(&mut bytes);
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn marks_and_line_ends() {
        let expected = ["Name: grün🙂", "", "b"];
        let text = "Name: grün🙂\n\nb";
        for bytes in [
            text.as_bytes().to_vec(),
            text.replace('\n', "\r\n").into_bytes(),
            ["\u{feff}".as_bytes(), text.as_bytes(), b"\n"].concat(),
            utf16(text, true),
            utf16(text, false),
        ] {
            assert_eq!(lines(&bytes), expected, "{bytes:?}");
        }
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines(b"\xef\xbb"), ["\u{fffd}"]);
        let long = utf16(&"🙂a".repeat(10_000), false);
        assert_eq!(lines(&long), ["🙂a".repeat(10_000)]);
        assert_eq!(lines(&long[..long.len() - 5]).len(), 1);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let bytes = [vec![b'x'; 1 << 20], b"\nnext".to_vec()].concat();
        let found = lines(&bytes);
        assert_eq!((found[0].len(), found[1].as_str()), (MAX_LINE, "next"));
    }
}
