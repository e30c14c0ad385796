//! A network of a test's own: addresses and host names that mean nothing outside of it.
//!
//! ```ignore
//! need!("root", "ip");
//! hosts::inside(&["93.1.2.3", "10.1.2.3"], "93.1.2.3 reg.example.test", || {
//!     let registry = hosts::at("93.1.2.3", TestRegistry::start);
//!     …
//! });
//! ```

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

thread_local! {
    /// Where servers that this thread starts listen.
    static ADDRESS: Cell<IpAddr> = const { Cell::new(IpAddr::V4(Ipv4Addr::LOCALHOST)) };
}

/// Runs `test` where this machine has `addresses` and no other network, and `hosts` (lines of
/// `/etc/hosts`) are all the names there are. Needs root and `ip`.
pub fn inside(addresses: &[&str], hosts: &str, test: impl FnOnce() + Send + 'static) {
    let addresses: Vec<String> = addresses.iter().map(|address| format!("{address}/32")).collect();
    let hosts = format!("127.0.0.1 localhost\n{hosts}\n");
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces");
        run("mount", &["--make-rprivate", "/"]);
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), hosts).expect("writing a hosts file");
        run("mount", &["--bind", &file.path().display().to_string(), "/etc/hosts"]);
        run("ip", &["link", "set", "lo", "up"]);
        for address in &addresses {
            run("ip", &["addr", "add", address, "dev", "lo"]);
        }
        test();
    });
    if let Err(panic) = thread.expect("a thread").join() {
        std::panic::resume_unwind(panic);
    }
}

/// Lets the servers that `start` starts listen at another address than 127.0.0.1.
pub fn at<T>(address: &str, start: impl FnOnce() -> T) -> T {
    let before = ADDRESS.replace(address.parse().expect("an address"));
    let started = start();
    ADDRESS.set(before);
    started
}

/// Where a server that is started now listens.
pub(super) fn address() -> IpAddr {
    ADDRESS.get()
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {args:?} failed");
}
