//! `creel-run logs`.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use creel::container::log::{LogFollower, LogReader, LogSelection, LogStream, Moment, ReadRecord};
use creel::container::monitor::{MonitorClient, Request, WaitCondition};
use creel::error::{Error, IoContext, Result};
use creel::run::{self, Logs};
use creel::sys::{Patient, Wait, wait_any};

use crate::args::LogsArgs;
use crate::context::Context;

pub fn run(context: &Context, args: &LogsArgs) -> Result<u8> {
    let selection = selection(args)?;
    let logs = run::logs(&context.engine(None)?, &args.container)?;
    let mut output = Output::new(args.timestamps)?;
    match args.follow {
        true => follow(&logs, selection, &mut output),
        false => {
            let mut reader = LogReader::open(&logs.path, logs.format, selection)?;
            while let Some(record) = reader.next_record()? {
                if !output.print(&record)? {
                    break;
                }
            }
            Ok(())
        }
    }?;
    output.flush().map(|()| 0)
}

/// Prints what is written until the container has ended.
fn follow(logs: &Logs, selection: LogSelection, output: &mut Output) -> Result<()> {
    if let Some(directory) = logs.path.parent().filter(|directory| !directory.exists()) {
        let making = || format!("making directory {}", directory.display());
        std::fs::create_dir_all(directory).doing(making)?;
    }
    let mut monitor = MonitorClient::connect(&logs.monitor)?;
    if let Some(monitor) = &mut monitor {
        monitor.send(&Request::Wait { condition: WaitCondition::NotRunning })?;
    }
    let mut follower = LogFollower::open(&logs.path, logs.format, selection)?;
    loop {
        while let Some(record) = follower.next_record()? {
            if !output.print(&record)? {
                return Ok(());
            }
        }
        output.flush()?;
        let Some(ended) = monitor.as_ref().filter(|_| !follower.has_ended()) else {
            return Ok(());
        };
        let waits = [Wait::Read(follower.as_fd()), Wait::Read(ended.as_fd())];
        let [_, over] = wait_any(waits, None).doing(|| "waiting for the log")?;
        if over {
            // All output is in the log by now: one more look.
            monitor = None;
        }
    }
}

fn selection(args: &LogsArgs) -> Result<LogSelection> {
    let tail = match args.tail.as_str() {
        "all" => None,
        text => match text.parse::<i64>() {
            Ok(count) => u64::try_from(count).ok(),
            Err(_) => {
                return Err(Error::usage(format!(
                    "invalid value {text:?} for --tail: expected a number of lines or all"
                )));
            }
        },
    };
    let moment =
        |text: &Option<String>, flag| text.as_deref().map(|text| moment(text, flag)).transpose();
    Ok(LogSelection {
        since: moment(&args.since, "--since")?,
        until: moment(&args.until, "--until")?,
        tail,
        ..LogSelection::default()
    })
}

fn moment(text: &str, flag: &str) -> Result<Moment> {
    Moment::from_text(text).ok_or_else(|| {
        Error::usage(format!(
            "invalid value {text:?} for {flag}: expected RFC 3339, Unix seconds or a duration \
             such as 10m"
        ))
    })
}

/// Both streams, written in the order of the records.
struct Output {
    files: [File; 2],
    pending: [Vec<u8>; 2],
    timestamps: bool,
}

/// Output is written in pieces of about this size.
const PIECE: usize = 32 << 10;

impl Output {
    fn new(timestamps: bool) -> Result<Output> {
        let copy = |stream: std::os::fd::BorrowedFd<'_>| {
            stream.try_clone_to_owned().doing(|| "opening the standard streams").map(File::from)
        };
        let files = [copy(io::stdout().as_fd())?, copy(io::stderr().as_fd())?];
        Ok(Output { files, pending: [Vec::new(), Vec::new()], timestamps })
    }

    /// Prints a record; false when nobody reads any more.
    fn print(&mut self, record: &ReadRecord) -> Result<bool> {
        let index = usize::from(record.stream == LogStream::Stderr);
        // What came first on the other stream is shown first.
        if self.pending.get(1 - index).is_some_and(|other| !other.is_empty()) && !self.write()? {
            return Ok(false);
        }
        let Some(pending) = self.pending.get_mut(index) else { return Ok(true) };
        if self.timestamps && record.begins {
            pending.extend_from_slice(record.time.to_string().as_bytes());
            pending.push(b' ');
        }
        pending.extend_from_slice(&record.text);
        if pending.len() > PIECE { self.write() } else { Ok(true) }
    }

    fn flush(&mut self) -> Result<()> {
        self.write().map(drop)
    }

    fn write(&mut self) -> Result<bool> {
        for (file, pending) in self.files.iter_mut().zip(&mut self.pending) {
            let written = Patient(&*file).write_all(pending);
            pending.clear();
            match written {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                written => written.doing(|| "writing the log")?,
            }
        }
        Ok(true)
    }
}
