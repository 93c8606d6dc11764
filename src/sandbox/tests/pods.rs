//! Pods come up and go away over time.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use super::super::{Options, fault};
use super::{Sandbox, eventually};

#[tokio::test]
async fn pods_come_up_one_after_the_other_and_the_status_follows() {
    let sandbox = Sandbox::with(Options { speed: 2.0, ..Options::default() }).await;
    sandbox.scale(8).await.unwrap();
    eventually("pods that are not ready", || async { sandbox.pod_names().await.len() == 8 && sandbox.ready_replicas().await < 8 }).await;
    eventually("eight ready pods", || async { sandbox.ready_replicas().await == 8 }).await;
    let deployment = sandbox.deployments().get("ticket-service").await.unwrap();
    assert_eq!(deployment.status.unwrap().observed_generation, deployment.metadata.generation);
    // What the cluster does by itself is no effect of a request.
    assert_eq!(sandbox.effects().len(), 1);
}

#[tokio::test]
async fn scaled_down_pods_terminate_before_they_are_gone() {
    let sandbox = Sandbox::with(Options { speed: 2.0, ..Options::default() }).await;
    sandbox.scale(0).await.unwrap();
    let leaving = || async {
        let pods = sandbox.pods().list(&ListParams::default()).await.unwrap().items;
        pods.len() == 2 && pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_some())
    };
    eventually("terminating pods", leaving).await;
    eventually("no pods", || async { sandbox.pod_names().await.is_empty() }).await;
}

#[tokio::test]
async fn a_deleted_pod_is_replaced() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.pod_names().await;
    sandbox.pods().delete(&before[0], &DeleteParams::default()).await.unwrap();
    eventually("a replacement", || async {
        let now = sandbox.pod_names().await;
        now.len() == 2 && !now.contains(&before[0]) && sandbox.ready_replicas().await == 2
    })
    .await;
    assert_eq!(sandbox.changes(), ["exists true → false"]);
}

#[tokio::test]
async fn a_fault_keeps_pods_from_getting_ready_until_it_is_cleared() {
    let sandbox = Sandbox::start().await;
    sandbox.fault(&["unready", "ticket-service", "--pods", "2"]).await;
    sandbox.scale(6).await.unwrap();
    eventually("four ready pods, two held", || async {
        let pods = sandbox.pods().list(&ListParams::default().fields("status.phase=Running")).await.unwrap().items;
        pods.len() == 6 && sandbox.ready_replicas().await == 4
    })
    .await;
    assert_eq!(fault::clear(sandbox.path()).await.unwrap(), 1);
    eventually("six ready pods", || async { sandbox.ready_replicas().await == 6 }).await;
}

#[tokio::test]
async fn a_fault_keeps_terminating_pods_until_it_is_cleared() {
    let sandbox = Sandbox::start().await;
    sandbox.fault(&["stall-terminating"]).await;
    sandbox.scale(1).await.unwrap();
    eventually("one pod left of the deployment", || async {
        sandbox.deployments().get("ticket-service").await.unwrap().status.unwrap().replicas == Some(1)
    })
    .await;
    // It would be gone after 25 ms; a pod that is created and ready after that shows that time has passed.
    sandbox.scale(2).await.unwrap();
    eventually("two ready pods", || async { sandbox.ready_replicas().await == 2 }).await;
    assert_eq!(sandbox.pod_names().await.len(), 3);
    fault::clear(sandbox.path()).await.unwrap();
    eventually("two pods", || async { sandbox.pod_names().await.len() == 2 }).await;
}

#[tokio::test]
async fn a_huge_number_of_replicas_fills_the_cluster_and_no_more() {
    let sandbox = Sandbox::with(Options { speed: 0.01, ..Options::default() }).await;
    sandbox.scale(i32::MAX).await.unwrap();
    eventually("a full cluster", || async {
        let status = sandbox.deployments().get("ticket-service").await.unwrap().status.unwrap();
        status.conditions.unwrap().iter().any(|condition| condition.type_.as_deref() == Some("ReplicaFailure"))
    })
    .await;
    let all: Api<Pod> = Api::all(sandbox.client.clone());
    assert_eq!(all.list(&ListParams::default()).await.unwrap().items.len(), 256, "those of RabbitMQ are among them");
}
