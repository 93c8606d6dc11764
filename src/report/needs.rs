//! Whom a run waits for: the people, and what they can type.
//!
//! Must not: decide what is right; it names the likeliest answers, and the machine judges them.

use super::commands::{Suggestion, of_run, of_step, with_reason};
use super::step_view::StepView;
use super::text;
use super::view::RunView;
use crate::model::event::{GateKind, Waiting};
use crate::model::id::StepPath;
use crate::model::status::{RunStatus, StepStatus};

/// How many next commands are named.
const SUGGESTIONS: usize = 3;

/// What needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Each step that waits for a person, the most pressing kind first.
    pub needs: Vec<Need>,
    /// The three likeliest next commands, the likeliest first.
    pub commands: Vec<Suggestion>,
}

/// One step that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The step.
    pub step: StepPath,
    /// Of what kind.
    pub kind: NeedKind,
    /// Why, in one line.
    pub why: String,
    /// What to do about it, where something is known.
    pub hint: Option<String>,
}

/// Why a step waits for a person, the most pressing first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeedKind {
    /// It could not be taken back.
    Stuck,
    /// Nobody can tell what it did.
    Unknown,
    /// A gate stands before its rollback action.
    RollbackGate,
    /// It is late, and asks whether to start all the same.
    Late,
    /// A gate stands before it.
    Gate,
    /// It failed, and the run is paused.
    Failed,
}

impl NeedKind {
    /// As printed in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Unknown => "unknown",
            Self::RollbackGate => "rollback_gate",
            Self::Late => "late",
            Self::Gate => "gate",
            Self::Failed => "failed",
        }
    }
}

impl RunView {
    /// What waits for a person; `None`: nothing does.
    pub fn needs_person(&self) -> Option<Needs> {
        let needs: Vec<Need> = self.pressing().map(|(step, kind)| need(step, kind)).collect();
        let commands = self.possible(self.answers(needs.first()?, needs.len()));
        Some(Needs { needs, commands })
    }

    /// What waits for a person in short, at the cost of no more than counting: the most pressing, how many more there are, and the likeliest command.
    pub(super) fn most_pressing(&self) -> Option<(Need, usize, Suggestion)> {
        let mut pressing = self.pressing();
        let (step, kind) = pressing.next()?;
        let (need, more) = (need(step, kind), pressing.count());
        let command = self.possible(self.answers(&need, more + 1)).into_iter().next()?;
        Some((need, more, command))
    }

    /// What one step needs of a person, and the likeliest answers; `None`: nothing.
    pub fn need_of(&self, path: &StepPath) -> Option<(Need, Vec<Suggestion>)> {
        let (step, kind) = self.pressing().find(|(step, _)| step.path == *path)?;
        let need = need(step, kind);
        let answers = self.possible(self.answers(&need, 1));
        Some((need, answers))
    }

    /// Without what a living process refuses: nobody else can go on with its run.
    fn possible(&self, mut commands: Vec<Suggestion>) -> Vec<Suggestion> {
        if self.owner_alive == Some(true) {
            commands.retain(|next| !next.command.starts_with("runsheet resume "));
        }
        commands
    }

    /// The steps that wait for a person, the most pressing kind first.
    fn pressing(&self) -> impl Iterator<Item = (&StepView, NeedKind)> {
        let (stuck, paused) = (self.status == RunStatus::Stuck, self.status == RunStatus::Paused);
        let of = |kind: NeedKind| move |step| (step, kind);
        let failed_reverts = self.with_status(StepStatus::RollbackFailed).map(of(NeedKind::Stuck));
        let held = self.kept().filter(move |(_, kept)| stuck && kept.blocks).map(|(step, _)| (step, NeedKind::Stuck));
        let unknown = self.with_status(StepStatus::Unknown).map(of(NeedKind::Unknown));
        let gates = [NeedKind::RollbackGate, NeedKind::Late, NeedKind::Gate].into_iter();
        let gates = gates.flat_map(|wanted| self.gates().filter(move |(_, kind)| *kind == wanted));
        let failed =
            self.with_status(StepStatus::Failed).filter(move |step| paused && self.failed_by_itself(step)).map(of(NeedKind::Failed));
        failed_reverts.chain(held).chain(unknown).chain(gates).chain(failed).filter(|_| !self.status.is_finished())
    }

    /// The gates that wait for people.
    pub fn gates(&self) -> impl Iterator<Item = (&StepView, NeedKind)> {
        self.with_status(StepStatus::RollingBack).chain(self.with_status(StepStatus::Waiting)).filter_map(|step| {
            match step.waiting.as_deref()? {
                Waiting::Approval { gate: GateKind::Step, .. } => Some((step, NeedKind::Gate)),
                Waiting::Approval { gate: GateKind::Late, .. } => Some((step, NeedKind::Late)),
                Waiting::Approval { gate: GateKind::Rollback, .. } => Some((step, NeedKind::RollbackGate)),
                Waiting::Time { .. } | Waiting::Samples { .. } | Waiting::Lock { .. } => None,
            }
        })
    }

    /// The likeliest next commands, at most three; none for a run that ended and owes nothing.
    pub fn next_commands(&self) -> Vec<Suggestion> {
        if let Some(needs) = self.needs_person() {
            return needs.commands;
        }
        let run = self.run;
        let give_back = || (!self.owed().is_empty()).then(|| of_run("rollback", run, "give back what is owed"));
        // A rollback is brought to its end; and a run that is being cancelled waits for nothing but what it owes at its end.
        let cancel = || match self.with_status(StepStatus::Waiting).next().filter(|_| self.cancelling) {
            Some(step) => Some(with_reason("skip", run, &step.path, "it is cancelled: end it without this, which it owes at its end")),
            None => {
                (self.status != RunStatus::RollingBack && !self.cancelling).then(|| of_run("cancel", run, "end it, keep what was done"))
            }
        };
        let mut commands = Vec::new();
        match self.status {
            RunStatus::Running | RunStatus::RollingBack if self.owner_alive == Some(false) => {
                commands.push(of_run("resume", run, "go on: nobody works on it now"));
                commands.extend(give_back().filter(|_| self.status == RunStatus::Running));
                commands.extend(cancel());
            }
            RunStatus::Running | RunStatus::RollingBack => {
                commands.push(of_run("logs", run, "read what its steps print"));
                commands.extend(cancel());
            }
            RunStatus::Waiting => {
                if self.owner_alive == Some(true) {
                    commands.push(of_run("status --follow", run, "follow it: it goes on by itself"));
                } else {
                    commands.push(of_run("resume --watch", run, "stay with it, and start what becomes due"));
                    commands.push(of_run("resume --detach", run, "leave that to a process in the background"));
                }
                commands.extend(cancel());
            }
            RunStatus::Paused if self.owner_alive == Some(true) => {
                commands.push(of_run("status --follow", run, "follow it: what still runs is waited for"));
                commands.extend(cancel());
            }
            RunStatus::Paused => {
                commands.push(of_run("resume", run, "go on"));
                commands.extend(give_back());
                commands.push(of_run("cancel", run, "end it, keep what was done"));
            }
            RunStatus::Stuck => {
                commands.push(of_run("rollback", run, "try again to put back what is left"));
                commands.push(of_run("cancel", run, "end it, keep what is left"));
            }
            RunStatus::Succeeded | RunStatus::SucceededWithFailures | RunStatus::Failed | RunStatus::RolledBack | RunStatus::Cancelled => {
                commands.extend(give_back())
            }
        }
        commands.truncate(SUGGESTIONS);
        commands
    }

    /// The answers to the most pressing need.
    fn answers(&self, need: &Need, needs: usize) -> Vec<Suggestion> {
        let (run, step) = (self.run, &need.step);
        match need.kind {
            NeedKind::Stuck => vec![
                of_step("retry", run, step, "try again to put it back, once what holds it is gone"),
                with_reason("mark-done", run, step, "you have put it back by hand"),
                with_reason("skip", run, step, "leave it as it is"),
            ],
            NeedKind::Unknown => vec![
                with_reason("mark-done", run, step, "you looked: it was done"),
                with_reason("retry", run, step, "you looked: it was not done; do it again"),
                with_reason("skip", run, step, format!("leave whatever it did, and {}", self.without(step))),
            ],
            NeedKind::RollbackGate => vec![
                of_step("approve", run, step, "let its rollback action run"),
                of_step("reject", run, step, "do not run it"),
                with_reason("mark-done", run, step, "you have put it back by hand"),
            ],
            NeedKind::Late => vec![
                of_step("approve", run, step, "start it all the same"),
                with_reason("skip", run, step, self.without(step)),
                of_run("cancel", run, "end the run, keep what was done"),
            ],
            NeedKind::Gate => vec![
                of_step("approve", run, step, "open the gate"),
                of_step("reject", run, step, "refuse it"),
                of_run("cancel", run, "end the run, keep what was done"),
            ],
            NeedKind::Failed => {
                let back = if self.owed().is_empty() {
                    of_run("cancel", run, "end the run, keep what was done")
                } else {
                    of_run("rollback", run, "put back what was there before")
                };
                let which = if needs == 1 { "try it again".to_owned() } else { format!("try all {needs} again") };
                vec![of_run("resume", run, format!("{which} and go on")), with_reason("skip", run, step, self.without(step)), back]
            }
        }
    }
}

fn need(step: &StepView, kind: NeedKind) -> Need {
    let why = match kind {
        NeedKind::Stuck => match (&step.kept, &step.failure) {
            (Some(kept), _) => format!("was put back, but the platform did not follow: {}", kept.reason),
            (None, Some(failure)) => format!("could not be taken back: {}", failure.message),
            (None, None) => "could not be taken back".to_owned(),
        },
        NeedKind::Unknown => format!("nobody can tell what it did: {}", step.unknown.as_deref().unwrap_or("no answer came")),
        NeedKind::RollbackGate | NeedKind::Late | NeedKind::Gate => asked(step, kind),
        NeedKind::Failed => format!("failed: {}", step.failure.as_ref().map_or("no reason was given", |failure| &failure.message)),
    };
    let hint = match kind {
        NeedKind::Stuck | NeedKind::Failed => step.failure.as_ref().and_then(|failure| failure.hint.as_deref()).map(text::clean),
        NeedKind::Unknown | NeedKind::RollbackGate | NeedKind::Late | NeedKind::Gate => None,
    };
    Need { step: step.path.clone(), kind, why: text::once(&text::clean(&why)), hint }
}

/// What a gate asks, of whom.
fn asked(step: &StepView, kind: NeedKind) -> String {
    let Some(Waiting::Approval { count, by, message, .. }) = step.waiting.as_deref() else { return "waits for an approval".to_owned() };
    let what = match kind {
        NeedKind::Late => "its time is over; waits for an approval to start all the same",
        NeedKind::RollbackGate => "waits for an approval before its rollback action runs",
        NeedKind::Stuck | NeedKind::Unknown | NeedKind::Gate | NeedKind::Failed => "waits for an approval",
    };
    let mut words = what.to_owned();
    if *count > 1 || !step.approved.is_empty() {
        words.push_str(&format!(" ({} of {count}", step.approved.len()));
        words.push_str(&if step.approved.is_empty() { ")".to_owned() } else { format!(": {})", step.approved.join(", ")) });
    }
    if !by.is_empty() {
        words.push_str(&format!(" by {}", by.join(" or ")));
    }
    if let Some(message) = message {
        words.push_str(&format!(": {message}"));
    }
    words
}
