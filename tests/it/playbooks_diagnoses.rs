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
    assert_eq!((stage.objects(), told(stage)), (before, effects), "{playbook} changed something");
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
    let pods = outputs(&stage, "diagnose-pods");
    eprintln!("WELL {pods:#}");
    let load = outputs(&stage, "diagnose-load");
    eprintln!("LOAD {load:#}");
}

#[test]
fn an_image_that_cannot_be_pulled_is_named() {
    let stage = stage();
    stage.fault(&["image", "ticket-service"]);
    replicas(&stage, 3);
    until_pods_say(&stage, "ImagePullBackOff");
    let found = outputs(&stage, "diagnose-pods");
    eprintln!("IMAGE {found:#}");
    assert_says(&found, "problems", &["ImagePullBackOff"]);
    eprintln!("IMAGELOAD {:#}", outputs(&stage, "diagnose-load"));
}

#[test]
fn containers_that_crash_are_named() {
    let stage = stage();
    stage.fault(&["crash", "ticket-service", "--pods", "1"]);
    until_pods_say(&stage, "CrashLoopBackOff");
    let found = outputs(&stage, "diagnose-pods");
    eprintln!("CRASH {found:#}");
    assert_says(&found, "problems", &["CrashLoopBackOff"]);
    eprintln!("CRASHLOAD {:#}", outputs(&stage, "diagnose-load"));
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
    eprintln!("UNSCHED {found:#}");
    assert_says(&found, "problems", &["Unschedulable"]);
    eprintln!("UNSCHEDLOAD {:#}", outputs(&stage, "diagnose-load"));
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
    until("the Deployment says that Pods cannot be created", || {
        stage.api("GET", DEPLOYMENT, None).1["status"].to_string().contains("exceeded quota")
    });
    let found = outputs(&stage, "diagnose-pods");
    eprintln!("QUOTA {found:#}");
    eprintln!("QUOTALOAD {:#}", outputs(&stage, "diagnose-load"));
}
