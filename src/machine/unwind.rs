//! In which order steps are taken back: a step only when all that need it are, or never ran.

use std::collections::{HashMap, HashSet};

use super::draft::Draft;
use super::node::Stage;
use super::state::{Mode, NodeId};
use crate::model::change::ObjectRef;
use crate::model::event::{Event, Phase, RollbackScope, SkipReason};
use crate::model::id::StepPath;
use crate::model::outcome::Failure;
use crate::model::status::StepStatus;

/// How far the way back has come. Rebuilt from the state whenever an operator changes something.
#[derive(Debug)]
pub(super) struct Unwind {
    /// For each node, how many have to pass before it is its turn: its dependents, and its group's opening.
    blockers: Vec<u32>,
    /// For each group, how many of its children have not passed.
    children: Vec<u32>,
    /// Whether the node has passed.
    passed: Vec<bool>,
    /// Whether the node is within the scope at all.
    within: Vec<bool>,
    /// Whose turn it is.
    ready: Vec<NodeId>,
    /// Leaves that are being taken back.
    working: usize,
    /// For a leaf, those that changed one of its fields before it, and whose turn comes only after it.
    before: HashMap<NodeId, Vec<NodeId>>,
}

impl Draft<'_> {
    /// Goes on with the way back as far as possible.
    pub fn unwind(&mut self) {
        let Mode::RollingBack(scope) = self.state.mode.clone() else {
            self.flight.unwind = None;
            return;
        };
        if self.flight.unwind.is_none() {
            if !self.drained() {
                return;
            }
            if !matches!(scope, RollbackScope::Only { .. }) {
                self.end_what_has_not_run(&scope);
            }
            self.flight.unwind = Some(self.map(&scope));
        }
        while let Some(id) = self.flight.unwind.as_mut().and_then(|unwind| unwind.ready.pop()) {
            self.reach(id, &scope);
        }
        self.fill_slots();
        let idle = self.flight.unwind.as_ref().is_some_and(|unwind| unwind.working == 0 && unwind.ready.is_empty());
        if idle && self.flight.revert_queue.is_empty() {
            self.end_unwind(&scope);
        }
    }

    /// Whether everything that was on its way forward has come to an end.
    fn drained(&mut self) -> bool {
        self.drop_waiting_tasks();
        // What only samples for an `always` step goes on, and nobody waits for it.
        let going_back = |id: &NodeId| self.state.node(*id).status == StepStatus::RollingBack;
        self.flight.tasks.keys().all(|id| going_back(id) || self.flight.watching.contains(id))
    }

    /// What only waits for a lock or reads is let go of: before anything was done, and a check after it, which may be waited for as long as its
    /// `within` says.
    pub fn drop_waiting_tasks(&mut self) {
        let waiting = |stage: &Stage| matches!(stage, Stage::Lock | Stage::Observe | Stage::Samples(_) | Stage::Applied | Stage::Check(..));
        let idle: Vec<NodeId> =
            self.flight.tasks.keys().copied().filter(|id| waiting(&self.state.node(*id).stage) && !self.state.is_always(*id)).collect();
        for id in idle {
            self.drop_task(id);
        }
    }

    /// In a pause, nothing is stayed for that only reads before anything is done (somebody else's lock may be held for hours): `resume` begins it anew.
    pub fn drop_readings(&mut self) {
        let reads = |stage: &Stage| {
            matches!(stage, Stage::Lock | Stage::Observe | Stage::Samples(_) | Stage::Check(Phase::Before, _) | Stage::RevertRead)
        };
        let idle: Vec<NodeId> = self.flight.tasks.keys().copied().filter(|id| reads(&self.state.node(*id).stage)).collect();
        for id in idle {
            self.drop_task(id);
        }
    }

    /// What has not begun will not; what waits stops waiting.
    pub fn end_what_has_not_run(&mut self, scope: &RollbackScope) {
        for id in 0..u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX) {
            if !self.state.is_within(id, scope) {
                continue;
            }
            let node = self.state.node(id);
            let step = node.path.clone();
            match node.status {
                // A step that was to begin again may have run before: it is to be taken back like any that may have.
                StepStatus::Pending | StepStatus::Waiting | StepStatus::Running
                    if (!self.state.is_group(id) || node.status != StepStatus::Running)
                        && !self.state.is_always(id)
                        && !self.flight.tasks.contains_key(&id) =>
                {
                    let detail = node.detail.as_ref();
                    if detail.is_some_and(|detail| detail.frozen) {
                        let failure = detail.and_then(|detail| detail.failure.clone());
                        let failure = failure.unwrap_or_else(|| {
                            Failure::permanent(match node.stage {
                                Stage::Applied | Stage::Check(Phase::After, _) => {
                                    "the action was done, and the run ended before the check after it held"
                                }
                                _ => "the run ended before another attempt",
                            })
                        });
                        self.emit(Event::StepFailed { step, failure, applied: true });
                    } else {
                        self.emit(Event::StepSkipped { step, reason: SkipReason::RunEnded });
                    }
                }
                _ => {}
            }
        }
    }

    fn map(&self, scope: &RollbackScope) -> Unwind {
        let count = self.state.nodes.len();
        let mut unwind = Unwind {
            blockers: vec![0; count],
            children: vec![0; count],
            passed: vec![false; count],
            within: vec![false; count],
            ready: Vec::new(),
            working: 0,
            before: self.same_fields(scope),
        };
        let mut later: HashMap<NodeId, usize> = HashMap::new();
        unwind.before.values().flatten().for_each(|earlier| *later.entry(*earlier).or_default() += 1);
        for (at, id) in (0..count).zip(0_u32..) {
            unwind.within[at] = self.state.is_within(id, scope);
        }
        for (at, id) in (0..count).zip(0_u32..) {
            if !unwind.within[at] {
                continue;
            }
            let parent = self.state.node(id).parent.filter(|parent| unwind.within[*parent as usize]);
            let dependents = self.state.dependents(id).len() + usize::from(parent.is_some()) + later.get(&id).copied().unwrap_or(0);
            unwind.blockers[at] = u32::try_from(dependents).unwrap_or(u32::MAX);
            if let Some(parent) = parent {
                unwind.children[parent as usize] += 1;
            }
            if dependents == 0 {
                unwind.ready.push(id);
            }
        }
        unwind
    }

    /// Of steps that changed the same field, the later goes back first, whether or not it needs the earlier one: each finds what it left there.
    fn same_fields(&self, scope: &RollbackScope) -> HashMap<NodeId, Vec<NodeId>> {
        let mut latest: HashMap<(&ObjectRef, &str), NodeId> = HashMap::new();
        let mut before: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        for id in self.state.changed() {
            let node = self.state.node(id);
            if !self.state.is_within(id, scope) || !is_chosen(scope, &node.path) {
                continue;
            }
            let Some(intent) = node.detail.as_ref().and_then(|detail| detail.intent.as_ref()) else { continue };
            for change in &intent.changes {
                let Some(earlier) = latest.insert((&change.object, &change.field), id) else { continue };
                // A step that was done again may come after one that needs it: then the needs decide.
                let known = before.get(&id).is_some_and(|before| before.contains(&earlier));
                if earlier != id && !known && !self.relies_on(earlier, id) {
                    before.entry(id).or_default().push(earlier);
                }
            }
        }
        before
    }

    /// Whether a step, or a group that it is in, needs the other or a group that the other is in, directly or through others.
    fn relies_on(&self, id: NodeId, other: NodeId) -> bool {
        let around = |id: NodeId| std::iter::successors(Some(id), |id| self.state.node(*id).parent);
        let targets: Vec<NodeId> = around(other).collect();
        let mut queue: Vec<NodeId> = around(id).filter(|at| !self.state.is_instance(*at)).flat_map(|at| self.state.needs(at)).collect();
        let mut seen = HashSet::new();
        while let Some(at) = queue.pop() {
            if targets.contains(&at) {
                return true;
            }
            if seen.insert(at) {
                queue.extend(self.state.needs(at));
            }
        }
        false
    }

    /// It is this node's turn.
    fn reach(&mut self, id: NodeId, scope: &RollbackScope) {
        if self.state.is_group(id) {
            let children = self.state.children(id);
            if children.is_empty() {
                return self.pass(id, scope);
            }
            for child in children {
                self.unblock(child);
            }
            return;
        }
        let chosen = is_chosen(scope, &self.state.node(id).path);
        match self.state.node(id).status {
            StepStatus::RollingBack => {
                self.work(1);
                let waits = matches!(self.state.node(id).stage, Stage::Gate { .. } | Stage::RevertRetry(_));
                if !waits && !self.flight.tasks.contains_key(&id) {
                    self.flight.revert_queue.insert(id);
                }
            }
            // Whoever skips a step goes on without it; what it may have done is still there.
            StepStatus::Succeeded | StepStatus::Failed | StepStatus::Skipped if chosen && self.state.node(id).may_have_run() => {
                self.work(1);
                self.flight.revert_queue.insert(id);
            }
            StepStatus::Succeeded if chosen => {
                self.emit(Event::StepRolledBack { step: self.path(id), note: Some("nothing to put back".to_owned()) });
                self.pass(id, scope);
            }
            StepStatus::Unknown | StepStatus::RollbackFailed => {}
            StepStatus::Kept if self.state.node(id).kept_blocks() => {}
            StepStatus::Pending
            | StepStatus::Waiting
            | StepStatus::Running
            | StepStatus::Verifying
            | StepStatus::Succeeded
            | StepStatus::Failed
            | StepStatus::Skipped
            | StepStatus::RolledBack
            | StepStatus::Kept => self.pass(id, scope),
        }
    }

    fn work(&mut self, more: isize) {
        if let Some(unwind) = self.flight.unwind.as_mut() {
            unwind.working = unwind.working.saturating_add_signed(more);
        }
    }

    fn unblock(&mut self, id: NodeId) {
        let Some(unwind) = self.flight.unwind.as_mut() else { return };
        let blockers = &mut unwind.blockers[id as usize];
        if !unwind.within[id as usize] || *blockers == 0 {
            return;
        }
        *blockers -= 1;
        if *blockers == 0 {
            unwind.ready.push(id);
        }
    }

    fn pass(&mut self, id: NodeId, scope: &RollbackScope) {
        let mut at = id;
        loop {
            let Some(unwind) = self.flight.unwind.as_mut() else { return };
            if std::mem::replace(&mut unwind.passed[at as usize], true) {
                return;
            }
            if self.state.is_group(at) {
                self.pass_group(at, scope);
            }
            for earlier in self.flight.unwind.as_mut().and_then(|unwind| unwind.before.remove(&at)).unwrap_or_default() {
                self.unblock(earlier);
            }
            if !self.state.is_instance(at) {
                for need in self.state.needs(at) {
                    self.unblock(need);
                }
            }
            let Some(unwind) = self.flight.unwind.as_mut() else { return };
            match self.state.node(at).parent {
                Some(parent) if unwind.within[parent as usize] => {
                    let left = &mut unwind.children[parent as usize];
                    *left -= 1;
                    if *left > 0 {
                        return;
                    }
                    at = parent;
                }
                _ => return,
            }
        }
    }

    /// Everything within a group has been taken back or kept.
    fn pass_group(&mut self, id: NodeId, scope: &RollbackScope) {
        let ran = matches!(self.state.node(id).status, StepStatus::Succeeded | StepStatus::Failed | StepStatus::Running);
        let whole = match scope {
            RollbackScope::Run | RollbackScope::Call { .. } => true,
            RollbackScope::Only { .. } => self.state.children(id).all(|child| {
                matches!(
                    self.state.node(child).status,
                    StepStatus::RolledBack | StepStatus::Kept | StepStatus::Skipped | StepStatus::Pending
                )
            }),
        };
        if ran && whole {
            self.emit(Event::StepRolledBack { step: self.path(id), note: None });
        }
    }

    /// A leaf has been dealt with: taken back or kept, or it stays and holds up what it needs.
    pub fn unwound(&mut self, id: NodeId, passes: bool) {
        self.work(-1);
        if let Mode::RollingBack(scope) = self.state.mode.clone()
            && passes
        {
            self.pass(id, &scope);
        }
    }

    fn end_unwind(&mut self, scope: &RollbackScope) {
        let left_unknown = self.state.counts.unknown > 0
            && (0..u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX))
                .any(|id| self.state.node(id).status == StepStatus::Unknown && self.state.is_within(id, scope));
        if left_unknown {
            // An operator has to say what became of it; `finish` tells that the run waits.
            return;
        }
        let remaining = self.state.nodes.iter().zip(0_u32..).any(|(node, id)| {
            node.status == StepStatus::RollbackFailed
                || (matches!(node.status, StepStatus::Succeeded | StepStatus::Failed | StepStatus::Skipped)
                    && node.may_have_run()
                    && is_chosen(scope, &node.path)
                    && !self.state.is_group(id)
                    && self.state.is_within(id, scope))
        });
        if !remaining {
            self.keep_unpassed_groups(scope);
        }
        self.emit(Event::RollbackEnded { complete: !remaining });
        self.flight.unwind = None;
        if remaining {
            return self.take_all_up();
        }
        match scope {
            RollbackScope::Run => self.take_all_up(),
            RollbackScope::Only { steps } => {
                let names: Vec<&str> = steps.iter().map(StepPath::as_str).collect();
                let reason = Some(format!("rolled back on request: {}", names.join(", ")));
                self.emit(Event::RunStatusChanged { status: crate::model::status::RunStatus::Paused, reason });
            }
            RollbackScope::Call { step } => {
                let status = crate::model::status::RunStatus::Running;
                // The calling step fails as soon as all its steps have ended, `always` ones too: `conclude_group`.
                let reason = Some(format!("the steps of {step} were rolled back"));
                self.emit(Event::RunStatusChanged { status, reason });
                self.apply_held_rules();
                self.take_all_up();
            }
        }
    }

    /// Groups with a step that is kept because the platform did not follow.
    fn keep_unpassed_groups(&mut self, scope: &RollbackScope) {
        for id in 0..u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX) {
            let ran = matches!(self.state.node(id).status, StepStatus::Succeeded | StepStatus::Failed | StepStatus::Running);
            if self.state.is_group(id)
                && ran
                && self.state.is_within(id, scope)
                && matches!(scope, RollbackScope::Run | RollbackScope::Call { .. })
            {
                self.emit(Event::StepKept { step: self.path(id), reason: "some of its steps are kept".to_owned(), blocks: false });
            }
        }
    }
}

/// Whether a rollback is to take this step back.
fn is_chosen(scope: &RollbackScope, path: &StepPath) -> bool {
    match scope {
        RollbackScope::Run | RollbackScope::Call { .. } => true,
        RollbackScope::Only { steps } => steps.iter().any(|step| {
            path == step || path.as_str().strip_prefix(step.as_str()).is_some_and(|rest| rest.starts_with('/') || rest.starts_with('['))
        }),
    }
}

/// Whether this path is one of these steps, or within one of them.
pub(super) fn covers(steps: &[StepPath], path: &StepPath) -> bool {
    is_chosen(&RollbackScope::Only { steps: steps.to_vec() }, path)
}
