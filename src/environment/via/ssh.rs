//! A way by another machine: OpenSSH's `ssh -W`, with the user's own configuration, keys and known hosts.
//!
//! Must not ask anybody for anything (`BatchMode`) and must not take a host key on trust that the user's configuration does not. Invariant: the child,
//! with all that it started in its process group, is ended when the tunnel is dropped, and when this process dies.

use std::time::Duration;

use futures::FutureExt;
use futures::future::Shared;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr};
use tokio::sync::{oneshot, watch};

use super::error::ViaError;
use super::leash;
use super::passage::Tunnel;
use crate::environment::kubernetes::chain;

/// So long after the login, a way is taken for open where this version of `ssh` does not say that it is.
const TAKEN_FOR_OPEN: Duration = Duration::from_secs(3);
/// How many lines of its complaints are kept.
const KEPT: usize = 8;

/// A machine to be logged in to, and what is connected to from there.
#[derive(Clone, Debug)]
pub(in crate::environment) struct Login {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) target: String,
}

impl Login {
    /// All but the program's name.
    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = Vec::new();
        // What it says at this level tells when the way is open; a master connection of the user's is used, but none is left behind.
        for option in ["BatchMode=yes", "ControlMaster=no", "LogLevel=DEBUG2", "ServerAliveInterval=15", "ServerAliveCountMax=3"] {
            arguments.extend(["-o".to_owned(), option.to_owned()]);
        }
        if let Some(user) = &self.user {
            arguments.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = self.port {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        arguments.extend(["-W".to_owned(), self.target.clone(), "--".to_owned(), self.host.clone()]);
        arguments
    }
}

/// What has become of it so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    LoggedIn,
    Open,
}

impl Stage {
    /// The stage that a line of its debug output tells.
    fn told(line: &str) -> Option<Self> {
        let open = ["open confirm", "mux_client_request_stdio_fwd: master session id"];
        if open.iter().any(|sign| line.contains(sign)) {
            Some(Self::Open)
        } else {
            line.starts_with("Authenticated to ").then_some(Self::LoggedIn)
        }
    }
}

pub(super) async fn open(login: &Login) -> Result<Tunnel, ViaError> {
    let (mut child, leash) = leash::start("ssh", &login.arguments()).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ViaError::NoSsh,
        _ => ViaError::SshNotStarted { why: chain(&error) },
    })?;
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
        return Err(ViaError::SshNotStarted { why: "it has no pipes".to_owned() });
    };
    let (stage, mut told) = watch::channel(Stage::Connecting);
    let ended = ended(child, stderr, stage, login.clone());
    let mut waiting = ended.clone();
    tokio::select! {
        // What it says last is read before it is taken for ended.
        error = &mut waiting => return Err(error),
        () = is_open(&mut told) => {}
    }
    let stream = tokio::io::join(stdout, stdin);
    Ok(Tunnel { stream: Box::new(stream), trouble: ended.map(Some).boxed(), held: Box::new(leash) })
}

/// Ready when the way is open; never, where it ended before.
async fn is_open(told: &mut watch::Receiver<Stage>) {
    let logged_in = told.wait_for(|stage| *stage != Stage::Connecting).await.is_ok();
    let waited = async { told.wait_for(|stage| *stage == Stage::Open).await.is_ok() };
    let open = logged_in && tokio::time::timeout(TAKEN_FOR_OPEN, waited).await.unwrap_or(true);
    if !open {
        std::future::pending::<()>().await;
    }
}

type Ended = Shared<futures::future::BoxFuture<'static, ViaError>>;

/// Reads its complaints to their end, in a task of its own so that its pipe never fills, and says why it ended.
fn ended(mut child: Child, stderr: ChildStderr, stage: watch::Sender<Stage>, login: Login) -> Ended {
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let mut lines = BufReader::new(stderr).split(b'\n');
        let mut said: Vec<String> = Vec::new();
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line);
            let line = line.trim();
            if let Some(stage_now) = Stage::told(line) {
                stage.send_replace(stage_now);
            } else if !line.is_empty() && !line.starts_with("debug") && !line.starts_with("OpenSSH_") {
                if said.len() == KEPT {
                    said.remove(0);
                }
                said.push(line.chars().filter(|c| !c.is_control()).take(300).collect());
            }
        }
        let _ = child.wait().await;
        let was = *stage.borrow();
        let _ = tell.send(why(&login, &said, was));
    });
    async move { told.await.unwrap_or_else(|_| ViaError::Broken { why: "it was ended".to_owned() }) }.boxed().shared()
}

/// What its last words mean.
fn why(login: &Login, said: &[String], stage: Stage) -> ViaError {
    let machine = login.host.clone();
    let found = |signs: &[&str]| said.iter().rev().find(|line| signs.iter().any(|sign| line.contains(sign))).cloned();
    let last = said.last().cloned().unwrap_or_else(|| "it said nothing".to_owned());
    if found(&["REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key for "]).is_some() {
        return ViaError::HostKeyChanged { machine };
    }
    if let Some(line) = found(&["host key is known for", "Host key verification failed"]) {
        return ViaError::HostKeyUnknown { machine, why: line };
    }
    if let Some(line) = found(&["Permission denied", "Too many authentication failures", "No supported authentication methods"]) {
        return ViaError::SshAuthentication { machine, why: line };
    }
    if let Some(line) = found(&["open failed:", "administratively prohibited"]) {
        let why = line.split_once("open failed: ").map_or(line.clone(), |(_, why)| why.to_owned());
        return ViaError::SshTarget { machine, target: login.target.clone(), why };
    }
    if let Some(line) = found(&["Could not resolve hostname", "connect to host", "kex_exchange_identification"]) {
        return ViaError::SshUnreachable { machine, why: line.trim_start_matches("ssh: ").to_owned() };
    }
    match stage {
        Stage::Connecting | Stage::LoggedIn => ViaError::SshEnded { machine, why: last },
        Stage::Open => ViaError::Broken { why: format!("`ssh` to {machine} ended: {last}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login { user: Some("ana".to_owned()), host: "bastion".to_owned(), port: Some(2222), target: "db.internal:5432".to_owned() }
    }

    #[test]
    fn nobody_is_asked_and_the_machine_is_no_option() {
        let arguments = login().arguments().join(" ");
        assert!(
            arguments.contains("-o BatchMode=yes") && arguments.ends_with("-l ana -p 2222 -W db.internal:5432 -- bastion"),
            "{arguments}"
        );
        assert!(!arguments.contains("StrictHostKeyChecking"), "that is the user's configuration to say");
    }

    #[test]
    fn its_last_words_are_told_apart() {
        let said = |lines: &[&str], stage| why(&login(), &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), stage);
        let table: [(&[&str], &str); 8] = [
            (
                &[
                    "No ED25519 host key is known for [bastion]:2222 and you have requested strict checking.",
                    "Host key verification failed.",
                ],
                "the host key of bastion is not known on this machine: Host key verification failed.",
            ),
            (
                &["@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", "Host key verification failed."],
                "the host key of bastion has changed since it was noted",
            ),
            (&["ana@bastion: Permission denied (publickey)."], "bastion does not let us in: ana@bastion: Permission denied (publickey)."),
            (
                &["ssh: connect to host bastion port 2222: Connection refused"],
                "no connection to bastion: connect to host bastion port 2222: Connection refused",
            ),
            (
                &["ssh: Could not resolve hostname bastion: Name or service not known"],
                "no connection to bastion: Could not resolve hostname bastion: Name or service not known",
            ),
            (
                &["channel 0: open failed: connect failed: Connection refused", "stdio forwarding failed"],
                "bastion makes no connection to db.internal:5432: connect failed: Connection refused",
            ),
            (
                &["Bad owner or permissions on /home/ana/.ssh/config"],
                "`ssh` to bastion ended: Bad owner or permissions on /home/ana/.ssh/config",
            ),
            (&[], "`ssh` to bastion ended: it said nothing"),
        ];
        for (lines, text) in table {
            let error = said(lines, Stage::Connecting);
            assert_eq!(error.to_string(), text);
            assert!(!error.may_have_arrived(), "{error}");
        }
        assert!(said(&["Timeout, server bastion not responding."], Stage::Open).may_have_arrived());
    }

    #[test]
    fn an_open_way_is_told_from_a_login() {
        assert_eq!(Stage::told("debug2: channel 0: open confirm rwindow 2097152 rmax 32768"), Some(Stage::Open));
        assert_eq!(Stage::told("debug2: channel_input_open_confirmation: channel 0: callback start"), None);
        assert_eq!(Stage::told("Authenticated to bastion ([127.0.0.1]:2222) using \"publickey\"."), Some(Stage::LoggedIn));
        assert_eq!(Stage::told("debug1: Authentications that can continue: publickey"), None);
    }
}
