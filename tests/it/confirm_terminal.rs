//! The confirmation on a real (pseudo) terminal: what is shown, what is asked, and what confirms.
//!
//! Invariant: only the environment's name, typed as it is, starts a run where the environment wants it typed; all else has recorded and done nothing.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::environments::{Cluster, environment, stage_of, untouched};
use super::support::{PATIENCE, Stage, until};

/// A command at a terminal of its own.
struct Terminal {
    child: Child,
    keys: File,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(stage: &Stage, args: &[&str]) -> Self {
        let ours: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        tcsetwinsize(&ours, Winsize { ws_row: 60, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = || File::options().read(true).write(true).open(&name).unwrap();
        let mut command = stage.command(args);
        command.env("TERM", "xterm-256color").stdin(theirs()).stdout(theirs()).stderr(theirs());
        let child = command.spawn().unwrap();
        let keys = File::from(ours);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut from, to) = (keys.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            // It ends when nobody has the terminal open any more.
            while let Ok(read @ 1..) = from.read(&mut part) {
                to.lock().unwrap().extend_from_slice(&part[..read]);
            }
        });
        Self { child, keys, screen }
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    #[track_caller]
    fn until(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.screen().contains(text) {
            assert!(Instant::now() < deadline, "`{text}` is not on the screen:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Its exit code, and all that was on the screen.
    #[track_caller]
    fn ends(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        };
        // What it wrote last is read by another thread.
        let mut seen = 0;
        until("the screen is still", || std::mem::replace(&mut seen, self.screen().len()) == self.screen().len());
        (status.code(), self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ASKS: &str = "Type the environment's name (staging) to confirm:";

/// What comes of typing this where the name is wanted.
fn typed(stage: &Stage, args: &[&str], keys: &str) -> (Option<i32>, String) {
    let mut terminal = Terminal::start(stage, args);
    terminal.until(ASKS);
    terminal.types(keys);
    terminal.ends()
}

#[test]
fn only_the_name_typed_as_it_is_confirms() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    environment(&stage, &cluster.uid, "confirm: name\n");
    let run = ["run", "scale", "--env", "staging"];
    for (keys, said) in [
        ("production\r", "`production` is not `staging`: nothing was done"),
        ("y\r", "`y` is not `staging`: nothing was done"),
        ("\r", "not confirmed: nothing was done"),
        ("\u{3}", "not confirmed: nothing was done"),
        ("\u{1b}", "not confirmed: nothing was done"),
    ] {
        let (code, screen) = typed(&stage, &run, keys);
        assert_eq!(code, Some(6), "{screen}");
        assert!(screen.contains(said), "`{said}` is not in:\n{screen}");
        untouched(&stage, &cluster);
    }
    // `--yes` does not stand for the name.
    let (code, screen) = typed(&stage, &["run", "scale", "--env", "staging", "--yes"], "\r");
    assert_eq!(code, Some(6), "{screen}");
    untouched(&stage, &cluster);
    let (code, screen) = typed(&stage, &run, "staging\r");
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
    // What is asked stands below what is shown.
    let (shown, asked) = (screen.find("cluster UID").unwrap(), screen.find(ASKS).unwrap());
    assert!(shown < asked && screen.contains(&cluster.uid) && screen.contains("deployment/ticket-service in production"), "{screen}");
    assert!(!screen.contains(&cluster.token), "{screen}");
}

#[test]
fn a_yes_is_asked_for_where_the_environment_wants_no_name() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    for (keys, code) in [("\r", 6), ("n\r", 6), ("y\r", 0)] {
        let mut terminal = Terminal::start(&stage, &["run", "scale", "--env", "staging"]);
        terminal.until("Run scale on staging?");
        terminal.types(keys);
        let (ended, screen) = terminal.ends();
        assert_eq!(ended, Some(code), "{screen}");
        if code == 6 {
            assert!(screen.contains("not confirmed: nothing was done"), "{screen}");
            untouched(&stage, &cluster);
        }
    }
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
}

#[test]
fn the_name_is_typed_before_anything_is_taken_back() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    environment(&stage, &cluster.uid, "confirm: name\n");
    let _ = stage.run(&["run", "scale", "--env", "staging", "--confirm", "staging"]).code(0);
    for (args, keys) in [(&["rollback"][..], "y\r"), (&["rollback", "--yes"], "\r")] {
        let (code, screen) = typed(&stage, args, keys);
        assert_eq!(code, Some(6), "{screen}");
        assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"], "{screen}");
    }
    let (code, screen) = typed(&stage, &["rollback"], "staging\r");
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.find("replicas 4 → 2").unwrap() < screen.find(ASKS).unwrap(), "{screen}");
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4", "4→2"]);
}

#[test]
fn without_a_terminal_only_the_name_on_the_command_line_confirms() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    environment(&stage, &cluster.uid, "confirm: name\n");
    for args in [&["run", "scale", "--env", "staging"][..], &["run", "scale", "--env", "staging", "--yes"]] {
        let _ = stage
            .run(args)
            .code(6)
            .stderr_has("this run acts on staging and has to be confirmed, and there is no terminal to ask on: nothing was done")
            .stderr_has("hint: programs confirm with `--confirm staging`; `--yes` is not enough here");
        untouched(&stage, &cluster);
    }
    let _ = stage
        .run(&["run", "scale", "--env", "staging", "--yes", "--confirm", "production"])
        .code(6)
        .stderr_has("`--confirm production` is not this run's environment, which is staging");
    untouched(&stage, &cluster);
    let _ = stage.run(&["run", "scale", "--env", "staging", "--confirm", "staging"]).code(0).stderr_has("cluster UID");
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
}
