//! `creel-run create`, `start`, `stop`, `restart`, `kill`, `pause`, `unpause` and `wait`.

use creel::cli;
use creel::container::attach::{AttachEnd, AttachOptions, Attached, PersonStreams};
use creel::error::{Error, IoContext, Result};
use creel::run::{self, Engine, Started};
use creel::runtime::flags::parse_signal;
use creel::runtime::options::Signal;
use creel::sys::SignalQueue;

use super::attach::{detach_keys, own_streams};
use super::{each, line};
use crate::args::{AttachArgs, KillArgs, NamesArgs, RunArgs, StartArgs, StopArgs};
use crate::context::Context;
use crate::request;

pub fn warn(text: &str) {
    cli::say(format_args!("creel-run: warning: {text}"));
}

pub fn create(context: &Context, args: &RunArgs) -> Result<u8> {
    let request = request::read(args, context, &mut warn)?;
    let engine = context.engine(args.life.runtime.as_deref())?;
    let signals = SignalQueue::start().doing(|| "holding signals back")?;
    let mut supply = || context.supply(&args.image);
    let id = run::create(&engine, &request, &mut supply, &signals, &mut warn)?;
    line(&id).map(|()| 0)
}

/// `creel-run run -d`.
pub fn run_detached(context: &Context, args: &RunArgs) -> Result<u8> {
    let request = request::read(args, context, &mut warn)?;
    if !args.process.attach.is_empty() {
        return Err(Error::usage("conflicting options: --attach and --detach"));
    }
    let engine = context.engine(args.life.runtime.as_deref())?;
    let signals = SignalQueue::start().doing(|| "holding signals back")?;
    let mut supply = || context.supply(&args.image);
    let id = run::create(&engine, &request, &mut supply, &signals, &mut warn)?;
    // As with Docker, the ID is told also of a container that could not be started.
    line(&id)?;
    match run::start(&engine, &id, &mut warn)? {
        Started::Now | Started::Already => Ok(0),
        Started::CannotStart { code, reason } => {
            cli::say(format_args!("creel-run: {reason}"));
            Ok(code)
        }
    }
}

pub fn start(context: &Context, args: &StartArgs) -> Result<u8> {
    let engine = context.engine(args.names.runtime.runtime.as_deref())?;
    match (args.attach || args.interactive, args.names.containers.as_slice()) {
        (true, [one]) => start_attached(&engine, one, args),
        (true, _) => Err(Error::usage("you cannot start and attach multiple containers at once")),
        (false, names) => each(names, |name| {
            started(run::start(&engine, name, &mut warn)?).and_then(|()| line(name))
        }),
    }
}

fn started(how: Started) -> Result<()> {
    match how {
        Started::Now | Started::Already => Ok(()),
        Started::CannotStart { reason, .. } => Err(Error::new(creel::ErrorKind::Failed, reason)),
    }
}

/// Output that comes before the connection is in the log alone.
fn start_attached(engine: &Engine, name: &str, args: &StartArgs) -> Result<u8> {
    started(run::start(engine, name, &mut warn)?)?;
    let input = args.interactive;
    connect(engine, name, own_streams(input)?, true, args.keys.detach_keys.as_deref())
}

pub fn attach(context: &Context, args: &AttachArgs) -> Result<u8> {
    let engine = context.engine(args.runtime.runtime.as_deref())?;
    let keys = args.keys.detach_keys.as_deref();
    connect(&engine, &args.container, own_streams(!args.no_stdin)?, args.sig_proxy, keys)
}

fn connect(
    engine: &Engine,
    name: &str,
    streams: PersonStreams,
    proxy_signals: bool,
    keys: Option<&str>,
) -> Result<u8> {
    let detach_keys = detach_keys(keys)?;
    let signals = SignalQueue::start().doing(|| "holding signals back")?;
    let (client, listed) = run::attach(engine, name)?;
    let (mut control, _) = run::attach(engine, name)?;
    let terminal = listed.record.terminal;
    let streams = match listed.record.interactive {
        true => streams,
        false => PersonStreams { input: None, ..streams },
    };
    let options = AttachOptions { terminal, proxy_signals, detach_keys };
    match Attached::begin(client, streams, options)?.run(&mut control, &signals)? {
        AttachEnd::Exited(code) => Ok((code & 0xff) as u8),
        AttachEnd::Left => {
            cli::say(format_args!("read escape sequence"));
            Ok(0)
        }
    }
}

fn signal(text: Option<&str>) -> Result<Option<Signal>> {
    text.map(parse_signal).transpose()
}

pub fn stop(context: &Context, args: &StopArgs) -> Result<u8> {
    let engine = context.engine(args.names.runtime.runtime.as_deref())?;
    let signal = signal(args.signal.as_deref())?;
    each(&args.names.containers, |name| {
        run::stop(&engine, name, signal, args.timeout).and_then(|()| line(name))
    })
}

pub fn restart(context: &Context, args: &StopArgs) -> Result<u8> {
    let engine = context.engine(args.names.runtime.runtime.as_deref())?;
    let signal = signal(args.signal.as_deref())?;
    each(&args.names.containers, |name| {
        started(run::restart(&engine, name, signal, args.timeout, &mut warn)?)?;
        line(name)
    })
}

pub fn kill(context: &Context, args: &KillArgs) -> Result<u8> {
    let engine = context.engine(args.names.runtime.runtime.as_deref())?;
    let signal = parse_signal(&args.signal)?;
    each(&args.names.containers, |name| run::kill(&engine, name, signal).and_then(|()| line(name)))
}

pub fn pause(context: &Context, args: &NamesArgs) -> Result<u8> {
    let engine = context.engine(args.runtime.runtime.as_deref())?;
    each(&args.containers, |name| run::pause(&engine, name).and_then(|()| line(name)))
}

pub fn unpause(context: &Context, args: &NamesArgs) -> Result<u8> {
    let engine = context.engine(args.runtime.runtime.as_deref())?;
    each(&args.containers, |name| run::unpause(&engine, name).and_then(|()| line(name)))
}

pub fn wait(context: &Context, args: &NamesArgs) -> Result<u8> {
    let engine = context.engine(args.runtime.runtime.as_deref())?;
    // Docker's code for one that nobody saw end.
    const UNKNOWN: i32 = -1;
    each(&args.containers, |name| {
        let code = run::wait(&engine, name)?;
        line(&code.unwrap_or(UNKNOWN).to_string())
    })
}
