//! Waste as tables, and dive's verdict in dive's form.

use creel::cli;
use creel::inspect::{Status, Verdict, Waste};

use super::shortened;

/// Rows of a list that is not asked for in full.
pub const SOME: usize = 20;

/// What is wasted, by whom, and which files; the first `shown` of them.
pub fn waste(waste: &Waste, shown: usize) -> String {
    let ratio = waste.user_wasted_ratio.unwrap_or(0.0) * 100.0;
    let mut out = format!(
        "efficiency   {:.2} %\nwasted       {} of {} ({ratio:.2} % of what is above the lowest \
         layer)\n\n",
        waste.efficiency * 100.0,
        cli::bytes(waste.wasted_bytes),
        cli::bytes(waste.image_bytes)
    );
    let layers: Vec<Vec<String>> = waste
        .layers
        .iter()
        .map(|layer| {
            vec![
                layer.layer.to_string(),
                cli::bytes(layer.bytes),
                cli::bytes(layer.wasted_bytes),
                shortened(layer.created_by.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    out.push_str(&cli::table(&["LAYER", "SIZE", "WASTED", "MADE BY"], &layers));
    if waste.files.is_empty() {
        out.push_str("\nnothing is there more than once\n");
        return out;
    }
    let files: Vec<Vec<String>> = waste
        .files
        .iter()
        .take(shown)
        .map(|file| {
            let mut layers: Vec<String> = file.layers.iter().map(usize::to_string).collect();
            layers.truncate(SOME);
            vec![
                file.count.to_string(),
                cli::bytes(file.bytes),
                layers.join(","),
                file.path.to_string(),
            ]
        })
        .collect();
    out.push('\n');
    out.push_str(&cli::table(&["COUNT", "WASTED", "LAYERS", "PATH"], &files));
    if waste.files.len() > shown {
        out.push_str(&format!("and {} more: --all\n", waste.files.len() - shown));
    }
    out
}

/// What `dive --ci` prints.
pub fn gate(waste: &Waste, verdicts: &[Verdict]) -> String {
    let wasted = waste.wasted_bytes;
    let (size, percent) = match (wasted, waste.user_wasted_ratio) {
        (0, _) => (String::new(), "0 %".to_owned()),
        (_, Some(ratio)) => {
            (format!(" ({})", cli::bytes(wasted)), format!("{:.2} %", ratio * 100.0))
        }
        (_, None) => (format!(" ({})", cli::bytes(wasted)), "+Inf %".to_owned()),
    };
    let mut out = format!(
        "Analysis:\n  efficiency:        {:.2} %\n  wastedBytes:       {wasted} bytes{size}\n  \
         userWastedPercent: {percent}\n\nInefficient Files:",
        waste.efficiency * 100.0
    );
    if waste.files.is_empty() {
        out.push_str(" (None)\n");
    } else {
        out.push_str("\n  Count  Wasted Space  File Path\n");
        for file in &waste.files {
            let (count, bytes) = (file.count, cli::bytes(file.bytes));
            out.push_str(&format!("  {count:<5}  {bytes:<12}  {}\n", file.path));
        }
    }
    out.push_str("\nEvaluation:\n");
    for verdict in verdicts {
        let status = word(verdict.status);
        out.push_str(&format!("  {status}  {} ({})\n", verdict.rule, verdict.message));
    }
    let count = |status| verdicts.iter().filter(|verdict| verdict.status == status).count();
    let failed = count(Status::Fail);
    let (pass, skip) = (count(Status::Pass), count(Status::Skip));
    let all = word(if failed > 0 { Status::Fail } else { Status::Pass });
    out.push_str(&format!("\n{all} [pass:{pass} fail:{failed} skip:{skip}]\n"));
    out
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "PASS",
        Status::Fail => "FAIL",
        Status::Skip => "SKIP",
    }
}
