//! Capabilities and `--security-opt`.

use std::str::FromStr;

use oci_spec::runtime::Capability;

use super::invalid;
use crate::error::{Error, Result};
use crate::runtime::options::{CapabilityList, SeccompChoice, SecurityOptions};

/// Names of `--cap-add` or `--cap-drop`: any case, with or without `CAP_`, or `ALL`.
pub fn parse_capabilities<S: AsRef<str>>(names: &[S]) -> Result<CapabilityList> {
    let mut list = CapabilityList::default();
    for name in names.iter().flat_map(|text| text.as_ref().split(',')) {
        let upper = name.trim().to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" {
            list.all = true;
            continue;
        }
        let capability = Capability::from_str(bare)
            .map_err(|_| Error::usage(format!("unknown capability: {name:?}")))?;
        if !list.named.contains(&capability) {
            list.named.push(capability);
        }
    }
    Ok(list)
}

/// Takes one `--security-opt`; `read_profile` brings the content of a seccomp profile's file.
pub fn apply_security_opt(
    options: &mut SecurityOptions,
    text: &str,
    read_profile: impl FnOnce(&str) -> Result<Vec<u8>>,
) -> Result<()> {
    let bad = || invalid("--security-opt", text);
    // Docker also took a colon here, long ago; scripts still have it.
    let (name, value) = match text.split_once('=').or_else(|| text.split_once(':')) {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let paths = |value: &str| value.split(':').map(str::to_owned).collect::<Vec<_>>();
    match (name, value) {
        ("no-new-privileges", None | Some("true")) => options.no_new_privileges = true,
        ("no-new-privileges", Some("false")) => options.no_new_privileges = false,
        ("seccomp", Some("unconfined")) => options.seccomp = SeccompChoice::Unconfined,
        ("seccomp", Some("builtin" | "")) => options.seccomp = SeccompChoice::Default,
        ("seccomp", Some(file)) => {
            let json = read_profile(file)?;
            options.seccomp = SeccompChoice::Profile { name: file.to_owned(), json };
        }
        ("apparmor", Some(profile)) if !profile.is_empty() => {
            options.apparmor = Some(profile.to_owned());
        }
        ("label" | "selinux", Some("disable")) => options.label_disable = true,
        ("label" | "selinux", Some(label)) if is_label(label) => {
            options.labels.push(label.to_owned());
        }
        ("systempaths", Some("unconfined")) => options.unmask.push("ALL".to_owned()),
        ("mask", Some(value)) if all_absolute(value) => options.mask.extend(paths(value)),
        ("unmask", Some(value)) if value.eq_ignore_ascii_case("all") => {
            options.unmask.push("ALL".to_owned());
        }
        ("unmask", Some(value)) if all_absolute(value) => options.unmask.extend(paths(value)),
        ("proc-opts", Some(value)) => {
            options.proc_options.extend(value.split(',').map(str::to_owned));
        }
        ("writable-cgroups", None | Some("true")) => options.writable_cgroups = true,
        ("writable-cgroups", Some("false")) => options.writable_cgroups = false,
        _ => return Err(bad()),
    }
    Ok(())
}

fn all_absolute(value: &str) -> bool {
    value.split(':').all(|path| path.starts_with('/'))
}

fn is_label(label: &str) -> bool {
    let known = ["user", "role", "type", "level", "filetype"];
    label.split_once(':').is_some_and(|(key, value)| known.contains(&key) && !value.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn capabilities() {
        let list = parse_capabilities(&["net_admin", "CAP_SYS_TIME,sys_time", "all"]).unwrap();
        assert!(list.all);
        assert_eq!(list.named, [Capability::NetAdmin, Capability::SysTime]);
        let error = parse_capabilities(&["net_admin", "foo"]).unwrap_err();
        assert_eq!(error.chain(), "unknown capability: \"foo\"");
        assert!(parse_capabilities(&[""]).is_err());
        assert!(parse_capabilities(&["CAP_CAP_CHOWN"]).is_err());
    }

    fn apply(texts: &[&str]) -> Result<SecurityOptions> {
        let mut options = SecurityOptions::default();
        for text in texts {
            apply_security_opt(&mut options, text, |file| Ok(format!("of {file}").into_bytes()))?;
        }
        Ok(options)
    }

    #[test]
    fn security_options() {
        assert!(apply(&["no-new-privileges"]).unwrap().no_new_privileges);
        assert!(
            !apply(&["no-new-privileges:true", "no-new-privileges=false"])
                .unwrap()
                .no_new_privileges
        );
        assert_eq!(apply(&["seccomp=unconfined"]).unwrap().seccomp, SeccompChoice::Unconfined);
        let profile =
            SeccompChoice::Profile { name: "a=b.json".into(), json: b"of a=b.json".into() };
        assert_eq!(apply(&["seccomp=a=b.json"]).unwrap().seccomp, profile);
        assert_eq!(apply(&["unmask=/proc/a:/sys/*"]).unwrap().unmask, ["/proc/a", "/sys/*"]);
        assert_eq!(apply(&["systempaths=unconfined"]).unwrap().unmask, ["ALL"]);
        assert_eq!(apply(&["label=type:x_t"]).unwrap().labels, ["type:x_t"]);
        assert!(apply(&["label=disable"]).unwrap().label_disable);
        for bad in ["", "foo=bar", "no-new-privileges=maybe", "mask=proc", "label=x", "apparmor="] {
            let error = apply(&[bad]).unwrap_err();
            assert_eq!(error.chain(), format!("invalid --security-opt {bad:?}"));
        }
    }
}
