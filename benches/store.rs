//! What the store costs beside raw SQLite that writes the same rows with one commit a step, on the same disk.
//!
//! The raw side does what no store can do without: the same tables and indices, the same pragmas, prepared statements, one transaction a
//! step. It does not encode, hash, check fences, or hand work to another thread; the ratio is the price of those.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_main};
use jiff::Timestamp;
use runsheet::model::definition::Definition;
use runsheet::model::event::{Event, encode};
use runsheet::model::id::RunId;
use runsheet::model::inputs::ResolvedInputs;
use runsheet::model::intent::Intent;
use runsheet::model::playbook::Playbook;
use runsheet::model::run::RunSpec;
use runsheet::ports::journal::{Append, Journal};
use runsheet::store::{Access, Options, Store, definition_hash};
use rusqlite::{Connection, params};
use serde_json::{Map, Value};

/// How many steps one measured chain has.
const STEPS: u64 = 1_000;

/// How many steps share an append in the fan-out.
const WIDTH: u64 = 16;

fn definition() -> Definition {
    let playbook = Playbook {
        name: "bench".to_owned(),
        summary: "A chain".to_owned(),
        params: vec![],
        secrets: vec![],
        vars: vec![],
        steps: vec![],
        outputs: vec![],
        needs_target: false,
    };
    Definition {
        root: "bench".to_owned(),
        playbooks: BTreeMap::from([("bench".to_owned(), playbook)]),
        sources: BTreeMap::new(),
        plugins: BTreeMap::new(),
    }
}

fn started(step: u64) -> Event {
    let intent = Some(Box::new(Intent::default()));
    Event::StepStarted { step: path(step).as_str().into(), occurrence: 1, inputs: ResolvedInputs::default(), intent }
}

fn succeeded(step: u64) -> Event {
    Event::StepSucceeded { step: path(step).as_str().into(), outputs: Value::Object(Map::new()), how: None }
}

fn path(step: u64) -> String {
    format!("step{step:06}")
}

/// The events of one commit: the end of some steps and the intent of as many others.
fn events(commit: u64, width: u64) -> Vec<Event> {
    let (this, next) = (commit * width..(commit + 1) * width, (commit + 1) * width..(commit + 2) * width);
    this.map(succeeded).chain(next.map(started)).collect()
}

/// A store with one run in it.
fn store(folder: &Path, run: RunId) -> Store {
    let store = Store::open_with(&folder.join("store.db"), Access::ReadWrite, Options::default()).expect("the store opens");
    let definition = definition();
    let spec = RunSpec {
        playbook: "bench".to_owned(),
        definition: definition_hash(&definition),
        params: Map::new(),
        vars: Map::new(),
        target: None,
        max_parallel: 16,
        by: "me@here".to_owned(),
    };
    let created = Event::RunCreated(Box::new(spec));
    runtime().block_on(store.create(run, &definition, Timestamp::UNIX_EPOCH, vec![created])).expect("a run is created");
    store
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// The time of that many commits through the store.
fn through_the_store(commits: u64, width: u64) -> Duration {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = RunId::generate();
    let store = store(folder.path(), run);
    let runtime = runtime();
    runtime.block_on(async {
        let began = Instant::now();
        let mut after = 1;
        for commit in 0..commits {
            let append = Append { run, after, epoch: 0, at: Timestamp::UNIX_EPOCH, events: events(commit, width), taken: vec![] };
            after += store.append(append).await.expect("it is appended").len() as u64;
        }
        began.elapsed()
    })
}

/// The time of the same commits by raw SQLite: the same rows into the same tables and indices, already encoded.
fn raw(commits: u64, width: u64) -> Duration {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = RunId::generate();
    drop(store(folder.path(), run));
    let rows: Vec<Vec<(Event, String)>> = (0..commits)
        .map(|commit| {
            events(commit, width)
                .into_iter()
                .map(|event| {
                    let body = encode(&event);
                    (event, body)
                })
                .collect()
        })
        .collect();
    let connection = Connection::open(folder.path().join("store.db")).expect("the database opens");
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY")
        .expect("pragmas");
    write_raw(&connection, run, &rows).expect("it is written")
}

fn write_raw(connection: &Connection, run: RunId, commits: &[Vec<(Event, String)>]) -> rusqlite::Result<Duration> {
    let id = run.0.as_bytes().as_slice();
    let began = Instant::now();
    let mut begin = connection.prepare("BEGIN IMMEDIATE")?;
    let mut commit = connection.prepare("COMMIT")?;
    let mut event = connection
        .prepare("INSERT INTO events (run_id, seq, epoch, at, kind, version, body, hash) VALUES (?1, ?2, 0, 0, ?3, 1, ?4, ?5)")?;
    let mut step = connection.prepare(
        "INSERT INTO steps (run_id, path, status, occurrence, attempt, intent, started_at, ended_at) VALUES (?1, ?2, ?3, 1, 1, 1, 0, 0) \
         ON CONFLICT (run_id, path) DO UPDATE SET status = ?3, ended_at = 0",
    )?;
    let mut head = connection.prepare("UPDATE runs SET head_seq = ?2, head_hash = ?3, updated_at = 0 WHERE id = ?1")?;
    let hash = [7_u8; 32];
    let mut seq = 1_i64;
    for rows in commits {
        begin.execute([])?;
        for (of, body) in rows {
            seq += 1;
            event.execute(params![id, seq, of.kind(), body, hash.as_slice()])?;
        }
        for (of, _) in rows {
            if let (Some(path), Some(status)) = (of.step(), of.step_status()) {
                step.execute(params![id, path.as_str(), status.as_str()])?;
            }
        }
        head.execute(params![id, seq, hash.as_slice()])?;
        commit.execute([])?;
    }
    Ok(began.elapsed())
}

#[expect(clippy::print_stdout, reason = "the ratio is what this bench is for")]
fn chain(criterion: &mut Criterion) {
    for (name, width) in [("chain", 1), ("fan-out of 16", WIDTH)] {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).measurement_time(Duration::from_secs(6)).warm_up_time(Duration::from_secs(1));
        let commits = STEPS / width;
        group.bench_function("raw SQLite", |bencher| bencher.iter_custom(|times| (0..times).map(|_| raw(commits, width)).sum()));
        group.bench_function("the store", |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| through_the_store(commits, width)).sum())
        });
        group.finish();
        // Side by side, so that both meet the same disk at the same time.
        let (mut one, mut other) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..5 {
            one += raw(commits, width);
            other += through_the_store(commits, width);
        }
        let each = |total: Duration| total.as_secs_f64() * 1e6 / (5 * commits) as f64;
        println!("{name}: raw {:.0} us a commit, the store {:.0} us, ratio {:.2}", each(one), each(other), each(one) / each(other));
    }
}

mod group {
    criterion::criterion_group!(benches, super::chain);
}

criterion_main!(group::benches);
