//! Environments that name Redis, RabbitMQ and Prometheus, through the binary: their check, and a run whose server does wrong.

use serde_json::Value;

use crate::support::hostile::{Hostile, Manner, http};
use crate::support::{EVENT, Stage};

const ASK: &str = "\
playbook: ask
summary: Ask everything
steps:
  - id: redis
    uses: redis.info
    on_failure: continue
  - id: errors
    uses: prometheus.query
    with: { query: 'vector(0)' }
    check:
      after:
        - uses: prometheus.query
          with: { query: 'vector(0)' }
          that: ${{ result.value < 1.0 }}
";

fn environment(stage: &Stage, text: &str) {
    let folder = stage.root().join("playbooks/environments");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("staging.yaml"), format!("environment: staging\n{text}")).unwrap();
}

/// Where another stage's sandbox is, and the password of its systems.
fn sandbox(stage: &Stage) -> (String, String) {
    let text = std::fs::read_to_string(stage.sandbox_folder().join("ready.json")).unwrap();
    let ready: Value = serde_json::from_str(&text).unwrap();
    let port = ready["address"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    (port, ready["postgres_password"].as_str().unwrap().to_owned())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn a_check_asks_each_of_them_and_says_what_it_found() {
    let servers = Stage::new().sandbox(20);
    let (port, password) = sandbox(&servers);
    let nobody = runtime().block_on(Hostile::nobody());
    let stage = Stage::new().env("REDIS_PASSWORD", password.as_str()).env("RABBITMQ_PASSWORD", "hunter2-and-more");
    environment(
        &stage,
        &format!(
            "redis: {{ host: 127.0.0.1, port: {port}, password: {{ env: REDIS_PASSWORD }}, tls: disable }}\n\
             rabbitmq: {{ url: 'http://{nobody}', user: monitor, password: {{ env: RABBITMQ_PASSWORD }} }}\n\
             prometheus: {{ url: 'http://{nobody}', bearer: {{ env: THERE_IS_NONE }} }}\n"
        ),
    );
    let ran = stage.run(&["environment", "check", "staging", "-o", "json"]);
    let checked = ran.json();
    let finding = |what: &str| {
        let all = checked.to_string();
        let found = checked.pointer("/findings").or_else(|| checked.pointer("/0/findings")).and_then(Value::as_array);
        let found = found.into_iter().flatten().find(|finding| finding["what"] == what);
        found.unwrap_or_else(|| panic!("{what} is not in {all}")).clone()
    };
    // Nothing in it says which environment this is, and that is said.
    let identity = finding("identity");
    assert_eq!(identity["verdict"], "notice", "{identity}");
    assert!(identity["text"].as_str().unwrap().contains("nothing proves which environment this is"), "{identity}");
    let redis = finding("redis");
    assert_eq!(redis["verdict"], "good", "{redis}");
    assert!(redis["text"].as_str().unwrap().starts_with(&format!("127.0.0.1:{port} answered within ")), "{redis}");
    let rabbitmq = finding("rabbitmq");
    assert_eq!(rabbitmq["verdict"], "refused", "{rabbitmq}");
    assert!(
        rabbitmq["text"].as_str().unwrap().starts_with(&format!("no connection to RabbitMQ's management API at http://{nobody}")),
        "{rabbitmq}"
    );
    let prometheus = finding("prometheus");
    assert_eq!(prometheus["verdict"], "invalid", "{prometheus}");
    assert!(prometheus["text"].as_str().unwrap().contains("the source of its password or token gives none"), "{prometheus}");
    assert!(!checked.to_string().contains(&password) && !checked.to_string().contains("hunter2"));
    let shown = stage.run(&["environment", "show", "staging"]).code(0).stdout_has(&format!("127.0.0.1:{port}, tls disable"));
    drop(shown.stdout_has("from the environment variable REDIS_PASSWORD"));
}

#[test]
fn a_run_whose_server_fails_names_the_step_and_the_server_and_shows_no_page() {
    let servers = Stage::new().sandbox(20);
    let (port, password) = sandbox(&servers);
    let runtime = runtime();
    let page = "<html><body>upstream connect error</body></html>";
    let failing = http("500 Internal Server Error", &[("Content-Type", "text/html")], page);
    let server = runtime.block_on(Hostile::start(Manner::Says(failing)));
    let stage = Stage::new().playbook("ask", ASK).env("REDIS_PASSWORD", password.as_str()).env("TOKEN", "hunter2-and-more");
    let redis = format!("redis: {{ host: 127.0.0.1, port: {port}, password: {{ env: REDIS_PASSWORD }}, tls: disable }}\n");
    environment(&stage, &format!("{redis}prometheus: {{ url: '{}', bearer: {{ env: TOKEN }} }}\n", server.url()));
    let ran = stage.run(&["run", "ask", "--env", "staging", "--yes"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    let text = format!("{ran}");
    let told = format!("Prometheus at {} failed at /api/v1/query (500): it is a web page", server.url());
    for part in ["errors", told.as_str()] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(!text.contains("upstream connect error"), "{text}");
    assert!(server.heard().contains("authorization: Bearer hunter2-and-more"), "{}", server.heard());
    assert_eq!(stage.step_status("redis"), "succeeded", "nothing is lost");
    for secret in [password.as_str(), "hunter2-and-more"] {
        assert!(!text.contains(secret) && stage.state_files_with(secret).is_empty());
    }
}

#[test]
fn a_check_of_a_step_may_ask_prometheus() {
    let stage = Stage::new().playbook("ask", ASK).sandbox(20);
    stage.run(&["run", "ask"]).code(0);
    assert_eq!(stage.step_status("errors"), "succeeded");
    let refused = Stage::new().playbook("ask", ASK);
    environment(&refused, "redis: { host: redis.example }\n");
    let ran = refused.run(&["run", "ask", "--env", "staging", "--yes"]);
    assert!(!matches!(ran.code, Some(0)), "{ran}");
    let text = format!("{ran}");
    assert!(
        text.contains("ask cannot work as things are") && text.contains("add `prometheus:` to playbooks/environments/staging.yaml"),
        "{text}"
    );
}

#[test]
fn pre_event_asks_prometheus_and_keeps_its_capacity_where_that_is_down() {
    let arguments = ["run", "pre-event", "--yes", "-p", &format!("event_id={EVENT}")].map(str::to_owned);
    let stage = Stage::quick_pre_event();
    stage.run(&arguments).code(0);
    assert_eq!(stage.step_status("errors"), "succeeded");
    let stage = Stage::quick_pre_event();
    stage.fault(&["refuse", "GET /api/v1/query", "--host", "prometheus.monitoring", "--status", "500", "--times", "forever"]);
    let ran = stage.run(&arguments);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(format!("{ran}").contains("Prometheus at http://prometheus.monitoring:9090 failed at /api/v1/query (500)"), "{ran}");
    assert_eq!((stage.step_status("errors").as_str(), stage.step_status("scale").as_str()), ("failed", "succeeded"));
    assert_eq!(stage.deployments(), ["production/ticket-service 8/8 ready"]);
}
