//! A working container becomes an image: its changes one layer, its config the image's.

use std::collections::BTreeMap;
use std::io::Cursor;

use super::super::execute::changes::forget_unchanged;
use super::super::image::{Draft, Layer, without_history};
use super::{Format, Working, list, now};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{PackOptions, Stack, WhiteoutForm, pack};
use crate::spec::{Dialect, DiffId, Digest, History, ImageConfig};
use crate::store::{Holding, Role, Store, StoreName, Writer};
use crate::sys::{Root, Time};

/// What history says of a layer if nobody said anything.
const CREATED_BY: &str = "/bin/sh";

/// How a container becomes an image.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// Names of the image in the store; without any, its digest names it.
    pub names: Vec<StoreName>,
    /// Vocabulary of manifest and config; none: as it was begun.
    pub format: Option<Format>,
    /// Everything becomes one layer, the base's files too.
    pub squash: bool,
    /// Leave history out.
    pub omit_history: bool,
    /// Annotations of the manifest that win.
    pub annotations: BTreeMap<String, String>,
    /// Variables that the image does not get.
    pub unset_env: Vec<String>,
    /// Times that are later become this one, as do all times of the image (seconds since 1970).
    pub epoch: Option<i64>,
    /// The container goes.
    pub remove: bool,
}

/// What came out.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Committed {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Digest of the config: Docker's image ID.
    pub config_digest: Digest,
    /// Its names in the store.
    pub names: Vec<String>,
}

/// Makes an image of a container, which stays as it is unless the options say otherwise.
pub fn commit(store: &Store, text: &str, options: &CommitOptions) -> Result<Committed> {
    let working = Working::open(store, text)?;
    let made = working.commit(options);
    match made.is_ok() && options.remove {
        true => drop(list::take_away(working)?),
        false => working.dir.rest()?,
    }
    made
}

impl Working {
    fn commit(&self, options: &CommitOptions) -> Result<Committed> {
        let writer = self.store.begin()?;
        let layer = self.layer(&writer, options)?;
        let base = self.base()?;
        let mut config = self.record.config.clone();
        config.config.env.retain(|entry| {
            let name = entry.split('=').next().unwrap_or_default();
            !options.unset_env.iter().any(|unset| unset == name)
        });
        let author = config.author.clone();
        if self.dialect(options) == Dialect::Oci {
            config.comment = None;
        }
        let mut draft = Draft::committed(base.as_ref(), config);
        if options.squash {
            draft = draft.without_layers();
        }
        draft.config.history.extend(self.record.history.iter().cloned());
        let from = match self.record.image.as_str() {
            "" => None,
            image => Some(format!("FROM {image}")),
        };
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        draft.config.history.push(History {
            created: Some(now()),
            created_by: some(&self.record.created_by).or_else(|| some(&self.usual_creator())),
            author,
            comment: some(&self.record.history_comment).or(from),
            empty_layer: false,
        });
        draft.layers.push(layer);
        let epoch = options.epoch.map(epoch_text).transpose()?;
        let mut config = draft.finish(epoch.as_deref())?;
        if options.omit_history {
            config = without_history(&config)?;
        }
        self.publish(&writer, &draft, &config, options)
    }

    /// The vocabulary that the image is written in.
    fn dialect(&self, options: &CommitOptions) -> Dialect {
        options.format.unwrap_or(self.record.format).into()
    }

    fn usual_creator(&self) -> String {
        match self.record.config.config.shell.as_slice() {
            [] => CREATED_BY.to_owned(),
            shell => shell.join(" "),
        }
    }

    /// Packs the changes, or all there is.
    fn layer(&self, writer: &Writer, options: &CommitOptions) -> Result<Layer> {
        let latest = options.epoch.map(|secs| Time { secs, nanos: 0 });
        let mut blob = writer.new_blob()?;
        if options.squash {
            let form = WhiteoutForm::Apply;
            let packing = PackOptions { form, latest, ..PackOptions::default() };
            self.with_files(|tree| pack(&Root::open(tree)?, &packing, &mut blob))?;
        } else if self.upper().exists() {
            let form = WhiteoutForm::OverlayTrusted;
            let upper = Root::open(&self.upper())?;
            let lowers = self.lowers()?;
            let lowers: Vec<Root> =
                lowers.iter().rev().map(|path| Root::open(path)).collect::<Result<_>>()?;
            let stack = Stack::new(&lowers, form);
            // Nothing may be taken away behind the back of a mount.
            if !self.is_mounted()? {
                forget_unchanged(&upper, &stack)?;
            }
            let lower = Some(&stack);
            let packing = PackOptions { form, lower, latest, ..PackOptions::default() };
            pack(&upper, &packing, &mut blob)?;
        } else {
            let empty = writer.scratch()?;
            pack(&Root::open(&empty)?, &PackOptions::default(), &mut blob)?;
        }
        let (digest, size) = blob.finish(Role::Leaf)?;
        Ok(Layer::plain(DiffId(digest), size))
    }

    /// Writes config and manifest, and names the image.
    fn publish(
        &self,
        writer: &Writer,
        draft: &Draft,
        config: &ImageConfig,
        options: &CommitOptions,
    ) -> Result<Committed> {
        let dialect = self.dialect(options);
        let mut annotations = self.record.annotations.clone();
        annotations.extend(options.annotations.clone());
        // Only OCI's manifests have any.
        if dialect == Dialect::Docker {
            annotations.clear();
        }
        let manifest = draft.manifest(config, dialect, &annotations)?;
        let (root, leaf) = (manifest.descriptor(), config.descriptor(dialect));
        if writer.need(&leaf)? != Holding::Whole {
            writer.put_reader(Role::Leaf, &leaf, Cursor::new(config.raw()))?;
        }
        if writer.need(&root)? == Holding::Nothing {
            writer.put_reader(Role::Manifest, &root, Cursor::new(manifest.raw()))?;
        }
        let mut names = options.names.clone();
        if names.is_empty() {
            names.push(StoreName::Digest(root.digest.clone()));
        }
        let pairs: Vec<_> = names.iter().map(|name| (name.clone(), root.clone())).collect();
        writer.publish(&pairs)?;
        let names = names.iter().map(ToString::to_string).collect();
        Ok(Committed { digest: root.digest, config_digest: config.digest().clone(), names })
    }
}

fn epoch_text(epoch: i64) -> Result<String> {
    let time = jiff::Timestamp::from_second(epoch);
    time.map(|time| time.to_string()).map_err(|error| {
        Error::caused(ErrorKind::Invalid, format!("SOURCE_DATE_EPOCH {epoch}"), error)
    })
}
