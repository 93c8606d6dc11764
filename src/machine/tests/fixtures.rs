//! Steps, playbooks and the actions that they call, for the machine's tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::machine::task::{PlanRequest, Planning};
use crate::model::catalogue::{ActionEntry, Catalogue, touches_nothing};
use crate::model::change::{Change, ObjectRef};
use crate::model::definition::Definition;
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::Failure;
use crate::model::playbook::Playbook;
use crate::model::step::{Accept, Backoff, Effect, Need, OnFailure, Retry, Rollback, Step, Uses};
use crate::model::template::Template;

/// A step that does nothing in particular, to be changed by the test.
pub fn step(id: &str) -> Step {
    Step {
        id: id.into(),
        line: 1,
        summary: None,
        needs: Vec::new(),
        always: false,
        uses: Uses::Action { name: "noop".into(), with: Template::empty_map(), secrets: Vec::new() },
        when: None,
        at: None,
        for_each: None,
        before: Vec::new(),
        after: Vec::new(),
        rollback: Rollback::Auto,
        retry: Retry::default(),
        timeout: None,
        attempt_timeout: None,
        on_failure: None,
        approve: None,
        effect: Effect::Read,
        outputs: Vec::new(),
    }
}

/// Sets a field of the world to a value; guarded, revertible, can be verified.
pub fn set(id: &str, field: &str, value: i64) -> Step {
    let with = Template::Literal(json!({ "field": field, "value": value }));
    Step { uses: Uses::Action { name: "set".into(), with, secrets: Vec::new() }, effect: Effect::Idempotent, ..step(id) }
}

/// Makes a call that must not be made twice and that nobody can ask about.
pub fn call_once(id: &str) -> Step {
    Step { uses: Uses::Action { name: "once".into(), with: Template::empty_map(), secrets: Vec::new() }, effect: Effect::Once, ..step(id) }
}

/// Makes a call that may be made again.
pub fn call_again(id: &str) -> Step {
    Step {
        uses: Uses::Action { name: "again".into(), with: Template::empty_map(), secrets: Vec::new() },
        effect: Effect::Idempotent,
        ..step(id)
    }
}

/// Makes a call by an action that knows its own effect.
pub fn call_sure(id: &str) -> Step {
    Step { uses: Uses::Action { name: "sure".into(), with: Template::empty_map(), secrets: Vec::new() }, ..call_again(id) }
}

pub trait StepExt: Sized {
    fn needs(self, ids: &[&str]) -> Self;
    fn accepts(self, id: &str, accept: &[Accept]) -> Self;
    fn on_failure(self, rule: OnFailure) -> Self;
    fn tries(self, attempts: u32) -> Self;
}

impl StepExt for Step {
    fn needs(mut self, ids: &[&str]) -> Self {
        self.needs.extend(ids.iter().map(|id| Need { step: (*id).into(), accept: vec![Accept::Succeeded] }));
        self
    }
    fn accepts(mut self, id: &str, accept: &[Accept]) -> Self {
        self.needs.push(Need { step: id.into(), accept: accept.to_vec() });
        self
    }
    fn on_failure(mut self, rule: OnFailure) -> Self {
        self.on_failure = Some(rule);
        self
    }
    fn tries(mut self, attempts: u32) -> Self {
        self.retry = Retry { attempts, backoff: Backoff::Exponential, initial: Span::seconds(1), max: Span::seconds(8), jitter: true };
        self
    }
}

pub fn playbook(name: &str, steps: Vec<Step>) -> Playbook {
    Playbook {
        name: name.into(),
        summary: String::new(),
        params: Vec::new(),
        secrets: Vec::new(),
        vars: Vec::new(),
        steps,
        outputs: Vec::new(),
        needs_target: false,
    }
}

pub fn definition(steps: Vec<Step>) -> Definition {
    with_called(steps, Vec::new())
}

pub fn with_called(steps: Vec<Step>, called: Vec<Playbook>) -> Definition {
    let mut playbooks: BTreeMap<String, Playbook> = called.into_iter().map(|called| (called.name.clone(), called)).collect();
    playbooks.insert("main".into(), playbook("main", steps));
    Definition { root: "main".into(), playbooks, sources: BTreeMap::new(), plugins: BTreeMap::new() }
}

fn entry(name: &str, effect: Effect, observes: bool, reverts: bool) -> Arc<ActionEntry> {
    Arc::new(ActionEntry {
        name: name.into(),
        summary: String::new(),
        page: String::new(),
        inputs: json!({}),
        outputs: Vec::new(),
        effect,
        effect_from_step: true,
        observes,
        reverts,
        needs_target: false,
        immediate: false,
        touches: touches_nothing,
        by_hand: crate::model::by_hand::nothing_by_hand,
        permissions: crate::model::permission::needs_nothing,
    })
}

pub fn catalogue() -> Arc<Catalogue> {
    Arc::new(Catalogue::new([
        entry("noop", Effect::Read, false, false),
        entry("set", Effect::Idempotent, true, true),
        entry("once", Effect::Once, false, false),
        entry("again", Effect::Idempotent, false, false),
        Arc::new(ActionEntry { effect_from_step: false, ..ActionEntry::clone(&entry("sure", Effect::Idempotent, false, false)) }),
    ]))
}

pub struct Plans;

impl Planning for Plans {
    fn plan(&self, request: PlanRequest<'_>) -> Result<(Intent, Option<Value>), Failure> {
        Ok(match request.action {
            "set" => {
                let field = request.inputs.value["field"].as_str().unwrap_or_default();
                let after = request.inputs.value["value"].clone();
                if *request.prior == after {
                    return Ok((Intent::default(), Some(json!({ "value": after }))));
                }
                let change = Change {
                    object: ObjectRef(format!("world/{field}")),
                    field: field.into(),
                    label: field.into(),
                    prior: request.prior.clone(),
                    after,
                };
                (Intent { changes: vec![change], revert: Revert::Fields { settle: Span::seconds(60) }, ..Intent::default() }, None)
            }
            "noop" => (Intent::default(), None),
            _ => (Intent { revert: Revert::Keep { reason: "no revert".into() }, ..Intent::default() }, None),
        })
    }
}
