//! `k8s.rollout_restart`: restarts the pods of a workload, as `kubectl rollout restart` does, by an annotation of its template.
//!
//! Must not wait for the rollout: that is a check's part. Invariant: every attempt of one doing writes the very same value, so that a second
//! attempt restarts nothing again.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Api;
use super::by_hand;
use super::field_path::FieldPath;
use super::permissions::Asking;
use super::pod_template::{self, place};
use super::rollout::Rollout;
use super::standing::{Together, field};
use super::swap_fields::{FieldSwap, UID, swap_fields, uid_of};
use super::workload::{Kind, Rolling, Workload};
use super::{cluster, namespace, object_ref};
use crate::actions::support::{kept, output, parse, schema};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, Swap};
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "k8s.rollout_restart";
const FIELD: &str = "spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]";

/// The inputs of `k8s.rollout_restart`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The workload: `deployment/NAME` or `statefulset/NAME`.
    workload: Rolling,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
}

/// The action.
pub(super) struct RolloutRestart {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    let mut outputs = vec![output("restarted_at", "string", "what the template's annotation holds: a name of this restart, not a time")];
    outputs.extend(Rollout::declared());
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Restart the pods of a Deployment or StatefulSet, one by one".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs,
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: false,
        needs_target: true,
        immediate: false,
        touches: pod_template::touches,
        by_hand,
        permissions,
    })
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let what = format!("{}{}", by_hand::input_word(inputs, "workload"), by_hand::place(inputs, target));
    let act = vec![format!("kubectl rollout restart {what}"), format!("kubectl rollout status {what}")];
    ByHand { act, ..ByHand::default() }
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    if let Some(workload) = asking.workload(inputs) {
        asking.reads("get", &workload);
        asking.changes("patch", &workload);
    }
    asking.needs()
}

fn path() -> Result<FieldPath, Failure> {
    FIELD.parse().map_err(|_| Failure::permanent("the annotation's field has no path"))
}

/// Why nothing would be restarted.
fn refusal(workload: &Workload, object: &Value) -> Option<Failure> {
    if object.pointer("/spec/paused") == Some(&json!(true)) {
        let hint = "`kubectl rollout resume` first: a paused rollout restarts nothing";
        return Some(Failure::permanent(format!("the rollout of {workload} is paused")).hint(hint));
    }
    let strategy = object.pointer("/spec/updateStrategy/type").and_then(Value::as_str).unwrap_or("RollingUpdate");
    (workload.kind == Kind::StatefulSet && strategy != "RollingUpdate").then(|| {
        Failure::permanent(format!("the update strategy of {workload} is {strategy}: nothing restarts its pods but their deletion"))
            .hint("delete the pods one by one, or set `spec.updateStrategy.type: RollingUpdate`")
    })
}

impl RolloutRestart {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }
}

fn outputs(workload: &Workload, object: &Value, value: &Value) -> Value {
    let mut outputs = json!({ "restarted_at": value });
    Rollout::of(workload.kind, object).add_to(&mut outputs);
    outputs
}

fn noted(intent: &Intent) -> Result<(Workload, String, &Change), Failure> {
    let (workload, namespace) = pod_template::noted(intent)?;
    let change = intent.changes.first().ok_or_else(|| Failure::permanent("what this step recorded names no restart"))?;
    Ok((workload, namespace, change))
}

#[async_trait]
impl Action for RolloutRestart {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let Input { workload: Rolling(workload), namespace: own } = parse(NAME, inputs)?;
        let namespace = namespace(own.as_deref(), cx.target.as_ref())?;
        let place = place(&workload, &namespace);
        let object = place.read(&Api::new(&self.connections, cx)?).await?.ok_or_else(|| place.missing())?;
        let mut observed = outputs(&workload, &object, &path()?.get(&object));
        observed["refused"] = json!(refusal(&workload, &object));
        observed[UID] = uid_of(&object);
        Ok(observed)
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let Input { workload: Rolling(workload), namespace: own } = parse(NAME, inputs)?;
        let namespace = namespace(own.as_deref(), cx.target.as_ref())?;
        let unobserved = || Failure::permanent(format!("{workload} was not observed"));
        let object = object_ref(cluster(NAME, cx)?, &namespace, &workload).ok_or_else(unobserved)?;
        let was = prior.get("restarted_at").ok_or_else(unobserved)?;
        // Whoever reads the annotation takes any text; a time would be another one at each attempt, and a plan knows none.
        let value = json!(format!("runsheet-{}", cx.idempotency_key));
        if *was == value {
            let mut outputs = prior.clone();
            if let Some(map) = outputs.as_object_mut() {
                map.shift_remove("refused");
                map.shift_remove(UID);
            }
            return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs) });
        }
        if let Ok(failure) = Failure::deserialize(&prior["refused"]) {
            return Err(failure);
        }
        let reason = kept(rollback).unwrap_or_else(|| "a restart cannot be undone".to_owned());
        let change = Change { object, field: FIELD.to_owned(), label: "restart".to_owned(), prior: was.clone(), after: value };
        let intent = Intent {
            changes: vec![change],
            revert: Revert::Keep { reason },
            note: json!({
                "workload": workload.to_string(),
                "namespace": namespace,
                "uid": prior[UID],
                "says": format!("every pod of {workload} is restarted"),
            }),
            by_hand: vec![format!("kubectl rollout restart {workload} -n {namespace}")],
            undo_by_hand: Vec::new(),
            ..Intent::default()
        };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        let ready = || {
            let (workload, namespace, change) = noted(intent)?;
            let swap = FieldSwap { field: path()?, from: change.prior.clone(), to: change.after.clone() };
            Ok((place(&workload, &namespace).of(intent), workload, swap, Api::new(&self.connections, cx)?))
        };
        let (place, workload, swap, api) = match ready() {
            Ok(ready) => ready,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let value = swap.to.clone();
        match swap_fields(&api, &place, &[swap]).await {
            Ok(object) => Applied::Applied { outputs: outputs(&workload, &object, &value) },
            Err(applied) => applied,
        }
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let (workload, namespace, change) = noted(intent)?;
        let place = place(&workload, &namespace).of(intent);
        let Some(object) = place.read(&Api::new(&self.connections, cx)?).await? else {
            return Ok(Verdict::CannotTell { reason: format!("there is no {place} any more") });
        };
        let stands = field(&format!("restartedAt of {place}"), &path()?.get(&object), &change.prior, &change.after, |a, b| a == b);
        Ok(Together::of([stands]).verdict(|| outputs(&workload, &object, &change.after)))
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let (workload, namespace, _) = noted(intent)?;
        let object = place(&workload, &namespace).of(intent).read(&Api::new(&self.connections, cx)?).await?;
        let path = path()?;
        Ok(vec![object.map(|object| path.get(&object))])
    }

    async fn revert(&self, _: &Context, _: &Intent, _: &[Swap]) -> Applied {
        Applied::NotApplied { failure: Failure::permanent("a restart cannot be undone") }
    }
}

#[cfg(test)]
mod tests;
