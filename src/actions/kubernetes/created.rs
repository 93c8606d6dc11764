//! Objects that a step creates, and takes away again: only what carries its mark and is still as it was made.
//!
//! Invariant: the mark is the step's idempotency key, so that an object which is there after an attempt of unknown outcome is known as ours or
//! as somebody else's; what is not ours, or was changed since, is never deleted.

use http::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::errors::Trouble;
use super::overtaken::Overtaken;
use super::swap_fields::{Place, with_manager};
use crate::model::outcome::{Applied, Failure};

/// The annotation that says which doing of a step created an object.
pub(super) const MARK: &str = "runsheet/created-by";
/// The field by which the ledger knows that an object is there: its name, or null.
pub(super) const EXISTS: &str = "metadata.name";

/// An object that a step creates.
#[derive(Clone, Debug)]
pub(super) struct Created {
    pub(super) place: Place,
    /// What is sent.
    pub(super) manifest: Value,
    /// What the server makes of it, without what it adds by itself.
    pub(super) made: Value,
    /// The step's idempotency key.
    pub(super) mark: String,
}

/// The manifest with the mark.
pub(super) fn marked(mut manifest: Value, mark: &str) -> Value {
    if !manifest["metadata"]["annotations"].is_object() {
        manifest["metadata"]["annotations"] = json!({});
    }
    manifest["metadata"]["annotations"][MARK] = json!(mark);
    manifest
}

/// The mark that an object carries.
pub(super) fn mark_of(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(MARK)?.as_str()
}

/// What the server would make of a manifest; nothing is created.
///
/// # Errors
/// Why it would refuse it.
pub(super) async fn dry_run(api: &Api, place: &Place, manifest: Value) -> Result<Value, Failure> {
    let path = format!("{}&dryRun=All", with_manager(collection(place)));
    match api.write(Method::POST, path, "application/json", manifest).await {
        Ok(object) => Ok(object),
        Err(trouble) => Err(trouble.failure(place.asked("create"))),
    }
}

fn collection(place: &Place) -> &str {
    place.path.rsplit_once('/').map_or("", |(collection, _)| collection)
}

impl Created {
    /// Creates it; the object, where it is there and ours.
    ///
    /// # Errors
    /// What became of the attempt: not applied, or unknown.
    pub(super) async fn create(&self, api: &Api) -> Result<Value, Applied> {
        let path = with_manager(collection(&self.place));
        let trouble = match api.write(Method::POST, path, "application/json", self.manifest.clone()).await {
            Ok(object) => return Ok(object),
            Err(trouble) => trouble,
        };
        if !exists_already(&trouble) {
            return Err(trouble.of_write(self.place.asked("create")));
        }
        // Refused: whatever the read says, this attempt created nothing.
        let not_applied = |failure| Applied::NotApplied { failure };
        let object =
            self.place.read(api).await.map_err(not_applied)?.ok_or_else(|| not_applied(trouble.failure(self.place.asked("create"))))?;
        if self.is_ours(&object) { Ok(object) } else { Err(not_applied(self.of_another())) }
    }

    /// Whether this object was created by this very step.
    pub(super) fn is_ours(&self, object: &Value) -> bool {
        mark_of(object) == Some(&self.mark)
    }

    fn of_another(&self) -> Failure {
        Failure::permanent(format!("{} is there already: somebody else created it meanwhile, and it was left alone", self.place))
            .hint("look at it (`kubectl get -o yaml`); `runsheet retry` plans the step anew")
    }

    /// How it stands, for the ledger: null where it is not there, its name where it is as it was created, else what it is.
    pub(super) fn live(&self, object: Option<&Value>) -> Value {
        let Some(object) = object else { return Value::Null };
        let name = &self.place.name;
        if !self.is_ours(object) {
            return json!(format!("{name} (created by somebody else)"));
        }
        match differs(&self.manifest, &self.made, object, String::new()) {
            None => json!(name),
            Some(field) => json!(format!("{name} (changed since at {field})")),
        }
    }

    /// Deletes it, only as it was created. Where it is gone there is nothing to do.
    ///
    /// # Errors
    /// What became of the attempt: not applied, or unknown.
    pub(super) async fn delete(&self, api: &Api) -> Result<(), Applied> {
        let not_applied = |failure| Applied::NotApplied { failure };
        let mut overtaken = Overtaken::default();
        loop {
            let Some(object) = self.place.read(api).await.map_err(not_applied)? else { return Ok(()) };
            let live = self.live(Some(&object));
            if live != json!(self.place.name) {
                let message = format!("{} is left alone: {}", self.place, live.as_str().unwrap_or_default());
                return Err(not_applied(Failure::permanent(message).hint("look at what was changed, then delete it by hand or leave it")));
            }
            let preconditions = json!({ "uid": object["metadata"]["uid"], "resourceVersion": object["metadata"]["resourceVersion"] });
            let body =
                json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": preconditions });
            match api.write(Method::DELETE, self.place.path.clone(), "application/json", body).await {
                Ok(_) => return Ok(()),
                Err(trouble) if trouble.is_gone() => return Ok(()),
                Err(trouble) if overtaken.again(&trouble).await => {}
                Err(trouble) => return Err(trouble.of_write(self.place.asked("delete"))),
            }
        }
    }
}

fn exists_already(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Refused { status: 409, reason, .. } if reason == "AlreadyExists")
}

/// The first field of the manifest at which what is there is not what was made.
fn differs(manifest: &Value, made: &Value, live: &Value, at: String) -> Option<String> {
    match manifest {
        Value::Object(map) => map.iter().find_map(|(key, inner)| {
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            // What the server itself says of an object is no change of it.
            let null = Value::Null;
            let of = |value: &Value| value.get(key).cloned().unwrap_or(Value::Null);
            if path == "status" || inner == &null { None } else { differs(inner, &of(made), &of(live), path) }
        }),
        _ => (made != live).then_some(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_known_again_and_a_change_is_named() {
        let place = Place {
            path: "/api/v1/namespaces/n/configmaps/c".into(),
            resource: "configmaps".into(),
            shown: "configmap/c".into(),
            name: "c".into(),
            namespace: "n".into(),
            uid: None,
        };
        let manifest = marked(json!({ "metadata": { "name": "c" }, "data": { "a": "1" }, "list": [1] }), "key");
        let mut made = manifest.clone();
        made["list"] = json!([1, 2]);
        let created = Created { place, manifest, made: made.clone(), mark: "key".into() };
        assert_eq!(created.live(None), Value::Null);
        let mut live = made;
        live["status"] = json!({ "observed": 1 });
        live["data"]["b"] = json!("what nobody sent");
        assert_eq!(created.live(Some(&live)), "c");
        live["data"]["a"] = json!("2");
        assert_eq!(created.live(Some(&live)), "c (changed since at data.a)");
        live["metadata"]["annotations"][MARK] = json!("another");
        assert_eq!(created.live(Some(&live)), "c (created by somebody else)");
    }
}
