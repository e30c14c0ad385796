//! One function per verb: options in, one call of the library, a report out.

use creel::cli::{self, Surroundings};
use creel::config::{AuthFile, AuthFormat};
use creel::error::{IoContext, Result};
use creel::inspect;
use creel::spec::Platform;
use creel::store::Store;
use creel::transport::{
    AnySource, Bare, Location, Places, PlacesOptions, SideOptions, Source, StoreName,
};

use crate::args::{Global, ImageArgs, OneArgs, TreeArgs};
use crate::render;

/// Blobs asked for at the same time; nothing here asks for many.
const JOBS: usize = 4;

/// Where an image was found.
struct Found {
    at: Location,
    source: AnySource,
}

pub async fn image(global: &Global, args: ImageArgs) -> Result<u8> {
    let platform = args.one.platform.clone().unwrap_or_else(Platform::host);
    let found = find(global, &args.one.image, &platform).await?;
    let doing = || format!("inspecting {}", found.at);
    if args.raw && !args.config {
        let root = found.source.read_root().await.doing(doing)?;
        // Without a platform, what the name stands for; with one, that image.
        let manifest = match args.one.platform {
            Some(_) => inspect::choose(&found.source, &root, &platform).await.doing(doing)?,
            None => root,
        };
        return render::bytes(manifest.raw()).map(|()| 0);
    }
    if args.config {
        let read = async {
            let root = found.source.read_root().await?;
            let chosen = inspect::choose(&found.source, &root, &platform).await?;
            inspect::image(&found.source, chosen).await
        };
        let image = read.await.doing(doing)?;
        match args.raw {
            true => render::bytes(image.config().raw())?,
            false => render::json(image.config().document())?,
        }
        return Ok(0);
    }
    let summary = inspect::summary(&found.source, &platform).await.doing(doing)?;
    match global.json {
        true => render::json(&render::Named { name: found.at.to_string(), report: &summary })?,
        false => render::text(&render::summary(&found.at.to_string(), &summary))?,
    }
    Ok(0)
}

pub async fn layers(global: &Global, args: OneArgs) -> Result<u8> {
    let image = one(global, &args).await?;
    match global.json {
        true => render::json(&image.layers)?,
        false => render::text(&render::layers(&image))?,
    }
    Ok(0)
}

pub async fn history(global: &Global, args: OneArgs) -> Result<u8> {
    let image = one(global, &args).await?;
    match global.json {
        true => render::json(&image.history)?,
        false => render::text(&render::history(&image))?,
    }
    Ok(0)
}

pub async fn tree(global: &Global, args: TreeArgs) -> Result<u8> {
    let found = find(global, &args.image, &Platform::host()).await?;
    let tree = inspect::tree(&found.source, args.referrers).await;
    let tree = tree.doing(|| format!("inspecting {}", found.at))?;
    match global.json {
        true => render::json(&tree)?,
        false => render::text(&render::tree(&tree))?,
    }
    Ok(0)
}

pub fn images(global: &Global) -> Result<u8> {
    let images = Store::open(&surroundings(global)?.root)?.images()?;
    match global.json {
        true => render::json(&images)?,
        false => render::text(&render::images(&images))?,
    }
    Ok(0)
}

async fn one(global: &Global, args: &OneArgs) -> Result<inspect::ImageSummary> {
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let found = find(global, &args.image, &platform).await?;
    let summary = inspect::summary(&found.source, &platform).await;
    let summary = summary.doing(|| format!("inspecting {}", found.at))?;
    summary.image.ok_or_else(|| {
        creel::Error::unsupported(format!("{} is an artifact and has no layers of files", found.at))
    })
}

fn surroundings(global: &Global) -> Result<Surroundings> {
    Surroundings::read(global.root.clone(), global.registries_conf.clone(), global.policy.clone())
}

/// Opens the place that was named; a bare name is looked up in the store first.
async fn find(global: &Global, name: &str, platform: &Platform) -> Result<Found> {
    let Surroundings { paths, root } = surroundings(global)?;
    let places = Places::new(PlacesOptions {
        store_root: root,
        scratch: None,
        paths,
        obey_policy: !global.insecure_policy,
        retry_times: global.retry_times,
        retry_delay: None,
        jobs: JOBS,
        platform: platform.clone(),
        listener: cli::listener(cli::Style::None, false),
    })?;
    let side = SideOptions {
        credential: cli::given_credential(global.creds.as_deref(), None, None, global.no_creds)?,
        tls_verify: global.tls_verify,
        auth_file: global
            .authfile
            .clone()
            .map(|path| AuthFile { path, format: AuthFormat::Containers }),
        cert_dir: global.cert_dir.clone(),
        daemon_host: std::env::var("DOCKER_HOST").ok(),
    };
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
