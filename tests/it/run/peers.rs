//! The same image and flags under Docker and podman: what a program sees must be the same.

use super::machine::{Machine, base, need_containers};
use crate::support::content::noise;
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
echo == modes; stat -c '%a %u %n' /scratch /data /dev/shm /tmp 2>/dev/null
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
    &["-w", "/new/dir", "-e", "A=b", "-e", "COLOUR=blue"],
    &["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"],
    &["--read-only", "--tmpfs", "/scratch"],
    &["--security-opt", "no-new-privileges", "--ipc", "none"],
    &["-v", "data:/data", "--hostname", "box"],
    &["--ulimit", "nofile=500:600", "--ulimit", "core=0", "--shm-size", "16m"],
    LIMITS,
];

/// Flags of which a random container gets at most one line of each kind.
const KINDS: &[&[&[&str]]] = &[
    &[
        &["-u", "web"],
        &["-u", "1000:29"],
        &["-u", "4321:77"],
        &["-u", "daemon", "--group-add", "audio"],
        &["-u", "web", "--group-add", "video", "--group-add", "99"],
    ],
    &[&["-e", "A=b c"], &["-e", "COLOUR="], &["-e", "COLOUR=blue", "-e", "Z"]],
    &[&["-w", "/"], &["-w", "/etc"], &["-w", "/srv/../data"]],
    &[
        &["--cap-drop", "ALL"],
        &["--cap-add", "SYS_PTRACE"],
        &["--cap-drop", "KILL", "--cap-drop", "chown"],
        &["--cap-drop=ALL", "--cap-add=CHOWN", "--cap-add=cap_setuid"],
        &["--cap-add", "SYS_ADMIN", "--cap-drop", "SETFCAP"],
    ],
    &[&["--security-opt", "no-new-privileges"], &["--security-opt", "seccomp=unconfined"]],
    &[&["--read-only"]],
    &[
        &["--tmpfs", "/scratch"],
        &["--tmpfs", "/scratch:mode=750,size=1m"],
        &["--tmpfs", "/data:size=1m"],
        &["-v", "data:/data"],
        &["-v", "data:/data:ro", "-v", "/scratch"],
    ],
    &[
        LIMITS,
        &["-m", "32m", "--memory-swap", "48m"],
        &["--cpu-shares", "300", "--pids-limit", "99"],
        &["--cpus", "0.25"],
        &["--cpu-period", "50000", "--cpu-quota", "20000"],
    ],
    &[&["--ulimit", "nofile=64:128"], &["--ulimit", "core=0", "--ulimit", "nofile=70"]],
    &[&["--hostname", "box"], &["--ipc", "none"], &["--shm-size", "8m"]],
    &[&["--oom-score-adj", "300"]],
];

/// As many random sets of flags as there is time for; always the same ones.
fn random_flags() -> Vec<Vec<&'static str>> {
    let sets = if std::env::var_os("CREEL_SOAK").is_some() { 200 } else { 5 };
    let mut bytes = noise(15, sets * KINDS.len()).into_iter().map(usize::from);
    let mut set = || {
        let chosen = KINDS.iter().filter_map(|kind| {
            // None in half of the cases.
            let byte = bytes.next().unwrap_or_default();
            (byte % 2 == 0).then(|| kind[byte / 2 % kind.len()])
        });
        chosen.flatten().copied().collect()
    };
    (0..sets).map(|_| set()).collect()
}

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
    let command = ["app", "sh", "-c", LOOK];
    let words = WORDS.iter().chain(flags).chain(&command);
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
    let random = random_flags();
    for flags in FLAGS.iter().copied().chain(random.iter().map(Vec::as_slice)) {
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
    // It makes no directory to work in.
    for flags in FLAGS.iter().filter(|flags| !flags.contains(&"/new/dir")) {
        // podman 4.3 leaves three capabilities out that Docker gives, and has limits of its own.
        let mut own = vec!["--read-only-tmpfs=false", "--pids-limit=-1"];
        if !flags.contains(&"--ipc") {
            own.push("--shm-size=64m");
        }
        if flags.contains(&"--ulimit") {
            own.push("--ulimit=nproc=1000");
        }
        // What it adds for a user other than root, the program has from the beginning.
        let as_user = flags.contains(&"-u");
        if !flags.contains(&"--cap-drop") && !as_user {
            own.push("--cap-add=AUDIT_WRITE,MKNOD,NET_RAW");
        }
        own.extend(*flags);
        let theirs = words(&own, &["sh", "-c", LOOK]);
        let theirs = podman(&machine.sandbox, theirs).run().success().stdout;
        let ours = look(&machine, flags);
        let shown = |text: &str| {
            let mut lines = shown_with_podman(text);
            lines.retain(|line| !as_user || !line.starts_with("CapBnd:"));
            // It gives an account to whoever has none, with the working directory as home.
            lines.retain(|line| !flags.contains(&"4321") || !line.starts_with("HOME="));
            lines
        };
        assert_eq!(shown(&ours), shown(&theirs), "{flags:?}");
    }
    // For an unknown user its code is 126.
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
        "/etc/passwd ",
        "/etc/group ",
        "/sys/dev/block ",
    ];
    let mut lines = parts(text, &["hosts", "proc", "docker"]);
    lines.retain(|line| !own.iter().any(|start| line.starts_with(start)));
    lines.into_iter().map(str::to_owned).collect()
}
