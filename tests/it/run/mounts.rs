//! Where mounts go, what they keep, and what images may not do with them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::machine::{Machine, base, busybox, need_containers};
use crate::support::image::{ImageBuilder, image, layer};
use crate::support::network::{self, call};
use crate::support::program::Sandbox;

/// What the kernel hides from containers; the first part is what an image would uncover.
const HIDDEN: &str = "grep -c . /proc/keys; grep -c . /proc/timer_list; true";

fn with_volumes(image: ImageBuilder, volumes: &[&str]) -> ImageBuilder {
    let all: serde_json::Map<_, _> =
        volumes.iter().map(|path| ((*path).to_owned(), serde_json::json!({}))).collect();
    image.config("Volumes", all.into())
}

#[test]
fn volumes_of_an_image_lay_nothing_of_the_kernel_open() {
    need_containers!();
    let trap = || layer().dir("dev").symlink("dev/null", "/proc/keys").dir("dev/shm");
    for volume in ["/dev", "/dev/", "/x/../dev", "/proc", "/proc/sys", "/sys", "/dev/shm"] {
        let machine = Machine::with(with_volumes(base().layer(trap()), &[volume]));
        let out = machine.run(&[], &["sh", "-c", HIDDEN]).run().success();
        assert_eq!(out.stdout, "0\n0\n", "{volume}");
        out.says("the image's volume ").says("is ignored");
        assert!(machine.sandbox.store().join("volumes").read_dir().map_or(0, Iterator::count) == 0);
        machine.nothing_left();
    }
    // Through links of the image, in its root and in another of its volumes.
    for (links, volumes) in [
        (layer().symlink("x", "/dev"), &["/x"][..]),
        (layer().symlink("x", "proc"), &["/x/sys"]),
        (layer().symlink("x", "y").symlink("y", "../../dev"), &["/x"]),
        (layer().dir("v").symlink("v/x", "/dev"), &["/v", "/v/x"]),
    ] {
        let machine = Machine::with(with_volumes(base().layer(trap()).layer(links), volumes));
        let out = machine.run(&[], &["sh", "-c", HIDDEN]).run().fails(125);
        out.says("over the kernel's files");
        machine.nothing_left();
    }
}

#[test]
fn working_directories_behind_links_are_refused() {
    need_containers!();
    let links = layer().dir("v").symlink("v/fd", "/proc/self/fd").symlink("w", "/dev/fd/7");
    for workdir in ["/dev/fd/7", "/dev/stdin", "/proc/self/fd/3", "/w"] {
        let machine =
            Machine::with(base().layer(links.clone()).config("WorkingDir", workdir.into()));
        let out = machine.run(&[], &["pwd"]).run().fails(125);
        out.says("cannot be the working directory");
        machine.nothing_left();
    }
    // In a volume that the image filled, and in a directory of the host.
    let machine = Machine::with(base().layer(links));
    let host = machine.sandbox.path("host");
    fs::create_dir(&host).unwrap();
    std::os::unix::fs::symlink("/proc/self/fd", host.join("fd")).unwrap();
    let bind = format!("{}:/h", host.display());
    for (volume, workdir) in [("v:/v", "/v/fd/7"), (bind.as_str(), "/h/fd/7")] {
        let out = machine.run(&["-v", volume, "-w", workdir], &["pwd"]).run().fails(125);
        out.says("cannot be the working directory").says("/proc/self/fd/7");
    }
    assert_eq!(machine.shell(&["-v", &bind, "-w", "/h"], "pwd"), "/h\n");
    machine.creel(["volume", "rm", "v"]).run().success();
    machine.nothing_left();
}

/// A container that fills its files of `/etc` takes no memory from the host.
#[test]
fn files_of_etc_are_on_the_store_s_disk() {
    need_containers!();
    let machine = Machine::new();
    fs::set_permissions(machine.sandbox.root(), Permissions::from_mode(0o711)).unwrap();
    network::own_mounts();
    fs::create_dir_all(machine.state()).unwrap();
    call("mount", &format!("-t tmpfs -o size=4m,mode=711 small {}", machine.state().display()));
    let fill = "for f in hosts hostname resolv.conf; do dd if=/dev/zero of=/etc/$f bs=1M count=8 \
                2>/dev/null && wc -c < /etc/$f; done; df -k /etc/hosts | awk 'NR == 2 {print $1}'";
    for flags in [&[][..], &["--uidmap", "0:300000:65536"]] {
        let out = machine.shell(flags, fill);
        assert!(out.starts_with("8388608\n8388608\n8388608\n") && !out.contains("small"), "{out}");
    }
    machine.nothing_left();
}

#[test]
fn a_build_s_commands_fill_no_memory_either() {
    need_containers!();
    let machine = Machine::new();
    network::own_mounts();
    // Where builds keep the state of commands.
    call("mount", "-t tmpfs -o size=4m,mode=755 small /run");
    let dockerfile = "FROM app\nRUN dd if=/dev/zero of=/etc/hosts bs=1M count=8 && \
                      test $(wc -c < /etc/hosts) = 8388608\n";
    machine.sandbox.write("work/Dockerfile", dockerfile);
    let words = ["--network", "none", "-t", "filled", "."];
    machine.sandbox.build(words).run().success();
}

#[test]
fn mounts_that_spread_reach_the_host() {
    need_containers!();
    network::own_mounts();
    let machine = Machine::new();
    let place = machine.sandbox.path("shared");
    fs::create_dir_all(place.join("sub")).unwrap();
    let path = place.display().to_string();
    call("mount", &format!("-t tmpfs t {path}"));
    call("mount", &format!("--make-shared {path}"));
    fs::create_dir(place.join("sub")).unwrap();
    for word in ["rshared", "shared"] {
        let bind = format!("{path}:/m:{word}");
        let script = "mount -t tmpfs in /m/sub && touch /m/sub/file";
        machine.shell(&["--cap-add", "SYS_ADMIN", "-v", &bind], script);
        assert!(place.join("sub/file").exists(), "{word}");
        call("umount", &place.join("sub").display().to_string());
    }
    // Without that word it stays in the container.
    let bind = format!("{path}:/m");
    machine.shell(&["--cap-add", "SYS_ADMIN", "-v", &bind], "mount -t tmpfs in /m/sub");
    assert!(!machine.sandbox.mounts().contains(&place.join("sub")));
    // What cannot reach the host is refused.
    let shared = format!("{path}:/m:rshared");
    fs::set_permissions(machine.sandbox.root(), Permissions::from_mode(0o711)).unwrap();
    let mapped = ["--uidmap", "0:300000:65536", "-v", &shared];
    machine.run(&mapped, &["true"]).run().fails(125).says("user namespace");
    call("mount", &format!("--make-private {path}"));
    let refused = machine.run(&["-v", &shared], &["true"]).run().fails(125);
    refused.says("is not on a shared mount").says("mount --make-shared");
    call("umount", &path);
    machine.nothing_left();
}

#[test]
fn binds_keep_the_restrictions_of_their_source() {
    need_containers!();
    network::own_mounts();
    let machine = Machine::new();
    fs::set_permissions(machine.sandbox.root(), Permissions::from_mode(0o711)).unwrap();
    let disk = machine.sandbox.path("disk");
    fs::create_dir(&disk).unwrap();
    call("mount", &format!("-t tmpfs -o nosuid,nodev,noexec,mode=755 t {}", disk.display()));
    fs::create_dir(disk.join("d")).unwrap();
    fs::write(disk.join("d/f"), "1\n").unwrap();
    let source = disk.join("d").display().to_string();
    let look = "cat /d/f; awk '$5 == \"/d\" {print $6}' /proc/self/mountinfo";
    let mapped = ["--userns", "auto"];
    for flags in [&[][..], &mapped] {
        for (mode, options) in [
            ("ro", "ro,nosuid,nodev,noexec,relatime"),
            ("rw", "rw,nosuid,nodev,noexec,relatime"),
            ("ro,nosuid", "ro,nosuid,nodev,noexec,relatime"),
            ("noatime", "rw,nosuid,nodev,noexec,noatime"),
        ] {
            let bind = format!("{source}:/d:{mode}");
            let words = [flags, &["-v", &bind]].concat();
            if mode == "noatime" && !flags.is_empty() {
                // The times of a mount that others have cannot be changed there.
                continue;
            }
            assert_eq!(machine.shell(&words, look), format!("1\n{options}\n"), "{words:?}");
        }
        // One file, the store's own volumes and a read-only root.
        let file = format!("{source}/f:/d/f:ro");
        let words = [flags, &["--read-only", "-v", &file, "-v", "v:/v:ro"]].concat();
        let words: Vec<&str> = words.into_iter().collect();
        let machine = Machine::with(base().layer(layer().dir("d").file("d/f", "")));
        fs::set_permissions(machine.sandbox.root(), Permissions::from_mode(0o711)).unwrap();
        assert_eq!(machine.shell(&words, "cat /d/f; ls /v | wc -l"), "1\n0\n");
        machine.creel(["volume", "rm", "v"]).run().success();
    }
    let lifted = format!("{source}:/d:exec");
    let words = [&mapped[..], &["-v", &lifted]].concat();
    machine.run(&words, &["true"]).run().fails(125).says("exec at /d");
    call("umount", &disk.display().to_string());
    machine.nothing_left();
}

#[test]
fn the_host_s_dev_with_a_terminal() {
    need_containers!();
    let machine = Machine::new();
    for flags in [&[][..], &["--privileged"], &["-v", "/dev/shm:/dev/shm"]] {
        let words = [&["-v", "/dev:/dev", "-t"], flags].concat();
        let out = machine.run(&words, &["echo", "ok"]).run().success();
        assert_eq!(out.stdout.trim(), "ok", "{words:?}");
    }
    // Whatever keeps the runtime from it is told.
    let empty = machine.sandbox.write("null", "");
    let bind = format!("{}:/dev/console", empty.display());
    machine.run(&["-v", &bind, "-t"], &["echo", "ok"]).run().hides("no open file was sent");
    machine.nothing_left();
}

#[test]
fn volumes_begin_with_what_links_in_the_image_lead_to() {
    need_containers!();
    let content = layer()
        .dir("data")
        .owner(1000, 1001)
        .mode(0o751)
        .file("data/f", "1\n")
        .owner(1000, 1001)
        .symlink("ld", "/data")
        .symlink("relative", "data")
        .symlink("twice", "ld")
        .dir("run")
        .dir("run/app")
        .file("run/app/g", "2\n")
        .dir("var")
        .symlink("var/run", "/run")
        .symlink("nowhere", "/none/at/all")
        .symlink("out", "../../../../etc");
    let machine = Machine::with(image().layer(busybox()).env("PATH", "/bin").layer(content));
    let look = "cat $P/f; stat -c '%u:%g %a' $P/";
    for (number, target) in ["/ld", "/relative", "/twice", "/data"].into_iter().enumerate() {
        let volume = format!("v{number}:{target}");
        let variable = format!("P={target}");
        let out = machine.shell(&["-v", &volume, "-e", &variable], look);
        assert_eq!(out, "1\n1000:1001 751\n", "{target}");
    }
    assert_eq!(machine.shell(&["-v", "w:/var/run/app"], "cat /run/app/g"), "2\n");
    assert_eq!(machine.shell(&["-v", "n:/nowhere"], "ls /none/at/all"), "");
    assert_eq!(machine.shell(&["-v", "o:/out"], "test -e /etc/passwd && echo image"), "image\n");
    let names: Vec<String> = ["v0", "v1", "v2", "v3", "w", "n", "o"].map(String::from).into();
    machine.creel(["volume".to_owned(), "rm".to_owned()].into_iter().chain(names)).run().success();
    machine.nothing_left();
}

#[test]
fn init_beside_the_host_s_processes() {
    need_containers!();
    let machine = Machine::new();
    let init = machine.sandbox.write("init", fs::read("/bin/busybox").unwrap());
    fs::set_permissions(&init, Permissions::from_mode(0o755)).unwrap();
    let path = init.display().to_string();
    let words = ["--init", "--init-path", &path, "--pid", "host"];
    assert_eq!(machine.run(&words, &["echo", "ok"]).run().success().stdout, "ok\n");
    machine.nothing_left();
}

/// The paths of layers are as long as a person's directories; what the kernel lists is not.
#[test]
fn many_layers_below_a_long_path() {
    need_containers!();
    let mut many = base();
    for number in 0..130 {
        let name = format!("d/f{number}");
        many = many.layer(layer().file(&name, number.to_string()));
    }
    let machine = Machine { sandbox: Sandbox::new() };
    let root = machine.sandbox.path(&format!("{}/{}", "x".repeat(190), "y".repeat(190)));
    fs::create_dir_all(&root).unwrap();
    let layout = machine.sandbox.path("layout");
    many.build().write_layout(&layout, Some("x"));
    let from = format!("oci:{}:x", layout.display());
    machine.sandbox.copy(["--all", &from, "store:app"]).env("CREEL_ROOT", &root).run().success();
    let script = "ls /d | wc -l; awk '$5 == \"/\" {print length($0)}' /proc/self/mountinfo";
    let run = machine.run(&[], &["sh", "-c", script]).env("CREEL_ROOT", &root);
    let out = run.run().success().stdout;
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("130"));
    let length: usize = lines.next().unwrap().parse().unwrap();
    // What runtimes read at once is not much longer.
    assert!(length < 16 << 10, "{out}");
}

#[test]
fn a_layer_that_somebody_removed_is_named() {
    need_containers!();
    let machine = Machine::with(base().layer(layer().file("one", "1\n")));
    assert_eq!(machine.shell(&[], "cat /one"), "1\n");
    let layers = machine.sandbox.store().join("layers");
    let trees = fs::read_dir(&layers).unwrap().map(|entry| entry.unwrap().path().join("diff"));
    let gone = trees.into_iter().find(|tree| tree.join("one").exists()).unwrap();
    fs::remove_dir_all(&gone).unwrap();
    let refused = machine.run(&[], &["cat", "/one"]).run().fails(125);
    refused.says("the files of the layer").says("creel-inspect check --repair");
    machine.sandbox.inspect(["check", "--repair"]).run();
    assert_eq!(machine.shell(&[], "cat /one"), "1\n");
    assert!(gone.exists());
    machine.nothing_left();
}
