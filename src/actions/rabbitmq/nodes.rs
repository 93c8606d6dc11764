//! `rabbitmq.nodes`: whether a cluster's nodes run, what alarms them, and which of them quorum queues cannot do without.
//!
//! Must not change anything. Invariant: a node is called safe to stop only where neither its queues' members nor the server's own check say otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::asked::{Api, SYSTEM, Which, access};
use super::queue::Queue;
use crate::actions::reading::{Reading, entry};
use crate::actions::server::said;
use crate::actions::support::{output, parse};
use crate::environment::Connections;
use crate::model::by_hand::{ByHand, word};
use crate::model::catalogue::ActionEntry;
use crate::model::outcome::Failure;
use crate::model::permission::needs_nothing;
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "rabbitmq.nodes";
/// What the server answers where its check fails: an answer, and no failure of the API.
const CHECK_FAILED: u16 = 503;
const CHECK: &str = "/api/health/checks/node-is-quorum-critical";
const NODES: &str = "/api/nodes";
/// How many queues are listed for a node.
const LISTED: usize = 20;

/// The inputs of `rabbitmq.nodes`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The cluster: its management API's `url`, as `${{ target.rabbitmq }}` has it, which is what is asked where this is left out. User and password are the environment's.
    server: Option<Map<String, Value>>,
}

/// The reading.
pub(super) struct Nodes;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    entry::<Input>(
        NAME,
        "Read whether RabbitMQ's nodes run, what alarms them, and which of them are quorum-critical",
        include_str!("nodes.md"),
        vec![
            output("count", "integer", "the nodes of the cluster"),
            output("running", "integer", "those that run"),
            output("healthy", "boolean", "whether all run, without an alarm and without a partition"),
            output("alarms", "list", "the alarms in words: `memory alarm on NODE`; publishers are blocked while there is one"),
            output("partitions", "list", "the nodes that others do not see (`NODE does not see NODE`): a split cluster"),
            output("quorum_critical", "boolean", "whether there is a node whose loss would leave a quorum queue without a majority"),
            output("critical_nodes", "list", "the names of those nodes"),
            output("critical_queues", "list", "the quorum queues that need them, at most 20"),
            output(
                "uncovered_queues",
                "integer",
                "the quorum queues that have members on fewer nodes than run: a new node holds none of them by itself",
            ),
            output("answered_by", "string", "the node that answered, whose own check `check` is"),
            output("check", "map", "that node's `node-is-quorum-critical`: `status` (ok or failed) and `reason`"),
            output("version", "string", "RabbitMQ's version on the node that answered"),
            output(
                "nodes",
                "list",
                "each node: `name`, `running`, `memory_used_bytes`, `memory_limit_bytes`, `memory_alarm`, `disk_free_bytes`, `disk_limit_bytes`, `disk_alarm`, `uptime_seconds`, `quorum_critical`; null where it does not run",
            ),
            output("summary", "string", "the state in one line, for people"),
        ],
        by_hand,
        needs_nothing,
    )
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let url = said(inputs, target, SYSTEM, "url").and_then(Value::as_str).unwrap_or("URL");
    let asked = |path: &str| format!("curl -sS -u USER {}", word(&json!(format!("{url}{path}"))));
    let filter = "'.[] | [.name, .running, .mem_alarm, .disk_free_alarm, (.partitions | join(\" \"))] | @tsv'";
    ByHand { act: vec![format!("{} | jq -r {filter}", asked(NODES)), asked(CHECK)], ..ByHand::default() }
}

/// A node, as the API shows it.
struct Node {
    name: String,
    running: bool,
    value: Value,
}

impl Node {
    fn of(value: &Value) -> Option<Self> {
        let name = value.get("name")?.as_str()?.to_owned();
        Some(Self { name, running: value.get("running")?.as_bool()?, value: value.clone() })
    }

    fn alarm(&self, key: &str) -> bool {
        self.value.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn alarms(&self) -> Vec<String> {
        let known = [("mem_alarm", "memory"), ("disk_free_alarm", "disk")];
        known.into_iter().filter(|(key, _)| self.alarm(key)).map(|(_, what)| format!("{what} alarm on {}", self.name)).collect()
    }

    fn partitions(&self) -> Vec<String> {
        let unseen = self.value.get("partitions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        unseen.iter().filter_map(Value::as_str).map(|other| format!("{} does not see {other}", self.name)).collect()
    }

    fn output(&self, critical: bool) -> Value {
        let number = |key: &str| self.value.get(key).and_then(Value::as_u64);
        let alarm = |key: &str| self.running.then(|| self.alarm(key));
        json!({
            "name": self.name,
            "running": self.running,
            "memory_used_bytes": number("mem_used"),
            "memory_limit_bytes": number("mem_limit"),
            "memory_alarm": alarm("mem_alarm"),
            "disk_free_bytes": number("disk_free"),
            "disk_limit_bytes": number("disk_free_limit"),
            "disk_alarm": alarm("disk_free_alarm"),
            "uptime_seconds": number("uptime").map(|milliseconds| milliseconds / 1000),
            "quorum_critical": critical,
        })
    }
}

/// Which nodes quorum queues cannot do without, and which queues those are.
#[derive(Debug, Default, PartialEq)]
struct Critical {
    nodes: BTreeSet<String>,
    queues: BTreeSet<String>,
}

impl Critical {
    /// From the members that are online. A node that is alone takes everything with it, and the server does not call that critical: neither is it here.
    fn of(queues: &[Queue], running: usize) -> Self {
        let mut critical = Self::default();
        if running > 1 {
            for queue in queues {
                let nodes = queue.critical_nodes();
                critical.nodes.extend(nodes.iter().cloned());
                critical.queues.extend((!nodes.is_empty()).then(|| queue.shown()));
            }
        }
        critical
    }

    /// With what the node that answered says of itself.
    fn with_check(mut self, node: &str, status: u16, check: &Value) -> Self {
        if status == CHECK_FAILED {
            self.nodes.insert(node.to_owned());
            let queues = check.get("queues").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let text = |queue: &Value, key: &str| queue.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let shown = |queue: &Value| {
                let (vhost, name) = (text(queue, "virtual_host"), text(queue, "name"));
                if vhost == "/" { format!("/{name}") } else { format!("{vhost}/{name}") }
            };
            self.queues.extend(queues.iter().map(shown));
        }
        self
    }
}

fn summary(nodes: &[Node], alarms: &[String], partitions: &[String], critical: &Critical, uncovered: usize) -> String {
    let running = nodes.iter().filter(|node| node.running).count();
    let mut parts = vec![format!("{running} of {} nodes run", nodes.len())];
    let down: Vec<&str> = nodes.iter().filter(|node| !node.running).map(|node| node.name.as_str()).collect();
    if !down.is_empty() {
        parts.push(format!("down: {}", down.join(", ")));
    }
    parts.push(if alarms.is_empty() { "no alarms".to_owned() } else { alarms.join(", ") });
    if !partitions.is_empty() {
        parts.push(format!("the cluster is split: {}", partitions.join(", ")));
    }
    parts.push(if critical.nodes.is_empty() {
        "none is quorum-critical".to_owned()
    } else {
        let (nodes, queues): (Vec<&str>, usize) = (critical.nodes.iter().map(String::as_str).collect(), critical.queues.len());
        format!("quorum-critical: {} (for {queues} queues)", nodes.join(", "))
    });
    if uncovered > 0 {
        parts.push(format!("{uncovered} quorum queues have members on fewer nodes than run"));
    }
    parts.join(", ")
}

#[async_trait]
impl Reading for Nodes {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(connections: &Connections, cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        let input: Input = parse(NAME, inputs)?;
        access(NAME, connections, cx, input.server.as_ref()).map(drop)
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input: Input = parse(NAME, inputs)?;
        let access = access(NAME, connections, cx, input.server.as_ref())?;
        let api = Api::of(connections, access, cx).await?;
        let columns = "node,rabbitmq_version";
        let (_, overview) = api.ask("/api/overview", &[("columns", columns)], &[]).await?;
        let answered_by = overview.get("node").and_then(Value::as_str);
        let answered_by = answered_by.ok_or_else(|| api.garbled("/api/overview", "it names no node"))?.to_owned();
        let columns = "name,running,mem_used,mem_limit,mem_alarm,disk_free,disk_free_limit,disk_free_alarm,uptime,partitions";
        let (_, list) = api.ask(NODES, &[("columns", columns)], &[]).await?;
        let nodes: Option<Vec<Node>> = list.as_array().and_then(|nodes| nodes.iter().map(Node::of).collect());
        let nodes = nodes.filter(|nodes| !nodes.is_empty()).ok_or_else(|| api.garbled(NODES, "there is no list of nodes in it"))?;
        let queues = api.queues(Which::default()).await?;
        let (status, check) = api.ask(CHECK, &[], &[CHECK_FAILED]).await?;
        let said = check.get("status").and_then(Value::as_str).ok_or_else(|| api.garbled(CHECK, "it says no status"))?;
        let running = nodes.iter().filter(|node| node.running).count();
        let critical = Critical::of(&queues, running).with_check(&answered_by, status, &check);
        let uncovered = queues.iter().filter(|queue| queue.is_quorum() && queue.members.len() < running).count();
        let alarms: Vec<String> = nodes.iter().flat_map(Node::alarms).collect();
        let partitions: Vec<String> = nodes.iter().flat_map(Node::partitions).collect();
        let summary = summary(&nodes, &alarms, &partitions, &critical, uncovered);
        cx.log.line(&summary);
        let check = BTreeMap::from([("status", Some(said)), ("reason", check.get("reason").and_then(Value::as_str))]);
        Ok(json!({
            "count": nodes.len(),
            "running": running,
            "healthy": running == nodes.len() && alarms.is_empty() && partitions.is_empty(),
            "alarms": alarms,
            "partitions": partitions,
            "quorum_critical": !critical.nodes.is_empty(),
            "critical_nodes": critical.nodes,
            "critical_queues": critical.queues.iter().take(LISTED).collect::<Vec<_>>(),
            "uncovered_queues": uncovered,
            "answered_by": answered_by,
            "check": check,
            "version": overview.get("rabbitmq_version"),
            "nodes": nodes.iter().map(|node| node.output(critical.nodes.contains(&node.name))).collect::<Vec<_>>(),
            "summary": summary,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_check_counts_beside_the_members() {
        let queue = |members: Value, online: Value| {
            Queue::of(&json!({ "name": "q", "vhost": "t", "type": "quorum", "members": members, "online": online })).unwrap()
        };
        let safe = [queue(json!(["a", "b", "c"]), json!(["a", "b", "c"]))];
        let check =
            json!({ "status": "failed", "reason": "…", "queues": [{ "name": "z", "virtual_host": "/", "type": "rabbit_quorum_queue" }] });
        assert_eq!(Critical::of(&safe, 3).with_check("b", 200, &json!({ "status": "ok" })), Critical::default());
        let critical = Critical::of(&safe, 3).with_check("b", 503, &check);
        assert_eq!((critical.nodes, critical.queues), (BTreeSet::from(["b".to_owned()]), BTreeSet::from(["/z".to_owned()])));
        let two = [queue(json!(["a", "b", "c"]), json!(["a", "c"]))];
        assert_eq!(Critical::of(&two, 2).nodes, BTreeSet::from(["a".to_owned(), "c".to_owned()]));
        let alone = [queue(json!(["a"]), json!(["a"]))];
        assert_eq!(Critical::of(&alone, 1), Critical::default(), "a node that is alone");
    }
}
