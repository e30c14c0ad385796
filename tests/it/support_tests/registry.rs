//! The test registry follows the distribution spec.

use serde_json::json;

use crate::support::client::{get, request};
use crate::support::content::{noise, sha256, sha512};
use crate::support::image::{
    self, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, artifact, image, layer,
};
use crate::support::registry::{Kind, Location, TestRegistry};

/// Starts an upload and gives the absolute Location.
fn start_upload(reg: &TestRegistry, repository: &str) -> String {
    let url = format!("{}/v2/{repository}/blobs/uploads/", reg.url());
    let reply = request("POST", &url).send().expect(202);
    reply.expect_header("location").to_string()
}

fn put_blob(reg: &TestRegistry, repository: &str, bytes: &[u8]) -> String {
    let digest = sha256(bytes);
    let location = start_upload(reg, repository);
    let reply = request("PUT", &format!("{location}&digest={digest}")).body(bytes).send();
    assert_eq!(reply.expect(201).expect_header("docker-content-digest"), digest);
    digest
}

#[test]
fn ping_and_unknown_paths() {
    let reg = TestRegistry::start();
    assert_eq!(get(&format!("{}/v2/", reg.url())).expect(200).text(), "{}");
    get(&format!("{}/v1/", reg.url())).expect(404);
    get(&format!("{}/v2/a/nothing", reg.url())).expect(404);
    assert_eq!(get(&format!("{}/v2/A/tags/list", reg.url())).expect(400).code(), "NAME_INVALID");
    assert_eq!(get(&format!("{}/v2/a..b/tags/list", reg.url())).expect(400).code(), "NAME_INVALID");
    assert_eq!(get(&format!("{}/v2/a-_b/tags/list", reg.url())).expect(400).code(), "NAME_INVALID");
    assert_eq!(get(&format!("{}/v2/a__b/tags/list", reg.url())).expect(404).code(), "NAME_UNKNOWN");
    let kinds: Vec<Kind> = reg.requests().iter().map(|r| r.kind).collect();
    assert_eq!(kinds[..3], [Kind::Ping, Kind::Other, Kind::Other]);
    assert_eq!(reg.count("GET", Kind::Tags), 4);
    assert_eq!(reg.connections(), 7);
}

#[test]
fn blobs_go_up_and_come_down() {
    let reg = TestRegistry::start();
    let bytes = noise(1, 3 << 20);
    let digest = put_blob(&reg, "a/b", &bytes);
    let url = format!("{}/v2/a/b/blobs/{digest}", reg.url());

    let reply = get(&url).expect(200);
    assert!(reply.whole && reply.body == bytes);
    assert_eq!(reply.expect_header("docker-content-digest"), digest);
    let reply = request("HEAD", &url).send().expect(200);
    assert_eq!(reply.expect_header("content-length"), (3 << 20).to_string());

    // A blob belongs to the repository it was pushed to.
    reg.put_blob("other", "x");
    let elsewhere = format!("{}/v2/other/blobs/{digest}", reg.url());
    assert_eq!(get(&elsewhere).expect(404).code(), "BLOB_UNKNOWN");
    let wrong = format!("{}/v2/a/b/blobs/sha256:123", reg.url());
    assert_eq!(get(&wrong).expect(400).code(), "DIGEST_INVALID");

    let sha512 = sha512("x");
    let location = start_upload(&reg, "a/b");
    request("PUT", &format!("{location}&digest={sha512}")).body("x").send().expect(201);
    assert_eq!(get(&format!("{}/v2/a/b/blobs/{sha512}", reg.url())).expect(200).text(), "x");

    request("DELETE", &url).send().expect(202);
    get(&url).expect(404);
    request("DELETE", &url).send().expect(404);
    assert_eq!(reg.requests().iter().map(|r| r.body_len).sum::<u64>(), (3 << 20) + 1);
}

#[test]
fn ranges() {
    let reg = TestRegistry::start();
    let digest = reg.put_blob("a", "0123456789");
    let url = format!("{}/v2/a/blobs/{digest}", reg.url());
    let ask = |range: &str| {
        let reply = request("GET", &url).header("Range", range).send();
        let place = reply.header("content-range").unwrap_or("-").to_string();
        format!(
            "{} {place} {}",
            reply.status,
            if reply.status < 300 { reply.text() } else { "".into() }
        )
    };
    assert_eq!(ask("bytes=2-4"), "206 bytes 2-4/10 234");
    assert_eq!(ask("bytes=7-"), "206 bytes 7-9/10 789");
    assert_eq!(ask("bytes=7-99"), "206 bytes 7-9/10 789");
    assert_eq!(ask("bytes=-3"), "206 bytes 7-9/10 789");
    assert_eq!(ask("bytes=10-"), "416 bytes */10 ");
    assert_eq!(ask("bytes=0-1,3-4"), "200 - 0123456789");
    assert_eq!(ask("lines=1-2"), "200 - 0123456789");
    assert_eq!(reg.requests()[0].range.as_deref(), Some("bytes=2-4"));

    let reg = TestRegistry::builder().no_ranges().start();
    let digest = reg.put_blob("a", "0123456789");
    let url = format!("{}/v2/a/blobs/{digest}", reg.url());
    request("GET", &url).header("Range", "bytes=2-4").send().expect(200);
}

#[test]
fn uploads_in_chunks() {
    let reg = TestRegistry::start();
    let digest = sha256("0123456789");
    let location = start_upload(&reg, "a");
    assert!(location.starts_with(&format!("{}/v2/a/blobs/uploads/", reg.url())));
    let patch = |location: &str, range: &str, body: &str| {
        request("PATCH", location).header("Content-Range", range).body(body).send()
    };
    let reply = patch(&location, "0-3", "0123").expect(202);
    assert_eq!(reply.expect_header("range"), "0-3");
    let reply = patch(&location, "5-6", "56").expect(416);
    assert_eq!(reply.expect_header("range"), "0-3");
    assert_eq!(patch(&location, "4-9", "45").expect(400).code(), "SIZE_INVALID");
    assert_eq!(patch(&location, "bytes 4-5/10", "45").expect(400).code(), "BLOB_UPLOAD_INVALID");
    let reply = request("GET", &location).send().expect(204);
    assert_eq!(reply.expect_header("range"), "0-3");
    request("PATCH", &location).body("4567").chunked().send().expect(202);
    let end = format!("{location}&digest={digest}");
    request("PUT", &end).header("Content-Range", "8-9").body("89").send().expect(201);
    assert!(reg.has_blob("a", &digest));
    assert_eq!(request("GET", &location).send().expect(404).code(), "BLOB_UPLOAD_UNKNOWN");

    let location = start_upload(&reg, "a");
    assert_eq!(reg.open_uploads("a"), 1);
    request("DELETE", &location).send().expect(204);
    assert_eq!(reg.open_uploads("a"), 0);

    // A wrong digest ends the session.
    let location = start_upload(&reg, "a");
    let wrong = format!("{location}&digest={}", sha256("other"));
    assert_eq!(request("PUT", &wrong).body("x").send().expect(400).code(), "DIGEST_INVALID");
    assert_eq!(reg.blobs("a"), [digest]);

    // Location counts as given: a changed state is not known.
    let location = start_upload(&reg, "a");
    request("PATCH", &format!("{location}0")).body("x").send().expect(404);
    let octets = request("PATCH", &location).header("Content-Type", "text/plain").body("x");
    octets.send().expect(400);
}

#[test]
fn upload_switches() {
    let reg = TestRegistry::builder()
        .chunk_min(4)
        .one_use_locations()
        .no_chunked_bodies()
        .location(Location::Relative)
        .start();
    let url = format!("{}/v2/a/blobs/uploads/", reg.url());
    let reply = request("POST", &url).send().expect(202);
    assert_eq!(reply.expect_header("oci-chunk-min-length"), "4");
    let first = reply.expect_header("location");
    assert!(first.starts_with("/v2/a/blobs/uploads/"), "{first}");
    let first = format!("{}{first}", reg.url());
    request("PATCH", &first).body("01234").chunked().send().expect(411);
    let reply = request("PATCH", &first).body("01234").send().expect(202);
    request("PATCH", &first).body("5678").send().expect(404);
    let second = format!("{}{}", reg.url(), reply.expect_header("location"));
    let reply = request("PATCH", &second).body("56").send().expect(202);
    let third = format!("{}{}", reg.url(), reply.expect_header("location"));
    assert_eq!(request("PATCH", &third).body("78").send().expect(400).code(), "SIZE_INVALID");
    let end = format!("{third}&digest={}", sha256("0123456"));
    request("PUT", &end).send().expect(201);
}

#[test]
fn monolithic_post_and_mounts() {
    let reg = TestRegistry::start();
    let digest = sha256("blob");
    let post = |reg: &TestRegistry, query: &str| {
        let url = format!("{}/v2/new/blobs/uploads/?{query}", reg.url());
        request("POST", &url).body("blob").send()
    };
    post(&reg, &format!("digest={digest}")).expect(201);
    assert!(reg.has_blob("new", &digest));

    let other = reg.put_blob("source", "other");
    post(&reg, &format!("mount={other}&from=nowhere")).expect(202);
    post(&reg, &format!("mount={other}")).expect(202);
    assert!(!reg.has_blob("new", &other));
    let reply = post(&reg, &format!("mount={other}&from=source")).expect(201);
    assert!(reply.expect_header("location").ends_with(&format!("/v2/new/blobs/{other}")));
    assert!(reg.has_blob("new", &other));

    let reg = TestRegistry::builder().no_single_post().anonymous_mounts().start();
    post(&reg, &format!("digest={digest}")).expect(202);
    assert!(!reg.has_blob("new", &digest));
    reg.put_blob("source", "blob");
    post(&reg, &format!("mount={digest}")).expect(201);
    let reg = TestRegistry::builder().no_mounts().start();
    reg.put_blob("source", "blob");
    post(&reg, &format!("mount={digest}&from=source")).expect(202);
}

#[test]
fn manifests_are_judged() {
    let reg = TestRegistry::start();
    let app = image().layer(layer().file("a", "b")).build();
    let put = |what: &str, kind: &str, body: &str| {
        let url = format!("{}/v2/app/manifests/{what}", reg.url());
        request("PUT", &url).header("Content-Type", kind).body(body).send()
    };
    let text = std::str::from_utf8(app.root_bytes()).expect("JSON").to_string();
    let reply = put("1", OCI_MANIFEST, &text).expect(404);
    assert_eq!(reply.code(), "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(reply.json()["errors"][0]["detail"]["digest"], app.image().config.digest.as_str());
    for content in app.blobs.values() {
        reg.put_blob("app", content.clone());
    }
    let reply = put("1", OCI_MANIFEST, &text).expect(201);
    assert_eq!(reply.expect_header("docker-content-digest"), app.root.digest);
    put(&app.root.digest, OCI_MANIFEST, &text).expect(201);
    assert_eq!(put(&sha256("x"), OCI_MANIFEST, &text).expect(400).code(), "DIGEST_INVALID");
    assert_eq!(put("1", DOCKER_MANIFEST, &text).expect(400).code(), "MANIFEST_INVALID");
    assert_eq!(put("1", "text/plain", "{}").expect(400).code(), "MANIFEST_INVALID");
    assert_eq!(put("-1", OCI_MANIFEST, &text).expect(400).code(), "TAG_INVALID");
    let size = app.image().config.size;
    let wrong = text.replace(&format!("\"size\": {size}"), "\"size\": 1");
    assert_eq!(put("1", OCI_MANIFEST, &wrong).expect(400).code(), "SIZE_INVALID");
    put("1", OCI_MANIFEST, &" ".repeat((4 << 20) + 1)).expect(413);
    reg.assert_whole("app");

    let child = json!({"mediaType": OCI_MANIFEST, "digest": sha256("no"), "size": 2});
    let list = json!({"schemaVersion": 2, "manifests": [child]}).to_string();
    assert_eq!(put("2", OCI_INDEX, &list).expect(404).code(), "MANIFEST_BLOB_UNKNOWN");
    let several = format!("{}?tag=x&tag=y", app.root.digest);
    let reply = put(&several, OCI_MANIFEST, &text).expect(201);
    assert_eq!(reply.headers.iter().filter(|(name, _)| name == "oci-tag").count(), 2);
    assert_eq!(reg.tags("app"), ["1", "x", "y"]);
}

#[test]
fn manifests_are_negotiated() {
    let reg = TestRegistry::start();
    let app = image::small("linux/amd64").build();
    app.push(&reg, "app", "1");
    let url = format!("{}/v2/app/manifests/1", reg.url());
    let reply = get(&url).expect(200);
    assert_eq!(reply.body, *app.root_bytes());
    assert_eq!(reply.expect_header("content-type"), OCI_MANIFEST);
    let accept = |value: &str| request("GET", &url).header("Accept", value).send();
    accept(&format!("{OCI_INDEX}, {OCI_MANIFEST};q=0.5")).expect(200);
    accept("*/*").expect(200);
    assert_eq!(accept(DOCKER_MANIFEST).expect(404).code(), "MANIFEST_UNKNOWN");
    let tag = format!("\"{}\"", app.root.digest);
    request("GET", &url).header("If-None-Match", &tag).send().expect(304);
    let reply = request("HEAD", &url).send().expect(200);
    assert_eq!(reply.expect_header("content-length"), app.root.size.to_string());
    let reply = get(&format!("{}/v2/app/manifests/2", reg.url())).expect(404);
    assert_eq!(reply.code(), "MANIFEST_UNKNOWN");
}

#[test]
fn manifests_and_tags_are_deleted() {
    let reg = TestRegistry::start();
    let app = image::small("linux/amd64").build();
    app.push(&reg, "app", "1");
    reg.tag("app", "2", &app.root.digest);
    let delete = |reg: &TestRegistry, what: &str| {
        request("DELETE", &format!("{}/v2/app/manifests/{what}", reg.url())).send()
    };
    delete(&reg, "1").expect(202);
    delete(&reg, "1").expect(404);
    assert_eq!(reg.tags("app"), ["2"]);
    delete(&reg, &app.root.digest).expect(202);
    assert!(reg.tags("app").is_empty() && reg.manifests("app").is_empty());

    let reg = TestRegistry::builder().no_tag_delete(400).start();
    app.push(&reg, "app", "1");
    assert_eq!(delete(&reg, "1").expect(400).code(), "UNSUPPORTED");
    delete(&reg, &app.root.digest).expect(202);
    let reg = TestRegistry::builder().no_delete().start();
    app.push(&reg, "app", "1");
    delete(&reg, &app.root.digest).expect(405);
}

#[test]
fn lists_come_in_pages() {
    let reg = TestRegistry::builder().tag_page(3).start();
    for tag in ["e", "d", "c", "b", "a"] {
        reg.tag("x", tag, &sha256(tag));
    }
    reg.put_blob("y/z", "");
    let list = |query: &str| {
        let reply = get(&format!("{}/v2/x/tags/list{query}", reg.url())).expect(200);
        let link = reply.header("link").unwrap_or("-").to_string();
        (reply.json()["tags"].clone(), link)
    };
    let next = |n, last| format!("</v2/x/tags/list?n={n}&last={last}>; rel=\"next\"");
    assert_eq!(list(""), (json!(["a", "b", "c"]), next(3, "c")));
    assert_eq!(list("?n=3&last=c"), (json!(["d", "e"]), "-".into()));
    assert_eq!(list("?n=2"), (json!(["a", "b"]), next(2, "b")));
    assert_eq!(list("?n=0"), (json!([]), "-".into()));
    get(&format!("{}/v2/x/tags/list?n=x", reg.url())).expect(400);
    let catalog = get(&format!("{}/v2/_catalog", reg.url())).expect(200).json();
    assert_eq!(catalog, json!({"repositories": ["x", "y/z"]}));
}

#[test]
fn referrers() {
    let reg = TestRegistry::builder().referrers_page(1).start();
    let app = image::small("linux/amd64").build();
    app.push(&reg, "app", "1");
    let sbom = artifact("application/spdx+json").subject(&app.root).annotation("k", "v").build();
    let old = artifact("").config("application/vnd.old", "{}").subject(&app.root).build();
    sbom.push_http(&reg.url(), "app", &sbom.root.digest, |request| request);
    old.push_untagged(&reg, "app");
    let url = format!("{}/v2/app/referrers/{}", reg.url(), app.root.digest);

    let first = get(&url).expect(200);
    assert_eq!(first.expect_header("content-type"), OCI_INDEX);
    let link = first.expect_header("link");
    let link = link.trim_start_matches('<').split('>').next().expect("a link").to_string();
    let second = get(&format!("{}{link}", reg.url())).expect(200);
    assert_eq!(second.header("link"), None);
    let mut types: Vec<String> = [&first, &second]
        .map(|reply| reply.json()["manifests"][0]["artifactType"].as_str().unwrap_or("").into())
        .into();
    types.sort();
    assert_eq!(types, ["application/spdx+json", "application/vnd.old"]);

    let reply = get(&format!("{url}?artifactType=application%2Fspdx%2Bjson")).expect(200);
    assert_eq!(reply.expect_header("oci-filters-applied"), "artifactType");
    let wanted = json!([{
        "mediaType": OCI_MANIFEST, "digest": sbom.root.digest, "size": sbom.root.size,
        "artifactType": "application/spdx+json", "annotations": {"k": "v"},
    }]);
    assert_eq!(reply.json()["manifests"], wanted);
    let put = reg.requests().into_iter().find(|r| r.method == "PUT" && r.kind == Kind::Manifest);
    assert_eq!(put.expect("a push").status, 201);

    let reg = TestRegistry::builder().no_referrers().start();
    app.push(&reg, "app", "1");
    get(&format!("{}/v2/app/referrers/{}", reg.url(), app.root.digest)).expect(404);
    let reg = TestRegistry::builder().no_referrers_filter().start();
    sbom.push_untagged(&reg, "app");
    let url = format!("{}/v2/app/referrers/{}?artifactType=x", reg.url(), app.root.digest);
    let reply = get(&url).expect(200);
    assert_eq!(reply.header("oci-filters-applied"), None);
    assert_eq!(reply.json()["manifests"][0]["digest"], sbom.root.digest.as_str());
}
