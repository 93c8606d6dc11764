//! An event in one plain line, for where there is no terminal: `19:00:03  scale           running          replicas 2 → 8`.
//!
//! Must not: print what does not matter to who reads it (an expanded list, an owner's epoch). Invariant: the status is written as everywhere else.

use super::fold::{failure_of, scope_in_words};
use super::prose::wrapped;
use super::said;
use super::style::{Role, Style, of_run, of_step};
use super::text;
use super::view::RunView;
use crate::model::event::{Event, GateKind, Phase, Record, ResetTo, RollbackScope, SkipReason, Success, Waiting};
use crate::model::instruction::Command;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::status::RunStatus;

/// The longest name that the column of names makes room for.
const NAME_LIMIT: usize = 24;
/// How far the rest of a line that is broken on a terminal is indented: beneath the names.
const HANGING: usize = 10;
/// The shortest, so that short playbooks line up alike.
const NAME_LEAST: usize = 14;
/// `rollback_failed`, the longest status of a step.
pub(super) const STATUS_WIDTH: usize = 15;

/// The line for a record that was just applied to the view; `None` where there is nothing to say. Not cut to the width: logs are searched.
pub fn line(view: &RunView, record: &Record, style: &Style) -> Option<String> {
    let (subject, word, role, what) = match record.event.step() {
        Some(path) => {
            let what = about_step(view, &record.event, style)?;
            let status = view.step(path.as_str()).map(|step| step.status)?;
            (text::clean(path.as_str()), status.as_str(), of_step(status).1, what)
        }
        None => {
            let what = about_run(view, &record.event, style)?;
            let (word, role) = match &record.event {
                // Where the run stands once it has taken that, the next line says.
                Event::Instructed { .. } => ("told", Role::Quiet),
                Event::RollbackBegan { scope: RollbackScope::Run | RollbackScope::Only { .. }, .. } => {
                    (RunStatus::RollingBack.as_str(), of_run(RunStatus::RollingBack))
                }
                Event::RunStatusChanged { .. } if view.refused().is_some() => (view.word(), of_run(view.status())),
                _ => (view.status().as_str(), of_run(view.status())),
            };
            (format!("run {}", view.run().short()), word, role, what)
        }
    };
    Some(columns(view, style, &text::time(record.at, style), &subject, (word, role), &what))
}

/// A line of a step's output: `19:00:03  warm_pool       |                8 of 8 pods answered`.
pub fn output(view: &RunView, at: jiff::Timestamp, step: &str, line: &str, style: &Style) -> String {
    columns(view, style, &text::time(at, style), &text::clean(step), ("|", Role::Quiet), &text::clean(line))
}

fn columns(view: &RunView, style: &Style, time: &str, subject: &str, (word, role): (&str, Role), what: &str) -> String {
    let width = name_width(view);
    // A name that is too long keeps its end: that is where instances differ.
    let fill = " ".repeat(width.saturating_sub(text::columns(subject)));
    let gap = " ".repeat(STATUS_WIDTH.saturating_sub(word.len()));
    let line = format!("{}  {subject}{fill}  {}{gap}  {what}", style.paint(Role::Quiet, time), style.paint(role, word));
    // Logs are searched, so that a line stays whole but on a terminal, which would break it within words.
    if style.wrap { wrapped(line.trim_end(), style.width, HANGING).join("\n") } else { line.trim_end().to_owned() }
}

/// The column of names: as wide as the widest step of the root playbook, within limits. It never changes during a run.
fn name_width(view: &RunView) -> usize {
    view.outline.widest.clamp(NAME_LEAST, NAME_LIMIT)
}

fn about_run(view: &RunView, event: &Event, style: &Style) -> Option<String> {
    Some(match event {
        Event::RunCreated(spec) => {
            let mut what = spec.playbook.clone();
            for (name, value) in &spec.params {
                what.push_str(&format!(" {}={}", text::clean(name), text::value(value)));
            }
            if let Some(environment) = view.environment() {
                what.push_str(&format!(" on {}", text::clean(environment)));
            }
            what
        }
        Event::RunOwned { .. } | Event::RunOutputs { .. } | Event::RollbackEnded { .. } => return None,
        // It was said when the rollback began.
        Event::RunStatusChanged { status: RunStatus::RollingBack, reason }
            if view.rollback().is_some_and(|it| Some(it.began_at) == view.updated_at() && reason.as_ref() == Some(&it.reason)) =>
        {
            return None;
        }
        Event::RunStatusChanged { status, .. } => {
            let from = match (status, view.rollback()) {
                (RunStatus::RolledBack, Some(rollback)) => Some(rollback.began_at),
                _ => view.created_at(),
            };
            let took = status.is_finished().then(|| from.zip(view.updated_at())).flatten();
            let took = took.map(|(from, to)| format!("in {}", text::duration(from, to)));
            let waits = (*status == RunStatus::Paused).then(|| view.winding_down(style)).flatten();
            [took, view.why(), waits].into_iter().flatten().collect::<Vec<_>>().join(": ")
        }
        Event::RollbackBegan { scope, reason } => format!("takes back {}: {}", scope_in_words(scope), text::clean(reason)),
        Event::CancelBegan => "ends when what runs has finished".to_owned(),
        Event::Instructed { by, command, reason, .. } => {
            let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            text::clean(&format!("{by}: {}{why}", told(command)))
        }
        // What cannot be paused ends what runs, all the same.
        Event::InstructionRefused { command: Command::Pause, .. } if view.winding_down(style).is_some() => view.winding_down(style)?,
        Event::InstructionRefused { by, command, why, .. } => text::clean(&format!("refused {by}'s {}: {why}", told(command))),
        _ => return None,
    })
}

/// What an operator said, as typed.
pub(super) fn told(command: &Command) -> String {
    let name = command.name();
    match command {
        Command::Approve { step }
        | Command::Reject { step }
        | Command::Retry { step }
        | Command::Skip { step }
        | Command::MarkDone { step, .. } => format!("{name} {step}"),
        Command::Pause | Command::Resume => name.to_owned(),
        Command::Cancel { rollback } => if *rollback { "cancel --rollback" } else { "cancel" }.to_owned(),
        Command::Rollback { only } if only.is_empty() => name.to_owned(),
        Command::Rollback { only } => {
            format!("{name} --only {}", only.iter().take(5).map(|step| step.as_str()).collect::<Vec<_>>().join(" "))
        }
    }
}

fn about_step(view: &RunView, event: &Event, style: &Style) -> Option<String> {
    let step = event.step().and_then(|path| view.step(path.as_str()))?;
    let of = |attempt: u32| match step.attempts() {
        // After a `resume` it has fresh attempts, and they are counted on.
        Some(all) if all > 1 && attempt <= all => format!("attempt {attempt}/{all}"),
        _ => format!("attempt {attempt}"),
    };
    Some(match event {
        Event::StepExpanded { items, .. } => text::count(items.len(), "instance"),
        Event::PlaybookCalled { .. } => match step.outline.as_ref().and_then(|outline| outline.calls.as_deref()) {
            Some(name) => format!("calls {name}"),
            None => return None,
        },
        Event::MonitorFired { item, .. } => fired(item),
        Event::StepWaiting { wait, .. } => waiting(wait, style),
        Event::GateApproved { by, open, .. } => {
            format!("approved by {}{}", text::clean(by), if *open { "" } else { ", more are needed" })
        }
        Event::WaitOver { .. } | Event::CheckPassed { phase: Phase::Before, .. } => return None,
        Event::StepStarted { .. } | Event::AttemptStarted { attempt: 1, .. } => {
            let begun = matches!(event, Event::StepStarted { .. });
            let changes = step.intent.as_deref().and_then(said::with_changes);
            // A step that observes first says what it is when it starts, and what it changes when it knows.
            match (begun, step.uses(), changes) {
                (true, Some(uses), Some(changes)) => format!("{uses} {changes}"),
                (true, Some(uses), None) => uses.to_owned(),
                (true, None, Some(changes)) | (false, _, Some(changes)) => changes,
                (true, None, None) => "started".to_owned(),
                (false, _, None) => return None,
            }
        }
        Event::AttemptStarted { attempt, .. } => of(*attempt),
        Event::AttemptEnded { attempt, outcome, .. } => match outcome {
            Applied::Unknown { failure } => {
                format!("{}: outcome not known: {}; asks the target", of(*attempt), text::clean(&failure.message))
            }
            // Nothing is seen to happen while a check holds.
            Applied::Applied { .. } => step.must_hold()?,
            Applied::NotApplied { .. } | Applied::FailedWithEffect { .. } => return None,
        },
        Event::Verified { verdict, .. } => step.and_must_hold(verdict_in_words(verdict)),
        Event::RetryScheduled { attempt, until, failure, .. } => {
            format!("{} at {}: {}", of(*attempt), text::time(*until, style), reason(failure))
        }
        Event::CheckPassed { phase: Phase::After, index, .. } => step.held(*index),
        Event::StepSucceeded { how, .. } => [took(step), how.as_ref().map(success)].into_iter().flatten().collect::<Vec<_>>().join(", "),
        Event::StepFailed { failure, .. } => reason(failure),
        Event::StepSkipped { reason, .. } => skipped(reason),
        Event::StepUnknown { reason, .. } => format!("an operator must tell: {}", text::clean(reason)),
        Event::StepReset { to, .. } => match to {
            ResetTo::Pending => "begins anew".to_owned(),
            ResetTo::NextOccurrence => "is done again".to_owned(),
            ResetTo::Verify => "asks the target first whether it was done".to_owned(),
            ResetTo::Revert => "is taken back again".to_owned(),
        },
        Event::RevertStarted { .. } | Event::RevertVerified { .. } => return None,
        Event::RevertIntended { swaps, .. } if swaps.is_empty() => return None,
        Event::RevertIntended { swaps, .. } => {
            let swaps: Vec<_> = swaps
                .iter()
                .map(|swap| format!("{}: {}", text::object(&swap.object), text::step_of(&swap.label, &swap.from, &swap.to)))
                .collect();
            swaps.join("; ")
        }
        Event::RevertActionStarted { attempt: 1, .. } => "its rollback action".to_owned(),
        Event::RevertActionStarted { attempt, .. } => format!("its rollback action, attempt {attempt}"),
        Event::RevertEnded { outcome, .. } => reason(failure_of(outcome)?),
        // Why was just said.
        Event::RevertRetryScheduled { until, failure, .. } if step.failure.as_deref() == Some(failure) => {
            format!("tries again at {}", text::time(*until, style))
        }
        Event::RevertRetryScheduled { until, failure, .. } => format!("tries again at {}: {}", text::time(*until, style), reason(failure)),
        Event::RevertFollowed { followed, .. } => match followed {
            Followed::Yes => return None,
            Followed::No { holds } => format!("the platform has not followed yet: {}", text::once(&text::clean(holds))),
        },
        Event::StepRolledBack { note, .. } => {
            [took(step), note.as_deref().map(text::clean)].into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        Event::StepKept { reason, blocks, .. } => {
            format!("{}{}", text::clean(reason), if *blocks { "; what relies on it is not taken back either" } else { "" })
        }
        Event::StepRollbackFailed { failure, .. } => reason(failure),
        Event::DriftSeen { what, expected, found, .. } => {
            format!("{} is {}, and the run had set {}", text::clean(what), text::value(found), text::value(expected))
        }
        _ => return None,
    })
}

fn took(step: &super::step_view::StepView) -> Option<String> {
    let (from, to) = step.times()?;
    Some(format!("in {}", text::duration(from, to?)))
}

/// A failure with its hint, on one line.
pub(super) fn reason(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{} (hint: {})", text::once(&text::clean(&failure.message)), text::clean(hint)),
        None => text::once(&text::clean(&failure.message)),
    }
}

fn verdict_in_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Present { .. } => "the target has it".to_owned(),
        Verdict::Absent => "the target does not have it".to_owned(),
        Verdict::InProgress { message } => format!("under way at the target: {}", text::clean(message)),
        Verdict::CannotTell { reason } => format!("the target cannot tell: {}", text::clean(reason)),
    }
}

/// That an alert fired, in words.
pub fn fired(item: &serde_json::Value) -> String {
    match item["message"].as_str() {
        Some(message) => format!("fired: {}", text::clean(message)),
        None => "fired".to_owned(),
    }
}

/// What a step waits for, in words.
pub fn waiting(wait: &Waiting, style: &Style) -> String {
    match wait {
        Waiting::Time { until } => format!("until {}", text::time(*until, style)),
        Waiting::Samples { until: Some(until) } => format!("samples until {}", text::time(*until, style)),
        Waiting::Samples { until: None } => "samples".to_owned(),
        Waiting::Lock { object, holder } => format!("for the lock on {}, held by {}", text::object(object), text::clean(holder)),
        Waiting::Approval { count, by, message, until, gate } => {
            let mut words = match gate {
                GateKind::Step => "for an approval".to_owned(),
                GateKind::Late => "for an approval: its time is over".to_owned(),
                GateKind::Rollback => "for an approval of its rollback action".to_owned(),
            };
            if *count > 1 {
                words = words.replacen("an approval", &format!("{count} approvals"), 1);
            }
            if !by.is_empty() {
                words.push_str(&format!(" by {}", text::clean(&by.join(" or "))));
            }
            if let Some(until) = until {
                words.push_str(&format!(" until {}", text::time(*until, style)));
            }
            if let Some(message) = message {
                words.push_str(&format!(": {}", text::clean(message)));
            }
            words
        }
    }
}

/// How a step succeeded, in words.
pub fn success(how: &Success) -> String {
    match how {
        Success::Recovered => "recovered: the target had it".to_owned(),
        Success::Unchanged => "nothing to change".to_owned(),
        Success::MarkedDone { by } => format!("marked done by {}", text::clean(by)),
        Success::WithFailures => "with failures that may be".to_owned(),
    }
}

/// Why a step was skipped, in words.
pub fn skipped(reason: &SkipReason) -> String {
    match reason {
        SkipReason::When => "its `when` is false".to_owned(),
        SkipReason::Need { step, status } => format!("needs {}, which is {status}", text::clean(step.as_str())),
        SkipReason::Operator { by, reason: None } => format!("by {}", text::clean(by)),
        SkipReason::Operator { by, reason: Some(reason) } => format!("by {}: {}", text::clean(by), text::clean(reason)),
        SkipReason::Late => "its time was over".to_owned(),
        SkipReason::Gate { why } => text::clean(why),
        SkipReason::RunEnded => "the run ended before its turn".to_owned(),
        SkipReason::NotFired => "its alert did not fire".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::Value;

    use super::super::fixture::{Journal, path, pre_event, run_id};
    use super::*;

    fn told(journal: &Journal) -> String {
        let mut view = RunView::new(run_id()).with_definition(&pre_event());
        let style = Style::plain(journal.now);
        let mut lines = Vec::new();
        for record in &journal.records {
            view.apply(record);
            lines.extend(line(&view, record, &style));
        }
        lines.join("\n")
    }

    #[test]
    fn a_run_in_plain_lines() {
        let mut journal = Journal::new();
        journal.status(RunStatus::Running, None).scaled();
        journal.started("warm_pool", Some(Default::default()));
        let failure = Failure::transient("connection refused by 127.0.0.1:8080");
        let unknown = Applied::Unknown { failure: failure.clone() };
        journal.after(3).add(Event::AttemptEnded { step: path("warm_pool"), attempt: 1, outcome: unknown });
        journal.add(Event::Verified { step: path("warm_pool"), attempt: 1, verdict: Verdict::Absent });
        let until = journal.now + jiff::SignedDuration::from_secs(4);
        journal.add(Event::RetryScheduled { step: path("warm_pool"), attempt: 2, until, failure });
        journal.after(4).add(Event::AttemptStarted { step: path("warm_pool"), attempt: 2, intent: Default::default() });
        journal.after(95).add(Event::StepFailed {
            step: path("warm_pool"),
            failure: Failure::permanent("exit code 3\n\u{1b}[31mred").hint("read `runsheet logs`"),
            applied: true,
        });
        journal.add(Event::StepSkipped { step: path("warm_caches"), reason: SkipReason::RunEnded });
        journal.status(RunStatus::Paused, Some("warm_pool failed"));
        assert_snapshot!(told(&journal), @r#"
        19:00:00  run 3fa9c1d2    running          pre-event level=high on sandbox
        19:00:00  run 3fa9c1d2    running
        19:00:00  budget          running          assert
        19:00:01  budget          succeeded        in 1.0s
        19:00:01  scale           running          k8s.scale
        19:00:01  scale           running          deployment/ticket-service: replicas 2 → 8
        19:00:12  scale           succeeded        in 11s
        19:00:12  warm_pool       running          command
        19:00:15  warm_pool       verifying        attempt 1/3: outcome not known: connection refused by 127.0.0.1:8080; asks the target
        19:00:15  warm_pool       running          the target does not have it
        19:00:15  warm_pool       running          attempt 2/3 at 19:00:19: connection refused by 127.0.0.1:8080
        19:00:19  warm_pool       running          attempt 2/3
        19:01:54  warm_pool       failed           exit code 3 red (hint: read `runsheet logs`)
        19:01:54  warm_caches     skipped          the run ended before its turn
        19:01:54  run 3fa9c1d2    paused           warm_pool failed
"#);
    }

    #[test]
    fn a_rollback_in_plain_lines() {
        let mut journal = Journal::new();
        journal.scaled().status(RunStatus::RollingBack, None);
        journal.add(Event::RollbackBegan { scope: crate::model::event::RollbackScope::Run, reason: "ana@web-1 asked for it".into() });
        let change = super::super::fixture::scaling(2, 8).changes.remove(0);
        let swap =
            crate::model::change::Swap { object: change.object, field: change.field, label: change.label, from: 8.into(), to: 2.into() };
        journal.add(Event::RevertStarted { step: path("scale") });
        journal.add(Event::RevertIntended { step: path("scale"), swaps: vec![swap], standings: Vec::new() });
        journal.add(Event::RevertEnded { step: path("scale"), outcome: Applied::Applied { outputs: Value::Null } });
        journal.add(Event::RevertFollowed { step: path("scale"), followed: Followed::No { holds: "6 pods are still there".into() } });
        journal.after(41).add(Event::StepRolledBack { step: path("scale"), note: None });
        journal.add(Event::StepKept { step: path("budget"), reason: "nothing to put back".into(), blocks: false });
        journal.add(Event::RollbackEnded { complete: true }).status(RunStatus::RolledBack, None);
        assert_snapshot!(told(&journal), @r#"
        19:00:00  run 3fa9c1d2    running          pre-event level=high on sandbox
        19:00:00  budget          running          assert
        19:00:01  budget          succeeded        in 1.0s
        19:00:01  scale           running          k8s.scale
        19:00:01  scale           running          deployment/ticket-service: replicas 2 → 8
        19:00:12  scale           succeeded        in 11s
        19:00:12  run 3fa9c1d2    rolling_back
        19:00:12  run 3fa9c1d2    rolling_back     takes back what the run did: ana@web-1 asked for it
        19:00:12  scale           rolling_back     deployment/ticket-service: replicas 8 → 2
        19:00:12  scale           rolling_back     the platform has not followed yet: 6 pods are still there
        19:00:53  scale           rolled_back      in 41s
        19:00:53  budget          kept             nothing to put back
        19:00:53  run 3fa9c1d2    rolled_back      in 41s
"#);
    }
}
