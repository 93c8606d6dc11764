//! `scale-rabbitmq`: the nodes come and stay, at whatever point it is killed.

use super::playbooks::told;
use super::support::{Stage, at_every_commit_and_effect, step_of};

const ARGUMENTS: [&str; 5] = ["run", "scale-rabbitmq", "--yes", "-p", "interval=100ms"];
const EFFECT: &str = "messaging/rabbitmqcluster/rabbitmq spec.replicas: 3→5";

fn stage() -> Stage {
    Stage::new().quick_playbook("scale-rabbitmq").sandbox(50)
}

#[test]
fn the_nodes_come_and_a_rollback_keeps_them() {
    let stage = stage();
    stage.run(&ARGUMENTS).code(0);
    let outputs = stage.status_json()["outputs"].clone();
    assert!(outputs["nodes"].as_str().unwrap().starts_with("5 of 5 nodes run, no alarms, none is quorum-critical"), "{outputs:#}");
    assert!(outputs["queues"].as_str().unwrap().contains("2 queues, 0 messages"), "{outputs:#}");
    assert!(outputs["left_to_do"].as_str().unwrap().starts_with("1 quorum queues have no member on the new nodes"), "{outputs:#}");
    assert_eq!(told(&stage), [EFFECT]);
    let before = stage.objects();
    stage.run(&["rollback", "--yes"]).code(0);
    let status = stage.status_json();
    assert_eq!((&status["status"], &step_of(&status, "scale")["status"]), (&"rolled_back".into(), &"kept".into()), "{status:#}");
    assert!(format!("{}", stage.run(&["status"])).contains("never made smaller by itself"), "{}", stage.run(&["status"]));
    stage.assert_as_before(&before, "a cluster that is kept");
    assert_eq!(told(&stage), [EFFECT], "nothing was sent");
    // There is nothing more to do.
    stage.run(&ARGUMENTS).code(0);
    assert_eq!(told(&stage), [EFFECT]);
}

#[test]
fn it_only_grows_and_says_what_keeps_it() {
    let stage = stage();
    let fewer = stage.run(&["run", "scale-rabbitmq", "--yes", "-p", "interval=100ms", "-p", "nodes=1"]);
    assert_eq!(fewer.code, Some(1), "{fewer}");
    assert!(
        format!("{fewer}{}", stage.run(&["status"])).contains("RabbitMQ has 3 nodes, more than 1: this playbook only grows"),
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
