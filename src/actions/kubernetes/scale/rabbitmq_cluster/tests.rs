use serde_json::json;

use super::*;
use crate::actions::trial::target;

#[test]
fn an_operators_words_tell_what_holds_the_nodes() {
    let state = |replicas: i64, ready: i64| WorkloadState {
        replicas,
        ready,
        available: ready,
        updated: ready,
        generation: 1,
        observed_generation: 1,
        selector: "a=b".to_owned(),
    };
    let refusing = json!({ "status": { "conditions": [{ "type": "ReconcileSuccess", "status": "False", "message": "Cluster Scale down not supported" }] } });
    let well = json!({ "status": { "conditions": [{ "type": "ReconcileSuccess", "status": "True", "message": "Finish reconciling" }] } });
    assert_eq!(holds(&well, Some(&state(3, 3)), 3), None);
    assert_eq!(holds(&well, Some(&state(3, 2)), 3).as_deref(), Some("2 of 3 nodes are ready"));
    assert_eq!(holds(&well, None, 3).as_deref(), Some("the cluster operator has made no StatefulSet yet"));
    assert!(holds(&well, Some(&state(3, 3)), 5).unwrap().ends_with("its StatefulSet has 3"));
    let told = "the cluster operator could not follow: Cluster Scale down not supported";
    assert_eq!(holds(&refusing, Some(&state(5, 5)), 3).as_deref(), Some(told));
}

#[test]
fn what_is_locked_is_the_cluster() {
    let inputs = json!({ "workload": "rabbitmqcluster/rabbitmq", "replicas": 5, "namespace": "messaging" });
    assert!(wants(&inputs) && !wants(&json!({ "workload": "deployment/x" })));
    assert_eq!(touches(&inputs, Some(&target("uid")))[0].0, "k8s:uid/messaging/rabbitmqcluster/rabbitmq");
    let lines = by_hand(&inputs, Some(&target("uid"))).act;
    assert_eq!(lines, [r#"kubectl patch rabbitmqcluster rabbitmq -n messaging --type=merge -p '{"spec":{"replicas":5}}'"#]);
}
