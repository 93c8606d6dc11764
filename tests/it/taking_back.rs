//! What `rollback` and `cancel --rollback` want said before they change anything outside the sandbox, and which run a bare `rollback` means.
//!
//! Invariant: without a name nothing is ended that owes nothing, and nothing is chosen between environments.

use super::environments::{Cluster, environment, stage_of};
use super::support::{Stage, until};

/// A change, and then a gate.
const GROWN: &str = "\
playbook: grown
summary: A change before a gate
steps:
  - { id: grow, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }
  - { id: gate, needs: [grow], uses: approve }
";

/// A gate, and then a change of another field.
const LATER: &str = "\
playbook: later
summary: A change after a gate
steps:
  - { id: gate, uses: approve }
  - { id: mode, needs: [gate], uses: k8s.set_env, with: { workload: deployment/ticket-service, env: { MODE: event } } }
";

const SCALE: &str = "\
playbook: scale
summary: One change
steps:
  - { id: grow, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }
";

const GATE: &str = "playbook: gate\nsummary: A gate\nsteps:\n  - { id: gate, uses: approve }\n";

fn ids(stage: &Stage) -> Vec<String> {
    let runs = stage.run(&["runs", "-o", "json"]).code(0).json();
    runs.as_array().unwrap().iter().map(|run| run["short_id"].as_str().unwrap().to_owned()).collect()
}

fn status_of(stage: &Stage, run: &str) -> String {
    stage.run(&["status", run, "-o", "json"]).code(0).json()["status"].as_str().unwrap().to_owned()
}

#[test]
fn where_the_name_is_wanted_a_yes_takes_nothing_back() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster).playbook("grown", GROWN);
    environment(&stage, &cluster.uid, "confirm: name\n");
    stage.run(&["run", "grown", "--env", "staging", "--confirm", "staging"]).code(4);
    let run = ids(&stage)[0].clone();
    for back in [&["rollback"][..], &["rollback", run.as_str()], &["cancel", "--rollback"]] {
        for said in [&[][..], &["--yes"]] {
            stage
                .run(&[back, said].concat())
                .code(6)
                .stderr_has("acts on staging and has to be confirmed, and there is no terminal to ask on: nothing was done")
                .stderr_has("programs confirm with `--confirm staging`; `--yes` is not enough here");
        }
        let wrong = stage.run(&[back, &["--yes", "--confirm", "Staging"]].concat()).code(6);
        let wrong = wrong.stderr_has("`--confirm Staging` is not this run's environment, which is staging");
        wrong.stderr_has("confirm this one with `--confirm staging`").has_nowhere("--env");
    }
    assert_eq!((status_of(&stage, &run).as_str(), cluster.stage.effects_on("spec.replicas")), ("waiting", vec!["2→4".to_owned()]));
    stage.run(&["cancel", "--rollback", "--confirm", "staging"]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4", "4→2"]);
    stage.run(&["run", "scale", "--env", "staging", "--confirm", "staging"]).code(0);
    stage.run(&["rollback", "--confirm", "staging"]).code(0).stdout_has("rolled_back");
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4", "4→2", "2→4", "4→2"]);
    // Where a yes is enough, it is.
    environment(&stage, &cluster.uid, "confirm: yes\n");
    stage.run(&["run", "scale", "--env", "staging", "--yes"]).code(0);
    stage.run(&["rollback", "--yes"]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas").len(), 6);
    // Keeping what was done changes nothing, and wants no name.
    stage.run(&["cancel", "--confirm", "staging"]).code(2);
}

#[test]
fn a_bare_rollback_ends_nothing_that_owes_nothing() {
    let stage = Stage::new().playbook("gate", GATE).playbook("scale", SCALE).sandbox(50);
    let watching = stage.start(&["run", "gate", "--watch"]);
    stage.until_step("gate", "waiting");
    stage.run(&["run", "gate"]).code(4);
    let said = stage.run(&["rollback", "--yes"]).code(0).stdout_has("no run owes anything: nothing was done");
    said.stdout_has("2 runs are open").stdout_has("runsheet cancel RUN");
    stage.run(&["rollback"]).code(0);
    let none = stage.run(&["rollback", "--yes", "-o", "json"]).code(0).json();
    assert_eq!(none, serde_json::json!({ "run": null, "owed": [] }));
    let runs = ids(&stage);
    runs.iter().for_each(|run| assert_eq!(status_of(&stage, run), "waiting"));
    // What was given back is not owed, and is not given back again.
    stage.run(&["run", "scale"]).code(0);
    stage.run(&["rollback", "--yes"]).code(0).stdout_has("rolled_back");
    stage.run(&["rollback", "--yes"]).code(0).stdout_has("no run owes anything");
    // One that is named is ended.
    let (here, there) = (&runs[0], &runs[1]);
    stage.run(&["rollback", here, "--yes"]).code(0);
    stage.run(&["cancel", there]).code(0);
    until("the watched run has ended", || status_of(&stage, there) == "cancelled");
    drop(watching);
}

#[test]
fn a_bare_rollback_takes_back_what_was_changed_last() {
    let stage = Stage::new().playbook("later", LATER).playbook("scale", SCALE).sandbox(50);
    stage.run(&["run", "later"]).code(4);
    stage.run(&["run", "scale"]).code(0);
    let runs = ids(&stage);
    stage.run(&["approve", &runs[1]]).code(0);
    stage.run(&["rollback", "--yes"]).code(0).stderr_has("of later would put back");
    assert_eq!((status_of(&stage, &runs[1]).as_str(), status_of(&stage, &runs[0]).as_str()), ("rolled_back", "succeeded"));
}

#[test]
fn a_bare_rollback_chooses_between_no_environments() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster).sandbox(50);
    stage.run(&["run", "scale", "--env", "staging", "--yes"]).code(0);
    stage.run(&["run", "scale", "--env", "sandbox"]).code(0);
    let said = stage.run(&["rollback", "--yes"]).code(2).stderr_has("2 runs owe something, in several environments, and none was named");
    ids(&stage).iter().for_each(|run| assert!(said.stderr.contains(run), "{said}"));
    assert!(said.stderr.contains("on staging") && said.stderr.contains("on sandbox"), "{said}");
    assert_eq!((cluster.stage.effects().len(), stage.effects().len()), (1, 1));
    let sandbox = ids(&stage)[0].clone();
    stage.run(&["rollback", &sandbox, "--yes"]).code(0);
    stage.run(&["rollback", "--yes"]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4", "4→2"]);
}

#[test]
fn a_run_whose_sandbox_is_gone_is_none_to_go_on_with() {
    let stage = Stage::new().playbook("grown", GROWN).playbook("later", LATER).sandbox(50);
    stage.run(&["run", "grown"]).code(4);
    let gone = ids(&stage)[0].clone();
    stage.run(&["sandbox", "reset"]).code(0);
    for command in ["resume", "cancel"] {
        stage.run(&[command]).code(2).stderr_has("no run is open but one whose sandbox is gone");
        stage.run(&[command, &gone]).code(6).stderr_has(&format!("the sandbox that run {gone} of grown acted on is gone"));
    }
    stage.run(&["runs", "--open"]).code(0).stdout_has("sandbox (gone)");
    // It stands in the way of no other.
    stage.run(&["run", "later"]).code(4);
    stage.run(&["resume"]).code(4);
    stage.run(&["approve"]).code(0);
}

#[test]
fn what_would_go_back_first_stands_first_and_what_that_does_is_said() {
    let both = "\
playbook: both
summary: Two changes
steps:
  - { id: mode, uses: k8s.set_env, with: { workload: deployment/ticket-service, env: { MODE: event } } }
  - { id: grow, needs: [mode], uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }
";
    let stage = Stage::new().playbook("both", both).sandbox(50);
    stage.run(&["run", "both"]).code(0);
    let asked = stage.run(&["rollback"]).code(2);
    let at = |words: &str| asked.stderr.find(words).unwrap_or_else(|| panic!("{words}: {asked}"));
    assert!(at("replicas 4 → 2") < at("MODE event → nothing"), "{asked}");
    assert!(
        at("MODE event") < at("Notes:\n  mode: it changes the pods' template: every pod of deployment/ticket-service is restarted"),
        "{asked}"
    );
    stage.run(&["rollback", "--yes"]).code(0);
}
