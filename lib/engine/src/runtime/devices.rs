//! Devices of the host, for containers that ask for them.
//!
//! Owns the finding of device nodes. Reads directories and metadata, opens nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::options::{DeviceRequest, Resources};
use crate::error::{Error, IoContext, Result};

/// Most devices that one container gets.
const MAX_DEVICES: usize = 16 << 10;

/// A device node of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDevice {
    /// Its path.
    pub path: PathBuf,
    /// `c` or `b`.
    pub kind: char,
    /// Driver.
    pub major: u32,
    /// Unit.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A device of the host for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundDevice {
    /// Where it is inside.
    pub target: String,
    /// What it is.
    pub device: HostDevice,
    /// Some of `r`, `w`, `m`.
    pub access: String,
}

/// Finds all devices of `--device`: nodes, and those in directories.
pub fn find_devices(requests: &[DeviceRequest]) -> Result<Vec<FoundDevice>> {
    let mut found = Vec::new();
    for request in requests {
        let of_request = |(target, device)| {
            let access = request.access.clone();
            FoundDevice { target, device, access }
        };
        found.extend(find(&request.host, &request.target)?.into_iter().map(of_request));
    }
    Ok(found)
}

/// The numbers of the devices whose speed is limited.
pub fn find_rated(resources: &Resources) -> Result<BTreeMap<PathBuf, (u32, u32)>> {
    let Resources { read_bps, write_bps, read_iops, write_iops, .. } = resources;
    let mut numbers = BTreeMap::new();
    for rate in [read_bps, write_bps, read_iops, write_iops].into_iter().flatten() {
        for (_, device) in find(&rate.path, "")?.into_iter().filter(|(_, d)| d.kind == 'b') {
            numbers.insert(rate.path.clone(), (device.major, device.minor));
        }
    }
    Ok(numbers)
}

/// The node at a path, or all nodes below a directory, each with its
/// path in the container.
pub(super) fn find(host: &Path, target: &str) -> Result<Vec<(String, HostDevice)>> {
    let looking =
        || format!("error gathering device information while adding device {}", host.display());
    let real = fs::canonicalize(host).doing(looking)?;
    let meta = fs::metadata(&real).doing(looking)?;
    if !meta.is_dir() {
        return match HostDevice::of(&meta, real) {
            Some(device) => Ok(vec![(target.to_owned(), device)]),
            None => Err(Error::invalid("not a device node").while_doing(looking())),
        };
    }
    let inside = |device: HostDevice| {
        let below = device.path.strip_prefix(&real).ok()?.to_str()?;
        Some((format!("{target}/{below}"), device))
    };
    Ok(host_devices(&real, &real)?.into_iter().filter_map(inside).collect())
}

/// The nodes below a directory, under the name `shown`, without what every container's `/dev` has
/// of its own.
pub(super) fn host_devices(directory: &Path, shown: &Path) -> Result<Vec<HostDevice>> {
    const OWN: [&str; 8] =
        ["pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"];
    let mut devices = Vec::new();
    let mut ahead = vec![(directory.to_owned(), shown.to_owned())];
    while let Some((directory, shown)) = ahead.pop() {
        let listing = || format!("listing {}", directory.display());
        for entry in fs::read_dir(&directory).doing(listing)? {
            let entry = entry.doing(listing)?;
            if OWN.iter().any(|name| entry.file_name() == *name) || devices.len() == MAX_DEVICES {
                continue;
            }
            let path = shown.join(entry.file_name());
            // A device may be pulled out while we look.
            let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
            if meta.is_dir() {
                ahead.push((entry.path(), path));
            } else if let Some(device) = HostDevice::of(&meta, path) {
                devices.push(device);
            }
        }
    }
    devices.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(devices)
}

impl HostDevice {
    /// The device that a path stands for; `None` when it is none.
    fn of(meta: &fs::Metadata, path: PathBuf) -> Option<HostDevice> {
        let kind = match meta.file_type() {
            kind if kind.is_char_device() => 'c',
            kind if kind.is_block_device() => 'b',
            _ => return None,
        };
        Some(HostDevice {
            path,
            kind,
            major: rustix::fs::major(meta.rdev()),
            minor: rustix::fs::minor(meta.rdev()),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runtime::options::DeviceRate;

    #[test]
    fn devices_of_this_host() {
        let devices = host_devices(Path::new("/dev"), Path::new("/dev")).unwrap();
        let null = devices.iter().find(|d| d.path == Path::new("/dev/null")).unwrap();
        assert_eq!((null.kind, null.major, null.minor), ('c', 1, 3));
        assert!(devices.iter().all(|d| !d.path.starts_with("/dev/pts")));
        let find = |path: &str| {
            let (target, access) = ("/dev/nothing".to_owned(), "r".to_owned());
            find_devices(&[DeviceRequest { host: path.into(), target, access }])
        };
        let one = find("/dev/zero").unwrap();
        assert_eq!((one[0].target.as_str(), one[0].device.minor), ("/dev/nothing", 5));
        let all = find("/dev").unwrap();
        assert!(all.iter().any(|found| found.target == "/dev/nothing/null"));
        assert_eq!(find("/etc/ssl").map(|found| found.len()).unwrap_or(0), 0);
        let file = find("/proc/self/status").unwrap_err().chain();
        assert!(file.ends_with("not a device node"), "{file}");
        let rate = DeviceRate { path: "/dev/null".into(), rate: 1 };
        let resources = Resources { read_bps: vec![rate], ..Resources::default() };
        // No block device: the limit finds no number.
        assert!(find_rated(&resources).unwrap().is_empty());
    }
}
