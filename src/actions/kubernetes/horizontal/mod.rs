//! A HorizontalPodAutoscaler (autoscaling/v2) as it was read, and which one scales a workload.
//!
//! Must not change anything. Invariant: of two autoscalers on one workload neither is picked; they are named, and nothing is guessed.

mod holds;

pub(super) use self::holds::what_holds;

use serde_json::{Value, json};

use super::api::Api;
use super::argocd::Thing;
use super::errors::Asked;
use super::field_path::FieldPath;
use super::managed;
use super::pages;
use super::swap_fields::{Place, uid_of};
use super::workload::Workload;
use crate::model::change::ObjectRef;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;

/// The floor, as the API names it.
pub(super) const FLOOR: &str = "spec.minReplicas";
/// The ceiling, as the API names it.
pub(super) const CEILING: &str = "spec.maxReplicas";
/// The resource, as access rules name it.
pub(super) const RESOURCE: &str = "horizontalpodautoscalers";

/// An autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Horizontal {
    /// Its name.
    pub(super) name: String,
    /// The floor; the API fills in 1.
    pub(super) min: i64,
    /// The ceiling.
    pub(super) max: i64,
    /// The pods it saw last.
    pub(super) current: i64,
    /// The pods it wanted last.
    pub(super) desired: i64,
    /// The whole object.
    pub(super) object: Value,
}

impl Horizontal {
    /// From the object; `None` where it is none.
    pub(super) fn of(object: Value) -> Option<Self> {
        let number = |path: &str| object.pointer(path).and_then(Value::as_i64);
        Some(Self {
            name: object.pointer("/metadata/name")?.as_str()?.to_owned(),
            min: number("/spec/minReplicas").unwrap_or(1),
            max: number("/spec/maxReplicas")?,
            current: number("/status/currentReplicas").unwrap_or(0),
            desired: number("/status/desiredReplicas").unwrap_or(0),
            object,
        })
    }

    fn target(&self, key: &str) -> &str {
        self.object.pointer(&format!("/spec/scaleTargetRef/{key}")).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it names an object of this kind and name, in whatever group.
    fn names(&self, kind: &str, name: &str) -> bool {
        self.target("kind").eq_ignore_ascii_case(kind) && self.target("name") == name
    }

    /// Whether it scales this workload: by group, kind and name.
    pub(super) fn scales(&self, workload: &Workload) -> bool {
        let group = self.target("apiVersion").split_once('/').map_or("", |(group, _)| group);
        // A reference of old manifests may leave the group out.
        (group == "apps" || group.is_empty()) && self.names(workload.kind.as_str(), &workload.name)
    }

    /// What it scales, for people: `Deployment/ticket-service`.
    pub(super) fn scaled(&self) -> String {
        format!("{}/{}", self.target("kind"), self.target("name"))
    }

    /// The ScaledObject of KEDA that made it and puts back whatever is changed in it.
    pub(super) fn scaled_object(&self) -> Option<String> {
        let owned = controller(&self.object).filter(|(kind, _)| kind == "ScaledObject").map(|(_, name)| name);
        let marked = |part: &str| {
            let name = self.object.get("metadata")?.get(part)?.get("scaledobject.keda.sh/name")?.as_str()?;
            Some(name.to_owned())
        };
        owned.or_else(|| marked("labels")).or_else(|| marked("annotations"))
    }

    /// The object with its kind, which a list leaves out.
    pub(super) fn thing(&self) -> Thing<'_> {
        Thing { group: "autoscaling", kind: "HorizontalPodAutoscaler", object: &self.object }
    }

    /// What observers see of it.
    pub(super) fn shown(&self) -> Value {
        json!({
            "kind": "HorizontalPodAutoscaler",
            "name": self.name,
            "uid": uid_of(&self.object),
            "min": self.min,
            "max": self.max,
            "current": self.current,
            "desired": self.desired,
            "holds": what_holds(&self.object),
            "scaled_object": self.scaled_object(),
            "applied_by": floor().map(|floor| managed::applied_by(&self.object, &[floor])),
        })
    }
}

fn floor() -> Option<FieldPath> {
    FLOOR.parse().ok()
}

/// The controller that owns an object: kind and name.
pub(super) fn controller(object: &Value) -> Option<(String, String)> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    Some((owner.get("kind")?.as_str()?.to_owned(), owner.get("name")?.as_str()?.to_owned()))
}

/// Every autoscaler of a namespace. An API server that knows none has none.
///
/// # Errors
/// A read that failed, or more of them than can be looked through.
pub(super) async fn list(api: &Api, namespace: &str) -> Result<Vec<Horizontal>, Failure> {
    let asked = Asked { verb: "list", resource: RESOURCE, name: "", namespace };
    pages::list_if_known(api, &collection(namespace), asked, |one| Horizontal::of(one.clone())).await
}

/// The names of those that scale an object of whatever kind: `Deployment`, its name.
///
/// # Errors
/// As for [`list`].
pub(super) async fn names(api: &Api, namespace: &str, kind: &str, name: &str) -> Result<Vec<String>, Failure> {
    Ok(list(api, namespace).await?.into_iter().filter(|one| one.names(kind, name)).map(|one| one.name).collect())
}

/// The one of several that there may be.
///
/// # Errors
/// More than one, which are named; `place` is what they scale.
pub(super) fn only(mut found: Vec<Horizontal>, place: &str) -> Result<Option<Horizontal>, Failure> {
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        let message = format!("{} autoscalers scale {place}, against each other: {}", found.len(), names.join(", "));
        return Err(Failure::permanent(message).hint("leave one of them: `kubectl delete hpa NAME`"));
    }
    Ok(found.pop())
}

/// The path of all autoscalers of a namespace.
pub(super) fn collection(namespace: &str) -> String {
    format!("/apis/autoscaling/v2/namespaces/{namespace}/{RESOURCE}")
}

/// Where an autoscaler is.
pub(super) fn place(namespace: &str, name: &str) -> Place {
    Place {
        path: format!("{}/{name}", collection(namespace)),
        resource: RESOURCE.to_owned(),
        shown: format!("hpa/{name}"),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: None,
    }
}

/// What it is called in the ledger and in locks.
pub(super) fn object_ref(target: &TargetSpec, namespace: &str, name: &str) -> Option<ObjectRef> {
    let uid = target.identity.get(crate::environment::KUBERNETES)?.as_str()?;
    Some(ObjectRef(format!("k8s:{uid}/{namespace}/hpa/{name}")))
}

/// Why an autoscaler that KEDA made is not changed.
pub(super) fn of_keda(name: &str, scaled_object: &str) -> Failure {
    Failure::permanent(format!(
        "the autoscaler {name} belongs to KEDA's ScaledObject {scaled_object}, which puts back whatever is changed in it"
    ))
    .hint(format!("change `minReplicaCount` and `maxReplicaCount` of scaledobject/{scaled_object} instead (`k8s.keda`)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: Value) -> Horizontal {
        Horizontal::of(value).unwrap()
    }

    #[test]
    fn a_workload_is_matched_by_group_kind_and_name() {
        let workload: Workload = "deployment/x".parse().unwrap();
        for (target, scales) in [
            (json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "x" }), true),
            (json!({ "kind": "Deployment", "name": "x" }), true),
            (json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x" }), false),
            (json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "y" }), false),
            (json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Deployment", "name": "x" }), false),
        ] {
            let one = of(json!({ "metadata": { "name": "a" }, "spec": { "maxReplicas": 4, "scaleTargetRef": target } }));
            assert_eq!(one.scales(&workload), scales, "{target}");
            assert_eq!(one.min, 1);
        }
    }

    #[test]
    fn one_that_keda_made_is_known_by_its_owner_or_its_marks() {
        let owner = json!([{ "kind": "ScaledObject", "name": "s", "controller": true }]);
        for (metadata, name) in [
            (json!({ "name": "a", "ownerReferences": owner }), Some("s")),
            (json!({ "name": "a", "labels": { "scaledobject.keda.sh/name": "s" } }), Some("s")),
            (json!({ "name": "a", "annotations": { "scaledobject.keda.sh/name": "s" } }), Some("s")),
            (json!({ "name": "keda-hpa-s" }), None),
        ] {
            assert_eq!(of(json!({ "metadata": metadata, "spec": { "maxReplicas": 4 } })).scaled_object().as_deref(), name, "{metadata}");
        }
    }
}
