//! Tests of the store as a whole, a file for each promise it makes, and what they share.

mod appends;
mod damage;
mod inbox;
mod ledger;
mod opening;
mod projections;
mod searching;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Access, Options, Store, definition_hash};
use crate::model::change::{Change, ObjectRef};
use crate::model::definition::Definition;
use crate::model::event::{Event, Record};
use crate::model::id::RunId;
use crate::model::inputs::ResolvedInputs;
use crate::model::intent::Intent;
use crate::model::playbook::Playbook;
use crate::model::run::{RunSpec, TargetSpec};
use crate::ports::journal::{Append, Journal, JournalError};

/// A database in a folder of its own.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("runsheet.db")
    }

    fn open(&self) -> Store {
        open(&self.file(), Access::ReadWrite).expect("the store opens")
    }

    /// The database as anybody can open it, beside the store.
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.file()).expect("the database opens")
    }
}

fn open(file: &Path, access: Access) -> Result<Store, JournalError> {
    Store::open_with(file, access, Options { busy_timeout: Duration::from_millis(100), max_pages: None })
}

/// Waits for one answer.
fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(answer)
}

fn id(number: u128) -> RunId {
    RunId(uuid::Uuid::from_u128(number))
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).expect("a time")
}

fn definition() -> Definition {
    let playbook = Playbook {
        name: "pre-event".to_owned(),
        summary: "Before an event".to_owned(),
        params: vec![],
        secrets: vec![],
        vars: vec![],
        steps: vec![],
        outputs: vec![],
        needs_target: true,
    };
    Definition {
        root: "pre-event".to_owned(),
        playbooks: BTreeMap::from([("pre-event".to_owned(), playbook)]),
        sources: BTreeMap::new(),
        plugins: BTreeMap::new(),
    }
}

fn created() -> Event {
    Event::RunCreated(Box::new(RunSpec {
        playbook: "pre-event".to_owned(),
        definition: definition_hash(&definition()),
        params: json!({ "level": "high" }).as_object().cloned().unwrap_or_default(),
        vars: Map::new(),
        target: Some(TargetSpec { environment: "sandbox".to_owned(), identity: Map::new(), values: Map::new() }),
        max_parallel: 16,
        by: "me@here".to_owned(),
    }))
}

async fn create(store: &Store, run: RunId) {
    store.create(run, &definition(), at(1_000), vec![created()]).await.expect("a run is created");
}

/// Appends, as the owner of this epoch who knows this many events.
async fn append(store: &Store, run: RunId, (after, epoch): (u64, u64), events: Vec<Event>) -> Result<Vec<Record>, JournalError> {
    store.append(Append { run, after, epoch, at: at(2_000), events, taken: vec![] }).await
}

fn succeeded(step: &str) -> Event {
    Event::StepSucceeded { step: step.into(), outputs: Value::Null, how: None }
}

/// A step that begins by setting the replicas from `prior` to `after`.
fn scaling(step: &str, occurrence: u32, prior: i64, after: i64) -> Event {
    Event::StepStarted { step: step.into(), occurrence, inputs: ResolvedInputs::default(), intent: Some(Box::new(intent(prior, after))) }
}

fn intent(prior: i64, after: i64) -> Intent {
    let change = Change {
        object: ObjectRef("k8s:1/production/deployment/ticket-service".to_owned()),
        field: "spec.replicas".to_owned(),
        label: "replicas".to_owned(),
        prior: json!(prior),
        after: json!(after),
    };
    Intent { prior: json!({ "replicas": prior }), changes: vec![change], ..Intent::default() }
}
