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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn kept(source: &Path, options: &[&str], locked: bool) -> Result<String> {
        let mut mount = Mount::default();
        mount.set_destination(PathBuf::from("/m"));
        mount.set_typ(Some("bind".to_owned()));
        mount.set_source(Some(source.to_owned()));
        mount.set_options(Some(options.iter().map(|word| (*word).to_owned()).collect()));
        let mut spec = Spec::default();
        spec.set_mounts(Some(vec![mount]));
        keep_restrictions(&mut spec, locked)?;
        Ok(spec.mounts().as_ref().unwrap()[0].options().as_ref().unwrap().join(","))
    }

    /// Does something with a directory that is mounted `nosuid,nodev,noexec`, if this process may
    /// mount one.
    fn with_restricted_mount(test: impl FnOnce(&Path) + Send + 'static) {
        let thread = std::thread::spawn(move || {
            if crate::sys::own_mounts().is_err() {
                return;
            }
            let place = tempfile::tempdir().unwrap();
            let mut mount = std::process::Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", "nosuid,nodev,noexec", "none"]).arg(place.path());
            assert!(mount.status().unwrap().success());
            test(place.path());
            crate::sys::detach(place.path()).unwrap();
        });
        thread.join().unwrap();
    }

    #[test]
    fn a_mount_that_is_made_again_keeps_restrictions() {
        with_restricted_mount(keeps_restrictions);
    }

    fn keeps_restrictions(source: &Path) {
        let kept = |options: &[&str], locked| kept(source, options, locked);
        for (options, expected) in [
            // Nothing makes the runtime mount it again: the kernel keeps all.
            (&["rbind", "rprivate"][..], "rbind,rprivate"),
            (&["rbind", "rprivate", "ro"], "rbind,rprivate,ro,nosuid,nodev,noexec"),
            (&["bind", "ro", "nodev"], "bind,ro,nodev,nosuid,noexec"),
            (&["bind", "noatime"], "bind,noatime,nosuid,nodev,noexec"),
        ] {
            assert_eq!(kept(options, false).unwrap(), expected);
            assert_eq!(kept(options, true).unwrap(), expected);
        }
        // A person may lift one, but not out of a user namespace.
        assert_eq!(kept(&["bind", "ro", "exec"], false).unwrap(), "bind,ro,exec,nosuid,nodev");
        let refused = kept(&["bind", "exec"], true).unwrap_err().chain();
        assert!(refused.starts_with("exec at /m: the source's mount is noexec"), "{refused}");
    }
}
