//! dive's gate for CI: rules about waste that an image keeps or breaks.
//!
//! Rules come from `.dive-ci` as dive reads it, and from flags of the same names.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Waste;
use crate::error::{Error, ErrorKind, IoContext, Result};

/// Largest file of rules.
const MAX_RULES: u64 = 64 << 10;

/// The three rules, as text: a number, or `disabled`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateRules {
    /// The efficiency may not be lower.
    pub lowest_efficiency: String,
    /// Not more bytes may be wasted: `20MB`.
    pub highest_wasted_bytes: String,
    /// Not more may be wasted for each byte above the lowest layer.
    pub highest_user_wasted_percent: String,
}

impl Default for GateRules {
    /// dive's own.
    fn default() -> GateRules {
        GateRules {
            lowest_efficiency: "0.9".to_owned(),
            highest_wasted_bytes: "disabled".to_owned(),
            highest_user_wasted_percent: "0.1".to_owned(),
        }
    }
}

/// How an image did by one rule.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The rule's name.
    pub rule: &'static str,
    /// What came out.
    pub status: Status,
    /// The bound, or why it failed.
    pub message: String,
}

/// What came out of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Kept.
    Pass,
    /// Broken.
    Fail,
    /// Not looked at.
    Skip,
}

#[derive(Deserialize, Default)]
struct Document {
    #[serde(default)]
    rules: Option<Rules>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Rules {
    lowest_efficiency: Option<Scalar>,
    highest_wasted_bytes: Option<Scalar>,
    highest_user_wasted_percent: Option<Scalar>,
}

/// A value that people write as text or as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Whole(u64),
    Number(f64),
    Truth(bool),
    Text(String),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scalar::Whole(number) => write!(f, "{number}"),
            Scalar::Number(number) => write!(f, "{number}"),
            Scalar::Truth(truth) => write!(f, "{truth}"),
            Scalar::Text(text) => f.write_str(text),
        }
    }
}

impl GateRules {
    /// The default rules with what a `.dive-ci` file says instead.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` if it is no YAML of that form.
    pub fn load(file: &Path) -> Result<GateRules> {
        let reading = || format!("reading {}", file.display());
        let length = std::fs::metadata(file).doing(reading)?.len();
        if length > MAX_RULES {
            return Err(Error::invalid(format!("{} is too large", file.display())));
        }
        let text = std::fs::read_to_string(file).doing(reading)?;
        let document: Document = serde_saphyr::from_str(&text)
            .map_err(|error| Error::caused(ErrorKind::Invalid, reading(), error))?;
        let mut rules = GateRules::default();
        let said = document.rules.unwrap_or_default();
        let set = |rule: &mut String, said: Option<Scalar>| {
            if let Some(value) = said {
                *rule = value.to_string();
            }
        };
        set(&mut rules.lowest_efficiency, said.lowest_efficiency);
        set(&mut rules.highest_wasted_bytes, said.highest_wasted_bytes);
        set(&mut rules.highest_user_wasted_percent, said.highest_user_wasted_percent);
        Ok(rules)
    }

    /// Judges an image.
    ///
    /// # Errors
    /// `Usage` for a bound that is none.
    pub fn judge(&self, waste: &Waste) -> Result<Vec<Verdict>> {
        let wasted = waste.wasted_bytes;
        // As dive divides: by nothing, nothing wasted is no number and passes, anything is too much.
        let ratio = waste.user_wasted_ratio.unwrap_or(if wasted > 0 { f64::INFINITY } else { 0.0 });
        let user = "highestUserWastedPercent";
        let efficiency = "lowestEfficiency";
        Ok(vec![
            verdict(user, ratio_of(user, &self.highest_user_wasted_percent)?, |most| {
                (ratio > most).then(|| {
                    format!(
                        "too many bytes wasted, relative to the user bytes added \
                         (%-user-wasted-bytes={ratio:.2} > threshold={most})"
                    )
                })
            }),
            verdict("highestWastedBytes", bytes_of(&self.highest_wasted_bytes)?, |most| {
                (wasted as f64 > most).then(|| {
                    format!("too many bytes wasted (wasted-bytes={wasted} > threshold={most})")
                })
            }),
            verdict(efficiency, ratio_of(efficiency, &self.lowest_efficiency)?, |least| {
                (least > waste.efficiency).then(|| {
                    format!(
                        "image efficiency is too low (efficiency={:.2} < threshold={least})",
                        waste.efficiency
                    )
                })
            }),
        ])
    }
}

/// A bound and the text that said it; `None` for a rule that is off.
type Bound = Option<(f64, String)>;

fn verdict(
    rule: &'static str,
    bound: Bound,
    broken: impl FnOnce(f64) -> Option<String>,
) -> Verdict {
    let Some((bound, said)) = bound else {
        return Verdict { rule, status: Status::Skip, message: "disabled".to_owned() };
    };
    match broken(bound) {
        Some(message) => Verdict { rule, status: Status::Fail, message },
        None => Verdict { rule, status: Status::Pass, message: said },
    }
}

fn is_off(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "" | "disabled" | "off" | "false")
}

fn ratio_of(rule: &str, text: &str) -> Result<Bound> {
    if is_off(text) {
        return Ok(None);
    }
    match text.trim().parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Some((ratio, text.trim().to_owned()))),
        _ => Err(Error::usage(format!("{rule} is {text:?}, which is no number from 0 to 1"))),
    }
}

/// `20MB`, `1.5 GiB`, `300`: decimal units unless there is an `i`, in any case.
fn bytes_of(text: &str) -> Result<Bound> {
    if is_off(text) {
        return Ok(None);
    }
    let wrong = || Error::usage(format!("highestWastedBytes is {text:?}, which is no size"));
    let lower = text.trim().to_ascii_lowercase().replace(',', "");
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let number: f64 = lower[..end].parse().map_err(|_| wrong())?;
    let unit = lower[end..].trim();
    let factor = match unit.strip_suffix('b').unwrap_or(unit) {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        "ki" => 1024.0,
        "mi" => 1024.0 * 1024.0,
        "gi" => 1024.0 * 1024.0 * 1024.0,
        "ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    Ok(Some((number * factor, text.trim().to_owned())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_dive_reads_them() {
        for (text, bytes) in
            [("20MB", 20e6), ("20Mb", 20e6), ("1,000", 1000.0), ("1.5 KiB", 1536.0), ("7", 7.0)]
        {
            assert_eq!(bytes_of(text).unwrap().unwrap().0, bytes, "{text}");
        }
        assert!(bytes_of("off").unwrap().is_none());
        assert!(bytes_of("20 pigs").is_err() && bytes_of("MB").is_err());
        assert!(ratio_of("x", "1.1").is_err() && ratio_of("x", "-0.1").is_err());
    }
}
