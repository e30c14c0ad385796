//! `.dockerignore`: which names of a context are left out.
//!
//! Lines are read as moby's `ignorefile` does, patterns match as its `patternmatcher` means them:
//! `**` any depth, `*` and `?` within a component, `[a-z]`, `\` protects; later lines win and `!`
//! takes back. A pattern also counts for everything below what it matches. The work for one name
//! is at most the length of the pattern times that of the name.

mod pattern;

use std::fmt;

use pattern::Matcher;

/// A larger file is refused (bytes).
pub const MAX_IGNORE_FILE: usize = 1 << 20;

/// The longest line (bytes).
const MAX_LINE: usize = 65_535;

/// A file's patterns.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

/// One line's pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// The pattern, cleaned, without `!`.
    pub text: String,
    /// Whether it takes names back (`!`).
    pub exception: bool,
    /// The line it stands on, from 1.
    pub line: usize,
    matcher: Matcher,
}

/// One pattern by itself, without the meaning that `!` and `#` have in a file.
#[derive(Clone, Debug)]
pub(in crate::build) struct Glob(Matcher);

impl Glob {
    /// Reads a pattern.
    pub(in crate::build) fn parse(text: &str) -> Result<Glob, String> {
        let syntax = || format!("syntax error in pattern {text:?}");
        Matcher::parse(text).map(Glob).ok_or_else(syntax)
    }

    /// Whether it fits a whole path.
    pub(in crate::build) fn matches(&self, path: &[u8]) -> bool {
        self.0.matches(path)
    }

    /// Whether it could fit something below a directory.
    pub(in crate::build) fn may_match_below(&self, directory: &[u8]) -> bool {
        self.0.may_match_below(directory)
    }
}

/// What is wrong with a file, and on which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoreError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for IgnoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for IgnoreError {}

/// Which patterns match a directory or one above it: what a walk carries down.
#[derive(Clone, Debug, Default)]
pub struct Above {
    matched: Vec<bool>,
}

/// The file that holds the patterns for a Dockerfile of this name, if there is one.
pub fn own_file(dockerfile: &str) -> String {
    format!("{dockerfile}.dockerignore")
}

/// The file in the root of a context that counts otherwise.
pub const SHARED_FILE: &str = ".dockerignore";

impl Ignore {
    /// Reads a file.
    pub fn parse(bytes: &[u8]) -> Result<Ignore, IgnoreError> {
        if bytes.len() > MAX_IGNORE_FILE {
            let problem = format!("the file has more than {MAX_IGNORE_FILE} bytes");
            return Err(IgnoreError { line: 1, problem });
        }
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut patterns = Vec::new();
        for (index, line) in text.split('\n').enumerate() {
            let number = index + 1;
            let failed = |problem: &str| IgnoreError { line: number, problem: problem.to_owned() };
            if line.len() > MAX_LINE {
                return Err(failed("the line is longer than 65535 bytes"));
            }
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            patterns.push(Pattern::parse(line.trim(), number).map_err(|text| failed(&text))?);
        }
        Ok(Ignore { patterns })
    }

    /// The patterns in their order.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether any pattern takes names back.
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// The pattern because of which a path (relative, with `/`) is left out; `None` if it is not.
    pub fn excluded_by(&self, path: &[u8]) -> Option<&Pattern> {
        let mut above = Above::default();
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        for end in ends {
            self.step(&path[..end], &mut above);
        }
        self.step(path, &mut above)
    }

    /// The same for a walk: `above` holds what the directories above matched, and is what matched
    /// `path` or anything above it afterwards.
    pub fn step(&self, path: &[u8], above: &mut Above) -> Option<&Pattern> {
        above.matched.resize(self.patterns.len(), false);
        let mut by = None;
        for (pattern, matched) in self.patterns.iter().zip(&mut above.matched) {
            // Only what changes the result needs to be asked.
            if !*matched && pattern.exception == by.is_some() {
                *matched = pattern.matcher.matches(path);
            }
            if *matched {
                by = if pattern.exception { None } else { Some(pattern) };
            }
        }
        by
    }

    /// Whether a directory that is left out must be walked, because an exception may match
    /// something below it.
    pub fn may_take_back_below(&self, directory: &[u8]) -> bool {
        let exceptions = self.patterns.iter().filter(|pattern| pattern.exception);
        exceptions.into_iter().any(|pattern| pattern.matcher.may_match_below(directory))
    }

    /// Whether the whole context is left out by one pattern (`*`, `**` or `**/*`).
    pub fn excludes_everything(&self) -> Option<&Pattern> {
        let whole = |text: &str| matches!(text, "*" | "**" | "**/*");
        self.patterns.iter().find(|pattern| !pattern.exception && whole(&pattern.text))
    }
}

impl Pattern {
    fn parse(line: &str, number: usize) -> Result<Pattern, String> {
        let (exception, rest) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        if rest.is_empty() {
            return Err("illegal exclusion pattern: \"!\"".to_owned());
        }
        let cleaned = clean(rest);
        let text = match cleaned.strip_prefix('/') {
            Some(rest) if !rest.is_empty() => rest.to_owned(),
            _ => cleaned,
        };
        let matcher =
            Matcher::parse(&text).ok_or_else(|| format!("syntax error in pattern {text:?}"))?;
        Ok(Pattern { text, exception, line: number, matcher })
    }
}

/// A path without empty components, `.`, and `..` where something precedes it.
pub(in crate::build) fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            ("..", None) if absolute => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests;
