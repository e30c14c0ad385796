//! Debian's registry on a port of this machine, and its storage as files.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use creel::spec::Digest;

use crate::Result;

/// A running registry; ends when dropped.
pub(crate) struct Registry {
    child: Child,
    host: String,
    root: PathBuf,
    access: PathBuf,
}

impl Registry {
    /// Starts a registry that keeps its data, configuration and log below `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Registry> {
        std::fs::create_dir_all(folder)?;
        let root = folder.join("data");
        let host = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let config = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: false}}}}\n\
             storage: {{filesystem: {{rootdirectory: {root:?}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: {host:?}}}\n"
        );
        std::fs::write(&config, text)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("access"))?)
            .stderr(File::create(folder.join("log"))?)
            .spawn()
            .map_err(|error| format!("starting docker-registry: {error}"))?;
        let access = folder.join("access");
        let mut registry = Registry { child, host, root, access };
        registry.wait_until_it_listens(&folder.join("log"))?;
        Ok(registry)
    }

    fn wait_until_it_listens(&mut self, log: &Path) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect(&self.host).is_err() {
            let ended = self.child.try_wait()?.is_some();
            if ended || start.elapsed() > Duration::from_secs(20) {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                return Err(format!("docker-registry does not listen: {log}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// `HOST:PORT`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// How many requests it has answered until now.
    pub(crate) fn requests(&self) -> Result<usize> {
        let log = std::fs::read_to_string(&self.access)?;
        Ok(log.lines().filter(|line| line.contains(" HTTP/1.1\"")).count())
    }

    /// Forgets everything. The registry caches nothing, so it need not know.
    pub(crate) fn clear(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What a tag points to.
    pub(crate) fn digest(&self, repository: &str, tag: &str) -> Result<Digest> {
        let path = self.root.join("docker/registry/v2/repositories").join(repository);
        let path = path.join("_manifests/tags").join(tag).join("current/link");
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("the registry has no {repository}:{tag}: {error}"))?;
        Ok(text.parse()?)
    }

    /// Where a blob or manifest lies.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        let blobs = self.root.join("docker/registry/v2/blobs/sha256");
        blobs.join(&digest.hex()[..2]).join(digest.hex()).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
