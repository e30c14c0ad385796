//! The variables that name proxies. What they mean for a URL is decided in `registry`.

use std::ffi::OsString;
use std::fmt;

/// The variables that name proxies, as they are set. By default none are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyVariables {
    /// `HTTP_PROXY`, else `http_proxy`.
    pub http: String,
    /// `HTTPS_PROXY`, else `https_proxy`.
    pub https: String,
    /// `NO_PROXY`, else `no_proxy`.
    pub no_proxy: String,
    /// Whether `REQUEST_METHOD` is set: the environment of a CGI program holds the headers of its
    /// client, and one named `Proxy` would be called `HTTP_PROXY`.
    pub is_cgi: bool,
}

impl ProxyVariables {
    /// Reads them with `lookup`, which answers like `std::env::var_os`. As with Go programs, the
    /// upper-case name goes first, and `ALL_PROXY` means nothing.
    pub fn from_environment(lookup: &dyn Fn(&str) -> Option<OsString>) -> ProxyVariables {
        let value = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_lowercase()];
            let set = names.iter().filter_map(|name| lookup(name)).find(|value| !value.is_empty());
            set.unwrap_or_default().to_string_lossy().into_owned()
        };
        ProxyVariables {
            http: value("HTTP_PROXY"),
            https: value("HTTPS_PROXY"),
            no_proxy: value("NO_PROXY"),
            is_cgi: lookup("REQUEST_METHOD").is_some_and(|value| !value.is_empty()),
        }
    }
}

/// The values may hold passwords, so they are not shown.
impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyVariables").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_case_goes_first_and_empty_is_unset() {
        let read = |variables: &[(&str, &str)]| {
            ProxyVariables::from_environment(&|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            })
        };
        let both = read(&[("HTTP_PROXY", "a"), ("http_proxy", "b"), ("https_proxy", "c")]);
        assert_eq!((both.http.as_str(), both.https.as_str()), ("a", "c"));
        assert!(!both.is_cgi && !format!("{both:?}").contains("\"a\""));
        let empty = read(&[("HTTP_PROXY", ""), ("http_proxy", "b"), ("no_proxy", "x")]);
        assert_eq!((empty.http.as_str(), empty.no_proxy.as_str()), ("b", "x"));
        let others = read(&[("ALL_PROXY", "a"), ("all_proxy", "b"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(others, ProxyVariables { is_cgi: true, ..ProxyVariables::default() });
    }
}
