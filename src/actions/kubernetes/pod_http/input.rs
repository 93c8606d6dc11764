//! The inputs of `k8s.http`, and the request that they make for each pod.
//!
//! Must not send anything. Invariant: the path cannot lead out of the proxy of the pod that it is for.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::actions::http::{Expect, Method, StatusRange};
use crate::actions::kubernetes::pod_choice;
use crate::actions::kubernetes::raw::RawCall;
use crate::actions::kubernetes::workload::Workload;
use crate::actions::support::{DurationText, parse};
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::ports::action::Inputs;

pub(super) const NAME: &str = "k8s.http";
/// How much of an answer is read, in bytes.
const READ: usize = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);
const PARALLEL: u8 = 4;

/// The inputs of `k8s.http`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The workload whose pods are asked: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`. Either this or `selector`.
    pub(super) workload: Option<Workload>,
    /// A label selector, as `kubectl -l` takes it: `app=ticket-service`.
    pub(super) selector: Option<String>,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    pub(super) namespace: Option<String>,
    /// The method; `GET` where it is left out.
    #[serde(default)]
    #[schemars(extend("x-runsheet-reads" = ["GET", "HEAD"], "default" = "GET"))]
    pub(super) method: Method,
    /// The path within the pod, with its query where it has one: `/health/ready`.
    #[schemars(extend("pattern" = "^/"))]
    pub(super) path: String,
    /// The container's port, by number or by name; each pod's first declared one where it is left out.
    pub(super) port: Option<Port>,
    /// The body as JSON. Not with GET or HEAD.
    json: Option<Value>,
    /// What counts as success; any 2xx where it is left out.
    expect: Option<Expect>,
    /// Whether pods that are not ready are asked, too.
    #[serde(default)]
    pub(super) all: bool,
    /// Whether pods that became ready meanwhile are asked as well, until a new list shows none.
    #[serde(default)]
    pub(super) settled: bool,
    /// How many pods are asked at the same time; 4 where it is left out.
    #[schemars(range(min = 1, max = 32))]
    max_parallel: Option<u8>,
    /// How long each request may take; `10s` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    timeout: Option<Span>,
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Number(u16),
    Name(String),
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("{value} is not a port: write a number from 1 to 65535, or a port's name"));
        let number = match &value {
            Value::Number(number) => number.as_f64().filter(|number| number.fract() == 0.0 && (1.0..=65535.0).contains(number)),
            Value::String(text) if !text.is_empty() && text.len() <= 15 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => {
                match text.parse::<u16>() {
                    Ok(number) if number > 0 => Some(f64::from(number)),
                    Ok(_) => None,
                    Err(_) => return Ok(Self::Name(text.clone())),
                }
            }
            _ => None,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and from 1 to 65535")]
        number.map(|number| Self::Number(number as u16)).ok_or_else(wrong)
    }
}

impl JsonSchema for Port {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 1, "maximum": 65535, "pattern": "^[A-Za-z0-9-]{1,15}$" })
    }
}

impl Input {
    /// The inputs, checked against each other.
    ///
    /// # Errors
    /// What does not fit.
    pub(super) fn of(inputs: &Inputs) -> Result<Self, Failure> {
        if ["bearer", "basic", "secret_headers", "headers"].iter().any(|name| inputs.0.get(name).is_some_and(|value| !value.is_null())) {
            return Err(Failure::permanent(
                "credentials cannot be sent through the API server's proxy: it takes `Authorization` for its own",
            )
            .hint("use http.request with the service's URL, or a path of the pod that needs none"));
        }
        let input: Self = parse(NAME, inputs)?;
        pod_choice::check(input.workload.as_ref(), input.selector.as_deref())?;
        path(&input.path)?;
        if input.json.is_some() && input.method.is_read() {
            return Err(Failure::permanent("a GET or HEAD has no body").hint("put parameters into the query of `path`"));
        }
        if input.expect.as_ref().is_some_and(|expect| expect.status.is_empty()) {
            return Err(Failure::permanent("`expect.status` is empty: nothing could succeed").hint("leave it out for 2xx"));
        }
        if input.max_parallel.is_some_and(|count| !(1..=32).contains(&count)) {
            return Err(Failure::permanent("`max_parallel` must be from 1 to 32"));
        }
        Ok(input)
    }

    pub(super) fn parallel(&self) -> usize {
        usize::from(self.max_parallel.unwrap_or(PARALLEL))
    }

    pub(super) fn expected(&self) -> Vec<StatusRange> {
        self.expect.as_ref().map_or_else(|| vec![StatusRange::SUCCESS], |expect| expect.status.clone())
    }

    /// `GET /health/ready`, without the query, which may be long.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.method.as_http(), self.path.split('?').next().unwrap_or_default())
    }

    /// The verb that access rules name.
    pub(super) fn verb(&self) -> &'static str {
        verb(self.method)
    }

    /// The request to one pod. `key` is the step's; each pod gets one of its own.
    pub(super) fn call(&self, namespace: &str, pod: &str, port: u16, key: &str, left: Duration) -> RawCall {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"));
        let mut body = Vec::new();
        if let Some(json) = &self.json {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            body = json.to_string().into_bytes();
        }
        if !self.method.is_read()
            && let Ok(key) = HeaderValue::from_str(&format!("{key}-{pod}"))
        {
            headers.insert(HeaderName::from_static("idempotency-key"), key);
        }
        RawCall {
            method: self.method.as_http(),
            path: format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{}", self.path),
            headers,
            body,
            timeout: self.timeout.map_or(TIMEOUT, |span| span.0).min(left),
            most: READ,
        }
    }
}

/// The verb that access rules name a method by.
pub(super) fn verb(method: Method) -> &'static str {
    match method {
        Method::Get | Method::Head => "get",
        Method::Post => "create",
        Method::Put => "update",
        Method::Patch => "patch",
        Method::Delete => "delete",
    }
}

/// That a path is one, and stays within the pod: the API server would take `..` as a way to its own objects.
fn path(text: &str) -> Result<(), Failure> {
    let (path, _) = text.split_once('?').unwrap_or((text, ""));
    let dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    let wrong = if !path.starts_with('/') {
        "does not begin with `/`"
    } else if path.split('/').any(dots) || path.to_ascii_lowercase().contains("%2f") || path.contains('\\') {
        "leads out of the pod"
    } else if !text.chars().all(|c| c.is_ascii_graphic() && !"#\"<>^`{|}".contains(c)) {
        "holds characters that a URL writes as `%XX`"
    } else {
        return Ok(());
    };
    Err(Failure::permanent(format!("`path` {wrong}")).hint("write it as in a URL: `/health/ready?full=1`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(rest: Value) -> Result<Input, Failure> {
        let mut inputs = json!({ "selector": "app=x", "path": "/health/ready" });
        inputs.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        Input::of(&Inputs(inputs))
    }

    #[test]
    fn each_mistake_is_named() {
        for (rest, wanted) in [
            (json!({ "path": "health" }), "`path` does not begin with `/`"),
            (json!({ "path": "/../../x" }), "`path` leads out of the pod"),
            (json!({ "path": "/%2E%2e/x" }), "`path` leads out of the pod"),
            (json!({ "path": "/a%2f..%2Fx" }), "`path` leads out of the pod"),
            (json!({ "path": "/a b" }), "`path` holds characters"),
            (json!({ "path": "/a\nHost: x" }), "`path` holds characters"),
            (json!({ "json": {} }), "a GET or HEAD has no body"),
            (json!({ "expect": { "status": [] } }), "nothing could succeed"),
            (json!({ "max_parallel": 0 }), "from 1 to 32"),
            (json!({ "port": 0 }), "0 is not a port"),
            (json!({ "port": "a b" }), "is not a port"),
            (json!({ "bearer": "x" }), "credentials cannot be sent through the API server's proxy"),
            (json!({ "workload": "deployment/x" }), "cannot both be given"),
        ] {
            let failure = of(rest.clone()).unwrap_err();
            assert!(failure.message.contains(wanted), "{rest}: {failure}");
        }
    }

    #[test]
    fn a_request_is_made_for_each_pod() {
        let input = of(json!({ "method": "POST", "path": "/warm?x=..", "json": { "a": 1 }, "port": "8081", "timeout": "1m" })).unwrap();
        assert_eq!(input.port, Some(Port::Number(8081)));
        let call = input.call("production", "pod-a", 8081, "key", Duration::from_secs(5));
        assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/api/v1/namespaces/production/pods/pod-a:8081/proxy/warm?x=.."));
        assert_eq!((call.headers["idempotency-key"].to_str().unwrap(), call.body.as_slice()), ("key-pod-a", &b"{\"a\":1}"[..]));
        assert_eq!((call.timeout, input.verb()), (Duration::from_secs(5), "create"));
        let call = of(json!({})).unwrap().call("production", "pod-a", 80, "key", Duration::MAX);
        assert_eq!((call.timeout, call.headers.get("idempotency-key")), (Duration::from_secs(10), None));
    }
}
