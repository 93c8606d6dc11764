//! One TLS stack for everything: rustls with ring.
//!
//! Invariant: installed once for the process, however often it is asked for; it never replaces a provider that is there already.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::connections::ConnectionError;
use super::kubernetes::chain;
use crate::model::environment::TlsMode;

/// Makes ring the process's provider of TLS cryptography. Every client made by [`Connections`](super::Connections) calls it; calling it
/// again changes nothing.
pub fn install() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// A TLS configuration that trusts nobody, for clients that only speak plain HTTP: it needs no certificates on the machine.
pub(crate) fn trusting_nobody() -> rustls::ClientConfig {
    install();
    rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

/// A TLS configuration as an environment says it of a system. `verify-full` trusts the certificates of `ca_file`, else the machine's; nothing falls
/// back to plain text.
///
/// # Errors
/// [`ConnectionError::CaFile`], [`ConnectionError::Client`]
pub(crate) fn client_config(mode: TlsMode, ca_file: Option<&Path>) -> Result<ClientConfig, ConnectionError> {
    install();
    Ok(match mode {
        TlsMode::Require => {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()
        }
        TlsMode::Disable | TlsMode::VerifyFull => ClientConfig::builder().with_root_certificates(roots(ca_file)?).with_no_client_auth(),
    })
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, ConnectionError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = file {
        let wrong = |why: String| ConnectionError::CaFile { path: path.to_owned(), why };
        let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(chain(&error)))?;
        for certificate in found {
            let certificate = certificate.map_err(|error| wrong(chain(&error)))?;
            roots.add(certificate).map_err(|error| wrong(chain(&error)))?;
        }
        if roots.is_empty() {
            return Err(wrong("it holds no PEM certificate".to_owned()));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(ConnectionError::Client { why: "this machine has no CA certificates".to_owned() });
        }
    }
    Ok(roots)
}

/// Takes any certificate, as `require` says; the handshake's signature is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What TLS says of a failure, in words that name whose certificate it is about and what to look at.
pub(crate) fn explained(why: String) -> String {
    let told = [
        ("InvalidContentType", "the server does not speak TLS: its URL may have to begin with `http://`, or the port is another server's"),
        (
            "UnknownIssuer",
            "the server's certificate is signed by an authority that is not trusted here (the cluster's `certificate-authority`)",
        ),
        ("certificate not valid for name", "the server's certificate is for another name than the one in its URL"),
        ("NotValidForName", "the server's certificate is for another name than the one in its URL"),
        ("certificate expired", "the server's certificate has expired"),
        ("certificate not valid yet", "the server's certificate is not valid yet: compare this machine's clock"),
        ("received fatal alert: CertificateExpired", "the server refuses this client's certificate: it has expired"),
        ("received fatal alert: CertificateRequired", "the server wants a client certificate"),
        ("received fatal alert: BadCertificate", "the server refuses this client's certificate"),
        ("received fatal alert: CertificateUnknown", "the server refuses this client's certificate"),
        ("received fatal alert: UnknownCA", "the server does not know who signed this client's certificate"),
    ];
    match told.iter().find(|(sign, _)| why.contains(sign)) {
        Some((_, told)) => (*told).to_owned(),
        None => why,
    }
}
