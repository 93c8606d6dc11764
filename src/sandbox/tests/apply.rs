//! Server-side apply and managed fields over HTTP, through kube.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Sandbox, status};

fn replicas(count: i32) -> Patch<Value> {
    Patch::Apply(
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "ticket-service" }, "spec": { "replicas": count } }),
    )
}

#[tokio::test]
async fn applying_anothers_value_is_a_conflict_until_it_is_forced() {
    let sandbox = Sandbox::start().await;
    let api = sandbox.deployments();
    let refused = status(api.patch("ticket-service", &PatchParams::apply("runsheet"), &replicas(8)).await);
    let message = r#"Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas"#;
    assert_eq!(refused, (409, "Conflict".to_owned(), message.to_owned()));
    assert!(sandbox.changes().is_empty());
    let applied = api.patch("ticket-service", &PatchParams::apply("runsheet").force(), &replicas(8)).await.unwrap();
    assert_eq!(applied.spec.replicas, Some(8));
    assert_eq!(sandbox.changes(), ["spec.replicas 2 → 8"]);
    let again = api.patch("ticket-service", &PatchParams::apply("runsheet"), &replicas(8)).await.unwrap();
    // The controllers have reported since; the appliers' part is the same.
    let own = |object: Deployment| {
        object.metadata.managed_fields.unwrap().into_iter().filter(|entry| entry.operation.as_deref() == Some("Apply")).collect::<Vec<_>>()
    };
    assert_eq!(own(again), own(applied));
    assert_eq!(sandbox.changes().len(), 1);
}

#[tokio::test]
async fn the_scale_subresource_manages_the_replicas() {
    let sandbox = Sandbox::start().await;
    sandbox.scale(5).await.unwrap();
    let managers = sandbox.deployments().get("ticket-service").await.unwrap().metadata.managed_fields.unwrap();
    let scale = managers.iter().find(|entry| entry.subresource.as_deref() == Some("scale")).unwrap();
    assert_eq!(scale.fields_v1.as_ref().unwrap().0, json!({ "f:spec": { "f:replicas": {} } }));
    let refused = status(sandbox.deployments().patch("ticket-service", &PatchParams::apply("runsheet"), &replicas(8)).await);
    assert!(refused.2.contains(r#"with subresource "scale" using apps/v1: .spec.replicas"#), "{}", refused.2);
}

#[tokio::test]
async fn what_is_not_there_is_created_by_applying_it() {
    let sandbox = Sandbox::start().await;
    let api: Api<ConfigMap> = Api::namespaced(sandbox.client.clone(), "production");
    let config =
        |data: Value| Patch::Apply(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "doors" }, "data": data }));
    let params = PatchParams::apply("runsheet");
    api.patch("doors", &params, &config(json!({ "opens": "19:00", "gate": "north" }))).await.unwrap();
    let second = api.patch("doors", &params, &config(json!({ "opens": "18:30" }))).await.unwrap();
    assert_eq!(serde_json::to_value(second.data).unwrap(), json!({ "opens": "18:30" }));
    assert_eq!(sandbox.changes(), ["exists false → true", r#"data.gate "north" → null"#, r#"data.opens "19:00" → "18:30""#]);
    let odd = Patch::Apply(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "doors" }, "dat": {} , "datum": 1 }));
    let refused = status(api.patch("doors", &params, &odd).await);
    assert!(refused.2.contains(".datum: field not declared in schema"), "{}", refused.2);
    let other = ConfigMap {
        metadata: kube::api::ObjectMeta { generate_name: Some("doors-".to_owned()), ..Default::default() },
        ..ConfigMap::default()
    };
    let made = api.create(&PostParams::default(), &other).await.unwrap().metadata.name.unwrap();
    assert!(made.starts_with("doors-") && made.len() == 11, "{made}");
}
