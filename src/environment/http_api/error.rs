//! Why an HTTP API did not answer what was asked, by cause.
//!
//! Invariant: each cause has its own words and its own way out, and none repeats a credential or a page. A read that failed has had no effect.

use std::time::Duration;

use super::super::connections::ConnectionError;

/// Why there is no answer. `place` is the system and its URL, `path` what was asked of it, and `why` the server's own words, which may be none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields of all variants are the four that the type's text names, a status and what a header says")]
pub enum ApiError {
    /// There is no way to the server.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Nobody listens there, or the network says no.
    #[error("no connection to {place}: {why}")]
    Unreachable { place: String, why: String },
    /// The TLS handshake failed.
    #[error("no TLS connection to {place}: {why}")]
    Tls { place: String, why: String },
    /// No whole answer came in time.
    #[error("{place} did not answer {path} within {} s", after.as_secs_f32())]
    TimedOut { place: String, path: String, after: Duration },
    /// The connection ended in the middle.
    #[error("the connection to {place} was cut before the whole answer to {path} was there: {why}")]
    Cut { place: String, path: String, why: String },
    /// 401.
    #[error("{place} does not let {who} in (401){}", after(why))]
    Login { place: String, who: String, why: String },
    /// 403.
    #[error("{place} does not let {who} ask {path} (403){}", after(why))]
    Forbidden { place: String, path: String, who: String, why: String },
    /// 404.
    #[error("{place} knows no {path} (404){}", after(why))]
    NotFound { place: String, path: String, why: String },
    /// 429.
    #[error("{place} asks to be left alone for a while (429{}){}", wait(retry_after), after(why))]
    Throttled { place: String, retry_after: Option<String>, why: String },
    /// 3xx: credentials follow no redirect.
    #[error("{place} answered {path} with a redirect ({status}) to {to}, which was not followed")]
    Redirected { place: String, path: String, status: u16, to: String },
    /// 5xx.
    #[error("{place} failed at {path} ({status}{}){}", wait(retry_after), after(why))]
    Failed { place: String, path: String, status: u16, retry_after: Option<String>, why: String },
    /// Another status.
    #[error("{place} refused {path} ({status}){}", after(why))]
    Refused { place: String, path: String, status: u16, why: String },
    /// The answer is no JSON.
    #[error("{place} answered {path} with status {status}, but the answer is no JSON: {what}")]
    NotJson { place: String, path: String, status: u16, what: String },
    /// The answer is too large.
    #[error("{place} answered {path} with more than {} MiB", most / 1024 / 1024)]
    TooLarge { place: String, path: String, most: usize },
    /// The answer is JSON of another shape.
    #[error("{place} answered {path} with something else than was asked: {what}")]
    Garbled { place: String, path: String, what: String },
}

fn after(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

fn wait(retry_after: &Option<String>) -> String {
    retry_after.as_ref().map(|wait| format!(", Retry-After: {wait}")).unwrap_or_default()
}

impl ApiError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Connection(error) => error.hint(),
            Self::Unreachable { .. } => "check that the server is up and reachable from here, and its URL in the environment",
            Self::Tls { .. } => {
                "check the environment's `url` and `ca_file` for this server, and that the certificate is for the host that is named"
            }
            Self::TimedOut { .. } => {
                "check the network between here and the server (a firewall drops what it does not let through), and whether the server is overloaded"
            }
            Self::Cut { .. } => "try it again; the server's log, or that of a proxy before it, says who ended the connection",
            Self::Login { .. } => "check the credentials of this environment (`runsheet environment check` tells what their source lacks)",
            Self::Forbidden { .. } => "let this account ask it: RabbitMQ's tag `monitoring`, or the rules of the proxy before the server",
            Self::NotFound { .. } => {
                "check the URL in the environment: a path that a proxy adds belongs to it, the API's own path does not"
            }
            Self::Throttled { .. } => "ask less often, or try it again later",
            Self::Redirected { .. } => "write the final URL into the environment; credentials follow no redirect",
            Self::Failed { .. } => "the server's log says more; try it again",
            Self::Refused { .. } => "the server's words say what it did not take",
            Self::NotJson { .. } | Self::Garbled { .. } => "check the URL in the environment: something else than this API answers there",
            Self::TooLarge { .. } => "ask for less: a name, a pattern, a shorter range",
        }
    }

    /// Whether trying again can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection(error) => error.is_transient(),
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Cut { .. } | Self::Throttled { .. } | Self::Failed { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 425),
            Self::Tls { .. }
            | Self::Login { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Redirected { .. }
            | Self::NotJson { .. }
            | Self::TooLarge { .. }
            | Self::Garbled { .. } => false,
        }
    }

    /// How long the server asks to be left alone, as its header `Retry-After` says it.
    pub fn retry_after(&self) -> Option<&str> {
        match self {
            Self::Throttled { retry_after, .. } | Self::Failed { retry_after, .. } => retry_after.as_deref(),
            _ => None,
        }
    }
}
