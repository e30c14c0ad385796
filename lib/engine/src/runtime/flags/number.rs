//! Sizes, processors, process limits, signals.

use std::ops::RangeInclusive;

use super::invalid;
use crate::error::{Error, Result};
use crate::runtime::options::{LimitKind, Signal, UNLIMITED, Ulimit};

/// `64m`, `1.5g`, `512`: bytes, units of 1024.
pub fn parse_size(text: &str) -> Result<u64> {
    let bad = || invalid("size", text);
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.get(digits.len()..).unwrap_or_default().trim_start();
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(bad()),
    };
    if digits.starts_with('+') || digits.len() > 20 {
        return Err(bad());
    }
    if let Ok(whole) = digits.parse::<u64>() {
        return whole
            .checked_mul(1 << shift)
            .filter(|&bytes| i64::try_from(bytes).is_ok())
            .ok_or_else(bad);
    }
    if digits.contains(|c: char| !c.is_ascii_digit() && c != '.') {
        return Err(bad());
    }
    let value: f64 = digits.parse().map_err(|_| bad())?;
    let bytes = value * (1u64 << shift) as f64;
    if !(0.0..9.0e18).contains(&bytes) {
        return Err(bad());
    }
    Ok(bytes as u64)
}

/// A size, or `-1` for no limit.
pub fn parse_memory_swap(text: &str) -> Result<i64> {
    if text == "-1" {
        return Ok(-1);
    }
    // `parse_size` gives nothing that an `i64` cannot hold.
    parse_size(text).map(|bytes| bytes.cast_signed())
}

/// `0-3,5`: processors or memory nodes, as the kernel lists them. `None` for anything else.
pub fn parse_ranges(text: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(first..=last)
    };
    text.split(',').map(range).collect()
}

/// `1.5`: billionths of a processor.
pub fn parse_cpus(text: &str) -> Result<i64> {
    let bad = || invalid("number of processors", text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let odd = whole.len() + fraction.len() == 0 || whole.len() > 6 || fraction.len() > 9;
    if odd || !digits(whole) || !digits(fraction) {
        return Err(bad());
    }
    format!("{whole}{fraction:0<9}").parse().map_err(|_| bad())
}

/// `nofile=1024:2048`, `core=-1`.
pub fn parse_ulimit(text: &str) -> Result<Ulimit> {
    let bad = || invalid("ulimit argument", text);
    let (name, values) = text.split_once('=').ok_or_else(bad)?;
    let kind = LimitKind::from_name(name)
        .ok_or_else(|| Error::usage(format!("invalid ulimit type {name:?} in {text:?}")))?;
    let number = |value: &str| match value {
        "-1" | "unlimited" => Ok(UNLIMITED),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().map_err(|_| bad()),
        _ => Err(bad()),
    };
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(values)?, number(values)?),
    };
    if soft > hard {
        return Err(Error::usage(format!(
            "ulimit soft limit must be less than or equal to hard limit in {text:?}"
        )));
    }
    Ok(Ulimit { kind, soft, hard })
}

impl LimitKind {
    const NAMES: [(&'static str, LimitKind); 16] = [
        ("as", LimitKind::As),
        ("core", LimitKind::Core),
        ("cpu", LimitKind::Cpu),
        ("data", LimitKind::Data),
        ("fsize", LimitKind::Fsize),
        ("locks", LimitKind::Locks),
        ("memlock", LimitKind::Memlock),
        ("msgqueue", LimitKind::Msgqueue),
        ("nice", LimitKind::Nice),
        ("nofile", LimitKind::Nofile),
        ("nproc", LimitKind::Nproc),
        ("rss", LimitKind::Rss),
        ("rtprio", LimitKind::Rtprio),
        ("rttime", LimitKind::Rttime),
        ("sigpending", LimitKind::Sigpending),
        ("stack", LimitKind::Stack),
    ];

    /// The limit of Docker's name.
    pub fn from_name(name: &str) -> Option<LimitKind> {
        LimitKind::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// Docker's name.
    pub fn name(self) -> &'static str {
        LimitKind::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// Linux's numbers on the processors we run on (not MIPS, SPARC, Alpha or PA-RISC).
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// As containers' C libraries count them: two are the library's own.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
pub fn parse_signal(text: &str) -> Result<Signal> {
    let bad = || invalid("signal", text);
    if let Ok(number) = text.parse::<i32>() {
        return Some(Signal(number)).filter(|s| (1..=RTMAX).contains(&s.0)).ok_or_else(bad);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str| match rest {
        "" => Some(0),
        _ => rest.get(1..)?.parse::<i32>().ok(),
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        Some(rest)
            .filter(|r| r.is_empty() || r.starts_with('+'))
            .and_then(offset)
            .map(|n| RTMIN + n)
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        Some(rest)
            .filter(|r| r.is_empty() || r.starts_with('-'))
            .and_then(offset)
            .map(|n| RTMAX - n)
    } else {
        let name = match name {
            "POLL" => "IO",
            "IOT" => "ABRT",
            "CLD" => "CHLD",
            other => other,
        };
        SIGNALS.iter().position(|known| *known == name).map(|at| at as i32 + 1)
    };
    let fits = |n: &i32| (1..=RTMAX).contains(n) && (!name.starts_with("RT") || *n >= RTMIN);
    number.filter(fits).map(Signal).ok_or_else(bad)
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match usize::try_from(self.0 - 1).ok().and_then(|at| SIGNALS.get(at)) {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 >= RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        assert_eq!(parse_ranges("0-2,4").unwrap(), [0..=2, 4..=4]);
        for bad in ["", "x", "3-1", "1,", "-1", "0-", "99999999999"] {
            assert_eq!(parse_ranges(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("1.5g", 3 << 29),
            ("1 KiB", 1024),
            ("6291456", 6 << 20),
            ("32b", 32),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "m", "-1", "+1", "1x", "1mm", "nan", "1e3", "99999999p", "١", "1..5m"] {
            let error = parse_size(bad).unwrap_err();
            assert_eq!(error.chain(), format!("invalid size {bad:?}"));
        }
        assert_eq!(parse_memory_swap("-1").unwrap(), -1);
        assert_eq!(parse_memory_swap("1g").unwrap(), 1 << 30);
    }

    #[test]
    fn processors() {
        for (text, nano) in [
            ("1", 1_000_000_000),
            ("1.5", 1_500_000_000),
            (".5", 500_000_000),
            ("0.000000001", 1),
            ("2.", 2_000_000_000),
        ] {
            assert_eq!(parse_cpus(text).unwrap(), nano, "{text}");
        }
        for bad in ["", ".", "-1", "1.0000000001", "1/2", "9999999", "1e3"] {
            assert!(parse_cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits() {
        let limit = |text: &str| parse_ulimit(text).map(|l| (l.kind.name(), l.soft, l.hard));
        assert_eq!(limit("nofile=1024:2048").unwrap(), ("nofile", 1024, 2048));
        assert_eq!(limit("core=-1").unwrap(), ("core", UNLIMITED, UNLIMITED));
        assert_eq!(limit("nproc=3:-1").unwrap(), ("nproc", 3, UNLIMITED));
        for (bad, message) in [
            ("nofile", "invalid ulimit argument \"nofile\""),
            ("nofile=", "invalid ulimit argument \"nofile=\""),
            ("nofile=1:2:3", "invalid ulimit argument \"nofile=1:2:3\""),
            ("files=1", "invalid ulimit type \"files\" in \"files=1\""),
            (
                "nofile=2:1",
                "ulimit soft limit must be less than or equal to hard limit in \"nofile=2:1\"",
            ),
        ] {
            assert_eq!(parse_ulimit(bad).unwrap_err().chain(), message);
        }
    }

    #[test]
    fn signals() {
        for (text, number, name) in [
            ("TERM", 15, "SIGTERM"),
            ("sigkill", 9, "SIGKILL"),
            ("15", 15, "SIGTERM"),
            ("SIGRTMIN+3", 37, "SIGRTMIN+3"),
            ("RTMAX-14", 50, "SIGRTMIN+16"),
            ("RTMIN", 34, "SIGRTMIN+0"),
            ("31", 31, "SIGSYS"),
            ("33", 33, "33"),
        ] {
            let signal = parse_signal(text).unwrap();
            assert_eq!((signal.0, signal.to_string().as_str()), (number, name), "{text}");
        }
        for bad in ["", "0", "65", "-9", "SIG", "FOO", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMAX-31"]
        {
            assert!(parse_signal(bad).is_err(), "{bad}");
        }
    }
}
