//! What a person attaches with: streams, and the keys that leave a container.

use std::os::fd::AsFd;

use creel::container::attach::PersonStreams;
use creel::error::{Error, IoContext, Result};

/// Docker's.
const USUAL_KEYS: &str = "ctrl-p,ctrl-q";

/// This process's streams.
pub fn own_streams(input: bool) -> Result<PersonStreams> {
    let copy = |stream: std::os::fd::BorrowedFd<'_>| {
        stream.try_clone_to_owned().doing(|| "opening the standard streams")
    };
    Ok(PersonStreams {
        input: match input {
            true => Some(copy(std::io::stdin().as_fd())?),
            false => None,
        },
        output: Some(copy(std::io::stdout().as_fd())?),
        errors: Some(copy(std::io::stderr().as_fd())?),
    })
}

/// The bytes of `--detach-keys`: single characters and `ctrl-X`, separated by commas.
pub fn detach_keys(text: Option<&str>) -> Result<Vec<u8>> {
    let text = text.unwrap_or(USUAL_KEYS);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|key| key_byte(key).ok_or_else(|| unknown_key(text, key))).collect()
}

fn unknown_key(text: &str, key: &str) -> Error {
    Error::usage(format!(
        "invalid value {text:?} for --detach-keys: unknown key {key:?} (expected a character, \
         ctrl- and one of a-z @ [ \\ ] ^ _, or DEL)"
    ))
}

fn key_byte(key: &str) -> Option<u8> {
    const DELETE: u8 = 127;
    if key == "DEL" {
        return Some(DELETE);
    }
    let control = key.strip_prefix("ctrl-").or_else(|| key.strip_prefix("CTRL-"));
    match (control.unwrap_or(key).as_bytes(), control.is_some()) {
        (&[letter], true) => match letter.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => Some(letter - b'a' + 1),
            b'@' => Some(0),
            b'[' => Some(27),
            b'\\' => Some(28),
            b']' => Some(29),
            b'^' => Some(30),
            b'_' => Some(31),
            _ => None,
        },
        (&[byte], false) => Some(byte),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_docker_reads_them() {
        for (text, bytes) in [
            (None, Some(vec![16, 17])),
            (Some(""), Some(vec![])),
            (Some("ctrl-@,a,DEL"), Some(vec![0, b'a', 127])),
            (Some("ctrl-\\,ctrl-],ctrl-^,ctrl-_,ctrl-["), Some(vec![28, 29, 30, 31, 27])),
            (Some("ctrl-1"), None),
            (Some("ab"), None),
            (Some("a,,b"), None),
        ] {
            assert_eq!(detach_keys(text).ok(), bytes, "{text:?}");
        }
    }
}
