//! What steps need, as far as it is known: parameters, conditions, instances, calls, checks and the way back.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::permissions::{NeedsAsked, permissions};
use crate::model::by_hand::{nothing_by_hand, variables_in};
use crate::model::catalogue::{ActionEntry, Catalogue, touches_nothing};
use crate::model::definition::Definition;
use crate::model::permission::{Extent, Need, Needs, Permission, Purpose};
use crate::model::run::TargetSpec;
use crate::model::step::Effect;
use crate::playbook::load_text;

fn needs(inputs: &Value, _: Option<&TargetSpec>) -> Needs {
    let mut needs = Needs::default();
    let Some(on) = inputs["on"].as_str().filter(|on| variables_in(on).is_empty()) else {
        needs.untold("on what");
        return needs;
    };
    for (verb, purpose) in [("get", Purpose::Reads), ("patch", Purpose::Changes), ("delete", Purpose::Reverts)] {
        let permission = Permission::new(verb, "", on, Some("production"));
        needs.add(Need { permission, purpose, extent: Extent::Always });
    }
    needs
}

fn entry(name: &str, effect: Effect, reverts: bool) -> Arc<ActionEntry> {
    let any = json!({});
    Arc::new(ActionEntry {
        name: name.to_owned(),
        summary: String::new(),
        page: String::new(),
        inputs: json!({ "type": "object", "additionalProperties": false, "properties": { "on": any } }),
        outputs: Vec::new(),
        effect,
        effect_from_step: false,
        observes: false,
        reverts,
        needs_target: true,
        immediate: false,
        touches: touches_nothing,
        by_hand: nothing_by_hand,
        permissions: needs,
    })
}

/// Each step as `path: verb resource, …`, a need of its rollback in brackets, what is not known after a `?`.
fn of(texts: &[(&str, &str)], params: &Value) -> Vec<String> {
    let catalogue =
        Catalogue::new([entry("write", Effect::Idempotent, true), entry("once", Effect::Once, false), entry("look", Effect::Read, false)]);
    let mut definition =
        Definition { root: texts[0].0.to_owned(), playbooks: BTreeMap::new(), sources: BTreeMap::new(), plugins: BTreeMap::new() };
    for (name, rest) in texts {
        let text = format!("playbook: {name}\nsummary: A test\n{rest}");
        let playbook = load_text(&format!("{name}.yaml"), &text, &catalogue).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        definition.playbooks.insert((*name).to_owned(), playbook);
    }
    let values = json!({ "kubernetes": { "namespace": "production" } });
    let target = TargetSpec { environment: "staging".to_owned(), identity: Map::new(), values: values.as_object().cloned().unwrap() };
    let params = params.as_object().cloned().unwrap();
    let found = permissions(NeedsAsked { definition: &definition, catalogue: &catalogue, params: &params, target: &target });
    let told = |need: &Need| {
        let text = format!("{} {}", need.permission.verb, need.permission.resource);
        if need.purpose == Purpose::Reverts { format!("[{text}]") } else { text }
    };
    found
        .iter()
        .map(|step| {
            let all: Vec<String> =
                step.needs.all.iter().map(told).chain(step.needs.untold.iter().map(|what| format!("? {what}"))).collect();
            format!("{}: {}", step.path, all.join(", "))
        })
        .collect()
}

#[test]
fn a_step_needs_what_its_inputs_say_as_far_as_they_are_known() {
    let rest = "\
params:
  kind: { type: string }
  deep: { type: boolean, default: false }
steps:
  - { id: known, uses: write, with: { on: pods } }
  - { id: later, uses: write, with: { on: '${{ params.kind }}' } }
  - { id: off, when: '${{ params.deep }}', uses: write, with: { on: nodes } }
  - { id: after_off, needs: [off], uses: write, with: { on: nodes } }
  - { id: gate, uses: approve }
";
    let known = "known: get pods, patch pods, [delete pods]";
    assert_eq!(of(&[("test", rest)], &json!({ "deep": false })), [known, "later: ? on what"]);
    let given = of(&[("test", rest)], &json!({ "kind": "services", "deep": false }));
    assert_eq!(given, [known, "later: get services, patch services, [delete services]"]);
    assert_eq!(of(&[("test", rest)], &json!({ "deep": true })).len(), 4);
}

#[test]
fn instances_calls_and_checks_count() {
    let called = "\
params: { on: { type: string } }
steps:
  - { id: inner, uses: look, with: { on: '${{ params.on }}' } }
";
    let rest = "\
steps:
  - id: each
    for_each: { items: [pods, services] }
    uses: write
    with: { on: '${{ item }}' }
    rollback: none
  - { id: call, uses: playbook, with: { name: called, params: { on: jobs } } }
  - id: checked
    uses: look
    with: { on: events }
    check:
      after:
        - { uses: look, with: { on: nodes }, that: '${{ true }}' }
  - id: wait
    uses: wait
    with: { that: '${{ true }}', uses: look, with: { on: leases } }
";
    let found = of(&[("test", rest), ("called", called)], &json!({}));
    assert_eq!(found[0], "each: get pods, patch pods, get services, patch services");
    assert_eq!(found[1], "call/inner: get jobs, patch jobs");
    assert_eq!(found[2], "checked: get events, patch events, get nodes, patch nodes");
}

#[test]
fn the_way_back_is_the_steps_own_or_none() {
    let rest = "\
steps:
  - { id: kept, uses: once, with: { on: pods } }
  - id: own
    uses: once
    with: { on: pods }
    rollback: { uses: once, with: { on: services } }
";
    let found = of(&[("test", rest)], &json!({}));
    assert_eq!(found[0], "kept: get pods, patch pods");
    assert_eq!(found[1], "own: get pods, patch pods, [get services], [patch services]");
}
