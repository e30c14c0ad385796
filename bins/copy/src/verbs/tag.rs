//! `creel-copy tag IMAGE TAG…`.

use creel::error::{IoContext, Result};
use creel::spec::Reference;
use creel::transport::{Bare, Entry, InPath, Location, StoreName};

use crate::args::{BothArgs, Side, TagArgs};
use crate::context::Context;
use crate::render;

pub async fn run(context: &Context, args: TagArgs) -> Result<u8> {
    let places = context.places(&args.work)?;
    let at = places.locate(&args.image, Bare::Registry)?;
    let side = context.side(args.side.side(), &BothArgs::default())?;
    for tag in &args.tags {
        let to = renamed(&at, tag)?;
        let tagged = async {
            let source = places.source(&at, &side).await?;
            creel::copy::tag(&source, &places.sink(&to, &side)?).await
        };
        let digest = tagged.await.doing(|| format!("tagging {at} as {to}"))?;
        render::print(&format!("{digest} {to}\n"))?;
    }
    Ok(0)
}

/// The same place under another name.
fn renamed(at: &Location, tag: &str) -> Result<Location> {
    Ok(match at {
        Location::Registry(name) => Location::Registry(name.with_tag(tag)?),
        Location::Layout(place) => Location::Layout(InPath {
            path: place.path.clone(),
            entry: Entry::Named(tag.to_owned()),
        }),
        Location::Store(from) => Location::Store(StoreName::Named(match from {
            StoreName::Named(name) if !tag.contains(['/', ':']) && creel::spec::is_tag(tag) => {
                name.with_tag(tag)?
            }
            _ => Reference::parse(tag)?.with_default_tag(),
        })),
        other => {
            return Err(creel::Error::unsupported(format!(
                "images in {}: cannot be tagged; registries, oci: and store: can",
                other.kind()
            )));
        }
    })
}
