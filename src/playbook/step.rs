//! One step, from its map to the model.
//!
//! Must not look at other steps: `check` does. Invariant: every key of the language's table is read here, once.

use super::reader::Reader;
use super::source::Span;
use super::template::Scope;
use super::yaml::{Kind, Node};
use crate::model::duration;
use crate::model::step::{Accept, At, Backoff, Effect, ForEach, IfLate, Need, OnFailure, Retry, Rollback, Step, Uses};
use crate::model::template::Template;

const KEYS: [&str; 19] = [
    "id",
    "summary",
    "needs",
    "always",
    "uses",
    "with",
    "when",
    "at",
    "not_after",
    "if_late",
    "for_each",
    "check",
    "rollback",
    "retry",
    "timeout",
    "attempt_timeout",
    "on_failure",
    "approve",
    "effect",
];
const LAST_KEY: &str = "outputs";

/// A step and the places that its checks need.
#[derive(Debug)]
pub(super) struct Drafted {
    pub(super) step: Step,
    pub(super) id: Span,
    pub(super) needs: Vec<Span>,
    /// The names of its outputs, where they are known without another file.
    pub(super) outputs: Option<Vec<String>>,
}

/// A call of another playbook, to be checked when that one has been read.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) step: usize,
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) with: Span,
    /// The parameters as written.
    pub(super) params: Option<Node>,
}

impl Reader<'_> {
    /// Reads a step; `index` is its place among the steps.
    pub(super) fn step(&mut self, node: &Node, index: usize, calls: &mut Vec<Call>) -> Option<Drafted> {
        let known: Vec<&str> = KEYS.iter().copied().chain([LAST_KEY]).collect();
        self.map(node, "a step", &known)?;
        let (id, id_span) = match node.get("id") {
            Some(at) => {
                let id = self.text(at, "`id`");
                if let Some(id) = &id {
                    self.id(id, at.span, "an id");
                }
                (id.unwrap_or_default(), at.span)
            }
            None => {
                self.missing(node.span, "a step", "id", "add `id: NAME` (lower-case letters, digits and `_`)");
                (String::new(), node.span)
            }
        };
        let (needs, need_spans) = node.get("needs").map(|needs| self.needs(needs)).unwrap_or_default();
        let for_each = node.get("for_each").and_then(|each| self.for_each(each, index));
        let item = node.get("for_each").is_some();
        let scope = |what| Scope::of_step(index, what, item);
        let when = node.get("when").and_then(|when| self.source(when, Scope { before_when: true, ..scope("`when`") }));
        let mut outputs = Some(Vec::new());
        let (uses, effect) = self.uses(node, index, item, calls, &mut outputs).unwrap_or_else(|| {
            // What it does is not known, and a problem says so; what else it says is checked all the same.
            outputs = None;
            (Uses::Action { name: String::new(), with: Self::nothing(), secrets: Vec::new() }, Effect::Read)
        });
        let check = node.get("check");
        if let Some(check) = check {
            self.map(check, "`check`", &["before", "after"]);
        }
        let own_reading = matches!(uses, Uses::Action { .. });
        let (before, after) = (check.and_then(|check| check.get("before")), check.and_then(|check| check.get("after")));
        if !own_reading && let Some(at) = check {
            self.problems.hint(
                "check",
                at.span,
                "only a step that uses an action has checks",
                "use `wait` with `that`, or a step of its own",
            );
        }
        let before = before.map(|list| self.conditions(list, scope("a check").with_result(), "`check.before`")).unwrap_or_default();
        let after =
            after.map(|list| self.conditions(list, scope("a check").with_result().with_prior(), "`check.after`")).unwrap_or_default();
        let mut declared = Vec::new();
        if let Some(map) = node.get("outputs") {
            for (key, value) in self.entries(map, "`outputs`") {
                self.id(&key.name, key.span, "the name of an output");
                declared
                    .push((key.name.clone(), self.template(value, Scope { null: true, ..scope("an output") }.with_result().with_prior())));
            }
        }
        match &mut outputs {
            Some(known) if for_each.is_none() => known.extend(declared.iter().map(|(name, _)| name.clone())),
            Some(known) => known.clear(),
            None => {}
        }
        self.gate_of_step(node, &uses);
        let step = Step {
            line: node.span.line,
            summary: node.get("summary").and_then(|at| self.text(at, "`summary`")),
            needs,
            always: node.get("always").and_then(|at| self.boolean(at, "`always`")).unwrap_or_default(),
            when,
            at: self.at(node, index).map(Box::new),
            for_each: for_each.map(Box::new),
            before,
            after,
            rollback: self.rollback(node.get("rollback"), &uses, scope("`rollback`").with_prior()),
            retry: node.get("retry").map(|retry| self.retry(retry)).unwrap_or_default(),
            timeout: node.get("timeout").and_then(|at| self.duration(at, "`timeout`")),
            attempt_timeout: node.get("attempt_timeout").and_then(|at| self.duration(at, "`attempt_timeout`")),
            on_failure: node.get("on_failure").and_then(|at| {
                let choices = [("rollback", OnFailure::Rollback), ("pause", OnFailure::Pause), ("continue", OnFailure::Continue)];
                self.choice(at, "`on_failure`", &choices)
            }),
            approve: node.get("approve").map(|gate| self.gate(gate, Scope::of_step(index, "`approve`", false), "`approve`")).map(Box::new),
            effect,
            outputs: declared,
            uses,
            id,
        };
        for key in ["retry", "attempt_timeout"] {
            if !own_reading && let Some(at) = node.get(key) {
                self.problems.add("construct", at.span, format!("`{key}` is for steps that use an action: this one attempts nothing"));
            }
        }
        Some(Drafted { step, id: id_span, needs: need_spans, outputs })
    }

    fn needs(&mut self, node: &Node) -> (Vec<Need>, Vec<Span>) {
        let mut needs: Vec<Need> = Vec::new();
        let mut spans = Vec::new();
        for item in self.items(node, "`needs`") {
            let (step, accept) = match &item.kind {
                Kind::Map(_) => {
                    self.map(item, "a need", &["step", "accept"]);
                    let Some(at) = item.get("step") else {
                        self.missing(item.span, "a need", "step", "write `- step: ID`");
                        continue;
                    };
                    let accept = item.get("accept").map(|accept| self.accept(accept)).unwrap_or_else(|| vec![Accept::Succeeded]);
                    (self.text(at, "`step`").map(|step| (step, at.span)), accept)
                }
                _ => (self.text(item, "a need").map(|step| (step, item.span)), vec![Accept::Succeeded]),
            };
            let Some((step, span)) = step else { continue };
            if needs.iter().any(|need| need.step == step) {
                self.problems.hint("duplicate-need", span, format!("`{step}` is needed twice"), "remove one");
                continue;
            }
            needs.push(Need { step, accept });
            spans.push(span);
        }
        (needs, spans)
    }

    fn accept(&mut self, node: &Node) -> Vec<Accept> {
        let choices: Vec<(&str, Accept)> = Accept::ALL.iter().map(|accept| (accept.as_str(), *accept)).collect();
        let mut accepted = Vec::new();
        let items = self.items(node, "`accept`");
        if items.is_empty() && matches!(node.kind, Kind::List(_)) {
            self.problems.hint(
                "wrong-value",
                node.span,
                "`accept` accepts nothing, so the step could never start",
                "name at least one of: succeeded, skipped, failed",
            );
        }
        for item in items {
            if let Some(accept) = self.choice(item, "`accept`", &choices)
                && !accepted.contains(&accept)
            {
                accepted.push(accept);
            }
        }
        accepted
    }

    fn for_each(&mut self, node: &Node, index: usize) -> Option<ForEach> {
        self.map(node, "`for_each`", &["items", "max_parallel"])?;
        let Some(items) = node.get("items") else {
            self.missing(node.span, "`for_each`", "items", "give a list, or an expression that gives one");
            return None;
        };
        if !matches!(items.kind, Kind::List(_) | Kind::Map(_)) && !matches!(&items.kind, Kind::Text(text, _) if text.contains("${{")) {
            self.wrong_type(items, "`items` is a list, a map or an expression");
        }
        let max_parallel = node.get("max_parallel").and_then(|at| self.count(at, "`max_parallel`"));
        Some(ForEach { items: self.template(items, Scope::of_step(index, "`for_each.items`", false)), max_parallel })
    }

    fn at(&mut self, node: &Node, index: usize) -> Option<At> {
        let scope = Scope::of_step(index, "`at`", false);
        let Some(time) = node.get("at") else {
            for key in ["not_after", "if_late"] {
                if let Some(alone) = node.get(key) {
                    self.problems.hint(
                        "missing-key",
                        alone.span,
                        format!("`{key}` says what happens after `at`, and there is no `at`"),
                        "add `at: TIME`",
                    );
                }
            }
            return None;
        };
        let choices = [("run", IfLate::Run), ("ask", IfLate::Ask), ("skip", IfLate::Skip)];
        let not_after = node.get("not_after").map(|at| self.time(at, scope, "`not_after`"));
        let if_late = node.get("if_late").and_then(|at| self.choice(at, "`if_late`", &choices));
        if if_late.is_some()
            && not_after.is_none()
            && let Some(at) = node.get("if_late")
        {
            self.problems.hint(
                "missing-key",
                at.span,
                "`if_late` needs `not_after`: without it, nothing is ever late",
                "add `not_after: TIME`",
            );
        }
        Some(At { time: self.time(time, scope, "`at`"), not_after, if_late: if_late.unwrap_or_default() })
    }

    fn retry(&mut self, node: &Node) -> Retry {
        let mut retry = Retry::default();
        if self.map(node, "`retry`", &["attempts", "backoff", "initial", "max", "jitter"]).is_none() {
            return retry;
        }
        match node.get("attempts") {
            Some(at) => retry.attempts = self.count(at, "`attempts`").unwrap_or(1),
            None => self.missing(node.span, "`retry`", "attempts", "say how many attempts there are in all, the first included"),
        }
        let choices = [("constant", Backoff::Constant), ("exponential", Backoff::Exponential)];
        retry.backoff = node.get("backoff").and_then(|at| self.choice(at, "`backoff`", &choices)).unwrap_or(retry.backoff);
        retry.initial = node.get("initial").and_then(|at| self.duration(at, "`initial`")).unwrap_or(retry.initial);
        retry.jitter = node.get("jitter").and_then(|at| self.boolean(at, "`jitter`")).unwrap_or(retry.jitter);
        match node.get("max") {
            Some(at) => {
                retry.max = self.duration(at, "`max`").unwrap_or(retry.max);
                if retry.max < retry.initial {
                    self.problems.add(
                        "wrong-value",
                        at.span,
                        format!("`max` ({}) is shorter than `initial` ({})", retry.max, retry.initial),
                    );
                }
            }
            None => retry.max = retry.max.max(retry.initial),
        }
        retry
    }

    fn rollback(&mut self, node: Option<&Node>, uses: &Uses, scope: Scope) -> Rollback {
        let Some(node) = node else { return Rollback::Auto };
        let Uses::Action { name, .. } = uses else {
            self.problems.add("rollback", node.span, "`rollback` is for steps that use an action: this one changes nothing itself");
            return Rollback::Auto;
        };
        if let Kind::Map(_) = &node.kind {
            self.map(node, "`rollback`", &["uses", "with", "approve"]);
            let approve = node.get("approve").and_then(|at| self.boolean(at, "`approve`")).unwrap_or_default();
            let Some(at) = node.get("uses") else {
                self.missing(node.span, "`rollback`", "uses", "name the action that undoes the step");
                return Rollback::Auto;
            };
            let Some(entry) = self.action(at, true) else { return Rollback::Auto };
            if entry.effect == Effect::Read {
                self.problems.add("rollback", at.span, format!("`{}` only reads, so it cannot undo anything", entry.name));
            }
            self.gate_of_rollback(at, &entry, approve);
            let (with, secrets) = self.inputs(node.get("with"), at.span, &entry, scope);
            return Rollback::Action { uses: entry.name.clone(), with, secrets, approve, effect: entry.effect };
        }
        let choices = [("auto", Rollback::Auto), ("none", Rollback::None)];
        let names: Vec<(&str, bool)> = choices.iter().map(|(name, rollback)| (*name, matches!(rollback, Rollback::Auto))).collect();
        let Some(auto) = self.choice(node, "`rollback`", &names) else { return Rollback::Auto };
        if auto && let Some(entry) = self.catalogue.get(name).filter(|entry| !entry.reverts && entry.effect != Effect::Read) {
            let hint = "write `rollback: { uses: …, with: … }` with an action that undoes it, or `rollback: none`";
            self.problems.hint("rollback", node.span, format!("`{}` cannot be undone by itself", entry.name), hint);
        }
        if auto { Rollback::Auto } else { Rollback::None }
    }

    /// A duration of the model, for `retry` and the like.
    pub(super) fn duration_or(&mut self, node: Option<&Node>, what: &str) -> Option<duration::Span> {
        node.and_then(|node| self.duration(node, what))
    }

    /// The effect of a step: its own word where the action cannot know, else the action's.
    pub(super) fn effect(&mut self, node: &Node, entry: Option<&crate::model::catalogue::ActionEntry>) -> Effect {
        let Some(at) = node.get("effect") else {
            return entry.map_or(Effect::Read, |entry| if reads(node, entry) { Effect::Read } else { entry.effect });
        };
        let choices = [("read", Effect::Read), ("idempotent", Effect::Idempotent), ("once", Effect::Once)];
        let chosen = self.choice(at, "`effect`", &choices);
        match entry {
            Some(entry) if entry.effect_from_step => chosen.unwrap_or(entry.effect),
            Some(entry) => {
                let message = format!("`{}` knows its own effect ({})", entry.name, entry.effect.as_str());
                self.problems.hint("effect", at.span, message, "remove `effect`");
                entry.effect
            }
            None => {
                self.problems.hint("effect", at.span, "`effect` is for actions that cannot know, such as `command`", "remove it");
                Effect::Read
            }
        }
    }

    /// An empty template for what could not be read.
    pub(super) fn nothing() -> Template {
        Template::empty_map()
    }
}

/// Whether the inputs as written make the action one that only reads: its schema marks which values of an input do (`"x-runsheet-reads": ["GET", "HEAD"]`).
fn reads(step: &Node, entry: &crate::model::catalogue::ActionEntry) -> bool {
    let Some(properties) = entry.inputs["properties"].as_object() else { return false };
    properties.iter().any(|(name, schema)| {
        let Some(reading) = schema["x-runsheet-reads"].as_array() else { return false };
        let written = step.get("with").and_then(|with| with.get(name));
        match written.map(|node| &node.kind) {
            Some(Kind::Text(text, _)) => reading.iter().any(|read| read == text.as_str()),
            Some(Kind::Bool(value)) => reading.iter().any(|read| read == value),
            Some(_) => false,
            None => reading.contains(&schema["default"]),
        }
    })
}
