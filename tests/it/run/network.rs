//! Connections: none, the host's, the bridge.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::machine::{Machine, need_containers};
use crate::support::image::layer;
use crate::support::network::{self, Neighbour};

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
    let script = "readlink /proc/self/ns/net; hostname; cat /etc/hostname; echo $HOSTNAME";
    let words = ["--rm", "--network", "host", "app", "sh", "-c", script];
    let out = machine.creel(words).run().success().stdout;
    let own = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = name.trim();
    assert_eq!(out, format!("{own}\n{name}\n{name}\n{name}\n"));
    // Its files are the host's, byte for byte.
    for path in ["/etc/hosts", "/etc/resolv.conf"] {
        let words = ["--rm", "--network", "host", "app", "cat", path];
        let out = machine.creel(words).run().success().stdout;
        assert_eq!(out, std::fs::read_to_string(path).unwrap_or_default(), "{path}");
    }
    let shared = [
        "--rm",
        "--network",
        "none",
        "--uts",
        "host",
        "app",
        "sh",
        "-c",
        "hostname; cat /etc/hostname",
    ];
    assert_eq!(machine.creel(shared).run().success().stdout, format!("{name}\n{name}\n"));
    let named = ["--rm", "--network", "host", "-h", "zz", "app", "hostname"];
    assert_eq!(machine.creel(named).run().success().stdout, "zz\n");
    let dns = [
        "--rm",
        "--network",
        "host",
        "--dns",
        "192.0.2.1",
        "app",
        "grep",
        "nameserver",
        "/etc/resolv.conf",
    ];
    assert_eq!(machine.creel(dns).run().success().stdout, "nameserver 192.0.2.1\n");
}

/// What is no UTF-8 in the host's files spoils its own line alone.
#[test]
fn files_of_the_host_are_bytes() {
    need_containers!();
    network::own_mounts();
    let machine = Machine::new();
    let cover = |path: &str, content: &[u8]| {
        let name = path.replace('/', "-");
        let file = machine.sandbox.write(&name, content);
        network::call("mount", &format!("--bind {} {path}", file.display()));
    };
    let resolver = b"nameserver 192.0.2.9 # caf\xe9\n# \xff\xfe\nsearch a.example\n\xe9 x\n";
    cover("/etc/resolv.conf", resolver);
    cover("/etc/hosts", b"192.0.2.7 caf\xe9\n192.0.2.8 good\n");
    let out = machine.shell(&[], "cat /etc/resolv.conf");
    assert_eq!(out, "nameserver 192.0.2.9\nsearch a.example\n");
    let count = "wc -c < /etc/resolv.conf; grep -c 'good' /etc/hosts; wc -c < /etc/hosts";
    let words = ["--rm", "--network", "host", "app", "sh", "-c", count];
    let out = machine.creel(words).run().success().stdout;
    assert_eq!(out, format!("{}\n1\n30\n", resolver.len()));
    // The image's account files as well.
    let odd = layer()
        .file("etc/passwd", b"caf\xe9:x:5:5::/:\nroot:x:0:0::/root:\nweb:x:7:7::/:\n")
        .file("etc/group", b"gr\xfc:x:5:\nwww:x:8:web\n");
    let machine = Machine::with(super::machine::base().layer(odd));
    assert_eq!(machine.shell(&["-u", "web"], "id -u; id -G"), "7\n7 8\n");
    machine.nothing_left();
}

#[test]
fn domain_names_are_set() {
    need_containers!();
    let machine = Machine::new();
    let look = "cat /proc/sys/kernel/domainname";
    assert_eq!(machine.shell(&["--domainname", "nis.example"], look), "nis.example\n");
    let shared = machine.run(&["--domainname", "x", "--uts", "host"], &["true"]).run().fails(125);
    shared.says("domainname and the UTS mode");
    machine.nothing_left();
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
    network::own();
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
}

#[test]
fn what_leaves_the_host_has_the_host_s_address() {
    need_containers!();
    crate::support::peers::need!("ip");
    network::own();
    let machine = Machine::new();
    // A machine beside this one knows no way back to containers.
    let lan = Neighbour::new("lan", "192.0.2.1", "192.0.2.2");
    lan.run("ip route del default");
    let ping = ["--rm", "app", "ping", "-c", "1", "-W", "5", "192.0.2.2"];
    let out = machine.creel(ping).run();
    assert!(out.success().stdout.contains("1 packets received"));
    machine.nothing_left();
}

#[test]
fn many_containers_at_once_have_addresses_of_their_own() {
    need_containers!();
    network::own();
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
    network::own();
    let machine = Machine::new();
    let script = "ip route | awk '/default/ {print $3}'";
    let out = machine.creel(["--rm", "app", "sh", "-c", script]).run().success().stdout;
    let gateway: std::net::Ipv4Addr = out.trim().parse().unwrap();
    let socket = std::net::UdpSocket::bind((gateway, 53)).unwrap();
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
