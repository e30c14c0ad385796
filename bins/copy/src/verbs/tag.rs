//! `creel-copy tag IMAGE TAG…`.

use std::sync::Arc;

use creel::copy::{CopyOptions, Selection};
use creel::error::{IoContext, Result};
use creel::spec::Reference;
use creel::transport::{Bare, Entry, InPath, Location, Sink, StoreName};

use crate::args::{BothArgs, Side, TagArgs};
use crate::context::Context;
use crate::render;

/// A tag is a copy inside one place: nothing moves but the name.
pub async fn run(context: &Context, args: TagArgs) -> Result<u8> {
    let places = context.places(&args.work)?;
    let at = places.locate(&args.image, Bare::Registry)?;
    let side = context.side(args.side.side(), &BothArgs::default())?;
    let session = context.session(&args.work);
    // What the place holds of an index is all there is to name.
    let options =
        CopyOptions { selection: Selection::All, sparse_source: true, ..CopyOptions::default() };
    let options = Arc::new(options);
    for tag in &args.tags {
        let to = renamed(&at, tag)?;
        let tagged = async {
            let source = Arc::new(places.source(&at, &side).await?);
            let sink = Arc::new(places.sink(&to, &side)?);
            let report =
                creel::copy::copy(source, sink.clone(), &to.to_string(), options.clone(), &session)
                    .await?;
            sink.finish().await?;
            Ok::<_, creel::Error>(report)
        };
        let report = tagged.await.doing(|| format!("tagging {at} as {to}"))?;
        render::print(&format!("{} {to}\n", report.digest))?;
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
