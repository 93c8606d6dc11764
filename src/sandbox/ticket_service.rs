//! The ticket service: readiness, and the caches of an event.
//!
//! It must not be ready without a ready Pod. Invariant: a request that repeats an idempotency key has no second effect and gets the first
//! answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::response::Response;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::cluster::api::json as respond;
use super::cluster::controller::pods_of;
use super::cluster::pod::{self, Stage};
use super::cluster::resource::Resource;
use super::cluster::store::{Entry, text};
use super::platform::{Platform, Refusal};
use super::world::World;

/// The host by which it is reached.
pub(crate) const HOST: &str = "ticket-service.production";
/// How many idempotency keys and warm events are remembered.
const REMEMBERED: usize = 1000;
/// How many entries a warm cache has for each event.
const ENTRIES: u64 = 128;

/// What it remembers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TicketService {
    /// How often the caches of each event were filled.
    fills: BTreeMap<Uuid, u64>,
    answered: VecDeque<Answered>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answered {
    key: String,
    event: Uuid,
    answer: Value,
}

type Failure = (u16, Value);

fn failure(code: u16, message: impl Into<String>) -> Failure {
    (code, json!({ "error": message.into() }))
}

/// Answers one request to the service.
pub(crate) async fn answer(platform: &Arc<Platform>, call: Arc<Call>) -> Response {
    let answered = match (call.method.clone(), call.path.as_str()) {
        (Method::GET, "/health/ready") => ready(platform).await,
        (Method::POST, "/internal/cache/warm") => warm(platform, call).await,
        (Method::GET, "/internal/cache/status") => status(platform, &call),
        (Method::POST, "/purchases") => return purchase(platform, &call),
        (_, "/health/ready" | "/internal/cache/warm" | "/internal/cache/status" | "/purchases") => Err(failure(405, "method not allowed")),
        (_, path) => Err(failure(404, format!("there is no {path} here"))),
    };
    match answered {
        Ok(body) => respond(200, &body),
        Err((code, body)) => respond(code, &body),
    }
}

/// A purchase of a load test: it goes the whole way but for the purchase itself. The sandbox sells nothing else.
fn purchase(platform: &Platform, call: &Call) -> Response {
    let (code, body) = match serde_json::from_slice::<Value>(&call.body) {
        _ if ready_pods(&platform.read()).is_empty() => failure(503, "no pod of ticket-service is ready"),
        Ok(body) if body["eventId"].as_str().is_none_or(|id| Uuid::parse_str(id).is_err()) => failure(400, "eventId must be a UUID"),
        Ok(_) if call.load_test => (202, json!({ "status": "accepted", "dryRun": true })),
        Ok(_) => failure(422, "the sandbox sells no tickets: send X-Load-Test: true"),
        Err(error) => failure(400, format!("the body is not JSON: {error}")),
    };
    respond(code, &body)
}

/// Answers one request to one Pod of the service: what it does to the caches is done for all, its pool of connections is its own.
pub(crate) async fn answer_pod(platform: &Arc<Platform>, call: Arc<Call>, namespace: &str, pod: &str) -> Response {
    if (call.method.clone(), call.path.as_str()) != (Method::GET, "/health/ready") {
        return answer(platform, call).await;
    }
    match pod_ready(platform, namespace, pod).await {
        Ok(body) => respond(200, &body),
        Err((code, body)) => respond(code, &body),
    }
}

/// Readiness of one Pod; opens its pool.
async fn pod_ready(platform: &Arc<Platform>, namespace: &str, pod: &str) -> Result<Value, Failure> {
    let unready = |pod: &str| (503, json!({ "status": "unready", "pod": pod }));
    let (namespace, pod) = (namespace.to_owned(), pod.to_owned());
    let warmed = platform.change(move |world| {
        let entry = world.store.get(Resource::Pods, &namespace, &pod).filter(|entry| pod::stage(&entry.object) == Stage::Ready);
        let entry = entry.cloned().ok_or_else(|| unready(&pod))?;
        let mut life = entry.life.unwrap_or_default();
        if !life.warm {
            life.warm = true;
            world.store.set_life(&namespace, &pod, life);
        }
        let size = pool_of(&entry.object);
        Ok(json!({ "status": "ready", "pod": pod, "pool": { "size": size, "warm": size } }))
    });
    warmed.await.map_err(refused)
}

/// The Pods of the service that are ready.
fn ready_pods(world: &World) -> Vec<Entry> {
    let Some(deployment) = world.store.get(Resource::Deployments, "production", "ticket-service") else { return Vec::new() };
    pods_of(&world.store, &deployment.object).into_iter().filter(|entry| pod::stage(&entry.object) == Stage::Ready).collect()
}

fn pool_of(pod: &Value) -> u64 {
    let variables = pod.pointer("/spec/containers/0/env").and_then(Value::as_array);
    let size = variables.into_iter().flatten().find(|variable| variable["name"] == "DB_POOL_MAX");
    size.and_then(|variable| variable["value"].as_str()).and_then(|size| size.parse().ok()).unwrap_or(10)
}

/// Readiness. As behind a real Service, one request reaches one Pod, and opens the pool of that one alone.
async fn ready(platform: &Arc<Platform>) -> Result<Value, Failure> {
    let cold = |entry: &Entry| !entry.life.as_ref().is_some_and(|life| life.warm);
    if ready_pods(&platform.read()).iter().any(cold) {
        let warmed = platform.change(move |world| {
            if let Some(entry) = ready_pods(world).into_iter().find(cold) {
                let mut life = entry.life.clone().unwrap_or_default();
                life.warm = true;
                world.store.set_life(text(&entry.object, "/metadata/namespace"), text(&entry.object, "/metadata/name"), life);
            }
            Ok::<_, Failure>(())
        });
        warmed.await.map_err(refused)?;
    }
    let pods = ready_pods(&platform.read());
    if pods.is_empty() {
        return Err((503, json!({ "status": "unready", "error": "no pod of ticket-service is ready" })));
    }
    let size: u64 = pods.iter().map(|entry| pool_of(&entry.object)).sum();
    let warm: u64 = pods.iter().filter(|entry| !cold(entry)).map(|entry| pool_of(&entry.object)).sum();
    Ok(json!({ "status": "ready", "pool": { "size": size, "warm": warm } }))
}

fn refused(refusal: Refusal<Failure>) -> Failure {
    match refusal {
        Refusal::Refused(failure) => failure,
        Refusal::Storage(error) => failure(500, error.to_string()),
    }
}

fn authorize(platform: &Platform, call: &Call) -> Result<(), Failure> {
    if call.bears(&platform.identity().service_token) {
        Ok(())
    } else if call.has_credentials() {
        Err(failure(403, "this token may not do that"))
    } else {
        Err(failure(401, "a bearer token is needed"))
    }
}

async fn warm(platform: &Arc<Platform>, call: Arc<Call>) -> Result<Value, Failure> {
    authorize(platform, &call)?;
    let body: Value = serde_json::from_slice(&call.body).map_err(|error| failure(400, format!("the body is not JSON: {error}")))?;
    let event = body["eventId"].as_str().and_then(|id| Uuid::parse_str(id).ok());
    let event = event.ok_or_else(|| failure(400, "eventId must be a UUID"))?;
    platform.change(move |world| fill(world, &call, event)).await.map_err(refused)
}

fn fill(world: &mut World, call: &Call, event: Uuid) -> Result<Value, Failure> {
    let key = call.caller.idempotency_key.as_deref();
    if let Some(former) = world.ticket_service.answered.iter().find(|former| Some(former.key.as_str()) == key) {
        if former.event != event {
            return Err(failure(422, "this Idempotency-Key was used for another event"));
        }
        return Ok(former.answer.clone());
    }
    if ready_pods(world).is_empty() {
        return Err(failure(503, "no pod of ticket-service is ready"));
    }
    let service = &mut world.ticket_service;
    if !service.fills.contains_key(&event) && service.fills.len() >= REMEMBERED {
        service.fills.pop_first();
    }
    let fills = service.fills.entry(event).or_default();
    let before = *fills;
    *fills += 1;
    let answer = json!({ "warmed": ENTRIES, "eventId": event });
    if let Some(key) = key {
        if service.answered.len() >= REMEMBERED {
            service.answered.pop_front();
        }
        service.answered.push_back(Answered { key: key.to_owned(), event, answer: answer.clone() });
    }
    world.effects.record(&call.caller, &format!("production/cache/{event}"), "fills", json!(before), json!(before + 1));
    Ok(answer)
}

fn status(platform: &Platform, call: &Call) -> Result<Value, Failure> {
    authorize(platform, call)?;
    let event = Uuid::parse_str(call.query("eventId")).map_err(|_| failure(400, "eventId must be a UUID"))?;
    let fills = platform.read().ticket_service.fills.get(&event).copied().unwrap_or(0);
    Ok(json!({ "eventId": event, "warmed": fills > 0, "fills": fills, "entries": if fills > 0 { ENTRIES } else { 0 } }))
}
