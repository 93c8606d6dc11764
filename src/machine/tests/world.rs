//! A world for the machine to act on: fields with values, calls that were made, and faults to order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::machine::decide::Answer;
use crate::machine::standing::standing;
use crate::machine::task::{Task, What};
use crate::model::id::StepPath;
use crate::model::intent::Intent;
use crate::model::ledger::LedgerEntry;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};

/// What is ordered to go wrong, by step.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// So many attempts certainly do not reach the target.
    Refused(u32),
    /// No attempt ever succeeds.
    Broken,
    /// So many answers are lost after the effect.
    AnswerLost(u32),
    /// So many requests are lost before the effect, and nobody knows.
    RequestLost(u32),
    /// So many attempts fail and may have had an effect.
    FailsWithEffect(u32),
    /// Its revert never works.
    RevertBroken,
    /// So many answers of its revert are lost after the effect.
    RevertAnswerLost(u32),
    /// Somebody else sets its field to this, once its attempt has worked.
    Foreign(i64),
    /// The platform never follows its revert.
    NeverFollows,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    pub fields: BTreeMap<String, i64>,
    /// How often each `once` and `again` call took effect.
    pub calls: BTreeMap<String, u32>,
    pub faults: BTreeMap<String, Vec<Fault>>,
    /// Effects in order, for tests of order.
    pub log: Vec<String>,
    /// The alerts whose conditions hold.
    pub alarms: Vec<String>,
}

impl World {
    /// The fields start at these values.
    pub fn of(fields: &[(&str, i64)]) -> Self {
        Self { fields: fields.iter().map(|(name, value)| ((*name).into(), *value)).collect(), ..Self::default() }
    }

    pub fn fault(mut self, step: &str, fault: Fault) -> Self {
        self.faults.entry(step.into()).or_default().push(fault);
        self
    }

    /// Whether this fault strikes now; those that count are used up.
    fn strikes(&mut self, step: &StepPath, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let fault = self.faults.get_mut(step.as_str())?.iter_mut().find(|fault| wanted(fault))?;
        let found = fault.clone();
        match fault {
            Fault::Refused(n) | Fault::AnswerLost(n) | Fault::RequestLost(n) | Fault::FailsWithEffect(n) | Fault::RevertAnswerLost(n) => {
                if *n == 0 {
                    return None;
                }
                *n -= 1;
            }
            Fault::Broken | Fault::RevertBroken | Fault::Foreign(_) | Fault::NeverFollows => {}
        }
        Some(found)
    }

    fn value(&self, field: &str) -> Value {
        self.fields.get(field).map_or(Value::Null, |value| json!(value))
    }

    fn effect(&mut self, step: &StepPath, action: &str, inputs: &Value, intent: &Intent) -> Applied {
        match action {
            "set" => {
                let change = &intent.changes[0];
                let live = self.value(&change.field);
                if live == change.after {
                    return Applied::Applied { outputs: json!({ "value": change.after }) };
                }
                if live != change.prior {
                    return Applied::NotApplied { failure: Failure::permanent("somebody else changed it") };
                }
                self.fields.insert(change.field.clone(), inputs["value"].as_i64().unwrap_or_default());
                self.log.push(format!("{step}: {} {} -> {}", change.field, change.prior, change.after));
            }
            "once" | "again" | "sure" => {
                *self.calls.entry(step.to_string()).or_default() += 1;
                self.log.push(format!("{step}: call"));
            }
            _ => {}
        }
        Applied::Applied { outputs: json!({}) }
    }

    /// Carries a task out and gives its answer.
    pub fn carry_out(&mut self, task: &Task, ledger: &[LedgerEntry]) -> Answer {
        let unknown = || Applied::Unknown { failure: Failure::transient("the answer was lost") };
        match &task.what {
            What::Watch(_) => Answer::Watched(Ok(json!({ "samples": 1 }))),
            What::Observe { inputs, .. } => Answer::Observed(Ok(self.value(inputs.value["field"].as_str().unwrap_or_default()))),
            What::Check { check, .. } => Answer::Checked(
                check.holds(&Value::Null).and_then(
                    |holds| {
                        if holds { Ok(()) } else { Err(Failure::permanent(check.complaint(&Value::Null))) }
                    },
                ),
            ),
            What::Apply { action, inputs, intent } | What::RevertApply { action, inputs, intent } => {
                if matches!(task.what, What::RevertApply { .. }) {
                    if self.strikes(&task.step, |fault| matches!(fault, Fault::RevertBroken)).is_some() {
                        return Answer::Applied(Applied::NotApplied { failure: Failure::transient("refused") });
                    }
                    let outcome = self.effect(&task.step, action, &inputs.value, intent);
                    let lost = self.strikes(&task.step, |fault| matches!(fault, Fault::RevertAnswerLost(n) if *n > 0)).is_some();
                    return Answer::Applied(if lost { unknown() } else { outcome });
                }
                if self.strikes(&task.step, |fault| matches!(fault, Fault::Refused(n) if *n > 0)).is_some() {
                    return Answer::Applied(Applied::NotApplied { failure: Failure::transient("refused") });
                }
                if self.strikes(&task.step, |fault| matches!(fault, Fault::Broken)).is_some() {
                    return Answer::Applied(Applied::NotApplied { failure: Failure::permanent("broken") });
                }
                if self.strikes(&task.step, |fault| matches!(fault, Fault::RequestLost(n) if *n > 0)).is_some() {
                    return Answer::Applied(unknown());
                }
                let outcome = self.effect(&task.step, action, &inputs.value, intent);
                if self.strikes(&task.step, |fault| matches!(fault, Fault::AnswerLost(n) if *n > 0)).is_some() {
                    return Answer::Applied(unknown());
                }
                if self.strikes(&task.step, |fault| matches!(fault, Fault::FailsWithEffect(n) if *n > 0)).is_some() {
                    return Answer::Applied(Applied::FailedWithEffect { failure: Failure::permanent("exit 1"), outputs: json!({}) });
                }
                if let Some(Fault::Foreign(value)) = self.strikes(&task.step, |fault| matches!(fault, Fault::Foreign(_))) {
                    self.fields.insert(intent.changes[0].field.clone(), value);
                }
                Answer::Applied(outcome)
            }
            What::Verify { action, intent, .. } | What::RevertVerify { action, intent, .. } => {
                Answer::Verified(Ok(match action.as_str() {
                    "set" => {
                        let change = &intent.changes[0];
                        match self.value(&change.field) {
                            live if live == change.after => Verdict::Present { outputs: json!({ "value": live }) },
                            live if live == change.prior => Verdict::Absent,
                            live => Verdict::CannotTell { reason: format!("it is {live}") },
                        }
                    }
                    _ => Verdict::CannotTell { reason: "nobody can be asked".into() },
                }))
            }
            What::ReadLive { intent, .. } => Answer::Live(Ok(intent
                .changes
                .iter()
                .map(|change| {
                    let live = self.value(&change.field);
                    let chain: Vec<LedgerEntry> = ledger.iter().filter(|entry| entry.change.field == change.field).cloned().collect();
                    standing(change, (!live.is_null()).then_some(&live), &chain)
                })
                .collect())),
            What::Swap { swaps, .. } => {
                if self.strikes(&task.step, |fault| matches!(fault, Fault::RevertBroken)).is_some() {
                    return Answer::Swapped(Applied::NotApplied { failure: Failure::transient("refused") });
                }
                for swap in swaps {
                    if self.value(&swap.field) != swap.from {
                        return Answer::Swapped(Applied::NotApplied { failure: Failure::transient("it has changed") });
                    }
                    self.fields.insert(swap.field.clone(), swap.to.as_i64().unwrap_or_default());
                    self.log.push(format!("{}: {} back to {}", task.step, swap.field, swap.to));
                }
                if self.strikes(&task.step, |fault| matches!(fault, Fault::RevertAnswerLost(n) if *n > 0)).is_some() {
                    return Answer::Swapped(unknown());
                }
                Answer::Swapped(Applied::Applied { outputs: Value::Null })
            }
            What::Follow { .. } => Answer::Followed(Ok(match self.strikes(&task.step, |fault| matches!(fault, Fault::NeverFollows)) {
                Some(_) => Followed::No { holds: "3 pods remain".into() },
                None => Followed::Yes,
            })),
        }
    }
}
