//! User namespaces asked for by a word, as ranges of IDs.
//!
//! Pure: the IDs that we have are an argument. Which of them other containers use is not known
//! here.

use super::options::{IdMap, IdRange, UserMode};
use crate::error::{Error, ErrorKind, Result};

/// The IDs of our own namespace that containers may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Available {
    /// The person's user and group ID on the host.
    pub own: (u32, u32),
    /// How many IDs our namespace has, from 0 (the person's own) on.
    pub count: u32,
    /// The first ID for `auto`.
    pub auto_first: u32,
}

/// IDs in an `auto` namespace when nothing is said.
const AUTO_SIZE: u32 = 65536;

/// Turns a mode into ranges; modes without IDs stay as they are.
///
/// Fails when there are not enough IDs.
pub fn resolve(mode: &UserMode, available: Available) -> Result<UserMode> {
    let count = available.count;
    let ranges = match mode {
        UserMode::KeepId { uid, gid } => {
            let (own_uid, own_gid) = available.own;
            let users = keep(uid.unwrap_or(own_uid), count)?;
            IdMap { users, groups: keep(gid.unwrap_or(own_gid), count)? }
        }
        UserMode::NoMap => {
            let rest =
                count.checked_sub(1).filter(|rest| *rest > 0).ok_or_else(|| lacks(2, count))?;
            IdMap { users: vec![range(0, 1, rest)], groups: Vec::new() }
        }
        UserMode::Auto { size } => {
            let size = size.unwrap_or(AUTO_SIZE);
            let end = available.auto_first.checked_add(size);
            if size == 0 || end.is_none_or(|end| end > count) {
                return Err(lacks(size, count.saturating_sub(available.auto_first)));
            }
            IdMap { users: vec![range(0, available.auto_first, size)], groups: Vec::new() }
        }
        other => return Ok(other.clone()),
    };
    Ok(UserMode::Mapped(ranges))
}

/// ID 0 of our namespace becomes `inside`; the others keep their order around it.
fn keep(inside: u32, count: u32) -> Result<Vec<IdRange>> {
    let needed = inside.checked_add(1).ok_or_else(|| lacks(inside, count))?;
    if count < needed {
        return Err(lacks(needed, count));
    }
    let below = range(0, 1, inside);
    let above = range(needed, needed, count - needed);
    let all = [below, range(inside, 0, 1), above];
    Ok(all.into_iter().filter(|range| range.count > 0).collect())
}

fn range(inside: u32, outside: u32, count: u32) -> IdRange {
    IdRange { inside, outside, count }
}

fn lacks(needed: u32, have: u32) -> Error {
    Error::new(
        ErrorKind::Denied,
        format!(
            "the user namespace needs {needed} IDs, but {have} are available: add ranges to \
             /etc/subuid and /etc/subgid"
        ),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const AVAILABLE: Available = Available { own: (1000, 100), count: 65537, auto_first: 1 };

    fn show(mode: UserMode, available: Available) -> String {
        let text = |ranges: &[IdRange]| {
            let one = |r: &IdRange| format!("{}:{}:{}", r.inside, r.outside, r.count);
            ranges.iter().map(one).collect::<Vec<_>>().join(",")
        };
        match resolve(&mode, available) {
            Ok(UserMode::Mapped(map)) => format!("{} {}", text(&map.users), text(&map.groups)),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.chain(),
        }
    }

    #[test]
    fn modes_become_ranges() {
        let keep = |uid, gid| UserMode::KeepId { uid, gid };
        for (mode, text) in [
            (keep(None, None), "0:1:1000,1000:0:1,1001:1001:64536 0:1:100,100:0:1,101:101:65436"),
            (keep(Some(0), Some(65536)), "0:0:1,1:1:65536 0:1:65536,65536:0:1"),
            (UserMode::NoMap, "0:1:65536 "),
            (UserMode::Auto { size: Some(10) }, "0:1:10 "),
            (UserMode::Auto { size: None }, "0:1:65536 "),
            (UserMode::Host, "Host"),
        ] {
            assert_eq!(show(mode, AVAILABLE), text);
        }
    }

    #[test]
    fn too_few_ids() {
        let one = Available { count: 1, ..AVAILABLE };
        for mode in [
            UserMode::NoMap,
            UserMode::Auto { size: None },
            UserMode::KeepId { uid: None, gid: None },
            UserMode::KeepId { uid: Some(u32::MAX), gid: None },
        ] {
            let text = show(mode, one);
            assert!(text.starts_with("the user namespace needs "), "{text}");
        }
    }
}
