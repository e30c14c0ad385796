//! `creel-copy digest FILE|IMAGE`.

use std::io::Read;
use std::path::Path;

use creel::error::{IoContext, Result};
use creel::spec::{MAX_MANIFEST, Manifest};
use creel::transport::{Bare, Source};

use crate::args::{BothArgs, DigestArgs, Side};
use crate::context::Context;
use crate::render;

pub async fn run(context: &Context, args: DigestArgs) -> Result<u8> {
    let digest = match args.what.as_str() {
        "-" => digest_of(&mut std::io::stdin().lock(), "standard input")?,
        file if Path::new(file).is_file() => {
            let mut open = std::fs::File::open(file).doing(|| format!("opening {file}"))?;
            digest_of(&mut open, file)?
        }
        image => {
            let places = context.places(&args.work)?;
            let at = places.locate(image, Bare::Registry)?;
            let side = context.side(args.side.side(), &BothArgs::default())?;
            let resolved = async { places.source(&at, &side).await?.resolve().await };
            resolved.await.doing(|| format!("looking up {at}"))?.digest.to_string()
        }
    };
    render::print(&format!("{digest}\n"))?;
    Ok(0)
}

fn digest_of(reader: &mut dyn Read, name: &str) -> Result<String> {
    let mut raw = Vec::new();
    reader.take(MAX_MANIFEST + 1).read_to_end(&mut raw).doing(|| format!("reading {name}"))?;
    let manifest = Manifest::parse(raw.into(), None).doing(|| format!("reading {name}"))?;
    Ok(manifest.digest().to_string())
}
