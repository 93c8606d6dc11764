//! The engine where it waits for somebody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use runsheet::engine::lock_files::FileLocks;
use runsheet::engine::{Ended, Setup, Stay, Stop, drive};
use runsheet::environment::SecretValues;
use runsheet::machine::State;
use runsheet::model::catalogue::ActionEntry;
use runsheet::model::change::ObjectRef;
use runsheet::model::definition::Definition;
use runsheet::model::event::Event;
use runsheet::model::id::{ContentHash, RunId};
use runsheet::model::intent::Intent;
use runsheet::model::outcome::{Applied, Failure, Verdict};
use runsheet::model::playbook::Playbook;
use runsheet::model::run::RunSpec;
use runsheet::model::status::RunStatus;
use runsheet::model::step::{Effect, Retry, Rollback, Step, Uses};
use runsheet::model::template::Template;
use runsheet::ports::action::{Action, Actions, Context, Inputs, Plan};
use runsheet::ports::clock::SystemClock;
use runsheet::ports::journal::Journal;
use runsheet::ports::lock::{Attempt, Locks};
use runsheet::ports::observer::Silent;
use runsheet::store::{Access, Store, definition_hash};
use serde_json::{Map, Value, json};

/// Touches one object, and does nothing to it.
struct Touch;

#[async_trait]
impl Action for Touch {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::new(ActionEntry {
            name: "touch".into(),
            summary: String::new(),
            page: String::new(),
            inputs: json!({}),
            outputs: Vec::new(),
            effect: Effect::Idempotent,
            effect_from_step: false,
            observes: true,
            reverts: false,
            needs_target: false,
            immediate: false,
            touches: |_, _| vec![object()],
            by_hand: runsheet::model::by_hand::nothing_by_hand,
            permissions: runsheet::model::permission::needs_nothing,
        })
    }
    async fn observe(&self, _: &Context, _: &Inputs) -> Result<Value, Failure> {
        Ok(Value::Null)
    }
    fn plan(&self, _: &Context, _: &Inputs, _: &Value, _: &Rollback) -> Result<Plan, Failure> {
        Ok(Plan::default())
    }
    async fn apply(&self, _: &Context, _: &Inputs, _: &Intent) -> Applied {
        Applied::Applied { outputs: Value::Null }
    }
    async fn verify(&self, _: &Context, _: &Inputs, _: &Intent) -> Result<Verdict, Failure> {
        Ok(Verdict::Absent)
    }
}

fn object() -> ObjectRef {
    ObjectRef("test:touched/thing".into())
}

fn definition() -> Definition {
    let step = Step {
        id: "touch".into(),
        line: 1,
        summary: None,
        needs: Vec::new(),
        always: false,
        uses: Uses::Action { name: "touch".into(), with: Template::empty_map(), secrets: Vec::new() },
        when: None,
        at: None,
        for_each: None,
        before: Vec::new(),
        after: Vec::new(),
        rollback: Rollback::Auto,
        retry: Retry::default(),
        timeout: None,
        attempt_timeout: None,
        on_failure: None,
        approve: None,
        effect: Effect::Idempotent,
        outputs: Vec::new(),
    };
    let playbook = Playbook {
        name: "main".into(),
        summary: String::new(),
        params: Vec::new(),
        secrets: Vec::new(),
        vars: Vec::new(),
        steps: vec![step],
        outputs: Vec::new(),
        needs_target: false,
    };
    Definition {
        root: "main".into(),
        playbooks: BTreeMap::from([("main".into(), playbook)]),
        sources: BTreeMap::new(),
        plugins: BTreeMap::new(),
    }
}

/// Drives a new run in a thread of its own, waiting for locks; its signals are the sender's.
fn driven(folder: &std::path::Path, runtime: &tokio::runtime::Runtime) -> (Arc<Store>, RunId, Sender<Stop>, Receiver<Ended>) {
    let store = Arc::new(Store::open(&folder.join("runsheet.db"), Access::ReadWrite).unwrap());
    let (run, definition, at) = (RunId::generate(), definition(), Timestamp::now());
    let hash: ContentHash = definition_hash(&definition);
    let (params, vars) = (Map::new(), Map::new());
    let spec = RunSpec { playbook: "main".into(), definition: hash, params, vars, target: None, max_parallel: 4, by: "ana@desk".into() };
    runtime.block_on(store.create(run, &definition, at, vec![Event::RunCreated(Box::new(spec.clone()))])).unwrap();
    let epoch = runtime.block_on(store.own(run)).unwrap();
    let actions = Actions::new([Arc::new(Touch) as Arc<dyn Action>]);
    let state = State::created(run, at, &spec, Arc::new(definition), Arc::new(actions.catalogue()));
    let (signal, stop) = channel();
    let (to, ended) = channel();
    let setup = Setup {
        journal: Arc::clone(&store) as Arc<dyn Journal>,
        actions,
        clock: Arc::new(SystemClock),
        observer: Arc::new(Silent),
        locks: Arc::new(FileLocks::new(folder.join("locks"))),
        secrets: SecretValues::new(),
        target: None,
        files: folder.join("files"),
        by: "ana@desk".into(),
        host: "desk".into(),
        epoch,
        wait_for_locks: true,
        tell: Arc::new(|_| ()),
        stay: Stay::Always,
        instructions: Vec::new(),
        stop,
        runtime: runtime.handle().clone(),
    };
    std::thread::spawn(move || to.send(drive(state, setup).unwrap()));
    (store, run, signal, ended)
}

const SOON: Duration = Duration::from_secs(20);

#[test]
fn an_interrupt_ends_a_wait_for_a_lock_at_the_start_and_leaves_the_run_paused() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let others = FileLocks::new(folder.path().join("locks"));
    let Ok(Attempt::Taken(_held)) = futures::executor::block_on(others.try_lock(&object(), "run 2")) else { panic!("it is free") };
    let (store, run, signal, ended) = driven(folder.path(), &runtime);
    signal.send(Stop::Gently).unwrap();
    let ended = ended.recv_timeout(SOON).expect("it does not wait for the lock any more");
    assert_eq!((ended.status, ended.interrupted), (RunStatus::Paused, true));
    let records = runtime.block_on(store.read(run, 1)).unwrap();
    assert!(matches!(&records[..], [record] if matches!(record.event, Event::RunStatusChanged { status: RunStatus::Paused, .. })));
}

#[test]
fn a_wait_for_a_lock_at_the_start_ends_when_the_lock_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let others = FileLocks::new(folder.path().join("locks"));
    let Ok(Attempt::Taken(held)) = futures::executor::block_on(others.try_lock(&object(), "run 2")) else { panic!("it is free") };
    let (store, run, _signal, ended) = driven(folder.path(), &runtime);
    assert!(ended.try_recv().is_err());
    assert!(runtime.block_on(store.read(run, 1)).unwrap().is_empty(), "nothing is begun without it");
    drop(held);
    let began = Instant::now();
    assert_eq!(ended.recv_timeout(SOON).unwrap().status, RunStatus::Succeeded);
    assert!(began.elapsed() < SOON);
}
