//! "Did you mean": the nearest of some words.

/// Words and lists longer than this are not compared: nobody mistyped those, and the work would
/// grow with the product of both.
const MAX_WORD: usize = 40;
const MAX_OPTIONS: usize = 300;

/// The option nearest to `word`: at most two edits away and less than half of it changed, or the
/// word is its beginning. None when the word itself is among the options. With `fold` case does
/// not count, and the answer takes the case of a word that is all in one.
pub(super) fn nearest<'a>(
    word: &str,
    options: impl IntoIterator<Item = &'a str>,
    fold: bool,
) -> Option<String> {
    let cased = |text: &str| if fold { text.to_lowercase() } else { text.to_owned() };
    let wanted = cased(word);
    if wanted.is_empty() || wanted.len() > MAX_WORD {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for option in options.into_iter().take(MAX_OPTIONS) {
        let candidate = cased(option);
        if candidate == wanted {
            return None;
        }
        let limit = best.map_or(3, |(distance, _)| distance);
        let prefix = candidate.starts_with(&wanted);
        if candidate.len() > MAX_WORD + 2 || (candidate.len().abs_diff(wanted.len()) > 8 && !prefix)
        {
            continue;
        }
        let distance = edits(&wanted, &candidate);
        // Of few letters two edits leave nothing.
        let alike = prefix || 2 * distance <= wanted.chars().count();
        if distance < limit && alike {
            best = Some((distance, option));
        }
    }
    best.map(|(_, option)| match fold {
        false => option.to_owned(),
        true if word == word.to_lowercase() => option.to_lowercase(),
        true if word == word.to_uppercase() => option.to_uppercase(),
        true => option.to_owned(),
    })
}

/// How many letters must be added, removed, replaced or swapped with their neighbour.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            next[j] = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                next[j] = next[j].min(above[j - 2] + 1);
            }
        }
        above = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        let options = ["mount", "network", "security"];
        assert_eq!(nearest("mont", options, false).as_deref(), Some("mount"));
        assert_eq!(nearest("networks", options, false).as_deref(), Some("network"));
        assert_eq!(nearest("mount", options, false), None);
        assert_eq!(nearest("user", options, false), None);
        assert_eq!(nearest("EXPSE", ["expose"], true).as_deref(), Some("EXPOSE"));
        assert_eq!(nearest("rnu", ["RUN"], true).as_deref(), Some("run"));
        assert_eq!(nearest("ab", ["xy", "abcd"], false).as_deref(), Some("abcd"));
        assert_eq!(nearest("FOO", ["FROM", "ADD"], true), None);
    }
}
