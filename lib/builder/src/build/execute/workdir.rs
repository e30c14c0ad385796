//! `WORKDIR`: the directory, where it is missing.

use super::super::cache::{Key, Made, StepKey};
use super::super::graph::Step;
use super::super::image::{Draft, Layer};
use super::super::owners;
use super::super::transfer::{Layout, Origin, Owner, Placement, Seen, write};
use super::super::view::{LayerView, View};
use super::Builder;
use super::stage::How;
use crate::error::Result;
use crate::spec::{DiffId, Digest};
use crate::store::Role;
use crate::sys::Time;

impl Builder<'_> {
    /// Makes the directory with those above it, owned by the user of the moment. One that is there
    /// stays as it is.
    pub(super) fn workdir(
        &self,
        draft: &mut Draft,
        step: &Step,
        path: &str,
        stage: &str,
    ) -> Result<How> {
        if path == "/" {
            return Ok(How::Config);
        }
        let user = draft.config.config.user.clone();
        let mut key = Key::new("workdir");
        key.maybe(draft.chain().as_ref().map(|chain| chain.0.hex())).text(path).text(&user);
        key.number(self.options.epoch.unwrap_or(i64::MAX) as u64);
        let key = StepKey { definition: key.finish(), inputs: Digest::sha256(b"") };
        if let Some(made) = self.find(&key, stage)? {
            draft.push_layer(step, Layer::plain(made.diff_id, made.size), &made.created);
            return Ok(How::Cached);
        }
        let view = self.view(&draft.layers)?;
        let made_at = self.made_at();
        let placement = Placement { view: Some(&view), owner: None, chmod: None, made_at };
        let (real, there) = Layout::new(placement.clone()).destination(path)?;
        let owner = match there {
            true => None,
            false => Some(self.owner_of_workdir(&view, &user, path)?),
        };
        let mut layout = Layout::new(Placement { owner, ..placement });
        if !there {
            layout.ensure(&real)?;
        }
        let made = self.keep_layer(draft, step, layout, &[], None)?;
        super::locked(&self.pending).push((key, made));
        Ok(How::Made)
    }

    /// Whom a new working directory belongs to. A user that the image does not know, whom a later
    /// step may add, is root for now.
    fn owner_of_workdir(&self, view: &View, user: &str, path: &str) -> Result<Owner> {
        if user.is_empty() {
            return Ok(Owner::default());
        }
        let accounts = owners::accounts(view)?;
        owners::owner(&accounts, user).or_else(|error| {
            let text = format!("WORKDIR {path} belongs to root: {}", error.chain());
            self.reporter.event(super::BuildEvent::Warning(&text));
            Ok(Owner::default())
        })
    }

    /// The time of files that come from nowhere.
    pub(super) fn made_at(&self) -> Time {
        let now = || jiff::Timestamp::now().as_second();
        Time { secs: self.options.epoch.unwrap_or_else(now), nanos: 0 }
    }

    /// Writes a layer and adds it to the image.
    pub(super) fn keep_layer<'s>(
        &self,
        draft: &mut Draft,
        step: &Step,
        layout: Layout<'_>,
        origins: &'s [&'s Origin],
        seen: Option<Seen<'s>>,
    ) -> Result<Made> {
        let latest = self.options.epoch.map(|secs| Time { secs, nanos: 0 });
        let mut blob = self.writer.new_blob()?;
        let written = write(layout, origins, latest, &mut blob, seen)?;
        let (digest, size) = blob.finish(Role::Leaf)?;
        let diff_id = DiffId(digest);
        self.keep_view(&diff_id, LayerView::Toc(written.toc));
        let made = Made { diff_id: diff_id.clone(), size, created: self.now()? };
        draft.push_layer(step, Layer::plain(diff_id, size), &made.created);
        for name in &written.dropped {
            let text = format!(
                "/{} is left out: names with .wh. mean deletions in layers",
                String::from_utf8_lossy(name)
            );
            self.reporter.event(super::BuildEvent::Warning(&text));
        }
        self.remember(&made);
        Ok(made)
    }
}
