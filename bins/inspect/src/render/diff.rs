//! Differences as text that reads like `git diff --stat`.

use creel::cli;
use creel::inspect::Diff;
use creel::inspect::files::FileEntry;
use creel::packages::{PackageChange, PackageChanges};
use serde_json::Value;

use super::{columns, printable, shortened};

/// Rows of a list that is not asked for in full.
pub const MANY: usize = 100;

pub fn diff(old: &str, new: &str, diff: &Diff, packages: &PackageChanges, most: usize) -> String {
    let mut out = format!("--- {}\n+++ {}\n", printable(old), printable(new));
    if !diff.config.is_empty() {
        out.push_str("\nconfig\n");
    }
    for change in &diff.config {
        let side = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), short);
        let path = printable(&change.path);
        out.push_str(&format!("  {path}: {} => {}\n", side(&change.old), side(&change.new)));
    }
    if !diff.history.is_equal() {
        out.push_str(&format!("\nhistory: {} lines in common\n", diff.history.common));
        let removed = diff.history.removed.iter().map(|line| ('-', line));
        for (mark, line) in removed.chain(diff.history.added.iter().map(|line| ('+', line))) {
            out.push_str(&format!("  {mark} {}\n", shortened(line)));
        }
    }
    if !diff.layers.is_equal() {
        let layers = &diff.layers;
        let (removed, added) = (layers.removed.len(), layers.added.len());
        out.push_str(&format!(
            "\nlayers: {} in common, {removed} removed, {added} added\n",
            layers.common
        ));
    }
    if !packages.changed.is_empty() {
        out.push_str("\npackages\n");
        let rows: Vec<Vec<String>> = packages.changed.iter().take(most).map(package).collect();
        indent(&columns(&rows), &mut out);
        more(packages.changed.len(), most, &mut out);
    }
    if !diff.files.is_empty() {
        out.push_str("\nfiles\n");
        files(diff, most, &mut out);
    }
    if diff.equal {
        out.push_str("\nno difference\n");
    }
    out
}

fn package(change: &PackageChange) -> Vec<String> {
    let side = |versions: &[String]| match versions.is_empty() {
        true => "-".to_owned(),
        false => printable(&versions.join(", ")),
    };
    vec![
        change.ecosystem.clone(),
        printable(&change.name),
        format!("{} => {}", side(&change.old), side(&change.new)),
    ]
}

fn files(diff: &Diff, most: usize, out: &mut String) {
    let bytes = |entry: &Option<FileEntry>| entry.as_ref().map_or(0, |entry| entry.size);
    let rows: Vec<Vec<String>> = diff
        .files
        .iter()
        .take(most)
        .map(|change| {
            let (old, new) = (bytes(&change.old), bytes(&change.new));
            let size = match change.change {
                "added" => format!("+{}", cli::bytes(new)),
                "removed" => format!("-{}", cli::bytes(old)),
                _ if old == new => String::new(),
                _ => format!("{} => {}", cli::bytes(old), cli::bytes(new)),
            };
            let what = match change.what.is_empty() {
                true => change.change.to_owned(),
                false => change.what.join(","),
            };
            vec![change.path.to_string(), format!("| {what}"), size]
        })
        .collect();
    indent(&columns(&rows), out);
    more(diff.files.len(), most, out);
    let count = |kind: &str| diff.files.iter().filter(|change| change.change == kind).count();
    let sum = |side: fn(&creel::inspect::FileChange) -> &Option<FileEntry>| {
        diff.files.iter().map(|change| bytes(side(change))).sum::<u64>()
    };
    let (old, new) = (sum(|change| &change.old), sum(|change| &change.new));
    let size = match new.checked_sub(old) {
        Some(grown) => format!("+{}", cli::bytes(grown)),
        None => format!("-{}", cli::bytes(old - new)),
    };
    let (changed, added, removed) = (count("changed"), count("added"), count("removed"));
    out.push_str(&format!("  {changed} changed, {added} added, {removed} removed, {size}\n"));
}

fn more(all: usize, most: usize, out: &mut String) {
    if all > most {
        out.push_str(&format!("  and {} more: --all\n", all - most));
    }
}

fn indent(text: &str, out: &mut String) {
    for line in text.lines() {
        out.push_str(&format!("  {line}\n"));
    }
}

fn short(value: &Value) -> String {
    shortened(&value.to_string())
}
