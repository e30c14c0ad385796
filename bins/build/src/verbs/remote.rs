//! Places elsewhere: how they are reached, and `creel-build push`.

use std::collections::BTreeSet;
use std::ffi::OsString;

use creel::build::Remote;
use creel::build::deliver::deliver;
use creel::build::fetch::{GitSettings, MAX_FETCH};
use creel::cli::{self, Surroundings};
use creel::config::{AuthFile, AuthFormat};
use creel::error::{Error, IoContext, Result};
use creel::spec::{Compression, Platform, Reference};
use creel::store::Store;
use creel::transport::{Bare, Location, Places, PlacesOptions, SideOptions, StoreName};

use crate::args::{AccessArgs, FetchArgs, Global, Packing, PushArgs};
use crate::{front, render};

/// Blobs on their way at the same time.
const JOBS: usize = 6;
/// How often what failed for a passing reason is tried again.
const RETRIES: u32 = 3;

/// How places elsewhere are reached. `named` are the registries that the person named, the only
/// ones that `--creds` are sent to.
pub(crate) fn remote(
    global: &Global,
    access: &AccessArgs,
    platform: Platform,
    found: Surroundings,
    named: BTreeSet<String>,
) -> Result<Remote> {
    if access.creds.is_some() && named.is_empty() {
        return Err(Error::usage(
            "--creds: no registry is named on the command line, and registries that only a \
             Dockerfile names do not get them (name one with -t, or use creel-copy login)",
        ));
    }
    let listener = cli::listener(global.progress, global.quiet);
    let Surroundings { paths, root } = found;
    let auth_file = access.authfile.clone();
    let side = SideOptions {
        credential: cli::given_credential(access.creds.as_deref(), None, None, false)?,
        tls_verify: access.tls_verify,
        auth_file: auth_file.map(|path| AuthFile { path, format: AuthFormat::Containers }),
        cert_dir: access.cert_dir.clone(),
        daemon_host: std::env::var("DOCKER_HOST").ok(),
        ..SideOptions::default()
    };
    let (heard, options) = (listener.clone(), global.store.options());
    let retry_times = access.retry.unwrap_or(RETRIES);
    let places = move || {
        Places::new(PlacesOptions {
            store_root: root.clone(),
            store: options.clone(),
            unpack: None,
            scratch: None,
            paths: paths.clone(),
            obey_policy: true,
            retry_times,
            retry_delay: None,
            stall: None,
            upload_piece: None,
            jobs: JOBS,
            platform: platform.clone(),
            listener: heard.clone(),
        })
    };
    Ok(Remote {
        places: Box::new(places),
        side,
        credential_for: named,
        jobs: JOBS,
        listener,
        git: git(),
        max_fetch: MAX_FETCH,
    })
}

/// The same, with a bound of a person's on what is fetched.
pub(crate) fn bounded(remote: Remote, args: &FetchArgs) -> Remote {
    Remote { max_fetch: args.max_fetch.unwrap_or(remote.max_fetch), ..remote }
}

/// Variables that git needs to reach others, if they are set; nothing else of the environment.
const GIT_VARIABLES: [&str; 11] = [
    "PATH",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "GIT_SSL_CAINFO",
    "GIT_EXEC_PATH",
];

/// The git program.
fn git() -> GitSettings {
    let set = GIT_VARIABLES.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    let mut env: Vec<(OsString, OsString)> = set.collect();
    // What other programs trust, git shall too.
    if let Some(bundle) = std::env::var_os("SSL_CERT_FILE")
        && !env.iter().any(|(name, _)| name == "GIT_SSL_CAINFO")
    {
        env.push(("GIT_SSL_CAINFO".into(), bundle));
    }
    GitSettings { program: "git".into(), env }
}

/// The reference in a name of the store.
pub(crate) fn reference(name: &StoreName) -> Option<&Reference> {
    match name {
        StoreName::Named(reference) => Some(reference),
        StoreName::Digest(_) => None,
    }
}

/// A name as a place in a registry.
pub(crate) fn registry(name: &str) -> Result<Location> {
    Ok(Location::Registry(Reference::parse(name)?.with_default_tag()))
}

/// The registry of a place, if it is in one.
pub(crate) fn registry_of(place: &Location) -> Option<String> {
    match place {
        Location::Registry(name) => Some(name.registry().to_owned()),
        _ => None,
    }
}

/// A compression in the library's words.
pub(crate) fn compression(packing: Packing) -> Compression {
    match packing {
        Packing::None => Compression::None,
        Packing::Gzip => Compression::Gzip,
        Packing::Zstd => Compression::Zstd,
    }
}

/// `creel-build push NAME [DST]`.
pub(crate) fn push(global: &Global, args: &PushArgs) -> Result<u8> {
    let found = front::surroundings(global)?;
    let store = Store::open_with(&found.root, global.store.options())?;
    let to = match (&args.destination, &args.name) {
        (Some(text), _) => Location::parse(text, Bare::RegistryIfNamed)?,
        (None, StoreName::Named(name)) => Location::Registry(name.clone()),
        (None, StoreName::Digest(_)) => {
            return Err(Error::usage("a digest does not say where to push: name a destination"));
        }
    };
    let named = registry_of(&to).into_iter().collect();
    let remote = remote(global, &args.access, Platform::host(), found, named)?;
    let packing = args.compression.map(compression);
    let digest = deliver(&store, &remote, &args.name, &to, packing)?;
    if let Some(path) = &args.digestfile {
        let writing = || format!("writing {}", path.display());
        std::fs::write(path, digest.to_string()).doing(writing)?;
    }
    render::print(&format!("{digest}\n")).map(|()| 0)
}
