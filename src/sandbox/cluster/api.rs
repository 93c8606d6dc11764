//! The Kubernetes API over the cluster: who may ask, which verb a request is, and the answer.
//!
//! It must not know of faults or connections. Invariant: without the token of an account nothing is told but its health; each refusal
//! is a `Status` object.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Method, StatusCode, header};
use serde_json::Value;

use super::accounts::{self, User};
use super::admit::scale;
use super::discovery::Hidden;
use super::resource::{Resource, ResourcePath};
use super::status_error::ApiError;
use super::table::{self, Shown};
use super::write::Answer;
use super::{delete, discovery, list, metrics, openapi, pod_log, pod_proxy, watch, write};
use crate::sandbox::call::Call;
use crate::sandbox::platform::{Platform, Refusal};

/// Answers one request to the API server.
pub(crate) async fn answer(platform: &Arc<Platform>, call: Arc<Call>) -> Response {
    match handle(platform, call).await {
        Ok(response) => response,
        Err(error) => refuse(&error),
    }
}

/// The response for an error, with `Retry-After` where it names a time.
pub(crate) fn refuse(error: &ApiError) -> Response {
    let mut response = json(error.code, &error.to_status());
    if let Some(seconds) = error.details["retryAfterSeconds"].as_u64() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A JSON response.
pub(crate) fn json(code: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

async fn handle(platform: &Arc<Platform>, call: Arc<Call>) -> Result<Response, ApiError> {
    if matches!(call.path.as_str(), "/healthz" | "/livez" | "/readyz") {
        return Ok(Response::new(Body::from("ok")));
    }
    let user = User::of(&call, platform.identity())?;
    // Argo CD brings the definitions of its objects.
    let hidden: Hidden = if platform.read().memory.argocd.is_installed() { |_| false } else { Resource::is_argo_cds };
    if let Some(found) = described(&call, hidden) {
        return if call.method == Method::GET { found } else { Err(ApiError::method_not_allowed()) };
    }
    if call.method == Method::POST
        && let Some(answer) = accounts::review(user, &call.path, &call)
    {
        return Ok(json(201, &answer?));
    }
    if let Some(asked) = pod_proxy::Asked::parse(&call.path) {
        user.check(&asked.resource(), &call)?;
        return pod_proxy::answer(platform, &asked, &call).await;
    }
    if let Some(found) = metrics::answer(platform, user, &call) {
        return found;
    }
    if let Some((namespace, pod)) = pod_log::parse(&call.path) {
        user.check(&pod_log::resource(namespace, pod), &call)?;
        return pod_log::answer(platform, namespace, pod, &call);
    }
    let Some(path) = ResourcePath::parse(&call.path).filter(|path| !hidden(path.resource)) else {
        return if discovery::serves(&call.path, hidden) { Err(ApiError::no_such_path()) } else { Ok(no_page()) };
    };
    if path.subresource.as_deref().is_some_and(|name| !path.resource.has_subresource(name)) {
        return Err(ApiError::no_such_path());
    }
    user.check(&path, &call)?;
    if call.method == Method::GET {
        let mut response = read(platform, &path, &call)?;
        if path.resource == Resource::Endpoints {
            let warning = "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"";
            response.headers_mut().append(header::WARNING, header::HeaderValue::from_static(warning));
        }
        return Ok(response);
    }
    let mut dry = match call.query("dryRun") {
        "" => false,
        "All" => true,
        other => return Err(ApiError::bad_request(format!("dryRun: Unsupported value: \"{other}\": supported values: \"All\""))),
    };
    if call.method == Method::DELETE {
        dry |= delete::dry(&delete::options(&call)?);
    }
    let moment = platform.moment();
    if dry {
        return Ok(answered(&write::write(&mut platform.read().as_ref().clone(), &path, &call, moment)?));
    }
    let changing = Arc::clone(platform);
    // A task of its own: a client that goes away meanwhile must not keep what it has changed from being taken up.
    let changed = tokio::spawn(async move {
        let changed = changing.change(move |world| write::write(world, &path, &call, moment)).await;
        changing.wake();
        changed
    });
    let changed = changed.await.map_err(|error| ApiError::internal(&error.to_string()))?;
    let answer = changed.map_err(|refusal| match refusal {
        Refusal::Refused(error) => error,
        Refusal::Storage(error) => ApiError::internal(&error.to_string()),
    })?;
    Ok(answered(&answer))
}

/// The answer for a path of which the server knows nothing, not even its group.
fn no_page() -> Response {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn answered(answer: &Answer) -> Response {
    let mut response = json(answer.code, &answer.body);
    for warning in &answer.warnings {
        // A quoted text may hold neither quotes nor controls as they are.
        let quoted: String = warning.chars().filter(|c| !c.is_control()).collect::<String>().replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = header::HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

/// The answer for the paths by which a client learns what the cluster serves; none for any other.
fn described(call: &Call, hidden: Hidden) -> Option<Result<Response, ApiError>> {
    if let Some(found) = discovery::answer(&call.path, &call.host, hidden) {
        return Some(Ok(json(200, &found)));
    }
    if let Some(found) = openapi::v3(&call.path) {
        let readable = call.accept.is_empty() || call.accept.contains("application/json") || call.accept.contains("*/*");
        return Some(if readable { Ok(json(200, &found)) } else { Err(ApiError::not_acceptable("application/json")) });
    }
    (call.path == "/openapi/v2").then(|| {
        if !call.accept.contains(openapi::PROTOBUF) {
            return Ok(json(200, &openapi::v2()));
        }
        let mut response = Response::new(Body::from(openapi::v2_protobuf()));
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(openapi::PROTOBUF));
        Ok(response)
    })
}

fn read(platform: &Arc<Platform>, path: &ResourcePath, call: &Call) -> Result<Response, ApiError> {
    if path.name.is_none() && !matches!(call.query("watch"), "" | "false" | "0") {
        let mut response = Response::new(watch::body(platform, path, call)?);
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        return Ok(response);
    }
    let (world, shown) = (platform.read(), table::asked(&call.accept, call.query("includeObject")));
    let now = platform.moment().now;
    let Some(name) = path.name.as_deref() else {
        let found = list::list(&world.store, path, call)?;
        return Ok(json(
            200,
            &match shown {
                Shown::Objects => found.document(path.resource),
                shown => table::table(path.resource, shown, found.metadata.clone(), &found.objects(), now),
            },
        ));
    };
    let namespace = path.namespace.as_deref().unwrap_or_default();
    let entry = world.store.get(path.resource, namespace, name).ok_or_else(|| ApiError::not_found(path.resource, name))?;
    let version = serde_json::json!({ "resourceVersion": entry.object["metadata"]["resourceVersion"] });
    Ok(json(
        200,
        &match (path.subresource.as_deref(), shown) {
            (Some("scale"), _) => scale::scale_of(&entry.object),
            (_, Shown::Objects) => Value::clone(&entry.object),
            (_, shown) => table::table(path.resource, shown, version, &[&entry.object], now),
        },
    ))
}
