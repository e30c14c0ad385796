//! Flags of skopeo that mean nothing here, or that cannot be honoured: taken in silence where the
//! result is the same, with a warning where the flag changes nothing, and refused where a script
//! counts on what it asks for.

use std::path::PathBuf;

use clap::Args;
use creel::error::{Error, Result};
use creel::spec::Compression;
use creel::transport::Location;

use crate::args::{ChangeArgs, Format, Global};
use crate::context::Context;

/// Flags of `skopeo copy` and `skopeo sync`.
#[derive(Args, Default)]
pub struct PeerArgs {
    /// Taken for skopeo's scripts: encryption is refused.
    #[arg(long, hide = true, value_name = "KEY")]
    pub encryption_key: Vec<String>,
    /// Taken for skopeo's scripts: encryption is refused.
    #[arg(long, hide = true, value_name = "N", allow_hyphen_values = true)]
    pub encrypt_layer: Vec<String>,
    /// Taken for skopeo's scripts: decryption is refused.
    #[arg(long, hide = true, value_name = "KEY")]
    pub decryption_key: Vec<String>,
    /// Taken for skopeo's scripts: signing is refused.
    #[arg(long, hide = true, value_name = "KEY")]
    pub sign_by: Option<String>,
    /// Taken for skopeo's scripts: signing is refused.
    #[arg(long, hide = true, value_name = "FILE")]
    pub sign_by_sigstore: Option<String>,
    /// Taken for skopeo's scripts: signing is refused.
    #[arg(long, hide = true, value_name = "FILE")]
    pub sign_by_sigstore_private_key: Option<String>,
    /// Taken for skopeo's scripts: signing is refused.
    #[arg(long, hide = true, value_name = "FINGERPRINT")]
    pub sign_by_sq_fingerprint: Option<String>,
    /// Taken for skopeo's scripts: signing is refused.
    #[arg(long, hide = true, value_name = "FILE")]
    pub sign_passphrase_file: Option<String>,
    /// Taken for skopeo's scripts: signing is refused.
    #[arg(long, hide = true, value_name = "NAME")]
    pub sign_identity: Option<String>,
    /// Compress uncompressed layers that go into dir:.
    #[arg(long, hide = true, conflicts_with = "dest_decompress")]
    pub dest_compress: bool,
    /// Decompress layers that go into dir:.
    #[arg(long, hide = true)]
    pub dest_decompress: bool,
    /// Taken for skopeo's scripts: layouts always take uncompressed layers.
    #[arg(long, hide = true)]
    pub dest_oci_accept_uncompressed_layers: bool,
    /// Taken for skopeo's scripts: nothing is uploaded twice.
    #[arg(long, hide = true)]
    pub dest_precompute_digests: bool,
}

/// Flags of all verbs of skopeo.
#[derive(Args, Default)]
pub struct GlobalPeerArgs {
    /// Taken for skopeo's scripts: refused.
    #[arg(long, global = true, hide = true)]
    pub require_signed: bool,
    /// Taken for skopeo's scripts: signatures are not looked up.
    #[arg(long = "registries.d", global = true, hide = true, value_name = "DIR")]
    pub registries_d: Option<PathBuf>,
    /// Taken for skopeo's scripts: refused.
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    pub tls_details: Option<PathBuf>,
    /// Taken for skopeo's scripts: has no effect.
    #[arg(long, global = true, hide = true, value_name = "TEXT")]
    pub user_agent_prefix: Option<String>,
}

impl GlobalPeerArgs {
    /// Refuses and warns.
    pub fn check(&self, context: &Context) -> Result<()> {
        if self.require_signed {
            return Err(refused("require-signed", "signatures cannot be verified yet"));
        }
        if self.tls_details.is_some() {
            let why = "TLS versions and ciphers cannot be chosen: 1.2 and 1.3 are used";
            return Err(refused("tls-details", why));
        }
        if self.registries_d.is_some() {
            context.warn("--registries.d has no effect: signatures are not looked up");
        }
        if self.user_agent_prefix.is_some() {
            context.warn("--user-agent-prefix has no effect");
        }
        Ok(())
    }
}

impl PeerArgs {
    /// Refuses and warns, and turns what `dir:` is to hold into `change`.
    pub fn apply(&self, context: &Context, to: &Location, change: &mut ChangeArgs) -> Result<()> {
        self.refuse(change)?;
        if change.compression.is_none()
            && (change.recompress || change.dest_compress_level.is_some())
        {
            context.warn("compression options have no effect without --compression");
        }
        let (flag, compression) = match (self.dest_compress, self.dest_decompress) {
            (true, _) => ("dest-compress", Compression::Gzip),
            (_, true) => ("dest-decompress", Compression::None),
            _ => return Ok(()),
        };
        match to {
            Location::Directory(_) => change.compression = Some((compression, None)),
            _ => context.warn(&format!(
                "--{flag} has no effect: it is for dir: alone (use --compression elsewhere)"
            )),
        }
        Ok(())
    }

    /// Refuses what cannot be done.
    pub fn refuse(&self, change: &ChangeArgs) -> Result<()> {
        if matches!(change.format, Some(Format::V2s1)) {
            return Err(refused("format", "schema 1 (v2s1) is read but not written: use docker"));
        }
        let signing = "signing is not supported: sign with cosign or notation after the copy";
        let encryption = "encrypted images are not supported";
        let given = [
            ("encryption-key", !self.encryption_key.is_empty(), encryption),
            ("encrypt-layer", !self.encrypt_layer.is_empty(), encryption),
            ("decryption-key", !self.decryption_key.is_empty(), encryption),
            ("sign-by", self.sign_by.is_some(), signing),
            ("sign-by-sigstore", self.sign_by_sigstore.is_some(), signing),
            ("sign-by-sigstore-private-key", self.sign_by_sigstore_private_key.is_some(), signing),
            ("sign-by-sq-fingerprint", self.sign_by_sq_fingerprint.is_some(), signing),
            ("sign-passphrase-file", self.sign_passphrase_file.is_some(), signing),
            ("sign-identity", self.sign_identity.is_some(), signing),
        ];
        match given.into_iter().find(|(_, is_given, _)| *is_given) {
            Some((flag, _, why)) => Err(refused(flag, why)),
            None => Ok(()),
        }
    }
}

fn refused(flag: &str, why: &str) -> Error {
    Error::usage(format!("--{flag}: {why}"))
}

/// Words of skopeo's global `--tls-verify`, which stands before the verb, put behind it.
pub fn with_tls_verify_last(words: &mut Vec<std::ffi::OsString>) {
    let is_flag = |word: &std::ffi::OsString| {
        let word = word.to_string_lossy();
        word == "--tls-verify" || word.starts_with("--tls-verify=")
    };
    let leading = words.iter().skip(1).take_while(|word| word.to_string_lossy().starts_with('-'));
    let count = leading.count();
    let Some(at) = words.iter().skip(1).take(count).position(is_flag) else { return };
    let flag = words.remove(at + 1);
    let is_before_dashes = words.iter().skip(1).take_while(|word| *word != "--").count();
    words.insert(1 + is_before_dashes, flag);
}

impl Global {
    /// A check of what was said for all verbs.
    pub fn check(&self, context: &Context) -> Result<()> {
        self.peer.check(context)
    }
}
