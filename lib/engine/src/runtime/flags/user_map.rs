//! Ranges of IDs.

use super::invalid;
use crate::error::Result;
use crate::runtime::options::IdRange;

/// `INSIDE:OUTSIDE[:COUNT]`; one ID when there is no count.
pub fn parse_id_range(text: &str) -> Result<IdRange> {
    let bad = || invalid("ID mapping", text);
    let mut numbers = Vec::new();
    for part in text.split(':') {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits || numbers.len() == 3 {
            return Err(bad());
        }
        numbers.push(part.parse::<u32>().map_err(|_| bad())?);
    }
    let (inside, outside, count) = match numbers.as_slice() {
        [inside, outside] => (*inside, *outside, 1),
        [inside, outside, count] => (*inside, *outside, *count),
        _ => return Err(bad()),
    };
    // The last number is no ID to the kernel.
    let fits = |first: u32| first.checked_add(count).is_some();
    if count == 0 || !fits(inside) || !fits(outside) {
        return Err(bad());
    }
    Ok(IdRange { inside, outside, count })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range = parse_id_range("0:100000:65536").unwrap();
        assert_eq!((range.inside, range.outside, range.count), (0, 100_000, 65536));
        assert_eq!(parse_id_range("5:6").unwrap().count, 1);
        for bad in
            ["", "1", "1:2:0", "1:2:3:4", "a:1:1", "-1:0:1", "1:4294967295:2", "+0:1:2", "@1:2:3"]
        {
            assert!(parse_id_range(bad).is_err(), "{bad}");
        }
    }
}
