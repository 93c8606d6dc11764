//! Carries tasks out: each one is an async task of its own, and gives one answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use futures::FutureExt;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::answer::redacted;
use super::crash;
use super::dispatcher::Message;
use super::held_locks::HeldLocks;
use super::large_outputs;
use super::locking::under_locks;
use super::planning::as_given;
use super::step_log::{StepLog, step_folder};
use crate::environment::{Redactor, SecretValues};
use crate::machine::decide::{Answer, Input};
use crate::machine::standing::standing_of;
use crate::machine::task::{Task, What};
use crate::machine::{idempotency_key, rollback_key};
use crate::model::change::{ObjectRef, Standing};
use crate::model::id::{RunId, StepPath};
use crate::model::inputs::ResolvedInputs;
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::Effect;
use crate::ports::action::{Action, Actions, Context, Inputs};
use crate::ports::clock::Clock;
use crate::ports::journal::Journal;
use crate::ports::observer::Observer;

/// How long a read may take where the step says nothing.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(30);
/// How long an attempt may take where the step says nothing.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long an attempt in progress is asked about.
const VERIFY_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How often a read that failed is made again where an answer is needed.
const READ_TRIES: u32 = 5;
/// How often a lock that somebody else holds is tried, and the platform looked at.
pub(super) const POLL: Duration = Duration::from_millis(500);

/// Everything that tasks need.
pub(super) struct Executor {
    pub run: RunId,
    pub actions: Actions,
    pub target: Option<TargetSpec>,
    pub secrets: SecretValues,
    pub redactor: Redactor,
    pub observer: Arc<dyn Observer>,
    pub clock: Arc<dyn Clock>,
    pub journal: Arc<dyn Journal>,
    pub locks: Arc<HeldLocks>,
    /// The run's folder for files.
    pub files: PathBuf,
    pub to: Sender<Message>,
}

impl Executor {
    pub fn action(&self, name: &str) -> Option<Arc<dyn Action>> {
        self.actions.get(name).cloned()
    }

    /// A context for reading, outside of any attempt.
    pub fn context_of(&self, step: &StepPath, occurrence: u32) -> Context {
        let files = step_folder(&self.files, step);
        Context {
            run: self.run,
            step: step.clone(),
            idempotency_key: idempotency_key(self.run, step, occurrence),
            attempt: 0,
            target: self.target.clone(),
            effect: Effect::Read,
            timeout: None,
            log: Arc::new(StepLog::new(self.run, step.clone(), self.redactor.clone(), Arc::clone(&self.observer), files.clone())),
            files,
        }
    }

    pub(super) fn context(&self, task: &Task) -> Context {
        let context = self.context_of(&task.step, task.occurrence);
        let idempotency_key = match task.what {
            What::RevertApply { .. } | What::RevertVerify { .. } => rollback_key(self.run, &task.step, task.occurrence),
            What::Observe { .. }
            | What::Check { .. }
            | What::Watch(_)
            | What::Apply { .. }
            | What::Verify { .. }
            | What::ReadLive { .. }
            | What::Swap { .. }
            | What::Follow { .. } => context.idempotency_key,
        };
        Context { idempotency_key, attempt: task.attempt, effect: task.effect, timeout: task.timeout, ..context }
    }

    /// Inputs with secrets in place.
    pub(super) fn inputs(&self, resolved: &ResolvedInputs) -> Result<Inputs, Failure> {
        let mut value = as_given(&resolved.value);
        for input in &resolved.secrets {
            let secret = self.secrets.get(&input.secret).ok_or_else(|| {
                Failure::permanent(format!("the secret `{}` has no value here", input.secret))
                    .hint("the run was started where it had one: give it a source in the environment, then `runsheet resume`")
            })?;
            match value.pointer_mut(&input.at) {
                Some(place) => *place = Value::String(secret.expose_secret().to_owned()),
                None => return Err(Failure::permanent(format!("there is no place {} for the secret `{}`", input.at, input.secret))),
            }
        }
        Ok(Inputs(value))
    }

    /// Carries a task out and sends its answer. A panic of an action fails its step and nothing else.
    pub async fn carry_out(self: Arc<Self>, task: Task) {
        let (node, token) = (task.node, task.token);
        let answer = self.answer(&task).await;
        // The dispatcher is gone only when nobody waits for the answer any more.
        let _ = self.to.send(Message::Input(Input::Answer { node, token, answer }));
    }

    /// The answer of an action that does no input or output: ready at once, on the caller's thread, without a task or a timer of its own.
    pub fn immediate(&self, task: &Task) -> Option<Answer> {
        let What::Apply { action, inputs, intent } = &task.what else { return None };
        let action = self.actions.get(action).filter(|action| action.entry().immediate)?;
        let inputs = match self.inputs(inputs) {
            Ok(inputs) => inputs,
            Err(failure) => return Some(Answer::Applied(Applied::NotApplied { failure })),
        };
        let context = self.context(task);
        let applying = std::panic::AssertUnwindSafe(action.apply(&context, &inputs, intent)).catch_unwind();
        let outcome = applying.now_or_never()?.unwrap_or_else(|_| Applied::Unknown { failure: panicked() });
        Some(redacted(Answer::Applied(outcome), &self.redactor))
    }

    async fn answer(&self, task: &Task) -> Answer {
        let what = task.what.clone();
        let answer = match std::panic::AssertUnwindSafe(self.attempt(task)).catch_unwind().await {
            Ok(answer) => answer,
            Err(_) => {
                let failure = panicked();
                match what {
                    What::Observe { .. } => Answer::Observed(Err(failure)),
                    What::Check { .. } => Answer::Checked(Err(failure)),
                    What::Watch(_) => Answer::Watched(Err(failure)),
                    What::Apply { .. } | What::RevertApply { .. } => Answer::Applied(Applied::Unknown { failure }),
                    What::Verify { .. } | What::RevertVerify { .. } => Answer::Verified(Err(failure)),
                    What::ReadLive { .. } => Answer::Live(Err(failure)),
                    What::Swap { .. } => Answer::Swapped(Applied::Unknown { failure }),
                    What::Follow { .. } => Answer::Followed(Err(failure)),
                }
            }
        };
        // Redacted first: what goes to a file is as free of secrets as what goes to the journal.
        match redacted(answer, &self.redactor) {
            Answer::Applied(Applied::Applied { outputs }) => {
                Answer::Applied(Applied::Applied { outputs: large_outputs::keep(&step_folder(&self.files, &task.step), outputs) })
            }
            Answer::Verified(Ok(Verdict::Present { outputs })) => {
                Answer::Verified(Ok(Verdict::Present { outputs: large_outputs::keep(&step_folder(&self.files, &task.step), outputs) }))
            }
            other => other,
        }
    }

    async fn attempt(&self, task: &Task) -> Answer {
        match &task.what {
            What::Observe { action, inputs, objects } => Answer::Observed(self.observe(task, action, inputs, objects).await),
            What::Check { check, .. } => Answer::Checked(self.check(task, check).await),
            What::Watch(watch) => Answer::Watched(self.watch(task, watch).await),
            What::Apply { action, inputs, intent } | What::RevertApply { action, inputs, intent } => {
                Answer::Applied(self.apply(task, action, inputs, intent).await)
            }
            What::Verify { action, inputs, intent } | What::RevertVerify { action, inputs, intent } => {
                Answer::Verified(self.verify(task, action, inputs, intent).await)
            }
            What::ReadLive { action, intent } => Answer::Live(self.read_live(task, action, intent).await),
            What::Swap { action, intent, swaps } => {
                let Some(action) = self.action(action) else { return Answer::Swapped(Applied::NotApplied { failure: missing(action) }) };
                let context = self.context(task);
                let in_use = match self.lock(task, &objects_of(intent)).await {
                    Ok(in_use) => in_use,
                    Err(failure) => return Answer::Swapped(Applied::NotApplied { failure }),
                };
                crash::point("before-effect");
                let swapping = under_locks(in_use.as_ref(), || action.revert(&context, intent, swaps));
                let outcome = match timeout(READ_LIMIT * 2, swapping).await {
                    Ok(outcome) => outcome,
                    Err(_) => Applied::Unknown { failure: Failure::transient("the target did not answer within a minute") },
                };
                crash::point("effect");
                Answer::Swapped(outcome)
            }
            What::Follow { action, intent, settle } => Answer::Followed(self.follow(task, action, intent, *settle).await),
        }
    }

    async fn observe(&self, task: &Task, action: &str, inputs: &ResolvedInputs, objects: &[ObjectRef]) -> Result<Value, Failure> {
        let action = self.action(action).ok_or_else(|| missing(action))?;
        let inputs = self.inputs(inputs)?;
        let mut objects = objects.to_vec();
        let mut in_use = self.lock(task, &objects).await?;
        let context = self.context(task);
        loop {
            let observed = read(READ_LIMIT, action.observe(&context, &inputs)).await?;
            let mut more = action.touches_as_observed(&observed);
            more.retain(|object| !objects.contains(object));
            if more.is_empty() {
                return Ok(observed);
            }
            // What was read before its lock was taken may not be so any more.
            objects.extend(more);
            objects.sort();
            objects.dedup();
            drop(in_use.take());
            in_use = self.lock(task, &objects).await?;
        }
    }

    async fn apply(&self, task: &Task, name: &str, inputs: &ResolvedInputs, intent: &Intent) -> Applied {
        let Some(action) = self.action(name) else { return Applied::NotApplied { failure: missing(name) } };
        let inputs = match self.inputs(inputs) {
            Ok(inputs) => inputs,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let in_use = match self.lock(task, &objects_of(intent)).await {
            Ok(in_use) => in_use,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let context = self.context(task);
        let limit = task.timeout.or_else(|| action.lasts_at_most(&inputs, intent)).unwrap_or(ATTEMPT_LIMIT);
        crash::point("before-effect");
        let outcome = match timeout(limit, under_locks(in_use.as_ref(), || action.apply(&context, &inputs, intent))).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let failure = Failure::transient(format!("it took longer than {}", crate::model::duration::Span(limit)));
                if task.effect == Effect::Read { Applied::NotApplied { failure } } else { Applied::Unknown { failure } }
            }
        };
        crash::point("effect");
        outcome
    }

    async fn verify(&self, task: &Task, name: &str, inputs: &ResolvedInputs, intent: &Intent) -> Result<Verdict, Failure> {
        let action = self.action(name).ok_or_else(|| missing(name))?;
        let inputs = self.inputs(inputs)?;
        let context = self.context(task);
        let until = Instant::now() + action.under_way_for(&inputs).unwrap_or(VERIFY_LIMIT);
        let mut said = String::new();
        let mut tries = 0;
        loop {
            let result = read(READ_LIMIT, action.verify(&context, &inputs, intent)).await;
            let again = match &result {
                Ok(Verdict::InProgress { message }) => {
                    if *message != said {
                        context.log.line(message);
                        said.clone_from(message);
                    }
                    true
                }
                Ok(Verdict::Present { .. } | Verdict::Absent | Verdict::CannotTell { .. }) => false,
                Err(failure) => {
                    tries += 1;
                    failure.transient && tries < READ_TRIES
                }
            };
            let now = Instant::now();
            if !again || now >= until {
                return result;
            }
            let asked = result.as_ref().err().map(Failure::asked_wait).unwrap_or_default().min(until - now);
            sleep(asked.max(POLL * 2_u32.pow(tries.min(4)))).await;
        }
    }

    async fn read_live(&self, task: &Task, name: &str, intent: &Intent) -> Result<Vec<Standing>, Failure> {
        let action = self.action(name).ok_or_else(|| missing(name))?;
        let _in_use = self.lock(task, &objects_of(intent)).await?;
        let context = self.context(task);
        let live = read(READ_LIMIT, action.live(&context, intent)).await?;
        if live.len() != intent.changes.len() {
            return Err(Failure::permanent(format!("{name} read {} of its {} fields", live.len(), intent.changes.len())));
        }
        let mut standings = Vec::with_capacity(live.len());
        for (change, live) in intent.changes.iter().zip(live) {
            let chain = self.journal.ledger(&change.object, &change.field).await.map_err(|error| Failure::transient(error.to_string()))?;
            standings.push(standing_of(change, live.as_ref(), chain, (self.run, &task.step, task.occurrence)));
        }
        Ok(standings)
    }

    async fn follow(&self, task: &Task, name: &str, intent: &Intent, settle: Duration) -> Result<Followed, Failure> {
        let action = self.action(name).ok_or_else(|| missing(name))?;
        let context = self.context(task);
        let until = Instant::now() + settle;
        let mut said = String::new();
        loop {
            let result = read(READ_LIMIT, action.followed(&context, intent)).await;
            let over = Instant::now() >= until;
            match result {
                Ok(Followed::Yes) => return Ok(Followed::Yes),
                Ok(Followed::No { holds }) => {
                    if holds != said {
                        context.log.line(&holds);
                        said.clone_from(&holds);
                    }
                    if over {
                        return Ok(Followed::No { holds: format!("{holds} (after {})", crate::model::duration::Span(settle)) });
                    }
                }
                Err(failure) if over || !failure.transient => return Err(failure),
                // It is waited for, and whoever watches sees why nothing happens.
                Err(failure) => {
                    if failure.message != said {
                        context.log.line(&failure.message);
                        said = failure.message;
                    }
                }
            }
            sleep(POLL).await;
        }
    }
}

fn panicked() -> Failure {
    Failure::permanent("the action panicked: this is a fault of runsheet (or of its plugin)")
}

pub(super) fn missing(name: &str) -> Failure {
    Failure::permanent(format!("there is no action `{name}` in this runsheet")).hint("`runsheet actions` lists what there is")
}

fn objects_of(intent: &Intent) -> Vec<ObjectRef> {
    let mut objects: Vec<ObjectRef> = intent.changes.iter().map(|change| change.object.clone()).collect();
    objects.sort();
    objects.dedup();
    objects
}

pub(super) async fn read<T>(limit: Duration, reading: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match timeout(limit, reading).await {
        Ok(result) => result,
        Err(_) => Err(Failure::transient(format!("the target did not answer within {}", crate::model::duration::Span(limit)))),
    }
}
