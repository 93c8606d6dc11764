//! KEDA's loop.

use serde_json::json;

use super::*;

const SCALER: &str = "ticket-service-scaler";
const HPA: &str = "keda-hpa-ticket-service-scaler";

fn wanted(world: &World) -> i64 {
    world.deployment()["spec"]["replicas"].as_i64().unwrap()
}

fn floor(world: &mut World, least: i64) {
    world.change(Resource::ScaledObjects, SCALER, |object| object["spec"]["minReplicaCount"] = json!(least));
}

fn annotate(world: &mut World, name: &str, value: Option<&str>) {
    world.change(Resource::ScaledObjects, SCALER, |object| {
        if !object["metadata"]["annotations"].is_object() {
            object["metadata"]["annotations"] = json!({});
        }
        let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
        match value {
            Some(value) => drop(annotations.insert(name.to_owned(), json!(value))),
            None => drop(annotations.shift_remove(name)),
        }
    });
}

fn has_hpa(world: &World) -> bool {
    world.store.get(Resource::HorizontalPodAutoscalers, "production", HPA).is_some()
}

fn status(world: &World, kind: &str) -> (String, String) {
    let object = world.get(Resource::ScaledObjects, SCALER);
    let conditions = object["status"]["conditions"].as_array().unwrap().clone();
    let condition = conditions.into_iter().find(|condition| condition["type"] == kind).unwrap();
    let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

#[test]
fn it_owns_an_hpa_of_its_triggers_and_puts_back_what_is_changed_in_it() {
    let mut world = World::with(Autoscaler::Keda);
    world.seconds(30);
    let hpa = world.get(Resource::HorizontalPodAutoscalers, HPA);
    assert_eq!((&hpa["spec"]["minReplicas"], &hpa["spec"]["maxReplicas"]), (&json!(2), &json!(20)));
    let names: Vec<&str> = hpa["spec"]["metrics"].as_array().unwrap().iter().map(|metric| text(metric, "/external/metric/name")).collect();
    assert_eq!(names, ["s0-rabbitmq-ticket-purchases", "s1-prometheus"]);
    assert_eq!(text(&hpa, "/metadata/ownerReferences/0/name"), SCALER);
    let object = world.get(Resource::ScaledObjects, SCALER);
    assert_eq!((text(&object, "/status/hpaName"), text(&object, "/status/triggersTypes")), (HPA, "rabbitmq,prometheus"));
    assert_eq!((status(&world, "Ready"), status(&world, "Paused").0), (("True".into(), "ScaledObjectReady".into()), "False".into()));

    world.change(Resource::HorizontalPodAutoscalers, HPA, |object| object["spec"]["minReplicas"] = json!(9));
    world.seconds(1);
    assert_eq!(world.get(Resource::HorizontalPodAutoscalers, HPA)["spec"]["minReplicas"], 2);
    let hpa = world.get(Resource::HorizontalPodAutoscalers, HPA);
    world.store.remove(Resource::HorizontalPodAutoscalers, "production", HPA);
    world.seconds(1);
    let anew = world.get(Resource::HorizontalPodAutoscalers, HPA);
    assert!(anew["spec"] == hpa["spec"] && anew["metadata"]["uid"] != hpa["metadata"]["uid"], "{anew}");
}

#[test]
fn a_floor_is_followed_up_and_down_and_a_load_by_the_requests_of_each_pod() {
    let mut world = World::with(Autoscaler::Keda);
    floor(&mut world, 8);
    world.seconds(40);
    assert_eq!((wanted(&world), world.count(Stage::Ready)), (8, 8));
    floor(&mut world, 2);
    world.seconds(20 * 60);
    assert_eq!(wanted(&world), 2);
    world.load.rps = 2000.0;
    world.seconds(10 * 60);
    // 200 for each.
    assert_eq!(wanted(&world), 10);
    assert_eq!(status(&world, "Active"), ("True".into(), "ScalerActive".into()));
    world.load.rps = 100_000.0;
    world.seconds(10 * 60);
    assert_eq!(wanted(&world), 20, "never beyond the maximum");
}

#[test]
fn a_queue_that_fills_is_followed_and_so_is_its_end() {
    let mut world = World::with(Autoscaler::Keda);
    world.busy = true;
    world.change(Resource::ScaledObjects, SCALER, |object| object["spec"]["triggers"].as_array_mut().unwrap().truncate(1));
    world.seconds(30);
    assert_eq!((wanted(&world), status(&world, "Active").0), (2, "False".into()));
    // 2000 purchases a second come, and 20 Pods take 1000.
    world.load.rps = 10_000.0;
    world.seconds(180);
    assert_eq!(status(&world, "Active"), ("True".into(), "ScalerActive".into()));
    assert_eq!(wanted(&world), 20, "one Pod for 50 that wait, up to the maximum");
    world.load.rps = 0.0;
    world.seconds(30 * 60);
    assert_eq!((wanted(&world), status(&world, "Active").0), (2, "False".into()));

    world.change(Resource::ScaledObjects, SCALER, |object| object["spec"]["triggers"][0]["metadata"]["mode"] = json!("MessageRate"));
    world.load.rps = 1000.0;
    world.seconds(5 * 60);
    assert_eq!(wanted(&world), 4, "200 a second, 50 for each");
    world.change(Resource::ScaledObjects, SCALER, |object| {
        object["spec"]["triggers"][0]["metadata"]["queueName"] = json!("ticket-notifications")
    });
    world.seconds(20 * 60);
    assert_eq!(wanted(&world), 2, "nothing comes to the other queue");
}

#[test]
fn a_pause_at_a_count_freezes_it_without_an_hpa_and_it_goes_on_afterwards() {
    let mut world = World::with(Autoscaler::Keda);
    annotate(&mut world, "autoscaling.keda.sh/paused-replicas", Some("5"));
    world.seconds(30);
    assert_eq!((wanted(&world), has_hpa(&world)), (5, false));
    assert_eq!(status(&world, "Paused"), ("True".into(), "ScaledObjectPaused".into()));
    assert_eq!(world.get(Resource::ScaledObjects, SCALER)["status"]["pausedReplicaCount"], 5);
    floor(&mut world, 8);
    world.seconds(60);
    assert_eq!(wanted(&world), 5, "a floor of what is frozen starts nothing");
    annotate(&mut world, "autoscaling.keda.sh/paused-replicas", None);
    world.seconds(60);
    assert_eq!((wanted(&world), has_hpa(&world)), (8, true));
    assert_eq!(status(&world, "Paused"), ("False".into(), "ScaledObjectUnpaused".into()));
}

#[test]
fn what_is_to_grow_only_grows_only() {
    let mut world = World::with(Autoscaler::Keda);
    annotate(&mut world, "autoscaling.keda.sh/paused-scale-in", Some("true"));
    floor(&mut world, 6);
    world.seconds(60);
    floor(&mut world, 2);
    world.seconds(30 * 60);
    assert_eq!((wanted(&world), has_hpa(&world)), (6, true));
    annotate(&mut world, "autoscaling.keda.sh/paused-scale-in", None);
    world.seconds(30 * 60);
    assert_eq!(wanted(&world), 2);
}

#[test]
fn with_nothing_to_do_and_no_floor_it_goes_to_none_after_its_cooldown_and_comes_back() {
    let mut world = World::with(Autoscaler::Keda);
    floor(&mut world, 0);
    world.seconds(290);
    assert!(wanted(&world) > 0, "the HPA goes to one, and only KEDA to none");
    world.seconds(20);
    assert_eq!(wanted(&world), 0);
    world.load.rps = 10.0;
    world.look();
    world.seconds(1);
    assert_eq!(wanted(&world), 1);
}

#[test]
fn what_it_cannot_work_with_is_told_and_what_goes_gives_its_replicas_back() {
    let mut world = World::with(Autoscaler::Keda);
    world.change(Resource::ScaledObjects, SCALER, |object| {
        object["spec"]["triggers"][1]["metadata"].as_object_mut().unwrap().shift_remove("query");
    });
    world.seconds(1);
    assert_eq!(status(&world, "Ready"), ("False".into(), "ScaledObjectCheckFailed".into()));
    assert!(world.told("ScaledObjectCheckFailed")[0].contains("missing required parameter \"query\""));
    world.change(Resource::ScaledObjects, SCALER, |object| {
        object["spec"]["triggers"][1]["metadata"]["query"] = json!("x");
        object["spec"]["advanced"] = json!({ "restoreToOriginalReplicaCount": true });
    });
    floor(&mut world, 7);
    world.seconds(60);
    assert_eq!((wanted(&world), status(&world, "Ready").0), (7, "True".into()));
    world.change(Resource::ScaledObjects, SCALER, |object| object["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z"));
    world.seconds(30);
    assert!(world.store.get(Resource::ScaledObjects, "production", SCALER).is_none() && !has_hpa(&world));
    assert_eq!(wanted(&world), 2);
}
