//! An Application of Argo CD (`argoproj.io/v1alpha1`) as it was read.
//!
//! Must not ask anything. Invariant: what it does not say is as Argo CD takes it: it syncs when a person says so, in the project `default`.

use serde_json::Value;

use super::foretold::Syncs;
use super::ignore::Rule;
use super::tracking::Thing;
use super::window::Matched;

/// The field that makes it sync by itself.
pub(super) const AUTOMATED: &str = "spec.syncPolicy.automated";
/// The annotation by which its controller leaves it alone.
const SKIPPED: &str = "argocd.argoproj.io/skip-reconcile";

/// An Application.
#[derive(Clone, Debug)]
pub(super) struct Application {
    pub(super) object: Value,
}

impl Application {
    pub(super) fn of(object: Value) -> Self {
        Self { object }
    }

    fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `NAMESPACE/NAME`
    pub(super) fn qualified(&self) -> String {
        format!("{}/{}", self.text("/metadata/namespace"), self.name())
    }

    /// Its project.
    pub(super) fn project(&self) -> &str {
        Some(self.text("/spec/project")).filter(|name| !name.is_empty()).unwrap_or("default")
    }

    /// `spec.syncPolicy.automated`; null where it is not there.
    pub(super) fn automated(&self) -> &Value {
        self.object.pointer("/spec/syncPolicy/automated").unwrap_or(&Value::Null)
    }

    /// How it syncs.
    pub(super) fn syncs(&self) -> Syncs {
        let skipped = self.object.pointer("/metadata/annotations").and_then(|all| all.get(SKIPPED));
        match self.automated() {
            _ if skipped.is_some_and(|skipped| skipped == "true") => Syncs::Not,
            Value::Object(automated) if automated.get("enabled") != Some(&Value::Bool(false)) => {
                if automated.get("selfHeal") == Some(&Value::Bool(true)) { Syncs::Heals } else { Syncs::ByCommit }
            }
            _ => Syncs::ByHand,
        }
    }

    /// Whether a sync is under way.
    pub(super) fn is_syncing(&self) -> bool {
        // What is asked for and not begun yet counts too.
        matches!(self.text("/status/operationState/phase"), "Running" | "Terminating")
            || self.object.get("operation").is_some_and(|one| !one.is_null())
    }

    /// Whether what is there is what its repository says, by the last comparison.
    pub(super) fn is_synced(&self) -> bool {
        self.text("/status/sync/status") == "Synced"
    }

    /// `Synced`, `OutOfSync`; null where it was not compared yet.
    pub(super) fn sync_status(&self) -> Option<&str> {
        Some(self.text("/status/sync/status")).filter(|status| !status.is_empty())
    }

    /// `Healthy`, `Progressing`, `Degraded`; null where that is not known yet.
    pub(super) fn health(&self) -> Option<&str> {
        Some(self.text("/status/health/status")).filter(|status| !status.is_empty())
    }

    /// Whether its syncs leave alone what it ignores.
    pub(super) fn respects_ignored(&self) -> bool {
        let options = self.object.pointer("/spec/syncPolicy/syncOptions").and_then(Value::as_array);
        options.into_iter().flatten().any(|option| option == "RespectIgnoreDifferences=true")
    }

    /// What it leaves as it is.
    pub(super) fn ignores(&self) -> Vec<Rule> {
        let rules = self.object.pointer("/spec/ignoreDifferences").and_then(Value::as_array);
        rules.into_iter().flatten().filter_map(Rule::of).collect()
    }

    /// What sync windows go by.
    pub(super) fn matched(&self) -> Matched<'_> {
        Matched { name: self.name(), destination: self.object.pointer("/spec/destination").unwrap_or(&Value::Null) }
    }

    /// Whether the object can be one of its own: it lists its objects, once it has looked at them.
    pub(super) fn may_own(&self, thing: &Thing<'_>) -> bool {
        let all = self.object.pointer("/status/resources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let text = |resource: &Value, key: &str| resource.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let is = |resource: &Value| {
            text(resource, "group") == thing.group
                && text(resource, "kind") == thing.kind
                && text(resource, "name") == thing.metadata("name")
                && text(resource, "namespace") == thing.metadata("namespace")
        };
        all.is_empty() || all.iter().any(is)
    }

    /// The ApplicationSet that makes it, and would make it anew as it says.
    pub(super) fn set(&self) -> Option<&str> {
        let owners = self.object.pointer("/metadata/ownerReferences")?.as_array()?;
        owners.iter().find(|owner| owner["kind"] == "ApplicationSet")?.get("name")?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(spec: Value, status: Value) -> Application {
        Application::of(json!({ "metadata": { "name": "shop", "namespace": "argocd" }, "spec": spec, "status": status }))
    }

    #[test]
    fn how_it_syncs_is_read_as_argo_cd_reads_it() {
        for (policy, syncs) in [
            (Value::Null, Syncs::ByHand),
            (json!({}), Syncs::ByHand),
            (json!({ "automated": null }), Syncs::ByHand),
            (json!({ "automated": {} }), Syncs::ByCommit),
            (json!({ "automated": { "prune": true } }), Syncs::ByCommit),
            (json!({ "automated": { "selfHeal": true } }), Syncs::Heals),
            (json!({ "automated": { "selfHeal": true, "enabled": true } }), Syncs::Heals),
            (json!({ "automated": { "selfHeal": true, "enabled": false } }), Syncs::ByHand),
        ] {
            assert_eq!(of(json!({ "syncPolicy": policy }), Value::Null).syncs(), syncs, "{policy}");
        }
        let mut skipped = of(json!({ "syncPolicy": { "automated": { "selfHeal": true } } }), Value::Null);
        skipped.object["metadata"]["annotations"] = json!({ SKIPPED: "true" });
        assert_eq!(skipped.syncs(), Syncs::Not);
    }

    #[test]
    fn it_owns_what_it_lists() {
        let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "x", "namespace": "n" } });
        let listed = |name: &str| json!({ "resources": [{ "group": "apps", "kind": "Deployment", "namespace": "n", "name": name }] });
        assert!(of(json!({}), listed("x")).may_own(&Thing::of(&object)));
        assert!(!of(json!({}), listed("y")).may_own(&Thing::of(&object)));
        assert!(of(json!({}), Value::Null).may_own(&Thing::of(&object)), "it has not looked yet");
    }
}
