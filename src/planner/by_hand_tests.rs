//! Sheets of small playbooks: what is filled in, what becomes a variable, and what is never guessed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::by_hand::{ByHandOf, sheet};
use crate::model::by_hand::{ByHand, word};
use crate::model::catalogue::{ActionEntry, Catalogue, OutputField, touches_nothing};
use crate::model::definition::Definition;
use crate::model::run::TargetSpec;
use crate::model::sheet::{HandStep, Sheet};
use crate::model::step::Effect;
use crate::playbook::load_text;

fn lines(inputs: &Value, _: Option<&TargetSpec>) -> ByHand {
    let words = inputs.as_object().into_iter().flatten().map(|(name, value)| format!("{name}={}", word(value)));
    ByHand {
        look: vec!["BEFORE=$(look)".to_owned()],
        act: vec![format!("do {}", words.collect::<Vec<_>>().join(" "))],
        undo: vec!["undo \"${BEFORE}\"".to_owned()],
    }
}

fn entry(name: &str, effect: Effect) -> Arc<ActionEntry> {
    let any = json!({ "x-runsheet-secret": true });
    let properties = json!({ "count": any, "text": any, "token": any });
    Arc::new(ActionEntry {
        name: name.to_owned(),
        summary: String::new(),
        page: String::new(),
        inputs: json!({ "type": "object", "additionalProperties": false, "properties": properties }),
        outputs: vec![OutputField { name: "size".to_owned(), kind: "integer".to_owned(), help: "how large".to_owned() }],
        effect,
        effect_from_step: false,
        observes: false,
        reverts: effect != Effect::Read,
        needs_target: false,
        immediate: false,
        touches: touches_nothing,
        by_hand: lines,
        permissions: crate::model::permission::needs_nothing,
    })
}

fn of(texts: &[(&str, &str)], params: Value, target: Option<Value>) -> Sheet {
    let catalogue = Catalogue::new([entry("write", Effect::Idempotent), entry("look", Effect::Read)]);
    let mut definition =
        Definition { root: texts[0].0.to_owned(), playbooks: BTreeMap::new(), sources: BTreeMap::new(), plugins: BTreeMap::new() };
    for (name, rest) in texts {
        let text = format!("playbook: {name}\nsummary: A test\n{rest}");
        let playbook = load_text(&format!("{name}.yaml"), &text, &catalogue).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        definition.playbooks.insert((*name).to_owned(), playbook);
        definition.sources.insert((*name).to_owned(), text);
    }
    let target = target.map(|values| TargetSpec {
        environment: "staging".to_owned(),
        identity: Map::new(),
        values: values.as_object().cloned().unwrap(),
    });
    let params = params.as_object().cloned().unwrap();
    sheet(&ByHandOf { definition: &definition, catalogue: &catalogue, params: &params, target: target.as_ref() })
}

fn acts(sheet: &Sheet) -> Vec<&str> {
    sheet.steps.iter().flat_map(|step| &step.act).map(String::as_str).collect()
}

fn names(sheet: &Sheet) -> Vec<&str> {
    sheet.variables.iter().map(|variable| variable.name.as_str()).collect()
}

const LEVELS: &str = "params:
  event_id: { type: string, help: The event }
  level: { type: string, default: high }
secrets:
  service_token: {}
vars:
  count: ${{ target.capacity[params.level] }}
steps:
  - id: measure
    uses: look
  - id: grow
    needs: [measure]
    when: ${{ steps.measure.outputs.size > 3 }}
    uses: write
    with:
      count: ${{ vars.count }}
      text: \"/warm?event=${{ params.event_id }}&size=${{ steps.measure.outputs.size }}\"
      token: ${{ secrets.service_token }}
    check:
      after:
        - that: ${{ result.ready >= vars.count }}
          within: 5m
";

#[test]
fn what_is_known_is_filled_in_and_the_rest_is_a_variable() {
    let sheet = of(&[("levels", LEVELS)], json!({}), Some(json!({ "capacity": { "high": 8 } })));
    assert_eq!(acts(&sheet)[1], r#"do count=8 text='/warm?event='"${EVENT_ID}"'&size='"${MEASURE_SIZE}" token="${SERVICE_TOKEN}""#);
    assert_eq!(names(&sheet), ["EVENT_ID", "SERVICE_TOKEN"]);
    let measure = &sheet.steps[0];
    assert_eq!(measure.notes.iter().map(|note| note.name.as_str()).collect::<Vec<_>>(), ["MEASURE_SIZE"]);
    assert!(measure.undo.is_empty() && measure.kept.is_none(), "a reading is not taken back");
    let grow = &sheet.steps[1];
    assert_eq!(grow.remarks, ["after measure", "only when ${MEASURE_SIZE} is more than 3"]);
    assert_eq!(grow.after[0].that, "ready is at least 8, within 5m");
    assert_eq!(grow.undo, ["undo \"${BEFORE}\""]);
    let given = of(&[("levels", LEVELS)], json!({ "event_id": "a b" }), Some(json!({ "capacity": { "high": 8 } })));
    assert!(acts(&given)[1].contains(r#"text='/warm?event=a b&size='"${MEASURE_SIZE}""#), "{:?}", acts(&given));
}

#[test]
fn without_a_target_what_comes_from_it_is_a_variable_with_its_expression() {
    let sheet = of(&[("levels", LEVELS)], json!({}), None);
    assert!(acts(&sheet)[1].starts_with(r#"do count="${COUNT}""#), "{:?}", acts(&sheet));
    let count = sheet.variables.iter().find(|variable| variable.name == "COUNT").unwrap();
    assert_eq!(count.from, "${{ target.capacity[params.level] }}");
}

#[test]
fn an_expression_that_looks_at_an_unknown_is_never_guessed() {
    let text = "params:
  level: { type: string }
steps:
  - id: grow
    uses: write
    with: { count: '${{ params.level == \"high\" ? 8 : 2 }}', text: '${{ params.level + \"/\" + (params.level == \"high\" ? \"a\" : \"b\") }}' }
";
    let sheet = of(&[("guess", text)], json!({}), None);
    assert_eq!(acts(&sheet), [r#"do count="${GROW_COUNT}" text="${GROW_TEXT}""#]);
    let known = of(&[("guess", text)], json!({ "level": "high" }), None);
    assert_eq!(acts(&known), ["do count=8 text=high/a"]);
}

#[test]
fn what_is_called_stands_under_its_caller_with_its_own_values() {
    let caller = "steps:
  - id: first
    uses: playbook
    with: { name: called, params: { size: 3 } }
  - id: last
    needs: [first]
    uses: write
    with: { count: 1 }
    rollback: none
";
    let called = "params: { size: { type: integer } }
steps:
  - id: grow
    uses: write
    with: { count: '${{ params.size }}' }
";
    let sheet = of(&[("caller", caller), ("called", called)], json!({}), None);
    assert_eq!(sheet.steps.iter().map(|step| step.path.as_str()).collect::<Vec<_>>(), ["first", "first/grow", "last"]);
    assert_eq!(acts(&sheet), ["do count=3", "do count=1"]);
    let HandStep { kept, undo, .. } = &sheet.steps[2];
    assert_eq!((kept.as_deref(), undo.len()), (Some("the playbook says `rollback: none`"), 0));
}

#[test]
fn a_condition_says_in_words_what_is_so_while_it_does_not_hold() {
    let rest = "params:\n  n: { type: integer, default: 8 }\nsteps:\n  - id: a\n    uses: write\n    check:\n      after:\n        \
                - that: ${{ result.ready_replicas >= params.n }}\n          \
                message: \"${{ result.ready_replicas }} of ${{ params.n }} are ready\"\n          within: 5m\n";
    let made = of(&[("test", rest)], json!({}), None);
    assert_eq!(made.steps[0].after[0].otherwise.as_deref(), Some("<ready replicas> of 8 are ready"));
}

#[test]
fn several_items_are_done_one_by_one_and_what_was_there_is_kept_for_each() {
    let rest = "steps:
  - id: measure
    uses: look
    outputs: { found: '${{ result.size }}' }
  - id: each
    needs: [measure]
    for_each: { items: '${{ steps.measure.outputs.found }}' }
    uses: write
    with: { text: '${{ item }}' }
";
    let made = of(&[("each", rest)], json!({}), None);
    let step = &made.steps[1];
    let item = "ITEM=  # each of ${MEASURE_FOUND} in turn, with all that follows";
    let file = r#""BEFORE-$(printf %s "${ITEM}" | tr / _)""#;
    assert_eq!(step.look, [item.to_owned(), "BEFORE=$(look)".to_owned(), format!("printf %s \"${{BEFORE}}\" > {file}")]);
    assert_eq!(step.act, [r#"do text="${ITEM}""#]);
    assert_eq!(step.undo, [item.to_owned(), format!("BEFORE=$(cat {file})"), "undo \"${BEFORE}\"".to_owned()]);
}

#[test]
fn what_only_an_answer_tells_is_asked_for_at_its_step_and_what_nothing_uses_not_at_all() {
    let rest = "params:
  unused: { type: string }
  used: { type: string }
vars:
  through: '${{ has(target.pooler) ? \"pooler\" : \"direct\" }}'
steps:
  - id: measure
    uses: look
  - id: grow
    needs: [measure]
    uses: write
    with: { count: '${{ steps.measure.outputs.size * 2 }}', text: '${{ params.used + vars.through }}' }
";
    let made = of(&[("late", rest)], json!({}), Some(json!({})));
    assert_eq!(names(&made), ["USED"]);
    let grow = &made.steps[1];
    assert_eq!(
        grow.sets.iter().map(|set| (set.name.as_str(), set.from.as_str())).collect::<Vec<_>>(),
        [("GROW_COUNT", "${MEASURE_SIZE} * 2")]
    );
    assert_eq!(grow.act, [r#"do count="${GROW_COUNT}" text="${USED}"direct"#]);
}
