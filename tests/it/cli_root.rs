//! A root of its own for each test: playbooks, database, locks and sandbox in a temp folder, and the binary run in it.
//!
//! Invariant: when a test ends, nothing that it started is left: its processes by their handles, its sandbox by `sandbox down`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A root with playbooks, in which the binary is run.
pub struct Test {
    folder: TempDir,
    env: Vec<(String, String)>,
}

impl Test {
    /// An empty root.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("playbooks")).unwrap();
        Self { folder, env: Vec::new() }
    }

    /// With this playbook; the text begins with its `steps` or what stands before them: name and summary are added.
    pub fn playbook(self, name: &str, body: &str) -> Self {
        self.file(&format!("playbooks/{name}.yaml"), &format!("playbook: {name}\nsummary: A test's {name}\n{body}"))
    }

    /// With this file, below the root.
    pub fn file(self, path: &str, text: &str) -> Self {
        std::fs::write(self.path(path), text).unwrap();
        self
    }

    /// With this variable for every command.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A path below the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The binary with these arguments, in the root, knowing nothing of the machine it runs on.
    pub fn command<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runsheet"));
        command.args(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        command.current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("TZ", "UTC").env("RUNSHEET_OPERATOR", "tester@here");
        command.env("RUNSHEET_LOCK_DIR", self.path("locks"));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the binary to its end.
    pub fn run<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        let mut command = self.command(args);
        let output = command.output().unwrap();
        Ran {
            what: format!("{command:?}"),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the binary, and leaves it running until the handle is dropped.
    pub fn start<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> Started {
        let mut command = self.command(args);
        Started { what: format!("{command:?}"), child: command.spawn().unwrap() }
    }

    /// The document that a question answers.
    pub fn json<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> Value {
        let args: Vec<String> = args.into_iter().map(|arg| arg.as_ref().to_owned()).chain(["-o".into(), "json".into()]).collect();
        self.run(args).code(0).json()
    }

    /// The status of the latest run, or of the only open one; null where there is none yet.
    pub fn status(&self) -> Value {
        let ran = self.run(["status", "-o", "json"]);
        if ran.code == Some(0) { ran.json() } else { Value::Null }
    }

    /// Where a step of that run stands; null where it is not known.
    pub fn step(&self, path: &str) -> Value {
        let status = self.status();
        let steps = status["steps"].as_array().cloned().unwrap_or_default();
        steps.iter().find(|step| step["path"] == path).map_or(Value::Null, |step| step["status"].clone())
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        if self.path("state/sandbox/ready.json").exists() {
            let _ = self.command(["sandbox", "down"]).output();
        }
    }
}

/// Waits until it holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A command that ended.
#[derive(Debug)]
pub struct Ran {
    what: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// It ended with this exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Standard output has this text.
    #[track_caller]
    pub fn stdout_has(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no {text:?} on standard output of {self}");
        self
    }

    /// Standard error has this text.
    #[track_caller]
    pub fn stderr_has(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} on standard error of {self}");
        self
    }

    /// Standard output is this text.
    #[track_caller]
    pub fn stdout_is(self, text: &str) -> Self {
        assert_eq!(self.stdout, text, "{self}");
        self
    }

    /// Standard error is this text.
    #[track_caller]
    pub fn stderr_is(self, text: &str) -> Self {
        assert_eq!(self.stderr, text, "{self}");
        self
    }

    /// Standard output as one document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// Standard output as one document a line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self}"))).collect()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\ncode {:?}\n--- out\n{}\n--- err\n{}", self.what, self.code, self.stdout, self.stderr)
    }
}

/// A command that goes on.
pub struct Started {
    what: String,
    child: Child,
}

impl Started {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it the signal of Ctrl-C.
    pub fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    /// Nobody reads its standard output any more.
    pub fn close_stdout(&mut self) {
        drop(self.child.stdout.take());
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ran {
        let deadline = Instant::now() + PATIENCE;
        // Little is printed in tests: a pipe holds it all.
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end: {}", self.what);
            std::thread::sleep(Duration::from_millis(10));
        }
        let code = self.child.wait().unwrap().code();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut stdout));
        self.child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut stderr));
        Ran { what: self.what.clone(), code, stdout, stderr }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two steps that succeed.
pub const TWO: &str = "steps:\n  - { id: one, uses: noop }\n  - { id: two, uses: noop, needs: [one] }\n";

/// A step that fails, and one that needs it.
pub const FAILS: &str =
    "steps:\n  - { id: bad, uses: command, effect: read, with: { argv: ['false'] } }\n  - { id: after, uses: noop, needs: [bad] }\n";

/// A gate between two steps.
pub const GATED: &str =
    "steps:\n  - { id: one, uses: noop }\n  - { id: gate, uses: approve, needs: [one] }\n  - { id: two, uses: noop, needs: [gate] }\n";

/// A step that goes on until this file is there, and one after it.
pub fn until_file(file: &Path) -> String {
    let script = format!("while ! [ -e {} ]; do sleep 0.02; done", file.display());
    format!(
        "steps:\n  - {{ id: hold, uses: command, effect: read, with: {{ argv: [sh, -c, '{script}'] }} }}\n  - {{ id: after, uses: noop, needs: [hold] }}\n"
    )
}
