//! What people have already counts: registries.conf, policy.json, certs.d, proxies.

use std::fs;
use std::net::TcpListener;

use crate::support::http::RecordingServer;
use crate::support::image::{Built, image, layer, small};
use crate::support::log::Kind;
use crate::support::program::Sandbox;
use crate::support::registry::{Fault, TestRegistry, always};
use crate::support::tls::TlsOptions;

/// A registry that has `app:1`, and what that is.
fn with_app() -> (TestRegistry, Built) {
    let registry = TestRegistry::start();
    let built = image().layer(layer().noise("data", 50_000, 1)).build();
    built.push(&registry, "library/app", "1");
    (registry, built)
}

/// A port on which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn registry_conf(location: &str, mirrors: &[(&str, &str)]) -> String {
    let mut text = format!(
        "[[registry]]\nprefix = \"reg.example\"\nlocation = \"{location}\"\ninsecure = true\n"
    );
    for (mirror, pull) in mirrors {
        text += &format!("[[registry.mirror]]\nlocation = \"{mirror}\"\ninsecure = true\n");
        if !pull.is_empty() {
            text += &format!("pull-from-mirror = \"{pull}\"\n");
        }
    }
    text
}

const APP: &str = "docker://reg.example/library/app";

#[test]
fn mirrors_come_first() {
    let ((primary, built), (mirror, _)) = (with_app(), with_app());
    let sandbox = Sandbox::new();
    sandbox.write_registries_conf(&registry_conf(&primary.host(), &[(&mirror.host(), "")]));
    let output = sandbox.copy([&format!("{APP}:1"), "oci:a:1"]).run().success();
    assert_eq!(output.stdout.trim(), built.root.digest);
    assert_eq!((primary.requests().len(), mirror.requests().len()), (0, 3));

    // What the mirror does not have comes from the primary, blobs too.
    mirror.delete("library/app", &built.image().layers[0].descriptor.digest);
    sandbox.copy([&format!("{APP}:1"), "oci:b:1"]).run().success();
    assert_eq!(primary.count("GET", Kind::Blob), 1);
    mirror.delete("library/app", &built.root.digest);
    sandbox.copy([&format!("{APP}:1"), "oci:c:1"]).run().success();
    // What nobody has.
    sandbox.copy([&format!("{APP}:9"), "oci:d:1"]).run().fails(3).says("app:9");
    // Writing goes to the registry itself.
    let conf = registry_conf(&primary.host(), &[(&mirror.host(), "")]);
    sandbox.write_registries_conf(&conf.replace("reg.example", &primary.host()));
    mirror.clear_log();
    sandbox.copy(["oci:a:1", &primary.image("library/app:2")]).run().success();
    assert_eq!(primary.tags("library/app"), ["1", "2"]);
    assert!(mirror.requests().is_empty(), "{}", mirror.log_text());
}

#[test]
fn mirrors_for_tags_or_digests_alone() {
    let ((primary, built), (tags, _), (digests, _)) = (with_app(), with_app(), with_app());
    let sandbox = Sandbox::new();
    let mirrors = [(&*tags.host(), "tag-only"), (&*digests.host(), "digest-only")];
    sandbox.write_registries_conf(&registry_conf(&primary.host(), &mirrors));
    sandbox.copy(["digest", &format!("{APP}:1")]).run().success();
    let asked = || [&tags, &digests, &primary].map(|registry| registry.requests().len());
    assert_eq!(asked(), [1, 0, 0]);
    sandbox.copy(["digest", &format!("{APP}@{}", built.root.digest)]).run().success();
    assert_eq!(asked(), [1, 1, 0]);
}

#[test]
fn a_mirror_that_is_down_is_passed_over() {
    let ((primary, built), (mirror, _)) = (with_app(), with_app());
    let sandbox = Sandbox::new();
    let dead = nobody();
    let mirrors = [(&*dead, ""), (&*mirror.host(), "")];
    sandbox.write_registries_conf(&registry_conf(&primary.host(), &mirrors));
    let copy = |to: &str| {
        sandbox.copy(["--retry-times", "0", &format!("{APP}:1"), to]).run().success().stdout
    };
    assert_eq!(copy("oci:a:1").trim(), built.root.digest);
    assert!(primary.requests().is_empty());
    mirror.inject(always("GET", Kind::Manifest), Fault::error(503, "UNAVAILABLE", "later"));
    assert_eq!(copy("oci:b:1").trim(), built.root.digest);
    assert_eq!(primary.count("GET", Kind::Manifest), 1);
    // All are down: said of the last one, the place itself.
    primary.inject(always("GET", Kind::Manifest), Fault::error(503, "UNAVAILABLE", "later"));
    sandbox
        .copy(["--retry-times", "0", &format!("{APP}:1"), "oci:c:1"])
        .run()
        .fails(5)
        .says(&primary.host());
}

#[test]
fn blocked_registries_are_never_asked() {
    let (registry, _) = with_app();
    let sandbox = Sandbox::new();
    let conf = format!("[[registry]]\nlocation = \"{}\"\nblocked = true\n", registry.host());
    sandbox.write_registries_conf(&conf);
    let name = registry.image("library/app:1");
    sandbox.copy([&name, "oci:a:1"]).run().fails(4).says("blocked").says("registries.conf");
    sandbox.copy(["digest", &name]).run().fails(4);
    small("linux/amd64").build().write_layout(&sandbox.work("l"), Some("1"));
    sandbox.copy(["oci:l:1", &name]).run().fails(4);
    assert!(registry.requests().is_empty());
    // Another file, named.
    let other = sandbox.write("other.conf", "");
    sandbox.copy(["--registries-conf"]).arg(other).args([&name, "oci:a:1"]).run().success();
    let broken = sandbox.write("broken.conf", "[[registry]\n");
    let output = sandbox.copy(["--registries-conf"]).arg(broken).args([&name, "oci:b:1"]).run();
    output.fails(1).says("broken.conf");
}

#[test]
fn prefixes_are_rewritten() {
    let (registry, built) = with_app();
    let sandbox = Sandbox::new();
    sandbox.write_registries_conf(&format!(
        "[[registry]]\nprefix = \"*.example\"\nlocation = \"{0}/nothing\"\ninsecure = true\n\
         [[registry]]\nprefix = \"reg.example/team\"\nlocation = \"{0}/library\"\ninsecure = true\n",
        registry.host()
    ));
    let output = sandbox.copy(["digest", "docker://reg.example/team/app:1"]).run().success();
    assert_eq!(output.stdout.trim(), built.root.digest);
    sandbox.copy(["docker://reg.example/team/app:1"]).run().success();
    // The name that was asked for is the one that is kept.
    sandbox.copy(["digest", "store:reg.example/team/app:1"]).run().success();
    sandbox.copy(["digest", "docker://other.example/team/app:1"]).run().fails(3);
    assert!(registry.log_text().contains("/v2/nothing/team/app/"), "{}", registry.log_text());
}

#[test]
fn short_names() {
    let (registry, built) = with_app();
    let sandbox = Sandbox::new();
    let host = registry.host();
    let digest = |name: &str| sandbox.copy(["digest", "--retry-times", "0", name]).run();
    sandbox.write_registries_conf(&format!(
        "unqualified-search-registries = [\"{host}\"]\n[aliases]\n\"nick\" = \"{host}/library/app\"\n"
    ));
    assert_eq!(digest("nick:1").success().stdout.trim(), built.root.digest);
    assert_eq!(digest("library/app:1").success().stdout.trim(), built.root.digest);
    digest("library/other:1").fails(3).says(&host);
    sandbox.write_registries_conf("unqualified-search-registries = [\"a.example\", \"b.example\"]");
    digest("app:1").fails(2).says("a.example/app, b.example/app");
    // A prefix says that the name is not short: Docker's rules.
    sandbox.write_registries_conf(&format!(
        "unqualified-search-registries = [\"a.example\"]\n\
         [[registry]]\nprefix = \"docker.io\"\nlocation = \"{host}\"\ninsecure = true\n"
    ));
    assert_eq!(digest("docker://app:1").success().stdout.trim(), built.root.digest);
}

#[test]
fn insecure_registries_and_certificates() {
    let registry = TestRegistry::builder().tls().start();
    let built = small("linux/amd64").build();
    built.push(&registry, "app", "1");
    let sandbox = Sandbox::new();
    let name = registry.image("app:1");
    let digest = || sandbox.copy(["digest", "--retry-times", "0", &name]);
    digest().arg("--tls-verify=true").run().fails(1).says("certificate");
    digest().arg("--tls-verify=false").run().success();
    sandbox.write_registries_conf(&format!(
        "[[registry]]\nlocation = \"{}\"\ninsecure = true\n",
        registry.host()
    ));
    digest().run().success();
    digest().arg("--tls-verify=true").run().fails(1).says("certificate");
    sandbox.write_registries_conf("");
    // The place where podman and skopeo look, and the flag.
    let folder = format!("config/containers/certs.d/{}", registry.host());
    let ca = fs::read(registry.ca_path()).unwrap();
    sandbox.write(&format!("{folder}/ca.crt"), &ca);
    digest().run().success();
    fs::remove_dir_all(sandbox.path(&folder)).unwrap();
    digest().arg("--tls-verify=true").run().fails(1);
    sandbox.write("certs/ca.crt", &ca);
    digest().arg("--cert-dir").arg(sandbox.path("certs")).run().success();
    sandbox
        .copy(["--src-cert-dir"])
        .arg(sandbox.path("certs"))
        .args([&name, "oci:a:1"])
        .run()
        .success();
}

#[test]
fn client_certificates() {
    let options = TlsOptions { client_certificate: true, ..TlsOptions::default() };
    let registry = TestRegistry::builder().tls_with(options).start();
    small("linux/amd64").build().push(&registry, "app", "1");
    let sandbox = Sandbox::new();
    let folder = format!("config/containers/certs.d/{}", registry.host());
    let put = |name: &str, from: &str| {
        sandbox.write(&format!("{folder}/{name}"), fs::read(registry.tls().path(from)).unwrap())
    };
    put("ca.crt", "ca.crt");
    let digest = || sandbox.copy(["digest", "--retry-times", "0", &registry.image("app:1")]).run();
    digest().fails(1).says("CertificateRequired");
    put("me.cert", "client.crt");
    digest().fails(1).says("me.key");
    put("me.key", "client.key");
    digest().success();
}

#[test]
fn policies() {
    let (registry, _) = with_app();
    let sandbox = Sandbox::new();
    let name = registry.image("library/app:1");
    let copy = || sandbox.copy([&name, "oci:a:1"]);
    // No policy is no obstacle.
    copy().run().success();
    let reject = "{\"default\": [{\"type\": \"reject\"}]}";
    sandbox.write_policy(reject);
    let count = registry.requests().len();
    copy().run().fails(4).says("rejected by policy").says("policy.json");
    sandbox.copy(["sync", &registry.image("library/app"), "oci:s"]).run().fails(4);
    assert_eq!(registry.count("GET", Kind::Blob), 2);
    copy().arg("--insecure-policy").run().success();
    let accept =
        sandbox.write("accept.json", "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}");
    copy().arg("--policy").arg(&accept).run().success();
    assert!(registry.requests().len() > count);

    let signed = format!(
        "{{\"default\": [{{\"type\": \"insecureAcceptAnything\"}}], \"transports\": {{\"docker\": \
         {{\"{}\": [{{\"type\": \"signedBy\", \"keyType\": \"GPGKeys\", \"keyPath\": \"/k\"}}]}}}}}}",
        registry.host()
    );
    sandbox.write_policy(&signed);
    copy().run().fails(6).says("signedBy").says("cannot be verified");
    // Other places are not meant.
    sandbox.copy(["oci:a:1", "store:x"]).run().success();
    sandbox.write_policy("{\"default\": [{\"type\": \"newerThanUs\"}]}");
    copy().run().fails(1).says("newerThanUs");
    copy().arg("--policy").arg("/nonexistent.json").run().fails(3).says("/nonexistent.json");
}

#[test]
fn proxies_are_used_unless_told_otherwise() {
    let built = small("linux/amd64").build();
    let proxy = RecordingServer::start();
    let digest = built.root.digest.as_str();
    let media_type = built.root.media_type.as_str();
    let headers = [("Content-Type", media_type), ("Docker-Content-Digest", digest)];
    proxy.answer("/v2/app/manifests/1", 200, &headers, built.root_bytes().clone());
    for (digest, content) in &built.blobs {
        proxy.answer(&format!("/v2/app/blobs/{digest}"), 200, &[], content.clone());
    }
    let sandbox = Sandbox::new();
    sandbox.write_registries_conf("[[registry]]\nlocation = \"reg.invalid\"\ninsecure = true\n");
    let copy = |to: &str| {
        sandbox.copy(["--retry-times", "0", "docker://reg.invalid/app:1", &format!("oci:{to}:1")])
    };
    let with_password = proxy.url().replace("http://", "http://user:pr0xy-pass@");
    for (variable, value) in [("HTTP_PROXY", proxy.url()), ("http_proxy", with_password)] {
        let output = copy(variable)
            .env(variable, &value)
            .env(variable.replace("http", "https").replace("HTTP", "HTTPS"), &value)
            .run()
            .success()
            .hides("pr0xy-pass");
        assert_eq!(output.stdout.trim(), digest);
    }
    let requests = proxy.requests();
    assert!(
        requests.iter().all(|r| r.header("host").is_some_and(|h| h.starts_with("reg.invalid")))
    );
    let told = |r: &&crate::support::log::Logged| r.header("proxy-authorization").is_some();
    assert!(requests.iter().filter(told).count() >= 3);
    assert!(requests.iter().all(|r| r.authorization.is_none()));
    let before = proxy.connections();
    for hosts in ["reg.invalid", "*", "other,.invalid"] {
        copy("no").env("HTTP_PROXY", proxy.url()).env("NO_PROXY", hosts).run().fails(5);
    }
    // This machine needs no proxy.
    let (registry, _) = with_app();
    sandbox
        .copy(["digest", &registry.image("library/app:1")])
        .env("HTTP_PROXY", proxy.url())
        .env("NO_PROXY", "localhost,127.0.0.1")
        .run()
        .success();
    assert_eq!(proxy.connections(), before);
    // A proxy that is not there is named.
    let dead = nobody();
    copy("dead").env("HTTP_PROXY", format!("http://{dead}")).run().fails(5);
}

#[test]
fn a_store_of_a_later_program_is_left_alone() {
    let (registry, _) = with_app();
    let sandbox = Sandbox::new();
    let name = registry.image("library/app:1");
    sandbox.copy([&name, "store:app"]).run().success();
    let format = sandbox.store().join("format");
    let text = fs::read_to_string(&format).unwrap();
    for (changed, why) in [
        (
            text.replace("\"version\":1", "\"version\":7")
                .replace("\"version\": 1", "\"version\": 7"),
            "7",
        ),
        ("{\"version\": 1, \"incompatible\": [\"shards\"]}".to_owned(), "shards"),
    ] {
        fs::write(&format, changed).unwrap();
        for args in [
            &[&*name, "store:other"][..],
            &["store:app", "oci:x:1"],
            &["rm", "app"],
            &["prune"],
            &["tag", "store:app", "2"],
        ] {
            sandbox.copy(args).run().fails(1).says("newer version").says(why).says("--root");
        }
        // What needs no store does not mind.
        sandbox.copy(["digest", &name]).run().success();
        sandbox.copy(["--root", "another", &name, "store:app"]).run().success();
    }
    fs::write(&format, "garbage").unwrap();
    sandbox.copy(["store:app", "oci:x:1"]).run().fails(1).says("format");
    fs::write(&format, text).unwrap();
    sandbox.copy(["store:app", "oci:x:1"]).run().success();
}
