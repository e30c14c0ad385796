//! The bridge beside other networks, firewalls and programs of a host, each in a network namespace
//! of the test's own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::machine::{Machine, need_containers};
use crate::support::network::{self, Neighbour, call, ip, nft};
use crate::support::program::{Output, Running};

macro_rules! need_networks {
    ($($more:literal),*) => {
        need_containers!();
        crate::support::peers::need!("ip", "nft" $(, $more)*);
    };
}

/// A container on the bridge that waits for `go`, and its address.
struct Waiting {
    running: Running,
    address: String,
    go: std::path::PathBuf,
}

impl Waiting {
    /// With these flags; `before` and `after` are parts of its script.
    fn start(machine: &Machine, flags: &[&str], before: &str, after: &str) -> Waiting {
        let name = format!("meet{}", std::fs::read_dir(machine.sandbox.root()).unwrap().count());
        let place = machine.sandbox.path(&name);
        std::fs::create_dir(&place).unwrap();
        let volume = format!("--volume={}:/meet", place.display());
        let script = format!(
            "{before} hostname -i > /meet/new; mv /meet/new /meet/up; \
             until test -e /meet/go; do sleep 0.05; done; {after}"
        );
        let words = [&["--rm", &volume][..], flags, &["app", "sh", "-c", &script]].concat();
        let running = machine.creel(words).start();
        wait_for(&place.join("up"));
        let address = std::fs::read_to_string(place.join("up")).unwrap().trim().to_owned();
        Waiting { running, address, go: place.join("go") }
    }

    fn finish(self) -> Output {
        std::fs::write(&self.go, "").unwrap();
        self.running.wait().success()
    }
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < deadline, "the container does not come up");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn reaches(machine: &Machine, address: &str) -> Output {
    machine.creel(["--rm", "app", "ping", "-c", "1", "-W", "2", address]).run()
}

#[track_caller]
fn reached(out: &Output) {
    assert!(out.stdout.contains("1 packets received"), "{out}");
}

fn own_address(machine: &Machine) -> String {
    let script = "ip -o -4 addr show eth0 | awk '{print $4}'";
    let out = machine.creel(["--rm", "app", "sh", "-c", script]).run().success();
    out.stdout.trim().to_owned()
}

#[test]
fn a_host_that_forwards_for_containers_stays_closed_to_its_neighbours() {
    need_networks!("busybox");
    network::own();
    let machine = Machine::new();
    let one = Neighbour::new("one", "192.0.2.1", "192.0.2.50");
    let two = Neighbour::new("two", "198.51.100.1", "198.51.100.50");
    ip("route add default via 192.0.2.254 dev one");
    assert!(one.reaches("192.0.2.1") && !one.reaches(two.address()));
    // Programs that listen in the container, on ports that nobody published.
    let serve = "(while nc -l -p 8080 -e echo secret; do :; done) & \
                 (while nc -lu -p 5353 -e echo secret; do :; done) &";
    let ask = format!("ping -c 1 -W 5 {} | grep -c '1 packets received'", one.address());
    let web = Waiting::start(&machine, &[], serve, &ask);
    assert!(network::forwards());
    let get = format!("busybox nc -w 1 {} 8080", web.address);
    assert_eq!(call("busybox", &format!("nc -w 5 {} 8080", web.address)), "secret\n");
    assert_eq!(one.run(&get).1, "");
    assert!(!one.reaches(&web.address));
    assert!(!one.reaches(two.address()) && !two.reaches(one.address()));
    // The container reaches both, and gets their answers.
    assert_eq!(web.finish().stdout, "1\n");
    assert!(!one.reaches(two.address()) && !two.reaches(one.address()));
    // Somebody who loads rules of his own (nftables.service begins so) takes ours away.
    nft("flush ruleset");
    assert!(one.reaches(two.address()));
    reached(&reaches(&machine, two.address()));
    assert!(!one.reaches(two.address()) && !two.reaches(one.address()));
    machine.nothing_left();
}

#[test]
fn a_host_that_forwards_already_goes_on_as_it_did() {
    need_networks!("busybox");
    network::own();
    network::set_forwarding(true);
    let machine = Machine::new();
    let one = Neighbour::new("one", "192.0.2.1", "192.0.2.50");
    let two = Neighbour::new("two", "198.51.100.1", "198.51.100.50");
    assert!(one.reaches(two.address()));
    let web = Waiting::start(&machine, &[], "", "true");
    assert!(one.reaches(two.address()) && !one.reaches(&web.address));
    // What a rule of the host's sends there gets there.
    nft(&format!(
        "table ip mine {{ chain in {{ type nat hook prerouting priority dstnat; \
         ip daddr 192.0.2.1 icmp type echo-request dnat to {}; }}; }}",
        web.address
    ));
    assert!(one.reaches("192.0.2.1"));
    let rules = call("nft", "list chain ip creel creel0-10.87.0.0-16-forward");
    assert!(rules.contains("ct status dnat accept"), "{rules}");
    web.finish();
    assert!(one.reaches(two.address()));
    machine.nothing_left();
}

#[test]
fn containers_have_no_ipv6_until_they_are_told_so() {
    need_networks!("busybox");
    network::own();
    let machine = Machine::new();
    let links = "cut -c 45- /proc/net/if_inet6 | tr -d ' '; cat /proc/net/ipv6_route | \
                 grep -v ' lo$' | grep -c eth0; true";
    let out = machine.creel(["--rm", "app", "sh", "-c", links]).run().success();
    assert_eq!(out.stdout, "lo\n0\n");
    let mapped = ["--rm", "--uidmap", "0:300000:65536", "app", "sh", "-c", links];
    std::fs::set_permissions(machine.sandbox.root(), PermissionsExt::from_mode(0o711)).unwrap();
    assert_eq!(machine.creel(mapped).run().success().stdout, "lo\n0\n");
    let host = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
    assert!(!host.contains("creel0"), "{host}");
    let on = ["--rm", "--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "app", "sh", "-c", links];
    let out = machine.creel(on).run().success().stdout;
    assert!(out.contains("eth0\n"), "{out}");
    machine.nothing_left();
}

#[test]
fn no_container_is_the_router_of_another() {
    need_networks!("busybox");
    network::own();
    let machine = Machine::new();
    let configured = ["--sysctl", "net.ipv6.conf.all.disable_ipv6=0"];
    let routes = "grep -c '^20010db80bad0000.* eth0$' /proc/net/ipv6_route; \
                  grep -c '^00000000000000000000000000000000 00 .*00000003 .* eth0$' /proc/net/ipv6_route; true";
    let victim = |after: &str| Waiting::start(&machine, &configured, "", after);
    // A port as containers have them.
    let one = victim(routes);
    let rogue = Neighbour::at_bridge("creel0", "creel0aff");
    rogue.announce_router();
    assert_eq!(one.finish().stdout, "0\n0\n");
    // That it would have worked.
    nft("delete table bridge creel");
    let two = victim(
        "n=0; until grep -q '^20010db80bad0000' /proc/net/ipv6_route || test $n = 100; \
         do sleep 0.05; n=$((n+1)); done; grep -c '^20010db80bad0000.* eth0$' /proc/net/ipv6_route",
    );
    rogue.announce_router();
    assert_ne!(two.finish().stdout, "0\n");
    machine.nothing_left();
}

#[test]
fn the_bridge_takes_no_network_that_is_routed() {
    need_networks!();
    let begins = |routes: &[&str], wanted: &str| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                network::own();
                let machine = Machine::new();
                let _vpn = Neighbour::new("vpn", "192.0.2.1", "192.0.2.50");
                routes.iter().for_each(|route| ip(&format!("route add {route}")));
                assert_eq!(own_address(&machine), wanted, "{routes:?}");
                machine.nothing_left();
            });
        });
    };
    begins(&[], "10.87.0.2/16");
    begins(&["10.0.0.0/8 dev vpn"], "172.17.0.2/16");
    begins(&["10.0.0.0/8 dev vpn", "172.16.0.0/12 dev vpn"], "192.168.0.2/20");
    // In a table that packets reach by a rule, as VPNs do it; and where nothing may go at all.
    begins(&["10.0.0.0/8 dev vpn table 51820"], "172.17.0.2/16");
    begins(&["blackhole 10.0.0.0/8"], "172.17.0.2/16");
    // All of the world by halves is no network.
    begins(&["0.0.0.0/1 dev vpn", "128.0.0.0/1 dev vpn"], "10.87.0.2/16");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            network::own();
            let machine = Machine::new();
            let _vpn = Neighbour::new("vpn", "192.0.2.1", "192.0.2.50");
            for all in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] {
                ip(&format!("route add {all} dev vpn"));
            }
            let refused = machine.creel(["--rm", "app", "true"]).run().fails(125);
            refused.says("no private network is free").says("`ip link add creel0 type bridge`");
            // The cure works.
            ip("addr add 203.0.113.1/24 dev creel0");
            assert_eq!(own_address(&machine), "203.0.113.2/24");
            machine.nothing_left();
        });
    });
}

#[test]
fn iptables_policies_let_containers_pass() {
    need_networks!("iptables", "busybox");
    network::own();
    let machine = Machine::new();
    let lan = Neighbour::new("lan", "192.0.2.1", "192.0.2.50");
    ip("route add default via 192.0.2.50");
    // As Docker and ufw leave it.
    network::set_forwarding(true);
    call("iptables", "-P FORWARD DROP");
    call("iptables", "-A FORWARD -j REJECT");
    reached(&reaches(&machine, lan.address()));
    let rules = call("iptables", "-S FORWARD");
    assert_eq!(
        rules,
        "-P FORWARD DROP\n-A FORWARD -i creel0 -j ACCEPT\n-A FORWARD -o creel0 -j ACCEPT\n\
         -A FORWARD -j REJECT --reject-with icmp-port-unreachable\n"
    );
    // Once is enough, and somebody's own decision stays.
    reached(&reaches(&machine, lan.address()));
    assert_eq!(call("iptables", "-S FORWARD"), rules);
    call("iptables", "-F FORWARD");
    call("iptables", "-A FORWARD -i creel0 -j DROP");
    reaches(&machine, lan.address()).fails(1);
    assert_eq!(call("iptables", "-S FORWARD"), "-P FORWARD DROP\n-A FORWARD -i creel0 -j DROP\n");
    // Nobody gets in by these rules.
    call("iptables", "-F FORWARD");
    let web = Waiting::start(&machine, &[], "", "true");
    assert!(!lan.reaches(&web.address));
    web.finish();
    machine.nothing_left();
}

#[test]
fn the_older_iptables_lets_containers_pass() {
    need_networks!("iptables-legacy");
    network::own();
    if std::process::Command::new("iptables-legacy").arg("-S").output().is_err() {
        return;
    }
    let machine = Machine::new();
    let lan = Neighbour::new("lan", "192.0.2.1", "192.0.2.50");
    let other = Neighbour::new("other", "198.51.100.1", "198.51.100.50");
    call("iptables-legacy", "-P FORWARD DROP");
    reached(&reaches(&machine, lan.address()));
    let rules = call("iptables-legacy", "-S FORWARD");
    let expected =
        "-P FORWARD DROP\n-A FORWARD -o creel0 -j ACCEPT\n-A FORWARD -i creel0 -j ACCEPT\n";
    assert_eq!(rules, expected);
    reached(&reaches(&machine, lan.address()));
    assert_eq!(call("iptables-legacy", "-S FORWARD"), expected);
    // What switches forwarding on closes the host in the same place.
    network::set_forwarding(false);
    call("iptables-legacy", "-P FORWARD ACCEPT");
    reached(&reaches(&machine, lan.address()));
    assert_eq!(call("iptables-legacy", "-S FORWARD"), expected);
    assert!(!lan.reaches(other.address()));
    machine.nothing_left();
}

#[test]
fn firewalls_that_nobody_else_may_change_are_named() {
    need_networks!();
    network::own();
    network::set_forwarding(true);
    let machine = Machine::new();
    let lan = Neighbour::new("lan", "192.0.2.1", "192.0.2.50");
    let own = "table inet filter { chain forward { type filter hook forward priority filter; policy drop; %s }; }";
    let firewalld = "table inet firewalld { chain filter_FORWARD { type filter hook forward \
                     priority filter + 10; policy accept; ct state established,related accept; %s
                     reject with icmpx admin-prohibited; }; }";
    for (rules, says) in [
        (own, "`nft insert rule inet filter forward iifname creel0 accept`"),
        (firewalld, "`firewall-cmd --permanent --zone=trusted --add-interface=creel0`"),
    ] {
        nft(&rules.replace("%s", ""));
        let out = reaches(&machine, lan.address()).fails(1);
        out.says("drops forwarded packets").says(says);
        nft("flush ruleset");
        // The cure, by names and by a set of them, silences the warning.
        for cure in [
            "iifname creel0 accept; oifname creel0 accept;",
            "iifname { docker0, creel0 } accept; oifname { docker0, creel0 } accept;",
        ] {
            nft(&rules.replace("%s", cure));
            let out = reaches(&machine, lan.address());
            reached(&out);
            assert_eq!(out.stderr, "");
            nft("flush ruleset");
        }
    }
    // One that accepts by default is nobody's business.
    nft("table inet filter { chain forward { type filter hook forward priority filter; \
         policy accept; iifname lan tcp dport 1 drop; tcp dport 2 drop; }; }");
    assert_eq!(reaches(&machine, lan.address()).success().stderr, "");
    machine.nothing_left();
}

#[test]
fn programs_with_other_states_share_the_bridge() {
    need_networks!();
    network::own();
    let machines = [Machine::new(), Machine::new()];
    // All at once, also the making of the bridge.
    let place = machines[0].sandbox.path("together");
    std::fs::create_dir(&place).unwrap();
    let volume = format!("--volume={}:/all", place.display());
    let script = "hostname -i; touch /all/$(hostname); \
                  until test $(ls /all | wc -l) -ge 8; do sleep 0.05; done";
    let words = ["--rm", &volume, "app", "sh", "-c", script];
    let running: Vec<_> = (0..8).map(|number| machines[number % 2].creel(words).start()).collect();
    let mut seen: Vec<String> =
        running.into_iter().map(|one| one.wait().success().stdout).collect();
    seen.sort();
    let expected: Vec<String> = (2..10).map(|last| format!("10.87.0.{last}\n")).collect();
    assert_eq!(seen, expected);
    let bridge = call("ip", "-o -4 addr show creel0");
    assert_eq!(bridge.lines().count(), 1, "{bridge}");
    let chain = call("nft", "list table ip creel");
    assert_eq!(chain.matches("masquerade").count(), 1, "{chain}");
    // One that lost its keeper keeps its address.
    let orphan = Waiting::start(&machines[0], &[], "", "true");
    let address = orphan.address.clone();
    orphan.running.signal(nix::sys::signal::Signal::SIGKILL);
    std::fs::write(machines[1].state().join("network/creel0.next"), "0").unwrap();
    let another = Waiting::start(&machines[1], &[], "", "true");
    assert_ne!(another.address, address);
    another.finish();
    machines.iter().for_each(|machine| {
        machine.creel(["ps"]).run().success();
    });
    machines.iter().for_each(Machine::nothing_left);
}

#[test]
fn a_bridge_that_somebody_changed_is_mended() {
    need_networks!();
    network::own();
    let machine = Machine::new();
    let lan = Neighbour::new("lan", "192.0.2.1", "192.0.2.50");
    reached(&reaches(&machine, lan.address()));
    for change in ["link set creel0 down", "link del creel0", "addr flush dev creel0"] {
        ip(change);
        reached(&reaches(&machine, lan.address()));
    }
    nft("flush ruleset");
    reached(&reaches(&machine, lan.address()));
    network::set_forwarding(false);
    reached(&reaches(&machine, lan.address()));
    ip("link del creel0");
    ip("link add creel0 type veth peer name other0");
    let refused = machine.creel(["--rm", "app", "true"]).run().fails(125);
    refused.says("the link creel0 is not a bridge").says("`ip link del creel0`");
    machine.nothing_left();
}
