//! Prometheus's HTTP API over what the load has come to: the queries that playbooks send, evaluated.
//!
//! It must not pretend to know PromQL: what it does not know is refused as a query that cannot be parsed. Invariant: a number follows from the load and the
//! Pods alone.

mod evaluate;
mod parse;

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};

use self::evaluate::{Data, Moments, evaluate};
use super::call::Call;
use super::cluster::api::json as respond;
use super::platform::Platform;

/// The host by which it is reached.
pub(crate) const HOST: &str = "prometheus.monitoring";
/// Its port, as clients name it.
pub(crate) const PORT: u16 = 9090;
/// The version that it behaves as.
const VERSION: &str = "2.42.0";
/// The most points of a series.
const MOST_POINTS: f64 = 11_000.0;

type Failure = (u16, &'static str, String);

/// Answers one request to the API.
pub(crate) fn answer(platform: &Arc<Platform>, call: &Call) -> Response {
    match handle(platform, call) {
        Ok(data) => respond(200, &json!({ "status": "success", "data": data })),
        Err((401, _, text)) => plain(401, text),
        Err((404, _, text)) => plain(404, text),
        Err((status, kind, error)) => respond(status, &json!({ "status": "error", "errorType": kind, "error": error })),
    }
}

/// What is no part of the API is not answered in JSON.
fn plain(status: u16, text: String) -> Response {
    let mut response = respond(status, &Value::Null);
    *response.body_mut() = text.into();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    }
    response
}

fn bad(error: String) -> Failure {
    (400, "bad_data", error)
}

/// The parameters of a request, in its URL or, of a `POST`, in its body.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn of(call: &Call) -> Self {
        let body = if call.method == Method::POST { call.body.as_ref() } else { b"" };
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    fn get<'a>(&'a self, call: &'a Call, name: &str) -> &'a str {
        let in_body = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        in_body.unwrap_or_else(|| call.query(name))
    }
}

fn handle(platform: &Platform, call: &Call) -> Result<Value, Failure> {
    if !call.bears(&platform.identity().postgres_password) {
        return Err((401, "", "Unauthorized\n".to_owned()));
    }
    let parameters = Parameters::of(call);
    let parameter = |name: &'static str| parameters.get(call, name);
    let moment = platform.moment();
    match call.path.as_str() {
        "/api/v1/status/buildinfo" => Ok(json!({ "version": VERSION })),
        "/api/v1/query" => {
            let query = parse::query(parameter("query")).map_err(|why| bad(format!("invalid parameter \"query\": {why}")))?;
            let time = if parameter("time").is_empty() { moment.now } else { time("time", parameter("time"))? };
            let data = evaluate(&query, &platform.read(), Moments { time, speed: moment.speed });
            Ok(data.map_err(|why| (422, "execution", why))?.instant(time))
        }
        "/api/v1/query_range" => {
            let (start, end) = (time("start", parameter("start"))?, time("end", parameter("end"))?);
            let step = parameter("step").parse::<f64>().ok().filter(|step| *step > 0.0);
            let step =
                step.ok_or_else(|| bad(format!("invalid parameter \"step\": cannot parse \"{}\" to a valid duration", parameter("step"))))?;
            if end < start {
                return Err(bad("invalid parameter \"end\": end timestamp must not be before start time".to_owned()));
            }
            if (end - start) as f64 / 1000.0 / step > MOST_POINTS {
                let text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
                return Err(bad(text.to_owned()));
            }
            let query = parse::query(parameter("query")).map_err(|why| bad(format!("invalid parameter \"query\": {why}")))?;
            let world = platform.read();
            let mut points = Vec::new();
            let mut at = start as f64;
            while at <= end as f64 {
                let data = evaluate(&query, &world, Moments { time: at as u64, speed: moment.speed });
                points.push((at as u64, data.map_err(|why| (422, "execution", why))?));
                at += step * 1000.0;
            }
            Ok(Data::range(points))
        }
        _ => Err((404, "", "404 page not found\n".to_owned())),
    }
}

/// Milliseconds, from seconds since 1970 or RFC 3339.
fn time(name: &str, text: &str) -> Result<u64, Failure> {
    let seconds =
        text.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0).map(|seconds| (seconds * 1000.0) as u64);
    let stamp = || text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
    seconds.or_else(stamp).ok_or_else(|| bad(format!("invalid parameter \"{name}\": cannot parse \"{text}\" to a valid timestamp")))
}
