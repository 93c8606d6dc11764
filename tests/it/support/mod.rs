//! The builder of the end-to-end tests: a folder of its own, playbooks, and the binary itself run in it.
//!
//! It must not touch anything outside the stage's folder, nor leave a process behind. Invariant: every wait has an end and says what it waited for.

#![expect(dead_code, reason = "a builder has what some test file needs, and not each needs all")]

pub mod asking;
mod aws_bench;
mod aws_objects;
mod bench;
mod cluster;
pub mod control_plane;
pub mod hostile;
mod live;
mod objects;
mod points;
mod ran;
pub mod real;
pub mod servers;
mod step;
pub mod wire;

pub(crate) use aws_bench::on_all;
pub use aws_bench::{AwsBench, Runs};
pub(crate) use bench::on_both;
pub use bench::{Bench, On, deployment, settled};
pub use control_plane::{Cut, Trouble};
pub use live::Live;
pub use objects::Objects;
pub use points::{at_every_commit_and_effect, at_every_point};
pub use ran::Ran;
pub use step::{Lines, Step};

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use runsheet::sandbox::{self, Effect, Fault};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(45);
/// The event of the tests.
pub const EVENT: &str = "0190a6c4-7b3e-7c21-9f10-3f6d2b8c5a11";

/// A root with playbooks, a state folder, a lock folder and a home of its own.
pub struct Stage {
    folder: TempDir,
    env: Vec<(OsString, OsString)>,
    sandbox: Option<Child>,
}

impl Stage {
    /// An empty root.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("runsheet-it-").tempdir().expect("a temporary folder");
        for name in ["root/playbooks", "home", "locks", "tmp"] {
            std::fs::create_dir_all(folder.path().join(name)).expect("a folder of the stage");
        }
        let mut stage = Self { folder, env: Vec::new(), sandbox: None };
        let at = |name: &str| stage.folder.path().join(name).into_os_string();
        let env: [(&str, OsString); 7] = [
            ("PATH", std::env::var_os("PATH").unwrap_or_default()),
            ("HOME", at("home")),
            ("TMPDIR", at("tmp")),
            ("RUNSHEET_LOCK_DIR", at("locks")),
            ("RUNSHEET_OPERATOR", "ana@desk".into()),
            ("NO_COLOR", "1".into()),
            ("TZ", "UTC".into()),
        ];
        stage.env = env.into_iter().map(|(name, value)| (name.into(), value)).collect();
        stage
    }

    /// A stage with the repository's `pre-event`.
    pub fn pre_event() -> Self {
        Self::new().repository_playbook("pre-event")
    }

    /// A playbook.
    pub fn playbook(self, name: &str, yaml: &str) -> Self {
        self.write_playbook(name, yaml);
        self
    }

    /// Writes a playbook, over a former one of the same name.
    pub fn write_playbook(&self, name: &str, yaml: &str) {
        std::fs::write(self.root().join("playbooks").join(format!("{name}.yaml")), yaml).expect("a playbook of the stage");
    }

    /// A playbook of the repository.
    pub fn repository_playbook(self, name: &str) -> Self {
        let file = format!("{name}.yaml");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(&file);
        let text = std::fs::read_to_string(from).expect("a playbook of the repository");
        // What has to hold for half a minute would make every test wait that long.
        let text = text.replace("for: 30s", "for: 100ms");
        std::fs::write(self.root().join("playbooks").join(file), text).expect("a playbook of the stage");
        self
    }

    /// A stage with the repository's `pre-event`, which looks as often as a check may, and a quick sandbox.
    pub fn quick_pre_event() -> Self {
        Self::new().quick_playbook("pre-event").sandbox(20)
    }

    /// A playbook of the repository, which looks as often as a check may.
    pub fn quick_playbook(self, name: &str) -> Self {
        let stage = self.repository_playbook(name);
        let file = stage.root().join(format!("playbooks/{name}.yaml"));
        let text = std::fs::read_to_string(&file).expect("the playbook");
        let quick = text.replace("every: 500ms", "every: 100ms").replace("every: 200ms", "every: 100ms");
        assert_ne!(quick, text, "{name} looks as often as it is replaced here");
        std::fs::write(file, quick).expect("the playbook");
        stage
    }

    /// A variable of the environment of everything that is run from now on.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The sandbox, started now, whose Pods come and go so many times faster than usual; else the first run that needs it starts it.
    pub fn sandbox(mut self, speed: u32) -> Self {
        self.start_sandbox(speed);
        self
    }

    /// The root.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The stage's own folder, for files of the test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text of a file of [`Stage::path`]; empty where it is not there.
    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The binary with these arguments, not yet started.
    pub fn command<S: AsRef<str>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runsheet"));
        command.args(args.iter().map(AsRef::as_ref)).current_dir(self.root()).env_clear().envs(self.env.iter().cloned());
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run<S: AsRef<str>>(&self, args: &[S]) -> Ran {
        self.run_with(args, &[])
    }

    /// Runs it to its end, with these variables too.
    pub fn run_with<S: AsRef<str>>(&self, args: &[S], env: &[(&str, &str)]) -> Ran {
        let words: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        Live::start(self.command(args).envs(env.iter().copied()), &words).wait()
    }

    /// Runs it, to be killed as by `kill -9` at a point: `commit:3`, `before-commit:3`, `effect:1`, `before-effect:1`. Whether it was.
    pub fn run_killed_at<S: AsRef<str>>(&self, point: &str, args: &[S]) -> (bool, Ran) {
        let ran = self.run_with(args, &[("RUNSHEET_CRASH_AT", point)]);
        (ran.was_killed(), ran)
    }

    /// Starts it.
    pub fn start<S: AsRef<str>>(&self, args: &[S]) -> Live {
        let words: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        Live::start(&mut self.command(args), &words)
    }

    /// Starts it, with these variables too.
    pub fn start_with_env<S: AsRef<str>>(&self, args: &[S], env: &[(&str, &str)]) -> Live {
        let words: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        Live::start(self.command(args).envs(env.iter().copied()), &words)
    }

    /// Starts it with a standard output that nobody reads any more: what is written there is refused.
    pub fn start_unread<S: AsRef<str>>(&self, args: &[S]) -> Live {
        let words: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        Live::start_unread(&mut self.command(args), &words)
    }

    /// Resumes, killed at this point each time, until the run has ended.
    #[track_caller]
    pub fn resume_killed_again_and_again(&self, point: &str) {
        for _ in 0..100 {
            let (killed, ran) = self.run_killed_at(point, &["resume"]);
            if !killed || self.has_ended() {
                return drop(ran);
            }
        }
        panic!("a run that is killed at {point} of each resume comes to no end: {}", self.run(&["status"]));
    }

    /// Resumes what was killed, where it had not come to its end.
    #[track_caller]
    pub fn resume_if_open(&self, code: i32) {
        if !self.has_ended() {
            self.run(&["resume"]).code(code);
        }
    }

    /// Whether the run has ended.
    pub fn has_ended(&self) -> bool {
        let status = self.status_json();
        ["succeeded", "succeeded_with_failures", "failed", "rolled_back", "cancelled"].iter().any(|ended| status["status"] == *ended)
    }

    /// The run as `status` tells it.
    pub fn status_json(&self) -> Value {
        self.run(&["status", "-o", "json"]).code(0).json()
    }

    /// The latest run, by its short id: for a rollback of one that owes nothing, which is to be named.
    pub fn latest_run(&self) -> String {
        self.run(&["runs", "-o", "json"]).code(0).json()[0]["short_id"].as_str().expect("a run").to_owned()
    }

    /// The status of a step, as `status` tells it.
    pub fn step_status(&self, path: &str) -> String {
        step_of(&self.status_json(), path)["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the run is as wanted; it as `status` tells it then.
    pub fn until_status(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(&["status", "-o", "json"]);
            let status = (ran.code == Some(0)).then(|| ran.json());
            match status {
                Some(status) if is(&status) => return status,
                _ => assert!(Instant::now() < deadline, "waited in vain until {what}; it is {ran}"),
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until the step has this status.
    pub fn until_step(&self, path: &str, status: &str) -> Value {
        self.until_status(&format!("{path} is {status}"), |run| step_of(run, path)["status"] == status)
    }

    /// The folder of the sandbox.
    pub fn sandbox_folder(&self) -> PathBuf {
        self.root().join("state/sandbox")
    }

    /// The sandbox's effect log: what was changed, by which request.
    pub fn effects(&self) -> Vec<Effect> {
        sandbox::effects(&self.sandbox_folder()).expect("the effect log")
    }

    /// The effects on the field of an object, as `from→to`: `spec.replicas` of `production/deployment/ticket-service`.
    pub fn effects_on(&self, field: &str) -> Vec<String> {
        self.effects().iter().filter(|effect| effect.field == field).map(|effect| format!("{}→{}", effect.from, effect.to)).collect()
    }

    /// A fault of the running sandbox, in the words of `sandbox fault`.
    pub fn fault(&self, words: &[&str]) {
        let fault = Fault::parse(words).expect("a fault");
        block_on(sandbox::fault::add(&self.sandbox_folder(), &fault)).expect("the sandbox takes the fault");
    }

    /// Ends all faults of the running sandbox.
    pub fn clear_faults(&self) {
        block_on(sandbox::fault::clear(&self.sandbox_folder())).expect("the sandbox clears its faults");
    }

    /// The Deployments of the running sandbox, in words: `production/ticket-service 2/2 ready`.
    pub fn deployments(&self) -> Vec<String> {
        let status = block_on(sandbox::status(&self.sandbox_folder())).expect("the sandbox answers");
        status.live.expect("the sandbox runs").overview.deployments
    }

    /// How the connections of the sandbox's PostgreSQL server stand, and whether the pools ever went beyond what is free.
    pub fn connections(&self) -> sandbox::Usage {
        block_on(sandbox::connections(&self.sandbox_folder())).expect("the sandbox answers")
    }

    /// The token of the ticket service, a secret.
    pub fn service_token(&self) -> String {
        let text = std::fs::read_to_string(self.sandbox_folder().join("ready.json")).expect("the sandbox runs");
        let ready: Value = serde_json::from_str(&text).expect("the sandbox says where it is");
        ready["service_token"].as_str().expect("a token").to_owned()
    }

    /// The files below the state folder, without the sandbox's own, that hold this text.
    pub fn state_files_with(&self, text: &str) -> Vec<PathBuf> {
        let mut folders = vec![self.root().join("state")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of the state").map(|entry| entry.expect("an entry").path()) {
                if entry == self.sandbox_folder() {
                    continue;
                }
                if entry.is_dir() {
                    folders.push(entry);
                } else if std::fs::read(&entry).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text)) {
                    found.push(entry);
                }
            }
        }
        found
    }

    /// Kills the sandbox that [`Stage::sandbox`] started. The next command that needs one starts it again.
    pub fn kill_sandbox(&mut self) {
        let mut child = self.sandbox.take().expect("a sandbox of the stage's own");
        child.kill().and_then(|()| child.wait()).expect("it is killed");
    }

    fn start_sandbox(&mut self, speed: u32) {
        let folder = self.sandbox_folder();
        let dir = folder.to_string_lossy().into_owned();
        let child = self
            .command(&["sandbox", "serve", "--dir", &dir, "--speed", &speed.to_string(), "--idle", "300"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the sandbox starts");
        self.sandbox = Some(child);
        until("the sandbox answers", || block_on(sandbox::status(&folder)).is_ok_and(|status| status.live.is_some()));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut child) = self.sandbox.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // One that a run started is nobody's child; it answers who it is before it is told to end.
        if self.sandbox_folder().is_dir() {
            let _ = block_on(sandbox::down(&self.sandbox_folder()));
        }
    }
}

/// A step of a run as `status` tells it; null where there is none.
pub fn step_of<'a>(status: &'a Value, path: &str) -> &'a Value {
    status["steps"].as_array().into_iter().flatten().find(|step| step["path"] == path).unwrap_or(&Value::Null)
}

/// Waits until it is so.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(15));
    }
}

/// Does each, at most so many at once; a panic of one is the panic of all.
pub fn in_parallel<T: Send + Sync>(width: usize, all: &[T], each: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..width.min(all.len()) {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    each(one);
                }
            });
        }
    });
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}
