//! The engine's end: starts a supervisor, hands it the order, listens, and lets go to cancel.
//!
//! Invariant: an error that says "never ran" is certain. Dropping the future lets go: the supervisor ends the group by itself, and
//! [`recover`](super::recover) tells when it has.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc::UnboundedReceiver;

use super::dialogue::Said;
use super::order::{Order, Report, Request, Stream, passed_on};
use super::outcome::Ended;
use super::program;
use super::recovery::{Recovered, recover};
use super::start_error::{StartError, plain};

/// How often a supervisor's lock is tried after it was lost.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Why there is no [`Ended`].
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The program never ran.
    #[error(transparent)]
    NotStarted(#[from] StartError),
    /// The program ran, and nobody knows how it ended.
    #[error("the program was started, but its supervisor ended without saying how it went{why}")]
    Lost {
        /// More, where something is known; begins with a colon.
        why: String,
    },
}

/// Runs a program under a supervisor until it has ended and nothing of it is left. Each line of its output is passed on as it comes.
///
/// # Errors
/// [`RunError`]
pub async fn run(request: Request, on_line: impl FnMut(Stream, &str)) -> Result<Ended, RunError> {
    run_until(request, on_line, std::future::pending()).await
}

/// The same; when `cancelled` is ready, the program and all it started is ended (SIGTERM, the grace, SIGKILL) and waited for.
///
/// # Errors
/// [`RunError`]
pub async fn run_until(
    request: Request,
    mut on_line: impl FnMut(Stream, &str),
    cancelled: impl Future<Output = ()>,
) -> Result<Ended, RunError> {
    drive(request, None, |heard| on_line(heard.stream, heard.text), cancelled).await
}

/// A line that a program wrote.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'l> {
    /// On which stream.
    pub stream: Stream,
    /// Without its line end. Of stdout in a dialogue it is as it came, else redacted.
    pub text: &'l str,
    /// Whether it is longer than the dialogue's longest line, and this its beginning.
    pub cut: bool,
}

/// The same with a program that is talked with (its request has a [`Dialogue`](super::Dialogue)): each text of `said` is a line on its stdin, which ends with
/// the channel.
///
/// # Errors
/// [`RunError`]
pub async fn converse(
    request: Request,
    said: UnboundedReceiver<String>,
    on_line: impl FnMut(Heard<'_>),
    cancelled: impl Future<Output = ()>,
) -> Result<Ended, RunError> {
    drive(request, Some(said), on_line, cancelled).await
}

async fn drive(
    request: Request,
    said: Option<UnboundedReceiver<String>>,
    mut on_line: impl FnMut(Heard<'_>),
    cancelled: impl Future<Output = ()>,
) -> Result<Ended, RunError> {
    let order = order(&request)?;
    let exe = request.supervisor_exe.clone();
    let unusable = |why: String| StartError::Supervisor { exe: exe.clone(), why };
    let mut line = serde_json::to_vec(&order).map_err(|_| unusable("a path is not valid UTF-8".into()))?;
    line.push(b'\n');
    let mut supervisor = Command::new(&exe)
        .arg(super::SUPERVISE)
        .env_clear()
        .envs(passed_on())
        // Not in the terminal's foreground group: Ctrl-C is the engine's to handle.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| unusable(plain(&error)))?;
    let (Some(mut pipe), Some(reports)) = (supervisor.stdin.take(), supervisor.stdout.take()) else {
        return Err(unusable("it has no pipes".into()).into());
    };
    if pipe.write_all(&line).await.is_ok() {
        drop(line);
        if let Some(last) = listen(reports, (pipe, said), &mut on_line, cancelled).await {
            // It has let go of the lock before it reported; what is left of it is its exit.
            let _ = supervisor.wait().await;
            return match last {
                Report::Ended(ended) => Ok(*ended),
                Report::NotStarted(error) => Err(error.into()),
                Report::Line { .. } => Err(RunError::Lost { why: String::new() }),
            };
        }
    } else {
        drop(pipe);
    }
    let _ = supervisor.wait().await;
    what_became(&request, exe).await
}

/// Passes lines on until the last report; `None`: the supervisor is gone without one.
async fn listen(
    reports: tokio::process::ChildStdout,
    (pipe, mut said): (ChildStdin, Option<UnboundedReceiver<String>>),
    on_line: &mut impl FnMut(Heard<'_>),
    cancelled: impl Future<Output = ()>,
) -> Option<Report> {
    let mut reports = BufReader::new(reports);
    let mut pipe = Some(pipe);
    let mut line = Vec::new();
    tokio::pin!(cancelled);
    loop {
        tokio::select! {
            read = reports.read_until(b'\n', &mut line) => {
                if !matches!(read, Ok(length) if length > 0) {
                    return None;
                }
                match serde_json::from_slice(&line) {
                    Ok(Report::Line { stream, text, cut }) => on_line(Heard { stream, text: &text, cut }),
                    Ok(last) => return Some(last),
                    Err(_) => return None,
                }
                line.clear();
            }
            // `read_until` keeps in `line` what it has read so far: nothing is lost by this branch.
            () = &mut cancelled, if pipe.is_some() => pipe = None,
            words = next(&mut said), if pipe.is_some() && said.is_some() => {
                let words = words.map_or(Said::End, Said::Line);
                if matches!(words, Said::End) {
                    said = None;
                }
                if let (Some(pipe), Ok(mut line)) = (&mut pipe, serde_json::to_vec(&words)) {
                    line.push(b'\n');
                    // The supervisor takes it whatever the program does; one that is gone is seen by its reports.
                    let _ = pipe.write_all(&line).await;
                }
            }
        }
    }
}

/// What is said next; `None`: nothing more.
async fn next(said: &mut Option<UnboundedReceiver<String>>) -> Option<String> {
    match said {
        Some(said) => said.recv().await,
        None => None,
    }
}

/// The supervisor is gone without a report: its files tell whether anything ran.
async fn what_became(request: &Request, exe: std::path::PathBuf) -> Result<Ended, RunError> {
    let mut tries = 100 + request.grace.as_millis() / ASK_AGAIN.as_millis();
    loop {
        let (folder, attempt) = (request.files.clone(), request.attempt);
        let answer = tokio::task::spawn_blocking(move || recover(&folder, attempt)).await;
        return match answer {
            Ok(Ok(Recovered::NeverStarted)) => {
                Err(StartError::Supervisor { exe, why: "it ended before it had started the program".into() }.into())
            }
            Ok(Ok(Recovered::Ended(ended))) => Ok(*ended),
            Ok(Ok(Recovered::Killed)) => Err(RunError::Lost { why: ": it was killed".into() }),
            Ok(Ok(Recovered::StillRunning)) if tries > 0 => {
                tries -= 1;
                tokio::time::sleep(ASK_AGAIN).await;
                continue;
            }
            Ok(Ok(Recovered::StillRunning)) => Err(RunError::Lost { why: ": something that the program started is still alive".into() }),
            Ok(Err(error)) => Err(RunError::Lost { why: format!(": {error}") }),
            Err(_) => Err(RunError::Lost { why: String::new() }),
        };
    }
}

fn order(request: &Request) -> Result<Order, StartError> {
    let cwd = program::working_folder(request.cwd.as_deref())?;
    let env = request.environment();
    let path = program::find(&request.program, &cwd, &env)?;
    let files = std::path::absolute(&request.files).map_err(|error| StartError::files(&request.files, &error))?;
    Ok(Order {
        path,
        name: request.program.clone(),
        args: request.args.clone(),
        env,
        cwd,
        stdin: request.stdin.as_ref().map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes)),
        dialogue: request.dialogue,
        timeout_ms: request.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        grace_ms: u64::try_from(request.grace.as_millis()).unwrap_or(u64::MAX),
        files,
        attempt: request.attempt,
        redactions: request.redactions.clone(),
        capture_limit: request.capture_limit,
    })
}
