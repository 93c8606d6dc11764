//! Which step may start, and what stands before it: needs, `when`, `at`, gates, slots.

use jiff::Timestamp;
use serde_json::Value;

use super::draft::Draft;
use super::node::{Kind, Stage};
use super::state::{Mode, NodeId};
use crate::expr::{Bindings, Expression};
use crate::model::duration::Span;
use crate::model::event::{Event, GateKind, SkipReason, Waiting};
use crate::model::inputs::ResolvedInputs;
use crate::model::outcome::Failure;
use crate::model::status::StepStatus;
use crate::model::step::{At, Gate, IfLate, Otherwise, Uses, Wait};
use crate::model::template::{Source, Template};

impl Draft<'_> {
    /// Whether this step may start in the run's present mode.
    fn may_start(&self, id: NodeId) -> bool {
        match self.state.mode {
            Mode::Forward => true,
            Mode::Ending(_) | Mode::Cancelling => self.state.is_always(id),
            Mode::Paused | Mode::RollingBack(_) | Mode::Finished => false,
        }
    }

    /// Looks at every step whose needs have ended.
    pub fn consider_all(&mut self) {
        if !matches!(self.state.mode, Mode::Forward | Mode::Ending(_) | Mode::Cancelling) {
            return;
        }
        let mut from = 0;
        while let Some(id) = self.state.considerable.range(from..).next().copied() {
            from = id + 1;
            if self.may_start(id) {
                self.consider(id);
            }
        }
    }

    /// Goes on with a step that has not begun, as far as possible without a slot.
    pub fn consider(&mut self, id: NodeId) {
        if self.state.node(id).status != StepStatus::Pending {
            return;
        }
        let instance = self.state.is_instance(id);
        if !instance && let Some(reason) = self.unmet_need(id) {
            return self.emit(Event::StepSkipped { step: self.path(id), reason });
        }
        if instance && !self.has_room(id) {
            return;
        }
        let step = self.state.step(id).clone();
        let for_each = step.for_each.is_some() && !instance;
        if let Some(when) = &step.when
            && (uses_item(when) == instance || (!instance && step.for_each.is_none()))
            && !self.is_cleared(id)
        {
            match self.state.is_true(id, when) {
                Ok(true) => {}
                Ok(false) => return self.emit(Event::StepSkipped { step: self.path(id), reason: SkipReason::When }),
                Err(failure) => return self.fail(id, failure, false),
            }
        }
        if !instance {
            if let Some(at) = &step.at
                && !self.detail_flag(id, |detail| detail.late_cleared)
            {
                match self.hold_for_time(id, &at.time, at.not_after.as_ref(), at.if_late) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(failure) => return self.fail(id, failure, false),
                }
            }
            if let Some(gate) = &step.approve
                && !self.detail_flag(id, |detail| detail.gate_cleared)
            {
                return self.close_gate(id, gate, GateKind::Step);
            }
        }
        if for_each {
            return self.expand(id);
        }
        match &step.uses {
            Uses::Action { .. } => {
                // From here on it is the queue's, so that what only waits for a slot is not looked at again and again.
                self.state.considerable.remove(&id);
                self.flight.queue.insert(id);
            }
            Uses::Playbook { name, params } => self.call(id, name, params),
            Uses::Wait(wait) => self.start_wait(id, wait),
            Uses::Approve(gate) => {
                if self.detail_flag(id, |detail| detail.gate_cleared && detail.started) {
                    self.succeed(id, Value::Null, None);
                } else {
                    self.start_construct(id);
                    self.close_gate(id, gate, GateKind::Step);
                }
            }
            Uses::Monitor(monitor) if instance => self.consider_monitored(id, monitor),
            Uses::Monitor(monitor) => self.expand_monitor(id, monitor),
        }
    }

    fn detail_flag(&self, id: NodeId, flag: impl Fn(&super::node::Detail) -> bool) -> bool {
        self.state.node(id).detail.as_deref().is_some_and(flag)
    }

    /// Whether `when` was looked at before: what comes after it has begun.
    fn is_cleared(&self, id: NodeId) -> bool {
        self.detail_flag(id, |detail| detail.time_cleared || detail.gate_cleared || detail.started)
    }

    /// Whether an instance of a `for_each` may begin under its `max_parallel`.
    fn has_room(&self, id: NodeId) -> bool {
        let Some(limit) = self.state.step(id).for_each.as_ref().and_then(|each| each.max_parallel) else { return true };
        let Some(parent) = self.state.node(id).parent else { return true };
        let queued = self.state.children(parent).filter(|child| self.flight.queue.contains(child)).count();
        match self.state.node(parent).kind {
            Kind::Each { busy, .. } => busy as usize + queued < limit as usize,
            Kind::Leaf | Kind::Call { .. } => true,
        }
    }

    /// The first need that did not end as accepted.
    fn unmet_need(&self, id: NodeId) -> Option<SkipReason> {
        let step = self.state.step(id);
        if step.always {
            return None;
        }
        step.needs.iter().zip(self.state.needs(id)).find_map(|(need, on)| {
            let node = self.state.node(on);
            let on_purpose = node.skip.as_ref().is_none_or(SkipReason::is_on_purpose);
            let accepted =
                need.accept.iter().any(|accept| accept.status() == node.status) && (node.status != StepStatus::Skipped || on_purpose);
            (!accepted).then(|| SkipReason::Need { step: node.path.clone(), status: node.status })
        })
    }

    /// Whether the step's time has come; else it waits, or what its lateness means has been decided.
    fn hold_for_time(&mut self, id: NodeId, time: &Template, not_after: Option<&Template>, if_late: IfLate) -> Result<bool, Failure> {
        let time = self.moment(id, time)?;
        if time > self.now {
            self.emit(Event::StepWaiting { step: self.path(id), wait: Waiting::Time { until: time } });
            return Ok(false);
        }
        let Some(not_after) = not_after else { return Ok(true) };
        let not_after = self.moment(id, not_after)?;
        if self.now <= not_after {
            return Ok(true);
        }
        match if_late {
            IfLate::Run => Ok(true),
            // What an earlier attempt may have done is not to be forgotten: a person says what becomes of it.
            IfLate::Skip if !self.state.node(id).may_have_run() => {
                self.emit(Event::StepSkipped { step: self.path(id), reason: SkipReason::Late });
                Ok(false)
            }
            IfLate::Ask | IfLate::Skip => {
                let message = Some(format!("it was to start by {not_after}, and that is over: start it all the same?"));
                let gate = GateKind::Late;
                let wait = Waiting::Approval { count: 1, by: Vec::new(), message, until: None, gate };
                self.emit(Event::StepWaiting { step: self.path(id), wait });
                Ok(false)
            }
        }
    }

    /// Whether the time by which the step was to start is over, and nobody has said to start it all the same.
    pub fn is_too_late(&self, id: NodeId) -> bool {
        let Some(At { not_after: Some(not_after), if_late: IfLate::Ask | IfLate::Skip, .. }) = self.state.step(id).at.as_deref() else {
            return false;
        };
        let cleared = self.state.is_instance(id) || self.detail_flag(id, |detail| detail.late_cleared);
        !cleared && self.moment(id, not_after).is_ok_and(|not_after| self.now > not_after)
    }

    pub fn moment(&self, id: NodeId, template: &Template) -> Result<Timestamp, Failure> {
        let value = self.state.resolve(id, template, Bindings::new())?;
        let text = value.as_str().ok_or_else(|| Failure::permanent(format!("{value} is not a time")))?;
        parse_moment(text).ok_or_else(|| {
            Failure::permanent(format!("`{text}` is not a time"))
                .hint("write it as 2026-11-27T19:00:00+01:00, or with a zone: 2026-11-27T19:00:00[Europe/Berlin]")
        })
    }

    pub fn close_gate(&mut self, id: NodeId, gate: &Gate, kind: GateKind) {
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let message = match gate.message.as_ref().map(|message| self.state.resolve(id, message, Bindings::new())) {
            None => None,
            Some(Ok(value)) => Some(text(value)),
            Some(Err(failure)) => return self.fail(id, failure, false),
        };
        let until = match gate.until.as_ref().map(|until| self.state.resolve(id, until, Bindings::new())) {
            None => None,
            Some(Err(failure)) => return self.fail(id, failure, false),
            Some(Ok(value)) => {
                let text = text(value);
                match text.parse::<Span>() {
                    Ok(span) => Some(later(self.now, span.0)),
                    Err(_) => match parse_moment(&text) {
                        Some(moment) => Some(moment),
                        None => {
                            let failure = Failure::permanent(format!("`until: {text}` of the gate is neither a time nor a duration"));
                            return self.fail(id, failure, false);
                        }
                    },
                }
            }
        };
        let wait = Waiting::Approval { count: gate.count.max(1), by: gate.by.clone(), message, until, gate: kind };
        self.emit(Event::StepWaiting { step: self.path(id), wait });
    }

    /// Marks a construct as begun.
    fn start_construct(&mut self, id: NodeId) {
        let occurrence = self.state.node(id).occurrence();
        self.emit(Event::StepStarted { step: self.path(id), occurrence, inputs: ResolvedInputs::default(), intent: None });
    }

    fn start_wait(&mut self, id: NodeId, wait: &Wait) {
        let until = match wait {
            Wait::That(_) => {
                self.start_construct(id);
                return self.next_check(id);
            }
            Wait::Duration(template) => match self.state.resolve(id, template, Bindings::new()) {
                Err(failure) => return self.fail(id, failure, false),
                Ok(value) => match value.as_str().map(str::parse::<Span>) {
                    Some(Ok(span)) => later(self.now, span.0),
                    _ => return self.fail(id, Failure::permanent(format!("{value} is not a duration such as `10m`")), false),
                },
            },
            Wait::Until(template) => match self.moment(id, template) {
                Ok(moment) => moment,
                Err(failure) => return self.fail(id, failure, false),
            },
        };
        self.start_construct(id);
        if until <= self.now {
            return self.succeed(id, Value::Null, None);
        }
        self.emit(Event::StepWaiting { step: self.path(id), wait: Waiting::Time { until } });
    }

    /// Starts what waits for a slot, in the order of the playbook; reverts first.
    pub fn fill_slots(&mut self) {
        while self.flight.slots < self.state.spec.max_parallel {
            let rolling_back = matches!(self.state.mode, Mode::RollingBack(_));
            if let Some(id) = rolling_back.then(|| self.flight.revert_queue.pop_first()).flatten() {
                self.flight.take(id);
                self.start_revert(id);
            } else if let Some(id) = self.flight.queue.pop_first() {
                let node = self.state.node(id);
                match node.status {
                    StepStatus::Pending if self.may_start(id) => {
                        self.flight.take(id);
                        self.start(id);
                    }
                    StepStatus::Pending => {
                        self.state.considerable.insert(id);
                    }
                    StepStatus::Running if matches!(node.stage, Stage::Retry(_)) && self.may_go_on(id) => {
                        self.flight.take(id);
                        self.attempt(id);
                    }
                    _ => {}
                }
            } else {
                break;
            }
            // Whatever it became, a step without a task needs no slot.
            let idle: Vec<NodeId> = self.flight.slotted.iter().filter(|id| !self.flight.tasks.contains_key(id)).copied().collect();
            for id in idle {
                self.flight.free(id);
            }
        }
    }

    /// Whether a step that has begun may begin another attempt.
    pub fn may_go_on(&self, id: NodeId) -> bool {
        self.may_start(id)
    }

    /// What has become due.
    pub fn due(&mut self) {
        while let Some((at, id)) = self.state.timers.first().copied() {
            if at > self.now {
                break;
            }
            match self.state.node(id).stage.clone() {
                Stage::Time(_) => {
                    let started = self.detail_flag(id, |detail| detail.started);
                    self.emit(Event::WaitOver { step: self.path(id) });
                    if started {
                        self.succeed(id, Value::Null, None);
                    }
                }
                Stage::Gate { kind, .. } => {
                    self.flight.unwind = None;
                    self.gate_shut(id, kind, "nobody approved it in time".to_owned());
                }
                Stage::Retry(_) if self.may_go_on(id) => {
                    self.state.timers.remove(&(at, id));
                    self.flight.queue.insert(id);
                }
                Stage::RevertRetry(_) => {
                    self.state.timers.remove(&(at, id));
                    self.flight.revert_queue.insert(id);
                }
                // A retry that is due while nothing may start: the timer goes, and `resume` queues it again.
                _ => {
                    self.state.timers.remove(&(at, id));
                }
            }
        }
    }

    /// A gate was refused, or its time is over.
    pub fn gate_shut(&mut self, id: NodeId, kind: GateKind, why: String) {
        let step = self.path(id);
        if kind == GateKind::Rollback {
            return self.emit(Event::StepKept { step, reason: format!("its rollback was not approved: {why}"), blocks: true });
        }
        let otherwise = match (&self.state.step(id).approve, &self.state.step(id).uses) {
            (_, _) if kind == GateKind::Late => Otherwise::Skip,
            (_, Uses::Monitor(monitor)) if self.state.is_instance(id) => {
                let alert = self.state.node(id).item.as_ref().and_then(|item| monitor.alert_of(&item.0));
                alert.and_then(|alert| alert.approve.as_ref()).map(|gate| gate.otherwise).unwrap_or_default()
            }
            (Some(gate), _) if !self.detail_flag(id, |detail| detail.started) => gate.otherwise,
            (_, Uses::Approve(gate)) => gate.otherwise,
            _ => Otherwise::Fail,
        };
        match otherwise {
            Otherwise::Skip => self.emit(Event::StepSkipped { step, reason: SkipReason::Gate { why } }),
            Otherwise::Fail => self.fail(id, Failure::permanent(format!("not approved: {why}")), false),
        }
    }
}

fn uses_item(source: &Source) -> bool {
    Expression::parse(&source.text).is_ok_and(|expression| expression.references().roots.contains(&crate::expr::Root::Item))
}

/// `now` plus a length of time.
pub(super) fn later(now: Timestamp, by: std::time::Duration) -> Timestamp {
    jiff::SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// RFC 3339 with an offset, or a civil time with a zone in brackets.
pub(super) fn parse_moment(text: &str) -> Option<Timestamp> {
    crate::expr::timestamp(text).ok()
}
