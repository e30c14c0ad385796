//! Real servers start, answer, and take what the image maker makes.

use crate::support::client::request;
use crate::support::content::sha256;
use crate::support::image::{DockerSave, OCI_MANIFEST, layer, schema1, small, three_platforms};
use crate::support::peers::{need, skopeo};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;
use crate::support::server::{Access, DockerRegistry, Dockerd};

#[test]
fn docker_registry() {
    need!("docker-registry", "skopeo");
    let reg = DockerRegistry::start();
    let sandbox = Sandbox::new();
    three_platforms().docker().build().push_http(&reg.url(), "list", "1", |ask| ask);
    let app = small("linux/amd64").build();
    app.push_http(&reg.url(), "app", "1", |ask| ask);
    assert_eq!(reg.requests(), []);
    let out = skopeo(&sandbox, ["inspect", "--raw", &reg.image("app:1")]).run().success();
    assert_eq!(out.stdout.as_bytes(), app.root_bytes());
    let get =
        |path: &str| Access { method: "GET".into(), path_and_query: path.into(), status: 200 };
    assert_eq!(reg.requests(), [get("/v2/"), get("/v2/app/manifests/1")]);
    // Signed schema 1 is accepted only with a valid signature.
    let old = schema1("old", "1", &[layer().file("a", "b"), layer().file("c", "d")], true);
    old.push_http(&reg.url(), "old", "1", |ask| ask);
    let out = skopeo(&sandbox, ["inspect", &reg.image("old:1")]).run().success();
    assert_eq!(out.json()["Digest"], old.root.digest.as_str());
    assert_eq!(out.json()["Layers"].as_array().map(Vec::len), Some(2));
    assert!(reg.data().join("docker/registry/v2/repositories/app").exists());
}

/// What both registries must answer to the same questions.
fn answers(url: &str) -> Vec<String> {
    let app = small("linux/amd64").build();
    app.push_http(url, "app", "1", |ask| ask);
    let layer = &app.image().layers[0].descriptor;
    let blob = format!("/v2/app/blobs/{}", layer.digest);
    let nothing = format!("/v2/app/blobs/{}", sha256("nothing"));
    let manifest = "/v2/app/manifests/1";
    let tag = format!("\"{}\"", app.root.digest);
    let ask = |method: &str, path: &str, header: (&str, &str)| {
        let reply = request(method, &format!("{url}{path}")).header(header.0, header.1).send();
        let mut text = format!("{method} {path}: {} {}", reply.status, sha256(&reply.body));
        if reply.status >= 400 && method == "GET" {
            text = format!("{method} {path}: {} {}", reply.status, reply.code());
        }
        let told =
            ["content-length", "content-range", "content-type", "docker-content-digest", "etag"];
        for name in told.into_iter().filter(|_| reply.status < 400) {
            text.push_str(&format!(" {name}={}", reply.header(name).unwrap_or("-")));
        }
        text
    };
    let plain = ("X-None", "");
    vec![
        ask("GET", &blob, plain),
        ask("HEAD", &blob, plain),
        ask("GET", &blob, ("Range", "bytes=3-7")),
        ask("GET", &nothing, plain),
        ask("GET", manifest, ("Accept", OCI_MANIFEST)),
        ask("HEAD", manifest, ("Accept", OCI_MANIFEST)),
        ask("GET", manifest, ("If-None-Match", &tag)),
        ask("GET", "/v2/app/manifests/none", ("Accept", OCI_MANIFEST)),
        ask("GET", "/v2/none/tags/list", plain),
        ask("GET", "/v2/app/blobs/sha256:1", plain),
        request("GET", &format!("{url}/v2/app/tags/list")).send().json().to_string(),
        request("GET", &format!("{url}/v2/_catalog")).send().json().to_string(),
    ]
}

/// The judge is judged: where the spec leaves no choice it answers as the real one.
#[test]
fn our_registry_answers_as_the_real_one() {
    need!("docker-registry");
    let (ours, real) = (TestRegistry::start(), DockerRegistry::start());
    assert_eq!(answers(&ours.url()), answers(&real.url()));
}

#[test]
fn docker_registry_with_password() {
    need!("docker-registry", "htpasswd");
    let reg = DockerRegistry::builder().htpasswd("user", "secret").start();
    let url = format!("{}/v2/", reg.url());
    request("GET", &url).send().expect(401);
    request("GET", &url).basic("user", "wrong").send().expect(401);
    let app = small("linux/amd64").build();
    app.push_http(&reg.url(), "app", "1", |ask| ask.basic("user", "secret"));
}

#[test]
fn docker_registry_with_tls() {
    need!("docker-registry");
    let reg = DockerRegistry::builder().tls().no_delete().start();
    let app = small("linux/amd64").build();
    app.push_http(&reg.url(), "app", "1", |ask| ask.ca(reg.ca_path()));
    let url = format!("{}/v2/app/manifests/{}", reg.url(), app.root.digest);
    request("DELETE", &url).ca(reg.ca_path()).send().expect(405);
}

#[test]
fn docker_daemon() {
    need!("dockerd", "docker", "root", "overlay");
    let daemon = Dockerd::start();
    let sandbox = Sandbox::new();
    let app = small("linux/amd64").docker().build();
    for (number, style) in
        [DockerSave::Classic, DockerSave::Skopeo, DockerSave::Docker25].into_iter().enumerate()
    {
        let file = sandbox.work("app.tar");
        let name = format!("app:{number}");
        app.write_docker_archive(&file, style, &[&name]);
        daemon.docker(&sandbox, ["load", "-i", "app.tar"]).run().success();
        let out = daemon.docker(&sandbox, ["image", "inspect", &name, "-f", "{{.Id}}"]).run();
        assert_eq!(out.success().stdout.trim(), app.image().config.digest, "{style:?}");
    }
    assert!(daemon.log().contains("API listen on"));
}
