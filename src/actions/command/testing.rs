//! A context for the tests of these actions.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::model::id::{RunId, StepPath};
use crate::model::step::Effect;
use crate::ports::action::{Context, Log};

/// Remembers what was logged.
#[derive(Default)]
pub(crate) struct Heard {
    /// Each line.
    pub(crate) lines: Mutex<Vec<String>>,
}

impl Log for Heard {
    fn line(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }

    fn part(&self, _: u64, _: u64, _: &str) {}

    fn redact(&self, text: &str) -> String {
        text.replace("hunter2", "***")
    }
}

/// A first attempt, with a folder of its own.
pub(crate) fn context(log: &Arc<Heard>, effect: Effect) -> (TempDir, Context) {
    let folder = tempfile::tempdir().unwrap();
    let cx = Context {
        run: RunId(uuid::Uuid::nil()),
        step: StepPath::new("step"),
        idempotency_key: "0".repeat(32),
        attempt: 1,
        target: None,
        effect,
        timeout: None,
        log: Arc::clone(log) as Arc<dyn Log>,
        files: folder.path().join("files"),
    };
    (folder, cx)
}
