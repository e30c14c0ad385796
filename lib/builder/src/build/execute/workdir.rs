//! `WORKDIR`: the directory, where it is missing.

use super::super::cache::{Key, Made, StepKey};
use super::super::graph::Step;
use super::super::image::{Draft, Layer};
use super::super::transfer::{Layout, Origin, Owner, Placement, Seen, write};
use super::super::view::{LayerView, View};
use super::Builder;
use super::stage::How;
use crate::error::{Error, Result};
use crate::runtime::Accounts;
use crate::spec::{DiffId, Digest};
use crate::store::Role;
use crate::sys::Time;

const ROOT_USER: &str = "root:x:0:0::/root:\n";
const ROOT_GROUP: &str = "root:x:0:\n";

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
        let owner = Some(self.owner_of(&view, &user)?);
        let made_at = self.made_at();
        let mut layout = Layout::new(Placement { view: Some(&view), owner, chmod: None, made_at });
        let (real, there) = layout.destination(path)?;
        if !there {
            layout.ensure(&real)?;
        }
        let made = self.keep_layer(draft, step, layout, &[], None)?;
        super::locked(&self.pending).push((key, made));
        Ok(How::Made)
    }

    /// The time of files that come from nowhere.
    pub(super) fn made_at(&self) -> Time {
        let now = || jiff::Timestamp::now().as_second();
        Time { secs: self.options.epoch.unwrap_or_else(now), nanos: 0 }
    }

    /// Who a `USER` is in an image.
    pub(super) fn owner_of(&self, view: &View, user: &str) -> Result<Owner> {
        if user.is_empty() {
            return Ok(Owner::default());
        }
        let who = accounts(view)?.resolve(user, &[])?;
        Ok(Owner { uid: who.uid, gid: who.gid })
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

    /// Fails for an owner that is no number and not in the image.
    pub(super) fn named_owner(&self, view: &View, text: &str) -> Result<Owner> {
        named_owner(view, text)
    }
}

/// The accounts of an image. Where it has no file of them, root is known all the same.
fn accounts(view: &View) -> Result<Accounts> {
    let or = |root: &str, content: Vec<u8>| if content.is_empty() { root.into() } else { content };
    let passwd = or(ROOT_USER, view.account_file(b"etc/passwd")?);
    Ok(Accounts::new(passwd, or(ROOT_GROUP, view.account_file(b"etc/group")?)))
}

/// Whom `--chown` means in an image; fails for an owner that is no number and not in it.
pub(in crate::build) fn named_owner(view: &View, text: &str) -> Result<Owner> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let number = |text: &str| text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
    // Numbers alone need no look into the image.
    match (number(user), group.map(|group| (group, number(group)))) {
        (Some(uid), None) => return Ok(Owner { uid, gid: uid }),
        (Some(uid), Some((_, Some(gid)))) => return Ok(Owner { uid, gid }),
        (Some(uid), Some(("", _))) => return Ok(Owner { uid, gid: 0 }),
        _ => {}
    }
    let accounts = accounts(view)?;
    let failed = |error: Error| error.while_doing(format!("--chown={text}"));
    match group {
        None => {
            let who = accounts.resolve(user, &[]).map_err(failed)?;
            Ok(Owner { uid: who.uid, gid: who.gid })
        }
        Some(group) => {
            let uid = match number(user) {
                Some(uid) => uid,
                None => accounts.resolve(user, &[]).map_err(failed)?.uid,
            };
            let gid = match group {
                "" => 0,
                group => accounts.group_id(group).map_err(failed)?,
            };
            Ok(Owner { uid, gid })
        }
    }
}
