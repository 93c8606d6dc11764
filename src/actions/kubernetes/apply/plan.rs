//! What `k8s.apply` would do, and what an intent keeps of it.
//!
//! Must not write anything. Invariant: what is recorded as `after` is what the server said it would make of the manifest.

use crate::actions::kubernetes::errors::Trouble;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::manifest::{Input, Manifest};
use super::send::{Answer, Conflict, only_ours, owned, send};
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::argocd::{self, Thing};
use crate::actions::kubernetes::created::{self, Created, EXISTS, marked};
use crate::actions::kubernetes::differences::{Difference, differences};
use crate::actions::kubernetes::scaler;
use crate::actions::kubernetes::swap_fields::{Place, uid_of};
use crate::actions::kubernetes::workload::Workload;
use crate::actions::support::{kept, redacted};
use crate::model::by_hand::word;
use crate::model::change::Change;
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::model::step::Rollback;
use crate::ports::action::Plan;

/// What was observed.
#[derive(Serialize, Deserialize)]
pub(super) struct Observed {
    pub(super) exists: bool,
    /// The object as it is, without its managed fields; null where it is not there.
    pub(super) object: Value,
    /// What the server would change.
    pub(super) differences: Vec<Difference>,
    /// What others own of it.
    pub(super) conflicts: Vec<Conflict>,
    /// Whether fields are taken over: from others, where the step says so, or from other writes of this tool.
    take_over: bool,
    /// What the server would create.
    made: Value,
    /// The autoscaler of what is applied, where the replicas would change.
    autoscaler: Option<String>,
    /// What Argo CD will make of the differences.
    #[serde(default)]
    argocd: Value,
    place: Placed,
}

/// A place, as it is stored.
#[derive(Clone, Serialize, Deserialize)]
struct Placed {
    path: String,
    resource: String,
    shown: String,
    name: String,
    namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
}

impl Placed {
    fn of(place: &Place) -> Self {
        let Place { path, resource, shown, name, namespace, uid } = place.clone();
        Self { path, resource, shown, name, namespace, uid }
    }

    fn place(&self) -> Place {
        let Self { path, resource, shown, name, namespace, uid } = self.clone();
        Place { path, resource, shown, name, namespace, uid }
    }
}

/// What an intent keeps for later, without the inputs.
#[derive(Serialize, Deserialize)]
pub(super) struct Noted {
    place: Placed,
    pub(super) manifest: Value,
    pub(super) force: bool,
    pub(super) outputs: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    argocd: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    creation: Option<Creation>,
}

#[derive(Serialize, Deserialize)]
struct Creation {
    made: Value,
    mark: String,
}

impl Noted {
    pub(super) fn of(intent: &Intent) -> Result<Self, Failure> {
        Self::deserialize(&intent.note)
            .map_err(|error| Failure::permanent(format!("what this step recorded does not name an object: {error}")))
    }

    pub(super) fn place(&self) -> Place {
        self.place.place()
    }

    /// What the step creates; `None` where it changes what is there.
    pub(super) fn created(&self) -> Option<Created> {
        let Creation { made, mark } = self.creation.as_ref()?;
        Some(Created { place: self.place(), manifest: self.manifest.clone(), made: made.clone(), mark: mark.clone() })
    }
}

/// Reads the object, and asks by a dry run what the server would make of it.
pub(super) async fn observe(api: &Api, input: &Input, manifest: &Manifest, target: Option<&TargetSpec>) -> Result<Observed, Failure> {
    let place = manifest.object.place(api, || manifest.namespace(target)).await?;
    let live = place.read(api).await?;
    let mut observed = Observed {
        exists: live.is_some(),
        object: Value::Null,
        differences: Vec::new(),
        conflicts: Vec::new(),
        take_over: input.force,
        made: Value::Null,
        autoscaler: None,
        argocd: Value::Null,
        place: Placed::of(&place),
    };
    let Some(mut live) = live else {
        observed.made = without_noise(created::dry_run(api, &place, manifest.body.clone()).await?);
        return Ok(observed);
    };
    observed.place.uid = uid_of(&live).as_str().map(str::to_owned);
    let ask = |force| send(api, &place, &manifest.body, force, true);
    let refused = |trouble: Trouble| trouble.failure(place.asked("patch"));
    let mut answer = ask(input.force).await.map_err(refused)?;
    if let Answer::Conflicts(conflicts) = &answer
        && only_ours(conflicts)
    {
        observed.take_over = true;
        answer = ask(true).await.map_err(refused)?;
    }
    match answer {
        Answer::Conflicts(conflicts) => observed.conflicts = conflicts,
        Answer::Object(made) => observed.differences = differences(&live, &made),
    }
    if observed.differences.iter().any(|one| one.field == "spec.replicas")
        && let Ok(workload) = place.shown.parse::<Workload>()
    {
        observed.autoscaler = scaler::of_workload(api, &workload, &place.namespace).await?.map(|one| one.name().to_string());
    }
    let fields = observed.differences.iter().map(|one| one.field.as_str());
    observed.argocd = argocd::foretell(api, target, Thing::of(&live), fields).await?;
    if let Some(metadata) = live.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    observed.object = redacted(&*api.log, live);
    Ok(observed)
}

/// What a server adds to an object by itself, and what is the server's alone.
fn without_noise(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"] {
            metadata.remove(key);
        }
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    object
}

/// What it would do.
pub(super) fn plan(
    target: &TargetSpec,
    input: &Input,
    manifest: &Manifest,
    observed: Observed,
    mark: &str,
    rollback: &Rollback,
) -> Result<Plan, Failure> {
    let place = observed.place.place();
    if !observed.conflicts.is_empty() {
        return Err(owned(&place, &observed.conflicts));
    }
    if let Some(autoscaler) = &observed.autoscaler {
        return Err(Failure::permanent(format!("the manifest sets `spec.replicas` of {place}, which {autoscaler} owns"))
            .hint("leave `spec.replicas` out of the manifest; `k8s.scale` raises the floor of what owns them"));
    }
    let object = manifest.object_ref(target).ok_or_else(|| Failure::permanent(format!("{place} cannot be named in the ledger")))?;
    let changes: Vec<Change> = if observed.exists {
        let of = |Difference { field, prior, after }: &Difference| Change {
            object: object.clone(),
            field: field.clone(),
            label: field.clone(),
            prior: prior.clone(),
            after: after.clone(),
        };
        observed.differences.iter().map(of).collect()
    } else {
        let after = json!(place.name);
        vec![Change { object, field: EXISTS.to_owned(), label: place.shown.clone(), prior: Value::Null, after }]
    };
    let fields: Vec<&str> = observed.differences.iter().map(|one| one.field.as_str()).take(50).collect();
    let outputs = json!({ "name": place.name, "kind": manifest.kind, "created": !observed.exists, "changed": fields });
    if changes.is_empty() {
        return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs) });
    }
    let told = argocd::judge(&json!({ argocd::ARGOCD: observed.argocd }), &changes)?;
    let body = if observed.exists { manifest.body.clone() } else { marked(manifest.body.clone(), mark) };
    let place_args = if place.namespace.is_empty() { String::new() } else { format!(" -n {}", place.namespace) };
    let force = if observed.take_over { " --force-conflicts" } else { "" };
    let by_hand = vec![format!(
        "printf '%s' {} | kubectl apply --server-side --field-manager=runsheet{force}{place_args} -f -",
        word(&json!(manifest.body.to_string()))
    )];
    let undo_by_hand = if observed.exists {
        changes
            .iter()
            .map(|change| format!("# put {} of {place} back to {}: `kubectl edit {}{place_args}`", change.field, change.prior, place.shown))
            .collect()
    } else {
        vec![format!("kubectl delete {}{place_args}", place.shown)]
    };
    let creation = (!observed.exists).then(|| Creation { made: marked(observed.made, mark), mark: mark.to_owned() });
    let note = Noted { place: observed.place, manifest: body, force: observed.take_over, outputs, argocd: told, creation };
    let intent = Intent {
        changes,
        revert: match kept(rollback) {
            Some(reason) => Revert::Keep { reason },
            None => Revert::Fields { settle: input.settle.unwrap_or(Span::seconds(600)) },
        },
        note: json!(note),
        by_hand,
        undo_by_hand,
        ..Intent::default()
    };
    Ok(Plan { intent, unchanged: None })
}
