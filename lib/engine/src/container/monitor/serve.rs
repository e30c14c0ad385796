//! The monitor's loop.

use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::super::log::{LogStream, LogWriter, Moment};
use super::super::restart::{RestartPolicy, Restarts};
use super::io::{ContainerIo, OpenIo, Taken};
use super::peer::{Peer, Streams, refused};
use super::wire::{Answer, FrameKind, Refusal, Request, WaitCondition};
use crate::error::{IoContext, Result};
use crate::sys::{Ended, Wait, Watched, wait_many};

/// Bytes that are read from a stream at once.
const BLOCK: usize = 64 << 10;
/// A line that has begun is written down after this long without a byte.
const PARTIAL_LINE: Duration = Duration::from_millis(100);
/// How long clients may take to read the last bytes.
const FAREWELL: Duration = Duration::from_secs(10);

/// A container's process and streams, just started.
#[derive(Debug)]
pub struct Started {
    /// Its first process: a child of this process or one that it adopted.
    pub process: Watched,
    /// Its streams.
    pub io: ContainerIo,
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct Exit {
    /// The exit code; 128 and the signal's number for a process that was killed.
    pub code: i32,
    /// When.
    pub finished: Moment,
    /// When it starts again, if it does.
    pub restarts_in: Option<Duration>,
    /// How often it was started again before.
    pub restarts: u32,
    /// Whether it was meant to end.
    pub stopped: bool,
}

/// How a container is started, and what becomes of it: all that a monitor does not know itself.
pub trait Launcher {
    /// Starts the container again.
    fn start(&mut self) -> Result<Started>;

    /// Records the end of a run. All output is in the log; nobody has been told.
    fn ended(&mut self, exit: &Exit) -> Result<()>;

    /// Sends a signal to the container.
    fn signal(&mut self, process: &Watched, number: i32) -> Result<()> {
        process.signal(number).doing(|| "sending a signal to the container")
    }
}

/// What a monitor is told of its container.
#[derive(Clone, Copy, Debug)]
pub struct MonitorSettings {
    /// Whether it starts again.
    pub restart: RestartPolicy,
    /// What it is asked to stop with.
    pub stop_signal: i32,
    /// Seconds until it is killed then; negative for ever.
    pub stop_timeout: i64,
    /// Standard input ends with the first client that writes to it.
    pub stdin_once: bool,
}

/// Stays with a container that was started until it has ended and is not started again.
///
/// Returns the last exit.
///
/// # Errors
/// What keeps it from watching. That an end could not be recorded or a log not be written does
/// not: the container goes on, and the first such failure is returned at the end.
pub fn monitor(
    launcher: &mut dyn Launcher,
    listener: &UnixListener,
    log: Option<LogWriter>,
    started: Started,
    settings: MonitorSettings,
) -> Result<Exit> {
    listener.set_nonblocking(true).doing(|| "listening for clients")?;
    let mut monitor = Monitor {
        launcher,
        log,
        settings,
        peers: Vec::new(),
        run: None,
        restarts: Restarts::default(),
        restart_at: None,
        stopping: None,
        stopped: false,
        line_deadline: None,
        last: None,
        failure: None,
    };
    monitor.begin(started)?;
    while !monitor.is_over() {
        monitor.turn(listener)?;
    }
    monitor.take_leave()
}

/// A run of the container.
struct Run {
    process: Watched,
    io: OpenIo,
    since: Instant,
}

struct Monitor<'a> {
    launcher: &'a mut dyn Launcher,
    log: Option<LogWriter>,
    settings: MonitorSettings,
    peers: Vec<Peer>,
    run: Option<Run>,
    restarts: Restarts,
    /// When it starts again.
    restart_at: Option<Instant>,
    /// It was asked to stop: when it is killed, unless never.
    stopping: Option<Option<Instant>>,
    /// It is meant to stay ended.
    stopped: bool,
    line_deadline: Option<Instant>,
    last: Option<Exit>,
    failure: Option<crate::Error>,
}

/// What became ready.
#[derive(Clone, Copy)]
enum Ready {
    Listener,
    Ended,
    Output(usize),
    Input,
    PeerIn(usize),
    PeerOut(usize),
}

impl Monitor<'_> {
    fn begin(&mut self, started: Started) -> Result<()> {
        let Started { process, io } = started;
        self.run = Some(Run { process, io: OpenIo::new(io)?, since: Instant::now() });
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.run.is_none() && self.restart_at.is_none()
    }

    /// Waits for something to happen and deals with it.
    fn turn(&mut self, listener: &UnixListener) -> Result<()> {
        let (what, waits) = self.waits(listener);
        let ready = wait_many(&waits, self.patience()).doing(|| "watching the container")?;
        drop(waits);
        let mut ended = false;
        for (what, _) in what.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            match what {
                Ready::Listener => self.welcome(listener),
                Ready::Ended => ended = true,
                Ready::Output(index) => drop(self.copy_output(index)),
                Ready::Input => self.write_input(),
                Ready::PeerIn(index) => self.listen_to(index),
                Ready::PeerOut(index) => {
                    if let Some(peer) = self.peers.get_mut(index) {
                        peer.send();
                    }
                }
            }
        }
        self.peers.retain(|peer| !peer.is_gone());
        self.look_at_clock();
        if ended {
            self.finish_run()?;
        }
        if self.restart_at.is_some_and(|at| at <= Instant::now()) {
            self.start_again();
        }
        Ok(())
    }

    fn waits<'w>(&'w self, listener: &'w UnixListener) -> (Vec<Ready>, Vec<Wait<'w>>) {
        let mut what = vec![Ready::Listener];
        let mut waits = vec![Wait::Read(listener.as_fd())];
        let mut add = |ready, wait| {
            what.push(ready);
            waits.push(wait);
        };
        let room = self.run.as_ref().is_some_and(|run| run.io.has_room());
        if let Some(run) = &self.run {
            add(Ready::Ended, Wait::Read(run.process.as_fd()));
            if let Some(input) = run.io.waiting_input() {
                add(Ready::Input, Wait::Write(input));
            }
            // A client that does not keep up slows the container down.
            let held_up = self.peers.iter().any(Peer::is_full);
            for (index, output) in run.io.outputs.iter().enumerate().filter(|_| !held_up) {
                if let Some(output) = output {
                    add(Ready::Output(index), Wait::Read(output.as_fd()));
                }
            }
        }
        for (index, peer) in self.peers.iter().enumerate() {
            let takes = room || !peer.writes_input();
            add(
                Ready::PeerIn(index),
                if takes { Wait::Read(peer.as_fd()) } else { Wait::Gone(peer.as_fd()) },
            );
            if peer.has_output() {
                add(Ready::PeerOut(index), Wait::Write(peer.as_fd()));
            }
        }
        (what, waits)
    }

    /// How long nothing needs to be done without an event.
    fn patience(&self) -> Option<Duration> {
        let kill_at = self.stopping.flatten();
        let next = [kill_at, self.restart_at, self.line_deadline].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn look_at_clock(&mut self) {
        let now = Instant::now();
        if self.line_deadline.is_some_and(|at| at <= now) {
            self.line_deadline = None;
            let flushed = self.log.as_mut().map_or(Ok(()), LogWriter::flush);
            self.keep(flushed);
        }
        if self.stopping.flatten().is_some_and(|at| at <= now) {
            self.stopping = Some(None);
            self.send_signal(libc::SIGKILL);
        }
    }

    /// Keeps the first failure that does not stop us.
    fn keep(&mut self, result: Result<()>) {
        if let (Err(error), None) = (result, &self.failure) {
            self.failure = Some(error);
        }
    }

    fn welcome(&mut self, listener: &UnixListener) {
        while let Ok((socket, _)) = listener.accept() {
            self.peers.extend(Peer::new(socket));
        }
    }

    /// Moves what is there of an output to the log and the clients; false when there was nothing.
    fn copy_output(&mut self, index: usize) -> bool {
        let Some(run) = &mut self.run else { return false };
        let mut buffer = [0; BLOCK];
        let count = match run.io.read(index, &mut buffer) {
            Taken::Bytes(count) => count,
            Taken::Nothing | Taken::End => return false,
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        let stream = LogStream::ALL.get(index).copied().unwrap_or(LogStream::Stdout);
        if let Some(log) = &mut self.log {
            let written = log.write(stream, bytes);
            self.line_deadline = log.has_begun_line().then(|| Instant::now() + PARTIAL_LINE);
            self.keep(written);
        }
        for peer in &mut self.peers {
            peer.output(stream, bytes);
        }
        true
    }

    fn write_input(&mut self) {
        if let Some(run) = &mut self.run {
            run.io.write_input();
        }
    }

    fn listen_to(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.receive();
        while let Some((kind, payload)) = self.peers.get_mut(index).and_then(Peer::next_frame) {
            self.take_frame(index, kind, &payload);
        }
        let left = self.peers.get(index).is_some_and(|peer| peer.is_gone() && peer.writes_input());
        if left && self.settings.stdin_once {
            self.close_input();
        }
    }

    fn take_frame(&mut self, index: usize, kind: FrameKind, payload: &[u8]) {
        let Some(peer) = self.peers.get(index) else { return };
        match kind {
            FrameKind::Request => match Request::from_payload(payload) {
                Ok(request) => self.carry_out(index, request),
                Err(error) => self.answer(index, &refused(&Err(error))),
            },
            FrameKind::Input if peer.writes_input() => {
                if let Some(run) = &mut self.run {
                    run.io.feed(payload);
                }
            }
            FrameKind::InputEnd if peer.writes_input() && self.settings.stdin_once => {
                self.close_input();
            }
            _ => {}
        }
    }

    fn close_input(&mut self) {
        if let Some(run) = &mut self.run {
            run.io.close_input();
        }
    }

    fn answer(&mut self, index: usize, answer: &Answer) {
        if let Some(peer) = self.peers.get_mut(index) {
            peer.answer(answer);
        }
    }

    fn carry_out(&mut self, index: usize, request: Request) {
        let answer = match request {
            Request::Attach { stdin, stdout, stderr } => self.attach(index, stdin, stdout, stderr),
            Request::Resize { rows, columns } => Some(self.resize(rows, columns)),
            Request::Signal { number, stays_ended } => Some(self.signal(number, stays_ended)),
            Request::Stop { signal, timeout } => self.stop(index, signal, timeout),
            Request::Wait { condition } => {
                self.wait_for(index, condition);
                None
            }
            Request::SetRestart { policy } => {
                self.settings.restart = policy;
                Some(Answer::Done)
            }
        };
        if let Some(answer) = answer {
            self.answer(index, &answer);
        }
    }

    /// The answer comes with the container's end.
    fn attach(&mut self, index: usize, stdin: bool, stdout: bool, stderr: bool) -> Option<Answer> {
        if self.run.is_none() {
            return Some(not_running());
        }
        let peer = self.peers.get_mut(index)?;
        peer.attached = Some(Streams { stdin, stdout, stderr });
        peer.waits = Some(WaitCondition::NextExit);
        None
    }

    fn resize(&self, rows: u16, columns: u16) -> Answer {
        match &self.run {
            Some(run) => {
                let resized = run.io.resize(rows, columns);
                refused(&resized.map(drop).doing(|| "resizing the container's terminal"))
            }
            None => not_running(),
        }
    }

    fn signal(&mut self, number: i32, stays_ended: bool) -> Answer {
        let Some(run) = &self.run else {
            self.give_up_restart(stays_ended);
            return not_running();
        };
        let sent = self.launcher.signal(&run.process, number);
        self.stopped |= stays_ended && sent.is_ok();
        refused(&sent)
    }

    fn stop(&mut self, index: usize, signal: Option<i32>, timeout: Option<i64>) -> Option<Answer> {
        self.stopped = true;
        if self.run.is_none() {
            self.give_up_restart(true);
            return Some(
                self.last.as_ref().map_or_else(not_running, |exit| Answer::Exited(exit.code)),
            );
        }
        self.wait_for(index, WaitCondition::NotRunning);
        let timeout = timeout.unwrap_or(self.settings.stop_timeout);
        // Asked twice, it is killed at the earlier moment.
        let kill_at = u64::try_from(timeout)
            .ok()
            .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
        let before = self.stopping.flatten();
        self.stopping = Some([before, kill_at].into_iter().flatten().min());
        if timeout != 0 {
            self.send_signal(signal.unwrap_or(self.settings.stop_signal));
        }
        None
    }

    fn send_signal(&mut self, number: i32) {
        if let Some(run) = &self.run {
            let sent = self.launcher.signal(&run.process, number);
            self.keep(sent);
        }
    }

    fn wait_for(&mut self, index: usize, condition: WaitCondition) {
        if let Some(peer) = self.peers.get_mut(index) {
            peer.waits = Some(condition);
        }
    }

    fn give_up_restart(&mut self, stays_ended: bool) {
        if !stays_ended {
            return;
        }
        self.stopped = true;
        if self.restart_at.take().is_some()
            && let Some(mut exit) = self.last.take()
        {
            exit.restarts_in = None;
            exit.stopped = true;
            let recorded = self.launcher.ended(&exit);
            self.keep(recorded);
            self.last = Some(exit);
        }
    }

    /// The container's process has ended.
    fn finish_run(&mut self) -> Result<()> {
        // What it wrote is in the pipes. Others that hold them open are not waited for.
        for index in 0..LogStream::ALL.len() {
            while self.copy_output(index) {}
        }
        let Some(Run { process, since, .. }) = self.run.take() else { return Ok(()) };
        let flushed = self.log.as_mut().map_or(Ok(()), LogWriter::flush);
        self.keep(flushed);
        self.line_deadline = None;
        let code = process.wait().map_or(-1, Ended::code);
        self.end_run(code, since.elapsed());
        Ok(())
    }

    /// Records an end, and decides what follows.
    fn end_run(&mut self, code: i32, lasted: Duration) {
        let restarts = self.restarts.count();
        let delay = match self.stopped {
            true => None,
            false => self.restarts.next_delay(self.settings.restart, code, lasted),
        };
        let exit = Exit {
            code,
            finished: Moment::now(),
            restarts_in: delay,
            restarts,
            stopped: self.stopped,
        };
        let recorded = self.launcher.ended(&exit);
        self.keep(recorded);
        self.stopping = None;
        self.restart_at = delay.and_then(|delay| Instant::now().checked_add(delay));
        self.last = Some(exit);
        let over = self.restart_at.is_none();
        for peer in &mut self.peers {
            match peer.waits {
                Some(WaitCondition::NextExit) => peer.dismiss(&Answer::Exited(code)),
                Some(WaitCondition::NotRunning) if over => peer.dismiss(&Answer::Exited(code)),
                _ => {}
            }
        }
    }

    fn start_again(&mut self) {
        self.restart_at = None;
        let started = self.launcher.start().and_then(|started| self.begin(started));
        if let Err(error) = started {
            self.keep(Err(error));
            // As a run that ended at once: the delay grows, and the policy's count holds.
            self.end_run(CANNOT_START, Duration::ZERO);
        }
    }

    /// Sends what clients have not read yet, and tells the last exit.
    fn take_leave(mut self) -> Result<Exit> {
        let last = self.last.take();
        let answer = last.as_ref().map_or_else(not_running, |exit| Answer::Exited(exit.code));
        for peer in &mut self.peers {
            if peer.waits.is_some() && !peer.is_gone() {
                peer.dismiss(&answer);
            }
        }
        let until = Instant::now() + FAREWELL;
        loop {
            self.peers.retain(|peer| !peer.is_gone() && peer.has_output());
            let left = until.saturating_duration_since(Instant::now());
            if self.peers.is_empty() || left.is_zero() {
                break;
            }
            let waits: Vec<Wait<'_>> =
                self.peers.iter().map(|peer| Wait::Write(peer.as_fd())).collect();
            wait_many(&waits, Some(left)).doing(|| "waiting for clients")?;
            self.peers.iter_mut().for_each(Peer::send);
        }
        match (self.failure, last) {
            (Some(error), _) => Err(error),
            (None, Some(exit)) => Ok(exit),
            (None, None) => Err(crate::Error::new(crate::ErrorKind::Failed, "nothing was run")),
        }
    }
}

/// The exit code of a container that could not be started again.
const CANNOT_START: i32 = 128;

fn not_running() -> Answer {
    Answer::Refused(Refusal { not_running: true, text: "the container is not running".to_owned() })
}

impl From<RestartPolicy> for MonitorSettings {
    /// Docker's defaults: `SIGTERM`, ten seconds.
    fn from(restart: RestartPolicy) -> MonitorSettings {
        MonitorSettings { restart, stop_signal: libc::SIGTERM, stop_timeout: 10, stdin_once: false }
    }
}
