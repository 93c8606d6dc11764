//! What skipping a step means for those that need it: said before it is done, and at the end of a run in which it was.
//!
//! Invariant: a step that its own `when` left out is as planned, and is not told of here.

use std::collections::HashSet;

use super::lines;
use super::step_view::StepView;
use super::style::Style;
use super::text;
use super::view::RunView;
use crate::model::event::SkipReason;
use crate::model::id::StepPath;
use crate::model::status::StepStatus;
use crate::model::step::Accept;

/// The most steps of a playbook that are looked through.
const LOOKED_AT: usize = 2_000;
/// How many steps are named.
const NAMED: usize = 3;

impl RunView {
    /// The steps that would be skipped with this one, as they need it.
    pub fn skipped_with(&self, path: &StepPath) -> Vec<&StepView> {
        let Some(step) = self.step(path.as_str()) else { return Vec::new() };
        // An instance is skipped alone: its `for_each` decides what that means.
        if step.name().starts_with('[') {
            return Vec::new();
        }
        let siblings = match step.parent {
            Some(parent) => &self.steps[parent as usize].children,
            None => &self.roots,
        };
        if siblings.len() > LOOKED_AT {
            return Vec::new();
        }
        let mut lost: HashSet<&str> = HashSet::new();
        let mut found: Vec<&StepView> = Vec::new();
        loop {
            let before = found.len();
            for other in siblings.iter().map(|at| &self.steps[*at as usize]) {
                let Some(outline) = other.outline.as_deref().filter(|outline| !outline.always && !lost.contains(outline.id.as_str()))
                else {
                    continue;
                };
                let unmet = outline
                    .needs
                    .iter()
                    .any(|need| lost.contains(need.step.as_str()) || (need.step == step.name() && !need.accept.contains(&Accept::Skipped)));
                if unmet && matches!(other.status, StepStatus::Pending | StepStatus::Waiting | StepStatus::Skipped) {
                    lost.insert(outline.id.as_str());
                    found.push(other);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// `go on without it`, and without what needs it.
    pub(super) fn without(&self, path: &StepPath) -> String {
        let with = self.skipped_with(path);
        match with.as_slice() {
            [] => "go on without it".to_owned(),
            [one] => format!("go on without it, and without {}, which needs it", text::clean(one.name())),
            several => format!("go on without it, and without {}, which need it", names(several)),
        }
    }

    /// The steps that did not run though they were to: skipped by a person, for a time or a gate, or for want of one that was.
    pub fn missed(&self) -> Vec<&StepView> {
        self.with_status(StepStatus::Skipped).filter(|step| !step.has_children() && self.root_of_skip(step).is_some()).collect()
    }

    /// The step for whose sake another was skipped, in the end; `None`: it was as planned, or the run ended.
    fn root_of_skip<'a>(&'a self, step: &'a StepView) -> Option<&'a StepView> {
        let mut at = step;
        // No chain of needs is longer than there are steps.
        for _ in 0..=self.len().min(LOOKED_AT) {
            match at.skip.as_deref()? {
                SkipReason::Operator { .. } | SkipReason::Late | SkipReason::Gate { .. } => return Some(at),
                SkipReason::Need { step, .. } => at = self.step(step.as_str())?,
                SkipReason::When | SkipReason::RunEnded | SkipReason::NotFired => return None,
            }
        }
        None
    }
}

/// `2 of 3 steps did not run`; `None`: all did that were to.
pub(super) fn in_short(view: &RunView) -> Option<String> {
    let missed = view.missed().len();
    (missed > 0).then(|| format!("{missed} of {} did not run", text::count(view.totals().all(), "step")))
}

/// Each of them, with why.
pub(super) fn section(view: &RunView, _style: &Style) -> Vec<String> {
    super::section::limited(view.missed().into_iter(), |step| {
        let why = step.skip.as_deref().map(|reason| match reason {
            SkipReason::Operator { .. } => format!("skipped {}", lines::skipped(reason)),
            other => lines::skipped(other),
        });
        vec![format!("{}: {}", text::clean(step.path.as_str()), why.unwrap_or_default())]
    })
}

fn names(steps: &[&StepView]) -> String {
    let shown: Vec<String> = steps.iter().take(NAMED).map(|step| text::clean(step.name())).collect();
    let more = steps.len().saturating_sub(NAMED);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::{Journal, path, pre_event};
    use super::super::summary::summary;
    use super::*;
    use crate::model::event::Event;
    use crate::model::outcome::Failure;
    use crate::model::status::RunStatus;

    fn failed() -> Journal {
        let mut journal = Journal::new();
        journal.started("budget", None);
        journal.add(Event::StepFailed { step: path("budget"), failure: Failure::permanent("no"), applied: false });
        journal.status(RunStatus::Paused, None);
        journal
    }

    #[test]
    fn the_offer_to_skip_names_what_is_skipped_with_it() {
        let view = failed().view(&pre_event());
        let skip = view.next_commands().into_iter().find(|next| next.command.contains(" skip ")).unwrap();
        assert_eq!(skip.what, "go on without it, and without scale, warm_pool, warm_caches, which need it");
        assert_eq!(view.without(&path("warm_caches")), "go on without it");
    }

    #[test]
    fn a_run_whose_steps_were_skipped_for_an_operator_is_no_full_success() {
        let mut journal = failed();
        let reason = SkipReason::Operator { by: "ana".into(), reason: Some("known to fit".into()) };
        journal.add(Event::StepSkipped { step: path("budget"), reason });
        for (step, need) in [("scale", "budget"), ("warm_pool", "scale")] {
            let reason = SkipReason::Need { step: path(need), status: StepStatus::Skipped };
            journal.add(Event::StepSkipped { step: path(step), reason });
        }
        journal.started("warm_caches", None).succeeded("warm_caches", Value::Null);
        journal.add(Event::RunOutputs { outputs: json!({"replicas": 8}).as_object().cloned().unwrap() });
        journal.status(RunStatus::Succeeded, None);
        let page = summary(&journal.view(&pre_event()), &Style::plain(journal.now));
        assert!(page.starts_with("pre-event 3fa9c1d2 succeeded, but 3 of 4 steps did not run, after 0.0s"), "{page}");
        let end = "Outputs (as the playbook has them, though not all steps ran)\n  replicas: 8\n\nNot done\n  \
                   budget: skipped by ana: known to fit\n  scale: needs budget, which is skipped\n  warm_pool: needs scale, which is skipped\n";
        assert!(page.contains(end), "{page}");
    }

    #[test]
    fn what_a_when_left_out_is_as_planned() {
        let mut journal = Journal::new();
        journal.add(Event::StepSkipped { step: path("budget"), reason: SkipReason::When });
        let reason = SkipReason::Need { step: path("budget"), status: StepStatus::Skipped };
        journal.add(Event::StepSkipped { step: path("scale"), reason });
        journal.status(RunStatus::Succeeded, None);
        assert!(journal.view(&pre_event()).missed().is_empty());
    }
}
