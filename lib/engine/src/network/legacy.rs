//! The older iptables, whose rules are not those of nftables.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::expression::with_end;
use crate::sys::legacy_firewall;

/// The tables that are in use in this network namespace.
const TABLES: &str = "/proc/self/net/ip_tables_names";
/// Where administrators' programs are.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"];

/// Does for the older iptables what [`super::others::open_for`] does; whether it is in use.
pub(super) fn open_for(bridge: &str, close: bool, warn: &mut dyn FnMut(&str)) -> io::Result<bool> {
    let tables = fs::read(TABLES).unwrap_or_default();
    if !tables.split(|&byte| byte == b'\n').any(|name| name == b"filter") {
        return Ok(false);
    }
    let rules = legacy_firewall("filter")?;
    let name = with_end(bridge);
    let mut commands: Vec<[&str; 4]> = Vec::new();
    if !rules.windows(name.len()).any(|part| part == name) {
        commands.extend([["-I", "FORWARD", "-i", bridge], ["-I", "FORWARD", "-o", bridge]]);
    }
    let Some(program) = program() else {
        if !commands.is_empty() {
            warn(&missing(bridge));
        }
        return Ok(false);
    };
    for command in commands {
        call(&program, &[&command[..], &["-j", "ACCEPT"]].concat())?;
    }
    if close {
        call(&program, &["-P", "FORWARD", "DROP"])?;
    }
    Ok(true)
}

fn program() -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join("iptables-legacy")).find(|p| p.is_file())
}

fn call(program: &Path, words: &[&str]) -> io::Result<()> {
    // -w: others who change the rules are waited for.
    let done = Command::new(program).arg("-w").args(words).stdin(Stdio::null()).output()?;
    match done.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&done.stderr);
            Err(io::Error::other(format!("{}: {}", program.display(), said.trim())))
        }
    }
}

fn missing(bridge: &str) -> String {
    format!(
        "this host uses the older iptables, and iptables-legacy was not found: its FORWARD chain \
         may drop the container's packets (hint: `iptables -I FORWARD -i {bridge} -j ACCEPT`, \
         `iptables -I FORWARD -o {bridge} -j ACCEPT`)"
    )
}
