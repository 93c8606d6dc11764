//! Deployments, their ReplicaSets, and the way from one template to the next.

use serde_json::{Value, json};

use super::*;

#[test]
fn pods_are_ready_after_600_ms_and_gone_after_500() {
    let mut world = World::new();
    world.scale(3);
    world.run(599);
    assert_eq!((world.count(Stage::Ready), world.count(Stage::Running)), (2, 1));
    world.run(1);
    assert_eq!(world.count(Stage::Ready), 3);
    world.scale(1);
    world.run(499);
    assert_eq!(world.count(Stage::Terminating), 2);
    world.run(1);
    assert_eq!(world.pods().len(), 1);
}

#[test]
fn a_set_stands_between_a_deployment_and_its_pods() {
    let world = World::new();
    let sets = world.sets();
    assert_eq!(sets.len(), 1);
    let set = &sets[0];
    assert_eq!(set["metadata"]["ownerReferences"][0]["kind"], "Deployment");
    assert_eq!(set["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    assert_eq!(set["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"], "3");
    for entry in world.pods() {
        assert_eq!(entry.object["metadata"]["ownerReferences"][0]["name"], set["metadata"]["name"]);
        assert!(name(&entry.object).starts_with(name(set)));
        assert_eq!(entry.object["metadata"]["labels"]["pod-template-hash"], set["metadata"]["labels"]["pod-template-hash"]);
    }
    let (value, reason, message) = world.condition(Resource::Deployments, "ticket-service", "Progressing");
    assert_eq!((value.as_str(), reason.as_str()), ("True", "NewReplicaSetAvailable"));
    assert_eq!(message, format!("ReplicaSet \"{}\" has successfully progressed.", name(set)));
}

#[test]
fn a_rolling_update_keeps_within_surge_and_unavailability() {
    let mut world = World::new();
    world.scale(8);
    world.seconds(5);
    let before = world.names();
    world.pool("9");
    let (mut most, mut least) = (0, usize::MAX);
    world.run_with(30_000, |world| {
        most = most.max(world.names().len());
        least = least.min(world.count(Stage::Ready));
    });
    assert_eq!((most, least), (10, 6));
    let after = world.names();
    assert!(after.len() == 8 && after.iter().all(|name| !before.contains(name)));
    let status = world.deployment()["status"].clone();
    assert_eq!((&status["updatedReplicas"], &status["replicas"], &status["availableReplicas"]), (&json!(8), &json!(8), &json!(8)));
    assert_eq!(status["observedGeneration"], world.deployment()["metadata"]["generation"]);
    assert_eq!(world.deployment()["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    assert!(
        world.told("ScalingReplicaSet").iter().any(|message| message.starts_with("Scaled down replica set") && message.ends_with("to 0"))
    );
    // The old set stays, and going back uses it again.
    assert_eq!(world.sets().len(), 2);
    world.pool("20");
    world.seconds(30);
    assert_eq!(world.sets().len(), 2);
    assert_eq!(world.deployment()["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    let current = world.sets().into_iter().find(|set| set["spec"]["replicas"] == 8).unwrap();
    assert_eq!(current["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"], "1");
}

#[test]
fn a_change_of_replicas_during_a_rollout_is_shared_out() {
    let mut world = World::new();
    world.scale(8);
    world.seconds(5);
    world.fault(&["unready", "ticket-service", "--pods", "99"]);
    world.pool("9");
    world.seconds(5);
    let sizes = |world: &World| {
        let mut sizes: Vec<i64> = world.sets().iter().map(|set| set["spec"]["replicas"].as_i64().unwrap()).collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&world), [4, 6]);
    world.scale(16);
    world.seconds(5);
    // At most 20: 4 and 6 of 10 become 8 and 12.
    assert_eq!(sizes(&world), [8, 12]);
    world.faults.clear();
    world.seconds(60);
    assert_eq!(sizes(&world), [0, 16]);
}

#[test]
fn a_paused_deployment_does_not_roll_but_scales() {
    let mut world = World::new();
    world.change(Resource::Deployments, "ticket-service", |object| object["spec"]["paused"] = json!(true));
    world.pool("9");
    world.scale(4);
    world.seconds(10);
    assert_eq!((world.sets().len(), world.count(Stage::Ready)), (1, 4));
    assert!(world.deployment()["status"]["updatedReplicas"].is_null());
    assert_eq!(world.condition(Resource::Deployments, "ticket-service", "Progressing").1, "DeploymentPaused");
    world.change(Resource::Deployments, "ticket-service", |object| object["spec"]["paused"] = Value::Null);
    world.seconds(30);
    assert_eq!(world.deployment()["status"]["updatedReplicas"], 4);
    assert_eq!(world.condition(Resource::Deployments, "ticket-service", "Progressing").1, "NewReplicaSetAvailable");
}

#[test]
fn recreate_ends_all_before_it_makes_new_ones() {
    let mut world = World::new();
    world.change(Resource::Deployments, "ticket-service", |object| object["spec"]["strategy"] = json!({ "type": "Recreate" }));
    let old = world.names();
    world.pool("9");
    world.run_with(10_000, |world| {
        let pods = world.pods();
        let still = pods.iter().any(|entry| old.contains(&name(&entry.object).to_owned()));
        assert!(!still || pods.len() == old.len(), "old and new pods together");
    });
    assert_eq!(world.count(Stage::Ready), 2);
    assert_eq!(world.deployment()["status"]["updatedReplicas"], 2);
}

#[test]
fn a_rollout_that_stands_still_exceeds_its_deadline() {
    let mut world = World::new();
    world.fault(&["image", "ticket-service"]);
    world.pool("9");
    world.seconds(599);
    assert_eq!(world.condition(Resource::Deployments, "ticket-service", "Progressing").1, "ReplicaSetUpdated");
    assert_eq!(world.count(Stage::Ready), 2);
    world.seconds(2);
    let (value, reason, message) = world.condition(Resource::Deployments, "ticket-service", "Progressing");
    assert_eq!((value.as_str(), reason.as_str()), ("False", "ProgressDeadlineExceeded"));
    assert!(message.ends_with("has timed out progressing."), "{message}");
    world.faults.clear();
    world.seconds(30);
    assert_eq!(world.deployment()["status"]["updatedReplicas"], 2);
}

#[test]
fn old_sets_beyond_the_history_are_removed() {
    let mut world = World::new();
    world.change(Resource::Deployments, "ticket-service", |object| object["spec"]["revisionHistoryLimit"] = json!(1));
    for size in ["1", "2", "3"] {
        world.pool(size);
        world.seconds(30);
    }
    assert_eq!(world.sets().len(), 2);
}

#[test]
fn what_loses_its_owner_goes() {
    let mut world = World::new();
    world.store.remove(Resource::Deployments, "production", "ticket-service");
    world.seconds(2);
    assert_eq!((world.sets().len(), world.pods().len()), (0, 0));
}

#[test]
fn pods_that_a_deployment_owns_itself_are_adopted() {
    let mut world = World::new();
    let names = world.names();
    let deployment = world.deployment();
    for set in world.sets() {
        world.store.remove(Resource::ReplicaSets, "production", name(&set));
    }
    for entry in world.pods() {
        let mut object = Value::clone(&entry.object);
        object["metadata"]["ownerReferences"] = json!([pod::reference(&deployment)]);
        object["spec"]["nodeName"] = json!("sandbox-node");
        object["metadata"]["labels"]["pod-template-hash"] = json!("former");
        object["status"]["podIP"] = Value::Null;
        world.store.put(Resource::Pods, object, entry.life);
    }
    for entry in world.store.list(Resource::Nodes, None).cloned().collect::<Vec<_>>() {
        world.store.remove(Resource::Nodes, "", name(&entry.object));
    }
    let moment = Moment { now: world.now, speed: 1.0 };
    super::super::upgrade(&mut world.store, &mut world.memory, moment);
    world.seconds(5);
    assert_eq!(world.names(), names);
    assert_eq!((world.sets().len(), world.count(Stage::Ready)), (1, 2));
    assert_eq!(world.deployment()["status"]["updatedReplicas"], 2);
    assert!(world.pods().iter().all(|entry| text(&entry.object, "/spec/nodeName").starts_with("node-")));
}

#[test]
fn a_watch_can_lie_behind_by_a_whole_rollout() {
    let mut world = World::new();
    world.scale(64);
    world.seconds(60);
    assert_eq!(world.count(Stage::Ready), 64);
    let before = world.store.version();
    world.pool("9");
    world.seconds(120);
    let updated = world.deployment()["status"]["updatedReplicas"].clone();
    assert_eq!((updated, world.pods().len()), (json!(64), 64));
    assert!(world.store.since(before).is_ok(), "{} changes", world.store.version() - before);
}
