//! Targets that cannot be reached, refuse, or do not have what a step wants: the step fails, the run pauses, and people read why and what to do.

use serde_json::Value;

use super::errors::{Told, tells, tells_of};
use super::support::{Stage, step_of, until};

const ASK: &str = "\
playbook: ask
summary: A request
params:
  url: { type: string }
steps:
  - { id: ask, uses: http.request, with: { url: \"${{ params.url }}\" } }
";

const SCALE: &str = "\
playbook: scale
summary: One change
params:
  name: { type: string, default: ticket-service }
  replicas: { type: integer, default: 4 }
steps:
  - id: grow
    uses: k8s.scale
    with: { workload: \"deployment/${{ params.name }}\", replicas: \"${{ params.replicas }}\" }
";

/// A port that nobody listens on.
fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The failure of a step, as programs read it.
fn failure(stage: &Stage, step: &str) -> Value {
    step_of(&stage.status_json(), step).clone()
}

#[test]
fn a_closed_port_is_told_as_that() {
    let stage = Stage::new().playbook("ask", ASK);
    let url = format!("url=http://127.0.0.1:{}/health", closed_port());
    tells_of(
        &stage,
        &["run", "ask", "-p", &url],
        1,
        &[
            "step ask failed: GET http://127.0.0.1:PORT/health: no connection: Connection refused\n",
            "hint: nothing was sent: check that the server is up and reachable from here",
            "runsheet resume RUN",
        ],
    );
    let step = failure(&stage, "ask");
    assert_eq!(step["status"], "failed", "{step}");
}

#[test]
fn a_name_that_nobody_knows_is_told_as_that() {
    let stage = Stage::new().playbook("ask", ASK);
    // RFC 6761: no such name is ever known.
    tells_of(&stage, &["run", "ask", "-p", "url=http://nobody.invalid/"], 1, &["nobody.invalid", "hint: "]);
    tells_of(&stage, &["run", "ask", "-p", "url=nonsense"], 1, &["`url` is not a URL", "hint: write an absolute URL: `https://HOST/PATH`"]);
}

#[test]
fn a_sandbox_that_died_under_the_run_is_told_as_that() {
    let stage = Stage::new().sandbox(10);
    let ready = std::fs::read_to_string(stage.sandbox_folder().join("ready.json")).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let pid = ready["pid"].as_u64().unwrap();
    stage.write_playbook(
        "down",
        &format!(
            "playbook: down\nsummary: Loses its target\nsteps:\n  - {{ id: kill, uses: command, with: {{ argv: [kill, \"-9\", \"{pid}\"] }} }}\n  \
             - {{ id: wait, needs: [kill], uses: command, with: {{ shell: true, script: \"while kill -0 {pid} 2>/dev/null && ! grep -q Z /proc/{pid}/stat; do sleep 0.02; done\" }} }}\n  \
             - {{ id: grow, needs: [wait], uses: k8s.scale, with: {{ workload: deployment/ticket-service, replicas: 4 }} }}\n"
        ),
    );
    tells_of(
        &stage,
        &["run", "down"],
        1,
        &[
            "get deployments `ticket-service` in namespace production: no connection to the Kubernetes API: Connection refused\n",
            "hint: check that the cluster is up and reachable from here: `kubectl get --raw /readyz`",
        ],
    );
    // The next command starts it again as it was left, and the run goes on.
    assert!(stage.run(&["resume"]).code(0).stdout.contains("succeeded"));
    assert_eq!(stage.effects_on("spec.replicas"), ["2→4"]);
}

#[test]
fn a_deployment_that_is_not_there_is_named() {
    let stage = Stage::new().playbook("scale", SCALE).sandbox(10);
    tells_of(
        &stage,
        &["run", "scale", "-p", "name=nobody"],
        1,
        &[
            "step grow failed: there is no deployment/nobody in namespace production",
            "hint: check the name, the namespace and the environment",
            "SANDBOX: no environment was changed",
        ],
    );
    assert_eq!(failure(&stage, "grow")["status"], "failed");
    assert!(stage.effects().is_empty());
}

#[test]
fn what_the_cluster_refuses_is_told_with_its_own_words() {
    let stage = Stage::new().playbook("scale", SCALE).sandbox(10);
    stage.fault(&["refuse", "PATCH *", "--status", "403"]);
    let told = Told::of(&stage, stage.run(&["run", "scale"]), 1);
    for line in ["step grow failed: ", "patch deployments/scale `ticket-service` in namespace production", "(403", "hint: "] {
        assert!(told.out.contains(line), "`{line}`:\n{}", told.out);
    }
    assert!(stage.effects().is_empty(), "refused is not changed");
    stage.fault(&["refuse", "GET /apis/apps/*", "--status", "401"]);
    tells_of(&stage, &["run", "scale"], 1, &["get deployments `ticket-service` in namespace production", "401", "hint: "]);
    assert!(stage.effects().is_empty());
}

#[test]
fn a_cluster_that_does_not_say_who_it_is_is_not_touched() {
    let stage = Stage::new().playbook("scale", SCALE).sandbox(10);
    stage.fault(&["refuse", "GET *", "--status", "401"]);
    tells(
        &stage,
        &["run", "scale"],
        6,
        "\
error: the cluster does not tell its identity: the Kubernetes API at http://127.0.0.1:PORT does not accept the credentials (401): Unauthorized
 hint: log in to the cluster again; nothing was done, and a run that is open goes on with `runsheet resume`",
    );
    assert!(!stage.root().join("state/runsheet.db").exists(), "nothing was recorded");
}

#[test]
fn a_cluster_that_is_another_one_now_is_refused() {
    let stage = Stage::new().playbook("gated", "playbook: gated\nsummary: g\nsteps:\n  - { id: gate, uses: approve }\n  - { id: grow, needs: [gate], uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }\n");
    let stage = stage;
    let _ = stage.run(&["run", "gated"]).code(4);
    let _ = stage.run(&["sandbox", "down"]).code(0);
    std::fs::remove_dir_all(stage.sandbox_folder()).unwrap();
    let told = Told::of(&stage, stage.run(&["approve", "gate"]), 6);
    assert!(told.err.starts_with("error: "), "{}", told.err);
    assert!(told.err.contains("cluster") && told.err.contains("\n hint: "), "{}", told.err);
    until("the effect log can be read", || stage.sandbox_folder().is_dir());
    assert!(stage.effects().is_empty());
}

#[test]
fn a_forgotten_environment_is_refused() {
    let stage = Stage::new().playbook("scale", SCALE);
    let environments = stage.root().join("playbooks/environments");
    std::fs::create_dir(&environments).unwrap();
    std::fs::write(environments.join("staging.yaml"), "environment: staging\n").unwrap();
    tells(
        &stage,
        &["run", "scale"],
        6,
        "\
error: this run needs an environment, and none was named
 hint: name one with `--env`: staging, sandbox",
    );
    tells(
        &stage,
        &["run", "scale", "--env", "prod"],
        2,
        "\
error: there is no environment `prod`
 hint: there are: staging, sandbox",
    );
    assert!(!stage.root().join("state").exists(), "nothing was started, nothing recorded");
}
