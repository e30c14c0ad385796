//! From flags to a [`RunRequest`].

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use creel::container::restart::RestartPolicy;
use creel::error::{Error, IoContext, Result};
use creel::run::{LogDriver, LogSettings, Network, Origin, Pull, RunRequest, check_name};
use creel::runtime::files::Dns;
use creel::runtime::flags::{self, merge_env};
use creel::runtime::options::{
    DeviceRequest, IdMap, MountRequest, NamespaceMode, Namespaces, Resources, SecurityOptions,
    TerminalSize, UserMode,
};
use creel::runtime::{Attached, CDI_DIRECTORIES, CdiName, RunOptions};
use creel::sys::terminal_size;

use crate::args::{
    BackgroundArgs, FileArgs, LaterArgs, LifeArgs, LimitArgs, ProcessArgs, RunArgs, SpaceArgs,
};

/// Most bytes of a file that a flag names.
const MAX_FILE: u64 = 16 << 20;

/// Reads all flags of `run`.
pub fn read(args: &RunArgs) -> Result<RunRequest> {
    refuse_later(&args.later)?;
    let (first, command) = args
        .words
        .split_first()
        .ok_or_else(|| Error::usage("\"creel-run run\" requires at least 1 argument: IMAGE"))?;
    if first.starts_with('-') && first.len() > 1 {
        return Err(Error::usage(format!("unknown flag: {first}")));
    }
    if args.network.no_hosts && !args.network.add_host.is_empty() {
        return Err(Error::usage("conflicting options: --no-hosts and --add-host"));
    }
    let (network, namespaces) = namespaces(args)?;
    let life = &args.life;
    let dns = dns(args)?;
    Ok(RunRequest {
        origin: match args.rootfs {
            true => Origin::Directory(PathBuf::from(first)),
            false => Origin::Image(first.clone()),
        },
        platform: args.image.platform.clone(),
        pull: match args.image.pull {
            crate::args::Pull::Always => Pull::Always,
            crate::args::Pull::Missing => Pull::Missing,
            crate::args::Pull::Never => Pull::Never,
            crate::args::Pull::Newer => Pull::Newer,
        },
        options: options(args, command, namespaces)?,
        named_devices: named_devices(&args.files)?,
        cdi_directories: match args.files.cdi_spec_dir.as_slice() {
            [] => CDI_DIRECTORIES.map(PathBuf::from).to_vec(),
            some => some.to_vec(),
        },
        name: life.name.as_deref().map(check_name).transpose()?.map(str::to_owned),
        remove: life.rm,
        network,
        hosts: args
            .network
            .add_host
            .iter()
            .map(|text| flags::parse_host_entry(text))
            .collect::<Result<_>>()?,
        dns,
        no_hosts: args.network.no_hosts,
        exposed: list(&args.network.expose, flags::parse_expose)?.into_iter().flatten().collect(),
        attached: attached(args)?,
        proxy_signals: args.process.sig_proxy,
        timeout: life.timeout.filter(|s| *s > 0).map(Duration::from_secs),
        cidfile: life.cidfile.clone(),
        pidfile: life.pidfile.clone(),
        restart: restart(args)?,
        log: log_settings(&args.background)?,
    })
}

fn restart(args: &RunArgs) -> Result<RestartPolicy> {
    let policy = RestartPolicy::parse(args.background.restart.as_deref().unwrap_or_default())?;
    match (policy, args.life.rm) {
        (RestartPolicy::No, _) | (_, false) => Ok(policy),
        (_, true) => {
            Err(Error::usage("conflicting options: cannot specify both --restart and --rm"))
        }
    }
}

fn log_settings(args: &BackgroundArgs) -> Result<LogSettings> {
    let driver = match args.log_driver.as_deref() {
        None => LogDriver::default(),
        Some(name) => {
            let found = LogDriver::ALL.iter().find(|(known, _)| *known == name);
            found.map(|(_, driver)| *driver).ok_or_else(|| {
                Error::usage(format!(
                    "invalid value {name:?} for --log-driver: expected local, json-file or none"
                ))
            })?
        }
    };
    let mut settings = LogSettings { driver, ..LogSettings::default() };
    for option in &args.log_opt {
        let wrong = || Error::usage(format!("invalid value {option:?} for --log-opt"));
        match option.split_once('=').ok_or_else(wrong)? {
            ("max-size", size) => {
                settings.max_size = Some(
                    flags::parse_size(size)
                        .map_err(|error| error.while_doing("--log-opt max-size"))?,
                );
            }
            ("max-file", count) => {
                let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
                settings.max_files = Some(count);
            }
            (name, _) => {
                return Err(Error::usage(format!(
                    "unknown log option {name:?} for --log-opt: expected max-size or max-file"
                )));
            }
        }
    }
    Ok(settings)
}

/// The streams named with `-a`; standard input needs `-i` too.
fn attached(args: &RunArgs) -> Result<Attached> {
    let process = &args.process;
    let mut attached = Attached { stdin: false, stdout: false, stderr: false };
    for name in &process.attach {
        match name.to_ascii_lowercase().as_str() {
            "stdin" => attached.stdin = process.interactive,
            "stdout" => attached.stdout = true,
            "stderr" => attached.stderr = true,
            _ => {
                return Err(Error::usage(format!(
                    "invalid argument {name:?} for --attach: valid streams are STDIN, STDOUT and \
                     STDERR"
                )));
            }
        }
    }
    if process.attach.is_empty() {
        attached = Attached { stdin: process.interactive, stdout: true, stderr: true };
    }
    Ok(attached)
}

/// The devices that are given by their paths.
fn nodes(args: &FileArgs) -> Result<Vec<DeviceRequest>> {
    let paths = args.device.iter().filter(|text| CdiName::parse(text).is_none());
    paths.map(|text| flags::parse_device(text)).collect()
}

/// The devices that are given by a name, `--gpus` among them.
fn named_devices(args: &FileArgs) -> Result<Vec<CdiName>> {
    let mut names: Vec<CdiName> =
        args.device.iter().filter_map(|text| CdiName::parse(text)).collect();
    if let Some(text) = &args.gpus {
        names.extend(flags::parse_gpus(text)?);
    }
    Ok(names)
}

/// What only containers in the background can have.
fn refuse_later(later: &LaterArgs) -> Result<()> {
    let wanted = [
        (!later.publish.is_empty(), "--publish"),
        (later.publish_all, "--publish-all"),
        (!later.volumes_from.is_empty(), "--volumes-from"),
        (!later.link.is_empty(), "--link"),
        (later.ip.is_some(), "--ip"),
        (later.ip6.is_some(), "--ip6"),
        (later.mac_address.is_some(), "--mac-address"),
        (!later.network_alias.is_empty(), "--network-alias"),
        (later.health_cmd.is_some(), "--health-cmd"),
        (later.health_interval.is_some(), "--health-interval"),
        (later.health_timeout.is_some(), "--health-timeout"),
        (later.health_retries.is_some(), "--health-retries"),
        (later.health_start_period.is_some(), "--health-start-period"),
        (later.health_start_interval.is_some(), "--health-start-interval"),
        (later.pod.is_some(), "--pod"),
    ];
    match wanted.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(Error::unsupported(format!(
            "{flag} is not supported yet: this release has no published ports, named networks and \
             health checks"
        ))),
        None => Ok(()),
    }
}

fn options(args: &RunArgs, command: &[String], namespaces: Namespaces) -> Result<RunOptions> {
    let process = &args.process;
    Ok(RunOptions {
        command: command.to_vec(),
        entrypoint: process.entrypoint.as_deref().map(entrypoint).transpose()?,
        env: environment(process)?,
        unset_env: process.unsetenv.iter().cloned().collect(),
        unset_env_all: process.unsetenv_all,
        user: process.user.clone(),
        groups: process.group_add.clone(),
        workdir: process.workdir.as_deref().map(workdir).transpose()?,
        umask: process.umask.as_deref().map(umask).transpose()?,
        terminal: terminal(process, args.background.detach)?,
        init: init(process)?,
        hostname: args.network.hostname.clone(),
        domainname: args.network.domainname.clone(),
        mounts: mounts(&args.files)?,
        devices: nodes(&args.files)?,
        device_rules: list(&args.files.device_cgroup_rule, flags::parse_device_rule)?,
        cap_add: flags::parse_capabilities(&args.rights.cap_add)?,
        cap_drop: flags::parse_capabilities(&args.rights.cap_drop)?,
        privileged: args.rights.privileged,
        security: security(&args.rights.security_opt)?,
        read_only: args.files.read_only,
        read_only_tmpfs: args.files.read_only_tmpfs,
        resources: resources(&args.limits)?,
        ulimits: list(&args.limits.ulimit, flags::parse_ulimit)?,
        sysctls: list(&args.rights.sysctl, flags::parse_sysctl)?.into_iter().collect(),
        shm_size: args.files.shm_size.as_deref().map(flags::parse_size).transpose()?,
        oom_score_adj: args.limits.oom_score_adj,
        namespaces,
        annotations: list(&args.life.annotation, flags::parse_label)?.into_iter().collect(),
        labels: labels(&args.life)?.into_iter().collect(),
        stop_signal: args.life.stop_signal.as_deref().map(flags::parse_signal).transpose()?,
        stop_timeout: args.life.stop_timeout,
        cgroup_parent: args.spaces.cgroup_parent.clone(),
    })
}

fn list<T>(texts: &[String], parse: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    texts.iter().map(|text| parse(text)).collect()
}

/// One word, or podman's JSON array.
fn entrypoint(text: &str) -> Result<Vec<String>> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|error| {
            Error::caused(creel::ErrorKind::Usage, format!("invalid --entrypoint {text:?}"), error)
        });
    }
    Ok(vec![text.to_owned()])
}

/// Weakest first: the person's own, files in their order, single variables.
fn environment(args: &ProcessArgs) -> Result<Vec<String>> {
    let mut env = Vec::new();
    if args.env_host {
        let whole = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some(format!("{}={}", name.to_str()?, value.to_str()?))
        };
        merge_env(&mut env, std::env::vars_os().filter_map(whole));
    }
    merge_env(&mut env, variables(&args.env_file, &args.env)?);
    Ok(env)
}

/// Those of files in their order, then single ones.
pub fn variables(files: &[PathBuf], single: &[String]) -> Result<Vec<String>> {
    let own = |name: &str| std::env::var(name).ok();
    let mut env = Vec::new();
    for path in files {
        let content = read_file(path)?;
        merge_env(&mut env, flags::parse_env_file(&content, &path.display().to_string(), own)?);
    }
    for text in single {
        merge_env(&mut env, flags::parse_env(text, own)?);
    }
    Ok(env)
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let reading = || format!("reading {}", path.display());
    let mut content = Vec::new();
    let file = std::fs::File::open(path).doing(reading)?;
    file.take(MAX_FILE).read_to_end(&mut content).doing(reading)?;
    Ok(content)
}

pub fn workdir(text: &str) -> Result<String> {
    match text.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err(Error::usage(format!(
            "the working directory {text:?} is invalid, it needs to be an absolute path"
        ))),
    }
}

fn umask(text: &str) -> Result<u32> {
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| Error::usage(format!("invalid umask {text:?}")))
}

/// The terminal's size, if one is wanted.
fn terminal(args: &ProcessArgs, detached: bool) -> Result<Option<TerminalSize>> {
    if !args.tty {
        return Ok(None);
    }
    let reads =
        args.attach.is_empty() || args.attach.iter().any(|s| s.eq_ignore_ascii_case("stdin"));
    // One in the background is nobody's yet.
    terminal_for(args.interactive && reads && !detached).map(Some)
}

/// A terminal of the size of ours, which must be one if it is read from.
pub fn terminal_for(reads: bool) -> Result<TerminalSize> {
    if reads && !std::io::stdin().is_terminal() {
        return Err(Error::usage("the input device is not a TTY"));
    }
    let (rows, columns) = terminal_size(std::io::stdout())
        .or_else(|| terminal_size(std::io::stdin()))
        .unwrap_or_default();
    Ok(TerminalSize { rows, columns })
}

/// The init programs that distributions have: all of them take `-- PROGRAM`.
fn init(args: &ProcessArgs) -> Result<Option<PathBuf>> {
    const PLACES: [&str; 6] = [
        "/usr/libexec/creel/init",
        "/usr/libexec/docker/docker-init",
        "/usr/bin/docker-init",
        "/usr/bin/tini-static",
        "/usr/libexec/podman/catatonit",
        "/usr/bin/catatonit",
    ];
    match (&args.init_path, args.init) {
        (_, false) => Ok(None),
        (Some(path), true) if path.is_file() => Ok(Some(path.clone())),
        (Some(path), true) => Err(Error::not_found(format!(
            "there is no init program {} (--init-path)",
            path.display()
        ))),
        (None, true) => {
            let found = PLACES.iter().map(PathBuf::from).find(|path| path.is_file());
            found.map(Some).ok_or_else(|| {
                Error::not_found(format!(
                    "--init needs a small init program: install tini or catatonit, or name one \
                     with --init-path (looked for {})",
                    PLACES.join(", ")
                ))
            })
        }
    }
}

fn mounts(args: &FileArgs) -> Result<Vec<MountRequest>> {
    let base = std::env::current_dir().doing(|| "finding out the current directory")?;
    let mut asked = list(&args.volume, |text| flags::parse_volume(text, &base))?;
    asked.extend(list(&args.mount, |text| flags::parse_mount(text, &base))?);
    asked.extend(list(&args.tmpfs, flags::parse_tmpfs)?);
    // Scripts put flags together from several places: saying the same twice contradicts nothing.
    let mut mounts = Vec::new();
    for mount in asked {
        if !mounts.contains(&mount) {
            mounts.push(mount);
        }
    }
    Ok(mounts)
}

fn security(texts: &[String]) -> Result<SecurityOptions> {
    let mut options = SecurityOptions::default();
    for text in texts {
        flags::apply_security_opt(&mut options, text, |file| read_file(Path::new(file)))?;
    }
    Ok(options)
}

fn labels(args: &LifeArgs) -> Result<Vec<(String, String)>> {
    let mut labels = Vec::new();
    for path in &args.label_file {
        let text = String::from_utf8_lossy(&read_file(path)?).into_owned();
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        for line in lines {
            labels.push(flags::parse_label(line)?);
        }
    }
    labels.extend(list(&args.label, flags::parse_label)?);
    Ok(labels)
}

fn resources(args: &LimitArgs) -> Result<Resources> {
    let size = |text: &Option<String>| {
        let bytes = text.as_deref().map(flags::parse_size).transpose()?;
        Ok::<_, Error>(bytes.map(u64::cast_signed))
    };
    Ok(Resources {
        memory: size(&args.memory)?,
        memory_swap: args.memory_swap.as_deref().map(flags::parse_memory_swap).transpose()?,
        memory_reservation: size(&args.memory_reservation)?,
        memory_swappiness: args.memory_swappiness,
        oom_kill_disable: args.oom_kill_disable,
        nano_cpus: args.cpus.as_deref().map(flags::parse_cpus).transpose()?,
        cpu_quota: args.cpu_quota,
        cpu_period: args.cpu_period,
        cpu_shares: args.cpu_shares,
        cpuset_cpus: args.cpuset_cpus.clone(),
        cpuset_mems: args.cpuset_mems.clone(),
        pids: args.pids_limit,
        blkio_weight: args.blkio_weight,
        read_bps: list(&args.device_read_bps, |text| flags::parse_device_rate(text, true))?,
        write_bps: list(&args.device_write_bps, |text| flags::parse_device_rate(text, true))?,
        read_iops: list(&args.device_read_iops, |text| flags::parse_device_rate(text, false))?,
        write_iops: list(&args.device_write_iops, |text| flags::parse_device_rate(text, false))?,
    })
}

fn namespaces(args: &RunArgs) -> Result<(Network, Namespaces)> {
    let spaces = &args.spaces;
    let mode = |text: &Option<String>, flag| {
        text.as_deref().map(|text| flags::parse_mode(text, flag)).transpose()
    };
    let (network, own) = match args.network.network.as_deref() {
        None | Some("" | "bridge" | "default" | "private") => {
            (Network::Bridge, NamespaceMode::Private)
        }
        Some(text) => match flags::parse_network(text)? {
            Some(mode) => (Network::AsOptionsSay, mode),
            None => {
                return Err(Error::unsupported(format!(
                    "--network {text}: named networks are not supported yet; there are bridge, \
                     none, host and ns:PATH"
                )));
            }
        },
    };
    let namespaces = Namespaces {
        ipc: spaces.ipc.as_deref().map(flags::parse_ipc_mode).transpose()?.unwrap_or_default(),
        pid: mode(&spaces.pid, "--pid")?.unwrap_or_default(),
        uts: mode(&spaces.uts, "--uts")?.unwrap_or_default(),
        cgroup: spaces.cgroupns.as_deref().map_or(Ok(None), flags::parse_cgroup_mode)?,
        user: users(spaces)?,
        network: own,
    };
    Ok((network, namespaces))
}

fn users(args: &SpaceArgs) -> Result<UserMode> {
    let (users, groups) =
        (list(&args.uidmap, flags::parse_id_range)?, list(&args.gidmap, flags::parse_id_range)?);
    match (&args.userns, users.is_empty() && groups.is_empty()) {
        (Some(_), false) => {
            Err(Error::usage("conflicting options: --userns and --uidmap or --gidmap"))
        }
        (Some(text), true) => flags::parse_userns(text),
        (None, true) => Ok(UserMode::Host),
        (None, false) if users.is_empty() => {
            Ok(UserMode::Mapped(IdMap { users: groups.clone(), groups }))
        }
        (None, false) => Ok(UserMode::Mapped(IdMap { users, groups })),
    }
}

fn dns(args: &RunArgs) -> Result<Dns> {
    let address = |text: &str| {
        text.parse::<IpAddr>()
            .map_err(|_| Error::usage(format!("{text:?} is not the address of a name server")))
    };
    let dns = Dns {
        servers: list(&args.network.dns, address)?,
        search: args.network.dns_search.clone(),
        options: args.network.dns_option.clone(),
    };
    dns.check()?;
    Ok(dns)
}
