//! Signatures, SBOMs and attestations come along when asked, however they are attached.

use std::time::Duration;

use crate::support::content::encoded;
use crate::support::image::{Built, OCI_INDEX, artifact, index, small, three_platforms};
use crate::support::log::Kind;
use crate::support::program::Sandbox;
use crate::support::registry::{Fault, TestRegistry, once};

const SBOM: &str = "application/spdx+json";
const SIGNATURE: &str = "application/vnd.example.signature";

/// An index, an SBOM of it and one of its first image, a signature of the SBOM.
struct Family {
    root: Built,
    sbom: Built,
    of_child: Built,
    signature: Built,
    cosign: Built,
}

impl Family {
    fn new() -> Family {
        let root = three_platforms().build();
        let sbom =
            artifact(SBOM).layer(SBOM, "{}\n").subject(&root.root).annotation("a", "b").build();
        let child = &root.images[0].manifest;
        let of_child = artifact(SBOM).layer(SBOM, "{\"of\": \"child\"}").subject(child).build();
        let signature = artifact(SIGNATURE).layer(SIGNATURE, "sig").subject(&sbom.root).build();
        let cosign = artifact("")
            .config("application/vnd.oci.image.config.v1+json", "{}")
            .layer("application/vnd.dev.cosign.simplesigning.v1+json", "{\"critical\": {}}")
            .build();
        Family { root, sbom, of_child, signature, cosign }
    }

    fn cosign_tag(&self) -> String {
        format!("sha256-{}.sig", encoded(&self.root.root.digest))
    }

    /// Puts all into a registry; where it keeps no list of referrers, with fallback tags.
    fn push(&self, registry: &TestRegistry, fallback: bool) {
        self.root.push(registry, "app", "1");
        self.cosign.push(registry, "app", &self.cosign_tag());
        for referrer in [&self.sbom, &self.of_child, &self.signature] {
            referrer.push_untagged(registry, "app");
            if fallback {
                let subject = referrer.root_json()["subject"]["digest"].clone();
                let tag = subject.as_str().unwrap().replace(':', "-");
                index().child((*referrer).clone()).build().push(registry, "app", &tag);
            }
        }
    }

    fn assert_in(&self, registry: &TestRegistry, repository: &str) {
        assert_eq!(registry.manifest(repository, "1").unwrap().digest, self.root.root.digest);
        for referrer in [&self.sbom, &self.of_child, &self.signature] {
            let found = registry.manifest(repository, &referrer.root.digest);
            assert_eq!(found.expect("a referrer").bytes, *referrer.root_bytes());
            for digest in referrer.blobs.keys() {
                assert!(registry.has_blob(repository, digest), "{digest}");
            }
        }
        let cosign = registry.manifest(repository, &self.cosign_tag()).expect("cosign's tag");
        assert_eq!(cosign.digest, self.cosign.root.digest);
        registry.assert_whole(repository);
    }
}

fn copy(sandbox: &Sandbox, from: &str, to: &str) {
    sandbox.copy(["--all", "--with-referrers", from, to]).run().success();
}

#[test]
fn they_come_along_from_every_kind_of_registry_to_every_kind() {
    let family = Family::new();
    for from_lists in [true, false] {
        for to_lists in [true, false] {
            let builder = |lists: bool| match lists {
                true => TestRegistry::builder(),
                false => TestRegistry::builder().no_referrers(),
            };
            let (from, to) = (builder(from_lists).start(), builder(to_lists).start());
            family.push(&from, !from_lists);
            let sandbox = Sandbox::new();
            copy(&sandbox, &from.image("app:1"), &to.image("new:1"));
            family.assert_in(&to, "new");
            let mut expected = vec!["1".to_owned(), family.cosign_tag()];
            if !to_lists {
                let subjects =
                    [&family.root.root, &family.root.images[0].manifest, &family.sbom.root];
                expected.extend(subjects.map(|subject| subject.digest.replace(':', "-")));
            }
            expected.sort();
            assert_eq!(to.tags("new"), expected, "{from_lists} {to_lists}");
            // Nothing to do the second time: no blob moves, no manifest is written again.
            to.clear_log();
            copy(&sandbox, &from.image("app:1"), &to.image("new:1"));
            assert_eq!(to.count("POST", Kind::Upload), 0, "{}", to.log_text());
            family.assert_in(&to, "new");
        }
    }
}

#[test]
fn without_asking_they_stay() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let family = Family::new();
    family.push(&from, false);
    let sandbox = Sandbox::new();
    sandbox.copy([&from.image("app:1"), &to.image("new:1")]).run().success();
    assert_eq!(to.tags("new"), ["1"]);
    assert_eq!(to.manifests("new").len(), family.root.manifests.len());
    assert_eq!(from.count("*", Kind::Referrers), 0);
}

#[test]
fn they_survive_layouts_and_the_store() {
    for place in ["oci:DIR/l:1", "store:app:1", "oci-archive:DIR/a.tar:1"] {
        let (from, to) = (TestRegistry::start(), TestRegistry::start());
        let family = Family::new();
        family.push(&from, false);
        let sandbox = Sandbox::new();
        let place = place.replace("DIR", &sandbox.path("").display().to_string());
        copy(&sandbox, &from.image("app:1"), &place);
        copy(&sandbox, &place, &to.image("new:1"));
        family.assert_in(&to, "new");
    }
}

#[test]
fn what_others_attached_to_a_layout_is_found() {
    let sandbox = Sandbox::new();
    let family = Family::new();
    let layout = sandbox.path("l");
    family.root.write_layout(&layout, Some("1"));
    // Plain untagged entries, as oras and BuildKit leave them.
    for referrer in [&family.sbom, &family.of_child, &family.signature] {
        referrer.write_layout(&layout, None);
    }
    family.cosign.write_layout(&layout, Some(&family.cosign_tag()));
    let to = TestRegistry::start();
    copy(&sandbox, &format!("oci:{}:1", layout.display()), &to.image("new:1"));
    family.assert_in(&to, "new");
}

#[test]
fn places_that_cannot_hold_them_say_so() {
    let from = TestRegistry::start();
    let family = Family::new();
    family.push(&from, false);
    small("linux/amd64").build().push(&from, "plain", "1");
    let sandbox = Sandbox::new();
    let file = sandbox.path("a.tar");
    for source in ["app:1", "plain:1"] {
        sandbox
            .copy(["--with-referrers", &from.image(source)])
            .arg(format!("docker-archive:{}:app:1", file.display()))
            .run()
            .fails(1)
            .says("cannot hold what refers to an image");
        assert!(!file.exists());
    }
}

#[test]
fn an_image_that_changes_leaves_them_behind() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let family = Family::new();
    family.push(&from, false);
    let sandbox = Sandbox::new();
    sandbox
        .copy(["--with-referrers", "--platform", "linux/amd64", &from.image("app:1")])
        .arg(to.image("new:1"))
        .run()
        .success()
        .says("stays behind");
    // The index is another one now; the image that it lists is not, so its SBOM came.
    assert!(to.manifest("new", &family.sbom.root.digest).is_none());
    assert!(to.manifest("new", &family.of_child.root.digest).is_some());
}

#[test]
fn artifacts_alone_are_copied() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    let chart = artifact("")
        .config("application/vnd.cncf.helm.config.v1+json", "{\"name\": \"chart\"}")
        .layer("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "chart")
        .build();
    let sbom = artifact(SBOM).layer(SBOM, "{}\n").annotation("a", "b").build();
    for (name, built) in [("chart", &chart), ("sbom", &sbom)] {
        built.push(&from, name, "1");
        let places = [
            format!("oci:{}:1", sandbox.path(&format!("{name}-l")).display()),
            format!("dir:{}", sandbox.path(&format!("{name}-d")).display()),
            format!("oci-archive:{}", sandbox.path(&format!("{name}.tar")).display()),
            format!("store:{name}:1"),
            to.image(&format!("{name}:1")),
        ];
        let mut source = from.image(&format!("{name}:1"));
        for place in places {
            let output = sandbox.copy([&source, &place]).run().success();
            assert_eq!(output.stdout.trim(), built.root.digest, "{place}");
            source = place;
        }
        to.assert_whole(name);
        sandbox.copy([&source, "docker-archive:a.tar:x:1"]).run().fails(1).says("artifact");
    }
    assert!(!sandbox.work("a.tar").exists());
    // By digest, as an untagged referrer.
    let referrer = artifact(SBOM).layer(SBOM, "[]").subject(&sbom.root).build();
    referrer.push_untagged(&from, "sbom");
    let name = format!("sbom@{}", referrer.root.digest);
    sandbox.copy([&from.image(&name), &to.image(&name)]).run().success();
    assert!(to.manifest("sbom", &referrer.root.digest).is_some());
}

#[test]
fn additions_of_others_to_a_fallback_tag_are_kept() {
    let to = TestRegistry::builder().no_referrers().start();
    let sandbox = Sandbox::new();
    let root = small("linux/amd64").build();
    root.push(&to, "app", "1");
    let tag = root.root.digest.replace(':', "-");
    let [ours, theirs] =
        ["ours", "theirs"].map(|text| artifact(SBOM).layer(SBOM, text).subject(&root.root).build());
    ours.write_layout(&sandbox.path("l"), Some("x"));
    // Another client, which read the list before we wrote it, writes it after us. We look again
    // only then.
    let rereading = once("GET", Kind::Manifest).path(&tag).after(1);
    let looked = to.inject(rereading, Fault::Delay(Duration::from_millis(500)));
    let source = format!("oci:{}:x", sandbox.path("l").display());
    let target = to.image(&format!("app@{}", ours.root.digest));
    let running = sandbox.copy([source, target]).start();
    while to.manifest("app", &tag).is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    theirs.push_untagged(&to, "app");
    let list = index().child(theirs.clone()).build();
    to.put_manifest("app", Some(&tag), OCI_INDEX, list.root_bytes().clone());
    running.wait().success();
    assert_eq!(looked.fired(), 1);
    let list = to.manifest("app", &tag).expect("the fallback tag").json();
    let mut listed: Vec<_> = list["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["digest"].as_str().unwrap().to_owned())
        .collect();
    listed.sort();
    let mut expected: Vec<_> = [&theirs, &ours].map(|built| built.root.digest.clone()).to_vec();
    expected.sort();
    assert_eq!(listed, expected);
    assert_eq!(list["manifests"][1]["artifactType"], SBOM);
}

#[test]
fn rounds_of_referrers_end() {
    // Two artifacts cannot be about each other, but a list of referrers may claim so.
    let from = TestRegistry::builder().no_referrers().start();
    let to = TestRegistry::start();
    let sandbox = Sandbox::new();
    let root = small("linux/amd64").build();
    let sbom = artifact(SBOM).layer(SBOM, "{}").subject(&root.root).build();
    root.push(&from, "app", "1");
    for subject in [&root, &sbom] {
        let tag = subject.root.digest.replace(':', "-");
        index().child(sbom.clone()).child(root.clone()).build().push(&from, "app", &tag);
    }
    copy(&sandbox, &from.image("app:1"), &to.image("new:1"));
    assert_eq!(to.tags("new"), ["1"]);
    to.assert_whole("new");
}
