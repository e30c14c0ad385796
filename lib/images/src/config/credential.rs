//! What a person proves who they are with.

use std::fmt;

use serde::{Deserialize, Deserializer};
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

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
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

impl Credential {
    /// What a user name and password mean. Credential helpers mark a refresh token by the user
    /// name `<token>`; two empty strings are nobody.
    pub fn from_login(user: String, password: Secret) -> Credential {
        match (user.as_str(), password.expose()) {
            ("", "") => Credential::Anonymous,
            (TOKEN_USER, _) => Credential::IdentityToken(password),
            _ => Credential::Basic { user, password },
        }
    }

    /// The user's name, where there is one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Credential::Basic { user, .. } => Some(user),
            _ => None,
        }
    }
}

/// The user name that says "the password is a refresh token".
pub(super) const TOKEN_USER: &str = "<token>";
