//! "Did you mean": the nearest of some words.

/// Words and lists longer than this are not compared: nobody mistyped those, and the work would
/// grow with the product of both.
const MAX_WORD: usize = 64;
const MAX_OPTIONS: usize = 1000;

/// The option that differs from `word` by at most two edits, the nearest of them; none when the
/// word itself is among them. With `fold` case does not count and the answer is written in the
/// case of `word`.
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
        if candidate.len() > MAX_WORD + 2 {
            continue;
        }
        let distance = edits(&wanted, &candidate);
        // One or two letters are within reach of everything.
        if distance < limit && distance < wanted.chars().count().max(2) {
            best = Some((distance, option));
        }
    }
    best.map(|(_, option)| match fold {
        false => option.to_owned(),
        true if word == word.to_lowercase() => option.to_lowercase(),
        true => option.to_uppercase(),
    })
}

/// The Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
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
        assert_eq!(nearest("ab", ["xy"], false), None);
    }
}
