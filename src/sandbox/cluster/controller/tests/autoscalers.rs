//! The autoscaler's loop.

use serde_json::json;

use super::*;

const NAME: &str = "ticket-service-hpa";

fn autoscaler(world: &World) -> Value {
    world.get(Resource::HorizontalPodAutoscalers, NAME)
}

fn reason(world: &World, kind: &str) -> String {
    world.condition(Resource::HorizontalPodAutoscalers, NAME, kind).1
}

fn floor(world: &mut World, least: i64) {
    world.change(Resource::HorizontalPodAutoscalers, NAME, |object| object["spec"]["minReplicas"] = json!(least));
}

fn wanted(world: &World) -> i64 {
    world.deployment()["spec"]["replicas"].as_i64().unwrap()
}

#[test]
fn a_raised_floor_is_followed_and_held_without_load() {
    for metrics in [Autoscaler::Cpu, Autoscaler::Memory] {
        let mut world = World::with(metrics);
        floor(&mut world, 8);
        world.seconds(20);
        assert_eq!((wanted(&world), world.count(Stage::Ready)), (8, 8));
        assert_eq!(world.told("SuccessfulRescale"), ["New size: 8; reason: Current number of replicas below Spec.MinReplicas"]);
        world.seconds(20 * 60);
        assert_eq!((wanted(&world), world.count(Stage::Ready)), (8, 8), "{metrics}");
    }
}

#[test]
fn on_the_cpu_alone_a_lowered_floor_comes_down_one_a_minute_after_five() {
    let mut world = World::with(Autoscaler::Cpu);
    floor(&mut world, 8);
    world.seconds(600);
    floor(&mut world, 2);
    world.seconds(14);
    assert_eq!(wanted(&world), 8);
    world.seconds(60);
    // What was wanted was the floor's doing alone, so no recommendation of the metrics holds it up: 10% a minute.
    let mut sizes = vec![wanted(&world)];
    world.run_with(15 * 60_000, |world| {
        let size = world.deployment()["spec"]["replicas"].as_i64().unwrap();
        if sizes.last() != Some(&size) {
            sizes.push(size);
        }
    });
    assert_eq!(wanted(&world), 2);
    assert!(sizes.windows(2).all(|pair| pair[0] - pair[1] == 1), "{sizes:?}");
    assert_eq!(reason(&world, "ScalingLimited"), "TooFewReplicas");
}

#[test]
fn the_procedures_memory_metric_never_lets_it_come_down() {
    let mut world = World::with(Autoscaler::Memory);
    floor(&mut world, 8);
    world.seconds(60);
    floor(&mut world, 2);
    world.seconds(3600);
    assert_eq!(wanted(&world), 8);
    let status = autoscaler(&world)["status"].clone();
    let metrics = json!([
        { "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": 6, "averageValue": "15m" } } },
        { "type": "Resource", "resource": { "name": "memory", "current": { "averageUtilization": 78, "averageValue": "200Mi" } } },
    ]);
    assert_eq!(status["currentMetrics"], metrics);
    assert_eq!((&status["currentReplicas"], &status["desiredReplicas"]), (&json!(8), &json!(8)));
    let (value, reason, message) = world.condition(Resource::HorizontalPodAutoscalers, NAME, "ScalingActive");
    assert_eq!((value.as_str(), reason.as_str()), ("True", "ValidMetricFound"));
    let expected = "the HPA was able to successfully calculate a replica count from memory resource utilization (percentage of request)";
    assert_eq!(message, expected);
}

#[test]
fn load_is_followed_up_to_the_maximum_by_doubling() {
    let mut world = World::with(Autoscaler::Cpu);
    world.seconds(120);
    world.load = Load { rps: 4000.0 };
    world.seconds(45);
    // The lowest recommendation of the last minute holds it.
    assert_eq!((wanted(&world), reason(&world, "AbleToScale").as_str()), (2, "ScaleUpStabilized"));
    let mut sizes = vec![2];
    world.run_with(600_000, |world| {
        let size = world.deployment()["spec"]["replicas"].as_i64().unwrap();
        if sizes.last() != Some(&size) {
            sizes.push(size);
        }
    });
    assert_eq!(sizes, [2, 4, 8, 16]);
    assert_eq!(world.condition(Resource::HorizontalPodAutoscalers, NAME, "ScalingLimited").0, "True");
    assert_eq!(reason(&world, "ScalingLimited"), "TooManyReplicas");
    let messages = world.told("SuccessfulRescale");
    assert!(
        messages.contains(&"New size: 4; reason: cpu resource utilization (percentage of request) above target".to_owned()),
        "{messages:?}"
    );
}

#[test]
fn zero_replicas_end_autoscaling() {
    let mut world = World::with(Autoscaler::Cpu);
    world.scale(0);
    world.seconds(60);
    assert_eq!((wanted(&world), reason(&world, "ScalingActive").as_str()), (0, "ScalingDisabled"));
}

#[test]
fn a_missing_target_and_missing_metrics_are_said() {
    let mut world = World::with(Autoscaler::Cpu);
    world.change(Resource::HorizontalPodAutoscalers, NAME, |object| object["spec"]["scaleTargetRef"]["name"] = json!("nobody"));
    world.seconds(15);
    let (value, reason, message) = world.condition(Resource::HorizontalPodAutoscalers, NAME, "AbleToScale");
    assert_eq!((value.as_str(), reason.as_str()), ("False", "FailedGetScale"));
    assert!(message.ends_with("deployments.apps \"nobody\" not found"), "{message}");

    let mut world = World::with(Autoscaler::Cpu);
    world.fault(&["unready", "ticket-service", "--pods", "9"]);
    for pod in world.names() {
        let entry = world.store.get(Resource::Pods, "production", &pod).unwrap().clone();
        let moment = Moment { now: world.now, speed: 1.0 };
        super::super::terminate(&mut world.store, &entry, moment);
    }
    world.seconds(20);
    let (value, reason, message) = world.condition(Resource::HorizontalPodAutoscalers, NAME, "ScalingActive");
    assert_eq!((value.as_str(), reason.as_str()), ("False", "FailedGetResourceMetric"));
    assert!(message.contains("did not receive metrics for targeted pods (pods might be unready)"), "{message}");
    assert!(!world.told("FailedGetResourceMetric").is_empty());
}

#[test]
fn at_a_higher_speed_everything_is_as_much_faster() {
    let mut world = World::with(Autoscaler::Cpu);
    world.speed = 600.0;
    floor(&mut world, 8);
    world.run(50);
    assert_eq!((wanted(&world), world.count(Stage::Ready)), (8, 8));
    floor(&mut world, 2);
    // Twenty minutes in two seconds.
    world.run(2000);
    assert_eq!((wanted(&world), world.count(Stage::Ready)), (2, 2));
}
