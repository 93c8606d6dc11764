//! `postgres.connections`: who holds a server's connections, and how near to its limit it is.
//!
//! Must not change anything. Invariant: all databases are counted, because the limit is the server's; what ordinary users never get is taken off it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::activity::{self, SETTINGS};
use crate::actions::reading::{Reading, entry};
use crate::actions::support::{self, output, parse, redacted};
use crate::environment::{Connections, NamedRow};
use crate::model::by_hand::{ByHand, word};
use crate::model::catalogue::ActionEntry;
use crate::model::outcome::Failure;
use crate::model::permission::needs_nothing;
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "postgres.connections";
const WITHIN: Duration = Duration::from_secs(10);
/// How many holders, and how many names of each kind, are listed.
const MOST: usize = 20;
/// What is said of a connection that the server hides.
const HIDDEN: &str = "hidden";

/// Who is connected, but for the asking session itself.
const HOLDERS: &str =
    "SELECT datname, usename, application_name, client_addr, state, backend_type FROM pg_stat_activity WHERE pid <> pg_backend_pid()";

/// The inputs of `postgres.connections`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The server: host, port, user and database, as `${{ target.postgres }}` has them. The password is the environment's.
    database: Map<String, Value>,
}

/// The reading.
pub(super) struct ConnectionsReading;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    entry::<Input>(
        NAME,
        "Tell who holds PostgreSQL's connections, and how many are left",
        include_str!("connections.md"),
        vec![
            output("in_use", "integer", "the connections of clients, over all databases, without the asking one"),
            output("max_connections", "integer", "the server's limit"),
            output("reserved", "integer", "the connections that ordinary users never get"),
            output("usable", "integer", "those that ordinary users get: max_connections − reserved"),
            output("free", "integer", "those that are left: usable − in_use"),
            output(
                "share",
                "number",
                "the share of the usable ones that is in use, from 0 to 1 (more where superusers hold reserved ones)",
            ),
            output("hidden", "integer", "of those in use, the ones whose state and client the server hides from this user"),
            output("by_state", "map", "how many are in each state: `active`, `idle`, `idle in transaction`, …"),
            output("by_database", "map", "how many each database has; at most 20 names, the largest"),
            output("by_user", "map", "how many each user has; at most 20 names, the largest"),
            output("by_application", "map", "how many each `application_name` has; at most 20 names, the largest"),
            output("by_client", "map", "how many come from each address; at most 20, the largest"),
            output(
                "holders",
                "list",
                "who holds how many, at most 20, the most first: `database`, `user`, `application`, `state`, `connections`",
            ),
            output("summary", "string", "all of it in one line"),
        ],
        by_hand,
        needs_nothing,
    )
});

fn by_hand(inputs: &Value, _: Option<&TargetSpec>) -> ByHand {
    let database = |name: &str| inputs.get("database").and_then(|database| database.get(name)).map(word);
    let options = [("-h", "host"), ("-p", "port"), ("-U", "user"), ("-d", "database")];
    let options: String = options.into_iter().filter_map(|(option, name)| Some(format!(" {option} {}", database(name)?))).collect();
    let counted = "SELECT datname, usename, application_name, state, count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
                   GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC";
    ByHand {
        act: vec![format!("psql{options} -c {}", word(&json!(SETTINGS))), format!("psql{options} -c {}", word(&json!(counted)))],
        ..ByHand::default()
    }
}

/// The largest of what was counted.
fn largest(counts: &BTreeMap<String, i64>) -> Value {
    let mut sorted: Vec<(&String, &i64)> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| -**count);
    Value::Object(sorted.into_iter().take(MOST).map(|(name, count)| (name.clone(), json!(count))).collect())
}

fn outputs(settings: &[Vec<Option<String>>], rows: &[NamedRow]) -> Result<Value, Failure> {
    let limits = activity::limits(settings)?;
    let mut counts: [BTreeMap<String, i64>; 5] = Default::default();
    let mut holders: BTreeMap<[String; 4], i64> = BTreeMap::new();
    let (mut in_use, mut hidden) = (0_i64, 0_i64);
    for row in rows {
        let of = |name: &str| row.get(name).map(String::as_str);
        let kind = of("backend_type");
        // Of what is hidden, a background process has no user.
        if kind.is_some_and(|kind| kind != "client backend") || (kind.is_none() && (of("datname").is_none() || of("usename").is_none())) {
            continue;
        }
        in_use += 1;
        hidden += i64::from(kind.is_none());
        let otherwise = if kind.is_none() { HIDDEN } else { "-" };
        let text = |name: &str| of(name).filter(|text| !text.is_empty()).unwrap_or(otherwise).to_owned();
        let (database, user, application, state) = (text("datname"), text("usename"), text("application_name"), text("state"));
        let client = of("client_addr").map_or_else(|| if kind.is_none() { HIDDEN } else { "local" }.to_owned(), str::to_owned);
        for (at, name) in [&state, &database, &user, &application, &client].into_iter().enumerate() {
            if let Some(counts) = counts.get_mut(at) {
                *counts.entry(name.clone()).or_default() += 1;
            }
        }
        *holders.entry([database, user, application, state]).or_default() += 1;
    }
    let mut sorted: Vec<([String; 4], i64)> = holders.into_iter().collect();
    sorted.sort_by_key(|(_, count)| -count);
    let (usable, free) = (limits.max_connections - limits.reserved, limits.max_connections - limits.reserved - in_use);
    #[expect(clippy::cast_precision_loss, reason = "a share, for people and thresholds")]
    let share = if usable > 0 { (in_use as f64 / usable as f64 * 1000.0).round() / 1000.0 } else { 1.0 };
    let [states, databases, users, applications, clients] = &counts;
    let names: BTreeSet<&String> = states.keys().collect();
    let states_text = names.iter().map(|state| format!("{} {state}", states[*state])).collect::<Vec<_>>().join(", ");
    let most = sorted.first().map(|([database, user, ..], count)| format!("; the most: {database}/{user} {count}")).unwrap_or_default();
    let hidden_text = if hidden > 0 { "; `GRANT pg_read_all_stats TO` this user shows what is hidden" } else { "" };
    let summary = format!(
        "{in_use} of {usable} connections in use ({} % of {} − {} reserved), {free} free; {states_text}{most}{hidden_text}",
        (share * 100.0).round(),
        limits.max_connections,
        limits.reserved
    );
    let holder = |([database, user, application, state], count): &([String; 4], i64)| json!({ "database": database, "user": user, "application": application, "state": state, "connections": count });
    Ok(json!({
        "in_use": in_use,
        "max_connections": limits.max_connections,
        "reserved": limits.reserved,
        "usable": usable,
        "free": free,
        "share": share,
        "hidden": hidden,
        "by_state": largest(states),
        "by_database": largest(databases),
        "by_user": largest(users),
        "by_application": largest(applications),
        "by_client": largest(clients),
        "holders": sorted.iter().take(MOST).map(holder).collect::<Vec<_>>(),
        "summary": summary,
    }))
}

#[async_trait]
impl Reading for ConnectionsReading {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(connections: &Connections, cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        let input: Input = parse(NAME, inputs)?;
        support::target(NAME, cx.target.as_ref())?;
        connections.postgres_for(&Value::Object(input.database)).map(drop).map_err(|error| support::not_connected(&error))
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input: Input = parse(NAME, inputs)?;
        let access = connections.postgres_for(&Value::Object(input.database)).map_err(|error| support::not_connected(&error))?;
        let safe = |error| {
            let mut failure = activity::failure(&error);
            failure.message = cx.log.redact(&failure.message);
            failure
        };
        let session = connections.postgres_session(&access, support::within(cx, WITHIN)).await.map_err(safe)?;
        let settings = session.rows(SETTINGS).await.map_err(safe)?;
        let rows = session.named_rows(HOLDERS).await.map_err(safe)?;
        let outputs = redacted(&*cx.log, outputs(&settings, &rows)?);
        cx.log.line(outputs["summary"].as_str().unwrap_or_default());
        Ok(outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_counted_by_everything() {
        let settings =
            [("max_connections", "100"), ("superuser_reserved_connections", "3"), ("rds.rds_superuser_reserved_connections", "2")];
        let settings: Vec<Vec<Option<String>>> =
            settings.iter().map(|(name, value)| vec![Some((*name).to_owned()), Some((*value).to_owned())]).collect();
        let row = |cells: &[(&str, &str)]| cells.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<NamedRow>();
        let client = |user: &str, state: &str| {
            row(&[
                ("datname", "tickettoken"),
                ("usename", user),
                ("application_name", "shop"),
                ("client_addr", "10.0.0.1"),
                ("state", state),
                ("backend_type", "client backend"),
            ])
        };
        let rows = [
            client("app", "idle"),
            client("app", "idle"),
            client("app", "idle in transaction"),
            client("reporting", "active"),
            row(&[("datname", "other"), ("usename", "someone"), ("application_name", "x")]),
            row(&[("backend_type", "checkpointer")]),
            row(&[]),
        ];
        let found = outputs(&settings, &rows).unwrap();
        assert_eq!((&found["in_use"], &found["usable"], &found["free"], &found["hidden"]), (&json!(5), &json!(95), &json!(90), &json!(1)));
        assert_eq!(found["by_state"], json!({ "idle": 2, "active": 1, "hidden": 1, "idle in transaction": 1 }));
        assert_eq!(found["by_user"], json!({ "app": 3, "reporting": 1, "someone": 1 }));
        assert_eq!(
            found["holders"][0],
            json!({ "database": "tickettoken", "user": "app", "application": "shop", "state": "idle", "connections": 2 })
        );
        assert_eq!(found["share"], json!(0.053));
        let names: Vec<&String> = ENTRY.outputs.iter().map(|output| &output.name).collect();
        assert_eq!(found.as_object().unwrap().keys().collect::<Vec<_>>(), names, "every declared output is there");
    }
}
