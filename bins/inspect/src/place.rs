//! Where the images are that were named, and how their layers are read.

use std::path::PathBuf;

use creel::cli::{self, Surroundings};
use creel::config::{AuthFile, AuthFormat};
use creel::error::{IoContext, Result};
use creel::inspect;
use creel::inspect::files::{IndexOptions, Room};
use creel::spec::{Image, Manifest, Platform};
use creel::store::OpenOptions;
use creel::transport::{
    AnySource, Bare, Location, Places, PlacesOptions, SideOptions, Source, StoreName,
};

use crate::args::{Global, OneArgs};

/// Blobs asked for at the same time.
const JOBS: usize = 4;

/// Where an image was found.
pub struct Found {
    pub at: Location,
    pub source: AnySource,
}

/// One image with its config.
pub struct FoundImage {
    pub found: Found,
    /// What the name stands for.
    pub root: Manifest,
    pub image: Image,
}

pub fn surroundings(global: &Global) -> Result<Surroundings> {
    Surroundings::read(global.root.clone(), global.registries_conf.clone(), global.policy.clone())
}

/// How layers are looked at; with `digests`, so that contents can be compared.
pub fn index_options(global: &Global, digests: bool) -> Result<IndexOptions> {
    let kept = surroundings(global)?.root.join("cache/layers");
    let room = Room::new(global.list_memory.saturating_mul(1 << 20));
    Ok(IndexOptions { keep_in: Some(kept), jobs: JOBS, digests, room })
}

/// The places, as this run may reach them.
pub fn places(global: &Global, platform: &Platform) -> Result<Places> {
    let Surroundings { paths, root } = surroundings(global)?;
    let listener = cli::listener(cli::Style::None, false);
    let listener = if global.skopeo.debug { cli::with_requests(listener) } else { listener };
    Places::new(PlacesOptions {
        store_root: root,
        scratch: global.skopeo.tmpdir.clone(),
        paths,
        obey_policy: !global.insecure_policy,
        retry_times: global.retry_times,
        retry_delay: global.skopeo.retry_delay,
        stall: None,
        upload_piece: None,
        jobs: JOBS,
        platform: platform.clone(),
        listener,
        store: OpenOptions { read_only: true, ..OpenOptions::default() },
        unpack: None,
    })
}

/// What was said about credentials and certificates.
pub fn side(global: &Global) -> Result<SideOptions> {
    let skopeo = &global.skopeo;
    let (creds, token) = (global.creds.as_deref(), skopeo.registry_token.as_deref());
    Ok(SideOptions {
        credential: cli::given_credential(creds, skopeo.login(), token, global.no_creds)?,
        tls_verify: global.tls_verify,
        auth_file: global
            .authfile
            .clone()
            .map(|path| AuthFile { path, format: AuthFormat::Containers }),
        cert_dir: global.cert_dir.clone(),
        daemon_host: skopeo.daemon_host.clone().or_else(|| std::env::var("DOCKER_HOST").ok()),
        shared_blobs: skopeo.shared_blob_dir.clone(),
        ..SideOptions::default()
    })
}

/// Opens the place that was named; a bare name is looked up in the store first.
pub async fn find(global: &Global, name: &str, platform: &Platform) -> Result<Found> {
    let places = places(global, platform)?;
    let side = side(global)?;
    let at = places.locate(name, Bare::Registry)?;
    let at = match StoreName::parse(name) {
        Ok(stored) if !name.contains("://") && places.store()?.resolve(&stored)?.is_some() => {
            Location::Store(stored)
        }
        _ => at,
    };
    let source = places.source(&at, &side).await.doing(|| format!("opening {at}"))?;
    Ok(Found { at, source })
}

/// Finds an image for the platform that was asked for, or this machine's.
pub async fn find_image(global: &Global, args: &OneArgs) -> Result<FoundImage> {
    let platform = global.skopeo.platform(args.platform.as_ref());
    let found = find(global, &args.image, &platform).await?;
    let read = async {
        let root = found.source.read_root().await?;
        let chosen = inspect::choose(&found.source, &root, &platform).await?;
        let image = inspect::image(&found.source, chosen).await?;
        Ok::<_, creel::Error>((root, image))
    };
    let (root, image) = read.await.doing(|| format!("inspecting {}", found.at))?;
    Ok(FoundImage { found, root, image })
}

/// Where large temporary files lie.
pub fn scratch(global: &Global) -> Result<Option<PathBuf>> {
    match &global.skopeo.tmpdir {
        Some(dir) => Ok(Some(dir.clone())),
        None => Ok(Some(surroundings(global)?.root.join("cache/scratch"))),
    }
}
