//! Whether a run may be told something now; if not, why, and what to do instead. Changes nothing.

use serde_json::Value;

use super::draft::Draft;
use super::node::{Kind, Stage};
use super::state::{Mode, NodeId};
use super::unwind::covers;
use crate::model::id::StepPath;
use crate::model::instruction::Command;
use crate::model::monitor::SAMPLES;
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::Uses;

impl Draft<'_> {
    /// Whether the run may be told this now; if not, why, and what to do instead.
    pub(super) fn allowed(&self, command: &Command, by: &str) -> Result<(), String> {
        let status = self.state.status;
        let find = |step: &StepPath| self.find(step);
        match command {
            Command::Approve { step } => match &self.state.node(find(step)?).stage {
                Stage::Gate { by: may, .. } => {
                    let name = by.split('@').next().unwrap_or(by);
                    let detail = self.state.node(find(step)?).detail.as_ref();
                    if !may.is_empty() && !may.iter().any(|who| who == by || who == name) {
                        return Err(format!("{by} may not approve {step}: only {} may", may.join(", ")));
                    }
                    if detail.is_some_and(|detail| detail.approved_by.iter().any(|who| who == by)) {
                        return Err(format!("{by} has approved {step} already, and it takes different people"));
                    }
                    Ok(())
                }
                _ => Err(self.no_gate(step)),
            },
            Command::Reject { step } => match self.state.node(find(step)?).stage {
                Stage::Gate { .. } => Ok(()),
                _ => Err(self.no_gate(step)),
            },
            Command::Retry { step } => {
                let id = find(step)?;
                let node = self.state.node(id);
                match (node.status, &self.state.mode) {
                    (_, Mode::Cancelling) => Err("the run is being cancelled".to_owned()),
                    (StepStatus::RollbackFailed, _) => Ok(()),
                    (StepStatus::Kept, _) if node.kept_blocks() => Ok(()),
                    (StepStatus::Unknown, Mode::Finished) if matches!(status, RunStatus::Cancelled | RunStatus::RolledBack) => {
                        Err(format!("the run is {status} and does nothing any more: look at the target, then `mark-done` or `skip`"))
                    }
                    (StepStatus::Unknown, _) => Ok(()),
                    (StepStatus::Failed | StepStatus::RolledBack, _) if self.state.rollback_open => {
                        Err(format!("the run is being rolled back: {step} cannot be done again in it"))
                    }
                    (StepStatus::Failed | StepStatus::RolledBack, Mode::RollingBack(_) | Mode::Ending(_)) => {
                        Err(format!("the run is {status}: {step} cannot be done again in it"))
                    }
                    (StepStatus::Failed | StepStatus::RolledBack, _)
                        if matches!(status, RunStatus::Cancelled | RunStatus::RolledBack | RunStatus::Stuck) =>
                    {
                        Err(format!("the run is {status}: start a new one with `runsheet run {}`", self.state.spec.playbook))
                    }
                    (StepStatus::Failed | StepStatus::RolledBack, _) => Ok(()),
                    (other, _) => Err(format!("{step} is {other}: only what failed, or whose outcome is unknown, can be tried again")),
                }
            }
            Command::Skip { step } => {
                let id = find(step)?;
                let node = self.state.node(id);
                match node.status {
                    StepStatus::Pending | StepStatus::Waiting if status.is_finished() => Err(format!("the run is {status}")),
                    StepStatus::Pending | StepStatus::Waiting | StepStatus::Failed | StepStatus::Unknown | StepStatus::RollbackFailed => {
                        Ok(())
                    }
                    StepStatus::Kept if node.kept_blocks() => Ok(()),
                    StepStatus::RollingBack if matches!(node.stage, Stage::Gate { .. }) => Ok(()),
                    StepStatus::Running if matches!(node.stage, Stage::Retry(_)) => Ok(()),
                    StepStatus::Running if matches!(self.state.step(id).uses, Uses::Monitor(_)) && !self.state.is_instance(id) => {
                        Err(format!(
                            "{step} samples: `runsheet skip {step}[{SAMPLES}]` ends that, and leaves what its alerts started to itself"
                        ))
                    }
                    other => Err(format!("{step} is {other}: only what has not run, failed, or is unknown can be skipped")),
                }
            }
            Command::MarkDone { step, outputs } => {
                let id = find(step)?;
                if !matches!(outputs, Value::Null | Value::Object(_)) {
                    return Err("outputs are given as NAME=VALUE".to_owned());
                }
                let node = self.state.node(id);
                match node.status {
                    StepStatus::Pending | StepStatus::Waiting if status.is_finished() => Err(format!("the run is {status}")),
                    StepStatus::Pending | StepStatus::Waiting | StepStatus::Failed | StepStatus::Unknown | StepStatus::RollbackFailed => {
                        Ok(())
                    }
                    StepStatus::Kept if node.kept_blocks() => Ok(()),
                    other => Err(format!("{step} is {other}: only what has not run, failed, or is unknown can be marked as done")),
                }
            }
            Command::Pause => match self.state.mode {
                Mode::Forward => Ok(()),
                Mode::RollingBack(_) => Ok(()),
                Mode::Paused => Err("the run is paused already".to_owned()),
                Mode::Cancelling | Mode::Ending(_) => Err("the run is ending".to_owned()),
                Mode::Finished => Err(format!("the run is {status}")),
            },
            Command::Resume => match self.state.mode {
                Mode::Finished if status == RunStatus::Stuck => {
                    Err("the run is stuck: `runsheet status` shows what is left, and what to type".to_owned())
                }
                Mode::Finished => Err(format!("the run is {status}: there is nothing left to do")),
                Mode::Forward | Mode::Paused | Mode::RollingBack(_) | Mode::Cancelling | Mode::Ending(_) => Ok(()),
            },
            Command::Cancel { .. } => match self.state.mode {
                Mode::Finished if status == RunStatus::Stuck => Ok(()),
                Mode::Finished if matches!(status, RunStatus::RolledBack | RunStatus::Cancelled) => {
                    Err(format!("the run is {status} already: there is nothing left to end"))
                }
                Mode::Finished => Err(format!("the run is {status} already: `runsheet rollback` takes back what it did")),
                Mode::Cancelling => Err(format!("the run is being cancelled already{}", self.still_to_come())),
                Mode::RollingBack(_) => Err("the run is being rolled back: wait for its end, or pause it".to_owned()),
                Mode::Ending(_) => Err(format!("the run is ending{}", self.still_to_come())),
                Mode::Paused if self.state.rollback_open && *command == (Command::Cancel { rollback: false }) => {
                    Err("a rollback of the run is paused halfway: `runsheet resume` ends it".to_owned())
                }
                Mode::Forward | Mode::Paused => Ok(()),
            },
            Command::Rollback { only } => self.rollback_allowed(only),
        }
    }

    fn find(&self, step: &StepPath) -> Result<NodeId, String> {
        self.state.by_path.get(step).copied().ok_or_else(|| {
            let near = self
                .state
                .nodes
                .iter()
                .map(|node| (strsim::damerau_levenshtein(node.path.as_str(), step.as_str()), &node.path))
                .min()
                .filter(|(distance, _)| *distance <= 3);
            match near {
                Some((_, near)) => format!("the run has no step {step}; did you mean {near}?"),
                None => format!("the run has no step {step}: `runsheet status` lists them"),
            }
        })
    }

    /// What a run that is ending still waits for, and how not to wait for it.
    fn still_to_come(&self) -> String {
        let open = |id: &NodeId| {
            let node = self.state.node(*id);
            node.parent.is_none() && !node.status.is_ended() && self.state.is_always(*id)
        };
        match (0..u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX)).find(open) {
            Some(id) => {
                let step = &self.state.node(id).path;
                format!(", and {step} is still to come: wait for it, or end the run without it (`runsheet skip {step}`)")
            }
            None => ": wait for its end".to_owned(),
        }
    }

    fn no_gate(&self, step: &StepPath) -> String {
        match self.state.step_status(step) {
            Some(status) => format!("{step} waits for no approval: it is {status}"),
            None => format!("the run has no step {step}"),
        }
    }

    fn rollback_allowed(&self, only: &[StepPath]) -> Result<(), String> {
        let status = self.state.status;
        match self.state.mode {
            Mode::RollingBack(_) => return Err("the run is being rolled back already".to_owned()),
            Mode::Cancelling | Mode::Ending(_) => return Err(format!("the run is ending{}", self.still_to_come())),
            Mode::Forward | Mode::Paused | Mode::Finished => {}
        }
        let left = self.state.nodes.iter().any(|node| node.may_have_run() && node.status != StepStatus::Kept)
            || self.state.counts.unknown > 0
            || !status.is_finished();
        if status == RunStatus::RolledBack || (!left && only.is_empty()) {
            return Err(format!("the run is {status}, and nothing that it did is left to be taken back"));
        }
        if only.is_empty() {
            return Ok(());
        }
        for step in only {
            let id = self.find(step)?;
            let ran = |id: NodeId| self.state.node(id).may_have_run() || self.state.node(id).status == StepStatus::Succeeded;
            let within = || self.state.nodes.iter().zip(0_u32..).any(|(node, id)| covers(only, &node.path) && ran(id));
            let found = ran(id) || (self.state.is_group(id) && within());
            if !found {
                return Err(format!("{step} is {}: there is nothing of it to take back", self.state.node(id).status));
            }
        }
        if !self.flight.tasks.is_empty() {
            return Err("the run is at work: pause it first (`runsheet cancel`, or Ctrl-C in its terminal)".to_owned());
        }
        let relying = self.relying_on(only);
        if !relying.is_empty() {
            let names: Vec<&str> = relying.iter().map(StepPath::as_str).collect();
            return Err(format!(
                "{} ran after, and need what would be taken back: name them too (--only {})",
                names.join(", "),
                names.join(" --only ")
            ));
        }
        Ok(())
    }

    /// The steps that ran, are not among these, and need one of these.
    fn relying_on(&self, only: &[StepPath]) -> Vec<StepPath> {
        let mut seen = vec![false; self.state.nodes.len()];
        let mut queue: Vec<NodeId> = only.iter().filter_map(|step| self.state.by_path.get(step).copied()).collect();
        let mut relying = Vec::new();
        while let Some(id) = queue.pop() {
            let mut next = self.state.dependents(self.state.graph_node(id));
            // What needs the call needs what is in it.
            next.extend(self.state.node(id).parent);
            for id in next {
                if std::mem::replace(&mut seen[id as usize], true) {
                    continue;
                }
                queue.push(id);
                queue.extend(self.state.children(id).filter(|_| !covers_parent(only, &self.state.node(id).path)));
                let node = self.state.node(id);
                if matches!(node.kind, Kind::Leaf) && node.may_have_run() && node.status != StepStatus::Kept && !covers(only, &node.path) {
                    relying.push(node.path.clone());
                }
            }
        }
        relying.sort();
        relying
    }
}

fn covers_parent(only: &[StepPath], path: &StepPath) -> bool {
    only.iter().any(|step| step.as_str().starts_with(path.as_str()))
}
