//! Environments' files with mistakes, and `environment list`, `show`, `check` and `new`.
//!
//! Invariant: a question changes nothing on a target and records nothing.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::environments::{Cluster, SCALE, environment, kubeconfig, refused, stage_of, write};
use super::errors::Told;
use super::support::Stage;

#[test]
fn a_file_with_mistakes_is_told_line_by_line() {
    let stage = Stage::new().playbook("scale", SCALE);
    write(
        &stage,
        "environment: staging\nkubernetes:\n  contxt: staging\n  namespace: production\n  cluster_uid: 6f2c\npostgres: { host: h, database: d, user: u, password: hunter2 }\n",
    );
    for args in [&["run", "scale", "--env", "staging"][..], &["environment", "show", "staging"]] {
        let told = Told::of(&stage, stage.run(args), 3);
        for line in [
            "error[unknown-key]: `kubernetes` has no key `contxt`",
            "--> ROOT/playbooks/environments/staging.yaml:3:3",
            "3 |   contxt: staging",
            "^^^^^^",
            "help: did you mean `context`?",
            "error[secret]: `password` is written in the file: a secret's text never stands here",
            "password: ••••••• }",
        ] {
            assert!(told.err.contains(line), "`{line}` is not in:\n{}", told.err);
        }
        assert!(!told.err.contains("hunter2"), "{}", told.err);
    }
    let told = Told::of(&stage, stage.run(&["environment", "check"]), 3);
    assert!(told.out.contains("did you mean `context`?"), "{}", told.out);
    assert!(!stage.root().join("state").exists(), "no sandbox was taken in its place");
}

#[test]
fn the_name_of_the_sandbox_is_its_own() {
    let stage = Stage::new().playbook("scale", SCALE);
    let folder = stage.root().join("playbooks/environments");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("sandbox.yaml"), "environment: sandbox\n").unwrap();
    let listed = stage.run(&["environment", "list", "-o", "json"]).code(0).json();
    let problem = listed[0]["problem"].as_str().unwrap();
    assert!(problem.contains("`sandbox` is the name of the built-in environment"), "{problem}");
    std::fs::remove_file(folder.join("sandbox.yaml")).unwrap();
    // One that is called otherwise than it has to be is not passed over in favour of the sandbox.
    std::fs::write(folder.join("staging.yml"), "environment: staging\n").unwrap();
    refused(
        &stage,
        &["run", "scale"],
        6,
        &["this run needs an environment, and none was named", "name one with `--env`: staging, sandbox"],
    );
    refused(&stage, &["run", "scale", "--env", "staging"], 3, &["an environment's file ends in `.yaml`\n hint: rename it to staging.yaml"]);
    let ran = stage.run(&["run", "scale", "--env", "sandbox"]).code(0);
    assert!(ran.stdout.contains("SANDBOX"), "{ran}");
}

#[test]
fn a_check_says_of_each_thing_whether_it_is_right() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = Told::of(&stage, stage.run(&["environment", "check", "staging"]), 0);
    let out = words(&told.out);
    for line in [
        "✔ file playbooks/environments/staging.yaml is valid",
        "✔ kubeconfig context staging leads to http://127.0.0.1:PORT as ana",
        "✔ cluster http://127.0.0.1:PORT answered within N ms",
        "✔ uid it is the cluster that is meant",
        "✔ namespace production is there",
        "✔ capacity the capacity table has every level",
    ] {
        assert!(out.contains(line), "`{line}` is not in:\n{}", told.out);
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let more = format!(
        "secrets: {{ service_token: {{ env: SERVICE_TOKEN }} }}\npostgres: {{ host: 127.0.0.1, port: {}, database: d, user: u, tls: disable }}\n",
        closed.port()
    );
    environment(&stage, "11111111-2222-4333-8444-555555555555", &more);
    let file = stage.root().join("playbooks/environments/staging.yaml");
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("namespace: production", "namespace: nowhere")
        .replace("replicas: 8", "replicas: 0");
    std::fs::write(&file, &text).unwrap();
    let told = Told::of(&stage, stage.run(&["environment", "check"]), 6);
    let out = words(&told.out);
    for line in [
        "✘ uid this is another target: the cluster's UID is",
        "✘ namespace there is no namespace nowhere in this cluster",
        "✘ secret secret `service_token`: the environment variable SERVICE_TOKEN is not set",
        "✘ postgres no connection to PostgreSQL, d at 127.0.0.1:PORT: Connection refused",
        "✘ capacity `replicas` has to be a whole number of at least 1: high",
    ] {
        assert!(out.contains(line), "`{line}` is not in:\n{}", told.out);
    }
    // The UID that the file lacks is told.
    let lacking: String = text.lines().filter(|line| !line.contains("cluster_uid")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, lacking).unwrap();
    let ran = stage.run(&["environment", "check", "staging"]).code(3);
    assert!(words(&ran.stdout).contains(&format!("write `cluster_uid: {}` under `kubernetes`", cluster.uid)), "{ran}");
    let checked = stage.run(&["environment", "check", "staging", "-o", "json"]).code(3).json();
    assert_eq!(checked[0]["name"], "staging");
    assert!(checked[0]["findings"].as_array().unwrap().iter().any(|finding| finding["verdict"] == "refused"), "{checked}");
    assert!(cluster.stage.effects().is_empty(), "a check changes nothing");
    assert!(!stage.root().join("state").exists(), "a check records nothing");
}

#[test]
fn a_new_environment_is_drafted_from_the_kubeconfig() {
    let cluster = Cluster::new();
    let stage = Stage::new().playbook("scale", SCALE);
    let config = kubeconfig(&stage, &cluster.url, &json!({ "token": cluster.token })).display().to_string();
    let env = [("KUBECONFIG", config.as_str())];
    let printed = stage.run_with(&["environment", "new", "staging", "--stdout"], &env).code(0);
    assert!(printed.stdout.contains(&cluster.uid), "{printed}");
    assert!(!stage.root().join("playbooks/environments").exists(), "nothing was written");
    let ran = stage.run_with(&["environment", "new", "staging"], &env).code(0);
    ran.stdout_has("From now on a run names its environment: `--env staging`, or `--env sandbox`").has_nowhere(&cluster.token);
    let file = stage.root().join("playbooks/environments/staging.yaml");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), printed.stdout);
    let checked = stage.run_with(&["environment", "check", "staging", "-o", "json"], &env).code(0).json();
    let verdicts: Vec<&str> = checked[0]["findings"].as_array().unwrap().iter().filter_map(|one| one["verdict"].as_str()).collect();
    assert!(verdicts.iter().all(|verdict| ["good", "notice"].contains(verdict)), "{checked}");
    let told = Told::of(&stage, stage.run_with(&["environment", "new", "staging"], &env), 6);
    assert!(told.err.contains("playbooks/environments/staging.yaml is there already, and stays as it is"), "{}", told.err);
    let told = Told::of(&stage, stage.run_with(&["environment", "new", "Staging"], &env), 6);
    assert!(told.err.contains("`Staging` cannot be the name of an environment"), "{}", told.err);
    let told = Told::of(&stage, stage.run_with(&["environment", "new", "other", "--context", "othr"], &env), 6);
    assert!(told.err.contains("has no context `othr`\n hint: there are: staging"), "{}", told.err);
    // A cluster that does not tell who it is gets no file.
    kubeconfig(&stage, &cluster.url, &json!({ "token": "a-token-of-yesterday" }));
    let told = Told::of(&stage, stage.run_with(&["environment", "new", "other"], &env), 6);
    assert!(told.err.contains("does not accept the credentials (401)"), "{}", told.err);
    assert!(!stage.root().join("playbooks/environments/other.yaml").exists());
}

#[test]
fn environments_are_listed_shown_and_completed() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    environment(&stage, &cluster.uid, "confirm: name\nsecrets: { service_token: { env: SERVICE_TOKEN } }\n");
    let listed = stage.run(&["environment", "list"]).code(0).stdout;
    let lines: Vec<String> = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "ENVIRONMENT CONTEXT NAMESPACE CONFIRM SUMMARY");
    assert_eq!(lines[1], "staging staging production name The staging cluster");
    assert!(lines[2].starts_with("sandbox – production – The simulated platform"), "{listed}");
    let shown = stage.run_with(&["environment", "show", "staging"], &[("SERVICE_TOKEN", "hunter2hunter2")]).code(0);
    shown.stdout_has("from the environment variable SERVICE_TOKEN").stdout_has(&cluster.uid).has_nowhere("hunter2");
    let document = stage.run(&["environment", "show", "staging", "-o", "json"]).code(0).json();
    assert_eq!(document["target"]["kubernetes"], json!({ "namespace": "production", "cluster": "staging" }));
    assert_eq!(document["target"]["capacity"]["high"]["replicas"], 8);
    refused(&stage, &["environment", "show", "stagin"], 2, &["there is no environment `stagin`\n hint: there are: staging, sandbox"]);
    let completed = |words: &[&str]| {
        let index = (words.len() - 1).to_string();
        let env = [("COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", index.as_str()), ("IFS", "\n")];
        let args: Vec<&str> = ["--"].into_iter().chain(words.iter().copied()).collect();
        stage.run_with(&args, &env).stdout
    };
    assert_eq!(completed(&["runsheet", "run", "scale", "--env", "s"]), "staging\nsandbox");
    let schema = stage.run(&["schema", "environment"]).code(0).json();
    assert_eq!(schema["title"], "runsheet environment");
}

#[test]
fn a_check_logs_in_to_the_database() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    let ready: Value = serde_json::from_str(&std::fs::read_to_string(cluster.stage.sandbox_folder().join("ready.json")).unwrap()).unwrap();
    let port = ready["address"].as_str().unwrap().rsplit(':').next().unwrap();
    let password = ready["postgres_password"].as_str().unwrap();
    let of = |database: &str, password: &str| {
        let postgres =
            format!("postgres: {{ host: 127.0.0.1, port: {port}, database: {database}, user: runsheet, tls: disable{password} }}\n");
        environment(&stage, &cluster.uid, &postgres);
    };
    let checked = |code: i32, env: &[(&str, &str)]| {
        let told = Told::of(&stage, stage.run_with(&["environment", "check", "staging"], env), code);
        assert!(!told.out.contains(password) && !told.err.contains(password), "{}", told.out);
        told.out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let from_variable = ", password: { env: RUNSHEET_TEST_DATABASE }";
    of("tickettoken", from_variable);
    let out = checked(0, &[("RUNSHEET_TEST_DATABASE", password)]);
    assert!(out.contains("✔ postgres tickettoken at 127.0.0.1:PORT let runsheet in within N ms; max_connections 200"), "{out}");
    let out = checked(6, &[("RUNSHEET_TEST_DATABASE", "not-the-password")]);
    assert!(out.contains("✘ postgres PostgreSQL, tickettoken at 127.0.0.1:PORT, does not let the user runsheet in"), "{out}");
    assert!(out.contains("check the user and the password of this environment") && !out.contains("not-the-password"), "{out}");
    let out = checked(3, &[]);
    for line in [
        "✘ secret secret `postgres.password`: the environment variable RUNSHEET_TEST_DATABASE is not set",
        "✘ postgres tickettoken at 127.0.0.1:PORT was not asked: its password comes from the environment variable RUNSHEET_TEST_DATABASE, which \
         gives none",
    ] {
        assert!(out.contains(line), "`{line}` is not in:\n{out}");
    }
    of("tickettoken", "");
    let out = checked(6, &[]);
    assert!(out.contains("it asks for a password, and the environment gives none"), "{out}");
    of("nothere", from_variable);
    let out = checked(6, &[("RUNSHEET_TEST_DATABASE", password)]);
    assert!(out.contains("✘ postgres PostgreSQL, nothere at 127.0.0.1:PORT, has no such database"), "{out}");
}
