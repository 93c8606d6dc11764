//! `prometheus.query`: one PromQL query, at one moment or over a range.
//!
//! Must not change anything. Invariant: the query is sent as it is written, once.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use crate::actions::reading::{Reading, entry};
use crate::actions::server::{failure, said, server};
use crate::actions::support::{DurationText, not_connected, output, parse, within};
use crate::environment::{ApiAccess, ApiError, ApiSystem, Connections};
use crate::model::by_hand::{ByHand, word};
use crate::model::catalogue::ActionEntry;
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::permission::needs_nothing;
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "prometheus.query";
const SYSTEM: &str = "prometheus";
/// How long a query may take where the step does not say.
const WITHIN: Duration = Duration::from_secs(30);
/// What a query may be given at most: the server's own limit is 2 minutes.
const LONGEST: Span = Span::seconds(120);
/// How many steps a range has where the step does not say how long one is.
const STEPS: u32 = 60;
/// The most that Prometheus gives of a series.
const MOST_STEPS: u128 = 11_000;

/// The inputs of `prometheus.query`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The query, in PromQL.
    query: String,
    /// The server: its `url`, as `${{ target.prometheus }}` has it, which is what is asked where this is left out. Its credentials are the environment's.
    server: Option<Map<String, Value>>,
    /// The moment that is asked for (RFC 3339), or the end of the range; now where it is left out.
    #[schemars(with = "Option<String>")]
    at: Option<Timestamp>,
    /// How far back a range begins: then the answer is a series of points. Left out, the query is asked at one moment.
    #[schemars(with = "Option<DurationText>")]
    range: Option<Span>,
    /// The time between the points of a range; a sixtieth of it, and at least 1s, where it is left out.
    #[schemars(with = "Option<DurationText>")]
    step: Option<Span>,
    /// How long the server may take; `30s` where it is left out, `2m` at most.
    #[schemars(with = "Option<DurationText>")]
    timeout: Option<Span>,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        let wrong = |message: String, hint: &str| Err(Failure::permanent(message).hint(hint));
        if input.query.trim().is_empty() {
            return wrong(format!("`query` of {NAME} is empty"), "write a query in PromQL");
        }
        if input.timeout.is_some_and(|timeout| timeout < Span::millis(1) || timeout > LONGEST) {
            return wrong(format!("`timeout` of {NAME} is from 1ms to 2m"), "a query that takes longer belongs in a recording rule");
        }
        match (input.range, input.step) {
            (None, Some(_)) => wrong(format!("`step` of {NAME} goes with `range`"), "say how far back: `range: 10m`"),
            (Some(range), _) if range < Span::seconds(1) => wrong(format!("`range` of {NAME} is at least 1s"), "`range: 10m`"),
            (Some(_), Some(step)) if step < Span::millis(1) => wrong(format!("`step` of {NAME} is at least 1ms"), "`step: 15s`"),
            (Some(range), step) if range.0.as_millis() / step.unwrap_or_else(|| default_step(range)).0.as_millis().max(1) >= MOST_STEPS => {
                wrong(format!("{range} in steps of {} are more points than Prometheus gives", step.unwrap_or_default()), "a longer `step`")
            }
            _ => Ok(input),
        }
    }

    fn access(&self, connections: &Connections, cx: &Context) -> Result<ApiAccess, Failure> {
        let server = server(NAME, SYSTEM, self.server.as_ref(), cx.target.as_ref())?;
        connections.api_for(ApiSystem::Prometheus, &server).map_err(|error| not_connected(&error))
    }
}

fn default_step(range: Span) -> Span {
    Span((range.0 / STEPS).max(Duration::from_secs(1)))
}

/// Seconds as the API takes them.
fn seconds(span: Span) -> String {
    format!("{}", span.0.as_secs_f64())
}

/// The reading.
pub(super) struct Query;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    entry::<Input>(
        NAME,
        "Ask Prometheus one query",
        include_str!("query.md"),
        vec![
            output("value", "number", "the result, where it is exactly one number; else null, and `says` tells why"),
            output("type", "string", "scalar, vector, matrix or string"),
            output("count", "integer", "how many series the result has"),
            output(
                "series",
                "list",
                "the series, at most 100: each `labels`, `value`, `text` (as the server writes it: `NaN`, `+Inf`) and, of a range, its last 600 `points` ([time, value])",
            ),
            output("text", "string", "the one result as the server writes it; null where there is not one"),
            output("says", "string", "why there is no `value`: an empty result, NaN, several series; null where there is one"),
            output("warnings", "list", "what the server warns of (a part of the data may be missing)"),
            output("at", "string", "the moment of the (latest) sample, RFC 3339; null without one"),
            output("summary", "string", "the result in one line, for people"),
        ],
        by_hand,
        needs_nothing,
    )
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let url = said(inputs, target, SYSTEM, "url").and_then(Value::as_str).unwrap_or("URL");
    let given = |key: &str| inputs.get(key).filter(|value| !value.is_null());
    let query = given("query").and_then(Value::as_str).unwrap_or_default();
    let query = format!("--data-urlencode {}", word(&json!(format!("query={query}"))));
    let Some(range) = given("range") else {
        let at = given("at").map(|at| format!(" --data-urlencode time={}", word(at))).unwrap_or_default();
        return ByHand {
            act: vec![format!("curl -sS -G {} {query}{at}", word(&json!(format!("{url}/api/v1/query"))))],
            ..ByHand::default()
        };
    };
    let step = given("step").map(word).unwrap_or_else(|| "15s".to_owned());
    let place = word(&json!(format!("{url}/api/v1/query_range")));
    let times = "--data-urlencode start=\"$START\" --data-urlencode end=\"$END\"";
    let comment = format!("# START lies {} before END", word(range));
    ByHand { act: vec![comment, format!("curl -sS -G {place} {query} {times} --data-urlencode step={step}")], ..ByHand::default() }
}

#[async_trait]
impl Reading for Query {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(connections: &Connections, cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        Input::of(inputs)?.access(connections, cx).map(drop)
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input = Input::of(inputs)?;
        let access = input.access(connections, cx)?;
        let limit = within(cx, input.timeout.map_or(WITHIN, |timeout| timeout.0));
        let client = connections.api_client(&access, limit).await.map_err(|error| failure(&error, cx))?;
        // The server gives up by itself; the limit of the request is for one that does not answer at all.
        let timeout = seconds(Span(limit));
        let mut query = vec![("query", input.query.clone()), ("timeout", format!("{timeout}s"))];
        let path = if let Some(range) = input.range {
            let end = input.at.unwrap_or_else(Timestamp::now);
            let start = end.checked_sub(range.0).map_err(|_| Failure::permanent(format!("`range` of {NAME} begins before all times")))?;
            let step = input.step.unwrap_or_else(|| default_step(range));
            query.extend([("start", start.to_string()), ("end", end.to_string()), ("step", seconds(step))]);
            "/api/v1/query_range"
        } else {
            query.extend(input.at.map(|at| ("time", at.to_string())));
            "/api/v1/query"
        };
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = client.ask(path, &query, &[]).await.map_err(|error| failure(&error, cx))?;
        let garbled = |what: &str| ApiError::Garbled { place: access.place(), path: path.to_owned(), what: what.to_owned() };
        let answer = Answer::of(&reply.body).map_err(|why| failure(&garbled(why.0), cx))?;
        cx.log.line(&format!("{}: {}", input.query, answer.summary()));
        Ok(answer.outputs())
    }
}
