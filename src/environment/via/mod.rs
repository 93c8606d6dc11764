//! The ways to hosts: as this machine reaches them, at an address that the environment knows, or through a port-forward or another machine.
//!
//! Must not send anything of a client's before the way is open. Invariant: every client of a system goes through [`Connections::reach`], so that a key
//! of `via` is about all of them; names in TLS and in `Host` stay what they are.

mod channels;
mod error;
mod leash;
mod passage;
mod port_forward;
mod ssh;

pub use error::ViaError;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::connections::{ConnectionError, Connections};
use super::kubernetes::chain;
use crate::model::environment::{PortName, Via, Way};
use passage::Passage;

/// How long a way may take to be open, where the client does not say.
const WITHIN: Duration = Duration::from_secs(15);

/// How long a probe waits for a refusal from the other end.
const PROBED: Duration = Duration::from_millis(500);

/// What opens a way, as often as it is needed.
enum Dial {
    PortForward(port_forward::Forward),
    Ssh(ssh::Login),
}

/// A way to one port of a host. What it goes through is ended when it is dropped: hold it as long as the connection.
pub struct Reach {
    host: String,
    port: u16,
    at: At,
}

enum At {
    /// Wherever this machine's names lead.
    Resolved,
    /// Where the environment says.
    Address(SocketAddr),
    /// Through a port of this machine.
    Passage { passage: Passage, way: String },
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

/// As names are compared: in lower case, without brackets or a last dot.
fn plain(host: &str) -> String {
    host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a host's name is this machine's own.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Connections {
    /// With this way to a host.
    #[must_use]
    pub fn with_via(mut self, via: Via) -> Self {
        self.via.push(via);
        self
    }

    /// Every way that the environment names.
    pub fn ways(&self) -> impl Iterator<Item = &Via> {
        self.via.iter()
    }

    /// The way that the environment names for a port of a host.
    pub fn way_to(&self, host: &str, port: u16) -> Option<&Way> {
        let host = plain(host);
        let of = |wanted: Option<u16>| self.via.iter().find(|via| via.host == host && via.port == wanted);
        of(Some(port)).or_else(|| of(None)).map(|via| &via.way)
    }

    /// The way to a port of a host, open: every client of a system asks for it, connects to [`Reach::addresses`] (or, where it resolves names itself,
    /// to [`Reach::address`] where there is one), and holds it as long as the connection. Where its connection ends without an answer,
    /// [`Reach::failure`] tells whether the way itself was the cause.
    ///
    /// # Errors
    /// [`ConnectionError::Via`], [`ConnectionError::Confined`]
    pub async fn reach(&self, host: &str, port: u16) -> Result<Reach, ConnectionError> {
        self.reach_within(host, port, WITHIN).await
    }

    /// The same, within a time of the client's own.
    ///
    /// # Errors
    /// [`ConnectionError::Via`], [`ConnectionError::Confined`]
    pub async fn reach_within(&self, host: &str, port: u16, within: Duration) -> Result<Reach, ConnectionError> {
        let reached = |at| Ok(Reach { host: host.to_owned(), port, at });
        if let Some(address) = self.address_of(host) {
            return reached(At::Address(address));
        }
        if let Some(way) = self.way_to(host, port) {
            let failed = |error| ConnectionError::Via { host: host_and_port(host, port), way: way.to_string(), error: Box::new(error) };
            let passage = match self.dial(way, host, port) {
                Ok(dial) => Passage::open(dial, within.min(WITHIN)).await.map_err(failed)?,
                Err(error) => return Err(failed(error)),
            };
            return reached(At::Passage { passage, way: way.to_string() });
        }
        if self.is_confined() && !is_loopback(host) {
            return Err(ConnectionError::Confined { host: host.to_owned() });
        }
        reached(At::Resolved)
    }

    fn dial(&self, way: &Way, host: &str, asked: u16) -> Result<Dial, ViaError> {
        Ok(match way {
            Way::PortForward { namespace, end, port } => {
                let client = self.kube_client().map_err(|_| ViaError::NoCluster)?;
                let port = port.clone().unwrap_or(PortName::Number(asked));
                Dial::PortForward(port_forward::Forward { client, namespace: namespace.clone(), end: end.clone(), port })
            }
            Way::Ssh { user, host: machine, port } => {
                let target = host_and_port(host, asked);
                Dial::Ssh(ssh::Login { user: user.clone(), host: machine.clone(), port: *port, target })
            }
        })
    }
}

/// `HOST:PORT`, with brackets around an IPv6 address.
pub(super) fn host_and_port(host: &str, port: u16) -> String {
    let host = host.trim_matches(['[', ']']);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Reach {
    /// The address to connect to, where it is not for this machine's names to say.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.at {
            At::Resolved => None,
            At::Address(address) => Some(*address),
            At::Passage { passage, .. } => Some(passage.address),
        }
    }

    /// The addresses to connect to, the host's name resolved where that is for this machine to do; never none.
    ///
    /// # Errors
    /// [`ConnectionError::Lookup`]
    pub async fn addresses(&self) -> Result<Vec<SocketAddr>, ConnectionError> {
        if let Some(address) = self.address() {
            return Ok(vec![address]);
        }
        let lookup = |why: String| ConnectionError::Lookup { host: self.host.clone(), why };
        let host = self.host.trim_matches(['[', ']']);
        let found = tokio::net::lookup_host((host, self.port)).await.map_err(|error| lookup(chain(&error)))?;
        let found: Vec<SocketAddr> = found.collect();
        if found.is_empty() { Err(lookup("it has none".to_owned())) } else { Ok(found) }
    }

    /// Opens a connection without sending anything, and waits a moment whether the way itself fails.
    pub async fn probe(&self) -> Option<ConnectionError> {
        let address = self.address()?;
        let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { return self.failure() };
        // A server that speaks first, or says nothing, is one.
        let _ = tokio::time::timeout(PROBED, tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1])).await;
        self.failure()
    }

    /// Why the way itself did not lead to the host, where that is so. Unless [`ViaError::may_have_arrived`], the host got nothing.
    pub fn failure(&self) -> Option<ConnectionError> {
        match &self.at {
            At::Passage { passage, way } => {
                let error = passage.failure()?;
                Some(ConnectionError::Via { host: host_and_port(&self.host, self.port), way: way.clone(), error: Box::new(error) })
            }
            At::Resolved | At::Address(_) => None,
        }
    }
}
