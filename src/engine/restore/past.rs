//! What earlier runs left behind: which runs there are to be given back, their steps, and the live values of what they changed.
//!
//! Must not change anything. Invariant: a run whose journal cannot be read hides none of the others, and is told.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::found::Left;
use super::inputs::Input;
use super::order::Doing;
use crate::machine::State;
use crate::machine::debts::Debt;
use crate::model::catalogue::Catalogue;
use crate::model::change::{Change, ObjectRef};
use crate::model::event::{Event, Record};
use crate::model::id::RunId;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::Failure;
use crate::model::run::{RunSpec, TargetSpec};
use crate::ports::action::{Action, Actions, Context};
use crate::ports::history::History;
use crate::ports::journal::{Journal, JournalError};

/// Where earlier runs are looked up, and what takes their changes back.
pub(super) struct Past {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) history: Arc<dyn History>,
    pub(super) actions: Actions,
    pub(super) catalogue: Arc<Catalogue>,
}

/// What the runs that are given back left behind.
#[derive(Default)]
pub(super) struct Behind {
    /// The runs, the earliest first.
    pub(super) runs: Vec<RunId>,
    /// Each doing of a step that changed fields and can be taken back by its own action.
    pub(super) debts: HashMap<Doing, Debt>,
    /// Each field of each object that they changed.
    pub(super) fields: BTreeSet<(ObjectRef, String)>,
    /// What is left alone, whatever is there.
    pub(super) left: Vec<Left>,
}

impl Past {
    pub(super) fn action(&self, name: &str) -> Result<&Arc<dyn Action>, Failure> {
        self.actions.get(name).ok_or_else(|| {
            Failure::permanent(format!("an earlier run used the action `{name}`, and this runsheet has none of that name"))
                .hint("install the plugin or the version that it was run with")
        })
    }

    /// What the runs that are given back, and this one, left behind.
    pub(super) async fn behind(&self, cx: &Context, input: &Input) -> Result<Behind, Failure> {
        let since = Timestamp::now().checked_sub(input.within.0).unwrap_or(Timestamp::MIN);
        let mut ids = self.history.runs_of(&input.playbooks, since).await.map_err(unreadable)?;
        ids.retain(|run| *run != cx.run);
        let mut behind = Behind::default();
        let mut begun = input.params.is_empty();
        for run in ids {
            let (spec, records) = match self.records(run).await {
                Ok(Some(read)) => read,
                Ok(None) => continue,
                Err(error @ JournalError::Damaged { .. }) => {
                    behind.left.push(damaged(run, &error));
                    continue;
                }
                Err(error) => return Err(unreadable(error)),
            };
            let identity = |target: &Option<TargetSpec>| target.as_ref().map(|target| target.identity.clone());
            if identity(&spec.target) != identity(&cx.target) || contradicts(&spec.params, &input.params) {
                continue;
            }
            begun |= input.params.keys().all(|name| spec.params.contains_key(name));
            if begun {
                match self.state(run, &spec, &records).await {
                    Ok(state) => behind.add(run, state.debts()),
                    Err(error @ JournalError::Damaged { .. }) => behind.left.push(damaged(run, &error)),
                    Err(error) => return Err(unreadable(error)),
                }
            }
        }
        if let Some((spec, records)) = self.records(cx.run).await.map_err(unreadable)? {
            let mut debts = self.state(cx.run, &spec, &records).await.map_err(unreadable)?.debts();
            debts.retain(|debt| debt.step != cx.step);
            // One that only gives back is none of those that are given back.
            if !debts.is_empty() || input.playbooks.contains(&spec.playbook) {
                behind.add(cx.run, debts);
            }
        }
        Ok(behind)
    }

    async fn records(&self, run: RunId) -> Result<Option<(RunSpec, Vec<Record>)>, JournalError> {
        let records = self.journal.read(run, 0).await?;
        Ok(match records.first() {
            Some(Record { event: Event::RunCreated(spec), .. }) => Some((RunSpec::clone(spec), records)),
            _ => None,
        })
    }

    async fn state(&self, run: RunId, spec: &RunSpec, records: &[Record]) -> Result<State, JournalError> {
        let definition = Arc::new(self.journal.definition(&spec.definition).await?);
        let at = records.first().map_or(Timestamp::UNIX_EPOCH, |record| record.at);
        let mut state = State::created(run, at, spec, definition, Arc::clone(&self.catalogue));
        records.iter().skip(1).for_each(|record| state.fold(record.at, &record.event));
        Ok(state)
    }

    /// The live value of each field of an intent; `None` where the object is gone.
    pub(super) async fn live(&self, cx: &Context, action: &str, intent: &Intent) -> Result<LiveValues, Failure> {
        let live = self.action(action)?.live(&context(cx), intent).await?;
        if live.len() != intent.changes.len() {
            let (read, all) = (live.len(), intent.changes.len());
            return Err(Failure::permanent(format!("{action} read {read} of its {all} fields")));
        }
        Ok(LiveValues(intent.changes.iter().cloned().zip(live).collect()))
    }
}

/// What is there now of what an intent changed.
pub(super) struct LiveValues(Vec<(Change, Option<Value>)>);

impl LiveValues {
    /// The value of this field; `None` where the object is gone.
    pub(super) fn of(&self, object: &ObjectRef, field: &str) -> Option<&Value> {
        self.0.iter().find(|(change, _)| change.object == *object && change.field == field)?.1.as_ref()
    }
}

impl Behind {
    fn add(&mut self, run: RunId, debts: Vec<Debt>) {
        self.runs.push(run);
        for debt in debts {
            if let Revert::Action { uses, .. } = &debt.intent.revert {
                self.left.push(Left {
                    object: format!("{} of run {}", debt.step, run.short()),
                    field: debt.action.clone(),
                    live: Value::Null,
                    wanted: Value::Null,
                    why: format!("it is undone by {uses}, which its own rollback runs: `runsheet rollback {}`", run.short()),
                });
                continue;
            }
            self.fields.extend(debt.intent.changes.iter().map(|change| (change.object.clone(), change.field.clone())));
            self.debts.insert((run, debt.step.clone(), debt.occurrence), debt);
        }
    }
}

/// Whether a run has one of these parameters with another value.
fn contradicts(params: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    wanted.iter().any(|(name, value)| params.get(name).is_some_and(|other| other != value))
}

fn damaged(run: RunId, error: &JournalError) -> Left {
    Left {
        object: format!("run {}", run.short()),
        field: "all that it changed".to_owned(),
        live: Value::Null,
        wanted: Value::Null,
        why: format!("its journal cannot be read: {error}"),
    }
}

/// What an action is given that takes back what it did in another run.
pub(super) fn context(cx: &Context) -> Context {
    Context {
        run: cx.run,
        step: cx.step.clone(),
        idempotency_key: cx.idempotency_key.clone(),
        attempt: cx.attempt,
        target: cx.target.clone(),
        effect: cx.effect,
        timeout: None,
        log: Arc::clone(&cx.log),
        files: cx.files.clone(),
    }
}

pub(super) fn unreadable(error: JournalError) -> Failure {
    Failure::transient(format!("the journal cannot be read: {error}")).hint(error.hint())
}
