//! `postgres.query`: one statement, with bound parameters, in a transaction of its own.
//!
//! Must not put a value into a statement's text. Invariant: without `writes` the server refuses every write; with it, COMMIT is sent once, and what became of
//! it is asked of the server by the transaction's own id.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::activity;
use super::attempts::Attempts;
use crate::actions::support::{self, DurationText, kept, output, parse, redacted, schema};
use crate::environment::Connections;
use crate::environment::postgres::{Statement, StatementError};
use crate::model::by_hand::{ByHand, quoted, word};
use crate::model::catalogue::{ActionEntry, touches_nothing};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "postgres.query";
/// How many rows are taken where the step does not say, and at most.
const ROWS: u32 = 100;
const MOST_ROWS: u32 = 1000;
/// How many bytes of rows are taken, as JSON.
const BYTES: usize = 64 * 1024;
/// How long the statement, and the wait for a lock, may take where the step does not say; and at most.
const WITHIN: Span = Span::seconds(10);
const LOCK: Span = Span::seconds(2);
const LONGEST: Span = Span::seconds(600);
/// What a statement may not begin with: the transaction is this action's.
const NOT_TAKEN: [&str; 12] =
    ["begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare", "discard", "copy", "listen"];

/// What acts, and is let through by a READ ONLY transaction all the same.
const ACTS: [&str; 8] = ["notify", "reindex", "cluster", "vacuum", "checkpoint", "lock", "load", "alter"];

/// The inputs of `postgres.query`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The server: host, port, user and database, as `${{ target.postgres }}` has them. The password is the environment's.
    database: Map<String, Value>,
    /// One statement. Values go into `params`, and stand here as `$1`, `$2`, …; an expression in this text is an error.
    #[schemars(extend("x-runsheet-literal" = true))]
    sql: String,
    /// The parameters, in order: texts, numbers, booleans, `null`, and lists and maps for arrays and JSON.
    #[serde(default)]
    params: Vec<Value>,
    /// Whether the statement may write. Without it the transaction is READ ONLY, and the server refuses writes.
    #[serde(default)]
    #[schemars(extend("x-runsheet-reads" = [false]))]
    writes: bool,
    /// How many rows are taken, from 1 to 1000; 100 where it is left out. What is more is left out, and `truncated` says so.
    #[schemars(range(min = 1, max = 1000))]
    max_rows: Option<u32>,
    /// How long the statement may take, at most `10m`; `10s` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    statement_timeout: Option<Span>,
    /// How long it may wait for a lock that another transaction holds; `2s` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    lock_timeout: Option<Span>,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        let first = first_word(&input.sql);
        if first.is_empty() {
            return Err(Failure::permanent("`sql` is empty").hint("write one statement"));
        }
        if NOT_TAKEN.contains(&first.as_str()) {
            return Err(Failure::permanent(format!(
                "{NAME} does not take {}: it has one statement in a transaction of its own",
                first.to_uppercase()
            ))
            .hint("write the statement alone; several that belong together are one with `WITH … AS (…)`, or a function"));
        }
        if !input.writes && ACTS.contains(&first.as_str()) {
            let message = format!("{NAME} does not take {} in a step that only reads", first.to_uppercase());
            return Err(Failure::permanent(message).hint("it acts, and a READ ONLY transaction lets it: give the step `writes: true`"));
        }
        if input.max_rows.is_some_and(|rows| !(1..=MOST_ROWS).contains(&rows)) {
            return Err(Failure::permanent(format!("`max_rows` is from 1 to {MOST_ROWS}")));
        }
        for (name, span) in [("statement_timeout", input.statement_timeout), ("lock_timeout", input.lock_timeout)] {
            if span.is_some_and(|span| !(Span::millis(1)..=LONGEST).contains(&span)) {
                return Err(Failure::permanent(format!("`{name}` is from 1ms to 10m")));
            }
        }
        Ok(input)
    }

    fn within(&self, cx: &Context) -> Duration {
        support::within(cx, self.statement_timeout.unwrap_or(WITHIN).0)
    }
}

/// The first word of a statement, in lower case, after its comments.
fn first_word(sql: &str) -> String {
    let mut rest = sql.trim_start();
    loop {
        let after = if let Some(line) = rest.strip_prefix("--") {
            line.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(block) = rest.strip_prefix("/*") {
            block.split_once("*/").map_or("", |(_, after)| after)
        } else {
            break;
        };
        rest = after.trim_start();
    }
    rest.trim_start_matches(['(', ' ']).chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase()
}

/// The action.
pub(super) struct Query {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Ask PostgreSQL one statement, or let it write".to_owned(),
        page: include_str!("query.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output(
                "rows",
                "list",
                "the rows as maps by the names of their columns; null where it was found out later that a write was committed",
            ),
            output("row_count", "integer", "how many rows `rows` has"),
            output("truncated", "boolean", "whether there were more rows than `max_rows`, or than 64 KiB"),
            output("value", "any", "the first column of the first row; null where there is none"),
            output("affected", "integer", "the rows that the statement changed; null where it was found out later"),
        ],
        effect: Effect::Once,
        effect_from_step: true,
        observes: false,
        reverts: false,
        needs_target: true,
        immediate: false,
        touches: touches_nothing,
        by_hand,
        permissions: crate::model::permission::needs_nothing,
    })
});

fn by_hand(inputs: &Value, _: Option<&TargetSpec>) -> ByHand {
    let database = |name: &str| inputs.get("database").and_then(|database| database.get(name)).map(word);
    let options = [("-h", "host"), ("-p", "port"), ("-U", "user"), ("-d", "database")];
    let options: String = options.into_iter().filter_map(|(option, name)| Some(format!(" {option} {}", database(name)?))).collect();
    let writes = inputs.get("writes").is_some_and(|writes| *writes == json!(true));
    let sql = inputs.get("sql").and_then(Value::as_str).unwrap_or_default().trim().trim_end_matches(';');
    let params = inputs.get("params").and_then(Value::as_array).into_iter().flatten().map(|param| match param {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Bool(_) | Value::Number(_) => param.to_string(),
        other => format!("'{}'", other.to_string().replace('\'', "''")),
    });
    let params: Vec<String> = params.collect();
    let mode = if writes { "SET TRANSACTION READ WRITE" } else { "SET TRANSACTION READ ONLY" };
    let statement = if params.is_empty() { format!("{sql};") } else { format!("PREPARE q AS {sql}; EXECUTE q({});", params.join(", ")) };
    // Parameters stay what they are by hand, too: none becomes a part of the statement.
    let act = vec![format!("psql{options} -1 -v ON_ERROR_STOP=1 -c {} -c {}", quoted(mode), quoted(&statement))];
    ByHand { act, ..ByHand::default() }
}

fn outputs(columns: &[String], rows: Vec<Vec<Value>>, truncated: bool, affected: Option<u64>) -> Value {
    let value = rows.first().and_then(|row| row.first()).cloned().unwrap_or(Value::Null);
    let named = |row: Vec<Value>| Value::Object(columns.iter().cloned().zip(row).collect());
    let rows: Vec<Value> = rows.into_iter().map(named).collect();
    json!({ "row_count": rows.len(), "rows": rows, "truncated": truncated, "value": value, "affected": affected })
}

impl Query {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    /// Asks; `attempts` keeps the ids of transactions that are committed.
    async fn ask(&self, cx: &Context, input: &Input, attempts: Option<&Attempts>) -> Applied {
        let access = match self.connections.postgres_for(&Value::Object(input.database.clone())) {
            Ok(access) => access,
            Err(error) => return Applied::NotApplied { failure: support::not_connected(&error) },
        };
        let safe = |mut failure: Failure| {
            failure.message = cx.log.redact(&failure.message);
            failure
        };
        let within = input.within(cx);
        let session = self.connections.postgres_statement(&access, input.writes, within).await;
        let mut session = match session {
            Ok(session) => session,
            Err(error) => return Applied::NotApplied { failure: safe(activity::failure(&error)) },
        };
        let asked = Statement {
            sql: &input.sql,
            params: &input.params,
            writes: input.writes,
            max_rows: usize::try_from(input.max_rows.unwrap_or(ROWS)).unwrap_or(usize::MAX),
            max_bytes: BYTES,
            within,
            lock: input.lock_timeout.unwrap_or(LOCK).0.min(within),
        };
        let answered = session.statement(asked, |id| attempts.map_or(Ok(()), |attempts| attempts.add(id))).await;
        match answered {
            Ok(answered) => {
                let found = answered.rows.len();
                cx.log.line(&match answered.affected.filter(|_| input.writes) {
                    Some(affected) => format!("{affected} rows changed, {found} returned"),
                    None => format!("{found} rows{}", if answered.truncated { ", and more" } else { "" }),
                });
                let affected = answered.affected.filter(|_| input.writes);
                let outputs =
                    outputs(&answered.columns, answered.rows, answered.truncated, affected.or(if input.writes { None } else { Some(0) }));
                Applied::Applied { outputs: redacted(&*cx.log, outputs) }
            }
            Err(StatementError::Nothing(error)) => Applied::NotApplied { failure: safe(explained(activity::failure(&error))) },
            Err(StatementError::Refused(why)) => Applied::NotApplied { failure: safe(Failure::permanent(why)) },
            Err(StatementError::Unknown(error)) => {
                let why = format!("COMMIT was sent, and its answer is not known: {error}");
                Applied::Unknown { failure: safe(Failure::transient(why).hint("the server is asked what became of the transaction")) }
            }
        }
    }

    fn attempts(cx: &Context) -> Attempts {
        Attempts::of(&cx.files, &cx.idempotency_key)
    }
}

/// With a better hint, where the cause is the statement's.
fn explained(failure: Failure) -> Failure {
    let hint = [
        ("(25006)", "it writes: give the step `writes: true`, or let it only read"),
        ("(57014)", "it took too long: raise `statement_timeout`, or make the statement cheaper"),
        ("(55P03)", "another transaction holds a lock that it waits for: `pg_locks` shows whose; raise `lock_timeout`, or try it again"),
        ("(42501)", "grant the user of this environment what the statement needs"),
    ];
    match hint.into_iter().find(|(code, _)| failure.message.contains(code)) {
        Some(("(55P03)", hint)) => Failure { transient: true, ..failure }.hint(hint),
        Some((_, hint)) => failure.hint(hint),
        None => failure,
    }
}

#[async_trait]
impl Action for Query {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    /// A read is performed, and gives the outputs; a write has nothing to observe.
    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input = Input::of(inputs)?;
        if input.writes {
            return Ok(Value::Null);
        }
        match self.ask(cx, &input, None).await {
            Applied::Applied { outputs } => Ok(outputs),
            Applied::NotApplied { failure } | Applied::FailedWithEffect { failure, .. } | Applied::Unknown { failure } => Err(failure),
        }
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let input = Input::of(inputs)?;
        support::target(NAME, cx.target.as_ref())?;
        if input.writes && cx.effect == Effect::Read {
            return Err(
                Failure::permanent("the step says `effect: read`, and its statement may write").hint("remove `effect`, or `writes`")
            );
        }
        let known = self.connections.postgres_for(&Value::Object(input.database));
        known.map_err(|error| support::not_connected(&error))?;
        let revert = if input.writes {
            let why = kept(rollback).unwrap_or_else(|| "what a statement wrote has no revert of its own".to_owned());
            Revert::Keep { reason: why }
        } else {
            Revert::Nothing
        };
        let by_hand = by_hand(&inputs.0, cx.target.as_ref()).act.iter().map(|line| cx.log.redact(line)).collect();
        Ok(Plan { intent: Intent { revert, by_hand, ..Intent::default() }, unchanged: None })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Applied {
        let input = match Input::of(inputs) {
            Ok(input) => input,
            Err(failure) => return Applied::NotApplied { failure },
        };
        if !input.writes {
            return self.ask(cx, &input, None).await;
        }
        let attempts = Self::attempts(cx);
        // From here on the file tells that no COMMIT was sent, unless it holds an id.
        if let Err(error) = attempts.begin() {
            let why = format!("nothing was sent: {} cannot be written: {}", attempts.path().display(), error.kind());
            return Applied::NotApplied { failure: Failure::permanent(why).hint("make room, or let this user write there") };
        }
        self.ask(cx, &input, Some(&attempts)).await
    }

    async fn verify(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Result<Verdict, Failure> {
        let input = Input::of(inputs)?;
        if !input.writes {
            return Ok(Verdict::Absent);
        }
        let cannot = |reason: String| Ok(Verdict::CannotTell { reason: cx.log.redact(&reason) });
        let ids = match Self::attempts(cx).ids() {
            Ok(Some(ids)) => ids,
            Ok(None) => return cannot("what is kept of its attempts is not here, so that no transaction's id is known".to_owned()),
            Err(error) => return cannot(format!("what is kept of its attempts cannot be read: {}", error.kind())),
        };
        let access =
            self.connections.postgres_for(&Value::Object(input.database.clone())).map_err(|error| support::not_connected(&error))?;
        if ids.is_empty() {
            return Ok(Verdict::Absent);
        }
        let failed = |error| {
            let mut failure = activity::failure(&error);
            failure.message = cx.log.redact(&failure.message);
            failure
        };
        let session = self.connections.postgres_session(&access, support::within(cx, WITHIN.0)).await.map_err(failed)?;
        let mut open = false;
        for id in ids {
            let rows = match session.rows(&format!("SELECT txid_status({id})")).await {
                Ok(rows) => rows,
                Err(error) if error.is_transient() => return Err(failed(error)),
                Err(error) => return cannot(format!("the server does not know the transaction {id}: {error}")),
            };
            match rows.first().and_then(|row| row.first()).and_then(Option::as_deref) {
                Some("committed") => {
                    let outputs = json!({ "rows": null, "row_count": null, "truncated": false, "value": null, "affected": null });
                    return Ok(Verdict::Present { outputs });
                }
                Some("aborted") => {}
                Some("in progress") => open = true,
                other => {
                    return cannot(format!("the server no longer knows what became of the transaction {id} ({})", other.unwrap_or("null")));
                }
            }
        }
        Ok(if open { Verdict::InProgress { message: "its transaction is still open on the server".to_owned() } } else { Verdict::Absent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transaction_is_the_actions_own() {
        assert_eq!(first_word("  -- a\n /* b */ Select 1"), "select");
        assert_eq!(first_word("(SELECT 1) UNION (SELECT 2)"), "select");
        let of = |sql: &str| Input::of(&Inputs(json!({ "database": {}, "sql": sql }))).map(drop).map_err(|failure| failure.message);
        for sql in ["COMMIT", "/* x */ begin", "ROLLBACK TO a", "-- only a comment"] {
            assert!(of(sql).is_err(), "{sql}");
        }
        let writes = |sql: &str| Input::of(&Inputs(json!({ "database": {}, "sql": sql, "writes": true }))).is_ok();
        for sql in ["NOTIFY tickets", "reindex TABLE tickets", "LOCK tickets", "/* x */ CLUSTER tickets"] {
            assert!(of(sql).is_err_and(|message| message.contains("in a step that only reads")) && writes(sql), "{sql}");
        }
        assert!(of("SELECT 1").is_ok() && of("WITH a AS (SELECT 1) SELECT * FROM a").is_ok());
    }

    #[test]
    fn by_hand_a_parameter_stays_one() {
        let inputs = json!({ "database": { "host": "db", "port": 5432, "user": "u", "database": "d" }, "sql": "SELECT $1::text;", "params": ["it's; DROP"] });
        let lines = by_hand(&inputs, None).act;
        assert_eq!(
            lines,
            [
                r#"psql -h db -p 5432 -U u -d d -1 -v ON_ERROR_STOP=1 -c 'SET TRANSACTION READ ONLY' -c 'PREPARE q AS SELECT $1::text; EXECUTE q('\''it'\'''\''s; DROP'\'');'"#
            ]
        );
    }
}
