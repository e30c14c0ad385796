//! Whom a container's users are on the host.
//!
//! Owns the choice of ranges for `--userns auto`, the user namespace of a container, and the way to
//! its files for a root user that is not the host's. Promise: no two containers of a store have an
//! ID in common that was chosen here.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use super::record::{ContainerRecord, IdSpan};
use super::{Engine, RunRequest};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::runtime::id_map::{self, Span};
use crate::runtime::options::{IdMap, IdRange, MountRequest, UserMode};
use crate::sys::{IdExtent, Lock, LockMode, UserNamespace};

/// Whose subordinate IDs containers get, as with podman.
const OWNER: &str = "containers";

/// The IDs for containers where the host has set none aside: above those of people and of
/// systemd's containers.
const UNCLAIMED: Span = Span { first: 1 << 31, count: (1 << 31) - (1 << 16) };

/// IDs in an `auto` namespace when nothing is said.
const AUTO_SIZE: u32 = 1 << 16;

/// The request with the modes settled that need nothing but the host.
pub(super) fn settled(request: &RunRequest) -> Result<RunRequest> {
    let mut request = request.clone();
    let mode = &request.options.namespaces.user;
    if let UserMode::KeepId { uid, gid } = mode {
        let (uid, gid) = (uid.unwrap_or(0), gid.unwrap_or(0));
        let user = request.options.user.take();
        request.options.user = Some(user.unwrap_or_else(|| format!("{uid}:{gid}")));
    }
    let text = |path: &str| fs::read_to_string(path).doing(|| format!("reading {path}"));
    let settled = match mode {
        UserMode::KeepId { .. } => {
            id_map::identity(&text("/proc/self/uid_map")?, &text("/proc/self/gid_map")?)?
        }
        UserMode::NoMap => {
            return Err(Error::usage(
                "--userns nomap is for people without root's rights; --userns auto maps none of \
                 the host's own users",
            ));
        }
        other => other.clone(),
    };
    request.options.namespaces.user = settled;
    Ok(request)
}

/// What was chosen for a container; to be dropped when its record is written.
pub(super) struct Choice {
    pub(super) mode: UserMode,
    pub(super) span: Option<IdSpan>,
    /// Nobody else chooses before the record is there.
    _alone: Option<Lock>,
}

impl Choice {
    /// Finds a range that no container has, if that was asked for.
    pub(super) fn make(engine: &Engine, mode: &UserMode) -> Result<Choice> {
        let UserMode::Auto { size } = mode else {
            return Ok(Choice { mode: mode.clone(), span: None, _alone: None });
        };
        let size = size.unwrap_or(AUTO_SIZE);
        let making = || format!("making directory {}", engine.state.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&engine.state).doing(making)?;
        let alone = Lock::acquire(&engine.state.join("users.lock"), LockMode::Exclusive)?;
        let pools = pools();
        let first = id_map::free(&pools, &taken(engine)?, size).ok_or_else(|| {
            Error::new(
                ErrorKind::Denied,
                format!(
                    "--userns auto: no {size} IDs in a row are free for another container; \
                     /etc/subuid and /etc/subgid say how many {OWNER:?} has"
                ),
            )
        })?;
        Ok(Choice {
            mode: UserMode::Mapped(id_map::one_range(first, size)),
            span: Some(IdSpan { first, count: size }),
            _alone: Some(alone),
        })
    }
}

/// The IDs that may be given away.
fn pools() -> Vec<Span> {
    let of = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        id_map::subordinate(&text, OWNER)
    };
    let (users, groups) = (of("/etc/subuid"), of("/etc/subgid"));
    match users.is_empty() && groups.is_empty() {
        true => vec![UNCLAIMED],
        false => id_map::common(&users, &groups),
    }
}

/// The ranges that containers have which are there, running or not: their files stay theirs.
fn taken(engine: &Engine) -> Result<Vec<Span>> {
    let mut taken = Vec::new();
    for id in engine.store.container_ids()? {
        let record = ContainerRecord::read(&engine.store.container_path(&id))?;
        let span = record.and_then(|record| record.id_span);
        taken.extend(span.map(|span| Span { first: span.first, count: span.count }));
    }
    Ok(taken)
}

/// What maps the owners of a mount that asks for it: the IDs that it names itself, or the
/// container's.
pub(super) fn owners(
    mount: &MountRequest,
    mode: &UserMode,
    own: Option<&Arc<UserNamespace>>,
) -> Result<Option<Arc<UserNamespace>>> {
    let Some(map) = &mount.idmap else { return Ok(None) };
    let of_container = match mode {
        UserMode::Mapped(own) => own.clone(),
        _ => IdMap::default(),
    };
    let mut map = map.clone();
    match (map.users.is_empty(), map.groups.is_empty(), own) {
        (true, true, Some(own)) => return Ok(Some(Arc::clone(own))),
        (true, _, None) => {
            return Err(Error::usage(format!(
                "idmap at {}: no mapping is given, and the container has no user namespace: name \
                 one with idmap=uids=FROM-TO-COUNT;gids=FROM-TO-COUNT, or use --userns or --uidmap",
                mount.target
            )));
        }
        (true, false, Some(_)) => map.users = of_container.users,
        (false, true, Some(_)) => map.groups = of_container.groups,
        (false, ..) => {}
    }
    made(&map, false).map(|made| Some(Arc::new(made)))
}

/// The namespace that a mode asks for.
pub(super) fn namespace(mode: &UserMode, network: bool) -> Result<Option<Arc<UserNamespace>>> {
    let UserMode::Mapped(map) = mode else { return Ok(None) };
    let made = made(map, network)?;
    if made.outside(0, 0).is_none() {
        return Err(Error::usage("the mapping of IDs must have 0 inside, for users and groups"));
    }
    Ok(Some(Arc::new(made)))
}

/// A namespace with these IDs; groups that are not named have those of the users.
fn made(map: &IdMap, network: bool) -> Result<UserNamespace> {
    let extents = |ranges: &[IdRange]| -> Vec<IdExtent> {
        let extent =
            |r: &IdRange| IdExtent { inside: r.inside, outside: r.outside, count: r.count };
        ranges.iter().map(extent).collect()
    };
    let users = extents(&map.users);
    let groups = if map.groups.is_empty() { users.clone() } else { extents(&map.groups) };
    UserNamespace::new(users, groups, network).map_err(|error| {
        let (kind, hint) = match error.raw_os_error() {
            Some(libc::EINVAL) => (
                ErrorKind::Usage,
                "the kernel does not take this mapping of IDs: ranges may not overlap, and there \
                 are at most 340",
            ),
            _ => (
                ErrorKind::Denied,
                "the container cannot have a user namespace of its own here (see \
                 /proc/sys/user/max_user_namespaces)",
            ),
        };
        Error::caused(kind, hint, Error::io("making a user namespace", error))
    })
}

/// Lets others than root pass through directories of ours, without seeing what is in them.
pub(super) fn open_way(directories: &[&Path]) -> Result<()> {
    for path in directories {
        let opening = || format!("letting containers' users pass {}", path.display());
        fs::set_permissions(path, Permissions::from_mode(0o711)).doing(opening)?;
    }
    Ok(())
}

/// Refuses a tree to which the container's root user has no way.
pub(super) fn check_way(tree: &Path, users: &UserNamespace) -> Result<()> {
    let root = users.outside(0, 0).map(|(uid, _)| uid);
    for above in tree.ancestors().skip(1) {
        let meta = fs::metadata(above).doing(|| format!("looking at {}", above.display()))?;
        let needed = if Some(meta.uid()) == root { 0o100 } else { 0o001 };
        if meta.mode() & needed == 0 {
            return Err(Error::new(
                ErrorKind::Denied,
                format!(
                    "the root user of the container's user namespace cannot pass {} on the way to \
                     its files: `chmod o+x {0}` lets it",
                    above.display()
                ),
            ));
        }
    }
    Ok(())
}
