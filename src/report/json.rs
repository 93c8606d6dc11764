//! What programs read: a run as one document, an event as one line.
//!
//! Must not: change the meaning of a key once it is there; programs rely on them. Times are RFC 3339 in UTC, durations whole milliseconds.

use serde_json::{Map, Value, json};

use super::owed::{Owed, OwedWhat};
use super::said;
use super::samples::samples_json;
use super::step_view::StepView;
use super::undo::Undo;
use super::view::RunView;
use crate::model::event::{Event, GateKind, Record, SkipReason, Success, Waiting};
use crate::model::outcome::Failure;
use crate::model::status::StepStatus;

/// A run as one document: `{ id, playbook, status, reason, params, target, by, created_at, updated_at, steps, owed, waiting, needs, … }`.
pub fn status_json(view: &RunView) -> Value {
    let spec = view.spec();
    let needs = view.needs_person().map(|needs| {
        json!({
            "steps": needs.needs.iter().map(|need| json!({
                "step": need.step, "kind": need.kind.as_str(), "why": need.why, "hint": need.hint,
            })).collect::<Vec<_>>(),
            "commands": needs.commands.iter().map(|next| json!({ "command": next.command, "what": next.what })).collect::<Vec<_>>(),
        })
    });
    let waits: Vec<_> = view
        .with_status(StepStatus::Waiting)
        .chain(view.with_status(StepStatus::RollingBack))
        .filter_map(|step| Some(waiting(step, step.waiting.as_deref()?)))
        .collect();
    json!({
        "id": view.run(),
        "short_id": view.run().short(),
        "playbook": spec.map(|spec| &spec.playbook),
        "definition": spec.map(|spec| &spec.definition),
        "status": view.status(),
        "reason": view.reason(),
        "params": spec.map(|spec| &spec.params),
        "target": spec.and_then(|spec| spec.target.as_ref()).map(|target| json!({
            "environment": target.environment, "identity": target.identity,
        })),
        "sandbox": view.is_sandbox(),
        "commands_run": view.commands_run(),
        "by": spec.map(|spec| &spec.by),
        "owner": view.owner().map(|owner| json!({
            "pid": owner.pid, "host": owner.host, "by": owner.by, "alive": view.owner_alive(),
        })),
        "created_at": view.created_at(),
        "updated_at": view.updated_at(),
        "seq": view.seq(),
        "outputs": view.outputs(),
        "rollback": view.rollback().map(|rollback| json!({
            "scope": rollback.scope, "reason": rollback.reason, "ended": rollback.ended,
        })),
        "totals": totals(view),
        "steps": view.steps().map(|step| of_step(view, step)).collect::<Vec<_>>(),
        "owed": view.owed().iter().map(owed).collect::<Vec<_>>(),
        "undo": view.undos().iter().map(undo).collect::<Vec<_>>(),
        "kept": view.kept().map(|(step, kept)| json!({
            "step": step.path, "reason": kept.reason, "blocks": kept.blocks,
        })).collect::<Vec<_>>(),
        "samples": samples_json(view),
        "waiting": waits,
        "needs": needs,
    })
}

/// An event as one line: `{ seq, at, kind, step, step_status, … }` and whatever the event holds.
pub fn event_json(record: &Record) -> Value {
    let mut line = Map::new();
    line.insert("seq".into(), record.seq.into());
    line.insert("at".into(), json!(record.at));
    line.insert("kind".into(), record.event.kind().into());
    if let Some(step) = record.event.step() {
        line.insert("step".into(), json!(step));
    }
    if let Some(status) = record.event.step_status() {
        line.insert("step_status".into(), json!(status));
    }
    // As stored an event is an object whose only key is its kind, or its kind alone.
    if let Ok(Value::Object(stored)) = serde_json::to_value(&record.event)
        && let Some((_, Value::Object(fields))) = stored.into_iter().next()
    {
        for (name, value) in fields {
            line.entry(name).or_insert(value);
        }
    }
    // What expressions can read of the target is large, and no news: its identity says which it is.
    if let (Event::RunCreated(_), Some(Value::Object(target))) = (&record.event, line.get_mut("target")) {
        target.remove("values");
    }
    Value::Object(line)
}

fn totals(view: &RunView) -> Map<String, Value> {
    let totals = view.totals();
    StepStatus::ALL.iter().map(|status| (status.as_str().to_owned(), Value::from(totals.of(*status)))).collect()
}

fn of_step(view: &RunView, step: &StepView) -> Value {
    let mut out = Map::new();
    out.insert("id".into(), id_of(view, step).into());
    out.insert("path".into(), json!(step.path));
    out.insert("uses".into(), json!(step.uses()));
    out.insert("status".into(), json!(step.status));
    out.insert("attempt".into(), step.attempt.into());
    out.insert("occurrence".into(), step.occurrence.into());
    out.insert("started_at".into(), json!(step.started_at));
    out.insert("ended_at".into(), json!(step.ended_at));
    let took = step.started_at.zip(step.ended_at).map(|(from, to)| to.as_millisecond().saturating_sub(from.as_millisecond()).max(0));
    out.insert("duration_ms".into(), json!(took));
    out.insert("outputs".into(), step.outputs.clone());
    out.insert("failure".into(), json!(step.failure.as_deref().map(failure)));
    // What is seldom there is there only then: a document of 100,000 steps is large enough.
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    };
    add("how", step.how.as_ref().map(how));
    add("skip", step.skip.as_deref().map(skip));
    add("waiting", step.waiting.as_deref().map(|wait| waiting(step, wait)));
    add("unknown", step.unknown.as_deref().map(Into::into));
    add("note", step.note.as_deref().map(Into::into));
    add("kept", step.kept.as_deref().map(|kept| json!({ "reason": kept.reason, "blocks": kept.blocks })));
    add(
        "retry",
        step.retry.as_deref().map(|next| json!({ "attempt": next.attempt, "until": next.until, "failure": failure(&next.failure) })),
    );
    add(
        "changes",
        step.intent.as_deref().filter(|intent| !intent.changes.is_empty()).map(|intent| {
            let changes = intent.changes.iter().enumerate().map(|(index, change)| {
                let mut change = json!(change);
                change["put_back"] = step.is_put_back(index).into();
                change
            });
            Value::Array(changes.collect())
        }),
    );
    add("says", said::json(step));
    add("by_hand", step.intent.as_deref().filter(|intent| !intent.by_hand.is_empty()).map(|intent| json!(intent.by_hand)));
    add("undo_by_hand", step.intent.as_deref().filter(|intent| !intent.undo_by_hand.is_empty()).map(|intent| json!(intent.undo_by_hand)));
    add(
        "revert",
        step.revert.as_deref().map(|revert| {
            json!({
                "started_at": revert.started_at,
                "ended_at": revert.ended_at,
                "swaps": revert.swaps,
                "standings": revert.standings,
                "holds": revert.holds,
                "next": revert.retry.as_ref().map(|next| json!({ "attempt": next.attempt, "until": next.until, "failure": failure(&next.failure) })),
            })
        }),
    );
    let drift = || step.drift.iter().map(|it| json!({ "what": it.what, "expected": it.expected, "found": it.found })).collect();
    add("drift", (!step.drift.is_empty()).then(|| Value::Array(drift())));
    Value::Object(out)
}

/// The id within the step's playbook; an instance has its step's.
fn id_of<'a>(view: &'a RunView, step: &'a StepView) -> &'a str {
    match (&step.outline, step.parent) {
        (Some(outline), _) => &outline.id,
        (None, Some(parent)) if step.name().starts_with('[') => id_of(view, &view.steps[parent as usize]),
        (None, _) => step.name(),
    }
}

fn failure(failure: &Failure) -> Value {
    json!({ "message": failure.message, "hint": failure.hint, "transient": failure.transient })
}

fn how(how: &Success) -> Value {
    match how {
        Success::Recovered => json!({ "kind": "recovered" }),
        Success::Unchanged => json!({ "kind": "unchanged" }),
        Success::MarkedDone { by } => json!({ "kind": "marked_done", "by": by }),
        Success::WithFailures => json!({ "kind": "with_failures" }),
    }
}

fn skip(reason: &SkipReason) -> Value {
    match reason {
        SkipReason::When => json!({ "kind": "when" }),
        SkipReason::Need { step, status } => json!({ "kind": "need", "step": step, "status": status }),
        SkipReason::Operator { by, reason } => json!({ "kind": "operator", "by": by, "reason": reason }),
        SkipReason::Late => json!({ "kind": "late" }),
        SkipReason::Gate { why } => json!({ "kind": "gate", "why": why }),
        SkipReason::RunEnded => json!({ "kind": "run_ended" }),
        SkipReason::NotFired => json!({ "kind": "not_fired" }),
    }
}

fn waiting(step: &StepView, wait: &Waiting) -> Value {
    match wait {
        Waiting::Time { until } => json!({ "step": step.path, "for": "time", "since": step.since, "until": until }),
        Waiting::Samples { until } => json!({ "step": step.path, "for": "samples", "since": step.since, "until": until }),
        Waiting::Lock { object, holder } => {
            json!({ "step": step.path, "for": "lock", "since": step.since, "object": object, "holder": holder })
        }
        Waiting::Approval { count, by, message, until, gate } => json!({
            "step": step.path, "for": "approval", "since": step.since, "until": until, "count": count, "by": by, "message": message,
            "approved_by": step.approved,
            "gate": match gate {
                GateKind::Step => "step",
                GateKind::Late => "late",
                GateKind::Rollback => "rollback",
            },
        }),
    }
}

/// An undo by hand, in the order in which they are to be typed.
fn undo(undo: &Undo<'_>) -> Value {
    json!({
        "step": undo.step.path,
        "only_once": undo.after.iter().map(|step| &step.path).collect::<Vec<_>>(),
        "lines": undo.step.intent.iter().flat_map(|intent| &intent.undo_by_hand).collect::<Vec<_>>(),
    })
}

fn owed(owed: &Owed) -> Value {
    let mut out = match &owed.what {
        OwedWhat::Field { object, field, label, prior, after, live, later } => json!({
            "kind": "field", "object": object, "field": field, "label": label, "prior": prior, "after": after, "seen": live,
            "later": later.iter().map(|later| json!({ "run": later.run, "prior": later.prior, "after": later.after })).collect::<Vec<_>>(),
        }),
        OwedWhat::Action { uses } => json!({ "kind": "action", "uses": uses }),
    };
    out["steps"] = json!(owed.steps);
    out["certain"] = owed.certain.into();
    out["words"] = owed.in_words().into();
    out["undo_by_hand"] = json!(owed.undo_by_hand);
    out
}
