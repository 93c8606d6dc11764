//! What one instance of PgBouncer says of itself, by its admin console.
//!
//! Must not change anything. Invariant: columns are taken by their names, and what a version does not have is taken as not set.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;

use super::failure;
use crate::actions::support;
use crate::environment::{Connections, NamedRow, PgBouncerAccess, PgBouncerInstance, PostgresError, PostgresSession};
use crate::model::outcome::Failure;
use crate::ports::action::Context;

/// How long getting in and each question may take.
const WITHIN: Duration = Duration::from_secs(10);

/// A database, as its section of the configuration says it and the console shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::actions) struct Database {
    /// What clients call it.
    pub(super) name: String,
    /// The server's host; empty: a socket on the instance's own machine.
    pub(super) host: String,
    pub(super) port: i64,
    /// What the server calls it.
    pub(super) database: String,
    pub(super) pool_size: i64,
    pub(super) reserve: i64,
    pub(super) pool_mode: Option<String>,
    /// The most connections to the server over all its pools; 0: no limit.
    pub(super) max_connections: i64,
    /// The most clients; 0: no limit. From PgBouncer 1.24.
    pub(super) max_clients: i64,
}

/// The connections of one database and user.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::actions) struct Pool {
    pub(super) database: String,
    pub(super) user: String,
    pub(super) clients_active: i64,
    pub(super) clients_waiting: i64,
    pub(super) servers_active: i64,
    pub(super) servers_idle: i64,
    /// Seconds for which the first waiting client has waited.
    pub(super) max_wait: f64,
    pub(super) mode: Option<String>,
}

/// A client's connection, or one to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::actions) struct Link {
    pub(super) database: String,
    pub(super) user: String,
    pub(super) address: Option<IpAddr>,
    /// The server's process, of a connection to the server.
    pub(super) pid: i64,
}

/// What a user has of its own; most versions know the mode alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::actions) struct User {
    pub(super) pool_mode: Option<String>,
    pub(super) pool_size: Option<i64>,
    pub(super) reserve: Option<i64>,
    pub(super) max_connections: Option<i64>,
    /// The most clients that it may have connected. From PgBouncer 1.24.
    pub(super) max_clients: Option<i64>,
}

/// One instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::actions) struct Facts {
    /// `HOST:PORT`
    pub(super) at: String,
    pub(super) config: BTreeMap<String, String>,
    /// Without that of the admin console itself.
    pub(super) databases: Vec<Database>,
    pub(super) pools: Vec<Pool>,
    pub(super) clients: Vec<Link>,
    pub(super) servers: Vec<Link>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) lists: BTreeMap<String, i64>,
}

fn text(row: &NamedRow, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| row.get(*name)).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn number(row: &NamedRow, names: &[&str]) -> Option<i64> {
    text(row, names)?.parse().ok()
}

fn address(row: &NamedRow) -> Option<IpAddr> {
    text(row, &["addr"])?.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

impl Facts {
    /// A number of the configuration.
    pub(super) fn setting(&self, name: &str) -> Option<f64> {
        self.config.get(name)?.trim().parse().ok()
    }

    /// A count of the configuration; 0 where there is none.
    pub(super) fn count(&self, name: &str) -> i64 {
        self.config.get(name).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    async fn read(session: &PostgresSession, at: String, console: &str) -> Result<Self, PostgresError> {
        // What is open to the server comes first: what is opened later is then counted as somebody else's, which is too careful, never too bold.
        let links = |rows: Vec<NamedRow>| -> Vec<Link> {
            let link = |row: NamedRow| Link {
                database: text(&row, &["database"]).unwrap_or_default(),
                user: text(&row, &["user"]).unwrap_or_default(),
                address: address(&row),
                pid: number(&row, &["remote_pid"]).unwrap_or(0),
            };
            rows.into_iter().map(link).filter(|link| link.database != console).collect()
        };
        let servers = links(session.named_rows("SHOW SERVERS").await?);
        let clients = links(session.named_rows("SHOW CLIENTS").await?);
        let config = session.named_rows("SHOW CONFIG").await?;
        let databases = session.named_rows("SHOW DATABASES").await?;
        let pools = session.named_rows("SHOW POOLS").await?;
        let users = session.named_rows("SHOW USERS").await?;
        let lists = session.named_rows("SHOW LISTS").await?;
        let database = |row: &NamedRow| {
            let name = text(row, &["name"])?;
            (name != console).then(|| Database {
                host: text(row, &["host"]).unwrap_or_default(),
                port: number(row, &["port"]).unwrap_or(0),
                database: text(row, &["database"]).unwrap_or_else(|| name.clone()),
                pool_size: number(row, &["pool_size"]).unwrap_or(0),
                reserve: number(row, &["reserve_pool_size", "reserve_pool"]).unwrap_or(0),
                pool_mode: text(row, &["pool_mode"]),
                max_connections: number(row, &["max_connections"]).unwrap_or(0),
                max_clients: number(row, &["max_client_connections"]).unwrap_or(0),
                name,
            })
        };
        let pool = |row: &NamedRow| {
            let count = |name: &str| number(row, &[name]).unwrap_or(0);
            let database = text(row, &["database"]).unwrap_or_default();
            #[expect(clippy::cast_precision_loss, reason = "seconds, for people")]
            let max_wait = count("maxwait") as f64 + count("maxwait_us") as f64 / 1e6;
            (database != console).then(|| Pool {
                database,
                user: text(row, &["user"]).unwrap_or_default(),
                clients_active: count("cl_active"),
                clients_waiting: count("cl_waiting"),
                servers_active: count("sv_active") + count("sv_active_cancel") + count("sv_being_canceled"),
                servers_idle: count("sv_idle") + count("sv_used") + count("sv_tested") + count("sv_login"),
                max_wait,
                mode: text(row, &["pool_mode"]),
            })
        };
        let user = |row: &NamedRow| {
            let own = User {
                pool_mode: text(row, &["pool_mode"]),
                pool_size: number(row, &["pool_size"]).filter(|size| *size > 0),
                reserve: number(row, &["reserve_pool_size"]).filter(|size| *size > 0),
                max_connections: number(row, &["max_user_connections"]).filter(|most| *most > 0),
                max_clients: number(row, &["max_user_client_connections"]).filter(|most| *most > 0),
            };
            Some((text(row, &["name"])?, own))
        };
        Ok(Self {
            at,
            config: config.iter().filter_map(|row| Some((text(row, &["key"])?, row.get("value").cloned().unwrap_or_default()))).collect(),
            databases: databases.iter().filter_map(database).collect(),
            pools: pools.iter().filter_map(pool).collect(),
            clients,
            servers,
            users: users.iter().filter_map(user).collect(),
            lists: lists.iter().filter_map(|row| Some((text(row, &["list"])?, number(row, &["items"])?))).collect(),
        })
    }
}

/// The instances of a pooler, as they are now.
///
/// # Errors
/// Why they are not known.
pub(super) async fn instances(
    connections: &Arc<Connections>,
    cx: &Context,
    access: &PgBouncerAccess,
) -> Result<Vec<PgBouncerInstance>, Failure> {
    let namespace = cx.target.as_ref().and_then(|target| target.values.get("kubernetes")).and_then(|cluster| cluster.get("namespace"));
    let namespace = namespace.and_then(serde_json::Value::as_str).unwrap_or("default");
    let found = connections.pgbouncer_instances(access, namespace, support::within(cx, WITHIN)).await;
    found.map_err(|error| {
        let text = cx.log.redact(&error.to_string());
        let failure = if error.transient { Failure::transient(text) } else { Failure::permanent(text) };
        failure.hint(error.hint).retry_after(error.retry_after.as_deref().and_then(support::asked_wait))
    })
}

/// A session with the console of one instance.
///
/// # Errors
/// Why there is none.
pub(super) async fn console(
    connections: &Arc<Connections>,
    cx: &Context,
    access: &PgBouncerAccess,
    instance: &PgBouncerInstance,
) -> Result<PostgresSession, Failure> {
    let session = connections.pgbouncer_session(access, instance, support::within(cx, WITHIN)).await;
    session.map_err(|error| failure(cx, &error))
}

/// All instances at the same time; that one does not answer is a failure: a sum without it would be none.
///
/// # Errors
/// The first that does not answer.
pub(in crate::actions) async fn all(connections: &Arc<Connections>, cx: &Context, access: &PgBouncerAccess) -> Result<Vec<Facts>, Failure> {
    let instances = instances(connections, cx, access).await?;
    let one = async |instance: &PgBouncerInstance| {
        let session = console(connections, cx, access, instance).await?;
        Facts::read(&session, instance.at.to_string(), &access.target.database).await.map_err(|error| failure(cx, &error))
    };
    try_join_all(instances.iter().map(one)).await
}
