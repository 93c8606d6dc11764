//! A process that runs, with what it printed so far.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, Ran};

/// A process that runs. It is killed when this is dropped.
pub struct Live {
    child: Child,
    args: String,
    out: Printed,
    err: Printed,
}

#[derive(Default)]
struct Printed {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Printed {
    fn of(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut part) {
                to.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&part[..read]);
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// All of it. What the process left behind may hold the pipe for a moment longer, so that this wait has an end too.
    fn all(&mut self) -> String {
        let deadline = Instant::now() + Duration::from_secs(2);
        if let Some(reader) = self.reader.take() {
            while !reader.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.so_far()
    }
}

impl Live {
    pub(super) fn start(command: &mut Command, args: &[&str]) -> Self {
        Self::start_with(command, args, Stdio::piped())
    }

    /// With a standard output that nobody reads any more.
    pub(super) fn start_unread(command: &mut Command, args: &[&str]) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Self::start_with(command, args, writer.into())
    }

    fn start_with(command: &mut Command, args: &[&str], out: Stdio) -> Self {
        let mut child = command.stdout(out).stderr(Stdio::piped()).spawn().expect("runsheet starts");
        let out = child.stdout.take().map(Printed::of).unwrap_or_default();
        let err = Printed::of(child.stderr.take().expect("a pipe"));
        Self { child, args: args.join(" "), out, err }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed on standard output so far.
    pub fn stdout(&self) -> String {
        self.out.so_far()
    }

    /// What it printed on standard error so far.
    pub fn stderr(&self) -> String {
        self.err.so_far()
    }

    /// Waits until it has printed this, on either.
    #[track_caller]
    pub fn until_printed(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (out, err) = (self.stdout(), self.stderr());
            if out.contains(text) || err.contains(text) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "`{text}` was not printed by `runsheet {}`:\n--- stdout\n{out}\n--- stderr\n{err}",
                self.args
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its end can be asked for").is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Ran {
        // A run of a slow machine may take its time; one that hangs is to be seen.
        let deadline = Instant::now() + PATIENCE * 3;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its end can be asked for") {
                break status;
            }
            if Instant::now() >= deadline {
                let _ = self.child.kill();
                panic!("`runsheet {}` did not end:\n--- stdout\n{}\n--- stderr\n{}", self.args, self.stdout(), self.stderr());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Ran::new(&self.args, status, self.out.all(), self.err.all())
    }

    /// Kills it, as nothing can prevent.
    #[track_caller]
    pub fn kill9(self) -> Ran {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGSTOP: it stands still, as on a machine that sleeps.
    pub fn suspend(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn wake(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process takes a signal");
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
