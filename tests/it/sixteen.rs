//! All sixteen playbooks of the repository, in the sandbox, by one command (`tests/run --test it sixteen::`): each ends well, and its rollback leaves the
//! sandbox as it was before, object by object, but for what is kept for good, which is named.

use std::collections::BTreeSet;

use super::playbooks_rabbitmq;
use super::support::{EVENT, Stage, in_parallel};

/// Of the playbook that needs k6.
const WITH_K6: &str = "capacity-test";
/// What the rollback of `scale-database` keeps.
const REPLICA: [&str; 2] = ["aws/rds/ticket-db-replica-2 is new", "aws/rds/ticket-db.ReadReplicaDBInstanceIdentifiers"];
/// How many times faster than usual the sandbox is.
const SPEED: u32 = 200;

/// A playbook, how it is run, and what its rollback keeps.
struct Way {
    playbook: &'static str,
    /// Its parameters; `NAME=@5` is the time in five seconds.
    params: Vec<String>,
    /// What is run before it, and is given back with it.
    first: Option<&'static str>,
    /// What the differences that stay begin with.
    kept: &'static [&'static str],
}

fn way(playbook: &'static str, params: &[&str]) -> Way {
    Way { playbook, params: params.iter().map(|param| (*param).to_owned()).collect(), first: None, kept: &[] }
}

/// The parameter with its time.
fn timed(param: &str) -> String {
    let Some((name, seconds)) = param.split_once("=@") else { return param.to_owned() };
    let seconds: i64 = seconds.parse().expect("seconds");
    format!("{name}={}", jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + seconds).expect("a time"))
}

fn ways() -> Vec<Way> {
    let event = format!("event_id={EVENT}");
    vec![
        way("event-day", &[&event, "starts_at=@1", "ends_at=@12", "rest=1s"]),
        way("pre-event", &[&event]),
        way("during-event", &[&event, "until=@3"]),
        Way { first: Some("pre-event"), ..way("after-event", &[&event]) },
        way("scale", &["replicas=6"]),
        way("pool-size", &["pool_size=12"]),
        way("autoscale-hpa", &["max=7"]),
        way("autoscale-keda", &["max=7"]),
        way("resize", &[]),
        way("scale-redis", &["node_type=cache.r6g.xlarge"]),
        Way { kept: &playbooks_rabbitmq::KEPT, ..way("scale-rabbitmq", &["interval=100ms"]) },
        Way { kept: &REPLICA, ..way("scale-database", &[]) },
        way("diagnose-pods", &[]),
        way("diagnose-load", &[]),
        way("diagnose-connections", &[]),
    ]
}

/// The names of the repository's playbooks.
fn repository() -> BTreeSet<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let files = std::fs::read_dir(folder).expect("the playbooks").map(|entry| entry.expect("a file").path());
    let yaml = files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    yaml.map(|file| file.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

/// Runs it and takes it back.
#[track_caller]
pub fn there_and_back(stage: &Stage, playbook: &str, params: &[String], first: Option<&str>, kept: &[&str]) {
    let before = stage.objects();
    let words = |playbook: &str, params: &[String]| {
        let mut words = ["run", playbook, "--yes", "--watch"].map(str::to_owned).to_vec();
        words.extend(params.iter().flat_map(|param| ["-p".to_owned(), param.clone()]));
        words
    };
    let params: Vec<String> = params.iter().map(|param| timed(param)).collect();
    if let Some(first) = first {
        stage.run(&words(first, &params)).code(0);
    }
    stage.run(&words(playbook, &params)).code(0);
    let run = stage.latest_run();
    assert_eq!(stage.status_json()["status"], "succeeded", "{playbook}: {}", stage.run(&["status"]));
    let back = stage.run(&["rollback", &run, "--yes"]);
    if back.code == Some(6) {
        back.stderr_has("nothing that it did is left to be taken back");
    } else {
        back.code(0);
        assert_eq!(stage.status_json()["status"], "rolled_back", "{playbook}: {}", stage.run(&["status"]));
    }
    stage.assert_as_before_but(&before, kept, playbook);
}

#[test]
fn promise_3_each_playbook_ends_well_and_its_rollback_leaves_what_was_there() {
    let ways = ways();
    let mut named: BTreeSet<String> = ways.iter().map(|way| way.playbook.to_owned()).collect();
    named.insert(WITH_K6.to_owned());
    assert_eq!((named.len(), &named), (16, &repository()), "each playbook of the repository has its way here");
    in_parallel(4, &ways, |Way { playbook, params, first, kept }| {
        // With all that it calls.
        let all = repository();
        let stage =
            all.iter().filter(|name| *name != WITH_K6).fold(Stage::new(), |stage, name| stage.repository_playbook(name)).sandbox(SPEED);
        there_and_back(&stage, playbook, params, *first, kept);
    });
}

mod real_k6 {
    use super::{WITH_K6, there_and_back};

    #[test]
    fn promise_3_the_capacity_test_ends_well_and_its_rollback_leaves_what_was_there() {
        let params = ["percent=4", "hold=1s", "p95_ms=60000", "failed_share=0.5"].map(str::to_owned);
        there_and_back(&crate::real_k6::stage(), WITH_K6, &params, None, &[]);
    }
}
