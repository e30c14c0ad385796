//! What is missing is said, and CI does not let it pass; podman and buildah work as they are set up.

use crate::support::image::small;
use crate::support::peers::{
    buildah, containers_storage, find, have, is_host_limit, need, podman, skopeo,
};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

#[test]
fn needs() {
    assert!(have(&["sh", "true"]));
    assert!(find("sh").is_some() && find("no-such-program").is_none());
    assert!(is_host_limit("cgroup-v2") && is_host_limit("quota"));
    assert!(!is_host_limit("skopeo") && !is_host_limit("root") && !is_host_limit("need"));
}

#[test]
fn a_missing_program() {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let result = std::panic::catch_unwind(|| have(&["sh", "no-such-program"]));
    match result {
        Ok(there) => assert!(!there && !in_ci),
        Err(_) => assert!(in_ci),
    }
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
