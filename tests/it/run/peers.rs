//! The same image and flags under Docker and podman: what a program sees must be the same.

use super::machine::{Machine, base, need_containers};
use crate::support::image::{DockerSave, ImageBuilder, layer};
use crate::support::peers::{need, podman};
use crate::support::server::Dockerd;

/// Facts about its surroundings, as a program finds them, without what differs between any two
/// containers. Each part begins with a line `== NAME`.
const LOOK: &str = "
echo == id; id -u; id -g; id -G; pwd; umask
echo == env; env | grep -v -E '^(HOSTNAME|SHLVL|_)=' | sort
echo == rights; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status
echo == limits; ulimit -n; ulimit -c; ulimit -v; cat /proc/self/oom_score_adj
for limit in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes pids/pids.max \
    cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares cpuset/cpuset.cpus \
    memory.max memory.swap.max pids.max cpu.max cpuset.cpus; do
  test -e /sys/fs/cgroup/$limit && echo $limit $(cat /sys/fs/cgroup/$limit)
done
echo == mounts; awk '$2 !~ /^\\/sys\\/fs\\/cgroup/ {print $2, $3}' /proc/self/mounts |
  sed 's/ ext4$/ file/; s/ overlay$/ file/; s/ tmpfs$/ memory/' | sort -u
echo == dev; ls -l /dev | awk 'NR > 1 {print $1, $3, $4, ($5 ~ /,/ ? $5 $6 : \"\"), $NF}'
echo == shm; df -k /dev/shm 2>&1 | awk 'NR > 1 {print $2}'
echo == hosts; cut -f2 /etc/hosts | grep -v \"$HOSTNAME\"
echo == hostname; test \"$(cat /etc/hostname)\" = \"$(hostname)\" && echo same
echo == proc; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range
echo == net; ls /sys/class/net | grep -c eth
echo == docker; ls /.dockerenv 2>/dev/null; true
";

/// The parts of what [`LOOK`] prints, without those that are left out.
fn parts<'a>(text: &'a str, without: &[&str]) -> Vec<&'a str> {
    let mut keeps = true;
    let kept = text.lines().filter(|line| {
        if let Some(name) = line.strip_prefix("== ") {
            keeps = !without.contains(&name);
        }
        keeps
    });
    kept.collect()
}

const LIMITS: &[&str] = &[
    "-m",
    "64m",
    "--cpus",
    "0.5",
    "--pids-limit",
    "50",
    "--cpu-shares",
    "512",
    "--cpuset-cpus",
    "0",
];

/// What the programs are asked to do, each with the same words.
const FLAGS: &[&[&str]] = &[
    &[],
    &["-u", "web"],
    &["-u", "web:audio", "--group-add", "77"],
    &["-u", "4321"],
    &["-w", "/srv", "-e", "A=b", "-e", "COLOUR=blue"],
    &["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"],
    &["--read-only", "--tmpfs", "/scratch"],
    &["--security-opt", "no-new-privileges", "--ipc", "none"],
    &["-v", "data:/data", "--hostname", "box"],
    &["--ulimit", "nofile=500:600", "--ulimit", "core=0", "--shm-size", "16m"],
    LIMITS,
];

/// Commands and flags whose exit codes must be the same.
const ENDS: &[(&[&str], &[&str])] = &[
    (&["true"], &[]),
    (&["sh", "-c", "exit 42"], &[]),
    (&["no-such-program"], &[]),
    (&["/etc"], &[]),
    (&["/etc/passwd"], &[]),
    (&["true"], &["-u", "nobody-here"]),
    (&["true"], &["--no-such-flag"]),
    (&["sh", "-c", "kill -TERM $$; sleep 1; exit 3"], &[]),
];

const WORDS: &[&str] = &["run", "--rm", "--network", "none"];

fn app() -> ImageBuilder {
    base()
        .docker()
        .env("COLOUR", "red")
        .config("WorkingDir", "/srv/app".into())
        .layer(layer().dir("srv").dir("data").file("data/x", "y"))
}

/// What the program in one of our containers sees.
fn look(machine: &Machine, flags: &[&str]) -> String {
    // podman's extra memory with --read-only has no counterpart in Docker.
    let own = ["--read-only-tmpfs=false"];
    let command = ["app", "sh", "-c", LOOK];
    let words = WORDS.iter().chain(&own).chain(flags).chain(&command);
    machine.creel(words).run().success().stdout
}

fn words(flags: &[&str], command: &[&str]) -> Vec<String> {
    let words = WORDS.iter().chain(flags).chain(&["app"]).chain(command);
    words.map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_program_sees_what_it_sees_under_docker() {
    need_containers!();
    need!("dockerd", "docker");
    let machine = Machine::with(app());
    let docker = Dockerd::start();
    let archive = machine.sandbox.path("image.tar");
    app().build().write_docker_archive(&archive, DockerSave::Classic, &["app:latest"]);
    let load = ["load", "-q", "-i", &archive.display().to_string()].map(str::to_owned);
    docker.docker(&machine.sandbox, load).run().success();
    // podman wants the directory to be there.
    let made = &["-w", "/new/dir"][..];
    for flags in FLAGS.iter().chain([&made]) {
        let theirs = words(flags, &["sh", "-c", LOOK]);
        let theirs = docker.docker(&machine.sandbox, theirs).run().success().stdout;
        let ours = look(&machine, flags);
        let shown = |text: &str| {
            // Debian's Docker is older than the rule that hides this file.
            let mut lines = parts(text, &[]);
            lines.retain(|line| !line.starts_with("/proc/interrupts"));
            lines.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(shown(&ours), shown(&theirs), "{flags:?}");
    }
    for (command, flags) in ENDS {
        let words = words(flags, command);
        let theirs = docker.docker(&machine.sandbox, &words).run().code();
        let ours = machine.creel(&words).run().code();
        assert_eq!(ours, theirs, "{flags:?} {command:?}");
    }
    machine.nothing_left();
}

/// What differs is in docs/differences.md.
#[test]
fn a_program_sees_what_it_sees_under_podman() {
    need_containers!();
    need!("podman");
    let machine = Machine::with(app());
    let archive = machine.sandbox.path("image.tar");
    app().build().write_docker_archive(&archive, DockerSave::Classic, &["app:latest"]);
    let load = ["load", "-q", "-i", &archive.display().to_string()].map(str::to_owned);
    podman(&machine.sandbox, load).run().success();
    for flags in FLAGS {
        let mut own = vec!["--read-only-tmpfs=false", "--pids-limit=-1"];
        if !flags.contains(&"--ipc") {
            own.push("--shm-size=64m");
        }
        if flags.contains(&"--ulimit") {
            // Its own is above what some hosts permit.
            own.push("--ulimit=nproc=1000:1000");
        }
        // podman 4.3 leaves three capabilities out that Docker gives; those that are added become
        // ambient for other users than root.
        if !flags.contains(&"--cap-drop") && !flags.contains(&"-u") {
            own.push("--cap-add=AUDIT_WRITE,MKNOD,NET_RAW");
        }
        own.extend(*flags);
        let theirs = words(&own, &["sh", "-c", LOOK]);
        let theirs = podman(&machine.sandbox, theirs).run().success().stdout;
        let ours = look(&machine, flags);
        let shown = |text: &str| {
            let mut lines = shown_with_podman(text);
            lines.retain(|line| !flags.contains(&"-u") || !line.starts_with("CapBnd:"));
            // It gives unknown users an entry in /etc/passwd.
            lines.retain(|line| !flags.contains(&"4321") || !line.starts_with("HOME="));
            lines
        };
        assert_eq!(shown(&ours), shown(&theirs), "{flags:?}");
    }
    // For an unknown user podman has 126.
    for (command, flags) in ENDS.iter().filter(|(_, flags)| !flags.contains(&"nobody-here")) {
        let words = words(flags, command);
        let theirs = podman(&machine.sandbox, &words).run().code();
        let ours = machine.creel(&words).run().code();
        assert_eq!(ours, theirs, "{flags:?} {command:?}");
    }
    machine.nothing_left();
}

fn shown_with_podman(text: &str) -> Vec<String> {
    // It has its own file for `/.dockerenv`, none for names without a network, and other masks.
    let own = [
        "container=",
        "TERM=",
        "/etc/resolv.conf ",
        "/proc/interrupts ",
        "/run/.containerenv ",
        "/sys/dev/block ",
    ];
    let mut lines = parts(text, &["hosts", "proc", "docker"]);
    lines.retain(|line| !own.iter().any(|start| line.starts_with(start)));
    lines.into_iter().map(str::to_owned).collect()
}
