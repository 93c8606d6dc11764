//! Leases against a stand-in for the API: promise 5 between machines.

mod rights;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::stand_in::{Fault, StandIn};
use super::{LeaseCluster, LeaseLocks, Terms, boot_clock};
use crate::engine::lock_files::FileLocks;
use crate::model::change::ObjectRef;
use crate::ports::lock::{Attempt, Guard, Hold, LockError, Locks};

/// Long enough that nothing is renewed by itself within a test.
const LONG: Duration = Duration::from_secs(60);

fn object() -> ObjectRef {
    ObjectRef("k8s:0b5c/production/deployment/ticket-service".to_owned())
}

/// A process on a machine: its folder of locks is the machine.
struct Process {
    locks: LeaseLocks,
    ahead: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Process {
    fn on(machine: &TempDir, cluster: &StandIn, duration: Duration) -> Self {
        let (ahead, told) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (system, more, lines) = (boot_clock(), Arc::clone(&ahead), Arc::clone(&told));
        let terms = Terms::new(duration, Arc::new(move || system() + Duration::from_millis(more.load(Ordering::SeqCst))));
        let at = LeaseCluster { uid: "0b5c".into(), namespace: "default".into(), connections: Arc::clone(&cluster.connections) };
        let tell = Arc::new(move |line: &str| lines.lock().unwrap().push(line.to_owned()));
        Self { locks: LeaseLocks::new(FileLocks::new(machine.path()), at, terms, Handle::current(), tell), ahead, told }
    }

    /// Time that this process does not see pass: its machine sleeps.
    fn sleeps(&self, time: Duration) {
        self.ahead.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    async fn attempt(&self, holder: &str) -> Result<Attempt, LockError> {
        self.locks.try_lock(&object(), holder).await
    }

    #[track_caller]
    fn take(&self, holder: &str) -> impl Future<Output = Box<dyn Guard>> {
        let at = std::panic::Location::caller();
        async move {
            match self.attempt(holder).await {
                Ok(Attempt::Taken(guard)) => guard,
                Ok(Attempt::Held { by }) => panic!("{at}: held by {by}"),
                Err(error) => panic!("{at}: {error}"),
            }
        }
    }

    #[track_caller]
    fn held_by(&self) -> impl Future<Output = String> {
        let at = std::panic::Location::caller();
        async move {
            match self.attempt("one who waits").await {
                Ok(Attempt::Held { by }) => by,
                Ok(Attempt::Taken(_)) => panic!("{at}: it is taken"),
                Err(error) => panic!("{at}: {error}"),
            }
        }
    }
}

fn machine() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[track_caller]
fn until(what: &'static str, is: impl Fn() -> bool) -> impl Future<Output = ()> {
    let at = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is() {
            assert!(Instant::now() < deadline, "{at}: waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn promise_5_one_machine_at_a_time_and_the_other_is_told_who() {
    let (cluster, here, there) = (StandIn::start().await, machine(), machine());
    let (first, second) = (Process::on(&here, &cluster, LONG), Process::on(&there, &cluster, LONG));
    let guard = first.take("run 3fa9c1d2\nof pre-event").await;
    assert_eq!(guard.hold(), Hold::Firm);
    let lease = cluster.lease().unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "run 3fa9c1d2 of pre-event");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 60);
    assert_eq!(lease["metadata"]["annotations"]["runsheet/object"], object().0);
    assert_eq!(
        second.held_by().await,
        "run 3fa9c1d2 of pre-event, on another machine (if that is dead, whoever waits with `--wait` has it in 60 s)"
    );
    // The second's own file was let go of: the machine's lock is not kept by one who waits.
    assert!(second.held_by().await.starts_with("run 3fa9c1d2 of pre-event, on another machine"));
    guard.release().await;
    assert_eq!(cluster.lease(), None, "nothing is left behind");
    second.sleeps(Duration::from_secs(3));
    second.take("run 2").await.release().await;
    assert_eq!(cluster.lease(), None);
}

#[tokio::test]
async fn of_many_at_once_one_has_it() {
    let cluster = StandIn::start().await;
    let machines: Vec<TempDir> = (0..8).map(|_| machine()).collect();
    let processes: Vec<Process> = machines.iter().map(|machine| Process::on(machine, &cluster, LONG)).collect();
    let attempts = futures::future::join_all(processes.iter().map(|process| process.attempt("one of many"))).await;
    let taken = attempts.iter().filter(|attempt| matches!(attempt, Ok(Attempt::Taken(_)))).count();
    assert_eq!((taken, attempts.iter().filter(|attempt| attempt.is_err()).count()), (1, 0));
}

#[tokio::test]
async fn who_was_quicker_at_making_it_or_taking_it_over_has_it() {
    let (cluster, here) = (StandIn::start().await, machine());
    let process = Process::on(&here, &cluster, LONG);
    cluster.fault(Method::POST, Fault::TakenBy("run 2 on web-2"));
    assert!(process.held_by().await.starts_with("run 2 on web-2, on another machine"));
    // It has run out, and another is quicker at taking it over.
    process.sleeps(LONG);
    cluster.fault(Method::PUT, Fault::TakenBy("run 3 on web-3"));
    assert!(process.held_by().await.starts_with("run 3 on web-3, on another machine"));
    assert_eq!(cluster.lease().unwrap()["spec"]["holderIdentity"], "run 3 on web-3");
}

#[tokio::test]
async fn a_dead_process_of_this_machine_is_followed_at_once_and_one_of_another_is_not() {
    let (cluster, here, there) = (StandIn::start().await, machine(), machine());
    let dead = Process::on(&here, &cluster, LONG);
    let guard = dead.take("run 1").await;
    let lease = cluster.lease().unwrap();
    guard.release().await;
    // As a kill leaves it: the file is free, the Lease is there.
    cluster.put(lease);
    let by = Process::on(&there, &cluster, LONG).held_by().await;
    assert!(by.starts_with("run 1, on another machine"), "{by}");
    let guard = Process::on(&here, &cluster, LONG).take("run 1 again").await;
    let lease = cluster.lease().unwrap();
    assert_eq!((&lease["spec"]["holderIdentity"], &lease["spec"]["leaseTransitions"]), (&json!("run 1 again"), &json!(1)));
    guard.release().await;
    // Without a machine's word on its start and its file, nothing is proved.
    let mut unknown = lease;
    unknown["metadata"]["annotations"]["runsheet/lock-file"] = json!("");
    cluster.put(unknown);
    Process::on(&here, &cluster, LONG).held_by().await;
}

#[tokio::test]
async fn one_of_another_machine_is_taken_over_only_when_it_was_seen_unchanged_for_its_whole_duration() {
    let (cluster, here, there) = (StandIn::start().await, machine(), machine());
    let dead = Process::on(&here, &cluster, LONG);
    let guard = dead.take("run 1").await;
    let heir = Process::on(&there, &cluster, LONG);
    // Its own clock says that it ran out long ago: whose clock is right is not known.
    cluster.change(|lease| lease["spec"]["renewTime"] = json!("2020-01-01T00:00:00.000000Z"));
    heir.held_by().await;
    heir.sleeps(Duration::from_secs(50));
    let by = heir.held_by().await;
    let left: u64 = by.rsplit(' ').nth(1).unwrap().parse().unwrap();
    assert!(by.contains("whoever waits with `--wait` has it in") && (5..=10).contains(&left), "{by}");
    // It is renewed: the time begins anew.
    cluster.change(|lease| lease["spec"]["renewTime"] = json!("2020-01-01T00:01:00.000000Z"));
    heir.sleeps(Duration::from_secs(59));
    heir.held_by().await;
    heir.sleeps(Duration::from_secs(59));
    heir.held_by().await;
    heir.sleeps(Duration::from_secs(2));
    let _inherited = heir.take("run 2").await;
    assert_eq!(cluster.lease().unwrap()["spec"]["holderIdentity"], "run 2");
    // The first wakes up: it is told before it does anything, and takes nothing from its heir.
    dead.sleeps(LONG);
    assert!(matches!(guard.hold(), Hold::Doubtful { .. }));
    until("the first knows", || guard.hold() == Hold::Lost { why: "run 2 has taken it over".into() }).await;
    guard.release().await;
    assert_eq!(cluster.lease().unwrap()["spec"]["holderIdentity"], "run 2");
}

#[tokio::test]
async fn a_lease_that_is_deleted_or_made_anew_is_lost_for_good() {
    let (cluster, here) = (StandIn::start().await, machine());
    let process = Process::on(&here, &cluster, LONG);
    let guard = process.take("run 1").await;
    let lease = cluster.lease().unwrap();
    cluster.delete();
    process.sleeps(LONG);
    let why = || match guard.hold() {
        Hold::Lost { why } => why,
        Hold::Firm | Hold::Doubtful { .. } => String::new(),
    };
    until("it is lost", || why().contains("is gone: somebody else has had it")).await;
    cluster.put(lease);
    process.sleeps(LONG);
    assert!(why().contains("is gone: somebody else has had it"), "it does not come back");
}

#[tokio::test]
async fn it_is_renewed_by_itself_and_a_machine_that_slept_asks_before_it_goes_on() {
    let (cluster, here) = (StandIn::start().await, machine());
    let quick = Process::on(&here, &cluster, Duration::from_millis(300));
    let guard = quick.take("run 1").await;
    let first = cluster.lease().unwrap();
    until("it is renewed twice", || {
        let now: u64 = cluster.lease().unwrap()["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        now >= first["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() + 2
    })
    .await;
    let now = cluster.lease().unwrap();
    assert_eq!(now["spec"]["acquireTime"], first["spec"]["acquireTime"]);
    assert_ne!(now["spec"]["renewTime"], first["spec"]["renewTime"]);
    guard.release().await;

    let slow = Process::on(&here, &cluster, LONG);
    let guard = slow.take("run 1").await;
    slow.sleeps(Duration::from_secs(49));
    assert_eq!(guard.hold(), Hold::Firm, "it outlasts a request still");
    slow.sleeps(Duration::from_secs(2));
    assert!(matches!(guard.hold(), Hold::Doubtful { .. }), "a request of ten seconds could outlast it");
    until("it is renewed because it is needed", || guard.hold() == Hold::Firm).await;
}

#[tokio::test]
async fn a_renewal_that_fails_puts_it_in_doubt_until_one_succeeds() {
    let (cluster, here) = (StandIn::start().await, machine());
    // It is tried again after a hundred milliseconds.
    let process = Process::on(&here, &cluster, Duration::from_millis(1200));
    for (fault, said) in [
        (Fault::Refuse(503), "status 503"),
        (Fault::Refuse(403), "forbidden (403)"),
        (Fault::Refuse(429), "status 429"),
        (Fault::CutBefore, "was cut"),
    ] {
        let guard = process.take("run 1").await;
        cluster.breaks(Method::PUT, fault.clone());
        process.sleeps(LONG);
        until("it is told why", || matches!(guard.hold(), Hold::Doubtful { why } if why.contains(said))).await;
        cluster.heal();
        until("it is firm again", || guard.hold() == Hold::Firm).await;
        guard.release().await;
    }
    // The renewal arrived, and its answer did not: it is ours all the same.
    let guard = process.take("run 1").await;
    cluster.fault(Method::PUT, Fault::CutAfter);
    process.sleeps(LONG);
    assert!(matches!(guard.hold(), Hold::Doubtful { .. }));
    until("it is firm again", || guard.hold() == Hold::Firm).await;
    // Somebody puts a label on it: it is ours all the same.
    cluster.change(|lease| lease["metadata"]["labels"]["seen-by"] = json!("ana"));
    process.sleeps(LONG);
    assert!(matches!(guard.hold(), Hold::Doubtful { .. }));
    until("it is firm again", || guard.hold() == Hold::Firm).await;
    guard.release().await;
    assert_eq!(cluster.lease(), None);
}

#[tokio::test]
async fn without_the_permission_it_is_this_machines_lock_and_that_is_said_once() {
    let (cluster, here, there) = (StandIn::start().await, machine(), machine());
    let process = Process::on(&here, &cluster, LONG);
    cluster.breaks(Method::POST, Fault::Refuse(403));
    let guard = process.take("run 1").await;
    assert_eq!(guard.hold(), Hold::Firm);
    let asked = cluster.asked();
    let other = ObjectRef("k8s:0b5c/production/deployment/other".to_owned());
    let Ok(Attempt::Taken(_)) = process.locks.try_lock(&other, "run 1").await else { panic!("it is free") };
    assert_eq!(cluster.asked(), asked + 1, "it is looked at, and not asked for again");
    assert_eq!(
        *process.told.lock().unwrap(),
        [
            "locks hold on this machine only: the account may not create leases in namespace production (allow it `get`, `create`, `update` and `delete` on \
          `leases` of `coordination.k8s.io`): it is refused"
        ]
    );
    let neighbour = Process::on(&here, &cluster, LONG);
    assert_eq!(neighbour.held_by().await, "run 1", "the machine's lock holds");
    // A cluster without the API.
    cluster.heal();
    cluster.breaks(Method::POST, Fault::Refuse(404));
    let elsewhere = Process::on(&there, &cluster, LONG);
    elsewhere.take("run 2").await.release().await;
    assert_eq!(*elsewhere.told.lock().unwrap(), ["locks hold on this machine only: the cluster has no leases (`coordination.k8s.io/v1`)"]);
}

#[tokio::test]
async fn an_account_that_may_make_none_respects_one_that_is_there() {
    let (cluster, here, there) = (StandIn::start().await, machine(), machine());
    let _guard = Process::on(&here, &cluster, LONG).take("run 1").await;
    let process = Process::on(&there, &cluster, LONG);
    cluster.breaks(Method::POST, Fault::Refuse(403));
    assert!(process.held_by().await.starts_with("run 1, on another machine"));
    assert!(process.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_a_server_forbids_that_has_just_been_started_takes_no_lock_away() {
    let (cluster, here) = (StandIn::start().await, machine());
    let process = Process::on(&here, &cluster, LONG);
    cluster.breaks(Method::POST, Fault::Refuse(403));
    cluster.held.lock().unwrap().starting = true;
    let object = ObjectRef("k8s:0b5c/production/deployment/ticket-service".to_owned());
    let error = process.locks.try_lock(&object, "run 1").await.err().expect("nobody knows whose it is");
    assert!(error.to_string().contains("does not say that it is ready (403)"), "{error}");
    assert!(process.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_lease_that_may_not_be_read_is_not_passed_over_and_one_that_may_not_be_taken_over_is_said() {
    let (cluster, here, there) = (StandIn::start().await, machine(), machine());
    let _guard = Process::on(&here, &cluster, LONG).take("run 1").await;
    let process = Process::on(&there, &cluster, LONG);
    cluster.breaks(Method::GET, Fault::Refuse(403));
    assert!(process.held_by().await.contains("may not read (allow it `get` on `leases`)"));
    cluster.heal();
    process.held_by().await;
    cluster.breaks(Method::PUT, Fault::Refuse(403));
    process.sleeps(LONG);
    process.take("run 2").await.release().await;
    assert!(process.told.lock().unwrap()[0].contains("may not update leases in namespace production"));
}

#[tokio::test]
async fn an_answer_that_is_lost_loses_no_lease_and_leaves_none() {
    let (cluster, here) = (StandIn::start().await, machine());
    for (fault, delete) in
        [(Fault::CutAfter, Fault::CutAfter), (Fault::CutBefore, Fault::CutBefore), (Fault::Refuse(500), Fault::Refuse(500))]
    {
        let process = Process::on(&here, &cluster, LONG);
        cluster.fault(Method::POST, fault);
        let guard = process.take("run 1").await;
        assert!(cluster.lease().is_some() && guard.hold() == Hold::Firm);
        cluster.fault(Method::DELETE, delete);
        guard.release().await;
        assert_eq!(cluster.lease(), None);
    }
}

#[tokio::test]
async fn what_is_dropped_or_taken_for_nobody_is_given_back() {
    let (cluster, here) = (StandIn::start().await, machine());
    let process = Process::on(&here, &cluster, LONG);
    drop(process.take("run 1").await);
    until("it is given back", || cluster.lease().is_none()).await;
    // A task that is cut off while it takes one.
    let mut taking = Box::pin(process.attempt("run 1"));
    let asked = cluster.asked();
    until("the machine's lock is free", || {
        process.locks.files.try_file(&object(), "me").is_ok_and(|file| matches!(file, crate::engine::lock_files::FileAttempt::Taken(_)))
    })
    .await;
    assert!(futures::poll!(&mut taking).is_pending());
    drop(taking);
    until("it was asked for", || cluster.asked() > asked).await;
    until("it is given back", || cluster.lease().is_none()).await;
    // Its file too, last of all.
    until("the machine's lock is free", || {
        process.locks.files.try_file(&object(), "me").is_ok_and(|file| matches!(file, crate::engine::lock_files::FileAttempt::Taken(_)))
    })
    .await;
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_refuses_in_words() {
    let here = machine();
    let cluster = StandIn::start().await;
    cluster.breaks(Method::POST, Fault::Refuse(401));
    let process = Process::on(&here, &cluster, LONG);
    let error = process.attempt("run 1").await.err().expect("it is refused");
    assert!(error.is_of_target() && error.hint.contains("readyz"), "{error:?}");
    let said = error.to_string();
    assert!(
        said.contains("the lock on k8s:0b5c/production/deployment/ticket-service cannot be taken: Lease production/runsheet-deployment-"),
        "{said}"
    );
    assert!(said.ends_with("answered with status 401: it is refused"), "{said}");
    cluster.heal();
    cluster.breaks(Method::POST, Fault::CutBefore);
    let error = process.attempt("run 1").await.err().expect("it is refused");
    assert!(error.to_string().contains("cut"), "{error}");
}

#[tokio::test]
async fn what_is_not_of_this_cluster_is_locked_on_this_machine() {
    let (cluster, here) = (StandIn::start().await, machine());
    let process = Process::on(&here, &cluster, LONG);
    for object in ["k8s:other/production/deployment/x", "http:api/x"] {
        let Ok(Attempt::Taken(_)) = process.locks.try_lock(&ObjectRef(object.to_owned()), "me").await else { panic!("it is free") };
    }
    assert_eq!(cluster.asked(), 0);
    assert_eq!(Value::Null, cluster.lease().unwrap_or_default());
}
