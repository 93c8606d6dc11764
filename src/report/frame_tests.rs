//! Frames as people see them, at several sizes.

use insta::assert_snapshot;
use serde_json::Value;

use super::fixture::{Journal, path, pre_event, run_id, scaling};
use super::frame::{Live, render};
use super::style::Style;
use super::text;
use super::view::RunView;
use crate::model::event::{Event, GateKind, Waiting};
use crate::model::outcome::{Applied, Failure};
use crate::model::status::{RunStatus, StepStatus};

fn style(journal: &Journal, width: usize) -> Style {
    Style { width, ..Style::plain(journal.now) }
}

/// `scale` is going on for 8 seconds, 5 of 8 pods are ready.
fn scaling_up() -> (Journal, Live) {
    let mut journal = Journal::new();
    journal.started("budget", Some(Default::default())).after(1).succeeded("budget", Value::Null);
    journal.started("scale", None).add(Event::AttemptStarted { step: path("scale"), attempt: 1, intent: Box::new(scaling(2, 8)) });
    journal.after(8);
    let mut live = Live::default();
    live.line(&path("scale"), "pod ticket-service-7 is ready");
    live.part(&path("scale"), 5, 8, "pods ready");
    (journal, live)
}

#[test]
fn a_frame_of_80_columns() {
    let (journal, live) = scaling_up();
    let view = journal.view(&pre_event());
    assert_snapshot!(render(&view, &live, &style(&journal, 80), 24), @r#"
        pre-event  3fa9c1d2  running  9.0s  on sandbox

        ✔ budget       succeeded           1.0s
        ● scale        running             8.0s  ██████░░░░ 5/8 pods ready
        · warm_pool    pending
        · warm_caches  pending

        █████░░░░░░░░░░░░░░░  1/4 steps  1 running
        SANDBOX: no environment was changed
"#);
}

#[test]
fn a_frame_of_200_columns_with_a_retry_and_a_gate() {
    let (mut journal, mut live) = scaling_up();
    journal.add(Event::AttemptEnded { step: path("scale"), attempt: 1, outcome: Applied::Applied { outputs: Value::Null } });
    journal.succeeded("scale", Value::Null).started("warm_pool", Some(Default::default())).after(2);
    let failure = Failure::transient("exit code 7: connection refused by 10.0.3.7:8080 while warming the pool of ticket-service-7");
    let until = journal.now + jiff::SignedDuration::from_secs(4);
    journal.add(Event::RetryScheduled { step: path("warm_pool"), attempt: 2, until, failure });
    let gate =
        Waiting::Approval { count: 1, by: vec![], message: Some("Are the caches needed?".into()), until: None, gate: GateKind::Step };
    journal.waits("warm_caches", gate);
    live.forget(&path("scale"));
    let view = journal.view(&pre_event());
    assert_snapshot!(render(&view, &live, &style(&journal, 200), 50), @r#"
        pre-event  3fa9c1d2  running  11s  on sandbox

        ✔ budget       succeeded           1.0s
        ✔ scale        succeeded           8.0s         deployment/ticket-service: replicas 2 → 8
        ● warm_pool    running             2.0s  2/3    again in 4.0s: exit code 7: connection refused by 10.0.3.7:8080 while warming the pool of ticket-service-7
        ◌ warm_caches  waiting             0.0s         for an approval: Are the caches needed?

        ████████████████████░░░░░░░░░░░░░░░░░░░░  2/4 steps  1 running  1 waiting
        warm_caches waits for an approval: Are the caches needed?
        runsheet approve 3fa9c1d2 warm_caches
        SANDBOX: no environment was changed; 1 command ran on this machine
"#);
}

#[test]
fn colour_adds_nothing_but_colour() {
    let (journal, live) = scaling_up();
    let view = journal.view(&pre_event());
    let plain = render(&view, &live, &style(&journal, 80), 24);
    let colored = render(&view, &live, &Style { color: true, ..style(&journal, 80) }, 24);
    assert_ne!(colored, plain);
    assert_eq!(console::strip_ansi_codes(&colored), plain);
    // Each step says its status in a word.
    for step in view.steps() {
        assert!(plain.contains(step.status.as_str()), "{}", step.path);
    }
}

/// 100 instances: 3 failed, 2 running, 1 waits for a lock, 40 succeeded, the rest pending.
fn wide() -> (Journal, RunView) {
    let mut journal = Journal::new();
    journal.scaled();
    journal.add(Event::StepExpanded { step: path("warm_pool"), items: (0..100).map(|n| (format!("pod-{n}"), Value::Null)).collect() });
    for n in 0..46 {
        let step = format!("warm_pool[pod-{n}]");
        if n == 45 {
            let object = scaling(2, 8).changes.remove(0).object;
            journal.waits(&step, Waiting::Lock { object, holder: "run 77aa0000 of after-event".into() });
            continue;
        }
        journal.started(&step, None);
        match n {
            3 | 20 | 31 => {
                let failure = Failure::permanent(format!("exit code {n}"));
                journal.add(Event::StepFailed { step: path(&step), failure, applied: false });
            }
            43 | 44 => {}
            _ => {
                journal.succeeded(&step, Value::Null);
            }
        }
    }
    journal.after(2);
    let view = journal.view(&pre_event());
    (journal, view)
}

#[test]
fn where_there_is_no_room_what_matters_is_shown_and_the_rest_counted() {
    let (journal, view) = wide();
    assert_snapshot!(render(&view, &Live::default(), &style(&journal, 80), 16), @r#"
        pre-event  3fa9c1d2  running  14s  on sandbox

        ✘ warm_pool[pod-3]   failed              0.0s  exit code 3
        ✘ warm_pool[pod-20]  failed              0.0s  exit code 20
        ✘ warm_pool[pod-31]  failed              0.0s  exit code 31
        ✔ warm_pool[pod-41]  succeeded           0.0s
        ✔ warm_pool[pod-42]  succeeded           0.0s
        ● warm_pool[pod-43]  running             2.0s
        ● warm_pool[pod-44]  running             2.0s
        ◌ warm_pool[pod-45]  waiting             2.0s  for the lock on deployment/ticke…
        · warm_pool[pod-46]  pending
        · warm_caches        pending
        … 93 more: 53 pending, 40 succeeded

        ████████░░░░░░░░░░░░  45/103 steps  2 running  1 waiting  3 failed
        SANDBOX: no environment was changed
"#);
}

#[test]
fn no_frame_is_wider_or_higher_than_its_terminal() {
    let (journal, view) = wide();
    let (small, mut live) = scaling_up();
    live.line(&path("scale"), &"東京 a very long line ".repeat(100));
    for view in [&view, &small.view(&pre_event())] {
        for width in [20, 40, 59, 60, 80, 200] {
            for height in 0..40 {
                for color in [false, true] {
                    let frame = render(view, &live, &Style { color, ..style(&journal, width) }, height);
                    assert!(frame.lines().count() <= height, "{width} x {height}:\n{frame}");
                    let widest = frame.lines().map(text::columns).max().unwrap_or(0);
                    assert!(widest <= width, "{widest} in {width} x {height}:\n{frame}");
                }
            }
        }
    }
}

#[test]
fn failed_and_running_steps_share_what_room_there_is() {
    let mut journal = Journal::new();
    journal.add(Event::StepExpanded { step: path("warm_pool"), items: (0..60).map(|n| (format!("{n}"), Value::Null)).collect() });
    for n in 0..60 {
        let step = format!("warm_pool[{n}]");
        journal.started(&step, None);
        if n < 30 {
            journal.add(Event::StepFailed { step: path(&step), failure: Failure::permanent("no"), applied: false });
        }
    }
    let frame = render(&journal.view(&pre_event()), &Live::default(), &style(&journal, 80), 20);
    let count = |status: StepStatus| frame.lines().filter(|line| line.contains(&format!("  {status} "))).count();
    assert!(count(StepStatus::Failed) >= 4 && count(StepStatus::Running) >= 4, "{frame}");
}

#[test]
fn a_rollback_shows_what_holds_it() {
    let (mut journal, _) = scaling_up();
    journal.succeeded("scale", Value::Null).status(RunStatus::RollingBack, Some("warm_pool failed"));
    journal.add(Event::RevertStarted { step: path("scale") });
    let holds = crate::model::outcome::Followed::No { holds: "6 pods are still there".into() };
    journal.after(5).add(Event::RevertFollowed { step: path("scale"), followed: holds });
    assert_snapshot!(render(&journal.view(&pre_event()), &Live::default(), &style(&journal, 80), 24), @r#"
        pre-event  3fa9c1d2  rolling_back  14s  on sandbox  warm_pool failed

        ✔ budget       succeeded           1.0s
        ↶ scale        rolling_back        5.0s  6 pods are still there
        · warm_pool    pending
        · warm_caches  pending

        ░░░░░░░░░░░░░░░░░░░░  0/1 step taken back  1 rolling_back
        SANDBOX: no environment was changed
"#);
}

#[test]
fn a_run_of_which_nothing_is_known_yet_has_a_frame() {
    let style = Style::plain(Journal::new().now);
    assert_snapshot!(render(&RunView::new(run_id()), &Live::default(), &style, 24), @r#"
          3fa9c1d2  running


        ░░░░░░░░░░░░░░░░░░░░░░░░░  0/0 steps
"#);
}

#[test]
fn a_frame_of_many_steps_costs_as_much_as_one_of_few() {
    let cost = |steps: usize| {
        let mut journal = Journal::new();
        journal.add(Event::StepExpanded { step: path("warm_pool"), items: (0..steps).map(|n| (n.to_string(), Value::Null)).collect() });
        for n in 0..steps {
            let step = format!("warm_pool[{n}]");
            journal.started(&step, Some(scaling(2, 8)));
            if n % 3 == 0 {
                journal.add(Event::StepFailed { step: path(&step), failure: Failure::permanent("no"), applied: true });
            } else if n % 3 == 1 {
                journal.succeeded(&step, Value::Null);
            }
        }
        let view = journal.view(&pre_event());
        // The quickest of several: another process may take the processor meanwhile.
        let of_one = || {
            let begun = std::time::Instant::now();
            std::hint::black_box(render(&view, &Live::default(), &style(&journal, 80), 24));
            begun.elapsed().as_secs_f64()
        };
        (0..20).map(|_| of_one()).fold(f64::MAX, f64::min)
    };
    let (small, large) = (cost(500), cost(20_000));
    // Linear would be 40 times as much.
    assert!(large < small * 12.0, "{large} against {small} seconds");
}

#[test]
fn how_what_still_runs_is_ended_now_is_never_cut() {
    let (mut journal, live) = scaling_up();
    journal.status(RunStatus::Paused, Some("paused by ana@web-1"));
    let view = journal.view(&pre_event());
    let whole = "It still waits for scale; Ctrl-C again (or SIGTERM to process 4711) ends it now.";
    for width in [40, 60, 120] {
        let frame = render(&view, &live, &style(&journal, width), 24);
        let words = frame.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(whole), "{frame}");
        assert!(frame.lines().all(|line| text::columns(line) <= width), "{frame}");
    }
}
