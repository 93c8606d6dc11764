//! A folder of the version before the sandbox had nodes, ReplicaSets, accounts and a database: `state.json` as that version wrote it.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use tempfile::TempDir;

use super::super::{fault, start};
use super::{Sandbox, client, eventually, options};

#[tokio::test]
async fn a_folder_of_a_former_version_goes_on() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("state.json"), include_str!("state.json")).unwrap();
    std::fs::write(dir.path().join("identity.json"), include_str!("identity.json")).unwrap();
    let running = start(dir.path(), options()).await.unwrap();
    let client = client(&running.ready, &"a".repeat(64));
    let sandbox = Sandbox { dir, running, client };
    assert_eq!(sandbox.running.ready.cluster_uid, "019aa0c4-0000-7000-8000-000000000001");
    let before = ["2c1d0", "8fe31", "b07aa"].map(|end| format!("ticket-service-5d9b6f1a2c-{end}"));
    assert_eq!((sandbox.pod_names().await, sandbox.replicas().await), (before.to_vec(), 3));
    let sets: Api<ReplicaSet> = Api::namespaced(sandbox.client.clone(), "production");
    eventually("a ReplicaSet that has them", || async {
        let sets = sets.list(&ListParams::default()).await.unwrap().items;
        sets.len() == 1 && sets[0].status.as_ref().is_some_and(|status| status.ready_replicas == Some(3))
    })
    .await;
    // What was there is no rollout, and its Pods can be written to.
    let pods = sandbox.pods();
    let label = Patch::Merge(json!({ "metadata": { "labels": { "seen": "yes" } } }));
    pods.patch(&before[0], &PatchParams::default(), &label).await.unwrap();
    let more = json!({ "spec": { "containers": [{ "name": "ticket-service", "resources": { "limits": { "memory": "1Gi" } } }] } });
    pods.patch_subresource("resize", &before[0], &PatchParams::default(), &Patch::Strategic(more)).await.unwrap();
    sandbox.scale(4).await.unwrap();
    eventually("four ready pods", || async { sandbox.ready_replicas().await == 4 }).await;
    let now = sandbox.pod_names().await;
    assert!(before.iter().all(|name| now.contains(name)), "{now:?}");
    assert_eq!(sandbox.changes().first().unwrap(), "spec.replicas 2 → 3");
    assert_eq!(sandbox.effects().iter().map(|effect| effect.n).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(fault::list(sandbox.path()).await.unwrap().len(), 1);
}
