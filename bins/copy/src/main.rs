//! `creel-copy`: parse, call one verb of the library, render, exit.

#![allow(unreachable_pub, reason = "a program has no outside")]

mod args;
mod context;
mod render;
mod verbs;

use std::process::ExitCode;

use clap::CommandFactory;
use creel::error::{Error, ErrorKind, Result};
use creel::{cli, sys};

use args::{Cli, Verb};
use context::Context;

fn main() -> ExitCode {
    let ended = match cli::arguments("copy") {
        Ok(cli) => run(cli),
        Err(code) => Ok(code),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(cli::report_failure("creel-copy", &error)),
    }
}

/// Runs one verb; the code says how it went where that is no failure.
fn run(cli: Cli) -> Result<u8> {
    match cli.verb {
        Verb::Docs(verb) => verb.run(&mut Cli::command()).map(|()| 0),
        verb => {
            let context = Context::new(cli.global)?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(sys::available_cores().clamp(2, 8))
                .enable_all()
                .build()
                .map_err(|error| Error::io("starting", error))?;
            runtime.block_on(with_limits(&context, verb))
        }
    }
}

/// A verb that a person may interrupt and that may run out of time. Dropping its future stops all
/// transfers; what they had received stays for the next run.
async fn with_limits(context: &Context, verb: Verb) -> Result<u8> {
    let stopped = |what: &'static str| Err(Error::new(ErrorKind::Cancelled, what));
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| Error::io("listening for signals", error))?;
    let time_out = async {
        match context.global.command_timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = dispatch(context, verb) => result,
        _ = tokio::signal::ctrl_c() => stopped("interrupted"),
        _ = terminated.recv() => stopped("terminated"),
        () = time_out => Err(Error::new(ErrorKind::Unavailable, "stopped: --command-timeout is over")),
    }
}

async fn dispatch(context: &Context, verb: Verb) -> Result<u8> {
    match verb {
        Verb::Copy(args) => verbs::copy::run(context, args).await,
        Verb::Sync(args) => verbs::sync::run(context, args).await,
        Verb::Tags(args) => verbs::tags::run(context, args).await,
        Verb::Delete(args) => verbs::delete::run(context, args).await,
        Verb::Tag(args) => verbs::tag::run(context, args).await,
        Verb::Digest(args) => verbs::digest::run(context, args).await,
        Verb::Login(args) => verbs::login::login(context, args).await,
        Verb::Logout(args) => verbs::login::logout(context, &args),
        Verb::Gc(args) => verbs::store::gc(context, &args),
        Verb::Rm(args) => verbs::store::rm(context, &args),
        Verb::Prune(args) => verbs::store::prune(context, &args),
        Verb::Docs(_) => Ok(0),
    }
}
