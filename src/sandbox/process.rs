//! The sandbox as a process of its own: started when needed, found again, stopped, reset.
//!
//! It must not end a server by force once it has answered. Invariant: two starts at once give one server, because the server's lock decides, not its starter;
//! every wait has an end.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::client;
use super::cluster::{ArgoCd, Autoscaler};
use super::connections::Usage;
use super::control::Overview;
use super::error::SandboxError;
use super::identity::{Identity, Ready};
use super::persist;
use super::platform::Platform;
use super::pooler::Pooler;
use super::server::Options;

/// How long a start may take.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How long a stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Whether a sandbox runs, and what it says of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The folder.
    pub dir: PathBuf,
    /// What runs there; none when nothing does.
    pub live: Option<Live>,
}

/// A sandbox that runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Live {
    /// Where it listens.
    pub address: std::net::SocketAddr,
    /// Its process.
    pub pid: u32,
    /// The uid of its cluster.
    pub cluster_uid: String,
    /// What it says of itself.
    #[serde(flatten)]
    pub overview: Overview,
}

/// The sandbox in `dir`, started as `exe sandbox serve --dir DIR` unless it runs already. It outlives this process.
///
/// # Errors
/// [`SandboxError::Spawn`]; [`SandboxError::DidNotStart`] with the end of its log when it fails or does not answer within 10 s.
pub async fn ensure_up(dir: &Path, exe: &Path) -> Result<Ready, SandboxError> {
    ensure_up_within(dir, exe, START_WITHIN).await
}

/// [`ensure_up`] with a bound of the caller's.
pub(crate) async fn ensure_up_within(dir: &Path, exe: &Path, limit: Duration) -> Result<Ready, SandboxError> {
    persist::make_dir(dir)?;
    let deadline = Instant::now() + limit;
    let mut child: Option<Child> = None;
    let mut gave_way = false;
    loop {
        if let Some(ready) = client::find(dir).await? {
            return Ok(ready);
        }
        match &mut child {
            None => child = Some(spawn(dir, exe)?),
            Some(running) => match running.try_wait() {
                // Another server had the folder; if it is just ending, the next start takes over.
                Ok(Some(status)) if status.success() => {
                    child = None;
                    gave_way = true;
                }
                Ok(Some(status)) => return Err(did_not_start(dir, &ended(status))),
                Ok(None) => {}
                Err(source) => return Err(SandboxError::Spawn { exe: exe.to_owned(), source }),
            },
        }
        if Instant::now() >= deadline {
            if let Some(mut running) = child {
                // It never answered, and nobody is to be surprised by it later. One that has just ended needs no end.
                let _ended = running.kill().and_then(|()| running.wait());
            }
            let who = if gave_way { "another process holds the folder and" } else { "it" };
            return Err(did_not_start(dir, &format!("{who} did not answer within {} s", limit.as_secs())));
        }
        // A child that found the folder taken is not started again at once.
        let pause = if child.is_none() { LOOK_EVERY * 10 } else { LOOK_EVERY };
        tokio::time::sleep(pause).await;
    }
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("it ended with exit code {code}"),
        None => "it was ended by a signal".to_owned(),
    }
}

fn did_not_start(dir: &Path, how: &str) -> SandboxError {
    let log = persist::tail(&dir.join(persist::LOG), 10);
    let log = if log.is_empty() { "(nothing)".to_owned() } else { log };
    SandboxError::DidNotStart { dir: dir.to_owned(), how: how.to_owned(), log }
}

fn spawn(dir: &Path, exe: &Path) -> Result<Child, SandboxError> {
    let path = dir.join(persist::LOG);
    let io = |source| SandboxError::io("open the log", &path, source);
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(io)?;
    // A log of a former life that grew large begins anew.
    if log.metadata().map_err(io)?.len() > 1 << 20 {
        log.set_len(0).map_err(io)?;
    }
    let mut command = Command::new(exe);
    command.args(["sandbox", "serve", "--dir"]).arg(dir).stdin(Stdio::null());
    command.stdout(log.try_clone().map_err(io)?).stderr(log);
    // A group of its own: what ends this program's group, Ctrl-C say, leaves the sandbox alone.
    command.process_group(0);
    command.spawn().map_err(|source| SandboxError::Spawn { exe: exe.to_owned(), source })
}

/// Stops the sandbox in `dir` and waits until it is gone; false when none ran.
///
/// # Errors
/// [`SandboxError::DidNotStop`] when it is still there after 10 s.
pub async fn down(dir: &Path) -> Result<bool, SandboxError> {
    let Some(ready) = client::find(dir).await? else { return Ok(false) };
    client::ask(dir, "POST", "/sandbox/shutdown", None).await?;
    let deadline = Instant::now() + STOP_WITHIN;
    while persist::lock(dir)?.is_none() {
        if Instant::now() >= deadline {
            return Err(SandboxError::DidNotStop { dir: dir.to_owned(), pid: ready.pid });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(true)
}

/// Whether a sandbox runs in `dir`. The question counts as a use of it.
///
/// # Errors
/// [`SandboxError::Unreachable`] when it runs and does not answer properly.
pub async fn status(dir: &Path) -> Result<Status, SandboxError> {
    let dir = dir.to_owned();
    let Some(ready) = client::find(&dir).await? else { return Ok(Status { dir, live: None }) };
    let answer = client::ask(&dir, "GET", "/sandbox/overview", None).await?;
    let overview = serde_json::from_value(answer).map_err(SandboxError::encoding)?;
    Ok(Status { dir, live: Some(Live { address: ready.address, pid: ready.pid, cluster_uid: ready.cluster_uid, overview }) })
}

/// How the connections of the PostgreSQL server of the sandbox in `dir` stand.
///
/// # Errors
/// [`SandboxError::NotRunning`]; [`SandboxError::Unreachable`] when it does not answer properly.
pub async fn connections(dir: &Path) -> Result<Usage, SandboxError> {
    let answer = client::ask(dir, "GET", "/sandbox/connections", None).await?;
    serde_json::from_value(answer).map_err(SandboxError::encoding)
}

/// Puts the sandbox in `dir` back to the initial cluster with an empty effect log and no faults, whether it runs or not. It is another
/// cluster then, with another uid; the tokens stay.
///
/// # Errors
/// [`SandboxError::Served`] when one runs that does not answer; [`SandboxError::Io`].
pub async fn reset(dir: &Path) -> Result<(), SandboxError> {
    reset_to(dir, None, None, None).await
}

/// [`reset`] to a cluster with this autoscaler and this Argo CD, where they are named.
///
/// # Errors
/// As [`reset`].
pub async fn reset_with(dir: &Path, autoscaler: Option<Autoscaler>) -> Result<(), SandboxError> {
    reset_to(dir, autoscaler, None, None).await
}

/// [`reset`] to a cluster with this autoscaler and this Argo CD and a platform with this pooler, where they are named.
///
/// # Errors
/// As [`reset`].
pub async fn reset_to(
    dir: &Path,
    autoscaler: Option<Autoscaler>,
    argocd: Option<ArgoCd>,
    pooler: Option<Pooler>,
) -> Result<(), SandboxError> {
    if client::find(dir).await?.is_some() {
        let body = serde_json::json!({ "autoscaler": autoscaler, "argocd": argocd, "pooler": pooler });
        client::ask(dir, "POST", "/sandbox/reset", Some(&body)).await?;
        return Ok(());
    }
    persist::make_dir(dir)?;
    let _lock = persist::lock(dir)?.ok_or_else(|| SandboxError::Served { dir: dir.to_owned() })?;
    let platform = match open(dir) {
        Err(SandboxError::Damaged { path, .. }) => {
            // What it held cannot be read, so nothing of it can be kept.
            std::fs::remove_file(&path).map_err(|source| SandboxError::io("remove", &path, source))?;
            open(dir)?
        }
        opened => opened?,
    };
    platform.reset(autoscaler, argocd, pooler).await
}

/// The uid of the cluster of the sandbox in `dir`, whether it runs or not; `None` where there is none.
///
/// # Errors
/// [`SandboxError::Damaged`], [`SandboxError::Io`]
pub fn cluster_uid(dir: &Path) -> Result<Option<String>, SandboxError> {
    Identity::uid_in(dir)
}

fn open(dir: &Path) -> Result<std::sync::Arc<Platform>, SandboxError> {
    Platform::open(dir, Identity::load_or_make(dir)?, &Options::default())
}
