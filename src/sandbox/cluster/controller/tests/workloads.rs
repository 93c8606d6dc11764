//! StatefulSets and Jobs.

use serde_json::json;

use super::*;

fn template(image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "rabbitmq" } },
        "spec": { "containers": [{ "name": "main", "image": image, "resources": {} }], "restartPolicy": "Never" },
    })
}

fn stateful_set(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "rabbitmq", "namespace": "production", "uid": "s", "generation": 1 },
        "spec": {
            "replicas": replicas, "serviceName": "rabbitmq", "selector": { "matchLabels": { "app": "rabbitmq" } },
            "template": template("rabbitmq:4"), "updateStrategy": { "type": "RollingUpdate" },
        },
        "status": {},
    })
}

fn own(world: &World, stem: &str) -> Vec<String> {
    world.names().into_iter().filter(|name| name.starts_with(stem)).collect()
}

#[test]
fn a_stateful_set_goes_up_and_down_in_order() {
    let mut world = World::new();
    world.put(Resource::StatefulSets, stateful_set(3));
    world.run(100);
    assert_eq!(own(&world, "rabbitmq-"), ["rabbitmq-0"]);
    world.seconds(10);
    assert_eq!(own(&world, "rabbitmq-"), ["rabbitmq-0", "rabbitmq-1", "rabbitmq-2"]);
    assert_eq!(world.get(Resource::StatefulSets, "rabbitmq")["status"]["readyReplicas"], 3);
    world.change(Resource::StatefulSets, "rabbitmq", |set| set["spec"]["replicas"] = json!(1));
    world.run(100);
    assert_eq!(own(&world, "rabbitmq-"), ["rabbitmq-0", "rabbitmq-1"]);
    world.seconds(10);
    assert_eq!(own(&world, "rabbitmq-"), ["rabbitmq-0"]);
}

#[test]
fn a_stateful_set_is_updated_from_the_highest_one_at_a_time() {
    let mut world = World::new();
    world.put(Resource::StatefulSets, stateful_set(3));
    world.seconds(10);
    world.change(Resource::StatefulSets, "rabbitmq", |set| set["spec"]["template"] = template("rabbitmq:5"));
    let mut order = Vec::new();
    world.run_with(20_000, |world| {
        let leaving: Vec<String> = world
            .pods()
            .iter()
            .filter(|entry| pod::stage(&entry.object) == Stage::Terminating)
            .map(|entry| name(&entry.object).to_owned())
            .collect();
        assert!(leaving.len() <= 1, "{leaving:?}");
        if let Some(leaving) = leaving.first().filter(|leaving| order.last() != Some(*leaving)) {
            order.push(leaving.clone());
        }
    });
    assert_eq!(order, ["rabbitmq-2", "rabbitmq-1", "rabbitmq-0"]);
    let status = world.get(Resource::StatefulSets, "rabbitmq")["status"].clone();
    assert_eq!((&status["updatedReplicas"], &status["currentRevision"]), (&json!(3), &status["updateRevision"]));
}

fn job(spec: Value) -> Value {
    let mut spec = spec;
    spec["template"] = template("migrate:1");
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": "migrate", "namespace": "production", "uid": "j", "generation": 1 },
        "spec": spec, "status": {},
    })
}

#[test]
fn a_job_runs_to_its_completions() {
    let mut world = World::new();
    world.put(Resource::Jobs, job(json!({ "completions": 3, "parallelism": 2 })));
    world.seconds(1);
    assert_eq!(world.get(Resource::Jobs, "migrate")["status"]["active"], 2);
    world.seconds(10);
    let status = world.get(Resource::Jobs, "migrate")["status"].clone();
    assert_eq!((&status["succeeded"], &status["active"], &status["failed"]), (&json!(3), &Value::Null, &Value::Null));
    assert_eq!(world.condition(Resource::Jobs, "migrate", "Complete").1, "CompletionsReached");
    assert!(status["completionTime"].is_string());
    let ended = world.pods().into_iter().filter(|entry| entry.object["status"]["phase"] == "Succeeded").count();
    assert_eq!(ended, 3);
}

#[test]
fn a_job_that_fails_too_often_has_failed() {
    let mut world = World::new();
    world.fault(&["crash", "migrate", "--pods", "9"]);
    world.put(Resource::Jobs, job(json!({ "backoffLimit": 2 })));
    world.seconds(60);
    assert_eq!(world.condition(Resource::Jobs, "migrate", "Failed").1, "BackoffLimitExceeded");
    assert_eq!(world.get(Resource::Jobs, "migrate")["status"]["failed"], 3);
    assert!(own(&world, "migrate-").is_empty());
}

#[test]
fn a_job_that_takes_too_long_has_failed_and_its_pods_go() {
    let mut world = World::new();
    world.put(Resource::Jobs, job(json!({ "activeDeadlineSeconds": 1 })));
    world.seconds(5);
    assert_eq!(world.condition(Resource::Jobs, "migrate", "Failed").1, "DeadlineExceeded");
    assert!(own(&world, "migrate-").is_empty());
    world.store.remove(Resource::Jobs, "production", "migrate");
    world.seconds(5);
    assert!(world.pods().iter().all(|entry| !name(&entry.object).starts_with("migrate-")));
}
