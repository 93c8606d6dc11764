//! The queues: one for each rule, so that a webhook that hangs holds up nobody else.
//!
//! Invariants: [`Notifier::tell`] never waits; a queue holds at most [`Limits::queue`] notices; [`Notifier::finish`] ends within [`Limits::drain`],
//! and whatever was not told by then is counted in a warning.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use super::command::CommandCall;
use super::notice::Notice;
use super::webhook::WebhookCall;
use crate::environment::{Connections, Redactor, SecretValues};
use crate::model::notification::{NotifyRule, NotifyTo, Occasion};

/// Where warnings go: one line, redacted. Called from any thread; returns at once.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One try of a webhook.
    pub webhook: Duration,
    /// How many tries a webhook gets.
    pub tries: u32,
    /// Between the first try and the second; it doubles.
    pub pause: Duration,
    /// A command.
    pub command: Duration,
    /// What is not told yet, when the process ends.
    pub drain: Duration,
    /// How many notices wait for one rule.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            webhook: Duration::from_secs(10),
            tries: 3,
            pause: Duration::from_secs(1),
            command: Duration::from_secs(30),
            drain: Duration::from_secs(15),
            queue: 64,
        }
    }
}

/// What telling needs.
#[derive(Clone)]
pub struct Settings {
    /// Who is told what.
    pub rules: Vec<NotifyRule>,
    /// How hosts are reached.
    pub connections: Arc<Connections>,
    /// The run's secrets, to be kept out of what is told.
    pub secrets: SecretValues,
    /// The runsheet binary, which supervises commands.
    pub supervisor: PathBuf,
    /// Where commands run.
    pub cwd: PathBuf,
    /// A folder for what commands leave while they run.
    pub files: PathBuf,
    /// Where it is said what could not be told.
    pub warn: Warn,
    /// How long things may take.
    pub limits: Limits,
}

/// Delivers notices.
pub struct Notifier {
    queues: Mutex<Vec<Queue>>,
    warn: Warn,
    drain: Duration,
}

struct Queue {
    on: Vec<Occasion>,
    name: String,
    to: Sender<(Occasion, Notice)>,
    task: JoinHandle<()>,
    /// Put in and not yet told or given up.
    open: Arc<AtomicUsize>,
    full: bool,
}

/// One way of telling.
enum Call {
    Webhook(WebhookCall),
    Command(CommandCall),
}

impl Notifier {
    /// Starts a task for each rule on the runtime. A rule that cannot work (a secret that is not there, a wrong URL) is warned about now, not when
    /// it matters.
    pub fn start(settings: &Settings, runtime: &tokio::runtime::Handle) -> Self {
        let mut queues = Vec::new();
        for rule in &settings.rules {
            let mut secrets = settings.secrets.clone();
            let call = match &rule.to {
                NotifyTo::Webhook { url, bearer } => WebhookCall::new(url, bearer.as_ref(), &mut secrets, settings).map(Call::Webhook),
                NotifyTo::Command { argv } => CommandCall::new(argv, settings).map(Call::Command),
            };
            let redactor = Redactor::of(&secrets);
            match call {
                Err(why) => (settings.warn)(&redactor.text(&format!("nobody will be told of {}: {why}", in_words(&rule.on)))),
                Ok(call) => {
                    let (to, from) = channel(settings.limits.queue.max(1));
                    let open = Arc::new(AtomicUsize::new(0));
                    let name = redactor.text(&call.name());
                    let worker = Worker { call, redactor, warn: Arc::clone(&settings.warn), open: Arc::clone(&open) };
                    let task = runtime.spawn(worker.work(from));
                    queues.push(Queue { on: rule.on.clone(), name, to, task, open, full: false });
                }
            }
        }
        Self { queues: Mutex::new(queues), warn: Arc::clone(&settings.warn), drain: settings.limits.drain }
    }

    /// Puts a notice into the queues of those who want it. Never waits; what finds no room is said and lost.
    pub fn tell(&self, notice: &Notice) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in queues.iter_mut() {
            let Some(occasion) = notice.occasions.iter().find(|occasion| queue.on.contains(occasion)).copied() else { continue };
            queue.open.fetch_add(1, Ordering::Relaxed);
            match queue.to.try_send((occasion, notice.clone())) {
                Ok(()) => queue.full = false,
                Err(error) => {
                    queue.open.fetch_sub(1, Ordering::Relaxed);
                    // Said once, not for each that is lost.
                    if matches!(error, TrySendError::Full(_)) && !std::mem::replace(&mut queue.full, true) {
                        (self.warn)(&format!("{} takes too long: some of what happens is not told there", queue.name));
                    }
                }
            }
        }
    }

    /// Waits until everything is told, for a limited time, and says what is not. Afterwards nothing more is told.
    pub async fn finish(&self) {
        let queues = std::mem::take(&mut *self.queues.lock().unwrap_or_else(PoisonError::into_inner));
        let until = tokio::time::Instant::now() + self.drain;
        // No more is put in: each task ends with its queue. All are let go of first, so that they end side by side.
        let tasks: Vec<_> = queues.into_iter().map(|Queue { name, task, open, .. }| (name, task, open)).collect();
        for (name, mut task, open) in tasks {
            if tokio::time::timeout_at(until, &mut task).await.is_err() {
                task.abort();
                let left = open.load(Ordering::Relaxed).max(1);
                let what = if left == 1 { "1 notification was".to_owned() } else { format!("{left} notifications were") };
                (self.warn)(&format!("{what} not told in time by {name}"));
            }
        }
    }
}

struct Worker {
    call: Call,
    redactor: Redactor,
    warn: Warn,
    open: Arc<AtomicUsize>,
}

impl Worker {
    async fn work(self, mut from: Receiver<(Occasion, Notice)>) {
        while let Some((occasion, notice)) = from.recv().await {
            let told = match &self.call {
                Call::Webhook(webhook) => webhook.send(&notice, occasion, &self.redactor).await,
                Call::Command(command) => command.run(&notice, occasion, &self.redactor).await,
            };
            self.open.fetch_sub(1, Ordering::Relaxed);
            if let Err(why) = told {
                let name = self.call.name();
                (self.warn)(&self.redactor.text(&format!("`{}` was not told by {name}: {why}", occasion.as_str())));
            }
        }
    }
}

impl Call {
    fn name(&self) -> String {
        match self {
            Self::Webhook(webhook) => webhook.name(),
            Self::Command(command) => command.name(),
        }
    }
}

fn in_words(on: &[Occasion]) -> String {
    on.iter().map(|occasion| format!("`{}`", occasion.as_str())).collect::<Vec<_>>().join(", ")
}
