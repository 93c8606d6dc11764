//! The two diagnoses: they change nothing, and their outputs say what is wrong.

use serde_json::{Value, json};

use super::playbooks::told;
use super::support::{Stage, until};

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";

fn stage() -> Stage {
    Stage::new().repository_playbook("diagnose-pods").repository_playbook("diagnose-load").sandbox(50)
}

/// Somebody else asks for so many replicas.
#[track_caller]
fn replicas(stage: &Stage, count: u32) {
    let (status, answer) = stage.api("PATCH", DEPLOYMENT, Some(&json!({ "spec": { "replicas": count } })));
    assert_eq!(status, 200, "{answer}");
}

/// Waits until a Pod's condition or container says this.
#[track_caller]
fn until_pods_say(stage: &Stage, reason: &str) {
    until(&format!("a Pod says {reason}"), || stage.pods().iter().any(|pod| pod["status"].to_string().contains(reason)));
}

/// The outputs of a diagnosis, which changed nothing.
#[track_caller]
fn outputs(stage: &Stage, playbook: &str) -> Value {
    let (before, effects) = (stage.objects(), told(stage));
    let ran = stage.run(&["run", playbook]);
    assert!(matches!(ran.code, Some(0 | 1)), "{ran}");
    assert_eq!(told(stage), effects, "{playbook} changed something");
    stage.assert_as_before(&before, playbook);
    let status = stage.status_json();
    status["outputs"].clone()
}

#[track_caller]
fn assert_says(outputs: &Value, output: &str, words: &[&str]) {
    let text = outputs[output].to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is not in the output `{output}`: {outputs:#}");
    }
}

#[test]
fn what_is_well_is_said_to_be() {
    let stage = stage();
    let found = outputs(&stage, "diagnose-pods");
    assert_says(&found, "rollout", &["rolled out: 2 of 2 pods are available"]);
    assert_eq!((&found["problems"], &found["pods"]), (&json!([]), &json!("deployment/ticket-service: 2 pods, 2 ready")), "{found:#}");
    assert_says(&found, "events", &["0 warnings"]);
    let found = outputs(&stage, "diagnose-load");
    assert_eq!((&found["replicas"], &found["autoscaler"]), (&json!(2), &json!("there is no autoscaler")), "{found:#}");
    assert_says(&found, "distribution", &["2 pods on 2 of 3 nodes", "skew 1"]);
    assert_says(&found, "endpoints", &["2 endpoints ready, 0 not ready"]);
    assert_says(&found, "connections", &["= 60 connections", "189 free", "at most 63 a pod"]);
}

#[test]
fn what_the_autoscaler_wants_is_said() {
    let stage = Stage::new().repository_playbook("diagnose-load").env("RUNSHEET_SANDBOX_AUTOSCALER", "cpu").sandbox(400);
    until("the autoscaler has looked", || {
        let (_, autoscaler) =
            stage.api("GET", "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/ticket-service-hpa", None);
        autoscaler["status"]["desiredReplicas"] == 2
    });
    let found = outputs(&stage, "diagnose-load");
    assert_eq!(found["autoscaler"], "2 wanted, 2 to 16", "{found:#}");
    assert_says(&found, "connections", &["16 replicas at the autoscaler's maximum (wanted: 2)", "= 400 connections", "at most 9 a pod"]);
}

#[test]
fn an_image_that_cannot_be_pulled_is_named() {
    let stage = stage();
    stage.fault(&["image", "ticket-service"]);
    replicas(&stage, 3);
    until_pods_say(&stage, "ImagePullBackOff");
    let found = outputs(&stage, "diagnose-pods");
    assert_says(&found, "rollout", &["2 of 3 updated pods are available"]);
    assert_says(&found, "pods", &["3 pods, 2 ready, 1 not ready (ImagePullBackOff: 1)"]);
    assert_says(&found, "problems", &["ImagePullBackOff", "registry.example/ticket-service:1.0.0"]);
    assert_says(&found, "events", &["Failed"]);
    let found = outputs(&stage, "diagnose-load");
    assert_says(&found, "endpoints", &["2 endpoints ready"]);
    assert_says(&found, "events", &["Failed"]);
}

#[test]
fn containers_that_crash_are_named() {
    let stage = stage();
    stage.fault(&["crash", "ticket-service", "--pods", "1"]);
    // The pauses get longer: by then there is time to look before the next start.
    until("a container has crashed again and again", || {
        stage.pods().iter().any(|pod| {
            let container = &pod["status"]["containerStatuses"][0];
            container["restartCount"].as_i64() >= Some(4) && container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
    });
    let found = outputs(&stage, "diagnose-pods");
    assert_says(&found, "rollout", &["1 of 2 updated pods are available"]);
    assert_says(&found, "problems", &["CrashLoopBackOff", "exit code 1"]);
    assert_says(&found, "events", &["BackOff"]);
    let found = outputs(&stage, "diagnose-load");
    assert_says(&found, "endpoints", &["1 endpoints ready, 1 not ready"]);
    assert_says(&found, "events", &["BackOff"]);
}

#[test]
fn pods_that_fit_on_no_node_are_named() {
    let stage = stage();
    let large = json!({ "spec": { "template": { "spec": { "containers": [{
        "name": "ticket-service", "image": "registry.example/ticket-service:1.0.0", "env": [{ "name": "DB_POOL_MAX", "value": "20" }],
        "resources": { "requests": { "cpu": "64" }, "limits": { "cpu": "64" } },
    }] } } } });
    let (status, answer) = stage.api("PATCH", DEPLOYMENT, Some(&large));
    assert_eq!(status, 200, "{answer}");
    until_pods_say(&stage, "Unschedulable");
    let found = outputs(&stage, "diagnose-pods");
    assert_says(&found, "rollout", &["1 of 2 pods have the new template"]);
    assert_says(&found, "problems", &["Unschedulable", "0/3 nodes are available: 3 Insufficient cpu"]);
    assert_says(&found, "events", &["FailedScheduling"]);
    let found = outputs(&stage, "diagnose-load");
    assert_says(&found, "distribution", &["1 pods are on no node yet"]);
    assert_says(&found, "events", &["FailedScheduling"]);
}

#[test]
fn a_quota_that_lets_no_pod_be_created_is_named() {
    let stage = stage();
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "pods", "namespace": "production" }, "spec": { "hard": { "pods": "3" } },
    });
    let (status, answer) = stage.api("POST", "/api/v1/namespaces/production/resourcequotas", Some(&quota));
    assert_eq!(status, 201, "{answer}");
    replicas(&stage, 5);
    until("as many Pods are ready as the quota lets", || {
        let status = &stage.api("GET", DEPLOYMENT, None).1["status"];
        status["readyReplicas"] == 3 && status.to_string().contains("exceeded quota")
    });
    let found = outputs(&stage, "diagnose-pods");
    let why = "exceeded quota: pods, requested: pods=1, used: pods=3, limited: pods=3";
    assert_says(&found, "rollout", &["pods cannot be created", why]);
    assert_says(&found, "pods", &["3 pods, 3 ready", "pods could not be created", why]);
    assert_says(&found, "events", &["FailedCreate"]);
    let found = outputs(&stage, "diagnose-load");
    assert_eq!(found["replicas"], 5, "{found:#}");
    assert_says(&found, "endpoints", &["3 endpoints ready"]);
    assert_says(&found, "events", &["FailedCreate"]);
}
