//! `postgres.connection_budget` and its proof, against stand-ins for the cluster and the server.

use wiremock::matchers::{method, path, query_param_contains};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::{Question, prove};
use super::*;
use crate::actions::trial;
use crate::environment::KubernetesAccess;
use crate::environment::postgres::stand_in::{Manner, PostgresStandIn, Table};

const WORKLOADS: &str = "/apis/apps/v1/namespaces/production";
const AUTOSCALERS: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers";

fn columns(names: &[&str], rows: Vec<Vec<&str>>) -> Table {
    let cell = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    (names.iter().map(|name| (*name).to_owned()).collect(), rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect())
}

/// A server of 200 connections, 3 of them reserved, with 40 of the two pods and 8 of others.
fn server() -> Vec<(&'static str, Table)> {
    let settings = columns(&["name", "setting"], vec![vec!["max_connections", "200"], vec!["superuser_reserved_connections", "3"]]);
    let mut rows = vec![vec!["", "", "", "checkpointer"]];
    for (count, row) in [
        (20, vec!["tickettoken", "ticket_service", "10.1.0.1", "client backend"]),
        (20, vec!["tickettoken", "ticket_service", "10.1.0.2", "client backend"]),
        (5, vec!["tickettoken", "reporting", "10.0.9.9", "client backend"]),
        (3, vec!["analytics", "analytics", "10.0.9.9", "client backend"]),
    ] {
        rows.extend((0..count).map(|_| row.clone()));
    }
    vec![("FROM pg_settings", settings), ("FROM pg_stat_activity", columns(&["datname", "usename", "client_addr", "backend_type"], rows))]
}

struct Stage {
    cluster: MockServer,
    postgres: PostgresStandIn,
    connections: Arc<Connections>,
}

impl Stage {
    async fn start(manner: Manner) -> Self {
        let cluster = MockServer::start().await;
        let postgres = PostgresStandIn::start(manner, server()).await;
        let access = KubernetesAccess::Token { url: cluster.uri(), token: "a-token".to_owned().into() };
        let connections = Arc::new(postgres.reached_by(Connections::new().with_kubernetes(access), None));
        Self { cluster, postgres, connections }
    }

    /// With a Deployment of two pods, and these autoscalers.
    async fn with(autoscalers: Value, more_pods: Vec<Value>) -> Self {
        let stage = Self::start(Manner::Serves).await;
        stage.answers(&format!("{WORKLOADS}/deployments/ticket-service"), 200, deployment()).await;
        stage.answers(AUTOSCALERS, 200, json!({ "items": autoscalers })).await;
        let mut pods = vec![pod("a", "10.1.0.1"), pod("b", "10.1.0.2")];
        pods.extend(more_pods);
        let found = ResponseTemplate::new(200).set_body_json(json!({ "items": pods }));
        let listed = Mock::given(method("GET")).and(path("/api/v1/namespaces/production/pods"));
        listed.and(query_param_contains("labelSelector", "app=ticket-service")).respond_with(found).mount(&stage.cluster).await;
        stage
    }

    async fn answers(&self, at: &str, status: u16, body: Value) {
        let answer = ResponseTemplate::new(status).set_body_json(body);
        Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(&self.cluster).await;
    }

    async fn apply(&self, inputs: Value) -> Result<Value, Failure> {
        let action = ConnectionBudget::new(Arc::clone(&self.connections));
        let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
        let inputs = Inputs(inputs);
        let intent = action.plan(&cx, &inputs, &Value::Null, &Rollback::Auto)?.intent;
        assert!(intent.changes.is_empty() && intent.revert.is_nothing());
        match action.apply(&cx, &inputs, &intent).await {
            Applied::Applied { outputs } => Ok(outputs),
            Applied::NotApplied { failure } => Err(failure),
            other => panic!("a read is never {other:?}"),
        }
    }
}

fn deployment() -> Value {
    json!({
        "metadata": { "name": "ticket-service", "namespace": "production" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": "ticket-service" } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
            "template": { "spec": { "containers": [{ "name": "ticket-service", "env": [{ "name": "DB_POOL_MAX", "value": "20" }] }] } },
        },
    })
}

fn pod(name: &str, address: &str) -> Value {
    json!({ "metadata": { "name": name }, "status": { "phase": "Running", "podIP": address } })
}

fn hpa(name: &str, kind: &str, target: &str, maximum: i64) -> Value {
    let target = json!({ "apiVersion": "apps/v1", "kind": kind, "name": target });
    json!({ "metadata": { "name": name }, "spec": { "scaleTargetRef": target, "minReplicas": 2, "maxReplicas": maximum } })
}

fn inputs(replicas: i64, more: Value) -> Value {
    let mut inputs = json!({
        "workload": "deployment/ticket-service", "replicas": replicas, "pool_env": "DB_POOL_MAX",
        "database": { "host": "db.example", "port": 5432, "user": "runsheet", "database": "tickettoken" },
    });
    for (key, value) in more.as_object().unwrap() {
        inputs[key] = value.clone();
        if key == "pool_size" {
            inputs.as_object_mut().unwrap().shift_remove("pool_env");
        }
    }
    inputs
}

#[tokio::test]
async fn sixteen_pods_of_twenty_are_refused_and_nine_proposed() {
    let stage = Stage::with(json!([]), vec![]).await;
    let outputs = stage.apply(inputs(16, json!({}))).await.unwrap();
    let wanted = json!({
        "fits": false, "largest_pool_size": 9, "current_pool_size": 20, "pods": 20, "replicas": 16, "maximum": 16, "surge": 4,
        "terminating": 0, "free": 189, "max_connections": 200, "reserved": 3, "others": 8, "pooler": null, "in_use": 48,
        "sum": "16 replicas + 4 surge + 0 terminating = 20 pods × 20 = 400 connections; 200 − 3 reserved − 8 others = 189 free; at most 9 a pod",
    });
    assert_eq!(outputs, wanted);
    let names: Vec<&String> = ENTRY.outputs.iter().map(|output| &output.name).collect();
    assert_eq!(outputs.as_object().unwrap().keys().collect::<Vec<_>>(), names, "every declared output is there");
    let failure = stage.apply(inputs(16, json!({ "require": "fits" }))).await.unwrap_err();
    assert!(failure.message.starts_with("the connections do not fit: 16 replicas + 4 surge"), "{failure}");
    assert!(failure.message.contains("others (database/user): tickettoken/reporting 5, analytics/analytics 3"), "{failure}");
    assert!(failure.hint.unwrap().contains("a pool of 9 a pod fits") && !failure.transient);
    assert!(stage.apply(inputs(16, json!({ "require": "fits", "pool_size": 9 }))).await.is_ok());
}

#[tokio::test]
async fn the_autoscalers_maximum_counts() {
    let others = [hpa("other", "Deployment", "other", 90), hpa("same-name", "StatefulSet", "ticket-service", 90)];
    let stage = Stage::with(json!([others[0], others[1], hpa("ticket-service-hpa", "Deployment", "ticket-service", 20)]), vec![]).await;
    let outputs = stage.apply(inputs(16, json!({}))).await.unwrap();
    assert_eq!((&outputs["pods"], &outputs["largest_pool_size"], &outputs["maximum"]), (&json!(25), &json!(7), &json!(20)));
    let failure = stage.apply(inputs(16, json!({ "require": "fits", "pool_size": 9 }))).await.unwrap_err();
    assert!(failure.message.contains("the autoscaler's maximum (20, 4 more than wanted)"), "{failure}");
    let outputs = stage.apply(inputs(16, json!({ "maximum": 16.0 }))).await.unwrap();
    assert_eq!((&outputs["pods"], &outputs["largest_pool_size"]), (&json!(20), &json!(9)));

    let stage =
        Stage::with(json!([hpa("one", "Deployment", "ticket-service", 20), hpa("two", "Deployment", "ticket-service", 4)]), vec![]).await;
    let failure = stage.apply(inputs(16, json!({}))).await.unwrap_err();
    assert!(failure.message.ends_with("fight each other: one, two"), "{failure}");
    assert!(stage.apply(inputs(2, json!({ "maximum": 4 }))).await.is_ok());
}

#[tokio::test]
async fn eight_pods_of_twenty_do_not_fit_for_their_surge() {
    let stage = Stage::with(json!([]), vec![]).await;
    let failure = stage.apply(inputs(8, json!({ "require": "fits" }))).await.unwrap_err();
    assert!(failure.message.contains("10 pods × 20 = 200 connections"), "{failure}");
    assert!(failure.message.contains("what it takes: the surge of a rollout (2 pods)"), "{failure}");
}

#[tokio::test]
async fn pods_of_an_earlier_template_count_with_the_size_they_were_started_with() {
    let mut old = pod("c", "10.1.0.3");
    old["spec"] = json!({ "containers": [{ "name": "ticket-service", "env": [{ "name": "DB_POOL_MAX", "value": "40" }] }] });
    let stage = Stage::with(json!([]), vec![old]).await;
    let outputs = stage.apply(inputs(4, json!({}))).await.unwrap();
    assert_eq!((&outputs["current_pool_size"], &outputs["fits"]), (&json!(40), &json!(false)), "5 pods × 20 would have fitted");
    let failure = stage.apply(inputs(4, json!({ "require": "fits" }))).await.unwrap_err();
    assert!(failure.message.ends_with("pods that are there still have DB_POOL_MAX 40, 1 of them more than the template's 20"), "{failure}");
    assert!(failure.hint.as_deref().unwrap_or_default().starts_with("wait until the rollout is done"), "{failure}");
}

#[tokio::test]
async fn pods_on_their_way_out_and_a_reserve_count() {
    let mut leaving = pod("c", "10.1.0.3");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut finished = pod("d", "10.1.0.4");
    finished["status"]["phase"] = json!("Failed");
    let stage = Stage::with(json!([]), vec![leaving, finished]).await;
    let outputs = stage.apply(inputs(8, json!({ "reserve": 9 }))).await.unwrap();
    assert_eq!((&outputs["terminating"], &outputs["pods"], &outputs["free"]), (&json!(1), &json!(11), &json!(180)));
}

#[tokio::test]
async fn not_even_one_connection_is_a_failure_but_not_of_a_check() {
    let stage = Stage::with(json!([]), vec![]).await;
    let failure = stage.apply(inputs(400, json!({}))).await.unwrap_err();
    assert!(failure.message.starts_with("not even one connection a pod fits: 400 replicas + 100 surge"), "{failure}");
    let action = ConnectionBudget::new(Arc::clone(&stage.connections));
    let (cx, log) = trial::context(Some(trial::target("uid-1")), &[]);
    let seen = action.observe(&cx, &Inputs(inputs(400, json!({ "require": "fits" })))).await.unwrap();
    assert_eq!((&seen["fits"], &seen["largest_pool_size"]), (&json!(false), &json!(0)));
    assert!(log.lines.lock().unwrap().iter().any(|line| line.contains("= 500 pods × 20 = 10000 connections")));
}

#[tokio::test]
async fn what_the_server_or_the_cluster_refuses_is_said() {
    for (manner, text, transient) in [
        (Manner::Refuses("53300", "sorry, too many clients already"), "no connection left, and that is the exhaustion itself: sorry", true),
        (Manner::Refuses("28P01", "password authentication failed"), "does not let the user runsheet in", false),
        (Manner::Refuses("3D000", "database \"tickettoken\" does not exist"), "has no such database", false),
    ] {
        let stage = Stage::with(json!([]), vec![]).await;
        stage.postgres.held.lock().unwrap().manner = manner;
        let failure = stage.apply(inputs(2, json!({}))).await.unwrap_err();
        assert!(failure.message.contains(text) && failure.transient == transient && failure.hint.is_some(), "{failure:?}");
    }
    let stage = Stage::start(Manner::Serves).await;
    let missing = json!({ "kind": "Status", "reason": "NotFound", "message": "not found" });
    stage.answers(&format!("{WORKLOADS}/deployments/ticket-service"), 404, missing).await;
    let failure = stage.apply(inputs(2, json!({}))).await.unwrap_err();
    assert!(failure.message.starts_with("get deployments `ticket-service` in namespace production: not found (404)"), "{failure}");

    let stage = Stage::start(Manner::Serves).await;
    stage.answers(&format!("{WORKLOADS}/deployments/ticket-service"), 200, deployment()).await;
    stage.answers(AUTOSCALERS, 403, json!({ "kind": "Status", "reason": "Forbidden", "message": "no" })).await;
    let failure = stage.apply(inputs(2, json!({}))).await.unwrap_err();
    assert!(failure.message.starts_with("list horizontalpodautoscalers in namespace production: forbidden (403)"), "{failure}");
    assert!(stage.postgres.held.lock().unwrap().asked.is_empty());
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_before_anything_is_asked() {
    let stage = Stage::start(Manner::Serves).await;
    for (more, text) in [
        (json!({ "pool_size": 20, "pool_env": "X" }), "one of `pool_env` and `pool_size`"),
        (json!({ "pool_size": null }), "one of `pool_env` and `pool_size`"),
        (json!({ "pool_size": 0 }), "`pool_size` of postgres.connection_budget is 0, and must be at least 1"),
        (json!({ "replicas": -1 }), "`replicas` of postgres.connection_budget is -1"),
        (json!({ "replicas": 1.5 }), "1.5 is not a whole number"),
        (json!({ "database": { "host": "other.example", "database": "x" } }), "names no PostgreSQL server x at other.example:5432"),
        (json!({ "require": "all" }), "unknown variant `all`"),
    ] {
        let failure = stage.apply(inputs(2, more.clone())).await.unwrap_err();
        assert!(failure.message.contains(text), "{more}: {failure}");
    }
    assert!(stage.cluster.received_requests().await.unwrap().is_empty() && stage.postgres.held.lock().unwrap().asked.is_empty());
}

#[tokio::test]
async fn a_pool_grows_only_where_the_pods_that_are_there_fit_too() {
    let question = |replicas: Option<i64>, pool_size: i64| Question {
        through: Through::Direct,
        workload: "deployment/ticket-service".to_owned(),
        namespace: None,
        database: inputs(0, json!({}))["database"].clone(),
        replicas,
        maximum: None,
        reserve: 0,
        pool_size,
        rollout: None,
    };
    let kept: Question = serde_json::from_value(serde_json::to_value(question(None, 20)).unwrap()).unwrap();
    assert_eq!(kept, question(None, 20));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);

    let stage = Stage::with(json!([]), vec![]).await;
    let sum = prove(&stage.connections, &cx, &question(None, 20)).await.unwrap();
    assert_eq!((sum.replicas, sum.pods, sum.fits), (2, 3, true), "the live count, and its surge");
    assert!(prove(&stage.connections, &cx, &question(Some(8), 20)).await.is_err());
    assert!(prove(&stage.connections, &cx, &question(Some(8), 18)).await.is_ok());

    // Scaled down, and the cluster has not begun to take the pods away.
    let many = (0..14).map(|n| pod(&format!("p{n}"), &format!("10.1.1.{n}"))).collect();
    let stage = Stage::with(json!([]), many).await;
    let failure = prove(&stage.connections, &cx, &question(Some(2), 20)).await.unwrap_err();
    assert!(failure.message.contains("+ 13 more that are there now = 16 pods × 20 = 320 connections"), "{failure}");
}

#[test]
fn the_lines_for_a_persons_hands_ask_the_same() {
    use crate::model::by_hand::variable;
    let mut asked = inputs(16, json!({}));
    asked["replicas"] = json!(variable("params.replicas"));
    asked["database"] = json!(variable("target.postgres"));
    assert!(by_hand(&asked, None).act.iter().any(|line| line.starts_with("psql -c")));
    let lines = by_hand(&inputs(16, json!({})), Some(&trial::target("uid-1"))).act;
    assert_eq!(lines[1], "kubectl get hpa -n production");
    assert_eq!(lines[2], "kubectl set env deployment/ticket-service -n production --list | grep DB_POOL_MAX");
    assert!(lines[3].starts_with("psql -h db.example -p 5432 -U runsheet -d tickettoken -c 'SELECT name, setting"), "{}", lines[3]);
    let sum = &lines[lines.len() - 4..];
    assert!(sum[0].starts_with("# pods = the larger of 16 and the autoscaler's MAXPODS") && sum[0].contains("surge"), "{sum:?}");
    assert!(sum[1].starts_with("# free = max_connections - all reserved ones - "), "{sum:?}");
    assert_eq!(sum[2..], ["# it fits where pods x DB_POOL_MAX <= free", "# the largest pool size = free / pods, rounded down"]);
}
