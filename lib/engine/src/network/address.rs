//! The addresses of a network's containers.
//!
//! Owns `<state>/network/<name>/<address>`: a file with the ID of the container that has the
//! address, locked by the process that looks after it. A file that can be locked is free, unless
//! the container still runs without its keeper.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::firewall::Subnet;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::{Lock, LockMode};

const NEXT: &str = "next";
/// Longest ID that is read.
const MAX_ID: u64 = 256;

/// An address that is one container's.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) address: Ipv4Addr,
    path: PathBuf,
    _lock: Lock,
}

impl Lease {
    /// Takes an address of `subnet`, whose first one is the host's. The caller holds the network's
    /// lock. `runs` tells whether a container still runs.
    pub(super) fn take(
        dir: &Path,
        subnet: Subnet,
        id: &str,
        runs: &dyn Fn(&str) -> bool,
    ) -> Result<Lease> {
        let count = u32::MAX.checked_shr(subnet.prefix.into()).unwrap_or(0);
        // Neither the network's own, nor the host's, nor the one for all.
        let places = count.saturating_sub(2);
        let next = dir.join(NEXT);
        // An address is taken again as late as possible: neighbours remember whose it was.
        let start = fs::read_to_string(&next).ok().and_then(|text| text.trim().parse().ok());
        let start: u32 = start.unwrap_or(0);
        for step in 0..places {
            let place = start.wrapping_add(step) % places;
            let address = Ipv4Addr::from_bits(subnet.first.to_bits() + 2 + place);
            let path = dir.join(address.to_string());
            let Some(lock) = Lock::try_acquire(&path, LockMode::Exclusive)? else { continue };
            let before = read(&lock, &path)?;
            if !before.is_empty() && runs(&before) {
                continue;
            }
            write(&lock, id).doing(|| format!("writing {}", path.display()))?;
            let after = (place + 1) % places;
            fs::write(&next, after.to_string()).doing(|| format!("writing {}", next.display()))?;
            return Ok(Lease { address, path, _lock: lock });
        }
        Err(Error::new(ErrorKind::Busy, format!("all {places} addresses of the network are taken")))
    }

    /// Gives it back.
    pub(super) fn release(self) -> Result<()> {
        fs::remove_file(&self.path).doing(|| format!("removing {}", self.path.display()))
    }
}

/// Gives back the address of a container that has lost its keeper.
pub fn release(state: &Path, id: &str, address: Ipv4Addr) -> Result<()> {
    let path = super::attachment::directory(state).join(address.to_string());
    if !path.exists() {
        return Ok(());
    }
    match Lock::try_acquire(&path, LockMode::Exclusive)? {
        Some(lock) if read(&lock, &path)? == id => {
            fs::remove_file(&path).doing(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn read(lock: &Lock, path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = lock.file().take(MAX_ID).read_to_string(&mut text);
    read.doing(|| format!("reading {}", path.display()))?;
    Ok(text)
}

fn write(lock: &Lock, id: &str) -> std::io::Result<()> {
    let mut file = lock.file();
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(id.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SUBNET: Subnet = Subnet { first: Ipv4Addr::new(10, 1, 0, 0), prefix: 29 };

    fn take(dir: &Path, id: &str) -> Result<Lease> {
        Lease::take(dir, SUBNET, id, &|id| id == "orphan")
    }

    #[test]
    fn addresses_are_used_in_turn() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path();
        let first = take(dir, "a").unwrap();
        assert_eq!(first.address.to_string(), "10.1.0.2");
        let others: Vec<Lease> = (0..4).map(|_| take(dir, "b").unwrap()).collect();
        assert_eq!(others[3].address.to_string(), "10.1.0.6");
        let error = take(dir, "c").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        first.release().unwrap();
        assert_eq!(take(dir, "c").unwrap().address.to_string(), "10.1.0.2");
    }

    #[test]
    fn what_the_dead_had_is_free_but_not_what_still_runs() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path();
        // Dropped without being given back, as by a killed process.
        drop(take(dir, "dead").unwrap());
        drop(take(dir, "orphan").unwrap());
        fs::write(dir.join(NEXT), "0").unwrap();
        let one = take(dir, "x").unwrap();
        let two = take(dir, "y").unwrap();
        assert_eq!(one.address.to_string(), "10.1.0.2");
        assert_eq!(two.address.to_string(), "10.1.0.4");
    }
}
