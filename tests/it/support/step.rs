//! A step as the engine does one: an action with its inputs and a context of its own, on whatever the action acts.
//!
//! It must not know what that is. Invariant: every wait has an end and says what it waited for.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use runsheet::model::change::{Change, Swap};
use runsheet::model::id::{RunId, StepPath};
use runsheet::model::intent::Intent;
use runsheet::model::outcome::{Applied, Failure, Followed, Verdict};
use runsheet::model::run::TargetSpec;
use runsheet::model::step::Rollback;
use runsheet::ports::action::{Action, Actions, Context, Inputs, Log, Plan};
use serde_json::Value;

use super::PATIENCE;

/// What was logged.
#[derive(Default)]
pub struct Lines(Mutex<Vec<String>>);

impl Lines {
    /// All of it.
    pub fn text(&self) -> String {
        self.0.lock().expect("the lines").join("\n")
    }
}

impl Log for Lines {
    fn line(&self, line: &str) {
        self.0.lock().expect("the lines").push(line.to_owned());
    }

    fn part(&self, _: u64, _: u64, _: &str) {}

    fn redact(&self, text: &str) -> String {
        text.to_owned()
    }
}

/// Waits until it is so, looking every so often; what was asked for then.
pub async fn until<T>(what: &str, every: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(every).await;
    }
}

/// The same key for every attempt of one doing. From the end of an id: its first digits are its time.
fn key() -> String {
    RunId::generate().to_string().chars().rev().filter(char::is_ascii_hexdigit).collect()
}

/// A step: an action with its inputs.
pub struct Step {
    pub action: Arc<dyn Action>,
    pub cx: Context,
    pub inputs: Inputs,
    log: Arc<Lines>,
}

impl Step {
    /// The action of this name among these, on this target.
    pub fn new(actions: &Actions, action: &str, inputs: Value, target: TargetSpec, log: &Arc<Lines>, files: PathBuf) -> Self {
        Self::of(Arc::clone(actions.get(action).expect("an action")), inputs, Some(target), log, files)
    }

    fn of(action: Arc<dyn Action>, inputs: Value, target: Option<TargetSpec>, log: &Arc<Lines>, files: PathBuf) -> Self {
        let cx = Context {
            run: RunId::generate(),
            step: StepPath::new("step"),
            idempotency_key: key(),
            attempt: 1,
            target,
            effect: action.entry().effect,
            timeout: None,
            log: Arc::clone(log) as Arc<dyn Log>,
            files,
        };
        Self { action, cx, inputs: Inputs(inputs), log: Arc::clone(log) }
    }

    /// The same step, done again in another run.
    pub fn anew(&self) -> Self {
        Self::of(Arc::clone(&self.action), self.inputs.0.clone(), self.cx.target.clone(), &self.log, self.cx.files.clone())
    }

    /// What it observes.
    pub async fn observe(&self) -> Result<Value, Failure> {
        self.action.observe(&self.cx, &self.inputs).await
    }

    /// What it plans.
    pub async fn try_plan(&self) -> Result<Plan, Failure> {
        let prior = if self.action.entry().observes { self.observe().await? } else { Value::Null };
        let mut plan = self.action.plan(&self.cx, &self.inputs, &prior, &Rollback::Auto)?;
        plan.intent.prior = prior;
        Ok(plan)
    }

    /// The same, where it must.
    #[track_caller]
    pub fn plan(&self) -> impl Future<Output = Plan> {
        let at = std::panic::Location::caller();
        async move { self.try_plan().await.unwrap_or_else(|failure| panic!("{at}: {failure} ({:?})", failure.hint)) }
    }

    /// Its intent, where it must have one.
    #[track_caller]
    pub fn intent(&self) -> impl Future<Output = Intent> {
        let plan = self.plan();
        async move { plan.await.intent }
    }

    /// Applies an intent.
    pub async fn apply(&self, intent: &Intent) -> Applied {
        self.action.apply(&self.cx, &self.inputs, intent).await
    }

    /// The same, where it must work; the outputs.
    #[track_caller]
    pub fn applied(&self, intent: &Intent) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            match self.apply(intent).await {
                Applied::Applied { outputs } => outputs,
                other => panic!("{at}: {other:?}"),
            }
        }
    }

    /// Asks whether it happened.
    pub async fn verify(&self, intent: &Intent) -> Verdict {
        self.action.verify(&self.cx, &self.inputs, intent).await.expect("a verdict")
    }

    /// Asks until it is no longer in progress; the last verdict.
    pub async fn verified(&self, intent: &Intent) -> Verdict {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.verify(intent).await {
                Verdict::InProgress { message } => assert!(Instant::now() < deadline, "still in progress: {message}"),
                verdict => return verdict,
            }
        }
    }

    /// The live values.
    pub async fn live(&self, intent: &Intent) -> Vec<Option<Value>> {
        self.action.live(&self.cx, intent).await.expect("the live values")
    }

    /// Takes the whole intent back.
    pub async fn revert(&self, intent: &Intent) -> Applied {
        let swap = |change: &Change| Swap {
            object: change.object.clone(),
            field: change.field.clone(),
            label: change.label.clone(),
            from: change.after.clone(),
            to: change.prior.clone(),
        };
        let swaps: Vec<Swap> = intent.changes.iter().map(swap).collect();
        self.action.revert(&self.cx, intent, &swaps).await
    }

    /// Waits until the platform has followed what was taken back.
    pub async fn until_followed(&self, intent: &Intent) {
        let name = self.action.entry().name.clone();
        let deadline = Instant::now() + PATIENCE;
        while let Followed::No { holds } = self.action.followed(&self.cx, intent).await.expect("whether it has followed") {
            assert!(Instant::now() < deadline, "{name}: nothing followed: {holds}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A step that reads: planned and applied.
    pub async fn read(&self) -> Applied {
        let plan = self.plan().await;
        assert!(plan.intent.changes.is_empty(), "a read changes nothing");
        self.apply(&plan.intent).await
    }

    /// Planned and applied: what it gives.
    pub async fn try_outputs(&self) -> Result<Value, Failure> {
        let intent = self.try_plan().await?.intent;
        match self.apply(&intent).await {
            Applied::Applied { outputs } => Ok(outputs),
            Applied::NotApplied { failure } | Applied::FailedWithEffect { failure, .. } | Applied::Unknown { failure } => Err(failure),
        }
    }

    /// Its outputs, where it must have some.
    #[track_caller]
    pub fn outputs(&self) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move { self.try_outputs().await.unwrap_or_else(|failure| panic!("{at}: {failure} ({:?})", failure.hint)) }
    }

    /// The failure that it must end in.
    #[track_caller]
    pub fn failure(&self) -> impl Future<Output = Failure> {
        let at = std::panic::Location::caller();
        async move {
            match self.try_outputs().await {
                Ok(outputs) => panic!("{at}: it succeeded: {outputs:#}"),
                Err(failure) => failure,
            }
        }
    }

    /// Waits until its outputs are as wanted; them.
    pub async fn until_outputs(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let outputs = self.outputs().await;
            if is(&outputs) {
                return outputs;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}: {outputs:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
