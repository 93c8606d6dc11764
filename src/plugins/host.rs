//! An action of a plugin, for the engine: each of its questions becomes a talk with the plugin's process.
//!
//! Invariants: whatever the plugin does wrong fails its step, or leaves it unknown where it writes and had been asked to, and nothing else; secrets reach it
//! on stdin alone; it is asked to apply at most once for an attempt, and the attempt's files tell what is known of it whatever happens to the engine.
//!
//! The engine's `plan` is pure, a plugin's is a question: it is asked together with the observation and recorded with it, under [`PLAN`], so that the
//! plan is frozen when the prior value is.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::answer;
use super::fault::{Broken, Fault};
use super::folder::Plugin;
use super::manifest::PluginAction;
use super::message::{Message, Method};
use super::needs::missing;
use super::session::{Ask, FAREWELL, GRACE, Talk, talk};
use super::ways::{Reached, Ways};
use crate::model::catalogue::ActionEntry;
use crate::model::change::Swap;
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};
use crate::process::{Recovered, RecoveryError, Request, recover, slot};

/// The key of an observation under which the plugin's plan is kept.
pub(super) const PLAN: &str = "plan";
/// How long a reading may take: less than the engine waits for one.
const READING: Duration = Duration::from_secs(20);
/// How long an attempt may take where the step says nothing.
const ATTEMPT: Duration = Duration::from_secs(29 * 60);
/// How long the platform may take to follow a revert: a plugin's revert is done when it says so.
const SETTLE: Span = Span::seconds(600);
/// The largest observation, with its plan, in bytes.
const LARGEST: usize = 64 * 1024;

/// What plugins need beside their inputs.
#[derive(Clone)]
pub struct PluginSettings {
    /// The runsheet binary; it supervises each plugin.
    pub supervisor: PathBuf,
    /// The names and values of the secrets that are not to be written anywhere.
    pub redactions: Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>,
    /// The folder that plugins run in: relative paths in their inputs are from there.
    pub root: PathBuf,
    /// Hosts of the environment that are reached at an address of their own, `HOST` by `ADDRESS:PORT`.
    pub hosts: BTreeMap<String, String>,
    /// Whether nothing but those hosts and this machine is to be reached.
    pub confined: bool,
    /// The ways to private hosts.
    pub ways: Arc<dyn Ways>,
}

/// An action of a plugin.
pub struct HostedAction {
    plugin: Arc<Plugin>,
    action: PluginAction,
    entry: Arc<ActionEntry>,
    settings: PluginSettings,
}

/// The actions of a plugin.
pub fn actions(plugin: &Plugin, settings: &PluginSettings) -> Vec<Arc<dyn Action>> {
    let plugin = Arc::new(plugin.clone());
    let hosted = |action: &PluginAction| HostedAction {
        plugin: Arc::clone(&plugin),
        action: action.clone(),
        entry: Arc::new(action.entry.clone()),
        settings: settings.clone(),
    };
    plugin.manifest.actions.iter().map(|action| Arc::new(hosted(action)) as Arc<dyn Action>).collect()
}

impl HostedAction {
    fn name(&self) -> &str {
        &self.plugin.manifest.name
    }

    fn request(&self, files: PathBuf, attempt: u32) -> Request {
        let program = self.plugin.folder.join(&self.plugin.manifest.executable);
        let mut request = Request::new(&self.settings.supervisor, program.to_string_lossy(), files, attempt);
        request.cwd = Some(self.settings.root.clone());
        // Its folder is hashed: nothing may be written there.
        request.env = BTreeMap::from([("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned())]);
        request.redactions = (self.settings.redactions)();
        request
    }

    /// What every question says of the step, and the ways to the private hosts that it names: to be held until it is answered.
    async fn params(&self, cx: &Context, more: Value) -> Result<(Value, Reached), Failure> {
        let reached = Reached::open(&*self.settings.ways, &more).await?;
        let hosts: BTreeMap<&String, &String> = self.settings.hosts.iter().chain(&reached.hosts).collect();
        let target = cx.target.as_ref().map(|target| {
            json!({ "environment": target.environment, "identity": target.identity, "values": target.values, "hosts": hosts, "confined": self.settings.confined })
        });
        let mut params = json!({
            "action": self.action.short,
            "run": cx.run.to_string(),
            "step": cx.step.as_str(),
            "attempt": cx.attempt,
            "idempotency_key": cx.idempotency_key,
            "effect": cx.effect.as_str(),
            "timeout_seconds": cx.timeout.map(|timeout| timeout.as_secs()),
            "target": target,
        });
        if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
            params.extend(more);
        }
        Ok((params, reached))
    }

    /// Asks one question that only reads, and what follows from its answer.
    async fn read(
        &self,
        cx: &Context,
        first: Ask,
        mut then: impl FnMut(Method, &Value) -> Result<Option<Ask>, String> + Send,
    ) -> Result<Value, Failure> {
        missing(&self.plugin.manifest.needs).map_or(Ok(()), |failure| Err(failure.of(self.name())))?;
        let no_folder = |error: std::io::Error| {
            Failure::permanent(format!("no folder for a reading can be made in {}: {}", cx.files.display(), error.kind()))
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&cx.files).map_err(no_folder)?;
        let folder = tempfile::Builder::new().prefix("reading-").tempdir_in(&cx.files).map_err(no_folder)?;
        let matters = first.method;
        let mut first = Some(first);
        let next = |method: Method, answer: &Value| match first.take() {
            Some(first) => Ok(Some(first)),
            None => then(method, answer).map_err(|why| Fault::Unfit { asked: method.as_str(), why }),
        };
        let within = cx.timeout.map_or(READING, |timeout| timeout.min(READING));
        let request = self.request(folder.path().to_owned(), 1);
        let talk = talk(Talk { plugin: &self.plugin, request, log: &*cx.log, within }, matters, next).await;
        talk.map_err(|broken| broken.failure(self.name()))
    }

    /// Asks one question that writes.
    async fn write(&self, cx: &Context, ask: Ask, files: PathBuf, within: Duration) -> Applied {
        if let Some(missing) = missing(&self.plugin.manifest.needs) {
            return Applied::NotApplied { failure: missing.of(self.name()) };
        }
        let matters = ask.method;
        let mut ask = Some(ask);
        let request = self.request(files, cx.attempt.max(1));
        let talking = Talk { plugin: &self.plugin, request, log: &*cx.log, within };
        match talk(talking, matters, |_, _| Ok(ask.take())).await {
            Ok(answer) => self.outcome(cx, matters, &answer),
            Err(Broken::After(fault)) if cx.effect != Effect::Read => Applied::Unknown { failure: fault.failure(self.name()) },
            Err(broken) => Applied::NotApplied { failure: broken.failure(self.name()) },
        }
    }

    /// What an answer to `apply` or `revert` means.
    fn outcome(&self, cx: &Context, asked: Method, answer: &Value) -> Applied {
        let nothing = json!({ "type": "object", "additionalProperties": false });
        let outputs = if asked == Method::Apply { &self.action.outputs } else { &nothing };
        match answer::applied(answer, outputs) {
            Ok(Applied::Unknown { failure }) if cx.effect == Effect::Read => Applied::NotApplied { failure },
            Ok(applied) => applied,
            Err(why) => {
                let failure = Fault::Unfit { asked: asked.as_str(), why }.failure(self.name());
                if cx.effect == Effect::Read { Applied::NotApplied { failure } } else { Applied::Unknown { failure } }
            }
        }
    }

    /// The answer to `apply` that an attempt's files hold, where the engine died before it had taken it in.
    fn answered(&self, files: &Path, attempt: u32) -> Option<Value> {
        let text = std::fs::read_to_string(files.join(format!("attempt-{attempt}.stdout"))).ok()?;
        let mut answers = text.lines().filter_map(|line| match Message::read(line) {
            // The first question is who it is, the second is what matters.
            Ok(Message::Result { id: 2, result }) => Some(result),
            _ => None,
        });
        let only = answers.next()?;
        answers.next().is_none().then_some(only)
    }
}

/// The folder of this doing's files.
fn base(cx: &Context) -> PathBuf {
    cx.files.join(&cx.idempotency_key)
}

/// Looks at an attempt's files, away from the threads that must not block.
async fn blocking<T: Send + 'static>(look: impl FnOnce() -> Result<T, RecoveryError> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(look)
        .await
        .map_err(|_| Failure::transient("the attempt's files could not be looked at: runsheet is ending"))?
        .map_err(|error| Failure::transient(error.to_string()).hint("check the permissions and the free space of the state folder"))
}

/// The time that a plugin has of the time that the step has: so much less that it can still be told to end.
fn within(limit: Option<Duration>) -> Duration {
    let Some(limit) = limit else { return ATTEMPT };
    limit.saturating_sub((limit / 2).min(FAREWELL + GRACE + Duration::from_secs(1)))
}

#[async_trait]
impl Action for HostedAction {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&self.entry)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let outputs = &self.action.outputs;
        if self.entry.effect != Effect::Read && !self.entry.observes {
            return Ok(Value::Null);
        }
        let (params, _reached) = self.params(cx, json!({ "inputs": inputs.0 })).await?;
        let ask = Ask { method: Method::Observe, params: params.clone() };
        if self.entry.effect == Effect::Read {
            let answer = self.read(cx, ask, |_, _| Ok(None)).await?;
            return answer::reading(&answer, outputs).map_err(|why| Fault::Unfit { asked: "observe", why }.failure(self.name()));
        }
        // A check looks at what is there; only before an attempt is there something to be planned.
        let plans = cx.effect != Effect::Read;
        let mut observed = Map::new();
        let then = |method: Method, answer: &Value| {
            if method != Method::Observe {
                return Ok(None);
            }
            observed = answer::observed(answer)?;
            let mut params = params.clone();
            params["observed"] = Value::Object(observed.clone());
            Ok(plans.then_some(Ask { method: Method::Plan, params }))
        };
        let answer = self.read(cx, ask, then).await?;
        if plans {
            let unfit = |why| Fault::Unfit { asked: "plan", why }.failure(self.name());
            answer::plan(&answer, outputs).map_err(unfit)?;
            observed.insert(PLAN.to_owned(), answer);
        }
        let observed = Value::Object(observed);
        if observed.to_string().len() > LARGEST {
            let message = format!("the plugin {} observed more than {} KiB, which a run does not keep", self.name(), LARGEST / 1024);
            return Err(Failure::permanent(message).hint("this is a fault of the plugin: let it tell what it needs to put things back"));
        }
        Ok(observed)
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let kept = |reason: &str| match (cx.effect, rollback) {
            (Effect::Read, _) => Revert::Nothing,
            (_, Rollback::None) => Revert::Keep { reason: "the playbook says `rollback: none`".to_owned() },
            _ => Revert::Keep { reason: reason.to_owned() },
        };
        let of_inputs = || self.entry.lines_by_hand(&inputs.0, cx.target.as_ref()).act;
        let reason = format!("{} has no revert of its own", self.entry.name);
        let Some(written) = prior.get(PLAN) else {
            let intent = Intent { revert: kept(&reason), by_hand: of_inputs(), ..Intent::default() };
            return Ok(Plan { intent, unchanged: None });
        };
        let unfit = |why| Fault::Unfit { asked: "plan", why }.failure(self.name());
        let mut plan = answer::plan(written, &self.action.outputs).map_err(unfit)?;
        let changes = plan.changes();
        let revert = match &plan.keep {
            None if self.entry.reverts && !changes.is_empty() && !matches!(rollback, Rollback::None) => Revert::Fields { settle: SETTLE },
            Some(why) => kept(why),
            None => kept(&reason),
        };
        let by_hand = if plan.by_hand.is_empty() { of_inputs() } else { plan.by_hand };
        let intent = Intent { changes, revert, note: plan.note, by_hand, undo_by_hand: plan.undo_by_hand, ..Intent::default() };
        Ok(Plan { intent, unchanged: plan.unchanged })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, intent: &Intent) -> Applied {
        if self.entry.effect == Effect::Read {
            return match self.observe(cx, inputs).await {
                Ok(outputs) => Applied::Applied { outputs },
                Err(failure) => Applied::NotApplied { failure },
            };
        }
        let (base, attempt, effect) = (base(cx), cx.attempt.max(1), cx.effect);
        let files = match blocking(move || slot::next(&base, attempt, effect != Effect::Once)).await {
            Ok(files) => files,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let asked = json!({ "inputs": inputs.0, "changes": intent.changes, "note": intent.note });
        let (params, _reached) = match self.params(cx, asked).await {
            Ok(reached) => reached,
            Err(failure) => return Applied::NotApplied { failure },
        };
        self.write(cx, Ask { method: Method::Apply, params }, files, within(cx.timeout)).await
    }

    async fn verify(&self, cx: &Context, inputs: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        if self.entry.effect == Effect::Read {
            return Ok(Verdict::Absent);
        }
        let (files, attempt) = (slot::last(&base(cx), cx.attempt.max(1)).0, cx.attempt.max(1));
        let folder = files.clone();
        let how = match blocking(move || recover(&folder, attempt)).await? {
            Recovered::NeverStarted => return Ok(Verdict::Absent),
            Recovered::StillRunning => return Ok(Verdict::InProgress { message: "its process is being ended".to_owned() }),
            Recovered::Killed => "nobody saw how it ended",
            Recovered::Ended(_) => "its answer did not tell whether it has done it",
        };
        let told = self.answered(&files, attempt).and_then(|answer| answer::applied(&answer, &self.action.outputs).ok());
        match told {
            Some(Applied::Applied { outputs }) => return Ok(Verdict::Present { outputs }),
            Some(Applied::NotApplied { .. }) => return Ok(Verdict::Absent),
            Some(Applied::FailedWithEffect { .. } | Applied::Unknown { .. }) | None => {}
        }
        if !self.action.verifies {
            return Ok(match cx.effect {
                Effect::Read => Verdict::Absent,
                Effect::Idempotent | Effect::Once => {
                    Verdict::CannotTell { reason: format!("the plugin {} was asked to `apply`, and {how}", self.name()) }
                }
            });
        }
        let asked = json!({ "inputs": inputs.0, "changes": intent.changes, "note": intent.note });
        let (params, _reached) = self.params(cx, asked).await?;
        let answer = self.read(cx, Ask { method: Method::Verify, params }, |_, _| Ok(None)).await?;
        answer::verdict(&answer, &self.action.outputs).map_err(|why| Fault::Unfit { asked: "verify", why }.failure(self.name()))
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        if intent.changes.is_empty() {
            return Ok(Vec::new());
        }
        let (params, _reached) = self.params(cx, json!({ "changes": intent.changes, "note": intent.note })).await?;
        let answer = self.read(cx, Ask { method: Method::Observe, params }, |_, _| Ok(None)).await?;
        let fields = answer::fields(&answer, intent.changes.len());
        fields.map_err(|why| Fault::Unfit { asked: "observe", why }.failure(self.name()))
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        // Each field is swapped only where it is still as it was read, so that doing it again does no harm: it needs no attempt of its own.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&cx.files);
        let folder = made.and_then(|()| tempfile::Builder::new().prefix("revert-").tempdir_in(&cx.files));
        let folder = match folder {
            Ok(folder) => folder,
            Err(error) => {
                let failure = Failure::permanent(format!("no folder can be made in {}: {}", cx.files.display(), error.kind()));
                return Applied::NotApplied { failure };
            }
        };
        let asked = json!({ "changes": intent.changes, "note": intent.note, "swaps": swaps });
        let (params, _reached) = match self.params(cx, asked).await {
            Ok(reached) => reached,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let ask = Ask { method: Method::Revert, params };
        let cx = &Context { attempt: 1, effect: Effect::Idempotent, log: Arc::clone(&cx.log), ..copy(cx) };
        self.write(cx, ask, folder.path().to_owned(), READING * 2).await
    }
}

/// The same context, to be changed.
fn copy(cx: &Context) -> Context {
    Context {
        run: cx.run,
        step: cx.step.clone(),
        idempotency_key: cx.idempotency_key.clone(),
        attempt: cx.attempt,
        target: cx.target.clone(),
        effect: cx.effect,
        timeout: cx.timeout,
        log: Arc::clone(&cx.log),
        files: cx.files.clone(),
    }
}
