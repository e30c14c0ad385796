//! `COPY` and `ADD`.

use super::super::diagnostic::Diagnostic;
use super::super::dockerfile::{self, Instruction, Word};
use super::super::expand::Lexer;
use super::evaluate::Evaluator;
use super::{Chmod, Input, Operation, Place, Transfer, paths};

impl Evaluator<'_> {
    pub(super) fn transfer(
        &mut self,
        instruction: &Instruction,
        written: &dockerfile::Transfer,
        add: bool,
    ) -> Option<(Operation, bool)> {
        let mut certain = true;
        let mut out = Transfer {
            add,
            from: self.transfer_input(written),
            link: written.link,
            parents: written.parents,
            keep_git_dir: written.keep_git_dir,
            unpack: written.unpack,
            exclude: written.exclude.iter().map(|word| word.text.clone()).collect(),
            ..Transfer::default()
        };
        out.chown = self.flag(instruction, &written.chown, &mut certain)?;
        if let Some(word) = &written.chmod {
            out.chmod = self.chmod(instruction, word, &mut certain);
        }
        out.checksum = self.flag(instruction, &written.checksum, &mut certain)?;
        let mut complete = true;
        for word in &written.paths {
            match self.expand(instruction, word) {
                Some(value) => {
                    certain &= value.certain;
                    out.sources.push(self.source(&value.text, word, add));
                }
                None => complete = false,
            }
        }
        let destination = self.expand(instruction, &written.destination)?;
        if !complete {
            return None;
        }
        certain &= destination.certain;
        out.destination = paths::destination(self.state.workdir.as_deref(), &destination.text);
        out.destination_text = destination.text;
        certain &= out.destination.starts_with('/');
        self.documents(instruction, written, &mut out, &mut certain)?;
        if out.checksum.is_some() && certain {
            self.check_checksum(written, &out);
        }
        Some((Operation::Transfer(Box::new(out)), certain))
    }

    /// Where paths are looked up.
    fn transfer_input(&mut self, written: &dockerfile::Transfer) -> Option<Input> {
        let Some(from) = written.from.as_ref().filter(|from| !from.text.is_empty()) else {
            return Some(Input::Context);
        };
        let lexer = Lexer::new(self.file.directives.escape);
        let plain = lexer.expand(&from.text, &super::super::expand::NoVariables, self.budget);
        if !plain.is_ok_and(|plain| plain.text == from.text) {
            self.error(
                from.span,
                "variable expansion is not supported for --from, define a new stage with FROM \
                 using ARG from global scope as a workaround",
            );
            return None;
        }
        self.input(from, &from.text, true)
    }

    /// What a `from` means. References to stages below were told when the order was looked at.
    pub(super) fn input(&mut self, word: &Word, name: &str, numbers: bool) -> Option<Input> {
        match self.names.input(name, self.index, numbers, self.options) {
            Ok(input) => {
                let known = self.names.nearly(name).filter(|_| matches!(input, Input::Image(_)));
                if let Some(known) = known {
                    let text = format!("no stage is called {name}: this means an image");
                    let note = Diagnostic::note(self.place(word.span), text);
                    self.found.push(note.suggest(Some(known)));
                }
                Some(input)
            }
            Err(problem) => {
                self.error(word.span, problem);
                None
            }
        }
    }

    fn flag(
        &mut self,
        instruction: &Instruction,
        word: &Option<Word>,
        certain: &mut bool,
    ) -> Option<Option<String>> {
        let Some(word) = word else { return Some(None) };
        let value = self.expand(instruction, word)?;
        *certain &= value.certain;
        Some(Some(value.text).filter(|text| !text.is_empty()))
    }

    fn chmod(
        &mut self,
        instruction: &Instruction,
        word: &Word,
        certain: &mut bool,
    ) -> Option<Chmod> {
        let value = self.expand(instruction, word)?;
        *certain &= value.certain;
        if !value.certain || value.text.is_empty() {
            return None;
        }
        match Chmod::parse(&value.text) {
            Ok(chmod) => Some(chmod),
            Err(problem) => {
                self.error(word.span, problem);
                None
            }
        }
    }

    fn source(&mut self, text: &str, word: &Word, add: bool) -> Place {
        let place = Place::parse(text);
        match &place {
            Place::Url(_) if !add => self.error(word.span, "source can't be a URL for COPY"),
            Place::Git(_) if !add => self.error(word.span, "source can't be a git ref for COPY"),
            _ => {}
        }
        place
    }

    /// Names and contents of here-documents.
    fn documents(
        &mut self,
        instruction: &Instruction,
        written: &dockerfile::Transfer,
        out: &mut Transfer,
        certain: &mut bool,
    ) -> Option<()> {
        for document in &written.documents {
            let name = match document.file_name() {
                Ok(name) => name,
                Err(problem) => {
                    self.error(document.span, problem);
                    return None;
                }
            };
            let content = document.content();
            if !document.expand {
                if let Err(error) = self.budget.pay(content.len()) {
                    self.error(document.span, error.to_string());
                    return None;
                }
                out.documents.push((name, content));
                continue;
            }
            let lexer =
                Lexer { plain_quotes: true, keep_unset: !self.state.known, ..Lexer::new('\\') };
            let expansion = self.expanded(instruction, lexer, &content, document.span)?;
            let value = self.value(expansion);
            *certain &= value.certain;
            out.documents.push((name, value.text));
        }
        Some(())
    }

    fn check_checksum(&mut self, written: &dockerfile::Transfer, out: &Transfer) {
        let span = written.checksum.as_ref().map(|word| word.span).unwrap_or_default();
        match out.sources.as_slice() {
            [Place::Path(_)] => self.error(span, "checksum requires HTTP(S) or Git sources"),
            [_] => {}
            _ => self.error(span, "checksum can't be specified for multiple sources"),
        }
    }
}
