//! What a step uses: an action of the catalogue, or `wait`, `approve`, `monitor` and `playbook`; and conditions and gates.
//!
//! Must not look at other steps. Invariant: a construct has the inputs of the language's table and no others.

use std::sync::Arc;

use super::diagnostics::did_you_mean;
use super::input_schema::SHELL;
use super::reader::Reader;
use super::step::Call;
use super::template::Scope;
use super::yaml::{Kind, Node};
use crate::expr::{Root, references};
use crate::model::catalogue::ActionEntry;
use crate::model::duration::Span;
use crate::model::step::{Condition, Effect, Gate, Otherwise, Reading, Uses, Wait};
use crate::model::template::Template;

/// The machine's own constructs.
pub(super) const CONSTRUCTS: [&str; 4] = ["wait", "approve", "monitor", "playbook"];
const CONDITION: [&str; 7] = ["that", "message", "within", "every", "for", "uses", "with"];

impl Reader<'_> {
    /// What a step does, and what a second execution of it would mean.
    pub(super) fn uses(
        &mut self,
        node: &Node,
        index: usize,
        item: bool,
        calls: &mut Vec<Call>,
        outputs: &mut Option<Vec<String>>,
    ) -> Option<(Uses, Effect)> {
        let Some(at) = node.get("uses") else {
            self.missing(node.span, "a step", "uses", "name an action (`uses: k8s.scale`) or a construct (`uses: wait`)");
            return None;
        };
        let scope = |what| Scope::of_step(index, what, item);
        let name = self.text(at, "`uses`")?;
        if !CONSTRUCTS.contains(&name.as_str()) {
            let entry = self.action(at, true)?;
            let effect = self.effect(node, Some(&entry));
            let (with, secrets) = self.inputs(node.get("with"), at.span, &entry, scope("an input"));
            self.no_expression_in_shell(node.get("with"));
            *outputs = Some(entry.outputs.iter().map(|field| field.name.clone()).collect());
            return Some((Uses::Action { name: entry.name.clone(), with, secrets }, effect));
        }
        let effect = self.effect(node, None);
        let empty = Node { kind: Kind::Map(Vec::new()), span: at.span };
        let with = node.get("with").filter(|with| !matches!(with.kind, Kind::Null)).unwrap_or(&empty);
        let uses = match name.as_str() {
            "wait" => Uses::Wait(self.wait(with, scope("`wait`"))?),
            "approve" => Uses::Approve(self.gate(with, scope("`approve`"), "`approve`")),
            "monitor" => {
                *outputs = Some(["samples", "failed", "series", "fired"].map(str::to_owned).to_vec());
                Uses::Monitor(Box::new(self.monitor(with, index, node.get("for_each"), calls)?))
            }
            _ => {
                *outputs = None;
                self.call(with, index, scope("a parameter"), calls)?
            }
        };
        Some((uses, effect))
    }

    /// The catalogue's entry of the action that is named here.
    pub(super) fn action(&mut self, node: &Node, constructs: bool) -> Option<Arc<ActionEntry>> {
        let name = self.text(node, "`uses`")?;
        if let Some(entry) = self.catalogue.get(&name) {
            self.needs_target |= entry.needs_target;
            return Some(entry.clone());
        }
        if CONSTRUCTS.contains(&name.as_str()) {
            self.problems.add("unknown-action", node.span, format!("`{name}` is a construct, and an action must stand here"));
            return None;
        }
        let names: Vec<&str> =
            self.catalogue.iter().map(|entry| entry.name.as_str()).chain(CONSTRUCTS.iter().copied().filter(|_| constructs)).collect();
        let short = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let unusable = self.catalogue.unusable(&name).map(str::to_owned);
        let hint = unusable
            .or_else(|| did_you_mean(&name, names.iter().copied()))
            .or_else(|| names.iter().find(|known| short(known) == short(&name)).map(|known| format!("did you mean `{known}`?")))
            .unwrap_or_else(|| "`runsheet actions` lists what there is".to_owned());
        self.problems.hint("unknown-action", node.span, format!("there is no action `{name}`"), hint);
        None
    }

    /// A script for a shell takes its values from the environment, where nothing can be quoted wrongly.
    fn no_expression_in_shell(&mut self, with: Option<&Node>) {
        let Some(with) = with else { return };
        if !matches!(with.get("shell").map(|shell| &shell.kind), Some(Kind::Bool(true) | Kind::Text(..))) {
            return;
        }
        for key in ["shell", "run", "script", "command"] {
            if let Some(script) = with.get(key)
                && super::reader::has_expression(script)
            {
                self.problems.hint("shell", script.span, SHELL.0, SHELL.1);
            }
        }
    }

    fn wait(&mut self, with: &Node, scope: Scope) -> Option<Wait> {
        let known: Vec<&str> = ["duration", "until"].into_iter().chain(CONDITION).collect();
        self.map(with, "`wait`", &known)?;
        let forms: Vec<&str> = ["duration", "until", "that"].into_iter().filter(|key| with.get(key).is_some()).collect();
        match forms.as_slice() {
            ["duration"] | ["until"] => {
                for key in CONDITION {
                    if let Some(at) = with.get(key) {
                        self.problems.add("construct", at.span, format!("`{key}` belongs to `that`, and this waits for a time"));
                    }
                }
                let node = with.get(forms[0])?;
                Some(if forms[0] == "duration" {
                    Wait::Duration(self.length(node, scope))
                } else {
                    Wait::Until(self.time(node, scope, "`until`"))
                })
            }
            ["that"] => {
                let condition = self.condition(with, scope.with_result(), "`wait`")?;
                let reads = references(&Template::Expression(condition.that.clone())).roots.contains(&Root::Result);
                if condition.reading.is_none() && reads {
                    self.problems.hint(
                        "construct",
                        with.span,
                        "this waits for a `result`, and nothing reads one",
                        "add `uses` with an action that reads",
                    );
                }
                Some(Wait::That(Box::new(condition)))
            }
            _ => {
                self.problems.hint(
                    "construct",
                    with.span,
                    "`wait` has exactly one of `duration`, `until` and `that`",
                    "write `with: { duration: 10m }`, say",
                );
                None
            }
        }
    }

    fn call(&mut self, with: &Node, index: usize, scope: Scope, calls: &mut Vec<Call>) -> Option<Uses> {
        self.map(with, "`playbook`", &["name", "params"])?;
        let Some(at) = with.get("name") else {
            self.missing(with.span, "`playbook`", "name", "name the playbook to call");
            return None;
        };
        let name = self.text(at, "the name of a called playbook")?;
        self.file_name(&name, at.span, "the name of a playbook");
        let params = with.get("params");
        let template = match params {
            Some(node) if matches!(node.kind, Kind::Map(_)) => self.template(node, scope),
            Some(node) if !matches!(node.kind, Kind::Null) => {
                self.wrong_type(node, "`params` is a map");
                Self::nothing()
            }
            _ => Self::nothing(),
        };
        calls.push(Call { step: index, name: name.clone(), span: at.span, with: with.span, params: params.cloned() });
        Some(Uses::Playbook { name, params: template })
    }

    /// A list of conditions.
    pub(super) fn conditions(&mut self, node: &Node, scope: Scope, what: &str) -> Vec<Condition> {
        self.items(node, what)
            .iter()
            .filter_map(|item| {
                self.map(item, "a check", &CONDITION)?;
                self.condition(item, scope, "a check")
            })
            .collect()
    }

    fn condition(&mut self, node: &Node, scope: Scope, what: &str) -> Option<Condition> {
        let reading = match node.get("uses") {
            Some(at) => {
                let entry = self.action(at, false);
                if let Some(entry) = &entry
                    && entry.effect != Effect::Read
                {
                    let message = format!("`{}` may change something, and a check only reads", entry.name);
                    self.problems.hint("check", at.span, message, "use an action whose effect is `read`");
                }
                entry.map(|entry| {
                    let scope = Scope { what: "an input", result: false, prior: false, ..scope };
                    let (with, secrets) = self.inputs(node.get("with"), at.span, &entry, scope);
                    Reading { uses: entry.name.clone(), with, secrets }
                })
            }
            None => {
                if let Some(with) = node.get("with").filter(|_| what == "a check") {
                    self.problems.hint("missing-key", with.span, "`with` needs `uses`", "name the action that reads");
                }
                None
            }
        };
        let message = node.get("message").map(|at| self.message(at, scope));
        let within = self.duration_or(node.get("within"), "`within`");
        let every = self.duration_or(node.get("every"), "`every`").unwrap_or(Span::seconds(1));
        let hold = self.duration_or(node.get("for"), "`for`");
        if let (Some(at), true) = (node.get("every"), every.as_millis() < 100) {
            self.problems.add("wrong-value", at.span, "`every` is at least 100ms");
        }
        if let (Some(at), Some(hold)) = (node.get("for"), hold)
            && within.is_none_or(|within| within < hold)
            && (what == "a check" || within.is_some())
        {
            self.problems.hint(
                "wrong-value",
                at.span,
                format!("it cannot hold for {hold} within {}", within.map_or("no time".to_owned(), |within| within.to_string())),
                "give `within` at least that long",
            );
        }
        let Some(that) = node.get("that") else {
            self.missing(node.span, what, "that", "write `that: ${{ … }}`");
            return None;
        };
        let that = self.source(that, Scope { what: "`that`", ..scope })?;
        Some(Condition { that, message, within, every, hold, reading })
    }

    pub(super) fn message(&mut self, node: &Node, scope: Scope) -> Template {
        if !matches!(node.kind, Kind::Text(..)) {
            self.wrong_type(node, "`message` is a string");
        }
        self.template(node, Scope { what: "`message`", null: true, ..scope })
    }

    /// A gate, as the key `approve` and as the construct.
    pub(super) fn gate(&mut self, node: &Node, scope: Scope, what: &str) -> Gate {
        let mut gate = Gate { count: 1, by: Vec::new(), message: None, until: None, otherwise: Otherwise::Fail };
        if self.map(node, what, &["count", "by", "message", "until", "otherwise"]).is_none() {
            return gate;
        }
        gate.count = node.get("count").and_then(|at| self.count(at, "`count`")).unwrap_or(1);
        if let Some(by) = node.get("by") {
            for item in self.items(by, "`by`") {
                gate.by.extend(self.text(item, "a name in `by`"));
            }
            if !gate.by.is_empty() && gate.by.len() < gate.count as usize {
                self.problems.add("wrong-value", by.span, format!("{} must approve, and only {} may", gate.count, gate.by.len()));
            }
        }
        gate.message = node.get("message").map(|at| self.message(at, scope));
        gate.until = node.get("until").map(|at| match &at.kind {
            // Either a time or how long: what is neither is told of both.
            Kind::Text(text, _) if !text.contains("${{") && text.parse::<Span>().is_ok() => self.template(at, scope),
            _ => self.time(at, scope, "`until`"),
        });
        gate.otherwise = node
            .get("otherwise")
            .and_then(|at| self.choice(at, "`otherwise`", &[("fail", Otherwise::Fail), ("skip", Otherwise::Skip)]))
            .unwrap_or_default();
        gate
    }

    /// An absolute time, or an expression that gives one.
    pub(super) fn time(&mut self, node: &Node, scope: Scope, what: &str) -> Template {
        match &node.kind {
            Kind::Text(text, _) if text.contains("${{") => {}
            Kind::Text(text, _) => {
                if let Err(message) = crate::expr::timestamp(text) {
                    self.problems.add("timestamp", node.span, message);
                }
            }
            _ => self.wrong_type(node, &format!("{what} is a time (`2026-06-01T19:00:00+02:00`)")),
        }
        self.template(node, scope)
    }

    /// A length of time, or an expression that gives one.
    pub(super) fn length(&mut self, node: &Node, scope: Scope) -> Template {
        if !matches!(&node.kind, Kind::Text(text, _) if text.contains("${{")) {
            self.duration(node, "`duration`");
        }
        self.template(node, scope)
    }
}
