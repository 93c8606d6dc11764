//! A server that does wrong whatever a server can do wrong, for the tests of what is said of it.
//!
//! It must not know a protocol beyond the bytes that it is told to say. Invariant: it listens on loopback alone and ends with the test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What it does to whoever comes.
#[derive(Clone, Debug)]
pub enum Manner {
    /// It takes the connection and never says a word.
    Silent,
    /// It takes the connection and ends it.
    HangsUp,
    /// It says this to whatever it is sent, once for each time, and ends the connection only where its client does.
    Says(Vec<u8>),
    /// It says this to the first thing that it is sent, and ends the connection.
    SaysAndHangsUp(Vec<u8>),
    /// It says each of these to one thing that it is sent, in this order, and then nothing more.
    SaysInTurn(Vec<Vec<u8>>),
    /// It says this one byte at a time, with a pause before each.
    Drips(Vec<u8>, Duration),
    /// It says this again and again, without end.
    Floods(Vec<u8>),
}

/// The server.
pub struct Hostile {
    address: SocketAddr,
    tls: bool,
    heard: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hostile {
    /// One that speaks in the clear.
    pub async fn start(manner: Manner) -> Self {
        Self::serve(manner, None).await
    }

    /// One that speaks TLS, with a certificate for `localhost` and 127.0.0.1 that nobody trusts who does not name [`certificate`].
    pub async fn start_tls(manner: Manner) -> Self {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let read = |name: &str| folder().join(name);
        let chain = CertificateDer::from_pem_file(read("certificate.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(read("key.pem")).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![chain], key).expect("a TLS server");
        Self::serve(manner, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    /// Where nobody listens.
    pub async fn nobody() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        listener.local_addr().expect("an address")
    }

    async fn serve(manner: Manner, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let tls = acceptor.is_some();
        let task = tokio::spawn({
            let heard = Arc::clone(&heard);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (manner, heard, acceptor) = (manner.clone(), Arc::clone(&heard), acceptor.clone());
                    tokio::spawn(async move {
                        match acceptor {
                            None => behave(stream, manner, &heard).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    behave(stream, manner, &heard).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Self { address, tls, heard, task }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, by the name that its certificate is for.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.address.port())
    }

    /// Everything that it was sent.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().expect("what was heard")).into_owned()
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/hostile")
}

/// The certificate of [`Hostile::start_tls`], for whoever is to trust it.
pub fn certificate() -> PathBuf {
    folder().join("certificate.pem")
}

/// An answer over HTTP, with its length.
pub fn http(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The same, of which only the first half of the body comes.
pub fn http_cut(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut whole = http(status, headers, body);
    whole.truncate(whole.len() - body.len() / 2);
    whole
}

async fn behave(mut stream: impl AsyncRead + AsyncWrite + Unpin, manner: Manner, heard: &Mutex<Vec<u8>>) {
    let mut turns = match &manner {
        Manner::SaysInTurn(answers) => answers.clone(),
        _ => Vec::new(),
    }
    .into_iter();
    if matches!(manner, Manner::HangsUp) {
        return;
    }
    let mut buffer = vec![0; 16 * 1024];
    // An error means that the client has gone, which is its right.
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        heard.lock().expect("what was heard").extend_from_slice(&buffer[..length]);
        let sent = match &manner {
            Manner::Silent | Manner::HangsUp => Ok(()),
            Manner::Says(bytes) => stream.write_all(bytes).await,
            Manner::SaysAndHangsUp(bytes) => {
                let _sent = stream.write_all(bytes).await;
                let _ended = stream.shutdown().await;
                return;
            }
            Manner::SaysInTurn(_) => match turns.next() {
                Some(bytes) => stream.write_all(&bytes).await,
                None => Ok(()),
            },
            Manner::Drips(bytes, pause) => {
                let mut sent = Ok(());
                for byte in bytes {
                    tokio::time::sleep(*pause).await;
                    sent = stream.write_all(&[*byte]).await;
                    if sent.is_err() {
                        break;
                    }
                    let _flushed = stream.flush().await;
                }
                sent
            }
            Manner::Floods(bytes) => loop {
                if let Err(error) = stream.write_all(bytes).await {
                    break Err(error);
                }
            },
        };
        if sent.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
