//! Files as nested rectangles whose areas are their sizes, as SVG.
//!
//! The layout is the squarified one (Bruls, Huizing, van Wijk): rows are filled as long as that makes
//! their rectangles squarer.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{bytes, escape};
use crate::inspect::files::{EntryKind, Merged, Name};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 520.0;
/// Height of a directory's title.
const TITLE: f64 = 14.0;
/// What is smaller than this many square units is drawn as part of its directory.
const LEAST: f64 = 60.0;
/// Levels of directories that are drawn.
const DEPTH: usize = 6;
/// Most rectangles.
const MAX_SHAPES: usize = 6000;

/// A directory or a file.
#[derive(Default)]
struct Tree<'a> {
    size: u64,
    layer: usize,
    children: BTreeMap<&'a [u8], Tree<'a>>,
}

#[derive(Clone, Copy)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Draws what the merged tree shows.
pub(super) fn treemap(merged: &Merged<'_>) -> String {
    let tree = collect(merged);
    if tree.size == 0 {
        return "<p>There are no files with content.</p>\n".to_owned();
    }
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"files by size\">\n"
    );
    let mut shapes = 0;
    let area = Area { x: 0.0, y: 0.0, width: WIDTH, height: HEIGHT };
    draw(&tree, b"", area, 0, &mut shapes, &mut out);
    out.push_str("</svg>\n");
    out
}

fn collect<'a>(merged: &Merged<'a>) -> Tree<'a> {
    let mut root = Tree::default();
    for (path, node) in merged.all() {
        let Some(entry) = node.entry.filter(|entry| entry.kind == EntryKind::File) else {
            continue;
        };
        let mut tree = &mut root;
        tree.size = tree.size.saturating_add(entry.size);
        for part in path.splitn(DEPTH, |&b| b == b'/') {
            tree = tree.children.entry(part).or_default();
            tree.size = tree.size.saturating_add(entry.size);
        }
        tree.layer = node.layer;
    }
    root
}

fn draw(
    tree: &Tree<'_>,
    path: &[u8],
    area: Area,
    depth: usize,
    shapes: &mut usize,
    out: &mut String,
) {
    *shapes += 1;
    if *shapes > MAX_SHAPES {
        return;
    }
    let Area { x, y, width, height } = area;
    let shown = escape(&Name([b"/", path].concat()).to_string());
    // A hue for each layer, paler further up.
    let hue = tree.layer * 67 % 360;
    let fill = match tree.children.is_empty() {
        true => format!("hsl({hue} 45% 72%)"),
        false => format!("hsl(215 20% {}%)", 96_usize.saturating_sub(depth * 3)),
    };
    let _ = write!(
        out,
        "<g><title>{shown} {}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\" fill=\"{fill}\" stroke=\"#8794a5\" stroke-width=\".5\"/>",
        bytes(tree.size)
    );
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let label = Name::from(if name.is_empty() { b"/" } else { name }).to_string();
    let room = (width / 6.8) as usize;
    if height > TITLE && room >= 3 {
        let label: String = label.chars().take(room).collect();
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 2.0,
            y + 11.0,
            escape(&label)
        );
    }
    out.push_str("</g>\n");
    let inner = Area { x: x + 1.5, y: y + TITLE, width: width - 3.0, height: height - TITLE - 1.5 };
    if tree.children.is_empty() || inner.width < 6.0 || inner.height < 6.0 {
        return;
    }
    let mut children: Vec<(&[u8], &Tree<'_>)> =
        tree.children.iter().filter(|(_, child)| child.size > 0).map(|(n, c)| (*n, c)).collect();
    children.sort_by(|a, b| b.1.size.cmp(&a.1.size).then(a.0.cmp(b.0)));
    let sizes: Vec<f64> = children.iter().map(|(_, child)| child.size as f64).collect();
    for ((name, child), area) in children.into_iter().zip(squarify(&sizes, inner)) {
        if area.width * area.height < LEAST {
            break;
        }
        let below = if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() };
        draw(child, &below, area, depth + 1, shapes, out);
    }
}

/// Rectangles for `sizes` (the largest first) that fill `area`.
fn squarify(sizes: &[f64], area: Area) -> Vec<Area> {
    let total: f64 = sizes.iter().sum();
    let scale = area.width * area.height / total.max(1.0);
    let sizes: Vec<f64> = sizes.iter().map(|size| size * scale).collect();
    let mut areas = Vec::with_capacity(sizes.len());
    let (mut free, mut rest) = (area, sizes.as_slice());
    while !rest.is_empty() {
        let side = free.width.min(free.height).max(f64::MIN_POSITIVE);
        let mut count = 1;
        while count < rest.len() && worst(&rest[..count + 1], side) <= worst(&rest[..count], side) {
            count += 1;
        }
        let (row, others) = rest.split_at(count);
        free = lay(row, free, &mut areas);
        rest = others;
    }
    areas
}

/// How far from a square the worst rectangle of a row along `side` is.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let (most, least) = (row[0], row[row.len() - 1]);
    let (square, sum) = (side * side, (sum * sum).max(f64::MIN_POSITIVE));
    (square * most / sum).max(sum / (square * least.max(f64::MIN_POSITIVE)))
}

/// Lays a row along the shorter side; what is left is given back.
fn lay(row: &[f64], free: Area, areas: &mut Vec<Area>) -> Area {
    let sum: f64 = row.iter().sum();
    let Area { mut x, mut y, width, height } = free;
    if width >= height {
        let thick = sum / height.max(f64::MIN_POSITIVE);
        for size in row {
            let long = size / thick.max(f64::MIN_POSITIVE);
            areas.push(Area { x, y, width: thick, height: long });
            y += long;
        }
        return Area { x: free.x + thick, width: (width - thick).max(0.0), ..free };
    }
    let thick = sum / width.max(f64::MIN_POSITIVE);
    for size in row {
        let long = size / thick.max(f64::MIN_POSITIVE);
        areas.push(Area { x, y, width: long, height: thick });
        x += long;
    }
    Area { y: free.y + thick, height: (height - thick).max(0.0), ..free }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_fill_their_area_and_stay_inside() {
        let area = Area { x: 10.0, y: 20.0, width: 60.0, height: 40.0 };
        let sizes = [6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0];
        let areas = squarify(&sizes, area);
        let total: f64 = areas.iter().map(|a| a.width * a.height).sum();
        assert!((total - 2400.0).abs() < 1e-6);
        for (size, a) in sizes.iter().zip(&areas) {
            assert!((a.width * a.height - size * 100.0).abs() < 1e-6);
            assert!(a.x >= 10.0 - 1e-9 && a.x + a.width <= 70.0 + 1e-6);
            assert!(a.y >= 20.0 - 1e-9 && a.y + a.height <= 60.0 + 1e-6);
        }
    }
}
