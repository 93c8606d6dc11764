//! After the run's locks were away: whether what it had set is still there. Only told, never mended.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::dispatcher::Message;
use super::executor::Executor;
use crate::machine::decide::Input;
use crate::machine::state::Standing;

/// How long one look may take.
const LIMIT: Duration = Duration::from_secs(15);

/// Compares what finished steps left with what is there.
pub(super) async fn look(executor: Arc<Executor>, standing: Vec<Standing>, to: Sender<Message>) {
    for entry in standing {
        let Some(action) = executor.action(&entry.action) else { continue };
        let context = executor.context_of(&entry.step, entry.occurrence);
        let Ok(Ok(live)) = tokio::time::timeout(LIMIT, action.live(&context, &entry.intent)).await else { continue };
        for (change, live) in entry.intent.changes.iter().zip(live) {
            let found = live.unwrap_or(serde_json::Value::Null);
            if found != change.after {
                let input = Input::Drift {
                    step: entry.step.clone(),
                    what: format!("{} of {}", change.label, change.object.in_words()),
                    expected: change.after.clone(),
                    found,
                };
                if to.send(Message::Input(input)).is_err() {
                    return;
                }
            }
        }
    }
}
