//! Pods that are resized in place: done, refused by the API server, or not possible on their node.

use runsheet::model::outcome::{Applied, Followed};
use serde_json::{Value, json};

use crate::support::{Bench, deployment, on_both, settled};

const PODS: &str = "/api/v1/namespaces/production/pods";

/// A Deployment of one pod with these resources; the pod's path.
async fn one_pod(bench: &Bench, name: &str, resources: Value) -> String {
    let mut object = deployment(name, 1, "registry.example/app:1", "10m");
    object["spec"]["template"]["spec"]["containers"][0]["resources"] = resources;
    bench.create("/apis/apps/v1/namespaces/production/deployments", object).await;
    let runs = || async {
        let pods = bench.list(&format!("{PODS}?labelSelector=app%3D{name}")).await;
        pods.into_iter().find(|pod| pod["status"]["phase"] == "Running" && pod["status"]["containerStatuses"][0]["ready"] == true)
    };
    let pod = bench.until("its pod runs", runs).await;
    format!("{PODS}/{}", pod["metadata"]["name"].as_str().unwrap())
}

fn inputs(name: &str, more: Value) -> Value {
    let mut inputs = json!({ "workload": format!("deployment/{name}"), "mode": "in_place" });
    inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    inputs
}

async fn up_and_down_without_a_restart(bench: Bench) {
    let resources = json!({ "requests": { "cpu": "10m", "memory": "64Mi" }, "limits": { "cpu": "50m", "memory": "128Mi" } });
    let pod = one_pod(&bench, "soft", resources).await;
    let before = bench.get(&pod).await.unwrap();
    for more in
        [json!({ "requests": { "cpu": "20m" }, "limits": { "cpu": "100m", "memory": "256Mi" } }), json!({ "limits": { "memory": "96Mi" } })]
    {
        let step = bench.step("k8s.set_resources", inputs("soft", more));
        let intent = step.plan().await.intent;
        let applied = step.apply(&intent).await;
        assert!(matches!(applied, Applied::Applied { .. }), "{applied:?}");
        let done = || async { (step.observe().await.ok()?["resized"] == true).then_some(()) };
        bench.until("it is resized", done).await;
        assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
        step.until_followed(&intent).await;
    }
    let after = bench.get(&pod).await.unwrap();
    assert_eq!((&after["metadata"]["uid"], &after["spec"]["containers"]), (&before["metadata"]["uid"], &before["spec"]["containers"]));
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], before["status"]["containerStatuses"][0]["restartCount"]);
}

async fn what_would_change_its_class_is_refused_and_nothing_is_changed(bench: Bench) {
    // Guaranteed: its limits are its requests.
    let resources = json!({ "requests": { "cpu": "50m", "memory": "64Mi" }, "limits": { "cpu": "50m", "memory": "64Mi" } });
    let pod = one_pod(&bench, "hard", resources).await;
    let before = settled(bench.get(&pod).await);
    let step = bench.step("k8s.set_resources", inputs("hard", json!({ "requests": { "cpu": "40m" } })));
    let intent = step.plan().await.intent;
    let applied = step.apply(&intent).await;
    let Applied::NotApplied { failure } = &applied else { panic!("{applied:?}") };
    assert!(!failure.transient && failure.message.contains("QOS Class may not change"), "{failure:?}");
    assert_eq!(settled(bench.get(&pod).await), before);
}

async fn what_no_node_has_does_not_come_and_is_told(bench: Bench) {
    let pod = one_pod(&bench, "large", json!({ "requests": { "cpu": "10m", "memory": "64Mi" } })).await;
    let step = bench.step("k8s.set_resources", inputs("large", json!({ "requests": { "cpu": "1000" } })));
    let intent = step.plan().await.intent;
    match step.apply(&intent).await {
        // Kubernetes refuses what the pod's node has not, since it is known before the kubelet is asked.
        Applied::NotApplied { failure } => {
            assert!(!failure.transient && failure.message.contains("enough allocatable resources: cpu"), "{failure:?}");
            assert!(!failure.hint.as_deref().unwrap_or_default().contains("Role"), "a role would not help: {failure:?}");
        }
        // The sandbox's is older: its kubelet says so.
        Applied::Applied { .. } => {
            let told = || async {
                match step.action.followed(&step.cx, &intent).await.ok()? {
                    Followed::No { holds } => holds.contains("Infeasible").then_some(holds),
                    Followed::Yes => None,
                }
            };
            let holds = bench.until("the node has said no", told).await;
            assert!(holds.contains("the node does not resize it"), "{holds}");
            assert_eq!(step.observe().await.unwrap()["resized"], false);
            assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
        }
        other => panic!("{other:?}"),
    }
    step.until_followed(&intent).await;
    assert_eq!(bench.get(&pod).await.unwrap()["spec"]["containers"][0]["resources"]["requests"]["cpu"], "10m");
}

on_both!(
    up_and_down_without_a_restart,
    what_would_change_its_class_is_refused_and_nothing_is_changed,
    what_no_node_has_does_not_come_and_is_told
);
