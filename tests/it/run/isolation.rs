//! Tries to get out, and images that want us to reach outside.

use std::fs;

use super::machine::{Machine, base, need_containers};
use crate::support::image::layer;

#[test]
fn nothing_of_ours_is_open_inside() {
    need_containers!();
    let machine = Machine::new();
    assert_eq!(machine.shell(&[], "ls /proc/1/fd; true"), "0\n1\n2\n");
    let words = ["--rm", "app", "sh", "-c", "ls /proc/1/fd; true"];
    assert_eq!(machine.creel(words).run().success().stdout, "0\n1\n2\n");
}

#[test]
fn the_kernel_is_out_of_reach() {
    need_containers!();
    let machine = Machine::new();
    for script in [
        "echo 1 > /proc/sys/kernel/sysrq",
        "echo b > /proc/sysrq-trigger",
        "echo core > /proc/sys/kernel/core_pattern",
        "echo 1 > /sys/kernel/mm/ksm/run",
        "mkdir /sys/fs/cgroup/memory/x",
        "mount -t tmpfs x /tmp",
        "mount -t proc x /tmp",
        "mount -o remount,rw /sys",
        "umount /proc/kcore",
        "test -s /proc/kcore",
        "test -s /proc/keys",
        "ls /sys/firmware/* ",
        "mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk",
        "mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem",
        "head -c 1 /dev/mem",
        "hostname other",
        "kill -0 2",
    ] {
        let tried = format!("if {script}; then echo in; else echo out; fi 2>/dev/null");
        assert_eq!(machine.shell(&[], &tried), "out\n", "{script}");
    }
    machine.nothing_left();
}

#[test]
fn links_of_the_image_lead_nowhere_outside() {
    need_containers!();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("passwd"), "evil:x:0:0::/:\n").unwrap();
    let target = outside.path().display().to_string();
    let links = layer()
        .symlink("dev", &target)
        .symlink("proc", &target)
        .symlink("sys", &target)
        .symlink("work", &target)
        .symlink("mnt", &target);
    let machine = Machine::with(base().layer(links).config("WorkingDir", "/work/deep".into()));
    let script = "pwd; ls -d /dev/null /proc/self /sys/class; echo x > /mnt/volume";
    let out = machine.run(&["-v", "v:/mnt/data"], &["sh", "-c", script]).run();
    assert!(out.stdout.contains("/dev/null\n/proc/self\n/sys/class\n"), "{out}");
    let left: Vec<_> =
        fs::read_dir(outside.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["passwd"]);
    machine.nothing_left();
}

#[test]
fn account_files_are_files_of_the_image() {
    need_containers!();
    let outside = tempfile::tempdir().unwrap();
    let passwd = outside.path().join("passwd");
    fs::write(&passwd, "web:x:0:0::/:\n").unwrap();
    let linked = base().layer(layer().symlink("etc/passwd", &passwd.display().to_string()));
    Machine::with(linked).run(&["-u", "web"], &["id"]).run().fails(125).says("web");
    let pipe = base().layer(layer().whiteout("etc/passwd").fifo("etc/group"));
    Machine::with(pipe).run(&["-u", "1:audio"], &["id"]).run().fails(125);
    let huge = base().layer(layer().noise("etc/passwd", 17 << 20, 1));
    Machine::with(huge).run(&["-u", "web"], &["id"]).run().fails(125).says("larger than");
}

#[test]
fn strings_of_the_image_stay_strings() {
    need_containers!();
    let nul = base().config("Env", serde_json::json!(["A=b\u{0}c"]));
    Machine::with(nul).run(&[], &["true"]).run().fails(125);
    let hooked = base()
        .label("io.containerd.runc.v2.hook", "/bin/sh")
        .label("org.systemd.property.ExecStartPre", "'/bin/sh'")
        .env("LD_PRELOAD", "/evil.so")
        .layer(layer().file("etc/ld.so.preload", "/evil.so\n").file("evil.so", "no library"));
    let machine = Machine::with(hooked);
    assert_eq!(machine.shell(&[], "echo fine"), "fine\n");
    machine.nothing_left();
}

#[test]
fn mounts_do_not_get_out() {
    need_containers!();
    let machine = Machine::new();
    let dir = machine.sandbox.path("shared");
    fs::create_dir(&dir).unwrap();
    let bind = format!("{}:/mnt", dir.display());
    let flags = ["--privileged", "-v", &bind];
    machine.shell(&flags, "mkdir /mnt/in && mount -t tmpfs x /mnt/in && touch /mnt/in/hidden");
    assert_eq!(fs::read_dir(dir.join("in")).unwrap().count(), 0);
    assert!(machine.sandbox.mounts().is_empty());
    machine.nothing_left();
}

#[test]
fn mount_points_behind_links_stay_in_the_container() {
    need_containers!();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().display().to_string();
    let links = layer()
        .symlink("a", &target)
        .symlink("up", "../../../../../..")
        .dir("d")
        .symlink("d/back", "../a/made")
        .symlink("file", &format!("{target}/file"))
        .symlink("loop", "loop");
    let machine = Machine::with(base().layer(links));
    let host = machine.sandbox.path("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("f"), "host\n").unwrap();
    let source = host.display().to_string();
    for place in ["/a", "/a/deep/er", "/up/new", "/d/back", "/up/d/../a/x"] {
        let bind = format!("{source}:{place}");
        let script = format!("cat {place}/f; grep -c ' {target}' /proc/self/mounts");
        let out = machine.run(&["-v", &bind], &["sh", "-c", &script]).run();
        assert!(out.stdout.starts_with("host\n"), "{place}: {out}");
    }
    let one = format!("{source}/f:/file");
    assert_eq!(machine.shell(&["-v", &one], "cat /file"), "host\n");
    machine.run(&["-v", &format!("{source}:/loop/x")], &["true"]).run().fails(125);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "something was made outside");
    machine.nothing_left();
}

/// Somebody moves links about while containers start: nothing but the container changes.
#[test]
fn mount_races_lead_nowhere() {
    need_containers!();
    use std::sync::atomic::{AtomicBool, Ordering};
    let machine = Machine::new();
    let (outside, shared) = (tempfile::tempdir().unwrap(), machine.sandbox.path("shared"));
    fs::write(outside.path().join("secret"), "host\n").unwrap();
    fs::create_dir_all(shared.join("real")).unwrap();
    fs::write(shared.join("real/secret"), "own\n").unwrap();
    let swap = |name: &str| shared.join(name);
    std::os::unix::fs::symlink(outside.path(), swap("trap")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // "part" is a directory at one moment and a link out at the next.
                let _ = fs::rename(swap("real"), swap("part"));
                let _ = fs::rename(swap("part"), swap("real"));
                let _ = fs::rename(swap("trap"), swap("part"));
                let _ = fs::rename(swap("part"), swap("trap"));
            }
        });
        let bind = format!("{}:/shared", shared.display());
        // The inner mount's place is in what the attacker holds.
        let inner = ["-v", &bind, "--tmpfs", "/shared/part"];
        for _ in 0..10 {
            let script = "cat /shared/part/secret 2>/dev/null; touch /shared/part/new; true";
            let out = machine.run(&inner, &["sh", "-c", script]).run();
            assert!(!out.stdout.contains("host"), "{out}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let names: Vec<_> =
        fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"]);
    assert!(machine.sandbox.mounts().is_empty());
    machine.nothing_left();
}

#[test]
fn the_runtime_cannot_be_overwritten_from_inside() {
    need_containers!();
    let runtime = crate::support::peers::find("runc").unwrap();
    let own = crate::support::program::find_program("creel-run");
    let before = [&runtime, &own].map(|path| fs::metadata(path).unwrap().modified().unwrap());
    // As in CVE-2019-5736: the program that is started is the runtime itself.
    let links =
        layer().symlink("self", "/proc/self/exe").file("evil", "#!/proc/self/exe\n").mode(0o755);
    let machine = Machine::with(base().layer(links));
    for command in [&["/self", "--version"][..], &["/evil"], &["/proc/self/exe", "--version"]] {
        let out = machine.run(&["--privileged"], command).run();
        assert_ne!(out.code(), Some(0), "{command:?} {out}");
        assert!(!out.stdout.contains("runc version"), "{out}");
    }
    let script = "for p in /proc/[0-9]*; do echo x > $p/exe; done 2>/dev/null
        ls -l /proc/1/exe | grep -c busybox; cat /proc/1/environ | tr '\\0' '\\n' | grep -c -i creel; true";
    assert_eq!(machine.shell(&[], script), "1\n0\n");
    let after = [&runtime, &own].map(|path| fs::metadata(path).unwrap().modified().unwrap());
    assert_eq!(before, after);
    machine.nothing_left();
}

#[test]
fn devices_of_the_host_stay_closed() {
    need_containers!();
    let machine = Machine::new();
    let names = "cd /dev; for f in * */*; do test -b $f -o -c $f && echo $f; done | sort";
    let plain = machine.shell(&[], names);
    let devices: Vec<&str> = plain.lines().collect();
    assert_eq!(devices, ["full", "null", "ptmx", "pts/ptmx", "random", "tty", "urandom", "zero"]);
    for script in [
        "mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg",
        "mknod /tmp/fuse c 10 229 && head -c 1 /tmp/fuse",
        "mknod /tmp/loop c 10 237 && (exec 3<>/tmp/loop)",
        "echo 'a *:* rwm' > /sys/fs/cgroup/devices/devices.allow",
        "echo /x > /sys/fs/cgroup/memory/release_agent",
        "mount -o remount,rw /proc/sys",
        "mount --bind /proc /tmp",
        "chmod 666 /proc/kcore && test -s /proc/kcore",
        "cat /proc/1/root/../../../proc/kcore | head -c 1 | grep .",
        "echo 0 > /proc/sys/vm/overcommit_memory",
        "echo x > /proc/fs/x",
        "echo 1 > /proc/irq/0/smp_affinity",
        "echo x > /sys/kernel/uevent_helper",
        "echo x > /sys/power/state",
        "ls /sys/kernel/debug/* /sys/kernel/tracing/*",
    ] {
        let tried = format!("if {script}; then echo in; else echo out; fi 2>/dev/null");
        assert_eq!(machine.shell(&[], &tried), "out\n", "{script}");
    }
    let given = machine.shell(
        // None that every container may use anyway.
        &["--device", "/dev/loop-control:/dev/given:r"],
        "(exec 3</dev/given) && echo read; (exec 3>/dev/given) 2>/dev/null || echo ro",
    );
    assert_eq!(given, "read\nro\n");
    machine.nothing_left();
}

#[test]
fn files_that_the_caller_left_open_stay_outside() {
    need_containers!();
    let machine = Machine::new();
    let secret = machine.sandbox.write("secret", "host\n");
    // A shell that leaves two files open for whatever it starts.
    let program = crate::support::program::find_program("creel-run");
    let words = format!(
        "exec 7<{} 9</; exec {} --rm --network none app sh -c 'ls /proc/1/fd /proc/self/fd; true'",
        secret.display(),
        program.display()
    );
    let run = machine.sandbox.command("sh", ["-c", &words]).env("CREEL_STATE", machine.state());
    let out = run.run().success().stdout;
    // 3 is the directory that `ls` itself reads.
    assert_eq!(out, "/proc/1/fd:\n0\n1\n2\n\n/proc/self/fd:\n0\n1\n2\n3\n");
}
