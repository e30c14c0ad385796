//! `creel-run inspect CONTAINER...`.

use creel::cli;
use creel::error::Result;
use creel::run;

use super::line;
use crate::args::InspectArgs;
use crate::context::Context;
use crate::render;

pub fn run(context: &Context, args: &InspectArgs) -> Result<u8> {
    let engine = context.engine(None)?;
    let (mut found, mut code) = (Vec::new(), 0);
    for name in &args.containers {
        match run::find(&engine, name) {
            Ok(listed) => found.push(render::container(&listed)),
            Err(error) => {
                code = 1;
                cli::report_failure("creel-run", &error);
            }
        }
    }
    match &args.format {
        Some(format) => {
            for value in &found {
                line(&render::filled(format, value)?)?;
            }
        }
        None => cli::print_json(&found)?,
    }
    Ok(code)
}
