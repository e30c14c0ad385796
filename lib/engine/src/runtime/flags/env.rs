//! Environment variables.

use super::invalid;
use crate::error::{Error, Result};

/// Most bytes that one environment file may have.
const MAX_FILE: usize = 16 << 20;

/// `-e NAME=value`, or `-e NAME` to take the person's own value, which `own` looks up.
///
/// `None` when that is not set. A name that ends in `*` is not special.
pub fn parse_env(text: &str, own: impl FnOnce(&str) -> Option<String>) -> Result<Option<String>> {
    if text.is_empty() || text.starts_with('=') || text.contains('\0') {
        return Err(invalid("environment variable", text));
    }
    match text.split_once('=') {
        Some(_) => Ok(Some(text.to_owned())),
        None => Ok(own(text).map(|value| format!("{text}={value}"))),
    }
}

/// The lines of an environment file: `NAME=value` taken as it is, `NAME` from `own`; blank lines
/// and those that begin with `#` mean nothing. `name` stands in errors.
pub fn parse_env_file(
    content: &[u8],
    name: &str,
    own: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>> {
    if content.len() > MAX_FILE {
        return Err(Error::usage(format!("env file {name} is larger than {MAX_FILE} bytes")));
    }
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut out = Vec::new();
    for (index, line) in content.split(|&b| b == b'\n').enumerate() {
        let place = || format!("env file {name}, line {}", index + 1);
        let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line))
            .map_err(|_| Error::usage(format!("{} contains invalid UTF-8 bytes", place())))?;
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (variable, value) = match line.split_once('=') {
            Some((variable, value)) => (variable, Some(value)),
            None => (line, None),
        };
        let odd = if variable.is_empty() {
            Some("no variable name".to_owned())
        } else if variable.contains(char::is_whitespace) {
            Some(format!("variable {variable:?} contains whitespace"))
        } else if line.contains('\0') {
            Some("a NUL byte".to_owned())
        } else {
            None
        };
        if let Some(odd) = odd {
            return Err(Error::usage(format!("{}: {odd}", place())));
        }
        match value {
            Some(_) => out.push(line.to_owned()),
            None => out.extend(own(variable).map(|value| format!("{variable}={value}"))),
        }
    }
    Ok(out)
}

/// Lays `over` on `env`: a name that is there already gets the new value at its old place.
pub fn merge_env(env: &mut Vec<String>, over: impl IntoIterator<Item = String>) {
    for variable in over {
        let name = name_of(&variable);
        match env.iter_mut().find(|have| name_of(have) == name) {
            Some(place) => *place = variable,
            None => env.push(variable),
        }
    }
}

/// The part before the first `=`.
pub(in crate::runtime) fn name_of(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn own(name: &str) -> Option<String> {
        (name == "HAVE").then(|| "mine".to_owned())
    }

    #[test]
    fn single_variables() {
        for (text, variable) in [
            ("A=b", Some("A=b")),
            ("A=", Some("A=")),
            ("A=b=c d", Some("A=b=c d")),
            ("HAVE", Some("HAVE=mine")),
            ("MISSING", None),
            ("odd.name-1=x", Some("odd.name-1=x")),
        ] {
            assert_eq!(parse_env(text, own).unwrap().as_deref(), variable, "{text}");
        }
        for bad in ["", "=x", "A=\0"] {
            assert!(parse_env(bad, own).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_are_taken_literally() {
        let text = "\u{feff}A=1\n  # note\n\n  B=\"quoted\" # kept \nHAVE\nMISSING\r\nC=x\r\nA=2";
        let read = parse_env_file(text.as_bytes(), "f", own).unwrap();
        assert_eq!(read, ["A=1", "B=\"quoted\" # kept ", "HAVE=mine", "C=x", "A=2"]);
        for (bad, message) in [
            (&b"A B=c"[..], "env file f, line 1: variable \"A B\" contains whitespace"),
            (b"A=1\n=c", "env file f, line 2: no variable name"),
            (b"A=\xff", "env file f, line 1 contains invalid UTF-8 bytes"),
            (b"A=\0", "env file f, line 1: a NUL byte"),
        ] {
            assert_eq!(parse_env_file(bad, "f", own).unwrap_err().chain(), message);
        }
    }

    #[test]
    fn later_values_replace_earlier_ones_in_place() {
        let mut env = vec!["A=1".to_owned(), "B=2".to_owned()];
        merge_env(&mut env, ["A=3".to_owned(), "C=4".to_owned(), "C=5".to_owned()]);
        assert_eq!(env, ["A=3", "B=2", "C=5"]);
    }
}
