//! Watches.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use std::pin::pin;

use super::super::Options;
use super::{Sandbox, eventually, options};

fn version(event: &WatchEvent<Deployment>) -> Option<i32> {
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => object.spec.replicas,
        _ => None,
    }
}

#[tokio::test]
async fn a_watch_shows_what_is_there_and_then_each_change() {
    let sandbox = Sandbox::start().await;
    let mut events = sandbox.deployments().watch(&WatchParams::default().timeout(20), "0").await.unwrap().boxed();
    assert_eq!(version(&events.try_next().await.unwrap().unwrap()), Some(2));
    sandbox.scale(3).await.unwrap();
    assert_eq!(version(&events.try_next().await.unwrap().unwrap()), Some(3));
}

#[tokio::test]
async fn a_watch_goes_on_from_a_version_without_repeating() {
    let sandbox = Sandbox::start().await;
    let from = sandbox.deployments().get("ticket-service").await.unwrap().metadata.resource_version.unwrap();
    sandbox.scale(3).await.unwrap();
    let mut events = sandbox.deployments().watch(&WatchParams::default().timeout(20), &from).await.unwrap().boxed();
    assert_eq!(version(&events.try_next().await.unwrap().unwrap()), Some(3));
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_over() {
    let sandbox = Sandbox::start().await;
    let events = sandbox.deployments().watch(&WatchParams::default().timeout(1), "0").await.unwrap();
    let events: Vec<_> = events.try_collect().await.unwrap();
    assert!(matches!(events.first(), Some(WatchEvent::Added(_))), "{events:?}");
    assert!(matches!(events.last(), Some(WatchEvent::Bookmark(_))), "{events:?}");
}

#[tokio::test]
async fn a_version_that_is_too_old_is_gone() {
    let sandbox = Sandbox::with(Options { history: 4, ..options() }).await;
    let old = sandbox.deployments().get("ticket-service").await.unwrap().metadata.resource_version.unwrap();
    for replicas in 3..8 {
        sandbox.scale(replicas).await.unwrap();
    }
    let mut events = sandbox.deployments().watch(&WatchParams::default().timeout(20), &old).await.unwrap().boxed();
    match events.try_next().await.unwrap().unwrap() {
        WatchEvent::Error(error) => assert_eq!((error.code, error.reason.as_str()), (410, "Expired")),
        other => panic!("not an error: {other:?}"),
    }
    assert!(events.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_reset_tells_open_watches_to_begin_anew() {
    let sandbox = Sandbox::start().await;
    let mut events = sandbox.deployments().watch(&WatchParams::default().timeout(20), "0").await.unwrap().boxed();
    events.try_next().await.unwrap().unwrap();
    super::super::reset(sandbox.path()).await.unwrap();
    assert!(matches!(events.try_next().await.unwrap().unwrap(), WatchEvent::Error(error) if error.code == 410));
}

#[tokio::test]
async fn kubes_watcher_follows_over_a_scale_and_a_streamed_list() {
    let sandbox = Sandbox::start().await;
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        sandbox.scale(2).await.unwrap();
        let mut seen = pin!(watcher(sandbox.deployments(), config).applied_objects());
        let ready = |object: &Deployment| object.status.as_ref().and_then(|status| status.ready_replicas);
        while ready(&seen.try_next().await.unwrap().unwrap()) != Some(2) {}
        sandbox.scale(4).await.unwrap();
        while ready(&seen.try_next().await.unwrap().unwrap()) != Some(4) {}
    }
    eventually("the watches to be closed", || async {
        super::super::status(sandbox.path()).await.unwrap().live.unwrap().overview.watches == 0
    })
    .await;
}
