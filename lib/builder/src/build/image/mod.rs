//! The image in the making: what its config says and which layers it has so far.
//!
//! Owns the effect of every instruction that only changes the config, and the lines of history. A
//! pure value: reads and writes nothing.

mod history;

use std::collections::BTreeMap;

pub(super) use history::created_by;

use super::graph::{Operation, Step};
use crate::error::Result;
use crate::spec::{
    ChainId, Compression, ConfigFields, Descriptor, Dialect, DiffId, History, Image, ImageConfig,
    Manifest, MediaType, Platform, edit,
};

/// `PATH` where the base does not set it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What made a line of history.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// A layer of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// Its bytes as they are kept.
    pub(super) descriptor: Descriptor,
    /// What they mean.
    pub(super) diff_id: DiffId,
}

impl Layer {
    /// A layer that is kept uncompressed.
    pub(super) fn plain(diff_id: DiffId, size: u64) -> Layer {
        let media_type = MediaType::layer(Dialect::Oci, Compression::None);
        Layer { descriptor: Descriptor::new(media_type, diff_id.0.clone(), size), diff_id }
    }
}

/// The same config without a word about how the image came about.
pub(super) fn without_history(config: &ImageConfig) -> Result<ImageConfig> {
    let mut fields = config.fields().clone();
    fields.history.clear();
    config.with(fields)
}

/// An image in the making.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) config: ConfigFields,
    pub(super) layers: Vec<Layer>,
    /// How many layers are the base's.
    pub(super) base_layers: usize,
    /// The config of the image it began with: what has no field here is kept.
    base: Option<ImageConfig>,
    /// How many lines of history are the base's.
    base_history: usize,
    /// Whether this stage has set `CMD`.
    cmd_set: bool,
}

/// Adds a line for every layer that has none, so that later lines belong to later layers.
fn complete(history: &mut Vec<History>, layers: usize) {
    let told = history.iter().filter(|line| !line.empty_layer).count();
    let line = History {
        comment: Some("a layer that the base's history does not tell of".to_owned()),
        ..History::default()
    };
    history.extend(std::iter::repeat_n(line, layers.saturating_sub(told)));
}

/// What an image takes over of its base's config: not what is about the making of the base.
pub(super) fn inherited(base: &Image) -> ConfigFields {
    let mut config = base.config().fields().clone();
    (config.created, config.container, config.container_config) = (None, None, None);
    (config.docker_version, config.comment) = (None, None);
    config.config.on_build.clear();
    for text in
        [&mut config.config.hostname, &mut config.config.domainname, &mut config.config.image]
    {
        text.clear();
    }
    config
}

impl Draft {
    /// `FROM scratch`.
    pub(super) fn scratch(platform: &Platform) -> Draft {
        let mut config = ConfigFields {
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            os: platform.os.clone(),
            ..ConfigFields::default()
        };
        config.config.working_dir = "/".to_owned();
        let mut draft = Draft {
            config,
            layers: Vec::new(),
            base_layers: 0,
            base: None,
            base_history: 0,
            cmd_set: false,
        };
        draft.ensure_path();
        draft
    }

    /// `FROM image`.
    pub(super) fn of(image: &Image) -> Draft {
        let mut config = inherited(image);
        let layers = image.layers().iter().map(|layer| Layer {
            descriptor: layer.descriptor.clone(),
            diff_id: layer.diff_id.clone(),
        });
        let layers: Vec<Layer> = layers.collect();
        complete(&mut config.history, layers.len());
        let mut draft = Draft {
            base_layers: layers.len(),
            base_history: config.history.len(),
            layers,
            base: Some(image.config().clone()),
            config,
            cmd_set: false,
        };
        draft.ensure_path();
        draft
    }

    /// What a working container becomes: an image that says `config`, on the layers of its base
    /// or, without one, on nothing.
    pub(super) fn committed(base: Option<&Image>, mut config: ConfigFields) -> Draft {
        let layers = base.map(Draft::of).map(|draft| draft.layers).unwrap_or_default();
        complete(&mut config.history, layers.len());
        Draft {
            base_layers: layers.len(),
            base_history: config.history.len(),
            layers,
            base: base.map(|image| image.config().clone()),
            config,
            cmd_set: false,
        }
    }

    /// The same config for other files: none but those of layers to come.
    pub(super) fn without_layers(mut self) -> Draft {
        self.layers.clear();
        self.config.history.clear();
        (self.base_layers, self.base_history) = (0, 0);
        self
    }

    /// `FROM` an earlier stage, whose triggers have been taken.
    pub(super) fn next_stage(&self) -> Draft {
        let mut draft = self.clone();
        draft.config.config.on_build.clear();
        draft.cmd_set = false;
        draft
    }

    fn ensure_path(&mut self) {
        let is_path = |entry: &String| entry.split('=').next() == Some("PATH");
        if !self.config.config.env.iter().any(is_path) {
            self.config.config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
    }

    /// What identifies the files so far.
    pub(super) fn chain(&self) -> Option<ChainId> {
        let ids: Vec<DiffId> = self.layers.iter().map(|layer| layer.diff_id.clone()).collect();
        ChainId::of_stack(&ids).pop()
    }

    /// Adds a layer that `step` made.
    pub(super) fn push_layer(&mut self, step: &Step, layer: Layer, created: &str) {
        self.layers.push(layer);
        self.note(step, false, Some(created));
    }

    /// Puts one layer in the place of all behind the first `kept`; what made them stays in the
    /// history.
    pub(super) fn squash(&mut self, kept: usize, layer: Layer, created: &str) {
        self.layers.truncate(kept);
        self.layers.push(layer);
        self.base_layers = self.base_layers.min(kept);
        let first = if kept == 0 { 0 } else { self.base_history };
        self.config.history.iter_mut().skip(first).for_each(|line| line.empty_layer = true);
        self.config.history.push(History {
            created: Some(created.to_owned()),
            created_by: Some("squash".to_owned()),
            author: None,
            comment: Some(COMMENT.to_owned()),
            empty_layer: false,
        });
    }

    fn note(&mut self, step: &Step, empty_layer: bool, created: Option<&str>) {
        let Some(created_by) = created_by(&step.operation) else { return };
        self.config.history.push(History {
            created: created.map(str::to_owned),
            created_by: Some(created_by),
            author: None,
            comment: Some(COMMENT.to_owned()),
            empty_layer,
        });
    }

    /// Carries out what a step says about the config; those that make layers need
    /// [`push_layer`](Draft::push_layer) too.
    pub(super) fn apply(&mut self, step: &Step) {
        let container = &mut self.config.config;
        match &step.operation {
            Operation::Transfer(_) | Operation::Run(_) => return,
            Operation::Arg(_) => {}
            Operation::Cmd(words) => {
                container.cmd.clone_from(words);
                container.args_escaped = false;
                self.cmd_set = true;
            }
            Operation::Entrypoint(words) => {
                container.entrypoint.clone_from(words);
                if !self.cmd_set {
                    container.cmd.clear();
                }
            }
            Operation::Env(pairs) => {
                pairs.iter().for_each(|(name, value)| set_env(&mut container.env, name, value));
            }
            Operation::Expose(ports) => {
                for port in ports {
                    container.exposed_ports.extend(port.each());
                }
            }
            Operation::Healthcheck(check) => container.healthcheck = Some(check.clone()),
            Operation::Label(pairs) => container.labels.extend(pairs.iter().cloned()),
            Operation::Maintainer(text) => self.config.author = Some(text.clone()),
            Operation::Onbuild(trigger) => container.on_build.push(trigger.clone()),
            Operation::Shell(words) => container.shell.clone_from(words),
            Operation::StopSignal(signal) => container.stop_signal.clone_from(signal),
            Operation::User(user) => container.user.clone_from(user),
            Operation::Volume(paths) => container.volumes.extend(paths.iter().cloned()),
            Operation::Workdir(path) => {
                container.working_dir.clone_from(path);
                if path != "/" {
                    return;
                }
            }
        }
        self.note(step, true, None);
    }

    /// The config with all times settled: a line without one was made with the one before it.
    pub(super) fn finish(&self, epoch: Option<&str>) -> Result<ImageConfig> {
        let mut fields = self.config.clone();
        fields.rootfs.diff_ids = self.layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let mut last: Option<String> = None;
        for (index, line) in fields.history.iter_mut().enumerate() {
            if index >= self.base_history {
                if let Some(epoch) = epoch {
                    line.created = Some(epoch.to_owned());
                } else if line.created.is_none() {
                    line.created.clone_from(&last);
                }
            }
            if line.created.is_some() {
                last.clone_from(&line.created);
            }
        }
        // Lines before the first layer are as old as it.
        let first = fields.history.iter().find_map(|line| line.created.clone());
        let new = fields.history.iter_mut().skip(self.base_history);
        new.filter(|line| line.created.is_none()).for_each(|line| line.created.clone_from(&first));
        fields.created = epoch.map(str::to_owned).or(last);
        match &self.base {
            Some(base) => base.with(fields),
            None => ImageConfig::new(fields),
        }
    }

    /// The manifest of `config`, all of it in one vocabulary.
    pub(super) fn manifest(
        &self,
        config: &ImageConfig,
        dialect: Dialect,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Manifest> {
        let mut layers = Vec::new();
        for layer in &self.layers {
            let mut descriptor = layer.descriptor.clone();
            if let Some(media_type) = descriptor.media_type.in_dialect(dialect) {
                descriptor.media_type = media_type;
            }
            layers.push(descriptor);
        }
        edit::new_image(dialect, &config.descriptor(dialect), &layers, annotations)
    }
}

/// Sets a variable where it is, or behind all others.
fn set_env(env: &mut Vec<String>, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    let same = |old: &&mut String| old.split('=').next() == Some(name);
    match env.iter_mut().find(same) {
        Some(old) => *old = entry,
        None => env.push(entry),
    }
}
