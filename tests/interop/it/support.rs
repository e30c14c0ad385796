//! A registry, our program, and images made by other implementations.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ocidir::OciDir;
use ocidir::cap_std::ambient_authority;
use ocidir::cap_std::fs::Dir;
use ocidir::oci_spec::image::{
    Arch, Descriptor, ImageConfigurationBuilder, ImageIndexBuilder, MediaType, Os, Platform,
    PlatformBuilder, RootFsBuilder,
};
use tempfile::TempDir;

/// Returns from the test, saying so, unless the registry and our program are there.
macro_rules! need_everything {
    () => {
        if !$crate::support::everything_is_there() {
            return;
        }
    };
}
pub(crate) use need_everything;

/// Is what every test here needs there? If not, says what is missing, and fails under `CI=true`.
pub fn everything_is_there() -> bool {
    let missing = if find("docker-registry").is_none() {
        "docker-registry"
    } else if !program().is_file() {
        "target/debug/creel-copy"
    } else {
        return true;
    };
    let test = std::thread::current().name().unwrap_or("a test").to_string();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: {missing} is missing");
    // Not `eprintln!`: a skipped test shall be seen although it passes.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {missing} is missing");
    false
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debug/creel-copy")
}

/// A temporary folder with a registry beside it.
pub struct Place {
    folder: TempDir,
    registry: Child,
    host: String,
}

impl Place {
    /// Starts Debian's registry on a free port of this machine.
    pub fn new() -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("registry.yml");
        let data = folder.path().join("registry");
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {data:?}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: \"127.0.0.1:0\"}}\n"
        );
        std::fs::write(&config, text).expect("the registry's configuration");
        let mut registry = Command::new(find("docker-registry").expect("docker-registry"))
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry starts");
        let mut log = BufReader::new(registry.stderr.take().expect("its log"));
        let host = address_in(&mut log);
        // Whoever writes to a full pipe waits: somebody has to read the log.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Place { folder, registry, host }
    }

    /// `HOST:PORT` of the registry.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `creel-copy` in the folder, with a home and a store of its own; returns what it says.
    pub fn creel_copy<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> String {
        let output = Command::new(program())
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("CREEL_ROOT", self.path("store"))
            .stdin(Stdio::null())
            .output()
            .expect("creel-copy starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "creel-copy: {}\n{said}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    /// Lets ocidir write an image with these layers into a layout.
    pub fn image_in(&self, layout: &str, tag: Option<&str>, of: &Platform, layers: &[&str]) {
        let ocidir = self.ocidir(layout);
        let rootfs = RootFsBuilder::default().typ("layers").diff_ids(Vec::new()).build();
        let mut config = ImageConfigurationBuilder::default()
            .os(of.os().clone())
            .architecture(of.architecture().clone())
            .rootfs(rootfs.expect("a rootfs"))
            .build()
            .expect("a config");
        let mut manifest = ocidir.new_empty_manifest().and_then(|new| Ok(new.build()?));
        let manifest = manifest.as_mut().expect("a manifest");
        for text in layers {
            let mut writer = ocidir.create_gzip_layer(None).expect("a layer");
            writer.write_all(&tar_with(text)).expect("the layer's content");
            let layer = writer.complete().expect("the layer's end");
            ocidir.push_layer(manifest, &mut config, layer, text, None);
        }
        ocidir
            .insert_manifest_and_config(manifest.clone(), config, tag, of.clone())
            .expect("the image");
    }

    /// Lets ocidir write a layout whose one entry, `tag`, is an index of two platforms. Returns
    /// the descriptor of that index.
    pub fn index_in(&self, layout: &str, tag: &str) -> Descriptor {
        self.image_in(layout, Some("a"), &amd64(), &["for amd64"]);
        self.image_in(layout, Some("b"), &arm64(), &["for arm64"]);
        let ocidir = self.ocidir(layout);
        let mut children =
            ocidir::OciRead::read_index(&ocidir).expect("the index").manifests().clone();
        for child in &mut children {
            child.set_annotations(None);
        }
        let index = ImageIndexBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageIndex)
            .manifests(children)
            .build()
            .expect("an index");
        let descriptor = ocidir
            .write_json_blob(&index, MediaType::ImageIndex)
            .and_then(|descriptor| Ok(descriptor.build()?))
            .expect("the index as a blob");
        let mut entry = serde_json::to_value(&descriptor).expect("JSON");
        entry["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": tag });
        let root = serde_json::json!({ "schemaVersion": 2, "manifests": [entry] });
        std::fs::write(self.path(layout).join("index.json"), root.to_string()).expect("index.json");
        descriptor
    }

    /// Opens a layout with ocidir; makes it when it is missing.
    pub fn ocidir(&self, layout: &str) -> OciDir {
        let path = self.path(layout);
        std::fs::create_dir_all(&path).expect("a folder");
        let folder = Dir::open_ambient_dir(path, ambient_authority()).expect("a folder");
        OciDir::ensure(folder).expect("a layout")
    }

    /// The bytes of a blob in a layout.
    pub fn blob(&self, layout: &str, digest: &str) -> Vec<u8> {
        let path = self.path(layout).join("blobs").join(digest.replacen(':', "/", 1));
        std::fs::read(path).expect("a blob")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.registry.kill();
        let _ = self.registry.wait();
    }
}

/// Reads the registry's log up to the line that tells where it listens.
fn address_in(log: &mut impl BufRead) -> String {
    let mut line = String::new();
    while log.read_line(&mut line).expect("the registry's log") > 0 {
        if let Some((_, rest)) = line.split_once("listening on ") {
            return rest.split('"').next().expect("an address").to_string();
        }
        line.clear();
    }
    panic!("docker-registry ended without listening");
}

pub fn amd64() -> Platform {
    platform(Arch::Amd64)
}

pub fn arm64() -> Platform {
    platform(Arch::ARM64)
}

fn platform(architecture: Arch) -> Platform {
    PlatformBuilder::default().os(Os::Linux).architecture(architecture).build().expect("a platform")
}

/// An archive with one file.
pub fn tar_with(text: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "file", text.as_bytes()).expect("a file in an archive");
    archive.into_inner().expect("the archive")
}
