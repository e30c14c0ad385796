//! `check=skip=A,B;error=true;experimental=all`: which rules count.

use std::collections::BTreeSet;

use super::super::dockerfile::split_comment;
use super::rules::{Rule, Whose};

/// What is skipped, switched on, and an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// No rule counts but experimental ones that are switched on.
    pub skip_all: bool,
    /// Rules that do not count.
    pub skip: BTreeSet<String>,
    /// All experimental rules count.
    pub experimental_all: bool,
    /// Experimental rules that count; rules of ours that are errors with `error`.
    pub experimental: BTreeSet<String>,
    /// A broken rule of BuildKit's makes the build fail.
    pub error: bool,
}

impl Options {
    /// Reads the value of a `check` directive.
    pub fn parse(text: &str) -> Result<Options, String> {
        let mut out = Options::default();
        if text.trim().is_empty() {
            return Ok(out);
        }
        for part in text.trim().splitn(3, ';') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("invalid check option {part:?}"));
            };
            let value = value.trim();
            let names = || value.split(',').map(|name| name.trim().to_owned()).collect();
            match (key.trim(), value) {
                ("skip", "all") => out.skip_all = true,
                ("skip", _) => out.skip = names(),
                ("experimental", "all") => out.experimental_all = true,
                ("experimental", _) => out.experimental = names(),
                ("error", "true" | "1" | "t" | "T" | "TRUE" | "True") => out.error = true,
                ("error", "false" | "0" | "f" | "F" | "FALSE" | "False") => out.error = false,
                ("error", _) => return Err(format!("failed to parse check option {part:?}")),
                (key, _) => return Err(format!("invalid check option {key:?}")),
            }
        }
        Ok(out)
    }

    /// What a directive's value says: up to the first blank, the rest is a remark.
    pub fn of_directive(value: &str) -> Result<Options, String> {
        Options::parse(value.split(' ').next().unwrap_or_default())
    }

    /// What a comment above an instruction says about rules, if it does.
    pub(super) fn of_comment(comment: &str) -> Option<Options> {
        let (key, directive) = split_comment(comment)?;
        if key != "check" {
            return None;
        }
        Options::of_directive(&directive.value).ok()
    }

    /// Both together; whether warnings are errors stays.
    pub(super) fn merged(&self, other: &Options) -> Options {
        let mut out = self.clone();
        out.skip_all |= other.skip_all;
        out.experimental_all |= other.experimental_all;
        out.skip.extend(other.skip.iter().cloned());
        out.experimental.extend(other.experimental.iter().cloned());
        out
    }

    /// Whether anything is said about a rule.
    pub(super) fn counts(&self, rule: &Rule) -> bool {
        if rule.experimental {
            self.switched_on(rule)
        } else {
            !self.skip_all && !self.skip.contains(rule.name)
        }
    }

    fn switched_on(&self, rule: &Rule) -> bool {
        self.experimental_all || self.experimental.contains(rule.name)
    }

    /// Whether a broken rule is an error. Rules that BuildKit does not have only are when the file
    /// names them, so that what passes there passes here.
    pub(super) fn is_error(&self, rule: &Rule) -> bool {
        self.error && (rule.whose == Whose::BuildKit || self.switched_on(rule))
    }

    /// All rules named.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.skip.iter().chain(&self.experimental).map(String::as_str)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let options = Options::parse("skip=A, B;error=true;experimental=all").unwrap();
        assert_eq!(options.skip, BTreeSet::from(["A".to_owned(), "B".to_owned()]));
        assert!(options.error && options.experimental_all && !options.skip_all);
        assert!(Options::parse(" skip=all ").unwrap().skip_all);
        assert_eq!(Options::parse("").unwrap(), Options::default());
        for (text, error) in [
            ("skip", "invalid check option \"skip\""),
            ("what=x", "invalid check option \"what\""),
            ("error=maybe", "failed to parse check option \"error=maybe\""),
        ] {
            assert_eq!(Options::parse(text).unwrap_err(), error);
        }
    }

    #[test]
    fn comments_switch_rules_off() {
        assert!(Options::of_comment("check=skip=all // why").unwrap().skip_all);
        assert_eq!(Options::of_comment("see check=skip=all"), None);
        assert_eq!(Options::of_comment("check=nonsense"), None);
    }
}
