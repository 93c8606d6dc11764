//! Playbooks on a real control plane, killed at points of the run and of its rollback: promise 2, no effect is silently repeated, and none silently lost.
//!
//! The points are chosen: before and after each effect that writes, and a commit between. The sandbox's tests kill at every point.

use super::playbooks::Case;
use super::real_playbooks::{arguments, stage};
use super::support::in_parallel;
use super::support::real::Way;

/// A case, where it and its rollback are killed, and what is to be written in all.
struct Killed {
    case: Case,
    points: (&'static str, &'static str),
    forth: &'static [&'static str],
    back: &'static [&'static str],
}

/// Killed and resumed there, killed and resumed on the way back.
#[track_caller]
fn there_and_back(killed: &Killed) {
    let (case, (forth, back)) = (&killed.case, killed.points);
    let name = format!("{} killed at {forth} and back at {back}", case.name());
    let stage = stage(case, Way::Proxied);
    let before = stage.objects();
    let (was_killed, _) = stage.run_killed_at(forth, &arguments(case, &stage));
    assert!(was_killed, "{name}: there is no such point");
    stage.resume_if_open(0);
    assert_eq!(stage.status_json()["status"], "succeeded", "{name}: {}", stage.run(&["status"]));
    assert_eq!(stage.writes(), killed.forth, "{name}");
    if case.playbook == "pre-event" {
        assert_eq!(stage.fills(), 1, "{name}: the caches are filled once");
    }
    let (was_killed, _) = stage.run_killed_at(back, &["rollback", "--yes"]);
    assert!(was_killed, "{name}: there is no such point on the way back");
    stage.resume_if_open(0);
    assert_eq!(stage.status_json()["status"], "rolled_back", "{name}: {}", stage.run(&["status"]));
    assert_eq!(stage.writes()[killed.forth.len()..], *killed.back, "{name}");
    stage.assert_as_before(&before, &name);
}

const ENV: &str = "PATCH deployments/ticket-service";
const SCALE: &str = "PATCH deployments/ticket-service/scale";
const FLOOR: &str = "PATCH horizontalpodautoscalers/ticket-service-hpa";
const PODS: &str = "PATCH pods/*/resize";

mod real_cluster {
    use super::*;

    #[test]
    fn promise_2_pre_event_under_a_real_autoscaler_killed_forth_and_back_sends_each_change_once() {
        let points = [
            ("before-effect:2", "before-effect:1"),
            ("effect:2", "effect:1"),
            ("before-effect:4", "before-effect:2"),
            ("effect:4", "effect:2"),
            ("effect:6", "commit:5"),
        ];
        let all = points.map(|points| Killed {
            case: Case { autoscaler: "cpu", ..Case::of("pre-event", &["settle=20s"]) },
            points,
            forth: &[ENV, FLOOR],
            back: &[FLOOR, ENV],
        });
        in_parallel(5, &all, there_and_back);
    }

    #[test]
    fn promise_2_each_playbook_killed_forth_and_back_sends_each_change_once() {
        let mut all = Vec::new();
        for points in [("before-effect:2", "before-effect:1"), ("effect:2", "effect:1")] {
            let killed = |case, forth, back| Killed { case, points, forth, back };
            all.push(killed(Case::of("scale", &["replicas=6"]), &[SCALE], &[SCALE]));
            all.push(killed(
                Case::of("autoscale-hpa", &["max=7"]),
                &["POST horizontalpodautoscalers"],
                &["DELETE horizontalpodautoscalers/ticket-service-hpa"],
            ));
            all.push(killed(
                Case::of("autoscale-hpa", &["min=4", "max=6"]),
                &["POST horizontalpodautoscalers"],
                &["DELETE horizontalpodautoscalers/ticket-service-hpa", SCALE],
            ));
            all.push(killed(Case { autoscaler: "cpu", ..Case::of("autoscale-hpa", &["min=3", "max=7"]) }, &[FLOOR], &[FLOOR]));
            all.push(killed(Case::of("resize", &[]), &[ENV], &[ENV]));
            all.push(killed(Case::of("resize", &["mode=in_place"]), &[PODS, PODS], &[PODS, PODS]));
        }
        for points in [("before-effect:3", "before-effect:1"), ("effect:3", "effect:1")] {
            all.push(Killed { case: Case::of("pool-size", &["pool_size=12"]), points, forth: &[ENV], back: &[ENV] });
        }
        in_parallel(6, &all, there_and_back);
    }
}
