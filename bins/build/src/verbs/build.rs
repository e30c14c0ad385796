//! `creel-build build`: so far everything in front of the building.

use creel::build::check::Checked;
use creel::build::diagnostic::{Severity, one_line, render};
use creel::build::{call, graph};
use creel::cli;
use creel::error::{Error, Result};

use super::check;
use crate::args::{BuildArgs, Call, Format, Global, Method};
use crate::{front, render};

/// Answers what was asked instead of a build; a build itself is refused once its file is checked.
pub(crate) fn run(global: &Global, args: &BuildArgs) -> Result<u8> {
    let call = match args.check {
        true => Some(Call { method: Method::Check, json: false }),
        false => args.call,
    };
    let json = global.json || call.is_some_and(|call| call.json);
    let method = call.map_or(Method::Build, |call| call.method);
    let checked = front::load(&args.front, method == Method::Check)?;
    match method {
        Method::Check => {
            return check::report(&checked, if json { Format::Json } else { Format::Text });
        }
        Method::Outline | Method::Targets => told(global, &checked, false)?,
        Method::Build => told(global, &checked, true)?,
    }
    match method {
        Method::Outline => outline(&checked, json)?,
        Method::Targets => targets(&checked, json)?,
        _ if args.print_plan => plan(&checked, json)?,
        _ => return Err(front::later("building")),
    }
    Ok(0)
}

/// Shows mistakes in full and, if wanted, warnings on a line each, on stderr; mistakes end the
/// program.
fn told(global: &Global, checked: &Checked, warnings: bool) -> Result<()> {
    let source = &checked.file.source;
    for found in &checked.found {
        if found.severity == Severity::Error {
            let color = render::takes_color(&std::io::stderr());
            eprintln!("{}", render(found, source, color));
        } else if warnings && !global.quiet {
            eprintln!("{}", one_line(found, source));
        }
    }
    if warnings && !global.quiet {
        for name in &checked.plan.unused_arguments {
            eprintln!("warning: nothing declares --build-arg {name}");
        }
    }
    let name = source.name();
    match checked.count(Severity::Error) {
        0 => {}
        1 => return Err(Error::invalid(format!("{name} has a mistake"))),
        count => return Err(Error::invalid(format!("{name} has {count} mistakes"))),
    }
    match &checked.violation {
        Some(violation) if warnings => Err(Error::invalid(violation.clone())),
        _ => Ok(()),
    }
}

fn plan(checked: &Checked, json: bool) -> Result<()> {
    match json {
        true => render::print_json(&graph::to_json(&checked.plan, &checked.file.source)),
        false => render::print(&graph::to_text(&checked.plan)),
    }
}

fn targets(checked: &Checked, json: bool) -> Result<()> {
    let targets = call::targets(&checked.plan);
    if json {
        return render::print_json(&call::targets_json(&targets, &checked.file.source));
    }
    render::print(&cli::table(&["TARGET", "BASE", "DESCRIPTION"], &call::targets_rows(&targets)))
}

fn outline(checked: &Checked, json: bool) -> Result<()> {
    let outline = call::outline(&checked.plan);
    if json {
        return render::print_json(&call::outline_json(&outline, &checked.file.source));
    }
    let mut text = String::new();
    if !outline.name.is_empty() {
        text.push_str(&format!("TARGET:      {}\n", outline.name));
    }
    if let Some(description) = &outline.description {
        text.push_str(&format!("DESCRIPTION: {description}\n"));
    }
    for (head, rows) in call::outline_tables(&outline) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&cli::table(&head, &rows));
    }
    render::print(&text)
}
