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
use super::held_locks::{HeldLocks, InUse};
use super::large_outputs;
use super::planning::as_given;
use super::step_log::{StepLog, step_folder};
use crate::environment::{Redactor, SecretValues};
use crate::machine::decide::{Answer, Input};
use crate::machine::standing::{since, standing};
use crate::machine::task::{Check, Task, What};
use crate::machine::{idempotency_key, rollback_key};
use crate::model::change::{ObjectRef, Standing};
use crate::model::id::{RunId, StepPath};
use crate::model::inputs::ResolvedInputs;
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::Effect;
use crate::ports::action::{Action, Actions, Context, Inputs};
use crate::ports::journal::Journal;
use crate::ports::observer::Observer;

/// How long a read may take where the step says nothing.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// How long an attempt may take where the step says nothing.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long an attempt in progress is asked about.
const VERIFY_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How often a read that failed is made again where an answer is needed.
const READ_TRIES: u32 = 5;
/// How often a lock that somebody else holds is tried, and the platform looked at.
const POLL: Duration = Duration::from_millis(500);

/// Everything that tasks need.
pub(super) struct Executor {
    pub run: RunId,
    pub actions: Actions,
    pub target: Option<TargetSpec>,
    pub secrets: SecretValues,
    pub redactor: Redactor,
    pub observer: Arc<dyn Observer>,
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

    fn context(&self, task: &Task) -> Context {
        let context = self.context_of(&task.step, task.occurrence);
        let idempotency_key = match task.what {
            What::RevertApply { .. } | What::RevertVerify { .. } => rollback_key(self.run, &task.step, task.occurrence),
            What::Observe { .. }
            | What::Check { .. }
            | What::Apply { .. }
            | What::Verify { .. }
            | What::ReadLive { .. }
            | What::Swap { .. }
            | What::Follow { .. } => context.idempotency_key,
        };
        Context { idempotency_key, attempt: task.attempt, effect: task.effect, timeout: task.timeout, ..context }
    }

    /// Inputs with secrets in place.
    fn inputs(&self, resolved: &ResolvedInputs) -> Result<Inputs, Failure> {
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
                let Ok(_in_use) = self.lock(task, &objects_of(intent)).await else {
                    return Answer::Swapped(Applied::NotApplied { failure: Failure::transient("its lock could not be taken") });
                };
                crash::point("before-effect");
                let outcome = match timeout(READ_LIMIT * 2, action.revert(&context, intent, swaps)).await {
                    Ok(outcome) => outcome,
                    Err(_) => Applied::Unknown { failure: Failure::transient("the target did not answer within a minute") },
                };
                crash::point("effect");
                Answer::Swapped(outcome)
            }
            What::Follow { action, intent, settle } => Answer::Followed(self.follow(task, action, intent, *settle).await),
        }
    }

    /// Takes locks, waiting for as long as somebody else holds one; the machine is told once who.
    async fn lock(&self, task: &Task, objects: &[ObjectRef]) -> Result<Option<InUse>, Failure> {
        if objects.is_empty() {
            return Ok(None);
        }
        let mut told = false;
        loop {
            match self.locks.take(objects).map_err(|error| Failure::permanent(error.to_string()))? {
                Ok(in_use) => return Ok(Some(in_use)),
                Err((object, holder)) => {
                    if !told {
                        told = true;
                        let _ = self.to.send(Message::Input(Input::LockHeld { node: task.node, token: task.token, object, holder }));
                    }
                    sleep(POLL).await;
                }
            }
        }
    }

    async fn observe(&self, task: &Task, action: &str, inputs: &ResolvedInputs, objects: &[ObjectRef]) -> Result<Value, Failure> {
        let action = self.action(action).ok_or_else(|| missing(action))?;
        let inputs = self.inputs(inputs)?;
        let _in_use = self.lock(task, objects).await?;
        let context = self.context(task);
        read(READ_LIMIT, action.observe(&context, &inputs)).await
    }

    async fn apply(&self, task: &Task, name: &str, inputs: &ResolvedInputs, intent: &Intent) -> Applied {
        let Some(action) = self.action(name) else { return Applied::NotApplied { failure: missing(name) } };
        let inputs = match self.inputs(inputs) {
            Ok(inputs) => inputs,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let _in_use = match self.lock(task, &objects_of(intent)).await {
            Ok(in_use) => in_use,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let context = self.context(task);
        let limit = task.timeout.unwrap_or(ATTEMPT_LIMIT);
        crash::point("before-effect");
        let outcome = match timeout(limit, action.apply(&context, &inputs, intent)).await {
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
        let until = Instant::now() + VERIFY_LIMIT;
        let mut tries = 0;
        loop {
            let result = read(READ_LIMIT, action.verify(&context, &inputs, intent)).await;
            let again = match &result {
                Ok(Verdict::InProgress { message }) => {
                    context.log.line(message);
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
            let chain = since(chain, self.run, &task.step, task.occurrence);
            standings.push(standing(change, live.as_ref(), &chain));
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
                Err(_) => {}
            }
            sleep(POLL).await;
        }
    }

    /// Looks until the condition holds (for as long as it must), or its time is over.
    async fn check(&self, task: &Task, check: &Check) -> Result<(), Failure> {
        let context = self.context(task);
        let reading = match &check.reading {
            Some((name, inputs)) => Some((self.action(name).ok_or_else(|| missing(name))?, self.inputs(inputs)?)),
            None => None,
        };
        let started = Instant::now();
        let limit = match (check.within, task.timeout) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, _) => a,
        };
        let mut holding_since: Option<Instant> = None;
        let mut said = String::new();
        loop {
            // A target that is asked too often says when it can be asked again.
            let mut asked = Duration::ZERO;
            let complaint = match self.look(&context, check, reading.as_ref()).await {
                Ok(None) => {
                    let since = *holding_since.get_or_insert_with(Instant::now);
                    match check.hold {
                        Some(hold) if since.elapsed() < hold => None,
                        _ => return Ok(()),
                    }
                }
                Ok(Some(failure)) => Some(failure),
                Err(failure) => return Err(failure),
            };
            if let Some(failure) = complaint {
                holding_since = None;
                asked = failure.asked_wait();
                if failure.message != said {
                    context.log.line(&failure.message);
                    said.clone_from(&failure.message);
                }
                let Some(limit) = limit else { return Err(failure) };
                if started.elapsed() >= limit {
                    let message =
                        format!("{failure} (after {})", crate::model::duration::Span(Duration::from_secs(limit.as_secs().max(1))));
                    return Err(Failure { message, ..failure });
                }
            }
            let left = limit.map(|limit| limit.saturating_sub(started.elapsed()).max(Duration::from_millis(1)));
            let hold_left = check.hold.zip(holding_since).map(|(hold, since)| hold.saturating_sub(since.elapsed()));
            sleep([left, hold_left].into_iter().flatten().fold(check.every.max(asked), Duration::min).max(Duration::from_millis(10))).await;
        }
    }

    /// One look: nothing where the condition holds, else why not. What trying again cannot mend is an error.
    async fn look(
        &self,
        context: &Context,
        check: &Check,
        reading: Option<&(Arc<dyn Action>, Inputs)>,
    ) -> Result<Option<Failure>, Failure> {
        let result = match reading {
            None => Value::Null,
            Some((action, inputs)) => match read(READ_LIMIT, action.observe(context, inputs)).await {
                Ok(value) => value,
                Err(failure) if failure.transient => return Ok(Some(failure)),
                Err(failure) => return Err(failure),
            },
        };
        match check.holds(&result) {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(Failure::permanent(check.complaint(&result)))),
            // A field that is not there yet may come.
            Err(failure) => Ok(Some(failure)),
        }
    }
}

fn panicked() -> Failure {
    Failure::permanent("the action panicked: this is a fault of runsheet (or of its plugin)")
}

fn missing(name: &str) -> Failure {
    Failure::permanent(format!("there is no action `{name}` in this runsheet")).hint("`runsheet actions` lists what there is")
}

fn objects_of(intent: &Intent) -> Vec<ObjectRef> {
    let mut objects: Vec<ObjectRef> = intent.changes.iter().map(|change| change.object.clone()).collect();
    objects.sort();
    objects.dedup();
    objects
}

async fn read<T>(limit: Duration, reading: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match timeout(limit, reading).await {
        Ok(result) => result,
        Err(_) => Err(Failure::transient(format!("the target did not answer within {}", crate::model::duration::Span(limit)))),
    }
}
