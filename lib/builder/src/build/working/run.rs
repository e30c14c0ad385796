//! Commands in a working container.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::dockerfile::{self, MountKind};
use super::super::execute::Credentials;
use super::super::execute::mounting::Mounting;
use super::super::execute::sandbox::new_id;
use super::super::execute::state::{Machine, Place};
use super::super::graph::{Mount, paths};
use super::{Working, tidy, with};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::network::Attachment;
use crate::runtime::binfmt::runs_foreign;
use crate::runtime::files::{self, Dns, Hosts};
use crate::runtime::flags::{HostEntry, merge_env};
use crate::runtime::options::{MountSource, NamespaceMode};
use crate::runtime::{
    Accounts, Attached, Bundle, CannotStart, Container, Control, HostFacts, HostNames,
    ImageDefaults, Look, Outcome, Person, RunOptions, Streams, build, check_options, find_program,
    prepare,
};
use crate::store::Store;
use crate::sys::{self, Root, SignalQueue};

/// Digits of an ID that are a host name.
const SHORT: usize = 12;

/// What is run, and how.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// What runs it.
    pub machine: Machine,
    /// The command, and what it is told.
    pub options: RunOptions,
    /// Mounts of the kinds that builds know: caches, secrets, agents.
    pub mounts: Vec<dockerfile::Mount>,
    /// What the mounts name.
    pub credentials: Credentials,
    /// Whether it is connected to the bridge.
    pub bridge: bool,
    /// Further lines of `/etc/hosts`.
    pub hosts: Vec<HostEntry>,
    /// Leave the container's own `/etc/hosts`.
    pub no_hosts: bool,
    /// Whether history gets a line about it.
    pub add_history: bool,
}

/// How it ended.
#[derive(Debug)]
pub enum Ran {
    /// With this code.
    Exited(i32),
    /// Its program is missing or cannot be run.
    CannotStart(CannotStart),
}

/// Runs a command in a container to its end; its changes stay there, whatever its code was.
///
/// Signals that come are passed on. `warn` hears what a person should know.
///
/// # Errors
/// Whatever keeps the command from being started.
pub fn run(
    store: &Store,
    text: &str,
    request: &RunRequest,
    signals: &SignalQueue,
    warn: &mut (dyn FnMut(&str) + Send),
) -> Result<Ran> {
    request.machine.sweep();
    with(store, text, |working| {
        let ran = working.with_mount(|tree| working.run_in(tree, request, signals, warn))?;
        if request.add_history {
            let shell = match working.record.config.config.shell.as_slice() {
                [] => "/bin/sh -c".to_owned(),
                shell => shell.join(" "),
            };
            working.add_history(format!("{shell} {}", request.options.command.join(" ")));
            working.save()?;
        }
        Ok(ran)
    })
}

impl Working {
    fn run_in(
        &self,
        tree: &Path,
        request: &RunRequest,
        signals: &SignalQueue,
        warn: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Ran> {
        let mut options = self.options(request)?;
        let host = HostFacts::gather(options.privileged)?;
        check_options(&options, &host)?.iter().for_each(|warning| warn(warning));
        let (id, machine) = (new_id(), &request.machine);
        let state = Place::create(machine, &id)?;
        let root = Root::open(tree)?;
        let config = &self.record.config.config;
        let image = ImageDefaults {
            env: config.env.clone(),
            user: config.user.clone(),
            workdir: config.working_dir.clone(),
            ..ImageDefaults::default()
        };
        let writer = self.store.begin()?;
        let mut mounting = Mounting::new(&writer, self.store.root(), &request.credentials)?;
        mounting.sources.hold_binds(&options.mounts)?;
        self.mount(&mut mounting, &request.mounts)?;
        options.mounts.append(&mut mounting.requests);
        merge_env(&mut options.env, mounting.env.drain(..));
        let attachment = match request.bridge {
            true => {
                let runs = |other: &str| machine.is_running(other);
                Some(Attachment::to_bridge(&machine.state, &id, None, &runs)?)
            }
            false => None,
        };
        let user = options.user.as_deref().unwrap_or(&image.user);
        let container = Container {
            id: id.clone(),
            root: tree.to_owned(),
            user: Accounts::read(&root)?.resolve(user, &options.groups)?,
            sources: mounting.sources.paths().collect(),
            network: attachment.as_ref().map(Attachment::path),
            files: etc(request, &options, &host, attachment.as_ref(), state.path())?,
            ..Container::default()
        };
        let built = build(&options, &image, &host, &container)?;
        built.warnings.iter().for_each(|warning| warn(warning));
        // What is made for the container alone shall leave no trace in a layer.
        let before = tidy::times(&root, &built.spec);
        self.note_places(&root, &built.spec)?;
        let made = prepare(&root, &built.spec, false, None)?;
        before.restore(&root)?;
        let ended = match find_program(&root, &built.spec, &host, Look::InRoot, &runs_foreign) {
            Err(reason) => Ok(Ran::CannotStart(reason)),
            Ok(()) => Bundle::write(state.path(), &id, &built.spec).and_then(|bundle| {
                let runtime = machine.called(&host);
                let control = Control { signals: Some(signals), ..Control::default() };
                // Who is killed leaves no command behind.
                let guard = sys::Guard::over(&bundle.pid_file()).doing(|| "guarding a command")?;
                let outcome = match options.terminal {
                    Some(_) => person().and_then(|p| runtime.run_on_terminal(&bundle, p, control)),
                    None => Streams::own(Attached::ALL)
                        .and_then(|own| runtime.run(&bundle, own, control)),
                };
                guard.call_off();
                match outcome? {
                    Outcome::Exited(code) => Ok(Ran::Exited(code)),
                    _ => Err(Error::new(ErrorKind::Cancelled, "the command was stopped")),
                }
            }),
        };
        let detached = attachment.map_or(Ok(()), Attachment::detach);
        drop(mounting);
        let after = tidy::times(&root, &built.spec);
        made.remove_unused()?;
        after.restore(&root)?;
        self.forget_places()?;
        let ended = ended?;
        detached.map(|()| ended)
    }

    /// Adds mounts, whose targets are below the working directory.
    fn mount(&self, mounting: &mut Mounting<'_>, mounts: &[dockerfile::Mount]) -> Result<()> {
        let workdir = &self.record.config.config.working_dir;
        let mut agents = 0;
        for mount in mounts {
            if mount.from.is_some() {
                return Err(Error::unsupported(
                    "a mount into a working container takes nothing from images: copy --from does",
                ));
            }
            let settled = Mount::settled(mount.clone(), None, agents, |target| {
                Some(paths::join(workdir, target))
            });
            let settled = settled.map_err(|problem| Error::usage(format!("--mount: {problem}")))?;
            if settled.target.as_deref() == Some("/") {
                return Err(Error::usage("--mount: a target is missing, or is the root"));
            }
            agents += usize::from(settled.kind == MountKind::Ssh);
            mounting.add(&settled)?;
        }
        Ok(())
    }

    /// The options with the defaults of the container.
    fn options(&self, request: &RunRequest) -> Result<RunOptions> {
        let mut options = request.options.clone();
        if options.command.is_empty() {
            return Err(Error::usage("nothing says what to run: name a command"));
        }
        for mount in &options.mounts {
            if matches!(mount.source, MountSource::Volume { .. } | MountSource::Image { .. }) {
                return Err(Error::unsupported(format!(
                    "the mount at {}: only directories and files of this machine and memory can \
                     be mounted into a working container (begin a source with / or ./)",
                    mount.target
                )));
            }
        }
        let short = self.record.id.get(..SHORT).unwrap_or(&self.record.id);
        options.hostname.get_or_insert_with(|| short.to_owned());
        Ok(options)
    }
}

/// Our own terminal.
fn person() -> Result<Person> {
    use std::os::fd::AsFd;
    let copy = |stream: std::os::fd::BorrowedFd<'_>| {
        stream.try_clone_to_owned().doing(|| "opening the terminal")
    };
    Ok(Person {
        input: Some(copy(std::io::stdin().as_fd())?),
        output: copy(std::io::stdout().as_fd())?,
        detach_keys: Vec::new(),
    })
}

/// Writes the files that are put over those of `/etc`.
fn etc(
    request: &RunRequest,
    options: &RunOptions,
    host: &HostFacts,
    attachment: Option<&Attachment>,
    dir: &Path,
) -> Result<BTreeMap<String, PathBuf>> {
    let of_host = HostNames::read();
    let hostname = match options.namespaces.uts {
        NamespaceMode::Private => options.hostname.as_deref().unwrap_or_default(),
        _ => &host.hostname,
    };
    let own_network = request.bridge || options.namespaces.network != NamespaceMode::Host;
    let resolv_conf = files::resolv_conf(&of_host.resolv_conf, &Dns::default(), own_network);
    let mut texts = vec![(files::RESOLV_CONF, resolv_conf)];
    if !request.no_hosts {
        let addresses: Vec<_> = attachment.iter().map(|a| a.address().into()).collect();
        let hosts = files::hosts(&Hosts {
            of_host: (!own_network).then_some(of_host.hosts.as_str()),
            hostname,
            domainname: None,
            addresses: &addresses,
            entries: &request.hosts,
            gateway: attachment.map(|attachment| attachment.gateway().into()),
        })?;
        texts.push((files::HOSTS, hosts));
    }
    files::write(dir, &texts, None)
}
