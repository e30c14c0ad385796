//! The build cache: `du` and `prune`.

use creel::build::{Kept, cache_usage, prune_cache};
use creel::cli;
use creel::error::Result;

use crate::args::Global;
use crate::front::store;
use crate::render;

/// `creel-build du`.
pub(crate) fn du(global: &Global) -> Result<u8> {
    report(global, &cache_usage(&store(global)?)?, "kept").map(|()| 0)
}

/// `creel-build prune [--max-size BYTES]`.
pub(crate) fn prune(global: &Global, max_size: Option<u64>) -> Result<u8> {
    report(global, &prune_cache(&store(global)?, max_size)?, "freed").map(|()| 0)
}

fn report(global: &Global, kept: &[Kept], what: &str) -> Result<()> {
    let bytes: u64 = kept.iter().map(|kept| kept.bytes).sum();
    if global.json {
        return render::print_json(&serde_json::json!({ "entries": kept, "bytes": bytes }));
    }
    if global.quiet {
        return render::print(&format!("{bytes}\n"));
    }
    let rows: Vec<Vec<String>> = kept
        .iter()
        .map(|kept| {
            let kind = kept.kind.name().to_owned();
            vec![kind, kept.id.clone(), cli::bytes(kept.bytes), kept.used.clone()]
        })
        .collect();
    let table = match rows.is_empty() {
        true => String::new(),
        false => cli::table(&["KIND", "ID", "SIZE", "USED"], &rows),
    };
    render::print(&format!("{table}{}: {}\n", what, cli::bytes(bytes)))
}
