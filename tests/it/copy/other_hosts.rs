//! A registry's other hosts (token server, storage, upload host): they inherit its trust and what
//! its address allows, and its credentials only where the person says so.

use crate::support::hosts;
use crate::support::http::RecordingServer;
use crate::support::image::{Built, small};
use crate::support::log::Kind;
use crate::support::peers::need;
use crate::support::program::{Output, Sandbox};
use crate::support::registry::{Fault, Location, TestRegistry, always};
use crate::support::tls::{ServerTls, TlsOptions};

/// Addresses of every class, and names for some.
const ADDRESSES: &[&str] =
    &["93.1.2.3", "93.1.2.4", "10.1.2.3", "10.1.2.4", "192.168.9.9", "169.254.7.7"];
const HOSTS: &str = "93.1.2.3 reg.corp.test\n93.1.2.4 auth.corp.test auth.other.test\n\
                     10.1.2.4 inner.corp.test";

/// Who may send to whom.
const RULES: &[(&str, &str, bool)] = &[
    ("93.1.2.3", "93.1.2.4", true),
    ("93.1.2.3", "10.1.2.4", false),
    ("93.1.2.3", "127.0.0.1", false),
    ("93.1.2.3", "169.254.7.7", false),
    ("10.1.2.3", "10.1.2.4", true),
    ("10.1.2.3", "192.168.9.9", true),
    ("10.1.2.3", "93.1.2.4", true),
    ("10.1.2.3", "127.0.0.1", false),
    ("10.1.2.3", "169.254.7.7", false),
    ("127.0.0.1", "127.0.0.2", true),
    ("127.0.0.1", "10.1.2.4", true),
    ("127.0.0.1", "93.1.2.4", true),
    ("127.0.0.1", "169.254.7.7", false),
];

fn app() -> Built {
    small("linux/amd64").build()
}

#[track_caller]
fn assert_allowed(output: &Output, allowed: bool, what: &str) {
    match allowed {
        true => assert!(output.status.success(), "{what}: {output}"),
        false => {
            assert_eq!(output.code(), Some(4), "{what}: {output}");
            assert!(output.stderr.contains("may not send us there"), "{what}: {output}");
        }
    }
}

#[test]
fn storage_by_the_class_of_its_address() {
    need!("root", "ip");
    hosts::inside(ADDRESSES, HOSTS, || {
        for (from, to, allowed) in RULES {
            let registry = hosts::at(from, TestRegistry::start);
            let storage = hosts::at(to, TestRegistry::start);
            let sandbox = Sandbox::new();
            app().push(&registry, "app", "1");
            app().push(&storage, "app", "1");
            registry.inject(always("GET", Kind::Blob), Fault::redirect(&storage.url()));
            let source = registry.image("app:1");
            let output = sandbox.copy(["--tls-verify=false", &source, "oci:out:1"]).run();
            assert_allowed(&output, *allowed, &format!("{from} to {to}"));
            assert_eq!(storage.connections() > 0, *allowed, "{from} to {to}");
        }
    });
}

#[test]
fn token_servers_by_the_class_of_their_address() {
    need!("root", "ip");
    hosts::inside(ADDRESSES, HOSTS, || {
        for (from, to, allowed) in RULES {
            let tokens = hosts::at(to, RecordingServer::start);
            let realm = format!("{}/token", tokens.url());
            let builder = TestRegistry::builder().token_auth("user", "secret").anonymous_pull();
            let registry = hosts::at(from, || builder.realm(&realm).start());
            tokens.answer(
                "/token",
                307,
                &[("Location", &format!("{}/token?scope=repository:app:pull", registry.url()))],
                "",
            );
            app().push(&registry, "app", "1");
            let sandbox = Sandbox::new();
            let source = registry.image("app:1");
            let output = sandbox.copy(["--tls-verify=false", &source, "oci:out:1"]).run();
            assert_allowed(&output, *allowed, &format!("{from} to {to}"));
            assert_eq!(tokens.connections() > 0, *allowed, "{from} to {to}");
        }
    });
}

#[test]
fn upload_hosts_by_the_class_of_their_address() {
    need!("root", "ip");
    hosts::inside(ADDRESSES, HOSTS, || {
        for (from, to, allowed) in RULES {
            let uploads = hosts::at(to, RecordingServer::start);
            let builder = TestRegistry::builder().location(Location::Under(uploads.url()));
            let registry = hosts::at(from, || builder.start());
            let sandbox = Sandbox::new();
            app().write_layout(&sandbox.work("layout"), Some("1"));
            let target = registry.image("app:1");
            // The upload host knows no upload: what counts is whether it was asked.
            let output = sandbox.copy(["--tls-verify=false", "oci:layout:1", &target]).run();
            assert!(!output.status.success(), "{output}");
            assert_eq!(uploads.connections() > 0, *allowed, "{from} to {to}: {output}");
            let refused = output.stderr.contains("may not send us there");
            assert_eq!(refused, !*allowed, "{from} to {to}: {output}");
        }
    });
}

#[test]
fn a_public_host_on_the_way_ends_what_a_private_one_may() {
    need!("root", "ip");
    hosts::inside(ADDRESSES, HOSTS, || {
        let registry = hosts::at("10.1.2.3", TestRegistry::start);
        let public = hosts::at("93.1.2.4", RecordingServer::start);
        let private = hosts::at("10.1.2.4", TestRegistry::start);
        app().push(&registry, "app", "1");
        app().push(&private, "app", "1");
        registry.inject(always("GET", Kind::Blob), Fault::redirect(&public.url()));
        public.answer("/v2/", 307, &[("Location", &format!("{}/v2/", private.url()))], "");
        let sandbox = Sandbox::new();
        let source = registry.image("app:1");
        let output = sandbox.copy(["--tls-verify=false", &source, "oci:out:1"]).run();
        assert_allowed(&output, false, "10.1.2.3 to 93.1.2.4 to 10.1.2.4");
        assert_eq!(private.connections(), 0);
    });
}

#[test]
fn names_count_by_what_they_mean() {
    need!("root", "ip");
    hosts::inside(ADDRESSES, HOSTS, || {
        let registry = hosts::at("93.1.2.3", TestRegistry::start);
        let private = hosts::at("10.1.2.4", TestRegistry::start);
        app().push(&registry, "app", "1");
        let url = private.url().replace("10.1.2.4", "inner.corp.test");
        registry.inject(always("GET", Kind::Blob), Fault::redirect(&url));
        let sandbox = Sandbox::new();
        let source = registry.image("app:1").replace("93.1.2.3", "reg.corp.test");
        let output = sandbox.copy(["--tls-verify=false", &source, "oci:out:1"]).run();
        assert_allowed(&output, false, "reg.corp.test to inner.corp.test");
        assert!(output.stderr.contains("inner.corp.test has the private address 10.1.2.4"));
        assert_eq!(private.connections(), 0);
    });
}

/// A registry with TLS at `reg.corp.test`, whose token server is `auth.corp.test` and whose
/// blobs come from there too.
struct Corporation {
    registry: TestRegistry,
    other: RecordingServer,
    sandbox: Sandbox,
}

impl Corporation {
    fn start(options: TlsOptions, token_host: &str) -> Corporation {
        let names = ["reg.corp.test", "auth.corp.test", "auth.other.test"].map(String::from);
        let tls = ServerTls::new(TlsOptions { names: names.into(), ..options });
        let other = hosts::at("93.1.2.4", || RecordingServer::start_tls(&tls));
        let realm = format!("{}/token", other.url().replace("93.1.2.4", token_host));
        let registry = hosts::at("93.1.2.3", || {
            let builder = TestRegistry::builder().token_auth("user", "secret").anonymous_pull();
            builder.realm(&realm).tls_like(tls).start()
        });
        let url = registry.url().replace("93.1.2.3", "reg.corp.test");
        other.answer(
            "/token",
            307,
            &[("Location", &format!("{url}/token?scope=repository:app:pull"))],
            "",
        );
        app().push(&registry, "app", "1");
        for (digest, blob) in &app().blobs {
            other.answer(digest, 200, &[], blob.clone());
        }
        let storage = other.url().replace("93.1.2.4", "auth.corp.test");
        registry.inject(always("GET", Kind::Blob), Fault::redirect(&storage));
        Corporation { registry, other, sandbox: Sandbox::new() }
    }

    fn host(&self) -> String {
        self.registry.host().replace("93.1.2.3", "reg.corp.test")
    }

    fn certificates(&self, folder: &str, client: bool) -> String {
        let tls = self.registry.tls();
        let mut names = vec![("ca.crt", "ca.crt")];
        if client {
            names.extend([("client.crt", "client.cert"), ("client.key", "client.key")]);
        }
        for (from, to) in names {
            let bytes = std::fs::read(tls.path(from)).expect("a file");
            self.sandbox.write(&format!("{folder}/{to}"), bytes);
        }
        self.sandbox.path(folder).display().to_string()
    }

    fn pull(&self, args: &[&str]) -> Output {
        let source = format!("docker://{}/app:1", self.host());
        let first = ["--retry-times=0", source.as_str(), "oci:out:1"];
        let _ = std::fs::remove_dir_all(self.sandbox.work("out"));
        self.sandbox.copy(first).args(args).run()
    }
}

#[test]
fn other_hosts_are_trusted_as_the_registry_is() {
    need!("root", "ip");
    hosts::inside(ADDRESSES, HOSTS, || {
        let corp = Corporation::start(TlsOptions::default(), "auth.corp.test");
        corp.pull(&[]).fails(1).says("certificate");
        let given = corp.certificates("certs", false);
        corp.pull(&["--src-cert-dir", &given]).success();
        corp.pull(&["--src-tls-verify=false"]).success();
        let host = corp.host();
        corp.sandbox.write_registries_conf(&format!(
            "[[registry]]\nlocation = \"{host}\"\ninsecure = true\n"
        ));
        corp.pull(&[]).success();
        corp.sandbox.write_registries_conf("");
        corp.pull(&[]).fails(1);
        corp.certificates(&format!("config/containers/certs.d/{host}"), false);
        corp.pull(&[]).success();
        assert!(corp.other.requests().iter().any(|r| r.path_and_query.starts_with("/token")));
    });
}

#[test]
fn client_certificates_are_for_the_registry_alone() {
    need!("root", "ip");
    hosts::inside(ADDRESSES, HOSTS, || {
        let options = TlsOptions { client_certificate: true, ..TlsOptions::default() };
        let corp = Corporation::start(options, "auth.corp.test");
        let given = corp.certificates("certs", true);
        let output = corp.pull(&["--src-cert-dir", &given]);
        assert!(!output.status.success(), "{output}");
        assert!(output.stderr.contains("auth.corp.test"), "{output}");
        assert!(corp.other.requests().is_empty() && !corp.registry.requests().is_empty());
    });
}

#[test]
fn credentials_for_a_token_server_of_another_domain() {
    need!("root", "ip");
    hosts::inside(ADDRESSES, HOSTS, || {
        let told = |corp: &Corporation| {
            let tokens = corp.other.requests().into_iter();
            let mut tokens = tokens.filter(|r| r.path_and_query.starts_with("/token"));
            tokens.next_back().expect("a request for a token").authorization
        };
        let basic = Some("Basic dXNlcjpzZWNyZXQ=".to_owned());

        // One owner: nothing has to be said.
        let corp = Corporation::start(TlsOptions::default(), "auth.corp.test");
        let certs = corp.certificates("certs", false);
        corp.pull(&["--src-creds=user:secret", "--src-cert-dir", &certs]).success();
        assert_eq!(told(&corp), basic);

        let corp = Corporation::start(TlsOptions::default(), "auth.other.test");
        let certs = corp.certificates("certs", false);
        let common = ["--src-creds=user:secret", "--src-cert-dir", &certs];
        let output = corp.pull(&common).success();
        output.says("withheld").says("--token-server auth.other.test").says("registries.conf");
        assert_eq!(told(&corp), None);
        for flag in ["--token-server", "--src-token-server"] {
            corp.pull(&[&common[..], &[flag, "auth.other.test"]].concat()).success();
            assert_eq!(told(&corp), basic, "{flag}");
        }
        corp.pull(&[&common[..], &["--dest-token-server", "auth.other.test"]].concat()).success();
        assert_eq!(told(&corp), None);
        corp.sandbox.write_registries_conf(&format!(
            "[[registry]]\nlocation = \"{}\"\ntoken-servers = [\"auth.other.test\"]\n",
            corp.host()
        ));
        corp.pull(&common).success().hides("withheld");
        assert_eq!(told(&corp), basic);
    });
}
