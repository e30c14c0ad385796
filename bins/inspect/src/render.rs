//! Reports as text or JSON.

use std::io::Write;

use creel::cli;
use creel::error::{Error, IoContext, Result};
use creel::inspect::{ImageSummary, Summary, Tree};
use creel::store::Image;
use serde::Serialize;
use serde_json::Value;

/// A report with the name of what it is about.
#[derive(Serialize)]
pub struct Named<'a, T> {
    /// The name as it was found.
    pub name: String,
    /// The report.
    #[serde(flatten)]
    pub report: &'a T,
}

/// Writes to stdout; a failure to do so is a failure of the program.
pub fn bytes(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).doing(|| "writing the result")
}

pub fn text(text: &str) -> Result<()> {
    bytes(text.as_bytes())
}

pub fn json(value: &impl Serialize) -> Result<()> {
    let written = serde_json::to_string_pretty(value)
        .map_err(|error| Error::caused(creel::ErrorKind::Failed, "writing JSON", error))?;
    text(&format!("{written}\n"))
}

/// One screen.
pub fn summary(name: &str, summary: &Summary) -> String {
    let mut lines = vec![
        ("name", name.to_owned()),
        ("digest", format!("{}  ({})", summary.digest, summary.media_type)),
    ];
    for entry in summary.entries.iter().filter(|entry| !entry.attestation) {
        let platform = entry.platform.clone().unwrap_or_else(|| "(no platform)".to_owned());
        lines.push(("", format!("{platform:20} {}", entry.digest)));
    }
    let attestations = summary.entries.iter().filter(|entry| entry.attestation).count();
    if attestations > 0 {
        lines.push(("", format!("and {attestations} attestations")));
    }
    if let Some(kind) = &summary.artifact_type {
        lines.push(("artifact", kind.clone()));
    }
    if let Some(image) = &summary.image {
        lines.extend(image_lines(image));
    }
    for (key, value) in &summary.annotations {
        lines.push(("annotation", format!("{key}={value}")));
    }
    let mut out = String::new();
    for (label, value) in lines {
        out.push_str(&format!("{label:12} {}\n", printable(&value)));
    }
    if let Some(image) = &summary.image {
        out.push('\n');
        out.push_str(&layers(image));
    }
    out
}

fn image_lines(image: &ImageSummary) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("image", format!("{}  {}", image.platform, image.digest)),
        ("id", image.id.to_string()),
        ("created", image.created.clone().unwrap_or_else(|| "(not told)".to_owned())),
        ("size", format!("{} compressed, {} layers", cli::bytes(image.size), image.layers.len())),
    ];
    if let Some(base) = &image.base_name {
        lines.push(("base", format!("{base} {}", image.base_digest.clone().unwrap_or_default())));
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
            let by = layer.created_by.clone().unwrap_or_default();
            vec![layer.digest.short().to_owned(), cli::bytes(layer.size), shortened(&by)]
        })
        .collect();
    cli::table(&["LAYER", "SIZE", "MADE BY"], &rows)
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

/// Names in the store.
pub fn images(images: &[Image]) -> String {
    let rows: Vec<Vec<String>> = images
        .iter()
        .map(|image| {
            vec![image.name.clone(), image.descriptor.digest.to_string(), image.updated.clone()]
        })
        .collect();
    cli::table(&["NAME", "DIGEST", "UPDATED"], &rows)
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

/// What fits on a line of a terminal.
fn shortened(text: &str) -> String {
    const WIDTH: usize = 72;
    let text = printable(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if text.chars().count() <= WIDTH {
        return text;
    }
    format!("{}…", text.chars().take(WIDTH - 1).collect::<String>())
}

/// Text from an image may hold escape sequences that would act on a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| match character.is_control() {
            true => character.escape_default().collect::<Vec<_>>(),
            false => vec![character],
        })
        .collect()
}
