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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::capture::Capture;
use super::dialogue::{Dialogue, Said, WholeLines};
use super::exec;
use super::files::{self, Files, Marker, Outcome};
use super::group::{self, Group};
use super::order::{Order, Report, Stream};
use super::outcome::{Captured, Cause, Ended};
use super::start_error::{StartError, plain};

/// How long the streams of a program that has ended may stay open, by what it left behind.
const DRAIN: Duration = Duration::from_secs(1);
/// How often is looked for new processes while a group is being ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Lines that wait for the engine to take them, at most. What comes faster is in the file, but not passed on.
const QUEUE: usize = 4096;

/// What `src/main.rs` calls when the first argument is [`SUPERVISE`](super::SUPERVISE); `args` are those after it.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    match args.next() {
        Some(stage) if stage == exec::EXEC => exec::main(args),
        Some(_) => ExitCode::from(2),
        None => supervise(),
    }
}

enum Event {
    /// The pipe from the engine closed.
    EngineGone,
    /// A child ended and was reaped: the program, or what it left behind.
    Reaped(Pid, WaitStatus),
    /// There is no child any more.
    NoChild,
    /// A stream of the program's output closed.
    Closed,
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
            streams.map(|(stream, pipe, capture)| pump((stream, whole(stream)), pipe, capture, sender.clone(), reporter.lines()));
        drop(sender);
        let mut watch = Watch { leader, events, status: None, ended_after: since.elapsed(), since, closed: 0, no_child: false };
        let cause = watch.until_ended(order.timeout_ms.map(|ms| since + Duration::from_millis(ms)));
        if cause == Cause::Itself {
            watch.until(Some(Instant::now() + DRAIN), |watch| watch.closed == 2);
        }
        watch.end_group(Duration::from_millis(order.grace_ms));
        // A stream may still be open in a process that is none of ours any more.
        watch.until(Some(Instant::now() + DRAIN), |watch| watch.closed == 2);

        let [stdout, stderr] = captures.map(|capture| reporter.finish_stream(&capture));
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

/// What is known about the program and all that it started.
struct Watch {
    leader: Pid,
    events: Receiver<Event>,
    status: Option<WaitStatus>,
    since: Instant,
    ended_after: Duration,
    closed: usize,
    no_child: bool,
}

enum Seen {
    Something { engine_gone: bool },
    Nothing,
}

impl Watch {
    fn see(&mut self, until: Option<Instant>) -> Seen {
        let event = match until {
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => self.events.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(Event::Reaped(pid, status)) if pid == self.leader => {
                self.status = Some(status);
                self.ended_after = self.since.elapsed();
            }
            Ok(Event::Reaped(..)) => {}
            Ok(Event::NoChild) => self.no_child = true,
            Ok(Event::Closed) => self.closed += 1,
            Ok(Event::EngineGone) => return Seen::Something { engine_gone: true },
            Err(_) => return Seen::Nothing,
        }
        Seen::Something { engine_gone: false }
    }

    fn until_ended(&mut self, deadline: Option<Instant>) -> Cause {
        loop {
            if self.status.is_some() || self.no_child {
                return Cause::Itself;
            }
            match self.see(deadline) {
                Seen::Something { engine_gone: false } => {}
                Seen::Something { engine_gone: true } => return Cause::Stopped,
                Seen::Nothing => return Cause::Timeout,
            }
        }
    }

    fn until(&mut self, deadline: Option<Instant>, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            if matches!(self.see(deadline), Seen::Nothing) {
                return;
            }
        }
    }

    /// Ends whatever is left. Returns only when nothing is: what cannot be killed keeps the lock.
    fn end_group(&mut self, grace: Duration) {
        let mut group = Group::new(self.leader);
        let kill_at = Instant::now() + grace;
        while !group.is_gone(self.no_child) {
            let leader_lives = self.status.is_none();
            if Instant::now() < kill_at {
                group.terminate(leader_lives);
                self.until(Some(kill_at.min(Instant::now() + LOOK_AGAIN)), |watch| watch.no_child);
            } else {
                group.kill(leader_lives);
                self.until(Some(Instant::now() + LOOK_AGAIN), |watch| watch.no_child);
            }
        }
    }
}

/// Reaps every child, the adopted ones included, until there is none.
fn reap(events: mpsc::Sender<Event>) {
    thread::spawn(move || {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    let _ = events.send(Event::Reaped(pid, status));
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        let _ = events.send(Event::NoChild);
    });
}

/// A stream, and how its lines are passed on where it is talked with.
type Spoken = (Stream, Option<Dialogue>);
type Shared = Arc<Mutex<(Spoken, Capture)>>;

fn pump(spoken: Spoken, mut pipe: Box<dyn Read + Send>, capture: Capture, events: mpsc::Sender<Event>, lines: Lines) -> Shared {
    let shared = Arc::new(Mutex::new((spoken, capture)));
    let into = Arc::clone(&shared);
    thread::spawn(move || {
        let (stream, mut whole) = (spoken.0, spoken.1.map(WholeLines::new));
        let mut hand_over = |text, cut| lines.hand_over(stream, text, cut);
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => {
                    let passes_on = whole.is_none();
                    let mut on_line = |line| {
                        if passes_on {
                            lines.pass_on(stream, line)
                        }
                    };
                    into.lock().unwrap_or_else(PoisonError::into_inner).1.push(&chunk[..length], &mut on_line);
                    // Not under the lock: the engine may take its time.
                    if let Some(whole) = &mut whole {
                        whole.push(&chunk[..length], &mut hand_over);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if let Some(whole) = &mut whole {
            whole.finish(&mut hand_over);
        }
        let _ = events.send(Event::Closed);
    });
    shared
}

/// Tells the engine, in the order told; lines are dropped rather than waited for.
struct Reporter {
    queue: SyncSender<Report>,
    dropped: Arc<AtomicU64>,
    writer: JoinHandle<()>,
}

#[derive(Clone)]
struct Lines {
    queue: SyncSender<Report>,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    fn pass_on(&self, stream: Stream, text: String) {
        if self.queue.try_send(Report::Line { stream, text, cut: false }).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for room rather than drop it: the program waits for whoever talks with it.
    fn hand_over(&self, stream: Stream, text: String, cut: bool) {
        let _ = self.queue.send(Report::Line { stream, text, cut });
    }
}

impl Reporter {
    fn start() -> Self {
        let (queue, reports) = mpsc::sync_channel::<Report>(QUEUE);
        let writer = thread::spawn(move || {
            let mut out = std::io::stdout().lock();
            let mut engine_listens = true;
            // Goes on taking when the engine is gone, so that nobody waits for room in the queue.
            for report in reports {
                let last = !matches!(report, Report::Line { .. });
                if engine_listens {
                    engine_listens = serde_json::to_vec(&report).is_ok_and(|mut line| {
                        line.push(b'\n');
                        out.write_all(&line).and_then(|()| out.flush()).is_ok()
                    });
                }
                if last {
                    return;
                }
            }
        });
        Self { queue, dropped: Arc::default(), writer }
    }

    fn lines(&self) -> Lines {
        Lines { queue: self.queue.clone(), dropped: Arc::clone(&self.dropped) }
    }

    fn finish_stream(&self, shared: &Shared) -> Captured {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let ((stream, whole), lines) = (shared.0, self.lines());
        shared.1.finish(&mut |line| {
            if whole.is_none() {
                lines.pass_on(stream, line)
            }
        })
    }

    fn finish(self, last: Report) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            let text = format!("… {dropped} more lines came too fast to be shown here; the attempt's files have them");
            let _ = self.queue.send(Report::Line { stream: Stream::Stderr, text, cut: false });
        }
        let _ = self.queue.send(last);
        let _ = self.writer.join();
    }
}
