//! Where a `Built` can go: registries, OCI layouts and archives, docker-archives of four kinds.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::super::client::{self, Request};
use super::super::content::{Content, Descriptor, encoded, sha256};
use super::super::registry::TestRegistry;
use super::{Built, BuiltImage, MTIME};

/// The kinds of archives that `docker save` and others write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DockerSave {
    /// Docker before 25: `<id>/{VERSION,json,layer.tar}`, repeated layers as symbolic links,
    /// `repositories`.
    Classic,
    /// skopeo and podman: `<diffid>.tar`, with the old directories as symbolic links to them.
    Skopeo,
    /// Docker 25 and later: an OCI layout and `manifest.json` in one.
    Docker25,
    /// kaniko, ggcr, bazel: the config under its digest, layers as `<hex>.tar.gz`.
    Compressed,
}

impl Built {
    /// Puts everything into a test registry, without requests.
    pub fn push(&self, registry: &TestRegistry, repository: &str, tag: &str) {
        self.push_untagged(registry, repository);
        registry.tag(repository, tag, &self.root.digest);
    }

    /// The same without a tag (referrers are usually so).
    pub fn push_untagged(&self, registry: &TestRegistry, repository: &str) {
        for (digest, content) in &self.blobs {
            registry.put_blob_as(repository, digest, content.clone());
        }
        for (descriptor, bytes) in &self.manifests {
            registry.put_manifest(repository, None, &descriptor.media_type, bytes.clone());
        }
    }

    /// Pushes over HTTP to `http://HOST:PORT`; `prepare` may add credentials or a CA.
    pub fn push_http(
        &self,
        url: &str,
        repository: &str,
        tag: &str,
        prepare: impl Fn(Request) -> Request,
    ) {
        for (digest, content) in &self.blobs {
            let start = format!("{url}/v2/{repository}/blobs/uploads/");
            let session = prepare(client::request("POST", &start)).send().expect(202);
            let location = session.expect_header("location");
            let location = match location.starts_with('/') {
                true => format!("{url}{location}"),
                false => location.to_string(),
            };
            let join = if location.contains('?') { '&' } else { '?' };
            let put = client::request("PUT", &format!("{location}{join}digest={digest}"))
                .header("Content-Type", "application/octet-stream")
                .body(content.clone());
            prepare(put).send().expect(201);
        }
        for (number, (descriptor, bytes)) in self.manifests.iter().enumerate() {
            let is_root = number + 1 == self.manifests.len();
            let reference = if is_root { tag } else { descriptor.digest.as_str() };
            let put = format!("{url}/v2/{repository}/manifests/{reference}");
            let put = client::request("PUT", &put)
                .header("Content-Type", &descriptor.media_type)
                .body(bytes.clone());
            prepare(put).send().expect(201);
        }
    }

    /// Adds to an OCI layout directory, which is made if need be; with a name, if one is given.
    pub fn write_layout(&self, folder: &Path, name: Option<&str>) {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("making a layout");
        for (digest, content) in self.all_content() {
            let mut file = fs::File::create(blobs.join(encoded(&digest))).expect("a blob file");
            std::io::copy(&mut content.reader(), &mut file).expect("writing a blob");
        }
        let version = json!({"imageLayoutVersion": "1.0.0"});
        fs::write(folder.join("oci-layout"), version.to_string()).expect("writing oci-layout");
        let path = folder.join("index.json");
        let mut index: Value = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).expect("an index of our own"),
            Err(_) => empty_index(),
        };
        let entries = index["manifests"].as_array_mut().expect("a list");
        entries.push(self.named_root(name).json());
        fs::write(path, index.to_string()).expect("writing index.json");
    }

    /// Writes an OCI layout as one tar.
    pub fn write_oci_archive(&self, file: &Path, name: Option<&str>) {
        let mut tar = Archive::create(file);
        self.add_layout(&mut tar, name);
        tar.finish();
    }

    /// Writes the (first) image as `docker save` would, under these names (`repo:tag`).
    pub fn write_docker_archive(&self, file: &Path, style: DockerSave, names: &[&str]) {
        let mut tar = Archive::create(file);
        let image = self.image();
        match style {
            DockerSave::Classic => image.add_classic(&mut tar, names),
            DockerSave::Skopeo => image.add_skopeo(&mut tar, names),
            DockerSave::Compressed => image.add_compressed(&mut tar, names),
            DockerSave::Docker25 => {
                self.add_layout(&mut tar, names.first().copied());
                image.add_docker25(&mut tar, names);
            }
        }
        tar.finish();
    }

    fn all_content(&self) -> Vec<(String, Content)> {
        let manifests = self.manifests.iter();
        let manifests = manifests.map(|(d, bytes)| (d.digest.clone(), bytes.clone().into()));
        self.blobs.iter().map(|(d, c)| (d.clone(), c.clone())).chain(manifests).collect()
    }

    fn named_root(&self, name: Option<&str>) -> Descriptor {
        match name {
            None => self.root.clone(),
            Some(name) => self.root.clone().annotated("org.opencontainers.image.ref.name", name),
        }
    }

    fn add_layout(&self, tar: &mut Archive, name: Option<&str>) {
        tar.dir("blobs");
        tar.dir("blobs/sha256");
        for (digest, content) in self.all_content() {
            tar.file(&format!("blobs/sha256/{}", encoded(&digest)), &content);
        }
        let mut index = empty_index();
        index["manifests"] = json!([self.named_root(name).json()]);
        tar.json("index.json", &index);
        tar.json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}));
    }
}

impl BuiltImage {
    /// Ids of the old kind, one for each layer, and what the old files say.
    fn legacy(&self) -> Vec<(String, Value)> {
        let mut parent: Option<String> = None;
        let mut all = Vec::new();
        for layer in &self.layers {
            let id = sha256(format!("{parent:?} {}", layer.diff_id));
            let id = encoded(&id).to_string();
            let mut v1 = json!({"id": id, "created": "1970-01-01T00:00:00Z", "os": "linux"});
            if let Some(parent) = parent.replace(id.clone()) {
                v1["parent"] = json!(parent);
            }
            all.push((id, v1));
        }
        all
    }

    fn add_classic(&self, tar: &mut Archive, names: &[&str]) {
        let legacy = self.legacy();
        let mut layers = Vec::new();
        for (number, (layer, (id, v1))) in self.layers.iter().zip(&legacy).enumerate() {
            tar.dir(id);
            tar.file(&format!("{id}/VERSION"), &Content::from("1.0"));
            tar.json(&format!("{id}/json"), v1);
            let path = format!("{id}/layer.tar");
            let earlier = self.layers[..number].iter().position(|l| l.diff_id == layer.diff_id);
            match earlier {
                Some(earlier) => tar.link(&path, &format!("../{}/layer.tar", legacy[earlier].0)),
                None => tar.file(&path, &layer.tar()),
            }
            layers.push(path);
        }
        let config = format!("{}.json", encoded(&self.config.digest));
        tar.file(&config, &self.config_bytes.clone().into());
        self.add_repositories(tar, names, &legacy);
        tar.json("manifest.json", &manifest_json(&config, names, &layers));
    }

    fn add_skopeo(&self, tar: &mut Archive, names: &[&str]) {
        let legacy = self.legacy();
        let mut layers = Vec::new();
        let mut written = BTreeSet::new();
        for (layer, (id, v1)) in self.layers.iter().zip(&legacy) {
            let path = format!("{}.tar", encoded(&layer.diff_id));
            if written.insert(path.clone()) {
                tar.file(&path, &layer.tar());
            }
            tar.link(&format!("{id}/layer.tar"), &format!("../{path}"));
            tar.file(&format!("{id}/VERSION"), &Content::from("1.0"));
            tar.json(&format!("{id}/json"), v1);
            layers.push(path);
        }
        let config = format!("{}.json", encoded(&self.config.digest));
        tar.file(&config, &self.config_bytes.clone().into());
        self.add_repositories(tar, names, &legacy);
        tar.json("manifest.json", &manifest_json(&config, names, &layers));
    }

    fn add_compressed(&self, tar: &mut Archive, names: &[&str]) {
        tar.file(&self.config.digest, &self.config_bytes.clone().into());
        let mut layers = Vec::new();
        let mut written = BTreeSet::new();
        for layer in &self.layers {
            let path = format!("{}.tar.gz", encoded(&layer.descriptor.digest));
            if written.insert(path.clone()) {
                tar.file(&path, &layer.content);
            }
            layers.push(path);
        }
        tar.json("manifest.json", &manifest_json(&self.config.digest, names, &layers));
    }

    /// The part of a Docker 25 archive beside the layout.
    fn add_docker25(&self, tar: &mut Archive, names: &[&str]) {
        let path = |digest: &str| format!("blobs/sha256/{}", encoded(digest));
        let layers: Vec<String> =
            self.layers.iter().map(|layer| path(&layer.descriptor.digest)).collect();
        let mut manifest = manifest_json(&path(&self.config.digest), names, &layers);
        for layer in &self.layers {
            manifest[0]["LayerSources"][&layer.diff_id] = layer.descriptor.json();
        }
        tar.json("manifest.json", &manifest);
    }

    fn add_repositories(&self, tar: &mut Archive, names: &[&str], legacy: &[(String, Value)]) {
        let Some((top, _)) = legacy.last() else { return };
        let mut repositories = json!({});
        for (name, tag) in names.iter().filter_map(|name| name.rsplit_once(':')) {
            repositories[name][tag] = json!(top);
        }
        tar.json("repositories", &repositories);
    }
}

fn empty_index() -> Value {
    json!({"schemaVersion": 2, "mediaType": super::OCI_INDEX, "manifests": []})
}

fn manifest_json(config: &str, names: &[&str], layers: &[String]) -> Value {
    let names = if names.is_empty() { Value::Null } else { json!(names) };
    json!([{"Config": config, "RepoTags": names, "Layers": layers}])
}

/// A tar file being written.
struct Archive(Builder<std::io::BufWriter<fs::File>>);

impl Archive {
    fn create(path: &Path) -> Archive {
        let file = fs::File::create(path).expect("creating an archive");
        Archive(Builder::new(std::io::BufWriter::new(file)))
    }

    fn header(kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(MTIME);
        header.set_size(size);
        header
    }

    fn dir(&mut self, name: &str) {
        let mut header = Archive::header(EntryType::Directory, 0o755, 0);
        self.0.append_data(&mut header, format!("{name}/"), std::io::empty()).expect("a directory");
    }

    fn file(&mut self, name: &str, content: &Content) {
        let mut header = Archive::header(EntryType::Regular, 0o644, content.size());
        self.0.append_data(&mut header, name, content.reader()).expect("a file");
    }

    fn json(&mut self, name: &str, value: &Value) {
        self.file(name, &Content::from(value.to_string().into_bytes()));
    }

    fn link(&mut self, name: &str, target: &str) {
        let mut header = Archive::header(EntryType::Symlink, 0o777, 0);
        self.0.append_link(&mut header, name, target).expect("a link");
    }

    fn finish(self) {
        self.0.into_inner().expect("ending an archive").flush().expect("writing an archive");
    }
}
