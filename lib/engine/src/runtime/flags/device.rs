//! Devices.

use std::path::PathBuf;

use super::{clean, invalid};
use crate::error::{Error, Result};
use crate::runtime::cdi::CdiName;
use crate::runtime::options::{DeviceRate, DeviceRequest, DeviceRule};

/// `/dev/x[:/dev/y][:rwm]`.
pub fn parse_device(text: &str) -> Result<DeviceRequest> {
    let bad = || invalid("device specification", text);
    let parts: Vec<&str> = text.split(':').collect();
    let (host, target, access) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, last] if !last.starts_with('/') => (*host, *host, *last),
        [host, target] => (*host, *target, "rwm"),
        [host, target, access] => (*host, *target, *access),
        _ => return Err(bad()),
    };
    if !is_access(access) {
        return Err(Error::usage(format!("bad mode specified: {access:?} in device {text:?}")));
    }
    if !host.starts_with('/') || !target.starts_with('/') || clean(target) == "/" {
        return Err(Error::usage(format!("bad format for path in device {text:?}")));
    }
    Ok(DeviceRequest {
        host: PathBuf::from(host),
        target: clean(target),
        access: access.to_owned(),
    })
}

/// Most graphics processors that can be asked for by number.
const MAX_GPUS: u32 = 256;

/// `--gpus`: `all`, a number, `device=0,GPU-…`, with Docker's `driver=nvidia`, `count=` and
/// `capabilities=` beside it. The devices' CDI names.
pub fn parse_gpus(text: &str) -> Result<Vec<CdiName>> {
    let bad = || Error::usage(format!("invalid value {text:?} for --gpus"));
    let named = |device: &str| CdiName::parse(&format!("nvidia.com/gpu={device}")).ok_or_else(bad);
    let counted = |number: &str| match number {
        "all" | "-1" => Ok(vec![named("all")?]),
        digits => {
            let count: u32 = digits.parse().map_err(|_| bad())?;
            match (1..=MAX_GPUS).contains(&count) {
                true => (0..count).map(|at| named(&at.to_string())).collect(),
                false => Err(bad()),
            }
        }
    };
    let mut found = Vec::new();
    let mut in_devices = false;
    // Docker wants quotes around lists of devices; a shell may have left them.
    for field in text.replace('"', "").split(',') {
        match field.split_once('=') {
            Some(("device", device)) => {
                in_devices = true;
                found.push(named(device)?);
            }
            Some(("count", number)) => found.extend(counted(number)?),
            Some(("driver", "nvidia") | ("capabilities", _)) => in_devices = false,
            None if in_devices => found.push(named(field)?),
            None if field != text => return Err(bad()),
            None => found.extend(counted(field)?),
            Some(_) => return Err(bad()),
        }
    }
    // A driver alone means one.
    match found.is_empty() {
        true => Ok(vec![named("0")?]),
        false => Ok(found),
    }
}

/// Some of the letters, none twice.
fn is_access(access: &str) -> bool {
    let known = access.bytes().all(|b| b"rwm".contains(&b));
    let once = |letter| access.matches(letter).count() <= 1;
    !access.is_empty() && known && once('r') && once('w') && once('m')
}

/// `c 42:* rmw`.
pub fn parse_device_rule(text: &str) -> Result<DeviceRule> {
    let bad = || Error::usage(format!("invalid device cgroup format {text:?}"));
    let parts: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, access] = parts.as_slice() else { return Err(bad()) };
    let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse::<u32>().map(|n| Some(i64::from(n))).map_err(|_| bad())
        }
        _ => Err(bad()),
    };
    let kind = match *kind {
        "a" => 'a',
        "b" => 'b',
        "c" => 'c',
        _ => return Err(bad()),
    };
    if !is_access(access) {
        return Err(bad());
    }
    let (major, minor) = (number(major)?, number(minor)?);
    Ok(DeviceRule { kind, major, minor, access: (*access).to_owned() })
}

/// `/dev/sda:1mb` (with `in_bytes`) or `/dev/sda:1000`.
pub fn parse_device_rate(text: &str, in_bytes: bool) -> Result<DeviceRate> {
    let bad = || Error::usage(format!("bad format: {text:?} (expected /dev/…:RATE)"));
    let (path, rate) = text.rsplit_once(':').ok_or_else(bad)?;
    if !path.starts_with("/dev/") {
        return Err(bad());
    }
    let rate = if in_bytes {
        super::parse_size(rate).map_err(|_| bad())?
    } else {
        rate.parse().map_err(|_| bad())?
    };
    Ok(DeviceRate { path: PathBuf::from(path), rate })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for (text, host, target, access) in [
            ("/dev/fuse", "/dev/fuse", "/dev/fuse", "rwm"),
            ("/dev/fuse:r", "/dev/fuse", "/dev/fuse", "r"),
            ("/dev/a:/dev/b", "/dev/a", "/dev/b", "rwm"),
            ("/dev/a:/dev/../x:mr", "/dev/a", "/x", "mr"),
        ] {
            let device = parse_device(text).unwrap();
            assert_eq!(device.host, PathBuf::from(host));
            assert_eq!((device.target.as_str(), device.access.as_str()), (target, access));
        }
        for bad in ["", "fuse", "/dev/a:/", "/dev/a:rx", "/dev/a:rr", "/dev/a::", "/a:/b:r:w"] {
            assert!(parse_device(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn gpus() {
        let of = |text: &str| {
            let names = parse_gpus(text).unwrap();
            names.iter().map(|name| name.device.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("all"), "all");
        assert_eq!(of("2"), "0 1");
        assert_eq!(of("device=0,GPU-3a,driver=nvidia"), "0 GPU-3a");
        assert_eq!(of("\"device=1\",capabilities=compute"), "1");
        assert_eq!(of("count=all"), "all");
        for bad in ["", "0", "x", "driver=amd", "device=", "1,2", "9999"] {
            assert!(parse_gpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rules() {
        let rule = parse_device_rule("c 42:* rmw").unwrap();
        assert_eq!((rule.kind, rule.major, rule.minor), ('c', Some(42), None));
        for bad in ["", "c 42:*", "d 1:1 r", "c 1 r", "c x:1 r", "c 1:1 q", "c -1:1 r", "c  1:1 r"]
        {
            assert!(parse_device_rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(parse_device_rate("/dev/sda:1mb", true).unwrap().rate, 1 << 20);
        assert_eq!(parse_device_rate("/dev/sda:1000", false).unwrap().rate, 1000);
        for bad in ["/dev/sda", "sda:1", "/dev/sda:x", "/dev/sda:-1"] {
            assert!(parse_device_rate(bad, false).is_err(), "{bad}");
        }
    }
}
