//! What the cluster makes of objects that clients send: defaults, validation, what may not change, and who may be deleted.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Service};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Sandbox, eventually, status};

fn api<K>(sandbox: &Sandbox) -> Api<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(sandbox.client.clone(), "production")
}

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn autoscaler(spec: Value) -> HorizontalPodAutoscaler {
    let mut all = json!({ "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" } });
    json_patch::merge(&mut all, &spec);
    object(json!({ "metadata": { "name": "second-hpa" }, "spec": all }))
}

#[tokio::test]
async fn an_autoscaler_is_filled_and_checked() {
    let sandbox = Sandbox::start().await;
    let api = api::<HorizontalPodAutoscaler>(&sandbox);
    let made =
        api.create(&PostParams::default(), &autoscaler(json!({ "maxReplicas": 16, "behavior": { "scaleDown": {} } }))).await.unwrap();
    let spec = serde_json::to_value(made.spec).unwrap();
    assert_eq!((&spec["minReplicas"], &spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"]), (&json!(1), &json!(0)));
    let floor = Patch::Merge(json!({ "spec": { "minReplicas": 20 } }));
    let refused = status(api.patch("second-hpa", &PatchParams::default(), &floor).await);
    let message = r#"HorizontalPodAutoscaler.autoscaling "second-hpa" is invalid: spec.maxReplicas: Invalid value: 16: must be greater than or equal to `minReplicas`"#;
    assert_eq!(refused, (422, "Invalid".to_owned(), message.to_owned()));
    api.patch("second-hpa", &PatchParams::default(), &Patch::Merge(json!({ "spec": { "minReplicas": 8 } }))).await.unwrap();
    assert_eq!(sandbox.effects()[1].object, "production/hpa/second-hpa");
    assert_eq!(sandbox.changes(), ["exists false → true", "spec.minReplicas 1 → 8"]);
}

#[tokio::test]
async fn a_job_gets_its_selector_and_keeps_its_template() {
    let sandbox = Sandbox::start().await;
    let api = api::<Job>(&sandbox);
    let pod = |policy: &str| json!({ "restartPolicy": policy, "containers": [{ "name": "warm", "image": "registry.example/warm:1" }] });
    let job = |policy: &str| object::<Job>(json!({ "metadata": { "name": "warm" }, "spec": { "template": { "spec": pod(policy) } } }));
    let refused = status(api.create(&PostParams::default(), &job("Always")).await);
    assert!(
        refused.2.contains(r#"spec.template.spec.restartPolicy: Unsupported value: "Always": supported values: "OnFailure", "Never""#),
        "{}",
        refused.2
    );
    let made = api.create(&PostParams::default(), &job("Never")).await.unwrap();
    let uid = made.metadata.uid.unwrap();
    let spec = made.spec.unwrap();
    assert_eq!(spec.selector.unwrap().match_labels.unwrap()["batch.kubernetes.io/controller-uid"], uid);
    let other = Patch::Strategic(json!({ "spec": { "template": { "spec": { "containers": [{ "name": "warm", "image": "x:2" }] } } } }));
    let refused = status(api.patch("warm", &PatchParams::default(), &other).await);
    assert!(refused.0 == 422 && refused.2.contains("field is immutable"), "{refused:?}");
}

#[tokio::test]
async fn quantities_are_stored_in_their_canonical_form() {
    let sandbox = Sandbox::start().await;
    let with = |cpu: &str| {
        Patch::Strategic(json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "ticket-service", "resources": { "limits": { "cpu": cpu } } },
        ] } } } }))
    };
    let changed = sandbox.deployments().patch("ticket-service", &PatchParams::default(), &with("2000m")).await.unwrap();
    let limits = changed.spec.template.spec.unwrap().containers[0].resources.clone().unwrap().limits.unwrap();
    assert_eq!(limits["cpu"].0, "2");
    let refused = status(sandbox.deployments().patch("ticket-service", &PatchParams::default(), &with("100m")).await);
    assert!(
        refused.2.contains(r#"resources.requests: Invalid value: "250m": must be less than or equal to cpu limit of 100m"#),
        "{}",
        refused.2
    );
}

#[tokio::test]
async fn a_precondition_that_does_not_hold_deletes_nothing() {
    let sandbox = Sandbox::start().await;
    let api = api::<Service>(&sandbox);
    let service = object::<Service>(json!({ "metadata": { "name": "doors" }, "spec": { "ports": [{ "port": 80 }] } }));
    let made = api.create(&PostParams::default(), &service).await.unwrap();
    assert!(made.spec.unwrap().cluster_ip.unwrap().starts_with("10.96."));
    let other = Preconditions { uid: Some("another".to_owned()), resource_version: None };
    let refused = status(api.delete("doors", &DeleteParams { preconditions: Some(other), ..DeleteParams::default() }).await);
    assert!(
        refused.0 == 409 && refused.2.contains("the UID in the precondition (another) does not match the UID in record"),
        "{refused:?}"
    );
    api.delete("doors", &DeleteParams::background().dry_run()).await.unwrap();
    api.get("doors").await.unwrap();
    api.delete("doors", &DeleteParams::foreground()).await.unwrap();
    eventually("it to be gone", || async { api.get_opt("doors").await.unwrap().is_none() }).await;
}

#[tokio::test]
async fn what_a_selector_matches_is_deleted_and_the_rest_stays() {
    let sandbox = Sandbox::start().await;
    let api = api::<ConfigMap>(&sandbox);
    for (name, tier) in [("a", "web"), ("b", "web"), ("c", "db")] {
        let metadata =
            ObjectMeta { name: Some(name.to_owned()), labels: Some([("tier".to_owned(), tier.to_owned())].into()), ..Default::default() };
        api.create(&PostParams::default(), &ConfigMap { metadata, ..Default::default() }).await.unwrap();
    }
    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("tier=web")).await.unwrap();
    let left: Vec<_> =
        api.list(&ListParams::default().labels("tier")).await.unwrap().items.into_iter().filter_map(|item| item.metadata.name).collect();
    assert_eq!(left, ["c"]);
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_gone() {
    let sandbox = Sandbox::start().await;
    let api = api::<ConfigMap>(&sandbox);
    let metadata =
        ObjectMeta { name: Some("held".to_owned()), finalizers: Some(vec!["example.com/hold".to_owned()]), ..Default::default() };
    api.create(&PostParams::default(), &ConfigMap { metadata, ..Default::default() }).await.unwrap();
    api.delete("held", &DeleteParams::default()).await.unwrap();
    assert!(api.get("held").await.unwrap().metadata.deletion_timestamp.is_some());
    api.patch("held", &PatchParams::default(), &Patch::Merge(json!({ "metadata": { "finalizers": null } }))).await.unwrap();
    assert_eq!(status(api.get("held").await).0, 404);
}

#[tokio::test]
async fn events_are_selected_by_what_they_are_about() {
    let sandbox = Sandbox::start().await;
    let api = api::<Event>(&sandbox);
    for name in ["ticket-service", "other"] {
        let about = json!({ "kind": "Deployment", "namespace": "production", "name": name });
        let event =
            object::<Event>(json!({ "metadata": { "generateName": "e-" }, "involvedObject": about, "reason": "Tested", "type": "Normal" }));
        api.create(&PostParams::default(), &event).await.unwrap();
    }
    let found = api.list(&ListParams::default().fields("involvedObject.name=other,reason=Tested")).await.unwrap().items;
    assert_eq!(found.len(), 1);
    assert_eq!(status(api.list(&ListParams::default().fields("spec.nodeName=x")).await).0, 400);
}

#[tokio::test]
async fn somebody_else_changes_a_field_of_any_kind() {
    let sandbox = Sandbox::start().await;
    let api = api::<HorizontalPodAutoscaler>(&sandbox);
    api.create(&PostParams::default(), &autoscaler(json!({ "maxReplicas": 16 }))).await.unwrap();
    sandbox.fault(&["change", "production/hpa/second-hpa", "spec.minReplicas", "4"]).await;
    assert_eq!(api.get("second-hpa").await.unwrap().spec.min_replicas, Some(4));
    assert_eq!(sandbox.changes().last().unwrap(), "spec.minReplicas 1 → 4");
}
