//! Takes a run and drives it: the one way in which anything happens to a run.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::notify::Both;
use super::operator::host;
use super::prepare::{go_without_secrets, secrets_at_hand, secrets_of};
use super::{App, AppError};
use crate::engine::leases::{LeaseCluster, LeaseLocks, Terms};
use crate::engine::lock_files::FileLocks;
use crate::engine::ownership::{Owner, Ownership};
use crate::engine::{Ended, Setup, Stay, Stop, drive};
use crate::environment::{Connections, Environment};
use crate::machine::State;
use crate::model::definition::Definition;
use crate::model::event::{Event, Record};
use crate::model::id::RunId;
use crate::model::instruction::{Command, Instruction};
use crate::ports::clock::SystemClock;
use crate::ports::journal::{Journal, JournalError};
use crate::ports::lock::Locks;
use crate::ports::observer::Observer;

/// The machine's thread: expressions are shallow by their limits, and journals fold without recursion; this is room to spare.
const STACK: usize = 16 * 1024 * 1024;

/// How a run is driven.
pub struct Driving {
    /// Who is told.
    pub observer: Arc<dyn Observer>,
    /// How long it is stayed with a run that only waits.
    pub stay: Stay,
    /// Wait for locks that others hold, at the start.
    pub wait_for_locks: bool,
    /// What the run is told first, in this order.
    pub commands: Vec<(Command, Option<String>)>,
    /// Where it is said what people could not be told. Called from any thread.
    pub warn: crate::notify::Warn,
    /// Where signals come from; `None`: the process's own (Ctrl-C, SIGTERM).
    pub stop: Option<Receiver<Stop>>,
}

impl App {
    /// The run's first event and all after it.
    ///
    /// # Errors
    /// [`AppError::Journal`]
    pub fn records(&self, run: RunId) -> Result<Vec<Record>, AppError> {
        let Some(store) = self.store_if_any()? else { return Err(AppError::NoRuns { state: self.locations.state.clone() }) };
        Ok(futures::executor::block_on(store.read(run, 0))?)
    }

    /// What a run executes, as it was when it started.
    ///
    /// # Errors
    /// [`AppError::Journal`]
    pub fn definition_of(&self, records: &[Record]) -> Result<Definition, AppError> {
        let Some(store) = self.store_if_any()? else { return Err(AppError::NoRuns { state: self.locations.state.clone() }) };
        let Some(Record { event: Event::RunCreated(spec), .. }) = records.first() else { return Err(self.damaged()) };
        Ok(futures::executor::block_on(store.definition(&spec.definition))?)
    }

    fn damaged(&self) -> AppError {
        JournalError::Damaged { file: self.locations.state.clone(), what: "a run does not begin with its creation".to_owned() }.into()
    }

    /// The live process that has the run.
    ///
    /// # Errors
    /// When the lock's file cannot be used.
    pub fn owner(&self, run: RunId) -> Result<Owner, AppError> {
        Ok(Ownership::owner(&self.locations.state_folder(), run)?)
    }

    /// Takes the run over and drives it until there is nothing left to do, or to stay for.
    ///
    /// # Errors
    /// [`AppError`]. Whatever was committed stays.
    pub fn drive(&self, run: RunId, driving: Driving) -> Result<Ended, AppError> {
        let by = super::operator();
        raise_descriptor_limit();
        let store = self.store()?;
        // The lock first, so that nobody else appends to what is read now; the file lock is let go of when this returns.
        let _ownership = Ownership::take(&self.locations.state_folder(), run, &by, Timestamp::now())?;
        let records = futures::executor::block_on(store.read(run, 0))?;
        let Some(Record { event: Event::RunCreated(spec), at, .. }) = records.first() else { return Err(self.damaged()) };
        let definition = Arc::new(futures::executor::block_on(store.definition(&spec.definition))?);
        let environment = self.environment_of_run(spec.target.as_ref().map(|target| target.environment.as_str()))?;
        if let (Some(environment), Some(target)) = (&environment, &spec.target) {
            // No run goes on against another target than the one it was started against.
            self.prove(environment, Some((&target.identity, run)))?;
        }
        let secrets = match go_without_secrets(&driving.commands) {
            true => secrets_at_hand(&definition, environment.as_ref()),
            false => secrets_of(&definition, environment.as_ref())?,
        };
        let connections =
            environment.as_ref().map_or_else(|| Arc::new(Connections::new()), |environment| Arc::clone(&environment.connections));
        let plugins = self.plugins_of_run(&definition, &driving.commands)?;
        let actions = self.actions(connections, &secrets, &plugins)?;
        let mut state = State::created(run, *at, spec, Arc::clone(&definition), Arc::new(actions.catalogue()));
        for record in &records[1..] {
            state.fold(record.at, &record.event);
        }
        let target = spec.target.clone();
        let telling = self.telling(run, &definition, &records, environment.as_ref(), &secrets, &driving.warn)?;
        let observer: Arc<dyn Observer> = match &telling {
            Some(telling) => Arc::new(Both(driving.observer, Arc::clone(telling) as Arc<dyn Observer>)),
            None => driving.observer,
        };
        drop(records);
        let epoch = futures::executor::block_on(store.own(run))?;
        let waiting = futures::executor::block_on(store.inbox(run))?;
        let own =
            driving.commands.into_iter().map(|(command, reason)| Instruction { id: uuid::Uuid::now_v7(), by: by.clone(), command, reason });
        let instructions = waiting.into_iter().chain(own).collect();
        let runtime = self.runtime()?.handle().clone();
        let tell = super::notify::logged(self.locations.files(run).join("locks.log"), driving.warn);
        let locks = locks(environment.as_ref(), &runtime, Arc::clone(&tell))?;
        let stop = driving.stop.unwrap_or_else(|| signals(&runtime));
        let setup = Setup {
            journal: store,
            actions,
            clock: Arc::new(SystemClock),
            observer,
            locks,
            secrets,
            target,
            files: self.locations.files(run),
            by,
            host: host(),
            epoch,
            wait_for_locks: driving.wait_for_locks,
            tell,
            stay: driving.stay,
            instructions,
            stop,
            runtime,
        };
        let thread = std::thread::Builder::new()
            .name("machine".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                // What an action does at once it does on this thread, with the runtime's timers.
                let runtime = setup.runtime.clone();
                let _entered = runtime.enter();
                drive(state, setup)
            })
            .map_err(|error| AppError::System { what: "no thread for the run".to_owned(), why: error.to_string() })?;
        let driven = thread.join();
        let hurried = matches!(&driven, Ok(Ok(ended)) if ended.hurried);
        if let Some(telling) = telling.filter(|_| !hurried) {
            self.finish_telling(&telling)?;
        }
        match driven {
            Ok(result) => Ok(result?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// The locks of a run: those of this machine, and Leases where its environment names a cluster. The sandbox is this machine's alone.
fn locks(environment: Option<&Environment>, runtime: &Handle, warn: crate::notify::Warn) -> Result<Arc<dyn Locks>, AppError> {
    let files = FileLocks::machine_wide();
    let definition = environment.and_then(|environment| Some((environment, environment.definition.as_ref()?.kubernetes.as_ref()?)));
    let Some((environment, kubernetes)) = definition else { return Ok(Arc::new(files)) };
    let terms = Terms::from_env()
        .map_err(|what| AppError::NotSupported { what, hint: "unset it: a Lease is then held for a minute, and renewed".to_owned() })?;
    let cluster = LeaseCluster {
        uid: kubernetes.cluster_uid.clone(),
        namespace: kubernetes.namespace.clone(),
        connections: Arc::clone(&environment.connections),
    };
    Ok(Arc::new(LeaseLocks::new(files, cluster, terms, runtime.clone(), warn)))
}

/// Each object that a run locks is an open file: as many as the system allows, not as few as a shell starts with.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Ctrl-C and SIGTERM, as they only ever escalate: gently, then now.
fn signals(runtime: &tokio::runtime::Handle) -> Receiver<Stop> {
    use tokio::signal::unix::{SignalKind, signal};
    let (to, from) = channel();
    runtime.spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
            // Without them, a signal ends the process as it always does, and the run is recovered.
            return tracing::warn!("signals cannot be watched");
        };
        let mut next = Stop::Gently;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if to.send(next).is_err() {
                return;
            }
            next = Stop::Now;
        }
    });
    from
}
