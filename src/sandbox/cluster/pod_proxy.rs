//! The API server's proxy to a Pod: `/api/v1/namespaces/NS/pods/[SCHEME:]NAME[:PORT]/proxy/PATH`.
//!
//! It must not know what a Pod answers. Invariant: the credentials, which are for the API server, reach no Pod; a Pod whose container does not
//! run, or does not listen on the port, refuses the connection with the text of kube-apiserver.

use std::sync::Arc;

use axum::response::Response;
use serde_json::Value;

use super::resource::{Resource, ResourcePath};
use super::status_error::ApiError;
use super::store::text;
use crate::sandbox::call::Call;
use crate::sandbox::platform::Platform;
use crate::sandbox::ticket_service;

/// The label of the Pods that the ticket service runs in.
const SERVICE: &str = "ticket-service";

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    namespace: &'a str,
    /// `name`, `name:port` or `scheme:name:port`
    id: &'a str,
    /// With its slash.
    path: String,
}

impl<'a> Asked<'a> {
    /// What `path` asks for; none where it is no path of the proxy.
    pub(crate) fn parse(path: &'a str) -> Option<Self> {
        let (namespace, rest) = path.strip_prefix("/api/v1/namespaces/")?.split_once("/pods/")?;
        let (id, rest) = rest.split_once('/')?;
        let path = rest.strip_prefix("proxy").filter(|path| path.is_empty() || path.starts_with('/'))?;
        let plain = !namespace.is_empty() && !namespace.contains('/') && !id.is_empty();
        plain.then(|| Self { namespace, id, path: if path.is_empty() { "/".to_owned() } else { path.to_owned() } })
    }

    /// What access rules call it.
    pub(crate) fn resource(&self) -> ResourcePath {
        ResourcePath {
            resource: Resource::Pods,
            namespace: Some(self.namespace.to_owned()),
            name: Some(self.id.to_owned()),
            subresource: Some("proxy".to_owned()),
        }
    }

    /// Scheme, name and port.
    fn parts(&self) -> Result<(&'a str, &'a str, &'a str), ApiError> {
        let parts: Vec<&str> = self.id.split(':').collect();
        match parts.as_slice() {
            [name] => Ok(("", *name, "")),
            [name, port] => Ok(("", *name, *port)),
            [scheme @ ("" | "http" | "https"), name, port] => Ok((*scheme, *name, *port)),
            _ => Err(ApiError::bad_request(format!("invalid pod request \"{}\"", self.id))),
        }
    }
}

/// Passes a request on to a Pod.
///
/// # Errors
/// 404 for a Pod that is not there, 400 for one without an address, 503 for one that cannot be reached.
pub(crate) async fn answer(platform: &Arc<Platform>, asked: &Asked<'_>, call: &Call) -> Result<Response, ApiError> {
    let (scheme, name, port) = asked.parts()?;
    let world = platform.read();
    let pod = world.store.get(Resource::Pods, asked.namespace, name).ok_or_else(|| ApiError::not_found(Resource::Pods, name))?;
    let pod = Arc::clone(&pod.object);
    drop(world);
    let ports = ports(&pod);
    let port = if port.is_empty() { ports.first().map(u64::to_string).unwrap_or_default() } else { port.to_owned() };
    let running = text(&pod, "/status/phase") == "Running" && runs(&pod);
    let address = match text(&pod, "/status/podIP") {
        "" if !running => return Err(ApiError::bad_request("address not allowed")),
        "" => "10.244.0.2",
        address => address,
    };
    let unreachable = |why: &str| ApiError::unavailable(format!("error trying to reach service: {why}"));
    if port.parse::<u16>().is_err() {
        return Err(unreachable(&format!("dial tcp: lookup tcp/{port}: unknown port")));
    }
    if !port.parse().is_ok_and(|port| serves(&pod, port)) {
        return Err(unreachable(&format!("dial tcp {address}:{port}: connect: connection refused")));
    }
    if scheme == "https" {
        return Err(unreachable("http: server gave HTTP response to HTTPS client"));
    }
    Ok(ticket_service::answer_pod(platform, Arc::new(call.passed_on(&asked.path)), asked.namespace, name).await)
}

/// Whether something in a Pod listens on a port: only in those of the ticket service.
pub(crate) fn serves(pod: &Value, port: u16) -> bool {
    let running = text(pod, "/status/phase") == "Running" && runs(pod);
    running && ports(pod).contains(&u64::from(port)) && text(pod, "/metadata/labels/app") == SERVICE
}

/// The ports that its containers listen on.
fn ports(pod: &Value) -> Vec<u64> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    containers
        .flat_map(|container| container["ports"].as_array().into_iter().flatten())
        .filter_map(|port| port["containerPort"].as_u64())
        .collect()
}

/// Whether a container of it runs.
fn runs(pod: &Value) -> bool {
    let containers = pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
    containers.into_iter().any(|container| container["state"]["running"].is_object())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_pod_port_and_path() {
        let asked = Asked::parse("/api/v1/namespaces/production/pods/x:8080/proxy/health/ready").unwrap();
        assert_eq!((asked.namespace, asked.id, asked.path.as_str()), ("production", "x:8080", "/health/ready"));
        assert_eq!(asked.parts().unwrap(), ("", "x", "8080"));
        for (id, parts) in [("x", ("", "x", "")), ("https:x:443", ("https", "x", "443")), ("http:x:", ("http", "x", ""))] {
            assert_eq!(Asked { namespace: "n", id, path: "/".to_owned() }.parts().unwrap(), parts);
        }
        assert_eq!(Asked::parse("/api/v1/namespaces/n/pods/x/proxy").unwrap().path, "/");
        assert!(Asked { namespace: "n", id: "ftp:x:21", path: "/".to_owned() }.parts().is_err());
        for other in [
            "/api/v1/namespaces/n/pods/x",
            "/api/v1/namespaces/n/pods/x/log",
            "/api/v1/namespaces/n/pods/x/proxyx",
            "/api/v1/pods/x/proxy/",
        ] {
            assert_eq!(Asked::parse(other), None, "{other}");
        }
    }
}
