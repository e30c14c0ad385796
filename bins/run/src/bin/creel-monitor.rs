//! `creel-monitor`: stays with one container in the background. `creel-run` starts it.
//!
//! It reads what to do as JSON from standard input and reports on standard output, a line of JSON
//! each, until the container has been started. It has no options, so that programs and monitors
//! of different releases understand each other.

use std::io::{Read, Write};
use std::process::ExitCode;

use creel::run::{StayOrder, StayReport, stay};
use creel::sys;

/// The largest order that is read.
const MAX_ORDER: u64 = 1 << 20;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut text = Vec::new();
    let read = std::io::stdin().take(MAX_ORDER).read_to_end(&mut text);
    let order = read.ok().and_then(|_| serde_json::from_slice::<StayOrder>(&text).ok());
    let Some(order) = order else {
        let _ = writeln!(
            std::io::stderr(),
            "creel-monitor: expected an order on standard input\nhint: creel-run starts this program"
        );
        return ExitCode::from(USAGE);
    };
    match sys::into_background() {
        Ok(true) => stay(&order, &report),
        Ok(false) => {}
        Err(error) => report(&StayReport::Failed {
            kind: creel::ErrorKind::Failed,
            text: format!("starting a process in the background: {error}"),
        }),
    }
    ExitCode::SUCCESS
}

/// Whoever started this process may be gone: that is no failure of the container's.
fn report(report: &StayReport) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = std::io::stdout().write_all(&line).and_then(|()| std::io::stdout().flush());
    }
    if matches!(report, StayReport::Started) {
        let _ = sys::drop_standard_streams();
    }
}
