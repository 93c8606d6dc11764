//! A way by the cluster: a port-forward to a pod, by way of its Service or by its name.
//!
//! Must not change anything. Invariant: a pod that is not ready is not chosen for a Service, and the Service's port becomes the pod's own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use serde_json::Value;

use super::channels::{self, Over};
use super::error::ViaError;
use super::passage::Tunnel;
use crate::environment::kubernetes::{KubeCall, KubeError, not_answered};
use crate::model::environment::{ForwardEnd, PortName};

/// How long a question may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where a port-forward leads.
#[derive(Clone)]
pub(in crate::environment) struct Forward {
    pub(super) client: kube::Client,
    pub(super) namespace: String,
    pub(super) end: ForwardEnd,
    /// The port of the Service or pod.
    pub(super) port: PortName,
}

/// Takes turns among the pods of a Service.
static TURN: AtomicUsize = AtomicUsize::new(0);

pub(super) async fn open(forward: &Forward) -> Result<Tunnel, ViaError> {
    let mut candidates = candidates(forward).await?.into_iter();
    let mut missing = None;
    // A pod may go away between the question and the connection; two in a row, and it is told.
    for (pod, port) in candidates.by_ref().take(2) {
        match connect(forward, &pod, port).await {
            Err(error @ ViaError::Missing { .. }) => missing = Some(error),
            other => return other,
        }
    }
    Err(missing.unwrap_or_else(|| ViaError::NoReadyPod { service: forward.end.to_string(), namespace: forward.namespace.clone() }))
}

async fn connect(forward: &Forward, pod: &str, port: u16) -> Result<Tunnel, ViaError> {
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/portforward?ports={port}", forward.namespace);
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(|error| ViaError::Refused { status: 400, said: after_colon(&error.to_string()) })?;
    let connection = forward.client.connect(request).await.map_err(|error| refused(&error, forward, pod))?;
    let channels::Port { stream, over, held } = channels::forward(connection.into_stream(), port);
    let pod = pod.to_owned();
    let trouble = over.map(move |over| match over {
        Ok(Over::Said(said)) => Some(told(&said, pod, port)),
        Ok(Over::Lost(why)) => Some(ViaError::Broken { why: format!("the port-forward to pod {pod} ended: {why}") }),
        Ok(Over::Closed) | Err(_) => None,
    });
    Ok(Tunnel { stream: Box::new(stream), trouble: trouble.boxed(), held: Box::new(held) })
}

/// What the node's words mean.
fn told(said: &str, pod: String, port: u16) -> ViaError {
    let why: String = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
    // The node says the same of a port that nobody listens on as of a connection that was reset later, but for these words.
    let never = ["connection refused", "failed to connect", "failed to dial", "dial tcp", "no such host", "not listening"];
    if never.iter().any(|sign| why.contains(sign)) { ViaError::PodRefuses { pod, port, why } } else { ViaError::Broken { why } }
}

fn refused(error: &kube::Error, forward: &Forward, pod: &str) -> ViaError {
    match error {
        kube::Error::Api(status) => {
            let said = after_colon(&status.message);
            match status.code {
                403 => ViaError::Forbidden { verb: "create", resource: "pods/portforward", namespace: forward.namespace.clone(), said },
                404 => ViaError::Missing { what: format!("pod {pod}"), namespace: forward.namespace.clone() },
                code => ViaError::Refused { status: code, said },
            }
        }
        kube::Error::UpgradeConnection(error) => ViaError::Refused { status: 101, said: after_colon(&error.to_string()) },
        error => ViaError::Cluster(not_answered(error)),
    }
}

fn after_colon(said: &str) -> String {
    let line: String = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(300).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

/// The pods that could be forwarded to, with the port of each.
async fn candidates(forward: &Forward) -> Result<Vec<(String, u16)>, ViaError> {
    match &forward.end {
        ForwardEnd::Pod(name) => {
            let path = format!("/api/v1/namespaces/{}/pods/{name}", forward.namespace);
            if let PortName::Number(port) = forward.port {
                // Whether it is there and runs is told by the forward itself.
                return Ok(vec![(name.clone(), port)]);
            }
            let pod = get(forward, &path, "pods", &format!("pod {name}")).await?;
            Ok(vec![(name.clone(), port_of_pod(&pod, name, &forward.port)?)])
        }
        ForwardEnd::Service(name) => {
            let what = format!("service {name}");
            let service = get(forward, &format!("/api/v1/namespaces/{}/services/{name}", forward.namespace), "services", &what).await?;
            let port = port_of_service(&service, &what, &forward.port)?;
            let path = format!(
                "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices?labelSelector=kubernetes.io/service-name%3D{name}",
                forward.namespace
            );
            let slices = get(forward, &path, "endpointslices", &format!("endpointslices of {what}")).await?;
            let mut pods = ready_pods(&slices, &port);
            if pods.is_empty() {
                return Err(ViaError::NoReadyPod { service: name.clone(), namespace: forward.namespace.clone() });
            }
            let turn = TURN.fetch_add(1, Ordering::Relaxed) % pods.len();
            pods.rotate_left(turn);
            Ok(pods)
        }
    }
}

async fn get(forward: &Forward, path: &str, resource: &'static str, what: &str) -> Result<Value, ViaError> {
    let reply = KubeCall::get(path, TIMEOUT).send(&forward.client).await.map_err(ViaError::Cluster)?;
    let said = || after_colon(reply.body.get("message").and_then(Value::as_str).unwrap_or_default());
    match reply.status {
        200 if reply.body.is_object() => Ok(reply.body),
        200 => Err(ViaError::Cluster(KubeError::Cut { why: "what it answered is not JSON".to_owned() })),
        403 => {
            let verb = if resource == "endpointslices" { "list" } else { "get" };
            Err(ViaError::Forbidden { verb, resource, namespace: forward.namespace.clone(), said: said() })
        }
        404 => Err(ViaError::Missing { what: what.to_owned(), namespace: forward.namespace.clone() }),
        status => Err(ViaError::Refused { status, said: said() }),
    }
}

/// The name of a Service's port, by which its endpoints know it.
fn port_of_service(service: &Value, what: &str, asked: &PortName) -> Result<String, ViaError> {
    let ports: Vec<&Value> = service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten().collect();
    let name = |port: &Value| port["name"].as_str().unwrap_or_default().to_owned();
    let found = ports.iter().find(|port| match asked {
        PortName::Number(number) => port["port"].as_u64() == Some(u64::from(*number)),
        PortName::Name(wanted) => port["name"] == wanted.as_str(),
    });
    found.map(|port| name(port)).ok_or_else(|| {
        let known = ports.iter().map(|port| match name(port) {
            name if name.is_empty() => port["port"].to_string(),
            name => format!("{} ({name})", port["port"]),
        });
        ViaError::NoPort { what: what.to_owned(), port: asked.to_string(), known: listed(known) }
    })
}

fn port_of_pod(pod: &Value, name: &str, asked: &PortName) -> Result<u16, ViaError> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let ports: Vec<&Value> = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten()).collect();
    let wanted = asked.to_string();
    let found = ports.iter().find(|port| port["name"] == wanted.as_str()).and_then(|port| port["containerPort"].as_u64());
    found.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| ViaError::NoPort {
        what: format!("pod {name}"),
        port: wanted.clone(),
        known: listed(ports.iter().filter_map(|port| port["name"].as_str()).map(str::to_owned)),
    })
}

fn listed(known: impl Iterator<Item = String>) -> String {
    let known: Vec<String> = known.collect();
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

/// The ready pods of a Service's slices, each with its own number of the port.
fn ready_pods(slices: &Value, port: &str) -> Vec<(String, u16)> {
    let mut found = Vec::new();
    for slice in slices["items"].as_array().into_iter().flatten() {
        let ports = slice["ports"].as_array().into_iter().flatten();
        let number =
            ports.into_iter().find(|known| known["name"].as_str().unwrap_or_default() == port).and_then(|known| known["port"].as_u64());
        let Some(number) = number.and_then(|number| u16::try_from(number).ok()) else { continue };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            // Where it is left out, it is to be taken for ready.
            let ready = endpoint.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true);
            let pod = endpoint.pointer("/targetRef/name").and_then(Value::as_str).filter(|_| endpoint["targetRef"]["kind"] == "Pod");
            if let Some(pod) = pod.filter(|_| ready) {
                found.push((pod.to_owned(), number));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_services_port_becomes_the_pods_own() {
        let service = json!({ "spec": { "ports": [{ "name": "http", "port": 80 }, { "name": "metrics", "port": 9090 }] } });
        assert_eq!(port_of_service(&service, "service x", &PortName::Number(80)), Ok("http".to_owned()));
        assert_eq!(port_of_service(&service, "service x", &PortName::Name("metrics".to_owned())), Ok("metrics".to_owned()));
        let error = port_of_service(&service, "service x", &PortName::Number(81)).unwrap_err().to_string();
        assert_eq!(error, "service x has no port 81; it has 80 (http), 9090 (metrics)");
        let pod = |name: &str, ready: Value| json!({ "conditions": { "ready": ready }, "targetRef": { "kind": "Pod", "name": name } });
        // A rollout that changes the number of a named port has a slice for each.
        let slices = json!({ "items": [
            { "ports": [{ "name": "http", "port": 8080 }], "endpoints": [pod("b", json!(true)), pod("c", json!(false)), { "addresses": ["10.0.0.1"] }] },
            { "ports": [{ "name": "http", "port": 8081 }], "endpoints": [pod("a", Value::Null)] },
            { "ports": [{ "name": "other", "port": 1 }], "endpoints": [pod("d", json!(true))] },
        ] });
        assert_eq!(ready_pods(&slices, "http"), [("a".to_owned(), 8081), ("b".to_owned(), 8080)]);
        // The only port of a Service may have no name.
        let bare = json!({ "items": [{ "ports": [{ "port": 5432 }], "endpoints": [pod("x", json!(true))] }] });
        assert_eq!(ready_pods(&bare, ""), [("x".to_owned(), 5432)]);
    }

    #[test]
    fn a_named_port_of_a_pod_is_looked_up() {
        let pod = json!({ "spec": { "containers": [{ "ports": [{ "name": "amqp", "containerPort": 5672 }] }, {}] } });
        assert_eq!(port_of_pod(&pod, "rabbitmq-0", &PortName::Name("amqp".to_owned())), Ok(5672));
        let error = port_of_pod(&pod, "rabbitmq-0", &PortName::Name("http".to_owned())).unwrap_err().to_string();
        assert_eq!(error, "pod rabbitmq-0 has no port http; it has amqp");
    }
}
