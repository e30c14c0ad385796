//! `creel-build check`.

use creel::build::check::{self, Checked};
use creel::cli;
use creel::error::Result;

use crate::args::{CheckArgs, Format, Global};
use crate::{front, render};

/// Checks a file and reports on stdout. 1 when it cannot be built, or may not.
pub(crate) fn run(global: &Global, args: &CheckArgs) -> Result<u8> {
    let checked = front::load(&args.front, true, global)?;
    let format = match (args.format, global.json) {
        (Some(format), _) => format,
        (None, true) => Format::Json,
        (None, false) => Format::Text,
    };
    report(&checked, format)
}

/// Reports what was found.
pub(crate) fn report(checked: &Checked, format: Format) -> Result<u8> {
    match format {
        Format::Text => {
            let color = render::takes_color(&std::io::stdout());
            cli::print_drawing(&check::text(checked, color))?;
        }
        Format::Lines => {
            let lines: String =
                check::lines(checked).iter().map(|line| format!("{line}\n")).collect();
            render::print(&lines)?;
        }
        Format::Json => render::print_json(&check::to_json(checked))?,
        Format::Sarif => {
            render::print_json(&check::to_sarif(checked, env!("CARGO_PKG_VERSION")))?;
        }
    }
    Ok(u8::from(!checked.is_good()))
}
