//! `k8s.http`: the same request to each pod of a workload, through the API server's proxy.
//!
//! Must not follow redirects and must not send credentials. Invariant: each pod is sent the request at most once in an attempt; a pod that went
//! away meanwhile is told and is no failure.

mod input;
mod outcome;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::Value;

use self::input::{Input, NAME, Port, verb};
use self::outcome::{Reply, outcome, outputs};
use super::api::Api;
use super::permissions::{Asking, On, of_chosen_pods};
use super::pod_choice::Chosen;
use super::{by_hand, cluster};
use crate::actions::http::Method;
use crate::actions::support::{kept, output, schema};
use crate::environment::Connections;
use crate::model::by_hand::{ByHand, quoted, word};
use crate::model::catalogue::{ActionEntry, touches_nothing};
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

/// How often the pods are listed at most, with `settled`.
const ROUNDS: usize = 10;

/// The action.
pub(super) struct PodHttp {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Send a request to each pod of a workload, through the API server".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("asked", "integer", "how many pods were sent the request"),
            output("succeeded", "integer", "how many answered as expected"),
            output("failed", "integer", "how many did not"),
            output("all_succeeded", "boolean", "whether every pod answered as expected, and there was one"),
            output("gone", "list", "the names of pods that went away before they could be asked"),
            output("pods", "list", "the names of the pods that were asked, at most 50"),
            output("truncated", "boolean", "whether a list leaves something out"),
            output(
                "responses",
                "list",
                "each pod's answer, those that failed first, at most 50: `pod`, `status`, `json` (null above 512 bytes), `duration_ms`, `error`",
            ),
        ],
        effect: Effect::Once,
        effect_from_step: true,
        observes: false,
        reverts: false,
        needs_target: true,
        immediate: false,
        touches: touches_nothing,
        by_hand,
        permissions,
    })
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let (selector_line, selector) = by_hand::selector(inputs, target);
    let place = by_hand::place(inputs, target);
    let namespace = by_hand::namespace(inputs, target).unwrap_or_else(|| "default".to_owned());
    let mut lines: Vec<String> = selector_line.into_iter().collect();
    let port = match by_hand::given(inputs, "port") {
        None => String::new(),
        Some(Value::String(name)) if name.parse::<u16>().is_err() && crate::model::by_hand::variables_in(name).is_empty() => {
            let path = format!("jsonpath={{.items[0].spec.containers[*].ports[?(@.name==\"{name}\")].containerPort}}");
            lines.push(format!("PORT=$(kubectl get pods{place} -l {selector} -o {})", quoted(&path)));
            ":\"$PORT\"".to_owned()
        }
        Some(port) => format!(":{}", word(port)),
    };
    let path = by_hand::given(inputs, "path").map(word).unwrap_or_default();
    let url = format!("/api/v1/namespaces/{namespace}/pods/\"$pod\"{port}/proxy{path}");
    let method = by_hand::given(inputs, "method").and_then(Value::as_str).unwrap_or("GET");
    let send = |verb: &str| match by_hand::given(inputs, "json") {
        Some(json) => format!("printf %s {} | kubectl {verb} --raw {url} -f -", quoted(&json.to_string())),
        None => format!("kubectl {verb} --raw {url} -f /dev/null"),
    };
    let request = match method {
        "GET" | "HEAD" => format!("kubectl get --raw {url}"),
        "POST" => send("create"),
        "PUT" => send("replace"),
        "DELETE" => send("delete"),
        other => {
            lines.push(format!(
                "# kubectl has no --raw for {}: use `kubectl port-forward` and curl, pod by pod",
                quoted(other).replace('\n', " ")
            ));
            return by_hand::lines(lines);
        }
    };
    lines
        .push(format!("for pod in $(kubectl get pods{place} -l {selector} -o jsonpath='{{.items[*].metadata.name}}'); do {request}; done"));
    by_hand::lines(lines)
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    of_chosen_pods(&mut asking, inputs);
    let method = by_hand::given(inputs, "method").map_or(Ok(Method::default()), Method::deserialize);
    match method {
        Ok(method) if method.is_read() => asking.reads(verb(method), &On::pods().part("proxy")),
        Ok(method) => asking.changes(verb(method), &On::pods().part("proxy")),
        Err(_) => asking.untold("the method"),
    }
    asking.needs()
}

/// A pod that may be asked.
struct Candidate {
    name: String,
    uid: String,
    port: Result<u16, String>,
    ready: bool,
}

impl Candidate {
    /// None for a pod on its way out, or that has ended.
    fn of(pod: &Value, port: Option<&Port>) -> Option<Self> {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if !text("/metadata/deletionTimestamp").is_empty() || matches!(text("/status/phase"), "Succeeded" | "Failed") {
            return None;
        }
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        let (name, uid) = (text("/metadata/name").to_owned(), text("/metadata/uid").to_owned());
        super::workload::is_name(&name).then(|| Self { port: port_of(pod, port), name, uid, ready })
    }
}

fn port_of(pod: &Value, port: Option<&Port>) -> Result<u16, String> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let mut ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let (found, missing) = match port {
        Some(Port::Number(number)) => return Ok(*number),
        Some(Port::Name(name)) => (ports.find(|port| port["name"] == name.as_str()), format!("it declares no port named `{name}`")),
        None => (ports.next(), "it declares no port: give the step `port`".to_owned()),
    };
    found.and_then(|port| u16::try_from(port["containerPort"].as_u64()?).ok()).ok_or(missing)
}

/// What was asked, and what came back.
struct Asked {
    what: String,
    /// All pods that take part, ready or not.
    seen: usize,
    replies: Vec<Reply>,
}

impl PodHttp {
    pub(super) fn new(connections: &Arc<Connections>) -> Self {
        Self { connections: Arc::clone(connections) }
    }

    /// Asks each pod once. An error: not even the list of pods could be had, and nothing was sent.
    async fn ask(&self, cx: &Context, input: &Input) -> Result<Asked, Failure> {
        cluster(NAME, cx)?;
        let began = Instant::now();
        let namespace = super::namespace(input.namespace.as_deref(), cx.target.as_ref())?;
        let api = Api::new(&self.connections, cx)?;
        let chosen = Chosen::of(&api, input.workload.as_ref(), input.selector.as_deref(), namespace).await?;
        let mut asked = Asked { what: chosen.what.clone(), seen: 0, replies: Vec::new() };
        let mut known = BTreeSet::new();
        for round in 0..ROUNDS {
            let listed = chosen.pods(&api, |pod| Candidate::of(pod, input.port.as_ref())).await;
            let pods = match listed {
                Ok(pods) => pods,
                Err(failure) if round == 0 => return Err(failure),
                Err(failure) => {
                    // Some were asked already: the rest is not known, and that is not all of them.
                    asked.replies.push(Reply::unasked("later pods", failure.message, failure.transient));
                    break;
                }
            };
            asked.seen = pods.len();
            let new: Vec<Candidate> =
                pods.into_iter().filter(|pod| (pod.ready || input.all) && known.insert((pod.name.clone(), pod.uid.clone()))).collect();
            if new.is_empty() {
                break;
            }
            let stop = AtomicBool::new(false);
            let total = asked.replies.len() + new.len();
            // Built one by one: a closure over borrowed values would not be general enough for a stream that is sent between threads.
            let mut requests = Vec::new();
            for pod in new {
                requests.push(one(&api, cx, input, &chosen.namespace, pod, &stop, began));
            }
            let mut answers = futures::stream::iter(requests).buffer_unordered(input.parallel());
            while let Some(reply) = answers.next().await {
                asked.replies.push(reply);
                cx.log.part(asked.replies.len() as u64, total as u64, "pods asked");
            }
            if !input.settled || stop.load(Ordering::Relaxed) {
                break;
            }
        }
        asked.replies.sort_by(|a, b| a.pod.cmp(&b.pod));
        Ok(asked)
    }
}

/// Asks one pod.
async fn one(api: &Api, cx: &Context, input: &Input, namespace: &str, pod: Candidate, stop: &AtomicBool, began: Instant) -> Reply {
    let Candidate { name, port, .. } = pod;
    let left = cx.timeout.map_or(Duration::MAX, |timeout| timeout.saturating_sub(began.elapsed()));
    let reply = match port {
        Err(missing) => Reply::unasked(&name, missing, false),
        Ok(_) if stop.load(Ordering::Relaxed) => Reply::unasked(&name, "not asked: it would be refused as well", false),
        Ok(_) if left.is_zero() => Reply::unasked(&name, "not asked: the step's time is over", true),
        Ok(port) => {
            let sent = api.raw(input.call(namespace, &name, port, &cx.idempotency_key, left)).await;
            Reply::of(input, namespace, &name, sent, &*cx.log)
        }
    };
    if reply.for_all {
        stop.store(true, Ordering::Relaxed);
    }
    let said = match reply.status {
        Some(status) if reply.error.is_empty() => format!("status {status}"),
        _ => reply.error.clone(),
    };
    cx.log.line(&format!("{name}: {}: {said}", input.shown()));
    reply
}

fn nobody(input: &Input, asked: &Asked) -> Failure {
    let Asked { what, seen, .. } = asked;
    let (message, hint) = if *seen == 0 {
        (format!("{}: there is no pod of {what}", input.shown()), "check the selector, the namespace and the environment")
    } else {
        (format!("{}: none of {seen} pods of {what} is ready", input.shown()), "wait for them in a step before, or set `all: true`")
    };
    Failure::transient(message).hint(hint)
}

#[async_trait]
impl Action for PodHttp {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    /// A read is performed, and gives the outputs whether or not all pods answered well; a write has nothing to observe.
    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input = Input::of(inputs)?;
        if !input.method.is_read() {
            return Ok(Value::Null);
        }
        Ok(outputs(&self.ask(cx, &input).await?.replies))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let input = Input::of(inputs)?;
        cluster(NAME, cx)?;
        super::namespace(input.namespace.as_deref(), cx.target.as_ref())?;
        let revert = if input.method.is_read() {
            Revert::Nothing
        } else {
            Revert::Keep { reason: kept(rollback).unwrap_or_else(|| "an HTTP request has no revert of its own".to_owned()) }
        };
        let by_hand = by_hand(&inputs.0, cx.target.as_ref()).act.iter().map(|line| cx.log.redact(line)).collect();
        Ok(Plan { intent: Intent { revert, by_hand, ..Intent::default() }, unchanged: None })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Applied {
        let input = match Input::of(inputs) {
            Ok(input) => input,
            Err(failure) => return Applied::NotApplied { failure },
        };
        match self.ask(cx, &input).await {
            Ok(asked) if asked.replies.is_empty() => Applied::NotApplied { failure: nobody(&input, &asked) },
            Ok(asked) => outcome(&input, &asked.what, &asked.replies),
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn verify(&self, _: &Context, inputs: &Inputs, _: &Intent) -> Result<Verdict, Failure> {
        if Input::of(inputs)?.method.is_read() {
            return Ok(Verdict::Absent);
        }
        Ok(Verdict::CannotTell { reason: "no pod can be asked which requests it got".to_owned() })
    }
}

#[cfg(test)]
mod tests;
