//! What every verb needs, made from the global options and the environment.

use std::path::PathBuf;

use creel::cli::{self, Surroundings};
use creel::config::{AuthFile, AuthFormat, ConfigPaths};
use creel::copy::{Remembered, Session};
use creel::error::Result;
use creel::progress::{Event, Listener};
use creel::spec::Platform;
use creel::store::{Store, UnpackSettings};
use creel::sys;
use creel::transport::{Places, PlacesOptions, SideOptions};

use crate::args::{BothArgs, Global, KeepArgs, SideArgs, WorkArgs};

/// The state of one run of the program.
pub struct Context {
    /// What was said for all verbs.
    pub global: Global,
    /// Where people keep their configuration.
    pub paths: ConfigPaths,
    /// Root of the local store.
    pub root: PathBuf,
    /// Told what happens.
    pub listener: Listener,
}

impl Context {
    /// Reads the environment.
    pub fn new(global: Global) -> Result<Context> {
        let found = Surroundings::read(
            global.root.clone(),
            global.registries_conf.clone(),
            global.policy.clone(),
        )?;
        let listener = cli::listener(global.progress, global.quiet);
        let listener = if global.debug { cli::with_requests(listener) } else { listener };
        let Surroundings { paths, root } = found;
        Ok(Context { global, paths, root, listener })
    }

    /// The places, as this run may reach them.
    pub fn places(&self, work: &WorkArgs) -> Result<Places> {
        self.places_that_keep(work, &KeepArgs::default())
    }

    /// The places; the store keeps of layers what was said.
    pub fn places_that_keep(&self, work: &WorkArgs, keep: &KeepArgs) -> Result<Places> {
        Places::new(PlacesOptions {
            store_root: self.root.clone(),
            scratch: self.global.tmpdir.clone(),
            paths: self.paths.clone(),
            obey_policy: !self.global.insecure_policy,
            retry_times: work.retry_times,
            retry_delay: work.retry_delay,
            stall: work.stall_timeout,
            upload_piece: work.upload_piece.map(|size| usize::try_from(size).unwrap_or(usize::MAX)),
            jobs: work.jobs,
            platform: self.global.platform().unwrap_or_else(Platform::host),
            listener: self.listener.clone(),
            store: self.global.store.options(),
            unpack: unpack_settings(keep),
        })
    }

    /// A job that moves as many blobs at a time as was said.
    pub fn session(&self, work: &WorkArgs) -> Session {
        let remembered = Remembered::new(Some(self.root.join("cache/recompressed")));
        let scratch = self.global.tmpdir.clone().unwrap_or_else(|| self.root.join("tmp"));
        Session::new(work.jobs, self.listener.clone(), remembered, &scratch)
    }

    /// What one side of a copy is told.
    pub fn side(&self, side: SideArgs, both: &BothArgs) -> Result<SideOptions> {
        let pair = side.username.as_deref().zip(side.password.as_deref());
        let (creds, token) = (side.creds.as_deref(), side.registry_token.as_deref());
        let credential = cli::given_credential(creds, pair, token, side.no_creds)?;
        let auth_file = side.authfile.clone().or_else(|| both.authfile.clone());
        Ok(SideOptions {
            credential,
            tls_verify: side.tls_verify.or(both.tls_verify),
            auth_file: auth_file.map(|path| AuthFile { path, format: AuthFormat::Containers }),
            cert_dir: side.cert_dir,
            token_servers: both.token_server.iter().cloned().chain(side.token_server).collect(),
            shared_blobs: side.shared_blob_dir,
            daemon_host: side.daemon_host.or_else(|| std::env::var("DOCKER_HOST").ok()),
        })
    }

    /// The local store.
    pub fn store(&self) -> Result<Store> {
        Store::open_with(&self.root, self.global.store.options())
    }

    /// A warning, in whatever way progress is shown.
    pub fn warn(&self, text: &str) {
        self.listener.event(Event::Warning(text.to_owned()));
    }

    /// A line for people, on stderr.
    pub fn say(&self, text: &str) {
        let for_programs = self.global.json || self.global.progress == cli::Style::Json;
        if !self.global.quiet && !for_programs {
            cli::say(text);
        }
    }
}

/// Owners cannot be kept by anybody but root: others unpack when the layers are needed.
fn unpack_settings(keep: &KeepArgs) -> Option<UnpackSettings> {
    let wanted = !keep.no_unpack && (keep.no_keep_blobs || sys::effective_uid() == 0);
    wanted.then(|| UnpackSettings { keep_blobs: !keep.no_keep_blobs, ..UnpackSettings::default() })
}
