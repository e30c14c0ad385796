//! Users and groups, as the image knows them.
//!
//! Owns the reading of `/etc/passwd` and `/etc/group` inside a root, and Docker's rules of who a
//! `user[:group]` is. Promise: the files are opened inside the root, as regular files, and read up
//! to a limit; nothing of the host's accounts is asked, no library looks names up. Does not know
//! what the user is for.

use std::fs::File;
use std::io::Read;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::Root;

/// Most bytes of one account file that are read.
pub const MAX_ACCOUNTS: u64 = 16 << 20;

/// runc's own limit.
const MAX_ID: u32 = i32::MAX as u32;

/// The two account files of a root.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    passwd: Vec<u8>,
    group: Vec<u8>,
}

/// Who a process runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups: the primary one first, each once.
    pub groups: Vec<u32>,
    /// Home directory, never empty.
    pub home: String,
    /// The user's name, when the image has one.
    pub name: Option<String>,
}

impl Accounts {
    /// Reads the files of a root; a missing one is empty.
    ///
    /// Fails on what is no regular file and on more than [`MAX_ACCOUNTS`] bytes.
    pub fn read(root: &Root) -> Result<Accounts> {
        let read = |path: &[u8]| {
            let reading = || format!("reading /{} of the image", path.escape_ascii());
            match root.open_file(path) {
                Ok(file) => read_bounded(file).doing(reading),
                Err(error) if is_absent(&error) => Ok(Vec::new()),
                Err(error) => Err(Error::io(reading(), error)),
            }
        };
        Ok(Accounts { passwd: read(b"etc/passwd")?, group: read(b"etc/group")? })
    }

    /// Takes the contents as they are; for files that a mount will put over the image's.
    pub fn new(passwd: Vec<u8>, group: Vec<u8>) -> Accounts {
        Accounts { passwd, group }
    }

    /// Who `user[:group]` is, with `further` groups. Empty text is user 0.
    ///
    /// Digits are always an ID. Without a group the user's own groups apply; with one only that.
    pub fn resolve(&self, user: &str, further: &[String]) -> Result<ResolvedUser> {
        let (name, group) = match user.split_once(':') {
            Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
            None => (user, None),
        };
        let wanted = Wanted::parse(if name.is_empty() { "0" } else { name })?;
        let group = group.map(Wanted::parse).transpose()?;
        let found = self.passwd_entry(&wanted);
        let mut who = match (&found, &wanted) {
            (Some(entry), _) => ResolvedUser {
                uid: entry.uid,
                gid: entry.gid,
                groups: Vec::new(),
                home: entry.home.clone(),
                name: Some(entry.name.clone()),
            },
            (None, Wanted::Id(uid)) => ResolvedUser { uid: *uid, ..ResolvedUser::default() },
            (None, Wanted::Name(name)) => {
                return Err(Error::not_found(format!(
                    "unable to find user {name:?}: no matching entries in the image's passwd file"
                )));
            }
        };
        if !who.home.starts_with('/') {
            who.home = "/".to_owned();
        }
        let own = match group {
            Some(group) => {
                who.gid = self.gid_of(&group)?;
                Vec::new()
            }
            None => who.name.as_deref().map(|name| self.groups_of(name)).unwrap_or_default(),
        };
        who.groups.push(who.gid);
        for gid in own.into_iter().map(Ok).chain(further.iter().map(|text| self.group_id(text))) {
            let gid = gid?;
            if !who.groups.contains(&gid) {
                who.groups.push(gid);
            }
        }
        Ok(who)
    }

    /// The ID of a group given by name or number.
    pub fn group_id(&self, text: &str) -> Result<u32> {
        self.gid_of(&Wanted::parse(text)?)
    }

    fn gid_of(&self, wanted: &Wanted) -> Result<u32> {
        match wanted {
            Wanted::Id(gid) => Ok(*gid),
            Wanted::Name(name) => self
                .group_lines()
                .find(|line| line.name == name.as_bytes())
                .map(|line| line.gid)
                .ok_or_else(|| {
                    Error::not_found(format!(
                        "unable to find group {name:?}: no matching entries in the image's group file"
                    ))
                }),
        }
    }

    fn passwd_entry(&self, wanted: &Wanted) -> Option<PasswdEntry> {
        lines(&self.passwd).find_map(|line| {
            let fields: Vec<&[u8]> = line.split(|&b| b == b':').collect();
            let [name, _, uid, gid, ..] = fields.as_slice() else { return None };
            let entry = PasswdEntry {
                name: text(name)?,
                uid: id(uid)?,
                gid: id(gid)?,
                home: fields.get(5).and_then(|home| text(home)).unwrap_or_default(),
            };
            let matches = match wanted {
                Wanted::Id(uid) => entry.uid == *uid,
                Wanted::Name(name) => entry.name == *name,
            };
            matches.then_some(entry)
        })
    }

    fn group_lines(&self) -> impl Iterator<Item = GroupLine<'_>> {
        lines(&self.group).filter_map(|line| {
            let mut fields = line.split(|&b| b == b':');
            let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
            Some(GroupLine { name, gid: id(gid)?, members: fields.next().unwrap_or_default() })
        })
    }

    fn groups_of(&self, user: &str) -> Vec<u32> {
        let listed = |line: &GroupLine<'_>| {
            line.members.split(|&b| b == b',').any(|member| member.trim_ascii() == user.as_bytes())
        };
        self.group_lines().filter(listed).map(|line| line.gid).collect()
    }
}

struct PasswdEntry {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

struct GroupLine<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

/// A user or group by ID or by name.
enum Wanted {
    Id(u32),
    Name(String),
}

impl Wanted {
    fn parse(text: &str) -> Result<Wanted> {
        // A number too large must not become a name that the image maps to root.
        let number = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
            return match id(text.as_bytes()) {
                Some(id) => Ok(Wanted::Id(id)),
                None => Err(Error::usage(format!(
                    "uids and gids must be in range 0-{MAX_ID}, but {text:?} was given"
                ))),
            };
        }
        if text.is_empty() || text.contains(|c: char| c.is_control() || c == ':') {
            return Err(Error::usage(format!("{text:?} is not the name of a user or group")));
        }
        Ok(Wanted::Name(text.to_owned()))
    }
}

fn id(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|id| *id <= MAX_ID)
}

/// Text that can stand in a variable: no NUL, nothing that breaks a line.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.contains(|c: char| c.is_control())).then(|| text.to_owned())
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn read_bounded(file: File) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(MAX_ACCOUNTS + 1).read_to_end(&mut content).doing(|| "reading")?;
    if content.len() as u64 > MAX_ACCOUNTS {
        return Err(Error::new(ErrorKind::Invalid, format!("larger than {MAX_ACCOUNTS} bytes")));
    }
    Ok(content)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
