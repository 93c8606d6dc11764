//! One request to a Kubernetes API server, and what came back: the status as it was sent, or how far the request got.
//!
//! Must not try anything again and must not judge: whether a failure left an effect is the caller's to say. Invariant: each request ends within
//! its timeout, and an answer takes bounded memory.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use secrecy::SecretString;
use serde_json::Value;

use super::credentials::{CredentialsError, Fresh, Waiting};
use super::kubeconfig::Login;

/// The largest answer that is read, in bytes. (An object has at most 1.5 MiB in etcd; a page of 500 pods a few MiB.)
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;

/// How long a request may take that changes what is locked: no effect is begun under a lock that ends sooner.
pub const LONGEST_EFFECT: Duration = Duration::from_secs(10);

/// How a cluster is reached.
#[derive(Clone, Debug)]
pub enum KubernetesAccess {
    /// At a URL, with a bearer token.
    Token {
        /// `http://127.0.0.1:41234`
        url: String,
        /// The token.
        token: SecretString,
    },
    /// As a kubeconfig or a Pod's account says.
    Login(Box<Login>),
}

impl KubernetesAccess {
    /// What people are shown.
    pub fn url(&self) -> &str {
        match self {
            Self::Token { url, .. } => url,
            Self::Login(login) => login.url(),
        }
    }

    /// A client, without retries: what is tried again is decided elsewhere. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Why no client can be made of this, for people.
    pub(super) fn client(&self) -> Result<KubeClient, String> {
        super::tls::install();
        let (url, token) = match self {
            Self::Token { url, token } => (url, token),
            Self::Login(login) => {
                let fresh = Fresh::new((**login).clone());
                return Ok(KubeClient { client: fresh.handle(), fresh: Some(fresh) });
            }
        };
        let uri: http::Uri = url.parse().map_err(|error| format!("`{url}` is not a URL: {error}"))?;
        let plain = uri.scheme_str() == Some("http");
        let mut config = kube::Config::new(uri);
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(5));
        // The whole request has a timeout of its own; these would cut idle connections.
        config.read_timeout = None;
        config.write_timeout = None;
        config.auth_info.token = Some(token.clone());
        // The API server's audit log shows who asked.
        config.headers.push((header::USER_AGENT, HeaderValue::from_static(concat!("runsheet/", env!("CARGO_PKG_VERSION")))));
        if plain {
            // Plain HTTP must not depend on certificates on this machine.
            config.root_cert = Some(Vec::new());
        }
        let client = kube::Client::try_from(config).map_err(|error| error.to_string())?;
        Ok(KubeClient { client, fresh: None })
    }
}

/// A client, and what renews its credentials where they have to be.
#[derive(Clone)]
pub(super) struct KubeClient {
    pub(super) client: kube::Client,
    pub(super) fresh: Option<Arc<Fresh>>,
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct KubeCall {
    /// The method.
    pub method: Method,
    /// The path with its query: `/apis/apps/v1/namespaces/production/deployments/ticket-service`.
    pub path: String,
    /// The body's media type and the body.
    pub body: Option<(&'static str, Value)>,
    /// How long the request may take, answer included.
    pub timeout: Duration,
}

impl KubeCall {
    /// A read.
    pub fn get(path: impl Into<String>, timeout: Duration) -> Self {
        Self { method: Method::GET, path: path.into(), body: None, timeout }
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct KubeReply {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, where the server sent one: as it stands, normally seconds.
    pub retry_after: Option<String>,
    /// The body; `null` where it is not JSON.
    pub body: Value,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubeError {
    /// The request certainly did not reach the server: the name does not resolve, the connection was refused, the TLS handshake failed.
    #[error("no connection to the Kubernetes API: {why}")]
    NotSent {
        /// Why.
        why: String,
    },
    /// There are no credentials to send it with; certainly nothing was sent.
    #[error("{0}")]
    Credentials(CredentialsError),
    /// No answer within the timeout.
    #[error("the Kubernetes API did not answer within {} s", after.as_secs_f32())]
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// The connection ended before the whole answer was there.
    #[error("the connection to the Kubernetes API was cut before the whole answer was there: {why}")]
    Cut {
        /// How.
        why: String,
    },
    /// The answer is larger than anything that is asked for.
    #[error("the Kubernetes API's answer is larger than {} MiB", LARGEST_ANSWER / 1024 / 1024)]
    TooLarge,
}

impl KubeCall {
    /// Sends it, once.
    ///
    /// # Errors
    /// [`KubeError`], where no whole answer came. An answer of status 500 is an answer.
    pub async fn send(self, client: &kube::Client) -> Result<KubeReply, KubeError> {
        let timeout = self.timeout;
        let waiting = Waiting::default();
        match tokio::time::timeout(timeout, self.exchange(client, waiting.clone())).await {
            Ok(answered) => answered,
            // Nothing is sent before the credentials are there.
            Err(_) if waiting.is_set() => Err(KubeError::Credentials(CredentialsError::StillAsking)),
            Err(_) => Err(KubeError::TimedOut { after: timeout }),
        }
    }

    async fn exchange(self, client: &kube::Client, waiting: Waiting) -> Result<KubeReply, KubeError> {
        let mut request =
            Request::builder().method(self.method).uri(self.path).extension(waiting).header(header::ACCEPT, "application/json");
        let body = match self.body {
            None => Vec::new(),
            Some((media, value)) => {
                request = request.header(header::CONTENT_TYPE, HeaderValue::from_static(media));
                value.to_string().into_bytes()
            }
        };
        let request = request.body(kube::client::Body::from(body)).map_err(|error| KubeError::NotSent { why: error.to_string() })?;
        let answer = client.send(request).await.map_err(|error| not_answered(&error))?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = match Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(KubeError::TooLarge),
            Err(error) => return Err(KubeError::Cut { why: chain(&*error) }),
        };
        Ok(KubeReply { status, retry_after, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }
}

/// A request that was not answered: only a failure to connect is sure to have sent nothing.
pub(crate) fn not_answered(error: &kube::Error) -> KubeError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<CredentialsError>() {
            return KubeError::Credentials(error.clone());
        }
        if inner.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(hyper_util::client::legacy::Error::is_connect) {
            return KubeError::NotSent { why: super::tls::explained(chain(inner)) };
        }
        source = inner.source();
    }
    match error {
        kube::Error::Auth(_) | kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => KubeError::NotSent { why: chain(error) },
        // Its own words only say which layer it came from.
        _ => KubeError::Cut { why: super::tls::explained(chain(std::error::Error::source(error).unwrap_or(error))) },
    }
}

/// What layers of the client say of an error below them: nothing that a person could use.
const LAYERS: [&str; 5] =
    ["error sending request", "client error (Connect)", "client error (SendRequest)", "tcp connect error", "connection error"];

/// An error with its causes, each said once, without the numbers that operating systems give them, and without layers that only pass it on.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut source = Some(error);
    while let Some(inner) = source {
        let text = inner.to_string();
        let text = text.split(" (os error").next().unwrap_or_default().trim().to_owned();
        let cause = inner.source();
        let passes_on = cause.is_some() && LAYERS.contains(&text.as_str());
        if !text.is_empty() && !passes_on && !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        source = cause;
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A server that answers one request with these bytes, and closes or stays.
    async fn answering(answer: &'static str, stays: bool) -> kube::Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).await.unwrap();
            let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
            assert!(request.contains("authorization: Bearer a-token") && request.contains("user-agent: runsheet/"), "{request}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            if stays {
                std::future::pending::<()>().await;
            }
        });
        KubernetesAccess::Token { url, token: "a-token".to_owned().into() }.client().unwrap().client
    }

    async fn sent(answer: &'static str, stays: bool) -> Result<KubeReply, KubeError> {
        let client = answering(answer, stays).await;
        KubeCall::get("/version", Duration::from_millis(300)).send(&client).await
    }

    #[tokio::test]
    async fn a_request_that_may_have_arrived_is_never_called_unsent() {
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
        for answer in ["", half, "HTTP/1.1 200"] {
            assert!(matches!(sent(answer, false).await, Err(KubeError::Cut { .. })), "{answer:?}");
            assert_eq!(sent(answer, true).await.unwrap_err(), KubeError::TimedOut { after: Duration::from_millis(300) }, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_given_as_it_came_and_asked_for_once() {
        let busy = "HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\nno";
        // The server takes one connection only: a second try would end as a refused connection.
        let reply = sent(busy, false).await.unwrap();
        assert_eq!((reply.status, reply.retry_after.as_deref(), reply.body), (503, Some("7"), Value::Null));
    }

    #[tokio::test]
    async fn an_endless_answer_takes_bounded_memory() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b' '; 65536]).await.is_ok() {}
        });
        let client = KubernetesAccess::Token { url, token: "a-token".to_owned().into() }.client().unwrap().client;
        assert_eq!(KubeCall::get("/version", Duration::from_secs(20)).send(&client).await.unwrap_err(), KubeError::TooLarge);
    }
}
