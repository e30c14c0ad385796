//! The vocabulary: what images are made of, as plain data.
//!
//! Parsing and printing of all of it lives here; nothing here does I/O. Bytes are the truth:
//! whatever is parsed keeps its raw form beside it, and is only written anew by an edit.

mod digest;

pub use digest::{Algorithm, ChainId, DiffId, Digest, Hasher, ParseDigestError};
