//! User namespaces asked for by a word, as ranges of IDs.
//!
//! Pure: the IDs that we have, and those that other containers use, are arguments.

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

/// A run of IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl Span {
    fn end(self) -> u32 {
        self.first.saturating_add(self.count)
    }
}

/// All IDs of our own namespace under the same numbers, from the texts of `/proc/self/uid_map` and
/// `gid_map`: what `keep-id` means for root.
pub fn identity(users: &str, groups: &str) -> Result<UserMode> {
    let ranges = |text: &str| -> Result<Vec<IdRange>> {
        let one = |line: &str| {
            let mut words = line.split_whitespace();
            let inside = words.next()?.parse().ok()?;
            Some(range(inside, inside, words.nth(1)?.parse().ok()?))
        };
        let bad = || Error::invalid(format!("an ID mapping of the kernel: {text:?}"));
        text.lines().map(|line| one(line).ok_or_else(bad)).collect()
    };
    Ok(UserMode::Mapped(IdMap { users: ranges(users)?, groups: ranges(groups)? }))
}

/// `count` IDs from 0 on inside, from `first` on outside.
pub fn one_range(first: u32, count: u32) -> IdMap {
    IdMap { users: vec![range(0, first, count)], groups: Vec::new() }
}

/// The ranges of `owner` in a text like `/etc/subuid`; lines that are none do not count.
pub fn subordinate(text: &str, owner: &str) -> Vec<Span> {
    let one = |line: &str| {
        let mut words = line.trim().split(':');
        let name = words.next()?;
        let (first, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (name == owner && words.next().is_none()).then_some(Span { first, count })
    };
    text.lines().filter_map(one).collect()
}

/// What two lists of ranges have in common.
pub fn common(one: &[Span], other: &[Span]) -> Vec<Span> {
    let both = |a: Span, b: Span| {
        let (first, end) = (a.first.max(b.first), a.end().min(b.end()));
        (first < end).then(|| Span { first, count: end - first })
    };
    one.iter().flat_map(|a| other.iter().filter_map(move |b| both(*a, *b))).collect()
}

/// The first of `size` IDs in a row within one of `pools` that are not in `taken`, the lowest
/// there is.
pub fn free(pools: &[Span], taken: &[Span], size: u32) -> Option<u32> {
    let mut taken = taken.to_vec();
    taken.sort_by_key(|span| span.first);
    let in_pool = |pool: &Span| {
        let mut first = pool.first;
        for span in &taken {
            if first.checked_add(size)? <= span.first {
                break;
            }
            first = first.max(span.end());
        }
        (first.checked_add(size)? <= pool.end()).then_some(first)
    };
    if size == 0 { None } else { pools.iter().find_map(in_pool) }
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

    #[test]
    fn ranges_are_given_away_once() {
        let span = |first, count| Span { first, count };
        let text = "you:100000:65536\ncontainers:1000:100\ncontainers:5000:50\ncontainers:x:1\n";
        let pools = subordinate(text, "containers");
        assert_eq!(pools, [span(1000, 100), span(5000, 50)]);
        assert_eq!(common(&pools, &[span(1050, 4000)]), [span(1050, 50), span(5000, 50)]);
        assert_eq!(free(&pools, &[], 100), Some(1000));
        assert_eq!(free(&pools, &[span(1000, 60)], 40), Some(1060));
        assert_eq!(free(&pools, &[span(1000, 60)], 41), Some(5000));
        assert_eq!(free(&pools, &[span(1050, 10), span(1000, 40)], 10), Some(1040));
        assert_eq!(free(&pools, &[span(900, 5000)], 10), None);
        assert_eq!(free(&pools, &[], 101), None);
        assert_eq!(free(&pools, &[], 0), None);
        assert_eq!(free(&[span(u32::MAX - 5, 5)], &[], 10), None);
    }

    #[test]
    fn root_keeps_all_ids() {
        let whole = "         0          0 4294967295\n";
        let Ok(UserMode::Mapped(map)) = identity(whole, "0 1000 1\n1 100000 65536\n") else {
            unreachable!("a mapping")
        };
        assert_eq!(map.users, [range(0, 0, u32::MAX)]);
        assert_eq!(map.groups, [range(0, 0, 1), range(1, 1, 65536)]);
        assert!(identity("x", whole).is_err());
    }
}
