//! What people already have: credentials, registries.conf, certificates, policy.
//!
//! Reads (and for `login` and `logout` writes) the configuration files of the container world at
//! paths that the programs name. Knows no network and no store.

mod credential;

pub use credential::{Credential, Secret};
