//! The guarded swap of fields of one object, by one JSON Patch that tests what it replaces.
//!
//! Must not send a write twice. Invariant: a field is only ever swapped from the value that was recorded to the one that is wanted; any other
//! value that is found there is somebody else's, and then nothing of the patch is sent.

use std::fmt;

use http::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::errors::Asked;
use super::field_path::FieldPath;
use crate::model::change::{Change, Swap};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure};

/// An object, as requests and messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `/apis/apps/v1/namespaces/production/deployments/ticket-service`
    pub(super) path: String,
    /// `deployments`, as access rules name it.
    pub(super) resource: String,
    /// `deployment/ticket-service`, for people.
    pub(super) shown: String,
    /// The object's name.
    pub(super) name: String,
    /// Empty for what belongs to no namespace.
    pub(super) namespace: String,
    /// Its uid, where a certain object is meant: one that is made anew under the same name is another.
    pub(super) uid: Option<String>,
}

/// The key under which an intent's note keeps the uid of the object that the step changes.
pub(super) const UID: &str = "uid";

/// The uid of an object; null where it has none.
pub(super) fn uid_of(object: &Value) -> Value {
    object.pointer("/metadata/uid").cloned().unwrap_or_default()
}

impl Place {
    /// The very object that an intent was made for.
    pub(super) fn of(mut self, intent: &Intent) -> Self {
        self.uid = intent.note.get(UID).and_then(Value::as_str).map(str::to_owned);
        self
    }

    /// Whether this is the object that is meant, and not another that was made under its name since.
    pub(super) fn is(&self, object: &Value) -> bool {
        self.uid.as_ref().is_none_or(|uid| uid_of(object) == uid.as_str())
    }

    /// Another object stands in its place.
    pub(super) fn replaced(&self) -> Failure {
        Failure::permanent(format!(
            "{self} is not the one that this step was planned for: that was deleted, and somebody made another under its name, which was left alone"
        ))
        .hint("look at who made it (`kubectl get -o yaml`); where the step is still wanted, `runsheet retry` plans it anew")
    }

    /// This verb on it, for messages.
    pub(super) fn asked(&self, verb: &'static str) -> Asked<'_> {
        Asked { verb, resource: &self.resource, name: &self.name, namespace: &self.namespace }
    }

    /// The object as it is now; `None` where it is not there, or another one is.
    ///
    /// # Errors
    /// A read that failed.
    pub(super) async fn read(&self, api: &Api) -> Result<Option<Value>, Failure> {
        Ok(self.read_any(api).await?.filter(|object| self.is(object)))
    }

    /// What has its name now.
    async fn read_any(&self, api: &Api) -> Result<Option<Value>, Failure> {
        match api.get(&self.path).await {
            Ok(object) => Ok(Some(object)),
            Err(trouble) if trouble.is_gone() => Ok(None),
            Err(trouble) => Err(trouble.failure(self.asked("get"))),
        }
    }

    /// The object as it is now, where it has to be there.
    ///
    /// # Errors
    /// A read that failed; that it is not there, or that another one is.
    pub(super) async fn read_certain(&self, api: &Api) -> Result<Value, Failure> {
        let object = self.read_any(api).await?.ok_or_else(|| self.missing())?;
        if self.is(&object) { Ok(object) } else { Err(self.replaced()) }
    }

    /// There is no such object.
    pub(super) fn missing(&self) -> Failure {
        Failure::permanent(format!("there is no {self}")).hint("check the name, the namespace and the environment")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)?;
        if self.namespace.is_empty() { Ok(()) } else { write!(f, " in namespace {}", self.namespace) }
    }
}

/// One field to be swapped; `null` is: nothing there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FieldSwap {
    pub(super) field: FieldPath,
    pub(super) from: Value,
    pub(super) to: Value,
}

/// How the fields of a set stand.
enum Stand {
    /// All of them are as wanted.
    Wanted,
    /// Those that are not as wanted are as recorded.
    Recorded,
    /// One is neither.
    Foreign(String),
}

/// Swaps the fields, all or none; those that are as wanted already are left as they are. The object as it is
/// afterwards.
///
/// # Errors
/// What became of the attempt: not applied, or unknown.
pub(super) async fn swap_fields(api: &Api, place: &Place, swaps: &[FieldSwap]) -> Result<Value, Applied> {
    swap_judged(api, place, "", |object| match stand(place, object, swaps) {
        Stand::Wanted => Judged::Done,
        Stand::Foreign(message) => Judged::Foreign(foreign(message)),
        Stand::Recorded => {
            let mut patched = object.clone();
            let mut operations = Vec::new();
            for swap in swaps {
                // Each operation is worked out on the object as the ones before it leave it.
                operations.extend(swap.field.swap(&patched, &swap.to));
                apply(&mut patched, &swap.field, &swap.to);
            }
            Judged::Write(operations)
        }
    })
    .await
}

/// What is to be done about an object as it is now.
pub(super) enum Judged {
    /// All is as wanted.
    Done,
    /// These operations of a JSON Patch, which test what they replace.
    Write(Vec<Value>),
    /// Somebody else changed it: nothing is sent.
    Foreign(Failure),
}

/// Reads the object, has it judged, and sends the operations to the object itself, or to its `subresource` where one is named. The object as it
/// is afterwards.
///
/// # Errors
/// What became of the attempt: not applied, or unknown.
pub(super) async fn swap_judged(api: &Api, place: &Place, subresource: &str, judge: impl Fn(&Value) -> Judged) -> Result<Value, Applied> {
    let not_applied = |failure: Failure| Applied::NotApplied { failure };
    let object = place.read_certain(api).await.map_err(not_applied)?;
    let mut operations = match judge(&object) {
        Judged::Done => return Ok(object),
        Judged::Foreign(failure) => return Err(not_applied(failure)),
        Judged::Write(operations) => operations,
    };
    if let uid @ Value::String(_) = uid_of(&object) {
        // What is made anew between the reading and the write is another object, whatever its fields hold.
        operations.insert(0, json!({ "op": "test", "path": "/metadata/uid", "value": uid }));
    }
    let (path, resource) = match subresource {
        "" => (place.path.clone(), place.resource.clone()),
        sub => (format!("{}/{sub}", place.path), format!("{}/{sub}", place.resource)),
    };
    let asked = Asked { resource: &resource, ..place.asked("patch") };
    let trouble = match api.write(Method::PATCH, with_manager(&path), "application/json-patch+json", json!(operations)).await {
        Ok(object) => return Ok(object),
        Err(trouble) => trouble,
    };
    if !trouble.is_conflict() {
        return Err(trouble.of_write(asked));
    }
    // The patch was refused as a whole: nothing of it happened, whatever the read says.
    let object = place.read_certain(api).await.map_err(not_applied)?;
    match judge(&object) {
        Judged::Done => Ok(object),
        Judged::Foreign(failure) => Err(not_applied(failure)),
        // It was another while the patch came, and is as it was again.
        Judged::Write(_) if trouble.is_failed_test() => Err(not_applied(Failure { transient: true, ..trouble.failure(asked) })),
        Judged::Write(_) => Err(not_applied(trouble.failure(asked))),
    }
}

/// The object as the server would have it with these values (`null`: not there); nothing is changed.
///
/// # Errors
/// Why it would refuse it.
pub(super) async fn dry_run(api: &Api, place: &Place, object: &Value, values: &[(FieldPath, Value)]) -> Result<Value, Failure> {
    let (mut patched, mut patch) = (object.clone(), Vec::new());
    for (path, value) in values {
        patch.extend(path.swap(&patched, value).into_iter().filter(|operation| operation["op"] != "test"));
        apply(&mut patched, path, value);
    }
    if patch.is_empty() {
        return Ok(patched);
    }
    let path = format!("{}&dryRun=All", with_manager(&place.path));
    match api.write(Method::PATCH, path, "application/json-patch+json", json!(patch)).await {
        Ok(object) => Ok(object),
        Err(trouble) => Err(trouble.failure(place.asked("patch"))),
    }
}

/// A path with the name under which the API server records our writes.
pub(super) fn with_manager(path: &str) -> String {
    format!("{path}?fieldManager={MANAGER}")
}

/// The field manager of every write.
pub(super) const MANAGER: &str = "runsheet";

fn stand(place: &Place, object: &Value, swaps: &[FieldSwap]) -> Stand {
    let mut wanted = true;
    for FieldSwap { field, from, to } in swaps {
        let live = field.get(object);
        if &live == to {
            continue;
        }
        wanted = false;
        if &live != from {
            return Stand::Foreign(format!(
                "{field} of {place} is {live}: somebody else changed it from {from} to {live} meanwhile, and it was left alone"
            ));
        }
    }
    if wanted { Stand::Wanted } else { Stand::Recorded }
}

/// Somebody else changed something: it is left alone.
pub(super) fn foreign(message: String) -> Failure {
    Failure::permanent(message).hint(
        "find out who (`kubectl get --show-managed-fields -o yaml`; an autoscaler? a GitOps controller?), then decide which value holds",
    )
}

/// What the patch will make of the object, so that the next field's operations fit.
pub(super) fn apply(object: &mut Value, field: &FieldPath, to: &Value) {
    let operations: Vec<Value> = field.swap(object, to).into_iter().filter(|operation| operation["op"] != "test").collect();
    if let Ok(patch) = serde_json::from_value::<json_patch::Patch>(json!(operations)) {
        // They were made for this very object.
        let _ = json_patch::patch(object, &patch);
    }
}

/// The fields to be swapped forth.
pub(super) fn forth(changes: &[Change]) -> Result<Vec<FieldSwap>, Failure> {
    changes.iter().map(|change| field_swap(&change.field, &change.prior, &change.after)).collect()
}

/// The fields to be swapped back.
pub(super) fn back(swaps: &[Swap]) -> Result<Vec<FieldSwap>, Failure> {
    swaps.iter().map(|swap| field_swap(&swap.field, &swap.from, &swap.to)).collect()
}

fn field_swap(field: &str, from: &Value, to: &Value) -> Result<FieldSwap, Failure> {
    let field = field.parse().map_err(|error| Failure::permanent(format!("what this step recorded does not fit: {error}")))?;
    Ok(FieldSwap { field, from: from.clone(), to: to.clone() })
}
