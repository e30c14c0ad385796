//! What comes out of a pipe, cut into the texts of records.

use super::MAX_RECORD_TEXT;

/// One stream's bytes on their way into records: the line that has not ended yet.
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    begun: Vec<u8>,
}

impl LineCutter {
    /// Takes bytes and hands out each record's text and whether its line ends there.
    pub(super) fn take(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            let room = MAX_RECORD_TEXT - self.begun.len();
            let window = bytes.get(..bytes.len().min(room + 1)).unwrap_or(bytes);
            let end = window.iter().position(|&byte| byte == b'\n');
            let (count, skip) = match end {
                Some(at) => (at, at + 1),
                None if window.len() > room => (room, room),
                None => {
                    self.begun.extend_from_slice(bytes);
                    return;
                }
            };
            let text = bytes.get(..count).unwrap_or_default();
            if self.begun.is_empty() {
                out(text, end.is_some());
            } else {
                self.begun.extend_from_slice(text);
                out(&self.begun, end.is_some());
                self.begun.clear();
            }
            bytes = bytes.get(skip..).unwrap_or_default();
        }
    }

    /// Hands out the line that has begun, if any.
    pub(super) fn flush(&mut self, out: &mut dyn FnMut(&[u8], bool)) {
        if !self.begun.is_empty() {
            out(&self.begun, false);
            self.begun.clear();
        }
    }

    /// Whether a line has begun and not ended.
    pub(super) fn has_begun(&self) -> bool {
        !self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut cutter = LineCutter::default();
        let mut out = Vec::new();
        let mut add = |text: &[u8], ends| out.push((text.to_vec(), ends));
        for part in parts {
            cutter.take(part, &mut add);
        }
        cutter.flush(&mut add);
        out
    }

    #[test]
    fn lines_are_cut_at_line_feeds_wherever_reads_end() {
        let line = |text: &str, ends| (text.as_bytes().to_vec(), ends);
        assert_eq!(cut(&[b"a\nb\n"]), [line("a", true), line("b", true)]);
        assert_eq!(cut(&[b"a", b"b\n\nc"]), [line("ab", true), line("", true), line("c", false)]);
        assert_eq!(cut(&[b""]), []);
    }

    #[test]
    fn long_lines_become_several_records() {
        let long = vec![b'x'; MAX_RECORD_TEXT];
        // A line of just the longest length is one record.
        let whole = [long.as_slice(), b"\n"].concat();
        assert_eq!(cut(&[&whole]), [(long.clone(), true)]);
        assert_eq!(cut(&[&long, b"\n"]), [(long.clone(), true)]);
        let longer = [long.as_slice(), b"y\n"].concat();
        let expected = [(long.clone(), false), (b"y".to_vec(), true)];
        assert_eq!(cut(&[&longer]), expected);
        let halves = longer.split_at(100);
        assert_eq!(cut(&[halves.0, halves.1]), expected);
    }
}
