//! The group metrics.k8s.io, as the aggregation layer of a cluster with a metrics server serves it: what Pods and nodes use.
//!
//! It must not write. Invariant: it tells of each Pod what the autoscaler's loop counts with, and nothing of a Pod whose containers do not run.

use axum::response::Response;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::accounts::User;
use super::api::json;
use super::controller::cpu_of;
use super::list;
use super::pod::{self, Stage};
use super::quantity;
use super::resource::Resource;
use super::status_error::ApiError;
use super::store::{Entry, text};
use crate::sandbox::call::Call;
use crate::sandbox::platform::Platform;
use crate::sandbox::world::World;

/// The group, and its only version.
pub(crate) const GROUP: (&str, &str) = ("metrics.k8s.io", "v1beta1");
const PREFIX: &str = "/apis/metrics.k8s.io/v1beta1/";
/// How often samples are taken, in seconds.
const WINDOW: i64 = 15;

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    resource: Resource,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix(PREFIX)?.split('/').collect();
        let (resource, namespace, name) = match parts.as_slice() {
            ["nodes"] => (Resource::Nodes, None, None),
            ["nodes", name] => (Resource::Nodes, None, Some(*name)),
            ["pods"] => (Resource::Pods, None, None),
            ["namespaces", namespace, "pods"] => (Resource::Pods, Some(*namespace), None),
            ["namespaces", namespace, "pods", name] => (Resource::Pods, Some(*namespace), Some(*name)),
            _ => return None,
        };
        Some(Self { resource, namespace, name })
    }
}

/// The resources of the group, as discovery lists them.
pub(crate) fn resources() -> Value {
    let one = |name: &str, kind: &str, namespaced: bool| json!({ "name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"] });
    json!([one("nodes", "NodeMetrics", false), one("pods", "PodMetrics", true)])
}

/// Answers a request of the group; none for any other path.
///
/// # Errors
/// 403 for who may not, 404 for what has no sample, 405 for a write.
pub(crate) fn answer(platform: &Platform, user: User, call: &Call) -> Option<Result<Response, ApiError>> {
    Asked::parse(&call.path).map(|asked| found(platform, user, call, &asked))
}

fn found(platform: &Platform, user: User, call: &Call, asked: &Asked<'_>) -> Result<Response, ApiError> {
    if call.method != Method::GET {
        return Err(ApiError::method_not_allowed());
    }
    let verb = if asked.name.is_some() { "get" } else { "list" };
    user.check_in_group(GROUP.0, asked.resource.plural(), verb, asked.namespace, asked.name)?;
    let (world, now) = (platform.read(), platform.moment().now);
    let selector = list::selector(asked.resource, call)?;
    let taken = i64::try_from(now / 1000).unwrap_or(0);
    let at = Timestamp::from_second(taken - taken % WINDOW).unwrap_or(Timestamp::UNIX_EPOCH).to_string();
    let entries = world.store.list(asked.resource, asked.namespace).filter(|entry| selector.matches(&entry.object));
    let samples = entries.filter(|entry| asked.name.is_none_or(|name| text(&entry.object, "/metadata/name") == name));
    let samples: Vec<Value> = samples.filter_map(|entry| sample(&world, asked.resource, entry, &at)).collect();
    let kind = if asked.resource == Resource::Nodes { "NodeMetrics" } else { "PodMetrics" };
    let version = format!("{}/{}", GROUP.0, GROUP.1);
    match asked.name {
        None => Ok(json(200, &json!({ "kind": format!("{kind}List"), "apiVersion": version, "metadata": {}, "items": samples }))),
        Some(name) => {
            let mut sample = samples.into_iter().next().ok_or_else(|| ApiError::no_metrics(asked.resource, name))?;
            sample["kind"] = json!(kind);
            sample["apiVersion"] = json!(version);
            Ok(json(200, &sample))
        }
    }
}

fn sample(world: &World, resource: Resource, entry: &Entry, at: &str) -> Option<Value> {
    let object = &entry.object;
    let mut metadata = json!({ "name": object["metadata"]["name"], "creationTimestamp": at });
    if !object["metadata"]["labels"].is_null() {
        metadata["labels"] = object["metadata"]["labels"].clone();
    }
    let usage = |cpu: i128, memory: i128| json!({ "cpu": quantity::show("cpu", cpu), "memory": quantity::show("memory", memory) });
    if resource == Resource::Nodes {
        let name = text(object, "/metadata/name");
        let here = world.store.list(Resource::Pods, None).filter(|pod| text(&pod.object, "/spec/nodeName") == name);
        // What a node's own processes use comes on top.
        let (cpu, memory) = here
            .filter_map(|pod| used(world, &pod.object))
            .fold((100, 1000 << 30), |sum: (i128, i128), one| (sum.0 + one.0, sum.1 + one.1));
        return Some(json!({ "metadata": metadata, "timestamp": at, "window": "15s", "usage": usage(cpu, memory) }));
    }
    metadata["namespace"] = object["metadata"]["namespace"].clone();
    let (cpu, memory) = used(world, object)?;
    let containers = object.pointer("/spec/containers").and_then(Value::as_array)?;
    let count = i128::try_from(containers.len()).unwrap_or(1).max(1);
    let shares = containers.iter().enumerate().map(|(at, container)| {
        let rest = if at == 0 { (cpu % count, memory % count) } else { (0, 0) };
        json!({ "name": container["name"], "usage": usage(cpu / count + rest.0, memory / count + rest.1) })
    });
    Some(json!({ "metadata": metadata, "timestamp": at, "window": "15s", "containers": shares.collect::<Vec<_>>() }))
}

/// What a Pod uses: thousandths of a CPU, and of a byte; none where its containers do not run.
fn used(world: &World, pod: &Value) -> Option<(i128, i128)> {
    matches!(pod::stage(pod), Stage::Running | Stage::Ready).then(|| (cpu_of(&world.store, world.load, pod), world.load.memory()))
}
