//! RabbitMQ's management API: nodes, queues and the health check, as far as the playbooks ask.
//!
//! It must not hold messages. Invariant: the depth of `ticket-purchases` follows from the load and the Pods that consume it; counts are as old as the
//! statistics that a real one emits every 5 s.

mod cluster;
mod queues;

use std::sync::Arc;

use axum::response::Response;
use http::Method;
use serde_json::{Value, json};

use self::cluster::Node;
use super::call::Call;
use super::cluster::api::json as respond;
use super::platform::Platform;

/// The host by which it is reached.
pub(crate) const HOST: &str = "rabbitmq.production";
/// Its port, as clients name it.
pub(crate) const PORT: u16 = 15_672;
/// The version that it behaves as.
const VERSION: &str = "3.10.8";
/// How often nodes emit statistics, in milliseconds of the platform's own time.
const INTERVAL: f64 = 5_000.0;

type Failure = (u16, Value);

/// Answers one request to the API.
pub(crate) fn answer(platform: &Arc<Platform>, call: &Call) -> Response {
    let (status, body) = match handle(platform, call) {
        Ok(body) => (200, body),
        Err(failure) => failure,
    };
    let mut response = respond(status, &body);
    if status == 401 {
        let realm = http::HeaderValue::from_static("Basic realm=\"RabbitMQ Management\"");
        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, realm);
    }
    response
}

fn failure(status: u16, error: &str, reason: &str) -> Failure {
    (status, json!({ "error": error, "reason": reason }))
}

fn handle(platform: &Platform, call: &Call) -> Result<Value, Failure> {
    if !call.bears(&platform.identity().postgres_password) {
        return Err(failure(401, "not_authorized", "Login failed"));
    }
    if call.method != Method::GET {
        return Err(failure(405, "method_not_allowed", "this sandbox only tells how it stands"));
    }
    let world = platform.read();
    let nodes = cluster::nodes(&world.store);
    let path = call.path.trim_end_matches('/');
    let asked = match path {
        "/api/overview" => overview(&nodes),
        "/api/nodes" => Value::Array(nodes.iter().map(node).collect()),
        "/api/health/checks/node-is-quorum-critical" => return check(&nodes),
        "/api/queues" | "/api/queues/%2F" => {
            let moment = platform.moment();
            // The last statistics, not the moment.
            let every = (INTERVAL / moment.speed).max(1.0) as u64;
            return queues::page(call, &queues::all(&world, &nodes, moment.now - moment.now % every, moment.speed));
        }
        _ => return Err(failure(404, "Object Not Found", "Not Found")),
    };
    Ok(only(&asked, call.query("columns")))
}

/// The wanted columns of an object, or of each of a list.
fn only(value: &Value, columns: &str) -> Value {
    match value {
        _ if columns.is_empty() => value.clone(),
        Value::Array(items) => items.iter().map(|item| only(item, columns)).collect(),
        object => {
            let mut shown = json!({});
            for column in columns.split(',') {
                let path: Vec<&str> = column.split('.').collect();
                let pointer = format!("/{}", path.join("/"));
                if let Some(found) = object.pointer(&pointer) {
                    let mut place = &mut shown;
                    for part in &path {
                        place = &mut place[*part];
                    }
                    *place = found.clone();
                }
            }
            shown
        }
    }
}

fn overview(nodes: &[Node]) -> Value {
    let answers = nodes.iter().find(|node| node.running).map(|node| node.name.as_str());
    json!({
        "management_version": VERSION, "rabbitmq_version": VERSION, "product_name": "RabbitMQ", "product_version": VERSION,
        "rates_mode": "basic", "cluster_name": "rabbitmq", "node": answers, "disable_stats": false, "enable_queue_totals": false,
    })
}

fn node(node: &Node) -> Value {
    if !node.running {
        return json!({ "name": node.name, "type": "disc", "running": false, "partitions": [] });
    }
    json!({
        "name": node.name, "type": "disc", "running": true, "partitions": [], "uptime": 86_400_000,
        "mem_used": 150_994_944, "mem_limit": 858_993_459, "mem_alarm": false,
        "disk_free": 42_949_672_960_u64, "disk_free_limit": 2_147_483_648_u64, "disk_free_alarm": false,
    })
}

/// The check of the node that answers, which is the first that runs.
fn check(nodes: &[Node]) -> Result<Value, Failure> {
    let running: Vec<&Node> = nodes.iter().filter(|node| node.running).collect();
    if nodes.len() <= 1 {
        return Ok(json!({ "status": "ok", "reason": "single node cluster" }));
    }
    let (members, online) = cluster::members(nodes);
    let answers = running.first().is_some_and(|node| online.contains(&node.name));
    if answers && online.len() <= members.len() / 2 + 1 {
        let reason = "There are quorum queues that would lose their quorum if the target node is shut down";
        let queue = json!({ "name": super::traffic::PURCHASES, "readable_name": "queue 'ticket-purchases' in vhost '/'", "type": "rabbit_quorum_queue", "virtual_host": "/" });
        return Err((503, json!({ "status": "failed", "reason": reason, "queues": [queue] })));
    }
    Ok(json!({ "status": "ok" }))
}
