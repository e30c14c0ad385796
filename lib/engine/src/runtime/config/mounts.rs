//! Mounts: the kernel's file systems, the files of `/etc`, what was asked for, the image's volumes.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::{INIT_TARGET, Inputs};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::cdi::CdiMount;
use crate::runtime::flags::SWITCHES;
use crate::runtime::options::{IpcMode, MountRequest, MountSource, NamespaceMode, Propagation};

const DEFAULT_SHM: u64 = 64 << 20;

/// Where `--read-only-tmpfs` puts memory.
const SCRATCH: [&str; 3] = ["/run", "/tmp", "/var/tmp"];

/// All mounts in the order in which they must be made.
pub(super) fn mounts(inputs: &Inputs<'_>) -> Result<Vec<Mount>> {
    let asked = &inputs.options.mounts;
    let is_asked = |target: &str| asked.iter().any(|mount| mount.target == target);
    let own_dev = is_asked("/dev");
    let mut all = kernel_mounts(inputs);
    // What a person puts there wins, and a /dev of theirs takes what is below with it.
    all.retain(|mount| {
        let target = mount.destination();
        !(is_asked(&target.to_string_lossy()) || own_dev && target.starts_with("/dev/"))
    });
    let mut placed = Vec::new();
    for request in asked {
        placed.push(requested(inputs, request)?);
    }
    for (target, source) in inputs.image_volumes() {
        placed.push(bind(&target, source, &["rbind", "rprivate"]));
    }
    for target in SCRATCH.iter().filter(|target| !is_asked(target)) {
        if inputs.options.read_only && inputs.options.read_only_tmpfs {
            let options = ["nosuid", "nodev", "tmpcopyup"];
            placed.push(mount(target, "tmpfs", Path::new("tmpfs"), &options));
        }
    }
    for (target, source) in inputs.container.files.iter().filter(|(target, _)| !is_asked(target)) {
        let writable = ["rbind", "rprivate"];
        let read_only = ["rbind", "rprivate", "ro"];
        placed.push(bind(
            target,
            source,
            if inputs.options.read_only { &read_only } else { &writable },
        ));
    }
    let named = inputs.container.named.mounts.iter();
    placed.extend(named.filter(|mount| !is_asked(&mount.container_path)).map(of_device));
    if let Some(init) = &inputs.options.init {
        placed.push(bind(INIT_TARGET, init, &["bind", "rprivate", "ro"]));
    }
    // Parents before what is in them; the order given otherwise.
    placed.sort_by_key(|mount| mount.destination().components().count());
    all.append(&mut placed);
    Ok(all)
}

fn mount(target: &str, kind: &str, source: &Path, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount.set_destination(PathBuf::from(target));
    mount.set_typ(Some(kind.to_owned()));
    mount.set_source(Some(source.to_owned()));
    mount.set_options(Some(options.iter().map(|word| (*word).to_owned()).collect()));
    mount
}

/// A mount that a named device needs.
fn of_device(asked: &CdiMount) -> Mount {
    let mut options: Vec<&str> = asked.options.iter().map(String::as_str).collect();
    let kind = asked.kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("bind");
    if kind == "bind" && !options.iter().any(|option| matches!(*option, "bind" | "rbind")) {
        options.push("rbind");
    }
    mount(&asked.container_path, kind, &asked.host_path, &options)
}

fn bind(target: &str, source: &Path, options: &[&str]) -> Mount {
    mount(target, "bind", source, options)
}

fn kernel_mounts(inputs: &Inputs<'_>) -> Vec<Mount> {
    let special =
        |target: &str, kind: &str, options: &[&str]| mount(target, kind, Path::new(kind), options);
    let mut all = vec![proc(inputs)];
    all.push(special("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]));
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    // The group `tty`; an ID that is not mapped cannot be named.
    if inputs.is_group_mapped(5) {
        pts.push("gid=5");
    }
    all.push(special("/dev/pts", "devpts", &pts));
    all.push(sysfs(inputs));
    let writable_groups = inputs.options.privileged || inputs.options.security.writable_cgroups;
    let mut cgroup = vec!["nosuid", "noexec", "nodev"];
    if !writable_groups {
        cgroup.insert(0, "ro");
    }
    all.push(special("/sys/fs/cgroup", "cgroup", &cgroup));
    if inputs.host.mqueue {
        all.push(match inputs.options.namespaces.ipc {
            // In a user namespace only the owner of the queues may mount them.
            IpcMode::Host | IpcMode::Path(_) if inputs.is_mapped() => {
                let options = ["rbind", "nosuid", "noexec", "nodev"];
                bind("/dev/mqueue", Path::new("/dev/mqueue"), &options)
            }
            _ => special("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        });
    }
    all.extend(shared_memory(inputs));
    all
}

fn proc(inputs: &Inputs<'_>) -> Mount {
    // Another PID namespace's /proc cannot be mounted from a user namespace, only bound.
    if inputs.options.namespaces.pid != NamespaceMode::Private && inputs.is_mapped() {
        return bind("/proc", Path::new("/proc"), &["rbind", "nosuid", "noexec", "nodev"]);
    }
    let mut options = vec!["nosuid", "noexec", "nodev"];
    options.extend(inputs.options.security.proc_options.iter().map(String::as_str));
    mount("/proc", "proc", Path::new("proc"), &options)
}

fn sysfs(inputs: &Inputs<'_>) -> Mount {
    let mut options = vec!["nosuid", "noexec", "nodev"];
    if !inputs.options.privileged {
        options.push("ro");
    }
    // A new sysfs shows the network namespace, so the kernel wants to know that it is ours.
    let made = inputs.container.network.is_some() && inputs.container.user_namespace.is_none();
    let foreign_network = !inputs.has_own_network() || made;
    if inputs.is_mapped() && foreign_network {
        options.insert(0, "rbind");
        return bind("/sys", Path::new("/sys"), &options);
    }
    mount("/sys", "sysfs", Path::new("sysfs"), &options)
}

fn shared_memory(inputs: &Inputs<'_>) -> Option<Mount> {
    let target = "/dev/shm";
    let switches = ["nosuid", "noexec", "nodev"];
    let shared = inputs.container.sources.get(target).map(PathBuf::as_path);
    let host = Path::new("/dev/shm");
    match (&inputs.options.namespaces.ipc, shared) {
        (IpcMode::None, _) => None,
        (IpcMode::Host, _) => Some(bind(target, host, &["rbind", "nosuid", "noexec", "nodev"])),
        (_, Some(source)) => {
            Some(bind(target, source, &["rbind", "rprivate", "nosuid", "noexec", "nodev"]))
        }
        (_, None) => {
            let size = format!("size={}", inputs.options.shm_size.unwrap_or(DEFAULT_SHM));
            let mut options = switches.to_vec();
            options.extend(["mode=1777", &size]);
            Some(mount(target, "tmpfs", Path::new("shm"), &options))
        }
    }
}

fn requested(inputs: &Inputs<'_>, request: &MountRequest) -> Result<Mount> {
    if let MountSource::Tmpfs { size, mode } = &request.source {
        return Ok(memory(request, *size, *mode));
    }
    let known = inputs.container.sources.get(&request.target);
    let source = match (known, &request.source) {
        (Some(path), _) => path,
        (None, MountSource::Bind { path, .. }) => path,
        (None, _) => {
            let what = format!("nothing was prepared for the mount at {}", request.target);
            return Err(Error::new(ErrorKind::Failed, what));
        }
    };
    let mut options = vec![if request.recursive { "rbind" } else { "bind" }];
    options.push(request.propagation.map_or("rprivate", Propagation::word));
    if request.read_only {
        options.push("ro");
        // With what is mounted below it, where the kernel can.
        let everything = request.recursive && !request.writable_below;
        if everything && inputs.host.kernel >= (5, 12) && !inputs.is_mapped() {
            options.push("rro");
        }
    }
    options.extend(request.options.iter().map(String::as_str));
    Ok(bind(&request.target, source, &options))
}

fn memory(request: &MountRequest, size: Option<u64>, mode: Option<u32>) -> Mount {
    let mut options: Vec<String> =
        ["noexec", "nosuid", "nodev"].iter().map(|word| (*word).to_owned()).collect();
    for word in &request.options {
        // A switch takes the place of its opposite.
        let pair = SWITCHES.iter().find(|(on, off)| on == word || off == word);
        options.retain(|have| !pair.is_some_and(|(on, off)| have == on || have == off));
        options.push(word.clone());
    }
    options.extend(request.read_only.then(|| "ro".to_owned()));
    options.extend(mode.map(|mode| format!("mode={mode:o}")));
    options.extend(size.map(|size| format!("size={size}")));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    mount(&request.target, "tmpfs", Path::new("tmpfs"), &options)
}

/// A root that spreads nothing cannot hold a mount that does.
pub(super) fn root_propagation(asked: &[MountRequest]) -> Option<String> {
    let mut strongest = None;
    for propagation in asked.iter().filter_map(|mount| mount.propagation) {
        strongest = match (propagation, strongest) {
            (Propagation::Shared | Propagation::RShared, _) => Some("shared"),
            (Propagation::Slave | Propagation::RSlave, None) => Some("rslave"),
            _ => strongest,
        };
    }
    strongest.map(str::to_owned)
}
