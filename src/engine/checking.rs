//! Conditions: looked at until they hold, or their time is over.
//!
//! Must not change anything on a target.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::executor::{Executor, READ_LIMIT, missing, read};
use crate::machine::task::{Check, Task};
use crate::model::outcome::Failure;
use crate::ports::action::{Action, Context, Inputs};

impl Executor {
    /// Looks until the condition holds (for as long as it must), or its time is over.
    pub(super) async fn check(&self, task: &Task, check: &Check) -> Result<(), Failure> {
        let context = self.context(task);
        let reading = match &check.reading {
            Some((name, inputs)) => Some((self.action(name).ok_or_else(|| missing(name))?, self.inputs(inputs)?)),
            None => None,
        };
        let started = Instant::now();
        let limit = match (check.within, task.timeout) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, _) => a,
        };
        let mut holding_since: Option<Instant> = None;
        let mut said = String::new();
        loop {
            // A target that is asked too often says when it can be asked again.
            let mut asked = Duration::ZERO;
            let complaint = match self.look(&context, check, reading.as_ref()).await {
                Ok(None) => {
                    let since = *holding_since.get_or_insert_with(Instant::now);
                    match check.hold {
                        Some(hold) if since.elapsed() < hold => None,
                        _ => return Ok(()),
                    }
                }
                Ok(Some(failure)) => Some(failure),
                Err(failure) => return Err(failure),
            };
            if let Some(failure) = complaint {
                holding_since = None;
                asked = failure.asked_wait();
                if failure.message != said {
                    context.log.line(&failure.message);
                    said.clone_from(&failure.message);
                }
                let Some(limit) = limit else { return Err(failure) };
                if started.elapsed() >= limit {
                    let message =
                        format!("{failure} (after {})", crate::model::duration::Span(Duration::from_secs(limit.as_secs().max(1))));
                    return Err(Failure { message, ..failure });
                }
            }
            let left = limit.map(|limit| limit.saturating_sub(started.elapsed()).max(Duration::from_millis(1)));
            let hold_left = check.hold.zip(holding_since).map(|(hold, since)| hold.saturating_sub(since.elapsed()));
            sleep([left, hold_left].into_iter().flatten().fold(check.every.max(asked), Duration::min).max(Duration::from_millis(10))).await;
        }
    }

    /// One look: nothing where the condition holds, else why not. What trying again cannot mend is an error.
    async fn look(
        &self,
        context: &Context,
        check: &Check,
        reading: Option<&(Arc<dyn Action>, Inputs)>,
    ) -> Result<Option<Failure>, Failure> {
        let result = match reading {
            None => Value::Null,
            Some((action, inputs)) => match read(READ_LIMIT, action.observe(context, inputs)).await {
                Ok(value) => value,
                Err(failure) if failure.transient => return Ok(Some(failure)),
                Err(failure) => return Err(failure),
            },
        };
        match check.holds(&result) {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(Failure::permanent(check.complaint(&result)))),
            // A field that is not there yet may come.
            Err(failure) => Ok(Some(failure)),
        }
    }
}
