//! After the run's locks were away: whether what it had set is still there. Only told, never mended.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::dispatcher::Message;
use super::executor::Executor;
use crate::machine::decide::Input;
use crate::machine::state::Standing;
use crate::model::change::Change;
use crate::model::id::RunId;
use crate::model::ledger::in_force;

/// How long one look may take. All are made at once, and the run's end waits for them.
const LIMIT: Duration = Duration::from_secs(15);

/// The look that is under way, if one is.
#[derive(Default)]
pub(super) struct Look(Option<JoinHandle<()>>);

impl Look {
    /// Looks at what these steps have put in place; what is no longer so is told to the dispatcher.
    pub fn begin(&mut self, executor: &Arc<Executor>, standing: Vec<Standing>, to: &Sender<Message>, runtime: &Handle) {
        self.end();
        self.0 = Some(runtime.spawn(look(Arc::clone(executor), standing, to.clone())));
    }

    /// Whether there is one that has not been ended.
    pub fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it has told all that it has to tell.
    pub fn has_looked(&self) -> bool {
        self.0.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Ends it, wherever it stands.
    pub fn end(&mut self) {
        if let Some(looking) = self.0.take() {
            looking.abort();
        }
    }
}

/// Compares what finished steps left with what is there.
async fn look(executor: Arc<Executor>, standing: Vec<Standing>, to: Sender<Message>) {
    futures::future::join_all(standing.into_iter().map(|entry| look_at(&executor, entry, &to))).await;
}

async fn look_at(executor: &Executor, entry: Standing, to: &Sender<Message>) {
    let Some(action) = executor.action(&entry.action) else { return };
    let context = executor.context_of(&entry.step, entry.occurrence);
    let Ok(Ok(live)) = tokio::time::timeout(LIMIT, action.live(&context, &entry.intent)).await else { return };
    for (change, live) in entry.intent.changes.iter().zip(live) {
        let found = live.unwrap_or(Value::Null);
        if found != change.after {
            let by = changed_by(executor, change, &found).await;
            let found = executor.redactor.value(found);
            // The dispatcher is gone only when nobody waits for it any more.
            let _ = to.send(Message::Input(Input::Drift { step: entry.step.clone(), change: change.clone(), found, by }));
        }
    }
}

/// The other run whose change of this field is the last that stands, where that is what is there.
async fn changed_by(executor: &Executor, change: &Change, found: &Value) -> Option<RunId> {
    let history = executor.journal.ledger(&change.object, &change.field).await.ok()?;
    let last = in_force(&history).into_iter().rfind(|entry| entry.change.after == *found)?;
    (last.run != executor.run).then_some(last.run)
}
