//! Leases over HTTP, through kube: compared and swapped as the API server does it, and no effect on the platform.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams, Preconditions};
use serde_json::json;

use super::{Sandbox, status};

const NAME: &str = "runsheet-x";

fn lease(holder: &str) -> Lease {
    let mut lease: Lease = serde_json::from_value(json!({
        "metadata": { "name": NAME },
        "spec": { "leaseDurationSeconds": 60, "renewTime": "2026-11-24T02:10:32.000000Z", "leaseTransitions": 0 },
    }))
    .unwrap();
    lease.spec.as_mut().unwrap().holder_identity = Some(holder.to_owned());
    lease
}

fn api(sandbox: &Sandbox) -> Api<Lease> {
    Api::namespaced(sandbox.client.clone(), "production")
}

#[tokio::test]
async fn one_client_of_several_has_it_and_a_former_version_changes_nothing() {
    let sandbox = Sandbox::start().await;
    let api = api(&sandbox);
    let params = PostParams::default();
    let first = api.create(&params, &lease("a")).await.unwrap();
    let time = serde_json::to_value(first.spec.as_ref().unwrap().renew_time.as_ref().unwrap()).unwrap();
    assert_eq!(time, "2026-11-24T02:10:32.000000Z", "microseconds stay");
    assert_eq!(status(api.create(&params, &lease("b")).await).1, "AlreadyExists");
    let second = api.replace(NAME, &params, &Lease { metadata: first.metadata.clone(), ..lease("b") }).await.unwrap();
    let late = status(api.replace(NAME, &params, &Lease { metadata: first.metadata.clone(), ..lease("a") }).await);
    assert_eq!((late.0, late.1.as_str()), (409, "Conflict"));
    let unguarded = status(api.replace(NAME, &params, &lease("a")).await);
    assert!(
        unguarded.0 == 422 && unguarded.2.contains("metadata.resourceVersion: Invalid value: 0: must be specified for an update"),
        "{unguarded:?}"
    );
    let of = |metadata: &ObjectMeta| Preconditions { uid: metadata.uid.clone(), resource_version: metadata.resource_version.clone() };
    let delete = |metadata: &ObjectMeta| DeleteParams { preconditions: Some(of(metadata)), ..DeleteParams::default() };
    assert_eq!(status(api.delete(NAME, &delete(&first.metadata)).await).0, 409, "a late release takes nothing from its heir");
    api.delete(NAME, &delete(&second.metadata)).await.unwrap();
    assert!(sandbox.changes().is_empty(), "clients that take turns change nothing of the platform");
}

#[tokio::test]
async fn replacing_one_that_is_gone_makes_it_anew_unless_it_is_named() {
    let sandbox = Sandbox::start().await;
    let api = api(&sandbox);
    let params = PostParams::default();
    let first = api.create(&params, &lease("a")).await.unwrap();
    api.delete(NAME, &DeleteParams::default()).await.unwrap();
    let named = status(api.replace(NAME, &params, &Lease { metadata: first.metadata.clone(), ..lease("a") }).await);
    assert!(named.0 == 409 && named.2.contains("Precondition failed: UID in precondition"), "{named:?}");
    let made = api.replace(NAME, &params, &lease("b")).await.unwrap();
    assert_ne!(made.metadata.uid, first.metadata.uid);
}
