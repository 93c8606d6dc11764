//! The sandbox as a process of its own. The program of these tests is a script that runs this very test binary as the server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use super::super::process::ensure_up_within;
use super::super::{Options, SandboxError, down, effects, ensure_up, persist, serve, status};
use super::{client, eventually};

/// Tells the test below that it is to be the server of this folder.
const SERVE: &str = "RUNSHEET_TEST_SANDBOX_DIR";

/// Run by [`program`], this is the server; run as a test, it shows that a folder that cannot be is an error.
#[tokio::test]
async fn serving_needs_a_folder_that_can_be() {
    if let Some(dir) = std::env::var_os(SERVE) {
        // Should the test that started it fail, it does not stay for long.
        let options = Options { idle: Duration::from_secs(60), ..super::options() };
        serve(Path::new(&dir), options).await.unwrap();
        std::fs::write(Path::new(&dir).join(format!("ended-{}", std::process::id())), "").unwrap();
        return;
    }
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = serve(&file.join("below"), Options::default()).await.unwrap_err();
    assert!(error.to_string().contains("could not make the folder"), "{error}");
}

/// Written by a process of its own: a child that another test starts in the meantime would hold a file that this one has open for
/// writing, and the system starts no program that is (`ETXTBSY`).
fn script(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("program");
    let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod 700 "$2""#;
    let written = std::process::Command::new("sh").args(["-c", write, "sh", text]).arg(&path).status().unwrap();
    assert!(written.success());
    path
}

/// A program that understands `sandbox serve --dir DIR`.
fn program(dir: &TempDir) -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    let test = "sandbox::tests::process::serving_needs_a_folder_that_can_be";
    let line = format!(
        r#"[ "$1 $2 $3" = "sandbox serve --dir" ] || exit 9; : > "$4/began-$$"; {SERVE}="$4" exec {binary:?} --exact {test} --nocapture"#
    );
    script(dir, &line)
}

fn pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

#[tokio::test]
async fn two_starts_at_once_give_one_server_which_is_found_again_and_stopped() {
    let (bin, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (exe, dir) = (program(&bin), home.path().join("sandbox"));
    let (one, two) = tokio::join!(ensure_up(&dir, &exe), ensure_up(&dir, &exe));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one, two);
    let count = |prefix: &str| {
        let names = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(prefix)).count()
    };
    eventually("one of the two processes to give way", || async { count("began-") == 2 && count("ended-") == 1 }).await;
    assert_eq!(ensure_up(&dir, &exe).await.unwrap(), one);
    let live = status(&dir).await.unwrap().live.unwrap();
    assert_eq!((live.pid, live.overview.deployments), (one.pid, vec!["production/ticket-service 2/2 ready".to_owned()]));
    assert!(down(&dir).await.unwrap());
    assert!(!down(&dir).await.unwrap());
    assert_eq!(status(&dir).await.unwrap().live, None);
    assert!(persist::lock(&dir).unwrap().is_some());
}

#[tokio::test]
async fn after_being_killed_it_comes_back_as_it_was() {
    let (bin, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (exe, dir) = (program(&bin), home.path().to_owned());
    let first = ensure_up(&dir, &exe).await.unwrap();
    let scale = async |ready: &super::Ready, replicas: i32| {
        let api: kube::Api<k8s_openapi::api::apps::v1::Deployment> = kube::Api::namespaced(client(ready, &ready.admin_token), "production");
        let patch = kube::api::Patch::Merge(serde_json::json!({ "spec": { "replicas": replicas } }));
        api.patch_scale("ticket-service", &kube::api::PatchParams::default(), &patch).await.unwrap();
        api.get_scale("ticket-service").await.unwrap().spec.unwrap().replicas
    };
    scale(&first, 7).await;
    kill_process(pid(first.pid), Signal::KILL).unwrap();
    eventually("the lock to be free", || async { persist::lock(&dir).unwrap().is_some() }).await;

    let second = ensure_up(&dir, &exe).await.unwrap();
    assert_ne!(second.pid, first.pid);
    assert_eq!((&second.cluster_uid, &second.admin_token), (&first.cluster_uid, &first.admin_token));
    assert_eq!(scale(&second, 7).await, Some(7));
    assert_eq!(effects(&dir).unwrap().len(), 1);
    assert!(test_kill_process(pid(second.pid)).is_ok());
    down(&dir).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_held_by_something_else_is_named() {
    let (bin, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let _held = persist::lock(home.path()).unwrap().unwrap();
    let error = ensure_up_within(home.path(), &program(&bin), Duration::from_secs(1)).await.unwrap_err();
    assert!(error.to_string().contains("another process holds the folder and did not answer within 1 s"), "{error}");
}

#[tokio::test]
async fn a_server_that_fails_to_start_is_quoted() {
    let (bin, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let error = ensure_up(home.path(), &script(&bin, "echo no room here >&2; exit 3")).await.unwrap_err();
    assert!(matches!(error, SandboxError::DidNotStart { .. }));
    let text = error.to_string();
    assert!(text.contains("it ended with exit code 3") && text.ends_with("no room here"), "{text}");

    let error = ensure_up(home.path(), &bin.path().join("missing")).await.unwrap_err();
    assert!(error.to_string().contains("could not be started as the sandbox"), "{error}");
}
