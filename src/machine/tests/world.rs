//! A world for the machine to act on: fields with values, calls that were made, and faults to order. Time is a number that jumps to the next timer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::machine::decide::{Answer, Decision, Input, Machine, decide};
use crate::machine::flight::Flight;
use crate::machine::standing::standing;
use crate::machine::state::State;
use crate::machine::task::{PlanRequest, Planning, Task, What};
use crate::model::catalogue::{ActionEntry, Catalogue, touches_nothing};
use crate::model::change::{Change, ObjectRef};
use crate::model::definition::Definition;
use crate::model::duration::Span;
use crate::model::event::{Event, decode, encode};
use crate::model::id::{ContentHash, RunId, StepPath};
use crate::model::instruction::{Command, Instruction};
use crate::model::intent::{Intent, Revert};
use crate::model::ledger::LedgerEntry;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::playbook::Playbook;
use crate::model::run::RunSpec;
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::{Accept, Backoff, Effect, Need, OnFailure, Retry, Rollback, Step, Uses};
use crate::model::template::Template;

/// A step that does nothing in particular, to be changed by the test.
pub fn step(id: &str) -> Step {
    Step {
        id: id.into(),
        line: 1,
        summary: None,
        needs: Vec::new(),
        always: false,
        uses: Uses::Action { name: "noop".into(), with: Template::empty_map(), secrets: Vec::new() },
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
        effect: Effect::Read,
        outputs: Vec::new(),
    }
}

/// Sets a field of the world to a value; guarded, revertible, can be verified.
pub fn set(id: &str, field: &str, value: i64) -> Step {
    let with = Template::Literal(json!({ "field": field, "value": value }));
    Step { uses: Uses::Action { name: "set".into(), with, secrets: Vec::new() }, effect: Effect::Idempotent, ..step(id) }
}

/// Makes a call that must not be made twice and that nobody can ask about.
pub fn call_once(id: &str) -> Step {
    Step { uses: Uses::Action { name: "once".into(), with: Template::empty_map(), secrets: Vec::new() }, effect: Effect::Once, ..step(id) }
}

/// Makes a call that may be made again.
pub fn call_again(id: &str) -> Step {
    Step {
        uses: Uses::Action { name: "again".into(), with: Template::empty_map(), secrets: Vec::new() },
        effect: Effect::Idempotent,
        ..step(id)
    }
}

/// Makes a call by an action that knows its own effect.
pub fn call_sure(id: &str) -> Step {
    Step { uses: Uses::Action { name: "sure".into(), with: Template::empty_map(), secrets: Vec::new() }, ..call_again(id) }
}

pub trait StepExt: Sized {
    fn needs(self, ids: &[&str]) -> Self;
    fn accepts(self, id: &str, accept: &[Accept]) -> Self;
    fn on_failure(self, rule: OnFailure) -> Self;
    fn tries(self, attempts: u32) -> Self;
}

impl StepExt for Step {
    fn needs(mut self, ids: &[&str]) -> Self {
        self.needs.extend(ids.iter().map(|id| Need { step: (*id).into(), accept: vec![Accept::Succeeded] }));
        self
    }
    fn accepts(mut self, id: &str, accept: &[Accept]) -> Self {
        self.needs.push(Need { step: id.into(), accept: accept.to_vec() });
        self
    }
    fn on_failure(mut self, rule: OnFailure) -> Self {
        self.on_failure = Some(rule);
        self
    }
    fn tries(mut self, attempts: u32) -> Self {
        self.retry = Retry { attempts, backoff: Backoff::Exponential, initial: Span::seconds(1), max: Span::seconds(8), jitter: true };
        self
    }
}

pub fn playbook(name: &str, steps: Vec<Step>) -> Playbook {
    Playbook {
        name: name.into(),
        summary: String::new(),
        params: Vec::new(),
        secrets: Vec::new(),
        vars: Vec::new(),
        steps,
        outputs: Vec::new(),
        needs_target: false,
    }
}

pub fn definition(steps: Vec<Step>) -> Definition {
    with_called(steps, Vec::new())
}

pub fn with_called(steps: Vec<Step>, called: Vec<Playbook>) -> Definition {
    let mut playbooks: BTreeMap<String, Playbook> = called.into_iter().map(|called| (called.name.clone(), called)).collect();
    playbooks.insert("main".into(), playbook("main", steps));
    Definition { root: "main".into(), playbooks, sources: BTreeMap::new(), plugins: BTreeMap::new() }
}

fn entry(name: &str, effect: Effect, observes: bool, reverts: bool) -> Arc<ActionEntry> {
    Arc::new(ActionEntry {
        name: name.into(),
        summary: String::new(),
        page: String::new(),
        inputs: json!({}),
        outputs: Vec::new(),
        effect,
        effect_from_step: true,
        observes,
        reverts,
        needs_target: false,
        immediate: false,
        touches: touches_nothing,
        by_hand: crate::model::by_hand::nothing_by_hand,
        permissions: crate::model::permission::needs_nothing,
    })
}

pub fn catalogue() -> Arc<Catalogue> {
    Arc::new(Catalogue::new([
        entry("noop", Effect::Read, false, false),
        entry("set", Effect::Idempotent, true, true),
        entry("once", Effect::Once, false, false),
        entry("again", Effect::Idempotent, false, false),
        Arc::new(ActionEntry { effect_from_step: false, ..ActionEntry::clone(&entry("sure", Effect::Idempotent, false, false)) }),
    ]))
}

struct Plans;

impl Planning for Plans {
    fn plan(&self, request: PlanRequest<'_>) -> Result<(Intent, Option<Value>), Failure> {
        Ok(match request.action {
            "set" => {
                let field = request.inputs.value["field"].as_str().unwrap_or_default();
                let after = request.inputs.value["value"].clone();
                if *request.prior == after {
                    return Ok((Intent::default(), Some(json!({ "value": after }))));
                }
                let change = Change {
                    object: ObjectRef(format!("world/{field}")),
                    field: field.into(),
                    label: field.into(),
                    prior: request.prior.clone(),
                    after,
                };
                (Intent { changes: vec![change], revert: Revert::Fields { settle: Span::seconds(60) }, ..Intent::default() }, None)
            }
            "noop" => (Intent::default(), None),
            _ => (Intent { revert: Revert::Keep { reason: "no revert".into() }, ..Intent::default() }, None),
        })
    }
}

/// What is ordered to go wrong, by step.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// So many attempts certainly do not reach the target.
    Refused(u32),
    /// No attempt ever succeeds.
    Broken,
    /// So many answers are lost after the effect.
    AnswerLost(u32),
    /// So many requests are lost before the effect, and nobody knows.
    RequestLost(u32),
    /// So many attempts fail and may have had an effect.
    FailsWithEffect(u32),
    /// Its revert never works.
    RevertBroken,
    /// So many answers of its revert are lost after the effect.
    RevertAnswerLost(u32),
    /// Somebody else sets its field to this, once its attempt has worked.
    Foreign(i64),
    /// The platform never follows its revert.
    NeverFollows,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    pub fields: BTreeMap<String, i64>,
    /// How often each `once` and `again` call took effect.
    pub calls: BTreeMap<String, u32>,
    pub faults: BTreeMap<String, Vec<Fault>>,
    /// Effects in order, for tests of order.
    pub log: Vec<String>,
    /// The alerts whose conditions hold.
    pub alarms: Vec<String>,
}

impl World {
    /// The fields start at these values.
    pub fn of(fields: &[(&str, i64)]) -> Self {
        Self { fields: fields.iter().map(|(name, value)| ((*name).into(), *value)).collect(), ..Self::default() }
    }

    pub fn fault(mut self, step: &str, fault: Fault) -> Self {
        self.faults.entry(step.into()).or_default().push(fault);
        self
    }

    /// Whether this fault strikes now; those that count are used up.
    fn strikes(&mut self, step: &StepPath, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let fault = self.faults.get_mut(step.as_str())?.iter_mut().find(|fault| wanted(fault))?;
        let found = fault.clone();
        match fault {
            Fault::Refused(n) | Fault::AnswerLost(n) | Fault::RequestLost(n) | Fault::FailsWithEffect(n) | Fault::RevertAnswerLost(n) => {
                if *n == 0 {
                    return None;
                }
                *n -= 1;
            }
            Fault::Broken | Fault::RevertBroken | Fault::Foreign(_) | Fault::NeverFollows => {}
        }
        Some(found)
    }

    fn value(&self, field: &str) -> Value {
        self.fields.get(field).map_or(Value::Null, |value| json!(value))
    }

    fn effect(&mut self, step: &StepPath, action: &str, inputs: &Value, intent: &Intent) -> Applied {
        match action {
            "set" => {
                let change = &intent.changes[0];
                let live = self.value(&change.field);
                if live == change.after {
                    return Applied::Applied { outputs: json!({ "value": change.after }) };
                }
                if live != change.prior {
                    return Applied::NotApplied { failure: Failure::permanent("somebody else changed it") };
                }
                self.fields.insert(change.field.clone(), inputs["value"].as_i64().unwrap_or_default());
                self.log.push(format!("{step}: {} {} -> {}", change.field, change.prior, change.after));
            }
            "once" | "again" | "sure" => {
                *self.calls.entry(step.to_string()).or_default() += 1;
                self.log.push(format!("{step}: call"));
            }
            _ => {}
        }
        Applied::Applied { outputs: json!({}) }
    }

    /// Carries a task out and gives its answer.
    pub fn carry_out(&mut self, task: &Task, ledger: &[LedgerEntry]) -> Answer {
        let unknown = || Applied::Unknown { failure: Failure::transient("the answer was lost") };
        match &task.what {
            What::Watch(_) => Answer::Watched(Ok(json!({ "samples": 1 }))),
            What::Observe { inputs, .. } => Answer::Observed(Ok(self.value(inputs.value["field"].as_str().unwrap_or_default()))),
            What::Check { check, .. } => Answer::Checked(
                check.holds(&Value::Null).and_then(
                    |holds| {
                        if holds { Ok(()) } else { Err(Failure::permanent(check.complaint(&Value::Null))) }
                    },
                ),
            ),
            What::Apply { action, inputs, intent } | What::RevertApply { action, inputs, intent } => {
                if matches!(task.what, What::RevertApply { .. }) {
                    if self.strikes(&task.step, |fault| matches!(fault, Fault::RevertBroken)).is_some() {
                        return Answer::Applied(Applied::NotApplied { failure: Failure::transient("refused") });
                    }
                    let outcome = self.effect(&task.step, action, &inputs.value, intent);
                    let lost = self.strikes(&task.step, |fault| matches!(fault, Fault::RevertAnswerLost(n) if *n > 0)).is_some();
                    return Answer::Applied(if lost { unknown() } else { outcome });
                }
                if self.strikes(&task.step, |fault| matches!(fault, Fault::Refused(n) if *n > 0)).is_some() {
                    return Answer::Applied(Applied::NotApplied { failure: Failure::transient("refused") });
                }
                if self.strikes(&task.step, |fault| matches!(fault, Fault::Broken)).is_some() {
                    return Answer::Applied(Applied::NotApplied { failure: Failure::permanent("broken") });
                }
                if self.strikes(&task.step, |fault| matches!(fault, Fault::RequestLost(n) if *n > 0)).is_some() {
                    return Answer::Applied(unknown());
                }
                let outcome = self.effect(&task.step, action, &inputs.value, intent);
                if self.strikes(&task.step, |fault| matches!(fault, Fault::AnswerLost(n) if *n > 0)).is_some() {
                    return Answer::Applied(unknown());
                }
                if self.strikes(&task.step, |fault| matches!(fault, Fault::FailsWithEffect(n) if *n > 0)).is_some() {
                    return Answer::Applied(Applied::FailedWithEffect { failure: Failure::permanent("exit 1"), outputs: json!({}) });
                }
                if let Some(Fault::Foreign(value)) = self.strikes(&task.step, |fault| matches!(fault, Fault::Foreign(_))) {
                    self.fields.insert(intent.changes[0].field.clone(), value);
                }
                Answer::Applied(outcome)
            }
            What::Verify { action, intent, .. } | What::RevertVerify { action, intent, .. } => {
                Answer::Verified(Ok(match action.as_str() {
                    "set" => {
                        let change = &intent.changes[0];
                        match self.value(&change.field) {
                            live if live == change.after => Verdict::Present { outputs: json!({ "value": live }) },
                            live if live == change.prior => Verdict::Absent,
                            live => Verdict::CannotTell { reason: format!("it is {live}") },
                        }
                    }
                    _ => Verdict::CannotTell { reason: "nobody can be asked".into() },
                }))
            }
            What::ReadLive { intent, .. } => Answer::Live(Ok(intent
                .changes
                .iter()
                .map(|change| {
                    let live = self.value(&change.field);
                    let chain: Vec<LedgerEntry> = ledger.iter().filter(|entry| entry.change.field == change.field).cloned().collect();
                    standing(change, (!live.is_null()).then_some(&live), &chain)
                })
                .collect())),
            What::Swap { swaps, .. } => {
                if self.strikes(&task.step, |fault| matches!(fault, Fault::RevertBroken)).is_some() {
                    return Answer::Swapped(Applied::NotApplied { failure: Failure::transient("refused") });
                }
                for swap in swaps {
                    if self.value(&swap.field) != swap.from {
                        return Answer::Swapped(Applied::NotApplied { failure: Failure::transient("it has changed") });
                    }
                    self.fields.insert(swap.field.clone(), swap.to.as_i64().unwrap_or_default());
                    self.log.push(format!("{}: {} back to {}", task.step, swap.field, swap.to));
                }
                if self.strikes(&task.step, |fault| matches!(fault, Fault::RevertAnswerLost(n) if *n > 0)).is_some() {
                    return Answer::Swapped(unknown());
                }
                Answer::Swapped(Applied::Applied { outputs: Value::Null })
            }
            What::Follow { .. } => Answer::Followed(Ok(match self.strikes(&task.step, |fault| matches!(fault, Fault::NeverFollows)) {
                Some(_) => Followed::No { holds: "3 pods remain".into() },
                None => Followed::Yes,
            })),
        }
    }
}

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
