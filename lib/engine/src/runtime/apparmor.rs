//! A profile of our own for containers, where the kernel has AppArmor.
//!
//! Owns the text of `creel-default` and its loading by apparmor_parser, as Docker does with
//! `docker-default`: processes may do what their capabilities allow, but change nothing of the host
//! below `/proc` and `/sys`, mount nothing, and signal and trace each other alone. Without that
//! program another engine's profile is used if the kernel has one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::host::HostFacts;
use super::options::RunOptions;
use crate::error::{Error, ErrorKind, IoContext, Result};

/// Its name.
pub const PROFILE: &str = "creel-default";

/// Who may signal containers besides programs without a profile: distributions confine runtimes.
const RUNTIMES: &str = "{runc,crun,youki}";
/// Files of `/proc` that must not be read either.
const SECRET: [&str; 2] = ["/proc/kcore", "/proc/sysrq-trigger"];
/// Parts of `/sys` that must not be read either.
const CLOSED: [&str; 3] =
    ["/sys/firmware", "/sys/devices/virtual/powercap", "/sys/kernel/security"];
/// Directories of `/proc` that are not processes.
const SETTINGS: [&str; 7] = ["acpi", "asound", "bus", "driver", "fs", "irq", "scsi"];
/// Where administrators' programs are.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"];

/// Loads the profile if the container is to have it and the kernel has it not; returns what a
/// person should know.
pub fn ensure_profile(host: &mut HostFacts, options: &RunOptions) -> Option<String> {
    let wanted = host.apparmor && !options.privileged && options.security.apparmor.is_none();
    if !wanted || host.apparmor_profile.as_deref() == Some(PROFILE) {
        return None;
    }
    let parser = FOLDERS.map(|folder| Path::new(folder).join("apparmor_parser"));
    match load(parser.into_iter().find(|path| path.is_file())?) {
        Ok(()) => {
            host.apparmor_profile = Some(PROFILE.to_owned());
            None
        }
        Err(error) => {
            let other = host.apparmor_profile.as_deref().unwrap_or("no profile");
            Some(format!("{}; the container runs with {other}", error.chain()))
        }
    }
}

fn load(parser: PathBuf) -> Result<()> {
    let loading = || format!("loading the AppArmor profile {PROFILE} with {}", parser.display());
    let mut command = Command::new(&parser);
    // Replaces one of that name, and leaves its cache alone.
    command.arg("-Kr").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().doing(loading)?;
    let written = child.stdin.take().map_or(Ok(()), |mut to| to.write_all(text().as_bytes()));
    let ended = child.wait_with_output().doing(loading)?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr).trim().replace('\n', ", ");
        return Err(Error::new(ErrorKind::Failed, format!("{}: {said}", loading())));
    }
    written.doing(loading)
}

/// The text of the profile.
fn text() -> String {
    let mut rules: Vec<String> = [
        "network",
        "capability",
        "file",
        "umount",
        "signal (receive) peer=unconfined",
        "deny mount",
        "deny /proc/* w",
    ]
    .map(str::to_owned)
    .into();
    rules.push(format!("signal (receive) peer={RUNTIMES}"));
    rules.push(format!("signal (send, receive) peer={PROFILE}"));
    rules.push(format!("ptrace (trace, read, tracedby, readby) peer={PROFILE}"));
    rules.extend(SECRET.map(|path| format!("deny {path} rwklx")));
    rules.extend(CLOSED.map(|path| format!("deny {path}/** rwklx")));
    rules.extend(SETTINGS.map(|name| format!("deny /proc/{name}/** w")));
    rules.extend(all_but("/proc/sys/", "kernel/shm").map(|path| format!("deny {path} w")));
    rules.extend(all_but("/sys/", "fs/cgroup/").map(|path| format!("deny {path} wklx")));
    let rules: String = rules.iter().map(|rule| format!("  {rule},\n")).collect();
    format!("profile {PROFILE} flags=(attach_disconnected,mediate_deleted) {{\n{rules}}}\n")
}

/// Patterns for everything below `base` that does not begin with `kept`.
fn all_but(base: &str, kept: &'static str) -> impl Iterator<Item = String> {
    let base = base.to_owned();
    kept.char_indices().map(move |(at, letter)| {
        let same = kept.get(..at).unwrap_or_default();
        match letter {
            // A class never stands for a slash: the name itself, or a longer one.
            '/' => format!("{base}{same}{{,[^/]**}}"),
            letter => format!("{base}{same}[^{letter}/]**"),
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_closes_the_kernel_s_files() {
        let text = text();
        for rule in [
            "profile creel-default flags=(attach_disconnected,mediate_deleted) {",
            "deny mount,",
            "deny /proc/kcore rwklx,",
            "deny /proc/sys/[^k/]** w,",
            "deny /proc/sys/kernel/sh[^m/]** w,",
            "deny /sys/f[^s/]** wklx,",
            "deny /sys/fs/cgrou[^p/]** wklx,",
            "deny /sys/firmware/** rwklx,",
            "signal (send, receive) peer=creel-default,",
            "ptrace (trace, read, tracedby, readby) peer=creel-default,",
        ] {
            assert!(text.contains(rule), "{rule} in\n{text}");
        }
    }

    #[test]
    fn apparmor_parser_understands_it() {
        let parser = FOLDERS.map(|folder| Path::new(folder).join("apparmor_parser"));
        let Some(parser) = parser.into_iter().find(|path| path.is_file()) else {
            eprintln!("skipped: apparmor_parser is not installed");
            return;
        };
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("profile");
        std::fs::write(&file, text()).unwrap();
        // Compiled, and not given to the kernel.
        let done = Command::new(parser).args(["-Q", "-K"]).arg(&file).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    #[test]
    fn a_host_without_it_is_left_alone() {
        let mut host = HostFacts::gather(false).unwrap();
        host.apparmor = false;
        assert_eq!(ensure_profile(&mut host, &RunOptions::default()), None);
        host.apparmor = true;
        host.apparmor_profile = Some(PROFILE.to_owned());
        assert_eq!(ensure_profile(&mut host, &RunOptions::default()), None);
        // Neither is one where the container is to have another, or none.
        host.apparmor_profile = None;
        let mut options = RunOptions { privileged: true, ..RunOptions::default() };
        assert_eq!(ensure_profile(&mut host, &options), None);
        options.privileged = false;
        options.security.apparmor = Some("unconfined".to_owned());
        assert_eq!(ensure_profile(&mut host, &options), None);
        assert_eq!(host.apparmor_profile, None);
    }
}
