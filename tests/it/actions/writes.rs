//! The actions that change fields: each goes through the same trial.

use runsheet::model::outcome::{Applied, Verdict};
use serde_json::{Value, json};

use crate::support::{Bench, Cut, deployment, on_both, settled};

const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/tickets";
const PODS: &str = "/api/v1/namespaces/production/pods";

/// One action that changes an object which is there.
pub(super) struct Trial<'a> {
    pub(super) action: &'a str,
    pub(super) inputs: Value,
    /// The object.
    pub(super) object: &'a str,
    /// The request that has the effect.
    pub(super) route: &'a str,
    /// What somebody else puts there afterwards, as a merge patch.
    pub(super) foreign: Value,
    /// Where, if that is another path than the object's.
    pub(super) foreign_path: Option<&'a str>,
}

impl Trial<'_> {
    pub(super) async fn run(self, bench: &Bench) {
        let Self { action: name, object, route, .. } = self;
        let before = settled(bench.get(object).await);
        let step = bench.step(name, self.inputs.clone());
        let planned = bench.cluster.changes();
        let intent = step.plan().await.intent;
        assert!(!intent.changes.is_empty(), "{name}: there is something to do");
        assert_eq!(bench.cluster.changes(), planned, "{name}: promise 7: a plan has no effect");
        let prior: Vec<_> = intent.changes.iter().map(|change| Some(change.prior.clone())).collect();
        let after: Vec<_> = intent.changes.iter().map(|change| Some(change.after.clone())).collect();
        assert_eq!(step.live(&intent).await, prior, "{name}");

        // Cut before the effect: nobody knows, and the object says that it did not happen.
        bench.cluster.cut(route, Cut::Before).await;
        let applied = step.apply(&intent).await;
        assert!(matches!(applied, Applied::Unknown { .. }), "{name}: {applied:?}");
        assert_eq!(step.verify(&intent).await, Verdict::Absent, "{name}");
        assert_eq!(settled(bench.get(object).await), before, "{name}");

        // Cut between the effect and the answer: nobody knows, and the object says that it happened.
        bench.cluster.cut(route, Cut::After).await;
        let applied = step.apply(&intent).await;
        assert!(matches!(applied, Applied::Unknown { .. }), "{name}: {applied:?}");
        let verdict = step.verify(&intent).await;
        assert!(matches!(verdict, Verdict::Present { .. }), "{name}: {verdict:?}");
        assert_eq!(step.live(&intent).await, after, "{name}");

        // Twice in a row: the second changes nothing, and neither does the same step of another run.
        let (changes, there) = (bench.cluster.changes(), settled(bench.get(object).await));
        assert_ne!(there, before, "{name}: it has an effect");
        for _ in 0..2 {
            let applied = step.apply(&intent).await;
            assert!(matches!(applied, Applied::Applied { .. }), "{name}: {applied:?}");
        }
        let again = step.anew().plan().await;
        assert!(again.unchanged.is_some() && again.intent.changes.is_empty(), "{name}: {:?}", again.intent.changes);
        assert_eq!((bench.cluster.changes(), settled(bench.get(object).await)), (changes, there), "{name}");

        // Reverted, cut between the effect and the answer; then twice more, which changes nothing.
        bench.cluster.cut(route, Cut::After).await;
        let reverted = step.revert(&intent).await;
        assert!(matches!(reverted, Applied::Unknown { .. }), "{name}: {reverted:?}");
        assert_eq!(step.live(&intent).await, prior, "{name}");
        let changes = bench.cluster.changes();
        for _ in 0..2 {
            let reverted = step.revert(&intent).await;
            assert!(matches!(reverted, Applied::Applied { .. }), "{name}: {reverted:?}");
        }
        assert_eq!((bench.cluster.changes(), settled(bench.get(object).await)), (changes, before.clone()), "{name}");
        step.until_followed(&intent).await;

        // Somebody else's value is neither overwritten nor taken back.
        let applied = step.apply(&intent).await;
        assert!(matches!(applied, Applied::Applied { .. }), "{name}: {applied:?}");
        bench.patch(self.foreign_path.unwrap_or(object), self.foreign).await;
        let foreign = settled(bench.get(object).await);
        let reverted = step.revert(&intent).await;
        assert!(matches!(reverted, Applied::NotApplied { .. }), "{name}: {reverted:?}");
        let applied = step.apply(&intent).await;
        assert!(matches!(applied, Applied::NotApplied { .. }), "{name}: {applied:?}");
        let verdict = step.verify(&intent).await;
        assert!(matches!(verdict, Verdict::CannotTell { .. }), "{name}: {verdict:?}");
        assert_eq!(settled(bench.get(object).await), foreign, "{name}");
    }
}

fn container(part: Value) -> Value {
    let mut container = json!({ "name": "ticket-service" });
    container.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
    json!({ "spec": { "template": { "spec": { "containers": [container] } } } })
}

async fn scale_a_deployment(bench: Bench) {
    let trial = Trial {
        action: "k8s.scale",
        inputs: json!({ "workload": "deployment/ticket-service", "replicas": 4 }),
        object: TICKETS,
        route: "PATCH */deployments/ticket-service/scale",
        foreign: json!({ "spec": { "replicas": 5 } }),
        foreign_path: None,
    };
    trial.run(&bench).await;
}

async fn scale_a_stateful_set_and_a_replica_set(bench: Bench) {
    for (kind, plural) in [("StatefulSet", "statefulsets"), ("ReplicaSet", "replicasets")] {
        let name = format!("a-{}", kind.to_lowercase());
        let mut object = deployment(&name, 1, "registry.example/app:1", "10m");
        object["kind"] = json!(kind);
        if kind == "StatefulSet" {
            object["spec"]["serviceName"] = json!(name);
        }
        let collection = format!("/apis/apps/v1/namespaces/production/{plural}");
        bench.create(&collection, object).await;
        let trial = Trial {
            action: "k8s.scale",
            inputs: json!({ "workload": format!("{}/{name}", kind.to_lowercase()), "replicas": 3 }),
            object: &format!("{collection}/{name}"),
            route: &format!("PATCH */{plural}/{name}/scale"),
            foreign: json!({ "spec": { "replicas": 5 } }),
            foreign_path: None,
        };
        trial.run(&bench).await;
    }
}

/// An autoscaler of the ticket service that goes from 2 to 10.
async fn with_autoscaler(bench: &Bench) {
    let cpu = json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } });
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" });
    let spec = json!({ "scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 10, "metrics": [cpu], "behavior": { "scaleDown": { "stabilizationWindowSeconds": 0 } } });
    let object =
        json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "tickets" }, "spec": spec });
    bench.create("/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers", object).await;
}

async fn scale_under_an_autoscaler_sets_its_floor(bench: Bench) {
    with_autoscaler(&bench).await;
    let trial = Trial {
        action: "k8s.scale",
        inputs: json!({ "workload": "deployment/ticket-service", "replicas": 12, "raise_maximum": true }),
        object: HPA,
        route: "PATCH */horizontalpodautoscalers/tickets",
        foreign: json!({ "spec": { "minReplicas": 3 } }),
        foreign_path: None,
    };
    trial.run(&bench).await;
}

async fn set_env_sets_a_variable_and_adds_another(bench: Bench) {
    let trial = Trial {
        action: "k8s.set_env",
        inputs: json!({ "workload": "deployment/ticket-service", "env": { "DB_POOL_MAX": 9, "EVENT": "on-sale" } }),
        object: TICKETS,
        route: "PATCH */deployments/ticket-service",
        foreign: container(json!({ "env": [{ "name": "DB_POOL_MAX", "value": "7" }] })),
        foreign_path: None,
    };
    trial.run(&bench).await;
}

async fn set_resources_by_a_rollout(bench: Bench) {
    let trial = Trial {
        action: "k8s.set_resources",
        inputs: json!({ "workload": "deployment/ticket-service", "requests": { "cpu": "500m" }, "limits": { "memory": "1Gi" } }),
        object: TICKETS,
        route: "PATCH */deployments/ticket-service",
        foreign: container(json!({ "resources": { "requests": { "cpu": "300m" } } })),
        foreign_path: None,
    };
    trial.run(&bench).await;
}

async fn set_resources_in_place(bench: Bench) {
    bench.patch(TICKETS, json!({ "spec": { "replicas": 1 } })).await;
    let of_one = async || {
        let pods = bench.list(&format!("{PODS}?labelSelector=app%3Dticket-service")).await;
        (pods.len() == 1).then(|| pods[0]["metadata"]["name"].as_str().unwrap().to_owned())
    };
    let pod = bench.until("one pod is left", of_one).await;
    let pod = format!("{PODS}/{pod}");
    let trial = Trial {
        action: "k8s.set_resources",
        inputs: json!({ "workload": "deployment/ticket-service", "mode": "in_place", "requests": { "cpu": "500m" } }),
        object: &pod,
        route: "PATCH */resize",
        foreign: json!({ "spec": { "containers": [{ "name": "ticket-service", "resources": { "requests": { "cpu": "300m" } } }] } }),
        foreign_path: Some(&format!("{pod}/resize")),
    };
    trial.run(&bench).await;
}

async fn patch_sets_fields(bench: Bench) {
    let trial = Trial {
        action: "k8s.patch",
        inputs: json!({
            "object": "deployment/ticket-service",
            "set": { "spec.minReadySeconds": 1, "metadata.annotations[example.com/event]": "on-sale", "metadata.labels.tier": "front" },
        }),
        object: TICKETS,
        route: "PATCH */deployments/ticket-service",
        foreign: json!({ "metadata": { "labels": { "tier": "back" } } }),
        foreign_path: None,
    };
    trial.run(&bench).await;
}

async fn autoscaler_changes_one_that_is_there(bench: Bench) {
    with_autoscaler(&bench).await;
    let trial = Trial {
        action: "k8s.autoscaler",
        inputs: json!({
            "name": "tickets", "workload": "deployment/ticket-service", "min": 3, "max": 12, "metrics": { "cpu": 60 },
            "behavior": { "scaleDown": { "stabilizationWindowSeconds": 5 } },
        }),
        object: HPA,
        route: "PATCH */horizontalpodautoscalers/tickets",
        foreign: json!({ "spec": { "maxReplicas": 11 } }),
        foreign_path: None,
    };
    trial.run(&bench).await;
}

async fn apply_changes_an_object_that_is_there(bench: Bench) {
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "shop" }, "data": { "theirs": "1" } });
    bench.create("/api/v1/namespaces/production/configmaps", object).await;
    let trial = Trial {
        action: "k8s.apply",
        inputs: json!({ "object": { "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "shop" }, "data": { "ours": "1" } } }),
        object: "/api/v1/namespaces/production/configmaps/shop",
        route: "PATCH */configmaps/shop",
        foreign: json!({ "data": { "ours": "2" } }),
        foreign_path: None,
    };
    trial.run(&bench).await;
}

async fn a_restart_happens_once_for_each_doing(bench: Bench) {
    let step = bench.step("k8s.rollout_restart", json!({ "workload": "deployment/ticket-service" }));
    let intent = step.plan().await.intent;
    let route = "PATCH */deployments/ticket-service";
    bench.cluster.cut(route, Cut::Before).await;
    assert!(matches!(step.apply(&intent).await, Applied::Unknown { .. }));
    assert_eq!(step.verify(&intent).await, Verdict::Absent);
    bench.cluster.cut(route, Cut::After).await;
    assert!(matches!(step.apply(&intent).await, Applied::Unknown { .. }));
    assert!(matches!(step.verify(&intent).await, Verdict::Present { .. }));
    let (changes, there) = (bench.cluster.changes(), settled(bench.get(TICKETS).await));
    for _ in 0..2 {
        assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
    }
    assert_eq!((bench.cluster.changes(), settled(bench.get(TICKETS).await)), (changes, there.clone()));
    // Another doing is another restart.
    let second = step.anew();
    let intent = second.plan().await.intent;
    assert!(matches!(second.apply(&intent).await, Applied::Applied { .. }));
    assert_ne!(settled(bench.get(TICKETS).await), there);
}

on_both!(
    scale_a_deployment,
    scale_a_stateful_set_and_a_replica_set,
    scale_under_an_autoscaler_sets_its_floor,
    set_env_sets_a_variable_and_adds_another,
    set_resources_by_a_rollout,
    set_resources_in_place,
    patch_sets_fields,
    autoscaler_changes_one_that_is_there,
    apply_changes_an_object_that_is_there,
    a_restart_happens_once_for_each_doing
);
