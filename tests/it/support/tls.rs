//! Certificates for test servers: a CA of their own, made anew for each set.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

/// What is special about a server's TLS. The default is a good certificate for `127.0.0.1` and
/// `localhost`, HTTP/1.1 only, no client certificate.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// The certificate ended in 2001.
    pub expired: bool,
    /// The certificate is for `elsewhere.invalid`.
    pub wrong_host: bool,
    /// Only clients with a certificate of the same CA are let in.
    pub client_certificate: bool,
    /// Offers `h2` before `http/1.1`.
    pub http2: bool,
    /// More hosts that the certificate is good for.
    pub names: Vec<String>,
}

/// A CA, a server certificate and a client certificate, as PEM files in a directory of their own.
pub struct ServerTls {
    options: TlsOptions,
    folder: TempDir,
}

impl ServerTls {
    pub fn new(options: TlsOptions) -> ServerTls {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("writing a PEM file");
        };
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().expect("a key");
        write("ca.crt", authority.self_signed(&key).expect("a CA certificate").pem());
        let issuer = Issuer::new(authority, key);

        let names = match options.wrong_host {
            true => vec!["elsewhere.invalid".to_string()],
            false => ["127.0.0.1", "localhost"].map(String::from).into(),
        };
        let names = names.into_iter().chain(options.names.iter().cloned()).collect();
        let leaf = |names: Vec<String>, usage, expired: bool, stem: &str| {
            let mut params = CertificateParams::new(names).expect("valid names");
            params.distinguished_name.push(DnType::CommonName, stem);
            params.extended_key_usages.push(usage);
            if expired {
                params.not_before = date_time_ymd(2000, 1, 1);
                params.not_after = date_time_ymd(2001, 1, 1);
            }
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            write(&format!("{stem}.crt"), certificate.pem());
            write(&format!("{stem}.key"), key.serialize_pem());
        };
        leaf(names, ExtendedKeyUsagePurpose::ServerAuth, options.expired, "server");
        leaf(Vec::new(), ExtendedKeyUsagePurpose::ClientAuth, false, "client");
        ServerTls { options, folder }
    }

    /// The directory with `ca.crt`, `server.{crt,key}`, `client.{crt,key}`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("TLS versions");
        let builder = if self.options.client_certificate {
            let roots = Arc::new(roots(&self.path("ca.crt")));
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .expect("a client verifier");
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_file(self.path("server.crt")).expect("PEM")];
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).expect("PEM");
        let mut config = builder.with_single_cert(chain, key).expect("a server certificate");
        if self.options.http2 {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        config.alpn_protocols.push(b"http/1.1".to_vec());
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }
}

/// The certificates of one PEM file as roots.
pub(super) fn roots(path: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(path).expect("PEM")).expect("a root certificate");
    roots
}
