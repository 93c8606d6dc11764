//! The simulated PostgreSQL server, and PgBouncer's console: their wire protocol on the sandbox's own port, and the few statements that actions ask.
//!
//! It must not change anything nor know of HTTP. Invariant: nobody gets in without the password; messages, sessions, statements and silences are
//! bounded; what the sandbox does not know is an error that names what it knows.

mod console;
mod log_in;
mod session;
mod shown;
mod sql;
mod tables;
mod wire;

pub(crate) use session::serve;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::connections::Held;

/// The host by which it is reached.
pub(crate) const HOST: &str = "postgres.production";
/// The user who gets in.
pub(crate) const USER: &str = "runsheet";
/// The database that there is.
pub(crate) const DATABASE: &str = "tickettoken";
/// The version that it says it is.
pub(crate) const VERSION: &str = "15.8";
/// How many sessions are served at the same time.
const MOST_SESSIONS: usize = 64;

/// The sessions that are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    last_pid: i32,
    /// `None`: somebody who has not got in yet.
    by_pid: BTreeMap<i32, Option<Held>>,
}

/// A place among the sessions; dropping it frees it.
#[derive(Debug)]
struct Place {
    pid: i32,
    sessions: Sessions,
}

impl Sessions {
    fn with<T>(&self, act: impl FnOnce(&mut Open) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A place for one more; none where there are too many.
    fn enter(&self) -> Option<Place> {
        self.with(|open| {
            if open.by_pid.len() >= MOST_SESSIONS {
                return None;
            }
            open.last_pid = open.last_pid.wrapping_add(1).max(1);
            while open.by_pid.contains_key(&open.last_pid) {
                open.last_pid = open.last_pid.wrapping_add(1).max(1);
            }
            open.by_pid.insert(open.last_pid, None);
            Some(Place { pid: open.last_pid, sessions: self.clone() })
        })
    }

    /// Those who are in, by process id.
    fn logged_in(&self) -> Vec<(i32, Held)> {
        self.with(|open| open.by_pid.iter().filter_map(|(pid, held)| held.clone().map(|held| (*pid, held))).collect())
    }
}

impl Place {
    /// Lets it in, unless `others` and those who are in leave no connection.
    fn log_in(&self, held: Held, others: usize, most: usize) -> bool {
        self.sessions.with(|open| {
            let inside = open.by_pid.values().flatten().count();
            let room = others + inside < most;
            if room {
                open.by_pid.insert(self.pid, Some(held));
            }
            room
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.with(|open| open.by_pid.remove(&self.pid));
    }
}
