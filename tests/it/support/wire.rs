//! A way to a server on loopback that can be cut at a message, by what the client sends in it.
//!
//! It must not change a byte. Invariant: a cut is done once; everything else passes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::control_plane::Cut;

/// The text that is cut, and when.
type Ordered = Option<(Vec<u8>, Cut)>;

/// The way; it ends with the test's runtime.
pub struct Wire {
    /// Where it begins.
    pub address: SocketAddr,
    cut: Arc<Mutex<Ordered>>,
}

impl Wire {
    /// A way to this server.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let cut: Arc<Mutex<Ordered>> = Arc::default();
        tokio::spawn({
            let cut = Arc::clone(&cut);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let cut = Arc::clone(&cut);
                    tokio::spawn(async move { drop(pass(client, server, &cut).await) });
                }
            }
        });
        Self { address, cut }
    }

    /// Cuts the connection at the next message that holds this text: before the server has it, or once it has answered.
    pub fn cut(&self, text: &str, moment: Cut) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some((text.as_bytes().to_vec(), moment));
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, cut: &Mutex<Option<(Vec<u8>, Cut)>>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut from_client, mut from_server) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let sent = &from_client[..read?];
                if sent.is_empty() {
                    return Ok(());
                }
                let met = {
                    let mut cut = cut.lock().unwrap_or_else(PoisonError::into_inner);
                    let is_it = |(text, _): &(Vec<u8>, Cut)| sent.windows(text.len()).any(|part| part == text);
                    if cut.as_ref().is_some_and(is_it) { cut.take() } else { None }
                };
                match met {
                    None => server.write_all(sent).await?,
                    Some((_, Cut::Before)) => return Ok(()),
                    Some((_, Cut::After)) => {
                        server.write_all(sent).await?;
                        // Its answer is the sign that it has done it.
                        let _any = server.read(&mut from_server).await?;
                        return Ok(());
                    }
                }
            }
            read = server.read(&mut from_server) => {
                let sent = &from_server[..read?];
                if sent.is_empty() {
                    return Ok(());
                }
                client.write_all(sent).await?;
            }
        }
    }
}
