//! The store's small JSON files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, IoContext, Result};

/// What is in the file, `None` if there is none. No more than `most` bytes are read, so that a
/// longer one is not understood.
///
/// # Errors
/// `otherwise` if it is something else.
pub(super) fn read<T: DeserializeOwned>(
    path: &Path,
    most: u64,
    otherwise: ErrorKind,
) -> Result<Option<T>> {
    let reading = || format!("reading {}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(reading(), error)),
    };
    let mut text = Vec::new();
    file.take(most).read_to_end(&mut text).doing(reading)?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Error::caused(otherwise, reading(), error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn absent_wrong_and_long_files_are_told_apart() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("record");
        let read = |most| read::<Vec<u32>>(&path, most, ErrorKind::Corrupt);
        assert_eq!(read(100).unwrap(), None);
        std::fs::write(&path, "[1, 2, 3]").unwrap();
        assert_eq!(read(9).unwrap(), Some(vec![1, 2, 3]));
        let error = read(8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.chain().contains("/record"), "{}", error.chain());
    }
}
