//! `doctor`: whether runs can be made here, and what an environment's account may not do. What it foretells is what a run then meets.
//!
//! Invariant: a question changes nothing on a target and makes nothing on this machine.

use serde_json::{Value, json};

use super::environments::{Cluster, SCALE, environment, kubeconfig, stage_of, stage_with};
use super::errors::{OK, Told};
use super::support::Stage;

/// An account's stage on the cluster, with these playbooks.
fn stage_as(cluster: &Cluster, account: &str, playbooks: &[(&str, &str)]) -> Stage {
    let config = cluster.stage.run(&["sandbox", "kubeconfig", "--account", account, "-o", "json"]).code(0).json();
    let stage = Stage::new();
    kubeconfig(&stage, &cluster.url, &json!({ "token": config["users"][0]["user"]["token"] }));
    environment(&stage, &cluster.uid, "");
    playbooks.iter().for_each(|(name, text)| stage.write_playbook(name, text));
    stage
}

/// A text in one line, so that it does not matter where a table breaks it.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn doctor(stage: &Stage, args: &[&str], code: i32, wanted: &[&str]) -> String {
    let mut all = vec!["doctor"];
    all.extend(args);
    let told = Told::of(stage, stage.run(&all), code);
    let out = words(&told.out);
    for line in wanted {
        assert!(out.contains(line), "`{line}` is not in:\n{}\n{}", told.out, told.err);
    }
    out
}

/// What each step of a playbook lacks, as `step: VERDICT text`.
#[track_caller]
fn lacks(stage: &Stage, args: &[&str], code: i32) -> Vec<String> {
    let mut all = vec!["doctor", "--env", "staging", "-o", "json"];
    all.extend(args);
    let found = stage.run(&all).code(code).json();
    let mut lacks = Vec::new();
    for step in found["access"]["playbooks"].as_array().into_iter().flatten().flat_map(|playbook| playbook["steps"].as_array().unwrap()) {
        for lack in step["lacks"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            lacks.push(format!("{}: {} {}", text(&step["path"]), text(&lack["verdict"]), text(&lack["text"])));
        }
    }
    lacks
}

#[test]
fn without_an_environment_this_machine_and_the_playbooks_are_looked_at_and_nothing_is_made() {
    let stage = Stage::new().playbook("ok", OK).playbook("scale", SCALE);
    let lines = [
        "✔ version runsheet 0.",
        "✔ state state/runsheet.db is not there yet; the first run can make it",
        "✔ locks STAGE/locks can be used",
        "✔ playbooks 2 playbooks can be loaded",
        "No environment was looked at; --env NAME names one: sandbox",
    ];
    doctor(&stage, &[], 0, &lines);
    assert!(!stage.root().join("state").exists(), "neither a database nor a sandbox is made");
    let _ = stage.run(&["run", "ok"]).code(0);
    doctor(&stage, &[], 0, &["✔ state state/runsheet.db can be read and written"]);
}

#[test]
fn what_cannot_be_used_here_is_told_with_what_to_do() {
    let stage =
        Stage::new().playbook("ok", OK).playbook("broken", "playbook: broken\nsummary: x\nsteps: [{ id: a, uses: noop, whith: {} }]\n");
    doctor(&stage, &[], 3, &["✘ playbooks 1 of 2 playbooks cannot be loaded", "did you mean `with`?"]);
    doctor(&stage, &["ok"], 0, &["✔ playbooks 1 playbook can be loaded"]);
    std::fs::write(stage.path("file"), "").unwrap();
    let at = |name: &str| stage.path(name).to_string_lossy().into_owned();
    for (variable, value, line) in [
        (
            "RUNSHEET_STATE",
            at("file/state/runsheet.db"),
            "✘ state STAGE/file/state/runsheet.db cannot be used: its folder cannot be made: STAGE/file is a file",
        ),
        ("RUNSHEET_STATE", at("locks"), "it is a folder; the database must be a file"),
        ("RUNSHEET_LOCK_DIR", at("file"), "✘ locks locks cannot be kept in STAGE/file: STAGE/file is not a folder"),
    ] {
        let told = Told::of(&stage, stage.run_with(&["doctor", "ok"], &[(variable, &value)]), 6);
        assert!(words(&told.out).contains(line) && told.out.contains('→'), "`{line}` is not in:\n{}", told.out);
    }
    std::fs::write(stage.path("text"), "this is no database, whatever it is called").unwrap();
    let told = Told::of(&stage, stage.run_with(&["doctor", "ok"], &[("RUNSHEET_STATE", &at("text"))]), 6);
    assert!(told.out.contains("✘  state"), "{}", told.out);
    for (args, code, line) in [
        (&["doctor", "nosuch"][..], 3, "nosuch"),
        (&["doctor", "--env", "nosuch"], 2, "there is no environment `nosuch`"),
        (&["doctor", "-p", "x=1"], 3, "no playbook that is looked at has a parameter `x`"),
    ] {
        let stage = Stage::new().playbook("ok", OK);
        let told = Told::of(&stage, stage.run(args), code);
        assert!(told.err.contains(line), "`{line}` is not in:\n{}", told.err);
    }
}

#[test]
fn the_sandbox_is_looked_at_where_it_is_asked_for() {
    let stage = Stage::new().repository_playbook("scale").repository_playbook("pre-event").sandbox(20);
    let lines = [
        "✔ uid it is the cluster that is meant",
        "what is allowed to admin",
        "✔ locks runs can lock what they change between machines, by Leases",
        "✔ scale all is allowed that its 3 steps ask for",
        "✔ pre-event all is allowed that its 7 steps ask for",
    ];
    doctor(&stage, &["--env", "sandbox"], 0, &lines);
    assert!(stage.effects().is_empty());
}

#[test]
fn what_is_foretold_is_what_a_run_meets() {
    let cluster = Cluster::new();
    let restart = "playbook: restart\nsummary: A restart\nsteps:\n  - { id: again, uses: k8s.rollout_restart, with: { workload: deployment/ticket-service } }\n";
    let playbooks = [("scale", SCALE), ("restart", restart)];
    for (account, playbook, lacking) in [
        ("viewer", "restart", &["again: refused may not patch deployments in namespace production"][..]),
        (
            "viewer",
            "scale",
            &[
                "grow: refused may not patch deployments/scale in namespace production, needed where no autoscaler owns the replicas",
                "grow: refused may not update deployments/scale in namespace production, needed where there are 0 replicas, and no autoscaler owns them",
                "grow: refused may not patch horizontalpodautoscalers in namespace production, needed where an autoscaler owns the replicas",
                "grow: refused may not patch scaledobjects.keda.sh in namespace production, needed where a ScaledObject of KEDA owns the replicas",
            ],
        ),
        ("scaler", "restart", &["again: refused may not patch deployments in namespace production"]),
        ("scaler", "scale", &[]),
        ("deployer", "restart", &[]),
    ] {
        let stage = stage_as(&cluster, account, &playbooks);
        let before = cluster.stage.effects().len();
        let code = if lacking.is_empty() { 0 } else { 6 };
        assert_eq!(lacks(&stage, &[playbook], code), lacking, "{account}: {playbook}");
        assert_eq!(cluster.stage.effects().len(), before, "doctor changes nothing");
        let ran = stage.run(&["run", playbook, "--env", "staging", "--yes"]);
        assert_eq!(ran.code == Some(0), lacking.is_empty(), "{account}: {playbook}: {ran}");
        if let Some(first) = lacking.first() {
            let permission = first.split("may not ").nth(1).unwrap().split(',').next().unwrap();
            let (what, place) = permission.split_once(" in ").unwrap();
            let text = format!("{}{}", ran.stdout, ran.stderr);
            assert!(text.contains(what) && text.contains(place) && text.contains("(403)"), "{account}: {playbook}: {ran}");
        }
    }
}

#[test]
fn an_account_that_may_take_no_leases_is_told_that_locks_hold_here_only() {
    let cluster = Cluster::new();
    let look = "playbook: look\nsummary: A look\nsteps:\n  - { id: pods, uses: k8s.pods, with: { workload: deployment/ticket-service } }\n";
    let stage = stage_as(&cluster, "viewer", &[("scale", SCALE), ("look", look), ("ok", OK)]);
    let out = doctor(
        &stage,
        &["--env", "staging"],
        6,
        &[
            "! locks may not create, update, delete leases.coordination.k8s.io in namespace production: locks hold on this machine only",
            "✔ look all is allowed that its step asks for",
            "✔ ok no step asks the cluster for anything",
            "✘ scale its step may not be done: ✘ grow k8s.scale may not patch deployments/scale in namespace production",
            "what is allowed to viewer",
        ],
    );
    assert!(!out.contains("No environment was looked at"), "{out}");
    // Who changes nothing takes no locks.
    let out = doctor(&stage, &["look", "--env", "staging"], 0, &["all is allowed"]);
    assert!(!out.contains("leases"), "{out}");
}

#[test]
fn only_the_rollback_may_be_missing_and_that_is_told() {
    let cluster = Cluster::new();
    let floor = "playbook: floor\nsummary: A floor\nsteps:\n  - id: floor\n    uses: k8s.autoscaler\n    with: { name: tickets, workload: deployment/ticket-service, min: 2, max: 9, metrics: { cpu: 70 } }\n";
    let stage = stage_as(&cluster, "scaler", &[("floor", floor)]);
    let found = lacks(&stage, &[], 0);
    assert_eq!(
        found,
        [
            "floor: notice may not create horizontalpodautoscalers in namespace production, needed where there is no autoscaler of this name yet",
            "floor: notice its rollback may not delete horizontalpodautoscalers in namespace production, needed where the step created the autoscaler",
        ]
    );
    doctor(&stage, &["--env", "staging"], 0, &["! floor may be done or not, as is found there:"]);
}

#[test]
fn parameters_calls_and_instances_are_followed_as_far_as_they_are_known() {
    let cluster = Cluster::new();
    let called = "playbook: called\nsummary: Called\nparams: { kind: { type: string } }\nsteps:\n  - { id: look, uses: k8s.get, with: { object: '${{ params.kind }}/x' } }\n";
    let caller = "\
playbook: caller
summary: Calls
params:
  kind: { type: string }
steps:
  - { id: inner, uses: playbook, with: { name: called, params: { kind: '${{ params.kind }}' } } }
  - id: each
    for_each: { items: [node, service] }
    uses: k8s.get
    with: { object: '${{ item }}/x' }
  - { id: foreign, uses: k8s.get, with: { object: cert-manager.io/v1/Certificate/x } }
  - { id: budget, uses: k8s.get, with: { object: policy/v1/PodDisruptionBudget/x } }
";
    let stage = stage_as(&cluster, "scaler", &[("called", called), ("caller", caller)]);
    let each = ["each: refused may not get nodes in the cluster", "each: refused may not get services in namespace production"];
    // Kinds without a short name are looked up in the cluster's own list.
    let foreign = "foreign: refused the cluster knows no Certificate of cert-manager.io/v1";
    let budget = "budget: refused may not get poddisruptionbudgets in namespace production";
    let inner = "inner/look: notice what it needs is not known before it runs, for want of which kind of object it is";
    assert_eq!(lacks(&stage, &["caller"], 6), [inner, each[0], each[1], foreign, budget]);
    let inner = "inner/look: refused may not get configmaps in namespace production";
    assert_eq!(lacks(&stage, &["caller", "-p", "kind=configmap"], 6), [inner, each[0], each[1], foreign, budget]);
    assert_eq!(lacks(&stage, &["caller", "-p", "kind=pod"], 6), [each[0], each[1], foreign, budget]);
}

#[test]
fn each_permission_is_asked_for_once() {
    let cluster = Cluster::new();
    let step = |id: &str| format!("  - {{ id: {id}, uses: k8s.rollout_status, with: {{ workload: deployment/ticket-service }} }}\n");
    let text = |name: &str| format!("playbook: {name}\nsummary: x\nsteps:\n{}{}", step("a"), step("b"));
    let stage = stage_as(&cluster, "viewer", &[("one", &text("one")), ("two", &text("two"))]);
    doctor(&stage, &["--env", "staging"], 0, &["✔ two all is allowed that its 2 steps ask for"]);
    let log = std::fs::read_to_string(cluster.stage.sandbox_folder().join("requests.log")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("POST") && line.contains("/selfsubjectaccessreviews")).count(), 1, "{log}");
}

#[test]
fn a_cluster_that_does_not_answer_is_not_taken_for_one_that_allows() {
    let cluster = Cluster::new();
    let route = "POST */selfsubjectaccessreviews";
    for (status, code, line) in [
        ("403", 0, "! permissions what the account may do is not known: the account may not ask that (403)"),
        ("404", 0, "! permissions what the account may do is not known: the cluster answers with status 404"),
        ("401", 6, "✘ permissions what the account may do is not known: the credentials are not accepted (401)"),
    ] {
        let stage = stage_of(&cluster);
        cluster.stage.fault(&["refuse", route, "--status", status, "--times", "1000"]);
        let out = doctor(
            &stage,
            &["scale", "--env", "staging"],
            code,
            &[line, "whether it may get deployments in namespace production was not answered"],
        );
        assert!(out.contains("→") && !out.contains("all is allowed"), "{out}");
        cluster.stage.clear_faults();
    }
    // One answer that is missing takes nothing from the others.
    let stage = stage_of(&cluster);
    cluster.stage.fault(&["refuse", route, "--status", "503"]);
    let found = lacks(&stage, &["scale"], 0);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("was not answered"), "{found:?}");
    let budget =
        "playbook: budget\nsummary: x\nsteps:\n  - { id: look, uses: k8s.get, with: { object: policy/v1/PodDisruptionBudget/x } }\n";
    stage.write_playbook("budget", budget);
    cluster.stage.fault(&["refuse", "GET /apis/policy/v1", "--status", "500"]);
    let found = lacks(&stage, &["budget"], 0);
    let text = "look: notice which resource the kind PodDisruptionBudget of policy/v1 is could not be asked: /apis/policy/v1 answers with status 500";
    assert_eq!(found, [text]);
    assert_eq!(lacks(&stage, &["budget"], 0), [""; 0]);
    // Nothing is asked with credentials that are not taken, nor of another cluster than the one that is meant.
    let expired = stage_with(&cluster, &json!({ "token": "of-yesterday" }));
    doctor(
        &expired,
        &["scale", "--env", "staging"],
        6,
        &["does not accept the credentials (401)", "was not asked: mend what is wrong above first."],
    );
    let wrong = stage_of(&cluster);
    environment(&wrong, "11111111-2222-4333-8444-555555555555", "");
    doctor(&wrong, &["scale", "--env", "staging"], 6, &["was not asked: mend what is wrong above first."]);
}

#[test]
fn what_a_run_would_be_refused_for_is_told_with_the_key_to_add() {
    let cluster = Cluster::new();
    let count = "playbook: count\nsummary: A count\nsteps:\n  - id: budget\n    uses: postgres.connection_budget\n    with: { workload: deployment/ticket-service, replicas: 8, pool_env: DB_POOL_MAX, database: '${{ target.postgres }}' }\n";
    let replica =
        "playbook: replica\nsummary: A replica\nsteps:\n  - { id: source, uses: aws.rds.describe, with: { db_instance: tickets } }\n";
    let level = "playbook: level\nsummary: A level\nparams: { level: { type: string, default: low } }\nvars: { n: '${{ target.levels[params.level].replicas }}' }\nsteps:\n  - { id: a, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: '${{ vars.n }}' } }\n";
    let stage = stage_as(&cluster, "deployer", &[("count", count), ("replica", replica), ("level", level), ("scale", SCALE)]);
    let add = |key: &str| format!("cannot work as things are: add `{key} to playbooks/environments/staging.yaml");
    for (playbook, key) in [("count", "postgres:`"), ("replica", "aws:`"), ("level", "levels:` under `values:`")] {
        let out = doctor(&stage, &[playbook, "--env", "staging"], 6, &[&format!("✘ {playbook} {}", add(key))]);
        assert!(!out.contains("may be done") && !out.contains("all is allowed"), "{out}");
        let ran = stage.run(&["run", playbook, "--env", "staging", "--yes"]).code(3);
        assert!(ran.stderr.contains(key.split('`').next().unwrap()), "{playbook}: {ran}");
    }
    let all = stage.run(&["doctor", "--env", "staging"]).code(6);
    let lines = all.stdout.lines().filter(|line| line.contains("count") || line.contains("budget")).count();
    assert_eq!(lines, 1, "a playbook that cannot work has one line\n{all}");
    doctor(&stage, &["scale", "--env", "staging"], 0, &["✔ scale all is allowed"]);
}
