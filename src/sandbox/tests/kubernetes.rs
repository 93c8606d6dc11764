//! The Kubernetes API, as kube's typed client sees it.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::discovery::Discovery;
use serde_json::json;

use super::{Sandbox, client, eventually, status};

#[tokio::test]
async fn the_first_cluster_is_the_one_of_the_procedure() {
    let sandbox = Sandbox::start().await;
    let namespaces: Api<Namespace> = Api::all(sandbox.client.clone());
    let system = namespaces.get("kube-system").await.unwrap();
    assert_eq!(system.metadata.uid.unwrap(), sandbox.running.ready.cluster_uid);
    namespaces.get("staging").await.unwrap();

    let deployment = sandbox.deployments().get("ticket-service").await.unwrap();
    let (spec, found) = (deployment.spec, deployment.status.unwrap());
    assert_eq!(spec.replicas, Some(2));
    assert_eq!((found.ready_replicas, found.available_replicas, found.updated_replicas), (Some(2), Some(2), Some(2)));
    assert_eq!(found.observed_generation, deployment.metadata.generation);
    let available = found.conditions.unwrap().into_iter().find(|condition| condition.type_.as_deref() == Some("Available")).unwrap();
    assert_eq!(available.status.as_deref(), Some("True"));
    let container = spec.template.spec.unwrap().containers.remove(0);
    let variable = &container.env.unwrap()[0];
    assert_eq!((variable.name.as_str(), variable.value.as_deref()), ("DB_POOL_MAX", Some("20")));
    let resources = container.resources.unwrap();
    assert_eq!(resources.requests.unwrap()["cpu"].0, "250m");
    assert_eq!(resources.limits.unwrap()["memory"].0, "512Mi");
    assert_eq!(sandbox.pod_names().await.len(), 2);
    assert!(sandbox.changes().is_empty());
}

#[tokio::test]
async fn discovery_finds_what_is_served() {
    let sandbox = Sandbox::start().await;
    assert!(sandbox.client.apiserver_version().await.unwrap().git_version.starts_with("v1."));
    let discovery = Discovery::new(sandbox.client.clone()).run().await.unwrap();
    let apps = discovery.get("apps").unwrap();
    let (resource, capabilities) = apps.recommended_kind("Deployment").unwrap();
    assert_eq!(resource.plural, "deployments");
    assert!(capabilities.subresources.iter().any(|(found, _)| found.plural == "scale"));
}

#[tokio::test]
async fn scaling_changes_one_field_and_leaves_one_effect() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.deployments().get("ticket-service").await.unwrap().metadata;
    sandbox.scale(8).await.unwrap();
    sandbox.scale(8).await.unwrap();
    assert_eq!(sandbox.replicas().await, 8);
    assert_eq!(sandbox.changes(), ["spec.replicas 2 → 8"]);
    let effect = &sandbox.effects()[0];
    assert_eq!(effect.n, 1);
    assert_eq!(effect.request, "PATCH /apis/apps/v1/namespaces/production/deployments/ticket-service/scale");
    assert_eq!(effect.object, "production/deployment/ticket-service");
    let after = sandbox.deployments().get("ticket-service").await.unwrap().metadata;
    assert_eq!(after.generation, before.generation.map(|generation| generation + 1));
    let version = |text: Option<String>| text.unwrap().parse::<u64>().unwrap();
    assert!(version(after.resource_version) > version(before.resource_version));
}

#[tokio::test]
async fn a_json_patch_is_a_compare_and_swap() {
    let sandbox = Sandbox::start().await;
    let swap = |from: i32, to: i32| -> Patch<()> {
        let patch = json!([
            { "op": "test", "path": "/spec/replicas", "value": from },
            { "op": "replace", "path": "/spec/replicas", "value": to },
        ]);
        Patch::Json(serde_json::from_value(patch).unwrap())
    };
    let api = sandbox.deployments();
    let params = PatchParams::default();
    let scale = api.patch_scale("ticket-service", &params, &swap(2, 4)).await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(4));
    let refused = status(api.patch_scale("ticket-service", &params, &swap(2, 8)).await);
    let message = "the server rejected our request due to an error in our request";
    assert_eq!(refused, (422, "Invalid".to_owned(), message.to_owned()));
    assert_eq!(status(api.patch("ticket-service", &params, &swap(2, 8)).await).0, 422);
    api.patch("ticket-service", &params, &swap(4, 6)).await.unwrap();
    assert_eq!(sandbox.changes(), ["spec.replicas 2 → 4", "spec.replicas 4 → 6"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_swaps_at_once_one_wins_and_the_log_has_no_gap() {
    let sandbox = Sandbox::start().await;
    let swaps = (3..23).map(|to| {
        let api = sandbox.deployments();
        let patch =
            json!([{ "op": "test", "path": "/spec/replicas", "value": 2 }, { "op": "replace", "path": "/spec/replicas", "value": to }]);
        let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
        tokio::spawn(async move { api.patch_scale("ticket-service", &PatchParams::default(), &patch).await.is_ok() })
    });
    let won = futures::future::join_all(swaps).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
    assert_eq!((won, sandbox.changes().len()), (1, 1));

    let writes = (30..50).map(|to| {
        let (api, patch) = (sandbox.deployments(), Patch::Merge(json!({ "spec": { "replicas": to } })));
        tokio::spawn(async move { api.patch_scale("ticket-service", &PatchParams::default(), &patch).await.unwrap() })
    });
    futures::future::join_all(writes).await;
    let effects = sandbox.effects();
    assert_eq!(effects.iter().map(|effect| effect.n).collect::<Vec<_>>(), (1..=21).collect::<Vec<_>>());
    assert!(effects.windows(2).all(|pair| pair[0].to == pair[1].from));
}

#[tokio::test]
async fn a_changed_template_is_rolled_out_to_new_pods() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.pod_names().await;
    let container = json!({ "name": "ticket-service", "env": [{ "name": "DB_POOL_MAX", "value": "9" }] });
    let patch = Patch::Strategic(json!({ "spec": { "template": { "spec": { "containers": [container] } } } }));
    sandbox.deployments().patch("ticket-service", &PatchParams::default(), &patch).await.unwrap();
    eventually("the rollout", || async {
        let deployment = sandbox.deployments().get("ticket-service").await.unwrap();
        let status = deployment.status.unwrap();
        status.observed_generation == Some(2)
            && status.updated_replicas == Some(2)
            && status.replicas == Some(2)
            && status.ready_replicas == Some(2)
    })
    .await;
    eventually("the old pods to be gone", || async { sandbox.pod_names().await.iter().all(|name| !before.contains(name)) }).await;
    // The rollout is the cluster's own doing; the request changed one field.
    assert_eq!(sandbox.changes().len(), 1);
}

#[tokio::test]
async fn zero_replicas_are_left_out_of_a_scale() {
    let sandbox = Sandbox::start().await;
    sandbox.scale(0).await.unwrap();
    let scale = sandbox.deployments().get_scale("ticket-service").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, None);
    assert_eq!(scale.status.unwrap().selector.as_deref(), Some("app=ticket-service"));
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let sandbox = Sandbox::start().await;
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "spec": { "replicas": 8 } }));
    let shown = sandbox.deployments().patch_scale("ticket-service", &params, &patch).await.unwrap();
    assert_eq!(shown.spec.unwrap().replicas, Some(8));
    assert_eq!(sandbox.replicas().await, 2);
    assert!(sandbox.changes().is_empty());
}

#[tokio::test]
async fn a_strategic_merge_names_the_variable_it_changes() {
    let sandbox = Sandbox::start().await;
    let container = json!({ "name": "ticket-service", "env": [{ "name": "DB_POOL_MAX", "value": "9" }] });
    let patch = Patch::Strategic(json!({ "spec": { "template": { "spec": { "containers": [container] } } } }));
    let changed = sandbox.deployments().patch("ticket-service", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(changed.spec.template.spec.unwrap().containers[0].resources.as_ref().unwrap().limits.as_ref().unwrap().len(), 2);
    assert_eq!(sandbox.changes(), [r#"spec.template.spec.containers[ticket-service].env[DB_POOL_MAX].value "20" → "9""#]);
}

#[tokio::test]
async fn an_update_of_an_old_version_is_a_conflict() {
    let sandbox = Sandbox::start().await;
    let api = sandbox.deployments();
    let mut old = api.get("ticket-service").await.unwrap();
    sandbox.scale(3).await.unwrap();
    old.spec.replicas = Some(5);
    let (code, reason, message) = status(api.replace("ticket-service", &PostParams::default(), &old).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(message.contains("the object has been modified"), "{message}");

    let mut scale = api.get_scale("ticket-service").await.unwrap();
    scale.metadata.resource_version = Some("1".to_owned());
    assert_eq!(status(api.replace_scale("ticket-service", &PostParams::default(), &scale).await).0, 409);
    assert_eq!(sandbox.replicas().await, 3);
}

#[tokio::test]
async fn deployments_are_created_and_deleted_with_their_pods() {
    let sandbox = Sandbox::start().await;
    let api = sandbox.deployments();
    let mut copy = api.get("ticket-service").await.unwrap();
    copy.metadata = kube::api::ObjectMeta { name: Some("second".to_owned()), ..Default::default() };
    api.create(&PostParams::default(), &copy).await.unwrap();
    assert_eq!(status(api.create(&PostParams::default(), &copy).await).1, "AlreadyExists");
    eventually("four pods", || async { sandbox.pod_names().await.len() == 4 }).await;
    api.delete("second", &DeleteParams::default()).await.unwrap();
    eventually("two pods again", || async { sandbox.pod_names().await.len() == 2 }).await;
    assert_eq!(sandbox.changes(), ["exists false → true", "exists true → false"]);
    assert_eq!(status(api.get("second").await).0, 404);
}

#[tokio::test]
async fn lists_are_narrowed_and_paged() {
    let sandbox = Sandbox::start().await;
    sandbox.scale(5).await.unwrap();
    eventually("five pods", || async { sandbox.ready_replicas().await == 5 }).await;
    let pods = sandbox.pods();
    let count = async |params: ListParams| pods.list(&params).await.unwrap().items.len();
    assert_eq!(count(ListParams::default().labels("app in (ticket-service),pod-template-hash")).await, 5);
    assert_eq!(count(ListParams::default().labels("app!=ticket-service")).await, 0);
    assert_eq!(count(ListParams::default().fields("status.phase=Running")).await, 5);
    assert_eq!(count(ListParams::default().fields("status.phase=Pending")).await, 0);
    assert_eq!(status(pods.list(&ListParams::default().labels("a in b)")).await).0, 400);

    let mut seen = Vec::new();
    let mut page = ListParams::default().limit(2);
    loop {
        let list = pods.list(&page).await.unwrap();
        assert!(list.items.len() <= 2);
        seen.extend(list.items.into_iter().map(|pod| pod.metadata.name.unwrap()));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = ListParams::default().limit(2).continue_token(&token),
            None => break,
        }
    }
    assert_eq!(seen, sandbox.pod_names().await);
}

#[tokio::test]
async fn errors_have_the_form_of_the_real_ones() {
    let sandbox = Sandbox::start().await;
    let stranger: Api<Pod> = Api::namespaced(client(&sandbox.running.ready, "wrong"), "production");
    assert_eq!(status(stranger.list(&ListParams::default()).await), (401, "Unauthorized".to_owned(), "Unauthorized".to_owned()));
    let api = sandbox.deployments();
    let missing = status(api.get("nobody").await);
    assert_eq!(missing, (404, "NotFound".to_owned(), r#"deployments.apps "nobody" not found"#.to_owned()));
    let params = PatchParams::default();
    let negative = status(api.patch_scale("ticket-service", &params, &Patch::Merge(json!({ "spec": { "replicas": -1 } }))).await);
    assert_eq!(negative.0, 422);
    assert!(negative.2.contains("Invalid value: -1: must be greater than or equal to 0"), "{}", negative.2);
    let selector = Patch::Merge(json!({ "spec": { "selector": { "matchLabels": { "x": "y" } } } }));
    assert_eq!(status(api.patch("ticket-service", &params, &selector).await).0, 422);
    let text = Patch::Merge(json!({ "spec": { "replicas": "many" } }));
    assert_eq!(status(api.patch("ticket-service", &params, &text).await).0, 422);
    let namespaces: Api<Namespace> = Api::all(sandbox.client.clone());
    assert_eq!(status(namespaces.delete("production", &DeleteParams::default()).await).1, "MethodNotAllowed");
    assert!(sandbox.changes().is_empty());
}
