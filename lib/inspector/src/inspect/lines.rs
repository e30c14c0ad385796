//! The difference of two texts, line by line, as `diff -u` writes it.

use std::fmt::Write;

use super::files::Name;

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// Most insertions and deletions that are looked for; beyond, the rest is replaced as a whole.
const MAX_EDITS: usize = 2000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit {
    Keep,
    Remove,
    Add,
}

/// The difference in the unified form; empty for equal texts. Control characters are escaped.
pub fn unified(old_name: &str, new_name: &str, old: &[u8], new: &[u8]) -> String {
    if old == new {
        return String::new();
    }
    let (a, b) = (split(old), split(new));
    let edits = edits(&a, &b);
    let mut out = format!("--- {old_name}\n+++ {new_name}\n");
    for (start, end) in hunks(&edits) {
        hunk(&edits, start, end, &a, &b, &mut out);
    }
    out
}

/// Lines with their ends.
fn split(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&b| b == b'\n').collect()
}

/// Myers' greedy algorithm between what both have in common at the begin and at the end.
fn edits(a: &[&[u8]], b: &[&[u8]]) -> Vec<Edit> {
    let head = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (rest_a, rest_b) = (&a[head..], &b[head..]);
    let tail = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&rest_a[..rest_a.len() - tail], &rest_b[..rest_b.len() - tail]);
    let mut edits = vec![Edit::Keep; head];
    edits.extend(middle(a, b).unwrap_or_else(|| {
        let removed = std::iter::repeat_n(Edit::Remove, a.len());
        removed.chain(std::iter::repeat_n(Edit::Add, b.len())).collect()
    }));
    edits.extend(std::iter::repeat_n(Edit::Keep, tail));
    edits
}

/// `None` where more than [`MAX_EDITS`] are needed.
fn middle(a: &[&[u8]], b: &[&[u8]]) -> Option<Vec<Edit>> {
    // For each number of edits the furthest x on every diagonal from -d to d.
    let mut reached: Vec<Vec<usize>> = Vec::new();
    for d in 0..=MAX_EDITS {
        let mut row = vec![0; 2 * d + 1];
        for step in (0..=2 * d).step_by(2) {
            let down = step == 0
                || (step != 2 * d && past(&reached, d, step, -1) < past(&reached, d, step, 1));
            let mut x = match (d, down) {
                (0, _) => 0,
                (_, true) => past(&reached, d, step, 1),
                (_, false) => past(&reached, d, step, -1) + 1,
            };
            let mut y = (x + d).checked_sub(step)?;
            while x < a.len() && y < b.len() && a[x] == b[y] {
                (x, y) = (x + 1, y + 1);
            }
            row[step] = x;
            if x >= a.len() && y >= b.len() {
                reached.push(row);
                return Some(trace(&reached, a.len(), b.len()));
            }
        }
        reached.push(row);
    }
    None
}

/// How far the row before reached on the diagonal beside `step` of row `d`.
fn past(reached: &[Vec<usize>], d: usize, step: usize, side: isize) -> usize {
    // Diagonal k of row d stands at k + d; in the row before it stands at k + d - 1.
    let at = step as isize + side - 1;
    let row = d.checked_sub(1).and_then(|d| reached.get(d));
    row.zip(usize::try_from(at).ok()).and_then(|(row, at)| row.get(at)).copied().unwrap_or(0)
}

fn trace(reached: &[Vec<usize>], mut x: usize, mut y: usize) -> Vec<Edit> {
    let mut edits = Vec::new();
    for d in (1..reached.len()).rev() {
        let step = x + d - y;
        let down =
            step == 0 || (step != 2 * d && past(reached, d, step, -1) < past(reached, d, step, 1));
        let (old_x, edit) = match down {
            true => (past(reached, d, step, 1), Edit::Add),
            false => (past(reached, d, step, -1), Edit::Remove),
        };
        let start = if down { old_x } else { old_x + 1 };
        edits.extend(std::iter::repeat_n(Edit::Keep, x - start));
        y -= x - start;
        x = start;
        edits.push(edit);
        match edit {
            Edit::Add => y -= 1,
            _ => x -= 1,
        }
    }
    edits.extend(std::iter::repeat_n(Edit::Keep, x));
    edits.reverse();
    edits
}

/// Stretches of edits with their surroundings.
fn hunks(edits: &[Edit]) -> Vec<(usize, usize)> {
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for (at, _) in edits.iter().enumerate().filter(|(_, edit)| **edit != Edit::Keep) {
        let (start, end) = (at.saturating_sub(CONTEXT), (at + CONTEXT + 1).min(edits.len()));
        match hunks.last_mut() {
            Some(last) if start <= last.1 => last.1 = end,
            _ => hunks.push((start, end)),
        }
    }
    hunks
}

fn hunk(edits: &[Edit], start: usize, end: usize, a: &[&[u8]], b: &[&[u8]], out: &mut String) {
    let count = |edits: &[Edit], not: Edit| edits.iter().filter(|edit| **edit != not).count();
    let (mut x, mut y) = (count(&edits[..start], Edit::Add), count(&edits[..start], Edit::Remove));
    let inside = &edits[start..end];
    let (from, to) = (count(inside, Edit::Add), count(inside, Edit::Remove));
    // A stretch without lines is named by the line before it.
    let first = |at: usize, count: usize| if count == 0 { at } else { at + 1 };
    let _ = writeln!(out, "@@ -{},{from} +{},{to} @@", first(x, from), first(y, to));
    for edit in inside {
        let (mark, line) = match edit {
            Edit::Keep => (' ', a[x]),
            Edit::Remove => ('-', a[x]),
            Edit::Add => ('+', b[y]),
        };
        x += usize::from(*edit != Edit::Add);
        y += usize::from(*edit != Edit::Remove);
        let ended = line.last() == Some(&b'\n');
        let text = &line[..line.len() - usize::from(ended)];
        // Tabs are harmless and common.
        let shown = Name::from(text).to_string().replace("\\t", "\t");
        let _ = writeln!(out, "{mark}{shown}");
        if !ended {
            out.push_str("\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn differences_read_as_those_of_diff() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n";
        let new = "a\nB\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl";
        let expected = "--- x\n+++ y\n@@ -1,5 +1,5 @@\n a\n-b\n+B\n c\n d\n e\n@@ -9,3 +9,4 @@\n i\n \
                        j\n k\n+l\n\\ No newline at end of file\n";
        assert_eq!(unified("x", "y", old.as_bytes(), new.as_bytes()), expected);
        assert_eq!(unified("x", "y", b"same", b"same"), "");
        let added = unified("x", "y", b"", b"1\n2\n");
        assert_eq!(added, "--- x\n+++ y\n@@ -0,0 +1,2 @@\n+1\n+2\n");
    }

    #[test]
    fn edits_turn_one_text_into_the_other() {
        let texts =
            ["", "a\n", "a\nb\nc\n", "c\na\nb\n", "x\na\ny\nb\nz\n", "b\nb\nb\n", "a\na\nb"];
        for old in texts {
            for new in texts {
                let (a, b) = (split(old.as_bytes()), split(new.as_bytes()));
                let (mut x, mut y, mut made) = (0, 0, Vec::new());
                for edit in edits(&a, &b) {
                    match edit {
                        Edit::Keep => made.push(a[x]),
                        Edit::Add => made.push(b[y]),
                        Edit::Remove => {}
                    }
                    x += usize::from(edit != Edit::Add);
                    y += usize::from(edit != Edit::Remove);
                }
                assert_eq!((made, x), (b, a.len()), "{old:?} {new:?}");
            }
        }
    }
}
