//! Containers whose users are others on the host.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::machine::{Machine, base, need_containers};
use crate::support::image::{ImageBuilder, layer};

const MAP: [&str; 4] = ["--uidmap", "0:300000:65536", "--gidmap", "0:400000:65536"];

fn with_owners() -> ImageBuilder {
    base()
        .layer(layer().dir("data").owner(1000, 1001).file("data/own", "w\n").owner(1000, 1001))
        .layer(layer().file("etc/shadow", "s\n").mode(0o600).file("data/root", "r\n"))
}

/// The user namespace's root must be able to pass the test's directory.
fn open(machine: &Machine) {
    fs::set_permissions(machine.sandbox.root(), Permissions::from_mode(0o711)).unwrap();
}

/// All files below a directory with their owners.
fn owners(directory: &Path) -> Vec<(PathBuf, u32, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        found.push((path.clone(), meta.uid(), meta.gid()));
        if meta.is_dir() {
            found.extend(owners(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn files_belong_to_the_same_users_inside() {
    need_containers!();
    crate::support::network::own();
    let machine = Machine::with(with_owners());
    open(&machine);
    machine.shell(&[], "true");
    let before = owners(&machine.sandbox.store().join("layers"));
    assert!(before.iter().any(|(_, uid, gid)| (*uid, *gid) == (1000, 1001)));
    let script = "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' ';
        stat -c '%u:%g %n' / /bin /data /data/own /data/root /etc/shadow /etc/hosts /srv
        cat /etc/shadow; echo x >> /etc/shadow; echo y > /data/own; chown 1000 /etc/shadow
        echo h >> /etc/hosts && stat -c %u:%g /etc/shadow; mkdir /new && stat -c %u:%g /new";
    let expected = " 0 300000 65536\n 0 400000 65536\n0:0 /\n0:0 /bin\n1000:1001 /data\n\
                    1000:1001 /data/own\n0:0 /data/root\n0:0 /etc/shadow\n0:0 /etc/hosts\n\
                    0:0 /srv\ns\n1000:0\n0:0\n";
    for network in ["none", "bridge", "host"] {
        let flags = ["-w", "/srv", "--network", network];
        let words = [&["--rm"][..], &MAP, &flags, &["app", "sh", "-c", script]].concat();
        assert_eq!(machine.creel(words).run().success().stdout, expected, "{network}");
    }
    let user = machine.shell(&[&MAP[..], &["-u", "web"]].concat(), "id -u; cat /etc/shadow || :");
    assert_eq!(user, "1000\n");
    assert_eq!(owners(&machine.sandbox.store().join("layers")), before);
    machine.nothing_left();
}

#[test]
fn a_mapped_root_rules_its_own_network_and_nothing_else() {
    need_containers!();
    crate::support::network::own();
    let machine = Machine::new();
    open(&machine);
    let run = |flags: &[&str], script: &str| {
        let words = [&["--rm"][..], &MAP, flags, &["app", "sh", "-c", script]].concat();
        machine.creel(words).run().success().stdout
    };
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ls /sys/class/net;
        ip link set eth0 mtu 1400 2>/dev/null && echo set || echo kept";
    assert_eq!(run(&[], script), "0\neth0\nlo\nkept\n");
    let strong = ["--cap-add", "NET_ADMIN", "--sysctl", "net.ipv4.ip_forward=1"];
    let script = "cat /proc/sys/net/ipv4/ip_forward; ip link set eth0 mtu 1400 && echo set
        gateway=$(ip route | awk '/default/ {print $3}'); ping -c 1 -W 5 $gateway | grep -c ' 1 packets received'";
    assert_eq!(run(&strong, script), "1\nset\n1\n");
    // All rights inside are none outside.
    let script = "echo 1 > /proc/sys/kernel/sysrq || echo out; mknod /tmp/m c 1 1 || echo out
        cat /dev/null; echo x > /dev/null; mkdir /t; mount -t tmpfs x /t && echo mounted";
    assert_eq!(run(&["--privileged", "--network", "none"], script), "out\nout\nmounted\n");
    machine.nothing_left();
}

#[test]
fn volumes_and_images_fit_the_mapping() {
    need_containers!();
    let machine = Machine::with(with_owners());
    open(&machine);
    let run = |flags: &[&str], script: &str| machine.shell(&[&MAP[..], flags].concat(), script);
    let script = "stat -c '%u:%g %n' /data /data/own; echo n > /data/new; chown 7:8 /data/new";
    assert_eq!(run(&["-v", "db:/data"], script), "1000:1001 /data\n1000:1001 /data/own\n");
    let data = machine.sandbox.store().join("volumes/db/_data");
    let owner = |path: &Path| {
        let meta = fs::metadata(path).unwrap();
        (meta.uid(), meta.gid())
    };
    assert_eq!(owner(&data), (301_000, 401_001));
    assert_eq!(owner(&data.join("own")), (301_000, 401_001));
    assert_eq!(owner(&data.join("new")), (300_007, 400_008));
    assert_eq!(run(&["-v", "raw:/raw"], "echo x > /raw/f; stat -c %u:%g /raw"), "0:0\n");
    assert_eq!(owner(&machine.sandbox.store().join("volumes/raw/_data/f")), (300_000, 400_000));
    // A directory of the host stays as it is.
    let host = machine.sandbox.path("host");
    fs::create_dir(&host).unwrap();
    let bind = format!("{}:/mnt", host.display());
    assert_eq!(
        run(&["-v", &bind], "stat -c %u:%g /mnt; touch /mnt/x 2>&- || echo no"),
        "65534:65534\nno\n"
    );
    for how in ["type=image,src=app,dst=/mnt", "type=image,src=app,dst=/mnt,rw=true"] {
        assert_eq!(
            run(&["--mount", how], "stat -c %u:%g /mnt/data/own /mnt/bin"),
            "1000:1001\n0:0\n"
        );
    }
    machine.creel(["volume", "rm", "db", "raw"]).run().success();
    machine.nothing_left();
}

#[test]
fn automatic_ranges_are_each_container_s_own() {
    need_containers!();
    let machine = Machine::new();
    open(&machine);
    let map = "cat /proc/self/uid_map | tr -s ' '";
    let range = |text: &str| {
        let words: Vec<u64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!((words.len(), words[0]), (3, 0), "{text}");
        (words[1], words[2])
    };
    let kept = |name: &str, flags: &[&str]| {
        let first = ["--network", "none", "--name", name, "--userns"];
        let words = [&first[..], flags, &["app", "sh", "-c", map]].concat();
        let out = machine.creel(words).run().success();
        range(&out.stdout)
    };
    let (first, second) = (kept("one", &["auto"]), kept("two", &["auto:size=4096"]));
    assert_eq!((first.1, second.1), (65536, 4096));
    assert!(second.0 >= first.0 + first.1, "{first:?} {second:?}");
    // At the same time.
    let (volume, meet) = machine.meeting(3);
    let script = format!("{map}; touch /up; {meet}");
    let words = ["--rm", "--network=none", "--userns=auto", &volume, "app", "sh", "-c", &script];
    let start = || machine.creel(words).start();
    let mut all: Vec<_> = [start(), start(), start()]
        .map(|running| range(&running.wait().success().stdout))
        .into_iter()
        .chain([first, second])
        .collect();
    all.sort_unstable();
    for pair in all.windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{all:?}");
    }
    // What is removed gives its range back.
    machine.creel(["rm", "one"]).run().success();
    assert_eq!(kept("three", &["auto"]), first);
    machine.creel(["rm", "two", "three"]).run().success();
    machine.nothing_left();
}

#[test]
fn keep_id_is_root_s_own_mapping_in_a_new_namespace() {
    need_containers!();
    let machine = Machine::with(with_owners().config("User", "web".into()));
    open(&machine);
    let own = fs::read_link("/proc/self/ns/user").unwrap().display().to_string();
    let script = "cat /proc/self/uid_map | tr -s ' '; id -u; stat -c %u /data/own; readlink /proc/self/ns/user";
    let out = machine.shell(&["--userns", "keep-id"], script);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..3], [" 0 0 4294967295", "0", "1000"]);
    assert_ne!(lines[3], own);
    let out = machine.shell(&["--userns", "keep-id:uid=1000,gid=1001"], "id -u; id -g");
    assert_eq!(out, "1000\n1001\n");
    let out = machine.shell(&["--userns", "keep-id", "-u", "7"], "id -u");
    assert_eq!(out, "7\n");
    machine.nothing_left();
}

#[test]
fn what_a_mapping_cannot_do_is_said() {
    need_containers!();
    let machine = Machine::new();
    let small = ["--uidmap", "0:300000:500"];
    let closed = Permissions::from_mode(0o700);
    fs::set_permissions(machine.sandbox.root(), closed).unwrap();
    let refused = machine.run(&small, &["true"]).run().fails(125);
    refused.says("chmod o+x");
    open(&machine);
    machine.run(&small, &["true"]).run().success();
    let refused = machine.run(&[&small[..], &["-u", "web"]].concat(), &["true"]).run().fails(125);
    refused.says("user ID 1000 is not mapped");
    let groups = [&small[..], &["--group-add", "700"]].concat();
    machine.run(&groups, &["true"]).run().fails(125).says("group ID 700 is not mapped");
    machine.nothing_left();
}

#[test]
fn what_was_killed_leaves_nothing_of_its_users() {
    need_containers!();
    crate::support::network::own();
    let machine = Machine::new();
    open(&machine);
    let words = ["--rm", "--userns=auto", "app", "sleep", "1000"];
    let running = machine.creel(words).start();
    let deadline = Instant::now() + Duration::from_secs(60);
    while machine.creel(["ps", "--format", "{{.State}}"]).run().stdout != "running\n" {
        assert!(Instant::now() < deadline, "it does not come up");
    }
    running.signal(nix::sys::signal::Signal::SIGKILL);
    running.wait();
    machine.run(&[], &["true"]).run().success();
    machine.nothing_left();
}
