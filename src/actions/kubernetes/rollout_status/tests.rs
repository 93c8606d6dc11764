//! `k8s.rollout_status` against a stand-in API server.

use serde_json::json;

use super::*;
use crate::actions::kubernetes::stand_in::objects::Objects;
use crate::actions::trial;
use crate::model::by_hand::variable;

const PATH: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";

#[tokio::test]
async fn it_reads_the_rollout_and_names_what_is_missing() {
    let stand_in = Objects::start(&[(
        PATH,
        json!({
            "metadata": { "generation": 2, "annotations": { "deployment.kubernetes.io/revision": "3" } },
            "spec": { "replicas": 4, "paused": true },
            "status": { "observedGeneration": 2, "replicas": 4, "updatedReplicas": 1, "readyReplicas": 4, "availableReplicas": 3 },
        }),
    )])
    .await;
    let action = RolloutStatus::new(Arc::clone(&stand_in.connections));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    let inputs = Inputs(json!({ "workload": "deployment/ticket-service" }));
    let applied = action.apply(&cx, &inputs, &Intent::default()).await;
    let wanted = json!({
        "complete": false,
        "message": "1 of 4 pods have the new template; the rollout is paused (`kubectl rollout resume`)",
        "replicas": 4, "updated_replicas": 1, "ready_replicas": 4, "available_replicas": 3, "unavailable_replicas": 1,
        "revision": "3", "paused": true, "deadline_exceeded": false, "conditions": [],
    });
    assert_eq!(applied, Applied::Applied { outputs: wanted.clone() });
    let declared: Vec<String> = action.entry().outputs.iter().map(|field| field.name.clone()).collect();
    assert_eq!(declared, wanted.as_object().unwrap().keys().cloned().collect::<Vec<_>>());
    let error = action.observe(&cx, &Inputs(json!({ "workload": "deployment/none" }))).await.unwrap_err();
    assert_eq!(error.message, "there is no deployment/none in namespace production");
    let error = action.observe(&cx, &Inputs(json!({ "workload": "replicaset/x" }))).await.unwrap_err();
    assert!(error.message.contains("name its Deployment"), "{error}");
}

#[test]
fn a_person_types_the_same() {
    let lines = by_hand(&json!({ "workload": variable("which") }), Some(&trial::target("uid-1")));
    assert_eq!(lines.act, ["kubectl rollout status \"${WHICH}\" -n production"]);
}
