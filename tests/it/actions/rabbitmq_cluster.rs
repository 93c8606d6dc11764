//! RabbitMQ under its cluster operator: the RabbitmqCluster is scaled, its StatefulSet is refused, and nothing is taken back by itself.
//!
//! On the real control plane the operator is a loop of the test's own.

use http::Method;
use runsheet::model::change::Swap;
use runsheet::model::intent::Revert;
use runsheet::model::outcome::{Applied, Verdict};
use serde_json::{Value, json};

use crate::support::{Bench, Cut, on_both};

const CLUSTERS: &str = "/apis/rabbitmq.com/v1beta1/namespaces/production/rabbitmqclusters";
const CLUSTER: &str = "/apis/rabbitmq.com/v1beta1/namespaces/production/rabbitmqclusters/queues";
const SETS: &str = "/apis/apps/v1/namespaces/production/statefulsets";
const SET: &str = "/apis/apps/v1/namespaces/production/statefulsets/queues-server";

/// Whether the cluster has an operator of its own: the sandbox has, and comes with a RabbitMQ.
async fn has_operator(bench: &Bench) -> bool {
    bench.get("/apis/rabbitmq.com/v1beta1/namespaces/messaging/rabbitmqclusters/rabbitmq").await.is_some()
}

/// What an operator does: the StatefulSet follows the RabbitmqCluster.
async fn operate(bench: &Bench) {
    loop {
        if let Some(cluster) = bench.get(CLUSTER).await {
            let replicas = &cluster["spec"]["replicas"];
            // What goes at the same time is asked for again the next time.
            match bench.get(SET).await {
                None => drop(bench.ask(Method::POST, SETS, "application/json", stateful_set(&cluster)).await),
                Some(set) if set["spec"]["replicas"] != *replicas => {
                    let patch = json!({ "spec": { "replicas": replicas } });
                    drop(bench.ask(Method::PATCH, SET, "application/merge-patch+json", patch).await);
                }
                Some(_) => {}
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn stateful_set(cluster: &Value) -> Value {
    let owner = json!({
        "apiVersion": "rabbitmq.com/v1beta1", "kind": "RabbitmqCluster", "name": "queues", "uid": cluster["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    });
    let labels = json!({ "app.kubernetes.io/name": "queues" });
    let container = json!({ "name": "rabbitmq", "image": "rabbitmq:3.10.8-management", "resources": { "requests": { "cpu": "50m", "memory": "32Mi" } } });
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "queues-server", "ownerReferences": [owner] },
        "spec": {
            "replicas": cluster["spec"]["replicas"], "serviceName": "queues-nodes", "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
        },
    })
}

/// With a RabbitmqCluster of three nodes that are ready, and its operator at work.
async fn with_three_nodes(bench: &Bench, body: impl AsyncFnOnce(&Bench)) {
    let own = has_operator(bench).await;
    let object = json!({ "apiVersion": "rabbitmq.com/v1beta1", "kind": "RabbitmqCluster", "metadata": { "name": "queues" }, "spec": { "replicas": 3 } });
    bench.create(CLUSTERS, object).await;
    let work = async {
        bench.until("three nodes are ready", || async { (bench.get(SET).await?["status"]["readyReplicas"] == 3).then_some(()) }).await;
        body(bench).await;
    };
    if own {
        return work.await;
    }
    tokio::select! {
        () = work => {}
        () = operate(bench) => {}
    }
}

fn inputs(replicas: u32) -> Value {
    json!({ "workload": "rabbitmqcluster/queues", "replicas": replicas })
}

async fn replicas(bench: &Bench) -> Value {
    bench.get(CLUSTER).await.expect("the cluster")["spec"]["replicas"].clone()
}

async fn the_cluster_is_scaled_once_and_kept(bench: Bench) {
    with_three_nodes(&bench, async |bench| {
        let step = bench.step("k8s.scale", inputs(5));
        let plan = step.plan().await;
        let (intent, prior) = (&plan.intent, &plan.intent.prior);
        assert_eq!(
            (&prior["replicas"], &prior["ready_replicas"], &prior["owner"], &prior["holds"]),
            (&json!(3), &json!(3), &Value::Null, &Value::Null),
            "{prior:#}"
        );
        assert_eq!(
            (&intent.changes[0].field, &intent.changes[0].prior, &intent.changes[0].after),
            (&"spec.replicas".to_owned(), &json!(3), &json!(5))
        );
        assert!(intent.changes[0].object.0.ends_with("/rabbitmqcluster/queues"), "{:?}", intent.changes[0].object);
        assert!(
            matches!(&intent.revert, Revert::Keep { reason } if reason.contains("never made smaller by itself")),
            "{:?}",
            intent.revert
        );
        assert!(intent.note["says"].as_str().unwrap().contains("neither drains queues nor gives"), "{}", intent.note);
        assert!(intent.by_hand[0].starts_with("kubectl patch rabbitmqcluster queues -n "), "{:?}", intent.by_hand);
        for _ in 0..2 {
            let applied = step.apply(intent).await;
            let Applied::Applied { outputs } = applied else { panic!("{applied:?}") };
            assert_eq!((&outputs["replicas"], &outputs["previous_replicas"], &outputs["floor"]), (&json!(5), &json!(3), &json!(false)));
        }
        assert!(matches!(step.verify(intent).await, Verdict::Present { .. }));
        assert_eq!(step.live(intent).await, [Some(json!(5))]);
        bench
            .until("five nodes are ready", || async {
                let seen = step.observe().await.expect("a reading");
                (seen["ready_replicas"] == 5 && seen["pods"] == 5 && seen["holds"].is_null()).then_some(())
            })
            .await;
        let again = step.anew().plan().await;
        assert!(again.unchanged.is_some() && again.intent.changes.is_empty(), "there is nothing to do");
        // Nobody is to take it back; whoever asks all the same is told so, and nothing happens.
        let swap = Swap {
            object: intent.changes[0].object.clone(),
            field: "spec.replicas".to_owned(),
            label: "nodes".to_owned(),
            from: json!(5),
            to: json!(3),
        };
        let refused = step.action.revert(&step.cx, intent, &[swap]).await;
        assert!(matches!(refused, Applied::NotApplied { .. }), "{refused:?}");
        assert_eq!(replicas(bench).await, 5);
    })
    .await;
}

async fn its_stateful_set_is_refused_by_name(bench: Bench) {
    with_three_nodes(&bench, async |bench| {
        let refused =
            bench.step("k8s.scale", json!({ "workload": "statefulset/queues-server", "replicas": 5 })).try_plan().await.unwrap_err();
        assert!(refused.message.contains("belongs to rabbitmqcluster/queues, which puts its replicas back"), "{refused}");
        assert!(refused.hint.as_ref().unwrap().contains("scale rabbitmqcluster/queues instead"), "{refused:?}");
        assert_eq!(bench.get(SET).await.unwrap()["spec"]["replicas"], 3);
    })
    .await;
}

async fn a_cut_is_resolved_by_asking(bench: Bench) {
    with_three_nodes(&bench, async |bench| {
        let before = bench.step("k8s.scale", inputs(4));
        let intent = before.plan().await.intent;
        bench.cluster.cut("PATCH */rabbitmqclusters/queues", Cut::Before).await;
        let cut = before.apply(&intent).await;
        assert!(matches!(cut, Applied::Unknown { .. }), "{cut:?}");
        assert_eq!((before.verify(&intent).await, replicas(bench).await), (Verdict::Absent, json!(3)));
        bench.cluster.cut("PATCH */rabbitmqclusters/queues", Cut::After).await;
        let cut = before.apply(&intent).await;
        assert!(matches!(cut, Applied::Unknown { .. }), "{cut:?}");
        let verdict = before.verify(&intent).await;
        assert!(matches!(&verdict, Verdict::Present { outputs } if outputs["replicas"] == 4), "{verdict:?}");
        assert_eq!(replicas(bench).await, 4);
    })
    .await;
}

async fn what_somebody_else_set_meanwhile_is_left_alone(bench: Bench) {
    with_three_nodes(&bench, async |bench| {
        let step = bench.step("k8s.scale", inputs(5));
        let intent = step.plan().await.intent;
        bench.write(Method::PATCH, CLUSTER, "application/merge-patch+json", json!({ "spec": { "replicas": 7 } })).await;
        let refused = step.apply(&intent).await;
        let Applied::NotApplied { failure } = refused else { panic!("{refused:?}") };
        assert!(failure.message.contains("is 7: somebody else changed it from 3 to 7 meanwhile"), "{failure}");
        let verdict = step.verify(&intent).await;
        assert!(matches!(&verdict, Verdict::CannotTell { reason } if reason.contains("neither 3 as before nor 5 as wanted")), "{verdict:?}");
        assert_eq!(replicas(bench).await, 7);
        // Deleted and made anew, it is another's.
        bench.make_anew(CLUSTER).await;
        let refused = step.apply(&intent).await;
        assert!(matches!(&refused, Applied::NotApplied { failure } if failure.message.contains("is not the one that this step was planned for")), "{refused:?}");
    })
    .await;
}

/// The queues that the environment's API tells of are of no such cluster, or it names no API at all.
async fn fewer_nodes_are_refused_where_nobody_can_tell(bench: Bench) {
    with_three_nodes(&bench, async |bench| {
        let refused = bench.step("k8s.scale", inputs(1)).try_plan().await.unwrap_err();
        assert!(
            refused.message.contains("is not made smaller: whether its quorum queues would keep a majority cannot be told: "),
            "{refused}"
        );
        assert_eq!(replicas(bench).await, 3);
        let gone =
            bench.step("k8s.scale", json!({ "workload": "rabbitmqcluster/there-is-none", "replicas": 1 })).try_plan().await.unwrap_err();
        assert!(gone.message.contains("there is no rabbitmqcluster/there-is-none"), "{gone}");
    })
    .await;
}

on_both!(
    the_cluster_is_scaled_once_and_kept,
    its_stateful_set_is_refused_by_name,
    a_cut_is_resolved_by_asking,
    what_somebody_else_set_meanwhile_is_left_alone,
    fewer_nodes_are_refused_where_nobody_can_tell,
);

/// The sandbox's own RabbitMQ, whose queue has three members on its three nodes.
#[tokio::test(flavor = "multi_thread")]
async fn fewer_nodes_are_refused_where_a_queue_would_lose_its_majority() {
    let bench = Bench::sandbox().await;
    let scaled = |replicas: u32| json!({ "workload": "rabbitmqcluster/rabbitmq", "namespace": "messaging", "replicas": replicas });
    let more = bench.step("k8s.scale", scaled(5));
    let intent = more.plan().await.intent;
    assert!(matches!(more.apply(&intent).await, Applied::Applied { .. }));
    bench.until("five nodes are ready", || async { (more.observe().await.unwrap()["ready_replicas"] == 5).then_some(()) }).await;
    let refused = bench.step("k8s.scale", scaled(1)).try_plan().await.unwrap_err();
    let message = "rabbitmqcluster/rabbitmq in namespace messaging is not made smaller: with 1 nodes 1 of 1 quorum queues would lose their majority: \
                   /ticket-purchases (1 of 3 members would be left)";
    assert_eq!(refused.message, message);
    let fewer = bench.step("k8s.scale", scaled(3));
    let intent = fewer.plan().await.intent;
    let applied = fewer.apply(&intent).await;
    assert!(matches!(applied, Applied::Applied { .. }), "the new nodes hold no member: {applied:?}");
}
