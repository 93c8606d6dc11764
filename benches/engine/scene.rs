//! Playbooks of a given shape, and a run of one driven as the program drives it: read, fold, own, then the engine on a thread of its own.
//!
//! Must not measure: whoever is told of the commits does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use jiff::Timestamp;
use runsheet::actions::noop::Noop;
use runsheet::engine::lock_files::FileLocks;
use runsheet::engine::{Ended, Setup, Stay, Stop, drive};
use runsheet::environment::SecretValues;
use runsheet::machine::State;
use runsheet::model::definition::Definition;
use runsheet::model::event::Event;
use runsheet::model::id::RunId;
use runsheet::model::instruction::{Command, Instruction};
use runsheet::model::playbook::Playbook;
use runsheet::model::run::RunSpec;
use runsheet::model::step::{Accept, Effect, Need, Retry, Rollback, Step, Uses};
use runsheet::model::template::Template;
use runsheet::ports::action::{Action, Actions};
use runsheet::ports::clock::SystemClock;
use runsheet::ports::journal::Journal;
use runsheet::ports::observer::Observer;
use runsheet::store::{Access, Options, Store, definition_hash};
use serde_json::{Map, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::fields::Fields;
use super::measure::Failed;

/// The stack of the machine's thread, as the program gives it.
const STACK: usize = 16 * 1024 * 1024;
/// The database's name in its folder.
const DATABASE: &str = "runsheet.db";

/// What the steps of a playbook do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Nothing.
    Noop,
    /// Sets a field, whose prior value is observed first.
    Set,
}

/// A temporary folder on the disk that the build is on, never in memory.
pub fn folder() -> Result<TempDir, Failed> {
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// The id of a step, of the same length for each.
pub fn id(step: usize) -> String {
    format!("step{step:06}")
}

fn step(place: usize, needs: Option<usize>, does: Does) -> Step {
    let (name, with, effect) = match does {
        Does::Noop => ("noop", Template::empty_map(), Effect::Read),
        Does::Set => ("set", Template::Literal(json!({ "field": id(place), "value": 8 })), Effect::Idempotent),
    };
    Step {
        id: id(place),
        line: u32::try_from(place + 1).unwrap_or(u32::MAX),
        summary: None,
        needs: needs.map(|on| Need { step: id(on), accept: vec![Accept::Succeeded] }).into_iter().collect(),
        always: false,
        uses: Uses::Action { name: name.to_owned(), with, secrets: vec![] },
        when: None,
        at: None,
        for_each: None,
        before: vec![],
        after: vec![],
        rollback: Rollback::Auto,
        retry: Retry::default(),
        timeout: None,
        attempt_timeout: None,
        on_failure: None,
        approve: None,
        effect,
        outputs: vec![],
    }
}

fn definition(steps: Vec<Step>) -> Definition {
    let playbook = Playbook {
        name: "bench".to_owned(),
        summary: "Measured".to_owned(),
        params: vec![],
        secrets: vec![],
        vars: vec![],
        steps,
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

/// Each step needs the one before it.
pub fn chain(steps: usize, does: Does) -> Definition {
    definition((0..steps).map(|place| step(place, place.checked_sub(1), does)).collect())
}

/// One root, and so many steps that need it alone.
pub fn fan_out(width: usize) -> Definition {
    definition((0..=width).map(|place| step(place, (place > 0).then_some(0), Does::Noop)).collect())
}

/// A store in a folder, with what else a run needs.
pub struct Scene {
    /// The store.
    pub store: Arc<Store>,
    folder: TempDir,
    actions: Actions,
    runtime: Runtime,
}

impl Scene {
    /// An empty store in a folder of its own.
    pub fn new() -> Result<Self, Failed> {
        let folder = folder()?;
        let both: [Arc<dyn Action>; 2] = [Arc::new(Noop::default()), Arc::new(Fields::default())];
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Closed { folder, actions: Actions::new(both), runtime }.open()
    }

    /// The database.
    pub fn file(&self) -> &Path {
        self.store.file()
    }

    /// Closes the store, as the end of a process does.
    pub fn close(self) -> Result<Closed, Failed> {
        let Self { mut store, folder, actions, runtime } = self;
        let began = Instant::now();
        // The task that looks into the inbox was told to end, and lets go of the store when it does.
        while let Err(held) = Arc::try_unwrap(store).map(drop) {
            store = held;
            if began.elapsed() > Duration::from_secs(10) {
                return Err("something still holds the store".into());
            }
            std::thread::yield_now();
        }
        Ok(Closed { folder, actions, runtime })
    }

    /// Records a run.
    pub fn create(&self, definition: &Definition, max_parallel: u32) -> Result<RunId, Failed> {
        let run = RunId::generate();
        create(&self.store, run, definition, max_parallel)?;
        Ok(run)
    }

    /// Drives a run until there is nothing left to do.
    pub fn drive(&self, run: RunId, observer: Arc<dyn Observer>, stop: Receiver<Stop>, commands: &[Command]) -> Result<Ended, Failed> {
        let (state, epoch) = self.taken(run)?;
        let by = "bench@here".to_owned();
        let instructions = commands
            .iter()
            .map(|command| Instruction { id: uuid::Uuid::now_v7(), by: by.clone(), command: command.clone(), reason: None })
            .collect();
        let setup = Setup {
            journal: Arc::clone(&self.store) as Arc<dyn Journal>,
            actions: self.actions.clone(),
            clock: Arc::new(SystemClock),
            observer,
            locks: Arc::new(FileLocks::new(self.folder.path().join("locks"))),
            tell: Arc::new(|_| ()),
            secrets: SecretValues::new(),
            target: None,
            files: self.folder.path().join("files"),
            by,
            host: "here".to_owned(),
            epoch,
            wait_for_locks: false,
            stay: Stay::WhileItGoesOn,
            instructions,
            stop,
            runtime: self.runtime.handle().clone(),
        };
        let machine = std::thread::Builder::new().name("machine".to_owned()).stack_size(STACK);
        let thread = machine.spawn(move || drive(state, setup))?;
        Ok(thread.join().map_err(|_| "the machine's thread panicked")??)
    }

    /// The run's state from its journal, and the epoch to append with.
    fn taken(&self, run: RunId) -> Result<(State, u64), Failed> {
        let records = self.runtime.block_on(self.store.read(run, 0))?;
        let first = records.first().ok_or("the run has no events")?;
        let Event::RunCreated(spec) = &first.event else { return Err("the run does not begin with its creation".into()) };
        let definition = Arc::new(self.runtime.block_on(self.store.definition(&spec.definition))?);
        let mut state = State::created(run, first.at, spec, definition, Arc::new(self.actions.catalogue()));
        for record in &records[1..] {
            state.fold(record.at, &record.event);
        }
        Ok((state, block_on(self.store.own(run))?))
    }
}

/// A scene between two processes.
pub struct Closed {
    folder: TempDir,
    actions: Actions,
    runtime: Runtime,
}

impl Closed {
    /// The database.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(DATABASE)
    }

    /// Opens the store, as a new process does.
    pub fn open(self) -> Result<Scene, Failed> {
        let store = Arc::new(Store::open_with(&self.file(), Access::ReadWrite, Options::default())?);
        Ok(Scene { store, folder: self.folder, actions: self.actions, runtime: self.runtime })
    }
}

/// Records a run of this id in this store.
pub fn create(store: &Store, run: RunId, definition: &Definition, max_parallel: u32) -> Result<(), Failed> {
    let spec = RunSpec {
        playbook: definition.root.clone(),
        definition: definition_hash(definition),
        params: Map::new(),
        vars: Map::new(),
        target: None,
        max_parallel,
        by: "bench@here".to_owned(),
    };
    block_on(store.create(run, definition, Timestamp::now(), runsheet::machine::start(spec)))?;
    Ok(())
}
