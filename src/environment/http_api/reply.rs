//! An answer of an HTTP API: read whole within its bounds, or told why it is none.
//!
//! Must not show a page that is no answer. Invariant: a status, a content type or a body that does not fit is one clear error.

use http::HeaderMap;
use serde_json::Value;

use super::super::kubernetes::chain;
use super::{ApiClient, ApiError};

/// The largest answer that is read, in bytes: ten thousand queues of RabbitMQ's take some 10 MiB.
const LARGEST: usize = 32 * 1024 * 1024;
/// How much of a server's own words is told, in characters.
const LONGEST_WORDS: usize = 300;
/// How much of a text that is no JSON is looked at for them, in bytes: a credential that is cut there is past what is told.
const LONGEST_TEXT: usize = 16 * 1024;

/// An answer in JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiReply {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Value,
}

/// What a body is, and what it says in its own words.
enum Body {
    Json(Value),
    /// Not JSON: what it is instead, for people.
    Other(String),
}

impl ApiClient {
    pub(super) async fn read(&self, mut response: reqwest::Response, path: &str, wanted: &[u16]) -> Result<ApiReply, ApiError> {
        let (place, path) = (self.access.place(), path.to_owned());
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() > LARGEST => return Err(ApiError::TooLarge { place, path, most: LARGEST }),
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => {
                    let why = self.safe(&chain(&error.without_url()));
                    return Err(ApiError::Cut { place, path, why });
                }
            }
        }
        let body = self.body(&headers, &bytes);
        let accepted = (200..300).contains(&status) || wanted.contains(&status);
        match body {
            Body::Json(body) if accepted => Ok(ApiReply { status, body }),
            Body::Other(what) if accepted => Err(ApiError::NotJson { place, path, status, what }),
            body => Err(self.refused(status, &headers, &body, path)),
        }
    }

    /// What came. JSON is what parses as such, and is not said to be a page.
    fn body(&self, headers: &HeaderMap, bytes: &[u8]) -> Body {
        let media = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media: String = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().chars().take(60).collect();
        if bytes.is_empty() {
            return Body::Other("it is empty".to_owned());
        }
        let page = || bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
        if media.contains("html") || page() {
            return Body::Other("it is a web page: of a proxy or a login, perhaps".to_owned());
        }
        match serde_json::from_slice(bytes) {
            Ok(value) if media.is_empty() || media.contains("json") => Body::Json(value),
            Ok(_) => Body::Other(format!("it is said to be {}", self.safe(&media))),
            Err(_) if media.contains("json") => Body::Other("it is said to be JSON, and is not, or was cut".to_owned()),
            Err(_) => {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_TEXT)]);
                let text = one_line(&self.safe(&text));
                let plain = text.chars().all(|c| !c.is_control() && c != char::REPLACEMENT_CHARACTER);
                if media.starts_with("text/plain") && plain {
                    Body::Other(shortened(&text))
                } else {
                    Body::Other(format!("it is {}", self.safe(named(&media))))
                }
            }
        }
    }

    fn refused(&self, status: u16, headers: &HeaderMap, body: &Body, path: String) -> ApiError {
        let place = self.access.place();
        let why = match body {
            Body::Json(value) => words(value).map(|words| shortened(&self.safe(&words))).unwrap_or_default(),
            Body::Other(what) => what.clone(),
        };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(|text| shortened(&self.safe(text)));
        match status {
            300..=399 => ApiError::Redirected { place, path, status, to: header("location").unwrap_or_default() },
            401 => ApiError::Login { place, who: self.access.who(), why },
            403 => ApiError::Forbidden { place, path, who: self.access.who(), why },
            404 => ApiError::NotFound { place, path, why },
            429 => ApiError::Throttled { place, retry_after: header("retry-after"), why },
            500..=599 => ApiError::Failed { place, path, status, retry_after: header("retry-after"), why },
            _ => ApiError::Refused { place, path, status, why },
        }
    }
}

fn named(media: &str) -> &str {
    if media.is_empty() { "of no said type" } else { media }
}

/// A server's own words in an error of its: RabbitMQ's `error` and `reason`, Prometheus's `errorType` and `error`.
fn words(value: &Value) -> Option<String> {
    let texts: Vec<&str> = ["errorType", "error", "reason", "message"].into_iter().filter_map(|key| value.get(key)?.as_str()).collect();
    (!texts.is_empty()).then(|| texts.join(": "))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is told of a text from which the credential was taken out: cut before, it could show the beginning of one.
fn shortened(text: &str) -> String {
    one_line(text).chars().take(LONGEST_WORDS).collect()
}
