//! `waste`: what an image carries without showing it, and dive's gate.

use std::path::Path;

use creel::error::Result;
use creel::inspect::files::index_layers;
use creel::inspect::{self, GateRules, Status, Verdict, Waste};
use serde::Serialize;

use crate::args::{Global, WasteArgs};
use crate::place::{FoundImage, find_image, index_options};
use crate::render;

/// Where dive looks for rules.
const RULES_FILE: &str = ".dive-ci";

/// The JSON form.
#[derive(Serialize)]
struct Report<'a> {
    name: String,
    #[serde(flatten)]
    waste: &'a Waste,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<&'a [Verdict]>,
}

pub async fn waste(global: &Global, args: WasteArgs) -> Result<u8> {
    // A mistake in the rules is told before anything is read.
    let rules = if args.ci { Some(rules(&args)?) } else { None };
    let FoundImage { found, image, .. } = find_image(global, &args.one).await?;
    let layers = index_layers(&found.source, &image, &index_options(global, false)?).await?;
    let waste = inspect::waste(&image, &layers)?;
    let verdicts = rules.map(|rules| rules.judge(&waste)).transpose()?;
    if global.json {
        let name = found.at.to_string();
        render::json(&Report { name, waste: &waste, rules: verdicts.as_deref() })?;
    } else {
        let shown = if args.all { usize::MAX } else { render::SOME };
        render::text(&match &verdicts {
            None => render::waste(&waste, shown),
            Some(verdicts) => render::gate(&waste, verdicts),
        })?;
    }
    let failed = verdicts.iter().flatten().any(|verdict| verdict.status == Status::Fail);
    Ok(u8::from(failed))
}

/// dive's rules, then the file's, then those of flags.
fn rules(args: &WasteArgs) -> Result<GateRules> {
    let mut rules = match &args.ci_config {
        Some(file) => GateRules::load(file)?,
        None if Path::new(RULES_FILE).exists() => GateRules::load(Path::new(RULES_FILE))?,
        None => GateRules::default(),
    };
    for (rule, said) in [
        (&mut rules.lowest_efficiency, &args.lowest_efficiency),
        (&mut rules.highest_wasted_bytes, &args.highest_wasted_bytes),
        (&mut rules.highest_user_wasted_percent, &args.highest_user_wasted_percent),
    ] {
        if let Some(said) = said {
            rule.clone_from(said);
        }
    }
    Ok(rules)
}
