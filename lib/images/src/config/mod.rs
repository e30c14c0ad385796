//! What people already have: credentials, registries.conf, certificates, policy.
//!
//! Reads (and for `login` and `logout` writes) the configuration files of the container world at
//! paths that the programs name. Knows no network and no store.

mod auth;
mod certs;
mod credential;
mod files;
mod members;
mod paths;
mod policy;
mod registries;

pub use auth::{AuthKey, AuthStore, Found, Logout, Origin, Place};
pub use certs::{Certificates, ClientIdentity, Pem};
pub use credential::{Credential, Secret};
pub use paths::{AuthFile, AuthFormat, Choice, ConfigPaths, HelperEnvironment};
pub use policy::{Policy, PolicyScope};
pub use registries::{Endpoint, ImageName, Registries, ShortName, ShortNameMode, Use, is_short};
