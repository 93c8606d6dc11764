//! `k8s.set_resources`: sets what a workload's container requests and may use at most, by a rollout or in place.
//!
//! Must not wait until the pods have followed: that is a check's part. Invariant: each amount is only ever swapped, from the one that was recorded
//! to the one that is wanted, and back to the very text that was there.

mod by_hand;
mod inputs;
mod parts;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use self::inputs::{Input, Mode};
use self::parts::{AmountSwap, Part};
use super::api::Api;
use super::argocd::{self, ARGOCD, Thing};
use super::field_path::FieldPath;
use super::permissions::{Asking, On};
use super::pod_template::{self, place};
use super::quantity::{amount, same};
use super::rollout::Rollout;
use super::standing::Together;
use super::swap_fields::{UID, uid_of};
use super::workload::{Kind, Workload};
use super::{cluster, horizontal, named_ref, object_ref};
use crate::actions::support::{kept, output, schema};
use crate::environment::Connections;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef, Swap};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

pub(super) const NAME: &str = "k8s.set_resources";

/// The action.
pub(super) struct SetResources {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    let mut outputs = vec![
        output(
            "resources",
            "map",
            "what the step set: `requests` and `limits`, each with `cpu` (cores) and `memory` (bytes) as quantities",
        ),
        output("resized", "boolean", "`in_place`: whether every pod runs with it; null for a rollout"),
    ];
    outputs.extend(Rollout::declared());
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Set the CPU and memory that a container requests, and its limits, by a rollout or in place".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs,
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches: pod_template::touches,
        by_hand: by_hand::by_hand,
        permissions,
    })
});

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    let workload = asking.workload(inputs);
    if let Some(workload) = &workload {
        asking.reads("get", workload);
    }
    asking.add(Purpose::Reads, Extent::Without("whether an autoscaler counts by the requests"), "list", &On::autoscalers());
    match (inputs.get("mode").filter(|mode| !mode.is_null()).and_then(Value::as_str), &workload) {
        (Some("in_place"), _) => {
            asking.reads("list", &On::pods());
            asking.reads("get", &On::pods());
            asking.changes("patch", &On::pods().part("resize"));
        }
        (None | Some("rollout"), Some(workload)) => {
            asking.changes("patch", workload);
            asking.reverts("list", &On::pods());
        }
        (None | Some("rollout"), None) => {}
        (Some(_), _) => asking.untold("the mode"),
    }
    let mut needs = asking.needs();
    argocd::reads(&mut needs, target);
    needs
}

/// What an intent keeps for later.
struct Noted {
    workload: Workload,
    namespace: String,
    container: String,
    in_place: bool,
}

impl Noted {
    fn of(intent: &Intent) -> Result<Self, Failure> {
        let (workload, namespace) = pod_template::noted(intent)?;
        let text = |key: &str| intent.note.get(key).and_then(Value::as_str);
        let container = text("container").ok_or_else(|| Failure::permanent("what this step recorded names no container"))?.to_owned();
        Ok(Self { workload, namespace, container, in_place: text("mode") == Some("in_place") })
    }

    fn parts(&self, intent: &Intent) -> Result<Vec<Part>, Failure> {
        let swaps = intent.changes.iter().map(|change| {
            let swap = AmountSwap { field: change.field.clone(), from: change.prior.clone(), to: change.after.clone() };
            (change.object.clone(), swap)
        });
        parts::parts(&self.workload, &self.namespace, intent, swaps)
    }
}

impl SetResources {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    async fn outputs(&self, api: &Api, noted: &Noted, intent: &Intent) -> Value {
        let mut outputs = json!({ "resources": intent.note["resources"], "resized": null });
        // What was written is certain; that a reading after it may fail must not make it less so.
        if let Ok(Some(object)) = place(&noted.workload, &noted.namespace).read(api).await {
            Rollout::of(noted.workload.kind, &object).add_to(&mut outputs);
        } else {
            Rollout::declared().iter().for_each(|field| outputs[&field.name] = Value::Null);
        }
        if noted.in_place
            && let Ok(parts) = noted.parts(intent)
            && let Ok(held) = parts::held(api, &parts, &noted.container).await
        {
            outputs["resized"] = json!(held.is_none());
        }
        outputs
    }

    async fn swap(&self, cx: &Context, intent: &Intent, pick: impl FnOnce(&Noted) -> Result<Vec<Part>, Failure>) -> Applied {
        let ready = || {
            let noted = Noted::of(intent)?;
            Ok((pick(&noted)?, noted, Api::new(&self.connections, cx)?))
        };
        let (parts, noted, api) = match ready() {
            Ok(ready) => ready,
            Err(failure) => return Applied::NotApplied { failure },
        };
        match parts::swap(&api, &parts, &cx.log).await {
            Ok(()) => Applied::Applied { outputs: self.outputs(&api, &noted, intent).await },
            Err(applied) => applied,
        }
    }
}

/// An amount of `{ requests: .., limits: .. }` by its field.
fn at<'a>(amounts: &'a Value, field: &str) -> &'a Value {
    amounts.pointer(&format!("/{}", field.replace('.', "/"))).unwrap_or(&Value::Null)
}

/// An amount of a container in its workload's template, as the ledger names it.
fn template_field(container: &str, field: &str) -> String {
    format!("spec.template.spec.containers[{container}].resources.{field}")
}

/// A request above its limit: the server would refuse it, in other words.
fn fits(amounts: &Value) -> Result<(), Failure> {
    for resource in ["cpu", "memory"] {
        let (request, limit) = (at(amounts, &format!("requests.{resource}")), at(amounts, &format!("limits.{resource}")));
        if let (Some(asked), Some(most)) = (amount(request), amount(limit))
            && asked > most
        {
            return Err(Failure::permanent(format!(
                "requests.{resource} would be {request}, above limits.{resource}, which would be {limit}"
            ))
            .hint(format!("set `limits.{resource}`, too, or request less")));
        }
    }
    Ok(())
}

/// The fields that differ from what is wanted.
fn changes(object: &ObjectRef, containers: &str, label: &str, live: &Value, wanted: &[(&str, &str)]) -> Result<Vec<Change>, Failure> {
    let mut merged = live.clone();
    let mut changes = Vec::new();
    for (name, after) in wanted {
        let (prior, after) = (at(live, name).clone(), json!(after));
        if let Some((side, resource)) = name.split_once('.') {
            merged[side][resource] = after.clone();
        }
        if !same(&prior, &after) {
            let (field, label) = (format!("{containers}.resources.{name}"), format!("{label}{name}"));
            changes.push(Change { object: object.clone(), field, label, prior, after });
        }
    }
    fits(&merged).map(|()| changes)
}

#[async_trait]
impl Action for SetResources {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let workload = &input.workload.0;
        let place = place(workload, &namespace);
        let api = Api::new(&self.connections, cx)?;
        let object = place.read(&api).await?.ok_or_else(|| place.missing())?;
        let container = pod_template::container(&place, &object, input.container.as_deref())?;
        let kind = if workload.kind == Kind::StatefulSet { "StatefulSet" } else { "Deployment" };
        // Who may not list autoscalers may still change resources; the plan says what is not known.
        let scaled_by = horizontal::names(&api, &namespace, kind, &workload.name).await.ok();
        let mut observed = json!({
            "resources": parts::amounts(&object, "spec.template.spec.containers", &container)?,
            "resized": null,
            "autoscalers": scaled_by,
            "container": container,
            "name": place.name,
            "namespace": namespace,
            "uid": uid_of(&object),
            ARGOCD: null,
        });
        if input.mode == Mode::Rollout {
            // What is changed in place are pods, of which a repository says nothing.
            let fields: Vec<String> = input.wanted().iter().map(|(field, _)| template_field(&container, field)).collect();
            observed[ARGOCD] = argocd::foretell(&api, cx.target.as_ref(), Thing::of(&object), fields.iter().map(String::as_str)).await?;
        }
        let rollout = Rollout::of(workload.kind, &object);
        observed["holds"] = json!((!rollout.complete).then_some(&rollout.message));
        rollout.add_to(&mut observed);
        if input.mode == Mode::InPlace {
            if !parts::resizes(&api).await? {
                return Err(Failure::permanent("this cluster does not resize pods in place: it has no `pods/resize`")
                    .hint("it needs Kubernetes 1.33 or later; use `mode: rollout`"));
            }
            let pods = parts::pods(&api, &namespace, &pod_template::selector(&place, &object)?, &container).await?;
            let right =
                |pod: &parts::PodAmounts| input.wanted().iter().all(|(field, wanted)| same(at(&pod.amounts, field), &json!(wanted)));
            observed["resized"] = json!(pods.iter().all(|pod| pod.waits.is_none() && right(pod)));
            observed["pods"] = pods.iter().map(|pod| json!({ "name": pod.name, "resources": pod.amounts, "waits": pod.waits })).collect();
        }
        Ok(observed)
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let (workload, wanted) = (&input.workload.0, input.wanted());
        let target = cluster(NAME, cx)?;
        let unobserved = || Failure::permanent(format!("the resources of {workload} were not observed"));
        let container = prior.get("container").and_then(Value::as_str).ok_or_else(unobserved)?;
        let mut all = Vec::new();
        let mut says = Vec::new();
        match input.mode {
            Mode::Rollout => {
                let object = object_ref(target, &namespace, workload).ok_or_else(unobserved)?;
                all = changes(&object, &format!("spec.template.spec.containers[{container}]"), "", &prior["resources"], &wanted)?;
                says.push(format!("it changes the pods' template: every pod of {workload} is restarted, and again by a rollback"));
            }
            Mode::InPlace => {
                for pod in prior.get("pods").and_then(Value::as_array).ok_or_else(unobserved)? {
                    let name = pod.get("name").and_then(Value::as_str).ok_or_else(unobserved)?;
                    let object = named_ref(target, &namespace, &format!("pod/{name}")).ok_or_else(unobserved)?;
                    let label = format!("{name} ");
                    all.extend(changes(&object, &format!("spec.containers[{container}]"), &label, &pod["resources"], &wanted)?);
                }
                says.push(format!("the template of {workload} stays as it is: every pod that is made from now on gets its amounts"));
            }
        }
        if wanted.iter().any(|(field, _)| field.starts_with("requests.")) {
            let names = prior.get("autoscalers").and_then(Value::as_array);
            let names = names.map(|names| names.iter().filter_map(Value::as_str).map(|name| format!("hpa/{name}")).collect::<Vec<_>>());
            match names.as_deref() {
                Some([]) => {}
                Some(names) => says.push(format!(
                    "{} scales {workload}, and utilisation is a percentage of the requests: with other requests the same load gives another number of pods",
                    names.join(", ")
                )),
                None => says.push(
                    "the autoscalers could not be read: where one scales by utilisation, which is a percentage of the requests, the same load gives another number of pods"
                        .to_owned(),
                ),
            }
        }
        let mut resources = json!({});
        for (side, resource, value) in wanted.iter().filter_map(|(field, value)| field.split_once('.').map(|(side, of)| (side, of, value)))
        {
            if resources.get(side).is_none() {
                resources[side] = Value::Object(Map::new());
            }
            resources[side][resource] = json!(value);
        }
        if all.is_empty() {
            let mut outputs = json!({ "resources": resources, "resized": prior["resized"] });
            for field in Rollout::declared() {
                outputs[&field.name] = prior[&field.name].clone();
            }
            return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs) });
        }
        let told = argocd::judge(prior, &all)?;
        let revert = match kept(rollback) {
            Some(reason) => Revert::Keep { reason },
            None => Revert::Fields { settle: input.settle.unwrap_or(Span::seconds(600)) },
        };
        let lines = |after: bool| by_hand::lines(workload, &namespace, container, &all, after);
        let (by_hand, undo_by_hand) = (lines(true), lines(false));
        let note = json!({
            "workload": workload.to_string(),
            "namespace": namespace,
            "container": container,
            "uid": prior[UID],
            "mode": if input.mode == Mode::InPlace { "in_place" } else { "rollout" },
            "resources": resources,
            ARGOCD: told,
            "says": says.join("; "),
        });
        Ok(Plan { intent: Intent { changes: all, revert, note, by_hand, undo_by_hand, ..Intent::default() }, unchanged: None })
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        argocd::tell(cx, intent);
        self.swap(cx, intent, |noted| noted.parts(intent)).await
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let mut stands = Vec::new();
        for part in &noted.parts(intent)? {
            match part.place.read(&api).await? {
                Some(object) => stands.extend(part.stands(&object)),
                // It took its change with it.
                None if part.is_pod => {}
                None => return Ok(Verdict::CannotTell { reason: format!("there is no {} any more", part.place) }),
            }
        }
        let outputs = self.outputs(&api, &noted, intent).await;
        Ok(Together::of(stands).verdict(|| outputs))
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let parts = noted.parts(intent)?;
        let mut objects = Vec::with_capacity(parts.len());
        for part in &parts {
            objects.push((part, part.place.read(&api).await?));
        }
        let one = |change: &Change| {
            let (part, object) = objects.iter().find(|(part, _)| match change.object.0.rsplit_once("/pod/") {
                Some((_, name)) => part.is_pod && part.place.name == name,
                None => !part.is_pod,
            })?;
            match object {
                Some(object) => Some(parts::live(&change.field, object, &change.prior, &change.after)),
                // The pod that takes its place has what the template says: nothing is left to be put back.
                None if part.is_pod => Some(change.prior.clone()),
                None => None,
            }
        };
        Ok(intent.changes.iter().map(one).collect())
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        let wrong = swaps.iter().find(|swap| swap.field.parse::<FieldPath>().is_err() || !swap.field.contains(".resources."));
        if let Some(swap) = wrong {
            return Applied::NotApplied { failure: Failure::permanent(format!("{} of {} cannot be put back", swap.field, swap.object)) };
        }
        self.swap(cx, intent, |noted| {
            let swaps = swaps.iter().map(|swap| {
                let amounts = AmountSwap { field: swap.field.clone(), from: swap.from.clone(), to: swap.to.clone() };
                (swap.object.clone(), amounts)
            });
            parts::parts(&noted.workload, &noted.namespace, intent, swaps)
        })
        .await
    }

    async fn followed(&self, cx: &Context, intent: &Intent) -> Result<Followed, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        if !noted.in_place {
            return pod_template::followed(&api, &noted.workload, &noted.namespace).await;
        }
        let held = parts::held(&api, &noted.parts(intent)?, &noted.container).await?;
        Ok(held.map_or(Followed::Yes, |holds| Followed::No { holds }))
    }
}

#[cfg(test)]
mod tests;
