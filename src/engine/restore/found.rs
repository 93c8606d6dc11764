//! What earlier runs changed, field by field: what can go back, and what is left alone.
//!
//! Must not change anything. Invariant: what is found is all that giving back needs: neither a playbook nor the journal is read again.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::inputs::Input;
use crate::machine::State;
use crate::machine::debts::Debt;
use crate::model::catalogue::Catalogue;
use crate::model::change::{Change, LedgerEntry, ObjectRef, Swap, in_force, is_given_back, to_give_back};
use crate::model::event::{Event, Record};
use crate::model::id::{RunId, StepPath};
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::Failure;
use crate::model::run::RunSpec;
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

/// Fields that one step changed first, and that go back together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Giving {
    /// The run whose value goes back there.
    pub(super) run: RunId,
    /// Its step.
    pub(super) step: StepPath,
    /// Which doing of it.
    pub(super) occurrence: u32,
    /// Its action.
    pub(super) action: String,
    /// Its intent.
    pub(super) intent: Intent,
    /// From what is there to what was.
    pub(super) swaps: Vec<Swap>,
}

/// A field that is left alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Left {
    /// The object, in words.
    pub(super) object: String,
    /// What people call the field.
    pub(super) field: String,
    /// What is there; nothing where the object is gone, or it was not looked at.
    pub(super) live: Value,
    /// What was there before.
    pub(super) wanted: Value,
    /// Why.
    pub(super) why: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Found {
    /// The runs that were looked at, the earliest first.
    pub(super) runs: Vec<RunId>,
    /// What can go back, in the order in which it does: what was changed last goes first.
    pub(super) give: Vec<Giving>,
    /// What is left alone.
    pub(super) left: Vec<Left>,
}

/// A run, as far as it is told by what it was started with and what it left behind.
struct Earlier {
    run: RunId,
    debts: Vec<Debt>,
}

impl Found {
    /// As it was observed.
    pub(super) fn of(prior: &Value) -> Result<Self, Failure> {
        Self::deserialize(prior).map_err(|error| Failure::permanent(format!("what was found of earlier runs cannot be read: {error}")))
    }

    /// The step's outputs, where all of it has gone back.
    pub(super) fn outputs(&self) -> Value {
        json!({
            "given_back": self.give.iter().flat_map(Giving::told).collect::<Vec<_>>(),
            "left": self.left,
            "runs": self.runs.iter().map(RunId::short).collect::<Vec<_>>(),
        })
    }
}

impl Past {
    pub(super) fn action(&self, name: &str) -> Result<&Arc<dyn Action>, Failure> {
        self.actions.get(name).ok_or_else(|| {
            Failure::permanent(format!("an earlier run used the action `{name}`, and this runsheet has none of that name"))
                .hint("install the plugin or the version that it was run with")
        })
    }

    /// Looks at the runs, at the ledger, and at what is there now.
    pub(super) async fn find(&self, cx: &Context, input: &Input) -> Result<Found, Failure> {
        let mut runs = Vec::new();
        let mut left = Vec::new();
        // For each field the first step that is known to have changed it, in the order of the intents.
        let mut fields: Vec<(ObjectRef, String)> = Vec::new();
        let mut debts: HashMap<(RunId, StepPath, u32), Debt> = HashMap::new();
        for earlier in self.chosen(cx, input).await? {
            runs.push(earlier.run);
            for debt in earlier.debts {
                if let Revert::Action { uses, .. } = &debt.intent.revert {
                    left.push(Left {
                        object: format!("{} of run {}", debt.step, earlier.run.short()),
                        field: debt.action.clone(),
                        live: Value::Null,
                        wanted: Value::Null,
                        why: format!("it is undone by {uses}, which its own rollback runs: `runsheet rollback {}`", earlier.run.short()),
                    });
                }
                for change in &debt.intent.changes {
                    let field = (change.object.clone(), change.field.clone());
                    if !fields.contains(&field) {
                        fields.push(field);
                    }
                }
                debts.insert((earlier.run, debt.step.clone(), debt.occurrence), debt);
            }
        }
        let is_chosen =
            |entry: &LedgerEntry| runs.contains(&entry.run) && debts.contains_key(&(entry.run, entry.step.clone(), entry.occurrence));
        let mut give: Vec<(i64, Giving)> = Vec::new();
        for (object, field) in fields {
            let mut history = self.journal.ledger(&object, &field).await.map_err(unreadable)?;
            // What another run began and may not have done leads nowhere for certain; if it was done, what is there now is not ours.
            history.retain(|entry| entry.settled || is_chosen(entry));
            let chain = to_give_back(&history, is_chosen);
            let (Some(first), Some(last)) = (chain.first(), chain.last()) else {
                left.extend(changed_since(&history, is_chosen));
                continue;
            };
            left.extend(broken_off(&history, first, is_chosen));
            let Some(debt) = debts.get(&(first.run, first.step.clone(), first.occurrence)) else { continue };
            let swap =
                Swap { object, field, label: first.change.label.clone(), from: last.change.after.clone(), to: first.change.prior.clone() };
            let same = |giving: &Giving| giving.run == first.run && giving.step == first.step && giving.occurrence == first.occurrence;
            match give.iter_mut().find(|(_, giving)| same(giving)) {
                Some((_, giving)) => giving.swaps.push(swap),
                None => give.push((
                    first.position,
                    Giving {
                        run: first.run,
                        step: first.step.clone(),
                        occurrence: first.occurrence,
                        action: debt.action.clone(),
                        intent: Intent::clone(&debt.intent),
                        swaps: vec![swap],
                    },
                )),
            }
        }
        give.sort_by_key(|(position, _)| std::cmp::Reverse(*position));
        let give = give.into_iter().map(|(_, giving)| giving).collect();
        self.compared(cx, Found { runs, give, left }).await
    }

    /// The runs that are given back, the earliest first, and this one.
    async fn chosen(&self, cx: &Context, input: &Input) -> Result<Vec<Earlier>, Failure> {
        let since = Timestamp::now().checked_sub(input.within.0).unwrap_or(Timestamp::MIN);
        let mut ids = self.history.runs_of(&input.playbooks, since).await.map_err(unreadable)?;
        ids.retain(|run| *run != cx.run);
        let mut chosen = Vec::new();
        let mut begun = input.params.is_empty();
        for run in ids {
            let Some((spec, records)) = self.records(run).await? else { continue };
            let identity = |target: &Option<crate::model::run::TargetSpec>| target.as_ref().map(|target| target.identity.clone());
            if identity(&spec.target) != identity(&cx.target) || contradicts(&spec.params, &input.params) {
                continue;
            }
            begun |= input.params.keys().all(|name| spec.params.contains_key(name));
            if begun {
                chosen.push(Earlier { run, debts: self.state(run, &spec, &records).await?.debts() });
            }
        }
        if let Some((spec, records)) = self.records(cx.run).await? {
            let mut debts = self.state(cx.run, &spec, &records).await?.debts();
            debts.retain(|debt| debt.step != cx.step);
            chosen.push(Earlier { run: cx.run, debts });
        }
        Ok(chosen)
    }

    async fn records(&self, run: RunId) -> Result<Option<(RunSpec, Vec<Record>)>, Failure> {
        let records = self.journal.read(run, 0).await.map_err(unreadable)?;
        Ok(match records.first() {
            Some(Record { event: Event::RunCreated(spec), .. }) => Some((RunSpec::clone(spec), records)),
            _ => None,
        })
    }

    async fn state(&self, run: RunId, spec: &RunSpec, records: &[Record]) -> Result<State, Failure> {
        let definition = Arc::new(self.journal.definition(&spec.definition).await.map_err(unreadable)?);
        let at = records.first().map_or(Timestamp::UNIX_EPOCH, |record| record.at);
        let mut state = State::created(run, at, spec, definition, Arc::clone(&self.catalogue));
        records.iter().skip(1).for_each(|record| state.fold(record.at, &record.event));
        Ok(state)
    }

    /// With the live values: what is as it was needs nothing, and what is neither ours nor as it was is left alone.
    async fn compared(&self, cx: &Context, found: Found) -> Result<Found, Failure> {
        let Found { runs, give, mut left } = found;
        let mut ours = Vec::new();
        for mut giving in give {
            let live = self.live(cx, &giving).await?;
            let mut values = live.into_iter();
            giving.swaps.retain(|swap| {
                let live = values.next().flatten();
                let keep = live.as_ref() == Some(&swap.from);
                if !keep && live.as_ref() != Some(&swap.to) {
                    left.push(foreign(swap, live));
                }
                keep
            });
            if !giving.swaps.is_empty() {
                ours.push(giving);
            }
        }
        Ok(Found { runs, give: ours, left })
    }

    /// The live value of each field that is to go back; `None` where the object is gone.
    pub(super) async fn live(&self, cx: &Context, giving: &Giving) -> Result<Vec<Option<Value>>, Failure> {
        let live = self.action(&giving.action)?.live(&context(cx), &giving.intent).await?;
        if live.len() != giving.intent.changes.len() {
            let (read, all) = (live.len(), giving.intent.changes.len());
            return Err(Failure::permanent(format!("{} read {read} of its {all} fields", giving.action)));
        }
        let of = |swap: &Swap| {
            let is = |change: &Change| change.object == swap.object && change.field == swap.field;
            giving.intent.changes.iter().position(is).and_then(|at| live.get(at).cloned().flatten())
        };
        Ok(giving.swaps.iter().map(of).collect())
    }
}

/// Whether a run has one of these parameters with another value.
fn contradicts(params: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    wanted.iter().any(|(name, value)| params.get(name).is_some_and(|other| other != value))
}

/// A field whose last change is not one of these runs'.
fn changed_since(history: &[LedgerEntry], chosen: impl Fn(&LedgerEntry) -> bool) -> Option<Left> {
    let in_force = in_force(history);
    let last = in_force.last().filter(|last| !chosen(last))?;
    let own = in_force.iter().find(|entry| chosen(entry))?;
    if is_given_back(history, own) {
        return None;
    }
    Some(Left {
        object: last.change.object.in_words(),
        field: last.change.label.clone(),
        live: Value::Null,
        wanted: own.change.prior.clone(),
        why: format!("{} of run {} has changed it since", last.step, last.run.short()),
    })
}

/// Where the chain that goes back does not reach the first change of these runs.
fn broken_off(history: &[LedgerEntry], first: &LedgerEntry, chosen: impl Fn(&LedgerEntry) -> bool) -> Option<Left> {
    let in_force = in_force(history);
    let earlier: Vec<&&LedgerEntry> = in_force.iter().filter(|entry| entry.position < first.position && chosen(entry)).collect();
    let (oldest, latest) = (earlier.first()?, earlier.last()?);
    if latest.change.after == oldest.change.prior || oldest.change.prior == first.change.prior {
        return None;
    }
    Some(Left {
        object: first.change.object.in_words(),
        field: first.change.label.clone(),
        live: first.change.prior.clone(),
        wanted: oldest.change.prior.clone(),
        why: format!(
            "run {} had set it to {}, and it was {} when run {} came: somebody else set it in between",
            latest.run.short(),
            latest.change.after,
            first.change.prior,
            first.run.short()
        ),
    })
}

/// A field that is neither as these runs left it nor as it was before.
pub(super) fn foreign(swap: &Swap, live: Option<Value>) -> Left {
    let why = match &live {
        Some(live) => format!("somebody else has set it to {live}: it was {} when these runs had done", swap.from),
        None => "the object is gone, or another is there under its name".to_owned(),
    };
    Left { object: swap.object.in_words(), field: swap.label.clone(), live: live.unwrap_or(Value::Null), wanted: swap.to.clone(), why }
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

fn unreadable(error: JournalError) -> Failure {
    Failure::transient(format!("the journal cannot be read: {error}")).hint(error.hint())
}
