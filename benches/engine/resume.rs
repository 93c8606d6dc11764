//! How long it takes to take a run with 10,000 finished steps up again, beside reading the same rows raw.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use runsheet::engine::Stop;
use runsheet::model::event::{Event, Record};
use runsheet::model::id::{RunId, StepPath};
use runsheet::model::instruction::Command;
use runsheet::model::status::RunStatus;
use runsheet::ports::observer::{Observer, Progress};
use rusqlite::{Connection, OpenFlags};

use super::measure::{Failed, Wanted, figure, heading, median};
use super::scene::{Does, Scene, chain};

/// How many steps have finished.
const FINISHED: u64 = 10_000;
/// How many are left: each resume does one or two.
const LEFT: usize = 100;
/// How often it is resumed.
const TIMES: usize = 9;

/// Stops the run, gently, once so many steps have succeeded, and notes when the first of them was decided.
struct Halt {
    after: u64,
    seen: AtomicU64,
    decided: Mutex<Option<Instant>>,
    stop: Sender<Stop>,
}

impl Halt {
    fn new(after: u64) -> (Arc<Self>, Receiver<Stop>) {
        let (stop, from) = channel();
        (Arc::new(Self { after, seen: AtomicU64::new(0), decided: Mutex::new(None), stop }), from)
    }
}

impl Observer for Halt {
    fn committed(&self, _: RunId, records: &[Record]) {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        let more = records.iter().filter(|record| matches!(record.event, Event::StepSucceeded { .. })).count() as u64;
        let before = self.seen.fetch_add(more, Ordering::Relaxed);
        if before < self.after && before + more >= self.after {
            // The dispatcher is there: it has just told of a commit.
            let _ = self.stop.send(Stop::Gently);
        }
    }

    fn progress(&self, _: RunId, _: &StepPath, _: &Progress) {}
}

/// Resumes the run several times, each time from a closed store.
pub fn measure() -> Result<(), Failed> {
    heading(&format!("Resuming a run with {FINISHED} finished steps, beside reading the same rows raw"));
    let definition = chain(usize::try_from(FINISHED)? + LEFT, Does::Noop);
    let mut scene = Scene::new()?;
    let run = scene.create(&definition, 16)?;
    let (halt, stop) = Halt::new(FINISHED);
    let ended = scene.drive(run, Arc::clone(&halt) as Arc<dyn Observer>, stop, &[])?;
    if ended.status != RunStatus::Paused {
        return Err(format!("the run did not pause: it is {}", ended.status.as_str()).into());
    }
    let (mut engine, mut raws, mut ratios, mut rows) = (vec![], vec![], vec![], 0);
    for _ in 0..TIMES {
        let closed = scene.close()?;
        let began = Instant::now();
        let found = read_raw(&closed.file(), run)?;
        let raw = began.elapsed();
        rows = found;
        let (halt, stop) = Halt::new(1);
        let began = Instant::now();
        scene = closed.open()?;
        scene.drive(run, Arc::clone(&halt) as Arc<dyn Observer>, stop, &[Command::Resume])?;
        let decided = halt.decided.lock().unwrap_or_else(PoisonError::into_inner).ok_or("nothing was decided")?;
        let took = decided - began;
        engine.push(milliseconds(took));
        raws.push(milliseconds(raw));
        ratios.push(took.as_secs_f64() / raw.as_secs_f64());
    }
    figure("events read", rows as f64, "", Wanted::Nothing);
    figure("raw SQLite: open, read every row and the definition", median(raws), "ms", Wanted::Nothing);
    figure("the engine: open, read, check, fold, first decision committed", median(engine), "ms", Wanted::Nothing);
    figure(&format!("the engine's time by the raw time ({TIMES} times)"), median(ratios), "", Wanted::Nothing);
    Ok(())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Reads each column of each row into memory of its own, as any reader must; returns how many rows there were.
fn read_raw(file: &std::path::Path, run: RunId) -> Result<usize, Failed> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -2048; PRAGMA query_only = ON")?;
    let mut statement =
        connection.prepare("SELECT id, seq, epoch, at, kind, version, body, hash FROM events WHERE run_id = ?1 ORDER BY seq")?;
    type Row = (i64, i64, i64, i64, String, i64, String, Vec<u8>);
    let rows: Vec<Row> = statement
        .query_map([run.0.as_bytes().as_slice()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let body: String = connection.query_row("SELECT body FROM definitions", [], |row| row.get(0))?;
    std::hint::black_box((&rows, body));
    Ok(rows.len())
}
