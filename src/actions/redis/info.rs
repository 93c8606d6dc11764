//! `redis.info`: how a Redis server stands.
//!
//! Must not change anything. Invariant: one `INFO`, one reading; what the server does not say is null.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::statement::Statement;
use crate::actions::reading::{Reading, entry};
use crate::actions::server::{said, server};
use crate::actions::support::{not_connected, output, parse, within};
use crate::environment::{Connections, RedisError};
use crate::model::by_hand::{ByHand, word};
use crate::model::catalogue::ActionEntry;
use crate::model::outcome::Failure;
use crate::model::permission::needs_nothing;
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "redis.info";
const SYSTEM: &str = "redis";
/// How long getting in and the question may take.
const WITHIN: Duration = Duration::from_secs(10);

/// The inputs of `redis.info`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The server: host and port, as `${{ target.redis }}` has them, which is what is asked where this is left out. The password is the environment's.
    server: Option<Map<String, Value>>,
}

/// The reading.
pub(super) struct Info;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    entry::<Input>(
        NAME,
        "Read a Redis server's memory, clients, evictions and replication",
        include_str!("info.md"),
        vec![
            output("version", "string", "the server's version"),
            output("mode", "string", "standalone, cluster or sentinel; null where the server does not say"),
            output("uptime_seconds", "integer", "since when its counters count, in seconds"),
            output("used_bytes", "integer", "the memory that its data and buffers take, in bytes"),
            output("peak_bytes", "integer", "the most that it ever was, in bytes"),
            output("max_bytes", "integer", "the limit (`maxmemory`), in bytes; null where there is none"),
            output("used_percent", "number", "the memory used, in percent of the limit; null where there is none"),
            output("rss_bytes", "integer", "the memory that the operating system gave it, in bytes"),
            output("fragmentation", "number", "rss_bytes divided by used_bytes, as the server works it out"),
            output("policy", "string", "what it does at the limit (`maxmemory_policy`): noeviction, allkeys-lru, …"),
            output("evicted_keys", "integer", "keys that the limit drove out, since it started"),
            output("expired_keys", "integer", "keys whose time had come, since it started"),
            output("hits", "integer", "look-ups that found their key, since it started"),
            output("misses", "integer", "look-ups that did not, since it started"),
            output("hit_percent", "number", "hits in percent of all look-ups; null where there were none"),
            output("clients", "integer", "connected clients"),
            output("max_clients", "integer", "the most that may connect"),
            output("blocked_clients", "integer", "clients that wait in a blocking command"),
            output("rejected_connections", "integer", "connections that `maxclients` turned away, since it started"),
            output("commands_per_second", "integer", "commands a second, now"),
            output("role", "string", "primary or replica"),
            output("replicas", "list", "a primary's replicas: each `address`, `state`, `lag_seconds`, `behind_bytes`"),
            output("primary_link", "string", "a replica's link to its primary: up or down; null for a primary"),
            output(
                "lag_seconds",
                "integer",
                "how long ago the slowest replica last answered, or, of a replica, its primary last spoke, in seconds; null without replication",
            ),
            output("behind_bytes", "integer", "how far the slowest replica is behind, in bytes of replication; null without replicas"),
            output("keys", "integer", "the keys of all its databases"),
            output("keyspace", "map", "each database by name (`db0`): `keys`, `expires` (keys with a time to live)"),
            output("summary", "string", "the state in one line, for people"),
        ],
        by_hand,
        needs_nothing,
    )
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let of = |key: &str| said(inputs, target, SYSTEM, key).map(word);
    let options = [("-h", "host"), ("-p", "port"), ("--user", "user")];
    let options: String = options.into_iter().filter_map(|(option, key)| Some(format!(" {option} {}", of(key)?))).collect();
    ByHand { act: vec![format!("redis-cli{options} --askpass INFO")], ..ByHand::default() }
}

fn failure(error: &RedisError, cx: &Context) -> Failure {
    if let RedisError::Connection(error) = error {
        return not_connected(error);
    }
    let message = cx.log.redact(&error.to_string());
    let failure = if error.is_transient() { Failure::transient(message) } else { Failure::permanent(message) };
    failure.hint(error.hint())
}

#[async_trait]
impl Reading for Info {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(connections: &Connections, cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        let input: Input = parse(NAME, inputs)?;
        let server = server(NAME, SYSTEM, input.server.as_ref(), cx.target.as_ref())?;
        connections.redis_for(&server).map(drop).map_err(|error| not_connected(&error))
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input: Input = parse(NAME, inputs)?;
        let server = server(NAME, SYSTEM, input.server.as_ref(), cx.target.as_ref())?;
        let access = connections.redis_for(&server).map_err(|error| not_connected(&error))?;
        let failed = |error: RedisError| failure(&error, cx);
        let mut session = connections.redis_session(&access, within(cx, WITHIN)).await.map_err(failed)?;
        let text = session.info().await.map_err(failed)?;
        let statement = Statement::of(&text).map_err(|why| failed(RedisError::Garbled { place: access.place(), why }))?;
        cx.log.line(&format!("{}: {}", access.place(), statement.summary()));
        Ok(statement.outputs())
    }
}
