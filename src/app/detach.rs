//! Leaves a run to a process of its own.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{App, AppError};
use crate::engine::ownership::Owner;
use crate::model::id::RunId;

/// How long the process may take to become the run's owner.
const PATIENCE: Duration = Duration::from_secs(10);

impl App {
    /// Starts `resume --watch` for the run in the background, and waits until it owns it. Gives its process id and its log.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it owns the run.
    pub fn detach(&self, run: RunId) -> Result<(u32, PathBuf), AppError> {
        let failed = |why: String| AppError::System { what: "the run cannot be left to the background".to_owned(), why };
        let exe = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let folder = self.locations.files(run);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| failed(format!("{}: {error}", folder.display())))?;
        let log = folder.join("background.log");
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&log)
            .map_err(|error| failed(format!("{}: {error}", log.display())))?;
        let errors = file.try_clone().map_err(|error| failed(error.to_string()))?;
        let mut child = Command::new(exe)
            .arg("--root")
            .arg(&self.locations.root)
            .arg("--state")
            .arg(&self.locations.state)
            .args(["resume", "--watch", &run.to_string()])
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            // Ctrl-C and the end of this terminal do not reach it.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Owner::Process(owner) = self.owner(run)?
                && owner.pid == child.id()
            {
                return Ok((child.id(), log));
            }
            if let Ok(Some(status)) = child.try_wait() {
                if status.code() == Some(0) {
                    return Ok((child.id(), log));
                }
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(5).collect();
                return Err(failed(last.into_iter().rev().collect::<Vec<_>>().join("\n")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok((child.id(), log))
    }
}
