//! From flags to a [`RunRequest`].

mod environment;
mod limits;

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use creel::container::restart::RestartPolicy;
use creel::error::{Error, IoContext, Result};
use creel::run::{LogDriver, LogSettings, Network, Origin, Pull, RunRequest, check_name};
use creel::runtime::files::Dns;
use creel::runtime::flags;
use creel::runtime::options::{
    DeviceRequest, IdMap, MountRequest, NamespaceMode, Namespaces, SecurityOptions, TerminalSize,
    UserMode,
};
use creel::runtime::{Attached, CDI_DIRECTORIES, CdiName, RunOptions};
use creel::sys::terminal_size;

use crate::args::{BackgroundArgs, FileArgs, LifeArgs, ProcessArgs, RunArgs, SpaceArgs};
use crate::context::Context;

/// Most bytes of a file that a flag names.
const MAX_FILE: u64 = 16 << 20;

/// Reads all flags of `run`; `warn` hears of those that have no effect.
pub fn read(args: &RunArgs, context: &Context, warn: &mut dyn FnMut(&str)) -> Result<RunRequest> {
    args.others.check()?;
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
        platform: args.image.platform(),
        pull: match args.image.pull {
            crate::args::Pull::Always => Pull::Always,
            crate::args::Pull::Missing => Pull::Missing,
            crate::args::Pull::Never => Pull::Never,
            crate::args::Pull::Newer => Pull::Newer,
        },
        options: options(args, command, namespaces, context, warn)?,
        named_devices: named_devices(&args.files)?,
        cdi_directories: match args.files.cdi_spec_dir.as_slice() {
            [] => CDI_DIRECTORIES.map(PathBuf::from).to_vec(),
            some => some.to_vec(),
        },
        name: life.name.as_deref().map(check_name).transpose()?.map(str::to_owned),
        remove: life.rm,
        network,
        hosts: list("--add-host", &args.network.add_host, flags::parse_host_entry)?,
        dns,
        no_hosts: args.network.no_hosts,
        exposed: list("--expose", &args.network.expose, flags::parse_expose)?
            .into_iter()
            .flatten()
            .collect(),
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
                    "invalid value {name:?} for --attach: expected stdin, stdout or stderr"
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
    paths.map(|text| value("--device", text, flags::parse_device)).collect()
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

fn options(
    args: &RunArgs,
    command: &[String],
    namespaces: Namespaces,
    context: &Context,
    warn: &mut dyn FnMut(&str),
) -> Result<RunOptions> {
    let process = &args.process;
    let environment = environment::environment(process, context, warn)?;
    let of = |flag: &str, text: &Option<String>, parse: fn(&str) -> Result<u64>| {
        text.as_deref().map(|text| value(flag, text, parse)).transpose()
    };
    let life = &args.life;
    Ok(RunOptions {
        command: command.to_vec(),
        entrypoint: process.entrypoint.as_deref().map(entrypoint).transpose()?,
        env: environment.set,
        unset_env: environment.unset,
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
        device_rules: list(
            "--device-cgroup-rule",
            &args.files.device_cgroup_rule,
            flags::parse_device_rule,
        )?,
        cap_add: flags::parse_capabilities(&args.rights.cap_add).doing(|| "--cap-add")?,
        cap_drop: flags::parse_capabilities(&args.rights.cap_drop).doing(|| "--cap-drop")?,
        privileged: args.rights.privileged,
        security: security(&args.rights.security_opt)?,
        read_only: args.files.read_only,
        read_only_tmpfs: args.files.read_only_tmpfs,
        resources: limits::resources(&args.limits, warn)?,
        ulimits: list("--ulimit", &args.limits.ulimit, flags::parse_ulimit)?,
        sysctls: list("--sysctl", &args.rights.sysctl, flags::parse_sysctl)?.into_iter().collect(),
        shm_size: of("--shm-size", &args.files.shm_size, flags::parse_size)?,
        oom_score_adj: args.limits.oom_score_adj,
        namespaces,
        annotations: list("--annotation", &life.annotation, flags::parse_label)?
            .into_iter()
            .collect(),
        labels: labels(life)?.into_iter().collect(),
        stop_signal: life
            .stop_signal
            .as_deref()
            .map(|text| value("--stop-signal", text, flags::parse_signal))
            .transpose()?,
        stop_timeout: life.stop_timeout,
        cgroup_parent: args.spaces.cgroup_parent.clone(),
    })
}

/// Reads one value of a flag: a mistake names the flag.
fn value<T>(flag: &str, text: &str, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    parse(text).doing(|| format!("invalid value {text:?} for {flag}"))
}

/// Reads all values of a flag.
fn list<T>(flag: &str, texts: &[String], parse: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    texts.iter().map(|text| value(flag, text, &parse)).collect()
}

/// One word, or podman's JSON array.
fn entrypoint(text: &str) -> Result<Vec<String>> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|error| {
            let what = format!("invalid value {text:?} for --entrypoint");
            Error::caused(creel::ErrorKind::Usage, what, error)
        });
    }
    Ok(vec![text.to_owned()])
}

/// Variables from files in their order, then single ones.
pub fn variables(files: &[PathBuf], single: &[String]) -> Result<Vec<String>> {
    environment::listed(files, single)
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
            "invalid value {text:?} for --workdir: it needs to be an absolute path"
        ))),
    }
}

fn umask(text: &str) -> Result<u32> {
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| {
        Error::usage(format!("invalid value {text:?} for --umask: expected an octal number to 777"))
    })
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
    // Only relative paths need it: whoever is in a directory that was removed may say none.
    let current = std::env::current_dir().doing(|| "finding the current directory");
    let base = current.as_deref().unwrap_or(Path::new(""));
    let relative = |error: Error| match &current {
        Err(gone) => Error::not_found(gone.chain()).while_doing(error.chain()),
        Ok(_) => error,
    };
    let mut asked =
        list("--volume", &args.volume, |text| flags::parse_volume(text, base)).map_err(relative)?;
    asked.extend(
        list("--mount", &args.mount, |text| flags::parse_mount(text, base)).map_err(relative)?,
    );
    asked.extend(list("--tmpfs", &args.tmpfs, flags::parse_tmpfs)?);
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
            let of_file = || format!("label file {}", path.display());
            labels.push(flags::parse_label(line).doing(of_file)?);
        }
    }
    labels.extend(list("--label", &args.label, flags::parse_label)?);
    Ok(labels)
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
    let (users, groups) = (
        list("--uidmap", &args.uidmap, flags::parse_id_range)?,
        list("--gidmap", &args.gidmap, flags::parse_id_range)?,
    );
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
    let address =
        |text: &str| text.parse::<IpAddr>().map_err(|_| Error::usage("expected an IP address"));
    let dns = Dns {
        servers: list("--dns", &args.network.dns, address)?,
        search: args.network.dns_search.clone(),
        options: args.network.dns_option.clone(),
    };
    dns.check()?;
    Ok(dns)
}
