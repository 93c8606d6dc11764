//! The simulated PgBouncer: two instances, each with its settings, and what they make of the Pods' connections.
//!
//! It must not read clocks or answer anybody. Invariant: a setting that was changed while an instance runs is what its file says again after a reload.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether there is one between the Pods and the database, and in which mode it pools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooler {
    /// There is none: a connection of a Pod is one of the database's.
    #[default]
    None,
    /// A connection to the database serves a client for a transaction.
    Transaction,
    /// A connection to the database serves a client for as long as it is connected.
    Session,
}

impl Pooler {
    /// All of them, in the order of their names' help.
    pub const ALL: [Self; 3] = [Self::None, Self::Transaction, Self::Session];

    fn mode(self) -> &'static str {
        match self {
            Self::None | Self::Session => "session",
            Self::Transaction => "transaction",
        }
    }
}

impl fmt::Display for Pooler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Transaction => "transaction",
            Self::Session => "session",
        })
    }
}

impl FromStr for Pooler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|one| one.to_string() == text);
        known.ok_or_else(|| "write none, transaction or session".to_owned())
    }
}

/// The hosts of the instances.
pub(crate) const HOSTS: [&str; 2] = ["pgbouncer-0.pgbouncer.production", "pgbouncer-1.pgbouncer.production"];
/// Their port.
pub(crate) const PORT: u16 = 6432;
/// The database of the admin console.
pub(crate) const CONSOLE: &str = "pgbouncer";
/// The addresses from which they connect to the database.
const ADDRESSES: [&str; 2] = ["10.0.9.20", "10.0.9.21"];

/// A setting: its name, its value in the files of both instances, PgBouncer's own default, and whether it changes while an instance runs.
type Setting = (&'static str, [&'static str; 2], &'static str, bool);

const SETTINGS: [Setting; 13] = [
    ("admin_users", ["runsheet", "runsheet"], "", true),
    ("default_pool_size", ["20", "25"], "20", true),
    ("listen_port", ["6432", "6432"], "6432", false),
    ("max_client_conn", ["1000", "1000"], "100", true),
    ("max_db_connections", ["0", "0"], "0", true),
    ("max_user_connections", ["0", "0"], "0", true),
    ("min_pool_size", ["0", "0"], "0", true),
    ("pool_mode", ["", ""], "session", true),
    ("query_wait_timeout", ["120", "120"], "120", true),
    ("reserve_pool_size", ["5", "5"], "0", true),
    ("reserve_pool_timeout", ["5", "5"], "5", true),
    ("server_idle_timeout", ["600", "600"], "600", true),
    ("server_lifetime", ["3600", "3600"], "3600", true),
];

/// What was set on the running instances, beside their files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bouncers {
    /// Which there are.
    pub(crate) kind: Pooler,
    /// By instance and name.
    set: [BTreeMap<String, String>; 2],
}

/// A setting as `SHOW CONFIG` has it.
pub(crate) struct Shown {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) default: &'static str,
    pub(crate) changeable: bool,
}

impl Bouncers {
    /// Fresh ones.
    pub(crate) fn new(kind: Pooler) -> Self {
        Self { kind, ..Self::default() }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.kind != Pooler::None
    }

    fn of_file(&self, at: usize, (name, values, _, _): &Setting) -> String {
        if *name == "pool_mode" { self.kind.mode().to_owned() } else { values.get(at).copied().unwrap_or_default().to_owned() }
    }

    /// All settings of an instance.
    pub(crate) fn settings(&self, at: usize) -> Vec<Shown> {
        let set = self.set.get(at);
        let shown = |setting: &Setting| {
            let (name, _, default, changeable) = *setting;
            let value = set.and_then(|set| set.get(name).cloned()).unwrap_or_else(|| self.of_file(at, setting));
            Shown { name, value, default, changeable }
        };
        SETTINGS.iter().map(shown).collect()
    }

    /// The value of a setting.
    pub(crate) fn value(&self, at: usize, name: &str) -> String {
        self.settings(at).into_iter().find(|shown| shown.name == name).map(|shown| shown.value).unwrap_or_default()
    }

    /// A setting that is a count.
    pub(crate) fn count(&self, at: usize, name: &str) -> u64 {
        self.value(at, name).parse().unwrap_or(0)
    }

    /// Sets one of a running instance; what it was before. `None`: PgBouncer does not take it.
    pub(crate) fn set(&mut self, at: usize, name: &str, value: &str) -> Option<String> {
        let (name, _, _, changeable) = SETTINGS.iter().find(|(known, ..)| *known == name)?;
        let fits = match *name {
            "pool_mode" => ["session", "transaction", "statement"].contains(&value),
            "admin_users" => true,
            _ => value.parse::<u32>().is_ok(),
        };
        if !(*changeable && fits) {
            return None;
        }
        let former = self.value(at, name);
        self.set.get_mut(at)?.insert((*name).to_owned(), value.to_owned());
        Some(former)
    }

    /// Goes back to the file; what changed: name, former value, new one.
    pub(crate) fn reload(&mut self, at: usize) -> Vec<(&'static str, String, String)> {
        let before = self.settings(at);
        if let Some(set) = self.set.get_mut(at) {
            set.clear();
        }
        let after = self.settings(at);
        let both = before.into_iter().zip(after).filter(|(before, after)| before.value != after.value);
        both.map(|(before, after)| (after.name, before.value, after.value)).collect()
    }

    /// The clients of each instance, of the Pods in their order, each with its size: every other connection goes to the other instance.
    pub(crate) fn clients(&self, sizes: impl IntoIterator<Item = u64>) -> [Vec<(usize, u64)>; 2] {
        let mut clients: [Vec<(usize, u64)>; 2] = Default::default();
        let mut odd = false;
        for (pod, size) in sizes.into_iter().enumerate() {
            let (less, more) = (size / 2, size - size / 2);
            let [first, second] = &mut clients;
            first.push((pod, if odd { less } else { more }));
            second.push((pod, if odd { more } else { less }));
            odd ^= size % 2 == 1;
        }
        clients
    }

    /// How many connections to the database an instance has for so many clients.
    pub(crate) fn servers(&self, at: usize, clients: u64) -> u64 {
        let most = self.count(at, "default_pool_size");
        let bound = self.count(at, "max_db_connections");
        let most = if bound > 0 { most.min(bound) } else { most };
        clients.min(self.count(at, "max_client_conn")).min(most)
    }

    /// How many clients an instance turns away, or lets wait for good.
    pub(crate) fn left_out(&self, at: usize, clients: u64) -> u64 {
        let served = if self.value(at, "pool_mode") == "session" { self.servers(at, clients) } else { self.count(at, "max_client_conn") };
        clients.saturating_sub(served)
    }

    /// From where an instance connects.
    pub(crate) fn address(at: usize) -> &'static str {
        ADDRESSES.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_lasts_until_a_reload() {
        let mut bouncers = Bouncers::new(Pooler::Transaction);
        assert_eq!((bouncers.value(0, "pool_mode"), bouncers.count(1, "default_pool_size")), ("transaction".to_owned(), 25));
        assert_eq!(bouncers.set(1, "default_pool_size", "40"), Some("25".to_owned()));
        assert_eq!((bouncers.count(0, "default_pool_size"), bouncers.count(1, "default_pool_size")), (20, 40), "each has its own");
        for (name, value) in [("default_pool_size", "many"), ("listen_port", "1"), ("nothing", "1"), ("pool_mode", "loose")] {
            assert_eq!(bouncers.set(1, name, value), None, "{name}");
        }
        let kept: Bouncers = serde_json::from_value(serde_json::to_value(&bouncers).unwrap()).unwrap();
        assert_eq!(kept, bouncers);
        assert_eq!(bouncers.reload(1), [("default_pool_size", "40".to_owned(), "25".to_owned())]);
        assert_eq!(bouncers.reload(1), []);
    }

    #[test]
    fn clients_are_spread_and_served() {
        let bouncers = Bouncers::new(Pooler::Transaction);
        let clients = bouncers.clients([3, 3, 4]);
        assert_eq!(clients, [vec![(0, 2), (1, 1), (2, 2)], vec![(0, 1), (1, 2), (2, 2)]]);
        assert_eq!((bouncers.servers(0, 200), bouncers.left_out(0, 200), bouncers.left_out(0, 1001)), (20, 0, 1));
        let session = Bouncers::new(Pooler::Session);
        assert_eq!((session.servers(0, 200), session.left_out(0, 200)), (20, 180), "who has one keeps it");
    }
}
