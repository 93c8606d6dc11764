//! What a deletion takes with it.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::{Api, DeleteParams, ListParams};

use super::{Sandbox, eventually};

fn sets(sandbox: &Sandbox) -> Api<ReplicaSet> {
    Api::namespaced(sandbox.client.clone(), "production")
}

#[tokio::test]
async fn in_the_foreground_the_owner_goes_last() {
    let sandbox = Sandbox::start().await;
    let answer = sandbox.deployments().delete("ticket-service", &DeleteParams::foreground()).await.unwrap();
    let leaving = answer.left().expect("the Deployment, which is still there");
    assert_eq!(leaving.metadata.finalizers, Some(vec!["foregroundDeletion".to_owned()]));
    assert!(leaving.metadata.deletion_timestamp.is_some());
    eventually("the Deployment to be gone", || async {
        let gone = sandbox.deployments().get_opt("ticket-service").await.unwrap().is_none();
        let left = sandbox.pod_names().await.len() + sets(&sandbox).list(&ListParams::default()).await.unwrap().items.len();
        assert!(!gone || left == 0, "it went before what it owns");
        gone
    })
    .await;
}

#[tokio::test]
async fn what_is_orphaned_stays() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.pod_names().await;
    sandbox.deployments().delete("ticket-service", &DeleteParams::orphan()).await.unwrap();
    eventually("the Deployment to be gone", || async { sandbox.deployments().get_opt("ticket-service").await.unwrap().is_none() }).await;
    let left = sets(&sandbox).list(&ListParams::default()).await.unwrap().items;
    assert_eq!(left.iter().map(|set| set.metadata.owner_references.clone()).collect::<Vec<_>>(), [None]);
    assert_eq!(sandbox.pod_names().await, before);
}
