//! Files with holes: the old GNU header and the three PAX forms.

use super::pax::decimal;
use crate::error::{Error, Result};

/// A run of content within a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The `GNU.sparse.*` records of one entry, not yet judged.
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    version: (Option<Vec<u8>>, Option<Vec<u8>>),
    pub(super) name: Option<Vec<u8>>,
    sizes: Vec<u64>,
    blocks: Option<u64>,
    map: Option<Vec<u8>>,
    /// The 0.0 form repeats two keys in turn.
    pairs: Vec<u64>,
    seen: bool,
}

/// Where the map of a sparse entry is found.
#[derive(Debug)]
pub(super) enum SparseMap {
    /// It stood in the records.
    Known(Vec<Segment>),
    /// It is the first part of the body (version 1.0).
    InBody,
}

impl SparseRecords {
    pub(super) fn is_empty(&self) -> bool {
        !self.seen
    }

    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.seen = true;
        match &key[b"GNU.sparse.".len()..] {
            b"major" => self.version.0 = Some(value.to_vec()),
            b"minor" => self.version.1 = Some(value.to_vec()),
            b"name" if value.is_empty() || value.contains(&0) => {
                return Err(Error::invalid("not a file name"));
            }
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.sizes.push(decimal(value)?),
            b"numblocks" => self.blocks = Some(decimal(value)?),
            b"map" => self.map = Some(value.to_vec()),
            b"offset" if self.pairs.len().is_multiple_of(2) => self.pairs.push(decimal(value)?),
            b"numbytes" if !self.pairs.len().is_multiple_of(2) => self.pairs.push(decimal(value)?),
            _ => return Err(Error::invalid("unknown or out of order")),
        }
        Ok(())
    }

    /// The size of the whole file and where its map is.
    pub(super) fn judge(&self) -> Result<(u64, SparseMap)> {
        let unclear = || Error::invalid("incomplete or contradictory sparse file records");
        let size = *self.sizes.first().ok_or_else(unclear)?;
        if self.sizes.iter().any(|other| *other != size) {
            return Err(unclear());
        }
        let version = (self.version.0.as_deref(), self.version.1.as_deref());
        let in_records = self.map.is_some() || !self.pairs.is_empty() || self.blocks.is_some();
        let map = match version {
            (Some(b"1"), Some(b"0")) if !in_records => SparseMap::InBody,
            (Some(b"0"), Some(b"0" | b"1")) | (None, None) if in_records => {
                SparseMap::Known(segments(&self.numbers()?)?)
            }
            _ => return Err(unclear()),
        };
        Ok((size, map))
    }

    fn numbers(&self) -> Result<Vec<u64>> {
        let numbers = match &self.map {
            Some(_) if !self.pairs.is_empty() => {
                return Err(Error::invalid("two maps for one sparse file"));
            }
            Some(map) if map.is_empty() => Vec::new(),
            Some(map) => map.split(|&b| b == b',').map(decimal).collect::<Result<_>>()?,
            None => self.pairs.clone(),
        };
        let expected = self.blocks.and_then(|blocks| blocks.checked_mul(2));
        if expected != Some(numbers.len() as u64) {
            return Err(Error::invalid("sparse map and its number of blocks differ"));
        }
        Ok(numbers)
    }
}

/// Pairs of offset and length.
pub(super) fn segments(numbers: &[u64]) -> Result<Vec<Segment>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Error::invalid("sparse map with half a pair"));
    }
    Ok(pairs.iter().map(|&[offset, length]| Segment { offset, length }).collect())
}

/// Checks that segments ascend without overlap, end within `size` and hold `stored` bytes.
pub(super) fn check(map: &[Segment], size: u64, stored: u64) -> Result<()> {
    let (mut end, mut total) = (0_u64, 0_u64);
    for segment in map {
        let next = segment.offset.checked_add(segment.length);
        match next {
            Some(next) if segment.offset >= end && next <= size => end = next,
            _ => {
                return Err(Error::invalid("sparse map overlaps itself or passes the end of file"));
            }
        }
        total += segment.length;
    }
    if total != stored {
        return Err(Error::invalid(format!("sparse map of {total} bytes for a body of {stored}")));
    }
    Ok(())
}
