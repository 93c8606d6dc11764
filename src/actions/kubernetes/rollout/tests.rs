//! The table of `kubectl rollout status`.

use super::*;

/// generation, observed, wanted, there, updated, ready, available.
fn object(counts: [i64; 7]) -> Value {
    let [generation, observed, wanted, there, updated, ready, available] = counts;
    json!({
        "metadata": { "generation": generation, "annotations": { "deployment.kubernetes.io/revision": "7" } },
        "spec": { "replicas": wanted },
        "status": {
            "observedGeneration": observed, "replicas": there, "updatedReplicas": updated, "readyReplicas": ready,
            "availableReplicas": available,
        },
    })
}

#[test]
fn a_deployments_rollout_is_complete_only_at_the_end() {
    for (counts, wanted) in [
        ([2, 1, 4, 4, 4, 4, 4], "its controller has not taken up the latest change yet"),
        ([2, 2, 4, 5, 3, 4, 4], "3 of 4 pods have the new template"),
        ([2, 2, 4, 5, 4, 4, 4], "1 pods with the old template are still there"),
        ([2, 2, 4, 4, 4, 3, 3], "3 of 4 updated pods are available"),
        ([2, 2, 4, 4, 4, 4, 4], "rolled out: 4 of 4 pods are available"),
        ([2, 2, 0, 0, 0, 0, 0], "rolled out: 0 of 0 pods are available"),
        ([2, 3, 1, 1, 1, 1, 1], "rolled out: 1 of 1 pods are available"),
    ] {
        let rollout = Rollout::of(Kind::Deployment, &object(counts));
        assert_eq!(rollout.message, wanted);
        assert_eq!(rollout.complete, wanted.starts_with("rolled out"), "{counts:?}");
        assert_eq!(rollout.revision.as_deref(), Some("7"));
    }
}

#[test]
fn what_holds_a_deployment_is_said() {
    let mut stuck = object([2, 2, 4, 5, 1, 4, 4]);
    stuck["status"]["conditions"] = json!([
        { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "ReplicaSet x has timed out progressing." },
        { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: cpu" },
    ]);
    let rollout = Rollout::of(Kind::Deployment, &stuck);
    assert!(rollout.deadline_exceeded && !rollout.complete);
    assert_eq!(
        rollout.message,
        "the rollout exceeded its progress deadline: ReplicaSet x has timed out progressing.; pods cannot be created: exceeded quota: cpu"
    );
    // The same status, read before the controller saw a newer change, says nothing of that one.
    stuck["metadata"]["generation"] = json!(3);
    assert!(!Rollout::of(Kind::Deployment, &stuck).deadline_exceeded);
    let mut paused = object([2, 2, 4, 4, 0, 4, 4]);
    paused["spec"]["paused"] = json!(true);
    assert!(Rollout::of(Kind::Deployment, &paused).message.ends_with("the rollout is paused (`kubectl rollout resume`)"));
}

#[test]
fn a_statefulset_rolls_up_to_its_partition() {
    for (counts, strategy, revisions, complete, wanted) in [
        (
            [2, 0, 3, 3, 3, 3, 3],
            json!({ "type": "RollingUpdate" }),
            ("a", "a"),
            false,
            "its controller has not taken up the latest change yet",
        ),
        ([2, 2, 3, 3, 1, 2, 2], json!({ "type": "RollingUpdate" }), ("a", "b"), false, "2 of 3 pods are ready"),
        ([2, 2, 3, 3, 1, 3, 3], json!({ "type": "RollingUpdate" }), ("a", "b"), false, "1 of 3 pods have the new template"),
        (
            [2, 2, 3, 3, 1, 3, 3],
            json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } }),
            ("a", "b"),
            false,
            "1 of 2 pods have the new template",
        ),
        (
            [2, 2, 3, 3, 2, 3, 3],
            json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } }),
            ("a", "b"),
            true,
            "rolled out up to its partition: 2 of 3 pods have the new template",
        ),
        (
            [2, 2, 3, 3, 3, 3, 3],
            json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } }),
            ("b", "b"),
            true,
            "rolled out: 3 of 3 pods are available",
        ),
        ([2, 2, 3, 3, 3, 3, 3], json!({ "type": "RollingUpdate" }), ("b", "b"), true, "rolled out: 3 of 3 pods are available"),
        (
            [2, 2, 3, 3, 0, 3, 3],
            json!({ "type": "OnDelete" }),
            ("a", "b"),
            false,
            "its update strategy is OnDelete: a pod takes the new template only when somebody deletes it",
        ),
    ] {
        let mut set = object(counts);
        set["spec"]["updateStrategy"] = strategy;
        set["status"]["currentRevision"] = json!(revisions.0);
        set["status"]["updateRevision"] = json!(revisions.1);
        let rollout = Rollout::of(Kind::StatefulSet, &set);
        assert_eq!((rollout.message.as_str(), rollout.complete), (wanted, complete));
        assert_eq!(rollout.revision.as_deref(), Some(revisions.1));
    }
}
