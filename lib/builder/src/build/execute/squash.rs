//! Several layers as one.

use std::io::BufReader;
use std::path::PathBuf;

use super::super::cache::{Key, StepKey};
use super::super::image::{Draft, Layer};
use super::{Builder, Made, locked};
use crate::blob::Decoder;
use crate::error::{Error, IoContext, Result};
use crate::layer::{PackOptions, Stack, UnpackOptions, Unpacker, WhiteoutForm, pack};
use crate::snapshot::{Snapshot, SnapshotOptions};
use crate::spec::{DiffId, Digest};
use crate::store::Role;
use crate::sys::{self, Root, Time};

const BUFFER: usize = 256 << 10;

/// Which layers of the result become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squash {
    /// Those above the base, which stays what it is.
    New,
    /// All, the base's included.
    All,
}

impl Builder<'_> {
    /// The image with layers put together, as was asked for.
    pub(super) fn squashed(&self, draft: &Draft) -> Result<Draft> {
        let mut out = draft.clone();
        let Some(which) = self.options.squash else { return Ok(out) };
        let kept = match which {
            Squash::New => draft.base_layers,
            Squash::All => 0,
        };
        if draft.layers.len() < kept + 2 {
            return Ok(out);
        }
        let mut base = draft.clone();
        base.layers.truncate(kept);
        let mut key = Key::new("squash");
        for chain in [base.chain(), draft.chain()] {
            key.maybe(chain.as_ref().map(|chain| chain.0.hex()));
        }
        key.number(self.options.epoch.unwrap_or(i64::MAX) as u64);
        let key = StepKey { definition: key.finish(), inputs: Digest::sha256(b"") };
        let made = match self.find(&key, "")? {
            Some(made) => made,
            None => {
                let squashing = || "putting layers together";
                let layer = self.in_own_mounts(|| match kept {
                    0 => self.packed(draft),
                    _ => self.replayed(&base, &draft.layers[kept..]),
                });
                let (diff_id, size) = layer.doing(squashing)?;
                let made = Made { diff_id, size, created: self.now()? };
                locked(&self.pending).push((key, made.clone()));
                made
            }
        };
        out.squash(kept, Layer::plain(made.diff_id, made.size), &made.created);
        Ok(out)
    }

    /// All files of an image as one layer.
    fn packed(&self, draft: &Draft) -> Result<(DiffId, u64)> {
        let mounted = self.mounted(draft)?;
        let mut blob = self.writer.new_blob()?;
        self.pack_tree(&Root::open(mounted.path())?, &mut blob)?;
        let (digest, size) = blob.finish(Role::Leaf)?;
        Ok((DiffId(digest), size))
    }

    /// What layers change together: they are unpacked one after the other above their base, whose
    /// overlay then holds the difference.
    fn replayed(&self, base: &Draft, layers: &[Layer]) -> Result<(DiffId, u64)> {
        let place = self.writer.scratch()?;
        let forms = SnapshotOptions { volatile: true, ..SnapshotOptions::default() };
        let prepare = |lowers: &[PathBuf]| Snapshot::prepare(lowers, &place, &forms);
        let snapshot = self.stacked(base, prepare)?;
        let upper = snapshot.upper().ok_or_else(|| {
            Error::unsupported(
                "putting layers together needs overlayfs, which is not possible here",
            )
        })?;
        let root = self.writer.scratch()?;
        snapshot.mount(&root)?;
        let unpacked = layers.iter().try_for_each(|layer| {
            let unpacking = || format!("unpacking layer {}", layer.diff_id.0);
            let reader = self.writer.open(&layer.descriptor)?.reader();
            let decoder = Decoder::new(reader).doing(unpacking)?;
            let options =
                UnpackOptions { whiteouts: WhiteoutForm::Apply, ..UnpackOptions::default() };
            let unpacker = Unpacker::new(Root::open(&root)?, options)?;
            unpacker.unpack(BufReader::with_capacity(BUFFER, decoder)).doing(unpacking).map(drop)
        });
        sys::detach(&root).doing(|| "taking a snapshot away")?;
        unpacked?;
        let lowers = snapshot.lowers()?;
        let stack = Stack::new(&lowers, forms.form);
        let upper = Root::open(&upper)?;
        super::changes::forget_unchanged(&upper, &stack)?;
        let packing = PackOptions {
            form: WhiteoutForm::OverlayTrusted,
            lower: Some(&stack),
            latest: self.options.epoch.map(|secs| Time { secs, nanos: 0 }),
            ..PackOptions::default()
        };
        let mut blob = self.writer.new_blob()?;
        pack(&upper, &packing, &mut blob)?;
        let (digest, size) = blob.finish(Role::Leaf)?;
        Ok((DiffId(digest), size))
    }
}
