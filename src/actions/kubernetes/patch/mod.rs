//! `k8s.patch`: sets and removes single fields of any object.
//!
//! Must not take a patch as it is: what cannot be named field by field cannot be put back. Invariant: all fields of a step are swapped by one patch,
//! from the values that were recorded; any other value that is found there is somebody else's and stays.

mod by_hand;
mod fields;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::fields::{live, settable};
use super::api::Api;
use super::argocd::{self, ARGOCD, Thing};
use super::field_path::FieldPath;
use super::managed;
use super::object::ObjectName;
use super::permissions::{Asking, On};
use super::standing::{Stands, Together, field};
use super::swap_fields::{Judged, Place, UID, apply, foreign, swap_judged, uid_of};
use super::{cluster, horizontal, named_ref, namespace, scaled_object};
use crate::actions::support::{kept, output, parse, redacted, schema};
use crate::environment::Connections;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef, Swap};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "k8s.patch";

/// The inputs of `k8s.patch`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The object, as in `k8s.get`: `KIND/NAME` or `GROUP/VERSION/Kind/NAME`.
    object: ObjectName,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// The fields by name (`spec.replicas`, `spec.template.spec.containers[NAME].image`, `metadata.annotations[a.b/c]`), and what each is to be;
    /// `null`: it is to go.
    #[schemars(extend("minProperties" = 1))]
    set: Map<String, Value>,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<(Self, Vec<(FieldPath, Value)>), Failure> {
        let input: Self = parse(NAME, inputs)?;
        if input.set.is_empty() {
            return Err(Failure::permanent("`set` names no field").hint("give it at least one, `spec.x: value`"));
        }
        let object = input.object.canonical();
        let mut set: Vec<(FieldPath, Value)> = Vec::new();
        for (text, value) in &input.set {
            let path = fields::read(text, &object)?;
            if let Some((other, _)) = set.iter().find(|(other, _)| overlap(other.parts(), path.parts())) {
                return Err(Failure::permanent(format!("`set` names {other} and {path}: one lies in the other")).hint("name one of them"));
            }
            set.push((path, value.clone()));
        }
        Ok((input, set))
    }
}

fn overlap(a: &[String], b: &[String]) -> bool {
    a.iter().zip(b).all(|(a, b)| a == b)
}

/// The action.
pub(super) struct Patch {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Set and remove single fields of an object".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("fields", "map", "the fields of the step as they are now, by name"),
            output("previous_fields", "map", "the same before; null where there was none"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches,
        by_hand: by_hand::by_hand,
        permissions,
    })
});

fn touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let object = || {
        let object: ObjectName = inputs.get("object")?.as_str()?.parse().ok()?;
        reference(&object, inputs.get("namespace").and_then(Value::as_str), target?).ok()
    };
    object().into_iter().collect()
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    if let Some(on) = inputs.get("object").and_then(Value::as_str).and_then(|written| asking.object(written)) {
        asking.reads("get", &on);
        asking.changes("patch", &on);
    }
    match inputs.get("set") {
        Some(Value::Object(set)) if set.contains_key("spec.replicas") => {
            asking.add(Purpose::Reads, Extent::Where("KEDA is there"), "list", &On::scaled_objects());
            asking.reads("list", &On::autoscalers());
        }
        Some(Value::Object(_)) | None => {}
        Some(_) => {
            asking.add(Purpose::Reads, Extent::Where("`spec.replicas` is set, and KEDA is there"), "list", &On::scaled_objects());
            asking.add(Purpose::Reads, Extent::Where("`spec.replicas` is set"), "list", &On::autoscalers());
        }
    }
    let mut needs = asking.needs();
    argocd::reads(&mut needs, target);
    needs
}

fn reference(object: &ObjectName, own: Option<&str>, target: &TargetSpec) -> Result<ObjectRef, Failure> {
    let namespace = if object.has_no_namespace() { "-".to_owned() } else { namespace(own, Some(target))? };
    named_ref(target, &namespace, &object.canonical()).ok_or_else(|| Failure::permanent(format!("{object} has no cluster")))
}

/// What an intent keeps for later.
struct Noted {
    place: Place,
    fields: Vec<(FieldPath, Change)>,
}

impl Noted {
    fn of(intent: &Intent) -> Result<Self, Failure> {
        let text = |key: &str| intent.note.get(key).and_then(Value::as_str).map(str::to_owned);
        let read = || {
            let place = Place {
                path: text("path")?,
                resource: text("resource")?,
                shown: text("object")?,
                name: text("name")?,
                namespace: text("namespace")?,
                uid: None,
            }
            .of(intent);
            let fields = intent.changes.iter().map(|change| Some((change.field.parse().ok()?, change.clone()))).collect::<Option<_>>()?;
            Some(Self { place, fields })
        };
        read().ok_or_else(|| Failure::permanent("what this step recorded does not name an object and its fields"))
    }

    fn stands(&self, object: &Value, swaps: &[(usize, Value, Value)]) -> Together {
        Together::of(swaps.iter().filter_map(|(at, from, to)| {
            let (path, change) = self.fields.get(*at)?;
            let live = live(path, object, &change.prior, &change.after);
            let stands = field(&format!("{path} of {}", self.place), &live, from, to, |a, b| a == b);
            Some(if settable(path, object, to).is_err() && stands == Stands::Recorded {
                Stands::Foreign(format!("{path} of {} cannot be set any more: what it lies in was changed meanwhile", self.place))
            } else {
                stands
            })
        }))
    }

    fn all(&self) -> Vec<(usize, Value, Value)> {
        self.fields.iter().enumerate().map(|(at, (_, change))| (at, change.prior.clone(), change.after.clone())).collect()
    }

    fn outputs(&self) -> Value {
        let of = |pick: fn(&Change) -> &Value| -> Map<String, Value> {
            self.fields.iter().map(|(_, change)| (change.field.clone(), pick(change).clone())).collect()
        };
        json!({ "fields": of(|change| &change.after), "previous_fields": of(|change| &change.prior) })
    }
}

impl Patch {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    async fn swap(&self, cx: &Context, noted: &Noted, swaps: &[(usize, Value, Value)]) -> Result<Value, Applied> {
        let api = Api::new(&self.connections, cx).map_err(|failure| Applied::NotApplied { failure })?;
        swap_judged(&api, &noted.place, "", |object| match noted.stands(object, swaps) {
            Together::Wanted => Judged::Done,
            Together::Foreign(message) => Judged::Foreign(foreign(message)),
            Together::Recorded | Together::Mixed => {
                let mut patched = object.clone();
                let mut operations = Vec::new();
                for (at, _, to) in swaps {
                    let Some((path, change)) = noted.fields.get(*at) else { continue };
                    if live(path, &patched, &change.prior, &change.after) == *to {
                        continue;
                    }
                    let above = fields::swapped(path, &patched, to);
                    let path = above.as_ref().unwrap_or(path);
                    operations.extend(path.swap(&patched, to));
                    apply(&mut patched, path, to);
                }
                Judged::Write(operations)
            }
        })
        .await
    }
}

#[async_trait]
impl Action for Patch {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let (input, set) = Input::of(inputs)?;
        let api = Api::new(&self.connections, cx)?;
        let place = input.object.place(&api, || namespace(input.namespace.as_deref(), cx.target.as_ref())).await?;
        if place.namespace.is_empty() && !input.object.has_no_namespace() {
            return Err(Failure::permanent(format!(
                "{} belongs to no namespace, and of such only nodes and namespaces are changed",
                place
            ))
            .hint("use `kubectl patch`, in a `command` step"));
        }
        let object = place.read(&api).await?.ok_or_else(|| place.missing())?;
        if set.iter().any(|(path, _)| path.parts() == ["spec", "replicas"]) {
            let scaled = scaled_object::list(&api, &place.namespace).await?;
            if let Some(owner) = scaled.iter().find(|one| one.names(input.object.kind(), &place.name)) {
                let message = format!("spec.replicas of {place} belongs to KEDA's ScaledObject {}, which would set it back", owner.name);
                return Err(Failure::permanent(message).hint("raise its floor: use `k8s.scale`, or `k8s.keda`"));
            }
            let owners = horizontal::names(&api, &place.namespace, input.object.kind(), &place.name).await?;
            if let Some(owner) = owners.first() {
                return Err(Failure::permanent(format!(
                    "spec.replicas of {place} belongs to the autoscaler hpa/{owner}, which would set it back"
                ))
                .hint(format!("raise its floor: set `spec.minReplicas` of `hpa/{owner}`, or use `k8s.scale`")));
            }
        }
        if let Some(hpa) = horizontal::Horizontal::of(object.clone()).filter(|_| place.resource == horizontal::RESOURCE)
            && let Some(scaled_object) = hpa.scaled_object()
        {
            return Err(horizontal::of_keda(&place.name, &scaled_object));
        }
        let (mut seen, mut names) = (Map::new(), Map::new());
        for (path, to) in &set {
            settable(path, &object, to)?;
            let there = path.get(&object);
            if redacted(&*cx.log, there.clone()) != there {
                return Err(Failure::permanent(format!("what {path} of {place} holds is a secret of this run, and would be stored"))
                    .hint("a secret's value belongs into a Secret, to which the object refers"));
            }
            let name = fields::name(path, &object);
            names.insert(path.to_string(), json!(name));
            seen.insert(name, there);
        }
        let foretold = argocd::foretell(&api, cx.target.as_ref(), Thing::of(&object), seen.keys().map(String::as_str)).await?;
        let applied_by = managed::applied_by(&object, set.iter().map(|(path, _)| path));
        Ok(json!({
            "applied_by": applied_by, "fields": seen, "names": names, "path": place.path, "resource": place.resource, "object": place.shown, "name": place.name,
            "namespace": place.namespace, "uid": uid_of(&object), ARGOCD: foretold,
        }))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let (input, set) = Input::of(inputs)?;
        let unobserved = || Failure::permanent(format!("{} was not observed", input.object));
        let object = reference(&input.object, input.namespace.as_deref(), cluster(NAME, cx)?)?;
        let mut changes: Vec<Change> = Vec::new();
        let mut wanted = Map::new();
        for (path, to) in &set {
            let name = prior.get("names").and_then(|names| names.get(path.to_string())).and_then(Value::as_str).ok_or_else(unobserved)?;
            let was = prior.get("fields").and_then(|all| all.get(name)).ok_or_else(unobserved)?;
            if wanted.insert(name.to_owned(), to.clone()).is_some() {
                return Err(Failure::permanent(format!("`set` names {name} twice")).hint("name it once"));
            }
            // As the ledger would read it back: an amount that is written in another way is there already.
            if live(path, &holding(path, was), to, to) == *to {
                continue;
            }
            changes.push(Change {
                object: object.clone(),
                field: name.to_owned(),
                label: name.to_owned(),
                prior: was.clone(),
                after: to.clone(),
            });
        }
        if changes.is_empty() {
            let outputs = json!({ "fields": wanted, "previous_fields": prior["fields"] });
            return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs) });
        }
        let told = argocd::judge(prior, &changes)?;
        let revert = match kept(rollback) {
            Some(reason) => Revert::Keep { reason },
            None => Revert::Fields { settle: Span::seconds(60) },
        };
        let namespace = prior.get("namespace").and_then(Value::as_str).unwrap_or_default();
        let flag = if namespace.is_empty() { String::new() } else { format!(" -n {namespace}") };
        let line = |pick: fn(&Change) -> &Value| {
            let paths: Vec<(FieldPath, Value)> =
                changes.iter().filter_map(|change| Some((change.field.parse().ok()?, pick(change).clone()))).collect();
            let set: Vec<(&FieldPath, Value)> = paths.iter().map(|(path, value)| (path, value.clone())).collect();
            by_hand::patch(&input.object.kubectl(), &flag, &set)
        };
        let (by_hand, undo_by_hand) = (vec![line(|change| &change.after)], vec![line(|change| &change.prior)]);
        let mut note = json!({});
        for key in ["path", "resource", "object", "name", "namespace"] {
            note[key] = prior.get(key).cloned().ok_or_else(unobserved)?;
        }
        note[UID] = prior[UID].clone();
        note[ARGOCD] = told;
        note[managed::WARNS] = json!(managed::warning(&format!("what is changed in {}", input.object), &prior["applied_by"]));
        Ok(Plan { intent: Intent { changes, revert, note, by_hand, undo_by_hand, ..Intent::default() }, unchanged: None })
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        let noted = match Noted::of(intent) {
            Ok(noted) => noted,
            Err(failure) => return Applied::NotApplied { failure },
        };
        managed::warn(cx, intent);
        argocd::tell(cx, intent);
        let object = match self.swap(cx, &noted, &noted.all()).await {
            Ok(object) => object,
            Err(applied) => return applied,
        };
        let other = noted.fields.iter().find(|(path, change)| live(path, &object, &change.prior, &change.after) != change.after);
        match other {
            None => Applied::Applied { outputs: noted.outputs() },
            Some((path, change)) => {
                let holds = path.get(&object);
                let failure =
                    Failure::permanent(format!("{path} of {} was set to {}, and the server made {holds} of it", noted.place, change.after))
                        .hint("write the value as the server keeps it (defaults filled in), or set the single fields within it");
                Applied::FailedWithEffect { failure, outputs: json!({}) }
            }
        }
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let noted = Noted::of(intent)?;
        let Some(object) = noted.place.read(&Api::new(&self.connections, cx)?).await? else {
            return Ok(Verdict::CannotTell { reason: format!("there is no {} any more", noted.place) });
        };
        Ok(noted.stands(&object, &noted.all()).verdict(|| noted.outputs()))
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let noted = Noted::of(intent)?;
        let object = noted.place.read(&Api::new(&self.connections, cx)?).await?;
        let one = |(path, change): &(FieldPath, Change)| object.as_ref().map(|object| live(path, object, &change.prior, &change.after));
        Ok(noted.fields.iter().map(one).collect())
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        let noted = match Noted::of(intent) {
            Ok(noted) => noted,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let mut all = Vec::with_capacity(swaps.len());
        for swap in swaps {
            let Some(at) = noted.fields.iter().position(|(_, change)| change.field == swap.field) else {
                return Applied::NotApplied {
                    failure: Failure::permanent(format!("{} of {} cannot be put back", swap.field, swap.object)),
                };
            };
            all.push((at, swap.from.clone(), swap.to.clone()));
        }
        match self.swap(cx, &noted, &all).await {
            Ok(_) => Applied::Applied { outputs: json!({}) },
            Err(applied) => applied,
        }
    }
}

/// An object that holds just this at the path.
fn holding(path: &FieldPath, value: &Value) -> Value {
    path.parts().iter().rev().fold(value.clone(), |inner, part| {
        let mut map = Map::new();
        map.insert(part.clone(), inner);
        Value::Object(map)
    })
}

#[cfg(test)]
mod tests;
