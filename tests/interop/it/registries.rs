//! oci-client pushes what creel-copy takes, and pulls what creel-copy has pushed.

use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageData, ImageLayer};
use oci_client::manifest::{
    IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OciManifest,
};
use oci_client::secrets::RegistryAuth::Anonymous;
use oci_client::{Reference, client};
use ocidir::OciRead;

use crate::support::{Place, amd64, need_everything, tar_with};

/// oci-client in a form that tests can wait for.
struct Judge {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Judge {
    fn new() -> Judge {
        // The second test to come here finds a provider in place, and that is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig {
            protocol: ClientProtocol::Http,
            platform_resolver: Some(Box::new(client::linux_amd64_resolver)),
            ..ClientConfig::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Judge {
            client: Client::try_from(config).expect("a client"),
            runtime: runtime.expect("a runtime"),
        }
    }

    fn push(&self, image: &Reference, layers: &[ImageLayer], config: &[u8]) {
        let config = Config::oci_v1(config.to_vec(), None);
        let pushing = self.client.push(image, layers, config, &Anonymous, None);
        self.runtime.block_on(pushing).expect("oci-client pushes");
    }

    fn pull(&self, image: &Reference) -> ImageData {
        let accepted = vec![IMAGE_LAYER_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE];
        let pulling = self.client.pull(image, &Anonymous, accepted);
        self.runtime.block_on(pulling).expect("oci-client pulls")
    }

    fn digest(&self, image: &Reference) -> String {
        let asking = self.client.fetch_manifest_digest(image, &Anonymous);
        self.runtime.block_on(asking).expect("oci-client asks for a digest")
    }

    fn tags(&self, image: &Reference) -> Vec<String> {
        let listing = self.client.list_tags(image, &Anonymous, None, None);
        self.runtime.block_on(listing).expect("oci-client lists tags").tags
    }
}

fn reference(name: &str) -> Reference {
    name.parse().expect("a reference")
}

/// The layers' bytes in an order that does not depend on which came first.
fn contents(layers: &[ImageLayer]) -> Vec<&[u8]> {
    let mut all: Vec<&[u8]> = layers.iter().map(|layer| layer.data.as_ref()).collect();
    all.sort();
    all
}

#[test]
fn what_oci_client_pushed_arrives_unchanged() {
    need_everything!();
    let (place, judge) = (Place::new(), Judge::new());
    let from = reference(&format!("{}/from:1", place.host()));
    let to = reference(&format!("{}/to:1", place.host()));
    let layers = ["one", "two"].map(|text| ImageLayer::oci_v1(tar_with(text), None));
    let config = br#"{"architecture":"amd64","os":"linux","config":{"OnBuild":["RUN x"]},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    let diff_ids: Vec<String> = layers.iter().map(ImageLayer::sha256_digest).collect();
    let config = String::from_utf8_lossy(config)
        .replace("\"diff_ids\":[]", &format!("\"diff_ids\":[\"{}\"]", diff_ids.join("\",\"")));
    judge.push(&from, &layers, config.as_bytes());

    place.creel_copy([format!("docker://{from}"), format!("docker://{to}")]);

    assert_eq!(judge.digest(&to), judge.digest(&from));
    let image = judge.pull(&to);
    assert_eq!(contents(&image.layers), contents(&layers));
    assert_eq!(image.config.data, config.as_bytes());
}

#[test]
fn oci_client_reads_what_was_pushed_from_a_layout() {
    need_everything!();
    let (place, judge) = (Place::new(), Judge::new());
    place.image_in("from", Some("1"), &amd64(), &["one", "two", "three"]);
    let image = reference(&format!("{}/some/repository:1", place.host()));

    place.creel_copy(["oci:from:1", &format!("docker://{image}")]);

    let layout = place.ocidir("from");
    let root = layout.find_manifest_descriptor_with_tag("1").expect("an index").expect("a tag");
    assert_eq!(judge.digest(&image), root.digest().to_string());
    let pulled = judge.pull(&image);
    let manifest = layout.find_manifest_with_tag("1").expect("an index").expect("a manifest");
    let mut blobs: Vec<Vec<u8>> =
        manifest.layers().iter().map(|layer| place.blob("from", layer.digest().as_ref())).collect();
    blobs.sort();
    assert_eq!(contents(&pulled.layers), blobs);
    assert_eq!(pulled.config.data, place.blob("from", manifest.config().digest().as_ref()));
}

#[test]
fn oci_client_finds_its_platform_in_an_index() {
    need_everything!();
    let (place, judge) = (Place::new(), Judge::new());
    let index = place.index_in("from", "all");
    let image = reference(&format!("{}/index:all", place.host()));

    place.creel_copy(["--all", "oci:from:all", &format!("docker://{image}")]);

    let asking = judge.client.pull_manifest_raw(&image, &Anonymous, &[OCI_IMAGE_INDEX_MEDIA_TYPE]);
    let (bytes, digest) = judge.runtime.block_on(asking).expect("oci-client pulls an index");
    assert_eq!(digest, index.digest().to_string());
    assert_eq!(bytes, place.blob("from", &digest));
    let manifest: OciManifest = serde_json::from_slice(&bytes).expect("an index");
    let OciManifest::ImageIndex(index) = manifest else { panic!("not an index") };
    let amd64 = client::linux_amd64_resolver(&index.manifests).expect("an image for amd64");
    let pulled = judge.pull(&image);
    assert_eq!(pulled.digest, Some(amd64));
    assert_eq!(pulled.layers.len(), 1);
}

#[test]
fn oci_client_sees_a_new_tag() {
    need_everything!();
    let (place, judge) = (Place::new(), Judge::new());
    place.image_in("from", Some("1"), &amd64(), &["one"]);
    let image = reference(&format!("{}/tagged:1", place.host()));
    place.creel_copy(["oci:from:1", &format!("docker://{image}")]);

    place.creel_copy(["tag", &format!("docker://{image}"), "stable"]);

    assert_eq!(judge.tags(&image), ["1", "stable"]);
    let stable = reference(&format!("{}/tagged:stable", place.host()));
    assert_eq!(judge.digest(&stable), judge.digest(&image));
    let listed = place.creel_copy(["tags", &format!("docker://{}/tagged", place.host())]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["1", "stable"]);
}
