//! A person's streams connected to a container in the background.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use super::log::LogStream;
use super::monitor::{Answer, Attachment, MonitorClient, Request};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::runtime::terminal::DetachKeys;
use crate::sys::{Patient, RawTerminal, SignalQueue, Wait, terminal_size, wait_any};

const BUFFER: usize = 16 << 10;

/// What a person is connected with.
#[derive(Debug)]
pub struct PersonStreams {
    /// What is passed to the container; none: nothing.
    pub input: Option<OwnedFd>,
    /// Where its output goes; none: nowhere.
    pub output: Option<OwnedFd>,
    /// Where its errors go; none: nowhere.
    pub errors: Option<OwnedFd>,
}

/// How one attaches.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    /// Whether the container has a terminal: the person's is then set to pass every key on.
    pub terminal: bool,
    /// Whether signals are passed on; else they are taken and have no effect.
    pub proxy_signals: bool,
    /// What leaves the container; empty: nothing does.
    pub detach_keys: Vec<u8>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachEnd {
    /// The container ended with this code.
    Exited(i32),
    /// The person left it, and it goes on.
    Left,
}

/// A connection that has been asked for, so that no output from then on is missed.
pub struct Attached {
    client: MonitorClient,
    streams: PersonStreams,
    options: AttachOptions,
}

impl Attached {
    /// Connects the streams.
    pub fn begin(
        mut client: MonitorClient,
        streams: PersonStreams,
        options: AttachOptions,
    ) -> Result<Attached> {
        client.send(&Request::Attach {
            stdin: streams.input.is_some(),
            stdout: streams.output.is_some(),
            stderr: streams.errors.is_some(),
        })?;
        Ok(Attached { client, streams, options })
    }

    /// Copies both ways until the container ends or the person leaves.
    ///
    /// `control` sends requests besides: signals and sizes.
    ///
    /// # Errors
    /// `Unavailable` when the monitor was killed.
    pub fn run(self, control: &mut MonitorClient, signals: &SignalQueue) -> Result<AttachEnd> {
        let Attached { mut client, streams, options } = self;
        let setting = || "setting the terminal";
        let raw = match (&streams.input, options.terminal) {
            (Some(input), true) => {
                RawTerminal::start(input.try_clone().doing(setting)?).doing(setting)?
            }
            _ => None,
        };
        let mut keys = DetachKeys::new(options.detach_keys.clone());
        let mut input = streams.input.map(File::from);
        let mut outputs = [streams.output.map(File::from), streams.errors.map(File::from)];
        if options.terminal {
            resize(&outputs, control)?;
        }
        loop {
            let typed = input.as_ref().map_or(Wait::Never, |input| Wait::Read(input.as_fd()));
            let came = client.has_received();
            let patience = came.then_some(std::time::Duration::ZERO);
            let waits = [Wait::Read(client.as_fd()), typed, Wait::Read(signals.as_fd())];
            let [heard, typed, signalled] =
                wait_any(waits, patience).doing(|| "waiting for the container")?;
            if signalled {
                pass_signals(signals, control, &options, &outputs)?;
            }
            if typed && read_input(&mut input, &mut client, &mut keys)? {
                drop(raw);
                return Ok(AttachEnd::Left);
            }
            if heard || came {
                match client.receive()? {
                    Attachment::Output(stream, bytes) => {
                        write_output(&mut outputs, stream, &bytes)?
                    }
                    Attachment::Answered(answer) => return ended(answer),
                    Attachment::Lost => {
                        return Err(Error::new(
                            ErrorKind::Unavailable,
                            "the container's monitor was killed: the container may still run",
                        ));
                    }
                }
            }
        }
    }
}

fn ended(answer: Answer) -> Result<AttachEnd> {
    match answer {
        Answer::Exited(code) => Ok(AttachEnd::Exited(code)),
        Answer::Refused(refusal) => Err(Error::new(ErrorKind::Busy, refusal.text)),
        Answer::Done => Err(Error::invalid("not an answer of a container's monitor")),
    }
}

fn write_output(outputs: &mut [Option<File>; 2], stream: LogStream, bytes: &[u8]) -> Result<()> {
    let index = usize::from(stream == LogStream::Stderr);
    let Some(place) = outputs.get_mut(index) else { return Ok(()) };
    let Some(output) = place else { return Ok(()) };
    match Patient(&*output).write_all(bytes) {
        // Nobody reads any more; the container's end is waited for all the same.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            *place = None;
            Ok(())
        }
        written => written.doing(|| "writing the container's output"),
    }
}

/// Passes on what was typed; true when it says to leave.
fn read_input(
    input: &mut Option<File>,
    client: &mut MonitorClient,
    keys: &mut DetachKeys,
) -> Result<bool> {
    let Some(file) = input else { return Ok(false) };
    let mut buffer = [0; BUFFER];
    match file.read(&mut buffer) {
        Ok(count) if count > 0 => {
            let mut passed = Vec::new();
            let leaves = keys.take(buffer.get(..count).unwrap_or_default(), &mut passed);
            if !passed.is_empty() {
                client.input(&passed)?;
            }
            return Ok(leaves);
        }
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
        // The end, or a terminal that belongs to somebody else now.
        Ok(_) => {
            *input = None;
            client.end_input()?;
        }
        Err(error) if error.raw_os_error() == Some(libc::EIO) => *input = None,
        Err(error) => return Err(error).doing(|| "reading standard input"),
    }
    Ok(false)
}

fn pass_signals(
    signals: &SignalQueue,
    control: &mut MonitorClient,
    options: &AttachOptions,
    outputs: &[Option<File>; 2],
) -> Result<()> {
    while let Some(number) = signals.next().doing(|| "reading signals")? {
        match number {
            libc::SIGCHLD | libc::SIGPIPE | libc::SIGURG => {}
            libc::SIGWINCH if options.terminal => resize(outputs, control)?,
            _ if !options.proxy_signals => {}
            number => {
                let request = Request::Signal { number, stays_ended: false };
                // A container that has just ended needs no signal.
                drop(control.ask(&request));
            }
        }
    }
    Ok(())
}

/// Gives the container's terminal the size of the person's, if that has one.
fn resize(outputs: &[Option<File>; 2], control: &mut MonitorClient) -> Result<()> {
    let size = outputs.iter().flatten().find_map(terminal_size);
    if let Some((rows, columns)) = size {
        drop(control.ask(&Request::Resize { rows, columns })?);
    }
    Ok(())
}
