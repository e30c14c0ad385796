//! Opens places by name, with everything that people have configured about them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{
    AnySink, AnySource, Bare, DirectorySink, DirectorySource, DockerArchiveSink,
    DockerArchiveSource, DockerDaemonSink, InPath, LayoutArchiveSink, LayoutSink, LayoutSource,
    Location, RegistrySink, RegistrySource, StorageSource, StoreSink, StoreSource,
};
use crate::config::{
    AuthKey, AuthStore, Certificates, ConfigPaths, Credential, Endpoint, ImageName, Policy,
    PolicyScope, Registries, ShortName, Use, is_short,
};
use crate::error::{Error, IoContext, Result};
use crate::progress::Listener;
use crate::registry::{Access, Client, ClientOptions, Repository, Timeouts};
use crate::spec::{Platform, Reference};
use crate::store::{OpenOptions, Partials, Store, UnpackSettings};

/// What holds for all places of one run.
pub struct PlacesOptions {
    /// Root of the local store.
    pub store_root: PathBuf,
    /// Where large temporary files go; below the store if not said.
    pub scratch: Option<PathBuf>,
    /// Where people keep their configuration.
    pub paths: ConfigPaths,
    /// Whether the trust policy decides what may be read.
    pub obey_policy: bool,
    /// How often a failed request is made again.
    pub retry_times: u32,
    /// The first pause before that.
    pub retry_delay: Option<Duration>,
    /// How long a registry may say nothing.
    pub stall: Option<Duration>,
    /// Blobs larger than this are uploaded in pieces of this size.
    pub upload_piece: Option<usize>,
    /// Blobs on their way at the same time.
    pub jobs: usize,
    /// The platform that decides among images of one name.
    pub platform: Platform,
    /// Told what happens.
    pub listener: Listener,
    /// How the local store is opened.
    pub store: OpenOptions,
    /// How layers that go into the local store are unpacked, if they are.
    pub unpack: Option<UnpackSettings>,
}

/// What holds for one side of a copy.
#[derive(Clone, Debug, Default)]
pub struct SideOptions {
    /// The credential to use, whatever the files say.
    pub credential: Option<Credential>,
    /// Whether certificates must be valid; the configuration decides if not said.
    pub tls_verify: Option<bool>,
    /// The only file for credentials.
    pub auth_file: Option<crate::config::AuthFile>,
    /// Where certificates are, whatever is configured.
    pub cert_dir: Option<PathBuf>,
    /// The Docker engine of `docker-daemon:`.
    pub daemon_host: Option<String>,
    /// Where the layouts of `oci:` keep their blobs together.
    pub shared_blobs: Option<PathBuf>,
}

impl SideOptions {
    /// Whether a client made for one serves the other.
    fn same_access(&self, other: &SideOptions) -> bool {
        self.credential == other.credential
            && self.tls_verify == other.tls_verify
            && self.auth_file == other.auth_file
            && self.cert_dir == other.cert_dir
    }
}

/// Opens places.
pub struct Places {
    options: PlacesOptions,
    registries: Arc<Registries>,
    policy: Policy,
    clients: Mutex<Vec<(SideOptions, Client)>>,
    layouts: Mutex<HashMap<PathBuf, LayoutSink>>,
}

impl Places {
    /// Reads the configuration that decides about names and trust.
    pub fn new(options: PlacesOptions) -> Result<Places> {
        let registries = Arc::new(Registries::load(&options.paths)?);
        let policy = match options.obey_policy {
            true => Policy::load(&options.paths)?,
            false => Policy::accept_anything(),
        };
        Ok(Places {
            options,
            registries,
            policy,
            clients: Mutex::default(),
            layouts: Mutex::default(),
        })
    }

    /// Reads a place's name; short names mean what registries.conf says, else Docker's default.
    pub fn locate(&self, text: &str, bare: Bare) -> Result<Location> {
        if bare != Bare::Registry || text.contains("://") || !is_short(text) {
            return Location::parse(text, bare);
        }
        match Location::parse(text, bare)? {
            Location::Registry(name) => Ok(Location::Registry(self.expand(text, name)?)),
            other => Ok(other),
        }
    }

    /// A short name in full.
    fn expand(&self, text: &str, default: Reference) -> Result<Reference> {
        let suffix = &text[text.find([':', '@']).unwrap_or(text.len())..];
        let base = &text[..text.len() - suffix.len()];
        match self.registries.short_name(base, false)? {
            ShortName::Unknown => Ok(default),
            ShortName::Alias(name) => Reference::parse(&format!("{name}{suffix}")),
            ShortName::Search { candidates, file, .. } => match candidates.as_slice() {
                [only] => Reference::parse(&format!("{only}{suffix}")),
                several => Err(Error::usage(format!(
                    "{base:?} may be any of {} ({}): write the one you mean",
                    several.join(", "),
                    file.display()
                ))),
            },
        }
    }

    /// Where large temporary files go.
    pub fn scratch(&self) -> PathBuf {
        match &self.options.scratch {
            Some(path) => path.clone(),
            None => self.options.store_root.join("tmp"),
        }
    }

    /// Opens a place to read from, if the trust policy allows it.
    pub async fn source(&self, from: &Location, side: &SideOptions) -> Result<AnySource> {
        self.policy.check(&scope(from)?)?;
        let platform = self.options.platform.clone();
        let scratch = self.scratch();
        Ok(match from {
            Location::Registry(name) => {
                AnySource::Registry(RegistrySource::new(&self.client(side)?, name)?)
            }
            Location::Layout(place) => {
                let share = side.shared_blobs.as_deref();
                AnySource::Layout(LayoutSource::open(place, platform, share).await?)
            }
            Location::LayoutArchive(place) => {
                AnySource::Layout(LayoutSource::open_archive(place, platform, &scratch).await?)
            }
            Location::DockerArchive(place) => {
                AnySource::DockerArchive(DockerArchiveSource::open(place, &scratch).await?)
            }
            Location::Directory(path) => AnySource::Directory(DirectorySource::open(path).await?),
            Location::DockerDaemon(name) => AnySource::DockerArchive(
                DockerArchiveSource::from_daemon(side.daemon_host.as_deref(), name, &scratch)
                    .await?,
            ),
            Location::Store(name) => AnySource::Store(StoreSource::new(self.store()?, name)),
            Location::ContainersStorage(name) => {
                let roots = &self.options.paths.container_stores;
                AnySource::Storage(StorageSource::open(name, roots).await?)
            }
        })
    }

    /// Opens a place to write to.
    pub fn sink(&self, to: &Location, side: &SideOptions) -> Result<AnySink> {
        let scratch = self.scratch();
        Ok(match to {
            Location::Registry(name) => {
                AnySink::Registry(RegistrySink::new(&self.client(side)?, name)?)
            }
            Location::Layout(place) => {
                AnySink::Layout(self.layout(place, side.shared_blobs.as_deref())?)
            }
            Location::LayoutArchive(place) => {
                AnySink::LayoutArchive(LayoutArchiveSink::new(place, &scratch)?)
            }
            Location::DockerArchive(place) => {
                AnySink::DockerArchive(DockerArchiveSink::new(place, &scratch)?)
            }
            Location::ContainersStorage(_) => {
                return Err(Error::unsupported(
                    "containers-storage: can be read but not written: podman pulls from a \
                     registry or loads docker-archive: and oci-archive: files",
                ));
            }
            Location::Directory(path) => AnySink::Directory(DirectorySink::new(path)?),
            Location::DockerDaemon(name) => AnySink::DockerDaemon(DockerDaemonSink::new(
                side.daemon_host.as_deref(),
                name,
                &scratch,
            )?),
            Location::Store(name) => AnySink::Store(
                StoreSink::new(self.store()?, name).unpacking(self.options.unpack.clone()),
            ),
        })
    }

    /// All images that go into one layout share one sink, so that what they have in common is
    /// there once.
    fn layout(&self, place: &InPath, share: Option<&Path>) -> Result<LayoutSink> {
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        match layouts.get(&place.path) {
            Some(sink) => sink.renamed(place),
            None => {
                let partials = Partials::new(&self.options.store_root);
                let sink = LayoutSink::new(place, share, Some(partials))?;
                layouts.insert(place.path.clone(), sink.renamed(place)?);
                Ok(sink)
            }
        }
    }

    /// The local store.
    pub fn store(&self) -> Result<Store> {
        Store::open_with(&self.options.store_root, self.options.store.clone())
    }

    /// A repository, for what is no copy: tags, deleting, tagging.
    pub fn repository(
        &self,
        name: &Reference,
        side: &SideOptions,
        access: Access,
    ) -> Result<Repository> {
        self.client(side)?.repository(name, access)
    }

    /// All tags of a repository.
    pub async fn tags(&self, name: &Reference, side: &SideOptions) -> Result<Vec<String>> {
        let tags = self.repository(name, side, Access::List)?.tags().await;
        tags.doing(|| format!("listing the tags of {}", name.name()))
    }

    /// The client for one side; sides with equal access share connections and tokens.
    pub fn client(&self, side: &SideOptions) -> Result<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(other, _)| other.same_access(side)) {
            return Ok(client.clone());
        }
        let client = Client::new(self.client_options(side)?);
        clients.push((side.clone(), client.clone()));
        Ok(client)
    }

    fn client_options(&self, side: &SideOptions) -> Result<ClientOptions> {
        let mut paths = self.options.paths.clone();
        if let Some(file) = &side.auth_file {
            paths.auth_file = Some(file.clone());
        }
        let auth = AuthStore::new(&paths).with_helpers(self.registries.credential_helpers());
        let headers = auth.http_headers()?;
        let given = side.credential.clone();
        let registries = self.registries.clone();
        let verify = side.tls_verify;
        let cert_dir = side.cert_dir.clone();
        let defaults = ClientOptions::default();
        Ok(ClientOptions {
            credentials: Arc::new(move |registry, repository| match &given {
                Some(credential) => Ok(credential.clone()),
                None => {
                    let found = auth.find_key(&AuthKey::new(registry, repository))?;
                    Ok(found.credential)
                }
            }),
            endpoints: Arc::new(move |name, purpose| endpoints(&registries, name, purpose, verify)),
            certificates: Arc::new(move |registry| match &cert_dir {
                Some(dir) => Certificates::load_dir(dir),
                None => Certificates::load(&paths, registry),
            }),
            headers,
            // A person who asks for valid certificates wants TLS on this machine as well.
            plain_loopback: verify != Some(true),
            retry_times: self.options.retry_times,
            retry_pause: self.options.retry_delay.unwrap_or(defaults.retry_pause),
            timeouts: self.options.stall.map_or(defaults.timeouts, Timeouts::all),
            connections: self.options.jobs.max(1) + 2,
            chunk: self.options.upload_piece.unwrap_or(defaults.chunk),
            chunk_above: self.options.upload_piece.map_or(defaults.chunk_above, |size| size as u64),
            journal: Some(self.options.store_root.join("uploads")),
            progress: self.options.listener.clone(),
            ..defaults
        })
    }
}

/// Where a repository may be reached, by registries.conf and what was said for this side.
fn endpoints(
    registries: &Registries,
    name: &Reference,
    purpose: Use,
    verify: Option<bool>,
) -> Result<Vec<Endpoint>> {
    let digest = name.digest().map(ToString::to_string);
    let parts = ImageName {
        registry: name.registry(),
        repository: name.repository(),
        tag: name.tag(),
        digest: digest.as_deref(),
    };
    let mut endpoints = registries.endpoints(&parts, purpose)?;
    if let Some(verify) = verify {
        endpoints.iter_mut().for_each(|endpoint| endpoint.insecure = !verify);
    }
    Ok(endpoints)
}

/// What the trust policy calls a place.
fn scope(place: &Location) -> Result<PolicyScope> {
    let named = |transport: &str, name: &Reference| {
        let digest = name.digest().map(ToString::to_string);
        let (registry, repository) = (name.registry(), name.repository());
        PolicyScope::named(transport, registry, repository, name.tag(), digest.as_deref())
    };
    // Links are resolved, so that a link cannot lead around a rule.
    let path = |transport: &str, path: &Path| {
        // `/dev/stdin` leads to a pipe, which has no path of its own.
        let is_pipe = || path.metadata().is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
        let absolute = match std::fs::canonicalize(path) {
            Err(_) if is_pipe() => std::path::absolute(path),
            other => other,
        };
        let absolute = absolute.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!(
                "{transport}:{}: there is no file or directory of that name",
                path.display()
            )),
            _ => Error::io(format!("opening {transport}:{}", path.display()), error),
        })?;
        PolicyScope::path(transport, &absolute)
    };
    match place {
        Location::Registry(name) => Ok(named("docker", name)),
        Location::DockerDaemon(name) => Ok(named("docker-daemon", name)),
        Location::Layout(at) => path("oci", &at.path),
        Location::LayoutArchive(at) => path("oci-archive", &at.path),
        Location::Directory(at) => path("dir", at),
        Location::DockerArchive(_) => Ok(PolicyScope::whole("docker-archive", &place.to_string())),
        Location::ContainersStorage(_) | Location::Store(_) => {
            Ok(PolicyScope::whole(place.kind(), &place.to_string()))
        }
    }
}
