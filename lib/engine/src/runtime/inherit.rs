//! What a bind keeps of the mount that its source is on.
//!
//! A bind that is mounted again with switches of its own would lose those of the host's mount: with
//! `ro`, programs of a `nosuid` disk would gain rights. In a user namespace the kernel refuses it.

use oci_spec::runtime::{Mount, Spec};

use super::flags::SWITCHES;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::restrictions;

/// Gives the binds of `spec` the restrictions of their sources' mounts, but those that a person
/// lifts. `locked`: nobody can lift them.
pub fn keep_restrictions(spec: &mut Spec, locked: bool) -> Result<()> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for mount in &mut mounts {
        keep(mount, locked)?;
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

fn keep(mount: &mut Mount, locked: bool) -> Result<()> {
    let mut options = mount.options().clone().unwrap_or_default();
    let is_bind = mount.typ().as_deref() == Some("bind");
    let (true, Some(source)) = (is_bind && options.iter().any(is_switch), mount.source()) else {
        return Ok(());
    };
    let target = mount.destination().display();
    let kept = restrictions(source).doing(|| format!("examining the source of {target}"))?;
    for word in kept {
        match opposite(word).filter(|other| options.iter().any(|option| option == other)) {
            Some(lifted) if locked => {
                return Err(Error::new(
                    ErrorKind::Denied,
                    format!(
                        "{lifted} at {target}: the source's mount is {word}, which holds in a user \
                         namespace too"
                    ),
                ));
            }
            Some(_) => {}
            None if options.iter().any(|option| option == word) => {}
            None => options.push(word.to_owned()),
        }
    }
    mount.set_options(Some(options));
    Ok(())
}

/// Whether an option makes the runtime mount a bind again.
fn is_switch(option: &String) -> bool {
    opposite(option).is_some() || SWITCHES.iter().any(|(on, off)| on == option || off == option)
}

fn opposite(word: &str) -> Option<&'static str> {
    match word {
        "ro" => Some("rw"),
        "nosuid" => Some("suid"),
        "nodev" => Some("dev"),
        "noexec" => Some("exec"),
        _ => None,
    }
}
