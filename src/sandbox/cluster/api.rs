//! The Kubernetes API over the cluster: who may ask, which verb a request is, and the answer.
//!
//! It must not know of faults or connections. Invariant: without the token of the cluster nothing is told but its health; each refusal
//! is a `Status` object.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Method, StatusCode, header};
use serde_json::Value;

use super::resource::{Resource, ResourcePath};
use super::status_error::ApiError;
use super::{deployment, discovery, list, pod_log, pod_proxy, watch, write};
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
    if !call.bears(&platform.identity().admin_token) {
        return Err(ApiError::unauthorized());
    }
    if let Some(found) = discovery::answer(&call.path, &call.host) {
        return if call.method == Method::GET { Ok(json(200, &found)) } else { Err(ApiError::method_not_allowed()) };
    }
    if let Some(asked) = pod_proxy::Asked::parse(&call.path) {
        return pod_proxy::answer(platform, &asked, &call).await;
    }
    if let Some((namespace, pod)) = pod_log::parse(&call.path) {
        return pod_log::answer(platform, namespace, pod, &call);
    }
    let path = ResourcePath::parse(&call.path).ok_or_else(ApiError::no_such_path)?;
    if path.subresource.as_deref().is_some_and(|name| path.resource != Resource::Deployments || name != "scale") {
        return Err(ApiError::no_such_path());
    }
    if call.method == Method::GET {
        return read(platform, &path, &call);
    }
    let dry = match call.query("dryRun") {
        "" => false,
        "All" => true,
        other => return Err(ApiError::bad_request(format!("dryRun: Unsupported value: \"{other}\": supported values: \"All\""))),
    };
    let moment = platform.moment();
    if dry {
        let (code, body) = write::write(&mut platform.read().as_ref().clone(), &path, &call, moment)?;
        return Ok(json(code, &body));
    }
    let changed = platform.change(move |world| write::write(world, &path, &call, moment)).await;
    let (code, body) = changed.map_err(|refusal| match refusal {
        Refusal::Refused(error) => error,
        Refusal::Storage(error) => ApiError::internal(&error.to_string()),
    })?;
    platform.wake();
    Ok(json(code, &body))
}

fn read(platform: &Arc<Platform>, path: &ResourcePath, call: &Call) -> Result<Response, ApiError> {
    if path.name.is_none() && (call.flag("watch") || !call.query("watch").is_empty() && call.query("watch") != "false") {
        let mut response = Response::new(watch::body(platform, path, call)?);
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        return Ok(response);
    }
    let world = platform.read();
    let Some(name) = path.name.as_deref() else {
        return Ok(json(200, &list::list(&world.store, path, call)?));
    };
    let namespace = path.namespace.as_deref().unwrap_or_default();
    let entry = world.store.get(path.resource, namespace, name).ok_or_else(|| ApiError::not_found(path.resource, name))?;
    Ok(match path.subresource {
        Some(_) => json(200, &deployment::scale_of(&entry.object)),
        None => json(200, &entry.object),
    })
}
