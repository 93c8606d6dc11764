//! `keep_within` of `k8s.set_env`, against stand-ins for the cluster and the server.

use super::*;
use crate::actions::kubernetes::set_env::SetEnv;
use crate::actions::kubernetes::stand_in::objects::Objects;
use crate::actions::trial;
use crate::environment::postgres::stand_in::{Manner, PostgresStandIn, Table};
use crate::model::change::Swap;
use crate::model::intent::Intent;
use crate::model::outcome::Applied;
use crate::model::step::Rollback;
use crate::ports::action::{Action, Inputs};
use serde_json::json;

const PATH: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const PODS: &str = "/api/v1/namespaces/production/pods";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/ticket-service-hpa";

fn env(size: &str) -> Value {
    json!([{ "name": "LOG", "value": "info" }, { "name": "DB_POOL_MAX", "value": size }])
}

fn deployment(replicas: i64, size: &str) -> Value {
    json!({
        "metadata": { "name": "ticket-service", "generation": 1 },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "ticket-service" } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
            "template": { "spec": { "containers": [{ "name": "app", "env": env(size) }] } },
        },
        "status": { "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas },
    })
}

/// A server of 200 connections, 3 of them reserved, of which others hold so many.
fn server(others: usize) -> Vec<(&'static str, Table)> {
    let table = |names: &[&str], rows: Vec<Vec<&str>>| -> Table {
        let row = |row: Vec<&str>| row.into_iter().map(|text| Some(text.to_owned())).collect();
        (names.iter().map(|name| (*name).to_owned()).collect(), rows.into_iter().map(row).collect())
    };
    let settings = vec![vec!["max_connections", "200"], vec!["superuser_reserved_connections", "3"]];
    let held = vec![vec!["analytics", "batch", "10.0.9.9", "client backend"]; others];
    vec![
        ("FROM pg_settings", table(&["name", "setting"], settings)),
        ("FROM pg_stat_activity", table(&["datname", "usename", "client_addr", "backend_type"], held)),
    ]
}

struct Stage {
    cluster: Objects,
    postgres: PostgresStandIn,
    action: SetEnv,
    cx: Context,
}

impl Stage {
    /// So many pods with pools of this size, where others hold so many connections.
    async fn start(replicas: i64, size: &str, others: usize) -> Self {
        let postgres = PostgresStandIn::start(Manner::Serves, server(others)).await;
        let Objects { held, connections } = Objects::start(&[(PATH, deployment(replicas, size))]).await;
        let connections = Arc::new(postgres.reached_by(Arc::into_inner(connections).unwrap(), None));
        let action = SetEnv::new(Arc::clone(&connections));
        let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
        let stage = Self { cluster: Objects { held, connections }, postgres, action, cx };
        stage.pods(replicas, size);
        stage
    }

    fn pods(&self, count: i64, size: &str) {
        for n in 0..count {
            let pod = json!({
                "metadata": { "name": format!("p{n}") }, "spec": { "containers": [{ "name": "app", "env": env(size) }] },
                "status": { "phase": "Running", "podIP": format!("10.1.0.{n}") },
            });
            self.cluster.put(&format!("{PODS}/p{n}"), pod);
        }
    }

    fn others(&self, count: usize) {
        self.postgres.held.lock().unwrap().answers = server(count);
    }

    async fn planned(&self, size: i64) -> (Inputs, Intent) {
        let given = inputs(json!({ "DB_POOL_MAX": size }), json!({}));
        let intent = trial::planned(&self.action, &self.cx, &given).await;
        (given, intent)
    }

    async fn apply(&self, size: i64) -> Applied {
        let (given, intent) = self.planned(size).await;
        self.action.apply(&self.cx, &given, &intent).await
    }

    async fn revert(&self, intent: &Intent) -> Applied {
        let swap = |change: &crate::model::change::Change| Swap {
            object: change.object.clone(),
            field: change.field.clone(),
            label: change.label.clone(),
            from: change.after.clone(),
            to: change.prior.clone(),
        };
        let swaps: Vec<Swap> = intent.changes.iter().map(swap).collect();
        self.action.revert(&self.cx, intent, &swaps).await
    }
}

fn inputs(env: Value, more: Value) -> Inputs {
    let mut keep_within = json!({ "database": { "host": "db.example", "port": 5432, "user": "runsheet", "database": "tickettoken" } });
    keep_within.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    Inputs(json!({ "workload": "deployment/ticket-service", "env": env, "keep_within": keep_within }))
}

#[track_caller]
fn refused(applied: Applied) -> Failure {
    match applied {
        Applied::NotApplied { failure } => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn twice_is_once_forth_and_back() {
    let stage = Stage::start(2, "20", 8).await;
    trial::repeats(&stage.action, &stage.cx, &inputs(json!({ "DB_POOL_MAX": 9 }), json!({}))).await;
    assert_eq!(stage.cluster.writes(), 2);
}

#[tokio::test]
async fn a_pool_goes_back_only_where_it_fits_again() {
    let stage = Stage::start(2, "20", 8).await;
    let (given, intent) = stage.planned(9).await;
    assert!(matches!(stage.action.apply(&stage.cx, &given, &intent).await, Applied::Applied { .. }));
    stage.pods(2, "9");
    // Nothing is kept but the question.
    let intent: Intent = serde_json::from_value(serde_json::to_value(&intent).unwrap()).unwrap();
    stage.others(150);
    let failure = refused(stage.revert(&intent).await);
    assert_eq!(
        failure.message,
        "DB_POOL_MAX of deployment/ticket-service in namespace production was left at \"9\": the connections do not fit: 2 replicas + 1 surge + \
         0 terminating = 3 pods × 20 = 60 connections; 200 − 3 reserved − 150 others = 47 free; at most 15 a pod; what it takes: the surge of \
         a rollout (1 pods), connections that others hold (150); others (database/user): analytics/batch 150; no connection comes from an \
         address of the workload's pods: where their addresses are translated on the way (NAT, a proxy), their connections are counted among \
         the others"
    );
    assert!(!failure.transient && failure.hint.as_deref().unwrap().starts_with("at most 15 a pod fits now"), "{failure:?}");
    assert_eq!(stage.cluster.writes(), 1);
    stage.others(8);
    assert!(matches!(stage.revert(&intent).await, Applied::Applied { .. }));
    // What is there already needs no proof.
    stage.others(190);
    assert!(matches!(stage.revert(&intent).await, Applied::Applied { .. }));
    assert_eq!(stage.cluster.writes(), 2);
}

#[tokio::test]
async fn old_and_new_pods_are_counted_together() {
    let stage = Stage::start(8, "18", 8).await;
    let failure = refused(stage.apply(9).await);
    let line = "the connections do not fit on the way: while pods are replaced, the 8 old ones with 144 connections and 8 new ones × 9 may be \
                there at once = 216; 200 − 3 reserved − 8 others = 189 free; others (database/user): analytics/batch 8";
    assert!(failure.message.ends_with(line), "{failure}");
    assert!(failure.hint.as_deref().unwrap().contains("where there are fewer pods"), "{failure:?}");
    assert_eq!(stage.cluster.writes(), 0);
    // Pods that are still to come open what the old template says.
    let stage = Stage::start(4, "18", 8).await;
    stage.cluster.put(PATH, deployment(8, "18"));
    assert!(refused(stage.apply(9).await).message.contains("the 4 old ones with 144 connections"));
    // A strategy that ends the old ones first needs no room for both.
    let stage = Stage::start(8, "18", 8).await;
    let mut recreated = deployment(8, "18");
    recreated["spec"]["strategy"] = json!({ "type": "Recreate" });
    stage.cluster.put(PATH, recreated);
    assert!(matches!(stage.apply(9).await, Applied::Applied { .. }));
}

#[tokio::test]
async fn pods_on_their_way_out_are_old_ones_too() {
    let stage = Stage::start(2, "9", 8).await;
    for n in 2..10 {
        let pod = json!({
            "metadata": { "name": format!("p{n}"), "deletionTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "containers": [{ "name": "app", "env": env("18") }] }, "status": { "phase": "Running" },
        });
        stage.cluster.put(&format!("{PODS}/p{n}"), pod);
    }
    let failure = refused(stage.apply(17).await);
    assert!(failure.message.contains("the 10 old ones with 162 connections and 2 new ones × 17 may be there at once = 196"), "{failure}");
    assert!(refused(stage.apply(18).await).message.contains("+ 8 terminating = 11 pods × 18 = 198 connections"));
}

#[tokio::test]
async fn a_size_that_grows_counts_the_autoscalers_maximum_and_one_that_is_given_back_does_not() {
    let stage = Stage::start(2, "9", 8).await;
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" });
    let autoscaler = json!({
        "metadata": { "name": "ticket-service-hpa" }, "spec": { "scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 16 },
    });
    stage.cluster.put(HPA, autoscaler);
    let failure = refused(stage.apply(20).await);
    assert!(failure.message.contains("16 replicas at the autoscaler's maximum (wanted: 2) + 4 surge"), "{failure}");
    stage.cluster.put(PATH, deployment(2, "20"));
    stage.pods(2, "20");
    let (given, intent) = stage.planned(9).await;
    assert!(matches!(stage.action.apply(&stage.cx, &given, &intent).await, Applied::Applied { .. }));
    stage.pods(2, "9");
    assert!(matches!(stage.revert(&intent).await, Applied::Applied { .. }));
}

#[tokio::test]
async fn what_cannot_be_proved_is_not_done() {
    let stage = Stage::start(2, "20", 8).await;
    let two = inputs(json!({ "DB_POOL_MAX": 9, "LOG": "debug" }), json!({}));
    let prior = stage.action.observe(&stage.cx, &two).await.unwrap();
    let failure = stage.action.plan(&stage.cx, &two, &prior, &Rollback::Auto).unwrap_err();
    assert!(failure.message.contains("does not say which of the variables is the size"), "{failure}");
    let named = inputs(json!({ "DB_POOL_MAX": 9, "LOG": "debug" }), json!({ "variable": "DB_POOL_MAX", "reserve": 170 }));
    let intent = trial::planned(&stage.action, &stage.cx, &named).await;
    let failure = refused(stage.action.apply(&stage.cx, &named, &intent).await);
    assert!(failure.message.contains("− 170 to be left free = 19 free"), "{failure}");
    let words = inputs(json!({ "DB_POOL_MAX": "many" }), json!({}));
    let intent = trial::planned(&stage.action, &stage.cx, &words).await;
    let failure = refused(stage.action.apply(&stage.cx, &words, &intent).await);
    assert!(failure.message.contains("DB_POOL_MAX is to become \"many\", which is no number of connections"), "{failure}");
    stage.postgres.held.lock().unwrap().manner = Manner::Refuses("53300", "sorry, too many clients already");
    let failure = refused(stage.apply(9).await);
    assert!(failure.transient && failure.message.contains("too many clients already"), "{failure:?}");
    assert_eq!(stage.cluster.writes(), 0);
}

#[tokio::test]
async fn what_could_not_be_proved_on_the_way_back_is_refused_before_the_way_there() {
    let stage = Stage::start(2, "many", 8).await;
    let plan = |given: Inputs, prior: &Value| stage.action.plan(&stage.cx, &given, prior, &Rollback::Auto).unwrap_err();
    let given = || inputs(json!({ "DB_POOL_MAX": 9 }), json!({}));
    let prior = stage.action.observe(&stage.cx, &given()).await.unwrap();
    let failure = plan(given(), &prior);
    assert!(failure.message.starts_with("DB_POOL_MAX is \"many\" now, which is no number of connections"), "{failure}");
    let absent = || inputs(json!({ "POOL": 9 }), json!({}));
    let prior = stage.action.observe(&stage.cx, &absent()).await.unwrap();
    assert!(plan(absent(), &prior).message.starts_with("POOL is null now"));
    assert_eq!(stage.cluster.writes(), 0);
}

#[test]
fn a_size_that_is_not_recorded_cannot_be_kept_within_a_budget() {
    let keep_within: KeepWithin = serde_json::from_value(json!({ "database": {} })).unwrap();
    let env = BTreeMap::from([("DB_POOL_MAX".to_owned(), ())]);
    let failure = keep_within.can_prove(&env, &["DB_POOL_MAX".to_owned()], &json!({ "DB_POOL_MAX": "20" })).unwrap_err();
    assert_eq!(failure.message, "DB_POOL_MAX is sensitive: of what is not recorded nothing can be proved");
    assert!(keep_within.can_prove(&env, &[], &json!({ "DB_POOL_MAX": "20" })).is_ok());
}
