//! What is missing is said, and CI does not let it pass; podman and buildah work as they are set up.

use crate::support::image::small;
use crate::support::peers::{
    buildah, containers_storage, find, first_missing, may_skip, need, podman, skopeo,
};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

#[test]
fn needs() {
    assert_eq!(first_missing(&["sh", "true"]), None);
    assert_eq!(first_missing(&["sh", "no-such-program", "nor-this"]), Some("no-such-program"));
    assert!(find("sh").is_some());
    assert!(["skopeo", "cgroup-v2"].iter().all(|need| may_skip(need, false)));
    assert!(["cgroup-v2", "systemd", "quota"].iter().all(|need| may_skip(need, true)));
    assert!(!["skopeo", "root", "need"].iter().any(|need| may_skip(need, true)));
}

#[test]
fn podman_and_buildah_have_their_own_storage() {
    need!("podman", "buildah", "skopeo", "runc", "root", "overlay");
    let reg = TestRegistry::start();
    let app = small("linux/amd64").build();
    app.push(&reg, "app", "1");
    let sandbox = Sandbox::new();
    let name = format!("{}/app:1", reg.host());
    podman(&sandbox, ["pull", "-q", &name]).run().success();
    let out = podman(&sandbox, ["images", "--format", "{{.Repository}}:{{.Tag}}"]).run().success();
    assert_eq!(out.stdout.trim(), name);
    let out = buildah(&sandbox, ["images", "--format", "{{.Name}}:{{.Tag}}"]).run().success();
    assert_eq!(out.stdout.trim(), name);
    let place = containers_storage(&sandbox, &name);
    let out = skopeo(&sandbox, ["inspect", &place]).run().success();
    assert_eq!(out.json()["Digest"], app.root.digest.as_str());
    let mounts = sandbox.mounts();
    assert_eq!(mounts, [sandbox.path("peer/storage/overlay")], "containers/storage leaves one");
    let root = sandbox.root().to_path_buf();
    drop(sandbox);
    assert!(!root.exists());
}
