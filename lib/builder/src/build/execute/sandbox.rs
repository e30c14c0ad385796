//! One command in a container of its own, and the layer that its changes make.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{PipeReader, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::super::graph::Run;
use super::options::{BuildEvent, Cancel, RunSettings, StepName};
use super::state::Place;
use super::{BuildResult, Builder, Failure};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::Stack;
use crate::network::Attachment;
use crate::runtime::binfmt::runs_foreign;
use crate::runtime::devices::find_devices;
use crate::runtime::files::{self, Dns};
use crate::runtime::{
    Accounts, Bundle, CdiEdits, Container, Control, HostFacts, HostNames, ImageDefaults, Look,
    Outcome, RunOptions, Runtime, Sources, Stream, Streams, build, check_options, find_program,
    prepare,
};
use crate::sys::{self, Dir, FileKind, Root, Time};

/// Of what a failed command wrote, so much is shown again.
const MAX_TAIL: usize = 4 << 10;

/// The name of the machine, to commands.
const HOSTNAME: &str = "buildkitsandbox";

/// What a command is run with.
pub(super) struct Command<'a> {
    pub(super) run: &'a Run,
    pub(super) settings: &'a RunSettings,
    /// Its mounted root, and the directory that takes its changes.
    pub(super) root: &'a Path,
    pub(super) upper: &'a Path,
    /// What is below its changes.
    pub(super) lower: &'a Stack<'a>,
    /// Options with all mounts.
    pub(super) options: RunOptions,
    /// Whether it is connected to the bridge.
    pub(super) bridge: bool,
    /// Variables besides those of the step: proxies, secrets, agents.
    pub(super) env: Vec<String>,
    pub(super) name: StepName<'a>,
    /// Whether it talks to whoever builds.
    pub(super) interactive: bool,
    /// What its named devices need.
    pub(super) named: CdiEdits,
}

impl Builder<'_> {
    /// Runs a command to its end; what it leaves are its changes.
    pub(super) fn in_sandbox(&self, command: &Command<'_>, sources: &Sources) -> BuildResult<()> {
        let settings = command.settings;
        let host = HostFacts::gather(command.options.privileged)?;
        check_options(&command.options, &host)?;
        let id = new_id();
        let machine = &settings.machine;
        let state = Place::create(machine, &id)?;
        let root = Root::open(command.root)?;
        let image = ImageDefaults {
            cmd: command.run.arguments.clone(),
            env: environment(command),
            user: command.run.user.clone(),
            workdir: command.run.workdir.clone().unwrap_or_default(),
            ..ImageDefaults::default()
        };
        let attachment = match command.bridge {
            true => {
                let runs = |other: &str| machine.is_running(other);
                Some(Attachment::to_bridge(&machine.state, &id, None, &runs)?)
            }
            false => None,
        };
        let mut devices = find_devices(&command.options.devices)?;
        devices.extend(command.named.devices.iter().cloned());
        let container = Container {
            id: id.clone(),
            root: command.root.to_owned(),
            user: Accounts::read(&root)?.resolve(&command.run.user, &[])?,
            sources: sources.paths().collect(),
            network: attachment.as_ref().map(Attachment::path),
            files: etc(
                settings,
                &command.options,
                attachment.as_ref().map(|attachment| attachment.gateway().into()),
                state.path(),
            )?,
            devices,
            named: command.named.clone(),
            ..Container::default()
        };
        let built = build(&command.options, &image, &host, &container)?;
        for warning in &built.warnings {
            self.reporter.event(BuildEvent::Warning(warning));
        }
        let made = prepare(&root, &built.spec, false, None)?;
        let times = Times::settle(command.upper, command.lower, &root)?;
        let ended = match find_program(&root, &built.spec, &host, Look::InRoot, &runs_foreign) {
            Err(reason) => Err(self.failed(command.run, Some(reason.code), reason.reason, vec![])),
            Ok(()) => {
                let bundle = Bundle::write(state.path(), &id, &built.spec)?;
                self.attend(command, &machine.called(&host), &bundle)
            }
        };
        if let Some(attachment) = attachment {
            attachment.detach()?;
        }
        ended?;
        let times = times.now(&root)?;
        made.remove_unused()?;
        times.restore(&root)?;
        Ok(())
    }

    /// Passes on what the command writes until it ends.
    fn attend(&self, command: &Command<'_>, runtime: &Runtime, bundle: &Bundle) -> BuildResult<()> {
        // A builder that is killed leaves no command behind.
        let guard = sys::Guard::over(&bundle.pid_file()).doing(|| "guarding a command")?;
        if command.interactive {
            let ended = self.converse(command, runtime, bundle);
            guard.call_off();
            return ended;
        }
        let piping = || "making a pipe";
        let (reader, writer) = std::io::pipe().doing(piping)?;
        let other = writer.try_clone().doing(piping)?;
        let streams = Streams {
            stdin: Stream::Null,
            // One pipe for both; the runtime alone decides which comes first.
            stdout: Stream::Direct(writer.into()),
            stderr: Stream::Direct(other.into()),
        };
        let (outcome, tail) = std::thread::scope(|scope| {
            let listener = scope.spawn(|| self.listen(command.name, reader));
            let cancel = command.settings.cancel.as_deref();
            let counted = cancel.map(Cancel::command);
            let control = Control { cancel: cancel.map(Cancel::file), ..Control::default() };
            let outcome = runtime.run(bundle, streams, control);
            drop(counted);
            guard.call_off();
            (outcome, listener.join().unwrap_or_default())
        });
        match outcome? {
            Outcome::Exited(0) => Ok(()),
            Outcome::Exited(code) => {
                let why = format!("exit code: {code}");
                Err(self.failed(command.run, u8::try_from(code).ok(), why, tail))
            }
            _ => Err(Error::new(ErrorKind::Cancelled, "the command was stopped").into()),
        }
    }

    fn failed(&self, run: &Run, code: Option<u8>, why: String, tail: Vec<u8>) -> Failure {
        let words = run.arguments.join(" ");
        let text = format!("process {words:?} did not complete successfully: {why}");
        Failure { code, tail, ..Failure::from(Error::new(ErrorKind::Failed, text)) }
    }

    /// Tells what a command writes, and keeps the end of it.
    fn listen(&self, name: StepName<'_>, mut reader: PipeReader) -> Vec<u8> {
        let mut buffer = vec![0; 32 << 10];
        let mut tail: Vec<u8> = Vec::new();
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.reporter.event(BuildEvent::Output(name, &buffer[..count]));
                    tail.extend_from_slice(&buffer[..count]);
                    let over = tail.len().saturating_sub(MAX_TAIL);
                    tail.drain(..over);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        tail
    }
}

fn environment(command: &Command<'_>) -> Vec<String> {
    let step = command.run.environment.iter().map(|(name, value)| format!("{name}={value}"));
    step.chain(command.env.iter().cloned()).collect()
}

/// Writes the files that are put over those of `/etc`.
fn etc(
    settings: &RunSettings,
    options: &RunOptions,
    gateway: Option<IpAddr>,
    state: &Path,
) -> Result<BTreeMap<String, PathBuf>> {
    use crate::runtime::options::NamespaceMode;
    let of_host = HostNames::read();
    let own_network = options.namespaces.network != NamespaceMode::Host;
    let mut hosts = format!("127.0.0.1\tlocalhost {HOSTNAME}\n");
    hosts.push_str("::1\tlocalhost ip6-localhost ip6-loopback\n");
    files::entries(&mut hosts, &settings.hosts, gateway)?;
    let resolv_conf = files::resolv_conf(&of_host.resolv_conf, &Dns::default(), own_network);
    files::write(state, &[(files::HOSTS, hosts), (files::RESOLV_CONF, resolv_conf)], None)
}

/// 64 hexadecimal digits that nobody else has.
pub(in crate::build) fn new_id() -> String {
    let part = || format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    [part(), part(), part(), part()].concat()
}

/// Directories that were only copied up because mount points were made in them, with their times:
/// what the builder does leaves no trace in a layer.
pub(in crate::build) struct Times(Vec<(Vec<u8>, Time)>);

impl Times {
    /// The times that the directories at some paths of a root have now; what is no directory has
    /// none.
    pub(in crate::build) fn of(root: &Root, paths: impl IntoIterator<Item = Vec<u8>>) -> Times {
        let time = |path: Vec<u8>| {
            let meta = root.open_dir_plain(&path).ok()?.meta().ok()?;
            Some((path, meta.mtime))
        };
        Times(paths.into_iter().filter_map(time).collect())
    }

    /// Gives the directories of a fresh upper tree, in which only mount points were made, the
    /// times that they have below.
    fn settle(upper: &Path, lower: &Stack<'_>, root: &Root) -> Result<Times> {
        let mut found = Vec::new();
        walk(&Dir::open(upper).doing(|| "reading changes")?, b"", lower, &mut found)?;
        let times = Times(found);
        times.restore(root)?;
        Ok(times)
    }

    /// The same directories with their times as they are at this moment.
    fn now(&self, root: &Root) -> Result<Times> {
        let mut out = Vec::new();
        for (path, _) in &self.0 {
            let shown = || format!("examining /{}", path.escape_ascii());
            // Gone, or something else by now.
            let Ok(dir) = root.open_dir_plain(path) else { continue };
            out.push((path.clone(), dir.meta().doing(shown)?.mtime));
        }
        Ok(Times(out))
    }

    /// Gives the directories these times again.
    pub(in crate::build) fn restore(&self, root: &Root) -> Result<()> {
        for (path, time) in self.0.iter().rev() {
            let shown = || format!("setting the time of /{}", path.escape_ascii());
            let Ok(dir) = root.open_dir_plain(path) else { continue };
            // One that has it need not be touched, nor copied by overlayfs.
            if dir.meta().doing(shown)?.mtime != *time {
                sys::set_time(&dir, *time).doing(shown)?;
            }
        }
        Ok(())
    }
}

/// The directories that are below as well, with their times there.
fn walk(dir: &Dir, path: &[u8], lower: &Stack<'_>, out: &mut Vec<(Vec<u8>, Time)>) -> Result<()> {
    let reading = || "reading changes";
    if let Some(below) = lower.lookup(path)? {
        out.push((path.to_vec(), below.mtime));
    }
    for entry in dir.entries().doing(reading)? {
        let meta = dir.lookup(&entry.name).doing(reading)?;
        if meta.is_some_and(|meta| meta.kind == FileKind::Directory) {
            let inner = super::super::view::join(path, &entry.name);
            walk(&dir.open_dir(&entry.name).doing(reading)?, &inner, lower, out)?;
        }
    }
    Ok(())
}
