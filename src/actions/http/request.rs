//! A request that may be sent: its inputs checked against each other, its headers and body made.
//!
//! Must not send anything. Invariant: what carries a secret is marked sensitive, and no message here repeats one.

use std::time::Duration;

use base64::Engine;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::input::{Input, Method, Scalar, StatusRange, Verify};
use crate::environment::HttpOptions;
use crate::model::outcome::Failure;

/// The largest body of an answer that is read where the step does not say, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// What `max_body` may be at most, in bytes.
const LARGEST_BODY: usize = 64 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// Set by the client itself, or by the route to the target.
const OWN: [HeaderName; 5] = [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE];
/// What says who asks: a secret that belongs elsewhere.
const CREDENTIALS: [HeaderName; 3] = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
    pub(super) options: HttpOptions,
    pub(super) timeout: Duration,
    pub(super) max_body: usize,
    pub(super) expect: Vec<StatusRange>,
}

impl Request {
    /// From the inputs. `key` is sent as `Idempotency-Key` with a write, unless the author sets that header.
    pub(super) fn of(input: &Input, key: &str) -> Result<Self, Failure> {
        let mut url = absolute("url", &input.url)?;
        if !input.query.is_empty() {
            url.query_pairs_mut().extend_pairs(input.query.iter().map(|(name, value)| (name, &value.0)));
        }
        let mut headers = headers("headers", &input.headers)?;
        let mut credentials = false;
        for (name, secret) in &input.secret_headers {
            let name = header_name("secret_headers", name)?;
            if let Some(secret) = &secret.0 {
                headers.insert(name.clone(), sensitive(name.as_str(), secret.expose_secret())?);
                credentials = true;
            }
        }
        if input.bearer.is_some() && input.basic.is_some() {
            return Err(Failure::permanent("`bearer` and `basic` cannot both be sent").hint("keep one of them"));
        }
        if let Some(token) = input.bearer.as_ref().and_then(|secret| secret.0.as_ref()) {
            headers.insert(header::AUTHORIZATION, bearer(token)?);
            credentials = true;
        }
        if let Some(basic) = &input.basic {
            if basic.username.contains(':') {
                return Err(Failure::permanent("`basic.username` cannot hold a colon").hint("RFC 7617 ends the name at the first colon"));
            }
            if let Some(password) = &basic.password.0 {
                let pair = format!("{}:{}", basic.username, password.expose_secret());
                let encoded = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
                headers.insert(header::AUTHORIZATION, sensitive("basic", &encoded)?);
                credentials = true;
            }
        }
        let body = body(input, &mut headers)?;
        let read = input.method.is_read();
        if !read && input.follow_redirects == Some(true) {
            return Err(
                Failure::permanent("a write never follows a redirect").hint("leave `follow_redirects` out, and write the final URL")
            );
        }
        if !read && !headers.contains_key("idempotency-key") {
            let value = HeaderValue::from_str(key).map_err(|_| Failure::permanent("the idempotency key is not a header's value"))?;
            headers.insert(HeaderName::from_static("idempotency-key"), value);
        }
        let expect = input.expect.as_ref().map_or_else(|| vec![StatusRange::SUCCESS], |expect| expect.status.clone());
        if expect.is_empty() {
            return Err(Failure::permanent("`expect.status` is empty: nothing could succeed").hint("leave it out for 2xx"));
        }
        if input.max_body.is_some_and(|bytes| bytes > LARGEST_BODY) {
            return Err(Failure::permanent(format!("`max_body` is more than {LARGEST_BODY} bytes"))
                .hint("fetch it with a `command` that writes a file"));
        }
        Ok(Self {
            method: input.method,
            url,
            headers,
            body,
            options: options(input, credentials, read && input.follow_redirects.unwrap_or(true)),
            timeout: input.timeout.map_or(TIMEOUT, |span| span.0),
            max_body: input.max_body.unwrap_or(MAX_BODY),
            expect,
        })
    }

    /// The read that tells whether a write happened, with the write's own TLS settings and timeouts.
    pub(super) fn verifying(input: &Input, verify: &Verify) -> Result<Self, Failure> {
        let mut headers = headers("verify.headers", &verify.headers)?;
        let token = verify.bearer.as_ref().and_then(|secret| secret.0.as_ref());
        if let Some(token) = token {
            headers.insert(header::AUTHORIZATION, bearer(token)?);
        }
        Ok(Self {
            method: Method::Get,
            url: absolute("verify.url", &verify.url)?,
            headers,
            body: None,
            options: options(input, token.is_some(), true),
            timeout: input.timeout.map_or(TIMEOUT, |span| span.0),
            max_body: MAX_BODY,
            expect: vec![StatusRange { first: 100, last: 599 }],
        })
    }

    /// Method and URL for messages: without the query, which may be long.
    pub(super) fn name(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        format!("{} {url}", self.method.as_http())
    }
}

fn options(input: &Input, credentials: bool, follow_redirects: bool) -> HttpOptions {
    HttpOptions {
        connect_timeout: input.connect_timeout.map_or(CONNECT, |span| span.0),
        follow_redirects,
        credentials,
        ca_file: input.tls.as_ref().and_then(|tls| tls.ca_file.clone()),
        insecure: input.tls.as_ref().is_some_and(|tls| tls.insecure),
        server_name: input.tls.as_ref().and_then(|tls| tls.server_name.clone()),
    }
}

fn absolute(input: &str, text: &str) -> Result<Url, Failure> {
    let hint = "write an absolute URL: `https://HOST/PATH`";
    let url = Url::parse(text).map_err(|error| Failure::permanent(format!("`{input}` is not a URL: {error}")).hint(hint))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(Failure::permanent(format!("`{input}` is not an http or https URL with a host")).hint(hint));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::permanent(format!("`{input}` holds credentials, which would be written down with it"))
            .hint("use `basic`, with the password as `${{ secrets.NAME }}`"));
    }
    Ok(url)
}

fn header_name(input: &str, name: &str) -> Result<HeaderName, Failure> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Failure::permanent(format!("`{}` in `{input}` is not a header's name", name.escape_debug())))?;
    if OWN.contains(&name) {
        return Err(Failure::permanent(format!("`{name}` in `{input}` is set by the client itself")).hint("leave it out"));
    }
    Ok(name)
}

fn headers(input: &str, given: &std::collections::BTreeMap<String, String>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let name = header_name(input, name)?;
        if CREDENTIALS.contains(&name) {
            return Err(Failure::permanent(format!("`{name}` in `{input}` would be written down with the inputs"))
                .hint("use `bearer`, `basic` or `secret_headers`, with `${{ secrets.NAME }}`"));
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| Failure::permanent(format!("the value of `{name}` in `{input}` is not a header's value")))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn bearer(token: &SecretString) -> Result<HeaderValue, Failure> {
    sensitive("bearer", &format!("Bearer {}", token.expose_secret()))
}

fn sensitive(what: &str, text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Failure::permanent(format!("the secret for `{what}` holds characters that no header can carry"))
            .hint("a line end within the secret? only visible ASCII can be sent")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn body(input: &Input, headers: &mut HeaderMap) -> Result<Option<Vec<u8>>, Failure> {
    let given = [input.json.is_some(), input.form.is_some(), input.body.is_some()];
    if given.into_iter().filter(|given| *given).count() > 1 {
        return Err(Failure::permanent("only one of `json`, `form` and `body` can be sent").hint("keep one of them"));
    }
    if input.content_type.is_some() && input.body.is_none() {
        return Err(Failure::permanent("`content_type` goes with `body`").hint("`json` and `form` bring their own"));
    }
    let (media, bytes) = if let Some(json) = &input.json {
        ("application/json", json.to_string().into_bytes())
    } else if let Some(form) = &input.form {
        ("application/x-www-form-urlencoded", encoded(form).into_bytes())
    } else if let Some(body) = &input.body {
        (input.content_type.as_deref().unwrap_or("text/plain; charset=utf-8"), body.clone().into_bytes())
    } else {
        return Ok(None);
    };
    if input.method.is_read() {
        return Err(Failure::permanent("a GET or HEAD has no body").hint("put parameters into `query`"));
    }
    let media = HeaderValue::from_str(media).map_err(|_| Failure::permanent("`content_type` is not a header's value"))?;
    headers.entry(header::CONTENT_TYPE).or_insert(media);
    Ok(Some(bytes))
}

fn encoded(form: &std::collections::BTreeMap<String, Scalar>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form.iter().map(|(name, value)| (name, &value.0))).finish()
}
