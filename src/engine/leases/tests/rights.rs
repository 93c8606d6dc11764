//! An account that may write no Leases still sees those of others, each time.

use super::*;

fn another() -> ObjectRef {
    ObjectRef("k8s:0b5c/production/hpa/ticket-service".to_owned())
}

#[tokio::test]
async fn an_account_that_may_make_none_respects_each_that_is_there_and_not_the_first_alone() {
    let (cluster, here, there) = (StandIn::start().await, machine(), machine());
    let other = Process::on(&here, &cluster, LONG);
    let process = Process::on(&there, &cluster, LONG);
    cluster.breaks(Method::POST, Fault::Refuse(403));
    let _first = process.take("run 1").await;
    assert_eq!(process.told.lock().unwrap().len(), 1);
    cluster.heal();
    let Ok(Attempt::Taken(held)) = other.locks.try_lock(&another(), "run 2").await else { panic!("it is free") };
    cluster.breaks(Method::POST, Fault::Refuse(403));
    let Ok(Attempt::Held { by }) = process.locks.try_lock(&another(), "run 1").await else { panic!("two have it") };
    assert!(by.starts_with("run 2, on another machine"), "{by}");
    held.release().await;
    process.sleeps(Duration::from_secs(5));
    let Ok(Attempt::Taken(_)) = process.locks.try_lock(&another(), "run 1").await else { panic!("it was given back") };
    assert_eq!(process.told.lock().unwrap().len(), 1, "it is said once");
}

#[tokio::test]
async fn where_nobody_knows_whether_there_is_one_nothing_is_taken() {
    let (cluster, here) = (StandIn::start().await, machine());
    cluster.breaks(Method::POST, Fault::Refuse(403));
    cluster.breaks(Method::GET, Fault::Refuse(500));
    let error = Process::on(&here, &cluster, LONG).attempt("run 1").await.err().expect("it is refused");
    assert!(error.is_of_target() && error.to_string().contains("status 500"), "{error}");
}
