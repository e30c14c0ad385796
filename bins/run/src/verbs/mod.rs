pub mod inspect;
pub mod ps;
pub mod rm;
pub mod run;
pub mod volume;

use creel::cli;
use creel::error::Result;

/// Does something for each of several names; goes on after failures. The code is 1 if any failed.
fn each(names: &[String], mut work: impl FnMut(&str) -> Result<()>) -> Result<u8> {
    let mut code = 0;
    for name in names {
        if let Err(error) = work(name) {
            code = 1;
            cli::report_failure("creel-run", &error);
        }
    }
    Ok(code)
}

/// Prints a line of the result.
fn line(text: &str) -> Result<()> {
    cli::print(&format!("{text}\n"))
}
