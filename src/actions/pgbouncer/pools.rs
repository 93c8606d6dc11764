//! `pgbouncer.pools`: how PgBouncer's pools stand, over all instances.
//!
//! Must not change anything. Invariant: an instance that does not answer is a failure: sums without it would mislead.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::facts::{self, Facts, Pool};
use crate::actions::reading::{Reading, entry};
use crate::actions::support::{self, output, parse, redacted};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::ActionEntry;
use crate::model::outcome::Failure;
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "pgbouncer.pools";
/// How many pools and instances are listed.
const MOST: usize = 20;

/// The inputs of `pgbouncer.pools`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The pooler: `${{ target.pgbouncer }}`. The password is the environment's.
    pooler: Map<String, Value>,
}

/// The reading.
pub(super) struct Pools;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    entry::<Input>(
        NAME,
        "Tell how PgBouncer's pools stand, over all its instances",
        include_str!("pools.md"),
        vec![
            output("pool_mode", "string", "the mode of the pools: `transaction`, `session`, `statement`; several where they differ"),
            output("clients", "integer", "the connections of clients, those of the admin console left out"),
            output("clients_waiting", "integer", "of them, those that wait for a connection to the server"),
            output("max_client_conn", "integer", "how many clients all instances together take"),
            output("client_share", "number", "the share of its `max_client_conn` that the fullest instance has used, from 0 to 1"),
            output("max_wait_seconds", "number", "for how long the first waiting client has waited, in seconds"),
            output("servers_active", "integer", "connections to the server that a client uses"),
            output("servers_idle", "integer", "connections to the server that are open and not in use"),
            output("summary", "string", "all of it in one line"),
            output(
                "instances",
                "list",
                "each instance, at most 20: `at`, `pool_mode`, `clients`, `clients_waiting`, `max_client_conn`, `default_pool_size`, \
                 `reserve_pool_size`, `max_db_connections`, `max_user_connections`, `servers`, `logging_in`",
            ),
            output(
                "pools",
                "list",
                "each database and user over all instances, at most 20, those with the most waiting first: `database`, `user`, `mode`, \
                 `clients_active`, `clients_waiting`, `servers_active`, `servers_idle`, `max_wait_seconds`",
            ),
        ],
        by_hand,
        permissions,
    )
});

fn by_hand(inputs: &Value, _: Option<&TargetSpec>) -> ByHand {
    let (look, lines) = super::psql(inputs.get("pooler").unwrap_or(&Value::Null));
    let ask = |line: String| ["SHOW POOLS", "SHOW LISTS", "SHOW DATABASES", "SHOW CONFIG"].map(|what| format!("{line} -c '{what}'"));
    ByHand { act: look.into_iter().chain(lines.into_iter().flat_map(ask)).collect(), ..ByHand::default() }
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    super::needs(inputs.get("pooler").unwrap_or(&Value::Null), target)
}

/// A share of a whole, to the thousandth.
fn share(part: i64, whole: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share, for people and thresholds")]
    let exact = if whole > 0 { part as f64 / whole as f64 } else { 0.0 };
    (exact * 1000.0).round() / 1000.0
}

fn seconds(exact: f64) -> f64 {
    (exact * 1000.0).round() / 1000.0
}

/// The pools of all instances by database and user.
fn merged(all: &[Facts]) -> Vec<Pool> {
    let mut by_pair: BTreeMap<(&str, &str), Pool> = BTreeMap::new();
    for pool in all.iter().flat_map(|facts| &facts.pools) {
        let sum = by_pair.entry((&pool.database, &pool.user)).or_insert_with(|| Pool {
            database: pool.database.clone(),
            user: pool.user.clone(),
            mode: pool.mode.clone(),
            ..Pool::default()
        });
        sum.clients_active += pool.clients_active;
        sum.clients_waiting += pool.clients_waiting;
        sum.servers_active += pool.servers_active;
        sum.servers_idle += pool.servers_idle;
        sum.max_wait = sum.max_wait.max(pool.max_wait);
    }
    let mut pools: Vec<Pool> = by_pair.into_values().collect();
    pools.sort_by_key(|pool| std::cmp::Reverse((pool.clients_waiting, pool.clients_active)));
    pools
}

fn outputs(all: &[Facts]) -> Value {
    let pools = merged(all);
    let sum = |of: fn(&Pool) -> i64| pools.iter().map(of).fold(0, i64::saturating_add);
    let (waiting, active, idle) = (sum(|pool| pool.clients_waiting), sum(|pool| pool.servers_active), sum(|pool| pool.servers_idle));
    let count = |facts: &Facts| i64::try_from(facts.clients.len()).unwrap_or(i64::MAX);
    let clients = all.iter().map(count).fold(0, i64::saturating_add);
    let most = all.iter().map(|facts| facts.count("max_client_conn")).fold(0, i64::saturating_add);
    let client_share = all.iter().map(|facts| share(count(facts), facts.count("max_client_conn"))).fold(0.0, f64::max);
    let max_wait = seconds(pools.iter().map(|pool| pool.max_wait).fold(0.0, f64::max));
    let modes: std::collections::BTreeSet<String> = all
        .iter()
        .flat_map(|facts| facts.pools.iter().filter_map(|pool| pool.mode.clone()).chain(facts.config.get("pool_mode").cloned()))
        .collect();
    let modes = modes.into_iter().collect::<Vec<_>>().join(", ");
    let summary = format!(
        "PgBouncer ({modes}, {} {}): {clients} of {most} clients, {waiting} waiting (the first for {max_wait} s), {active} connections to the server \
         in use and {idle} idle",
        all.len(),
        if all.len() == 1 { "instance" } else { "instances" },
    );
    let instance = |facts: &Facts| {
        let waiting = facts.pools.iter().map(|pool| pool.clients_waiting).fold(0, i64::saturating_add);
        json!({
            "at": facts.at, "pool_mode": facts.config.get("pool_mode"), "clients": count(facts), "clients_waiting": waiting,
            "max_client_conn": facts.count("max_client_conn"), "default_pool_size": facts.count("default_pool_size"),
            "reserve_pool_size": facts.count("reserve_pool_size"), "max_db_connections": facts.count("max_db_connections"),
            "max_user_connections": facts.count("max_user_connections"), "servers": facts.servers.len(),
            "logging_in": facts.lists.get("login_clients"),
        })
    };
    let pool = |pool: &Pool| {
        json!({
            "database": pool.database, "user": pool.user, "mode": pool.mode, "clients_active": pool.clients_active,
            "clients_waiting": pool.clients_waiting, "servers_active": pool.servers_active, "servers_idle": pool.servers_idle,
            "max_wait_seconds": seconds(pool.max_wait),
        })
    };
    json!({
        "pool_mode": modes,
        "clients": clients,
        "clients_waiting": waiting,
        "max_client_conn": most,
        "client_share": client_share,
        "max_wait_seconds": max_wait,
        "servers_active": active,
        "servers_idle": idle,
        "summary": summary,
        "instances": all.iter().take(MOST).map(instance).collect::<Vec<_>>(),
        "pools": pools.iter().take(MOST).map(pool).collect::<Vec<_>>(),
    })
}

#[async_trait]
impl Reading for Pools {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(connections: &Connections, cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        let input: Input = parse(NAME, inputs)?;
        support::target(NAME, cx.target.as_ref())?;
        connections.pgbouncer_for(&Value::Object(input.pooler)).map(drop).map_err(|error| support::not_connected(&error))
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input: Input = parse(NAME, inputs)?;
        let access = connections.pgbouncer_for(&Value::Object(input.pooler)).map_err(|error| support::not_connected(&error))?;
        let outputs = redacted(&*cx.log, outputs(&facts::all(connections, cx, access).await?));
        cx.log.line(outputs["summary"].as_str().unwrap_or_default());
        Ok(outputs)
    }
}
