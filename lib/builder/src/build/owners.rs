//! Who the users and groups of a Dockerfile are in an image that is being built.
//!
//! One rule for `RUN`, `WORKDIR`, `--chown` and working containers: digits are an ID, names are
//! looked up in the image's own account files, and `root` is 0 even where there are none. Reads
//! nothing of the host.

use super::transfer::Owner;
use super::view::View;
use crate::error::Result;
use crate::runtime::Accounts;
use crate::sys::Root;

/// The accounts of an image's layers.
pub(super) fn accounts(view: &View) -> Result<Accounts> {
    let (passwd, group) = (view.account_file(b"etc/passwd")?, view.account_file(b"etc/group")?);
    Ok(Accounts::new(passwd, group).with_root())
}

/// The accounts of a mounted root.
pub(super) fn accounts_in(root: &Root) -> Result<Accounts> {
    Accounts::read(root).map(Accounts::with_root)
}

/// Whom `USER[:GROUP]` makes the owner of files. A number without a group is also the group; a
/// name without one has the group of its entry.
///
/// # Errors
/// `NotFound` for a name that the accounts do not have.
pub(super) fn owner(accounts: &Accounts, text: &str) -> Result<Owner> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let who = accounts.resolve(user, &[])?;
    let is_number = !user.is_empty() && user.bytes().all(|b| b.is_ascii_digit());
    let gid = match group {
        None if is_number => who.uid,
        None => who.gid,
        Some("") => 0,
        Some(group) => accounts.group_id(group)?,
    };
    Ok(Owner { uid: who.uid, gid })
}

/// The owner that `--chown` asks for, in an image of these layers.
pub(super) fn chown(view: &View, text: &str) -> Result<Owner> {
    let is_number = |id: &str| id.is_empty() || id.bytes().all(|b| b.is_ascii_digit());
    // Numbers alone need no look into the image.
    let accounts = match text.split(':').all(is_number) {
        true => Accounts::default(),
        false => accounts(view)?,
    };
    owner(&accounts, text).map_err(|error| error.while_doing(format!("--chown={text}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn owners_by_name_and_number() {
        let passwd = b"app:x:5:6::/:/x\nmany:x:7:8::/:/x\n";
        let with = Accounts::new(passwd.to_vec(), b"staff:x:50:app\n".to_vec()).with_root();
        let none = Accounts::default().with_root();
        for (accounts, text, expected) in [
            (&with, "app", Some((5, 6))),
            (&with, "app:staff", Some((5, 50))),
            (&with, "app:9", Some((5, 9))),
            (&with, "app:", Some((5, 0))),
            (&with, "5", Some((5, 5))),
            (&with, "5:staff", Some((5, 50))),
            (&with, "root", Some((0, 0))),
            (&with, "root:staff", Some((0, 50))),
            (&with, "app:root", Some((5, 0))),
            (&with, ":staff", Some((0, 50))),
            (&with, "other", None),
            (&with, "app:other", None),
            (&none, "root", Some((0, 0))),
            (&none, "root:root", Some((0, 0))),
            (&none, "root:", Some((0, 0))),
            (&none, "0:root", Some((0, 0))),
            (&none, "7:root", Some((7, 0))),
            (&none, "7:8", Some((7, 8))),
            (&none, "7", Some((7, 7))),
            (&none, "app", None),
            (&none, "7:staff", None),
            (&none, "Root", None),
            (&none, "4294967295", None),
        ] {
            let found = owner(accounts, text).ok().map(|owner| (owner.uid, owner.gid));
            assert_eq!(found, expected, "{text}");
        }
        // An entry counts more than the rule.
        let other = Accounts::new(b"root:x:9:9::/:/x\n".to_vec(), b"root:x:9:\n".to_vec());
        let other = owner(&other.with_root(), "root:root").unwrap();
        assert_eq!((other.uid, other.gid), (9, 9));
    }
}
