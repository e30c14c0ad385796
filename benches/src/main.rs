//! Measures the programs against Debian's, on this machine and in the same run.
//!
//! Inputs come from a seeded generator; both registries are processes on this machine; the two
//! programs take turns; every result is checked before its time counts.

mod bench;
mod builds;
mod containers;
mod content;
mod contest;
mod inspections;
mod layout;
mod measure;
mod place;
mod pull;
mod registry;
mod report;
mod rows;

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use bench::Bench;
use report::Line;
use rows::{ROWS, Row};

type Error = Box<dyn std::error::Error>;
type Result<T, E = Error> = std::result::Result<T, E>;

const USAGE: &str = "usage: creel-bench [--json] [-n ROUNDS] [ROW...]

Measures all rows, or those named:
";

/// What was asked for.
#[derive(Default)]
struct Arguments {
    json: bool,
    rounds: Option<usize>,
    rows: Vec<&'static Row>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match arguments.split_first() {
        Some((first, rest)) if first == measure::ARGUMENT => measure::main(rest),
        _ => parse(&arguments).and_then(|arguments| measure_all(&arguments)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("creel-bench: {error}");
        ExitCode::FAILURE
    })
}

fn parse(arguments: &[OsString]) -> Result<Arguments> {
    let mut parsed = Arguments::default();
    let mut words = arguments.iter().map(|argument| argument.to_string_lossy());
    while let Some(word) = words.next() {
        match word.as_ref() {
            "--json" => parsed.json = true,
            "-n" => parsed.rounds = Some(words.next().ok_or("-n needs a number")?.parse()?),
            name => {
                let row = ROWS.iter().find(|row| row.name == name);
                parsed.rows.push(row.ok_or_else(usage)?);
            }
        }
    }
    if parsed.rounds == Some(0) {
        return Err("-n must be at least 1".into());
    }
    if parsed.rows.is_empty() {
        parsed.rows = ROWS.iter().collect();
    }
    Ok(parsed)
}

fn usage() -> String {
    let rows = ROWS.iter().map(|row| format!("  {:31} {}\n", row.name, row.work));
    format!("{USAGE}{}", rows.collect::<String>())
}

fn measure_all(arguments: &Arguments) -> Result<ExitCode> {
    let program = std::env::current_exe()?;
    let programs = program.parent().ok_or("this program is in no folder")?;
    let mut lines = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for row in &arguments.rows {
        eprintln!("{}: {}", row.name, row.work);
        // New surroundings for each row, so that none depends on the one before.
        let bench = Bench::new(programs.to_path_buf(), arguments.rounds)?;
        match row.measure(&bench) {
            Ok(measured) => lines.push(Line::new(row, measured)),
            Err(error) => {
                eprintln!("{}: not measured: {error}", row.name);
                code = ExitCode::FAILURE;
            }
        }
    }
    if arguments.json {
        println!("{:#}", report::json(&lines));
    } else if !lines.is_empty() {
        println!("\n{}\n\n{}", surroundings(), report::table(&lines));
    }
    Ok(code)
}

/// The machine and the peers, in one line.
fn surroundings() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let first_line = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        let output = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        output.unwrap_or_default().lines().next().unwrap_or_default().trim().to_string()
    };
    format!(
        "{cores} cores, Linux {}, {}, {}, {}; medians",
        first_line("uname", "-r"),
        first_line("skopeo", "--version"),
        first_line("buildah", "--version"),
        first_line("docker-registry", "--version"),
    )
}
