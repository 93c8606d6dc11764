//! `k8s.get` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::stand_in::StandIn;
use crate::actions::trial;

#[tokio::test]
async fn objects_are_read_by_short_and_by_long_name() {
    let stand_in = StandIn::start(2).await;
    let action = Get::new(Arc::clone(&stand_in.connections));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[("word", "ticket-service")]);
    let read = action.observe(&cx, &Inputs(json!({ "object": "deployment/ticket-service" }))).await.unwrap();
    assert_eq!(read["object"]["spec"]["replicas"], 2);
    assert_eq!(read["object"]["metadata"]["managedFields"], Value::Null);
    assert_eq!(read["object"]["metadata"]["name"], "[secret word]");
    let read = action.observe(&cx, &Inputs(json!({ "object": "keda.sh/v1alpha1/ScaledObject/floor" }))).await.unwrap();
    assert_eq!(read["object"]["spec"]["minReplicaCount"], 2);
    let error = action.observe(&cx, &Inputs(json!({ "object": "keda.sh/v1alpha1/Floor/floor" }))).await.unwrap_err();
    assert_eq!(error.message, "this cluster knows no Floor at /apis/keda.sh/v1alpha1");
}

#[tokio::test]
async fn a_missing_object_is_a_failure_unless_it_may_be_missing() {
    let stand_in = StandIn::start(2).await;
    let action = Get::new(Arc::clone(&stand_in.connections));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    let applied = action.apply(&cx, &Inputs(json!({ "object": "pod/none" })), &Intent::default()).await;
    let Applied::NotApplied { failure } = applied else { panic!("{applied:?}") };
    assert_eq!((failure.message.as_str(), failure.transient), ("there is no pod/none in namespace production", false));
    let applied = action.apply(&cx, &Inputs(json!({ "object": "pod/none", "missing_ok": true })), &Intent::default()).await;
    assert_eq!(applied, Applied::Applied { outputs: json!({ "object": null }) });
    let error = action.plan(&cx, &Inputs(json!({ "object": "secret/x" })), &Value::Null, &Rollback::Auto).unwrap_err();
    assert!(error.message.contains("Secrets are never read"), "{error}");
}

#[test]
fn the_same_by_hand() {
    let lines = by_hand(&json!({ "object": "deployment/x", "missing_ok": true }), Some(&trial::target("uid-1"))).act;
    assert_eq!(lines, ["kubectl get deployment/x -n production -o yaml --ignore-not-found"]);
}
