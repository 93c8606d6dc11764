//! `rabbitmq.queues`: how deep queues are, who consumes them, and, by two samples, whether they grow.
//!
//! Must not change anything. Invariant: what is said of a trend is said from two samples at least two statistics intervals apart.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::asked::{Api, SYSTEM, Which, access};
use super::queue::Queue;
use super::trend::Trend;
use crate::actions::reading::{Reading, entry};
use crate::actions::server::said;
use crate::actions::support::{DurationText, output, parse};
use crate::environment::Connections;
use crate::model::by_hand::{ByHand, quoted, word};
use crate::model::catalogue::ActionEntry;
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::permission::needs_nothing;
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "rabbitmq.queues";
/// How often a cluster emits statistics that nobody told otherwise (`collect_statistics_interval`).
const INTERVAL: Span = Span::seconds(5);
/// The longest interval that is believed.
const LONGEST_INTERVAL: Span = Span::seconds(60);
/// How many queues are listed, the deepest first.
const LISTED: usize = 50;

/// The inputs of `rabbitmq.queues`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The cluster: its management API's `url`, as `${{ target.rabbitmq }}` has it, which is what is asked where this is left out. User and password are the environment's.
    server: Option<Map<String, Value>>,
    /// The virtual host; all that the user may see where it is left out.
    vhost: Option<String>,
    /// The one queue of this name. It has to be there.
    name: Option<String>,
    /// The queues whose names match this regular expression (PCRE, anywhere in the name). At most one of `name` and `pattern`.
    pattern: Option<String>,
    /// Whether two samples are taken, two statistics intervals apart, so that `rate`, `growing` and `draining` are told.
    #[serde(default)]
    trend: bool,
    /// The cluster's `collect_statistics_interval`, which its API does not tell; `5s`, RabbitMQ's own, where it is left out; from 100ms to 60s.
    #[schemars(with = "Option<DurationText>")]
    interval: Option<Span>,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        if input.name.is_some() && input.pattern.is_some() {
            return Err(Failure::permanent(format!("{NAME} takes one of `name` and `pattern`")).hint("keep one of them"));
        }
        if input.interval.is_some_and(|interval| !(Span::millis(100)..=LONGEST_INTERVAL).contains(&interval)) {
            return Err(Failure::permanent(format!("`interval` of {NAME} is from 100ms to 60s"))
                .hint("it is the cluster's `collect_statistics_interval`"));
        }
        Ok(input)
    }

    fn interval(&self) -> Span {
        self.interval.unwrap_or(INTERVAL)
    }

    fn which(&self) -> Which<'_> {
        Which { vhost: self.vhost.as_deref(), name: self.name.as_deref(), pattern: self.pattern.as_deref() }
    }
}

/// The reading.
pub(super) struct Queues;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    entry::<Input>(
        NAME,
        "Read the depths, consumers and rates of RabbitMQ's queues",
        include_str!("queues.md"),
        vec![
            output("count", "integer", "the queues that were asked for"),
            output("messages", "integer", "their messages, ready and unacknowledged"),
            output("ready", "integer", "those that wait for a consumer"),
            output("unacknowledged", "integer", "those that a consumer has and has not acknowledged"),
            output("consumers", "integer", "their consumers"),
            output("unattended", "integer", "the queues that hold messages and have no consumer"),
            output("untold", "integer", "the queues whose counts the statistics do not hold yet, and which are in no sum"),
            output(
                "rate",
                "number",
                "messages a second by which they grow together, less than 0 where they are drained; null without `trend`",
            ),
            output("growing", "boolean", "whether they hold more messages than two intervals ago; null without `trend`"),
            output("draining", "boolean", "whether they hold fewer; null without `trend`"),
            output("stale_seconds", "number", "how old the counts may be at most: the statistics interval, in seconds"),
            output(
                "queues",
                "list",
                "the 50 deepest: each `vhost`, `name`, `type`, `state`, `messages`, `ready`, `unacknowledged`, `consumers`, `publish_rate`, `deliver_rate`, `ack_rate` (messages a second), `leader`, `members`, `online`, `rate`, `growing`, `draining`",
            ),
            output("summary", "string", "the depths in one line, for people"),
        ],
        by_hand,
        needs_nothing,
    )
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let url = said(inputs, target, SYSTEM, "url").and_then(Value::as_str).unwrap_or("URL");
    let mut filter = "sort_by(-.messages)[] | [.vhost, .name, .messages, .messages_unacknowledged, .consumers] | @tsv".to_owned();
    let given = |key: &str| inputs.get(key).filter(|value| !value.is_null());
    if let Some(name) = given("name").and_then(Value::as_str) {
        filter = format!("map(select(.name == \"{name}\")) | {filter}");
    } else if let Some(pattern) = given("pattern").and_then(Value::as_str) {
        filter = format!("map(select(.name | test(\"{pattern}\"))) | {filter}");
    }
    let path = given("vhost").map(|vhost| format!("/{}", encoded(vhost))).unwrap_or_default();
    let line = format!("curl -sS -u USER {} | jq -r {}", word(&json!(format!("{url}/api/queues{path}"))), quoted(&filter));
    ByHand { act: vec![line], ..ByHand::default() }
}

fn encoded(vhost: &Value) -> String {
    vhost.as_str().map(|name| name.replace('%', "%25").replace('/', "%2F")).unwrap_or_default()
}

/// A sum of what is told.
fn sum(queues: &[Queue], of: impl Fn(&Queue) -> Option<u64>) -> u64 {
    queues.iter().filter_map(of).fold(0, u64::saturating_add)
}

fn summary(queues: &[Queue], trend: Option<&Trend>, interval: Span) -> String {
    let unattended = queues.iter().filter(|queue| is_unattended(queue)).count();
    let untold = queues.iter().filter(|queue| queue.messages.is_none()).count();
    let (ready, unacknowledged) = (sum(queues, |queue| queue.ready), sum(queues, |queue| queue.unacknowledged));
    let mut parts = vec![format!(
        "{} queues, {} messages ({ready} ready, {unacknowledged} unacknowledged), {} consumers",
        queues.len(),
        sum(queues, |queue| queue.messages),
        sum(queues, |queue| queue.consumers)
    )];
    if let Some(rate) = trend.and_then(|trend| trend.sum) {
        parts.push(match rate {
            rate if rate > 0.0 => format!("growing by {rate:.1} a second"),
            rate if rate < 0.0 => format!("draining by {:.1} a second", -rate),
            _ => "neither growing nor draining".to_owned(),
        });
    }
    if let Some(deepest) = queues.first().filter(|queue| queues.len() > 1 && queue.messages > Some(0)) {
        parts.push(format!("the deepest is {} with {}", deepest.shown(), deepest.messages.unwrap_or_default()));
    }
    if unattended > 0 {
        parts.push(format!("{unattended} with messages and no consumer"));
    }
    if untold > 0 {
        parts.push(format!("{untold} not counted yet"));
    }
    parts.push(format!("counts up to {interval} old"));
    parts.join(", ")
}

fn is_unattended(queue: &Queue) -> bool {
    queue.messages > Some(0) && queue.consumers == Some(0)
}

fn outputs(queues: &[Queue], trend: Option<&Trend>, interval: Span) -> Value {
    let rate = trend.and_then(|trend| trend.sum);
    let listed = queues.iter().take(LISTED).map(|queue| queue.output(trend.and_then(|trend| trend.of(queue))));
    json!({
        "count": queues.len(),
        "messages": sum(queues, |queue| queue.messages),
        "ready": sum(queues, |queue| queue.ready),
        "unacknowledged": sum(queues, |queue| queue.unacknowledged),
        "consumers": sum(queues, |queue| queue.consumers),
        "unattended": queues.iter().filter(|queue| is_unattended(queue)).count(),
        "untold": queues.iter().filter(|queue| queue.messages.is_none()).count(),
        "rate": rate,
        "growing": rate.map(|rate| rate > 0.0),
        "draining": rate.map(|rate| rate < 0.0),
        "stale_seconds": interval.0.as_secs_f64(),
        "queues": listed.collect::<Vec<_>>(),
        "summary": summary(queues, trend, interval),
    })
}

#[async_trait]
impl Reading for Queues {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(connections: &Connections, cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        let input = Input::of(inputs)?;
        access(NAME, connections, cx, input.server.as_ref()).map(drop)
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input = Input::of(inputs)?;
        let access = access(NAME, connections, cx, input.server.as_ref())?;
        let api = Api::of(connections, access, cx).await?;
        let first = api.queues(input.which()).await?;
        let taken = Instant::now();
        if let (Some(name), true) = (&input.name, first.is_empty()) {
            let within = input.vhost.as_ref().map(|vhost| format!(" in the virtual host {vhost}")).unwrap_or_default();
            return Err(Failure::permanent(format!("{} has no queue {name}{within}", api.place()))
                .hint("`rabbitmqctl list_queues -p VHOST name` lists them; the user sees only virtual hosts that it has permissions in"));
        }
        let (mut queues, trend) = if input.trend {
            let pause = input.interval().0 * 2;
            cx.log.line(&format!("{}; the next sample in {}", summary(&first, None, input.interval()), Span(pause)));
            tokio::time::sleep(pause).await;
            let second = api.queues(input.which()).await?;
            let trend = Trend::between(&first, &second, taken.elapsed());
            (second, Some(trend))
        } else {
            (first, None)
        };
        queues.sort_by(|one, other| other.messages.cmp(&one.messages).then_with(|| one.shown().cmp(&other.shown())));
        cx.log.line(&summary(&queues, trend.as_ref(), input.interval()));
        Ok(outputs(&queues, trend.as_ref(), input.interval()))
    }
}
