//! Watches over a program and all that it started, and ends whatever it leaves behind.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::group::Group;
use super::outcome::Cause;

/// How often is looked for new processes while a group is being ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What happens to it.
pub(super) enum Event {
    /// The pipe from the engine closed.
    EngineGone,
    /// A child ended and was reaped: the program, or what it left behind.
    Reaped(Pid, WaitStatus),
    /// There is no child any more.
    NoChild,
    /// A stream of the program's output closed.
    Closed,
}

/// What is known about the program and all that it started.
pub(super) struct Watch {
    leader: Pid,
    events: Receiver<Event>,
    pub(super) status: Option<WaitStatus>,
    since: Instant,
    pub(super) ended_after: Duration,
    pub(super) closed: usize,
    no_child: bool,
}

enum Seen {
    Something { engine_gone: bool },
    Nothing,
}

impl Watch {
    /// Looks after the program that leads its group, started at this time.
    pub(super) fn new(leader: Pid, events: Receiver<Event>, since: Instant) -> Self {
        Self { leader, events, status: None, since, ended_after: since.elapsed(), closed: 0, no_child: false }
    }

    fn see(&mut self, until: Option<Instant>) -> Seen {
        let event = match until {
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => self.events.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(Event::Reaped(pid, status)) if pid == self.leader => {
                self.status = Some(status);
                self.ended_after = self.since.elapsed();
            }
            Ok(Event::Reaped(..)) => {}
            Ok(Event::NoChild) => self.no_child = true,
            Ok(Event::Closed) => self.closed += 1,
            Ok(Event::EngineGone) => return Seen::Something { engine_gone: true },
            Err(_) => return Seen::Nothing,
        }
        Seen::Something { engine_gone: false }
    }

    /// Until the program has ended, the engine has gone, or its time is over.
    pub(super) fn until_ended(&mut self, deadline: Option<Instant>) -> Cause {
        loop {
            if self.status.is_some() || self.no_child {
                return Cause::Itself;
            }
            match self.see(deadline) {
                Seen::Something { engine_gone: false } => {}
                Seen::Something { engine_gone: true } => return Cause::Stopped,
                Seen::Nothing => return Cause::Timeout,
            }
        }
    }

    /// Until it is so, or it is too late.
    pub(super) fn until(&mut self, deadline: Option<Instant>, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            if matches!(self.see(deadline), Seen::Nothing) {
                return;
            }
        }
    }

    /// Ends whatever is left. Returns only when nothing is: what cannot be killed keeps the lock.
    pub(super) fn end_group(&mut self, grace: Duration) {
        let mut group = Group::new(self.leader);
        let kill_at = Instant::now() + grace;
        while !group.is_gone(self.no_child) {
            let leader_lives = self.status.is_none();
            if Instant::now() < kill_at {
                group.terminate(leader_lives);
                self.until(Some(kill_at.min(Instant::now() + LOOK_AGAIN)), |watch| watch.no_child);
            } else {
                group.kill(leader_lives);
                self.until(Some(Instant::now() + LOOK_AGAIN), |watch| watch.no_child);
            }
        }
    }
}

/// Reaps every child, the adopted ones included, until there is none.
pub(super) fn reap(events: mpsc::Sender<Event>) {
    thread::spawn(move || {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    let _ = events.send(Event::Reaped(pid, status));
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        let _ = events.send(Event::NoChild);
    });
}
