//! The two forms of a scaling: the replicas of a workload, or, where an autoscaler or a ScaledObject of KEDA owns them, its floor. What is
//! planned, and what an intent keeps of it.
//!
//! Must not write anything. Invariant: an intent names one form, and everything later goes by that form alone.

use crate::actions::kubernetes::object_ref;
use serde_json::{Value, json};

use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::argocd::{self, Thing};
use crate::actions::kubernetes::field_path::FieldPath;
use crate::actions::kubernetes::horizontal::{self, CEILING, FLOOR};
use crate::actions::kubernetes::managed;
use crate::actions::kubernetes::pod_template;
use crate::actions::kubernetes::rollout::Rollout;
use crate::actions::kubernetes::scaled_object::{self, ScaledObject};
use crate::actions::kubernetes::scaler::{Kind, Scaler, ScalerName};
use crate::actions::kubernetes::swap_fields::{MANAGER, Place, forth};
use crate::actions::kubernetes::workload::Workload;
use crate::actions::kubernetes::workload_state::WorkloadState;
use crate::model::change::{Change, ObjectRef};
use crate::model::intent::Intent;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;

/// The field of the first form.
pub(super) use crate::actions::kubernetes::argocd::REPLICAS;

/// The key under which a reading keeps what Argo CD makes of the workload's replicas under an autoscaler.
pub(super) const ARGOCD_PODS: &str = "argocd_pods";

/// What is wanted, of what.
pub(super) struct Wanted<'a> {
    pub(super) workload: &'a Workload,
    pub(super) namespace: &'a str,
    pub(super) replicas: i64,
    pub(super) raise_maximum: bool,
}

/// What was worked out: the changes (none: it is there already), who owns the replicas where somebody does, and what was before.
pub(super) struct Worked {
    pub(super) changes: Vec<Change>,
    pub(super) scaler: Option<ScalerName>,
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
                if was == *replicas { Vec::new() } else { vec![change(&object, REPLICAS, "replicas".to_owned(), json!(was), *replicas)] };
            return Ok(Worked { changes, scaler: None, previous: was });
        };
        let name = autoscaler.get("name").and_then(Value::as_str).ok_or_else(unobserved)?;
        let scaler = ScalerName::of(autoscaler.get("kind").and_then(Value::as_str), name);
        let number = |key: &str| autoscaler.get(key).and_then(Value::as_i64).ok_or_else(unobserved);
        let (floor, ceiling) = (number("min")?, number("max")?);
        let refused = match scaler.kind {
            Kind::Horizontal => self.under_horizontal(name, autoscaler, was),
            Kind::ScaledObject => self.under_keda(name, autoscaler),
        };
        if let Some(failure) = refused {
            return Err(failure);
        }
        let object = scaler.object_ref(target, self.namespace).ok_or_else(unobserved)?;
        // KEDA has defaults of its own where a field is not there: what was absent is absent again after a rollback.
        let set = |key: &str, effective: i64| match scaler.kind {
            Kind::Horizontal => json!(effective),
            Kind::ScaledObject => autoscaler.get(key).cloned().unwrap_or_default(),
        };
        let mut changes = Vec::new();
        if floor != *replicas {
            changes.push(change(&object, scaler.kind.floor(), format!("floor of {scaler}"), set("min_set", floor), *replicas));
        }
        if *replicas > ceiling {
            if !self.raise_maximum {
                let field = scaler.kind.ceiling().trim_start_matches("spec.");
                let own = format!("{scaler}").trim_start_matches("the ").to_owned();
                let message = format!("{replicas} replicas of {workload} are wanted, and its {own} goes up to {ceiling} (`{field}`)");
                return Err(Failure::permanent(message).hint(format!("want {ceiling} or fewer, or say `raise_maximum: true`")));
            }
            changes.push(change(&object, scaler.kind.ceiling(), format!("maximum of {scaler}"), set("max_set", ceiling), *replicas));
        }
        Ok(Worked { changes, scaler: Some(scaler), previous: floor })
    }

    /// Why the floor of this HPA cannot be set.
    fn under_horizontal(&self, name: &str, autoscaler: &Value, was: i64) -> Option<Failure> {
        let Self { workload, replicas, .. } = self;
        if let Some(scaled_object) = autoscaler.get("scaled_object").and_then(Value::as_str) {
            return Some(horizontal::of_keda(name, scaled_object));
        }
        if *replicas == 0 {
            let message = format!(
                "the autoscaler {name} owns the replicas of {workload}, and its floor cannot be 0: that needs the cluster's feature HPAScaleToZero and a metric from outside"
            );
            return Some(Failure::permanent(message).hint("the lowest floor is 1; to stop it altogether, delete the autoscaler first"));
        }
        if was == 0 {
            let message =
                format!("replicas of {workload} are 0, which switches its autoscaler {name} off: a floor of {replicas} would start no pod");
            return Some(
                Failure::permanent(message)
                    .hint(format!("switch it on first: `kubectl scale {workload} --replicas={replicas} -n {}`", self.namespace)),
            );
        }
        None
    }

    /// Why the floor of this ScaledObject cannot be set, or would be none.
    fn under_keda(&self, name: &str, scaled_object: &Value) -> Option<Failure> {
        let Self { workload, replicas, namespace, .. } = self;
        if let Some(annotation) = scaled_object.get("paused").and_then(Value::as_str) {
            let message = format!(
                "KEDA is paused for {workload} (`{annotation}` of the ScaledObject {name}): it is frozen, and a floor of {replicas} would start no pod"
            );
            let key = annotation.split(':').next().unwrap_or_default();
            let line =
                if key.is_empty() { String::new() } else { format!(" (`kubectl annotate scaledobject {name} {key}- -n {namespace}`)") };
            return Some(Failure::permanent(message).hint(format!("let KEDA go on first: `k8s.keda` with `paused: false`{line}")));
        }
        if let Some(idle) = scaled_object.get("idle").and_then(Value::as_i64) {
            let message = format!(
                "the ScaledObject {name} goes down to {idle} pods (`idleReplicaCount`) whenever none of its triggers is active, whatever its floor: {replicas} replicas of {workload} would not stay"
            );
            return Some(
                Failure::permanent(message).hint("take `idleReplicaCount` away first (`k8s.patch`, `spec.idleReplicaCount: null`)"),
            );
        }
        None
    }
}

fn change(object: &ObjectRef, field: &str, label: String, prior: Value, after: i64) -> Change {
    Change { object: object.clone(), field: field.to_owned(), label, prior, after: json!(after) }
}

/// What an intent keeps for later, without the inputs.
pub(super) struct Noted {
    pub(super) workload: Workload,
    pub(super) namespace: String,
    pub(super) selector: String,
    /// The one whose floor it is.
    pub(super) scaler: Option<ScalerName>,
    /// The very workload that was planned for; any of its name where a floor is what was set.
    pub(super) place: Place,
    /// The scaler that was planned for, as a place.
    pub(super) floor: Option<Place>,
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
            let prior = match &change?.prior {
                // A floor that was not there: KEDA takes 0 for it.
                Value::Null => 0,
                prior => prior.as_i64()?,
            };
            let (workload, namespace): (Workload, _) = (text("workload")?.parse().ok()?, text("namespace")?.to_owned());
            let any = pod_template::place(&workload, &namespace);
            let scaler = text("autoscaler").map(|name| ScalerName::of(text("scaler"), name));
            let floor = scaler.as_ref().map(|scaler| scaler.place(&namespace).of(intent));
            Some(Self {
                place: if floor.is_some() { any } else { any.of(intent) },
                floor,
                workload,
                namespace,
                selector: text("selector")?.to_owned(),
                scaler,
                prior: number_or(intent, "floor_before", prior),
                after: change?.after.as_i64()?,
                replicas_before: number_or(intent, "replicas_before", prior),
            })
        };
        read().ok_or_else(|| Failure::permanent("what this step recorded does not name a workload and its replicas"))
    }

    /// What holds the fields, for people.
    pub(super) fn owner(&self) -> String {
        self.scaler.as_ref().map_or_else(|| self.workload.to_string(), ToString::to_string)
    }

    /// The outputs once `replicas` are wanted.
    pub(super) fn outputs(&self, replicas: i64, ready: Option<i64>) -> Value {
        outputs(replicas, ready, self.prior, self.scaler.as_ref())
    }
}

/// A number of the note, else this.
fn number_or(intent: &Intent, key: &str, otherwise: i64) -> i64 {
    intent.note.get(key).and_then(Value::as_i64).unwrap_or(otherwise)
}

/// The outputs of a scaling.
pub(super) fn outputs(replicas: i64, ready: Option<i64>, previous: i64, scaler: Option<&ScalerName>) -> Value {
    json!({
        "replicas": replicas,
        "ready_replicas": ready,
        "previous_replicas": previous,
        "floor": scaler.is_some(),
        "autoscaler": scaler.map(|scaler| &scaler.name),
    })
}

/// What Argo CD will make of the change: of the replicas, or of the floor and maximum of the autoscaler that owns them.
pub(super) async fn foretell(api: &Api, target: Option<&TargetSpec>, workload: &Value, scaler: Option<&Scaler>) -> Result<Value, Failure> {
    match scaler {
        None => argocd::foretell(api, target, Thing::of(workload), [REPLICAS]).await,
        // It is refused.
        Some(Scaler::Horizontal(one)) if one.scaled_object().is_some() => Ok(Value::Null),
        Some(Scaler::Horizontal(one)) => argocd::foretell(api, target, one.thing(), [FLOOR, CEILING]).await,
        Some(Scaler::ScaledObject(one, _)) => {
            argocd::foretell(api, target, one.thing(), [scaled_object::FLOOR, scaled_object::CEILING]).await
        }
    }
}

/// What is told of Argo CD: of the changes, and of the workload's replicas where an autoscaler's floor moves them.
///
/// # Errors
/// Where it would put them back.
pub(super) fn judge(target: &TargetSpec, wanted: &Wanted<'_>, prior: &Value, changes: &[Change]) -> Result<Value, Failure> {
    let told = argocd::judge(prior, changes)?;
    let (Some(object), Some(foretold)) = (object_ref(target, wanted.namespace, wanted.workload), prior.get(ARGOCD_PODS)) else {
        return Ok(told);
    };
    let was = prior.get("replicas").cloned().unwrap_or_default();
    let replicas = Change { object, field: REPLICAS.to_owned(), label: "replicas".to_owned(), prior: was, after: json!(wanted.replicas) };
    let of_pods = argocd::judge(&json!({ argocd::ARGOCD: foretold }), &[replicas])?;
    Ok(if told.is_null() { of_pods } else { told })
}

/// What is to be known of a change under an autoscaler.
pub(super) fn says(workload: &Workload, scaler: &ScalerName) -> String {
    format!("{scaler} owns the replicas of {workload}: its floor is set instead of them, and the pods follow it")
}

/// The live value of each change; `None` where the object that holds them is gone.
pub(super) async fn live(api: &Api, noted: &Noted, intent: &Intent, state: Option<&WorkloadState>) -> Result<Option<Vec<Value>>, Failure> {
    let Some(floor) = &noted.floor else { return Ok(state.map(|state| vec![json!(state.replicas)])) };
    let Some(object) = floor.read(api).await? else { return Ok(None) };
    let fields = forth(&intent.changes)?;
    Ok(Some(fields.iter().map(|swap| swap.field.get(&object)).collect()))
}

/// What holds the scaler whose floor was set, in words; `None` where there is none any more.
pub(super) async fn held(api: &Api, noted: &Noted) -> Result<Option<String>, Failure> {
    let (Some(floor), Some(scaler)) = (&noted.floor, &noted.scaler) else { return Ok(None) };
    let Some(object) = floor.read(api).await? else { return Ok(None) };
    if scaler.kind == Kind::Horizontal {
        return Ok(Some(horizontal::what_holds(&object)));
    }
    let Some(scaled) = ScaledObject::of(object) else { return Ok(None) };
    let hpa = horizontal::place(&noted.namespace, &scaled.hpa()).read(api).await?.and_then(horizontal::Horizontal::of);
    Ok(Some(scaled_object::what_holds(&scaled, hpa.as_ref())))
}

/// What keeps the pods from being as many as they are to be, in words; and who set that number, where it was not this tool.
pub(super) fn holds(workload: &Workload, object: &Value, state: &WorkloadState, field: Option<&FieldPath>) -> Option<String> {
    let rollout = Rollout::of(workload.kind, object);
    let mut holds = Vec::new();
    let setters = field.map(|field| managed::set_by(object, field)).unwrap_or_default();
    if !setters.is_empty() && !setters.iter().any(|setter| setter == MANAGER) {
        holds.push(format!("that {workload} is to have {} replicas was set by {}", state.replicas, setters.join(", ")));
    }
    if !rollout.complete {
        holds.push(rollout.message);
    }
    (!holds.is_empty()).then(|| holds.join("; "))
}

/// Who owns the replicas is not who owned them when it was planned.
pub(super) fn changed_hands(workload: &Workload, planned: Option<&ScalerName>, owner: Option<&ScalerName>) -> Failure {
    let message = match (planned, owner) {
        (None, Some(owner)) => {
            format!("{owner} has taken over the replicas of {workload} since this was planned: they are not set under it")
        }
        (Some(planned), None) => format!("{planned} of {workload} is gone since this was planned: there is no floor to set"),
        (planned, owner) => {
            let told = |scaler: Option<&ScalerName>| scaler.map_or_else(|| "nobody".to_owned(), ToString::to_string);
            format!("the replicas of {workload} have changed hands since this was planned, from {} to {}", told(planned), told(owner))
        }
    };
    Failure::permanent(message)
        .hint("look at who scales it (`kubectl get hpa`, `kubectl get scaledobject`), then `runsheet retry` plans the step anew")
}

/// An autoscaler has come since the replicas were set: what would be put back under it, it would change again.
pub(super) fn taken_over(workload: &Workload, owner: &ScalerName) -> Failure {
    Failure::permanent(format!("{owner} has taken over the replicas of {workload} since they were set: they were left alone"))
        .hint(format!("delete {owner}, then `runsheet retry` puts them back; or `runsheet skip` leaves them to it"))
}

/// The line for a person's hands that sets these values.
pub(super) fn by_hand(
    workload: &Workload,
    namespace: &str,
    scaler: Option<&ScalerName>,
    changes: &[Change],
    value: fn(&Change) -> &Value,
) -> String {
    let Some(scaler) = scaler else {
        let count = changes.first().map_or(&Value::Null, value);
        return format!("kubectl scale {workload} --replicas={count} -n {namespace}");
    };
    let spec: serde_json::Map<String, Value> =
        changes.iter().map(|change| (change.field.trim_start_matches("spec.").to_owned(), value(change).clone())).collect();
    let patch = crate::model::by_hand::word(&json!({ "spec": spec }));
    format!("kubectl patch {} -n {namespace} --type=merge -p {patch}", scaler.kubectl())
}
