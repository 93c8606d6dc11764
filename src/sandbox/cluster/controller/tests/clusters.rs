//! Nodes, quotas, Services, budgets, Events and Pods in trouble.

use serde_json::json;

use super::*;

#[test]
fn pods_spread_over_the_zones_and_have_addresses_of_their_own() {
    let mut world = World::new();
    world.scale(9);
    world.seconds(5);
    let pods = world.pods();
    for node in ["node-a", "node-b", "node-c"] {
        assert_eq!(pods.iter().filter(|entry| entry.object["spec"]["nodeName"] == node).count(), 3, "{node}");
    }
    let addresses: std::collections::BTreeSet<&str> = pods.iter().map(|entry| text(&entry.object, "/status/podIP")).collect();
    assert!(addresses.len() == 9 && addresses.iter().all(|address| address.starts_with("10.")), "{addresses:?}");
}

#[test]
fn the_nodes_take_64_pods_of_the_procedure_and_cost_little() {
    let mut world = World::new();
    world.scale(64);
    world.seconds(10);
    assert_eq!(world.count(Stage::Ready), 64);
    let began = std::time::Instant::now();
    for _ in 0..10 {
        world.look();
    }
    // Far above what it takes, since the machine may be busy.
    assert!(began.elapsed().as_millis() < 500, "ten calls took {:?}", began.elapsed());
}

#[test]
fn what_fits_nowhere_waits_with_the_schedulers_words() {
    let mut world = World::new();
    world.change(Resource::Nodes, "node-a", |node| node["spec"]["unschedulable"] = json!(true));
    world.change(Resource::Deployments, "ticket-service", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("20");
    });
    world.seconds(5);
    let pods = world.pods();
    let waiting = pods.iter().find(|entry| text(&entry.object, "/spec/nodeName").is_empty()).unwrap();
    let condition = &waiting.object["status"]["conditions"][0];
    assert_eq!((text(condition, "/type"), text(condition, "/reason")), ("PodScheduled", "Unschedulable"));
    let expected = "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. preemption: 0/3 nodes are available: \
                    1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.";
    assert_eq!(condition["message"], expected);
    assert_eq!(world.told("FailedScheduling"), [expected]);
    assert_eq!(world.count(Stage::Ready), 2);
    // Room is found once there is some.
    for node in ["node-b", "node-c"] {
        world.change(Resource::Nodes, node, |node| node["status"]["allocatable"]["cpu"] = json!("64"));
    }
    world.seconds(30);
    assert_eq!(world.deployment()["status"]["updatedReplicas"], 2);
    assert!(world.pods().iter().all(|entry| entry.object["spec"]["nodeName"] != "node-a"));
}

#[test]
fn a_quota_keeps_pods_from_being_created() {
    let mut world = World::new();
    world.put(
        Resource::ResourceQuotas,
        json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "limits", "namespace": "production", "uid": "q" },
            "spec": { "hard": { "requests.cpu": "1", "pods": "10" } }, "status": {},
        }),
    );
    world.scale(6);
    world.seconds(5);
    assert_eq!(world.count(Stage::Ready), 4);
    let quota = world.get(Resource::ResourceQuotas, "limits");
    assert_eq!(quota["status"]["used"], json!({ "requests.cpu": "1", "pods": "4" }));
    let (value, reason, message) = world.condition(Resource::Deployments, "ticket-service", "ReplicaFailure");
    assert_eq!((value.as_str(), reason.as_str()), ("True", "FailedCreate"));
    let expected = "is forbidden: exceeded quota: limits, requested: requests.cpu=250m, used: requests.cpu=1, limited: requests.cpu=1";
    assert!(message.starts_with("pods \"ticket-service-") && message.ends_with(expected), "{message}");
    assert!(world.told("FailedCreate")[0].starts_with("Error creating: pods \""));
    world.change(Resource::ResourceQuotas, "limits", |quota| quota["spec"]["hard"]["requests.cpu"] = json!("4"));
    world.seconds(5);
    assert_eq!(world.count(Stage::Ready), 6);
    assert_eq!(world.condition(Resource::Deployments, "ticket-service", "ReplicaFailure").0, "");
}

#[test]
fn a_slice_shows_which_pods_take_requests() {
    let mut world = World::new();
    let slice = |world: &World| {
        let slices: Vec<Entry> = world.store.list(Resource::EndpointSlices, Some("production")).cloned().collect();
        assert_eq!(slices.len(), 1);
        Value::clone(&slices[0].object)
    };
    let first = slice(&world);
    assert_eq!(first["metadata"]["labels"]["kubernetes.io/service-name"], "ticket-service");
    assert_eq!(first["ports"], json!([{ "name": "http", "port": 8080, "protocol": "TCP" }]));
    assert_eq!(first["endpoints"].as_array().unwrap().len(), 2);
    assert!(text(&first, "/endpoints/0/zone").starts_with("zone-"));
    world.scale(1);
    world.run(100);
    let conditions: Vec<Value> =
        slice(&world)["endpoints"].as_array().unwrap().iter().map(|endpoint| endpoint["conditions"].clone()).collect();
    assert!(conditions.contains(&json!({ "ready": false, "serving": false, "terminating": true })), "{conditions:?}");
    assert!(conditions.contains(&json!({ "ready": true, "serving": true, "terminating": false })), "{conditions:?}");
}

#[test]
fn an_image_that_is_missing_waits_and_is_pulled_when_it_is_there() {
    let mut world = World::new();
    world.fault(&["image", "ticket-service"]);
    world.scale(3);
    world.run(300);
    let waits = |world: &World| world.pods().iter().map(|entry| pod::waits_for(&entry.object).to_owned()).max().unwrap();
    assert_eq!(waits(&world), "ErrImagePull");
    world.seconds(2);
    assert_eq!(waits(&world), "ImagePullBackOff");
    assert_eq!(world.count(Stage::Ready), 2);
    assert!(world.told("Failed").contains(&"Error: ImagePullBackOff".to_owned()));
    assert_eq!(world.told("BackOff"), ["Back-off pulling image \"registry.example/ticket-service:1.0.0\""]);
    world.faults.clear();
    world.seconds(2);
    assert_eq!((waits(&world).as_str(), world.count(Stage::Ready)), ("", 3));
}

#[test]
fn a_crash_is_repeated_with_longer_pauses_until_the_fault_ends() {
    let mut world = World::new();
    world.fault(&["crash", "ticket-service"]);
    world.seconds(1);
    let crashed = |world: &World| {
        let pods = world.pods();
        let found = pods.iter().find(|entry| pod::waits_for(&entry.object) == "CrashLoopBackOff");
        found.map(|entry| entry.object["status"]["containerStatuses"][0].clone())
    };
    let status = crashed(&world).unwrap();
    assert_eq!(status["restartCount"], 0);
    assert!(text(&status, "/state/waiting/message").starts_with("back-off 10s restarting failed container=ticket-service pod="));
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(world.count(Stage::Ready), 1);
    world.seconds(12);
    let status = crashed(&world).unwrap();
    assert_eq!(status["restartCount"], 1);
    assert!(text(&status, "/state/waiting/message").starts_with("back-off 20s"), "{status}");
    world.faults.clear();
    world.seconds(25);
    assert_eq!(world.count(Stage::Ready), 2);
    assert!(world.pods().iter().any(|entry| entry.object["status"]["containerStatuses"][0]["restartCount"] == 2));
}

#[test]
fn changed_resources_reach_a_running_container_after_a_second() {
    let mut world = World::new();
    let pod = world.names()[0].clone();
    world.change(Resource::Pods, &pod, |pod| pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("500m"));
    world.run(999);
    let shown = |world: &World| world.get(Resource::Pods, &pod)["status"]["containerStatuses"][0].clone();
    assert_eq!(shown(&world)["resources"]["requests"]["cpu"], "250m");
    world.run(1);
    assert_eq!(shown(&world)["resources"]["requests"]["cpu"], "500m");
    assert_eq!(shown(&world)["restartCount"], 0);
    assert_eq!(world.count(Stage::Ready), 2);
}

#[test]
fn a_budget_says_how_many_pods_may_go() {
    let mut world = World::new();
    world.put(
        Resource::PodDisruptionBudgets,
        json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": { "name": "ticket-service", "namespace": "production", "uid": "b", "generation": 1 },
            "spec": { "minAvailable": "50%", "selector": { "matchLabels": { "app": "ticket-service" } } },
        }),
    );
    world.scale(5);
    world.seconds(5);
    let status = world.get(Resource::PodDisruptionBudgets, "ticket-service")["status"].clone();
    assert_eq!((&status["desiredHealthy"], &status["currentHealthy"], &status["disruptionsAllowed"]), (&json!(3), &json!(5), &json!(2)));
}

#[test]
fn events_are_bounded_in_number_and_age() {
    let mut world = World::new();
    for _ in 0..3 {
        world.scale(30);
        world.seconds(5);
        world.scale(1);
        world.seconds(5);
    }
    let count = |world: &World| world.store.list(Resource::Events, None).count();
    assert!((300..=500).contains(&count(&world)), "{}", count(&world));
    assert!(world.told("Scheduled").iter().all(|message| message.contains(" to node-")));
    world.seconds(3700);
    assert_eq!(count(&world), 0);
}
