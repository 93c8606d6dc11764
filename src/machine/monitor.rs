//! Monitors: an instance that samples, and one for each firing that there may be. Sampling is a task that only reads; what it saw is no event, only that an
//! alert fired is.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::forward::later;
use super::node::Stage;
use super::state::NodeId;
use super::task::{Alarm, Watch, What};
use crate::expr::{Bindings, Expression, References, Root, references, resolve};
use crate::model::duration::Span;
use crate::model::event::{Event, GateKind, SkipReason, Waiting};
use crate::model::inputs::ResolvedInputs;
use crate::model::monitor::{Monitor, SAMPLES};
use crate::model::outcome::Failure;
use crate::model::status::StepStatus;
use crate::model::step::{Effect, Uses};
use crate::model::template::{Source, Template};

impl Draft<'_> {
    /// Fixes a monitor's instances.
    pub fn expand_monitor(&mut self, id: NodeId, monitor: &Monitor) {
        let items = monitor.instances().into_iter().map(|(key, _)| (key, Value::Null)).collect();
        self.emit(Event::StepExpanded { step: self.path(id), items });
    }

    /// Goes on with an instance of a monitor that has not begun.
    pub fn consider_monitored(&mut self, id: NodeId, monitor: &Monitor) {
        let Some(item) = self.state.node(id).item.clone() else { return };
        let Some(alert) = monitor.alert_of(&item.0) else { return self.start_samples(id, monitor) };
        if self.state.node(id).detail.as_deref().is_none_or(|detail| detail.fired.is_none()) {
            // It stays among what is looked at: it is over when the samples are.
            if self.samples_over(id) {
                self.emit(Event::StepSkipped { step: self.path(id), reason: SkipReason::NotFired });
            }
            return;
        }
        match &alert.approve {
            Some(gate) if !self.state.node(id).detail.as_deref().is_some_and(|detail| detail.gate_cleared) => {
                let mut gate = gate.clone();
                if gate.message.is_none() {
                    let why = item.1["message"].as_str().map_or_else(|| format!("alert {} fired", alert.name), str::to_owned);
                    let asks = if why.ends_with('?') {
                        format!("{why} (starts {})", alert.playbook)
                    } else {
                        format!("{why}: start {}?", alert.playbook)
                    };
                    gate.message = Some(Template::Literal(asks.into()));
                }
                self.close_gate(id, &gate, GateKind::Step);
            }
            _ => self.call(id, &alert.playbook, &alert.params),
        }
    }

    /// Whether nothing is sampled any more beside this firing.
    fn samples_over(&self, id: NodeId) -> bool {
        let Some(parent) = self.state.node(id).parent else { return true };
        self.state.children(parent).next().is_none_or(|samples| self.state.node(samples).status.is_ended())
    }

    /// What an alert has proposed and nobody has approved is over with the samples: what it was proposed for is looked at no longer.
    pub fn shut_firings(&mut self, samples: NodeId) {
        let Some(parent) = self.state.node(samples).parent else { return };
        // Samples whose failure holds the run up begin anew with `resume`.
        if !self.state.node(samples).status.is_ended() || self.state.holding.contains(&samples) {
            return;
        }
        let asks = |id: &NodeId| matches!(self.state.node(*id).stage, Stage::Gate { kind: GateKind::Step, .. });
        let open: Vec<NodeId> = self.state.children(parent).filter(|id| *id != samples).filter(asks).collect();
        for id in open {
            self.gate_shut(id, GateKind::Step, "nobody approved it before the monitor had ended its watch".to_owned());
        }
    }

    /// The same for every monitor, where a process begins with what another had left.
    pub fn shut_all_firings(&mut self) {
        let monitored = |id: &NodeId| self.state.is_instance(*id) && matches!(self.state.step(*id).uses, Uses::Monitor(_));
        let asking: Vec<NodeId> = self.state.active.iter().copied().filter(monitored).collect();
        for id in asking {
            let samples = self.state.node(id).parent.and_then(|parent| self.state.children(parent).next());
            if let Some(samples) = samples {
                self.shut_firings(samples);
            }
        }
    }

    fn start_samples(&mut self, id: NodeId, monitor: &Monitor) {
        let ends =
            [monitor.duration.as_ref().map(|length| self.length(id, length)), monitor.until.as_ref().map(|time| self.moment(id, time))];
        let mut until: Option<Timestamp> = None;
        for end in ends.into_iter().flatten() {
            match end {
                Ok(end) => until = Some(until.map_or(end, |until| until.min(end))),
                Err(failure) => return self.fail(id, failure, false),
            }
        }
        let occurrence = self.state.node(id).occurrence();
        let step = self.path(id);
        self.emit(Event::StepStarted { step: step.clone(), occurrence, inputs: ResolvedInputs::default(), intent: None });
        self.emit(Event::StepWaiting { step, wait: Waiting::Samples { until } });
        self.watch(id);
    }

    fn length(&self, id: NodeId, template: &Template) -> Result<Timestamp, Failure> {
        let value = self.state.resolve(id, template, Bindings::new())?;
        match value.as_str().map(str::parse::<Span>) {
            Some(Ok(span)) => Ok(later(self.now, span.0)),
            _ => Err(Failure::permanent(format!("{value} is not a duration such as `10m`"))),
        }
    }

    /// Asks for samples, from now until the end that was fixed when they began.
    pub fn watch(&mut self, id: NodeId) {
        let (Stage::Samples(until), Uses::Monitor(monitor)) = (self.state.node(id).stage.clone(), self.state.step(id).uses.clone()) else {
            return;
        };
        match self.prepare_watch(id, &monitor, until) {
            Ok(watch) => self.issue(id, What::Watch(Arc::new(watch)), Effect::Read, None),
            Err(failure) => self.fail(id, failure, false),
        }
    }

    fn prepare_watch(&self, id: NodeId, monitor: &Monitor, until: Option<Timestamp>) -> Result<Watch, Failure> {
        let mut wanted = References::default();
        let mut want = |template: &Template| {
            let more = references(template);
            wanted.roots.extend(more.roots);
            wanted.steps.extend(more.steps);
        };
        monitor.that.iter().for_each(|that| want(&Template::Expression(that.clone())));
        monitor.series.iter().for_each(|(_, number)| want(number));
        for alert in &monitor.alerts {
            want(&Template::Expression(alert.when.clone()));
            alert.message.iter().for_each(&mut want);
        }
        let samples = monitor.samples.iter().map(|(name, reading)| {
            let inputs = self.state.inputs(id, &reading.with, &reading.secrets, Bindings::new())?;
            Ok((name.clone(), reading.uses.clone(), Arc::new(inputs)))
        });
        Ok(Watch {
            every: monitor.every.0,
            until,
            that: monitor.that.clone(),
            samples: samples.collect::<Result<_, Failure>>()?,
            series: monitor.series.clone(),
            alarms: monitor
                .alerts
                .iter()
                .map(|alert| Alarm {
                    name: alert.name.clone(),
                    when: alert.when.clone(),
                    hold: alert.hold.map(|hold| hold.0),
                    message: alert.message.clone(),
                })
                .collect(),
            bindings: self.state.bindings(id, &wanted),
        })
    }

    /// An alert's condition holds: its next firing begins, where it may fire. Said with every sample for as long as it holds.
    pub fn alarmed(&mut self, id: NodeId, alert: &str, message: Option<String>, series: Map<String, Value>) {
        let Uses::Monitor(monitor) = self.state.step(id).uses.clone() else { return };
        let Some(alert) = monitor.alerts.iter().find(|known| known.name == alert) else { return };
        let Some(parent) = self.state.node(id).parent else { return };
        let firings: Vec<NodeId> = self
            .state
            .children(parent)
            .filter(|child| self.state.node(*child).item.as_ref().is_some_and(|item| alert.firings().any(|firing| firing == item.0)))
            .collect();
        let fired = |id: &NodeId| self.state.node(*id).detail.as_deref().and_then(|detail| detail.fired);
        let Some(next) =
            firings.iter().position(|firing| fired(firing).is_none() && self.state.node(*firing).status == StepStatus::Pending)
        else {
            return;
        };
        let still_on = firings.iter().take(next).any(|firing| !self.state.node(*firing).status.is_ended());
        let cooling = firings.iter().filter_map(fired).max().is_some_and(|at| later(at, alert.cooldown.0) > self.now);
        if still_on || cooling {
            return;
        }
        let item = json!({ "alert": alert.name, "firing": next + 1, "message": message, "series": series });
        self.emit(Event::MonitorFired { step: self.path(firings[next]), item });
    }

    /// What a monitor gives: how much it saw, and what fired.
    pub fn monitor_outputs(&self, id: NodeId) -> Value {
        let children = self.state.children(id);
        let sampled = children.clone().next().and_then(|samples| self.state.node(samples).detail.as_deref());
        let mut outputs = sampled.and_then(|detail| detail.outputs.as_object().cloned()).unwrap_or_default();
        let fired: Vec<Value> = children
            .filter(|child| self.state.node(*child).detail.as_deref().is_some_and(|detail| detail.fired.is_some()))
            .filter_map(|child| self.state.node(child).item.as_ref().map(|item| Value::String(item.0.clone())))
            .collect();
        outputs.insert("fired".to_owned(), fired.into());
        // Where a person has ended the samples, they told nothing.
        for name in ["samples", "failed", "series"] {
            outputs.entry(name).or_insert(Value::Null);
        }
        Value::Object(outputs)
    }
}

impl Watch {
    /// Whether a condition holds for a sample.
    ///
    /// # Errors
    /// When it has no value (what it reads is not there yet), or not a boolean one.
    pub fn holds(&self, that: &Source, result: &Value) -> Result<bool, String> {
        let expression = Expression::parse(&that.text).map_err(|error| error.to_string())?;
        match expression.evaluate(&self.bindings.clone().with(Root::Result, result.clone())) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("line {}: `{}` is {other}, not true or false", that.line, that.text)),
            Err(error) => Err(format!("line {}: `{}`: {error}", that.line, that.text)),
        }
    }

    /// A number of a sample; none where there is none.
    pub fn number(&self, of: &Template, result: &Value) -> Option<f64> {
        resolve(of, &self.bindings.clone().with(Root::Result, result.clone())).ok()?.as_f64().filter(|number| number.is_finite())
    }

    /// What people are told of an alert.
    pub fn text(&self, of: &Template, result: &Value) -> Option<String> {
        match resolve(of, &self.bindings.clone().with(Root::Result, result.clone())).ok()? {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }
}

/// Whether an instance of a monitor is the one that samples.
pub(super) fn samples(key: &str) -> bool {
    key == SAMPLES
}
