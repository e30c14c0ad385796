//! `creel-build run CONTAINER COMMAND`.

use std::io::IsTerminal;

use creel::build::dockerfile::Mount;
use creel::build::working::{self, Ran, RunDefaults, RunRequest};
use creel::cli;
use creel::error::{Error, IoContext, Result};
use creel::runtime::RunOptions;
use creel::runtime::flags::{self, merge_env};
use creel::runtime::options::{MountRequest, NamespaceMode, Namespaces, TerminalSize};
use creel::sys::{SignalQueue, terminal_size};

use super::{runs, working as verbs};
use crate::args::Global;
use crate::working_args::CommandArgs;

/// Runs a command; the program ends with its code.
pub(crate) fn run(global: &Global, args: &CommandArgs) -> Result<u8> {
    // Before any thread is there.
    let signals = SignalQueue::start().doing(|| "holding signals back")?;
    let store = verbs::store(global)?;
    let (container, words) =
        args.words.split_first().ok_or_else(|| Error::usage("no container"))?;
    if container.starts_with('-') {
        return Err(Error::usage(format!("unknown flag: {container}")));
    }
    let words = match words.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => words,
    };
    let record = working::find(&store, container)?;
    let request = request(args, words, &record.defaults)?;
    match working::run(&store, &record.id, &request, &signals, &mut verbs::warn(global))? {
        // A process's code has eight bits.
        Ran::Exited(code) => Ok((code & 0xff) as u8),
        Ran::CannotStart(reason) => {
            cli::say(format_args!("creel-build: {reason}"));
            Ok(reason.code)
        }
    }
}

fn request(args: &CommandArgs, words: &[String], defaults: &RunDefaults) -> Result<RunRequest> {
    let base = std::env::current_dir().doing(|| "finding out the current directory")?;
    let around = &args.around;
    let mut mounts: Vec<MountRequest> = Vec::new();
    let volumes = defaults.volumes.iter().chain(&around.confined.volume);
    let given = volumes.map(|text| flags::parse_volume(text, &base));
    let (of_builds, others): (Vec<&String>, Vec<_>) =
        args.mount.iter().partition(|text| is_of_builds(text));
    for mount in given.chain(others.iter().map(|text| flags::parse_mount(text, &base))) {
        let mount = mount?;
        mounts.retain(|known| known.target != mount.target);
        mounts.push(mount);
    }
    let (bridge, network) = network(around.network.as_ref().or(defaults.network.as_ref()))?;
    let mode = |text: &Option<String>, flag| {
        text.as_deref().map(|text| flags::parse_mode(text, flag)).transpose()
    };
    let own = |name: &str| std::env::var(name).ok();
    let mut env = Vec::new();
    for text in &args.env {
        merge_env(&mut env, flags::parse_env(text, own)?);
    }
    let both = |a: &[String], b: &[String]| flags::parse_capabilities(&[a, b].concat());
    Ok(RunRequest {
        machine: runs::machine(args.machine.runtime.as_deref()),
        options: RunOptions {
            command: words.to_vec(),
            env,
            user: args.user.clone(),
            workdir: args.workingdir.clone(),
            terminal: terminal(args.terminal)?,
            hostname: args.hostname.clone(),
            mounts,
            cap_add: both(&defaults.cap_add, &around.confined.cap_add)?,
            cap_drop: both(&defaults.cap_drop, &around.confined.cap_drop)?,
            ulimits: runs::parsed(&defaults.ulimits, flags::parse_ulimit)?,
            shm_size: defaults.shm_size,
            namespaces: Namespaces {
                ipc: args
                    .ipc
                    .as_deref()
                    .map(flags::parse_ipc_mode)
                    .transpose()?
                    .unwrap_or_default(),
                pid: mode(&args.pid, "--pid")?.unwrap_or_default(),
                uts: mode(&args.uts, "--uts")?.unwrap_or_default(),
                network,
                ..Namespaces::default()
            },
            ..RunOptions::default()
        },
        mounts: of_builds.iter().map(|text| build_mount(text)).collect::<Result<_>>()?,
        credentials: runs::credentials(&args.lent)?,
        bridge,
        hosts: runs::parsed(&defaults.hosts, flags::parse_host_entry)?,
        no_hosts: args.no_hosts,
        add_history: args.add_history,
    })
}

/// Whether a mount is of a kind that builds know and containers do not.
fn is_of_builds(text: &str) -> bool {
    text.split(',').any(|field| matches!(field, "type=cache" | "type=secret" | "type=ssh"))
}

fn build_mount(text: &str) -> Result<Mount> {
    Mount::alone(text).map_err(|problem| Error::usage(format!("--mount {text}: {problem}")))
}

/// Whether the bridge is meant, and the namespace.
pub(crate) fn network(text: Option<&String>) -> Result<(bool, NamespaceMode)> {
    match text.map(String::as_str) {
        None | Some("" | "bridge" | "default" | "private") => Ok((true, NamespaceMode::Private)),
        Some(text) => match flags::parse_network(text)? {
            Some(mode) => Ok((false, mode)),
            None => Err(Error::unsupported(format!(
                "--network {text}: there are bridge, none, host and ns:PATH"
            ))),
        },
    }
}

/// The terminal's size, if one is wanted.
fn terminal(wanted: bool) -> Result<Option<TerminalSize>> {
    if !wanted {
        return Ok(None);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage("the input device is not a TTY"));
    }
    let size = terminal_size(std::io::stdout()).or_else(|| terminal_size(std::io::stdin()));
    let (rows, columns) = size.unwrap_or_default();
    Ok(Some(TerminalSize { rows, columns }))
}
