//! IDs and names of containers.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;

use crate::error::{Error, IoContext, Result};

const LEFT: [&str; 48] = [
    "amber", "ample", "bold", "brave", "brisk", "calm", "clear", "clever", "cosy", "crisp", "deft",
    "eager", "early", "fair", "fleet", "fond", "frank", "fresh", "gentle", "glad", "golden",
    "grand", "happy", "hardy", "keen", "kind", "lively", "loyal", "lucid", "mellow", "merry",
    "neat", "nimble", "noble", "plain", "proud", "quick", "quiet", "rapid", "ready", "sharp",
    "silent", "sleek", "smart", "steady", "sunny", "swift", "warm",
];

const RIGHT: [&str; 48] = [
    "alder", "anchor", "aspen", "badger", "beacon", "birch", "brook", "canal", "cedar", "cliff",
    "comet", "coral", "crane", "delta", "dune", "eider", "elm", "falcon", "fern", "finch", "fjord",
    "gale", "harbour", "hazel", "heron", "island", "jetty", "kelp", "lagoon", "larch", "lark",
    "linden", "maple", "marsh", "otter", "pebble", "perch", "pier", "plover", "quay", "reed",
    "ridge", "river", "salmon", "spruce", "tern", "tide", "willow",
];

/// A new container's ID: 64 hexadecimal digits of which the first twelve are not all decimal,
/// since they are its host name.
pub fn new_id() -> Result<String> {
    loop {
        let mut id = String::with_capacity(64);
        for byte in random::<32>()? {
            // Writing to a string cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        if id.bytes().take(12).any(|b| !b.is_ascii_digit()) {
            return Ok(id);
        }
    }
}

/// A name for people; the later the try, the less likely it is taken.
pub fn new_name(attempt: u32) -> Result<String> {
    let [left, right, low, high] = random::<4>()?;
    let word = |list: &'static [&'static str], at: u8| {
        list.get(usize::from(at) % list.len()).copied().unwrap_or_default()
    };
    let name = format!("{}_{}", word(&LEFT, left), word(&RIGHT, right));
    Ok(match attempt {
        0..=2 => name,
        _ => format!("{name}{}", u16::from_be_bytes([low, high])),
    })
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.doing(|| "reading /dev/urandom")?;
    Ok(bytes)
}

/// The name that a person gives a container, without Docker's leading slash.
pub fn check_name(name: &str) -> Result<&str> {
    let plain = name.strip_prefix('/').unwrap_or(name);
    let first = plain.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = plain.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if !first || !rest || plain.len() > 200 {
        return Err(Error::usage(format!(
            "invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed"
        )));
    }
    Ok(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names() {
        let id = new_id().unwrap();
        assert_eq!(id.len(), 64);
        assert!(id.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(id, new_id().unwrap());
        assert_eq!(check_name(&new_name(0).unwrap()).unwrap().matches('_').count(), 1);
        assert!(new_name(9).unwrap().ends_with(|c: char| c.is_ascii_digit()));
        assert_eq!(check_name("/web-1.x").unwrap(), "web-1.x");
        for bad in ["", "/", "x/bad", "x/", "-x", "a b", ".x", "ä"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
