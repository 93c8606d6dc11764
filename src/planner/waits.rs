//! What a step waits for: people, times, conditions, checks that must hold for a time.

use super::known::Known;
use super::preview_step::foreseen;
use crate::model::preview::{PreviewStep, PreviewWait};
use crate::model::step::{Condition, Gate, Step, Uses, Wait};

/// Adds what a step waits for before it starts, while it goes on, and until its checks have held.
pub(super) fn add_waits(shown: &mut PreviewStep, step: &Step, known: &Known<'_>) {
    shown.waits.extend(step.at.as_ref().map(|at| PreviewWait::Time { until: foreseen(known, &at.time) }));
    shown.waits.extend(step.approve.as_deref().map(|of| gate(of, known)));
    shown.waits.extend(match &step.uses {
        Uses::Approve(of) => Some(gate(of, known)),
        Uses::Wait(Wait::Duration(time) | Wait::Until(time)) => Some(PreviewWait::Time { until: foreseen(known, time) }),
        Uses::Wait(Wait::That(condition)) => Some(PreviewWait::Condition { that: condition.that.text.clone() }),
        Uses::Monitor(monitor) => match (&monitor.until, &monitor.duration, &monitor.that) {
            (Some(time), _, _) | (None, Some(time), _) => Some(PreviewWait::Time { until: foreseen(known, time) }),
            (None, None, Some(that)) => Some(PreviewWait::Condition { that: that.text.clone() }),
            (None, None, None) => None,
        },
        Uses::Action { .. } | Uses::Playbook { .. } => None,
    });
    let held = |check: &Condition| check.hold.map(|hold| PreviewWait::Check { that: check.that.text.clone(), hold });
    shown.waits.extend(step.after.iter().filter_map(held));
}

/// What a gate asks, and of whom.
pub(super) fn gate(of: &Gate, known: &Known<'_>) -> PreviewWait {
    let message = of.message.as_ref().map(|message| foreseen(known, message));
    PreviewWait::Gate { count: of.count, by: of.by.clone(), message }
}
