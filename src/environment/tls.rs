//! One TLS stack for everything: rustls with ring.
//!
//! Invariant: installed once for the process, however often it is asked for; it never replaces a provider that is there already.

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
