//! Owners inside an image and owners on the disk.

use crate::error::{Error, Result};

/// A run of ids that are mapped one to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First id as the image knows it.
    pub inside: u32,
    /// First id on the disk.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Ids of an image and of the disk, as in `/proc/PID/uid_map` and `gid_map`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    /// User ids.
    pub users: Vec<IdRange>,
    /// Group ids.
    pub groups: Vec<IdRange>,
}

/// Whom files on the disk belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// The ids of the image are those of the disk. Unpacking needs root.
    #[default]
    Keep,
    /// Everything belongs to whoever unpacks; packed, it belongs to root.
    Current,
    /// Translated. An id outside the map is an error.
    Map(IdMap),
}

impl Ownership {
    /// The owner on the disk of what belongs to `uid` and `gid` in the image; `None` leaves it as
    /// it was made.
    pub(super) fn on_disk(&self, uid: u32, gid: u32) -> Result<Option<(u32, u32)>> {
        match self {
            Ownership::Keep => Ok(Some((uid, gid))),
            Ownership::Current => Ok(None),
            Ownership::Map(map) => {
                let user = translate(&map.users, uid, |r| r.inside, |r| r.outside);
                let group = translate(&map.groups, gid, |r| r.inside, |r| r.outside);
                pair(user, group, uid, gid).map(Some)
            }
        }
    }

    /// The owner in the image of what belongs to `uid` and `gid` on the disk.
    pub(super) fn in_image(&self, uid: u32, gid: u32) -> Result<(u32, u32)> {
        match self {
            Ownership::Keep => Ok((uid, gid)),
            Ownership::Current => Ok((0, 0)),
            Ownership::Map(map) => {
                let user = translate(&map.users, uid, |r| r.outside, |r| r.inside);
                let group = translate(&map.groups, gid, |r| r.outside, |r| r.inside);
                pair(user, group, uid, gid)
            }
        }
    }
}

fn translate(
    ranges: &[IdRange],
    id: u32,
    from: fn(&IdRange) -> u32,
    to: fn(&IdRange) -> u32,
) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let distance = id.checked_sub(from(range)).filter(|distance| *distance < range.count)?;
        to(range).checked_add(distance).filter(|id| *id != u32::MAX)
    })
}

fn pair(user: Option<u32>, group: Option<u32>, uid: u32, gid: u32) -> Result<(u32, u32)> {
    user.zip(group)
        .ok_or_else(|| Error::unsupported(format!("owner {uid}:{gid} is outside the id map")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn maps_go_both_ways_and_end() {
        let ranges = vec![
            IdRange { inside: 0, outside: 1000, count: 1 },
            IdRange { inside: 1, outside: 100_000, count: 65_535 },
        ];
        let ownership = Ownership::Map(IdMap { users: ranges.clone(), groups: ranges });
        assert_eq!(ownership.on_disk(0, 33).unwrap(), Some((1000, 100_032)));
        assert_eq!(ownership.in_image(1000, 100_032).unwrap(), (0, 33));
        assert_eq!(ownership.on_disk(65_535, 0).unwrap(), Some((165_534, 1000)));
        let error = ownership.on_disk(65_536, 0).unwrap_err();
        assert_eq!(error.chain(), "owner 65536:0 is outside the id map");
        assert!(ownership.in_image(0, 0).is_err());
    }
}
