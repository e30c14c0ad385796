//! Flags of skopeo that its scripts give, and what becomes of each.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use creel::cli;
use creel::error::{Error, ErrorKind, Result};
use creel::spec::{Platform, parse_duration};

/// Flags in skopeo's words.
#[derive(Args)]
#[command(next_help_heading = "Options of skopeo")]
pub struct SkopeoArgs {
    /// User name, with --password.
    #[arg(long, global = true, value_name = "NAME", hide = true)]
    pub username: Option<String>,
    /// Password, with --username.
    #[arg(long, global = true, value_name = "PASSWORD", hide = true)]
    pub password: Option<String>,
    /// Bearer token to send as it is.
    #[arg(long, global = true, value_name = "TOKEN", hide = true)]
    pub registry_token: Option<String>,
    /// Docker engine for docker-daemon: [default: $DOCKER_HOST].
    #[arg(long, global = true, value_name = "URL", hide = true)]
    pub daemon_host: Option<String>,
    /// Directory of blobs that oci: layouts share.
    #[arg(long, global = true, value_name = "DIR", hide = true)]
    pub shared_blob_dir: Option<PathBuf>,
    /// Time between tries [default: grows, and obeys Retry-After].
    #[arg(long, global = true, value_name = "TIME", value_parser = duration, hide = true)]
    pub retry_delay: Option<Duration>,
    /// Give up after this time (30s, 10m, 1h30m).
    #[arg(long, global = true, value_name = "TIME", value_parser = duration, hide = true)]
    pub command_timeout: Option<Duration>,
    /// Log every registry request and its response status.
    #[arg(long, global = true, hide = true)]
    pub debug: bool,
    /// Choose images for this operating system.
    #[arg(long, global = true, value_name = "OS", hide = true)]
    pub override_os: Option<String>,
    /// Choose images for this processor.
    #[arg(long, global = true, value_name = "ARCH", hide = true)]
    pub override_arch: Option<String>,
    /// Choose images for this variant of the processor.
    #[arg(long, global = true, value_name = "VARIANT", hide = true)]
    pub override_variant: Option<String>,
    /// Directory for large temporary files [default: below the store].
    #[arg(long, global = true, value_name = "DIR", hide = true)]
    pub tmpdir: Option<PathBuf>,
    /// Ignored with a warning: signatures are not looked up.
    #[arg(long = "registries.d", global = true, value_name = "DIR", hide = true)]
    registries_d: Option<PathBuf>,
    /// Ignored with a warning.
    #[arg(long, global = true, value_name = "TEXT", hide = true)]
    user_agent_prefix: Option<String>,
    /// Refused: signatures are not verified.
    #[arg(long, global = true, hide = true)]
    require_signed: bool,
    /// Refused: TLS versions and ciphers cannot be chosen.
    #[arg(long, global = true, value_name = "FILE", hide = true)]
    tls_details: Option<PathBuf>,
}

impl SkopeoArgs {
    /// Refuses what cannot be obeyed, and warns of what is ignored.
    pub fn check(&self) -> Result<()> {
        if self.require_signed {
            let what = "--require-signed: signatures are not verified, so the image is refused";
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        if self.tls_details.is_some() {
            let what = "--tls-details: TLS versions and ciphers cannot be chosen";
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        if self.password.is_some() && self.username.is_none() {
            return Err(Error::usage("--password needs --username"));
        }
        if self.registries_d.is_some() {
            cli::say("warning: --registries.d is ignored: signatures are not looked up");
        }
        if self.user_agent_prefix.is_some() {
            cli::say("warning: --user-agent-prefix is ignored");
        }
        Ok(())
    }

    /// The user and password that were given.
    pub fn login(&self) -> Option<(&str, &str)> {
        let user = self.username.as_deref()?;
        Some((user, self.password.as_deref().unwrap_or_default()))
    }

    /// The platform that was asked for: by itself, by the `--override-…` flags, or this machine's.
    pub fn platform(&self, given: Option<&Platform>) -> Platform {
        self.asked_platform(given).unwrap_or_else(Platform::host)
    }

    /// The platform that was asked for, if any.
    pub fn asked_platform(&self, given: Option<&Platform>) -> Option<Platform> {
        if let Some(platform) = given {
            return Some(platform.clone());
        }
        let parts = [&self.override_os, &self.override_arch, &self.override_variant];
        if parts.iter().all(|part| part.is_none()) {
            return None;
        }
        let host = Platform::host();
        let platform = Platform {
            os: self.override_os.clone().unwrap_or(host.os),
            architecture: self.override_arch.clone().unwrap_or(host.architecture),
            variant: self.override_variant.clone(),
            ..Platform::default()
        };
        Some(platform.normalized())
    }
}

/// A time as Go reads it; digits alone are seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let nanoseconds = match text.parse::<u64>() {
        Ok(seconds) => seconds.checked_mul(1_000_000_000),
        Err(_) => parse_duration(text).and_then(|n| u64::try_from(n).ok()),
    };
    nanoseconds
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("invalid time {text:?}: expected a form like 30s, 10m or 1h30m"))
}
