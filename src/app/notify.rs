//! Puts what happens to a run into words for those whom its environment wants told, and wires them up.
//!
//! Must not wait: what is told is delivered by tasks of its own.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::confirm::Wishes;
use super::operator::host;
use super::{App, AppError};
use crate::environment::{Environment, SecretValues};
use crate::model::definition::Definition;
use crate::model::event::{Record, Waiting};
use crate::model::id::{RunId, StepPath};
use crate::model::notification::Occasion;
use crate::model::status::RunStatus;
use crate::notify::{Describe, Given, Limits, News, Next, Notice, Notifier, Settings, Telling, Warn};
use crate::ports::observer::{Observer, Progress};
use crate::report::{Owed, RunView, Suggestion};

/// How many of the things that are left behind a message names.
const NAMED: usize = 3;
/// How large the log of what could not be told may become, in bytes.
const LOG: u64 = 1 << 20;

/// A run's own teller of news.
pub(super) type RunTelling = Telling<Words>;

impl App {
    /// Those whom the run's environment wants told; `None`: nobody. `records`: what happened before; nothing of it is told.
    ///
    /// # Errors
    /// When this program does not know where it is itself, or has no threads.
    pub(super) fn telling(
        &self,
        run: RunId,
        definition: &Definition,
        records: &[Record],
        environment: Option<&Environment>,
        secrets: &SecretValues,
        warn: &Warn,
    ) -> Result<Option<Arc<RunTelling>>, AppError> {
        let Some(environment) = environment else { return Ok(None) };
        let rules = Wishes::of(environment).notify;
        if rules.is_empty() {
            return Ok(None);
        }
        let supervisor = std::env::current_exe()
            .map_err(|error| AppError::System { what: "this program's own file cannot be found".to_owned(), why: error.to_string() })?;
        let files = self.locations.files(run);
        let settings = Settings {
            rules,
            connections: Arc::clone(&environment.connections),
            secrets: secrets.clone(),
            supervisor,
            cwd: self.locations.root.clone(),
            warn: logged(files.join("notify.log"), Arc::clone(warn)),
            files,
            limits: Limits::default(),
        };
        let notifier = Notifier::start(&settings, self.runtime()?.handle());
        let words = Words { view: RunView::new(run).with_definition(definition), host: host() };
        Ok(Some(Arc::new(Telling::new(run, records, words, notifier))))
    }

    /// Waits, for a limited time, for what is not told yet. An interrupt ends the waiting.
    ///
    /// # Errors
    /// As [`App::runtime`].
    pub(super) fn finish_telling(&self, telling: &RunTelling) -> Result<(), AppError> {
        self.runtime()?.block_on(async {
            tokio::select! {
                () = telling.finish() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        });
        Ok(())
    }
}

/// Warnings are kept with the run's files too.
pub(super) fn logged(log: PathBuf, warn: Warn) -> Warn {
    Arc::new(move |what| {
        let append = || {
            if let Some(folder) = log.parent() {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&log)?;
            if file.metadata()?.len() < LOG { writeln!(file, "{} {what}", jiff::Timestamp::now()) } else { Ok(()) }
        };
        if let Err(error) = append() {
            tracing::warn!(%error, "what could not be told cannot be logged");
        }
        tracing::warn!("{what}");
        warn(what);
    })
}

/// Two who are told the same.
pub(super) struct Both(pub Arc<dyn Observer>, pub Arc<dyn Observer>);

impl Observer for Both {
    fn committed(&self, run: RunId, records: &[Record]) {
        self.0.committed(run, records);
        self.1.committed(run, records);
    }

    fn progress(&self, run: RunId, step: &StepPath, progress: &Progress) {
        self.0.progress(run, step, progress);
        self.1.progress(run, step, progress);
    }
}

/// A run as it stands, to be told in words.
pub(super) struct Words {
    view: RunView,
    host: String,
}

impl Describe for Words {
    fn apply(&mut self, record: &Record) {
        self.view.apply(record);
    }

    fn describe(&self, news: &News) -> Notice {
        let view = &self.view;
        let owed = view.owed();
        let next = self.next(news);
        let message = self.message(news, &owed, next.first());
        Notice {
            occasions: news.occasions.clone(),
            seq: news.seq,
            at: news.at,
            run: view.run(),
            playbook: view.playbook().to_owned(),
            environment: view.environment().map(str::to_owned),
            status: view.status(),
            step: news.step.clone(),
            message,
            owed: owed
                .into_iter()
                .map(|owed| Given { what: owed.in_words(), steps: owed.steps, undo_by_hand: owed.undo_by_hand })
                .collect(),
            next: next.into_iter().map(|Suggestion { command, what }| Next { command, what }).collect(),
            host: self.host.clone(),
            operator: view.spec().map(|spec| spec.by.clone()).unwrap_or_default(),
        }
    }
}

impl Words {
    fn next(&self, news: &News) -> Vec<Suggestion> {
        let of_step = news.step.as_ref().and_then(|step| self.view.need_of(step));
        of_step.map_or_else(|| self.view.next_commands(), |(_, answers)| answers)
    }

    /// `pre-event 3fa9c1d2 on staging`
    fn subject(&self) -> String {
        let on = self.view.environment().map(|name| format!(" on {name}")).unwrap_or_default();
        format!("{} {}{on}", self.view.playbook(), self.view.run().short())
    }

    fn message(&self, news: &News, owed: &[Owed], next: Option<&Suggestion>) -> String {
        let (view, subject) = (&self.view, self.subject());
        let by = view.spec().map_or("", |spec| spec.by.as_str());
        let reason = view.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        let typed = next.map(|next| format!(" Next: {}", next.command)).unwrap_or_default();
        match news.occasions.first() {
            Some(Occasion::Started) | None => format!("{subject} has started, by {by}."),
            Some(Occasion::Waiting) => format!("{}{typed}", sentence(format!("{subject}: {}", self.waits_for(news.step.as_ref())))),
            Some(Occasion::Failed) if view.status().is_finished() => {
                format!("{}{}", sentence(format!("{subject} failed{reason}")), owes(owed))
            }
            Some(Occasion::Failed) => match view.rollback().filter(|rollback| !rollback.ended) {
                Some(rollback) => format!("{subject}: {}; what ran is being taken back.", rollback.reason),
                None => format!("{}{typed}", sentence(format!("{subject} is paused{reason}"))),
            },
            Some(Occasion::Stuck) => {
                let left: Vec<String> = owed.iter().take(NAMED).map(Owed::in_words).collect();
                let more = owed.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let left = if left.is_empty() { String::new() } else { format!(" Left behind: {}{more}.", left.join("; ")) };
                format!("{}{left}{typed}", sentence(format!("{subject} is stuck, an operator must decide{reason}")))
            }
            Some(Occasion::Finished | Occasion::Owed) => {
                let ended = match view.status() {
                    RunStatus::Succeeded => "succeeded",
                    RunStatus::SucceededWithFailures => "succeeded, but for steps that failed and may",
                    RunStatus::RolledBack => "is rolled back",
                    RunStatus::Cancelled => "is cancelled",
                    other => other.as_str(),
                };
                format!("{}{}", sentence(format!("{subject} {ended}{reason}")), owes(owed))
            }
        }
    }

    /// What is waited for at a step.
    fn waits_for(&self, step: Option<&StepPath>) -> String {
        let Some(step) = step else { return "waits".to_owned() };
        if let Some((need, _)) = self.view.need_of(step) {
            return format!("step {step} {}", need.why);
        }
        match self.view.step(step.as_str()).and_then(|step| step.waiting.as_deref()) {
            Some(Waiting::Time { until }) => format!("step {step} waits until {until}"),
            Some(Waiting::Samples { .. }) => format!("step {step} samples"),
            Some(Waiting::Lock { object, holder }) => format!("step {step} waits for the lock on {object}, which is held by {holder}"),
            Some(Waiting::Approval { .. }) | None => format!("step {step} waits"),
        }
    }
}

/// With a full stop, where nothing else ends it.
fn sentence(mut text: String) -> String {
    if !text.ends_with(['.', '?', '!', '…']) {
        text.push('.');
    }
    text
}

fn owes(owed: &[Owed]) -> String {
    match owed {
        [] => String::new(),
        [one] => format!(" To be given back: {}.", one.in_words()),
        many => format!(" To be given back: {} changes.", many.len()),
    }
}

#[cfg(test)]
#[path = "notify_tests.rs"]
mod tests;
