//! What a person proves who they are with.

use std::fmt;

use zeroize::Zeroizing;

/// A password or token: erased from memory when dropped, and printed nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes charge of a secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// The secret itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// How to answer a registry that asks who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nobody: ask without credentials.
    Anonymous,
    /// User and password, sent as `Basic` to the registry or to its token server.
    Basic {
        /// The user's name.
        user: String,
        /// The password or personal access token.
        password: Secret,
    },
    /// An OAuth2 refresh token, exchanged at the token server for each scope.
    IdentityToken(Secret),
    /// A bearer token that is sent as it is, without any exchange.
    RegistryToken(Secret),
}
