//! One request, read whole: what the handlers need of it and who sent it.
//!
//! It must not hold the connection. Invariant: a token is only compared, never copied into anything that is written.

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, header, request::Parts};

/// Who sent a request, as the effect log names them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub(crate) request: String,
    pub(crate) user_agent: String,
    pub(crate) idempotency_key: Option<String>,
}

/// A request with its body.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) accept: String,
    pub(crate) body: Bytes,
    pub(crate) caller: Caller,
    /// Whether it says of itself that it is part of a load test.
    pub(crate) load_test: bool,
    authorization: String,
    query: Vec<(String, String)>,
}

/// The longest text of a header that is kept.
const LONGEST: usize = 200;

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The host that a request is for, without its port: from an absolute URI (as sent to a proxy) or the Host header.
pub(crate) fn host_of(parts: &Parts) -> String {
    let named = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let named = named.unwrap_or_else(|| text(&parts.headers, header::HOST));
    let bare = named.rsplit_once(':').filter(|(_, port)| port.chars().all(|c| c.is_ascii_digit())).map_or(named.as_str(), |(host, _)| host);
    bare.to_ascii_lowercase()
}

impl Call {
    /// Takes a request apart.
    pub(crate) fn new(parts: &Parts, body: Bytes) -> Self {
        let path = parts.uri.path().to_owned();
        let key = parts.headers.get("idempotency-key").and_then(|value| value.to_str().ok());
        let caller = Caller {
            request: format!("{} {path}", parts.method),
            user_agent: text(&parts.headers, header::USER_AGENT).chars().take(LONGEST).collect(),
            idempotency_key: key.map(|key| key.chars().take(LONGEST).collect()),
        };
        let query = parts.uri.query().unwrap_or_default();
        Self {
            method: parts.method.clone(),
            host: host_of(parts),
            path,
            content_type: text(&parts.headers, header::CONTENT_TYPE),
            accept: text(&parts.headers, header::ACCEPT),
            body,
            caller,
            load_test: parts.headers.get("x-load-test").is_some_and(|value| value == "true"),
            authorization: text(&parts.headers, header::AUTHORIZATION),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        }
    }

    /// The same request as the API server's proxy passes it on: to another path, and without the credentials, which were meant for the API server.
    pub(crate) fn passed_on(&self, path: &str) -> Self {
        Self {
            method: self.method.clone(),
            host: self.host.clone(),
            path: path.to_owned(),
            content_type: self.content_type.clone(),
            accept: self.accept.clone(),
            body: self.body.clone(),
            caller: self.caller.clone(),
            load_test: self.load_test,
            authorization: String::new(),
            query: self.query.clone(),
        }
    }

    /// The first value of a query parameter; empty where it is absent.
    pub(crate) fn query(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// All values of a query parameter, in order.
    pub(crate) fn queries<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a query parameter is set to true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.query(name), "true" | "1")
    }

    /// The media type of the body, without its parameters.
    pub(crate) fn media_type(&self) -> &str {
        self.content_type.split(';').next().unwrap_or_default().trim()
    }

    /// Who writes, for `managedFields`: the `fieldManager`, else the User-Agent up to its first `/`.
    pub(crate) fn field_manager(&self) -> &str {
        match self.query("fieldManager") {
            "" => match self.caller.user_agent.split('/').next().unwrap_or_default() {
                "" => "unknown",
                agent => agent,
            },
            named => named,
        }
    }

    /// Whether any credentials came with the request.
    pub(crate) fn has_credentials(&self) -> bool {
        !self.authorization.is_empty()
    }

    /// The header `Authorization`, for what is signed and not borne.
    pub(crate) fn authorization(&self) -> &str {
        &self.authorization
    }

    /// Whether the request carries this token: as a bearer, or as the password of a user, which is how kubectl sends it without TLS.
    pub(crate) fn bears(&self, token: &str) -> bool {
        if token.is_empty() {
            return false;
        }
        if let Some(encoded) = self.authorization.strip_prefix("Basic ") {
            let decoded = STANDARD.decode(encoded).unwrap_or_default();
            return std::str::from_utf8(&decoded).ok().and_then(|pair| pair.split_once(':')).is_some_and(|(_, given)| given == token);
        }
        self.authorization.strip_prefix("Bearer ") == Some(token)
    }
}
