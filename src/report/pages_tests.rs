//! The pages on a run: its summary and its status.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::fixture::{Journal, path, pre_event, scaling};
use super::status::status;
use super::style::Style;
use super::summary::summary;
use crate::model::change::Standing;
use crate::model::event::{Event, SkipReason};
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::Failure;
use crate::model::status::RunStatus;

fn finished() -> Journal {
    let keep = Intent { revert: Revert::Keep { reason: "a request cannot be taken back".into() }, ..Intent::default() };
    let mut journal = Journal::new();
    journal.scaled().started("warm_pool", Some(Intent::default())).after(2).succeeded("warm_pool", Value::Null);
    journal.started("warm_caches", Some(keep)).after(1).succeeded("warm_caches", Value::Null);
    journal.add(Event::RunOutputs { outputs: json!({"ready": 8}).as_object().cloned().unwrap() });
    journal.status(RunStatus::Succeeded, None);
    journal
}

fn stuck() -> Journal {
    let mut journal = Journal::new();
    journal.scaled();
    let failure = Failure::permanent("exit code 3").hint("read `runsheet logs 3fa9c1d2 warm_pool`");
    journal.started("warm_pool", None).add(Event::StepFailed { step: path("warm_pool"), failure, applied: false });
    journal.add(Event::StepSkipped { step: path("warm_caches"), reason: SkipReason::RunEnded });
    journal.status(RunStatus::RollingBack, Some("warm_pool failed"));
    journal.add(Event::RevertStarted { step: path("scale") });
    journal.add(Event::RevertIntended { step: path("scale"), swaps: vec![], standings: vec![Standing::Foreign { live: json!(5) }] });
    let failure = Failure::permanent("replicas is 5, and the run had set 8: somebody else changed it").hint("find out who set 5");
    journal.add(Event::StepRollbackFailed { step: path("scale"), failure });
    journal.status(RunStatus::Stuck, Some("scale could not be taken back"));
    journal.after(60);
    journal
}

#[test]
fn a_run_ends_with_what_was_done_and_what_is_owed() {
    let journal = finished();
    assert_snapshot!(summary(&journal.view(&pre_event()), &Style::plain(journal.now)), @r#"
        pre-event 3fa9c1d2 succeeded after 15s

        ✔ budget       succeeded           1.0s
        ✔ scale        succeeded            11s  deployment/ticket-service: replicas 2 → 8
        ✔ warm_pool    succeeded           2.0s
        ✔ warm_caches  succeeded           1.0s

        Outputs
          ready: 8

        Kept
          warm_caches: a request cannot be taken back

        Owed
          deployment/ticket-service: replicas 8 → 2
          give it back: runsheet rollback 3fa9c1d2

        SANDBOX: no environment was changed; 1 command ran on this machine
"#);
}

#[test]
fn a_paused_run_ends_with_its_failure_and_the_next_commands() {
    let mut journal = Journal::new();
    journal.scaled();
    let failure = Failure::permanent("exit code 3").hint("read `runsheet logs 3fa9c1d2 warm_pool`");
    journal.started("warm_pool", None).after(3).add(Event::StepFailed { step: path("warm_pool"), failure, applied: false });
    journal.status(RunStatus::Paused, Some("warm_pool failed"));
    assert_snapshot!(summary(&journal.view(&pre_event()), &Style::plain(journal.now)), @r#"
        pre-event 3fa9c1d2 is paused since 19:00:15: warm_pool failed

        ✔ budget       succeeded           1.0s
        ✔ scale        succeeded            11s  deployment/ticket-service: replicas 2 → 8
        ✘ warm_pool    failed              3.0s  exit code 3
        · warm_caches  pending

        Failed
          warm_pool: exit code 3
            hint: read `runsheet logs 3fa9c1d2 warm_pool`

        Owed
          deployment/ticket-service: replicas 8 → 2
          give it back: runsheet rollback 3fa9c1d2

        Next
          runsheet resume 3fa9c1d2                       try it again and go on
          runsheet skip 3fa9c1d2 warm_pool --reason '…'  go on without it
          runsheet rollback 3fa9c1d2                     put back what was there before

        SANDBOX: no environment was changed
"#);
}

#[test]
fn the_status_of_a_stuck_run_says_which_why_and_what_to_type() {
    let journal = stuck();
    let mut view = journal.view(&pre_event());
    view.set_owner_alive(false);
    assert_snapshot!(status(&view, &Style { width: 80, ..Style::plain(journal.now) }), @r#"
        pre-event 3fa9c1d2 is stuck since 19:00:12: scale could not be taken back

        What happened
          scale could not be taken back: replicas is 5, and the run had set 8: somebody else changed it
            hint: find out who set 5

        What it is about
          object                     field     was  set to  wanted  last seen
          deployment/ticket-service  replicas  2    8       2       5 (by somebody else)

        Next
          runsheet retry 3fa9c1d2 scale                   try again to put it back, once what holds it is gone
          runsheet mark-done 3fa9c1d2 scale --reason '…'  you have put it back by hand
          runsheet skip 3fa9c1d2 scale --reason '…'       leave it as it is

        To undo it by hand
          # first `runsheet sandbox kubeconfig > sandbox.kubeconfig`, then kubectl with --kubeconfig=sandbox.kubeconfig
          kubectl -n production scale deployment/ticket-service --current-replicas=8 --replicas=2

        Run
          params    level=high
          target    sandbox
          by        ana@web-1
          started   19:00:00, 1m 12s ago
          updated   19:00:12, 1m 00s ago
          owner     nobody now; the last was process 4711 on web-1, started by ana@web-1
          steps     4 of 4 ended

        Steps
          ✔ budget       succeeded           1.0s
          ✘ scale        rollback_failed     0.0s  replicas is 5, and the run had set 8…
          ✘ warm_pool    failed              0.0s  exit code 3
          – warm_caches  skipped                   the run ended before its turn

        Owed
          deployment/ticket-service: replicas 8 → 2
          give it back: runsheet rollback 3fa9c1d2

        SANDBOX: no environment was changed
"#);
}

#[test]
fn the_status_of_a_run_that_goes_on() {
    let mut journal = Journal::new();
    journal.status(RunStatus::Running, None).started("budget", Some(Intent::default())).after(1).succeeded("budget", Value::Null);
    journal.started("scale", Some(scaling(2, 8))).after(3);
    let mut view = journal.view(&pre_event());
    view.set_owner_alive(true);
    assert_snapshot!(status(&view, &Style { width: 80, ..Style::plain(journal.now) }), @r#"
        pre-event 3fa9c1d2 is running since 19:00:00

        Next
          runsheet logs 3fa9c1d2    read what its steps print
          runsheet cancel 3fa9c1d2  end it, keep what was done

        Run
          params    level=high
          target    sandbox
          by        ana@web-1
          started   19:00:00, 4.0s ago
          updated   19:00:01, 3.0s ago
          owner     process 4711 on web-1, started by ana@web-1
          steps     1 of 4 ended

        Steps
          ✔ budget       succeeded           1.0s
          ● scale        running             3.0s  deployment/ticket-service: replicas 2 → 8
          · warm_pool    pending
          · warm_caches  pending

        Owed
          deployment/ticket-service: replicas 8 → 2 (if it was applied)
          give it back: runsheet rollback 3fa9c1d2

        SANDBOX: no environment was changed
"#);
}

#[test]
fn colour_changes_no_word_of_a_page() {
    for journal in [finished(), stuck()] {
        let (view, style) = (journal.view(&pre_event()), Style::plain(journal.now));
        let colored = Style { color: true, ..style.clone() };
        assert_ne!(status(&view, &colored), status(&view, &style));
        assert_eq!(console::strip_ansi_codes(&status(&view, &colored)), status(&view, &style));
        assert_eq!(console::strip_ansi_codes(&summary(&view, &colored)), summary(&view, &style));
    }
}

#[test]
fn a_page_on_a_hundred_thousand_failures_has_an_end() {
    let mut journal = Journal::new();
    journal.add(Event::StepExpanded { step: path("warm_pool"), items: (0..100_000).map(|n| (n.to_string(), Value::Null)).collect() });
    for n in 0..100_000 {
        let step = path("warm_pool").instance(&n.to_string());
        journal.add(Event::StepFailed { step, failure: Failure::permanent("no"), applied: false });
    }
    journal.status(RunStatus::Paused, None);
    let (view, style) = (journal.view(&pre_event()), Style::plain(journal.now));
    let begun = std::time::Instant::now();
    assert!(status(&view, &style).lines().count() < 120);
    assert!(summary(&view, &style).lines().count() < 120);
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn an_undo_by_hand_says_on_which_cluster() {
    let mut journal = stuck();
    let Event::RunCreated(spec) = &mut journal.records[0].event else { panic!("a run begins with its creation") };
    let target = spec.target.as_mut().unwrap();
    target.environment = "staging".to_owned();
    target.identity.insert("kubernetes".to_owned(), json!("4f0c"));
    let page = status(&journal.view(&pre_event()), &Style { width: 80, ..Style::plain(journal.now) });
    let section = page.split("To undo it by hand").nth(1).unwrap();
    let first = section.trim_start().lines().next().unwrap();
    assert!(
        first.starts_with("# only where kubectl get namespace kube-system") && first.ends_with("prints 4f0c: that is staging"),
        "{section}"
    );
}

/// `pool_size` (DB_POOL_MAX 20 → 18), then `scale`, whose value was put back while the pods are still there.
fn not_followed() -> Journal {
    let mut pools = scaling(20, 18);
    pools.changes[0].field = "spec.template.spec.containers[a].env[DB_POOL_MAX]".to_owned();
    pools.changes[0].label = "DB_POOL_MAX".to_owned();
    pools.undo_by_hand = vec!["kubectl set env deployment/ticket-service DB_POOL_MAX=20".to_owned()];
    let mut journal = Journal::new();
    journal.started("budget", Some(pools)).succeeded("budget", Value::Null);
    journal.started("scale", Some(scaling(2, 8))).succeeded("scale", Value::Null);
    journal
}

fn undo_section(journal: &Journal) -> Vec<String> {
    let page = status(&journal.view(&pre_event()), &Style { width: 200, ..Style::plain(journal.now) });
    let section = page.split("To undo it by hand\n").nth(1).unwrap_or_else(|| panic!("{page}"));
    section.lines().take_while(|line| !line.is_empty()).skip(1).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn an_undo_by_hand_that_must_wait_says_for_what() {
    let mut journal = not_followed();
    journal.status(RunStatus::RollingBack, None).add(Event::RevertStarted { step: path("scale") });
    journal.add(Event::RevertIntended { step: path("scale"), swaps: vec![], standings: vec![Standing::AlreadyPrior] });
    journal.add(Event::StepKept { step: path("scale"), reason: "2 pods are still there".into(), blocks: true });
    journal.status(RunStatus::Stuck, None);
    assert_eq!(
        undo_section(&journal),
        [
            "# budget, only once scale is put back and the platform has followed (2 pods are still there):",
            "kubectl set env deployment/ticket-service DB_POOL_MAX=20",
        ]
    );
}

#[test]
fn undos_by_hand_stand_in_the_order_of_a_rollback() {
    let mut journal = not_followed();
    journal.status(RunStatus::RollingBack, None).add(Event::RevertStarted { step: path("scale") });
    journal.add(Event::RevertIntended { step: path("scale"), swaps: vec![], standings: vec![Standing::Foreign { live: json!(5) }] });
    journal.add(Event::StepRollbackFailed { step: path("scale"), failure: Failure::permanent("replicas is 5") });
    journal.status(RunStatus::Stuck, None);
    assert_eq!(
        undo_section(&journal),
        [
            "kubectl -n production scale deployment/ticket-service --current-replicas=8 --replicas=2",
            "# budget, only once scale is put back and the platform has followed (replicas is 5):",
            "kubectl set env deployment/ticket-service DB_POOL_MAX=20",
        ]
    );
    let undos = super::status_json(&journal.view(&pre_event()))["undo"].clone();
    assert_eq!((&undos[0]["step"], &undos[1]["only_once"]), (&json!("scale"), &json!(["scale"])), "{undos:#}");
}
