//! What flags do, seen from inside.

use super::machine::{Machine, base, need_containers};
use crate::support::image::layer;

#[test]
fn users_and_groups_are_the_image_s() {
    need_containers!();
    let machine = Machine::new();
    for (user, expected) in [
        ("web", "1000:1001 1001 29 44"),
        ("1000", "1000:1001 1001 29 44"),
        ("web:29", "1000:29 29"),
        ("4321", "4321:0 0"),
        ("4321:4322", "4321:4322 4322"),
        ("root", "0:0 0"),
        ("daemon:audio", "1:29 29"),
    ] {
        let out = machine.shell(&["--user", user], "echo $(id -u):$(id -g) $(id -G)");
        assert_eq!(out.trim(), expected, "{user}");
    }
    let out =
        machine.shell(&["--user", "web", "--group-add", "video", "--group-add", "77"], "id -G");
    assert_eq!(out.trim(), "1001 29 44 77");
    for bad in ["2147483648", "-1", "99999999999", "nobody-here", "web:nobody-here"] {
        machine.run(&["--user", bad], &["true"]).run().fails(125);
    }
    machine.nothing_left();
}

#[test]
fn the_environment_is_what_was_said() {
    need_containers!();
    let machine = Machine::with(base().env("COLOUR", "red").env("KEEP", "1"));
    machine.sandbox.write("work/env", "# a comment\nFROM_FILE=a b \"c\"\nCOLOUR=green\nOWN\n");
    let flags =
        ["--env-file", "env", "-e", "COLOUR=blue", "-e", "EMPTY=", "-e", "UNSET", "-e", "OWN2"];
    let run = machine.run(&flags, &["env"]).env("OWN", "x").env("OWN2", "y");
    let out = run.run().success().stdout;
    let mut lines: Vec<&str> = out.lines().filter(|l| !l.starts_with("HOSTNAME=")).collect();
    lines.sort_unstable();
    let expected = [
        "COLOUR=blue",
        "EMPTY=",
        "FROM_FILE=a b \"c\"",
        "HOME=/root",
        "KEEP=1",
        "OWN2=y",
        "OWN=x",
        "PATH=/bin",
    ];
    assert_eq!(lines, expected);
    let out = machine.shell(&["--unsetenv", "KEEP"], "echo \"[$KEEP]\"");
    assert_eq!(out, "[]\n");
}

#[test]
fn limits_hold() {
    need_containers!();
    let machine = Machine::new();
    let flags = ["--memory", "64m", "--pids-limit", "50", "--cpus", "0.5", "--cpu-shares", "512"];
    let script = "read_one() { cat /sys/fs/cgroup/$1 2>/dev/null || cat /sys/fs/cgroup/$2; }; \
                  read_one memory/memory.limit_in_bytes memory.max; \
                  read_one pids/pids.max pids.max; \
                  read_one cpu/cpu.cfs_quota_us cpu.max";
    let out = machine.shell(&flags, script);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(&lines[..2], ["67108864", "50"], "{out}");
    assert!(lines[2] == "50000" || lines[2] == "50000 100000", "{out}");
    let out = machine
        .shell(&["--ulimit", "nofile=100:200", "--ulimit", "core=0"], "ulimit -n; ulimit -H -n");
    assert_eq!(out, "100\n200\n");
    assert_eq!(
        machine.shell(&["--shm-size", "1m"], "df -k /dev/shm | awk 'NR==2 {print $2}'"),
        "1024\n"
    );
    machine.run(&["--memory", "1m"], &["true"]).run().fails(125).says("minimum memory limit");
    machine.run(&["--cpus", "100000"], &["true"]).run().fails(125).says("range of CPUs");
    // Too much is refused by the kernel, and the exit code tells.
    let greedy = "dd if=/dev/zero of=/dev/shm/x bs=1M count=50 2>/dev/null; echo $?";
    assert_eq!(machine.shell(&["--memory", "16m", "--shm-size", "64m"], greedy).trim(), "137");
    machine.nothing_left();
}

#[test]
fn file_systems_are_as_asked_for() {
    need_containers!();
    let machine = Machine::with(base().layer(layer().dir("srv").file("srv/x", "image")));
    let (dir, file) = (machine.sandbox.path("dir"), machine.sandbox.write("dir/f", "host\n"));
    let text = dir.display().to_string();
    let bind = format!("{text}:/mnt");
    let read_only = format!("{text}:/mnt:ro");
    assert_eq!(machine.shell(&["-v", &bind], "cat /mnt/f; echo new > /mnt/g"), "host\n");
    assert_eq!(std::fs::read_to_string(dir.join("g")).unwrap(), "new\n");
    assert_eq!(machine.shell(&["-v", &read_only], "echo x > /mnt/f || echo ro"), "ro\n");
    let one = format!("{}:/etc/one", file.display());
    assert_eq!(machine.shell(&["-v", &one], "cat /etc/one"), "host\n");
    let missing = format!("type=bind,src={text}/nothing,dst=/mnt");
    let refused = machine.run(&["--mount", &missing], &["true"]).run().fails(125);
    refused.says("bind source path does not exist");
    let twice = machine.run(&["-v", &bind, "--tmpfs", "/mnt"], &["true"]).run().fails(125);
    twice.says("duplicate mount point: /mnt");
    let script = "for d in / /tmp/ /run/ /var/tmp/ /dev/shm/; do echo y > ${d}y && echo $d; done \
                  2>/dev/null; ls /srv";
    assert_eq!(machine.shell(&["--read-only"], script), "/dev/shm/\nx\n");
    let memory = ["--read-only", "--read-only-tmpfs"];
    assert_eq!(machine.shell(&memory, script), "/tmp/\n/run/\n/var/tmp/\n/dev/shm/\nx\n");
    let tmpfs = ["--tmpfs", "/srv:size=1m,mode=1777"];
    assert_eq!(machine.shell(&tmpfs, "ls /srv; df -k /srv | awk 'NR==2 {print $2}'"), "1024\n");
    machine.nothing_left();
}

#[test]
fn rights_are_docker_s_and_can_be_changed() {
    need_containers!();
    let machine = Machine::new();
    let caps = "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp:' /proc/self/status | cut -f2";
    let plain = machine.shell(&[], caps);
    let (none, usual) = ("0000000000000000", "00000000a80425fb");
    assert_eq!(plain, format!("{none}\n{usual}\n{usual}\n{usual}\n{none}\n0\n2\n"));
    let user = machine.shell(&["-u", "web"], caps);
    assert_eq!(user, format!("{none}\n{none}\n{none}\n{usual}\n{none}\n0\n2\n"));
    let drop = machine.shell(&["--cap-drop", "ALL", "--cap-add", "CHOWN"], caps);
    assert!(drop.contains("\n0000000000000001\n"), "{drop}");
    let quiet = ["--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined"];
    assert!(machine.shell(&quiet, caps).ends_with("\n1\n0\n"));
    let all = machine.shell(
        &["--privileged"],
        "mount -t tmpfs x /mnt 2>&1 || mkdir /mnt && mount -t tmpfs x /mnt && echo mounted",
    );
    assert!(all.ends_with("mounted\n"), "{all}");
    machine.run(&["--cap-add", "NONSENSE"], &["true"]).run().fails(125).says("NONSENSE");
    let sysctl = ["--sysctl", "kernel.msgmax=4096", "--sysctl", "net.ipv4.ip_forward=1"];
    let out = machine.shell(&sysctl, "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward");
    assert_eq!(out, "4096\n1\n");
    machine.run(&["--sysctl", "vm.swappiness=1"], &["true"]).run().fails(125).says("vm.swappiness");
    machine.nothing_left();
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    need_containers!();
    let machine = Machine::new();
    for (flags, says) in [
        (&["--restart", "sometimes"][..], "invalid restart policy \"sometimes\""),
        (&["--gpus", "x"], "invalid value \"x\" for --gpus"),
        (&["--restart", "always"], "cannot specify both --restart and --rm"),
        (&["--userns", "nomap"], "--userns nomap is for people without root's rights"),
        (&["--userns", "auto:size=0"], "no 0 IDs in a row are free"),
        (&["--uidmap", "5:1000:1"], "must have 0 inside"),
        (&["--uidmap", "0:1000:9", "--uidmap", "5:2000:9"], "ranges may not overlap"),
        (&["-v", "x:/y:U"], "not supported yet"),
        (&["-it"], "the input device is not a TTY"),
        (&["--entrypoint", ""], "no command specified"),
        (&["-w", "relative"], "absolute path"),
        (&["--name", "x/bad"], "invalid container name"),
        (&["--memory", "x"], "invalid size"),
    ] {
        let out =
            machine.creel(["--rm", "--network=none"].iter().chain(flags).chain(&["app"])).run();
        out.fails(125).says(says);
        machine.nothing_left();
    }
}

#[test]
fn an_init_reaps() {
    need_containers!();
    crate::support::peers::need!("tini");
    let machine = Machine::new();
    let out = machine.shell(&["--init"], "cat /proc/1/cmdline | tr '\\0' ' '");
    assert!(out.starts_with("/sbin/docker-init -- sh -c"), "{out}");
    machine.run(&["--init"], &["sh", "-c", "exit 9"]).run().fails(9);
}

const SPECIFICATION: &str = r#"cdiVersion: "0.6.0"
kind: example.com/card
containerEdits:
  env: ["CARD=1"]
devices:
- name: "0"
  containerEdits:
    env: ["CARD_0=yes"]
    additionalGids: [1001]
    deviceNodes:
    - {path: /dev/card0, type: c, major: 1, minor: 11, permissions: r}
    mounts:
    - {hostPath: DIRECTORY, containerPath: /opt/driver, options: [ro, nosuid]}
    hooks:
    - {hookName: createContainer, path: /bin/sh, args: [sh, -c, "cat > DIRECTORY/called"]}
"#;

#[test]
fn devices_can_be_asked_for_by_name() {
    need_containers!();
    let machine = Machine::new();
    let directory = machine.sandbox.path("cdi");
    std::fs::create_dir(&directory).expect("a directory");
    let shown = directory.display().to_string();
    std::fs::write(directory.join("card.yaml"), SPECIFICATION.replace("DIRECTORY", &shown))
        .expect("a specification");
    let flags = ["--cdi-spec-dir", &shown, "--device", "example.com/card=0"];
    let script = "echo $CARD $CARD_0; stat -c %t:%T /dev/card0; \
                  (echo > /dev/card0) 2>/dev/null || echo read-only; \
                  ls /opt/driver; touch /opt/driver/x 2>/dev/null || echo read-only; id -G";
    assert_eq!(
        machine.shell(&flags, script),
        "1 yes\n1:b\nread-only\ncalled\ncard.yaml\nread-only\n0 1001\n"
    );
    // The hook was given the container's state.
    let state = std::fs::read_to_string(directory.join("called")).expect("what the hook wrote");
    assert!(state.contains("\"ociVersion\""), "{state}");
    let missing = ["--cdi-spec-dir", &shown, "--device", "example.com/card=7"];
    machine.run(&missing, &["true"]).run().fails(125).says("example.com/card=0");
    machine
        .run(&["--cdi-spec-dir", &shown, "--gpus", "all"], &["true"])
        .run()
        .fails(125)
        .says("no device specification describes nvidia.com/gpu=all");
    machine.nothing_left();
}
