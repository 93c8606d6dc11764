//! `k8s.exec`: a command in a container, and what is known of its end.

use runsheet::model::outcome::{Applied, Verdict};
use runsheet::model::step::Effect;
use serde_json::{Value, json};

use crate::support::{Bench, Cut, Step, on_both};

/// A step that runs this in a ready pod of the ticket service.
async fn step(bench: &Bench, argv: Value, more: Value) -> Step {
    let pods = bench.step("k8s.pods", json!({ "workload": "deployment/ticket-service" }));
    pods.until_outputs("a pod is ready", |outputs| outputs["ready"] != 0).await;
    let mut inputs = json!({ "workload": "deployment/ticket-service", "argv": argv });
    for (key, value) in more.as_object().expect("a map") {
        inputs[key] = value.clone();
    }
    bench.step("k8s.exec", inputs)
}

async fn a_command_tells_what_it_printed_and_how_it_ended(bench: Bench) {
    let outputs = step(&bench, json!(["printenv", "DB_POOL_MAX"]), json!({})).await.outputs().await;
    assert_eq!((&outputs["exit_code"], &outputs["stdout"], &outputs["stderr"]), (&json!(0), &json!("20"), &json!("")), "{outputs}");
    assert!(outputs["pod"].as_str().expect("a pod").starts_with("ticket-service-"), "{outputs}");
    assert!(bench.log.text().lines().any(|line| line == "20"), "{}", bench.log.text());
    let both = step(&bench, json!(["sh", "-c", "echo out; echo err >&2"]), json!({})).await.outputs().await;
    assert_eq!((&both["exit_code"], &both["stdout"], &both["stderr"]), (&json!(0), &json!("out"), &json!("err")), "{both}");
}

/// Only on the sandbox: kwok, which plays the nodes of the real control plane, does not tell a program that its input has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_its_input() {
    let bench = Bench::sandbox().await;
    let echoed = step(&bench, json!(["cat"]), json!({ "stdin": "two\nlines\n" })).await.outputs().await;
    assert_eq!((&echoed["stdout"], &echoed["truncated"]), (&json!("two\nlines"), &json!(false)), "{echoed}");
}

/// Only on the sandbox: kwok does not pass exit codes on as kubelets do.
#[tokio::test(flavor = "multi_thread")]
async fn another_exit_code_failed_and_may_have_had_an_effect() {
    let bench = Bench::sandbox().await;
    let wanted = step(&bench, json!(["sh", "-c", "exit 3"]), json!({ "success_codes": [3] })).await.outputs().await;
    assert_eq!(wanted["exit_code"], 3);
    let step = step(&bench, json!(["sh", "-c", "echo it is broken >&2; exit 7"]), json!({})).await;
    let intent = step.plan().await.intent;
    let applied = step.apply(&intent).await;
    let Applied::FailedWithEffect { failure, outputs } = &applied else { panic!("{applied:?}") };
    assert!(failure.message.contains("exited with 7: it is broken"), "{failure}");
    assert_eq!(outputs["exit_code"], 7);
    assert!(matches!(step.verify(&intent).await, Verdict::CannotTell { .. }));
}

async fn what_did_not_start_was_not_applied(bench: Bench) {
    let missing = step(&bench, json!(["no-such-program"]), json!({})).await;
    let applied = missing.apply(&missing.plan().await.intent).await;
    let Applied::NotApplied { failure } = &applied else { panic!("{applied:?}") };
    assert!(failure.message.contains("did not start in pod ticket-service-") && !failure.transient, "{failure}");
    for (inputs, says) in [
        (json!({ "pod": "nobody", "argv": ["true"] }), "not found (404)"),
        (json!({ "workload": "deployment/ticket-service", "container": "nobody", "argv": ["true"] }), "container nobody is not valid"),
        (json!({ "selector": "app=nobody", "argv": ["true"] }), "no pod of app=nobody"),
    ] {
        let step = bench.step("k8s.exec", inputs);
        let applied = step.apply(&step.plan().await.intent).await;
        let Applied::NotApplied { failure } = &applied else { panic!("{says}: {applied:?}") };
        assert!(failure.message.contains(says), "`{says}` is not in `{failure}`");
    }
    let step = bench.step_as("viewer", "k8s.exec", json!({ "workload": "deployment/ticket-service", "argv": ["true"] }));
    let applied = step.apply(&step.plan().await.intent).await;
    let Applied::NotApplied { failure } = &applied else { panic!("{applied:?}") };
    assert!(failure.message.contains("forbidden (403)"), "{failure}");
    assert!(failure.hint.as_ref().is_some_and(|hint| hint.contains("`create` on `pods/exec`")), "{failure:?}");
}

async fn a_command_whose_end_nobody_saw_is_unknown_unless_it_only_reads(bench: Bench) {
    let mut step = step(&bench, json!(["printenv", "DB_POOL_MAX"]), json!({})).await;
    let intent = step.plan().await.intent;
    bench.cluster.cut("GET */exec", Cut::After).await;
    let applied = step.apply(&intent).await;
    let Applied::Unknown { failure } = &applied else { panic!("{applied:?}") };
    assert!(failure.message.contains("the connection was cut before it was known how it ended"), "{failure}");
    bench.cluster.refuse("GET */exec", 502).await;
    assert!(matches!(step.apply(&intent).await, Applied::Unknown { .. }), "a server that failed may have passed it on");
    step.cx.effect = Effect::Read;
    bench.cluster.cut("GET */exec", Cut::After).await;
    assert!(matches!(step.apply(&intent).await, Applied::NotApplied { .. }), "what only reads has failed");
    assert_eq!(step.verify(&intent).await, Verdict::Absent);
    assert_eq!(step.observe().await.expect("a reading")["stdout"], "20");
}

on_both!(
    a_command_tells_what_it_printed_and_how_it_ended,
    what_did_not_start_was_not_applied,
    a_command_whose_end_nobody_saw_is_unknown_unless_it_only_reads,
);
