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
