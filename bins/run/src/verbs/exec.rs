//! `creel-run exec`.

use creel::cli;
use creel::error::{IoContext, Result};
use creel::run::{self, ExecRequest, Finished};
use creel::runtime::Attached;
use creel::sys::SignalQueue;

use super::attach::detach_keys;
use crate::args::ExecArgs;
use crate::context::Context;
use crate::request;

pub fn run(context: &Context, args: &ExecArgs) -> Result<u8> {
    let container = &args.container;
    let request = read(args)?;
    let engine = context.engine(args.runtime.runtime.as_deref())?;
    // Before there are threads.
    let signals = SignalQueue::start().doing(|| "holding signals back")?;
    let finished = match args.detach {
        true => run::exec_detached(&engine, container, &request)?,
        false => run::exec(&engine, container, &request, &signals)?,
    };
    match finished {
        // A process's code has eight bits.
        Finished::Exited(code) => Ok((code & 0xff) as u8),
        Finished::TimedOut => Ok(u8::MAX),
        Finished::CannotStart(reason) => {
            cli::say(format_args!("creel-run: {reason}"));
            Ok(reason.code)
        }
    }
}

fn read(args: &ExecArgs) -> Result<ExecRequest> {
    let terminal = match args.tty && !args.detach {
        true => Some(request::terminal_for(args.interactive)?),
        false => None,
    };
    Ok(ExecRequest {
        command: args.command.clone(),
        env: request::variables(&args.env_file, &args.env)?,
        user: args.user.clone(),
        workdir: args.workdir.as_deref().map(request::workdir).transpose()?,
        terminal,
        privileged: args.privileged,
        attached: Attached { stdin: args.interactive, stdout: true, stderr: true },
        detach_keys: detach_keys(args.keys.detach_keys.as_deref())?,
    })
}
