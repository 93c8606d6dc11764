//! Looks into the run's inbox for what operators said from elsewhere.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::dispatcher::Message;
use crate::model::id::RunId;
use crate::ports::journal::Journal;

/// How often the inbox is looked into.
const EVERY: Duration = Duration::from_millis(100);

/// Passes instructions on until the dispatcher is gone. What cannot be read now is read the next time: the dispatcher's own appends tell of a store that failed.
pub(super) async fn watch(journal: Arc<dyn Journal>, run: RunId, to: Sender<Message>) {
    let mut seen = HashSet::new();
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match journal.inbox(run).await {
            Ok(instructions) => {
                for instruction in instructions {
                    if seen.insert(instruction.id) && to.send(Message::Instruction(instruction)).is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!(%run, %error, "the inbox cannot be read"),
        }
    }
}
