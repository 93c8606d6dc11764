//! What the simulated server knows: two views, and a few values.
//!
//! It must not read any text of a client's. Invariant: the columns are named as PostgreSQL names them.

use super::super::connections::{FIRST_PID, Held, LIMIT, RESERVED};
use super::{DATABASE, USER, VERSION};

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int4,
    Int8,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Number(i64),
}

impl Cell {
    /// As the text format has it.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
        }
    }
}

/// A view, or the answer to a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) columns: Vec<(String, Kind)>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// The server as one session sees it.
#[derive(Debug)]
pub(super) struct Server {
    /// The session's own process id.
    pub(super) pid: i32,
    /// Connections that the simulation holds open.
    pub(super) held: Vec<Held>,
    /// Connections that clients have open, this one too.
    pub(super) sessions: Vec<(i32, Held)>,
}

fn columns(of: &[(&str, Kind)]) -> Vec<(String, Kind)> {
    of.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
}

fn text(value: &str) -> Cell {
    Cell::Text(value.to_owned())
}

impl Server {
    /// The view of this name.
    pub(super) fn view(&self, name: &str) -> Option<Table> {
        match name {
            "pg_settings" => Some(Table {
                columns: columns(&[("name", Kind::Text), ("setting", Kind::Text)]),
                rows: settings().into_iter().map(|(name, setting)| vec![text(name), Cell::Text(setting)]).collect(),
            }),
            "pg_stat_activity" => Some(self.activity()),
            _ => None,
        }
    }

    fn activity(&self) -> Table {
        let client = |pid: i64, held: &Held, active: bool| {
            vec![
                Cell::Number(pid),
                text(&held.database),
                text(&held.user),
                held.address.as_deref().map_or(Cell::Null, text),
                text(&held.application),
                text(if active { "active" } else { "idle" }),
                text("client backend"),
            ]
        };
        let background =
            |pid: i64, what: &str| vec![Cell::Number(pid), Cell::Null, Cell::Null, Cell::Null, text(""), Cell::Null, text(what)];
        let mut rows = vec![background(20, "checkpointer"), background(21, "autovacuum launcher")];
        rows.extend((FIRST_PID..).zip(&self.held).map(|(pid, held)| client(pid, held, false)));
        rows.extend(self.sessions.iter().map(|(pid, held)| client(i64::from(*pid), held, *pid == self.pid)));
        Table {
            columns: columns(&[
                ("pid", Kind::Int4),
                ("datname", Kind::Text),
                ("usename", Kind::Text),
                ("client_addr", Kind::Text),
                ("application_name", Kind::Text),
                ("state", Kind::Text),
                ("backend_type", Kind::Text),
            ]),
            rows,
        }
    }

    /// What a function or a keyword without a table gives.
    pub(super) fn scalar(&self, name: &str) -> Option<(Kind, Cell)> {
        Some(match name {
            "pg_backend_pid" => (Kind::Int4, Cell::Number(i64::from(self.pid))),
            "version" => (Kind::Text, Cell::Text(format!("PostgreSQL {VERSION} (simulated by runsheet's sandbox)"))),
            "current_database" => (Kind::Text, text(DATABASE)),
            "current_user" => (Kind::Text, text(USER)),
            _ => return None,
        })
    }
}

/// The settings that it has.
pub(super) fn settings() -> Vec<(&'static str, String)> {
    vec![
        ("default_transaction_read_only", "on".to_owned()),
        ("max_connections", LIMIT.to_string()),
        ("server_version", VERSION.to_owned()),
        ("server_version_num", "150008".to_owned()),
        ("superuser_reserved_connections", RESERVED.to_string()),
    ]
}
