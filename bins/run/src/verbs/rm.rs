//! `creel-run rm CONTAINER...`.

use creel::ErrorKind;
use creel::error::Result;
use creel::run;

use super::{each, line};
use crate::args::RmArgs;
use crate::context::Context;

pub fn run(context: &Context, args: &RmArgs) -> Result<u8> {
    let engine = context.engine(args.runtime.as_deref())?;
    each(&args.containers, |name| match run::remove(&engine, name, args.force, args.volumes) {
        Err(error) if args.force && error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.and_then(|()| line(name)),
    })
}
