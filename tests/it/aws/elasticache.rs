//! Node types and replicas.

use runsheet::model::outcome::{Applied, Verdict};
use serde_json::{Value, json};

use crate::support::real::AwsFault;
use crate::support::{AwsBench, Runs, Step, on_all};

const MODIFY: &str = "aws.elasticache.modify_replication_group";
const REPLICAS: &str = "aws.elasticache.replica_count";

on_all! {
    sandbox: a_node_type_is_changed_once_and_given_back, a_change_that_only_waits_for_its_window_is_pending_and_can_be_taken_back,
        a_change_is_never_taken_for_done_while_it_is_under_way, a_change_that_was_cut_is_found_by_asking, what_cannot_be_is_refused_before_anything_is_sent,
        replicas_are_added_once_and_the_same_ones_go_again, a_change_of_the_replicas_that_was_cut_is_found_by_asking;
    moto: a_node_type_is_changed_once_and_given_back, a_change_is_never_taken_for_done_while_it_is_under_way, a_change_that_was_cut_is_found_by_asking,
        what_cannot_be_is_refused_before_anything_is_sent;
    ministack: a_node_type_is_changed_once_and_given_back, a_change_is_never_taken_for_done_while_it_is_under_way, a_change_that_was_cut_is_found_by_asking,
        what_cannot_be_is_refused_before_anything_is_sent, replicas_are_added_once_and_the_same_ones_go_again,
        a_change_of_the_replicas_that_was_cut_is_found_by_asking;
}

fn to(bench: &AwsBench, node_type: &str) -> Step {
    bench.step(MODIFY, json!({ "replication_group": bench.group, "node_type": node_type, "within": "15s" }))
}

fn replicas(bench: &AwsBench, count: u32) -> Step {
    bench.step(REPLICAS, json!({ "replication_group": bench.group, "replicas": count, "within": "15s" }))
}

async fn node_type(bench: &AwsBench) -> String {
    bench.aws.replication_group(&bench.group).await.unwrap().unwrap().node_type
}

async fn a_node_type_is_changed_once_and_given_back(bench: AwsBench) {
    bench.slow();
    let step = to(&bench, "cache.r6g.large");
    let plan = step.plan().await;
    let object = &plan.intent.changes[0].object.0;
    assert!(object.starts_with("aws:") && object.ends_with(&format!(":eu-central-1/elasticache/{}", bench.group)), "{object}");
    let outputs = step.applied(&plan.intent).await;
    assert_eq!(
        (&outputs["node_type"], &outputs["previous_node_type"], &outputs["pending"]),
        (&json!("cache.r6g.large"), &json!("cache.t4g.medium"), &json!(false))
    );
    assert_eq!(node_type(&bench).await, "cache.r6g.large");
    // Twice in a row: nothing is sent the second time, by the same step or another.
    step.applied(&plan.intent).await;
    assert_eq!(to(&bench, "cache.r6g.large").plan().await.unchanged.expect("it is there")["node_type"], "cache.r6g.large");
    assert_eq!(bench.changes("ModifyReplicationGroup"), 1);
    assert_eq!(step.verify(&plan.intent).await, Verdict::Present { outputs });
    // And back, twice as well.
    assert_eq!(step.live(&plan.intent).await, [Some(json!("cache.r6g.large"))]);
    for _ in 0..2 {
        assert!(matches!(step.revert(&plan.intent).await, Applied::Applied { .. }));
        step.until_followed(&plan.intent).await;
    }
    assert_eq!((node_type(&bench).await.as_str(), bench.changes("ModifyReplicationGroup")), ("cache.t4g.medium", 2));
    assert_eq!(step.live(&plan.intent).await, [Some(json!("cache.t4g.medium"))]);
}

async fn a_change_that_only_waits_for_its_window_is_pending_and_can_be_taken_back(bench: AwsBench) {
    let step = bench.step(MODIFY, json!({ "replication_group": bench.group, "node_type": "cache.r6g.large", "apply_immediately": false }));
    let plan = step.plan().await;
    let outputs = step.applied(&plan.intent).await;
    let told = (&outputs["node_type"], &outputs["pending"], &outputs["maintenance_window"]);
    assert_eq!(told, (&json!("cache.t4g.medium"), &json!(true), &json!("sun:05:00-sun:06:00")));
    assert!(bench.log.text().contains("nothing changes before"), "{}", bench.log.text());
    assert!(matches!(step.verify(&plan.intent).await, Verdict::Present { .. }));
    // Whoever wants it at once is told that it waits, and whoever wants another is refused.
    for (wanted, immediately) in [("cache.r6g.large", true), ("cache.r6g.xlarge", true), ("cache.r6g.xlarge", false)] {
        let inputs = json!({ "replication_group": bench.group, "node_type": wanted, "apply_immediately": immediately });
        let failure = bench.step(MODIFY, inputs).try_plan().await.expect_err("something waits");
        assert!(failure.message.contains("a change to cache.r6g.large waits for its maintenance window"), "{failure}");
    }
    let same = bench.step(MODIFY, json!({ "replication_group": bench.group, "node_type": "cache.r6g.large", "apply_immediately": false }));
    assert_eq!(same.plan().await.unchanged.expect("it waits already")["pending"], true);
    assert_eq!(step.live(&plan.intent).await, [Some(json!("cache.r6g.large"))], "what waits is ours");
    assert!(matches!(step.revert(&plan.intent).await, Applied::Applied { .. }));
    step.until_followed(&plan.intent).await;
    let group = bench.aws.replication_group(&bench.group).await.unwrap().unwrap();
    assert!(group.members.iter().all(|member| member.pending_node_type.is_none()), "{group:?}");
}

async fn a_change_is_never_taken_for_done_while_it_is_under_way(bench: AwsBench) {
    bench.slow();
    let step = to(&bench, "cache.r6g.large");
    let intent = step.plan().await.intent;
    bench.aws.modify_node_type(&bench.group, "cache.r6g.large", true).await.unwrap();
    // It is `available` for a while, and what tells is what waits at the members.
    let first = step.observe().await.unwrap();
    assert_eq!(
        (&first["status"], &first["settled"], &first["pending_node_type"]),
        (&json!("available"), &json!(false), &json!("cache.r6g.large"))
    );
    let verdict = step.verified(&intent).await;
    let Verdict::Present { outputs } = &verdict else { panic!("{verdict:?}") };
    assert_eq!(outputs["node_type"], "cache.r6g.large");
    assert_eq!(bench.changes("ModifyReplicationGroup"), 1, "asking sends nothing");
    let settled = step.observe().await.unwrap();
    assert_eq!((&settled["settled"], &settled["holds"]), (&json!(true), &Value::Null));
}

async fn a_change_that_was_cut_is_found_by_asking(bench: AwsBench) {
    bench.slow();
    let step = to(&bench, "cache.r6g.large");
    let intent = step.plan().await.intent;
    bench.fault("ModifyReplicationGroup", AwsFault::CutBefore).await;
    let applied = step.apply(&intent).await;
    assert!(matches!(&applied, Applied::Unknown { failure } if failure.transient), "{applied:?}");
    assert_eq!(step.verify(&intent).await, Verdict::Absent);
    bench.fault("ModifyReplicationGroup", AwsFault::CutAfter).await;
    let applied = step.apply(&intent).await;
    let Applied::Unknown { failure } = &applied else { panic!("{applied:?}") };
    assert!(failure.message.contains("elasticache:ModifyReplicationGroup") && !failure.message.contains("os error"), "{failure}");
    assert!(matches!(step.verified(&intent).await, Verdict::Present { .. }));
    let sent = bench.changes("ModifyReplicationGroup");
    step.applied(&intent).await;
    assert_eq!(bench.changes("ModifyReplicationGroup"), sent, "it is there, and is not asked for again");
    // The way back.
    bench.fault("ModifyReplicationGroup", AwsFault::CutAfter).await;
    assert!(matches!(step.revert(&intent).await, Applied::Unknown { .. }));
    step.until_followed(&intent).await;
    assert_eq!(step.live(&intent).await, [Some(json!("cache.t4g.medium"))]);
}

async fn what_cannot_be_is_refused_before_anything_is_sent(bench: AwsBench) {
    let failure = to(&bench, "cache.r7g.16xlarge").try_plan().await.expect_err("it is no type of this group");
    assert!(failure.message.contains("cannot be changed from cache.t4g.medium to cache.r7g.16xlarge"), "{failure}");
    assert!(failure.hint.as_deref().is_some_and(|hint| hint.contains("larger: ") && hint.contains("cache.r6g.large")), "{failure:?}");
    let missing = bench.step(MODIFY, json!({ "replication_group": "nobody", "node_type": "cache.r6g.large" }));
    let failure = missing.observe().await.expect_err("there is no such group");
    assert!(failure.message.contains("there is no replication group nobody in account") && !failure.transient, "{failure}");
    // moto makes groups without replicas.
    if bench.runs != Runs::Moto {
        let failure = replicas(&bench, 0).try_plan().await.expect_err("it fails over");
        assert!(failure.message.contains("at least 1 replica"), "{failure}");
    }
    for (inputs, part) in [
        (json!({ "replication_group": "Ticket_Redis", "node_type": "cache.r6g.large" }), "`replication_group` cannot be"),
        (json!({ "replication_group": "a", "node_type": "r6g.large" }), "`node_type` cannot be"),
        (json!({ "replication_group": "a", "node_type": "cache.r6g.large", "when": "now" }), "unknown field"),
    ] {
        let failure = bench.step(MODIFY, inputs).observe().await.expect_err("it does not fit");
        assert!(failure.message.contains(part), "{failure}");
    }
    assert_eq!(bench.changes("ModifyReplicationGroup") + bench.changes("DecreaseReplicaCount"), 0);
}

async fn replicas_are_added_once_and_the_same_ones_go_again(bench: AwsBench) {
    bench.slow();
    let members = async || -> Vec<String> {
        let group = bench.aws.replication_group(&bench.group).await.unwrap().unwrap();
        group.node_groups[0].members.iter().map(|(name, _)| name.clone()).collect()
    };
    let before = members().await;
    let step = replicas(&bench, 3);
    let plan = step.plan().await;
    let outputs = step.applied(&plan.intent).await;
    assert_eq!((&outputs["replicas"], &outputs["previous_replicas"]), (&json!(3), &json!(1)));
    step.applied(&plan.intent).await;
    assert!(replicas(&bench, 3).plan().await.unchanged.is_some());
    assert_eq!((members().await.len(), bench.changes("IncreaseReplicaCount")), (4, 1));
    assert_eq!(step.live(&plan.intent).await, [Some(json!(3))]);
    for _ in 0..2 {
        assert!(matches!(step.revert(&plan.intent).await, Applied::Applied { .. }));
        step.until_followed(&plan.intent).await;
    }
    assert_eq!((members().await, bench.changes("DecreaseReplicaCount")), (before, 1), "the added ones went");
}

async fn a_change_of_the_replicas_that_was_cut_is_found_by_asking(bench: AwsBench) {
    bench.slow();
    let step = replicas(&bench, 2);
    let intent = step.plan().await.intent;
    bench.fault("IncreaseReplicaCount", AwsFault::CutBefore).await;
    assert!(matches!(step.apply(&intent).await, Applied::Unknown { .. }));
    assert_eq!(step.verify(&intent).await, Verdict::Absent);
    bench.fault("IncreaseReplicaCount", AwsFault::CutAfter).await;
    assert!(matches!(step.apply(&intent).await, Applied::Unknown { .. }));
    let verdict = step.verified(&intent).await;
    let Verdict::Present { outputs } = &verdict else { panic!("{verdict:?}") };
    assert_eq!((&outputs["replicas"], outputs["members"].as_array().unwrap().len()), (&json!(2), 3));
}
