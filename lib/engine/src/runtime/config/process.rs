//! The process: who, what, where, with which environment and limits.

use std::collections::HashSet;
use std::path::{Component, Path};

use oci_spec::runtime::{
    Box as ConsoleSize, BoxBuilder, Capability, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
    Process, User,
};

use super::{INIT_TARGET, Inputs};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::capabilities::process_sets;
use crate::runtime::flags::merge_env;
use crate::runtime::options::{LimitKind, TerminalSize, UNLIMITED, Ulimit};

/// Where programs are looked for when the image does not say.
pub(in crate::runtime) const DEFAULT_PATH: &str =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Open files, where neither person nor host say less.
const OPEN_FILES: u64 = 1 << 20;

/// The kernel takes no longer string (`MAX_ARG_STRLEN`), and no more in all.
const MAX_STRING: usize = 128 << 10;
const MAX_STRINGS: usize = 6 << 20;

const DEFAULT_UMASK: u32 = 0o022;

pub(super) fn process(
    inputs: &Inputs<'_>,
    capabilities: &HashSet<Capability>,
    warnings: &mut Vec<String>,
) -> Result<Process> {
    let options = inputs.options;
    let who = &inputs.container.user;
    let mut user = User::default();
    user.set_uid(who.uid);
    user.set_gid(who.gid);
    user.set_umask(Some(options.umask.unwrap_or(DEFAULT_UMASK)));
    let mut groups = who.groups.clone();
    for group in &inputs.container.named.groups {
        if !groups.contains(group) {
            groups.push(*group);
        }
    }
    user.set_additional_gids(Some(groups));

    let mut process = Process::default();
    process.set_terminal(Some(options.terminal.is_some()));
    process.set_console_size(options.terminal.map(console_size).transpose()?);
    process.set_user(user);
    process.set_args(Some(arguments(inputs)?));
    process.set_env(Some(environment(inputs)?));
    process.set_cwd(directory(inputs)?.into());
    process.set_capabilities(Some(process_sets(capabilities)));
    process.set_rlimits(Some(limits(inputs, warnings)?));
    process.set_no_new_privileges(Some(options.security.no_new_privileges));
    process.set_apparmor_profile(apparmor(inputs));
    process.set_oom_score_adj(options.oom_score_adj);
    process.set_selinux_label(selinux_label(inputs));
    Ok(process)
}

fn console_size(size: TerminalSize) -> Result<ConsoleSize> {
    BoxBuilder::default()
        .height(u64::from(size.rows))
        .width(u64::from(size.columns))
        .build()
        .map_err(|error| Error::caused(ErrorKind::Failed, "size of the terminal", error))
}

fn arguments(inputs: &Inputs<'_>) -> Result<Vec<String>> {
    let mut words = inputs.image.arguments(inputs.options);
    if words.is_empty() {
        return Err(Error::usage("no command specified, and the image has none"));
    }
    if inputs.options.init.is_some() {
        words.splice(0..0, [INIT_TARGET.to_owned(), "--".to_owned()]);
    }
    check_strings(&words, "argument")?;
    Ok(words)
}

/// What `execve` would not take gives an error that says so.
fn check_strings(strings: &[String], what: &str) -> Result<()> {
    for text in strings {
        let shown: String = text.chars().take(40).collect();
        if text.contains('\0') {
            return Err(Error::invalid(format!("{what} {shown:?} contains a NUL byte")));
        }
        if text.len() >= MAX_STRING {
            return Err(Error::invalid(format!(
                "{what} {shown:?}… is longer than {MAX_STRING} bytes"
            )));
        }
    }
    if strings.iter().map(String::len).sum::<usize>() > MAX_STRINGS {
        return Err(Error::invalid(format!("{what}s are larger than {MAX_STRINGS} bytes in all")));
    }
    Ok(())
}

/// Defaults, then the image's, then the person's; a name keeps its first place.
pub(in crate::runtime) fn environment(inputs: &Inputs<'_>) -> Result<Vec<String>> {
    let (options, who) = (inputs.options, &inputs.container.user);
    let mut env = Vec::new();
    if !options.unset_env_all {
        env.push(DEFAULT_PATH.to_owned());
        let hostname = inputs.own_hostname().unwrap_or_else(|| inputs.host.hostname.clone());
        env.push(format!("HOSTNAME={hostname}"));
        if options.terminal.is_some() {
            env.push("TERM=xterm".to_owned());
        }
        let named = |variable: &&String| variable.find('=').is_some_and(|at| at > 0);
        merge_env(&mut env, inputs.image.env.iter().filter(named).cloned());
    }
    merge_env(&mut env, options.env.iter().cloned());
    if !options.unset_env_all && !env.iter().any(|variable| variable.starts_with("HOME=")) {
        env.push(format!("HOME={}", who.home));
    }
    // Drivers tell their programs by these which devices are there: the image cannot know.
    merge_env(&mut env, inputs.container.named.env.iter().cloned());
    env.retain(|variable| {
        let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
        !options.unset_env.contains(name)
    });
    check_strings(&env, "environment variable")?;
    Ok(env)
}

fn directory(inputs: &Inputs<'_>) -> Result<String> {
    let own = inputs.options.workdir.as_deref().filter(|path| !path.is_empty());
    if let Some(path) = own.filter(|path| !path.starts_with('/')) {
        return Err(Error::usage(format!(
            "the working directory {path:?} is invalid, it needs to be an absolute path"
        )));
    }
    let path = crate::runtime::flags::clean(own.unwrap_or(&inputs.image.workdir));
    check_directory(&path)?;
    Ok(path)
}

/// Refuses directories that are no place to be: `/proc/self/fd/N` may be a directory of the host
/// (CVE-2024-21626).
pub(in crate::runtime) fn check_directory(path: &str) -> Result<()> {
    let mut parts = Path::new(path).components().skip(1);
    let first = parts.next();
    let below = parts.next().is_some();
    if path.contains('\0') || (below && first == Some(Component::Normal("proc".as_ref()))) {
        return Err(Error::invalid(format!("{path:?} cannot be the working directory")));
    }
    Ok(())
}

/// The limits asked for, and open files; as far as the host lets us go.
fn limits(inputs: &Inputs<'_>, warnings: &mut Vec<String>) -> Result<Vec<PosixRlimit>> {
    let asked = &inputs.options.ulimits;
    let may_raise = inputs.host.capabilities.contains(&Capability::SysResource)
        && !inputs.host.in_user_namespace();
    let ceiling = |kind: LimitKind| match may_raise {
        true => UNLIMITED,
        false => inputs.host.hard_limits.get(&kind).copied().unwrap_or(UNLIMITED),
    };
    let mut limits: Vec<Ulimit> = Vec::new();
    for limit in asked {
        limits.retain(|earlier| earlier.kind != limit.kind);
        limits.push(*limit);
    }
    if !limits.iter().any(|limit| limit.kind == LimitKind::Nofile) {
        let most = OPEN_FILES.min(ceiling(LimitKind::Nofile));
        limits.insert(0, Ulimit { kind: LimitKind::Nofile, soft: most, hard: most });
    }
    for limit in &mut limits {
        let most = ceiling(limit.kind);
        if limit.hard > most {
            let shown =
                |value| if value == UNLIMITED { "unlimited".into() } else { format!("{value}") };
            warnings.push(format!(
                "ulimit {} is {most} instead of {}: this process may not raise it",
                limit.kind.name(),
                shown(limit.hard),
            ));
            limit.hard = most;
            limit.soft = limit.soft.min(most);
        }
    }
    limits.iter().map(to_oci).collect()
}

fn to_oci(limit: &Ulimit) -> Result<PosixRlimit> {
    PosixRlimitBuilder::default()
        .typ(oci_kind(limit.kind))
        .soft(limit.soft)
        .hard(limit.hard)
        .build()
        .map_err(|error| Error::caused(ErrorKind::Failed, "process limit", error))
}

fn oci_kind(kind: LimitKind) -> PosixRlimitType {
    match kind {
        LimitKind::As => PosixRlimitType::RlimitAs,
        LimitKind::Core => PosixRlimitType::RlimitCore,
        LimitKind::Cpu => PosixRlimitType::RlimitCpu,
        LimitKind::Data => PosixRlimitType::RlimitData,
        LimitKind::Fsize => PosixRlimitType::RlimitFsize,
        LimitKind::Locks => PosixRlimitType::RlimitLocks,
        LimitKind::Memlock => PosixRlimitType::RlimitMemlock,
        LimitKind::Msgqueue => PosixRlimitType::RlimitMsgqueue,
        LimitKind::Nice => PosixRlimitType::RlimitNice,
        LimitKind::Nofile => PosixRlimitType::RlimitNofile,
        LimitKind::Nproc => PosixRlimitType::RlimitNproc,
        LimitKind::Rss => PosixRlimitType::RlimitRss,
        LimitKind::Rtprio => PosixRlimitType::RlimitRtprio,
        LimitKind::Rttime => PosixRlimitType::RlimitRttime,
        LimitKind::Sigpending => PosixRlimitType::RlimitSigpending,
        LimitKind::Stack => PosixRlimitType::RlimitStack,
    }
}

fn apparmor(inputs: &Inputs<'_>) -> Option<String> {
    match inputs.options.security.apparmor.as_deref() {
        Some("unconfined") => None,
        Some(profile) => Some(profile.to_owned()),
        None if inputs.options.privileged => None,
        None => inputs.host.apparmor_profile.clone(),
    }
}

/// Only when asked for: without it the process keeps the label of its starter.
fn selinux_label(inputs: &Inputs<'_>) -> Option<String> {
    let security = &inputs.options.security;
    if !inputs.host.selinux || security.label_disable || security.labels.is_empty() {
        return None;
    }
    let part = |key: &str, default: &str| {
        let of_key = |label: &String| {
            label.split_once(':').filter(|(k, _)| *k == key).map(|(_, v)| v.to_owned())
        };
        security.labels.iter().rev().find_map(of_key).unwrap_or_else(|| default.to_owned())
    };
    let (user, role) = (part("user", "system_u"), part("role", "system_r"));
    Some(format!("{user}:{role}:{}:{}", part("type", "container_t"), part("level", "s0")))
}
