//! The loop around the machine: inputs in, events committed, tasks out. One thread, and the only one that touches the machine.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;
use jiff::{SignedDuration, Timestamp};
use tokio::task::AbortHandle;

use super::ended::{Ended, EngineError};
use super::executor::Executor;
use super::held_locks::HeldLocks;
use super::planning::ActionPlanning;
use super::setup::{Setup, Stay, Stop};
use super::starting::{give_back, interrupted_at_start, refuse, take_foreseeable};
use super::{crash, drift, inbox};
use crate::environment::Redactor;
use crate::machine::decide::{Answer, Decision, Input, Machine, decide};
use crate::machine::flight::Flight;
use crate::machine::task::Task;
use crate::machine::{CUT_OFF, State};
use crate::model::event::Event;
use crate::model::id::RunId;
use crate::model::instruction::{Command, Instruction};
use crate::model::outcome::{Applied, Failure};
use crate::model::status::RunStatus;
use crate::ports::journal::Append;

/// The most inputs that go into one commit.
const BATCH: usize = 256;
/// A wait for a time that is nearer than this is stayed for.
const NEAR: SignedDuration = SignedDuration::from_hours(1);
/// The longest sleep: a wall clock that was set is noticed within this.
const NAP: Duration = Duration::from_secs(20);

/// What the loop is told.
#[derive(Debug)]
pub(super) enum Message {
    Input(Input),
    Instruction(Instruction),
}

struct Dispatcher {
    setup: Setup,
    run: RunId,
    machine: Option<Machine>,
    seq: u64,
    executor: Arc<Executor>,
    locks: Arc<HeldLocks>,
    inputs: Receiver<Message>,
    to: Sender<Message>,
    aborts: HashMap<u64, AbortHandle>,
    /// Answers of actions that need no task of their own.
    ready: Vec<Input>,
    leaving: bool,
    interrupted: bool,
    locks_were_away: bool,
    drift: drift::Look,
    refused: Vec<(uuid::Uuid, String)>,
    hurried: bool,
}

/// Runs until there is nothing left to do, or to stay for. Blocks its thread.
///
/// # Errors
/// [`EngineError`]; whatever was committed stays, and `resume` goes on from it.
pub fn drive(state: State, setup: Setup) -> Result<Ended, EngineError> {
    let run = state.run;
    let (to, inputs) = channel();
    let holder = format!("run {} of {}, process {} on {}", run.short(), state.spec.playbook, std::process::id(), setup.host);
    let locks = HeldLocks::new(Arc::clone(&setup.locks), holder);
    match take_foreseeable(&state, &locks, &setup) {
        Ok(true) => {}
        Ok(false) => {
            give_back(&locks, &setup.runtime, false);
            return interrupted_at_start(&state, &setup);
        }
        Err(error) => {
            give_back(&locks, &setup.runtime, false);
            if let (EngineError::Locked { .. }, 1) = (&error, state.folded) {
                refuse(&setup, run, &error)?;
            }
            return Err(error);
        }
    }
    let executor = Arc::new(Executor {
        run,
        actions: setup.actions.clone(),
        target: setup.target.clone(),
        secrets: setup.secrets.clone(),
        redactor: Redactor::of(&setup.secrets),
        observer: Arc::clone(&setup.observer),
        clock: Arc::clone(&setup.clock),
        journal: Arc::clone(&setup.journal),
        locks: Arc::clone(&locks),
        files: setup.files.clone(),
        to: to.clone(),
    });
    let planner = Arc::new(ActionPlanning::new(setup.actions.clone()));
    let seq = state.folded;
    let locks_were_away = seq > 1;
    let machine = Some(Machine { state, flight: Flight::default(), planner });
    let mailbox = setup.runtime.spawn(inbox::watch(Arc::clone(&setup.journal), run, to.clone()));
    let mut dispatcher = Dispatcher {
        run,
        machine,
        seq,
        executor,
        locks,
        inputs,
        to,
        aborts: HashMap::new(),
        ready: Vec::new(),
        leaving: false,
        interrupted: false,
        locks_were_away,
        drift: drift::Look::default(),
        refused: Vec::new(),
        hurried: false,
        setup,
    };
    let mut result = dispatcher.run();
    mailbox.abort();
    dispatcher.aborts.values().for_each(AbortHandle::abort);
    dispatcher.drift.end();
    give_back(&dispatcher.locks, &dispatcher.setup.runtime, dispatcher.leaving);
    if let Ok(ended) = &mut result {
        ended.hurried = dispatcher.hurried || dispatcher.setup.stop.try_recv().is_ok();
    }
    result
}

impl Dispatcher {
    fn state(&self) -> &State {
        match &self.machine {
            Some(machine) => &machine.state,
            None => unreachable!("the machine is away only within `decide`"),
        }
    }

    fn tasks(&self) -> usize {
        self.machine.as_ref().map_or(0, |machine| machine.flight.tasks())
    }

    fn run(&mut self) -> Result<Ended, EngineError> {
        let owned = Input::Owned { pid: std::process::id(), host: self.setup.host.clone(), by: self.setup.by.clone() };
        let first: Vec<Message> = std::iter::once(Message::Input(owned))
            .chain(std::mem::take(&mut self.setup.instructions).into_iter().map(Message::Instruction))
            .collect();
        self.process(first)?;
        loop {
            // A run that has come to its end is not told to pause.
            if !self.is_over() {
                self.signals()?;
            }
            if self.is_over() {
                self.hurried |= self.setup.stop.try_recv().is_ok();
                // What somebody else has changed is told before the end, and kept with the run.
                if self.hurried || self.leaving || !self.drift.is_under_way() {
                    return Ok(self.ended());
                }
            }
            let looked = self.drift.has_looked();
            let batch = self.next_batch();
            if looked && batch.len() < BATCH {
                self.drift.end();
            }
            self.process(batch)?;
        }
    }

    fn ended(&mut self) -> Ended {
        let refused = std::mem::take(&mut self.refused);
        let state = self.state();
        Ended {
            status: state.status,
            reason: state.reason.clone(),
            interrupted: self.interrupted,
            hurried: false,
            unknown: state.has_unknown(),
            refused,
        }
    }

    /// Whether there is nothing left to do here.
    fn is_over(&self) -> bool {
        if self.tasks() > 0 || !self.ready.is_empty() {
            return false;
        }
        let state = self.state();
        if self.leaving {
            return true;
        }
        match state.status {
            RunStatus::Succeeded
            | RunStatus::SucceededWithFailures
            | RunStatus::Failed
            | RunStatus::RolledBack
            | RunStatus::Stuck
            | RunStatus::Cancelled
            | RunStatus::Paused => true,
            RunStatus::Running | RunStatus::RollingBack => false,
            RunStatus::Waiting => {
                self.setup.stay == Stay::WhileItGoesOn
                    && !self.machine.as_ref().is_some_and(|machine| machine.flight.watches())
                    && state.next_timer().is_none_or(|at| state.waits_for_person() || at.duration_since(self.setup.clock.now()) > NEAR)
            }
        }
    }

    /// Carries out what signals ask for.
    fn signals(&mut self) -> Result<(), EngineError> {
        while let Ok(stop) = self.setup.stop.try_recv() {
            self.interrupted = true;
            match stop {
                Stop::Gently => {
                    let id = uuid::Uuid::now_v7();
                    let instruction =
                        Instruction { id, by: self.setup.by.clone(), command: Command::Pause, reason: Some("interrupted".into()) };
                    self.process(vec![Message::Instruction(instruction)])?;
                    // What cannot be paused (a run that is ending) is left as it is once its tasks have ended.
                    if self.state().status != RunStatus::Paused {
                        self.leaving = true;
                    }
                }
                Stop::Now => {
                    self.leaving = true;
                    self.cut_everything()?;
                }
            }
        }
        Ok(())
    }

    /// Ends every task now. What was being applied is unknown.
    fn cut_everything(&mut self) -> Result<(), EngineError> {
        let cut: Vec<u64> = self.aborts.keys().copied().collect();
        for token in &cut {
            if let Some(abort) = self.aborts.remove(token) {
                abort.abort();
            }
        }
        let nodes = self.machine.as_ref().map(|machine| machine.flight.holders()).unwrap_or_default();
        let inputs = nodes
            .into_iter()
            .filter(|(_, _, applies)| *applies)
            .map(|(node, token, _)| {
                let failure = Failure::transient(CUT_OFF);
                Message::Input(Input::Answer { node, token, answer: Answer::Applied(Applied::Unknown { failure }) })
            })
            .collect();
        self.process(inputs)?;
        if let Some(machine) = self.machine.as_mut() {
            machine.flight = Flight::default();
        }
        Ok(())
    }

    /// Waits for something to happen, and takes whatever else has happened by then.
    fn next_batch(&mut self) -> Vec<Message> {
        let mut batch: Vec<Message> = self.ready.drain(..).map(Message::Input).collect();
        if batch.is_empty() {
            let until = self.state().next_timer().map(|at| until(self.setup.clock.now(), at));
            // Signals come by another way, and are looked for at least this often.
            let nap = until.unwrap_or(NAP).min(Duration::from_millis(100));
            match self.inputs.recv_timeout(nap) {
                Ok(message) => batch.push(message),
                Err(RecvTimeoutError::Timeout) => {
                    if self.state().next_timer().is_some_and(|at| at <= self.setup.clock.now()) {
                        batch.push(Message::Input(Input::Tick));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => unreachable!("the dispatcher keeps a sender"),
            }
        }
        while batch.len() < BATCH {
            match self.inputs.try_recv() {
                Ok(message) => batch.push(message),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        batch
    }

    /// Decides on these, commits what happened, then does what is to be done.
    fn process(&mut self, batch: Vec<Message>) -> Result<(), EngineError> {
        if batch.is_empty() {
            return Ok(());
        }
        let now = self.setup.clock.now();
        let mut events = Vec::new();
        let mut tasks: Vec<Task> = Vec::new();
        let mut dropped = Vec::new();
        let mut taken = Vec::new();
        for message in batch {
            let input = match message {
                Message::Input(Input::Answer { node, token, answer }) => {
                    self.aborts.remove(&token);
                    Input::Answer { node, token, answer }
                }
                Message::Input(input) => input,
                Message::Instruction(instruction) => {
                    taken.push(instruction.id);
                    Input::Instruction(instruction)
                }
            };
            let Some(machine) = self.machine.take() else { unreachable!("the machine is away only within `decide`") };
            let (machine, decision) = decide(machine, now, input);
            self.machine = Some(machine);
            let Decision { events: more, tasks: asked, dropped: let_go } = decision;
            events.extend(more);
            tasks.extend(asked);
            dropped.extend(let_go);
        }
        if !events.is_empty() || !taken.is_empty() {
            self.commit(now, events, taken)?;
        }
        for token in dropped {
            tasks.retain(|task| task.token != token);
            if let Some(abort) = self.aborts.remove(&token) {
                abort.abort();
            }
        }
        if self.leaving {
            // Recovery finds what was intended and not done.
            if let Some(machine) = self.machine.as_mut() {
                machine.flight.forget(tasks.iter().map(|task| task.node));
            }
            return Ok(());
        }
        for task in tasks {
            self.begin(task);
        }
        self.locks_and_drift();
        Ok(())
    }

    fn commit(&mut self, at: Timestamp, events: Vec<Event>, taken: Vec<uuid::Uuid>) -> Result<(), EngineError> {
        for event in &events {
            if let Event::InstructionRefused { id, why, .. } = event {
                self.refused.push((*id, why.clone()));
            }
        }
        crash::point("before-commit");
        let append = Append { run: self.run, after: self.seq, epoch: self.setup.epoch, at, events, taken };
        let records = block_on(self.setup.journal.append(append))?;
        crash::point("commit");
        if let Some(last) = records.last() {
            self.seq = last.seq;
        }
        self.setup.observer.committed(self.run, &records);
        Ok(())
    }

    fn begin(&mut self, task: Task) {
        if let Some(answer) = self.executor.immediate(&task) {
            self.ready.push(Input::Answer { node: task.node, token: task.token, answer });
            return;
        }
        let token = task.token;
        let mut work = Box::pin(Arc::clone(&self.executor).carry_out(task));
        // What has nothing to wait for is done at the first look, here, and wakes no other thread; whatever waits is looked at again there.
        let _within = self.setup.runtime.enter();
        if (&mut work).now_or_never().is_some() {
            return;
        }
        let handle = self.setup.runtime.spawn(work);
        self.aborts.insert(token, handle.abort_handle());
    }

    /// Locks are held only while something is being done; when they come back, it is looked for drift.
    fn locks_and_drift(&mut self) {
        let idle = self.tasks() == 0 && self.ready.is_empty();
        let status = self.state().status;
        let waits = matches!(status, RunStatus::Waiting | RunStatus::Paused) || status.is_finished();
        // A run may have come to its end with what it was told: it went on all the same.
        let goes_on = matches!(status, RunStatus::Running | RunStatus::Succeeded | RunStatus::SucceededWithFailures);
        if self.locks_were_away && goes_on {
            self.locks_were_away = false;
            let standing = self.state().standing_changes();
            if !standing.is_empty() {
                self.drift.begin(&self.executor, standing, &self.to, &self.setup.runtime);
            }
        }
        if idle && waits {
            let released = block_on(self.locks.release());
            self.locks_were_away |= released && !status.is_finished();
        }
    }
}

/// How long until then; nothing where it is over.
fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}
