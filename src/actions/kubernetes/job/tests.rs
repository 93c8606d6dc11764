//! `k8s.job` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::created::MARK;
use crate::actions::kubernetes::stand_in::objects::{Fault, Objects};
use crate::actions::trial;

const JOBS: &str = "/apis/batch/v1/namespaces/production/jobs";
const JOB: &str = "/apis/batch/v1/namespaces/production/jobs/warm-0123456789";

fn inputs() -> Inputs {
    Inputs(json!({
        "name": "warm", "image": "tools:1", "command": ["warm"], "args": ["it's"], "env": { "EVENT": "e" }, "cpu": "250m",
        "service_account": "warmer", "timeout": "30s",
    }))
}

async fn stage() -> (Objects, Job, Context, Arc<trial::Kept>) {
    let objects = Objects::start(&[]).await;
    let action = Job::new(Arc::clone(&objects.connections));
    let (cx, log) = trial::context(Some(trial::target("uid-1")), &[("token", "hunter2")]);
    (objects, action, cx, log)
}

/// What the Job's controller would do: puts this status there once the Job is.
async fn controller(objects: &Objects, status: Value) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while objects.get(JOB).is_none() {
        assert!(Instant::now() < deadline, "the Job was never created");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    end(objects, status);
}

fn end(objects: &Objects, status: Value) {
    let mut job = objects.get(JOB).unwrap();
    job["status"] = status;
    objects.put(JOB, job);
}

fn complete() -> Value {
    json!({
        "succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:03Z",
        "conditions": [{ "type": "Complete", "status": "True" }],
    })
}

fn failed() -> Value {
    json!({ "failed": 1, "conditions": [{ "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "it has failed" }] })
}

fn not_applied(applied: Applied) -> Failure {
    match applied {
        Applied::NotApplied { failure } => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_ends_with_the_job_and_a_second_attempt_finds_the_same() {
    let (objects, action, cx, log) = stage().await;
    let intent = trial::planned(&action, &cx, &inputs()).await;
    assert_eq!(action.verify(&cx, &inputs(), &intent).await.unwrap(), Verdict::Absent);
    let inputs = inputs();
    let (applied, ()) = tokio::join!(action.apply(&cx, &inputs, &intent), controller(&objects, complete()));
    let Applied::Applied { outputs } = applied else { panic!("{applied:?}") };
    assert_eq!(outputs, json!({ "job": "warm-0123456789", "succeeded": 1, "failed": 0, "duration_ms": 3000, "log_tail": null }));
    let lines = log.lines.lock().unwrap().clone();
    assert!(lines.contains(&"job/warm-0123456789: it has no pod".to_owned()), "{lines:?}");
    let again = action.apply(&cx, &inputs, &intent).await;
    assert!(matches!(again, Applied::Applied { .. }), "{again:?}");
    assert_eq!(objects.writes(), 1, "one Job for one doing");
    assert!(matches!(action.verify(&cx, &inputs, &intent).await.unwrap(), Verdict::Present { .. }));
    assert!(matches!(intent.revert, Revert::Keep { .. }));
    let job = objects.get(JOB).unwrap();
    assert_eq!(job["metadata"]["annotations"][MARK], cx.idempotency_key);
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!((&container["args"], &container["env"]), (&json!(["it's"]), &json!([{ "name": "EVENT", "value": "e" }])));
    assert_eq!(container["resources"], json!({ "requests": { "cpu": "250m" }, "limits": { "cpu": "250m" } }));
    let spec = &job["spec"];
    assert_eq!(
        (&spec["backoffLimit"], &spec["activeDeadlineSeconds"], &spec["ttlSecondsAfterFinished"]),
        (&json!(0), &json!(30), &json!(3600))
    );
}

#[tokio::test]
async fn a_job_that_fails_fails_the_step_and_may_have_had_an_effect() {
    let (objects, action, cx, _) = stage().await;
    let intent = trial::planned(&action, &cx, &inputs()).await;
    let inputs = inputs();
    let (applied, ()) = tokio::join!(action.apply(&cx, &inputs, &intent), controller(&objects, failed()));
    let Applied::FailedWithEffect { failure, outputs } = applied else { panic!("{applied:?}") };
    assert_eq!(failure.message, "job/warm-0123456789 in namespace production failed: BackoffLimitExceeded: it has failed");
    assert_eq!((failure.hint.unwrap().as_str(), &outputs["failed"]), ("kubectl logs job/warm-0123456789 -n production", &json!(1)));
    // Verified after a death in between: another try finds the same end.
    assert_eq!(action.verify(&cx, &inputs, &intent).await.unwrap(), Verdict::Absent);
    assert!(matches!(action.apply(&cx, &inputs, &intent).await, Applied::FailedWithEffect { .. }));
    assert_eq!(objects.writes(), 1);
}

#[tokio::test]
async fn a_cut_is_resolved_by_the_job_itself() {
    let (objects, action, cx, _) = stage().await;
    let intent = trial::planned(&action, &cx, &inputs()).await;
    objects.fault(Fault::CutBefore);
    assert!(matches!(action.apply(&cx, &inputs(), &intent).await, Applied::Unknown { .. }));
    assert_eq!(action.verify(&cx, &inputs(), &intent).await.unwrap(), Verdict::Absent);
    objects.fault(Fault::CutAfter);
    assert!(matches!(action.apply(&cx, &inputs(), &intent).await, Applied::Unknown { .. }));
    let verdict = action.verify(&cx, &inputs(), &intent).await.unwrap();
    let seen = "job/warm-0123456789: 0 of 1 pods have succeeded, 0 are active, 0 have failed";
    assert_eq!(verdict, Verdict::InProgress { message: seen.to_owned() });
    end(&objects, complete());
    assert!(matches!(action.verify(&cx, &inputs(), &intent).await.unwrap(), Verdict::Present { .. }));
}

#[tokio::test]
async fn a_job_that_may_have_been_deleted_after_its_end_is_not_run_again_by_itself() {
    let (_objects, action, mut cx, _) = stage().await;
    let intent = trial::planned(&action, &cx, &inputs()).await;
    let long_ago = uuid::Timestamp::from_unix(uuid::NoContext, 1_700_000_000, 0);
    cx.run = crate::model::id::RunId(uuid::Uuid::new_v7(long_ago));
    let verdict = action.verify(&cx, &inputs(), &intent).await.unwrap();
    assert!(matches!(&verdict, Verdict::CannotTell { reason } if reason.contains("deleted after its ttl of 1h")), "{verdict:?}");
}

#[tokio::test]
async fn one_that_does_not_end_or_is_deleted_is_unknown() {
    let (objects, action, mut cx, log) = stage().await;
    let intent = trial::planned(&action, &cx, &inputs()).await;
    cx.timeout = Some(Duration::from_millis(400));
    let Applied::Unknown { failure } = action.apply(&cx, &inputs(), &intent).await else { panic!() };
    assert!(failure.message.starts_with("job/warm-0123456789 has not ended within 400ms: 0 of 1 pods"), "{failure}");
    assert!(log.lines.lock().unwrap().iter().any(|line| line == "0 of 1 pods succeeded"));
    cx.timeout = None;
    let inputs = inputs();
    let delete = async {
        let deadline = Instant::now() + Duration::from_secs(5);
        while log.lines.lock().unwrap().iter().filter(|line| line.ends_with("pods succeeded")).count() < 4 {
            assert!(Instant::now() < deadline, "it was never looked at");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        objects.held.lock().unwrap().objects.remove(JOB);
    };
    let (applied, ()) = tokio::join!(action.apply(&cx, &inputs, &intent), delete);
    let Applied::Unknown { failure } = applied else { panic!("{applied:?}") };
    assert!(failure.message.contains("is gone from namespace production: somebody else deleted it"), "{failure}");
}

#[tokio::test]
async fn what_somebody_else_created_and_what_is_refused() {
    let (objects, action, cx, _) = stage().await;
    let intent = trial::planned(&action, &cx, &inputs()).await;
    for (status, reason, says) in
        [(403, "Forbidden", "create jobs `warm-0123456789` in namespace production: forbidden (403)"), (422, "Invalid", "(422): as told")]
    {
        objects.fault(Fault::Refuse(status, reason, "as told"));
        let failure = not_applied(action.apply(&cx, &inputs(), &intent).await);
        assert!(failure.message.contains(says) && !failure.transient, "{failure}");
    }
    objects.put(JOB, json!({ "metadata": { "name": "warm-0123456789" }, "status": complete() }));
    assert!(not_applied(action.apply(&cx, &inputs(), &intent).await).message.contains("somebody else created it meanwhile"));
    assert!(matches!(action.verify(&cx, &inputs(), &intent).await.unwrap(), Verdict::CannotTell { .. }));
    assert_eq!(objects.writes(), 0, "{JOBS}");
}

#[tokio::test]
async fn the_job_of_a_cron_job_is_run_as_it_stands_there() {
    let (objects, action, cx, _) = stage().await;
    let inputs = Inputs(json!({ "name": "warm", "from": "cronjob/nightly", "timeout": "30s" }));
    let missing = action.observe(&cx, &inputs).await.unwrap_err();
    assert!(missing.message.starts_with("get cronjobs `nightly` in namespace production: not found"), "{missing}");
    let pod = json!({ "spec": { "restartPolicy": "OnFailure", "containers": [{ "name": "own", "image": "own:7" }] } });
    let spec = json!({ "schedule": "0 3 * * *", "jobTemplate": { "spec": { "template": pod, "backoffLimit": 6 } } });
    objects.put("/apis/batch/v1/namespaces/production/cronjobs/nightly", json!({ "metadata": { "name": "nightly" }, "spec": spec }));
    let intent = trial::planned(&action, &cx, &inputs).await;
    let (applied, ()) = tokio::join!(action.apply(&cx, &inputs, &intent), controller(&objects, complete()));
    assert!(matches!(applied, Applied::Applied { .. }), "{applied:?}");
    let job = objects.get(JOB).unwrap();
    assert_eq!((&job["spec"]["template"], &job["spec"]["backoffLimit"]), (&pod, &json!(0)));
}

#[tokio::test]
async fn the_end_of_the_log_is_an_output_without_secrets() {
    let server = wiremock::MockServer::start().await;
    let answer = |path: &'static str, body: wiremock::ResponseTemplate| {
        wiremock::Mock::given(wiremock::matchers::path(path)).respond_with(body).mount(&server)
    };
    let pod = |name: &str, at: &str| json!({ "metadata": { "name": name, "creationTimestamp": at } });
    let pods = json!({ "items": [pod("old", "2026-01-01T00:00:00Z"), pod("new", "2026-01-01T00:01:00Z")] });
    answer("/api/v1/namespaces/production/pods", wiremock::ResponseTemplate::new(200).set_body_json(pods)).await;
    let said = format!("{}\nthe token is hunter2\n", "x".repeat(5000));
    answer("/api/v1/namespaces/production/pods/new/log", wiremock::ResponseTemplate::new(200).set_body_string(said)).await;
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[("token", "hunter2")]);
    let access = crate::environment::KubernetesAccess::Token { url: server.uri(), token: "a-token".to_owned().into() };
    let api = Api::new(&Arc::new(Connections::new().with_kubernetes(access)), &cx).unwrap();
    let log = tail(&api, "production", "warm-0123456789").await.unwrap();
    assert_eq!(log.len(), 4096);
    assert!(log.contains("the token is ") && !log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn inputs_are_checked_before_anything_is_sent() {
    let (objects, action, cx, _) = stage().await;
    for (inputs, says) in [
        (json!({ "name": "warm" }), "needs an image"),
        (json!({ "name": "warm", "image": "a", "from": "cronjob/x" }), "not both"),
        (json!({ "name": "warm", "from": "cronjob/x", "args": ["a"] }), "runs the CronJob's Job as it stands there"),
        (json!({ "name": "warm", "from": "job/x" }), "`job/x` names no CronJob"),
        (json!({ "name": "Warm", "image": "a" }), "`Warm` is not a Job's name"),
        (json!({ "name": "w".repeat(53), "image": "a" }), "is not a Job's name"),
        (json!({ "name": "warm", "image": "a", "ttl": "5s" }), "a `ttl` of 5s is too short"),
        (json!({ "name": "warm", "image": "a", "backoff_limit": -1 }), "backoff_limit cannot be -1"),
    ] {
        let failure = action.observe(&cx, &Inputs(inputs)).await.unwrap_err();
        assert!(failure.message.contains(says) && failure.hint.is_some(), "{failure}");
    }
    assert_eq!(objects.writes(), 0);
    assert_eq!(touches(&inputs().0, cx.target.as_ref()), [ObjectRef("k8s:uid-1/production/job/warm".to_owned())]);
}

#[test]
fn the_lines_for_hands_create_wait_and_show() {
    let target = trial::target("u");
    let lines = super::by_hand::lines(&inputs().0, Some(&target));
    assert!(
        lines.act[0].starts_with(r#"JOB_WARM=$(printf '%s' '{"apiVersion":"batch/v1","kind":"Job","metadata":{"generateName":"warm-"}"#),
        "{}",
        lines.act[0]
    );
    assert_eq!(lines.act[1], r#"kubectl wait --for=condition=complete "${JOB_WARM}" -n production --timeout=30s"#);
    let lines = super::by_hand::lines(&json!({ "name": "warm", "from": "cronjob/nightly" }), Some(&target));
    assert_eq!(lines.act[0], "JOB_WARM=$(kubectl create job warm-by-hand --from=cronjob/nightly -n production -o name)");
}
