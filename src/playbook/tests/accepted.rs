//! What is accepted, and what it becomes.

use super::*;
use crate::expr::{Bindings, Root, resolve};
use crate::model::duration::Span;
use crate::model::playbook::{ParamFormat, ParamType};
use crate::model::step::{Accept, Backoff, IfLate, OnFailure, Otherwise, Rollback, SecretInput, Uses, Wait};
use crate::model::template::Template;

const EVERYTHING: &str = r#"# yaml-language-server: $schema=./playbook.schema.json
playbook: pre-event
summary: Bring ticket-service to event capacity

params:
  event_id:
    type: string
    format: uuid
    help: The event whose caches are warmed
  level:
    type: string
    enum: [low, medium, high, critical]
    default: high

secrets:
  service_token: {}
  other: { env: OTHER_TOKEN }

vars:
  twice: ${{ vars.replicas * 2 }}
  replicas: ${{ target.capacity[params.level].replicas }}

steps:
  - id: budget
    summary: Prove that it fits
    uses: k8s.get
    with: { object: deployment/ticket-service }

  - id: pool_size
    needs: [budget]
    when: ${{ steps.budget.outputs.object.spec.replicas < vars.replicas }}
    uses: command
    with:
      run: [echo, "${{ string(vars.twice) }}"]
      env:
        TOKEN: ${{ secrets.service_token }}
        PLAIN: text
    effect: idempotent
    timeout: 10m
    outputs:
      lines: ${{ size(result.stdout) }}

  - id: scale
    needs:
      - budget
      - step: pool_size
        accept: [succeeded, skipped]
    uses: k8s.scale
    with:
      workload: deployment/ticket-service
      replicas: ${{ vars.replicas }}
    check:
      before:
        - that: ${{ result.ready_replicas > 0 }}
          message: nothing runs at ${{ target.name }}
      after:
        - that: ${{ result.ready_replicas >= vars.replicas && prior != null }}
          within: 5m
        - uses: prometheus.query
          with: { query: 'sum(rate(http_requests_total{code=~"5.."}[1m])) or vector(0)' }
          that: ${{ result.value < 1.0 }}
          within: 3m
          every: 5s
          for: 30s
    retry: { attempts: 3, backoff: exponential, initial: 2s, max: 30s }
    rollback:
      uses: k8s.scale
      with: { workload: deployment/ticket-service, replicas: "${{ prior.replicas }}" }
      approve: true
    approve: { count: 2, by: [lead, deputy], until: 30m, otherwise: skip }
    at: 2026-06-01T18:00:00+02:00
    not_after: 2026-06-01T18:30[Europe/Berlin]
    if_late: skip
    on_failure: rollback

  - id: warm_caches
    needs: [scale]
    for_each: { items: [a, b], max_parallel: 1 }
    uses: http.request
    with:
      method: POST
      url: ${{ target.url + "/internal/" + item }}
      bearer: ${{ secrets.service_token }}
      headers: { X-Token: "${{ secrets.other }}", X-Plain: yes }
      json: { eventId: "${{ params.event_id }}", at: "in ${{ vars.replicas }} pods" }
      expect: [200, 204]
    on_failure: continue

  - id: pause
    uses: wait
    with: { duration: 10m }
  - id: doors
    uses: wait
    with: { until: "${{ timestamp('2026-06-01T19:00:00Z') - duration('1h') }}" }
  - id: calm
    uses: wait
    with:
      uses: prometheus.query
      with: { query: up }
      that: ${{ result.value == 1 }}
      within: 1h
  - id: gate
    always: true
    uses: approve
    with: { message: "Open the doors?" }
  - id: prepare
    needs: [gate]
    uses: playbook
    with: { name: other, params: { level: "${{ params.level }}" } }
  - id: end
    needs: [{ step: pool_size, accept: [succeeded, failed] }, prepare]
    uses: noop
    when: ${{ steps.pool_size.outputs.lines != null && steps.pool_size.outputs.lines > 1 || steps.prepare.outputs.any != 1 }}

outputs:
  lines: ${{ steps.pool_size.outputs.lines }}
"#;

#[test]
fn every_key_becomes_what_it_says() {
    let playbook = accepted(EVERYTHING);
    assert_eq!(playbook.name, "pre-event");
    assert!(playbook.needs_target);
    assert_eq!(playbook.params[0].format, Some(ParamFormat::Uuid));
    assert_eq!(playbook.params[1].kind, ParamType::String);
    assert_eq!(playbook.params[1].default, Some(json!("high")));
    assert_eq!(playbook.secrets[1].env.as_deref(), Some("OTHER_TOKEN"));
    let names: Vec<_> = playbook.vars.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["replicas", "twice"], "each after those it refers to");

    let pool = &playbook.steps[1];
    assert_eq!((pool.line, pool.effect, pool.timeout), (29, Effect::Idempotent, Some(Span::seconds(600))));
    let Uses::Action { with: Template::Map(with), secrets, .. } = &pool.uses else { panic!("{:?}", pool.uses) };
    assert_eq!(secrets, &[SecretInput { at: "/env/TOKEN".to_owned(), secret: "service_token".to_owned() }]);
    assert_eq!(with[1].1, Template::Literal(json!({ "TOKEN": null, "PLAIN": "text" })));
    let when = pool.when.as_ref().unwrap();
    assert_eq!((when.text.as_str(), when.line, when.column), ("steps.budget.outputs.object.spec.replicas < vars.replicas", 31, 15));

    let scale = &playbook.steps[2];
    assert_eq!(scale.needs[0].accept, [Accept::Succeeded]);
    assert_eq!(scale.needs[1].accept, [Accept::Succeeded, Accept::Skipped]);
    assert_eq!(scale.retry.attempts, 3);
    assert_eq!((scale.retry.backoff, scale.retry.initial, scale.retry.max), (Backoff::Exponential, Span::seconds(2), Span::seconds(30)));
    assert_eq!(scale.after[0].every, Span::seconds(1));
    assert_eq!((scale.after[1].within, scale.after[1].hold), (Some(Span::seconds(180)), Some(Span::seconds(30))));
    assert_eq!(scale.after[1].reading.as_ref().unwrap().uses, "prometheus.query");
    assert!(matches!(&scale.rollback, Rollback::Action { uses, approve: true, effect: Effect::Idempotent, .. } if uses == "k8s.scale"));
    let gate = scale.approve.as_ref().unwrap();
    assert_eq!((gate.count, gate.otherwise, gate.until.clone()), (2, Otherwise::Skip, Some(Template::Literal(json!("30m")))));
    assert_eq!(scale.at.as_ref().unwrap().if_late, IfLate::Skip);
    assert_eq!(scale.on_failure, Some(OnFailure::Rollback));

    let warm = &playbook.steps[3];
    let Uses::Action { secrets, .. } = &warm.uses else { panic!() };
    assert_eq!(secrets.iter().map(|secret| secret.at.as_str()).collect::<Vec<_>>(), ["/bearer", "/headers/X-Token"]);
    assert_eq!(warm.effect, Effect::Once);
    assert_eq!(warm.for_each.as_ref().unwrap().max_parallel, Some(1));
    assert!(matches!(&playbook.steps[4].uses, Uses::Wait(Wait::Duration(_))));
    assert!(matches!(&playbook.steps[6].uses, Uses::Wait(Wait::That(_))));
    assert!(matches!(&playbook.steps[7].uses, Uses::Approve(_)));
    assert!(matches!(&playbook.steps[8].uses, Uses::Playbook { name, .. } if name == "other"));
}

#[test]
fn what_is_accepted_round_trips() {
    let playbook = accepted(EVERYTHING);
    let stored = serde_json::to_string(&playbook).unwrap();
    assert_eq!(serde_json::from_str::<Playbook>(&stored).unwrap(), playbook);
    assert!(!stored.contains("secrets.service_token"), "the template holds null where a secret belongs");
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    assert_eq!(accepted(&EVERYTHING.replace('\n', "\r\n")), accepted(EVERYTHING));
    assert_eq!(accepted(&format!("\u{feff}{EVERYTHING}")), accepted(EVERYTHING));
}

#[test]
fn scalars_have_one_reading() {
    let text = around(
        "  - id: a\n    uses: http.request\n    with:\n      url: x\n      json: [yes, no, on, True, true, 007, 0x10, 1.5, 1e3, -4, ~, null, '1', 12:30, 1_000, .5, 2026-01-01]\n",
    );
    let playbook = accepted(&text);
    let Uses::Action { with: Template::Literal(with), .. } = &playbook.steps[0].uses else { panic!() };
    assert_eq!(
        with["json"],
        json!(["yes", "no", "on", "True", true, "007", 16, 1.5, 1000.0, -4, null, null, "1", "12:30", "1_000", 0.5, "2026-01-01"])
    );
}

#[test]
fn expressions_keep_their_type_only_as_a_whole() {
    let text = around(concat!(
        "  - id: a\n    uses: http.request\n    with:\n      url: x\n      json:\n",
        "        whole: ${{ 1 + 1 }}\n        text: a ${{ 1 + 1 }} b\n        block: |\n          ${{ [1,\n            2] }}\n        closed: \"${{ '}}' + \\\"x\\\" }}\"\n        plain: '}}'\n",
    ));
    let playbook = accepted(&text);
    let Uses::Action { with, .. } = &playbook.steps[0].uses else { panic!() };
    let value = resolve(with, &Bindings::new().with(Root::Params, json!({}))).unwrap();
    assert_eq!(value["json"], json!({ "whole": 2, "text": "a 2 b", "block": [1, 2], "closed": "}}x", "plain": "}}" }));
}

#[test]
fn ten_thousand_steps_load_soon() {
    let mut text = around("");
    for step in 0..10_000 {
        text.push_str(&format!("  - id: s{step}\n    uses: command\n    with: {{ run: [echo, x] }}\n"));
        if step > 0 {
            text.push_str(&format!("    needs: [s{}]\n", step - 1));
        }
        if step % 10 == 9 {
            text.push_str(&format!("    when: ${{{{ steps.s{}.outputs.exit_code == {} }}}}\n", step / 2, step % 7));
        }
    }
    let start = std::time::Instant::now();
    let playbook = on_a_small_stack(move || accepted(&text));
    assert_eq!(playbook.steps.len(), 10_000);
    assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn the_schema_is_a_schema_and_accepts_what_is_accepted() {
    let schema = schema(&catalogue());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let good = json!({ "playbook": "a", "summary": "b", "steps": [
        { "id": "a", "uses": "k8s.scale", "with": { "workload": "deployment/x", "replicas": "${{ params.n }}" } },
        { "id": "b", "uses": "wait", "with": { "duration": "1h30m" }, "needs": ["a", { "step": "a", "accept": ["failed"] }] },
    ] });
    let errors: Vec<String> = validator.iter_errors(&good).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let file = super::super::source::File::new("test.yaml", EVERYTHING).unwrap();
    let catalogue = catalogue();
    let mut reader = super::super::reader::Reader::new(&file, &catalogue);
    let tree = super::super::yaml::parse(&file, &mut reader.problems).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&reader.literal(&tree, "")).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let mut bad = good.clone();
    bad["steps"][0]["with"]["replicsa"] = json!(1);
    assert!(!validator.is_valid(&bad));
    bad = good;
    bad["steps"][1]["with"] = json!({ "duration": "soon" });
    assert!(!validator.is_valid(&bad));
}
