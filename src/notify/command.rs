//! A command: the document on its standard input, under the supervisor like every child.
//!
//! Must not hand it a secret, nor leave anything of it behind. Invariant: bounded in time; its folder goes with it.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::notice::Notice;
use super::notifier::Settings;
use crate::environment::Redactor;
use crate::model::notification::Occasion;
use crate::process::{self, Cause, Request};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// How much of its output is kept while it runs, for the warning.
const OUTPUT: u64 = 64 * 1024;
/// What a command needs to reach a person's desktop, beside what every child gets.
const PASSED_ON: [&str; 5] = ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"];

/// One command.
pub(super) struct CommandCall {
    program: String,
    args: Vec<String>,
    supervisor: PathBuf,
    cwd: PathBuf,
    files: PathBuf,
    timeout: Duration,
}

impl CommandCall {
    pub fn new(argv: &[String], settings: &Settings) -> Result<Self, String> {
        let Some((program, args)) = argv.split_first() else { return Err("its command names no program".to_owned()) };
        Ok(Self {
            program: program.clone(),
            args: args.to_vec(),
            supervisor: settings.supervisor.clone(),
            cwd: settings.cwd.clone(),
            files: settings.files.clone(),
            timeout: settings.limits.command,
        })
    }

    pub fn name(&self) -> String {
        format!("the command `{}`", self.program)
    }

    /// Runs it.
    ///
    /// # Errors
    /// Why it could not be told, with the last line that the command wrote.
    pub async fn run(&self, notice: &Notice, occasion: Occasion, redactor: &Redactor) -> Result<(), String> {
        // Each execution has a folder of its own, which goes with it.
        let folder = private_folder(&self.files)
            .and_then(|()| tempfile::Builder::new().prefix("notify-").tempdir_in(&self.files))
            .map_err(|error| format!("no folder for it can be made in {}: {}", self.files.display(), error.kind()))?;
        let mut request = Request::new(&self.supervisor, &self.program, folder.path(), 1);
        request.args.clone_from(&self.args);
        request.env = PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
        request.env.extend(notice.variables(occasion, redactor));
        request.cwd = Some(self.cwd.clone());
        request.stdin = Some(format!("{}\n", notice.document(occasion, redactor)).into_bytes());
        request.timeout = Some(self.timeout);
        request.grace = GRACE;
        request.capture_limit = OUTPUT;
        let ended = process::run(request, |_, _| {}).await.map_err(|error| error.to_string())?;
        let said = ended.stderr.last_line().or(ended.stdout.last_line()).map(|line| format!(": {line}")).unwrap_or_default();
        match (ended.cause, ended.code, ended.signal) {
            (Cause::Itself, Some(0), _) => Ok(()),
            (Cause::Timeout, _, _) => Err(format!("it was ended after {} s{said}", self.timeout.as_secs())),
            (Cause::Stopped, _, _) => Err("it was ended with runsheet".to_owned()),
            (Cause::Itself, Some(code), _) => Err(format!("it ended with exit code {code}{said}")),
            (Cause::Itself, None, Some(signal)) => Err(format!("it was killed by signal {signal}{said}")),
            (Cause::Itself, None, None) => Err(format!("nobody saw how it ended{said}")),
        }
    }
}

fn private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
