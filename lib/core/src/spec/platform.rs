//! Platforms: which machine an image runs on, and which image suits a machine.
//!
//! Names are normalised as containerd does (`x86_64` is `amd64`, `arm64` without variant is `v8`,
//! `arm` is `v7`); the choice among an index's entries follows containerd's and BuildKit's order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Descriptor;
use crate::error::{Error, Result};

/// Operating system, processor and its variant (image spec, image-index.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// Processor architecture in Go's names: `amd64`, `arm64`.
    #[serde(default, deserialize_with = "super::json::null_is_default")]
    pub architecture: String,
    /// Operating system in Go's names: `linux`, `windows`.
    #[serde(default, deserialize_with = "super::json::null_is_default")]
    pub os: String,
    /// Needed version of the operating system (Windows: `10.0.17763.1234`).
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Needed features of the operating system (`win32k`).
    #[serde(
        rename = "os.features",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "super::json::nulls_in_list"
    )]
    pub os_features: Vec<String>,
    /// Variant of the processor: `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Needed features of the processor.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "super::json::nulls_in_list"
    )]
    pub features: Vec<String>,
}

impl Platform {
    /// A platform from Go's names; variant defaults are filled in by [`Platform::normalized`].
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
        Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
            ..Platform::default()
        }
    }

    /// The machine this program was built for.
    pub fn host() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "arm" => "arm",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        Platform::new("linux", architecture, None).normalized()
    }

    /// Whether anything runs on it: BuildKit marks attestations `unknown/unknown`.
    pub fn is_known(&self) -> bool {
        self.os != "unknown" && self.architecture != "unknown"
    }

    /// With other projects' spellings replaced and the usual variants filled in or left out.
    pub fn normalized(&self) -> Platform {
        let mut out = self.clone();
        out.os = match out.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let variant = out.variant.as_deref().map(str::to_ascii_lowercase).filter(|v| !v.is_empty());
        let (architecture, variant) =
            normalize_architecture(&out.architecture.to_ascii_lowercase(), variant.as_deref());
        out.architecture = architecture;
        out.variant = variant;
        out
    }

    /// How well an image for `offered` runs here: 0 is exactly what was asked for, larger is
    /// worse, `None` not at all.
    ///
    /// arm runs lower variants and amd64 lower levels. `os.version` must agree up to the build
    /// number where both name one (Windows refuses other builds).
    pub fn accepts(&self, offered: &Platform) -> Option<u32> {
        let (wanted, offered) = (self.normalized(), offered.normalized());
        if wanted.os != offered.os || !os_version_fits(&wanted, &offered) {
            return None;
        }
        let distance = if wanted.architecture == offered.architecture {
            variant_distance(&wanted, &offered)?
        } else if (wanted.architecture.as_str(), offered.architecture.as_str()) == ("arm64", "arm")
        {
            // 64-bit ARM runs 32-bit images; any 64-bit image is better.
            100 + variant_distance(&Platform::new("linux", "arm", Some("v8")), &offered)?
        } else {
            return None;
        };
        // What needs a feature that is not known to be there does not run. Windows images name one
        // that every Windows has.
        let is_there =
            |feature: &String| feature == "win32k" || wanted.os_features.contains(feature);
        offered.os_features.iter().all(is_there).then_some(distance)
    }

    /// The entry of an index that suits this platform best; the first of equals.
    ///
    /// Entries without a platform come last, attestations never.
    pub fn choose<'a>(&self, entries: &'a [Descriptor]) -> Option<&'a Descriptor> {
        entries
            .iter()
            .filter(|entry| !entry.is_attestation())
            .filter_map(|entry| match &entry.platform {
                Some(platform) => Some((self.accepts(platform)?, entry)),
                None => Some((u32::MAX, entry)),
            })
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, entry)| entry)
    }
}

fn normalize_architecture(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let (architecture, variant) = match (architecture, variant) {
        ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386", None),
        ("x86_64" | "x86-64" | "amd64", Some("v1") | None) => ("amd64", None),
        ("x86_64" | "x86-64" | "amd64", Some(level)) => ("amd64", Some(level)),
        ("aarch64" | "arm64", Some("8" | "v8") | None) => ("arm64", None),
        ("aarch64" | "arm64", Some(variant)) => ("arm64", Some(variant)),
        ("armhf", _) => ("arm", Some("v7")),
        ("armel", _) => ("arm", Some("v6")),
        ("arm", None | Some("7")) => ("arm", Some("v7")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("arm", Some("6")) => ("arm", Some("v6")),
        ("arm", Some("8")) => ("arm", Some("v8")),
        other => other,
    };
    (architecture.to_owned(), variant.map(str::to_owned))
}

/// Distance between what is wanted and what is offered of one architecture.
fn variant_distance(wanted: &Platform, offered: &Platform) -> Option<u32> {
    if wanted.variant == offered.variant {
        return Some(0);
    }
    let ordered = match wanted.architecture.as_str() {
        "arm" | "amd64" | "arm64" => true,
        _ => return None,
    };
    let level = |platform: &Platform| -> Option<u32> {
        match (&platform.variant, platform.architecture.as_str()) {
            (Some(variant), "arm64") => {
                // v8.2, v9: whole part times ten plus the fraction.
                let (major, minor) = variant
                    .strip_prefix('v')?
                    .split_once('.')
                    .unwrap_or((variant.strip_prefix('v')?, "0"));
                Some(major.parse::<u32>().ok()?.checked_mul(10)?.checked_add(minor.parse().ok()?)?)
            }
            (Some(variant), _) => variant.strip_prefix('v')?.parse().ok(),
            (None, "arm64") => Some(80),
            (None, _) => Some(1),
        }
    };
    let (wanted, offered) = (level(wanted)?, level(offered)?);
    (ordered && offered <= wanted).then(|| wanted - offered)
}

/// `10.0.17763.1` runs on `10.0.17763.9`, not on `10.0.20348.1`.
fn os_version_fits(wanted: &Platform, offered: &Platform) -> bool {
    let build = |version: &str| version.split('.').take(3).map(str::to_owned).collect::<Vec<_>>();
    match (&wanted.os_version, &offered.os_version) {
        (Some(wanted), Some(offered)) => build(wanted) == build(offered),
        _ => true,
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if let Some(variant) = self.variant.as_deref().filter(|variant| !variant.is_empty()) {
            write!(f, "/{variant}")?;
        }
        match &self.os_version {
            Some(version) => write!(f, ":{version}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// `os/arch[/variant][:os.version]`; `arch` alone means Linux, `os` alone the host's processor,
    /// `local` this machine.
    fn from_str(text: &str) -> Result<Platform> {
        let bad = || {
            Error::usage(format!(
                "{text:?} is not a platform (expected os/arch[/variant], as linux/arm64)"
            ))
        };
        let (path, version) = match text.split_once(':') {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        };
        if !parts.iter().all(|part| word(part)) || version.is_some_and(str::is_empty) {
            return Err(bad());
        }
        let mut platform = match parts.as_slice() {
            ["local"] => Platform::host(),
            [os @ ("linux" | "windows" | "darwin" | "macos" | "freebsd")] => {
                Platform { os: (*os).to_owned(), ..Platform::host() }
            }
            [architecture] if is_architecture(architecture) => {
                Platform::new("linux", architecture, None)
            }
            [os, architecture] => Platform::new(os, architecture, None),
            [os, architecture, variant] => Platform::new(os, architecture, Some(variant)),
            _ => return Err(bad()),
        };
        platform.os_version = version.map(str::to_owned);
        Ok(platform.normalized())
    }
}

fn is_architecture(word: &str) -> bool {
    const KNOWN: &[&str] = &[
        "386", "amd64", "arm", "arm64", "armhf", "armel", "i386", "loong64", "mips64le", "ppc64le",
        "riscv64", "s390x", "aarch64", "x86_64", "wasm",
    ];
    KNOWN.contains(&word)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::spec::{Dialect, MediaType};

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    fn choice(wanted: &str, offered: &[&str]) -> Option<String> {
        let entries: Vec<Descriptor> = offered
            .iter()
            .map(|text| {
                let mut entry = Descriptor::of(MediaType::Manifest(Dialect::Oci), text.as_bytes());
                // Parts as written, not normalised: indexes hold other people's spellings.
                let mut parts = text.split('/');
                entry.platform = (*text != "none").then(|| {
                    Platform::new(parts.next().unwrap(), parts.next().unwrap(), parts.next())
                });
                entry
            })
            .collect();
        platform(wanted)
            .choose(&entries)
            .map(|entry| entry.platform.as_ref().map_or("none".to_owned(), Platform::to_string))
    }

    #[test]
    fn names_are_normalised() {
        for (given, normal) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("arm64", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("windows/amd64:10.0.17763.1", "windows/amd64:10.0.17763.1"),
            ("Linux/AMD64", "linux/amd64"),
        ] {
            assert_eq!(platform(given).to_string(), normal, "{given}");
        }
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/a b", "solaris9!", "linux/amd64:"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_best_entry_is_chosen() {
        let arm = ["linux/arm/v5", "linux/arm/v7", "linux/arm/v6", "linux/arm64/v8", "linux/amd64"];
        for (wanted, best) in [
            ("linux/arm/v7", Some("linux/arm/v7")),
            ("linux/arm/v6", Some("linux/arm/v6")),
            ("linux/arm/v8", Some("linux/arm/v7")),
            ("linux/arm64", Some("linux/arm64/v8")),
            ("linux/amd64", Some("linux/amd64")),
            ("linux/s390x", None),
        ] {
            assert_eq!(choice(wanted, &arm).as_deref(), best, "{wanted}");
        }
        assert_eq!(
            choice("linux/arm64", &["linux/arm/v6", "linux/arm/v7"]).as_deref(),
            Some("linux/arm/v7")
        );
        assert_eq!(
            choice("linux/amd64", &["linux/amd64/v3", "linux/amd64"]).as_deref(),
            Some("linux/amd64")
        );
        assert_eq!(
            choice("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2"]).as_deref(),
            Some("linux/amd64/v2")
        );
        assert_eq!(choice("linux/amd64", &["none", "linux/amd64"]).as_deref(), Some("linux/amd64"));
        assert_eq!(choice("linux/amd64", &["none"]).as_deref(), Some("none"));
    }

    #[test]
    fn unknown_features_of_the_system_are_passed_over() {
        let entry = |features: &[&str]| {
            let mut entry =
                Descriptor::of(MediaType::Manifest(Dialect::Oci), features.concat().as_bytes());
            entry.platform = Some(Platform {
                os_features: features.iter().map(ToString::to_string).collect(),
                ..platform("linux/amd64")
            });
            entry
        };
        let entries = [entry(&["erofs"]), entry(&[]), entry(&["later"])];
        assert_eq!(platform("linux/amd64").choose(&entries), Some(&entries[1]));
        assert_eq!(platform("linux/amd64").choose(&entries[2..]), None);
        let erofs = Platform { os_features: vec!["erofs".into()], ..platform("linux/amd64") };
        assert_eq!(erofs.choose(&entries[..1]), Some(&entries[0]));
        let windows = Platform { os_features: vec!["win32k".into()], ..platform("windows/amd64") };
        assert!(platform("windows/amd64").accepts(&windows).is_some());
    }

    #[test]
    fn windows_builds_must_agree() {
        let wanted = platform("windows/amd64:10.0.17763.1999");
        let offer = |version: &str| Platform {
            os_version: Some(version.into()),
            ..Platform::new("windows", "amd64", None)
        };
        assert!(wanted.accepts(&offer("10.0.17763.1")).is_some());
        assert!(wanted.accepts(&offer("10.0.20348.1")).is_none());
    }

    #[test]
    fn dotted_names_survive() {
        let text = r#"{"architecture":"amd64","os":"windows","os.version":"10.0.1","os.features":["win32k"]}"#;
        let read: Platform = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
