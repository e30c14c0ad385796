//! Reports as text or JSON.

mod diff;
mod files;
mod packages;
mod waste;

use creel::cli;
use creel::inspect::{self, Freshness, ImageSummary, Summary, Tree};
use serde::Serialize;
use serde_json::Value;

pub use creel::cli::{one_line as printable, print as text, print_json as json};
pub use diff::{MANY, diff};
pub use files::{FileRow, file_rows, files};
pub use packages::packages;
pub use waste::{SOME, gate, waste};

/// A report with the name of what it is about.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Named<'a, T> {
    /// The name as it was found.
    pub name: String,
    /// The report.
    #[serde(flatten)]
    pub report: &'a T,
    /// How it stands to its base, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<&'a BaseState>,
}

/// How an image stands to its base.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseState {
    #[serde(flatten)]
    pub freshness: Option<Freshness>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One screen.
pub fn summary(name: &str, summary: &Summary, base: Option<&BaseState>) -> String {
    let kind = if summary.media_type.is_index() { "index" } else { "digest" };
    let mut lines = vec![
        ("name", name.to_owned()),
        (kind, format!("{}  ({})", summary.digest, summary.media_type)),
    ];
    let chosen = summary.image.as_ref().map(|image| &image.digest);
    for entry in summary.entries.iter().filter(|entry| !entry.attestation) {
        let platform = entry.platform.clone().unwrap_or_else(|| "(no platform)".to_owned());
        let size = entry.size.map(|size| format!("  {}", cli::bytes(size))).unwrap_or_default();
        let mark = if chosen == Some(&entry.digest) { "  (this one)" } else { "" };
        lines.push(("", format!("{platform:16} {}{size}{mark}", entry.digest)));
    }
    let attestations = summary.entries.iter().filter(|entry| entry.attestation).count();
    if attestations > 0 {
        lines.push(("", format!("and {attestations} attestations")));
    }
    if let Some(kind) = &summary.artifact_type {
        lines.push(("artifact", kind.clone()));
    }
    if let Some(image) = &summary.image {
        lines.extend(image_lines(image, base));
    }
    for blob in &summary.blobs {
        let title = blob.title.clone().unwrap_or_default();
        let (size, kind) = (cli::bytes(blob.size), &blob.media_type);
        lines.push(("blob", format!("{}  {size}  {kind}  {title}", blob.digest)));
    }
    for (key, value) in &summary.annotations {
        lines.push(("annotation", format!("{key}={value}")));
    }
    for referrer in &summary.referrers {
        let to = if referrer.subject == summary.digest { "the name" } else { "this image" };
        let kind = &referrer.artifact_type;
        lines.push(("referrer", format!("{}  {kind}, about {to}", referrer.digest)));
    }
    for problem in &summary.problems {
        lines.push(("problem", problem.clone()));
    }
    let mut out = String::new();
    for (label, value) in lines {
        out.push_str(format!("{label:12} {}", printable(&value)).trim_end());
        out.push('\n');
    }
    if let Some(image) = &summary.image {
        out.push('\n');
        out.push_str(&layers(image));
    }
    out
}

fn image_lines(image: &ImageSummary, base: Option<&BaseState>) -> Vec<(&'static str, String)> {
    let unpacked = image.unpacked.map(|size| format!(", {} unpacked", cli::bytes(size)));
    let unpacked = unpacked.unwrap_or_default();
    let created = image.created.clone().unwrap_or_else(|| "(not told)".to_owned());
    let age = inspect::age(&created).map(|age| format!("  ({age})")).unwrap_or_default();
    let (size, count) = (cli::bytes(image.size), image.layers.len());
    let mut lines = vec![
        ("image", format!("{}  {}", image.platform, image.digest)),
        ("id", image.id.to_string()),
        ("created", format!("{created}{age}")),
        ("size", format!("{size} compressed{unpacked}, {count} layers")),
    ];
    if let Some(name) = &image.base_name {
        lines.push(("base", format!("{name} {}", image.base_digest.clone().unwrap_or_default())));
    }
    match base.map(|base| (&base.freshness, &base.problem)) {
        Some((Some(now), _)) if now.up_to_date => lines.push(("", "up to date".to_owned())),
        Some((Some(now), _)) => lines.push(("", format!("out of date: it is {} now", now.current))),
        Some((None, Some(problem))) => lines.push(("", format!("not compared: {problem}"))),
        _ => {}
    }
    const SHOWN: [(&str, &str); 9] = [
        ("Entrypoint", "entrypoint"),
        ("Cmd", "command"),
        ("User", "user"),
        ("WorkingDir", "directory"),
        ("Env", "environment"),
        ("ExposedPorts", "ports"),
        ("Volumes", "volumes"),
        ("StopSignal", "stop signal"),
        ("Labels", "labels"),
    ];
    for (key, label) in SHOWN {
        let value = image.config.get(key).map(value_lines).unwrap_or_default();
        for (position, line) in value.into_iter().enumerate() {
            lines.push((if position == 0 { label } else { "" }, line));
        }
    }
    lines
}

/// A part of a config as lines: commands on one, lists and maps one each.
fn value_lines(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.iter().any(|item| text_of(item).contains('=')) => {
            items.iter().map(text_of).collect()
        }
        Value::Array(items) if items.is_empty() => Vec::new(),
        Value::Array(_) => vec![value.to_string()],
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) => format!("{key}={text}"),
                _ => key.clone(),
            })
            .collect(),
        other => vec![other.to_string()],
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Layers, lowest first.
pub fn layers(image: &ImageSummary) -> String {
    let rows: Vec<Vec<String>> = image
        .layers
        .iter()
        .map(|layer| {
            vec![
                layer.digest.short().to_owned(),
                cli::bytes(layer.size),
                layer.unpacked.map_or_else(|| "-".to_owned(), cli::bytes),
                shortened(layer.created_by.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    cli::table(&["LAYER", "SIZE", "UNPACKED", "MADE BY"], &rows)
}

/// History, newest first, as `docker history` shows it.
pub fn history(image: &ImageSummary) -> String {
    let rows: Vec<Vec<String>> = image
        .history
        .iter()
        .rev()
        .map(|step| {
            vec![
                step.created.clone().unwrap_or_default(),
                cli::bytes(step.size),
                shortened(&step.created_by.clone().unwrap_or_default()),
            ]
        })
        .collect();
    cli::table(&["CREATED", "SIZE", "MADE BY"], &rows)
}

/// A tree with lines that show what belongs to what.
pub fn tree(tree: &Tree) -> String {
    let mut out = String::new();
    branch(tree, "", "", &mut out);
    out
}

fn branch(node: &Tree, first: &str, rest: &str, out: &mut String) {
    let kind = node.artifact_type.clone().unwrap_or_else(|| node.media_type.to_string());
    let platform = node.platform.as_ref().map(|p| format!(" {p}")).unwrap_or_default();
    let missing = if node.missing { "  (missing)" } else { "" };
    let size = cli::bytes(node.size);
    out.push_str(&format!(
        "{first}{}{platform}  {size}  {}{missing}\n",
        node.digest,
        printable(&kind)
    ));
    let children = node.children.iter().map(|child| (child, ""));
    let below: Vec<(&Tree, &str)> =
        children.chain(node.referrers.iter().map(|referrer| (referrer, "<- "))).collect();
    for (position, (child, mark)) in below.iter().enumerate() {
        let last = position + 1 == below.len();
        let (own, under) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        branch(child, &format!("{rest}{own}{mark}"), &format!("{rest}{under}"), out);
    }
}

/// Rows in columns, without a head.
fn columns(rows: &[Vec<String>]) -> String {
    let head = vec![""; rows.first().map_or(0, Vec::len)];
    let table = cli::table(&head, rows);
    table.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

/// What fits on a line of a terminal.
fn shortened(text: &str) -> String {
    shortened_to(text, 72)
}

fn shortened_to(text: &str, width: usize) -> String {
    let text = printable(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if text.chars().count() <= width {
        return text;
    }
    format!("{}…", text.chars().take(width - 1).collect::<String>())
}
