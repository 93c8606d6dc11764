//! The control endpoints below `/sandbox/`: health, state, effects, faults, reset and shutdown.
//!
//! It must not be met by faults. Invariant: all but health need the admin token.

use std::sync::Arc;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::aws::Aws;
use super::call::{Call, Caller};
use super::cluster::api::json as respond;
use super::cluster::meddle::meddle;
use super::cluster::{ArgoCd, Autoscaler};
use super::connections::Usage;
use super::effects::{FILE, effects};
use super::error::SandboxError;
use super::fault::Fault;
use super::load::{self, Load};
use super::platform::{Platform, Refusal};
use super::pooler::Pooler;

/// What a running sandbox says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// How many faults stand.
    pub faults: usize,
    /// How many effects the log has.
    pub effects: u64,
    /// How many watches are open.
    pub watches: usize,
    /// The Deployments and autoscalers, in words: `production/ticket-service 2/2 ready`.
    pub deployments: Vec<String>,
    /// The connections of its PostgreSQL server.
    #[serde(default)]
    pub connections: Usage,
    /// The requests a second that reach the ticket service.
    #[serde(default)]
    pub load: f64,
    /// The autoscaler that the cluster was made with.
    #[serde(default)]
    pub autoscaler: Autoscaler,
    /// The Argo CD that the cluster was made with.
    #[serde(default)]
    pub argocd: ArgoCd,
    /// The pooler that the platform was made with.
    #[serde(default)]
    pub pooler: Pooler,
    /// How often the autoscalers have looked since the sandbox was fresh: once in 15 s of the cluster's own time.
    #[serde(default)]
    pub autoscaler_looks: u64,
}

type Failure = (u16, String);

/// Answers one request to a control endpoint.
pub(crate) async fn answer(platform: &Arc<Platform>, call: &Call) -> Response {
    match handle(platform, call).await {
        Ok(body) => respond(200, &body),
        Err((code, message)) => respond(code, &json!({ "error": message })),
    }
}

async fn handle(platform: &Arc<Platform>, call: &Call) -> Result<Value, Failure> {
    let route = (call.method.as_str(), call.path.as_str());
    if route == ("GET", "/sandbox/health") {
        return Ok(json!({ "status": "ok", "cluster_uid": platform.cluster_uid(), "pid": std::process::id() }));
    }
    if !call.bears(&platform.identity().admin_token) {
        return Err((401, "the admin token of the sandbox is needed".to_owned()));
    }
    match route {
        ("GET", "/sandbox/overview") => encode(&overview(platform)),
        ("GET", "/sandbox/effects") => {
            let dir = platform.dir();
            let read = tokio::task::spawn_blocking(move || effects(&dir)).await;
            encode(&read.map_err(|error| (500, format!("{FILE} could not be read: {error}")))?.map_err(|error| internal(&error))?)
        }
        ("GET", "/sandbox/connections") => encode(&usage(platform)),
        ("GET", "/sandbox/faults") => encode(&platform.read().faults.list()),
        ("POST", "/sandbox/faults") => add_fault(platform, call).await,
        ("DELETE", "/sandbox/faults") => {
            let cleared = platform.change(|world| Ok::<_, Failure>(world.faults.clear())).await.map_err(refused)?;
            platform.wake();
            Ok(json!(cleared))
        }
        ("POST", "/sandbox/reset") => {
            let body: Value = if call.body.is_empty() { Value::Null } else { read(call)? };
            let autoscaler = match body["autoscaler"].as_str() {
                Some(text) => Some(text.parse::<Autoscaler>().map_err(|why| (400, why))?),
                None => None,
            };
            let argocd = match body["argocd"].as_str() {
                Some(text) => Some(text.parse::<ArgoCd>().map_err(|why| (400, why))?),
                None => None,
            };
            let pooler = match body["pooler"].as_str() {
                Some(text) => Some(text.parse::<Pooler>().map_err(|why| (400, why))?),
                None => None,
            };
            platform.reset(autoscaler, argocd, pooler).await.map_err(|error| internal(&error))?;
            Ok(Value::Null)
        }
        ("PUT", "/sandbox/load") => {
            let load: Load = serde_json::from_value(read(call)?).map_err(|error| (400, format!("this is no load: {error}")))?;
            if !(0.0..=load::MOST).contains(&load.rps) {
                return Err((422, format!("a load of {}: it must be from 0 to {} requests a second", load.rps, load::MOST)));
            }
            let set = platform.change(move |world| {
                world.load = load;
                Ok::<_, Failure>(())
            });
            set.await.map_err(refused)?;
            platform.wake();
            encode(&load)
        }
        ("POST", "/sandbox/shutdown") => {
            platform.stop();
            Ok(Value::Null)
        }
        (method, path) => Err((404, format!("there is no {method} {path} in this sandbox"))),
    }
}

fn read(call: &Call) -> Result<Value, Failure> {
    serde_json::from_slice(&call.body).map_err(|error| (400, format!("the body is not JSON: {error}")))
}

fn encode(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| (500, error.to_string()))
}

fn internal(error: &SandboxError) -> Failure {
    (500, error.to_string())
}

fn refused(refusal: Refusal<Failure>) -> Failure {
    match refusal {
        Refusal::Refused(failure) => failure,
        Refusal::Storage(error) => internal(&error),
    }
}

async fn add_fault(platform: &Arc<Platform>, call: &Call) -> Result<Value, Failure> {
    let fault: Fault = serde_json::from_slice(&call.body).map_err(|error| (400, format!("this is no fault: {error}")))?;
    let moment = platform.moment();
    let added = platform.change(move |world| match fault {
        Fault::Change { object, field, value } => {
            let caller = Caller { request: "-".to_owned(), user_agent: "someone-else".to_owned(), idempotency_key: None };
            if Aws::has(&object) {
                return Aws::meddle(world, &caller, &object, &field, &value).map(|()| None).map_err(|message| (422, message));
            }
            meddle(world, &caller, &object, &field, value, moment).map(|()| None).map_err(|message| (422, message))
        }
        Fault::Request { .. }
        | Fault::Unready { .. }
        | Fault::StallTerminating
        | Fault::Image { .. }
        | Fault::Crash { .. }
        | Fault::Connections { .. } => {
            world.faults.add(fault).map(Some).ok_or_else(|| (422, "too many faults stand; clear them first".to_owned()))
        }
    });
    let added = added.await.map_err(refused)?;
    platform.wake();
    encode(&added)
}

fn overview(platform: &Platform) -> Overview {
    let world = platform.read();
    Overview {
        faults: world.faults.list().len(),
        effects: world.effects.count(),
        watches: platform.activity().watches(),
        deployments: super::cluster::summary(&world.store),
        connections: world.connections.usage(&world.store, &world.bouncers),
        pooler: world.bouncers.kind,
        load: world.load.rps,
        autoscaler: world.autoscaler,
        argocd: world.argocd,
        autoscaler_looks: world.memory.looks(),
    }
}

fn usage(platform: &Platform) -> Usage {
    let world = platform.read();
    world.connections.usage(&world.store, &world.bouncers)
}
