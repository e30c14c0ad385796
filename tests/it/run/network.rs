//! Connections: none, the host's, the bridge.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use super::machine::{Machine, need_containers};

#[test]
fn without_a_network_there_is_loopback_alone() {
    need_containers!();
    let machine = Machine::new();
    let out =
        machine.shell(&[], "ls /sys/class/net; ip -o addr show lo | head -1; cat /etc/hostname");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].split_whitespace().any(|link| link == "lo") && !out.contains("eth0"), "{out}");
    assert!(out.contains("127.0.0.1/8"), "{out}");
    assert_eq!(lines.last().unwrap().len(), 12);
}

#[test]
fn the_host_s_network_is_the_host_s() {
    need_containers!();
    let machine = Machine::new();
    let words =
        ["--rm", "--network", "host", "app", "sh", "-c", "readlink /proc/self/ns/net; hostname"];
    let out = machine.creel(words).run().success().stdout;
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let short = out.lines().nth(1).unwrap_or_default();
    assert!(out.starts_with(&own.display().to_string()), "{out}");
    // A name of its own all the same, as with Docker: only --uts host shares it.
    assert!(short.len() == 12 || short == name.trim(), "{out}");
}

#[test]
fn another_namespace_can_be_joined() {
    need_containers!();
    let machine = Machine::new();
    let own = format!("/proc/{}/ns/net", std::process::id());
    let network = format!("ns:{own}");
    let words = ["--rm", "--network", &network, "app", "readlink", "/proc/self/ns/net"];
    let out = machine.creel(words).run().success().stdout;
    assert_eq!(out.trim(), std::fs::read_link(&own).unwrap().display().to_string());
    let named = machine.creel(["--rm", "--network", "mine", "app", "true"]).run().fails(125);
    named.says("named networks are not supported yet");
    let ports = machine.creel(["--rm", "-p", "80:80", "app", "true"]).run().fails(125);
    ports.says("--publish is not supported yet");
}

/// One answer to one connection: who is there.
fn listen() -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut connection, from) = listener.accept().unwrap();
        connection.write_all(b"hello\n").unwrap();
        connection.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = connection.read_to_end(&mut rest);
        from.ip().to_string()
    });
    (port, thread)
}

#[test]
fn a_container_on_the_bridge_reaches_the_host() {
    need_containers!();
    let machine = Machine::new();
    let (port, asked) = listen();
    let script = format!(
        "g=$(ip route | awk '/^default/ {{print $3}}'); nc $g {port} </dev/null; \
         ip -o -4 addr show eth0 | awk '{{print $4}}'; grep \"$HOSTNAME\" /etc/hosts | cut -f1; \
         grep -c nameserver /etc/resolv.conf"
    );
    let out = machine.creel(["--rm", "app", "sh", "-c", &script]).run().success().stdout;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "hello", "{out}");
    let address = lines[1].strip_suffix("/16").expect("an address of a /16");
    assert_eq!(lines[2], address);
    assert_eq!(asked.join().unwrap(), address);
    machine.nothing_left();
    assert!(!machine.state().join("network/creel0").join(address).exists());
}

#[test]
fn what_leaves_the_host_has_the_host_s_address() {
    need_containers!();
    crate::support::peers::need!("ip");
    let machine = Machine::new();
    // A machine beside this one: a namespace that knows no way back to containers.
    let name = format!("creel-test-{}", std::process::id());
    let (ours, theirs) =
        (format!("ct{}a", std::process::id()), format!("ct{}b", std::process::id()));
    let ip = |words: &str| {
        let status = Command::new("ip").args(words.split(' ')).status().unwrap();
        assert!(status.success(), "ip {words}");
    };
    ip(&format!("netns add {name}"));
    ip(&format!("link add {ours} type veth peer name {theirs} netns {name}"));
    ip(&format!("addr add 192.0.2.1/24 dev {ours}"));
    ip(&format!("link set {ours} up"));
    ip(&format!("-n {name} addr add 192.0.2.2/24 dev {theirs}"));
    ip(&format!("-n {name} link set {theirs} up"));
    let ping = ["--rm", "app", "ping", "-c", "1", "-W", "5", "192.0.2.2"];
    let out = machine.creel(ping).run();
    ip(&format!("netns del {name}"));
    assert!(out.success().stdout.contains("1 packets received"));
    machine.nothing_left();
}

#[test]
fn many_containers_at_once_have_addresses_of_their_own() {
    need_containers!();
    let machine = Machine::new();
    let (volume, meet) = machine.meeting(6);
    let script = format!("ip -o -4 addr show eth0 | awk '{{print $4}}'; {meet}");
    let words = ["--rm", &volume, "app", "sh", "-c", &script];
    let running: Vec<_> = (0..6).map(|_| machine.creel(words).start()).collect();
    let mut seen: Vec<String> =
        running.into_iter().map(|one| one.wait().success().stdout).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6, "{seen:?}");
    machine.nothing_left();
}

#[test]
fn names_go_where_they_were_told() {
    need_containers!();
    let machine = Machine::new();
    let flags = [
        "--hostname",
        "box",
        "--domainname",
        "example.org",
        "--add-host",
        "db:10.0.0.5",
        "--dns",
        "192.0.2.53",
        "--dns-search",
        "corp.example",
        "--dns-option",
        "ndots:3",
    ];
    let out = machine.shell(&flags, "hostname; cat /etc/resolv.conf; grep db /etc/hosts");
    assert_eq!(
        out,
        "box\nnameserver 192.0.2.53\nsearch corp.example\noptions ndots:3\n10.0.0.5\tdb\n"
    );
    let clash = machine.run(&["--uts", "host", "--hostname", "x"], &["true"]).run().fails(125);
    clash.says("hostname and the UTS mode");
}

/// Answers every question for an IPv4 address with 192.0.2.7, until the socket gets an empty
/// packet.
fn serve_names(socket: &std::net::UdpSocket) -> Vec<String> {
    let mut asked = Vec::new();
    let mut packet = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut packet).unwrap();
        let Some(question) = packet[..length].get(12..) else { return asked };
        let end = question.iter().position(|&b| b == 0).unwrap();
        let text: String =
            question[..end].iter().map(|&b| if b < b' ' { '.' } else { b as char }).collect();
        asked.push(text.trim_start_matches('.').to_owned());
        let question = &question[..end + 5];
        let is_address = question[end + 2] == 1;
        // The same number; an answer without error; one question, one or no answer.
        let mut reply =
            [&packet[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]].concat();
        reply.extend(question);
        if is_address {
            // The name as in the question, type A, class IN, a minute, four bytes.
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        }
        socket.send_to(&reply, from).unwrap();
    }
}

#[test]
fn names_are_asked_through_the_bridge() {
    need_containers!();
    let machine = Machine::new();
    let script = "ip route | awk '/default/ {print $3}'";
    let out = machine.creel(["--rm", "app", "sh", "-c", script]).run().success().stdout;
    let gateway: std::net::Ipv4Addr = out.trim().parse().unwrap();
    // The bridge is the machine's: another test of this kind may be under way.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let socket = loop {
        match std::net::UdpSocket::bind((gateway, 53)) {
            Ok(socket) => break socket,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let asked = std::thread::scope(|scope| {
        let server = scope.spawn(|| serve_names(&socket));
        let dns = gateway.to_string();
        let words =
            ["--rm", "--dns", &dns, "--dns-search", "corp.example", "app", "nslookup", "db"];
        let out = machine.creel(words).run();
        socket.send_to(&[], (gateway, 53)).unwrap();
        let asked = server.join().unwrap();
        assert!(out.stdout.contains("192.0.2.7"), "{out}");
        asked
    });
    assert!(asked.iter().any(|name| name == "db.corp.example"), "{asked:?}");
    machine.nothing_left();
}
