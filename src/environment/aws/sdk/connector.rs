//! What the SDK sends its requests by: the HTTP client that everything else here uses.
//!
//! Must not try anything again or follow a redirect. Invariants: only a request that certainly was not sent is called unsent; a confined connector
//! reaches its own hosts and nothing else; without TLS only this machine and the link-local addresses of instance metadata are reached.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use url::Url;

use super::super::super::kubernetes::chain;
use super::super::super::tls;
use super::super::AwsError;
use super::REQUEST;

/// How long a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// Why a request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// It was certainly not sent.
    #[error("{0}")]
    NotSent(String),
    /// It may have arrived.
    #[error("{0}")]
    Cut(String),
    /// Nothing came in time.
    #[error("nothing came within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
}

impl Unanswered {
    pub(super) fn of(self, operation: &'static str) -> AwsError {
        match self {
            Self::NotSent(why) => AwsError::NotSent { operation, why },
            Self::Cut(why) => AwsError::Cut { operation, why },
            Self::TimedOut(after) => AwsError::TimedOut { operation, after },
        }
    }
}

/// The connector, and the client that hands it out.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    shared: Arc<Shared>,
    /// How long an exchange may take, where the SDK says: for instance metadata.
    limit: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    hosts: BTreeMap<String, SocketAddr>,
    confined: bool,
    clients: Mutex<BTreeMap<Way, reqwest::Client>>,
}

/// How a host is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// On this machine, or at a link-local address: without a proxy and without TLS.
    NearPlain,
    /// The same with TLS.
    Near,
    /// As the machine's proxy settings say, with TLS.
    Far,
}

impl Connector {
    pub(super) fn new(hosts: BTreeMap<String, SocketAddr>, confined: bool) -> Self {
        Self { shared: Arc::new(Shared { hosts, confined, clients: Mutex::default() }), limit: None }
    }

    pub(super) fn is_confined(&self) -> bool {
        self.shared.confined
    }
}

impl Shared {
    fn way(&self, url: &Url) -> Result<Way, Unanswered> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        let own = self.hosts.contains_key(&host);
        if self.confined && !own {
            return Err(Unanswered::NotSent(format!("{host} is not part of this environment, which reaches only its own hosts")));
        }
        let near = own || host == "localhost" || host.parse::<IpAddr>().is_ok_and(is_near);
        match (near, url.scheme()) {
            (true, "http") => Ok(Way::NearPlain),
            (true, _) => Ok(Way::Near),
            (false, "https") => Ok(Way::Far),
            (false, _) => Err(Unanswered::NotSent(format!("{host} is another machine, and AWS is reached without TLS only on this one"))),
        }
    }

    fn client(&self, way: Way) -> Result<reqwest::Client, Unanswered> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&way) {
            return Ok(client.clone());
        }
        tls::install();
        let mut builder =
            reqwest::Client::builder().retry(reqwest::retry::never()).redirect(reqwest::redirect::Policy::none()).connect_timeout(CONNECT);
        if way != Way::Far {
            builder = builder.no_proxy();
        }
        if way == Way::NearPlain {
            // Plain HTTP must not depend on certificates on this machine.
            builder = builder.tls_backend_preconfigured(tls::trusting_nobody());
            for (host, address) in &self.hosts {
                builder = builder.resolve_to_addrs(host, &[*address]);
            }
        }
        let client = builder.build().map_err(|error| Unanswered::NotSent(format!("no HTTP client could be made: {}", chain(&error))))?;
        clients.insert(way, client.clone());
        Ok(client)
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Unanswered> {
        let not_sent = |why: String| Unanswered::NotSent(why);
        let url = Url::parse(request.uri()).map_err(|error| not_sent(format!("{}: {error}", request.uri())))?;
        let client = self.client(self.way(&url)?)?;
        let method = request.method().parse::<http::Method>().map_err(|error| not_sent(error.to_string()))?;
        let body = request.body().bytes().map(<[u8]>::to_vec).ok_or_else(|| not_sent("its body is a stream".to_owned()))?;
        let mut sending = client.request(method, url).body(body);
        for (name, value) in request.headers().iter() {
            sending = sending.header(name, value);
        }
        let mut answer = sending.send().await.map_err(|error| unanswered(&error))?;
        let mut response = HttpResponse::new(status(answer.status().as_u16())?, SdkBody::empty());
        for (name, value) in answer.headers() {
            if let Ok(value) = value.to_str() {
                // A header that is not one is not needed.
                let _ = response.headers_mut().try_append(name.as_str().to_owned(), value.to_owned());
            }
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| Unanswered::Cut(chain(&error)))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LARGEST_ANSWER {
                return Err(Unanswered::Cut(format!("the answer is larger than {} MiB", LARGEST_ANSWER / 1024 / 1024)));
            }
        }
        if answer_ends_early(&bytes) {
            return Err(Unanswered::Cut("its XML ends in the middle".to_owned()));
        }
        *response.body_mut() = SdkBody::from(bytes);
        Ok(response)
    }
}

/// Whether XML lacks the end of its outermost element: the SDK takes what is there for the whole, and a list without its rest for an empty one.
fn answer_ends_early(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.trim();
    if let Some((_, after)) = rest.strip_prefix("<?xml").and_then(|declared| declared.split_once("?>")) {
        rest = after.trim_start();
    }
    let Some(inside) = rest.strip_prefix('<') else { return false };
    let name: String = inside.chars().take_while(|c| !c.is_whitespace() && !['>', '/'].contains(c)).collect();
    // A page of HTML is told by its type.
    !name.is_empty()
        && !name.starts_with('!')
        && !name.eq_ignore_ascii_case("html")
        && !rest.ends_with(&format!("</{name}>"))
        && !rest.ends_with("/>")
}

/// Loopback, and where instances and containers are told their credentials.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.segments()[..2] == [0xfd00, 0xec2],
    }
}

fn status(status: u16) -> Result<StatusCode, Unanswered> {
    StatusCode::try_from(status).map_err(|_| Unanswered::Cut(format!("it was answered with status {status}")))
}

/// Only a failure to connect is sure to have sent nothing.
fn unanswered(error: &reqwest::Error) -> Unanswered {
    let why = tls::explained(chain(error));
    if error.is_connect() || error.is_builder() { Unanswered::NotSent(why) } else { Unanswered::Cut(why) }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (shared, limit) = (Arc::clone(&self.shared), self.limit.unwrap_or(REQUEST));
        HttpConnectorFuture::new(async move {
            match tokio::time::timeout(limit, shared.exchange(request)).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error @ Unanswered::Cut(_))) => Err(ConnectorError::io(error.into())),
                Ok(Err(error)) => Err(ConnectorError::other(error.into(), None)),
                Err(_) => Err(ConnectorError::timeout(Unanswered::TimedOut(limit).into())),
            }
        })
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let limit = settings.read_timeout().map(|read| read + settings.connect_timeout().unwrap_or_default());
        SharedHttpConnector::new(Self { shared: Arc::clone(&self.shared), limit })
    }
}
