//! The files that a container finds in `/etc`.
//!
//! Owns what of a request they depend on. What they say is `runtime`'s knowledge.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::{Network, RunRequest};
use crate::error::Result;
use crate::runtime::files::{self, HOSTNAME, HOSTS, Hosts, RESOLV_CONF};
use crate::runtime::options::NamespaceMode;
use crate::runtime::{HostFacts, HostNames};

/// What a container's connection adds to its files.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    /// Its own.
    pub(super) own: Vec<IpAddr>,
    /// The host's, as it sees it.
    pub(super) gateway: Option<IpAddr>,
}

/// Writes the files into `dir`, for `owner` if that is not us; returns them by their place inside.
pub(super) fn write(
    request: &RunRequest,
    host: &HostFacts,
    id: &str,
    addresses: &Addresses,
    owner: Option<(u32, u32)>,
    dir: &Path,
) -> Result<BTreeMap<String, PathBuf>> {
    let namespaces = &request.options.namespaces;
    let of_host = HostNames::read();
    let own_name = namespaces.uts == NamespaceMode::Private;
    let short = id.get(..12).unwrap_or(id);
    let hostname = match own_name {
        true => request.options.hostname.as_deref().unwrap_or(short),
        false => &host.hostname,
    };
    let own_network =
        request.network == Network::Bridge || namespaces.network != NamespaceMode::Host;
    let mut texts = vec![
        (HOSTNAME, files::hostname(hostname)),
        (RESOLV_CONF, files::resolv_conf(&of_host.resolv_conf, &request.dns, own_network)),
    ];
    if !request.no_hosts {
        let wanted = Hosts {
            of_host: (!own_network).then_some(of_host.hosts.as_str()),
            hostname,
            domainname: request.options.domainname.as_deref(),
            addresses: &addresses.own,
            entries: &request.hosts,
            gateway: addresses.gateway,
        };
        texts.push((HOSTS, files::hosts(&wanted)?));
    }
    files::write(dir, &texts, owner)
}
