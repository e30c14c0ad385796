//! Lines of the files of an image that match a pattern.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex_lite::{Regex, RegexBuilder};
use serde::Serialize;
use tokio::sync::mpsc;

use super::content::visit;
use super::merged::Merged;
use super::name::{Name, is_within};
use super::walk::Member;
use super::wanted::Wanted;
use crate::error::{Error, Result};
use crate::spec::Image;
use crate::transport::Source;

/// Longest line that is looked at; the rest of a longer one is not.
const MAX_LINE: usize = 64 << 10;

/// How lines are looked for.
#[derive(Clone, Debug, Default)]
pub struct GrepOptions {
    /// Upper and lower case are the same.
    pub ignore_case: bool,
    /// The pattern is text, not a regular expression.
    pub fixed: bool,
    /// One match of each file is enough.
    pub first_only: bool,
}

/// A line that matches.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// The file.
    pub path: Name,
    /// The layer that it comes from, counted from 1.
    pub layer: usize,
    /// The line, counted from 1; `None` for a binary file, of which only the fact is told.
    pub line: Option<u64>,
    /// The line's text; empty for a binary file.
    pub text: Name,
}

/// Finds lines in the regular files at and below `paths` (all, if there are none), layer by layer.
///
/// # Errors
/// `Usage` for a pattern that is none; `NotFound` for a path that is not there.
pub async fn grep<S: Source>(
    source: &S,
    image: &Image,
    merged: &Merged<'_>,
    pattern: &str,
    paths: &[Vec<u8>],
    options: &GrepOptions,
    mut found: impl FnMut(Match) -> Result<()>,
) -> Result<()> {
    let pattern = compile(pattern, options)?;
    for (number, wanted) in wanted(merged, paths)? {
        let Some((layer, index)) = image.layers().get(number).zip(merged.layers().get(number))
        else {
            continue;
        };
        // Bounded, so that a reader who stops stops the search.
        let (sender, mut matches) = mpsc::channel(64);
        let (pattern, first_only) = (pattern.clone(), options.first_only);
        let wanted = Arc::new(wanted);
        let search = visit(source, &layer.descriptor, index, wanted.clone(), move |member| {
            let ordinal = member.entry.ordinal;
            let send = |line: Option<u64>, text: &[u8]| {
                for path in wanted.paths(ordinal) {
                    let (path, text) = (Name::from(path), Name::from(text));
                    let one = Match { path, layer: number + 1, line, text };
                    let gone = |_| Error::new(crate::ErrorKind::Cancelled, "nobody reads");
                    sender.blocking_send(one).map_err(gone)?;
                }
                Ok(())
            };
            lines(member, &pattern, first_only, send)
        });
        let print = async {
            while let Some(one) = matches.recv().await {
                found(one)?;
            }
            Ok(())
        };
        tokio::try_join!(search, print)?;
    }
    Ok(())
}

fn compile(pattern: &str, options: &GrepOptions) -> Result<Regex> {
    let pattern = if options.fixed { regex_lite::escape(pattern) } else { pattern.to_owned() };
    RegexBuilder::new(&pattern).case_insensitive(options.ignore_case).build().map_err(|error| {
        Error::caused(crate::ErrorKind::Usage, "the pattern is no regular expression", error)
    })
}

fn wanted(merged: &Merged<'_>, paths: &[Vec<u8>]) -> Result<BTreeMap<usize, Wanted>> {
    let mut roots = Vec::new();
    for path in paths {
        roots.push(merged.resolve(path, true)?);
    }
    let within = |path: &[u8]| roots.is_empty() || roots.iter().any(|root| is_within(path, root));
    Ok(Wanted::of(merged, merged.all(), |path, _| within(path)))
}

/// Searches one file line by line. A file with a NUL before its first match is binary.
fn lines(
    mut member: Member<'_>,
    pattern: &Regex,
    first_only: bool,
    send: impl Fn(Option<u64>, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut search = Search { pattern, first_only, number: 0, binary: false, done: false };
    let mut line: Vec<u8> = Vec::new();
    member.each_chunk(|mut bytes| {
        while !search.done && !bytes.is_empty() {
            let end = bytes.iter().position(|&b| b == b'\n');
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            line.extend_from_slice(&piece[..piece.len().min(MAX_LINE - line.len())]);
            if end.is_some() {
                search.line(&line, &send)?;
                line.clear();
            }
            bytes = &bytes[end.map_or(bytes.len(), |end| end + 1)..];
        }
        Ok(())
    })?;
    if !line.is_empty() && !search.done {
        search.line(&line, &send)?;
    }
    Ok(())
}

struct Search<'a> {
    pattern: &'a Regex,
    first_only: bool,
    number: u64,
    binary: bool,
    done: bool,
}

impl Search<'_> {
    fn line(
        &mut self,
        line: &[u8],
        send: &impl Fn(Option<u64>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.number += 1;
        self.binary |= line.contains(&0);
        if !self.pattern.is_match(&String::from_utf8_lossy(line)) {
            return Ok(());
        }
        self.done = self.binary || self.first_only;
        match self.binary {
            true => send(None, b""),
            false => send(Some(self.number), line),
        }
    }
}
