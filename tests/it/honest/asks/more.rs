//! What both are asked besides: what people see and do with `kubectl`, and what a server refuses rarely.

use http::Method;
use serde_json::{Value, json};

use super::{
    Ask, DEPLOYMENTS, HPAS, JSON, JSON_PATCH, LEASES, MAPS, MERGE, PODS, PROBE, TABLE, ask, delete, get, lease, map, patch, post, probe,
};

const EVENTS: &str = "/api/v1/namespaces/{NS}/events";
const SETS: &str = "/apis/apps/v1/namespaces/{NS}/statefulsets";
/// What a controller has reported, by who manages it; as `status`, it depends on how far it has come.
const REPORTED: &str = "metadata.managedFields[kube-controller-manager]";
const AGAIN: &str = "metadata.managedFields[kube-controller-manager]2";
const BUDGETS: &str = "/apis/policy/v1/namespaces/{NS}/poddisruptionbudgets";

/// All of them, in order.
pub(super) fn asks() -> Vec<Ask> {
    [shown(), stateful(), budgets(), refused(), managed(), ends(), old()].into_iter().flatten().collect()
}

fn shown() -> Vec<Ask> {
    let behaviour = json!({ "scaleDown": { "stabilizationWindowSeconds": 10 } });
    let mut autoscaler = super::autoscaler(1, 3);
    autoscaler["metadata"]["name"] = json!("behaviour");
    autoscaler["spec"]["scaleTargetRef"]["name"] = json!("none");
    autoscaler["spec"]["behavior"] = behaviour;
    vec![
        get("pods as a table", &format!("{PODS}?labelSelector=app%3Dprobe")).accept(TABLE),
        get(
            "pods by their phase",
            &format!("{PODS}?fieldSelector=status.phase%3DRunning,metadata.name%3D<<its pods again/items/0/metadata/name>>"),
        ),
        get("pods of another phase", &format!("{PODS}?fieldSelector=status.phase%3DFailed")),
        get("the first event of a watch", &format!("{DEPLOYMENTS}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dprobe")),
        get(
            "the event of a rollout",
            &format!(
                "{EVENTS}?fieldSelector=involvedObject.kind%3DDeployment,involvedObject.name%3Dprobe,reason%3DScalingReplicaSet&limit=1"
            ),
        )
        .but(&["items[Normal].metadata.name"]),
        post("an autoscaler's behaviour", HPAS, &autoscaler).but(&["status"]),
        get("autoscalers as a table", HPAS).accept(TABLE).but(&["rows[0].object.metadata.managedFields[kube-controller-manager]"]),
        delete("its end", &format!("{HPAS}/behaviour")).not_compared(),
    ]
}

fn stateful() -> Vec<Ask> {
    let mut set = probe(1);
    set["kind"] = json!("StatefulSet");
    set["metadata"]["name"] = json!("stateful");
    set["spec"]["serviceName"] = json!("stateful");
    set["spec"]["selector"]["matchLabels"]["app"] = json!("stateful");
    set["spec"]["template"]["metadata"]["labels"]["app"] = json!("stateful");
    let path = format!("{SETS}/stateful");
    vec![
        post("a StatefulSet", SETS, &set),
        get("a StatefulSet that is ready", &path).until("/status/availableReplicas", json!(1)),
        get("its pod", &format!("{PODS}/stateful-0")),
        get("the scale of a StatefulSet", &format!("{path}/scale")),
        patch("a scale of a StatefulSet", &format!("{path}/scale"), MERGE, &json!({ "spec": { "replicas": 0 } })),
        patch("a change of what a StatefulSet may not change", &path, MERGE, &json!({ "spec": { "serviceName": "other" } })),
        delete("a StatefulSet's end", &path),
    ]
}

fn budgets() -> Vec<Ask> {
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "probe" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "ticket-service" } } },
    });
    vec![
        post("a budget", BUDGETS, &budget).but(&["status"]),
        get("a budget that is counted", &format!("{BUDGETS}/probe")).until("/status/currentHealthy", json!(4)),
        delete("a budget's end", &format!("{BUDGETS}/probe")),
    ]
}

fn refused() -> Vec<Ask> {
    let timed = |text: &str| {
        let mut lease = lease("a");
        lease["spec"]["renewTime"] = json!(text);
        lease
    };
    vec![
        patch("a status that an account may not change", &format!("{PODS}/x/status"), MERGE, &json!({ "status": {} })).by("viewer"),
        post("a lease with a word for a time", LEASES, &timed("yesterday")),
        post("a lease with a time of whole seconds", LEASES, &timed("2026-01-01T00:00:00Z")),
        post("a dry run of a second creation", &format!("{DEPLOYMENTS}?dryRun=All"), &probe(1)),
        get("a version that is none", &format!("{MAPS}?resourceVersion=x")),
        get("a limit that is none", &format!("{MAPS}?limit=x")),
        ask("an update of what is not there", Method::PUT, &format!("{MAPS}/none")).with(JSON, &map("none", &json!({}))).not_compared(),
        ask("an update under another name", Method::PUT, &format!("{MAPS}/shop")).with(JSON, &map("other", &json!({}))),
        patch(
            "a patch of a name",
            &format!("{MAPS}/shop"),
            JSON_PATCH,
            &json!([{ "op": "replace", "path": "/metadata/name", "value": "x" }]),
        ),
    ]
}

fn managed() -> Vec<Ask> {
    let image = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": "registry.example/app:2" }] } } } });
    vec![
        patch("a patch by a named manager", &format!("{PROBE}?fieldManager=kubectl-set"), super::STRATEGIC, &image)
            .but(&["status", REPORTED, AGAIN]),
        patch(
            "an annotation by another",
            &format!("{PROBE}?fieldManager=kubectl-annotate"),
            MERGE,
            &json!({ "metadata": { "annotations": { "shop.example/a": "1" } } }),
        )
        .but(&["status", REPORTED, AGAIN]),
        get("the pods of the new template", PROBE).until("/status/updatedReplicas", json!(2)).not_compared(),
        get("the Deployment when all is settled", PROBE).until("/status/terminatingReplicas", json!(0)).but(&["status", REPORTED, AGAIN]),
    ]
}

fn ends() -> Vec<Ask> {
    let held = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "held", "finalizers": ["shop.example/hold"] } });
    let path = format!("{MAPS}/held");
    let small = |name: &str| {
        let mut small = probe(0);
        small["metadata"]["name"] = json!(name);
        small
    };
    let sets: Value = json!({ "propagationPolicy": "Orphan" });
    vec![
        post("what a finalizer holds", MAPS, &held),
        delete("a deletion of what a finalizer holds", &path),
        get("what leaves", &path),
        patch("the finalizer's end", &path, MERGE, &json!({ "metadata": { "finalizers": null } })),
        get("what was held", &path),
        post("a Deployment to be orphaned", DEPLOYMENTS, &small("orphaned")).not_compared(),
        get("it", &format!("{DEPLOYMENTS}/orphaned")).until("/status/observedGeneration", json!(1)).not_compared(),
        delete("a deletion that orphans", &format!("{DEPLOYMENTS}/orphaned")).with(JSON, &sets),
        get("what was orphaned from", &format!("{DEPLOYMENTS}/orphaned")).until("/code", json!(404)),
        post("a Deployment to be deleted with all", DEPLOYMENTS, &small("whole")).not_compared(),
        get("that", &format!("{DEPLOYMENTS}/whole")).until("/status/observedGeneration", json!(1)).not_compared(),
        delete("a deletion in the foreground", &format!("{DEPLOYMENTS}/whole?propagationPolicy=Foreground")),
        get("what was deleted in the foreground", &format!("{DEPLOYMENTS}/whole")).until("/code", json!(404)),
    ]
}

/// Pages of what has changed since, and a watch of what is kept no more. (A page of the first version is not asked for: an API server that has just been
/// started may still have it in memory.)
fn old() -> Vec<Ask> {
    let named = |name: &str| {
        let mut lease = lease("a");
        lease["metadata"]["name"] = json!(name);
        lease
    };
    vec![
        post("a lease to be listed", LEASES, &named("page-a")).not_compared(),
        post("another lease to be listed", LEASES, &named("page-b")).not_compared(),
        get("a first page", &format!("{LEASES}?limit=1")),
        delete("a deletion between two pages", &format!("{LEASES}/page-b")),
        get("a page after a change", &format!("{LEASES}?limit=1&continue=<<a first page/metadata/continue>>")),
        get("a watch from an old version", &format!("{EVENTS}?watch=1&timeoutSeconds=1&resourceVersion=1")),
    ]
}
