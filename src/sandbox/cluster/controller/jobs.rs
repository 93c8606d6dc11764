//! Jobs: Pods that work and end.
//!
//! It must not start a Pod again (it makes a new one). Invariant: no Pod is made for a Job that is complete or has failed.

use serde_json::{Value, json};
use uuid::Uuid;

use super::owners::{dependents, free_name, leaves, lives, name, namespace};
use super::{Cluster, events, pods, quotas};
use crate::sandbox::cluster::deployment::former;
use crate::sandbox::cluster::pod::{self, Birth, Stage};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, text};

const SELF: &str = "job-controller";
/// How long a Pod works, in milliseconds at speed 1.
const WORKS_FOR: u64 = 2000;

pub(super) fn run(cluster: &mut Cluster<'_>) {
    for entry in cluster.list(Resource::Jobs) {
        if !leaves(&entry.object) {
            keep(cluster, &entry.object);
        }
    }
}

fn holds(job: &Value, kind: &str) -> bool {
    former(job, kind).is_some_and(|condition| condition["status"] == "True")
}

fn keep(cluster: &mut Cluster<'_>, job: &Value) {
    let spec = &job["spec"];
    let over = holds(job, "Complete") || holds(job, "Failed");
    let pods = dependents(cluster.store, job);
    let in_phase = |phase: &str| pods.iter().filter(|entry| text(&entry.object, "/status/phase") == phase).count();
    let (succeeded, failed) = (in_phase("Succeeded"), in_phase("Failed"));
    let count = |field: &str, default: u64| usize::try_from(spec[field].as_u64().unwrap_or(default)).unwrap_or(usize::MAX);
    let (completions, parallelism) = (count("completions", 1), count("parallelism", 1));
    let suspended = spec["suspend"] == true;
    let now = cluster.moment.stamp();
    let mut object = job.clone();
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    if !over && !suspended && !object["status"]["startTime"].is_string() {
        object["status"]["startTime"] = json!(now);
    }
    let late = deadline(cluster, job, &object, over || suspended);
    let end = if over {
        None
    } else if failed > count("backoffLimit", 6) {
        Some(("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"))
    } else if late {
        Some(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))
    } else if succeeded >= completions {
        Some(("Complete", "CompletionsReached", "Reached expected number of succeeded pods"))
    } else {
        None
    };
    if let Some((kind, reason, message)) = end {
        // First whether the Job was a success, then that it is over.
        let target = if kind == "Complete" { "SuccessCriteriaMet" } else { "FailureTarget" };
        let condition = |kind: &str| {
            let mut condition = json!({ "type": kind, "status": "True", "reason": reason, "message": message, "lastProbeTime": now });
            condition["lastTransitionTime"] = json!(now);
            condition
        };
        object["status"]["conditions"] = json!([condition(target), condition(kind)]);
        if kind == "Complete" {
            object["status"]["completionTime"] = json!(now);
            events::record(cluster, job, events::normal(SELF), "Completed", "Job completed");
        } else {
            events::record(cluster, job, events::warning(SELF), reason, message);
        }
    }
    let live: Vec<&Entry> = pods.iter().filter(|entry| lives(&entry.object)).collect();
    let wanted = if over || end.is_some() || suspended { 0 } else { parallelism.min(completions - succeeded) };
    for entry in live.iter().skip(wanted) {
        let moment = cluster.moment;
        cluster.touched = true;
        pods::terminate(cluster.store, entry, moment);
        events::record(cluster, job, events::normal(SELF), "SuccessfulDelete", &format!("Deleted pod: {}", name(&entry.object)));
    }
    for nth in live.len()..wanted {
        if !create(cluster, job, nth - live.len()) {
            break;
        }
    }
    settle(cluster, job, object, succeeded, failed);
}

/// Whether a Job has run for longer than it may.
fn deadline(cluster: &mut Cluster<'_>, job: &Value, started: &Value, over: bool) -> bool {
    let Some(seconds) = job["spec"]["activeDeadlineSeconds"].as_f64().filter(|_| !over) else { return false };
    let start = text(started, "/status/startTime").parse::<jiff::Timestamp>().ok();
    let start = start.and_then(|start| u64::try_from(start.as_millisecond()).ok()).unwrap_or(cluster.moment.now);
    let due = cluster.moment.from(start, seconds * 1000.0);
    cluster.at(due);
    due <= cluster.moment.now
}

fn create(cluster: &mut Cluster<'_>, job: &Value, nth: usize) -> bool {
    let stem = format!("{}-", name(job));
    let pod_name = free_name(cluster.store, Resource::Pods, namespace(job), &stem);
    let (uid, now) = (Uuid::now_v7().to_string(), cluster.moment.stamp());
    let job_uid = text(job, "/metadata/uid");
    let labels = [("batch.kubernetes.io/job-name", name(job)), ("job-name", name(job)), ("batch.kubernetes.io/controller-uid", job_uid)];
    let birth = Birth { owner: job, name: &pod_name, generate_name: &stem, labels: &labels, uid: &uid, now: &now };
    let pod = pod::create(&birth);
    if let Some(why) = quotas::forbids(cluster.store, &pod) {
        let known = cluster.store.list(Resource::Events, Some(namespace(job)));
        let said = known
            .into_iter()
            .any(|entry| text(&entry.object, "/involvedObject/uid") == job_uid && text(&entry.object, "/message").ends_with(&why));
        if !said {
            let message = format!("Error creating: pods \"{pod_name}\" is forbidden: {why}");
            events::record(cluster, job, events::warning(SELF), "FailedCreate", &message);
        }
        return false;
    }
    let life = pods::Life { works_for: Some(WORKS_FOR), ..pods::life(cluster.moment, nth) };
    cluster.put(Resource::Pods, pod, Some(life));
    events::record(cluster, job, events::normal(SELF), "SuccessfulCreate", &format!("Created pod: {pod_name}"));
    true
}

fn settle(cluster: &mut Cluster<'_>, job: &Value, mut object: Value, succeeded: usize, failed: usize) {
    let pods = dependents(cluster.store, job);
    let active = pods.iter().filter(|entry| lives(&entry.object)).count();
    let ready = pods.iter().filter(|entry| pod::stage(&entry.object) == Stage::Ready).count();
    let terminating = pods.iter().filter(|entry| leaves(&entry.object)).count();
    if let Some(status) = object["status"].as_object_mut() {
        for (field, count) in [("active", active), ("succeeded", succeeded), ("failed", failed)] {
            if count > 0 {
                status.insert(field.to_owned(), json!(count));
            } else {
                status.shift_remove(field);
            }
        }
        status.insert("ready".to_owned(), json!(ready));
        // Each Pod is counted at once.
        status.insert("uncountedTerminatedPods".to_owned(), json!({}));
        status.insert("terminating".to_owned(), json!(terminating));
    }
    cluster.update(Resource::Jobs, job, object);
}
