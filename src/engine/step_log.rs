//! Where a step's lines go: to whoever watches, and to the step's log file. Redacted on the way.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::environment::Redactor;
use crate::model::id::{RunId, StepPath};
use crate::ports::action::Log;
use crate::ports::observer::{Observer, Progress};

/// The most that is written to one step's log, in bytes.
const LIMIT: u64 = 10 * 1024 * 1024;

/// A step's folder within its run's: the step's path, with what a file name cannot hold replaced.
pub fn step_folder(files: &Path, step: &StepPath) -> PathBuf {
    let plain: String = step
        .as_str()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']') { c } else { '~' })
        .collect();
    if plain == step.as_str() && plain.len() < 100 && !plain.starts_with('.') {
        return files.join(plain);
    }
    let hash = crate::model::id::ContentHash::of(step.as_str().as_bytes());
    let short: String = plain.chars().take(80).collect();
    files.join(format!("{}~{}", short.trim_start_matches('.'), &hash.0[..8]))
}

pub(super) struct StepLog {
    run: RunId,
    step: StepPath,
    redactor: Redactor,
    observer: Arc<dyn Observer>,
    folder: PathBuf,
    file: Mutex<Option<(File, u64)>>,
}

impl StepLog {
    pub fn new(run: RunId, step: StepPath, redactor: Redactor, observer: Arc<dyn Observer>, folder: PathBuf) -> Self {
        Self { run, step, redactor, observer, folder, file: Mutex::new(None) }
    }

    fn write(&self, line: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            let opened = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).and_then(|()| {
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(self.folder.join("log"))?;
                let size = file.metadata()?.len();
                Ok((file, size))
            });
            match opened {
                Ok(opened) => *file = Some(opened),
                // A log that cannot be written does not stop a step; the lines are still shown.
                Err(error) => return tracing::warn!(step = %self.step, %error, "the step's log cannot be written"),
            }
        }
        if let Some((file, size)) = file.as_mut()
            && *size < LIMIT
        {
            *size += line.len() as u64 + 1;
            if let Err(error) = writeln!(file, "{line}") {
                tracing::warn!(step = %self.step, %error, "the step's log cannot be written");
            }
        }
    }
}

impl Log for StepLog {
    fn line(&self, line: &str) {
        let line = self.redactor.text(line);
        self.write(&line);
        self.observer.progress(self.run, &self.step, &Progress::Line(line));
    }

    fn part(&self, done: u64, total: u64, what: &str) {
        self.observer.progress(self.run, &self.step, &Progress::Part { done, total, what: self.redactor.text(what) });
    }

    fn redact(&self, text: &str) -> String {
        self.redactor.text(text)
    }
}
