//! The log of a Pod's container: `/api/v1/namespaces/NS/pods/NAME/log`.
//!
//! It must not be followed: what is there is answered, and the answer ends. Invariant: the lines follow from the Pod's own state, so the same Pod
//! shows the same lines; they are few.

use axum::body::Body;
use axum::response::Response;
use http::{Method, header};
use jiff::Timestamp;
use serde_json::Value;

use super::pod::Life;
use super::resource::{Resource, ResourcePath};
use super::status_error::ApiError;
use super::store::text;
use crate::sandbox::call::Call;
use crate::sandbox::platform::Platform;

/// Namespace and name, where a path asks for a log.
pub(crate) fn parse(path: &str) -> Option<(&str, &str)> {
    let (namespace, rest) = path.strip_prefix("/api/v1/namespaces/")?.split_once("/pods/")?;
    let name = rest.strip_suffix("/log")?;
    (!namespace.is_empty() && !namespace.contains('/') && !name.is_empty() && !name.contains('/')).then_some((namespace, name))
}

/// What access rules call it.
pub(crate) fn resource(namespace: &str, pod: &str) -> ResourcePath {
    ResourcePath {
        resource: Resource::Pods,
        namespace: Some(namespace.to_owned()),
        name: Some(pod.to_owned()),
        subresource: Some("log".to_owned()),
    }
}

/// The log.
///
/// # Errors
/// 404 for a Pod that is not there; 400 for a container that is unknown, not given, not started or was never restarted.
pub(crate) fn answer(platform: &Platform, namespace: &str, name: &str, call: &Call) -> Result<Response, ApiError> {
    if call.method != Method::GET {
        return Err(ApiError::method_not_allowed());
    }
    let world = platform.read();
    let entry = world.store.get(Resource::Pods, namespace, name).ok_or_else(|| ApiError::not_found(Resource::Pods, name))?;
    let pod = &*entry.object;
    let container = container(pod, name, call.query("container"))?;
    let lines = if text(pod, "/spec/nodeName").is_empty() {
        // As the API server answers before a node is known.
        Vec::new()
    } else {
        lines(pod, name, container, entry.life.as_ref(), call.flag("previous"))?
    };
    let body = shown(&lines, call, platform.moment().now)?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// The container that is meant.
fn container<'a>(pod: &'a Value, name: &str, given: &str) -> Result<&'a Value, ApiError> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match containers {
        [only] if given.is_empty() => Ok(only),
        several if given.is_empty() => {
            let names: Vec<&str> = several.iter().map(|container| text(container, "/name")).collect();
            let message = format!("a container name must be specified for pod {name}, choose one of: [{}]", names.join(" "));
            Err(ApiError::bad_request(message))
        }
        several => several
            .iter()
            .find(|container| text(container, "/name") == given)
            .ok_or_else(|| ApiError::bad_request(format!("container {given} is not valid for pod {name}"))),
    }
}

/// A line, and when it was written: seconds since 1970.
type Line = (i64, String);

fn lines(pod: &Value, name: &str, container: &Value, life: Option<&Life>, previous: bool) -> Result<Vec<Line>, ApiError> {
    let called = text(container, "/name");
    let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
    let status = statuses.into_iter().find(|status| text(status, "/name") == called).unwrap_or(&Value::Null);
    let version = text(container, "/image").rsplit(['/', ':']).next().unwrap_or_default().to_owned();
    let begin = |at: i64| (at, format!("INFO  starting {called} {version}"));
    let ended = status.pointer("/lastState/terminated");
    let waits = text(status, "/state/waiting/reason");
    if previous || (!waits.is_empty() && ended.is_some()) {
        let ended = ended
            .ok_or_else(|| ApiError::bad_request(format!("previous terminated container \"{called}\" in pod \"{name}\" not found")))?;
        let last = match (text(ended, "/reason"), ended["exitCode"].as_i64().unwrap_or(1)) {
            ("OOMKilled", _) => "WARN  memory is nearly used up".to_owned(),
            (_, code) => format!("ERROR cannot go on: exit code {code}"),
        };
        return Ok(vec![begin(seconds(ended, "/startedAt")), (seconds(ended, "/finishedAt"), last)]);
    }
    let end = status.pointer("/state/terminated");
    let started = end.map_or_else(|| seconds(status, "/state/running/startedAt"), |end| seconds(end, "/startedAt"));
    if started == 0 {
        let why = match waits {
            "ErrImagePull" => "image can't be pulled",
            "ImagePullBackOff" => "trying and failing to pull image",
            "" => "ContainerCreating",
            other => other,
        };
        return Err(ApiError::bad_request(format!("container \"{called}\" in pod \"{name}\" is waiting to start: {why}")));
    }
    let mut lines = vec![begin(started)];
    let ports = container["ports"].as_array().into_iter().flatten();
    lines.extend(
        ports
            .into_iter()
            .filter_map(|port| port["containerPort"].as_u64())
            .map(|port| (started, format!("INFO  listening on port {port}"))),
    );
    let variables = container["env"].as_array().into_iter().flatten();
    let pool = variables.into_iter().find(|variable| variable["name"] == "DB_POOL_MAX").and_then(|variable| variable["value"].as_str());
    if let Some(size) = pool {
        lines.push((started, format!("INFO  database pool: at most {size} connections, opened when they are first needed")));
    }
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or(&Value::Null);
    let leaving = seconds(pod, "/metadata/deletionTimestamp");
    match text(ready, "/status") {
        "True" => lines.push((seconds(ready, "/lastTransitionTime"), "INFO  ready".to_owned())),
        _ if leaving == 0 => lines.push((started, "WARN  /health/ready: 503, not ready yet".to_owned())),
        _ => {}
    }
    if life.is_some_and(|life| life.warm)
        && let Some(size) = pool
    {
        lines.push((
            seconds(ready, "/lastTransitionTime").max(started),
            format!("INFO  database pool: {size} of {size} connections are open"),
        ));
    }
    if let Some(end) = end {
        let (at, code) = (seconds(end, "/finishedAt"), end["exitCode"].as_i64().unwrap_or(0));
        lines.retain(|(_, line)| !line.starts_with("WARN  /health/ready"));
        lines.push((at, if code == 0 { "INFO  done".to_owned() } else { format!("ERROR cannot go on: exit code {code}") }));
    }
    if leaving != 0 {
        lines.push((leaving, "INFO  SIGTERM: no new requests are taken, open ones are finished".to_owned()));
    }
    Ok(lines)
}

/// 0 where there is no time.
fn seconds(value: &Value, pointer: &str) -> i64 {
    text(value, pointer).parse::<Timestamp>().map(Timestamp::as_second).unwrap_or(0)
}

/// The lines that the request asks for, as text.
fn shown(lines: &[Line], call: &Call, now: u64) -> Result<String, ApiError> {
    let number = |name: &str| match call.query(name) {
        "" => Ok(None),
        text => match text.parse::<usize>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(ApiError::bad_request(format!("{name}: `{text}` is not a number from 0"))),
        },
    };
    let now = i64::try_from(now / 1000).unwrap_or(i64::MAX);
    let since = match (number("sinceSeconds")?, call.query("sinceTime")) {
        (Some(seconds), _) => now.saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX)),
        (None, "") => i64::MIN,
        (None, time) => {
            time.parse::<Timestamp>().map_err(|_| ApiError::bad_request(format!("sinceTime: `{time}` is not a time")))?.as_second()
        }
    };
    let chosen: Vec<&Line> = lines.iter().filter(|(at, _)| *at >= since).collect();
    let skipped = number("tailLines")?.map_or(0, |tail| chosen.len().saturating_sub(tail));
    let mut out = String::new();
    for (at, line) in chosen.into_iter().skip(skipped) {
        if call.flag("timestamps") {
            let at = Timestamp::from_second(*at).unwrap_or(Timestamp::UNIX_EPOCH);
            out.push_str(&format!("{} ", at.strftime("%Y-%m-%dT%H:%M:%S.000000000Z")));
        }
        out.push_str(line);
        out.push('\n');
    }
    if let Some(limit) = number("limitBytes")? {
        // All lines are ASCII but for what an object's texts bring in.
        let mut end = limit.min(out.len());
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
    }
    Ok(out)
}
