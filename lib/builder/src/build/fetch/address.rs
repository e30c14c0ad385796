//! How people name a git repository and what they want of it.

use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::WebAddress;

/// Longest address that is read.
const MAX_ADDRESS: usize = 4 << 10;

/// A git repository, and what of it is wanted.
#[derive(Clone, Debug, Default)]
pub struct GitAddress {
    /// What git is told: no credentials of a web address, no fragment and no query.
    pub remote: String,
    /// A branch, a tag, a full reference or a whole commit ID; nothing for the default branch.
    pub reference: Option<String>,
    /// The commit ID, or its beginning, that the reference must have.
    pub commit: Option<String>,
    /// The directory that is wanted of it.
    pub subdirectory: Option<String>,
    /// Whether `.git` stays.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules come along.
    pub submodules: bool,
    /// Whether files get the time of the checkout rather than the commit's.
    pub made_now: bool,
    /// What a web address has said about who asks: a value of `Authorization`.
    pub authorization: Option<Secret>,
}

impl GitAddress {
    /// Whether an address means a git repository by its looks, where a directory is possible too.
    pub fn is_one(text: &str) -> bool {
        use super::super::graph::Place;
        text.starts_with("github.com/") || matches!(Place::parse(text), Place::Git(_))
    }

    /// Reads `URL[?query][#reference[:directory]]` or `user@host:path[#…]`.
    ///
    /// # Errors
    /// Invalid, naming what of it is wrong.
    pub fn parse(text: &str) -> Result<GitAddress> {
        let shown = WebAddress::parse(text).map_or_else(|_| cut(text), |address| address.shown());
        Self::read(text).map_err(|error| error.while_doing(format!("git repository {shown}")))
    }

    fn read(text: &str) -> Result<GitAddress> {
        if text.len() > MAX_ADDRESS || text.contains(|c: char| c.is_control() || c == ' ') {
            return Err(Error::invalid("the address is too long or holds blanks"));
        }
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let is_url = rest.contains("://") || rest.starts_with("github.com/");
        // A path on a host may hold a question mark.
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) if is_url => (rest, query),
            _ => (rest, ""),
        };
        let rest = match rest.strip_prefix("github.com/") {
            Some(path) => format!("https://github.com/{path}"),
            None => rest.to_owned(),
        };
        let mut out = GitAddress { submodules: true, remote: rest, ..GitAddress::default() };
        if out.remote.starts_with("http://") || out.remote.starts_with("https://") {
            let (address, secret) = WebAddress::parse(&out.remote)?.without_credentials();
            (out.remote, out.authorization) = (address.text().to_owned(), secret);
        }
        // Neither git nor ssh shall take it for an option.
        let after = out.remote.split_once("://").map_or(out.remote.as_str(), |(_, rest)| rest);
        let host = after.rsplit_once('@').map_or(after, |(_, host)| host);
        if after.starts_with('-') || host.starts_with('-') || host.is_empty() {
            return Err(Error::invalid("it names no host"));
        }
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            out.option(key, &decoded(value)?)?;
        }
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        for (what, place, value) in [
            ("reference", &mut out.reference, reference),
            ("directory", &mut out.subdirectory, directory),
        ] {
            if !value.is_empty() && place.replace(value.to_owned()).is_some() {
                return Err(Error::invalid(format!("it names two {what} values")));
            }
        }
        out.check()?;
        Ok(out)
    }

    fn option(&mut self, key: &str, value: &str) -> Result<()> {
        let yes = || match value {
            "" | "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            other => Err(Error::invalid(format!("{key}={other} is neither true nor false"))),
        };
        let reference = match key {
            "ref" => value.to_owned(),
            "branch" => format!("refs/heads/{value}"),
            "tag" => format!("refs/tags/{value}"),
            "commit" | "checksum" => {
                self.commit = Some(value.to_owned());
                return Ok(());
            }
            "subdir" => {
                self.subdirectory = Some(value.to_owned());
                return Ok(());
            }
            "keep-git-dir" => {
                self.keep_git_dir = Some(yes()?);
                return Ok(());
            }
            "submodules" => {
                self.submodules = yes()?;
                return Ok(());
            }
            "mtime" if matches!(value, "commit" | "checkout") => {
                self.made_now = value == "checkout";
                return Ok(());
            }
            // How a commit comes is not for an address to say.
            "fetch-by-commit" => return yes().map(drop),
            _ => return Err(Error::invalid(format!("{key}={value} is no option that is known"))),
        };
        match self.reference.replace(reference) {
            None => Ok(()),
            Some(_) => Err(Error::invalid("it names more than one reference")),
        }
    }

    /// Whether every part of it is what it should be.
    fn check(&self) -> Result<()> {
        if let Some(reference) = self.reference.as_deref().filter(|text| !is_reference(text)) {
            return Err(Error::invalid(format!("{} is no reference", cut(reference))));
        }
        if let Some(commit) = self.commit.as_deref() {
            check_commit(commit)?;
        }
        Ok(())
    }
}

/// Whether a text is a whole commit ID.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Fails for what is neither a commit ID nor so much of its beginning that it means something.
pub(super) fn check_commit(text: &str) -> Result<()> {
    match (7..=64).contains(&text.len()) && is_hex(text) {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Invalid,
            format!("{} is no commit ID (7 to 64 hexadecimal digits)", cut(text)),
        )),
    }
}

/// `git check-ref-format`, for names of one part as well.
fn is_reference(text: &str) -> bool {
    let odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    };
    text.len() <= 255
        && !text.contains(odd)
        && !text.contains("..")
        && !text.contains("@{")
        && text != "@"
        && text.split('/').all(part)
}

fn decoded(text: &str) -> Result<String> {
    let bytes = crate::registry::percent_decoded(text.as_bytes());
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => Ok(text),
        _ => Err(Error::invalid("its query is no text")),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(200).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_all_forms() {
        for (text, remote, reference, directory) in [
            ("https://x/a.git", "https://x/a.git", None, None),
            ("https://x/a.git#v1", "https://x/a.git", Some("v1"), None),
            ("https://x/a.git#:d/e", "https://x/a.git", None, Some("d/e")),
            ("https://x/a.git#f/g:d", "https://x/a.git", Some("f/g"), Some("d")),
            ("https://x/a.git?ref=v1&subdir=d%20e", "https://x/a.git", Some("v1"), Some("d e")),
            ("https://x/a.git?branch=b", "https://x/a.git", Some("refs/heads/b"), None),
            ("https://x/a.git?tag=t", "https://x/a.git", Some("refs/tags/t"), None),
            ("git@x:a/b?.git#v", "git@x:a/b?.git", Some("v"), None),
            ("ssh://git@x:22/a#v", "ssh://git@x:22/a", Some("v"), None),
            ("git://x/a", "git://x/a", None, None),
            ("github.com/a/b#v:d", "https://github.com/a/b", Some("v"), Some("d")),
        ] {
            let address = GitAddress::parse(text).unwrap();
            let found = (
                address.remote.as_str(),
                address.reference.as_deref(),
                address.subdirectory.as_deref(),
            );
            assert_eq!(found, (remote, reference, directory), "{text}");
        }
        let address = GitAddress::parse(
            "https://me:word@x/a.git?commit=abcdef0&keep-git-dir&submodules=0&mtime=checkout",
        );
        let address = address.unwrap();
        assert_eq!(address.remote, "https://x/a.git");
        assert_eq!(address.authorization.unwrap().expose(), "Basic bWU6d29yZA==");
        assert_eq!(address.commit.as_deref(), Some("abcdef0"));
        let switches = (address.keep_git_dir, address.submodules, address.made_now);
        assert_eq!(switches, (Some(true), false, true));
    }

    #[test]
    fn what_is_no_address() {
        for (text, why) in [
            ("https://x/a.git?x=1", "x=1 is no option that is known"),
            ("https://x/a.git?ref=a&tag=b", "more than one reference"),
            ("https://x/a.git?ref=a#b", "two reference values"),
            ("https://x/a.git#-x", "-x is no reference"),
            ("https://x/a.git#a..b", "a..b is no reference"),
            ("https://x/a.git#a/.b", "a/.b is no reference"),
            ("https://x/a.git#v@{1}", "v@{1} is no reference"),
            ("https://x/a.git?commit=abc", "abc is no commit ID"),
            ("https://x/a.git?submodules=x", "submodules=x is neither true nor false"),
            ("ssh://-oProxyCommand=x/a", "names no host"),
            ("-x@y:z", "names no host"),
            ("git://x/a b", "holds blanks"),
        ] {
            let error = GitAddress::parse(text).unwrap_err().chain();
            assert!(error.contains(why), "{text}: {error}");
        }
        let error = GitAddress::parse("https://me:word@x/a.git#..").unwrap_err().chain();
        assert!(!error.contains("word"), "{error}");
    }
}
