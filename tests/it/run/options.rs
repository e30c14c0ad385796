//! The flags that people take along from Docker and podman, a few of a kind in each container.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::machine::{Machine, base, need_containers};
use crate::support::image::layer;

/// The namespaces of the process that asks.
const SPACES: &str = "for n in ipc pid uts cgroup net; do readlink /proc/self/ns/$n; done";

/// The host's namespace of a kind.
fn own(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string()
}

#[test]
fn namespaces_are_shared_as_asked_for() {
    need_containers!();
    let machine = Machine::new();
    let spaces = |flags: &[&str]| -> Vec<bool> {
        let out = machine.shell(flags, SPACES);
        let kinds = ["ipc", "pid", "uts", "cgroup", "net"];
        out.lines().zip(kinds).map(|(line, kind)| line == own(kind)).collect()
    };
    let cgroup = spaces(&[])[3];
    assert_eq!(spaces(&[]), [false, false, false, cgroup, false]);
    let host = ["--ipc", "host", "--pid", "host", "--uts", "host", "--cgroupns", "host"];
    assert_eq!(spaces(&host), [true, true, true, true, false]);
    let private = ["--ipc", "private", "--pid=private", "--uts=private", "--cgroupns=private"];
    assert_eq!(spaces(&private), [false; 5]);
    let ipc = format!("ns:/proc/{}/ns/ipc", std::process::id());
    let uts = format!("ns:/proc/{}/ns/uts", std::process::id());
    let joined = spaces(&["--ipc", &ipc, "--uts", &uts]);
    assert_eq!(joined, [true, false, true, cgroup, false]);
    let shm = "df -k /dev/shm 2>/dev/null | awk 'NR == 2 {print $2}'";
    assert_eq!(machine.shell(&["--ipc", "none"], shm), "");
    assert_eq!(machine.shell(&["--ipc", "shareable"], shm), "65536\n");
    machine.nothing_left();
}

#[test]
fn what_is_no_namespace_is_refused() {
    need_containers!();
    let machine = Machine::new();
    let uts = format!("ns:/proc/{}/ns/uts", std::process::id());
    for (flags, says) in [
        (["--network", "ns:/no/such"], "opening the namespace of --network ns:/no/such"),
        (["--network", &uts], "this is no network namespace"),
        (["--pid", "ns:/etc/passwd"], "this is no PID namespace"),
        (["--network", "container:web"], "sharing another container's namespaces"),
        (["--pid", "container:web"], "sharing another container's namespaces"),
        (["--userns", "ns:/proc/self/ns/user"], "--userns ns:PATH is not supported yet"),
        (["--ipc", "bogus"], "--ipc: invalid mode \"bogus\""),
    ] {
        machine.run(&flags, &["true"]).run().fails(125).says(says);
    }
    machine.nothing_left();
}

#[test]
fn the_host_s_environment_comes_in_when_asked() {
    need_containers!();
    let machine = Machine::with(base().env("COLOUR", "red"));
    let script = "echo \"$COLOUR,$OWN,$HOME\"";
    let run = |flags: &[&str]| {
        let run = machine.run(flags, &["sh", "-c", script]);
        run.env("COLOUR", "blue").env("OWN", "x y").env("HOME", "/here").run().success().stdout
    };
    assert_eq!(run(&[]), "red,,/root\n");
    assert_eq!(run(&["--env-host"]), "blue,x y,/here\n");
    assert_eq!(run(&["--env-host", "-e", "OWN=z", "--unsetenv", "COLOUR"]), ",z,/here\n");
    // Whoever has no account has a home all the same; a terminal has a kind only if there is one.
    let script = "echo \"$HOME,$TERM\"; env | grep -c .";
    assert_eq!(machine.shell(&["-u", "4321"], script).lines().next(), Some("/,"));
    let bare = machine.run(&["--unsetenv-all", "-e", "A=1"], &["/bin/env"]).run().success();
    // The runtime sees to a home.
    assert_eq!(bare.stdout, "A=1\nHOME=/root\n");
    // Names are anything without an equals sign, words are kept as they are.
    let odd = machine.run(&["-e", "a.b-c=1 \"2\" '3'"], &["/bin/env"]).run().success();
    assert!(odd.stdout.contains("\na.b-c=1 \"2\" '3'\n"), "{odd}");
    let words = ["printf", "%s|", "a b", "", "\"q\"", "*", "$HOME"];
    assert_eq!(machine.run(&[], &words).run().success().stdout, "a b||\"q\"|*|$HOME|");
    machine.nothing_left();
}

#[test]
fn environment_files_are_taken_literally() {
    need_containers!();
    let machine = Machine::new();
    let lines = "\u{feff}# no variable\n\n  LEAD=1 \nQ=\"x y\"\nGONE\nHERE\nE=\n";
    machine.sandbox.write("work/env", lines);
    let run = machine.run(&["--env-file", "env", "--unsetenv-all"], &["/bin/env"]);
    let out = run.env("HERE", "h").run().success().stdout;
    assert_eq!(out, "LEAD=1 \nQ=\"x y\"\nHERE=h\nE=\nHOME=/root\n");
    machine.sandbox.write("work/bad", "OK=1\nA B=1\n");
    let bad = machine.run(&["--env-file", "bad"], &["true"]).run().fails(125);
    bad.says("env file bad, line 2: variable \"A B\" contains whitespace");
    machine.run(&["--env-file", "none"], &["true"]).run().fails(125).says("reading none");
    for bad in ["", "=x"] {
        machine.run(&["-e", bad], &["true"]).run().fails(125).says("invalid environment variable");
    }
    machine.nothing_left();
}

#[test]
fn mounts_have_the_options_that_were_given() {
    need_containers!();
    let machine = Machine::with(base().layer(layer().dir("srv").mode(0o751)));
    let host = machine.sandbox.path("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("f"), "host\n").unwrap();
    let host = host.display().to_string();
    let look = "awk '$5 ~ /^.(mnt|srv|t|u)$/ {print $5, $6}' /proc/self/mountinfo | sort";
    let show = |flags: &[&str]| machine.shell(flags, look);
    let volume = |options: &str| format!("{host}:/mnt:{options}");
    assert_eq!(show(&["-v", &volume("rw,z")]), "/mnt rw,relatime\n");
    assert_eq!(show(&["-v", &volume("ro,Z,rslave")]), "/mnt ro,relatime\n");
    let strict = show(&["-v", &volume("nosuid,noexec,nodev")]);
    assert_eq!(strict, "/mnt rw,nosuid,nodev,noexec,relatime\n");
    let bind = format!("type=bind,src={host},dst=/mnt,readonly,bind-propagation=rprivate");
    assert_eq!(show(&["--mount", &bind]), "/mnt ro,relatime\n");
    // The same said twice is no contradiction.
    let twice = volume("ro");
    assert_eq!(show(&["-v", &twice, "-v", &twice]), "/mnt ro,relatime\n");
    // New memory is everybody's, unless somebody says otherwise; a directory that is there keeps
    // its mode.
    let memory = ["--tmpfs", "/t", "--mount", "type=tmpfs,dst=/u,tmpfs-size=1m,tmpfs-mode=0750"];
    let modes =
        machine.shell(&[&memory[..], &["--tmpfs", "/srv"]].concat(), "stat -c %a /t /u /srv");
    assert_eq!(modes, "1777\n750\n751\n");
    let memory = ["--read-only", "--read-only-tmpfs", "-u", "web"];
    assert_eq!(machine.shell(&memory, "echo x > /var/tmp/x; echo $?"), "0\n");
    // Relative to where one is.
    fs::create_dir(machine.sandbox.work("near")).unwrap();
    fs::write(machine.sandbox.work("near/g"), "near\n").unwrap();
    assert_eq!(machine.shell(&["-v", "./near:/mnt"], "cat /mnt/g"), "near\n");
    for (mount, says) in [
        ("type=bogus,dst=/x", "unsupported mount type \"bogus\""),
        ("type=bind,src=/etc,dst=/x,bogus=1", "unexpected key \"bogus\""),
        ("type=bind,src=/etc", "target is required"),
        ("type=bind,dst=/x", "source is required"),
        ("type=tmpfs,dst=/", "destination can't be '/'"),
    ] {
        machine.run(&["--mount", mount], &["true"]).run().fails(125).says(says);
    }
    machine
        .run(&["-v", &volume("bogus")], &["true"])
        .run()
        .fails(125)
        .says("invalid mode \"bogus\"");
    machine.run(&["-v", "bad/name:/x"], &["true"]).run().fails(125).says("use an absolute path");
    machine.nothing_left();
}

#[test]
fn read_only_holds_for_what_is_mounted_below() {
    need_containers!();
    let machine = Machine::new();
    let host = machine.sandbox.path("host");
    fs::create_dir_all(host.join("below")).unwrap();
    let mount = |words: &[&str]| {
        let status = std::process::Command::new("mount").args(words).status().unwrap();
        assert!(status.success(), "mount {words:?}");
    };
    let below = host.join("below").display().to_string();
    mount(&["-t", "tmpfs", "inner", &below]);
    let script = "touch /mnt/x 2>&- || echo ro; touch /mnt/below/x 2>&- || echo ro";
    let host = host.display().to_string();
    let read_only = format!("{host}:/mnt:ro");
    assert_eq!(machine.shell(&["-v", &read_only], script), "ro\nro\n");
    let writable = format!("type=bind,src={host},dst=/mnt,readonly,bind-recursive=writable");
    assert_eq!(machine.shell(&["--mount", &writable], script), "ro\n");
    let flat = format!("type=bind,src={host},dst=/mnt,bind-recursive=disabled");
    assert_eq!(machine.shell(&["--mount", &flat], "ls /mnt/below"), "");
    let status = std::process::Command::new("umount").arg(&below).status().unwrap();
    assert!(status.success());
    machine.nothing_left();
}

/// What the host mounts later comes in with `rslave`, and what the container mounts stays there.
#[test]
fn mounts_spread_as_far_as_was_said() {
    need_containers!();
    let machine = Machine::new();
    let host = machine.sandbox.path("spread");
    fs::create_dir_all(host.join("later")).unwrap();
    let call = |program: &str, words: &[&str]| {
        let status = std::process::Command::new(program).args(words).status().unwrap();
        assert!(status.success(), "{program} {words:?}");
    };
    let (place, later) = (host.display().to_string(), host.join("later").display().to_string());
    call("mount", &["--bind", &place, &place]);
    call("mount", &["--make-shared", &place]);
    for (propagation, seen) in [("rslave", "here\n"), ("rprivate", "")] {
        let bind = format!("{place}:/mnt:{propagation}");
        let script = "echo up > /mnt/up; while test ! -e /mnt/go; do sleep 0.05; done; \
                      cat /mnt/later/f 2>/dev/null; true";
        let running = machine.run(&["-v", &bind], &["sh", "-c", script]).start();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !host.join("up").exists() {
            assert!(std::time::Instant::now() < deadline, "it does not come up");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        call("mount", &["-t", "tmpfs", "late", &later]);
        fs::write(host.join("later/f"), "here\n").unwrap();
        fs::write(host.join("go"), "").unwrap();
        assert_eq!(running.wait().success().stdout, seen, "{propagation}");
        call("umount", &[&later]);
        fs::remove_file(host.join("up")).unwrap();
        fs::remove_file(host.join("go")).unwrap();
    }
    call("umount", &[&place]);
    machine.nothing_left();
}

#[test]
fn owners_can_be_mapped_for_one_mount() {
    need_containers!();
    let machine = Machine::new();
    let host = machine.sandbox.path("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("f"), "x").unwrap();
    let host = host.display().to_string();
    let script = "stat -c %u:%g /mnt/f; touch /mnt/new; stat -c %u:%g /mnt/new";
    let some = format!("type=bind,src={host},dst=/mnt,idmap=uids=0-1000-10;gids=0-2000-10");
    let owners = machine.shell(&["--mount", &some, "-u", "1000:2000"], script);
    assert_eq!(owners, "1000:2000\n1000:2000\n");
    let made = fs::metadata(machine.sandbox.path("host/new")).unwrap();
    assert_eq!(made.uid(), 0);
    assert_eq!(machine.shell(&["-v", "v:/mnt:idmap=uids=0-7-1"], "stat -c %u:%g /mnt"), "7:7\n");
    let none = format!("{host}:/mnt:idmap");
    machine.run(&["-v", &none], &["true"]).run().fails(125).says("no mapping is given");
    fs::set_permissions(machine.sandbox.root(), fs::Permissions::from_mode(0o711)).unwrap();
    let as_container = ["--uidmap", "0:300000:65536", "-v", &none];
    assert_eq!(machine.shell(&as_container, "stat -c %u:%g /mnt/f"), "0:0\n");
    machine.creel(["volume", "rm", "v"]).run().success();
    machine.nothing_left();
}

#[test]
fn parts_of_volumes_and_images_can_be_mounted() {
    need_containers!();
    let machine = Machine::with(base().layer(layer().dir("a").dir("a/b").file("a/b/f", "deep\n")));
    let image = ["--mount", "type=image,src=app,dst=/mnt,subpath=a/b"];
    assert_eq!(machine.shell(&image, "cat /mnt/f"), "deep\n");
    machine.shell(&["-v", "v:/v"], "mkdir /v/sub; echo s > /v/sub/f; ln -s /etc /v/out");
    let part = ["--mount", "type=volume,src=v,dst=/mnt,volume-subpath=sub,readonly"];
    assert_eq!(machine.shell(&part, "cat /mnt/f; touch /mnt/x 2>&- || echo ro"), "s\nro\n");
    for missing in ["none", "../../etc", "out/passwd"] {
        let mount = format!("type=volume,src=v,dst=/mnt,volume-subpath={missing}");
        machine.run(&["--mount", &mount], &["true"]).run().fails(125).says(missing);
    }
    machine.creel(["volume", "rm", "v"]).run().success();
    machine.nothing_left();
}

const PROFILE: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;

#[test]
fn security_options_are_docker_s_and_podman_s() {
    need_containers!();
    let machine = Machine::with(base().layer(layer().dir("secret").file("secret/f", "x")));
    machine.sandbox.write("work/profile.json", PROFILE);
    let option = |words: &[&str], script: &str| {
        let flags: Vec<&str> = words.iter().flat_map(|word| ["--security-opt", word]).collect();
        machine.shell(&flags, script)
    };
    let script = "mkdir /tmp/x 2>&1 | grep -o 'Function not implemented'; grep -c . /etc/passwd";
    assert_eq!(option(&["seccomp=profile.json"], script), "Function not implemented\n3\n");
    let hidden = "awk '$5 ~ /^.proc./ {n++} END {print n + 0}' /proc/self/mountinfo; \
                  ls /secret; echo 4096 > /proc/sys/kernel/msgmax && echo written; true";
    let usual = machine.shell(&[], hidden);
    assert!(usual.ends_with("f\n") && !usual.starts_with("0\n"), "{usual}");
    assert_eq!(option(&["systempaths=unconfined"], hidden), "0\nf\nwritten\n");
    assert_eq!(option(&["unmask=ALL"], hidden), "0\nf\nwritten\n");
    assert_eq!(option(&["unmask=/proc/*"], hidden), "0\nf\nwritten\n");
    let masked = option(&["mask=/secret", "unmask=/proc/sys"], hidden);
    assert!(masked.ends_with("\nwritten\n") && !masked.contains('f'), "{masked}");
    // Without effect where the kernel has neither.
    assert_eq!(
        option(&["apparmor=unconfined", "label=disable", "label=type:x"], "echo ok"),
        "ok\n"
    );
    assert_eq!(
        option(&["no-new-privileges=false"], "grep -c 'NoNewPrivs.*0' /proc/self/status"),
        "1\n"
    );
    machine.sandbox.write("work/bad.json", "{bad");
    for (bad, says) in [
        ("bogus", "invalid --security-opt \"bogus\""),
        ("seccomp=none.json", "reading none.json"),
        ("seccomp=bad.json", "decoding seccomp profile bad.json failed"),
    ] {
        machine.run(&["--security-opt", bad], &["true"]).run().fails(125).says(says);
    }
    machine.nothing_left();
}

#[test]
fn capabilities_add_up() {
    need_containers!();
    let machine = Machine::new();
    let effective = "grep CapEff /proc/self/status | cut -f2";
    let caps =
        |flags: &[&str]| u64::from_str_radix(machine.shell(flags, effective).trim(), 16).unwrap();
    let (chown, net_raw, sys_admin) = (1, 1 << 13, 1 << 21);
    let usual = caps(&[]);
    let changed = caps(&["--cap-add", "sys_admin", "--cap-drop", "CAP_CHOWN"]);
    assert_eq!(changed, (usual | sys_admin) & !chown);
    let all = caps(&["--privileged"]);
    assert_eq!(caps(&["--cap-add=ALL", "--cap-drop=NET_RAW"]), all & !net_raw);
    assert_eq!(caps(&["--cap-drop=all"]), 0);
    let both = machine.run(&["--cap-add=CHOWN", "--cap-drop=CHOWN"], &["true"]).run().fails(125);
    both.says("CAP_CHOWN is both added and dropped");
    machine.nothing_left();
}

#[test]
fn every_limit_reaches_its_file() {
    need_containers!();
    crate::support::peers::need!("cgroup-v1");
    let machine = Machine::new();
    let flags = [
        "--memory",
        "64m",
        "--memory-swap",
        "128m",
        "--memory-reservation",
        "32m",
        "--memory-swappiness",
        "10",
        "--cpu-period",
        "20000",
        "--cpu-quota",
        "10000",
        "--cpu-shares",
        "700",
        "--cpuset-cpus",
        "0",
        "--cpuset-mems",
        "0",
        "--pids-limit",
        "20",
        "--oom-score-adj",
        "500",
    ];
    let script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes \
        memory/memory.soft_limit_in_bytes memory/memory.swappiness \
        cpu/cpu.cfs_period_us cpu/cpu.cfs_quota_us cpu/cpu.shares cpuset/cpuset.cpus \
        cpuset/cpuset.mems pids/pids.max /proc/self/oom_score_adj; \
        cat memory/memory.memsw.limit_in_bytes 2>/dev/null || echo 134217728";
    let expected =
        ["67108864", "33554432", "10", "20000", "10000", "700", "0", "0", "20", "500", "134217728"];
    assert_eq!(machine.shell(&flags, script).lines().collect::<Vec<_>>(), expected);
    for (flags, says) in [
        (&["--memory-swap", "64m"][..], "set the memory limit when using the memory-swap limit"),
        (&["-m", "64m", "--memory-swap", "32m"], "should be larger than the memory limit"),
        (&["-m", "64m", "--memory-reservation", "65m"], "less than memory reservation limit"),
        (&["--memory-swappiness", "101"], "range is 0-100"),
        (&["--oom-score-adj", "5000"], "[-1000, 1000]"),
        (&["--cpus", "1", "--cpu-quota", "5000"], "cpus and cpu-period or cpu-quota"),
        (&["--cpu-shares", "1"], "from 2 to 262144"),
        (&["--cpuset-cpus", "4095"], "--cpuset-cpus 4095 is not available here"),
        (&["--cpuset-cpus", "x"], "invalid --cpuset-cpus \"x\""),
        (&["--cpuset-mems", "1023"], "--cpuset-mems 1023 is not available here"),
        (&["--blkio-weight", "9"], "from 10 to 1000"),
        (&["--ulimit", "nofile=300:200"], "less than or equal to hard limit"),
        (&["--ulimit", "bogus=1"], "invalid ulimit type \"bogus\""),
        (&["--sysctl", "kernel.msgmax"], "invalid sysctl"),
        (&["--shm-size", "x"], "invalid size \"x\""),
    ] {
        machine.run(flags, &["true"]).run().fails(125).says(says);
    }
    machine.nothing_left();
}

#[test]
fn disks_are_shared_by_weight_and_rate() {
    need_containers!();
    crate::support::peers::need!("cgroup-v1");
    let machine = Machine::new();
    // Nobody reads this file: its place in the kernel's table is what counts.
    let disk = fs::read_dir("/sys/block").unwrap().flatten().find_map(|entry| {
        let path = std::path::Path::new("/dev").join(entry.file_name());
        path.exists().then(|| (path, fs::read_to_string(entry.path().join("dev")).unwrap()))
    });
    let Some((disk, numbers)) = disk else { return };
    let rate = format!("{}:1mb", disk.display());
    let script = "cd /sys/fs/cgroup/blkio; cat blkio.throttle.read_bps_device; \
                  cat blkio.weight blkio.bfq.weight 2>/dev/null | head -1";
    let out = machine.shell(&["--device-read-bps", &rate, "--blkio-weight", "300"], script);
    assert_eq!(out, format!("{} 1048576\n300\n", numbers.trim()));
    let bad = machine.run(&["--device-write-iops", "/dev/none:5"], &["true"]).run().fails(125);
    bad.says("/dev/none");
    machine.nothing_left();
}

#[test]
fn process_limits_do_not_come_from_the_caller() {
    need_containers!();
    let machine = Machine::new();
    let creel = crate::support::program::find_program("creel-run").display().to_string();
    let script = "ulimit -n; ulimit -Hn; ulimit -c";
    let low = format!(
        "ulimit -Sn 300; ulimit -Sc 0; exec {creel} --rm --network none \"$@\" app sh -c '{script}'"
    );
    let run = |flags: &[&str]| {
        let words = [&["-c", &low, "sh"], flags].concat();
        let run = machine.sandbox.command("sh", words).env("CREEL_STATE", machine.state());
        run.run().success().stdout
    };
    let usual = run(&[]);
    let mut files = usual.lines();
    assert_eq!(files.next(), files.next(), "{usual}");
    assert!(!usual.starts_with("300\n"), "{usual}");
    let most = run(&["--ulimit", "nofile=400:500", "--ulimit", "core=-1"]);
    assert_eq!(most, "400\n500\nunlimited\n");
}

#[test]
fn words_are_understood_as_docker_does() {
    need_containers!();
    let machine = Machine::new();
    // -h is the host name, also before the image where no verb is.
    assert_eq!(machine.shell(&["-h", "box"], "hostname"), "box\n");
    let short = ["-h", "box", "--rm", "--network=none", "app", "hostname"];
    assert_eq!(machine.creel(short).run().success().stdout, "box\n");
    assert!(machine.creel(["-h"]).run().success().stdout.contains("Usage: creel-run"));
    assert!(machine.creel(["run", "--help"]).run().success().stdout.contains("--cap-add"));
    // Docker's longer form, and its verbs that are elsewhere or to come.
    let long = ["container", "run", "--rm", "--network=none", "app", "echo", "hi"];
    assert_eq!(machine.creel(long).run().success().stdout, "hi\n");
    machine.creel(["container", "ls", "-a"]).run().success();
    for (words, says) in [
        (&["compose", "up"][..], "creel-run compose is not available in this release"),
        (&["images"], "there is creel-inspect images"),
        (&["pull", "debian"], "there is creel-copy IMAGE"),
    ] {
        machine.creel(words).run().fails(1).says(says);
    }
    // Of a flag that is given twice the last counts; lists grow.
    let twice = ["-w", "/etc", "-w", "/tmp", "--read-only", "--read-only=false", "-e", "A=1"];
    let out = machine.shell(&[&twice[..], &["-e", "B=2"]].concat(), "pwd; touch /x; echo $A$B");
    assert_eq!(out, "/tmp\n12\n");
    assert_eq!(machine.shell(&["-w", "/a/../b/./c/"], "pwd"), "/b/c\n");
    assert_eq!(machine.shell(&["--umask", "077"], "touch /x; stat -c %a /x"), "600\n");
    let entry = ["--entrypoint", "[\"echo\", \"a b\"]"];
    assert_eq!(machine.run(&entry, &["c"]).run().success().stdout, "a b c\n");
    assert_eq!(
        machine.shell(&[], "echo '10.0.0.9 new' >> /etc/hosts; tail -1 /etc/hosts"),
        "10.0.0.9 new\n"
    );
    let notes =
        ["--annotation", "a=b", "--label", "c", "--stop-signal", "USR1", "--stop-timeout", "3"];
    let ignored = ["--expose", "80/udp", "--log-driver", "none", "--restart", "no", "--pull=never"];
    machine.run(&[&notes[..], &ignored].concat(), &["true"]).run().success();
    for (flags, says) in [
        (&["--expose", "x"][..], "invalid port \"x\""),
        (&["--label", "=x"], "invalid label"),
        (&["--stop-signal", "NONE"], "invalid signal \"NONE\""),
        (&["--add-host", "h:host-gateway"], "the container has no network of its own"),
        (&["--add-host", "h"], "bad format for add-host"),
        (&["--dns", "x"], "invalid value \"x\" for --dns: expected an IP address"),
        (&["--hostname", "a b"], "invalid hostname format"),
        (&["-v", "/etc:/"], "destination can't be '/'"),
        (&["-w", "/etc/passwd"], "the working directory /etc/passwd is not a directory"),
        (&["--device", "/etc/passwd"], "not a device node"),
        (&["--device", "/dev/null:/dev/x:q"], "bad mode specified"),
        (&["--init", "--init-path", "/none"], "there is no init program /none"),
        (&["--userns", "auto", "--uidmap", "0:1:1"], "conflicting options: --userns and --uidmap"),
        (&["--health-interval", "3s"], "--health-interval is not supported yet"),
        (&["--network-alias", "x"], "--network-alias is not supported yet"),
        (
            &["--platform", "linux/arm64", "--pull=never"],
            "no such image in the store: app for linux/arm64",
        ),
        (&["--umask", "9"], "expected an octal number to 777"),
        (&["--no-hosts", "--add-host", "a:192.0.2.1"], "--no-hosts and --add-host"),
        (&["--sysctl", "kernel.hostname=x"], "--hostname sets it"),
        (&["--ipc", "host", "--sysctl", "kernel.msgmax=1"], "the host's IPC namespace"),
    ] {
        machine.run(flags, &["true"]).run().fails(125).says(says);
    }
    machine.nothing_left();
}
