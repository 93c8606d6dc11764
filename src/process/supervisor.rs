//! The supervisor: `runsheet __supervise`, a process between the engine and a program.
//!
//! Order of things: read the order, take the lock, refuse what was started or given up before, write the marker, look once more whether the engine is there,
//! start the program; when it has ended, end whatever it left behind, record the outcome, let go of the lock, report.
//!
//! Must not use async, a network or a terminal, and must not panic on anything a program does. Its main thread starts the program and stays: the
//! program is tied to that thread's life.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustix::process::{Pid, WaitStatus};

use super::capture::Capture;
use super::dialogue::Said;
use super::files::{self, Files, Marker, Outcome};
use super::order::{Order, Report, Stream};
use super::outcome::{Cause, Ended};
use super::reporter::Reporter;
use super::start_error::{StartError, plain};
use super::watch::{Event, Watch, reap};
use super::{exec, group, pump};

/// How long the streams of a program that has ended may stay open, by what it left behind.
const DRAIN: Duration = Duration::from_secs(1);

/// What `src/main.rs` calls when the first argument is [`SUPERVISE`](super::SUPERVISE); `args` are those after it.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    match args.next() {
        Some(stage) if stage == exec::EXEC => exec::main(args),
        Some(_) => ExitCode::from(2),
        None => supervise(),
    }
}

fn supervise() -> ExitCode {
    let mut engine = BufReader::new(std::io::stdin());
    let mut line = Vec::new();
    // An order that is cut short has no line end: the engine died while it wrote.
    let order = match engine.read_until(b'\n', &mut line) {
        Ok(_) if line.ends_with(b"\n") => serde_json::from_slice::<Order>(&line),
        _ => return ExitCode::from(2),
    };
    let Ok(order) = order else { return ExitCode::from(2) };
    drop(line);
    let reporter = Reporter::start();
    let last = match start(&order, engine) {
        Ok(running) => running.see_it_through(&order, &reporter),
        Err(error) => Report::NotStarted(error),
    };
    reporter.finish(last);
    ExitCode::SUCCESS
}

struct Running {
    files: Files,
    lock: File,
    leader: Pid,
    at: jiff::Timestamp,
    since: Instant,
    events: Receiver<Event>,
    sender: mpsc::Sender<Event>,
    streams: [(Stream, Box<dyn Read + Send>, Capture); 2],
}

fn start(order: &Order, mut engine: BufReader<std::io::Stdin>) -> Result<Running, StartError> {
    let files = Files::new(&order.files, order.attempt);
    let already_started = || StartError::AlreadyStarted { files: order.files.clone(), attempt: order.attempt };
    files.make_folder().map_err(|error| StartError::files(&files.folder, &error))?;
    let lock = files.try_lock().map_err(|error| StartError::files(&files.lock_file(), &error))?.ok_or_else(already_started)?;
    match files.read_outcome().map_err(|error| StartError::files(&files.outcome_file(), &error))? {
        Some(Outcome::Ended(_)) => return Err(already_started()),
        Some(Outcome::NeverStarted { .. }) => {
            return Err(StartError::GivenUp { files: order.files.clone(), attempt: order.attempt });
        }
        None => {}
    }
    if files.read_marker().map_err(|error| StartError::files(&files.marker_file(), &error))?.is_some() {
        return Err(already_started());
    }
    let capture = |stream| match files.create_output(stream) {
        Ok(file) => Ok(Capture::new(file, order.capture_limit, &order.redactions)),
        Err(error) => Err(StartError::files(&files.output_file(stream), &error)),
    };
    let captures = (capture(Stream::Stdout)?, capture(Stream::Stderr)?);
    let at = jiff::Timestamp::now();
    let own = rustix::process::getpid().as_raw_nonzero().get();
    files.write_marker(&Marker { supervisor: own, at }).map_err(|error| StartError::files(&files.marker_file(), &error))?;

    // From here on the attempt is used up: whoever finds the marker alone must take it for started.
    let give_up = |error: StartError| {
        let _ = files.write_outcome(&Outcome::NeverStarted { why: error.to_string() });
        error
    };
    let refused = |error: std::io::Error| StartError::Refused { path: order.path.clone(), why: plain(&error) };
    if engine_has_gone(&mut engine).map_err(|error| give_up(refused(error)))? {
        return Err(give_up(StartError::Cancelled));
    }
    let (sender, events) = mpsc::channel();
    let gone = sender.clone();
    let (words, said) = mpsc::channel();
    let words = order.dialogue.map(|_| words);
    thread::spawn(move || {
        relay(&mut engine, words);
        let _ = gone.send(Event::EngineGone);
    });
    group::adopt_descendants();
    // Inherited by everything the program starts: the lock is held as long as any of it lives, even without a supervisor.
    rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty()).map_err(|error| give_up(refused(error.into())))?;
    let stdin = match order.stdin.as_deref().map(|text| base64::engine::general_purpose::STANDARD.decode(text)) {
        None => None,
        Some(Ok(bytes)) => Some(bytes),
        Some(Err(_)) => return Err(give_up(refused(std::io::Error::other("its input did not arrive whole")))),
    };
    let mut command = exec::stage(&files.refusal_file(), &order.path, &order.name, &order.args).map_err(|error| give_up(refused(error)))?;
    command.env_clear().envs(&order.env).current_dir(&order.cwd);
    command
        .stdin(if stdin.is_some() || order.dialogue.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let since = Instant::now();
    let mut child = command.spawn().map_err(|error| give_up(refused(error)))?;
    // A program that does not read its input closes the pipe: no failure of ours.
    match (stdin, child.stdin.take()) {
        (_, Some(mut pipe)) if order.dialogue.is_some() => {
            // On a thread of its own, which waits for the program where that reads nothing: the end of the engine is seen all the same.
            thread::spawn(move || said.into_iter().all(|line| pipe.write_all(&line).is_ok()));
        }
        (Some(bytes), Some(mut pipe)) => {
            thread::spawn(move || pipe.write_all(&bytes));
        }
        _ => {}
    }
    let stdout: Box<dyn Read + Send> = child.stdout.take().map_or_else(|| Box::new(std::io::empty()) as _, |pipe| Box::new(pipe) as _);
    let stderr: Box<dyn Read + Send> = child.stderr.take().map_or_else(|| Box::new(std::io::empty()) as _, |pipe| Box::new(pipe) as _);
    let streams = [(Stream::Stdout, stdout, captures.0), (Stream::Stderr, stderr, captures.1)];
    Ok(Running { files, lock, leader: Pid::from_child(&child), at, since, events, sender, streams })
}

/// Takes what the engine says until its end; in a dialogue, passes the lines on, and lets go of `words` when they end.
fn relay(engine: &mut impl BufRead, mut words: Option<mpsc::Sender<Vec<u8>>>) {
    let mut line = Vec::new();
    while matches!(engine.read_until(b'\n', &mut line), Ok(length) if length > 0) {
        match serde_json::from_slice(&line) {
            Ok(Said::Line(text)) if line.ends_with(b"\n") => {
                let mut bytes = text.into_bytes();
                bytes.push(b'\n');
                if let Some(words) = &words {
                    let _ = words.send(bytes);
                }
            }
            Ok(Said::End | Said::Line(_)) | Err(_) => words = None,
        }
        line.clear();
    }
}

/// Whether the pipe from the engine has closed. What can be read may be something that was said already.
fn engine_has_gone(engine: &mut BufReader<std::io::Stdin>) -> std::io::Result<bool> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let flags = fcntl_getfl(engine.get_ref())?;
    fcntl_setfl(engine.get_ref(), flags | OFlags::NONBLOCK)?;
    let gone = match engine.fill_buf() {
        Ok(bytes) => bytes.is_empty(),
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    fcntl_setfl(engine.get_ref(), flags)?;
    Ok(gone)
}

impl Running {
    fn see_it_through(self, order: &Order, reporter: &Reporter) -> Report {
        let Self { files, lock, leader, at, since, events, sender, streams } = self;
        reap(sender.clone());
        let whole = |stream| order.dialogue.filter(|_| stream == Stream::Stdout);
        let captures =
            streams.map(|(stream, pipe, capture)| pump::pump((stream, whole(stream)), pipe, capture, sender.clone(), reporter.lines()));
        drop(sender);
        let mut watch = Watch::new(leader, events, since);
        let cause = watch.until_ended(order.timeout_ms.map(|ms| since + Duration::from_millis(ms)));
        if cause == Cause::Itself {
            watch.until(Some(Instant::now() + DRAIN), |watch| watch.closed == 2);
        }
        watch.end_group(Duration::from_millis(order.grace_ms));
        // A stream may still be open in a process that is none of ours any more.
        watch.until(Some(Instant::now() + DRAIN), |watch| watch.closed == 2);

        let [stdout, stderr] = captures.map(|capture| pump::finish(&capture, &reporter.lines()));
        if let Ok(Some(error)) = files::read::<StartError>(&files.refusal_file()) {
            let _ = files.write_outcome(&Outcome::NeverStarted { why: error.to_string() });
            return Report::NotStarted(error);
        }
        let ended = Ended {
            code: watch.status.and_then(WaitStatus::exit_status),
            signal: watch.status.and_then(WaitStatus::terminating_signal),
            cause,
            started: at,
            duration_ms: u64::try_from(watch.ended_after.as_millis()).unwrap_or(u64::MAX),
            stdout,
            stderr,
        };
        // Where this cannot be written, the engine is still told; should it die before it commits, recovery finds the marker alone: unknown.
        let _ = files.write_outcome(&Outcome::Ended(Box::new(ended.clone())));
        drop(lock);
        Report::Ended(Box::new(ended))
    }
}
