//! Pods are resized as they run.

use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Sandbox, eventually, status};

fn resources(requests: Value, limits: Value) -> Value {
    json!({ "spec": { "containers": [{ "name": "ticket-service", "resources": { "requests": requests, "limits": limits } }] } })
}

impl Sandbox {
    async fn resize(&self, pod: &str, wanted: Value) -> kube::Result<Pod> {
        self.pods().patch_subresource("resize", pod, &PatchParams::default(), &Patch::Strategic(wanted)).await
    }

    async fn pod(&self, name: &str) -> Value {
        serde_json::to_value(self.pods().get(name).await.unwrap()).unwrap()
    }

    /// The reason and the message of the condition that says why a Pod is not resized.
    async fn held_by(&self, name: &str) -> Option<(String, String)> {
        let conditions = self.pods().get(name).await.unwrap().status.unwrap().conditions.unwrap();
        let held = conditions.into_iter().find(|condition| condition.type_ == "PodResizePending")?;
        Some((held.reason.unwrap_or_default(), held.message.unwrap_or_default()))
    }
}

#[tokio::test]
async fn a_pod_runs_on_with_other_resources_and_with_the_former_ones() {
    let sandbox = Sandbox::start().await;
    let names = sandbox.pod_names().await;
    let started = sandbox.pod(&names[0]).await["status"]["containerStatuses"][0]["state"].clone();
    for (cpu, memory) in [("2", "1Gi"), ("1", "512Mi")] {
        sandbox.resize(&names[0], resources(json!({}), json!({ "cpu": cpu, "memory": memory }))).await.unwrap();
        eventually("what the container runs with", || async {
            let pod = sandbox.pod(&names[0]).await;
            let container = &pod["status"]["containerStatuses"][0];
            let waits = pod["status"]["conditions"].as_array().unwrap().iter().any(|one| one["type"] == "PodResizeInProgress");
            container["resources"]["limits"] == json!({ "cpu": cpu, "memory": memory }) && container["state"] == started && !waits
        })
        .await;
    }
    assert_eq!((sandbox.pod_names().await, sandbox.ready_replicas().await), (names, 2));
    let limits = "spec.containers[ticket-service].resources.limits";
    let expected = [("cpu", "1", "2"), ("memory", "512Mi", "1Gi"), ("cpu", "2", "1"), ("memory", "1Gi", "512Mi")];
    assert_eq!(sandbox.changes(), expected.map(|(name, from, to)| format!("{limits}.{name} \"{from}\" → \"{to}\"")));
}

#[tokio::test]
async fn what_cannot_be_resized_is_refused() {
    let sandbox = Sandbox::start().await;
    let name = &sandbox.pod_names().await[0];
    let gone = sandbox.resize(name, resources(json!({}), json!({ "memory": null }))).await;
    let (code, _, message) = status(gone);
    assert_eq!(code, 422);
    assert!(message.ends_with("spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"), "{message}");
    let equal = resources(json!({ "cpu": "1", "memory": "1Gi" }), json!({ "cpu": "1", "memory": "1Gi" }));
    let (_, _, message) = status(sandbox.resize(name, equal).await);
    assert!(message.ends_with(r#"spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing"#), "{message}");
    let storage = resources(json!({ "ephemeral-storage": "1Gi" }), json!({}));
    let (_, _, message) = status(sandbox.resize(name, storage).await);
    assert!(message.ends_with("spec: Forbidden: only cpu and memory resources are mutable"), "{message}");
    // Without the subresource it is a change of what a Pod is.
    let plain = Patch::Strategic(resources(json!({ "cpu": "1" }), json!({})));
    let (_, _, message) = status(sandbox.pods().patch(name, &PatchParams::default(), &plain).await);
    assert!(message.contains("pod updates may not change fields other than"), "{message}");
    assert_eq!(status(sandbox.resize("nobody", json!({})).await).0, 404);
    assert!(sandbox.effects().is_empty());
}

#[tokio::test]
async fn a_node_gives_what_it_has() {
    let sandbox = Sandbox::start().await;
    let name = &sandbox.pod_names().await[0];
    sandbox.resize(name, resources(json!({ "cpu": "17" }), json!({ "cpu": "17" }))).await.unwrap();
    let said = "Node didn't have enough capacity: cpu, requested: 17000, capacity: 16000";
    eventually("a refusal", || async { sandbox.held_by(name).await == Some(("Infeasible".to_owned(), said.to_owned())) }).await;
    let runs_with = sandbox.pod(name).await["status"]["containerStatuses"][0]["resources"]["limits"]["cpu"].clone();
    assert_eq!(runs_with, "1");
    // Six pods are two on each node, beside one of RabbitMQ's.
    sandbox.resize(name, resources(json!({ "cpu": "250m" }), json!({ "cpu": "1" }))).await.unwrap();
    sandbox.scale(6).await.unwrap();
    eventually("six ready pods", || async { sandbox.ready_replicas().await == 6 }).await;
    sandbox.resize(name, resources(json!({ "cpu": "15700m" }), json!({ "cpu": "16" }))).await.unwrap();
    let said = "Node didn't have enough resource: cpu, requested: 15700, used: 500, capacity: 16000";
    eventually("a wait", || async { sandbox.held_by(name).await == Some(("Deferred".to_owned(), said.to_owned())) }).await;
    sandbox.scale(1).await.unwrap();
    eventually("one pod", || async { sandbox.pod_names().await.len() == 1 }).await;
    let left = &sandbox.pod_names().await[0];
    if left == name {
        eventually("the room of the one that went", || async { sandbox.held_by(name).await.is_none() }).await;
    }
}

#[tokio::test]
async fn a_quota_counts_for_what_clients_make_and_resize() {
    let sandbox = Sandbox::start().await;
    let quotas: Api<ResourceQuota> = Api::namespaced(sandbox.client.clone(), "production");
    let quota = json!({ "metadata": { "name": "most" }, "spec": { "hard": { "requests.cpu": "700m", "pods": "3" } } });
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    let pod = |name: &str, cpu: &str| -> Pod {
        let container = json!({ "name": "one", "image": "registry.example/one:1", "resources": { "requests": { "cpu": cpu } } });
        serde_json::from_value(json!({ "metadata": { "name": name }, "spec": { "nodeName": "node-a", "containers": [container] } }))
            .unwrap()
    };
    let (code, _, message) = status(sandbox.pods().create(&PostParams::default(), &pod("large", "300m")).await);
    let why = "exceeded quota: most, requested: requests.cpu=300m, used: requests.cpu=500m, limited: requests.cpu=700m";
    assert_eq!((code, message), (403, format!("pods \"large\" is forbidden: {why}")));
    // One that a client puts on a node by itself comes up, too.
    sandbox.pods().create(&PostParams::default(), &pod("small", "200m")).await.unwrap();
    eventually("its readiness", || async { sandbox.pod("small").await["status"]["containerStatuses"][0]["ready"] == true }).await;
    let name = &sandbox.pod_names().await[0];
    let (code, _, message) = status(sandbox.resize(name, resources(json!({ "cpu": "300m" }), json!({}))).await);
    let why = "exceeded quota: most, requested: requests.cpu=300m, used: requests.cpu=450m, limited: requests.cpu=700m";
    assert_eq!((code, message), (403, format!("pods \"{name}\" is forbidden: {why}")));
    sandbox.resize(name, resources(json!({ "cpu": "200m" }), json!({}))).await.unwrap();
}
