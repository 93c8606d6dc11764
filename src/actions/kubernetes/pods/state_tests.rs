//! Pods as a cluster shows them, and what is said of them.

use super::*;

fn now() -> Timestamp {
    "2026-11-23T19:00:00Z".parse().unwrap()
}

fn pod(status: Value) -> Value {
    json!({
        "metadata": {
            "name": "ticket-service-5d8f-abcde", "creationTimestamp": "2026-11-23T18:58:30Z",
            "labels": { "topology.kubernetes.io/zone": "eu-1a" },
            "ownerReferences": [{ "kind": "ReplicaSet", "name": "ticket-service-5d8f", "controller": true }],
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{ "name": "app", "resources": { "limits": { "memory": "512Mi" } } }],
        },
        "status": status,
    })
}

fn container(state: Value, last: Value, restarts: i64) -> Value {
    json!({ "name": "app", "ready": false, "restartCount": restarts, "state": state, "lastState": last })
}

fn conditions(ready: &str) -> Value {
    json!([
        { "type": "PodScheduled", "status": "True" },
        {
            "type": "Ready", "status": ready, "reason": "ContainersNotReady", "message": "containers with unready status: [app]",
            "lastTransitionTime": "2026-11-23T18:59:15Z",
        },
    ])
}

#[test]
fn each_state_has_its_word() {
    let waiting = |reason: &str, message: &str| json!({ "waiting": { "reason": reason, "message": message } });
    let of = |phase: &str, container: Value| json!({ "phase": phase, "conditions": conditions("False"), "containerStatuses": [container] });
    let running = json!({ "running": { "startedAt": "2026-11-23T18:58:40Z" } });
    let oom = json!({ "terminated": { "reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-11-23T18:50:00Z" } });
    // Status, the reasons of its problems, a part of the first message.
    let table = [
        (json!({ "phase": "Running", "conditions": conditions("True") }), vec![], ""),
        (of("Pending", container(waiting("ContainerCreating", ""), json!({}), 0)), vec![], ""),
        (of("Pending", container(waiting("ErrImagePull", "not found"), json!({}), 0)), vec!["ErrImagePull"], "container app: not found"),
        (
            of("Pending", container(waiting("ImagePullBackOff", "Back-off pulling image \"x:2\""), json!({}), 0)),
            vec!["ImagePullBackOff"],
            "container app: Back-off pulling image \"x:2\"",
        ),
        (
            of("Pending", container(waiting("CreateContainerConfigError", "configmap \"x\" not found"), json!({}), 0)),
            vec!["CreateContainerConfigError"],
            "configmap \"x\" not found",
        ),
        (
            of(
                "Running",
                container(
                    waiting("CrashLoopBackOff", "back-off 5m0s restarting"),
                    json!({ "terminated": { "exitCode": 1, "reason": "Error" } }),
                    7,
                ),
            ),
            vec!["CrashLoopBackOff"],
            "container app ended with exit code 1 (Error) and is started again and again",
        ),
        (
            of("Running", container(waiting("CrashLoopBackOff", ""), oom.clone(), 3)),
            vec!["CrashLoopBackOff", "OOMKilled"],
            "exit code 137 (OOMKilled)",
        ),
        (
            json!({ "phase": "Running", "conditions": conditions("True"), "containerStatuses": [container(running.clone(), oom, 1)] }),
            vec!["OOMKilled"],
            "container app was out of memory (its limit is 512Mi): 1 restarts, last at 2026-11-23T18:50:00Z",
        ),
        (
            of("Running", container(running, json!({}), 0)),
            vec!["ContainersNotReady"],
            "running, but not ready for 45 s: containers with unready status: [app]",
        ),
        (
            json!({ "phase": "Pending", "conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu.",
            }] }),
            vec!["Unschedulable"],
            "0/3 nodes are available",
        ),
        (
            json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." }),
            vec!["Evicted"],
            "The node was low on resource: memory.",
        ),
        (
            json!({ "phase": "Failed", "containerStatuses": [container(json!({ "terminated": { "reason": "Error", "exitCode": 2 } }), json!({}), 0)] }),
            vec!["Error"],
            "container app ended with exit code 2",
        ),
        (json!({ "phase": "Failed" }), vec!["Failed"], "does not say why"),
        (json!({ "phase": "Succeeded" }), vec![], ""),
        (json!({ "phase": "Unknown" }), vec!["NodeLost"], "its node does not answer"),
    ];
    for (status, reasons, message) in table {
        let state = PodState::of(&pod(status.clone()), now());
        assert_eq!(state.problems.iter().map(|problem| problem.reason.as_str()).collect::<Vec<_>>(), reasons, "{status}");
        let first = state.problems.first().map(|problem| problem.message.as_str()).unwrap_or_default();
        assert!(first.contains(message), "{first}");
    }
}

#[test]
fn a_pod_is_shown_with_what_people_ask_first() {
    let mut object = pod(json!({ "phase": "Running", "conditions": conditions("True"), "containerStatuses": [{ "restartCount": 2 }] }));
    let state = PodState::of(&object, now());
    let wanted = json!({
        "name": "ticket-service-5d8f-abcde", "phase": "Running", "ready": true, "restarts": 2, "node": "node-1", "zone": "eu-1a",
        "age_s": 90, "reason": null, "message": null, "terminating": false, "owner": "replicaset/ticket-service-5d8f",
    });
    assert_eq!(state.to_value(), wanted);
    // A pod on its way out is not ready, whatever its condition still says.
    object["metadata"]["deletionTimestamp"] = json!("2026-11-23T18:59:55Z");
    let state = PodState::of(&object, now());
    assert_eq!((state.ready, state.is_missed(), state.reason()), (false, false, Some("Terminating")));
    object["metadata"]["deletionTimestamp"] = json!("2026-11-23T18:59:00Z");
    object["metadata"]["finalizers"] = json!(["example.com/drain"]);
    let state = PodState::of(&object, now());
    assert_eq!(state.reason(), Some("StuckTerminating"));
    assert_eq!(state.problems[0].message, "should have been gone 60 s ago; held by the finalizers example.com/drain");
}

#[test]
fn no_shape_of_an_object_makes_it_fail() {
    for object in [
        json!(null),
        json!([]),
        json!({ "status": 5, "metadata": "x" }),
        json!({ "status": { "conditions": {}, "containerStatuses": [1] } }),
    ] {
        let state = PodState::of(&object, now());
        assert_eq!((state.ready, state.restarts, state.age), (false, 0, 0), "{object}");
    }
    let long = "x".repeat(5000);
    let state = PodState::of(&pod(json!({ "phase": "Failed", "reason": long, "message": long })), now());
    assert_eq!((state.problems[0].reason.len(), state.problems[0].message.len()), (60, 200));
}
