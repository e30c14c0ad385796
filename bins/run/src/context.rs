//! What every verb needs, made from the global options and the environment.

use std::path::{Path, PathBuf};

use creel::cli::{self, StoreArgs, Surroundings};
use creel::config::{AuthFile, AuthFormat, Choice, ConfigPaths};
use creel::copy::{Remembered, Session};
use creel::error::{Error, Result};
use creel::run::{Engine, Supply};
use creel::spec::Platform;
use creel::store::{Store, UnpackSettings};
use creel::sys;
use creel::transport::{Places, PlacesOptions, SideOptions};

use crate::args::{Global, ImageArgs};

/// Blobs on their way at the same time, and how often a failed request is made again: as
/// `creel-copy` does without being told.
const JOBS: usize = 6;
const RETRIES: u32 = 5;

/// The state of one run of the program.
pub struct Context {
    /// Root of the local store.
    pub root: PathBuf,
    /// Where people keep their configuration.
    pub paths: ConfigPaths,
    state: PathBuf,
    options: StoreArgs,
}

impl Context {
    /// Reads the environment.
    pub fn new(global: &Global) -> Result<Context> {
        let Surroundings { paths, root } = Surroundings::read(global.root.clone(), None, None)?;
        let state = match &global.state {
            Some(state) => state.clone(),
            None => default_state()?,
        };
        Ok(Context { root, paths, state, options: global.store })
    }

    /// How images get into the store.
    pub fn supply(&self, args: &ImageArgs) -> Result<Supply> {
        let choice = |file: &Option<PathBuf>, usual: &Choice| match file {
            Some(file) => Choice::Explicit(file.clone()),
            None => usual.clone(),
        };
        let paths = ConfigPaths {
            registries_conf: choice(&args.registries_conf, &self.paths.registries_conf),
            policy: choice(&args.policy, &self.paths.policy),
            ..self.paths.clone()
        };
        let listener = cli::listener(args.progress, args.quiet);
        let auth_file = args.authfile.clone();
        let remembered = Remembered::new(None);
        Ok(Supply {
            places: Places::new(PlacesOptions {
                store_root: self.root.clone(),
                scratch: None,
                paths,
                obey_policy: true,
                retry_times: args.retry.unwrap_or(RETRIES),
                retry_delay: args.retry_delay,
                stall: None,
                upload_piece: None,
                jobs: JOBS,
                platform: args.platform().unwrap_or_else(Platform::host),
                listener: listener.clone(),
                store: self.options.options(),
                unpack: Some(UnpackSettings::default()),
            })?,
            side: SideOptions {
                credential: cli::given_credential(args.creds.as_deref(), None, None, false)?,
                tls_verify: args.tls_verify,
                auth_file: auth_file.map(|path| AuthFile { path, format: AuthFormat::Containers }),
                cert_dir: args.cert_dir.clone(),
                daemon_host: std::env::var("DOCKER_HOST").ok(),
                ..SideOptions::default()
            },
            session: Session::new(JOBS, listener, remembered, &self.root.join("tmp")),
        })
    }

    /// The local store.
    pub fn store(&self) -> Result<Store> {
        Store::open_with(&self.root, self.options.options())
    }

    /// What containers are run with; `runtime` names the program.
    pub fn engine(&self, runtime: Option<&Path>) -> Result<Engine> {
        Ok(Engine {
            store: self.store()?,
            state: self.state.clone(),
            runtime: cli::runtime_program(runtime),
            runtime_env: cli::runtime_environment(),
            monitor: cli::monitor_program(),
        })
    }
}

fn default_state() -> Result<PathBuf> {
    if sys::effective_uid() == 0 {
        return Ok(PathBuf::from("/run/creel"));
    }
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    own.filter(|path| path.is_absolute()).map(|path| path.join("creel")).ok_or_else(|| {
        Error::usage("XDG_RUNTIME_DIR is not set: say where state belongs with --state")
    })
}
