//! Networks of a test's own, so that none of this machine's is touched.
//!
//! ```ignore
//! network::own();
//! let lan = Neighbour::new("lan0", "192.0.2.1", "192.0.2.2");
//! lan.run(["ping", "-c1", "192.0.2.1"]);
//! ```

use std::io::{BufRead, BufReader};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket, sockopt};

/// Gives the calling thread, and the programs that it starts from now on, an empty network: loopback
/// alone. It does not forward packets, as a machine after its installation.
pub fn own() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    ip("link set lo up");
    set_forwarding(false);
}

/// Gives the calling thread, and the programs that it starts from now on, mounts that nobody else
/// sees.
pub fn own_mounts() {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    call("mount", "--make-rprivate /");
}

pub fn set_forwarding(on: bool) {
    let value = if on { "1" } else { "0" };
    std::fs::write("/proc/sys/net/ipv4/ip_forward", value).expect("a kernel setting");
}

pub fn forwards() -> bool {
    std::fs::read("/proc/sys/net/ipv4/ip_forward").expect("a kernel setting").starts_with(b"1")
}

/// `ip` with these words.
#[track_caller]
pub fn ip(words: &str) {
    call("ip", words);
}

/// A program with these words, separated by blanks, that must succeed; what it writes.
#[track_caller]
pub fn call(program: &str, words: &str) -> String {
    let path = super::peers::find(program).unwrap_or_else(|| program.into());
    let out = Command::new(path).args(words.split(' ')).output().expect("starting a program");
    assert!(out.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The rules that `nft` reads.
#[track_caller]
pub fn nft(rules: &str) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), format!("{rules}\n")).expect("writing rules");
    call("nft", &format!("-f {}", file.path().display()));
}

/// A machine on the other end of a cable: another network namespace.
pub struct Neighbour {
    holder: Child,
    address: String,
}

impl Neighbour {
    /// Connects a machine by a link of ours: `link` with the address `ours` here, `eth0` with
    /// `theirs` there, whose default route leads here.
    pub fn new(link: &str, ours: &str, theirs: &str) -> Neighbour {
        let neighbour = Neighbour::apart(theirs);
        let there = neighbour.holder.id();
        ip(&format!("link add {link} type veth peer name eth0 netns {there}"));
        ip(&format!("addr add {ours}/24 dev {link}"));
        ip(&format!("link set {link} up"));
        neighbour.ip(&format!("addr add {theirs}/24 dev eth0"));
        neighbour.ip("link set eth0 up");
        neighbour.ip(&format!("route add default via {ours}"));
        neighbour
    }

    /// A machine at a port of a bridge here.
    pub fn at_bridge(bridge: &str, port: &str) -> Neighbour {
        let neighbour = Neighbour::apart("");
        let there = neighbour.holder.id();
        ip(&format!("link add {port} type veth peer name eth0 netns {there}"));
        ip(&format!("link set {port} master {bridge} up"));
        neighbour.ip("link set eth0 up");
        neighbour
    }

    fn apart(address: &str) -> Neighbour {
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c", "echo; exec sleep 600"]).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("a program in a namespace of its own");
        // It is in there when it writes.
        let output = holder.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut String::new()).expect("a line");
        let neighbour = Neighbour { holder, address: address.to_owned() };
        neighbour.ip("link set lo up");
        // An address of its own link can be used at once.
        neighbour.run("sysctl -qw net.ipv6.conf.default.accept_dad=0");
        neighbour
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Runs a program there; whether it succeeded, and what it wrote.
    pub fn run(&self, words: &str) -> (bool, String) {
        let there = self.holder.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &there, "-n"]).args(words.split(' ')).stdin(Stdio::null());
        let out = command.output().expect("starting a program");
        (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Whether a machine answers.
    pub fn reaches(&self, address: &str) -> bool {
        self.run(&format!("busybox ping -c 1 -W 1 {address}")).0
    }

    #[track_caller]
    fn ip(&self, words: &str) {
        let (done, _) = self.run(&format!("ip {words}"));
        assert!(done, "ip {words}");
    }

    /// Announces itself to all that hear it as an IPv6 router of `2001:db8:bad::/64`.
    pub fn announce_router(&self) {
        let path = format!("/proc/{}/ns/net", self.holder.id());
        let there = std::fs::File::open(path).expect("a network namespace");
        let link = self.link_number();
        let send = move || {
            setns(there, CloneFlags::CLONE_NEWNET).expect("a network namespace");
            let (family, kind) = (AddressFamily::INET6, SocketType::RAW);
            let socket = socket(family, kind, Some(ipproto::ICMPV6)).expect("a raw socket");
            sockopt::set_ipv6_multicast_hops(&socket, 255).expect("a socket option");
            let all = SocketAddrV6::new("ff02::1".parse().expect("an address"), 0, 0, link);
            sendto(&socket, &advertisement(), SendFlags::empty(), &all).expect("sending");
        };
        std::thread::spawn(send).join().expect("a thread");
    }

    fn link_number(&self) -> u32 {
        let (_, text) = self.run("ip -o link show eth0");
        text.split(':').next().and_then(|number| number.parse().ok()).expect("a number")
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Half an hour of routing, an hour of a prefix for addresses (RFC 4861 4.2 and 4.6.2). The kernel
/// adds the checksum.
fn advertisement() -> Vec<u8> {
    let prefix: Ipv6Addr = "2001:db8:bad::".parse().expect("an address");
    let mut bytes = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([3, 4, 64, 0xc0]);
    bytes.extend([0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0]);
    bytes.extend(prefix.octets());
    bytes
}
