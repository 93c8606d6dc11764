//! TLS on the sandbox's port, which kubectl needs: without it, it sends no token, and no address with a password in it can be streamed from.
//!
//! It must not keep anything but the key. Invariant: the certificate follows from the key alone, so that a kubeconfig stays good over restarts.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use rustls::{ServerConfig, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

/// The first byte of a client that speaks TLS.
pub(crate) const FIRST: u8 = 0x16;

/// An Ed25519 key as PKCS #8 has it, without the 32 bytes that are its secret (RFC 8410).
const KEY: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// The algorithm of the key and of its signatures: 1.3.101.112.
const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
/// The name's attribute, `commonName`: 2.5.4.3.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
/// The extension `subjectAltName`: 2.5.29.17.
const ALTERNATIVE_NAMES: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x11];

const SEQUENCE: u8 = 0x30;

/// A key with its certificate.
struct Certified {
    key: PrivateKeyDer<'static>,
    certificate: Vec<u8>,
}

/// Of a secret that an identity keeps: any text.
fn certified(secret: &str) -> Option<Certified> {
    let seed = Sha256::digest(secret.as_bytes());
    let key = PrivatePkcs8KeyDer::from([KEY.as_slice(), seed.as_slice()].concat());
    let signing = rustls::crypto::ring::sign::any_eddsa_type(&key).ok()?;
    Some(Certified { certificate: certificate(&*signing)?, key: key.into() })
}

/// The certificate that the sandbox shows, signed by itself, for kubeconfigs: PEM.
pub(crate) fn certificate_pem(secret: &str) -> Option<String> {
    let text = STANDARD.encode(certified(secret)?.certificate);
    let lines: Vec<&str> = (0..text.len()).step_by(64).filter_map(|at| text.get(at..text.len().min(at + 64))).collect();
    Some(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n")))
}

/// What accepts clients by it.
pub(crate) fn acceptor(secret: &str) -> Option<TlsAcceptor> {
    let Certified { key, certificate } = certified(secret)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().ok()?.with_no_client_auth();
    Some(TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![CertificateDer::from(certificate)], key).ok()?)))
}

/// A part of a DER text: its tag, its length and its content.
fn part(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut whole = vec![tag];
    if let Ok(short @ 0..=127) = u8::try_from(length) {
        whole.push(short);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        whole.push(0x80 | bytes.len() as u8);
        whole.extend(bytes);
    }
    whole.extend_from_slice(content);
    whole
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    part(SEQUENCE, &parts.concat())
}

/// A certificate of version 3 for 127.0.0.1 and localhost, by RFC 5280.
fn certificate(key: &dyn SigningKey) -> Option<Vec<u8>> {
    let public = key.public_key()?;
    let mut serial = Sha256::digest(&*public)[..8].to_vec();
    // A positive number.
    serial[0] = serial[0] & 0x7f | 0x40;
    let name = sequence(&[&part(0x31, &sequence(&[&COMMON_NAME, &part(0x0c, b"runsheet sandbox")]))]);
    let validity = sequence(&[&part(0x17, b"200101000000Z"), &part(0x18, b"20991231235959Z")]);
    let names = sequence(&[&part(0x82, b"localhost"), &part(0x87, &[127, 0, 0, 1])]);
    let extension = sequence(&[&ALTERNATIVE_NAMES, &part(0x04, &names)]);
    let version = part(0xa0, &part(0x02, &[2]));
    let extensions = part(0xa3, &sequence(&[&extension]));
    let signed = sequence(&[&version, &part(0x02, &serial), &ED25519, &name, &validity, &name, &public, &extensions]);
    let signature = key.choose_scheme(&[SignatureScheme::ED25519])?.sign(&signed).ok()?;
    // Its bits, none of them unused.
    Some(sequence(&[&signed, &ED25519, &part(0x03, &[&[0], signature.as_slice()].concat())]))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn the_same_secret_has_the_same_certificate() {
        assert_eq!(certificate_pem("a"), certificate_pem("a"));
        assert_ne!(certificate_pem("a"), certificate_pem("b"));
    }

    #[tokio::test]
    async fn who_trusts_the_certificate_is_let_in_and_nobody_else() {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(certified("mine").unwrap().certificate)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        for (secret, host, fine) in
            [("mine", "127.0.0.1", true), ("mine", "localhost", true), ("mine", "other.test", false), ("another", "127.0.0.1", false)]
        {
            let (ours, theirs) = tokio::io::duplex(16 * 1024);
            let served = tokio::spawn(async move {
                let mut stream = acceptor(secret).unwrap().accept(theirs).await.ok()?;
                stream.write_all(b"in").await.ok()?;
                stream.shutdown().await.ok()
            });
            let name = ServerName::try_from(host).unwrap();
            let let_in = async {
                let mut text = String::new();
                connector.connect(name, ours).await.ok()?.read_to_string(&mut text).await.ok()?;
                (text == "in").then_some(())
            };
            assert_eq!(let_in.await.is_some(), fine, "{secret} {host}");
            assert_eq!(served.await.unwrap().is_some(), fine, "{secret} {host}");
        }
    }
}
