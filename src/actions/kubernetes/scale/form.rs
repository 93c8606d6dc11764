//! The two forms of a scaling: the replicas of a workload, or, where an autoscaler owns them, its floor. What is planned, and what an intent
//! keeps of it.
//!
//! Must not write anything. Invariant: an intent names one form, and everything later goes by that form alone.

use crate::actions::kubernetes::object_ref;
use serde_json::{Value, json};

use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::horizontal::{self, CEILING, FLOOR};
use crate::actions::kubernetes::swap_fields::forth;
use crate::actions::kubernetes::workload::Workload;
use crate::actions::kubernetes::workload_state::WorkloadState;
use crate::model::change::{Change, ObjectRef};
use crate::model::intent::Intent;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;

/// The field of the first form.
pub(super) const REPLICAS: &str = "spec.replicas";

/// What is wanted, of what.
pub(super) struct Wanted<'a> {
    pub(super) workload: &'a Workload,
    pub(super) namespace: &'a str,
    pub(super) replicas: i64,
    pub(super) raise_maximum: bool,
}

/// What was worked out: the changes (none: it is there already), the autoscaler where there is one, and what was before.
pub(super) struct Worked {
    pub(super) changes: Vec<Change>,
    pub(super) autoscaler: Option<String>,
    pub(super) previous: i64,
}

impl Wanted<'_> {
    /// What is to be changed, given what was observed.
    pub(super) fn work_out(&self, target: &TargetSpec, prior: &Value) -> Result<Worked, Failure> {
        let Self { workload, replicas, .. } = self;
        let unobserved = || Failure::permanent(format!("the replicas of {workload} were not observed"));
        let was = prior.get("replicas").and_then(Value::as_i64).ok_or_else(unobserved)?;
        if let Some(owner) = prior.get("owner").and_then(Value::as_str) {
            return Err(Failure::permanent(format!("{workload} belongs to {owner}, which puts its replicas back"))
                .hint(format!("scale {owner} instead: what owns a workload says how many pods it has")));
        }
        let autoscaler = prior.get("autoscaler").filter(|autoscaler| !autoscaler.is_null());
        let Some(autoscaler) = autoscaler else {
            let object = object_ref(target, self.namespace, workload).ok_or_else(unobserved)?;
            let changes =
                if was == *replicas { Vec::new() } else { vec![change(&object, REPLICAS, "replicas".to_owned(), was, *replicas)] };
            return Ok(Worked { changes, autoscaler: None, previous: was });
        };
        let name = autoscaler.get("name").and_then(Value::as_str).ok_or_else(unobserved)?;
        let number = |key: &str| autoscaler.get(key).and_then(Value::as_i64).ok_or_else(unobserved);
        let (floor, ceiling) = (number("min")?, number("max")?);
        if let Some(scaled_object) = autoscaler.get("scaled_object").and_then(Value::as_str) {
            return Err(horizontal::of_keda(name, scaled_object));
        }
        if *replicas == 0 {
            let message = format!(
                "the autoscaler {name} owns the replicas of {workload}, and its floor cannot be 0: that needs the cluster's feature HPAScaleToZero and a metric from outside"
            );
            return Err(Failure::permanent(message).hint("the lowest floor is 1; to stop it altogether, delete the autoscaler first"));
        }
        if was == 0 {
            let message =
                format!("replicas of {workload} are 0, which switches its autoscaler {name} off: a floor of {replicas} would start no pod");
            return Err(Failure::permanent(message)
                .hint(format!("switch it on first: `kubectl scale {workload} --replicas={replicas} -n {}`", self.namespace)));
        }
        let object = horizontal::object_ref(target, self.namespace, name).ok_or_else(unobserved)?;
        let mut changes = Vec::new();
        if floor != *replicas {
            changes.push(change(&object, FLOOR, format!("floor of the autoscaler {name}"), floor, *replicas));
        }
        if *replicas > ceiling {
            if !self.raise_maximum {
                let message =
                    format!("{replicas} replicas of {workload} are wanted, and its autoscaler {name} goes up to {ceiling} (`maxReplicas`)");
                return Err(Failure::permanent(message).hint(format!("want {ceiling} or fewer, or say `raise_maximum: true`")));
            }
            changes.push(change(&object, CEILING, format!("maximum of the autoscaler {name}"), ceiling, *replicas));
        }
        Ok(Worked { changes, autoscaler: Some(name.to_owned()), previous: floor })
    }
}

fn change(object: &ObjectRef, field: &str, label: String, prior: i64, after: i64) -> Change {
    Change { object: object.clone(), field: field.to_owned(), label, prior: json!(prior), after: json!(after) }
}

/// What an intent keeps for later, without the inputs.
pub(super) struct Noted {
    pub(super) workload: Workload,
    pub(super) namespace: String,
    pub(super) selector: String,
    /// The autoscaler whose floor it is.
    pub(super) autoscaler: Option<String>,
    /// The replicas, or the floor, before and after.
    pub(super) prior: i64,
    pub(super) after: i64,
    /// The replicas that were wanted before, whoever wanted them.
    pub(super) replicas_before: i64,
}

impl Noted {
    pub(super) fn of(intent: &Intent) -> Result<Self, Failure> {
        let text = |key: &str| intent.note.get(key).and_then(Value::as_str);
        let change = intent.changes.first();
        let read = || {
            let prior = change?.prior.as_i64()?;
            Some(Self {
                workload: text("workload")?.parse().ok()?,
                namespace: text("namespace")?.to_owned(),
                selector: text("selector")?.to_owned(),
                autoscaler: text("autoscaler").map(str::to_owned),
                prior,
                after: change?.after.as_i64()?,
                replicas_before: intent.note.get("replicas_before").and_then(Value::as_i64).unwrap_or(prior),
            })
        };
        read().ok_or_else(|| Failure::permanent("what this step recorded does not name a workload and its replicas"))
    }

    /// What holds the fields, for people.
    pub(super) fn owner(&self) -> String {
        self.autoscaler.as_ref().map_or_else(|| self.workload.to_string(), |name| format!("the autoscaler {name}"))
    }

    /// The outputs once `replicas` are wanted.
    pub(super) fn outputs(&self, replicas: i64, ready: Option<i64>) -> Value {
        outputs(replicas, ready, self.prior, self.autoscaler.as_deref())
    }
}

/// The outputs of a scaling.
pub(super) fn outputs(replicas: i64, ready: Option<i64>, previous: i64, autoscaler: Option<&str>) -> Value {
    json!({
        "replicas": replicas,
        "ready_replicas": ready,
        "previous_replicas": previous,
        "floor": autoscaler.is_some(),
        "autoscaler": autoscaler,
    })
}

/// What is to be known of a change under an autoscaler.
pub(super) fn says(workload: &Workload, autoscaler: &str) -> String {
    format!("the autoscaler {autoscaler} owns the replicas of {workload}: its floor is set instead of them, and the pods follow it")
}

/// The live value of each change; `None` where the object that holds them is gone.
pub(super) async fn live(api: &Api, noted: &Noted, intent: &Intent, state: Option<&WorkloadState>) -> Result<Option<Vec<Value>>, Failure> {
    let Some(name) = &noted.autoscaler else { return Ok(state.map(|state| vec![json!(state.replicas)])) };
    let Some(object) = horizontal::place(&noted.namespace, name).read(api).await? else { return Ok(None) };
    let fields = forth(&intent.changes)?;
    Ok(Some(fields.iter().map(|swap| swap.field.get(&object)).collect()))
}

/// Who owns the replicas is not who owned them when it was planned.
pub(super) fn changed_hands(workload: &Workload, planned: Option<&str>, owner: Option<&str>) -> Failure {
    let message = match (planned, owner) {
        (None, Some(owner)) => {
            format!("the autoscaler {owner} has taken over the replicas of {workload} since this was planned: they are not set under it")
        }
        (Some(planned), None) => format!("the autoscaler {planned} of {workload} is gone since this was planned: there is no floor to set"),
        (planned, owner) => format!(
            "the replicas of {workload} have changed hands since this was planned, from {} to {}",
            planned.unwrap_or("nobody"),
            owner.unwrap_or("nobody")
        ),
    };
    Failure::permanent(message).hint("look at who scales it (`kubectl get hpa`), then `runsheet retry` plans the step anew")
}

/// An autoscaler has come since the replicas were set: what would be put back under it, it would change again.
pub(super) fn taken_over(workload: &Workload, owner: &str) -> Failure {
    Failure::permanent(format!(
        "the autoscaler {owner} has taken over the replicas of {workload} since they were set: they were left alone"
    ))
    .hint(format!("delete the autoscaler {owner}, then `runsheet retry` puts them back; or `runsheet skip` leaves them to it"))
}

/// The line for a person's hands that sets these values.
pub(super) fn by_hand(
    workload: &Workload,
    namespace: &str,
    autoscaler: Option<&str>,
    changes: &[Change],
    value: fn(&Change) -> &Value,
) -> String {
    let Some(name) = autoscaler else {
        let count = changes.first().map_or(&Value::Null, value);
        return format!("kubectl scale {workload} --replicas={count} -n {namespace}");
    };
    let spec: serde_json::Map<String, Value> =
        changes.iter().map(|change| (change.field.trim_start_matches("spec.").to_owned(), value(change).clone())).collect();
    let patch = crate::model::by_hand::word(&json!({ "spec": spec }));
    format!("kubectl patch hpa {name} -n {namespace} --type=merge -p {patch}")
}
