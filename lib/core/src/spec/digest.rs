//! Digests: the names of bytes.
//!
//! Follows "Digests" of the OCI image spec (descriptor.md). Parsing checks the whole grammar, so
//! a [`Digest`] is safe to use as a path component or in a URL.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A hash function that content can be verified with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256: 64 hexadecimal digits.
    Sha256,
    /// SHA-512: 128 hexadecimal digits.
    Sha512,
}

impl Algorithm {
    /// The name as it stands before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Length of the encoded part in characters.
    pub fn hex_len(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }

    fn from_name(name: &str) -> Option<Algorithm> {
        match name {
            "sha256" => Some(Algorithm::Sha256),
            "sha512" => Some(Algorithm::Sha512),
            _ => None,
        }
    }
}

/// The digest of some bytes as they are stored or sent, in canonical form.
///
/// Only algorithms that can be computed are accepted: a name that nobody can check protects
/// nothing.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

impl Digest {
    /// Computes the SHA-256 digest of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Digest {
        Digest::compute(Algorithm::Sha256, bytes)
    }

    /// Computes the digest of `bytes`.
    pub fn compute(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        let hex = match algorithm {
            Algorithm::Sha256 => to_hex(&sha2::Sha256::digest(bytes)),
            Algorithm::Sha512 => to_hex(&sha2::Sha512::digest(bytes)),
        };
        Digest { algorithm, hex: hex.into() }
    }

    /// Makes a digest from a finished hash.
    pub fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Digest {
        debug_assert_eq!(hash.len() * 2, algorithm.hex_len());
        Digest { algorithm, hex: to_hex(hash).into() }
    }

    /// The hash function.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The encoded part: lower-case hexadecimal digits of the right number, nothing else.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }

    /// Whether `bytes` have this digest.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        Digest::compute(self.algorithm, bytes) == *self
    }
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// No `algorithm:encoded` form at all, or characters outside the grammar.
    #[error("{0:?} is not a digest (expected sha256: and 64 hexadecimal digits)")]
    Malformed(String),
    /// Well formed, but nothing here can verify it.
    #[error("digest algorithm {0:?} is not supported (sha256 and sha512 are)")]
    UnknownAlgorithm(String),
    /// The right algorithm with the wrong number of digits, or upper-case ones.
    #[error("{0:?} does not have the {1} lower-case hexadecimal digits of its algorithm")]
    WrongEncoding(String, usize),
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Digest, ParseDigestError> {
        let malformed = || ParseDigestError::Malformed(text.chars().take(160).collect());
        let (name, hex) = text.split_once(':').ok_or_else(malformed)?;
        let name_ok = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+._-".contains(&b));
        let hex_ok = !hex.is_empty()
            && hex.bytes().all(|b| b.is_ascii_alphanumeric() || b"=_-".contains(&b));
        if !name_ok || !hex_ok {
            return Err(malformed());
        }
        let algorithm = Algorithm::from_name(name)
            .ok_or_else(|| ParseDigestError::UnknownAlgorithm(name.chars().take(40).collect()))?;
        let right = hex.len() == algorithm.hex_len()
            && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !right {
            return Err(ParseDigestError::WrongEncoding(
                text.chars().take(160).collect(),
                algorithm.hex_len(),
            ));
        }
        Ok(Digest { algorithm, hex: hex.into() })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Digest of one layer's uncompressed tar stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity of a stack of layers (image spec, config.md "Layer ChainID").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId(pub Digest);

impl ChainId {
    /// The chain of the lowest layer alone.
    pub fn base(diff_id: &DiffId) -> ChainId {
        ChainId(diff_id.0.clone())
    }

    /// The chain with one more layer on top.
    pub fn push(&self, diff_id: &DiffId) -> ChainId {
        ChainId(Digest::sha256(format!("{} {}", self.0, diff_id.0).as_bytes()))
    }

    /// The chain ID after each layer, lowest first.
    pub fn of_stack(diff_ids: &[DiffId]) -> Vec<ChainId> {
        let mut chain: Vec<ChainId> = Vec::with_capacity(diff_ids.len());
        for diff_id in diff_ids {
            let next = match chain.last() {
                Some(below) => below.push(diff_id),
                None => ChainId::base(diff_id),
            };
            chain.push(next);
        }
        chain
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A running hash that knows its algorithm and how many bytes it has seen.
#[derive(Clone)]
pub struct Hasher {
    state: HasherState,
    count: u64,
}

#[derive(Clone)]
enum HasherState {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// A hash of nothing yet.
    pub fn new(algorithm: Algorithm) -> Hasher {
        let state = match algorithm {
            Algorithm::Sha256 => HasherState::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => HasherState::Sha512(sha2::Sha512::new()),
        };
        Hasher { state, count: 0 }
    }

    /// The hash function.
    pub fn algorithm(&self) -> Algorithm {
        match self.state {
            HasherState::Sha256(_) => Algorithm::Sha256,
            HasherState::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.count += bytes.len() as u64;
        match &mut self.state {
            HasherState::Sha256(hash) => hash.update(bytes),
            HasherState::Sha512(hash) => hash.update(bytes),
        }
    }

    /// Bytes seen so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The digest of all that was seen.
    pub fn finish(self) -> Digest {
        match self.state {
            HasherState::Sha256(hash) => Digest::from_hash(Algorithm::Sha256, &hash.finalize()),
            HasherState::Sha512(hash) => Digest::from_hash(Algorithm::Sha512, &hash.finalize()),
        }
    }

    /// The inner state, so that another process can go on hashing where this one stopped.
    ///
    /// The bytes are private to one version of this program: whoever stores them must be ready to
    /// find that [`Hasher::restore`] refuses them, and then hash again from the start.
    pub fn save(&self) -> Vec<u8> {
        use sha2::digest::common::hazmat::SerializableState;
        let mut out = self.count.to_le_bytes().to_vec();
        match &self.state {
            HasherState::Sha256(hash) => {
                out.push(1);
                out.extend_from_slice(&hash.serialize());
            }
            HasherState::Sha512(hash) => {
                out.push(2);
                out.extend_from_slice(&hash.serialize());
            }
        }
        out
    }

    /// Takes up a state written by [`Hasher::save`]; `None` when it is not one.
    pub fn restore(bytes: &[u8]) -> Option<Hasher> {
        use sha2::digest::common::hazmat::SerializableState;
        let (count, rest) = bytes.split_first_chunk::<8>()?;
        let (kind, state) = rest.split_first()?;
        let state = match kind {
            1 => HasherState::Sha256(sha2::Sha256::deserialize(state.try_into().ok()?).ok()?),
            2 => HasherState::Sha512(sha2::Sha512::deserialize(state.try_into().ok()?).ok()?),
            _ => return None,
        };
        Some(Hasher { state, count: u64::from_le_bytes(*count) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors() {
        assert_eq!(
            Digest::sha256(b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            Digest::compute(Algorithm::Sha512, b"abc").hex(),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
    }

    #[test]
    fn grammar() {
        let good = format!("sha256:{}", "a".repeat(64));
        assert_eq!(good.parse::<Digest>().map(|d| d.to_string()), Ok(good));
        for bad in
            ["", "sha256", "sha256:", ":aa", "sha256:../../etc/passwd", "SHA256:aa", "sha256:aa/bb"]
        {
            assert!(
                matches!(
                    bad.parse::<Digest>(),
                    Err(ParseDigestError::Malformed(_)) | Err(ParseDigestError::WrongEncoding(..))
                ),
                "{bad}"
            );
        }
        for bad in [
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{}", "a".repeat(63)),
            format!("sha512:{}", "a".repeat(64)),
        ] {
            assert!(
                matches!(bad.parse::<Digest>(), Err(ParseDigestError::WrongEncoding(..))),
                "{bad}"
            );
        }
        assert_eq!(
            "md5:00".parse::<Digest>(),
            Err(ParseDigestError::UnknownAlgorithm("md5".into()))
        );
    }

    #[test]
    fn hashing_goes_on_from_a_saved_state() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut first = Hasher::new(algorithm);
            first.update(&[7; 1000]);
            let mut second = Hasher::restore(&first.save()).unwrap();
            assert_eq!(second.count(), 1000);
            second.update(&[9; 77]);
            let whole = [vec![7; 1000], vec![9; 77]].concat();
            assert_eq!(second.finish(), Digest::compute(algorithm, &whole));
        }
        assert!(Hasher::restore(b"short").is_none());
        assert!(Hasher::restore(&[0; 100]).is_none());
    }

    #[test]
    fn chain_of_two_layers() {
        let a = DiffId(Digest::sha256(b"a"));
        let b = DiffId(Digest::sha256(b"b"));
        let chain = ChainId::of_stack(&[a.clone(), b.clone()]);
        assert_eq!(chain[0].0, a.0);
        assert_eq!(chain[1].0, Digest::sha256(format!("{a} {b}").as_bytes()));
    }
}
