//! What `SHOW` gives on the admin console of the simulated PgBouncer, in the columns of version 1.18.
//!
//! It must not read any text of a client's. Invariant: all tables of one answer are of the same moment.

use super::super::connections::Account;
use super::super::pooler::{Bouncers, CONSOLE, PORT, Shown};
use super::DATABASE;
use super::tables::{Cell, Kind, Table};

/// When everybody connected: nothing of note has happened since.
const SINCE: &str = "2000-01-01 00:00:00 UTC";

pub(super) fn text(value: impl Into<String>) -> Cell {
    Cell::Text(value.into())
}

fn number(value: u64) -> Cell {
    Cell::Number(i64::try_from(value).unwrap_or(i64::MAX))
}

pub(super) fn table(columns: &[(&str, Kind)], rows: Vec<Vec<Cell>>) -> Table {
    Table { columns: columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(), rows }
}

pub(super) fn config(bouncers: &Bouncers, at: usize) -> Table {
    let columns = [("key", Kind::Text), ("value", Kind::Text), ("default", Kind::Text), ("changeable", Kind::Text)];
    let row =
        |shown: Shown| vec![text(shown.name), text(shown.value), text(shown.default), text(if shown.changeable { "yes" } else { "no" })];
    table(&columns, bouncers.settings(at).into_iter().map(row).collect())
}

pub(super) fn databases(bouncers: &Bouncers, at: usize, account: &Account) -> Table {
    use Kind::{Int4, Text};
    let columns = [
        ("name", Text),
        ("host", Text),
        ("port", Int4),
        ("database", Text),
        ("force_user", Text),
        ("pool_size", Int4),
        ("min_pool_size", Int4),
        ("reserve_pool", Int4),
        ("pool_mode", Text),
        ("max_connections", Int4),
        ("current_connections", Int4),
        ("paused", Int4),
        ("disabled", Int4),
    ];
    let count = |name: &str| number(bouncers.count(at, name));
    let zero = || Cell::Number(0);
    let own = vec![
        text(CONSOLE),
        Cell::Null,
        Cell::Number(i64::from(PORT)),
        text(CONSOLE),
        text(CONSOLE),
        Cell::Number(2),
        zero(),
        zero(),
        text("statement"),
        zero(),
        zero(),
        zero(),
        zero(),
    ];
    let tickets = vec![
        text(DATABASE),
        text(super::HOST),
        Cell::Number(5432),
        text(DATABASE),
        Cell::Null,
        count("default_pool_size"),
        count("min_pool_size"),
        count("reserve_pool_size"),
        Cell::Null,
        count("max_db_connections"),
        number(account.servers(at).count() as u64),
        zero(),
        zero(),
    ];
    table(&columns, vec![own, tickets])
}

pub(super) fn pools(bouncers: &Bouncers, at: usize, account: &Account) -> Table {
    use Kind::{Int4, Text};
    let columns = [
        ("database", Text),
        ("user", Text),
        ("cl_active", Int4),
        ("cl_waiting", Int4),
        ("cl_active_cancel_req", Int4),
        ("cl_waiting_cancel_req", Int4),
        ("sv_active", Int4),
        ("sv_active_cancel", Int4),
        ("sv_being_canceled", Int4),
        ("sv_idle", Int4),
        ("sv_used", Int4),
        ("sv_tested", Int4),
        ("sv_login", Int4),
        ("maxwait", Int4),
        ("maxwait_us", Int4),
        ("pool_mode", Text),
    ];
    let row = |database: &str, user: &str, clients: u64, waiting: u64, active: u64, idle: u64, mode: &str| {
        let counts = [clients, waiting, 0, 0, active, 0, 0, idle, 0, 0, 0, 0, 0].map(number);
        [text(database), text(user)].into_iter().chain(counts).chain([text(mode)]).collect::<Vec<_>>()
    };
    let mode = bouncers.value(at, "pool_mode");
    let (clients, servers) = (account.clients(at), account.servers(at).count() as u64);
    let waiting = if mode == "session" { clients.saturating_sub(servers) } else { 0 };
    let active = if mode == "session" { servers } else { 0 };
    let mut rows = vec![row(CONSOLE, CONSOLE, 1, 0, 0, 0, "statement")];
    if clients > 0 {
        rows.push(row(DATABASE, "ticket_service", clients - waiting, waiting, active, servers - active, &mode));
    }
    table(&columns, rows)
}

pub(super) fn lists(at: usize, account: &Account) -> Table {
    let (clients, servers) = (account.clients(at) + 1, account.servers(at).count() as u64);
    let lists = [
        ("databases", 2),
        ("users", 3),
        ("pools", if clients > 1 { 2 } else { 1 }),
        ("free_clients", 49),
        ("used_clients", clients),
        ("login_clients", 0),
        ("free_servers", 50),
        ("used_servers", servers),
        ("dns_names", 1),
        ("dns_zones", 0),
        ("dns_queries", 0),
        ("dns_pending", 0),
    ];
    table(&[("list", Kind::Text), ("items", Kind::Int4)], lists.into_iter().map(|(name, count)| vec![text(name), number(count)]).collect())
}

pub(super) fn links(kind: char, at: usize, account: &Account) -> Table {
    use Kind::{Int4, Text};
    let columns = [
        ("type", Text),
        ("user", Text),
        ("database", Text),
        ("state", Text),
        ("addr", Text),
        ("port", Int4),
        ("local_addr", Text),
        ("local_port", Int4),
        ("connect_time", Text),
        ("request_time", Text),
        ("wait", Int4),
        ("wait_us", Int4),
        ("close_needed", Int4),
        ("ptr", Text),
        ("link", Text),
        ("remote_pid", Int4),
        ("tls", Text),
        ("application_name", Text),
    ];
    let row = |address: &str, local: &str, local_port: u16, number: usize, pid: i64, application: &str| {
        let zero = || Cell::Number(0);
        vec![
            text(kind),
            text("ticket_service"),
            text(DATABASE),
            text(if kind == 'C' { "active" } else { "idle" }),
            text(address),
            Cell::Number(if kind == 'C' { 40_000 + i64::try_from(number % 20_000).unwrap_or(0) } else { 5432 }),
            text(local),
            Cell::Number(i64::from(local_port)),
            text(SINCE),
            text(SINCE),
            zero(),
            zero(),
            zero(),
            text(format!("0x{number:x}")),
            text(""),
            Cell::Number(pid),
            text(""),
            text(application),
        ]
    };
    let own = Bouncers::address(at);
    let rows = if kind == 'C' {
        let pods = account.pods(at).flat_map(|(address, name, count)| (0..count).map(move |_| (address, name)));
        pods.enumerate().map(|(number, (address, name))| row(address, own, PORT, number, 0, name)).collect()
    } else {
        account.servers(at).enumerate().map(|(number, pid)| row("10.0.9.1", own, 50_000, number, pid, "")).collect()
    };
    table(&columns, rows)
}
