//! Where the content of a container's mounts comes from: volumes, images, the host.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::image::Chosen;
use super::record::{MountRecord, now};
use super::supply::Fetcher;
use super::{Engine, RunRequest, ident};
use crate::error::{Error, IoContext, Result};
use crate::runtime::options::{MountRequest, MountSource};
use crate::runtime::{ImageDefaults, Sources};
use crate::snapshot::{Method, Snapshot, SnapshotOptions};
use crate::spec::Digest;
use crate::store::{ContainerDir, Volume};
use crate::sys::{self, Root, UserNamespace};

/// The mounts of one container that are not the host's, before anything is made.
#[derive(Default)]
pub(super) struct Planned {
    /// Volumes, by target.
    volumes: Vec<PlannedVolume>,
    /// Images, by target.
    images: Vec<PlannedImage>,
}

/// What was made of a container when its mounts are provided.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) held: &'a ContainerDir,
    /// On memory.
    pub(super) state: &'a Path,
    /// Its mounted tree.
    pub(super) root: &'a Path,
    pub(super) users: Option<&'a Arc<UserNamespace>>,
}

struct PlannedVolume {
    target: String,
    volume: Volume,
    seed: bool,
    part: Option<String>,
    read_only: bool,
}

struct PlannedImage {
    target: String,
    name: String,
    chosen: Chosen,
    writable: bool,
    part: Option<String>,
}

impl Planned {
    /// Decides on names and finds images.
    pub(super) fn make(
        engine: &Engine,
        request: &RunRequest,
        image: &ImageDefaults,
        fetcher: &mut Fetcher<'_>,
    ) -> Result<Planned> {
        let mut planned = Planned::default();
        for mount in &request.options.mounts {
            planned.add(engine, request, mount, fetcher)?;
        }
        let covered =
            |target: &str| request.options.mounts.iter().any(|mount| mount.target == target);
        for path in &image.volumes {
            let target = clean(path);
            if target != "/" && !covered(&target) {
                planned.volumes.push(PlannedVolume {
                    target,
                    volume: anonymous()?,
                    seed: true,
                    part: None,
                    read_only: false,
                });
            }
        }
        Ok(planned)
    }

    fn add(
        &mut self,
        engine: &Engine,
        request: &RunRequest,
        mount: &MountRequest,
        fetcher: &mut Fetcher<'_>,
    ) -> Result<()> {
        if mount.chown {
            return Err(Error::unsupported(format!(
                "the mount at {}: changing the owner of its content (U, chown) is not supported yet",
                mount.target
            )));
        }
        match &mount.source {
            MountSource::Volume { name, no_copy, options, labels } => {
                if !options.is_empty() {
                    return Err(Error::unsupported(format!(
                        "the mount at {}: options for the volume's driver are not supported yet",
                        mount.target
                    )));
                }
                let volume = match name {
                    Some(name) => Volume {
                        name: name.clone(),
                        created: now(),
                        labels: labels.clone(),
                        anonymous: false,
                    },
                    None => Volume { labels: labels.clone(), ..anonymous()? },
                };
                self.volumes.push(PlannedVolume {
                    target: mount.target.clone(),
                    volume,
                    seed: !no_copy,
                    part: mount.subpath.clone(),
                    read_only: mount.read_only,
                });
            }
            MountSource::Image { name, writable } => {
                self.images.push(PlannedImage {
                    target: mount.target.clone(),
                    name: name.clone(),
                    chosen: Chosen::find(engine, request, name, fetcher)?,
                    writable: *writable,
                    part: mount.subpath.clone(),
                });
            }
            MountSource::Bind { .. } | MountSource::Tmpfs { .. } => {}
        }
        Ok(())
    }

    /// What must stay in the store.
    pub(super) fn needs(&self) -> Vec<Digest> {
        self.images.iter().flat_map(|image| image.chosen.needs()).collect()
    }

    /// The volumes that go with the container.
    pub(super) fn anonymous(&self) -> Vec<String> {
        let own = self.volumes.iter().filter(|planned| planned.volume.anonymous);
        own.map(|planned| planned.volume.name.clone()).collect()
    }

    /// What is written down about all mounts.
    pub(super) fn records(&self, engine: &Engine, asked: &[MountRequest]) -> Vec<MountRecord> {
        let volumes = self.volumes.iter().map(|planned| MountRecord {
            kind: "volume".to_owned(),
            name: planned.volume.name.clone(),
            source: engine.store.volume_data(&planned.volume.name).display().to_string(),
            target: planned.target.clone(),
            read_only: planned.read_only,
        });
        let images = self.images.iter().map(|planned| MountRecord {
            kind: "image".to_owned(),
            name: planned.name.clone(),
            target: planned.target.clone(),
            read_only: !planned.writable,
            ..MountRecord::default()
        });
        let others = asked.iter().filter_map(|mount| {
            let (kind, source) = match &mount.source {
                MountSource::Bind { path, .. } => ("bind", path.display().to_string()),
                MountSource::Tmpfs { .. } => ("tmpfs", String::new()),
                _ => return None,
            };
            Some(MountRecord {
                kind: kind.to_owned(),
                source,
                target: mount.target.clone(),
                read_only: mount.read_only,
                ..MountRecord::default()
            })
        });
        volumes.chain(images).chain(others).collect()
    }

    /// The unpacked layers of images that are mounted, lowest first; may take long.
    pub(super) fn image_trees(&self, engine: &Engine) -> Result<Vec<Vec<PathBuf>>> {
        self.images.iter().map(|planned| planned.chosen.trees(&engine.store)).collect()
    }

    /// Makes volumes, gives the empty ones the image's content, mounts images; returns where the
    /// content is by target, beside what `sources` holds. Who owns a file in an image owns it in
    /// the container's user namespace.
    pub(super) fn provide(
        &self,
        engine: &Engine,
        ground: &Ground<'_>,
        trees: &[Vec<PathBuf>],
        sources: &mut Sources,
    ) -> Result<BTreeMap<String, PathBuf>> {
        let Ground { held, state, root, users } = *ground;
        let mut found = BTreeMap::new();
        for planned in &self.volumes {
            engine.store.ensure_volume(&planned.volume)?;
            let data = engine.store.volume_data(&planned.volume.name);
            if planned.seed && planned.part.is_none() {
                seed(engine, held, &planned.volume.name, &data, root, &planned.target)?;
            }
            if let Some((uid, gid)) = users.and_then(|users| users.outside(0, 0)) {
                give_fresh(engine, &planned.volume.name, &data, uid, gid)?;
            }
            match &planned.part {
                Some(part) => sources.hold_part(&planned.target, &data, part)?,
                None if sources.maps_owners(&planned.target) => {
                    sources.hold_part(&planned.target, &data, "")?;
                }
                None => drop(found.insert(planned.target.clone(), data)),
            }
        }
        for (at, (planned, lowers)) in self.images.iter().zip(trees).enumerate() {
            let place = held.path().join(format!("image-{at}"));
            let options = SnapshotOptions {
                volatile: true,
                owners: users.cloned(),
                ..SnapshotOptions::default()
            };
            let snapshot = match planned.writable {
                true => Snapshot::prepare(lowers, &place, &options)?,
                false => Snapshot::view(lowers, &place, &options)?,
            };
            let target = state.join(format!("image-{at}"));
            fs::create_dir(&target).doing(|| format!("making directory {}", target.display()))?;
            snapshot.mount(&target)?;
            match &planned.part {
                Some(part) => sources.hold_part(&planned.target, &target, part)?,
                None if sources.maps_owners(&planned.target) => {
                    sources.hold_part(&planned.target, &target, "")?;
                }
                None => drop(found.insert(planned.target.clone(), target)),
            }
        }
        Ok(found)
    }

    /// How many mounts of images there are.
    pub(super) fn mounted_images(&self) -> usize {
        self.images.len()
    }
}

fn anonymous() -> Result<Volume> {
    Ok(Volume { name: ident::new_id()?, created: now(), anonymous: true, ..Volume::default() })
}

fn clean(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    let mut kept: Vec<&str> = Vec::new();
    for part in parts {
        match part {
            ".." => drop(kept.pop()),
            _ => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Gives a volume that is empty what the image has at its place: content, owners, modes.
fn seed(
    engine: &Engine,
    held: &ContainerDir,
    name: &str,
    data: &Path,
    root: &Path,
    target: &str,
) -> Result<()> {
    let seeding = || format!("copying {target} of the image into volume {name}");
    let _alone = engine.store.lock_volume(name)?;
    let mut entries = fs::read_dir(data).doing(seeding)?;
    if entries.next().is_some() {
        return Ok(());
    }
    // Links lead nowhere but inside the root.
    let inside = Root::open(root)?;
    let Ok(found) = inside.open_dir(target.as_bytes()) else { return Ok(()) };
    let meta = found.meta().doing(seeding)?;
    let real = real_path(&inside, target)?;
    let place = held.path().join("seed");
    let options = SnapshotOptions { method: Some(Method::Copy), ..SnapshotOptions::default() };
    let copied = Snapshot::view(&[root.join(real)], &place, &options)?;
    let from = copied.copy().ok_or_else(|| Error::unsupported(seeding()))?;
    for entry in fs::read_dir(from).doing(seeding)? {
        let entry = entry.doing(seeding)?;
        fs::rename(entry.path(), data.join(entry.file_name())).doing(seeding)?;
    }
    let data = sys::Dir::open(data).doing(seeding)?;
    sys::set_owner(&data, meta.uid, meta.gid).doing(seeding)?;
    sys::set_mode(&data, meta.mode).doing(seeding)?;
    copied.remove()
}

/// Gives a volume that nobody has used to the container's root user.
fn give_fresh(engine: &Engine, name: &str, data: &Path, uid: u32, gid: u32) -> Result<()> {
    let giving = || format!("giving volume {name} to the container's root user");
    let _alone = engine.store.lock_volume(name)?;
    let dir = sys::Dir::open(data).doing(giving)?;
    let meta = dir.meta().doing(giving)?;
    if (meta.uid, meta.gid) == (0, 0) && dir.entries().doing(giving)?.is_empty() {
        sys::set_owner(&dir, uid, gid).doing(giving)?;
    }
    Ok(())
}

/// A directory's path below the root with all links resolved.
fn real_path(root: &Root, path: &str) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let missing = |_: sys::Gap<'_>| Err(Error::not_found(format!("{path} is not in the image")));
    let walked = root.walk(path.as_bytes(), &mut { missing })?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(walked.path)))
}
