//! The one thread that writes: what waits in its queue goes into one transaction, and is answered after the commit.
//!
//! Invariant: nothing is answered as done before it is committed, to the file that whoever opens the database next will find. After an error of SQLite's within a transaction everything of that
//! transaction is refused and the thread writes no more: it never tries a commit again.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::append::{self, Events};
use super::error::{Failure, from_sqlite, is_of_one_run};
use super::in_place::InPlace;
use crate::model::event::Record;
use crate::model::id::{ContentHash, RunId};
use crate::model::instruction::Instruction;
use crate::ports::journal::JournalError;

/// How many requests may wait: whoever brings more waits before the queue.
const QUEUE: usize = 256;

/// How many requests share one transaction at most.
const BATCH: usize = 128;

/// What is asked of the writer.
pub(super) enum Operation {
    Create { run: RunId, hash: ContentHash, definition: String, events: Events },
    Own { run: RunId },
    Append { run: RunId, after: u64, epoch: u64, events: Events, taken: Vec<uuid::Uuid> },
    Instruct { run: RunId, instruction: Instruction, body: String },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Epoch(u64),
    Records(Vec<Record>),
}

type Reply = oneshot::Sender<Result<Answer, JournalError>>;

/// The way to the thread.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<(Operation, Reply)>>,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What both sides see.
#[derive(Default)]
struct Shared {
    commits: AtomicU64,
    stopped: OnceLock<JournalError>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection, file: PathBuf) -> Result<Self, JournalError> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let mut work = Work { connection, place: InPlace::of(&file), file: file.clone(), shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || work.run(requests))
            .map_err(|error| JournalError::Unusable { file, why: format!("its writer thread cannot be started: {error}") })?;
        Ok(Self { queue: Some(queue), shared, thread: Some(thread) })
    }

    /// Asks, and waits for the commit.
    pub(super) async fn ask(&self, operation: Operation) -> Result<Answer, JournalError> {
        let (reply, answer) = oneshot::channel();
        let Some(queue) = &self.queue else { return Err(JournalError::Stopped) };
        if queue.send((operation, reply)).await.is_err() {
            return Err(self.why_stopped());
        }
        answer.await.unwrap_or_else(|_| Err(self.why_stopped()))
    }

    /// How many transactions were committed.
    pub(super) fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    fn why_stopped(&self) -> JournalError {
        self.shared.stopped.get().cloned().unwrap_or(JournalError::Stopped)
    }
}

impl Drop for Writer {
    /// Lets the thread finish what is in the queue, so that the database is closed cleanly.
    fn drop(&mut self) {
        self.queue.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already answered with `Stopped`.
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Work {
    connection: Connection,
    place: InPlace,
    file: PathBuf,
    shared: Arc<Shared>,
}

impl Work {
    fn run(&mut self, mut requests: mpsc::Receiver<(Operation, Reply)>) {
        let mut batch = VecDeque::new();
        while let Some(first) = requests.blocking_recv() {
            batch.push_back(first);
            while batch.len() < BATCH
                && let Ok(next) = requests.try_recv()
            {
                batch.push_back(next);
            }
            if let Err(error) = self.transact(&mut batch) {
                // Before the queue closes, so that whoever finds it closed finds the reason too.
                let _ = self.shared.stopped.set(error);
                return;
            }
        }
    }

    /// One transaction for all of the batch, which is empty afterwards. An error ends the writer.
    fn transact(&mut self, batch: &mut VecDeque<(Operation, Reply)>) -> Result<(), JournalError> {
        let began = Instant::now();
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            // Nothing was written or tried: where another process holds the lock, a later request may find it free.
            let locked = matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
            let error = from_sqlite(&error, &self.file, began.elapsed());
            refuse(batch.drain(..).map(|(_, reply)| reply), &error);
            return if locked { Ok(()) } else { Err(error) };
        }
        // Alone, a request that fails takes the whole transaction with it, and needs no savepoint.
        let alone = batch.len() == 1;
        let mut done = Vec::with_capacity(batch.len());
        while let Some((operation, reply)) = batch.pop_front() {
            match self.operate(operation, alone) {
                Ok(answer) => done.push((reply, answer)),
                Err(Refusal::OfThis(error)) => drop(reply.send(Err(error))),
                Err(Refusal::OfAll(error)) => {
                    self.roll_back();
                    let replies = std::iter::once(reply).chain(done.into_iter().map(|(reply, _)| reply));
                    refuse(replies.chain(batch.drain(..).map(|(_, reply)| reply)), &error);
                    return Err(error);
                }
            }
        }
        if done.is_empty() {
            self.roll_back();
            return Ok(());
        }
        if let Err(error) = self.execute("COMMIT") {
            let error = from_sqlite(&error, &self.file, began.elapsed());
            self.roll_back();
            refuse(done.into_iter().map(|(reply, _)| reply), &error);
            return Err(error);
        }
        if let Err(why) = self.place.check() {
            let error = JournalError::Unusable { file: self.file.clone(), why };
            refuse(done.into_iter().map(|(reply, _)| reply), &error);
            return Err(error);
        }
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        for (reply, answer) in done {
            // Whoever asked may be gone; it is committed all the same.
            let _ = reply.send(Ok(answer));
        }
        Ok(())
    }

    fn operate(&self, operation: Operation, alone: bool) -> Result<Answer, Refusal> {
        let of_all = |error: rusqlite::Error| Refusal::OfAll(from_sqlite(&error, &self.file, Duration::ZERO));
        if !alone {
            self.execute("SAVEPOINT request").map_err(of_all)?;
        }
        match self.dispatch(operation) {
            Ok(answer) => {
                if !alone {
                    self.execute("RELEASE request").map_err(of_all)?;
                }
                Ok(answer)
            }
            Err(failure) => {
                if let Failure::Sql(error) = &failure
                    && !is_of_one_run(error)
                {
                    return Err(Refusal::OfAll(failure.into_journal(&self.file, Duration::ZERO)));
                }
                if !alone {
                    self.execute("ROLLBACK TO request").map_err(of_all)?;
                    self.execute("RELEASE request").map_err(of_all)?;
                }
                Err(Refusal::OfThis(failure.into_journal(&self.file, Duration::ZERO)))
            }
        }
    }

    fn dispatch(&self, operation: Operation) -> Result<Answer, Failure> {
        let connection = &self.connection;
        let none = |run: RunId| move || JournalError::NoSuchRun { run, file: self.file.clone() };
        match operation {
            Operation::Create { run, hash, definition, events } => {
                append::create(connection, run, (&hash, &definition), events).map(|()| Answer::Done)
            }
            Operation::Own { run } => append::own(connection, run, none(run)).map(Answer::Epoch),
            Operation::Append { run, after, epoch, events, taken } => {
                append::append(connection, run, (after, epoch), events, &taken, none(run)).map(Answer::Records)
            }
            Operation::Instruct { run, instruction, body } => {
                append::instruct(connection, run, &instruction, &body, none(run)).map(|()| Answer::Done)
            }
        }
    }

    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }

    /// SQLite may have rolled back by itself; that there is nothing left to roll back is then no error.
    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction that failed could not be rolled back; closing the database does it");
        }
    }
}

/// Why a request is not done.
enum Refusal {
    /// It alone: the others of its transaction go on.
    OfThis(JournalError),
    /// The database cannot be written.
    OfAll(JournalError),
}

fn refuse(replies: impl Iterator<Item = Reply>, error: &JournalError) {
    for reply in replies {
        let _ = reply.send(Err(error.clone()));
    }
}
