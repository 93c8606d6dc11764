//! The load, and the autoscaler that follows it.

use super::super::{Autoscaler, Options, load, reset, reset_with, status};
use super::{Sandbox, eventually};

#[tokio::test]
async fn the_autoscaler_follows_the_load_up_and_down_and_leaves_no_effect() {
    let options = Options { speed: 600.0, autoscaler: Autoscaler::Cpu, ..Options::default() };
    let sandbox = Sandbox::with(options).await;
    load::set(sandbox.path(), 1500.0).await.unwrap();
    let overview = status(sandbox.path()).await.unwrap().live.unwrap().overview;
    assert!(overview.load == 1500.0 && overview.deployments[1].starts_with("production/ticket-service-hpa 2..16"), "{overview:?}");
    eventually("nine ready pods", || async { sandbox.ready_replicas().await >= 9 }).await;
    load::set(sandbox.path(), 0.0).await.unwrap();
    eventually("two ready pods", || async { sandbox.ready_replicas().await == 2 }).await;
    assert!(sandbox.effects().is_empty());
}

#[tokio::test]
async fn a_reset_ends_the_load_and_chooses_the_autoscaler() {
    let sandbox = Sandbox::start().await;
    load::set(sandbox.path(), 100.0).await.unwrap();
    for (autoscaler, lines) in [(Autoscaler::Memory, 2), (Autoscaler::None, 1)] {
        reset_with(sandbox.path(), Some(autoscaler)).await.unwrap();
        let overview = status(sandbox.path()).await.unwrap().live.unwrap().overview;
        assert_eq!((overview.load, overview.deployments.len()), (0.0, lines));
    }
}

#[tokio::test]
async fn a_reset_that_names_no_autoscaler_goes_back_to_the_one_that_the_cluster_was_made_with() {
    let sandbox = Sandbox::with(Options { autoscaler: Autoscaler::Cpu, ..Options::default() }).await;
    let has = || async { status(sandbox.path()).await.unwrap().live.unwrap().overview };
    reset(sandbox.path()).await.unwrap();
    assert_eq!((has().await.autoscaler, has().await.deployments.len()), (Autoscaler::Cpu, 2));
    reset_with(sandbox.path(), Some(Autoscaler::None)).await.unwrap();
    reset(sandbox.path()).await.unwrap();
    assert_eq!((has().await.autoscaler, has().await.deployments.len()), (Autoscaler::None, 1));
}

#[tokio::test]
async fn what_is_no_load_is_refused() {
    let sandbox = Sandbox::start().await;
    for rps in [-1.0, 1e9] {
        let error = load::set(sandbox.path(), rps).await.unwrap_err();
        assert!(error.to_string().contains("it must be from 0 to 1000000 requests a second"), "{error}");
    }
}
