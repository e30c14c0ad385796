//! What was found out, as a table for people or as JSON.

use serde_json::{Value, json};

use crate::measure::Sample;
use crate::rows::{Measured, Row, Target};

/// The heads of the columns.
const HEADS: [&str; 7] = ["work", "peer", "creel", "ratio", "peak peer", "peak creel", "to reach"];

/// A row with its numbers.
pub(crate) struct Line<'a> {
    row: &'a Row,
    measured: Measured,
}

impl Line<'_> {
    pub(crate) fn new(row: &Row, measured: Measured) -> Line<'_> {
        Line { row, measured }
    }

    fn seconds(&self) -> (f64, f64) {
        let middle = |samples: &[Sample]| median(samples.iter().map(|sample| sample.seconds));
        (middle(&self.measured.samples.peer), middle(&self.measured.samples.ours))
    }

    fn ratio(&self) -> f64 {
        let (peer, ours) = self.seconds();
        ours / peer
    }

    /// Peaks in MiB.
    fn peaks(&self) -> (u64, u64) {
        let largest = |samples: &[Sample]| samples.iter().map(|sample| sample.peak).max();
        let samples = &self.measured.samples;
        (largest(&samples.peer).unwrap_or(0) / 1024, largest(&samples.ours).unwrap_or(0) / 1024)
    }

    fn bytes_ratio(&self) -> f64 {
        self.measured.bytes.map_or(f64::NAN, |(peer, ours)| ours as f64 / peer as f64)
    }

    fn reached(&self, target: Target) -> bool {
        match target {
            Target::Ratio(limit) => self.ratio() <= limit,
            Target::Seconds(limit) => self.seconds().1 < limit,
            Target::Memory(limit) => self.peaks().1 < limit,
            Target::Bytes(limit) => self.bytes_ratio() <= limit,
            Target::Requests(limit) => {
                self.measured.requests.is_some_and(|(_, ours)| ours <= limit)
            }
        }
    }

    fn cells(&self) -> [String; 7] {
        let (peer, ours) = self.seconds();
        let (peer_peak, our_peak) = self.peaks();
        // Some work has no peer.
        let alone = (peer == 0.0).then(|| "–".to_owned());
        let targets = self.row.targets.iter().map(|target| {
            let verdict = if self.reached(*target) { "yes" } else { "NO" };
            format!("{}: {verdict}", self.words(*target))
        });
        [
            format!("{} ({})", self.row.work, self.row.name),
            alone.clone().unwrap_or_else(|| format!("{peer:.4} s")),
            format!("{ours:.4} s"),
            alone.unwrap_or_else(|| format!("{:.2}", self.ratio())),
            format!("{peer_peak} MiB"),
            format!("{our_peak} MiB"),
            targets.collect::<Vec<_>>().join(", "),
        ]
    }

    fn words(&self, target: Target) -> String {
        match target {
            Target::Ratio(limit) => format!("time {limit}×"),
            Target::Seconds(limit) => format!("< {limit} s"),
            Target::Memory(limit) => format!("< {limit} MiB"),
            Target::Requests(limit) => {
                let (peer, ours) = self.measured.requests.unwrap_or_default();
                format!("{ours} requests (peer {peer}), {limit}")
            }
            Target::Bytes(limit) => format!("{:.2} of the bytes, {limit}", self.bytes_ratio()),
        }
    }

    fn json(&self) -> Value {
        let (peer, ours) = self.seconds();
        let raw = |samples: &[Sample]| {
            let each = samples.iter();
            each.map(|s| json!({ "seconds": s.seconds, "peakKiB": s.peak })).collect::<Vec<_>>()
        };
        let samples = &self.measured.samples;
        let targets = self.row.targets.iter();
        let targets = targets.map(
            |target| json!({ "target": self.words(*target), "reached": self.reached(*target) }),
        );
        json!({
            "row": self.row.name,
            "work": self.row.work,
            "peerMedianSeconds": peer,
            "oursMedianSeconds": ours,
            "ratio": self.ratio(),
            "bytes": self.measured.bytes.map(|(peer, ours)| json!({ "peer": peer, "ours": ours })),
            "requests": self.measured.requests.map(|(peer, ours)| json!({ "peer": peer, "ours": ours })),
            "peer": raw(&samples.peer),
            "ours": raw(&samples.ours),
            "targets": targets.collect::<Vec<_>>(),
        })
    }
}

/// All lines under each other, the columns aligned; Markdown, so that it can be quoted.
pub(crate) fn table(lines: &[Line<'_>]) -> String {
    let mut rows = vec![HEADS.map(String::from)];
    rows.extend(lines.iter().map(Line::cells));
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    rows.insert(1, std::array::from_fn(|column| "-".repeat(widths[column])));
    let mut text = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(&format!("| {cell:width$} "));
        }
        text.push_str("|\n");
    }
    text
}

/// The same and every single measurement, for programs.
pub(crate) fn json(lines: &[Line<'_>]) -> Value {
    lines.iter().map(Line::json).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (count, half) if count % 2 == 0 => f64::midpoint(values[half - 1], values[half]),
        (_, half) => values[half],
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }
}
