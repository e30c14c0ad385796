//! From the text of flags to data, with Docker's rules.
//!
//! Owns the grammars that several programs share: each function takes one flag's value and gives a
//! value of [`options`](super::options) or an error that quotes it. Pure but for
//! [`parse_env_file`]'s and [`parse_env`]'s callers, which bring file contents and the environment
//! with them. Does not know whether a combination makes sense; `config` judges that.

mod device;
mod env;
mod mount;
mod names;
mod namespace;
mod number;
mod security;
mod user_map;

pub use device::{parse_device, parse_device_rate, parse_device_rule, parse_gpus};
pub use env::{merge_env, parse_env, parse_env_file};
pub(super) use mount::SWITCHES;
pub use mount::{parse_mount, parse_tmpfs, parse_volume};
pub use names::{
    HostAddress, HostEntry, check_hostname, parse_detach_keys, parse_expose, parse_host_entry,
    parse_label, parse_sysctl,
};
pub use namespace::{parse_cgroup_mode, parse_ipc_mode, parse_mode, parse_network, parse_userns};
pub use number::{
    parse_cpus, parse_memory_swap, parse_ranges, parse_signal, parse_size, parse_ulimit,
};
pub use security::{apply_security_opt, parse_capabilities};
pub use user_map::parse_id_range;

use crate::error::Error;

/// A mistake in a flag's value.
fn invalid(what: &str, text: &str) -> Error {
    Error::usage(format!("invalid {what} {text:?}"))
}

/// The absolute path `text` without `.`, `..` and doubled slashes, worked out on paper.
pub(super) fn clean(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
