//! The HTTP APIs of an environment's systems: which one a playbook's `target.rabbitmq` or `target.prometheus` means, with which credentials, and
//! one question to it.
//!
//! Must not write to a system, try again, or show a credential. Invariants: a playbook names an API by its URL and never brings credentials: they
//! are the environment's, for that URL alone, and follow no redirect; an answer takes bounded time and memory; what is no JSON is never an answer.

mod error;
mod reply;

pub use error::ApiError;
pub use reply::ApiReply;

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::connections::{ConnectionError, Connections};
use super::http::{HttpOptions, HttpRoute};
use super::kubernetes::chain;
use super::redactor::forms_of;
use super::tls;

/// How long a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest query that goes into a URL, in bytes; a longer one goes into the body of a `POST`.
const LONGEST_QUERY: usize = 4000;

/// Which system an API is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApiSystem {
    /// Prometheus's HTTP API.
    Prometheus,
    /// RabbitMQ's management API.
    Rabbitmq,
}

impl ApiSystem {
    /// Its key in an environment's file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Rabbitmq => "rabbitmq",
        }
    }

    /// As people call it.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Prometheus => "Prometheus",
            Self::Rabbitmq => "RabbitMQ's management API",
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum ApiLogin {
    /// Anybody.
    None,
    /// Whoever has this token; none where its source has none now.
    Bearer(Option<SecretString>),
    /// A user; with no password where its source has none now.
    Basic(String, Option<SecretString>),
}

/// An API of the environment's.
#[derive(Clone, Debug)]
pub struct ApiAccess {
    /// Of which system.
    pub system: ApiSystem,
    /// Where it is; paths are added to it.
    pub url: String,
    /// Who asks.
    pub login: ApiLogin,
    /// PEM certificates to be trusted beside the machine's.
    pub ca_file: Option<PathBuf>,
}

/// A way to an API, for several questions in a row: by the same connection where the server keeps it.
#[derive(Debug)]
pub struct ApiClient {
    access: ApiAccess,
    route: HttpRoute,
    timeout: Duration,
}

impl ApiAccess {
    /// What people are shown: `Prometheus at http://prometheus.monitoring:9090`.
    pub fn place(&self) -> String {
        format!("{} at {}", self.system.shown(), self.url)
    }

    fn secret(&self) -> Option<&SecretString> {
        match &self.login {
            ApiLogin::None => None,
            ApiLogin::Bearer(secret) | ApiLogin::Basic(_, secret) => secret.as_ref(),
        }
    }

    /// Whether it has a credential that its source gives now, where it is to have one.
    pub fn has_credential(&self) -> bool {
        matches!(self.login, ApiLogin::None) || self.secret().is_some()
    }

    /// Who asks, for messages.
    fn who(&self) -> String {
        match &self.login {
            ApiLogin::None => "a request without credentials".to_owned(),
            ApiLogin::Bearer(_) => "the token".to_owned(),
            ApiLogin::Basic(user, _) => format!("the user {user}"),
        }
    }
}

/// The same URL, however it is written.
fn same(left: &str, right: &str) -> bool {
    let plain = |text: &str| Url::parse(text).map(|url| url.as_str().trim_end_matches('/').to_owned());
    matches!((plain(left), plain(right)), (Ok(left), Ok(right)) if left == right)
}

impl Connections {
    /// With this API.
    #[must_use]
    pub fn with_api(mut self, access: ApiAccess) -> Self {
        self.apis.push(access);
        self
    }

    /// The environment's access to the API that a playbook names, as `target.prometheus` does: a map with `url`.
    ///
    /// # Errors
    /// [`ConnectionError::SystemValue`], [`ConnectionError::NoSystem`]
    pub fn api_for(&self, system: ApiSystem, value: &Value) -> Result<ApiAccess, ConnectionError> {
        let wrong = |why: &str| ConnectionError::SystemValue { system: system.key(), why: why.to_owned() };
        let map = value.as_object().ok_or_else(|| wrong("it is not a map"))?;
        if let Some(key) = map.keys().find(|key| key.as_str() != "url") {
            let key: String = key.chars().take(40).collect();
            return Err(wrong(&format!("it has a key `{key}`; only url belongs there")));
        }
        let url = map.get("url").and_then(Value::as_str).filter(|url| !url.is_empty()).ok_or_else(|| wrong("it names no `url`"))?;
        if Url::parse(url).is_ok_and(|url| url.password().is_some() || !url.username().is_empty()) {
            return Err(wrong("its `url` holds credentials, and they are the environment's"));
        }
        let known = || self.apis.iter().filter(|access| access.system == system);
        known().find(|access| same(&access.url, url)).cloned().ok_or_else(|| ConnectionError::NoSystem {
            system: system.key(),
            asked: url.chars().take(200).collect(),
            known: known().map(|access| access.url.clone()).collect(),
        })
    }

    /// A way to this API, for questions that take at most `timeout` each. Sends nothing.
    ///
    /// # Errors
    /// [`ApiError`]
    pub async fn api_client(&self, access: &ApiAccess, timeout: Duration) -> Result<ApiClient, ApiError> {
        let no_url = || ConnectionError::NoHost { url: access.url.clone() };
        let url = Url::parse(&access.url).map_err(|_| no_url())?;
        let host = url.host_str().ok_or_else(no_url)?;
        if url.scheme() == "http" && access.secret().is_some() && !self.stays_here(host, url.port_or_known_default().unwrap_or(80)) {
            return Err(ConnectionError::PlainSystem { system: access.system.shown(), host: host.to_owned() }.into());
        }
        let options = HttpOptions {
            // A connection that is not made in time is known to be none only while the whole request still has time.
            connect_timeout: CONNECT.min(timeout.mul_f32(0.9)),
            follow_redirects: false,
            credentials: true,
            ca_file: access.ca_file.clone(),
            insecure: false,
            server_name: None,
        };
        let route = self.http_client(&url, &options).await?;
        Ok(ApiClient { access: access.clone(), route, timeout })
    }

    /// Whether what is sent to a host stays on this machine, or goes a way that is protected by itself.
    fn stays_here(&self, host: &str, port: u16) -> bool {
        let loopback = |host: &str| {
            host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        let here = || loopback(host) || self.way_to(host, port).is_some();
        self.address_of(host).map_or_else(here, |address| address.ip().is_loopback())
    }
}

impl ApiClient {
    /// Asks once. `path` begins with `/` and is added to the API's URL as it is.
    ///
    /// # Errors
    /// [`ApiError`]: also where the answer's status is none of 2xx and `wanted`.
    pub async fn ask(&self, path: &str, query: &[(&str, &str)], wanted: &[u16]) -> Result<ApiReply, ApiError> {
        let exchange = self.exchange(path, query, wanted);
        let late = || ApiError::TimedOut { place: self.access.place(), path: path.to_owned(), after: self.timeout };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| Err(late()))
    }

    async fn exchange(&self, path: &str, query: &[(&str, &str)], wanted: &[u16]) -> Result<ApiReply, ApiError> {
        let mut url = self.route.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let mut request = if encoded.len() > LONGEST_QUERY {
            let form = "application/x-www-form-urlencoded";
            self.route.client.post(url).header(http::header::CONTENT_TYPE, form).body(encoded)
        } else {
            url.set_query((!encoded.is_empty()).then_some(encoded.as_str()));
            self.route.client.get(url)
        };
        request = request.header(http::header::ACCEPT, "application/json");
        if let Some(host) = &self.route.host {
            request = request.header(http::header::HOST, host);
        }
        request = match &self.access.login {
            ApiLogin::None => request,
            ApiLogin::Bearer(Some(token)) => request.bearer_auth(token.expose_secret()),
            ApiLogin::Basic(user, Some(password)) => request.basic_auth(user, Some(password.expose_secret())),
            // The server says best that it wants some.
            ApiLogin::Bearer(None) | ApiLogin::Basic(_, None) => request,
        };
        let response = request.send().await.map_err(|error| self.unanswered(error, path))?;
        self.read(response, path, wanted).await
    }

    fn unanswered(&self, error: reqwest::Error, path: &str) -> ApiError {
        if let Some(failure) = self.route.reach.failure() {
            return failure.into();
        }
        let (place, path) = (self.access.place(), path.to_owned());
        let (connecting, building) = (error.is_connect(), error.is_builder());
        let why = self.safe(&chain(&error.without_url()));
        if why.contains("invalid HTTP") {
            return ApiError::Garbled { place, path, what: "it does not speak HTTP".to_owned() };
        }
        if !(connecting || building) {
            return ApiError::Cut { place, path, why };
        }
        let explained = explained(&why);
        let of_tls = explained != why || ["certificate", "Certificate", "tls", "TLS", "handshake"].iter().any(|word| why.contains(word));
        if of_tls { ApiError::Tls { place, why: explained } } else { ApiError::Unreachable { place, why } }
    }

    /// A text of the server's without the credential, in whatever form it was sent. It can say anything, also what it was sent.
    fn safe(&self, text: &str) -> String {
        let Some(secret) = self.access.secret().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty()) else {
            return text.to_owned();
        };
        let mut forms = forms_of(secret);
        if let ApiLogin::Basic(user, _) = &self.access.login {
            forms.push(base64::engine::general_purpose::STANDARD.encode(format!("{user}:{secret}")));
        }
        forms.push(secret.to_owned());
        // The longest first: none leaves an end of another behind.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.iter().fold(text.to_owned(), |text, form| text.replace(form, "[password]"))
    }
}

/// What TLS says of a failure, in words that name what to look at.
pub(super) fn explained(why: &str) -> String {
    if why.contains("UnknownIssuer") {
        return "the server's certificate is signed by an authority that is not trusted here, nor named as `ca_file`".to_owned();
    }
    tls::explained(why.to_owned())
}
