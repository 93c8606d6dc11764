//! `scale-rabbitmq`: the nodes come and stay, at whatever point it is killed.

use super::playbooks::told;
use super::support::{Stage, at_every_commit_and_effect, step_of};

const ARGUMENTS: [&str; 5] = ["run", "scale-rabbitmq", "--yes", "-p", "interval=100ms"];
/// What a rollback keeps: the count, and what the operator and the controllers make of it.
pub const KEPT: [&str; 3] = [
    "rabbitmqclusters messaging/rabbitmq.spec.replicas",
    "statefulsets messaging/rabbitmq-server.spec.replicas",
    "pods of messaging/StatefulSet/rabbitmq-server",
];
const EFFECT: &str = "messaging/rabbitmqcluster/rabbitmq spec.replicas: 3→5";

fn stage() -> Stage {
    Stage::new().quick_playbook("scale-rabbitmq").sandbox(50)
}

#[test]
fn promise_3_the_nodes_come_a_rollback_keeps_them_and_the_way_that_it_tells_leads_back_to_what_was() {
    let stage = stage();
    let fresh = stage.objects();
    stage.run(&ARGUMENTS).code(0);
    let outputs = stage.status_json()["outputs"].clone();
    assert!(outputs["nodes"].as_str().unwrap().starts_with("5 of 5 nodes run, no alarms, none is quorum-critical"), "{outputs:#}");
    assert!(outputs["queues"].as_str().unwrap().contains("2 queues, 0 messages"), "{outputs:#}");
    assert!(outputs["left_to_do"].as_str().unwrap().starts_with("1 quorum queues have no member on the new nodes"), "{outputs:#}");
    assert_eq!(told(&stage), [EFFECT]);
    let before = stage.objects();
    stage.run(&["rollback", &stage.latest_run(), "--yes"]).code(0);
    let status = stage.status_json();
    assert_eq!((&status["status"], &step_of(&status, "scale")["status"]), (&"rolled_back".into(), &"kept".into()), "{status:#}");
    stage.assert_as_before(&before, "a cluster that is kept");
    stage.assert_as_before_but(&fresh, &KEPT, "a cluster that is kept");
    assert_eq!(told(&stage), [EFFECT], "nothing was sent");
    // There is nothing more to do.
    stage.run(&ARGUMENTS).code(0);
    assert_eq!(told(&stage), [EFFECT]);
    // The way back, by the letter.
    let first = stage.run(&["runs", "-o", "json"]).code(0).json();
    let first = first.as_array().and_then(|runs| runs.last()).expect("runs")["id"].as_str().expect("an id").to_owned();
    let shown = stage.run(&["status", &first]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let way = "runsheet run scale-rabbitmq -p cluster=rabbitmq -p namespace=messaging -p nodes=3 -p smaller=true";
    assert!(shown.contains("never made smaller by itself") && shown.contains(way), "{shown}");
    let words: Vec<&str> = way.split(' ').skip(1).chain(["--yes", "-p", "interval=100ms"]).collect();
    stage.run(&words).code(4);
    assert_eq!(told(&stage), [EFFECT], "nothing is sent before somebody agrees");
    stage.run(&["approve", "--reason", "no queue lives there alone"]).code(0);
    assert_eq!(stage.status_json()["status"], "succeeded", "{}", stage.run(&["status"]));
    assert_eq!(told(&stage), [EFFECT, "messaging/rabbitmqcluster/rabbitmq spec.replicas: 5→3"]);
    stage.assert_as_before(&fresh, "a cluster that was made smaller");
    assert_eq!(stage.status_json()["outputs"]["left_to_do"], "nothing");
}

#[test]
fn fewer_nodes_than_a_quorum_queue_needs_are_refused() {
    let stage = stage();
    let before = stage.objects();
    let ran = stage.run(&["run", "scale-rabbitmq", "--yes", "-p", "interval=100ms", "-p", "nodes=1", "-p", "smaller=true"]);
    let ran = if ran.code == Some(4) { stage.run(&["approve", "--reason", "by mistake"]) } else { ran };
    assert_eq!(ran.code, Some(1), "{ran}");
    let told_of = stage.run(&["status"]).stdout;
    assert!(told_of.contains("1 of 1 quorum queues would lose their majority: /ticket-purchases"), "{told_of}");
    assert_eq!(told(&stage), Vec::<String>::new());
    stage.assert_as_before(&before, "a cluster that is left alone");
    // Nor is it made larger where it was to become smaller.
    let more = stage.run(&["run", "scale-rabbitmq", "--yes", "-p", "interval=100ms", "-p", "smaller=true"]);
    let more = if more.code == Some(4) { stage.run(&["approve", "--reason", "by mistake"]) } else { more };
    assert_eq!((more.code, told(&stage).len()), (Some(1), 0), "{more}");
    assert!(stage.run(&["status"]).stdout.contains("RabbitMQ has 3 nodes, fewer than 5"), "{}", stage.run(&["status"]));
}

#[test]
fn it_only_grows_and_says_what_keeps_it() {
    let stage = stage();
    let fewer = stage.run(&["run", "scale-rabbitmq", "--yes", "-p", "interval=100ms", "-p", "nodes=1"]);
    assert_eq!(fewer.code, Some(1), "{fewer}");
    assert!(
        format!("{fewer}{}", stage.run(&["status"]))
            .contains("RabbitMQ has 3 nodes, more than 1: `smaller: true` takes nodes away, behind a gate"),
        "{fewer}"
    );
    assert_eq!(told(&stage), Vec::<String>::new());
    stage.fault(&["refuse", "GET /api/nodes", "--host", "rabbitmq.production", "--status", "503", "--times", "forever"]);
    let refused = stage.run(&ARGUMENTS);
    assert_eq!(refused.code, Some(1), "{refused}");
    let told =
        "RabbitMQ's management API at http://rabbitmq.production:15672 failed at /api/nodes (503): refused by a fault of the sandbox";
    assert!(format!("{refused}{}", stage.run(&["status"])).contains(told), "{refused}");
}

#[test]
fn promise_2_scale_rabbitmq_killed_at_every_point_scales_once() {
    let killed = at_every_commit_and_effect(6, |point| {
        let stage = stage();
        let (killed, ran) = stage.run_killed_at(point, &ARGUMENTS);
        if killed {
            stage.resume_if_open(0);
        } else {
            ran.code(0);
        }
        assert_eq!(stage.status_json()["status"], "succeeded", "{point}: {}", stage.run(&["status"]));
        assert_eq!(told(&stage), [EFFECT], "{point}");
        killed
    });
    assert!(killed["commit"] >= 4 && killed["effect"] >= 1 && killed["before-effect"] == killed["effect"], "{killed:?}");
}
