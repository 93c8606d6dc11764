//! How the actions say what an account must be allowed: kinds of objects, and the needs that are put together from them.
//!
//! Must not ask anything. Invariant: an input may be a variable's text, or hold one, in the place of any value; what depends on one is left open or
//! said to be not known. Reads of the API's own lists of resources are no permissions: every account that is let in may do them.

use serde_json::Value;

use super::by_hand::given;
use super::horizontal;
use super::object::ObjectName;
use super::scaled_object;
use super::workload::{Kind, Workload};
use crate::model::by_hand::variables_in;
use crate::model::permission::{Extent, Need, Needs, Permission, Purpose};
use crate::model::run::TargetSpec;

/// Objects that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct On {
    group: String,
    /// With its subresource: `deployments/scale`.
    resource: String,
    namespaced: bool,
    name: Option<String>,
    /// Version and kind, where only the cluster tells the resource.
    kind: Option<(String, String)>,
}

impl On {
    /// Any object of a resource.
    pub(super) fn any(group: &str, resource: &str) -> Self {
        Self { group: group.to_owned(), resource: resource.to_owned(), namespaced: true, name: None, kind: None }
    }

    /// Any object of a kind whose resource only the cluster tells.
    pub(super) fn of_kind(group: &str, version: &str, kind: &str) -> Self {
        Self { kind: Some((version.to_owned(), kind.to_owned())), ..Self::any(group, "") }
    }

    /// Any pod.
    pub(super) fn pods() -> Self {
        Self::any("", "pods")
    }

    /// Any node.
    pub(super) fn nodes() -> Self {
        Self::any("", "nodes").of_the_cluster()
    }

    /// Any autoscaler.
    pub(super) fn autoscalers() -> Self {
        Self::any("autoscaling", horizontal::RESOURCE)
    }

    /// Any ScaledObject of KEDA.
    pub(super) fn scaled_objects() -> Self {
        Self::any(scaled_object::GROUP, scaled_object::RESOURCE)
    }

    /// The same, belonging to no namespace.
    pub(super) fn of_the_cluster(self) -> Self {
        Self { namespaced: false, ..self }
    }

    /// This object alone.
    pub(super) fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Any object of the same resource: what is created or listed has no name.
    pub(super) fn unnamed(&self) -> Self {
        Self { name: None, ..self.clone() }
    }

    /// Whether it is of this resource.
    pub(super) fn is(&self, resource: &str) -> bool {
        self.resource == resource
    }

    /// Its subresource.
    pub(super) fn part(&self, subresource: &str) -> Self {
        Self { resource: format!("{}/{subresource}", self.resource), ..self.clone() }
    }
}

/// The needs of a step, while they are put together.
pub(super) struct Asking {
    needs: Needs,
    namespace: Option<String>,
}

/// A text without a variable in it.
fn known(text: &str) -> Option<&str> {
    variables_in(text).is_empty().then_some(text)
}

/// The text of an input, where it is known.
pub(super) fn text<'a>(inputs: &'a Value, key: &str) -> Option<&'a str> {
    given(inputs, key)?.as_str().and_then(known)
}

impl Asking {
    /// For a step with `namespace` among its inputs.
    pub(super) fn of(inputs: &Value, target: Option<&TargetSpec>) -> Self {
        let default = || target?.values.get("kubernetes")?.get("namespace");
        let namespace = given(inputs, "namespace").or_else(default).and_then(Value::as_str).and_then(known);
        Self::within(namespace)
    }

    /// For a step in this namespace.
    pub(super) fn within(namespace: Option<&str>) -> Self {
        Self { needs: Needs::default(), namespace: namespace.map(str::to_owned) }
    }

    /// All of it.
    pub(super) fn needs(self) -> Needs {
        self.needs
    }

    /// Says that something is not known.
    pub(super) fn untold(&mut self, what: &str) {
        self.needs.untold(what);
    }

    /// One need.
    pub(super) fn add(&mut self, purpose: Purpose, extent: Extent, verb: &str, on: &On) {
        if on.namespaced && self.namespace.is_none() {
            return self.needs.untold("the namespace");
        }
        let namespace = self.namespace.as_deref().filter(|_| on.namespaced);
        let mut permission = Permission::new(verb, &on.group, &on.resource, namespace).of(on.name.as_deref());
        if let Some((version, kind)) = &on.kind {
            permission = permission.of_kind(version, kind);
        }
        self.needs.add(Need { permission, purpose, extent });
    }

    /// What is read whatever is found.
    pub(super) fn reads(&mut self, verb: &str, on: &On) {
        self.add(Purpose::Reads, Extent::Always, verb, on);
    }

    /// What is done whatever is found.
    pub(super) fn changes(&mut self, verb: &str, on: &On) {
        self.add(Purpose::Changes, Extent::Always, verb, on);
    }

    /// What only a rollback needs, whatever is found.
    pub(super) fn reverts(&mut self, verb: &str, on: &On) {
        self.add(Purpose::Reverts, Extent::Always, verb, on);
    }

    /// The workload that the input names; none where it names none, or not yet which kind.
    pub(super) fn workload(&mut self, inputs: &Value) -> Option<On> {
        let found = self.workload_of(given(inputs, "workload")?);
        if found.is_none() {
            self.needs.untold("which kind of workload it is");
        }
        found
    }

    fn workload_of(&self, value: &Value) -> Option<On> {
        let (kind, name) = value.as_str()?.split_once('/')?;
        // Whatever it is called, its kind is known.
        let Workload { kind, .. } = format!("{kind}/x").parse().ok()?;
        Some(On { name: known(name).map(str::to_owned), ..of_kind(kind) })
    }

    /// The object that a text names: `hpa/x`; none where not even its kind is known.
    pub(super) fn object(&mut self, written: &str) -> Option<On> {
        let Some((kind, name)) = written.rsplit_once('/').filter(|(kind, _)| known(kind).is_some()) else {
            self.needs.untold("which kind of object it is");
            return None;
        };
        let object: ObjectName = format!("{kind}/{}", known(name).unwrap_or("x")).parse().ok()?;
        Some(On { name: known(name).map(str::to_owned), ..object.on() })
    }
}

/// Any workload of a kind.
fn of_kind(kind: Kind) -> On {
    On::any("apps", kind.plural())
}

/// The pods that a step with `workload` or `selector` is about: the workload where one is named, and the list of pods.
pub(super) fn of_chosen_pods(asking: &mut Asking, inputs: &Value) {
    if let Some(workload) = asking.workload(inputs) {
        asking.reads("get", &workload);
    }
    asking.reads("list", &On::pods());
}

/// What a step needs that reads the input `object`.
pub(super) fn of_object(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    if let Some(on) = given(inputs, "object").and_then(Value::as_str).and_then(|written| asking.object(written)) {
        asking.reads("get", &on);
    }
    asking.needs()
}

/// What a step needs that only reads the input `workload`.
pub(super) fn of_workload(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    if let Some(workload) = asking.workload(inputs) {
        asking.reads("get", &workload);
    }
    asking.needs()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::by_hand::variable;

    fn asked(inputs: &Value, ask: impl FnOnce(&mut Asking)) -> (Vec<String>, Vec<String>) {
        let mut asking = Asking::of(inputs, Some(&crate::actions::trial::target("uid")));
        ask(&mut asking);
        let needs = asking.needs();
        let shown = |need: &Need| format!("{} {:?}", need.permission, need.permission.name);
        (needs.all.iter().map(shown).collect(), needs.untold)
    }

    #[test]
    fn what_is_not_known_is_left_open_or_told() {
        let later = variable("later");
        for (workload, found, untold) in [
            ("deployment/x".to_owned(), r#"get deployments in namespace production Some("x")"#, ""),
            (format!("deployment/{later}"), "get deployments in namespace production None", ""),
            (later.clone(), "", "which kind of workload it is"),
        ] {
            let (all, open) = asked(&json!({ "workload": workload, "namespace": null }), |asking| {
                if let Some(on) = asking.workload(&json!({ "workload": workload })) {
                    asking.reads("get", &on);
                }
            });
            assert_eq!((all.join(""), open.join("")), (found.to_owned(), untold.to_owned()), "{workload}");
        }
        let (all, open) = asked(&json!({ "namespace": later }), |asking| {
            asking.reads("list", &On::pods());
            asking.reads("list", &On::nodes());
        });
        assert_eq!((all, open), (vec!["list nodes in the cluster None".to_owned()], vec!["the namespace".to_owned()]));
    }

    #[test]
    fn objects_are_known_by_their_kind() {
        let later = variable("later");
        for (object, found, untold) in [
            ("hpa/x".to_owned(), r#"get horizontalpodautoscalers in namespace production Some("x")"#, ""),
            ("apps/v1/Deployment/x".to_owned(), r#"get deployments in namespace production Some("x")"#, ""),
            (format!("node/{later}"), "get nodes in the cluster None", ""),
            (format!("{later}/x"), "", "which kind of object it is"),
            ("keda.sh/v1alpha1/ScaledObject/x".to_owned(), r#"get ScaledObject.keda.sh in namespace production Some("x")"#, ""),
            (later.clone(), "", "which kind of object it is"),
            ("secret/x".to_owned(), "", ""),
        ] {
            let (all, open) = asked(&json!({}), |asking| {
                if let Some(on) = asking.object(&object) {
                    asking.reads("get", &on);
                }
            });
            assert_eq!((all.join(""), open.join("")), (found.to_owned(), untold.to_owned()), "{object}");
        }
    }
}
