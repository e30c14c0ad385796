//! Instructions that only set a field of the image: `EXPOSE`, `VOLUME`, `STOPSIGNAL`.

use super::super::diagnostic::Diagnostic;
use super::super::dockerfile::{Instruction, Word};
use super::super::lint::rules;
use super::super::source::Span;
use super::super::suggest;
use super::evaluate::Evaluator;
use super::{Operation, ports, signals};

impl Evaluator<'_> {
    pub(super) fn expose(
        &mut self,
        instruction: &Instruction,
        words: &[Word],
    ) -> Option<(Operation, bool)> {
        let mut sorted: Vec<&Word> = words.iter().collect();
        sorted.sort_by(|a, b| a.text.cmp(&b.text));
        let mut out = Vec::new();
        let mut certain = true;
        for word in sorted {
            let Some(expansion) = self.expanded(instruction, self.lexer(), &word.text, word.span)
            else {
                continue;
            };
            let texts = expansion.words.clone();
            if !self.value(expansion).certain {
                certain = false;
                continue;
            }
            for text in texts {
                match ports::parse(&text) {
                    Ok(port) => {
                        self.advise_port(instruction, &port, &text, word.span);
                        out.push(port.range);
                    }
                    Err(problem) => self.error(word.span, problem),
                }
            }
        }
        Some((Operation::Expose(out), certain))
    }

    fn advise_port(
        &mut self,
        instruction: &Instruction,
        port: &ports::Port,
        text: &str,
        span: Span,
    ) {
        let span = self.place(span);
        let comments = &instruction.comments;
        if port.cased {
            let text =
                format!("Defined protocol '{text}' in EXPOSE instruction should be lowercase");
            self.advice.warn(&rules::EXPOSE_PROTO_CASING, comments, span, text);
        }
        if port.mapped {
            let text = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'"
            );
            self.advice.warn(&rules::EXPOSE_INVALID_FORMAT, comments, span, text);
        }
    }

    pub(super) fn volume(
        &mut self,
        instruction: &Instruction,
        words: &[Word],
    ) -> Option<(Operation, bool)> {
        let mut out = Vec::new();
        let mut certain = true;
        for word in words {
            let value = self.expand(instruction, word)?;
            if value.text.is_empty() {
                self.error(word.span, "VOLUME specified can not be an empty string");
            }
            certain &= value.certain;
            out.push(value.text);
        }
        Some((Operation::Volume(out), certain))
    }

    pub(super) fn stop_signal(
        &mut self,
        instruction: &Instruction,
        word: &Word,
    ) -> Option<(Operation, bool)> {
        let value = self.expand(instruction, word)?;
        if value.certain && !signals::is_signal(&value.text) {
            let upper = value.text.to_ascii_uppercase();
            let name = upper.strip_prefix("SIG").unwrap_or(&upper);
            let known = suggest::nearest(name, signals::names(), false);
            let text = format!("invalid signal: {}", value.text);
            let span = self.place(word.span);
            let problem = Diagnostic::error(span, text);
            self.found.push(problem.suggest(known.map(|name| format!("SIG{name}"))));
        }
        Some((Operation::StopSignal(value.text), value.certain))
    }
}
