//! Opening contexts, wherever they are: directories, archives, addresses, standard input.

use std::io::{Read, StdinLock};
use std::path::{Path, PathBuf};

use creel::build::context::{Context, IgnoreFile, START, from_stream, is_archive, unpack};
use creel::build::fetch::{ContextAddress, ContextContent, ContextFetch, FetchedContext};
use creel::build::{ContextDir, Remote, SecretSource};
use creel::error::{IoContext, Result};
use creel::registry::WebAddress;
use creel::store::{Store, Writer};

/// What opening a context may need, each asked for only if it does.
#[derive(Clone, Copy)]
pub(crate) struct Needs<'a> {
    /// The store, where contexts from elsewhere are put.
    pub(crate) store: &'a dyn Fn() -> Result<Store>,
    /// How others are reached.
    pub(crate) remote: &'a dyn Fn() -> Result<Remote>,
    /// A secret by its ID.
    pub(crate) secret: &'a dyn Fn(&str) -> Result<Option<SecretSource>>,
    /// Whether `.git` stays in repositories that are built from.
    pub(crate) keep_git_dir: bool,
}

/// Opens contexts; what it has made for them goes with it.
pub(crate) struct Opener<'a> {
    needs: Needs<'a>,
    writer: Option<Writer>,
}

/// An opened context.
pub(crate) enum Opened {
    /// A directory.
    Directory(Place),
    /// Nothing but a Dockerfile: its name and bytes.
    Dockerfile(String, Vec<u8>),
}

/// A directory to build from.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// Made for this build alone.
    pub(crate) passing: bool,
    /// The time of its commit or of its last change, in seconds since 1970.
    pub(crate) time: Option<i64>,
}

impl<'a> Opener<'a> {
    pub(crate) fn new(needs: Needs<'a>) -> Opener<'a> {
        Opener { needs, writer: None }
    }

    /// Keeps what was made for as long as the result lives.
    pub(crate) fn into_keeper(self) -> Option<Writer> {
        self.writer
    }

    /// Opens what a person calls a context; `-` is standard input.
    pub(crate) fn open(&mut self, place: &Path) -> Result<Opened> {
        if place == Path::new("-") {
            return self.stdin(std::io::stdin().lock());
        }
        // What is here is meant before what only looks like an address.
        if !place.is_dir()
            && let Some(address) = place.to_str().map(ContextAddress::parse).transpose()?.flatten()
        {
            return self.fetch(&address);
        }
        if place.is_file() {
            let opening = || format!("opening {}", place.display());
            let mut file = std::fs::File::open(place).doing(opening)?;
            return self.unpack(&mut file);
        }
        Ok(Opened::Directory(Place { path: place.to_owned(), passing: false, time: None }))
    }

    /// Reads a Dockerfile that was named: an address, or a path here.
    pub(crate) fn dockerfile(&mut self, path: &Path) -> Result<Option<(String, Vec<u8>)>> {
        let web = path
            .to_str()
            .filter(|text| text.starts_with("https://") || text.starts_with("http://"));
        let Some(text) = web else { return Ok(None) };
        let address = WebAddress::parse(text)?;
        let bytes = self.with_fetch(|fetch| fetch.dockerfile(&address))?;
        Ok(Some((address.shown(), bytes)))
    }

    fn stdin(&mut self, mut stdin: StdinLock<'_>) -> Result<Opened> {
        let mut start = Vec::new();
        let reading = || "reading standard input";
        stdin.by_ref().take(START).read_to_end(&mut start).doing(reading)?;
        let mut whole = start.as_slice().chain(stdin);
        match is_archive(&start) {
            true => self.unpack(&mut whole),
            false => from_stream(whole).map(|found| Opened::Dockerfile(found.name, found.bytes)),
        }
    }

    fn unpack(&mut self, archive: &mut dyn Read) -> Result<Opened> {
        let path = self.writer()?.scratch()?;
        unpack(archive, &path)?;
        Ok(Opened::Directory(Place { path, passing: true, time: None }))
    }

    fn fetch(&mut self, address: &ContextAddress) -> Result<Opened> {
        let FetchedContext { content, time } = self.with_fetch(|fetch| fetch.fetch(address))?;
        let name = match address {
            ContextAddress::Web(address) => address.shown(),
            ContextAddress::Git(address) => address.remote.clone(),
        };
        Ok(match content {
            ContextContent::Directory(path) => {
                Opened::Directory(Place { path, passing: true, time })
            }
            ContextContent::Dockerfile(bytes) => Opened::Dockerfile(name, bytes),
        })
    }

    fn with_fetch<T>(&mut self, work: impl FnOnce(&ContextFetch<'_>) -> Result<T>) -> Result<T> {
        let remote = (self.needs.remote)()?;
        let keep_git_dir = self.needs.keep_git_dir;
        let find = self.needs.secret;
        let secret = |id: &str| find(id)?.map(|source| source.line(id)).transpose();
        let writer = self.writer()?;
        let agent = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
        work(&ContextFetch { writer, remote: &remote, secret: &secret, agent, keep_git_dir })
    }

    fn writer(&mut self) -> Result<&Writer> {
        match &mut self.writer {
            Some(writer) => Ok(writer),
            none => Ok(none.insert((self.needs.store)()?.begin()?)),
        }
    }
}

impl Place {
    /// The directory for a build; what is left out of it is said by the file in it.
    pub(crate) fn directory(self) -> Result<ContextDir> {
        let Place { path, passing, .. } = self;
        let IgnoreFile { name, patterns } = Context::open(&path)?.ignore()?.unwrap_or_default();
        Ok(ContextDir { path, ignore: patterns, ignore_name: name, passing })
    }
}
