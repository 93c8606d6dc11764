//! `k8s.job`: runs a Job to its end.
//!
//! Must not start a second Job for one doing of a step. Invariant: the Job's name and mark are made of the step's idempotency key, so that an attempt
//! that was interrupted finds its own Job again and goes on waiting for it.

mod by_hand;
mod input;
mod log;
mod state;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::input::{Input, NAME};
use self::log::tail;
use self::state::{End, JobState};
use super::api::Api;
use super::created::{Created, mark_of};
use super::errors::Asked;
use super::permissions::{Asking, On, text};
use super::swap_fields::Place;
use super::{cluster, namespace};
use crate::actions::support::{kept, output, schema, within};
use crate::environment::{Connections, KUBERNETES};
use crate::model::by_hand::word;
use crate::model::catalogue::ActionEntry;
use crate::model::change::ObjectRef;
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

/// The longest time between two readings.
const EVERY: Duration = Duration::from_secs(2);
/// How long the controller may take, beyond the Job's own time, to say that the time is over.
const GRACE: Duration = Duration::from_secs(60);

/// The action.
pub(super) struct Job {
    connections: Arc<Connections>,
}

/// What an intent keeps for later.
#[derive(Serialize, Deserialize)]
struct Noted {
    namespace: String,
    name: String,
    mark: String,
    manifest: Value,
    timeout: Span,
    ttl: Span,
}

impl Noted {
    fn of(intent: &Intent) -> Result<Self, Failure> {
        Self::deserialize(&intent.note).map_err(|error| Failure::permanent(format!("what this step recorded does not name a Job: {error}")))
    }

    fn created(&self) -> Created {
        let Self { namespace, name, mark, manifest, .. } = self;
        Created { place: place(namespace, name), manifest: manifest.clone(), made: Value::Null, mark: mark.clone() }
    }
}

fn place(namespace: &str, name: &str) -> Place {
    Place {
        path: format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}"),
        resource: "jobs".to_owned(),
        shown: format!("job/{name}"),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: None,
    }
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Run a Job to its end".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("job", "string", "the Job's name"),
            output("succeeded", "integer", "how many of its pods succeeded"),
            output("failed", "integer", "how many of its pods failed"),
            output("duration_ms", "integer", "from its start to its end, in milliseconds; null where the API does not say"),
            output("log_tail", "string", "the last 4 KB that its newest pod said; null where that could not be read"),
        ],
        effect: Effect::Once,
        effect_from_step: true,
        observes: true,
        reverts: false,
        needs_target: true,
        immediate: false,
        touches,
        by_hand: self::by_hand::lines,
        permissions,
    })
});

fn touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let text = |key: &str| inputs.get(key).and_then(Value::as_str);
    let object = || {
        let uid = target?.identity.get(KUBERNETES)?.as_str()?;
        let namespace = namespace(text("namespace"), target).ok()?;
        // Without the suffix: two runs do not run the same Job at once.
        Some(ObjectRef(format!("k8s:{uid}/{namespace}/job/{}", text("name")?)))
    };
    object().into_iter().collect()
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    const LOG: Extent = Extent::Without("what its pod said");
    let mut asking = Asking::of(inputs, target);
    let jobs = On::any("batch", "jobs");
    asking.reads("get", &jobs);
    asking.changes("create", &jobs);
    if inputs.get("from").is_some_and(|from| !from.is_null()) {
        let cron_jobs = On::any("batch", "cronjobs");
        let name = text(inputs, "from").and_then(|from| from.strip_prefix("cronjob/"));
        asking.reads("get", &name.map_or_else(|| cron_jobs.clone(), |name| cron_jobs.clone().named(name)));
    }
    asking.add(Purpose::Reads, LOG, "list", &On::pods());
    asking.add(Purpose::Reads, LOG, "get", &On::pods().part("log"));
    asking.needs()
}

impl Job {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    async fn outputs(&self, cx: &Context, api: &Api, noted: &Noted, state: &JobState) -> Value {
        let log = match tail(api, &noted.namespace, &noted.name).await {
            Ok(log) => Some(log),
            Err(why) => {
                cx.log.line(&format!("job/{}: {why}", noted.name));
                None
            }
        };
        let JobState { succeeded, failed, duration_ms, .. } = state;
        json!({ "job": noted.name, "succeeded": succeeded, "failed": failed, "duration_ms": duration_ms, "log_tail": log })
    }

    /// Waits for the end of a Job that is there.
    async fn wait(&self, cx: &Context, api: &Api, noted: &Noted) -> Applied {
        let limit = within(cx, noted.timeout.0 + GRACE);
        let (start, mut every, mut told) = (Instant::now(), Duration::from_millis(100), String::new());
        let unknown = |failure| Applied::Unknown { failure };
        loop {
            let seen = match place(&noted.namespace, &noted.name).read(api).await {
                Ok(Some(job)) => {
                    let state = JobState::of(&job);
                    if let Some(end) = &state.end {
                        return self.ended(cx, api, noted, &state, end).await;
                    }
                    cx.log.part(state.succeeded.min(state.completions), state.completions, "pods succeeded");
                    state.told()
                }
                Ok(None) => {
                    let message = format!("job/{} is gone from namespace {}: somebody else deleted it", noted.name, noted.namespace);
                    return unknown(Failure::permanent(message).hint("find out what it did before you let it run again"));
                }
                Err(failure) if failure.transient => failure.message,
                // It was created, and runs: that it cannot be watched does not undo that.
                Err(failure) => return unknown(failure),
            };
            if seen != told {
                cx.log.line(&format!("job/{}: {seen}", noted.name));
                told.clone_from(&seen);
            }
            if start.elapsed() + every >= limit {
                let message = format!("job/{} has not ended within {}: {seen}", noted.name, Span(limit));
                return unknown(Failure::transient(message).hint(format!("kubectl describe job/{} -n {}", noted.name, noted.namespace)));
            }
            tokio::time::sleep(every).await;
            every = (every * 2).min(EVERY);
        }
    }

    async fn ended(&self, cx: &Context, api: &Api, noted: &Noted, state: &JobState, end: &End) -> Applied {
        let outputs = self.outputs(cx, api, noted, state).await;
        for line in outputs["log_tail"].as_str().unwrap_or_default().lines() {
            cx.log.line(line);
        }
        match end {
            End::Succeeded => Applied::Applied { outputs },
            End::Failed(why) => {
                let failure = Failure::permanent(format!("job/{} in namespace {} failed: {why}", noted.name, noted.namespace))
                    .hint(format!("kubectl logs job/{} -n {}", noted.name, noted.namespace));
                Applied::FailedWithEffect { failure, outputs }
            }
        }
    }

    async fn template(&self, api: &Api, input: &Input, namespace: &str) -> Result<Value, Failure> {
        let Some(name) = input.cron_job() else { return Ok(Value::Null) };
        let asked = Asked { verb: "get", resource: "cronjobs", name, namespace };
        let object = match api.get(&format!("/apis/batch/v1/namespaces/{namespace}/cronjobs/{name}")).await {
            Ok(object) => object,
            Err(trouble) => return Err(trouble.failure(asked)),
        };
        let spec = object.pointer("/spec/jobTemplate/spec").cloned();
        spec.ok_or_else(|| Failure::permanent(format!("cronjob/{name} in namespace {namespace} has no `spec.jobTemplate.spec`")))
    }
}

#[async_trait]
impl Action for Job {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let api = Api::new(&self.connections, cx)?;
        let template = self.template(&api, &input, &namespace).await?;
        let name = input.job_name(&cx.idempotency_key);
        let job = place(&namespace, &name).read(&api).await?;
        let state = job.as_ref().map(JobState::of);
        Ok(json!({
            "job": name,
            "exists": job.is_some(),
            "active": state.as_ref().map_or(0, |state| state.active),
            "succeeded": state.as_ref().map_or(0, |state| state.succeeded),
            "failed": state.as_ref().map_or(0, |state| state.failed),
            "ended": state.is_some_and(|state| state.end.is_some()),
            "template": template,
        }))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        cluster(NAME, cx)?;
        let template = prior.get("template").filter(|template| !template.is_null());
        if input.cron_job().is_some() && template.is_none() {
            return Err(Failure::permanent("the CronJob was not observed"));
        }
        let mark = cx.idempotency_key.clone();
        let manifest = input.manifest(&namespace, &mark, template);
        let name = input.job_name(&mark);
        let by_hand = vec![
            format!("printf '%s' {} | kubectl create -n {namespace} -f -", word(&json!(manifest.to_string()))),
            format!("kubectl wait --for=condition=complete job/{name} -n {namespace} --timeout={}s", input.timeout().0.as_secs()),
            format!("kubectl logs job/{name} -n {namespace} --tail=100"),
        ];
        let reason = kept(rollback).unwrap_or_else(|| "what a Job did is not undone by deleting it".to_owned());
        let note = json!(Noted { namespace, name, mark, manifest, timeout: input.timeout(), ttl: input.ttl() });
        let intent = Intent { revert: Revert::Keep { reason }, note, by_hand, ..Intent::default() };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        let prepared = Noted::of(intent).and_then(|noted| Ok((noted, Api::new(&self.connections, cx)?)));
        let (noted, api) = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => return Applied::NotApplied { failure },
        };
        match noted.created().create(&api).await {
            Ok(_) => self.wait(cx, &api, &noted).await,
            Err(applied) => applied,
        }
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let Some(job) = place(&noted.namespace, &noted.name).read(&api).await? else {
            // A Job that has ended is deleted after its `ttl`; none can have been, where the run itself is younger.
            return Ok(match age(cx) {
                Some(age) if age < noted.ttl.0 => Verdict::Absent,
                _ => Verdict::CannotTell {
                    reason: format!(
                        "there is no job/{} in namespace {}: it was never there, or it has ended and was deleted after its ttl of {}",
                        noted.name, noted.namespace, noted.ttl
                    ),
                },
            });
        };
        if mark_of(&job) != Some(&noted.mark) {
            return Ok(Verdict::CannotTell { reason: format!("job/{} was created by somebody else", noted.name) });
        }
        let state = JobState::of(&job);
        Ok(match &state.end {
            Some(End::Succeeded) => Verdict::Present { outputs: self.outputs(cx, &api, &noted, &state).await },
            // Another try starts nothing: under the same key it finds this very Job, and tells how it failed.
            Some(End::Failed(_)) => Verdict::Absent,
            None => Verdict::InProgress { message: format!("job/{}: {}", noted.name, state.told()) },
        })
    }
}

/// How long ago the run was made, as its id says.
fn age(cx: &Context) -> Option<Duration> {
    let (seconds, nanos) = cx.run.0.get_timestamp()?.to_unix();
    let made = std::time::UNIX_EPOCH + Duration::new(seconds, nanos);
    std::time::SystemTime::now().duration_since(made).ok()
}

#[cfg(test)]
mod tests;
