//! ocidir reads the layouts and archives that creel-copy writes.

use ocidir::{OciArchive, OciRead};

use crate::support::{Place, amd64, need_everything};

/// The digest under which a layout has a name.
fn digest_of(layout: &impl OciRead, tag: &str) -> String {
    let found = layout.find_manifest_descriptor_with_tag(tag).expect("a readable index");
    found.unwrap_or_else(|| panic!("no {tag} in the index")).digest().to_string()
}

#[test]
fn a_copied_layout_passes_ocidirs_check() {
    need_everything!();
    let place = Place::new();
    place.image_in("from", Some("1"), &amd64(), &["one", "two"]);
    let image = format!("docker://{}/a:1", place.host());
    place.creel_copy(["oci:from:1", &image]);
    place.creel_copy([&image, "oci:to:1"]);

    let (from, to) = (place.ocidir("from"), place.ocidir("to"));
    assert_eq!(digest_of(&to, "1"), digest_of(&from, "1"));
    // A manifest, a config and two layers.
    assert_eq!(to.fsck().expect("a sound layout"), 4);
}

#[test]
fn one_layout_holds_several_images() {
    need_everything!();
    let place = Place::new();
    place.image_in("from", Some("1"), &amd64(), &["base", "one"]);
    place.image_in("from", Some("2"), &amd64(), &["base", "two"]);
    for tag in ["1", "2"] {
        place.creel_copy([format!("oci:from:{tag}"), format!("oci:to:{tag}")]);
    }

    let (from, to) = (place.ocidir("from"), place.ocidir("to"));
    for tag in ["1", "2"] {
        assert_eq!(digest_of(&to, tag), digest_of(&from, tag));
    }
    // Two manifests and configs, and three layers: the base is there once.
    assert_eq!(to.fsck().expect("a sound layout"), 7);
    let files = place.path("to/blobs/sha256").read_dir().expect("the blobs");
    assert_eq!(files.count(), 7);
}

#[test]
fn an_index_keeps_its_bytes_and_both_images() {
    need_everything!();
    let place = Place::new();
    let index = place.index_in("from", "all");
    place.creel_copy(["--all", "oci:from:all", "oci:to:all"]);

    let to = place.ocidir("to");
    assert_eq!(digest_of(&to, "all"), index.digest().to_string());
    let digest = index.digest().to_string();
    assert_eq!(place.blob("to", &digest), place.blob("from", &digest));
    let image = to.open_image_this_platform(Some("all")).expect("an image for this machine");
    let (found, descriptor) = image.source_index.expect("the index it came from");
    assert_eq!(descriptor.digest(), index.digest());
    for child in found.manifests() {
        let manifest = to.read_json_blob(child).expect("a manifest");
        to.fsck_one_manifest(&manifest, &mut Default::default()).expect("a sound image");
    }
}

#[test]
fn an_archive_is_a_layout_in_a_tar() {
    need_everything!();
    let place = Place::new();
    place.image_in("from", Some("1"), &amd64(), &["one", "two"]);
    place.creel_copy(["oci:from:1", "oci-archive:to.tar:1"]);

    let archive = OciArchive::open(place.path("to.tar")).expect("an archive");
    assert_eq!(digest_of(&archive, "1"), digest_of(&place.ocidir("from"), "1"));
    assert_eq!(archive.fsck().expect("a sound archive"), 4);
}
