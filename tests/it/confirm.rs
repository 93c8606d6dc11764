//! What is shown and confirmed before a run outside the sandbox starts.

use std::collections::BTreeSet;
use std::path::Path;

use runsheet::model::id::ContentHash;
use runsheet::model::preview::{Fact, Preview};
use runsheet::model::run::{RunSpec, TargetSpec};
use runsheet::report::Style;
use runsheet::{app, machine, planner, playbook, report};
use serde_json::{Map, Value, json};

use super::support::{EVENT, Stage};

/// A preview of the repository's `pre-event` on an environment.
fn pre_event() -> Preview {
    let catalogue = app::catalogue().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let definition = playbook::load_definition(&folder, "pre-event", &catalogue).unwrap();
    let values = json!({
        "kubernetes": { "namespace": "production", "cluster": "staging" },
        "capacity": { "high": { "replicas": 8, "rps": 2000 } },
        "ticket_service": { "url": "https://ticket-service.staging.example" },
        "postgres": { "host": "db.staging.example", "port": 5432, "user": "runsheet", "database": "tickets" },
    });
    let target = TargetSpec {
        environment: "staging".to_owned(),
        identity: Map::from_iter([("kubernetes".to_owned(), json!("6f2c7c1e-3a52-4f3b-9a55-0c1d2e3f4a5b"))]),
        values: values.as_object().cloned().unwrap(),
    };
    let given = Map::from_iter([("event_id".to_owned(), Value::from(EVENT))]);
    let (params, vars) = machine::start::bind(definition.root(), given, Some(&target)).unwrap();
    let definition_hash = ContentHash::of(b"pre-event");
    let spec = RunSpec {
        playbook: "pre-event".to_owned(),
        definition: definition_hash,
        params,
        vars,
        target: Some(target),
        max_parallel: 16,
        by: "ana@desk".to_owned(),
    };
    planner::preview(planner::Asked {
        definition: &definition,
        spec: &spec,
        given: &BTreeSet::from(["event_id".to_owned()]),
        catalogue: &catalogue,
        facts: &[Fact { name: "context".to_owned(), value: "staging-admin".to_owned() }],
    })
}

#[test]
fn the_preview_of_pre_event_says_where_with_what_and_what_is_touched() {
    let preview = pre_event();
    let page = report::preview(&preview, &Style { width: 200, ..Style::plain(jiff::Timestamp::UNIX_EPOCH) });
    for wanted in [
        "environment  staging\n",
        "context      staging-admin\n",
        "namespace    production\n",
        "cluster UID  6f2c7c1e-3a52-4f3b-9a55-0c1d2e3f4a5b\n",
        &format!("event_id    {EVENT}\n"),
        "level       high (default)\n",
        "scale  k8s.scale\n",
        "changes deployment/ticket-service in production\n",
        "bearer: [secret service_token]",
        "budget  postgres.connection_budget  only reads\n",
        "only if steps.budget.outputs.largest_pool_size < steps.budget.outputs.current_pool_size (known later)\n",
        "known later: env.DB_POOL_MAX: string(steps.budget.outputs.largest_pool_size)\n",
        "database: {host: db.staging.example, port: 5432, user: runsheet, database: tickets}",
        "\nIt cannot be taken back\n",
        "warm_caches: `http.request` has no rollback of its own\n",
        "\nIt locks\n",
        "  production/deployment/ticket-service",
    ] {
        assert!(page.contains(wanted), "`{wanted}` is not in\n{page}");
    }
    let lock = "k8s:6f2c7c1e-3a52-4f3b-9a55-0c1d2e3f4a5b/production/deployment/ticket-service";
    assert!(preview.locks.iter().any(|object| object.0 == lock), "{:?}", preview.locks);
    assert_eq!(serde_json::to_value(&preview).unwrap()["target"]["environment"], "staging");
}

#[test]
fn the_preview_keeps_within_a_narrow_terminal() {
    let page = report::preview(&pre_event(), &Style { width: 80, ..Style::plain(jiff::Timestamp::UNIX_EPOCH) });
    for line in page.lines().filter(|line| line.chars().count() > 80) {
        // Only a single word may be longer than the line.
        assert!(line.trim().split(' ').count() <= 2, "{line}\n{page}");
    }
}

#[test]
fn the_sandbox_asks_nothing_and_another_name_confirms_nothing() {
    let stage = Stage::quick_pre_event();
    let event = format!("event_id={EVENT}");
    stage
        .run(&["run", "pre-event", "-p", &event, "--confirm", "production"])
        .code(6)
        .stderr_has("`--confirm production` is not this run's environment, which is sandbox")
        .stderr_has("confirm this one with `--confirm sandbox`");
    stage.run(&["runs", "-o", "json"]).code(0).stdout_is("[]\n");
    let ran = stage.run(&["run", "pre-event", "-p", &event]).code(0);
    assert!(!ran.stderr.contains("It locks"), "the sandbox shows no preview: {ran}");
}

#[test]
fn a_run_without_a_target_takes_no_environments_name() {
    let stage = Stage::new().playbook("plain", "playbook: plain\nsummary: Nothing\nsteps:\n  - { id: one, uses: noop }\n");
    stage.run(&["run", "plain", "--confirm", "staging"]).code(6).stderr_has("this run acts on no environment");
    stage.run(&["run", "plain"]).code(0);
}
