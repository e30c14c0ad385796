//! Host names to addresses, with private ones refused where a server chose the name.
//!
//! The check is made on the very addresses that are then connected to, so a name that changes its
//! meaning between check and use gains nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address;
use crate::error::{Error, ErrorKind};

/// Resolves names that a person or a server has given.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    /// Names that may lie anywhere; `None` when every name may.
    pub(super) exempt: Option<Arc<[String]>>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guarded = match &self.exempt {
            Some(exempt) => !exempt.iter().any(|host| host.eq_ignore_ascii_case(name.as_str())),
            None => false,
        };
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(|error| explain(name.as_str(), error))?
                .collect();
            if guarded
                && let Some(private) = found.iter().find(|found| !address::is_public(found.ip()))
            {
                return Err(refused(name.as_str(), private.ip()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// A name that does not exist is no passing trouble, unlike a name server that does not answer.
fn explain(name: &str, error: io::Error) -> Box<dyn std::error::Error + Send + Sync> {
    let text = error.to_string();
    let unknown = ["not known", "No address associated", "does not resolve", "NXDOMAIN"];
    match unknown.iter().any(|sign| text.contains(sign)) {
        true => Error::new(ErrorKind::Unavailable, format!("there is no host {name}")).into(),
        false => error.into(),
    }
}

/// What is said when a server sends us to an address that it may not choose.
pub(super) fn refused(host: &str, address: IpAddr) -> Error {
    let what = if host.trim_matches(['[', ']']) == address.to_string() {
        format!("{address} is a private address")
    } else {
        format!("{host} has the private address {address}")
    };
    Error::new(ErrorKind::Denied, format!("{what}, and a server may not choose one for us"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn resolve(exempt: Option<&[&str]>, name: &str) -> Result<Vec<IpAddr>, String> {
        let exempt = exempt.map(|names| names.iter().map(ToString::to_string).collect());
        let name: Name = name.parse().unwrap();
        match (Resolver { exempt }).resolve(name).await {
            Ok(found) => Ok(found.map(|address| address.ip()).collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn a_name_for_this_machine_is_refused_unless_a_person_gave_it() {
        assert!(resolve(None, "localhost").await.unwrap().iter().all(IpAddr::is_loopback));
        assert!(resolve(Some(&["LOCALHOST"]), "localhost").await.is_ok());
        let error = resolve(Some(&["other"]), "localhost").await.unwrap_err();
        assert!(error.starts_with("localhost has the private address "), "{error}");
    }
}
