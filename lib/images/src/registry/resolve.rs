//! Host names to addresses, with those refused that the server which chose the name may not send to.
//!
//! The check is made on the very addresses that are then connected to, so a name that changes its
//! meaning between check and use gains nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::AddressClass;
use crate::error::{Error, ErrorKind};

/// Resolves names that a person or a server has given.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    /// The class of the server that chose the names; `None` where a person did.
    pub(super) sender: Option<AddressClass>,
    /// Names that may have any address.
    pub(super) exempt: Arc<[String]>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_exempt = self.exempt.iter().any(|host| host.eq_ignore_ascii_case(name.as_str()));
        let sender = self.sender.filter(|_| !is_exempt);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(|error| explain(name.as_str(), error))?
                .collect();
            if let Some(sender) = sender {
                let may_be = |found: &&SocketAddr| sender.may_send_to(AddressClass::of(found.ip()));
                if let Some(out_of_reach) = found.iter().find(|found| !may_be(found)) {
                    return Err(refused(name.as_str(), out_of_reach.ip(), sender).into());
                }
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
        true => Error::new(ErrorKind::Unavailable, format!("host {name} not found")).into(),
        false => error.into(),
    }
}

/// What is said when a server of class `sender` sends us to an address that it may not choose.
pub(super) fn refused(host: &str, address: IpAddr, sender: AddressClass) -> Error {
    let class = AddressClass::of(address).adjective();
    let what = if host.trim_matches(['[', ']']) == address.to_string() {
        format!("{address} is a {class} address")
    } else {
        format!("{host} has the {class} address {address}")
    };
    let sender = sender.adjective();
    Error::new(
        ErrorKind::Denied,
        format!("{what}: a server at a {sender} address may not send us there"),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn resolve(
        sender: Option<AddressClass>,
        exempt: &[&str],
        name: &str,
    ) -> Result<Vec<IpAddr>, String> {
        let exempt = exempt.iter().map(ToString::to_string).collect();
        let name: Name = name.parse().unwrap();
        match (Resolver { sender, exempt }).resolve(name).await {
            Ok(found) => Ok(found.map(|address| address.ip()).collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn a_name_for_this_machine_is_refused_unless_this_machine_or_a_person_gave_it() {
        let given = resolve(None, &[], "localhost").await.unwrap();
        assert!(given.iter().all(IpAddr::is_loopback));
        assert!(resolve(Some(AddressClass::Public), &["LOCALHOST"], "localhost").await.is_ok());
        assert!(resolve(Some(AddressClass::Loopback), &[], "localhost").await.is_ok());
        for sender in [AddressClass::Public, AddressClass::Private, AddressClass::LinkLocal] {
            let error = resolve(Some(sender), &["other"], "localhost").await.unwrap_err();
            assert!(error.starts_with("localhost has the loopback address "), "{error}");
            assert!(error.contains(sender.adjective()), "{error}");
        }
    }
}
