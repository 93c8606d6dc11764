//! Tells a run that another process drives what an operator wants.

use std::time::{Duration, Instant};

use super::{App, AppError};
use crate::model::event::Event;
use crate::model::id::RunId;
use crate::model::instruction::{Command, Instruction};
use crate::ports::journal::Journal;

/// How long an owner may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The owner took it.
    Taken,
    /// The owner refused it.
    Refused {
        /// Why, and what to do instead.
        why: String,
    },
    /// The owner has not answered yet: the instruction lies in its inbox.
    NoAnswer,
}

impl App {
    /// Puts an instruction into the run's inbox and waits for its owner's answer. With no live owner, [`App::drive`] is the way.
    ///
    /// # Errors
    /// [`AppError::Journal`]
    pub fn instruct(&self, run: RunId, command: Command, reason: Option<String>) -> Result<Reply, AppError> {
        let store = self.store()?;
        let id = uuid::Uuid::now_v7();
        let mut after = futures::executor::block_on(store.read(run, 0))?.last().map_or(0, |record| record.seq);
        futures::executor::block_on(store.instruct(run, Instruction { id, by: super::operator(), command, reason }))?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            for record in futures::executor::block_on(store.read(run, after))? {
                after = record.seq;
                match record.event {
                    Event::Instructed { id: taken, .. } if taken == id => return Ok(Reply::Taken),
                    Event::InstructionRefused { id: refused, why, .. } if refused == id => return Ok(Reply::Refused { why }),
                    _ => {}
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Reply::NoAnswer)
    }
}
