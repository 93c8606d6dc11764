//! The construct `monitor`.
//!
//! Must not look at other steps. Invariant: a monitor that passes can end, reads with actions that read, and its alerts start playbooks that are there.

use super::reader::Reader;
use super::source::Span;
use super::step::Call;
use super::template::Scope;
use super::yaml::{Kind, Node};
use crate::expr::{Root, references};
use crate::model::duration;
use crate::model::monitor::{Alert, Monitor, SAMPLES};
use crate::model::step::{Effect, Gate, Otherwise, Reading};
use crate::model::template::Template;

/// How often it samples where the playbook says nothing.
const EVERY: duration::Span = duration::Span::seconds(15);
/// The shortest time between two samples.
const SHORTEST: duration::Span = duration::Span::millis(100);
/// How long an alert is quiet after a firing where the playbook says nothing.
const COOLDOWN: duration::Span = duration::Span::seconds(600);
/// How many readings, series and alerts a monitor may have.
const MOST: usize = 16;
/// How often one alert may fire.
const FIRINGS: u32 = 20;

impl Reader<'_> {
    pub(super) fn monitor(&mut self, with: &Node, index: usize, for_each: Option<&Node>, calls: &mut Vec<Call>) -> Option<Monitor> {
        let what = "`monitor`";
        self.map(with, what, &["every", "duration", "until", "that", "samples", "series", "alerts"])?;
        if let Some(at) = for_each {
            let hint = "name all that is to be sampled under `samples`, or write a step for each";
            self.problems.hint("construct", at.span, "a `monitor` has no `for_each`", hint);
        }
        let scope = |what| Scope::of_step(index, what, false);
        let every = self.duration_or(with.get("every"), "`every`").unwrap_or(EVERY);
        if let (Some(at), true) = (with.get("every"), every < SHORTEST) {
            self.problems.add("wrong-value", at.span, format!("`every` is at least {SHORTEST}"));
        }
        let duration = with.get("duration").map(|at| self.length(at, scope("`duration`")));
        let until = with.get("until").map(|at| self.time(at, scope("`until`"), "`until`"));
        let that = with.get("that").and_then(|at| self.source(at, scope("`that`").with_result()));
        if ["duration", "until", "that"].iter().all(|key| with.get(key).is_none()) {
            let hint = "write `duration: 2h`, `until: TIME`, or a condition as `that`";
            self.problems.hint("construct", with.span, "nothing ends this `monitor`", hint);
        }
        let samples = self.samples(with, scope("an input"));
        let series = self.series(with, scope("a series").with_result());
        let alerts = self.alerts(with, index, calls);
        Some(Monitor { every, duration, until, that, samples, series, alerts })
    }

    fn samples(&mut self, with: &Node, scope: Scope) -> Vec<(String, Reading)> {
        let Some(node) = with.get("samples") else {
            self.missing(with.span, "`monitor`", "samples", "name what is read: `samples: { pods: { uses: k8s.top, with: … } }`");
            return Vec::new();
        };
        let mut samples = Vec::new();
        let entries = self.entries(node, "`samples`");
        self.few(node.span, entries.len(), "readings");
        for (key, value) in entries {
            self.id(&key.name, key.span, "the name of a reading");
            self.map(value, "a reading", &["uses", "with"]);
            let Some(at) = value.get("uses") else {
                self.missing(value.span, "a reading", "uses", "name an action that reads");
                continue;
            };
            let Some(entry) = self.action(at, false) else { continue };
            if entry.effect != Effect::Read {
                let message = format!("`{}` may change something, and a monitor only reads", entry.name);
                self.problems.hint("check", at.span, message, "use an action whose effect is `read`");
            }
            let (inputs, secrets) = self.inputs(value.get("with"), at.span, &entry, scope);
            samples.push((key.name.clone(), Reading { uses: entry.name.clone(), with: inputs, secrets }));
        }
        samples
    }

    fn series(&mut self, with: &Node, scope: Scope) -> Vec<(String, Template)> {
        let Some(node) = with.get("series") else { return Vec::new() };
        let mut series = Vec::new();
        let entries = self.entries(node, "`series`");
        self.few(node.span, entries.len(), "series");
        for (key, value) in entries {
            self.id(&key.name, key.span, "the name of a series");
            let number = self.source(value, scope);
            if let Some(number) = number.map(Template::Expression) {
                if !references(&number).roots.contains(&Root::Result) {
                    let hint = "use `result.NAME`, where NAME stands under `samples`";
                    self.problems.hint("construct", value.span, "this number never changes: it does not look at the `result`", hint);
                }
                series.push((key.name.clone(), number));
            }
        }
        series
    }

    fn alerts(&mut self, with: &Node, index: usize, calls: &mut Vec<Call>) -> Vec<Alert> {
        let Some(node) = with.get("alerts") else { return Vec::new() };
        let items = self.items(node, "`alerts`");
        self.few(node.span, items.len(), "alerts");
        let mut alerts: Vec<Alert> = Vec::new();
        for item in items {
            let Some(alert) = self.alert(item, index, calls) else { continue };
            let taken = |key: &str| alerts.iter().any(|other| other.firings().any(|firing| firing == key));
            if alert.firings().any(|key| taken(&key)) {
                let message = format!("two alerts of this monitor are called `{}`", alert.name);
                self.problems.hint("duplicate-id", item.span, message, "rename one");
            }
            alerts.push(alert);
        }
        alerts
    }

    fn alert(&mut self, node: &Node, index: usize, calls: &mut Vec<Call>) -> Option<Alert> {
        let what = "an alert";
        self.map(node, what, &["name", "when", "for", "message", "playbook", "params", "max_firings", "cooldown", "approve"])?;
        let scope = |what| Scope::of_step(index, what, false);
        let name = match node.get("name") {
            Some(at) => self.text(at, "the name of an alert").filter(|name| {
                let fine = self.id(name, at.span, "the name of an alert");
                if name == SAMPLES {
                    self.problems.hint(
                        "reserved-name",
                        at.span,
                        format!("`{SAMPLES}` is what the samples themselves are called"),
                        "rename it",
                    );
                }
                fine && name != SAMPLES
            }),
            None => {
                self.missing(node.span, what, "name", "its firings are steps that are called by it");
                None
            }
        };
        let when = match node.get("when") {
            Some(at) => self.source(at, scope("`when` of an alert").with_result()),
            None => {
                self.missing(node.span, what, "when", "write `when: ${{ result.… }}`");
                None
            }
        };
        let hold = self.duration_or(node.get("for"), "`for`");
        let message = node.get("message").map(|at| self.message(at, scope("`message`").with_result()));
        let playbook = match node.get("playbook") {
            Some(at) => self.text(at, "the playbook of an alert").filter(|name| self.file_name(name, at.span, "the name of a playbook")),
            None => {
                self.missing(node.span, what, "playbook", "name the playbook that it starts");
                None
            }
        };
        let params = node.get("params");
        let template = match params {
            Some(given) if matches!(given.kind, Kind::Map(_)) => self.template(given, Scope::of_step(index, "a parameter", true)),
            Some(given) if !matches!(given.kind, Kind::Null) => {
                self.wrong_type(given, "`params` is a map");
                Self::nothing()
            }
            _ => Self::nothing(),
        };
        if let (Some(name), Some(at)) = (&playbook, node.get("playbook")) {
            calls.push(Call { step: index, name: name.clone(), span: at.span, with: node.span, params: params.cloned() });
        }
        let max_firings = node.get("max_firings").and_then(|at| {
            let count = self.count(at, "`max_firings`")?;
            if count > FIRINGS {
                self.problems.add("wrong-value", at.span, format!("`max_firings` is at most {FIRINGS}"));
            }
            Some(count.min(FIRINGS))
        });
        let cooldown = self.duration_or(node.get("cooldown"), "`cooldown`").unwrap_or(COOLDOWN);
        let approve = match node.get("approve") {
            // What starts by itself is started by a person, unless the playbook says otherwise.
            None => Some(Gate { count: 1, by: Vec::new(), message: None, until: None, otherwise: Otherwise::Skip }),
            Some(Node { kind: Kind::Bool(false), .. }) => None,
            Some(Node { kind: Kind::Bool(true), .. }) => {
                Some(Gate { count: 1, by: Vec::new(), message: None, until: None, otherwise: Otherwise::Skip })
            }
            Some(at) => {
                let mut gate = self.gate(at, Scope::of_step(index, "`approve`", true), "`approve`");
                if at.get("otherwise").is_none() {
                    gate.otherwise = Otherwise::Skip;
                }
                Some(gate)
            }
        };
        Some(Alert {
            name: name?,
            when: when?,
            hold,
            message,
            playbook: playbook?,
            params: template,
            max_firings: max_firings.unwrap_or(1),
            cooldown,
            approve,
        })
    }

    fn few(&mut self, at: Span, count: usize, what: &str) {
        if count > MOST {
            self.problems.add("too-many", at, format!("a monitor has at most {MOST} {what}, and this has {count}"));
        }
    }
}
