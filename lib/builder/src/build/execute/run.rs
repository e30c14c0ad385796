//! `RUN`: a command in a snapshot, and the layer that it leaves.

use std::path::{Path, PathBuf};

use super::super::cache::{Key, StepKey};
use super::super::dockerfile::{MountKind, Network, Security};
use super::super::graph::{Input, Mount, Run, Step};
use super::super::image::{Draft, Layer};
use super::super::view::{LayerView, TreeLayer};
use super::explain::Parts;
use super::mounting::Mounting;
use super::options::{BuildEvent, RunSettings, StepName};
use super::sandbox::Command;
use super::stage::How;
use super::{BuildResult, Builder, locked};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::{PackOptions, Stack, WhiteoutForm, pack};
use crate::runtime::flags::check_hostname;
use crate::runtime::options::NamespaceMode;
use crate::runtime::{CdiEdits, CdiName, RunOptions, resolve_cdi};
use crate::snapshot::{Snapshot, SnapshotOptions};
use crate::spec::{DiffId, Digest};
use crate::store::Role;
use crate::sys::{Root, Time};

/// The name of the machine, to commands.
const HOSTNAME: &str = "buildkitsandbox";
/// What else may name it.
const HOSTNAME_ARGUMENT: &str = "--build-arg BUILDKIT_SANDBOX_HOSTNAME";

impl Builder<'_> {
    pub(super) fn run(
        &self,
        draft: &mut Draft,
        step: &Step,
        run: &Run,
        name: StepName<'_>,
    ) -> BuildResult<How> {
        let settings = self.options.run.as_ref().ok_or_else(|| {
            Error::unsupported("commands cannot be run here: there is no container runtime")
        })?;
        let (options, network) = self.run_options(run, settings)?;
        let mut parts = self.run_parts(draft, run, (&options, network));
        let definition = parts.key("run");
        // The same images need not be looked into.
        let by_image = self.images_mounted(run)?;
        let by_image = by_image.map(|inputs| StepKey { definition: definition.clone(), inputs });
        if let Some(key) = &by_image
            && let Some(made) = self.find(key, name.stage)?
        {
            draft.push_layer(step, Layer::plain(made.diff_id, made.size), &made.created);
            return Ok(How::Cached);
        }
        let key = StepKey { definition, inputs: self.run_inputs(run)? };
        parts.add("a file that it mounts", |all| {
            all.text(key.inputs.hex());
        });
        let flight = match self.take_off(&key, name)? {
            Ok(flight) => flight,
            Err(made) => {
                locked(&self.pending).extend(by_image.map(|key| (key, made.clone())));
                draft.push_layer(step, Layer::plain(made.diff_id, made.size), &made.created);
                return Ok(How::Cached);
            }
        };
        self.reporter.event(BuildEvent::Begun(name));
        self.explain(name, parts);
        let (diff_id, size) =
            self.in_own_mounts(|| self.execute(draft, run, settings, (options, network), name))?;
        let made = super::Made { diff_id: diff_id.clone(), size, created: self.now()? };
        draft.push_layer(step, Layer::plain(diff_id, size), &made.created);
        self.remember(&made);
        locked(&self.pending).extend(by_image.map(|key| (key, made.clone())));
        self.land(flight, key, made)?;
        Ok(How::Made)
    }

    /// What a step runs with, if it may.
    fn run_options(&self, run: &Run, settings: &RunSettings) -> Result<(RunOptions, Network)> {
        let allowed = |what: &str| match settings.allow.iter().any(|given| given == what) {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Denied,
                format!("entitlement {what} is not allowed (build with --allow {what})"),
            )),
        };
        let mut options = settings.options.clone();
        options.unset_env.insert("HOSTNAME".to_owned());
        if let Some(name) = &self.checked.plan.hostname {
            check_hostname(name).map_err(|error| error.while_doing(HOSTNAME_ARGUMENT))?;
            options.hostname = Some(name.clone());
        }
        options.hostname.get_or_insert_with(|| HOSTNAME.to_owned());
        let network = match run.network {
            Network::Default => settings.network,
            Network::Host if settings.network != Network::Host => {
                allowed("network.host")?;
                Network::Host
            }
            other => other,
        };
        options.namespaces.network = match network {
            Network::Host => NamespaceMode::Host,
            Network::None | Network::Default => NamespaceMode::Private,
        };
        if run.security == Security::Insecure {
            allowed("security.insecure")?;
            options.privileged = true;
        }
        for device in &run.devices {
            // Either all devices are allowed, or this one.
            let own = format!("device={}", device.name);
            if !settings.allow.contains(&own) {
                allowed("device")?;
            }
        }
        Ok((options, network))
    }

    /// What a command's named devices need. Those that nobody describes are left out, unless they
    /// are required.
    fn named_devices(&self, run: &Run, settings: &RunSettings) -> Result<CdiEdits> {
        let mut names = settings.devices.clone();
        for device in &run.devices {
            let name = CdiName::parse(&device.name).ok_or_else(|| {
                Error::invalid(format!("{} is no name of a device by CDI", device.name))
            })?;
            let one = std::slice::from_ref(&name);
            match resolve_cdi(&settings.cdi_directories, one) {
                Err(error) if error.kind() == ErrorKind::NotFound && !device.required => {}
                Err(error) => return Err(error),
                Ok(_) => names.push(name),
            }
        }
        resolve_cdi(&settings.cdi_directories, &names)
    }

    /// What a step is, apart from the files that it mounts.
    fn run_parts(
        &self,
        draft: &Draft,
        run: &Run,
        (options, network): (&RunOptions, Network),
    ) -> Parts {
        let mut parts = Parts::default();
        parts.add("what is below", |key| {
            key.maybe(draft.chain().as_ref().map(|chain| chain.0.hex()));
        });
        parts.add("the command", |key| {
            key.texts(run.arguments.iter().map(String::as_str));
            let script = run.script.as_ref();
            key.maybe(script.map(|(name, _)| name.as_str()));
            key.maybe(script.map(|(_, content)| content.as_str()));
        });
        for (name, value) in run.environment.iter() {
            parts.add(format!("variable {name}"), |key| {
                key.text(value);
            });
        }
        parts.add("the working directory", |key| {
            key.maybe(run.workdir.as_deref());
        });
        parts.add("the user", |key| {
            key.text(&run.user);
        });
        parts.add("its network or security mode", |key| {
            key.number(network as u64).number(u64::from(options.privileged));
        });
        let settings = &self.options.run;
        parts.add("a capability, device or volume of all commands", |key| {
            let Some(settings) = settings else { return };
            let options = &settings.options;
            key.text(&format!("{:?} {:?}", options.cap_add, options.cap_drop));
            key.number(options.devices.len() as u64).number(options.mounts.len() as u64);
            for device in &options.devices {
                key.text(&format!("{device:?}"));
            }
            for device in &run.devices {
                key.text(&device.name).number(u64::from(device.required));
            }
            key.text(&format!("{:?}", settings.devices));
            for mount in &options.mounts {
                key.text(&format!("{mount:?}"));
            }
        });
        parts.add("a host name of all commands", |key| {
            key.maybe(options.hostname.as_deref());
            let Some(settings) = settings else { return };
            // Addresses may change from day to day, as the content of the network does.
            let names = settings.hosts.iter().flat_map(|entry| &entry.names);
            key.texts(names.map(String::as_str)).number(u64::from(settings.no_hosts));
        });
        parts.add("a limit or security option of all commands", |key| {
            key.text(&format!("{:?} {:?}", options.ulimits, options.shm_size));
            key.maybe(options.cgroup_parent.as_deref());
            key.text(&format!("{:?}", options.security));
        });
        parts.add("its mounts", |key| {
            key.number(run.mounts.len() as u64);
            run.mounts.iter().for_each(|mount| mount_key(key, mount));
        });
        parts.add("the platform", |key| {
            key.text(&self.options.platform.to_string());
        });
        parts.add("the time of everything", |key| {
            key.number(self.options.epoch.unwrap_or(i64::MAX) as u64);
        });
        parts
    }

    /// The files that a step mounts, by content; caches, secrets and agents count for nothing.
    fn run_inputs(&self, run: &Run) -> Result<Digest> {
        let mut key = Key::new("mounted");
        for mount in run.mounts.iter().filter(|mount| mount.kind == MountKind::Bind) {
            let from = mount.from.as_ref().unwrap_or(&Input::Context);
            let part = mount.source.as_deref().unwrap_or("/");
            match self.directory(from) {
                None if *from == Input::Context => {
                    return Err(Error::not_found("there is no build context to mount"));
                }
                None if part.trim_matches('/').is_empty() => {
                    let source = self.source_draft(from)?;
                    key.maybe(source.chain().as_ref().map(|chain| chain.0.hex()));
                }
                _ => self.mounted_key(&mut key, from, part)?,
            }
        }
        Ok(key.finish())
    }

    /// The same with whole images in the place of what is mounted of them; `None` where nothing of
    /// an image is mounted, or all of it.
    fn images_mounted(&self, run: &Run) -> Result<Option<Digest>> {
        let context = Input::Context;
        let binds = || run.mounts.iter().filter(|mount| mount.kind == MountKind::Bind);
        let binds = || {
            binds().map(|mount| {
                let part = mount.source.as_deref().unwrap_or("/");
                (mount.from.as_ref().unwrap_or(&context), part)
            })
        };
        let is_image = |from: &Input| *from != context && self.directory(from).is_none();
        if !binds().any(|(from, part)| is_image(from) && !part.trim_matches('/').is_empty()) {
            return Ok(None);
        }
        let mut key = Key::new("mounted images");
        for (from, part) in binds() {
            if is_image(from) {
                let source = self.source_draft(from)?;
                key.maybe(source.chain().as_ref().map(|chain| chain.0.hex()));
            } else if self.directory(from).is_some() {
                self.mounted_key(&mut key, from, part)?;
            }
        }
        Ok(Some(key.finish()))
    }

    fn execute(
        &self,
        draft: &Draft,
        run: &Run,
        settings: &RunSettings,
        (mut options, network): (RunOptions, Network),
        name: StepName<'_>,
    ) -> BuildResult<(DiffId, u64)> {
        let place = self.writer.draft()?;
        let forms = SnapshotOptions { volatile: true, ..SnapshotOptions::default() };
        let prepare = |lowers: &[PathBuf]| Snapshot::prepare(lowers, place.place(), &forms);
        let snapshot = self.stacked(draft, prepare)?;
        let upper = snapshot.upper().ok_or_else(|| {
            Error::unsupported("running commands needs overlayfs, which is not possible here")
        })?;
        let root = self.writer.scratch()?;
        snapshot.mount(&root)?;
        let mut mounting = Mounting::new(self.writer, self.store.root(), &settings.credentials)?;
        mounting.hold_caches(&run.mounts)?;
        for mount in &run.mounts {
            self.mount(&mut mounting, mount)?;
        }
        if let Some((file, content)) = &run.script {
            mounting.add_script(file, content)?;
        }
        options.mounts.extend(mounting.requests.iter().cloned());
        let mut env = mounting.env.clone();
        let proxies = self.checked.plan.proxies.iter();
        env.extend(proxies.map(|(name, value)| format!("{name}={value}")));
        let lowers = snapshot.lowers()?;
        let stack = Stack::new(&lowers, forms.form);
        let command = Command {
            run,
            settings,
            root: &root,
            upper: &upper,
            lower: &stack,
            options,
            bridge: network == Network::Default,
            env,
            name,
            interactive: false,
            named: self.named_devices(run, settings)?,
        };
        let ran = match self.in_sandbox(&command, &mounting.sources) {
            Err(failure) if failure.code.is_some() => {
                Err(self.after_failure(failure, command, &mounting.sources))
            }
            other => other,
        };
        drop(mounting);
        crate::sys::detach(&root).doing(|| "taking a snapshot away")?;
        ran?;
        drop(snapshot);
        self.keep_changes(place, &upper, &stack)
    }

    /// Changes become a layer: its archive, and the tree itself.
    fn keep_changes(
        &self,
        place: crate::store::Draft,
        upper: &Path,
        stack: &Stack<'_>,
    ) -> BuildResult<(DiffId, u64)> {
        let form = WhiteoutForm::OverlayTrusted;
        super::changes::forget_unchanged(&Root::open(upper)?, stack)?;
        let packing = PackOptions {
            form,
            lower: Some(stack),
            latest: self.options.epoch.map(|secs| Time { secs, nanos: 0 }),
            ..PackOptions::default()
        };
        let mut blob = self.writer.new_blob()?;
        let report = pack(&Root::open(upper)?, &packing, &mut blob)?;
        let (digest, size) = blob.finish(Role::Leaf)?;
        let diff_id = DiffId(digest);
        // With other times than its archive, the tree is not what the layer says.
        if self.options.epoch.is_none() {
            let moving = || "keeping the tree of a layer";
            std::fs::rename(upper, place.tree()).doing(moving)?;
            for rest in ["work", "empty"] {
                crate::snapshot::remove(&place.place().join(rest))?;
            }
            let tree = TreeLayer::open(place.tree())?;
            self.keep_view(&diff_id, LayerView::Tree(tree));
            let counts = (report.archive_bytes, report.entries);
            let path = place.tree().to_owned();
            self.writer.put_tree(place, &diff_id, form, counts)?;
            locked(&self.trees).insert(diff_id.clone(), path);
        }
        Ok((diff_id, size))
    }
}

/// What of a mount counts for a key.
fn mount_key(key: &mut Key, mount: &Mount) {
    key.text(mount.kind.name()).maybe(mount.target.as_deref());
    key.number(u64::from(mount.read_only)).number(u64::from(mount.required));
    key.maybe(mount.env.as_deref());
    match mount.kind {
        MountKind::Bind => key.maybe(mount.source.as_deref()),
        MountKind::Tmpfs => key.number(mount.size.unwrap_or(0)),
        _ => key.number(0),
    };
    for number in [mount.mode, mount.uid, mount.gid] {
        key.number(number.map_or(u64::MAX, u64::from));
    }
}

/// The directory of a cache in the store: equal caches are those of equal name, seed and owner. A
/// further one stands in (`turn`) while the first is in use.
pub(super) fn cache_place(store: &Path, mount: &Mount, turn: usize) -> PathBuf {
    let mut key = Key::new("cache mount");
    key.maybe(mount.id.as_deref()).maybe(mount.source.as_deref());
    key.text(&format!("{:?}", mount.from));
    for number in [mount.mode, mount.uid, mount.gid] {
        key.number(number.map_or(u64::MAX, u64::from));
    }
    if turn > 0 {
        key.number(turn as u64);
    }
    store.join("cache/mounts").join(key.finish().hex())
}
