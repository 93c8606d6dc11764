//! `k8s.job`: one doing is one Job, however often it is asked for.

use runsheet::model::outcome::{Applied, Verdict};
use serde_json::{Value, json};

use crate::support::{Bench, Cut, Trouble, on_both};

const JOBS: &str = "/apis/batch/v1/namespaces/production/jobs";

fn inputs(more: Value) -> Value {
    let mut inputs = json!({ "name": "warm", "image": "registry.example/tools:1", "command": ["warm"], "timeout": "10m" });
    inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    inputs
}

async fn it_runs_to_its_end_and_a_second_attempt_finds_the_same_job(bench: Bench) {
    let step = bench.step("k8s.job", inputs(json!({})));
    let intent = step.plan().await.intent;
    let Applied::Applied { outputs } = step.apply(&intent).await else { panic!("{}", bench.log.text()) };
    assert_eq!((&outputs["succeeded"], &outputs["failed"]), (&json!(1), &json!(0)), "{outputs}");
    assert!(outputs["log_tail"].as_str().is_some_and(|tail| !tail.is_empty()), "{outputs}\n{}", bench.log.text());
    let changes = bench.cluster.changes();
    let Applied::Applied { outputs: again } = step.apply(&intent).await else { panic!("{}", bench.log.text()) };
    assert_eq!((bench.cluster.changes(), &again), (changes, &outputs));
    assert_eq!(step.verify(&intent).await, Verdict::Present { outputs });
    assert_eq!(bench.list(JOBS).await.len(), 1);
    // Another doing is another Job.
    let other = step.anew();
    let intent = other.plan().await.intent;
    assert!(matches!(other.apply(&intent).await, Applied::Applied { .. }));
    assert_eq!(bench.list(JOBS).await.len(), 2);
}

async fn one_that_was_cut_is_found_again(bench: Bench) {
    let step = bench.step("k8s.job", inputs(json!({})));
    let intent = step.plan().await.intent;
    bench.cluster.cut(&format!("POST {JOBS}"), Cut::Before).await;
    let applied = step.apply(&intent).await;
    assert!(matches!(applied, Applied::Unknown { .. }), "{applied:?}");
    assert_eq!(step.verify(&intent).await, Verdict::Absent);
    bench.cluster.cut(&format!("POST {JOBS}"), Cut::After).await;
    let applied = step.apply(&intent).await;
    assert!(matches!(applied, Applied::Unknown { .. }), "{applied:?}");
    let verdict = step.verify(&intent).await;
    assert!(matches!(verdict, Verdict::InProgress { .. } | Verdict::Present { .. }), "{verdict:?}");
    // A second attempt goes on waiting for it.
    let applied = step.apply(&intent).await;
    assert!(matches!(applied, Applied::Applied { .. }), "{applied:?}");
    assert_eq!(bench.list(JOBS).await.len(), 1);
}

async fn one_that_fails_fails_the_step_and_says_what_it_said(bench: Bench) {
    // The real cluster's Jobs fail by their image; the sandbox's, since its pods crash.
    let step = bench.step("k8s.job", inputs(json!({ "image": "registry.example/fail:1" })));
    let intent = step.plan().await.intent;
    bench.cluster.suffer(Trouble::Crash(intent.note["name"].as_str().unwrap(), 10)).await;
    let applied = step.apply(&intent).await;
    let Applied::FailedWithEffect { failure, outputs } = applied else { panic!("{applied:?}") };
    assert!(failure.message.contains("BackoffLimitExceeded"), "{failure}");
    assert_eq!(outputs["failed"], 1, "{outputs}");
    // It did not happen as wanted: asking again says the same, and starts nothing.
    assert!(!matches!(step.verify(&intent).await, Verdict::Present { .. }));
    assert_eq!(bench.list(JOBS).await.len(), 1);
}

async fn one_that_takes_too_long_is_ended_and_what_held_it_is_told(bench: Bench) {
    let step = bench.step("k8s.job", inputs(json!({ "cpu": "1000", "timeout": "1s" })));
    let intent = step.plan().await.intent;
    let applied = step.apply(&intent).await;
    let Applied::FailedWithEffect { failure, .. } = applied else { panic!("{applied:?}") };
    assert!(failure.message.contains("DeadlineExceeded"), "{failure}");
}

on_both!(
    it_runs_to_its_end_and_a_second_attempt_finds_the_same_job,
    one_that_was_cut_is_found_again,
    one_that_fails_fails_the_step_and_says_what_it_said,
    one_that_takes_too_long_is_ended_and_what_held_it_is_told
);
