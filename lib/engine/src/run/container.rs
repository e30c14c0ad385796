//! One container from its beginning to its end.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::etc::{self, Addresses};
use super::image::Chosen;
use super::mounts::{Ground, Planned};
use super::pidfile::PidFile;
use super::record::{ContainerRecord, State, Status, now};
use super::stay::{KeptRequest, stay_with};
use super::supply::{Fetcher, Supply};
use super::users::{self, Choice};
use super::{Engine, Finished, Network, Origin, RunRequest, ident, leftover, listing};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::network::Attachment;
use crate::runtime::binfmt::runs_foreign;
use crate::runtime::config::hostname;
use crate::runtime::devices::{find_devices, find_rated};
use crate::runtime::flags::parse_signal;
use crate::runtime::options::UserMode;
use crate::runtime::{
    Accounts, Attached, Bundle, CdiEdits, Container, Control, HostFacts, ImageDefaults, Outcome,
    Person, RunOptions, Runtime, SharedSources, Sources, Streams, build, check_options,
    ensure_profile, find_program, keep_restrictions, prepare, resolve_cdi, start_program,
};
use crate::snapshot::{Snapshot, SnapshotOptions};
use crate::spec::Descriptor;
use crate::store::ContainerDir;
use crate::sys::{self, Root, SignalQueue, UserNamespace};

/// Where the runtime keeps its state.
const RUNTIME: &str = "runtime";
/// What holds a container's changes, in its directory.
const TREE: &str = "tree";
/// Its files of `/etc`, beside that.
const ETC: &str = "etc";

/// A run that has begun.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) request: &'a RunRequest,
    pub(super) attendance: Attendance<'a>,
    pub(super) warn: &'a mut dyn FnMut(&str),
    pub(super) began: &'a mut dyn FnMut(&str),
}

/// Who looks after the container while it runs.
pub(super) enum Attendance<'a> {
    /// This process, with its own streams and signals.
    Here(&'a SignalQueue),
    /// This process in the background; it is told when the container has been started.
    Stays(&'a dyn Fn()),
    /// Nobody: it is only made.
    Absent,
}

/// What was made for a container, apart from its tree.
struct Place {
    held: ContainerDir,
    /// On memory: bundle, files, mount points.
    state: PathBuf,
    record: ContainerRecord,
    attachment: Option<Attachment>,
    /// How its users come about; [`UserMode::Auto`] is settled.
    user_mode: UserMode,
    users: Option<Arc<UserNamespace>>,
}

/// What a container is made from.
struct Found {
    host: HostFacts,
    image: ImageDefaults,
    chosen: Option<Chosen>,
    planned: Planned,
    named: CdiEdits,
}

impl Found {
    fn making(&self) -> Making<'_> {
        Making {
            host: &self.host,
            image: &self.image,
            chosen: self.chosen.as_ref(),
            planned: &self.planned,
            named: self.named.clone(),
        }
    }
}

/// The same, lent.
struct Making<'a> {
    host: &'a HostFacts,
    image: &'a ImageDefaults,
    chosen: Option<&'a Chosen>,
    planned: &'a Planned,
    named: CdiEdits,
}

impl Run<'_> {
    pub(super) fn carry_out(
        mut self,
        supply: &mut dyn FnMut() -> Result<Supply>,
        signals: &SignalQueue,
    ) -> Result<Finished> {
        let found = self.find(supply, signals)?;
        let made = found.making();
        let mut place = self.make_place(&made)?;
        (self.began)(place.held.id());
        let ran = self.in_place(&mut place, &made);
        self.finish(place, &found.planned, ran)
    }

    /// Makes a container that is not started; returns its ID.
    pub(super) fn create(
        mut self,
        supply: &mut dyn FnMut() -> Result<Supply>,
        signals: &SignalQueue,
    ) -> Result<String> {
        let found = self.find(supply, signals)?;
        let place = self.make_place(&found.making())?;
        let id = place.held.id().to_owned();
        let kept = found.planned.make_volumes(self.engine).and_then(|()| {
            let mut request = self.request.clone();
            found.planned.settle(&mut request.options.mounts);
            request.options.namespaces.user = place.user_mode.clone();
            let manifest = found.chosen.as_ref().map(|chosen| chosen.image.manifest().descriptor());
            KeptRequest { request, manifest }.write(&place.held)
        });
        match kept {
            Ok(()) => place.held.rest().map(|()| id),
            Err(error) => {
                let _ = leftover::remove_with_volumes(self.engine, place.held, &place.record);
                Err(error)
            }
        }
    }

    /// Starts a container that was made before, and stays until its end.
    pub(super) fn stay(
        mut self,
        held: ContainerDir,
        record: ContainerRecord,
        manifest: Option<&Descriptor>,
    ) -> Result<Finished> {
        let mut host = HostFacts::gather(self.request.options.privileged)?;
        let warnings = ensure_profile(&mut host, &self.request.options);
        warnings.iter().for_each(|warning| (self.warn)(warning));
        let chosen = manifest.map(|manifest| Chosen::known(self.engine, manifest)).transpose()?;
        let found = Found {
            host,
            named: resolve_cdi(&self.request.cdi_directories, &self.request.named_devices)?,
            image: chosen.as_ref().map(Chosen::defaults).unwrap_or_default(),
            planned: Planned::again(self.engine, self.request)?,
            chosen,
        };
        let state = self.engine.state_of(held.id());
        leftover::remove_state(&state)?;
        make_state(&state)?;
        let user_mode = self.request.options.namespaces.user.clone();
        let mut place = Place { held, state, record, attachment: None, user_mode, users: None };
        let ran = self.in_place(&mut place, &found.making());
        self.finish(place, &found.planned, ran)
    }

    /// All that a container is made from, fetched if need be.
    fn find(
        &mut self,
        supply: &mut dyn FnMut() -> Result<Supply>,
        signals: &SignalQueue,
    ) -> Result<Found> {
        let mut host = HostFacts::gather(self.request.options.privileged)?;
        let mut warnings = check_options(&self.request.options, &host)?;
        warnings.extend(ensure_profile(&mut host, &self.request.options));
        warnings.iter().for_each(|warning| (self.warn)(warning));
        let named = resolve_cdi(&self.request.cdi_directories, &self.request.named_devices)?;
        leftover::sweep(self.engine);
        let mut fetcher = Fetcher::new(supply, signals);
        let chosen = match &self.request.origin {
            Origin::Image(name) => {
                Some(Chosen::find(self.engine, self.request, name, &mut fetcher)?)
            }
            Origin::Directory(_) => None,
        };
        let asked = self.request.platform.as_ref();
        if let Some(warning) = chosen.as_ref().and_then(|chosen| chosen.warning(asked)) {
            (self.warn)(&warning);
        }
        let image = chosen.as_ref().map(Chosen::defaults).unwrap_or_default();
        let planned = Planned::make(self.engine, self.request, &image, &mut fetcher, self.warn)?;
        Ok(Found { host, image, chosen, planned, named })
    }

    /// The container's directory with its record.
    fn make_place(&self, made: &Making<'_>) -> Result<Place> {
        let id = ident::new_id()?;
        let choice = Choice::make(self.engine, &self.request.options.namespaces.user)?;
        let mut needs = made.chosen.map(Chosen::needs).unwrap_or_default();
        needs.extend(made.planned.needs());
        let (held, name) = match &self.request.name {
            Some(name) => {
                (self.engine.store.create_container(&id, Some(name), &needs)?, name.clone())
            }
            None => self.under_some_name(&id, &needs)?,
        };
        let state = self.engine.state_of(&id);
        let mut record = self.record(&id, name, made, &state);
        record.id_span = choice.span;
        let written = record.write(&held).and_then(|()| {
            if !matches!(self.attendance, Attendance::Absent) {
                make_state(&state)?;
            }
            self.request.cidfile.as_deref().map_or(Ok(()), |path| write_new(path, &id))
        });
        match written {
            Ok(()) => {
                let user_mode = choice.mode;
                Ok(Place { held, state, record, attachment: None, user_mode, users: None })
            }
            Err(error) => {
                let _ = fs::remove_dir(&state);
                let _ = held.remove();
                Err(error)
            }
        }
    }

    fn under_some_name(
        &self,
        id: &str,
        needs: &[crate::spec::Digest],
    ) -> Result<(ContainerDir, String)> {
        let mut attempt = 0;
        loop {
            let name = ident::new_name(attempt)?;
            match self.engine.store.create_container(id, Some(&name), needs) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < 20 => {
                    attempt += 1;
                }
                made => return Ok((made?, name)),
            }
        }
    }

    fn record(&self, id: &str, name: String, made: &Making<'_>, state: &Path) -> ContainerRecord {
        let options = &self.request.options;
        let image = made.image;
        let mut labels = image.labels.clone();
        labels.extend(options.labels.clone());
        ContainerRecord {
            id: id.to_owned(),
            name,
            created: now(),
            image: match &self.request.origin {
                Origin::Image(name) => name.clone(),
                Origin::Directory(path) => path.display().to_string(),
            },
            image_id: made.chosen.map(|chosen| chosen.image.id().clone()),
            command: image.arguments(options),
            entrypoint: image.entrypoint(options).len(),
            env: image.known_environment(options),
            user: options.user.clone().unwrap_or_else(|| image.user.clone()),
            workdir: options.workdir.clone().unwrap_or_else(|| image.workdir.clone()),
            hostname: hostname(options, made.host, id),
            labels,
            exposed: image.exposed_ports.union(&self.request.exposed).cloned().collect(),
            network: self.request.network_name(),
            mounts: made.planned.records(self.engine, &options.mounts),
            anonymous_volumes: made.planned.anonymous(),
            remove: self.request.remove,
            terminal: options.terminal.is_some(),
            interactive: self.request.attached.stdin,
            privileged: options.privileged,
            state_dir: state.to_owned(),
            restart: self.request.restart,
            log: self.request.log.clone(),
            stop_signal: stop_signal(options, image),
            stop_timeout: options.stop_timeout,
            ..ContainerRecord::default()
        }
    }

    /// Makes the rest and runs it.
    fn in_place(&mut self, place: &mut Place, made: &Making<'_>) -> Result<Finished> {
        place.users = users::namespace(&place.user_mode, self.request.network == Network::Bridge)?;
        let addresses = self.connect(place)?;
        let image_trees = made.planned.image_trees(self.engine)?;
        // What reaches the host is found before this process has mounts of its own.
        let shared = SharedSources::hold(&self.request.options.mounts, place.users.is_some())?;
        let tree = self.tree(place, made.chosen)?;
        let root = Root::open(&tree)?;
        let mut options = self.request.options.clone();
        options.namespaces.user = place.user_mode.clone();
        let options = &options;
        let users = place.users.as_ref();
        let owner = users.and_then(|users| users.outside(0, 0));
        let user = options.user.as_deref().unwrap_or(&made.image.user);
        let staging = place.state.join("staging");
        fs::create_dir(&staging).doing(|| format!("making directory {}", staging.display()))?;
        let mut sources = Sources::in_directory(&staging);
        for mount in &options.mounts {
            if let Some(owners) = users::owners(mount, &place.user_mode, users)? {
                sources.map_owners(&mount.target, owners);
            }
        }
        sources.hold_binds(&options.mounts, shared)?;
        let (engine, held, state) = (self.engine, &place.held, &place.state);
        let ground = Ground { held, state, root: &tree, users };
        let mut content = made.planned.provide(engine, &ground, &image_trees, &mut sources)?;
        content.extend(sources.paths());
        let mut devices = find_devices(&options.devices)?;
        devices.extend(made.named.devices.iter().cloned());
        let container = Container {
            id: held.id().to_owned(),
            root: tree,
            user: Accounts::read(&root)?.resolve(user, &options.groups)?,
            sources: content,
            files: self.files(place, made.host, &addresses, owner, &mut sources)?,
            devices,
            named: made.named.clone(),
            rated: find_rated(&options.resources)?,
            network: place.attachment.as_ref().map(Attachment::path),
            user_namespace: users.map(|users| users.path()),
        };
        let mut built = build(options, made.image, made.host, &container)?;
        let locked = users.is_some() || made.host.in_user_namespace();
        keep_restrictions(&mut built.spec, locked)?;
        built.warnings.iter().for_each(|warning| (self.warn)(warning));
        prepare(&root, &built.spec, true, owner)?;
        let find = |look| find_program(&root, &built.spec, made.host, look, &runs_foreign);
        let bundle = || Bundle::write(state, held.id(), &built.spec);
        let start = || self.attend(place, &bundle()?, made.host);
        let code = |ended: &Finished| match ended {
            Finished::Exited(code) => Some(*code),
            _ => None,
        };
        Ok(start_program(find, start, code)?.unwrap_or_else(Finished::CannotStart))
    }

    /// Writes the files of `/etc` on the store's disk, where a container that fills one takes
    /// nothing from others; returns where the runtime finds them.
    fn files(
        &self,
        place: &Place,
        host: &HostFacts,
        addresses: &Addresses,
        owner: Option<(u32, u32)>,
        sources: &mut Sources,
    ) -> Result<BTreeMap<String, PathBuf>> {
        let directory = place.held.path().join(ETC);
        let making = || format!("making directory {}", directory.display());
        // It is there already when the container is started again.
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).doing(making)?;
        let id = place.held.id();
        let mut files = etc::write(self.request, host, id, addresses, owner, &directory)?;
        if place.users.is_some() {
            // The container's root user has no way into the store.
            for (target, path) in &mut files {
                *path = sources.hold_file(target, path)?;
            }
        }
        Ok(files)
    }

    /// Connects the container to the bridge, if that was asked for.
    fn connect(&mut self, place: &mut Place) -> Result<Addresses> {
        if self.request.network != Network::Bridge {
            return Ok(Addresses::default());
        }
        let (state, users) = (&self.engine.state, place.users.as_deref());
        let attachment = Attachment::to_bridge(state, place.held.id(), users, self.warn)?;
        let own = attachment.address().into();
        let addresses = Addresses { own: vec![own], gateway: Some(attachment.gateway().into()) };
        place.attachment = Some(attachment);
        place.record.address = Some(own);
        place.record.write(&place.held)?;
        Ok(addresses)
    }

    /// Makes the container's root file system; returns where it is.
    fn tree(&self, place: &Place, chosen: Option<&Chosen>) -> Result<PathBuf> {
        let lowers = chosen.map(|chosen| chosen.trees(&self.engine.store)).transpose()?;
        // From here on no mount of ours outlives this process and the container.
        sys::own_mounts().doing(|| "making a mount namespace")?;
        let Some(lowers) = lowers else {
            let Origin::Directory(path) = &self.request.origin else {
                return Err(Error::new(ErrorKind::Failed, "an image without layers"));
            };
            let path = fs::canonicalize(path).doing(|| format!("opening {}", path.display()))?;
            place.users.as_deref().map_or(Ok(()), |users| users::check_way(&path, users))?;
            return Ok(path);
        };
        let options = SnapshotOptions {
            volatile: self.request.remove,
            owners: place.users.clone(),
            ..SnapshotOptions::default()
        };
        let snapshot = Snapshot::prepare(&lowers, &place.held.path().join(TREE), &options)?;
        let target = place.state.join("root");
        fs::create_dir(&target).doing(|| format!("making directory {}", target.display()))?;
        if let Some(users) = &place.users {
            let containers = self.engine.state.join("containers");
            users::open_way(&[&self.engine.state, &containers, &place.state])?;
            users::check_way(&target, users)?;
        }
        snapshot.mount(&target)?;
        Ok(target)
    }

    /// Runs the bundle and looks after it.
    fn attend(&self, place: &Place, bundle: &Bundle, host: &HostFacts) -> Result<Finished> {
        let runtime = self.engine.runtime(host);
        let signals = match self.attendance {
            Attendance::Here(signals) => signals,
            Attendance::Stays(started) => {
                return stay_with(&place.held, &place.record, bundle, runtime, started);
            }
            Attendance::Absent => return Err(Error::unsupported("nobody attends the container")),
        };
        let watch =
            self.request.pidfile.as_deref().map(|path| PidFile::watch(bundle, path)).transpose()?;
        let control = Control {
            signals: Some(signals),
            drop_signals: !self.request.proxy_signals,
            timeout: self.request.timeout,
            cancel: None,
        };
        let outcome = match self.request.options.terminal {
            Some(_) => runtime.run_on_terminal(
                bundle,
                own_terminal(self.request.attached, Vec::new())?,
                control,
            ),
            None => runtime.run(bundle, Streams::own(self.request.attached)?, control),
        };
        drop(watch);
        match outcome? {
            Outcome::Exited(code) => Ok(Finished::Exited(code)),
            Outcome::TimedOut => Ok(Finished::TimedOut),
            Outcome::Cancelled => Err(Error::new(ErrorKind::Cancelled, "stopped")),
            // No keys that leave a container are given to it.
            Outcome::Detached(_) => Err(Error::unsupported("the container was left alone")),
        }
    }

    /// Takes away what was made, or leaves it to be looked at.
    fn finish(&self, place: Place, planned: &Planned, ran: Result<Finished>) -> Result<Finished> {
        let Place { held, state, record, attachment, .. } = place;
        let started = matches!(ran, Ok(Finished::Exited(_) | Finished::TimedOut));
        // Nothing is removed through a mount.
        let _ = sys::detach(&state.join("root"));
        for at in 0..planned.mounted_images() {
            let _ = sys::detach(&state.join(format!("image-{at}")));
        }
        let began = listing::started(self.engine, held.id());
        drop(attachment);
        let swept = leftover::remove_state(&state);
        let stays = matches!(self.attendance, Attendance::Stays(_));
        let ended = match (started || stays) && !self.request.remove {
            // The monitor has written down how it ended.
            true if started && stays => held.rest(),
            true if stays => not_started(&ran).write(&held).and_then(|()| held.rest()),
            true => {
                let code = match &ran {
                    Ok(Finished::Exited(code)) => Some(*code),
                    _ => None,
                };
                let finished = State {
                    status: Status::Exited,
                    exit_code: code,
                    started: began,
                    finished: Some(now()),
                    ..State::default()
                };
                finished.write(&held).and_then(|()| held.rest())
            }
            false => leftover::remove_with_volumes(self.engine, held, &record),
        };
        if !started && let Some(path) = &self.request.cidfile {
            let _ = fs::remove_file(path);
        }
        let finished = ran?;
        swept.and(ended)?;
        Ok(finished)
    }
}

impl Engine {
    /// Where the state of a container is while it runs.
    pub(super) fn state_of(&self, id: &str) -> PathBuf {
        self.state.join("containers").join(id)
    }

    /// Whether the runtime knows a container.
    pub(super) fn runs(&self, id: &str) -> bool {
        self.state.join(RUNTIME).join(id).exists()
    }

    /// The runtime as this host wants it called.
    pub(super) fn runtime(&self, host: &HostFacts) -> Runtime {
        Runtime {
            program: self.runtime.clone(),
            state: self.state.join(RUNTIME),
            systemd_cgroup: host.cgroups.systemd,
            without_cgroups: !host.cgroups.writable,
            env: self.runtime_env.clone(),
        }
    }
}

/// This process's terminal, as far as the container is attached to it.
pub(super) fn own_terminal(attached: Attached, detach_keys: Vec<u8>) -> Result<Person> {
    use std::os::fd::AsFd;
    let copy = |stream: std::os::fd::BorrowedFd<'_>| {
        stream.try_clone_to_owned().doing(|| "opening the terminal")
    };
    let input = match attached.stdin {
        true => Some(copy(std::io::stdin().as_fd())?),
        false => None,
    };
    // All that is written on a terminal is one stream.
    let output = match attached.stdout || attached.stderr {
        true => copy(std::io::stdout().as_fd())?,
        false => {
            fs::File::options().write(true).open("/dev/null").doing(|| "opening /dev/null")?.into()
        }
    };
    Ok(Person { input, output, detach_keys })
}

/// The directory of a container's state.
fn make_state(state: &Path) -> Result<()> {
    let making = || format!("making directory {}", state.display());
    DirBuilder::new().recursive(true).mode(0o700).create(state).doing(making)
}

/// What is written down of a container that could not be started.
fn not_started(ran: &Result<Finished>) -> State {
    let (code, error) = match ran {
        Ok(Finished::CannotStart(reason)) => (i32::from(reason.code), reason.to_string()),
        Err(error) => (128, error.chain()),
        Ok(_) => (0, String::new()),
    };
    State { exit_code: Some(code), error, ..State::default() }
}

/// The person's stop signal, or the image's; none if neither says.
fn stop_signal(options: &RunOptions, image: &ImageDefaults) -> Option<i32> {
    let own = options.stop_signal.map(|signal| signal.0);
    own.or_else(|| parse_signal(&image.stop_signal).ok().map(|signal| signal.0))
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let writing = || format!("writing the container's ID to {}", path.display());
    let mut options = fs::OpenOptions::new();
    let file = match options.write(true).create_new(true).mode(0o644).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!(
                    "the file for the container's ID is there already: make sure that the other \
                     container does not run, or delete {}",
                    path.display()
                ),
            ));
        }
        opened => opened.doing(writing)?,
    };
    std::io::Write::write_all(&mut &file, text.as_bytes()).doing(writing)
}
