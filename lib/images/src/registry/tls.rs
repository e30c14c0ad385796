//! Whom a connection trusts and who it says we are.
//!
//! Turns PEM bytes into rustls configurations. The system's authorities are read at most once per
//! client, and never for plain HTTP. Knows no hosts and no requests.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::config::{Certificates, ClientIdentity, Pem};
use crate::error::{Error, ErrorKind, Result};

/// The TLS stack: its cryptography and, once needed, the system's authorities.
#[derive(Debug)]
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    system: OnceLock<Arc<dyn ServerCertVerifier>>,
}

/// How one host is met.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// Take any certificate.
    pub(super) anyone: bool,
    /// What the person keeps for the host.
    pub(super) certificates: Certificates,
}

impl Tls {
    pub(super) fn new() -> Tls {
        Tls { provider: Arc::new(ring::default_provider()), system: OnceLock::new() }
    }

    /// A configuration for connections that use no TLS at all.
    pub(super) fn none(&self) -> Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }

    /// A configuration for a host met with `trust`; `protocols` in the order of our liking.
    pub(super) fn config(&self, trust: &Trust, protocols: &[&[u8]]) -> Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(trust)?);
        let mut config = match trust.certificates.identities.first() {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = read_identity(identity)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let path = identity.certificate.path.display();
                    Error::caused(ErrorKind::Invalid, format!("using {path} and its key"), error)
                })?
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    fn verifier(&self, trust: &Trust) -> Result<Arc<dyn ServerCertVerifier>> {
        if trust.anyone {
            return Ok(Arc::new(Anyone(self.provider.clone())));
        }
        if trust.certificates.authorities.is_empty() {
            return self.system_verifier();
        }
        let mut extra = Vec::new();
        for pem in &trust.certificates.authorities {
            extra.extend(read_certificates(pem)?);
        }
        let verifier = Verifier::new_with_extra_roots(extra, self.provider.clone());
        Ok(Arc::new(verifier.map_err(no_authorities)?))
    }

    fn system_verifier(&self) -> Result<Arc<dyn ServerCertVerifier>> {
        if let Some(verifier) = self.system.get() {
            return Ok(verifier.clone());
        }
        let verifier = Verifier::new(self.provider.clone()).map_err(no_authorities)?;
        Ok(self.system.get_or_init(|| Arc::new(verifier)).clone())
    }
}

fn unusable(error: rustls::Error) -> Error {
    Error::caused(ErrorKind::Failed, "preparing TLS", error)
}

fn no_authorities(error: rustls::Error) -> Error {
    let doing = "reading the certificate authorities to trust (is ca-certificates installed? \
                 SSL_CERT_FILE may name a bundle)";
    Error::caused(ErrorKind::Failed, doing, error)
}

fn read_certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>> {
    let reading = || format!("reading certificates in {}", pem.path.display());
    let found = CertificateDer::pem_slice_iter(&pem.bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::caused(ErrorKind::Invalid, reading(), error))?;
    match found.is_empty() {
        true => Err(Error::caused(ErrorKind::Invalid, reading(), "there is none")),
        false => Ok(found),
    }
}

fn read_identity(
    identity: &ClientIdentity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = read_certificates(&identity.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&identity.key.bytes).map_err(|error| {
        let doing = format!("reading the key in {}", identity.key.path.display());
        Error::caused(ErrorKind::Invalid, doing, error)
    })?;
    Ok((chain, key))
}

/// Takes any certificate, for hosts that a person has marked so. Signatures are still checked, so
/// the peer at least holds the key of the certificate that it shows.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
