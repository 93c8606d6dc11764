//! What is on disk survives, and the sandbox stops by itself.

use std::io::Write;
use std::time::Duration;

use super::super::{Options, SandboxError, effects, fault, reset, start, status};
use super::{Sandbox, eventually, options};

#[tokio::test]
async fn after_a_restart_the_cluster_is_as_it_was() {
    let sandbox = Sandbox::start().await;
    sandbox.scale(4).await.unwrap();
    eventually("four pods", || async { sandbox.ready_replicas().await == 4 }).await;
    let (names, before) = (sandbox.pod_names().await, sandbox.running.ready.clone());
    let sandbox = sandbox.restart().await;
    assert_eq!(sandbox.running.ready, before);
    assert_eq!(sandbox.pod_names().await, names);
    assert_eq!(sandbox.replicas().await, 4);
    sandbox.scale(2).await.unwrap();
    let effects = sandbox.effects();
    assert_eq!(effects.iter().map(|effect| effect.n).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn pods_that_were_coming_up_go_on_after_a_restart() {
    let sandbox = Sandbox::start().await;
    sandbox.scale(6).await.unwrap();
    let sandbox = sandbox.restart().await;
    eventually("six pods", || async { sandbox.ready_replicas().await == 6 }).await;
}

#[tokio::test]
async fn an_effect_that_a_crash_kept_from_the_log_is_written_at_the_next_start() {
    let sandbox = Sandbox::start().await;
    sandbox.scale(3).await.unwrap();
    sandbox.scale(4).await.unwrap();
    let dir = sandbox.dir;
    sandbox.running.shutdown().await;
    // A crash between the commit and the log: the last line is there in part.
    let path = dir.path().join("effects.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let cut = text.trim_end().rfind('\n').unwrap() + 10;
    std::fs::write(&path, &text[..cut]).unwrap();
    assert_eq!(effects(dir.path()).unwrap().len(), 1);

    let running = start(dir.path(), options()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    running.shutdown().await;
}

#[tokio::test]
async fn a_reset_gives_the_first_cluster_under_another_uid() {
    let sandbox = Sandbox::start().await;
    sandbox.scale(5).await.unwrap();
    sandbox.fault(&["stall-terminating"]).await;
    let first = sandbox.running.ready.cluster_uid.clone();
    reset(sandbox.path()).await.unwrap();
    let second = status(sandbox.path()).await.unwrap().live.unwrap().cluster_uid;
    assert_ne!(first, second, "what was changed in the former cluster is not in this one");
    assert_eq!(crate::sandbox::cluster_uid(sandbox.path()).unwrap().as_ref(), Some(&second));
    assert_eq!(sandbox.replicas().await, 2);
    assert_eq!(sandbox.pod_names().await.len(), 2);
    assert!(sandbox.effects().is_empty());
    assert!(fault::list(sandbox.path()).await.unwrap().is_empty());
    sandbox.scale(3).await.unwrap();
    assert_eq!(sandbox.effects()[0].n, 1);

    let dir = sandbox.dir;
    sandbox.running.shutdown().await;
    reset(dir.path()).await.unwrap();
    assert!(effects(dir.path()).unwrap().is_empty());
    let running = start(dir.path(), options()).await.unwrap();
    assert!(![first, second].contains(&running.ready.cluster_uid));
    assert_eq!(status(dir.path()).await.unwrap().live.unwrap().cluster_uid, running.ready.cluster_uid);
    running.shutdown().await;
}

#[tokio::test]
async fn a_damaged_state_is_an_error_that_a_reset_heals() {
    let sandbox = Sandbox::start().await;
    let dir = sandbox.dir;
    sandbox.running.shutdown().await;
    std::fs::File::create(dir.path().join("state.json")).unwrap().write_all(b"{").unwrap();
    let error = start(dir.path(), options()).await.unwrap_err();
    assert!(matches!(error, SandboxError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("`runsheet sandbox reset`"), "{error}");
    reset(dir.path()).await.unwrap();
    start(dir.path(), options()).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_folder_has_one_server() {
    let sandbox = Sandbox::start().await;
    let error = start(sandbox.path(), options()).await.unwrap_err();
    assert!(matches!(error, SandboxError::Served { .. }), "{error}");
}

#[tokio::test]
async fn it_stops_by_itself_when_nobody_uses_it() {
    let mut sandbox = Sandbox::with(Options { idle: Duration::from_millis(200), ..options() }).await;
    tokio::time::timeout(Duration::from_secs(10), sandbox.running.ended()).await.unwrap();
    assert_eq!(status(sandbox.dir.path()).await.unwrap().live, None);
}

#[tokio::test]
async fn an_open_watch_is_a_use() {
    use futures::{StreamExt, TryStreamExt};
    let mut sandbox = Sandbox::with(Options { idle: Duration::from_millis(700), ..options() }).await;
    let params = kube::api::WatchParams::default().timeout(20);
    let mut events = sandbox.deployments().watch(&params, "0").await.unwrap().boxed();
    events.try_next().await.unwrap().unwrap();
    let ended = tokio::time::timeout(Duration::from_millis(1500), sandbox.running.ended()).await;
    assert!(ended.is_err(), "it stopped under an open watch");
    drop(events);
    tokio::time::timeout(Duration::from_secs(10), sandbox.running.ended()).await.unwrap();
}

#[tokio::test]
async fn bad_options_are_named() {
    let dir = tempfile::TempDir::new().unwrap();
    for speed in [0.0, -1.0, f64::NAN, 1e9] {
        let error = start(dir.path(), Options { speed, ..Options::default() }).await.unwrap_err();
        assert!(error.to_string().contains("from 0.01 to 1000"), "{error}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = start(dir.path(), Options { port: Some(port), ..Options::default() }).await.unwrap_err();
    assert!(error.to_string().contains(&format!("cannot listen on 127.0.0.1:{port}")), "{error}");
}
