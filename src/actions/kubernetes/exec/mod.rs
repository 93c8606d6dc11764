//! `k8s.exec`: a command in a container of one pod.
//!
//! Must not give it a terminal. Invariants: an attempt runs the command at most once, in one pod; a command whose end nobody saw is unknown, unless it only
//! reads; nothing in the container is ended from here.

mod input;
mod outcome;
mod session;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use serde_json::Value;

use self::input::{Input, NAME};
use self::outcome::{fields, judge};
use super::api::Api;
use super::errors::Asked;
use super::permissions::{Asking, On};
use super::pod_choice::Chosen;
use super::{by_hand, cluster};
use crate::actions::support::{kept, schema};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::{ActionEntry, touches_nothing};
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

/// The action.
pub(super) struct Exec {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Run a command in a container of a pod".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: fields(),
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
    let place = by_hand::place(inputs, target);
    let container = by_hand::container(inputs);
    let words = inputs["argv"].as_array().into_iter().flatten().map(crate::model::by_hand::word).collect::<Vec<_>>().join(" ");
    let mut lines = Vec::new();
    let end = if by_hand::given(inputs, "selector").is_some() {
        let (_, selector) = by_hand::selector(inputs, target);
        lines.push(format!("POD=$(kubectl get pods{place} -l {selector} -o jsonpath='{{.items[0].metadata.name}}')"));
        "\"$POD\"".to_owned()
    } else {
        let key = if by_hand::given(inputs, "workload").is_some() { "workload" } else { "pod" };
        by_hand::input_word(inputs, key)
    };
    let stdin = by_hand::given(inputs, "stdin").map(|text| format!("printf %s {} | ", crate::model::by_hand::word(text)));
    let i = if stdin.is_some() { " -i" } else { "" };
    lines.push(format!("{}kubectl exec{i}{place} {end}{container} -- {words}", stdin.unwrap_or_default()));
    by_hand::lines(lines)
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    if by_hand::given(inputs, "pod").is_none() {
        super::permissions::of_chosen_pods(&mut asking, inputs);
    }
    let exec = On::pods().part("exec");
    // The request is a GET; clusters from 1.35 on ask for `create` as well.
    asking.reads("get", &exec);
    asking.changes("create", &exec);
    asking.needs()
}

impl Exec {
    pub(super) fn new(connections: &Arc<Connections>) -> Self {
        Self { connections: Arc::clone(connections) }
    }

    /// The pod that it is to run in.
    async fn pod(&self, cx: &Context, input: &Input, namespace: &str) -> Result<String, Failure> {
        if let Some(pod) = &input.pod {
            return Ok(pod.clone());
        }
        let api = Api::new(&self.connections, cx)?;
        let chosen = Chosen::of(&api, input.workload.as_ref(), input.selector.as_deref(), namespace.to_owned()).await?;
        let mut ready = chosen.pods(&api, ready).await?;
        ready.sort();
        ready.into_iter().next().ok_or_else(|| {
            Failure::transient(format!("no pod of {} in namespace {namespace} is ready", chosen.what)).hint("wait for one in a step before")
        })
    }

    async fn run(&self, cx: &Context, inputs: &Inputs) -> Applied {
        let prepared = async {
            let input = Input::of(inputs)?;
            cluster(NAME, cx)?;
            let namespace = super::namespace(input.namespace.as_deref(), cx.target.as_ref())?;
            let client = self.connections.kube_client().map_err(|error| crate::actions::support::not_connected(&error))?;
            let pod = self.pod(cx, &input, &namespace).await?;
            Ok::<_, Failure>((input, namespace, client, pod))
        };
        let (input, namespace, client, pod) = match prepared.await {
            Ok(prepared) => prepared,
            Err(failure) => return Applied::NotApplied { failure },
        };
        cx.log.line(&format!("in pod {pod}: {}", cx.log.redact(&input.shown())));
        let ended = session::run(&client, &namespace, &pod, &input, cx).await;
        let asked = Asked { verb: "create", resource: "pods/exec", name: &pod, namespace: &namespace };
        judge(ended, &input, &pod, asked, cx)
    }
}

/// The name of a pod that is ready and stays.
fn ready(pod: &Value) -> Option<String> {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let name = pod.pointer("/metadata/name").and_then(Value::as_str)?;
    (ready && pod.pointer("/metadata/deletionTimestamp").is_none()).then(|| name.to_owned())
}

#[async_trait]
impl Action for Exec {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    /// Runs the command where it only reads; what writes has nothing to be observed.
    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        if cx.effect != Effect::Read {
            return Ok(Value::Null);
        }
        match self.run(cx, inputs).await {
            Applied::Applied { outputs } => Ok(outputs),
            Applied::NotApplied { failure } | Applied::FailedWithEffect { failure, .. } | Applied::Unknown { failure } => Err(failure),
        }
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let input = Input::of(inputs)?;
        cluster(NAME, cx)?;
        super::namespace(input.namespace.as_deref(), cx.target.as_ref())?;
        let revert = match cx.effect {
            Effect::Read => Revert::Nothing,
            Effect::Idempotent | Effect::Once => {
                Revert::Keep { reason: kept(rollback).unwrap_or_else(|| "a command has no revert of its own".to_owned()) }
            }
        };
        let by_hand = by_hand(&inputs.0, cx.target.as_ref()).act.iter().map(|line| cx.log.redact(line)).collect();
        Ok(Plan { intent: Intent { revert, by_hand, ..Intent::default() }, unchanged: None })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Applied {
        self.run(cx, inputs).await
    }

    async fn verify(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Result<Verdict, Failure> {
        Input::of(inputs)?;
        Ok(match cx.effect {
            // What only reads is simply done again.
            Effect::Read => Verdict::Absent,
            Effect::Idempotent | Effect::Once => {
                Verdict::CannotTell { reason: "no container can be asked which commands ran in it".to_owned() }
            }
        })
    }
}

#[cfg(test)]
mod tests;
