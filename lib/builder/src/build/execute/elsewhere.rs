//! Sources of `ADD` from elsewhere: what identifies them, and their files.
//!
//! A source is looked at first: that gives the digest of a file or the commit of a repository, for
//! which a server may have to be asked. Its content comes only if the step has to be made, unless
//! the server could not tell without sending it.

use std::path::PathBuf;

use super::super::bases::Remote;
use super::super::cache::{Cache, WebRecord};
use super::super::dockerignore::Ignore;
use super::super::fetch::{self, Commit, Git, GitAddress};
use super::super::graph::{Place, Transfer};
use super::super::transfer::{Chosen, Origin, Pattern, select};
use super::options::Credentials;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::registry::{FetchedFile, FileRequest, Validators, WebAddress};
use crate::spec::{Algorithm, Digest};
use crate::store::Writer;
use crate::sys::Root;

/// What a file is called whose URL does not say.
const UNNAMED: &str = "__unnamed__";

/// Gets sources of `ADD` from elsewhere.
pub(in crate::build) struct Fetcher<'a> {
    /// Where they are put.
    pub(in crate::build) writer: &'a Writer,
    /// How others are reached.
    pub(in crate::build) remote: &'a Remote,
    /// What files of the web were the last time.
    pub(in crate::build) cache: &'a Cache,
    /// What lets in.
    pub(in crate::build) credentials: Option<&'a Credentials>,
}

/// A source from elsewhere that was looked at.
pub(in crate::build) enum Elsewhere {
    /// A file of the web.
    File(WebFile),
    /// The files of a commit.
    Commit(GitSource),
}

/// A file of the web.
pub(in crate::build) struct WebFile {
    address: WebAddress,
    name: String,
    /// What it is.
    digest: Digest,
    /// When the server says that it changed last, in seconds since 1970.
    modified: Option<i64>,
    /// The directory that it is in, if it came.
    place: Option<PathBuf>,
}

/// A commit of a repository.
pub(in crate::build) struct GitSource {
    address: GitAddress,
    commit: Commit,
    keep_git: bool,
}

/// The content of a source.
pub(in crate::build) struct Brought {
    pub(in crate::build) origin: Origin,
    /// What of it is taken.
    pub(in crate::build) chosen: Vec<Chosen>,
    /// Whether it is unpacked if it is an archive.
    pub(in crate::build) unpack: bool,
}

impl Elsewhere {
    /// What it is called in messages.
    pub(in crate::build) fn shown(&self) -> String {
        match self {
            Elsewhere::File(file) => file.address.shown(),
            Elsewhere::Commit(source) => source.address.remote.clone(),
        }
    }

    /// Adds what identifies it to a key; not its time, as for all files.
    pub(super) fn add(&self, key: &mut super::super::cache::Key) {
        match self {
            Elsewhere::File(file) => {
                key.text("file").text(&file.name).text(&file.digest.to_string());
            }
            Elsewhere::Commit(source) => {
                let address = &source.address;
                key.text("commit").text(&source.commit.id);
                key.maybe(address.subdirectory.as_deref());
                // A kept `.git` says where it comes from.
                key.maybe(source.keep_git.then_some(address.remote.as_str()));
                key.number(u64::from(address.submodules)).number(u64::from(address.made_now));
            }
        }
    }
}

impl Fetcher<'_> {
    /// Looks at a source from elsewhere. `known` tells whether a step like this was made before,
    /// so that it may be enough to know that nothing has changed.
    pub(in crate::build) fn look(
        &self,
        place: &Place,
        transfer: &Transfer,
        known: bool,
    ) -> Result<Elsewhere> {
        match place {
            Place::Git(text) => {
                let mut address = GitAddress::parse(text)?;
                if address.authorization.is_some() {
                    return Err(in_history("GIT_AUTH_TOKEN"));
                }
                if let Some(commit) = &transfer.checksum {
                    fetch::expect(&mut address, commit)?;
                }
                let keep_git = transfer.keep_git_dir.or(address.keep_git_dir).unwrap_or(false);
                let commit = self.git(&address)?.resolve(&address)?;
                Ok(Elsewhere::Commit(GitSource { address, commit, keep_git }))
            }
            _ => self.look_at_file(place.text(), transfer, known).map(Elsewhere::File),
        }
    }

    fn look_at_file(&self, text: &str, transfer: &Transfer, known: bool) -> Result<WebFile> {
        let address = WebAddress::parse(text)?;
        if address.has_credentials() {
            return Err(in_history("HTTP_AUTH_HEADER_HOST"));
        }
        let name = address.file_name().unwrap_or_else(|| UNNAMED.to_owned());
        let mut file =
            WebFile { address, name, digest: Digest::sha256(b""), modified: None, place: None };
        if let Some(checksum) = &transfer.checksum {
            file.digest = checksum.parse().map_err(|error| {
                Error::caused(ErrorKind::Invalid, format!("--checksum={checksum}"), error)
            })?;
            // Whoever says what it is need not be asked.
            return Ok(file);
        }
        let record = self.cache.web(file.address.text()).filter(|_| known);
        match self.download(&mut file, record.as_ref(), Algorithm::Sha256)? {
            Some(found) => {
                self.cache.note_web(file.address.text(), &WebRecord::of(&found));
                (file.digest, file.modified) = (found.digest, found.validators.modified());
            }
            None => {
                let record = record.ok_or_else(|| lost(&file))?;
                file.modified = record.validators().modified();
                file.digest = record.digest;
            }
        }
        Ok(file)
    }

    /// Fetches a file, unless the version on record is still the one.
    fn download(
        &self,
        file: &mut WebFile,
        record: Option<&WebRecord>,
        algorithm: Algorithm,
    ) -> Result<Option<FetchedFile>> {
        let place = self.writer.scratch()?;
        let request = FileRequest {
            address: file.address.clone(),
            known: record.map_or_else(Validators::default, WebRecord::validators),
            authorization: fetch::web_secret(&file.address, &|id| self.secret(id))?,
            limit: self.remote.max_fetch,
            algorithm,
        };
        let found = fetch::download(self.remote, &request, &place.join(&file.name))?;
        if found.is_some() {
            file.place = Some(place);
        }
        Ok(found)
    }

    /// The content of a source as a tree of its own, and what of it is taken.
    pub(in crate::build) fn bring(
        &self,
        source: &mut Elsewhere,
        exclude: &Ignore,
        unpack: bool,
    ) -> Result<Brought> {
        match source {
            Elsewhere::File(file) => self.bring_file(file, unpack),
            Elsewhere::Commit(source) => {
                let place = self.writer.scratch()?;
                let git = self.git(&source.address)?;
                git.checkout(&source.address, &source.commit, source.keep_git, &place)?;
                let mut root = Root::open(&place)?;
                if let Some(directory) = &source.address.subdirectory {
                    let opened = root.open_dir(directory.as_bytes());
                    let opening = || format!("opening {directory} of {}", source.address.remote);
                    root = Root::new(opened.doing(opening)?);
                }
                let origin = Origin::image(root, &source.address.remote);
                let chosen = select(&origin, &Pattern::path(".", exclude))?.unwrap_or_default();
                Ok(Brought { origin, chosen, unpack: false })
            }
        }
    }

    fn bring_file(&self, file: &mut WebFile, unpack: bool) -> Result<Brought> {
        if file.place.is_none() {
            let expected = file.digest.clone();
            let found = self.download(file, None, expected.algorithm())?;
            let found = found.ok_or_else(|| lost(file))?;
            if found.digest != expected {
                return Err(Error::corrupt(format!(
                    "digest mismatch for {}: {} (expected: {expected})",
                    file.address.shown(),
                    found.digest
                )));
            }
            file.modified = found.validators.modified();
        }
        let place = file.place.as_ref().ok_or_else(|| lost(file))?;
        let origin = Origin::image(Root::open(place)?, &file.address.shown());
        let looking = || format!("looking for {}", file.name);
        let name = file.name.clone().into_bytes();
        let meta = origin.root.lookup(&name).doing(looking)?.ok_or_else(|| lost(file))?;
        let chosen = Chosen { path: name.clone(), name, meta, inside: vec![] };
        Ok(Brought { origin, chosen: vec![chosen], unpack })
    }

    fn git(&self, address: &GitAddress) -> Result<Git<'_>> {
        let agent = self.credentials.and_then(|all| all.agents.get("default")).cloned();
        let access = fetch::git_access(address, &|id| self.secret(id), agent)?;
        Ok(Git::new(self.remote, access, self.writer.scratch()?))
    }

    /// A secret on one line, if it was given.
    fn secret(&self, id: &str) -> Result<Option<String>> {
        let source = self.credentials.and_then(|all| all.secrets.get(id));
        source.map(|source| source.line(id)).transpose()
    }
}

fn in_history(secret: &str) -> Error {
    Error::invalid(format!(
        "credentials in an address would stay in the image's history: give them as a secret \
         ({secret})"
    ))
}

fn lost(file: &WebFile) -> Error {
    Error::new(ErrorKind::Failed, format!("{} was not sent", file.address.shown()))
}
