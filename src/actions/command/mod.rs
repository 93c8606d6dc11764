//! `command`: runs a program on this machine.
//!
//! Invariants: a program is started at most once for an attempt, and the attempt's files tell what is known of it whatever happens to the engine; a
//! program that was killed is unknown, not failed; no secret is in an argument, a file, a message or a line for a person's hands.

mod by_hand;
mod inputs;
mod outcome;
#[cfg(test)]
pub(crate) mod testing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::model::catalogue::{ActionEntry, touches_nothing};
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};
use crate::process::{self, Recovered, RecoveryError, Request, slot};

use self::inputs::CommandInputs;
use super::assert::Assert;
use super::noop::Noop;

/// How much of a command line is in a message, in characters.
const LONGEST_NAME: usize = 80;

/// What `command` needs beside its inputs.
#[derive(Clone)]
pub struct CommandSettings {
    /// The runsheet binary; it supervises each program.
    pub supervisor: PathBuf,
    /// The names and values of the secrets that are not to be written anywhere.
    pub redactions: Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>,
}

/// The action `command`.
pub struct Command {
    entry: Arc<ActionEntry>,
    settings: CommandSettings,
}

/// A folder that its owner alone can look into: what a command prints may be anything.
fn private_folder(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The actions that touch nothing but this machine: `noop`, `assert` and `command`.
pub fn builtin(settings: CommandSettings) -> Vec<Arc<dyn Action>> {
    vec![Arc::new(Noop::default()), Arc::new(Assert::default()), Arc::new(Command::new(settings))]
}

impl Command {
    /// The action, with these settings.
    pub fn new(settings: CommandSettings) -> Self {
        let entry = ActionEntry {
            name: "command".into(),
            summary: "Run a program on this machine".into(),
            page: include_str!("page.md").into(),
            inputs: inputs::schema(),
            outputs: outcome::fields(),
            effect: Effect::Once,
            effect_from_step: true,
            observes: false,
            reverts: false,
            needs_target: false,
            immediate: false,
            touches: touches_nothing,
            by_hand: by_hand::of_inputs,
            permissions: crate::model::permission::needs_nothing,
        };
        Self { entry: Arc::new(entry), settings }
    }

    /// Inputs whose secrets need not be in place.
    fn read(cx: &Context, inputs: &Inputs) -> Result<CommandInputs, Failure> {
        Self::fitting(cx, CommandInputs::read(&inputs.0))
    }

    /// Inputs to run with.
    fn read_whole(cx: &Context, inputs: &Inputs) -> Result<CommandInputs, Failure> {
        Self::fitting(cx, CommandInputs::read(&inputs.0).and_then(CommandInputs::whole))
    }

    fn fitting(cx: &Context, inputs: Result<CommandInputs, String>) -> Result<CommandInputs, Failure> {
        inputs.map_err(|why| Failure::permanent(cx.log.redact(&format!("the inputs of `command` do not fit: {why}"))))
    }

    fn request(&self, cx: &Context, inputs: &CommandInputs, files: PathBuf, attempt: u32) -> Request {
        let mut words = inputs.words().into_iter();
        let mut request = Request::new(&self.settings.supervisor, words.next().unwrap_or_default(), files, attempt);
        request.args = words.collect();
        request.env = inputs.env.iter().filter_map(|(name, value)| Some((name.clone(), value.as_ref()?.to_string()))).collect();
        request.cwd = inputs.cwd.clone();
        request.stdin = inputs.stdin_bytes();
        request.timeout = cx.timeout;
        request.grace = inputs.grace();
        request.redactions = (self.settings.redactions)();
        request.capture_limit = inputs.max_output.unwrap_or(Request::CAPTURE_LIMIT);
        request
    }

    /// What messages call it: ``the script`` or ``` `kubectl get pods` ```.
    fn name(&self, cx: &Context, inputs: &CommandInputs) -> String {
        if inputs.shell {
            return "the script".into();
        }
        let secrets = (self.settings.redactions)();
        let line = inputs.words().iter().map(|word| by_hand::quote(word, &secrets)).collect::<Vec<_>>().join(" ");
        let line = cx.log.redact(&line);
        let cut: String = line.chars().take(LONGEST_NAME).collect();
        format!("`{cut}{}`", if cut.len() < line.len() { "…" } else { "" })
    }
}

/// The folder of this doing's files: within one doing of a step, attempts are counted on whatever happens, so that their numbers tell them apart.
fn base(cx: &Context) -> PathBuf {
    cx.files.join(&cx.idempotency_key)
}

/// Where all that an attempt wrote to stdout is.
fn stdout_file(files: &Path, attempt: u32) -> PathBuf {
    files.join(format!("attempt-{attempt}.stdout"))
}

/// Looks at an attempt's files, away from the threads that must not block.
async fn blocking<T: Send + 'static>(look: impl FnOnce() -> Result<T, RecoveryError> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(look)
        .await
        .map_err(|_| Failure::transient("the attempt's files could not be looked at: runsheet is ending"))?
        .map_err(|error| Failure::transient(error.to_string()).hint("check the permissions and the free space of the state folder"))
}

#[async_trait]
impl Action for Command {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&self.entry)
    }

    /// Runs the command where it only reads; what writes has nothing to be observed.
    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        if cx.effect != Effect::Read {
            return Ok(Value::Null);
        }
        let inputs = Self::read_whole(cx, inputs)?;
        let folder = private_folder(&cx.files).and_then(|()| tempfile::Builder::new().prefix("reading-").tempdir_in(&cx.files)).map_err(
            |error| Failure::permanent(format!("no folder for a reading can be made in {}: {}", cx.files.display(), error.kind())),
        )?;
        // A reading is attempt 0 for the engine; each has a folder of its own, which goes with it.
        let request = self.request(cx, &inputs, folder.path().to_owned(), 1);
        let name = self.name(cx, &inputs);
        let applied = match process::run(request, |_, line| cx.log.line(line)).await {
            Ok(ended) => outcome::judge(&ended, &inputs, &name, Effect::Read, None),
            Err(error) => outcome::judge_error(error, &name, Effect::Read),
        };
        match applied {
            Applied::Applied { outputs } => Ok(outputs),
            Applied::NotApplied { failure } | Applied::FailedWithEffect { failure, .. } | Applied::Unknown { failure } => Err(failure),
        }
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, _: &Rollback) -> Result<Plan, Failure> {
        let inputs = Self::read(cx, inputs)?;
        let line = by_hand::line(&inputs, &(self.settings.redactions)());
        let revert = match cx.effect {
            Effect::Read => Revert::Nothing,
            Effect::Idempotent | Effect::Once => Revert::Keep { reason: "a command has no revert of its own".into() },
        };
        let intent = Intent { revert, by_hand: vec![cx.log.redact(&line)], ..Intent::default() };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Applied {
        let inputs = match Self::read_whole(cx, inputs) {
            Ok(inputs) => inputs,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let (base, attempt, effect) = (base(cx), cx.attempt, cx.effect);
        let files = match blocking(move || slot::next(&base, attempt, effect != Effect::Once)).await {
            Ok(files) => files,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let name = self.name(cx, &inputs);
        let stdout_file = stdout_file(&files, attempt);
        match process::run(self.request(cx, &inputs, files, attempt), |_, line| cx.log.line(line)).await {
            Ok(ended) => outcome::judge(&ended, &inputs, &name, effect, Some(&stdout_file)),
            Err(error) => outcome::judge_error(error, &name, effect),
        }
    }

    async fn verify(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Result<Verdict, Failure> {
        let inputs = Self::read(cx, inputs)?;
        let (files, attempt) = (slot::last(&base(cx), cx.attempt).0, cx.attempt);
        let stdout_file = stdout_file(&files, attempt);
        let recovered = blocking(move || process::recover(&files, attempt)).await?;
        let cannot_tell = |reason| match cx.effect {
            // What only reads is simply done again.
            Effect::Read => Verdict::Absent,
            Effect::Idempotent | Effect::Once => Verdict::CannotTell { reason },
        };
        Ok(match recovered {
            Recovered::NeverStarted => Verdict::Absent,
            Recovered::StillRunning => Verdict::InProgress { message: "its process is being ended".into() },
            Recovered::Killed => cannot_tell(format!("{} was started, and nobody saw how it ended", self.name(cx, &inputs))),
            Recovered::Ended(ended) => match outcome::judge(&ended, &inputs, &self.name(cx, &inputs), cx.effect, Some(&stdout_file)) {
                Applied::Applied { outputs } => Verdict::Present { outputs },
                Applied::NotApplied { failure } | Applied::FailedWithEffect { failure, .. } | Applied::Unknown { failure } => {
                    cannot_tell(failure.message)
                }
            },
        })
    }
}
