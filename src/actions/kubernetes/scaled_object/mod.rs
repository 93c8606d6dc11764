//! A ScaledObject of KEDA (keda.sh/v1alpha1) as it was read, and which one scales a workload.
//!
//! Must not change anything. Invariant: KEDA owns an HPA for each of them and puts back whatever is changed in it, so that the ScaledObject alone
//! says how many pods there are; while it is paused, that HPA is gone, and it says nothing.
//! After KEDA 2.21: <https://keda.sh/docs/2.21/reference/scaledobject-spec/>

mod holds;

pub(super) use self::holds::what_holds;

use serde_json::{Value, json};

use super::api::Api;
use super::argocd::Thing;
use super::errors::{Asked, Trouble};
use super::field_path::FieldPath;
use super::horizontal::Horizontal;
use super::managed;
use super::pages;
use super::swap_fields::{Place, uid_of};
use super::workload::Workload;
use crate::model::change::ObjectRef;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;

/// The group of its API, as access rules name it.
pub(super) const GROUP: &str = "keda.sh";
/// The resource, as access rules name it.
pub(super) const RESOURCE: &str = "scaledobjects";
/// The floor, as the API names it.
pub(super) const FLOOR: &str = "spec.minReplicaCount";
/// The ceiling, as the API names it.
pub(super) const CEILING: &str = "spec.maxReplicaCount";
/// What KEDA goes up to where nothing is said.
pub(super) const DEFAULT_CEILING: i64 = 100;
/// The annotation that pauses it where it stands.
pub(super) const PAUSED: &str = "autoscaling.keda.sh/paused";
/// The annotation that pauses it at a count.
pub(super) const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";
/// The annotation by which it only grows.
pub(super) const PAUSED_SCALE_IN: &str = "autoscaling.keda.sh/paused-scale-in";

const BASE: &str = "/apis/keda.sh/v1alpha1";

/// A ScaledObject.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ScaledObject {
    /// Its name.
    pub(super) name: String,
    /// The floor; KEDA takes 0 where there is none.
    pub(super) min: i64,
    /// The ceiling; KEDA takes 100 where there is none.
    pub(super) max: i64,
    /// The whole object.
    pub(super) object: Value,
}

impl ScaledObject {
    /// From the object; `None` where it is none.
    pub(super) fn of(mut object: Value) -> Option<Self> {
        let number = |path: &str| object.pointer(path).and_then(Value::as_i64);
        let (min, max) = (number("/spec/minReplicaCount").unwrap_or(0), number("/spec/maxReplicaCount").unwrap_or(DEFAULT_CEILING));
        let name = object.pointer("/metadata/name")?.as_str()?.to_owned();
        // The elements of a list need not say what they are.
        object.as_object_mut()?.insert("kind".to_owned(), json!("ScaledObject"));
        Some(Self { name, min, max, object })
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn target(&self, key: &str) -> Option<&str> {
        self.text(&format!("/spec/scaleTargetRef/{key}"))
    }

    /// Whether it scales this workload: by group, kind and name. KEDA takes a Deployment of `apps/v1` where it is not said.
    pub(super) fn scales(&self, workload: &Workload) -> bool {
        let group = self.target("apiVersion").map_or("apps", |version| version.split_once('/').map_or("", |(group, _)| group));
        group == "apps" && self.names(workload.kind.as_str(), &workload.name)
    }

    /// Whether it names an object of this kind and name, in whatever group.
    pub(super) fn names(&self, kind: &str, name: &str) -> bool {
        self.target("kind").unwrap_or("Deployment").eq_ignore_ascii_case(kind) && self.target("name") == Some(name)
    }

    /// What it scales, for people: `Deployment/ticket-service`.
    pub(super) fn scaled(&self) -> String {
        format!("{}/{}", self.target("kind").unwrap_or("Deployment"), self.target("name").unwrap_or_default())
    }

    /// The container whose variables KEDA reads; `None`: the first.
    pub(super) fn read_from(&self) -> Option<&str> {
        self.target("envSourceContainerName")
    }

    /// The name of the HPA that KEDA makes for it.
    pub(super) fn hpa(&self) -> String {
        let named = self.text("/status/hpaName").or_else(|| self.text("/spec/advanced/horizontalPodAutoscalerConfig/name"));
        named.map_or_else(|| format!("keda-hpa-{}", self.name), str::to_owned)
    }

    /// Whether that HPA is the one.
    pub(super) fn owns(&self, hpa: &Horizontal) -> bool {
        hpa.scaled_object().as_deref() == Some(&self.name)
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.object.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }

    /// Whether an annotation is on, as KEDA reads it: what is no boolean counts as true.
    fn is_on(&self, name: &str) -> bool {
        const OFF: [&str; 6] = ["0", "f", "F", "false", "False", "FALSE"];
        self.annotation(name).is_some_and(|value| !OFF.contains(&value))
    }

    /// The annotation that pauses it in both directions, with its value: `autoscaling.keda.sh/paused-replicas: "4"`.
    pub(super) fn paused(&self) -> Option<String> {
        let said = |name: &str| self.annotation(name).map(|value| format!("{name}: \"{value}\""));
        said(PAUSED_REPLICAS).or_else(|| said(PAUSED).filter(|_| self.is_on(PAUSED)))
    }

    /// Whether it only grows.
    pub(super) fn only_grows(&self) -> bool {
        self.is_on(PAUSED_SCALE_IN)
    }

    /// One of the conditions that KEDA keeps.
    pub(super) fn condition(&self, kind: &str) -> Option<&Value> {
        self.object.pointer("/status/conditions")?.as_array()?.iter().find(|condition| condition["type"] == kind)
    }

    /// The count that it goes down to while no trigger is active, whatever its floor.
    pub(super) fn idle(&self) -> Option<i64> {
        self.object.pointer("/spec/idleReplicaCount").and_then(Value::as_i64)
    }

    /// The object with its kind, which a list leaves out.
    pub(super) fn thing(&self) -> Thing<'_> {
        Thing { group: GROUP, kind: "ScaledObject", object: &self.object }
    }

    /// What observers see of it; `hpa` is the one that KEDA made for it.
    pub(super) fn shown(&self, hpa: Option<&Horizontal>) -> Value {
        let spec = |key: &str| self.object.get("spec").and_then(|spec| spec.get(key)).cloned().unwrap_or_default();
        let floor: Option<FieldPath> = FLOOR.parse().ok();
        json!({
            "kind": "ScaledObject",
            "name": self.name,
            "uid": uid_of(&self.object),
            "min": self.min,
            "max": self.max,
            "min_set": spec("minReplicaCount"),
            "max_set": spec("maxReplicaCount"),
            "idle": self.idle(),
            "paused": self.paused(),
            "only_grows": self.only_grows(),
            "hpa": self.hpa(),
            "current": hpa.map_or(0, |hpa| hpa.current),
            "desired": hpa.map_or(0, |hpa| hpa.desired),
            "holds": what_holds(self, hpa),
            "scaled_object": null,
            "applied_by": floor.map(|floor| managed::applied_by(&self.object, [&floor])),
        })
    }
}

/// Every ScaledObject of a namespace; none in a cluster without KEDA.
///
/// # Errors
/// A read that failed, or more of them than can be looked through.
pub(super) async fn list(api: &Api, namespace: &str) -> Result<Vec<ScaledObject>, Failure> {
    // Whether KEDA is there is asked first: an account without a right to its objects would be forbidden what there is not.
    match api.get(BASE).await {
        Ok(_) => {}
        Err(Trouble::Refused { status: 404, .. }) => return Ok(Vec::new()),
        Err(trouble) => return Err(trouble.failure(Asked { verb: "get", resource: BASE, name: "", namespace: "" })),
    }
    let asked = Asked { verb: "list", resource: RESOURCE, name: "", namespace };
    pages::list_if_known(api, &collection(namespace), asked, |one| ScaledObject::of(one.clone())).await
}

fn collection(namespace: &str) -> String {
    format!("{BASE}/namespaces/{namespace}/{RESOURCE}")
}

/// Where a ScaledObject is.
pub(super) fn place(namespace: &str, name: &str) -> Place {
    Place {
        path: format!("{}/{name}", collection(namespace)),
        resource: RESOURCE.to_owned(),
        shown: format!("scaledobject/{name}"),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: None,
    }
}

/// What it is called in the ledger and in locks.
pub(super) fn object_ref(target: &TargetSpec, namespace: &str, name: &str) -> Option<ObjectRef> {
    super::named_ref(target, namespace, &format!("scaledobject.{GROUP}/{name}"))
}

/// A read of the path of another kind, for the tests.
#[cfg(test)]
pub(super) mod testing {
    use serde_json::{Value, json};

    /// Where it is told that KEDA is there.
    pub(in crate::actions::kubernetes) const KEDA: &str = super::BASE;
    /// The path of a ScaledObject `tickets`.
    pub(in crate::actions::kubernetes) const TICKETS: &str = "/apis/keda.sh/v1alpha1/namespaces/production/scaledobjects/tickets";

    /// `tickets`, which scales `deployment/ticket-service` by its queue.
    pub(in crate::actions::kubernetes) fn tickets(min: i64, max: i64) -> Value {
        json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": { "name": "tickets" },
            "spec": {
                "scaleTargetRef": { "name": "ticket-service" }, "minReplicaCount": min, "maxReplicaCount": max,
                "triggers": [{ "type": "rabbitmq", "metadata": { "hostFromEnv": "RABBITMQ_URL", "queueName": "ticket-purchases", "mode": "QueueLength", "value": "50" } }],
            },
            "status": { "hpaName": "keda-hpa-tickets", "externalMetricNames": ["s0-rabbitmq-ticket-purchases"] },
        })
    }

    /// The HPA that KEDA makes of it, with so many messages for each pod.
    pub(in crate::actions::kubernetes) fn hpa(min: i64, max: i64, pods: i64, each: &str) -> Value {
        let metric = json!({ "name": "s0-rabbitmq-ticket-purchases" });
        json!({
            "metadata": {
                "name": "keda-hpa-tickets",
                "ownerReferences": [{ "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "tickets", "controller": true }],
            },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" },
                "minReplicas": min.max(1), "maxReplicas": max,
                "metrics": [{ "type": "External", "external": { "metric": metric, "target": { "type": "AverageValue", "averageValue": "50" } } }],
            },
            "status": {
                "currentReplicas": pods, "desiredReplicas": pods,
                "currentMetrics": [{ "type": "External", "external": { "metric": metric, "current": { "averageValue": each } } }],
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: Value) -> ScaledObject {
        ScaledObject::of(value).unwrap()
    }

    #[test]
    fn a_workload_is_matched_with_kedas_own_defaults() {
        let workload: Workload = "deployment/x".parse().unwrap();
        for (target, scales) in [
            (json!({ "name": "x" }), true),
            (json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "x" }), true),
            (json!({ "kind": "StatefulSet", "name": "x" }), false),
            (json!({ "name": "y" }), false),
            (json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Deployment", "name": "x" }), false),
        ] {
            let one = of(json!({ "metadata": { "name": "a" }, "spec": { "scaleTargetRef": target } }));
            assert_eq!(one.scales(&workload), scales, "{target}");
            assert_eq!((one.min, one.max), (0, 100));
        }
    }

    #[test]
    fn its_hpa_is_called_by_the_status_the_spec_or_the_rule() {
        let named = json!({ "horizontalPodAutoscalerConfig": { "name": "mine" } });
        for (spec, status, hpa) in [
            (json!({}), json!({}), "keda-hpa-a"),
            (json!({ "advanced": named }), json!({}), "mine"),
            (json!({ "advanced": named }), json!({ "hpaName": "keda-hpa-a" }), "keda-hpa-a"),
        ] {
            assert_eq!(of(json!({ "metadata": { "name": "a" }, "spec": spec, "status": status })).hpa(), hpa);
        }
    }

    #[test]
    fn it_is_paused_as_keda_reads_it() {
        for (annotations, paused, only_grows) in [
            (json!({}), None, false),
            (json!({ PAUSED: "true" }), Some("autoscaling.keda.sh/paused: \"true\""), false),
            (json!({ PAUSED: "yes" }), Some("autoscaling.keda.sh/paused: \"yes\""), false),
            (json!({ PAUSED: "false" }), None, false),
            (json!({ PAUSED: "false", PAUSED_REPLICAS: "0" }), Some("autoscaling.keda.sh/paused-replicas: \"0\""), false),
            (json!({ PAUSED_SCALE_IN: "true" }), None, true),
            (json!({ PAUSED_SCALE_IN: "F" }), None, false),
        ] {
            let one = of(json!({ "metadata": { "name": "a", "annotations": annotations } }));
            assert_eq!((one.paused().as_deref(), one.only_grows()), (paused, only_grows), "{annotations}");
        }
    }
}
