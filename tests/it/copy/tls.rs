//! TLS: nothing is trusted that should not be, and why is said.

use super::faults::Fixture;
use crate::support::log::Kind;
use crate::support::registry::{Builder, TestRegistry};
use crate::support::tls::TlsOptions;

fn fixture(registry: Builder) -> Fixture {
    Fixture::on(registry.start(), 10_000)
}

/// A directory of certificates: the registry's authority and, if wanted, a client certificate.
fn certificates(f: &Fixture, client: bool) -> String {
    let tls = f.registry.tls();
    let mut names = vec![("ca.crt", "ca.crt")];
    if client {
        names.extend([("client.crt", "client.cert"), ("client.key", "client.key")]);
    }
    for (from, to) in names {
        let bytes = std::fs::read(tls.path(from)).expect("a file");
        f.sandbox.write(&format!("certs/{to}"), bytes);
    }
    f.sandbox.path("certs").display().to_string()
}

#[test]
fn an_unknown_authority() {
    let f = fixture(TestRegistry::builder().tls());
    // A registry on this machine is met by plain HTTP unless valid certificates are demanded.
    let failed = f.pull().args(["--src-tls-verify=true", "--retry-times", "3"]).run();
    assert!(matches!(failed.code(), Some(1 | 4 | 5)), "{failed}");
    failed.says("certificate").says(&f.registry.host());
    assert!(f.registry.requests().is_empty());
    assert!(f.registry.connections() <= 2, "asking again does not help");
    f.pull().args(["--src-cert-dir", &certificates(&f, false)]).run().success();
    f.assert_pulled();
    f.to("store:x").args(["--src-tls-verify=false"]).run().success();
    f.to(&f.registry.image("other:1"))
        .args(["--src-tls-verify=false", "--dest-tls-verify=false"])
        .run()
        .success();
    f.registry.assert_whole("other");
}

#[test]
fn certificates_that_are_no_good() {
    for (options, why) in [
        (TlsOptions { expired: true, ..TlsOptions::default() }, "expired"),
        (TlsOptions { wrong_host: true, ..TlsOptions::default() }, "not valid for"),
    ] {
        let f = fixture(TestRegistry::builder().tls_with(options));
        let failed = f.pull().args(["--src-cert-dir", &certificates(&f, false)]).run();
        assert!(matches!(failed.code(), Some(1 | 4 | 5)), "{failed}");
        failed.says(why);
        assert!(f.registry.requests().is_empty(), "nothing was said without protection");
        f.pull().args(["--src-tls-verify=false"]).run().success();
    }
}

#[test]
fn a_client_certificate_is_required() {
    let options = TlsOptions { client_certificate: true, ..TlsOptions::default() };
    let f = fixture(TestRegistry::builder().tls_with(options));
    let failed = f.pull().args(["--src-cert-dir", &certificates(&f, false)]).run();
    assert!(matches!(failed.code(), Some(1 | 4 | 5)), "{failed}");
    failed.says("ertificate");
    f.pull().args(["--src-cert-dir", &certificates(&f, true)]).run().success();
    f.assert_pulled();
}

#[test]
fn certificates_are_found_by_host() {
    let f = fixture(TestRegistry::builder().tls());
    let authority = std::fs::read(f.registry.ca_path()).expect("a certificate");
    let host = f.registry.host();
    f.sandbox.write(&format!("config/containers/certs.d/{host}/ca.crt"), authority);
    f.pull().run().success();
    f.assert_pulled();
}

#[test]
fn plain_http_on_a_tls_port() {
    let f = fixture(TestRegistry::builder());
    let failed = f.pull().args(["--src-tls-verify=true", "--retry-times", "0"]).run();
    assert!(matches!(failed.code(), Some(1 | 5)), "{failed}");
    failed.says("http").says(&f.registry.host());
    assert_eq!(f.registry.count("*", Kind::Manifest), 0);
    f.pull().args(["--src-tls-verify=false"]).run().success();
}

#[test]
fn http2() {
    let options = TlsOptions { http2: true, ..TlsOptions::default() };
    let f = fixture(TestRegistry::builder().tls_with(options));
    f.pull().args(["--src-cert-dir", &certificates(&f, false)]).run().success();
    f.assert_pulled();
}
