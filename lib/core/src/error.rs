//! The one error type that crosses folders.
//!
//! Code branches on [`Error::kind`]; people read the chain that [`Error::chain`] prints. Folders
//! keep finer errors of their own where a caller needs other facts and convert them here.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// What sort of failure it was. Decides retries and exit codes, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The thing named does not exist.
    NotFound,
    /// The thing must not exist yet but does.
    AlreadyExists,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// Known who asks, and not allowed; or forbidden by the person's own configuration.
    Denied,
    /// The input breaks a rule of its format.
    Invalid,
    /// Well formed, but nothing here can do it.
    Unsupported,
    /// Bytes do not match their digest, size or signature requirement.
    Corrupt,
    /// The other side could not be reached or had no capacity; may work later.
    Unavailable,
    /// Somebody else holds it.
    Busy,
    /// The person stopped it.
    Cancelled,
    /// Used wrongly: arguments that contradict each other or name nothing.
    Usage,
    /// Anything else, most often the operating system.
    Failed,
}

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// A failure: its kind, what was being done (and on what), and the cause.
pub struct Error {
    kind: ErrorKind,
    doing: Cow<'static, str>,
    source: Option<Source>,
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure without a deeper cause; `what` says what is wrong with which thing.
    pub fn new(kind: ErrorKind, what: impl Into<Cow<'static, str>>) -> Error {
        Error { kind, doing: what.into(), source: None }
    }

    /// A failure of kind `kind` while `doing` something, because of `source`.
    pub fn caused(
        kind: ErrorKind,
        doing: impl Into<Cow<'static, str>>,
        source: impl Into<Source>,
    ) -> Error {
        Error { kind, doing: doing.into(), source: Some(source.into()) }
    }

    /// A failed system call or file operation. The kind follows from the error number.
    pub fn io(doing: impl Into<Cow<'static, str>>, source: std::io::Error) -> Error {
        // An error of ours may have travelled through a `Read`: its kind is the truth.
        let kind = match source.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(inner) => inner.kind,
            None => kind_of_io(&source),
        };
        Error { kind, doing: doing.into(), source: Some(Box::new(source)) }
    }

    /// Shorthand for [`ErrorKind::Invalid`].
    pub fn invalid(what: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Invalid, what)
    }

    /// Shorthand for [`ErrorKind::NotFound`].
    pub fn not_found(what: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::NotFound, what)
    }

    /// Shorthand for [`ErrorKind::Corrupt`].
    pub fn corrupt(what: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Corrupt, what)
    }

    /// Shorthand for [`ErrorKind::Unsupported`].
    pub fn unsupported(what: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Unsupported, what)
    }

    /// Shorthand for [`ErrorKind::Usage`].
    pub fn usage(what: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Usage, what)
    }

    /// The same failure, seen from the larger action that it spoiled.
    pub fn while_doing(self, doing: impl Into<Cow<'static, str>>) -> Error {
        Error { kind: self.kind, doing: doing.into(), source: Some(Box::new(self)) }
    }

    /// What sort of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The whole chain on one line: `copying a: layer sha256:…: connection reset`.
    pub fn chain(&self) -> String {
        let mut out = self.doing.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            let text = error.to_string();
            // An `io::Error` that only carries another error prints that one's text.
            if !out.ends_with(&text) {
                out.push_str(": ");
                out.push_str(&text);
            }
            next = error.source();
        }
        out
    }
}

fn kind_of_io(error: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::AlreadyExists => ErrorKind::AlreadyExists,
        Io::PermissionDenied => ErrorKind::Denied,
        Io::ConnectionRefused
        | Io::ConnectionReset
        | Io::ConnectionAborted
        | Io::TimedOut
        | Io::HostUnreachable
        | Io::NetworkUnreachable => ErrorKind::Unavailable,
        Io::InvalidData => ErrorKind::Corrupt,
        _ => ErrorKind::Failed,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Lets our errors pass through `Read` and `Write` without losing their kind.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        let kind = match error.kind {
            ErrorKind::Corrupt => std::io::ErrorKind::InvalidData,
            _ => std::io::ErrorKind::Other,
        };
        std::io::Error::new(kind, error)
    }
}

/// Adds what was being done to results of file operations.
pub trait IoContext<T> {
    /// Turns an `io::Error` into ours; `doing` is only called on failure.
    fn doing<S: Into<Cow<'static, str>>>(self, doing: impl FnOnce() -> S) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn doing<S: Into<Cow<'static, str>>>(self, doing: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|source| Error::io(doing(), source))
    }
}

impl<T> IoContext<T> for rustix::io::Result<T> {
    fn doing<S: Into<Cow<'static, str>>>(self, doing: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|source| Error::io(doing(), source.into()))
    }
}

impl<T> IoContext<T> for Result<T> {
    fn doing<S: Into<Cow<'static, str>>>(self, doing: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.while_doing(doing()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_step_once() {
        let io = std::io::Error::from(Error::corrupt("layer sha256:00: received 1 of 2 bytes"));
        let error = Error::io("reading", io).while_doing("copying docker://a/b:1");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(
            error.chain(),
            "copying docker://a/b:1: reading: layer sha256:00: received 1 of 2 bytes"
        );
    }

    #[test]
    fn kinds_follow_error_numbers() {
        let missing = std::fs::File::open("/nonexistent/file").doing(|| "opening x").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }
}
