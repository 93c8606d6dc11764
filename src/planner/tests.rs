//! Previews of small playbooks: what is known, what is known later, what is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Asked, preview};
use crate::machine;
use crate::model::by_hand::nothing_by_hand;
use crate::model::catalogue::{ActionEntry, Catalogue, OutputField, touches_nothing};
use crate::model::change::ObjectRef;
use crate::model::definition::Definition;
use crate::model::duration::Span;
use crate::model::id::ContentHash;
use crate::model::playbook::Playbook;
use crate::model::preview::{Foreseen, Preview, PreviewStep, PreviewWait, Starts, Undo};
use crate::model::run::{RunSpec, TargetSpec};
use crate::model::step::Effect;
use crate::playbook::load_text;

fn scale_touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let namespace = inputs["namespace"].as_str().or_else(|| target?.values["kubernetes"]["namespace"].as_str());
    let workload = inputs["workload"].as_str().filter(|workload| workload.starts_with("deployment/"));
    namespace.zip(workload).map(|(namespace, workload)| ObjectRef(format!("k8s:uid-1/{namespace}/{workload}"))).into_iter().collect()
}

fn entry(name: &str, effect: Effect, properties: Value) -> Arc<ActionEntry> {
    Arc::new(ActionEntry {
        name: name.to_owned(),
        summary: String::new(),
        page: String::new(),
        inputs: json!({ "type": "object", "additionalProperties": false, "properties": properties }),
        outputs: ["value", "names"].map(|name| OutputField { name: name.to_owned(), kind: "any".to_owned(), help: String::new() }).to_vec(),
        effect,
        effect_from_step: false,
        observes: false,
        reverts: name == "k8s.scale",
        needs_target: name.starts_with("k8s."),
        immediate: false,
        touches: if name == "k8s.scale" { scale_touches } else { touches_nothing },
        by_hand: nothing_by_hand,
        permissions: crate::model::permission::needs_nothing,
    })
}

fn catalogue() -> Catalogue {
    let text = json!({ "type": "string" });
    Catalogue::new([
        entry("k8s.scale", Effect::Idempotent, json!({ "workload": text, "namespace": text, "replicas": { "type": "integer" } })),
        entry("read", Effect::Read, json!({})),
        entry("send", Effect::Once, json!({ "to": text, "token": { "type": "string", "x-runsheet-secret": true } })),
    ])
}

fn load(name: &str, rest: &str) -> Playbook {
    let text = format!("playbook: {name}\nsummary: A test\n{rest}");
    load_text(&format!("{name}.yaml"), &text, &catalogue()).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn of(playbooks: Vec<Playbook>, params: Value) -> Preview {
    let root = playbooks[0].name.clone();
    let playbooks: BTreeMap<String, Playbook> = playbooks.into_iter().map(|playbook| (playbook.name.clone(), playbook)).collect();
    let definition = Definition { root: root.clone(), playbooks, sources: BTreeMap::new(), plugins: BTreeMap::new() };
    let values = json!({ "kubernetes": { "namespace": "production" }, "capacity": { "high": 8 } });
    let target = TargetSpec {
        environment: "staging".to_owned(),
        identity: Map::from_iter([("kubernetes".to_owned(), json!("uid-1"))]),
        values: values.as_object().cloned().unwrap(),
    };
    let given = params.as_object().cloned().unwrap_or_default();
    let names: BTreeSet<String> = given.keys().cloned().collect();
    let (params, vars) = machine::start::bind(definition.root(), given, Some(&target)).unwrap();
    let definition_hash = ContentHash::of(b"test");
    let spec = RunSpec {
        playbook: root,
        definition: definition_hash,
        params,
        vars,
        target: Some(target),
        max_parallel: 1,
        by: "ana@desk".to_owned(),
    };
    preview(Asked { definition: &definition, spec: &spec, given: &names, catalogue: &catalogue(), facts: &[] })
}

fn steps(rest: &str) -> Vec<PreviewStep> {
    of(vec![load("test", rest)], json!({})).steps
}

fn deployment(name: &str) -> ObjectRef {
    ObjectRef(format!("k8s:uid-1/production/deployment/{name}"))
}

#[test]
fn what_depends_on_an_output_is_known_later_and_the_rest_is_known() {
    let steps = steps(
        "steps:
  - { id: budget, uses: read }
  - id: scale
    needs: [budget]
    uses: k8s.scale
    with: { workload: deployment/shop, replicas: '${{ steps.budget.outputs.value }}' }
",
    );
    let scale = &steps[1];
    assert_eq!(scale.touches, [deployment("shop")]);
    assert_eq!(scale.later, ["replicas: steps.budget.outputs.value"]);
    assert_eq!(scale.inputs[0], ("workload".to_owned(), Foreseen::Known(json!("deployment/shop"))));
    assert_eq!(scale.inputs[1], ("replicas".to_owned(), Foreseen::Later("steps.budget.outputs.value".to_owned())));
    assert_eq!((&scale.undo, scale.effect), (&Undo::Back, Some(Effect::Idempotent)));
    assert_eq!((&steps[0].undo, steps[0].effect), (&Undo::Nothing, Some(Effect::Read)));
}

#[test]
fn an_object_that_depends_on_an_output_is_never_guessed() {
    for with in [
        // Left out, the namespace would be the environment's.
        "{ workload: deployment/shop, namespace: '${{ steps.look.outputs.value }}', replicas: 1 }",
        "{ workload: '${{ steps.look.outputs.value }}', replicas: 1 }",
        "{ workload: 'deployment/${{ steps.look.outputs.value }}', replicas: 1 }",
    ] {
        let steps = steps(&format!(
            "steps:\n  - {{ id: look, uses: read }}\n  - id: scale\n    needs: [look]\n    uses: k8s.scale\n    with: {with}\n"
        ));
        assert!(steps[1].touches.is_empty(), "{with}: {:?}", steps[1].touches);
        assert!(steps[1].later.contains(&"what it touches".to_owned()), "{with}: {:?}", steps[1].later);
    }
}

#[test]
fn what_is_skipped_is_known_where_it_depends_on_parameters_alone() {
    let steps = steps(
        "params: { level: { type: string, default: low } }
steps:
  - { id: look, uses: read }
  - { id: never, uses: k8s.scale, when: '${{ params.level == \"high\" }}', with: { workload: deployment/never, replicas: 1 } }
  - { id: after, needs: [never], uses: send }
  - { id: all_the_same, needs: [{ step: never, accept: [succeeded, skipped] }], uses: send }
  - { id: propagated, needs: [{ step: after, accept: [succeeded, skipped] }], uses: send }
  - { id: at_the_end, needs: [after], always: true, uses: send }
  - { id: perhaps, needs: [look], uses: send, when: '${{ steps.look.outputs.value > 3 }}' }
",
    );
    let starts: Vec<(&str, &Starts)> = steps.iter().map(|step| (step.path.as_str(), &step.starts)).collect();
    assert_eq!(starts[1], ("never", &Starts::No { why: "its `when` is false: params.level == \"high\"".to_owned() }));
    assert_eq!(starts[2], ("after", &Starts::No { why: "it needs never, which will be skipped".to_owned() }));
    assert_eq!(starts[3], ("all_the_same", &Starts::Yes));
    assert_eq!(starts[4], ("propagated", &Starts::No { why: "it needs after, which will be skipped".to_owned() }));
    assert_eq!(starts[5], ("at_the_end", &Starts::Yes));
    assert_eq!(starts[6], ("perhaps", &Starts::Later { on: "steps.look.outputs.value > 3".to_owned() }));
    assert!(steps[1].touches.is_empty());
}

#[test]
fn the_instances_of_known_items_are_known_and_their_objects_locked() {
    let preview = of(
        vec![load(
            "test",
            "params: { shops: { type: list, default: [b, a] } }
steps:
  - id: scale
    for_each: { items: '${{ params.shops }}' }
    when: '${{ item != \"c\" }}'
    uses: k8s.scale
    with: { workload: 'deployment/${{ item }}', replicas: 1 }
  - { id: look, uses: read }
  - id: later
    needs: [look]
    for_each: { items: '${{ steps.look.outputs.names }}' }
    uses: k8s.scale
    with: { workload: 'deployment/${{ item }}', replicas: 1 }
",
        )],
        json!({ "shops": ["b", "c", "a"] }),
    );
    assert_eq!(preview.steps[0].instances.as_deref(), Some(["b", "a"].map(str::to_owned).as_slice()));
    assert_eq!(preview.locks, [deployment("a"), deployment("b")]);
    assert!(!preview.params[0].default);
    let later = &preview.steps[2];
    assert_eq!(later.instances, None);
    assert_eq!(later.later, ["for each of: steps.look.outputs.names", "workload: item", "what it touches"]);
}

#[test]
fn a_called_playbook_is_followed_with_what_is_known_of_its_parameters() {
    let called = load(
        "grow",
        "params: { name: { type: string }, to: { type: integer, default: 3 } }
vars: { double: '${{ params.to * 2 }}', whole: 'deployment/${{ params.name }}' }
steps:
  - { id: scale, uses: k8s.scale, with: { workload: '${{ vars.whole }}', replicas: '${{ vars.double }}' } }
",
    );
    let root = load(
        "test",
        "steps:
  - { id: look, uses: read }
  - { id: known, uses: playbook, with: { name: grow, params: { name: shop } } }
  - { id: partly, needs: [look], uses: playbook, with: { name: grow, params: { name: shop, to: '${{ steps.look.outputs.value }}' } } }
  - { id: hidden, needs: [look], uses: playbook, with: { name: grow, params: { name: '${{ steps.look.outputs.value }}' } } }
",
    );
    let steps = of(vec![root, called], json!({})).steps;
    let of = |path: &str| steps.iter().find(|step| step.path.as_str() == path).unwrap();
    assert_eq!(of("known/scale").inputs[1].1, Foreseen::Known(json!(6)));
    assert_eq!(of("known/scale").depth, 1);
    assert_eq!(of("partly/scale").touches, [deployment("shop")]);
    assert_eq!(of("partly/scale").later, ["replicas: vars.double"]);
    assert!(of("hidden/scale").touches.is_empty());
    assert_eq!(of("hidden/scale").later, ["workload: vars.whole", "what it touches"]);
}

#[test]
fn gates_times_secrets_and_what_stays() {
    let steps = steps(
        "secrets: { token: { env: TOKEN } }
steps:
  - id: send
    uses: send
    at: '2026-11-27T18:00:00+01:00'
    approve: { count: 2, by: [lead, deputy], message: 'Go to ${{ target.capacity.high }}?' }
    with: { to: shop, token: '${{ secrets.token }}' }
  - { id: pause, uses: wait, with: { duration: 10m } }
  - id: kept
    uses: k8s.scale
    rollback: none
    with: { workload: deployment/shop, replicas: 1 }
    check: { after: [{ that: '${{ result.ready > 0 }}', within: 5m }, { that: '${{ result.ready > 1 }}', within: 5m, for: 30s }] }
",
    );
    assert_eq!(steps[0].waits[0], PreviewWait::Time { until: Foreseen::Known(json!("2026-11-27T18:00:00+01:00")) });
    let message = Some(Foreseen::Known(json!("Go to 8?")));
    assert_eq!(steps[0].waits[1], PreviewWait::Gate { count: 2, by: vec!["lead".to_owned(), "deputy".to_owned()], message });
    assert_eq!(steps[0].inputs[1], ("token".to_owned(), Foreseen::Secret("token".to_owned())));
    assert_eq!(steps[0].undo, Undo::Kept { why: "`send` has no rollback of its own".to_owned() });
    assert_eq!(steps[1].waits, [PreviewWait::Time { until: Foreseen::Known(json!("10m")) }]);
    assert_eq!((steps[1].uses.as_str(), steps[1].effect), ("wait", None));
    assert_eq!(steps[2].undo, Undo::Kept { why: "the playbook says `rollback: none`".to_owned() });
    assert_eq!(steps[2].waits, [PreviewWait::Check { that: "result.ready > 1".to_owned(), hold: Span::seconds(30) }]);
}

#[test]
fn what_cannot_work_is_said() {
    let steps = steps(
        "steps:
  - { id: scale, uses: k8s.scale, with: { workload: deployment/shop, replicas: '${{ target.capacity.extreme }}' } }
",
    );
    assert!(steps[0].problem.as_deref().unwrap().contains("extreme"), "{:?}", steps[0].problem);
}

#[test]
fn a_preview_has_an_end_however_often_playbooks_call() {
    let call = |to: &str| {
        let calls: String = (0..10).map(|n| format!("  - {{ id: call_{n}, uses: playbook, with: {{ name: {to} }} }}\n")).collect();
        format!("steps:\n{calls}")
    };
    let mut playbooks: Vec<Playbook> = (0..9).map(|n| load(&format!("level-{n}"), &call(&format!("level-{}", n + 1)))).collect();
    playbooks.push(load("level-9", "steps:\n  - { id: look, uses: read }\n"));
    let preview = of(playbooks, json!({}));
    assert!(preview.left_out);
    assert!(preview.steps.len() <= 5_000 + 10, "{}", preview.steps.len());
}

#[test]
fn what_may_not_be_reached_or_may_fail_is_optional() {
    let steps = "\
steps:
  - id: look
    uses: read
    outputs: { n: \"${{ result.value }}\" }
  - id: maybe
    needs: [look]
    when: ${{ steps.look.outputs.n != null }}
    uses: read
  - id: behind
    needs: [maybe]
    uses: read
  - id: beside
    needs: [look, { step: maybe, accept: [succeeded, skipped] }]
    uses: read
  - id: tolerated
    uses: read
    on_failure: continue
  - id: after_it
    needs: [tolerated]
    uses: read
";
    let preview = of(vec![load("a", steps)], json!({}));
    let optional: Vec<&str> = preview.steps.iter().filter(|step| step.optional).map(|step| step.path.as_str()).collect();
    assert_eq!(optional, ["behind", "tolerated", "after_it"]);
}

#[test]
fn what_is_in_a_playbook_that_may_not_be_called_is_optional() {
    let steps = "\
steps:
  - id: look
    uses: read
    outputs: { n: \"${{ result.value }}\" }
  - id: maybe
    needs: [look]
    when: ${{ steps.look.outputs.n != null }}
    uses: playbook
    with: { name: inner }
  - id: some
    needs: [look]
    for_each: { items: \"${{ steps.look.outputs.n }}\" }
    uses: playbook
    with: { name: inner }
  - id: none
    needs: [look]
    for_each: { items: \"${{ steps.look.outputs.n }}\" }
    uses: k8s.scale
    with: { workload: deployment/shop, replicas: '${{ target.capacity.extreme }}' }
  - id: surely
    uses: playbook
    with: { name: inner }
";
    let inner = "steps:
  - { id: scale, uses: k8s.scale, with: { workload: deployment/shop, replicas: '${{ target.capacity.extreme }}' } }
";
    let preview = of(vec![load("a", steps), load("inner", inner)], json!({}));
    let certain: Vec<String> = preview
        .steps
        .iter()
        .filter(|step| step.problem.is_some() && !step.optional && step.starts == Starts::Yes)
        .map(|step| step.path.to_string())
        .collect();
    assert_eq!(certain, ["surely/scale"], "{:#?}", preview.steps);
}
