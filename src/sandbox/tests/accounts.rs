//! The accounts of the cluster, and what each may do.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::super::{Account, kubeconfig, start};
use super::{Sandbox, client, options, status};

/// The token of an account, from its kubeconfig.
async fn token(sandbox: &Sandbox, account: Account) -> String {
    let config = kubeconfig(sandbox.path(), account).await.unwrap().json();
    config["users"][0]["user"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_viewer_reads_and_does_not_write() {
    let sandbox = Sandbox::start().await;
    let viewer = client(&sandbox.running.ready, &token(&sandbox, Account::Viewer).await);
    let api: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(viewer.clone(), "production");
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let patch = Patch::Merge(json!({ "spec": { "replicas": 8 } }));
    let refused = status(api.patch_scale("ticket-service", &PatchParams::default(), &patch).await);
    let message = r#"deployments.apps "ticket-service" is forbidden: User "viewer" cannot patch resource "deployments/scale" in API group "apps" in the namespace "production""#;
    assert_eq!(refused, (403, "Forbidden".to_owned(), message.to_owned()));
    assert!(sandbox.changes().is_empty());

    let reviews: Api<SelfSubjectAccessReview> = Api::all(viewer);
    for (verb, allowed) in [("get", true), ("patch", false)] {
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some("apps".to_owned()),
            resource: Some("deployments".to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
        assert_eq!(answer.status.unwrap().allowed, allowed, "{verb}");
    }
}

#[tokio::test]
async fn what_a_review_says_is_what_a_request_meets() {
    let sandbox = Sandbox::start().await;
    let pod = {
        let api: Api<k8s_openapi::api::core::v1::Pod> =
            Api::namespaced(client(&sandbox.running.ready, &token(&sandbox, Account::Admin).await), "production");
        api.list(&ListParams::default()).await.unwrap().items[0].metadata.name.clone().unwrap()
    };
    let apps = "/apis/apps/v1/namespaces/production/deployments";
    let pods = "/api/v1/namespaces/production/pods";
    // Verb, group, resource, subresource, name, and the request that it is.
    let requests = [
        ("list", "", "nodes", "", "", "GET", "/api/v1/nodes".to_owned()),
        ("get", "", "namespaces", "", "kube-system", "GET", "/api/v1/namespaces/kube-system".to_owned()),
        ("get", "apps", "deployments", "", "ticket-service", "GET", format!("{apps}/ticket-service")),
        ("patch", "apps", "deployments", "", "ticket-service", "PATCH", format!("{apps}/ticket-service")),
        ("patch", "apps", "deployments", "scale", "ticket-service", "PATCH", format!("{apps}/ticket-service/scale")),
        ("get", "", "pods", "log", &pod, "GET", format!("{pods}/{pod}/log")),
        ("get", "", "pods", "proxy", &pod, "GET", format!("{pods}/{pod}/proxy/health/ready")),
        ("delete", "", "pods", "", &pod, "DELETE", format!("{pods}/{pod}?dryRun=All")),
        ("create", "", "configmaps", "", "", "POST", "/api/v1/namespaces/production/configmaps?dryRun=All".to_owned()),
        ("list", "coordination.k8s.io", "leases", "", "", "GET", "/apis/coordination.k8s.io/v1/namespaces/production/leases".to_owned()),
    ];
    let mut allowed_of = Vec::new();
    for account in [Account::Admin, Account::Viewer, Account::Deployer, Account::Scaler] {
        let client = client(&sandbox.running.ready, &token(&sandbox, account).await);
        let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        let mut allowed = 0;
        for (verb, group, resource, subresource, name, method, path) in &requests {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let cluster = matches!(*resource, "nodes" | "namespaces");
            let attributes = ResourceAttributes {
                verb: some(verb),
                group: some(group),
                resource: some(resource),
                subresource: some(subresource),
                name: some(name),
                namespace: (!cluster).then(|| "production".to_owned()),
                ..ResourceAttributes::default()
            };
            let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            let said = reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed;
            let request = http::Request::builder().method(*method).uri(path).header("content-type", "application/merge-patch+json");
            let body = if *method == "GET" { Vec::new() } else { b"{}".to_vec() };
            let met =
                client.send(request.body(kube::client::Body::from(body)).unwrap()).await.unwrap().status() != http::StatusCode::FORBIDDEN;
            assert_eq!(said, met, "{account}: {method} {path}");
            allowed += usize::from(said);
        }
        allowed_of.push(allowed);
    }
    assert_eq!(allowed_of, [10, 6, 7, 3]);
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let sandbox = Sandbox::start().await;
    let expired = client(&sandbox.running.ready, &token(&sandbox, Account::Expired).await);
    let api: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(expired, "production");
    assert_eq!(status(api.get("ticket-service").await), (401, "Unauthorized".to_owned(), "Unauthorized".to_owned()));
}

#[tokio::test]
async fn a_folder_of_before_there_were_accounts_gets_them() {
    let sandbox = Sandbox::start().await;
    let Sandbox { dir, running, .. } = sandbox;
    let admin = running.ready.admin_token.clone();
    running.shutdown().await;
    let file = dir.path().join("identity.json");
    let mut identity: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let fields = identity.as_object_mut().unwrap();
    assert!(["viewer_token", "expired_token", "deployer_token", "scaler_token"].iter().all(|token| fields.shift_remove(*token).is_some()));
    std::fs::write(&file, identity.to_string()).unwrap();
    let running = start(dir.path(), options()).await.unwrap();
    assert_eq!(running.ready.admin_token, admin);
    let config = kubeconfig(dir.path(), Account::Viewer).await.unwrap();
    assert_eq!(config.json()["users"][0]["user"]["token"].as_str().unwrap().len(), 64);
    assert!(!format!("{config:?}").contains(config.json()["users"][0]["user"]["token"].as_str().unwrap()));
}
