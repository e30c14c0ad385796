//! `WWW-Authenticate`: what a server asks for before it answers (RFC 9110 §11.6.1).
//!
//! Tolerant, since real servers leave out quotes, repeat commas and put several challenges into
//! one header; bounded, since anybody may answer. Pure.

/// Most challenges that are read from one answer.
const MAX_CHALLENGES: usize = 16;
/// Longest header value that is read.
const MAX_LENGTH: usize = 16 << 10;

/// One way to authenticate that a server offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Its name in lower case: `bearer`, `basic`.
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter; `name` in lower case.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads all challenges of all headers, in their order.
pub(super) fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for header in headers {
        if header.len() <= MAX_LENGTH {
            parse_header(header, &mut challenges);
        }
    }
    challenges.truncate(MAX_CHALLENGES);
    challenges
}

fn parse_header(header: &str, challenges: &mut Vec<Challenge>) {
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = split_token(rest);
        if word.is_empty() {
            // Something that no grammar allows: step over it, the next word may be fine.
            let mut characters = rest.chars();
            if characters.next().is_none() {
                return;
            }
            rest = characters.as_str();
            continue;
        }
        let spaced = after.trim_start_matches([' ', '\t']);
        match (spaced.strip_prefix('='), challenges.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, after) = split_value(value.trim_start_matches([' ', '\t']));
                challenge.parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            (Some(value), None) => rest = split_value(value).1,
            (None, _) => {
                let scheme = word.to_ascii_lowercase();
                challenges.push(Challenge { scheme, parameters: Vec::new() });
                rest = after;
            }
        }
        if challenges.len() > MAX_CHALLENGES {
            return;
        }
    }
}

fn split_token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

/// A quoted string with its escapes undone, or everything up to the next comma or space.
fn split_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn show(headers: &[&str]) -> String {
        let one = |challenge: &Challenge| {
            let parameters: Vec<_> =
                challenge.parameters.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{}({})", challenge.scheme, parameters.join(";"))
        };
        parse(headers.iter().copied()).iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_registries_send() {
        for (headers, read) in [
            (
                &[
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                ][..],
                "bearer(realm=https://auth.docker.io/token;service=registry.docker.io;scope=repository:a/b:pull,push)",
            ),
            (&[r#"Basic realm="x \"y\"""#], r#"basic(realm=x "y")"#),
            (
                &[r#"bearer realm=https://a/t , service = s,scope="""#],
                "bearer(realm=https://a/t;service=s;scope=)",
            ),
            (
                &[r#"Negotiate, Basic realm="a", Bearer realm="b",error="insufficient_scope""#],
                "negotiate() basic(realm=a) bearer(realm=b;error=insufficient_scope)",
            ),
            (&["Basic", "Bearer realm=\"r\""], "basic() bearer(realm=r)"),
            (&[r#"Bearer realm="unfinished"#], "bearer(realm=unfinished)"),
            (&["", ",,", "=", "\"\"", "realm=x"], ""),
        ] {
            assert_eq!(show(headers), read, "{headers:?}");
        }
    }

    #[test]
    fn hostile_headers_stay_small() {
        assert_eq!(parse(["x,".repeat(5000).as_str()]).len(), MAX_CHALLENGES);
        assert!(parse([format!("Bearer realm=\"{}\"", "x".repeat(1 << 20)).as_str()]).is_empty());
    }
}
