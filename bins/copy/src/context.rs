//! What every verb needs, made from the global options and the environment (which is read here
//! and nowhere else).

use std::path::PathBuf;

use creel::cli;
use creel::config::{AuthFile, AuthFormat, Choice, ConfigPaths, Credential, Secret};
use creel::copy::{Remembered, Session};
use creel::error::{Error, Result};
use creel::progress::Listener;
use creel::spec::Platform;
use creel::store::Store;
use creel::transport::{Places, PlacesOptions, SideOptions};

use crate::args::{BothArgs, Global, SideArgs, WorkArgs};

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
        let lookup = |name: &str| std::env::var_os(name);
        let uid = creel::sys::effective_uid();
        let mut paths = ConfigPaths::from_environment(&lookup, uid);
        // Not from the variable: each verb has its own --authfile, which clap fills from it.
        paths.auth_file = None;
        if let Some(file) = &global.registries_conf {
            paths.registries_conf = Choice::Explicit(file.clone());
        }
        if let Some(file) = &global.policy {
            paths.policy = Choice::Explicit(file.clone());
        }
        let root = match &global.root {
            Some(root) => root.clone(),
            None => cli::default_root(&lookup, uid)?,
        };
        let listener = cli::listener(global.progress, global.quiet);
        Ok(Context { global, paths, root, listener })
    }

    /// The places, as this run may reach them.
    pub fn places(&self, work: &WorkArgs) -> Result<Places> {
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
        let auth_file = side.authfile.clone().or_else(|| both.authfile.clone());
        Ok(SideOptions {
            credential: credential(&side)?,
            tls_verify: side.tls_verify.or(both.tls_verify),
            auth_file: auth_file.map(|path| AuthFile { path, format: AuthFormat::Containers }),
            cert_dir: side.cert_dir,
            daemon_host: side.daemon_host.or_else(|| std::env::var("DOCKER_HOST").ok()),
        })
    }

    /// The local store.
    pub fn store(&self) -> Result<Store> {
        Store::open(&self.root)
    }

    /// A line for people, on stderr.
    pub fn say(&self, text: &str) {
        if !self.global.quiet && !self.global.json {
            cli::say(text);
        }
    }
}

/// The credential that the flags give, if they give one.
fn credential(side: &SideArgs) -> Result<Option<Credential>> {
    let given = [
        side.creds.is_some(),
        side.username.is_some(),
        side.registry_token.is_some(),
        side.no_creds,
    ];
    if given.iter().filter(|given| **given).count() > 1 {
        return Err(Error::usage(
            "give credentials in one way only: creds, username, registry-token or no-creds",
        ));
    }
    if side.no_creds {
        return Ok(Some(Credential::Anonymous));
    }
    if let Some(token) = &side.registry_token {
        return Ok(Some(Credential::RegistryToken(Secret::new(token.as_str()))));
    }
    if let (Some(user), Some(password)) = (&side.username, &side.password) {
        return Ok(Some(Credential::from_login(user.clone(), Secret::new(password.as_str()))));
    }
    match side.creds.as_deref().map(|creds| creds.split_once(':').unwrap_or((creds, ""))) {
        Some(("", _)) => {
            Err(Error::usage("the credentials have no user name (expected USER[:PASSWORD])"))
        }
        Some((user, password)) => {
            Ok(Some(Credential::from_login(user.to_owned(), Secret::new(password))))
        }
        None => Ok(None),
    }
}
