//! The same image and flags under Docker: what a program sees must be the same.

use super::machine::{Machine, base, need_containers};
use crate::support::image::{DockerSave, layer};
use crate::support::peers::need;
use crate::support::server::Dockerd;

/// Facts about its surroundings, as a program finds them, without what differs between any two
/// containers.
const LOOK: &str = "
echo == id; id -u; id -g; id -G; pwd; umask
echo == env; env | grep -v -E '^(HOSTNAME|SHLVL|_)=' | sort
echo == rights; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status
echo == mounts; awk '$2 !~ /^\\/sys\\/fs\\/cgroup/ {print $2, $3}' /proc/self/mounts |
  sed 's/ ext4$/ file/; s/ overlay$/ file/; s/ tmpfs$/ memory/' | sort -u
echo == dev; ls -l /dev | awk 'NR > 1 {print $1, $3, $4, ($5 ~ /,/ ? $5 $6 : \"\"), $NF}'
echo == hosts; cut -f2 /etc/hosts | grep -v \"$HOSTNAME\"
echo == proc; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range
echo == net; ls /sys/class/net | grep -c eth
test -e /.dockerenv && echo marked
";

#[test]
fn a_program_sees_what_it_sees_under_docker() {
    need_containers!();
    need!("dockerd", "docker");
    let image = base()
        .docker()
        .env("COLOUR", "red")
        .config("WorkingDir", "/srv/app".into())
        .layer(layer().dir("srv").dir("data").file("data/x", "y"));
    let machine = Machine::with(image.clone());
    let docker = Dockerd::start();
    let archive = machine.sandbox.path("image.tar");
    image.build().write_docker_archive(&archive, DockerSave::Classic, &["app:latest"]);
    let load = ["load", "-q", "-i", &archive.display().to_string()].map(str::to_owned);
    docker.docker(&machine.sandbox, load).run().success();
    for flags in [
        &[][..],
        &["-u", "web"],
        &["-u", "web:audio", "--group-add", "77"],
        &["-u", "4321"],
        &["-w", "/new/dir", "-e", "A=b", "-e", "COLOUR=blue"],
        &["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"],
        &["--read-only", "--tmpfs", "/scratch"],
        &["--security-opt", "no-new-privileges", "--ipc", "none"],
        &["-v", "data:/data", "--hostname", "box"],
    ] {
        let command = ["app", "sh", "-c", LOOK];
        // podman's extra memory with --read-only has no counterpart there.
        let ours = ["--read-only-tmpfs=false"];
        let words = ["run", "--rm", "--network", "none"];
        let theirs = words.iter().chain(flags).chain(&command);
        let theirs = docker.docker(&machine.sandbox, theirs).run().success().stdout;
        let ours = machine.creel(words.iter().chain(&ours).chain(flags).chain(&command));
        let ours = ours.run().success().stdout;
        let shown = |text: &str| {
            // Debian's Docker is older than the rule that hides this file.
            let same = |line: &&str| !line.starts_with("/proc/interrupts");
            text.lines().filter(same).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(shown(&ours), shown(&theirs), "{flags:?}");
    }
    for (command, flags) in [
        (&["true"][..], &[][..]),
        (&["sh", "-c", "exit 42"], &[]),
        (&["no-such-program"], &[]),
        (&["/etc"], &[]),
        (&["/etc/passwd"], &[]),
        (&["true"], &["-u", "nobody-here"]),
        (&["true"], &["--no-such-flag"]),
        (&["sh", "-c", "kill -TERM $$; sleep 1; exit 3"], &[]),
    ] {
        let words = ["run", "--rm", "--network", "none"];
        let all = |flags: &[&str]| {
            let words = words.iter().chain(flags).chain(&["app"]).chain(command);
            words.map(|word| (*word).to_owned()).collect::<Vec<_>>()
        };
        let theirs = docker.docker(&machine.sandbox, all(flags)).run().code();
        let ours = machine.creel(all(flags)).run().code();
        assert_eq!(ours, theirs, "{flags:?} {command:?}");
    }
    machine.nothing_left();
}
