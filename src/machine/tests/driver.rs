//! Drives the machine through a world, as the engine would. Time is a number that jumps to the next timer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::fixtures::{Plans, catalogue};
use super::world::World;
use crate::machine::decide::{Decision, Input, Machine, decide};
use crate::machine::flight::Flight;
use crate::machine::state::State;
use crate::machine::task::{Task, What};
use crate::model::definition::Definition;
use crate::model::event::{Event, decode, encode};
use crate::model::id::{ContentHash, RunId, StepPath};
use crate::model::instruction::{Command, Instruction};
use crate::model::ledger::LedgerEntry;
use crate::model::run::RunSpec;
use crate::model::status::{RunStatus, StepStatus};

/// One commit: the events, and the world right after it and right before the next.
#[derive(Clone, Debug)]
pub struct Commit {
    pub events: Vec<Event>,
    pub after: World,
    pub in_flight: Vec<Task>,
}

/// Drives a run to where nothing more happens by itself.
pub struct Driver {
    pub machine: Option<Machine>,
    pub world: World,
    pub now: Timestamp,
    pub queue: VecDeque<Task>,
    pub journal: Vec<Commit>,
    pub definition: Arc<Definition>,
    pub ledger: Vec<LedgerEntry>,
    /// Takes the newest task first, for other orders of the same events.
    pub newest_first: bool,
    /// The tasks that sample and have told what they see.
    pub told: Vec<u64>,
}

pub const RUN: RunId = RunId(uuid::Uuid::from_u128(42));

fn spec(max_parallel: u32) -> RunSpec {
    RunSpec {
        playbook: "main".into(),
        definition: ContentHash::of(b"main"),
        params: serde_json::Map::new(),
        vars: serde_json::Map::new(),
        target: None,
        max_parallel,
        by: "ana@desk".into(),
    }
}

impl Driver {
    pub fn start(definition: Definition, world: World) -> Self {
        Self::start_with(definition, world, 4)
    }

    pub fn start_with(definition: Definition, world: World, max_parallel: u32) -> Self {
        let mut driver = Self::begin(definition, world, max_parallel);
        driver.run();
        driver
    }

    /// Starts, and leaves what is on its way to [`answer`](Self::answer): for orders that `run` does not give.
    pub fn begin(definition: Definition, world: World, max_parallel: u32) -> Self {
        let now = Timestamp::from_second(1_800_000_000).unwrap_or_default();
        let first = Event::RunCreated(Box::new(spec(max_parallel)));
        let mut driver = Self {
            machine: None,
            world: world.clone(),
            now,
            queue: VecDeque::new(),
            journal: vec![Commit { events: vec![first], after: world, in_flight: Vec::new() }],
            definition: Arc::new(definition),
            ledger: Vec::new(),
            newest_first: false,
            told: Vec::new(),
        };
        driver.take();
        driver
    }

    /// Answers this step's task, and no other.
    pub fn answer(&mut self, step: &str) {
        let at = self.queue.iter().position(|task| task.step.as_str() == step);
        let task = at.and_then(|at| self.queue.remove(at)).unwrap_or_else(|| panic!("{step} has no task among {:?}", self.queue));
        let answer = self.world.carry_out(&task, &self.ledger);
        self.tell(Input::Answer { node: task.node, token: task.token, answer });
    }

    /// Tells the machine, and answers nothing.
    pub fn say(&mut self, command: Command) {
        let id = uuid::Uuid::from_u128(5000 + self.journal.len() as u128);
        self.tell(Input::Instruction(Instruction { id, by: "ana@desk".into(), command, reason: None }));
    }

    /// A new process takes the run over from these commits, in this world.
    pub fn recover(journal: Vec<Commit>, world: World, definition: &Arc<Definition>, now: Timestamp) -> Self {
        let mut driver = Self::take_over(journal, world, definition, now);
        driver.run();
        driver
    }

    /// The same, with nothing answered yet.
    pub fn take_over(journal: Vec<Commit>, world: World, definition: &Arc<Definition>, now: Timestamp) -> Self {
        let mut driver = Self {
            machine: None,
            world,
            now,
            queue: VecDeque::new(),
            journal,
            definition: Arc::clone(definition),
            ledger: Vec::new(),
            newest_first: false,
            told: Vec::new(),
        };
        let events: Vec<Event> = driver.events().cloned().collect();
        events.iter().for_each(|event| driver.enter(event));
        driver.take();
        driver
    }

    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.journal.iter().flat_map(|commit| &commit.events)
    }

    /// The state that the journal folds to.
    pub fn folded(&self) -> State {
        let mut events = self.events();
        let Some(Event::RunCreated(spec)) = events.next() else { unreachable!("the first event") };
        let mut state = State::created(RUN, self.now, spec, Arc::clone(&self.definition), catalogue());
        for event in events {
            // As it would come from the store.
            let stored = decode(crate::model::event::VERSION, &encode(event)).unwrap_or_else(|error| panic!("{event:?}: {error}"));
            assert_eq!(&stored, event);
            state.fold(self.now, &stored);
        }
        state
    }

    fn take(&mut self) {
        self.machine = Some(Machine { state: self.folded(), flight: Flight::default(), planner: Arc::new(Plans) });
        self.tell(Input::Owned { pid: 1, host: "desk".into(), by: "ana".into() });
    }

    fn enter(&mut self, event: &Event) {
        let (step, intent, occurrence) = match event {
            Event::StepStarted { step, intent: Some(intent), occurrence, .. } => (step, intent, *occurrence),
            Event::AttemptStarted { step, intent, .. } => (step, intent, 1),
            Event::StepRolledBack { step, .. } => {
                self.ledger.iter_mut().filter(|entry| entry.step == *step).for_each(|entry| entry.reverted = true);
                return;
            }
            _ => return,
        };
        self.ledger.retain(|entry| entry.step != *step || entry.reverted);
        for change in &intent.changes {
            let position = i64::try_from(self.ledger.len()).unwrap_or(0);
            self.ledger.push(LedgerEntry {
                run: RUN,
                step: step.clone(),
                occurrence,
                change: change.clone(),
                settled: false,
                gives_back: false,
                reverted: false,
                reverted_at: None,
                position,
            });
        }
    }

    pub fn tell(&mut self, input: Input) {
        let machine = self.machine.take().unwrap_or_else(|| unreachable!("a machine between inputs"));
        let (machine, Decision { events, tasks, dropped }) = decide(machine, self.now, input);
        self.machine = Some(machine);
        self.queue.retain(|task| !dropped.contains(&task.token));
        events.iter().for_each(|event| self.enter(event));
        self.queue.extend(tasks);
        if !events.is_empty() {
            self.journal.push(Commit { events, after: self.world.clone(), in_flight: self.queue.iter().cloned().collect() });
        }
        assert!(self.journal.len() < 20_000, "it never ends");
    }

    pub fn state(&self) -> &State {
        &self.machine.as_ref().unwrap_or_else(|| unreachable!("a machine between inputs")).state
    }

    /// Until nothing more happens by itself. Timers come at once.
    pub fn run(&mut self) {
        loop {
            // Samples go on while anything else does.
            let works = |task: &Task| !matches!(task.what, What::Watch(_));
            let at = if self.newest_first { self.queue.iter().rposition(works) } else { self.queue.iter().position(works) };
            if let (None, Some(task)) = (at, self.queue.front().cloned())
                && !self.told.contains(&task.token)
            {
                self.told.push(task.token);
                self.alarm(&task);
                continue;
            }
            if let Some(task) = self.queue.remove(at.unwrap_or(0)) {
                let answer = self.world.carry_out(&task, &self.ledger);
                self.tell(Input::Answer { node: task.node, token: task.token, answer });
                continue;
            }
            match self.state().next_timer() {
                Some(at) if !self.state().status.is_finished() && self.state().status != RunStatus::Paused => {
                    self.now = self.now.max(at);
                    self.tell(Input::Tick);
                }
                _ => break,
            }
        }
    }

    /// A task that samples says which of its alerts' conditions hold.
    pub fn alarm(&mut self, task: &Task) {
        for alert in self.world.alarms.clone() {
            let (node, token) = (task.node, task.token);
            self.tell(Input::Alarm { node, token, alert, message: Some("91 % busy".into()), series: serde_json::Map::new() });
        }
    }

    pub fn instruct(&mut self, command: Command) {
        let id = uuid::Uuid::from_u128(1000 + self.journal.len() as u128);
        self.tell(Input::Instruction(Instruction { id, by: "ana@desk".into(), command, reason: Some("tested".into()) }));
        self.run();
    }

    pub fn status(&self) -> RunStatus {
        self.state().status
    }

    pub fn step(&self, path: &str) -> StepStatus {
        self.state().step_status(&StepPath::from(path)).unwrap_or_else(|| panic!("there is no step {path}"))
    }

    /// Every step's status, by path.
    pub fn statuses(&self) -> BTreeMap<String, StepStatus> {
        self.state().steps().map(|(path, status)| (path.to_string(), status)).collect()
    }

    /// Answers every unknown step as an operator would who looks at the world.
    pub fn answer_unknown(&mut self) {
        loop {
            let unknown = self.state().steps().find(|(_, status)| *status == StepStatus::Unknown).map(|(path, _)| path.clone());
            let Some(step) = unknown else { break };
            let done = self.world.calls.contains_key(step.as_str());
            let command = if done { Command::MarkDone { step, outputs: Value::Null } } else { Command::Retry { step } };
            self.instruct(command);
        }
    }
}
