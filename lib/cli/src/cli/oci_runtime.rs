//! The OCI runtime, as a program finds it around.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::sys;

/// Programs with runc's command line, best known first.
const RUNTIMES: [&str; 3] = ["runc", "crun", "youki"];
/// Where they are, also for people whose search path lacks it.
const SYSTEM: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What leads the runtime of an ordinary user to a systemd of their own.
const SYSTEMD: [&str; 2] = ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/// The runtime that was named, or the first one that is there. One that is nowhere is left to fail
/// when it is started.
pub fn runtime_program(named: Option<&Path>) -> PathBuf {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&own).chain(std::env::split_paths(SYSTEM)).collect();
    let find =
        |name: &Path| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    match named {
        Some(path) if path.components().count() > 1 => path.to_owned(),
        Some(name) => find(name).unwrap_or_else(|| name.to_owned()),
        None => RUNTIMES
            .iter()
            .find_map(|name| find(Path::new(name)))
            .unwrap_or_else(|| PathBuf::from("runc")),
    }
}

/// The runtime's environment: nothing of a person's own but what it cannot do without.
pub fn runtime_environment() -> Vec<(OsString, OsString)> {
    let mut environment = vec![("PATH".into(), SYSTEM.into())];
    if sys::effective_uid() != 0 {
        let own = SYSTEMD.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        environment.extend(own);
    }
    environment
}
