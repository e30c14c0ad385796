//! `HEALTHCHECK`.

use super::super::diagnostic::Diagnostic;
use super::flags::{self, Flags};
use super::parse::Reading;
use super::words::{self, Form};
use crate::spec::Healthcheck;

impl Reading<'_> {
    pub(super) fn healthcheck(&mut self) -> Option<Healthcheck> {
        let flags = self.flags(flags::HEALTHCHECK);
        if !self.has_rest() {
            return self.at_least_one();
        }
        let text = self.rest();
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let kind = text[..end].to_uppercase();
        let argument = text[end..].trim_start();
        if kind == "NONE" {
            if !argument.is_empty() {
                return self.error_here("HEALTHCHECK NONE takes no arguments");
            }
            return Some(Healthcheck { test: vec![kind], ..Healthcheck::default() });
        }
        if kind != "CMD" {
            return self.error_here(format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)"));
        }
        let test = match words::json(argument) {
            Form::NotStrings => return self.not_strings(),
            Form::Json(words) if !words.is_empty() => [vec![kind], words].concat(),
            Form::Plain if !argument.is_empty() => {
                vec!["CMD-SHELL".to_owned(), argument.to_owned()]
            }
            _ => return self.error_here("Missing command after HEALTHCHECK CMD"),
        };
        Some(Healthcheck {
            test,
            interval: self.interval(&flags, "interval"),
            timeout: self.interval(&flags, "timeout"),
            start_period: self.interval(&flags, "start-period"),
            start_interval: self.interval(&flags, "start-interval"),
            retries: self.retries(&flags),
        })
    }

    /// A length of time, zero where there is none.
    fn interval(&mut self, flags: &Flags, name: &str) -> i64 {
        let Some(word) = flags.word(name).filter(|word| !word.text.is_empty()) else { return 0 };
        match crate::spec::parse_duration(&word.text) {
            Some(0) => 0,
            Some(length) if length >= 1_000_000 => length,
            Some(_) => {
                let text = format!("Interval {name:?} cannot be less than 1ms");
                self.found.push(Diagnostic::error(word.span, text));
                0
            }
            None => {
                let text = format!("--{name}: {:?} is no duration", word.text);
                let problem = Diagnostic::error(word.span, text).hint("as 30s, 1m30s or 500ms");
                self.found.push(problem);
                0
            }
        }
    }

    fn retries(&mut self, flags: &Flags) -> i64 {
        let Some(word) = flags.word("retries").filter(|word| !word.text.is_empty()) else {
            return 0;
        };
        let problem = match word.text.parse::<i32>() {
            Ok(retries) if retries >= 0 => return i64::from(retries),
            Ok(retries) => format!("--retries cannot be negative ({retries})"),
            Err(_) => format!("--retries: {:?} is no number", word.text),
        };
        self.found.push(Diagnostic::error(word.span, problem));
        0
    }
}
