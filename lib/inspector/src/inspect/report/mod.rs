//! One HTML page about an image, to keep or to send around.
//!
//! Promise: the page needs nothing but itself (no script, no style, no picture from elsewhere, and
//! its own policy forbids them), and nothing that the image says becomes markup: every text goes
//! through [`escape`].

mod sizes;
mod treemap;

use std::fmt::Write;

use super::files::{Merged, Name};
use super::{Waste, age};
use crate::packages::Findings;
use crate::spec::{Digest, Image};
use treemap::treemap;

/// Most rows of a table.
const MAX_ROWS: usize = 200;
/// Most packages.
const MAX_PACKAGES: usize = 5000;

/// What a page is made from.
#[derive(Clone, Copy)]
pub struct ReportInput<'a> {
    /// The name that the image was found by.
    pub name: &'a str,
    /// Digest of what the name stands for.
    pub root: &'a Digest,
    /// The image.
    pub image: &'a Image,
    /// Its files.
    pub merged: &'a Merged<'a>,
    /// Its waste; `None` where a layer is broken.
    pub waste: Option<&'a Waste>,
    /// Its packages.
    pub findings: &'a Findings,
}

/// Writes the page.
pub fn report(input: &ReportInput<'_>) -> String {
    let name = escape(input.name);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{name}</title>\n\
         <style>{STYLE}</style></head><body>\n<h1>{name}</h1>\n"
    );
    facts(input, &mut page);
    layers(input, &mut page);
    page.push_str("<h2>Files</h2>\n");
    page.push_str(&treemap(input.merged));
    waste(input, &mut page);
    packages(input.findings, &mut page);
    history(input.image, &mut page);
    config(input.image, &mut page);
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(page, "<footer>creel-inspect {version}</footer>\n</body></html>");
    page
}

const STYLE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;max-width:64rem;margin:1.5rem auto;padding:0 1rem;\
color:#1c2430;background:#fff}\
h1{font-size:1.4rem;overflow-wrap:anywhere}h2{font-size:1.1rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}\
td,th{text-align:left;padding:.15rem .6rem .15rem 0;vertical-align:top;overflow-wrap:anywhere;\
border-bottom:1px solid #e3e7ed}\
td.n,th.n{text-align:right;white-space:nowrap}\
code,td.m{font-family:ui-monospace,monospace;font-size:.86em}\
.bar{display:flex;height:.8rem;background:#edf0f4;min-width:10rem}\
.bar i{background:#3b7dd8}.bar b{background:#d9663b}\
svg{width:100%;height:auto;border:1px solid #cfd6df}svg text{font:11px ui-monospace,monospace}\
footer{margin:2rem 0;color:#66707d}pre{overflow-x:auto;background:#f5f7f9;padding:.6rem}\
@media(prefers-color-scheme:dark){body{background:#14181e;color:#dde3ea}\
td,th{border-color:#2a313b}.bar,pre{background:#222831}svg text{fill:#111}}";

fn facts(input: &ReportInput<'_>, page: &mut String) {
    let image = input.image;
    let size = image.layers().iter().fold(0_u64, |sum, l| sum.saturating_add(l.descriptor.size));
    let indexes = input.merged.layers().iter();
    let unpacked = indexes.map(|layer| layer.tar_bytes.unwrap_or_else(|| layer.file_bytes())).sum();
    let created = image.config().fields().created.clone().unwrap_or_default();
    let age = age(&created).map(|age| format!(" ({age})")).unwrap_or_default();
    let sizes = format!("{} compressed, {} unpacked", bytes(size), bytes(unpacked));
    let mut rows = vec![
        ("digest", input.root.to_string()),
        ("image", image.manifest().digest().to_string()),
        ("id", image.id().to_string()),
        ("platform", image.platform().to_string()),
        ("created", format!("{created}{age}")),
        ("size", format!("{sizes}, {} layers", image.layers().len())),
    ];
    if let Some(release) = &input.findings.release {
        rows.push(("system", release.name.clone()));
    }
    let base = super::base(image);
    if let Some(name) = base.name {
        rows.push(("base", format!("{name} {}", base.digest.unwrap_or_default())));
    }
    page.push_str("<table>\n");
    for (key, value) in rows {
        let _ = writeln!(page, "<tr><th>{key}</th><td class=m>{}</td></tr>", escape(&value));
    }
    page.push_str("</table>\n");
}

fn layers(input: &ReportInput<'_>, page: &mut String) {
    page.push_str(
        "<h2>Layers</h2>\n<table>\n<tr><th class=n>#</th><th class=n>size</th>\
         <th class=n>unpacked</th><th>files, wasted</th><th>made by</th></tr>\n",
    );
    let made_by = super::made_by(input.image);
    let indexes = input.merged.layers();
    let largest = indexes.iter().map(|layer| layer.file_bytes()).max().unwrap_or(0).max(1);
    for (number, layer) in indexes.iter().enumerate() {
        let files = layer.file_bytes();
        let wasted = input.waste.and_then(|waste| waste.layers.get(number));
        let wasted = wasted.map_or(0, |layer| layer.wasted_bytes.min(files));
        let part = |count: u64| count as f64 * 100.0 / largest as f64;
        let line = made_by.get(&number).map(String::as_str).unwrap_or_default();
        let broken = layer.broken.as_ref().map(|broken| format!("broken: {} ", broken.why));
        let _ = writeln!(
            page,
            "<tr><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td><div class=bar>\
             <i style=\"width:{:.2}%\"></i><b style=\"width:{:.2}%\"></b></div></td>\
             <td class=m>{}{}</td></tr>",
            number + 1,
            bytes(layer.size),
            bytes(layer.tar_bytes.unwrap_or_else(|| layer.file_bytes())),
            part(files - wasted),
            part(wasted),
            escape(&broken.unwrap_or_default()),
            escape(line)
        );
    }
    page.push_str("</table>\n");
}

fn waste(input: &ReportInput<'_>, page: &mut String) {
    page.push_str("<h2>Waste</h2>\n");
    let Some(waste) = input.waste else {
        page.push_str("<p>A layer is broken: there is no number.</p>\n");
        return;
    };
    let _ = writeln!(
        page,
        "<p>Efficiency {:.2} %: {} of {} are there more than once, or were deleted.</p>",
        waste.efficiency * 100.0,
        bytes(waste.wasted_bytes),
        bytes(waste.image_bytes)
    );
    if waste.files.is_empty() {
        return;
    }
    page.push_str(
        "<table>\n<tr><th class=n>count</th><th class=n>wasted</th><th>layers</th><th>path</th></tr>\n",
    );
    for file in waste.files.iter().take(MAX_ROWS) {
        let mut layers: Vec<String> = file.layers.iter().take(20).map(usize::to_string).collect();
        layers.dedup();
        let _ = writeln!(
            page,
            "<tr><td class=n>{}</td><td class=n>{}</td><td>{}</td><td class=m>{}</td></tr>",
            file.count,
            bytes(file.bytes),
            layers.join(", "),
            escape(&file.path.to_string())
        );
    }
    page.push_str("</table>\n");
    more(waste.files.len(), MAX_ROWS, page);
}

fn packages(findings: &Findings, page: &mut String) {
    let count = findings.packages.len();
    let _ =
        writeln!(page, "<h2>Packages</h2>\n<details><summary>{count} packages</summary>\n<table>");
    page.push_str(
        "<tr><th>type</th><th>name</th><th>version</th><th>licence</th><th>found in</th></tr>\n",
    );
    for package in findings.packages.iter().take(MAX_PACKAGES) {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=m>{}</td><td class=m>{}</td><td>{}</td><td class=m>{}</td></tr>",
            package.ecosystem,
            escape(&package.name),
            escape(&package.version),
            escape(package.license.as_deref().unwrap_or_default()),
            escape(&package.found_in)
        );
    }
    page.push_str("</table></details>\n");
    more(count, MAX_PACKAGES, page);
    for unread in &findings.unread {
        let _ = writeln!(page, "<p>Not read: {}</p>", escape(unread));
    }
}

fn history(image: &Image, page: &mut String) {
    page.push_str(
        "<h2>History</h2>\n<table>\n<tr><th class=n>layer</th><th>when</th><th>by</th></tr>\n",
    );
    for step in image.steps() {
        let layer = step.layer.map_or(String::new(), |layer| (layer + 1).to_string());
        let part = |pick: fn(&crate::spec::History) -> &Option<String>| {
            step.history.and_then(|line| pick(line).clone()).unwrap_or_default()
        };
        let (when, by) = (part(|line| &line.created), part(|line| &line.created_by));
        let _ = writeln!(
            page,
            "<tr><td class=n>{layer}</td><td>{}</td><td class=m>{}</td></tr>",
            escape(&when),
            escape(&by)
        );
    }
    page.push_str("</table>\n");
}

fn config(image: &Image, page: &mut String) {
    let config = image.config().document().get("config").cloned().unwrap_or_default();
    let text = serde_json::to_string_pretty(&config).unwrap_or_default();
    let shown: Vec<String> = text.lines().map(escape).collect();
    let _ = writeln!(page, "<h2>Config</h2>\n<pre>{}</pre>", shown.join("\n"));
}

fn more(all: usize, most: usize, page: &mut String) {
    if all > most {
        let _ = writeln!(page, "<p>and {} more</p>", all - most);
    }
}

pub(super) use sizes::bytes;

/// Text without any character that means something in HTML, or to a terminal.
pub(super) fn escape(text: &str) -> String {
    let shown = Name::from(text.as_bytes()).to_string();
    let mut out = String::with_capacity(shown.len());
    for character in shown.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_markup() {
        let text = escape("<script>alert('x')</script>&\"\u{1b}\u{202e}");
        let expected = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\\u{1b}\\u{202e}";
        assert_eq!(text, expected);
    }
}
