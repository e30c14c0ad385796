//! `creel-run [run] IMAGE [COMMAND...]`.

use creel::ErrorKind;
use creel::cli;
use creel::container::restart::RestartPolicy;
use creel::error::{Error, IoContext, Result};
use creel::run::{self, Engine, Finished, RunRequest};
use creel::sys::SignalQueue;

use crate::args::RunArgs;
use crate::context::Context;
use crate::request;

/// podman's code for a container whose time was over.
const TIMED_OUT: u8 = 255;

/// What only a monitor can do is not accepted without one.
fn refuse_background(args: &RunArgs, request: &RunRequest) -> Result<()> {
    let keys = args.background.keys.detach_keys.as_deref();
    let flag = match (request.restart, keys) {
        (RestartPolicy::No, None | Some("")) => return Ok(()),
        (RestartPolicy::No, Some(_)) => "--detach-keys",
        _ => "--restart",
    };
    Err(Error::usage(format!("{flag} needs --detach, or `creel-run create` and `start`")))
}

pub fn run(context: &Context, args: &RunArgs) -> Result<u8> {
    let mut warn = |text: &str| cli::say(format_args!("creel-run: warning: {text}"));
    let request = request::read(args, context, &mut warn)?;
    refuse_background(args, &request)?;
    let engine = context.engine(args.life.runtime.as_deref())?;
    if args.life.replace
        && let Some(name) = &request.name
    {
        replace(&engine, name)?;
    }
    // Before there are threads.
    let signals = SignalQueue::start().doing(|| "holding signals back")?;
    let mut supply = || context.supply(&args.image);
    // As with Docker, whoever sees nothing of the container gets its ID.
    let unseen = !request.attached.stdout && !request.attached.stderr;
    let mut began = |id: &str| {
        if unseen {
            // Nobody reads it, if that fails.
            let _ = cli::print(&format!("{id}\n"));
        }
    };
    match run::run(&engine, &request, &mut supply, &signals, &mut warn, &mut began)? {
        // A process's code has eight bits.
        Finished::Exited(code) => Ok((code & 0xff) as u8),
        Finished::TimedOut => Ok(TIMED_OUT),
        Finished::CannotStart(reason) => {
            cli::say(format_args!("creel-run: {reason}"));
            Ok(reason.code)
        }
    }
}

/// Removes the container whose name is wanted for another one.
fn replace(engine: &Engine, name: &str) -> Result<()> {
    match run::remove(engine, name, true, false) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
