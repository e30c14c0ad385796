//! Certificates for one registry, from `certs.d`.
//!
//! Owns the search for the folder and the meaning of its names: `*.crt` is an authority to
//! trust, `X.cert` with `X.key` proves who we are. Hands out the bytes as they are. Does not
//! know TLS.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{ConfigPaths, files};
use crate::error::{Error, Result};

/// The most files in one folder.
const MAX_FILES: usize = 1000;

/// What one folder holds, in the order of the file names. The default holds nothing.
#[derive(Debug, Default)]
pub struct Certificates {
    /// Authorities to trust beside those of the system.
    pub authorities: Vec<Pem>,
    /// Whom to present as, should the registry ask.
    pub identities: Vec<ClientIdentity>,
}

/// A client's certificate and its key.
#[derive(Debug)]
pub struct ClientIdentity {
    /// `X.cert`.
    pub certificate: Pem,
    /// `X.key`.
    pub key: Pem,
}

/// A file of PEM text, not parsed. Erased when dropped, since it may be a key.
pub struct Pem {
    /// Where it was read, for messages.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pem").field(&self.path).finish()
    }
}

impl Certificates {
    /// The certificates for `registry` (`host[:port]`; Docker Hub is `docker.io`) in the first
    /// folder of `paths.certs_dirs` that has a folder of this name. None at all is no error.
    ///
    /// # Errors
    /// Half of a pair is missing; a file cannot be read; `registry` is no host.
    pub fn load(paths: &ConfigPaths, registry: &str) -> Result<Certificates> {
        if registry.is_empty() || registry.contains(['/', '\0']) || registry.starts_with('.') {
            return Err(Error::invalid(format!("{registry:?} is not a registry's HOST[:PORT]")));
        }
        for dir in &paths.certs_dirs {
            let dir = dir.join(registry);
            if !files::is_absent(&dir)? {
                return Certificates::load_dir(&dir);
            }
        }
        Ok(Certificates::default())
    }

    /// The certificates in `dir` itself (`--cert-dir`), which must exist.
    pub fn load_dir(dir: &Path) -> Result<Certificates> {
        if files::is_absent(dir)? {
            return Err(Error::not_found(format!("there is no folder {}", dir.display())));
        }
        let mut found = Certificates::default();
        for path in files::list(dir, &["crt", "cert", "key"], MAX_FILES)? {
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("crt") => found.authorities.push(Pem::read(path)?),
                Some("cert") => {
                    let key =
                        other_half(&path, "key", "; the certificate of an authority is *.crt")?;
                    let (certificate, key) = (Pem::read(path)?, Pem::read(key)?);
                    found.identities.push(ClientIdentity { certificate, key });
                }
                _ => drop(other_half(&path, "cert", "")?),
            }
        }
        Ok(found)
    }
}

impl Pem {
    fn read(path: PathBuf) -> Result<Pem> {
        let bytes = files::read(&path)?;
        Ok(Pem { path, bytes })
    }
}

fn other_half(path: &Path, ending: &str, hint: &str) -> Result<PathBuf> {
    let other = path.with_extension(ending);
    if files::is_absent(&other)? {
        let (path, other) = (path.display(), other.display());
        return Err(Error::invalid(format!("{path} needs {other}, which does not exist{hint}")));
    }
    Ok(other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::ErrorKind;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), name).unwrap();
        }
        dir
    }

    fn text(pem: &Pem) -> &str {
        std::str::from_utf8(&pem.bytes).unwrap()
    }

    #[test]
    fn names_say_what_a_file_is() {
        let dir = folder(&["b.crt", "a.crt", "me.cert", "me.key", "README", "x.crt/y"]);
        let found = Certificates::load_dir(dir.path()).unwrap();
        assert_eq!(found.authorities.iter().map(text).collect::<Vec<_>>(), ["a.crt", "b.crt"]);
        let [identity] = found.identities.as_slice() else { unreachable!("there is one pair") };
        assert_eq!((text(&identity.certificate), text(&identity.key)), ("me.cert", "me.key"));
        assert_eq!(identity.key.path, dir.path().join("me.key"));
        let shown = format!("{found:?}");
        assert!(shown.contains("me.key") && !shown.contains("bytes"), "{shown}");
    }

    #[test]
    fn half_a_pair_names_the_other_half() {
        let dir = folder(&["me.cert"]);
        let at = dir.path().display();
        let error = Certificates::load_dir(dir.path()).unwrap_err().chain();
        let hint = "; the certificate of an authority is *.crt";
        assert_eq!(error, format!("{at}/me.cert needs {at}/me.key, which does not exist{hint}"));
        let dir = folder(&["me.key", "other.cert", "other.key"]);
        let at = dir.path().display();
        let error = Certificates::load_dir(dir.path()).unwrap_err().chain();
        assert_eq!(error, format!("{at}/me.key needs {at}/me.cert, which does not exist"));
    }

    #[test]
    fn the_first_folder_for_the_host_wins() {
        let dir = folder(&["one/h/a.crt", "two/h/b.crt", "two/h:5000/c.crt", "three/i/d.crt"]);
        let paths = ConfigPaths {
            certs_dirs: ["none", "one", "two", "three"].map(|name| dir.path().join(name)).to_vec(),
            ..ConfigPaths::default()
        };
        let authorities = |registry| {
            let found = Certificates::load(&paths, registry).unwrap();
            found.authorities.iter().map(|pem| text(pem).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(authorities("h"), ["one/h/a.crt"]);
        assert_eq!(authorities("h:5000"), ["two/h:5000/c.crt"]);
        assert_eq!(authorities("i"), ["three/i/d.crt"]);
        assert_eq!(authorities("j"), [""; 0]);
        for registry in ["", "..", ".", "h/../i", "h\0"] {
            let error = Certificates::load(&paths, registry).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{registry:?}");
        }
    }

    #[test]
    fn an_explicit_folder_must_exist() {
        let error = Certificates::load_dir(Path::new("/nonexistent/certs")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.chain(), "there is no folder /nonexistent/certs");
    }

    #[test]
    fn large_files_are_refused() {
        let dir = folder(&[]);
        fs::write(dir.path().join("a.crt"), vec![0; 5 << 20]).unwrap();
        let error = Certificates::load_dir(dir.path()).unwrap_err().chain();
        assert!(error.ends_with("a.crt is larger than 4194304 bytes"), "{error}");
    }
}
