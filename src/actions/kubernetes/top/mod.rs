//! `k8s.top`: what pods or nodes use of CPU and memory, against what they ask for and may have.
//!
//! Must not change anything. Invariants: amounts are whole millicores and bytes; a pod without a sample is told and never counted as one that uses
//! nothing; the age of a sample is by this machine's clock, and never below zero.

mod usage;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::usage::{Row, Samples};
use super::api::Api;
use super::errors::{Asked, Trouble};
use super::permissions::{Asking, On, of_chosen_pods};
use super::pod_choice::{self, Chosen};
use super::reading::{self, Reading};
use super::workload::Workload;
use super::{by_hand, pages};
use crate::actions::support::{output, parse, redacted};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::ActionEntry;
use crate::model::outcome::Failure;
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "k8s.top";
const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";
/// How many pods or nodes are listed.
const MOST: usize = 50;
/// How many names are listed.
const MOST_NAMES: usize = 20;

/// The inputs of `k8s.top`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The workload: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`. This, `selector` or `nodes`.
    workload: Option<Workload>,
    /// A label selector, as `kubectl -l` takes it: `app=ticket-service,tier!=batch`.
    selector: Option<String>,
    /// The cluster's nodes in the place of pods.
    #[serde(default)]
    nodes: bool,
    /// The pods' namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        if !input.nodes {
            pod_choice::check(input.workload.as_ref(), input.selector.as_deref())?;
        } else if input.workload.is_some() || input.selector.is_some() || input.namespace.is_some() {
            return Err(Failure::permanent("`nodes` is about all nodes of the cluster: no workload, selector or namespace goes with it")
                .hint("write two steps, one for the pods and one for the nodes"));
        }
        Ok(input)
    }
}

/// The question.
pub(super) struct TopReading;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    let outputs = vec![
        output("count", "integer", "how many pods or nodes there are that could have a sample"),
        output("sampled", "integer", "how many of them have one"),
        output("unsampled", "list", "the names of those that have none, at most 20"),
        output("cpu_millicores", "integer", "what all of them use together, in thousandths of a CPU"),
        output("memory_bytes", "integer", "what all of them use together, in bytes"),
        output("cpu_requested_millicores", "integer", "what those with a sample ask for; of nodes: what they have to give (allocatable)"),
        output("memory_requested_bytes", "integer", "the same of memory, in bytes"),
        output("cpu_percent", "integer", "the use as a percentage of that, rounded down; null where nothing is asked for"),
        output("memory_percent", "integer", "the same of memory"),
        output("cpu_limit_percent", "integer", "the highest use of a single pod, as a percentage of its limit; null where none has one"),
        output("memory_limit_percent", "integer", "the same of memory: near 100, that pod is about to be killed"),
        output("oldest_sample_s", "integer", "how old the oldest sample is, in seconds; null where there is none"),
        output("summary", "string", "all of it in one line"),
        output("truncated", "boolean", "whether a list leaves something out"),
        output(
            "top",
            "list",
            "the pods or nodes, those that use most CPU first, at most 50: `name`, `cpu_millicores`, `memory_bytes`, `cpu_percent`, `memory_percent`, `cpu_limit_percent`, `memory_limit_percent`, `sample_s`",
        ),
    ];
    let summary = "Tell what pods or nodes use of CPU and memory, against what they ask for";
    reading::entry::<Input>(NAME, summary, include_str!("page.md"), outputs, by_hand, permissions)
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    if inputs["nodes"] == true {
        return by_hand::lines(["kubectl top nodes".to_owned()]);
    }
    let (line, selector) = by_hand::selector(inputs, target);
    let place = by_hand::place(inputs, target);
    by_hand::lines(line.into_iter().chain([format!("kubectl top pods{place} -l {selector}")]))
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    let nodes = inputs["nodes"] == true;
    if nodes {
        asking.reads("list", &On::nodes());
        asking.reads("list", &On::any("metrics.k8s.io", "nodes").of_the_cluster());
    } else {
        of_chosen_pods(&mut asking, inputs);
        asking.reads("list", &On::any("metrics.k8s.io", "pods"));
    }
    asking.needs()
}

/// The samples at a path of the metrics API.
async fn samples(api: &Api, path: &str, query: &[(&str, &str)], asked: Asked<'_>) -> Result<Samples, Failure> {
    // The list is asked for as `kubectl top` does: metrics servers give no pages.
    let encoded: String = query.iter().map(|(key, value)| format!("?{key}={}", pages::encoded(value))).collect();
    match api.get(&format!("{METRICS}{path}{encoded}")).await {
        Ok(list) => Samples::of(&list).ok_or_else(|| Trouble::Garbled { what: "a list of metrics has no items".to_owned() }.failure(asked)),
        // The API server knows no such group, or knows it and its server does not answer.
        Err(Trouble::Refused { status: 404, .. }) => {
            Err(Failure::permanent(format!("{asked}: this cluster serves no metrics.k8s.io: it has no metrics server"))
                .hint("install metrics-server, or ask Prometheus: `prometheus.query`"))
        }
        Err(trouble @ Trouble::Refused { status: 503, .. }) => {
            let failure = trouble.failure(asked);
            Err(failure.hint("the metrics server does not answer: `kubectl get apiservice v1beta1.metrics.k8s.io` says why"))
        }
        Err(trouble) if trouble.is_forbidden() => {
            let plural = asked.resource.split('.').next().unwrap_or_default();
            Err(trouble.failure(asked).hint(format!("allow the verb `list` on `{plural}` of metrics.k8s.io in a Role")))
        }
        Err(trouble) => Err(trouble.failure(asked)),
    }
}

#[async_trait]
impl Reading for TopReading {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        let input = Input::of(inputs)?;
        if input.nodes { Ok(()) } else { super::namespace(input.namespace.as_deref(), cx.target.as_ref()).map(drop) }
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input = Input::of(inputs)?;
        let api = Api::new(connections, cx)?;
        let (what, unit, mut rows) = if input.nodes {
            let asked = Asked { verb: "list", resource: "nodes.metrics.k8s.io", name: "", namespace: "" };
            let samples = samples(&api, "/nodes", &[], asked).await?;
            let asked = Asked { verb: "list", resource: "nodes", name: "", namespace: "" };
            let rows = pages::list(&api, "/api/v1/nodes", &[], asked, |node| Some(Row::of_node(node, &samples))).await?;
            ("the cluster".to_owned(), "nodes", rows)
        } else {
            let namespace = super::namespace(input.namespace.as_deref(), cx.target.as_ref())?;
            let chosen = Chosen::of(&api, input.workload.as_ref(), input.selector.as_deref(), namespace).await?;
            let asked = Asked { verb: "list", resource: "pods.metrics.k8s.io", name: "", namespace: &chosen.namespace };
            let path = format!("/namespaces/{}/pods", chosen.namespace);
            let samples = samples(&api, &path, &[("labelSelector", &chosen.selector)], asked).await?;
            let rows = chosen.pods(&api, |pod| Row::of_pod(pod, &samples)).await?;
            (chosen.what, "pods", rows)
        };
        rows.sort_by(|a, b| (b.cpu(), &a.name).cmp(&(a.cpu(), &b.name)));
        let outputs = redacted(&*cx.log, outputs(&what, unit, &rows, Timestamp::now()));
        cx.log.line(outputs["summary"].as_str().unwrap_or_default());
        Ok(outputs)
    }
}

fn outputs(what: &str, unit: &str, rows: &[Row], now: Timestamp) -> Value {
    let sampled: Vec<&Row> = rows.iter().filter(|row| row.sample.is_some()).collect();
    let unsampled: Vec<&str> = rows.iter().filter(|row| row.sample.is_none()).map(|row| row.name.as_str()).collect();
    let sum = |of: fn(&Row) -> Option<u64>| sampled.iter().filter_map(|row| of(row)).sum::<u64>();
    let (cpu, memory) = (sum(|row| Some(row.cpu())), sum(|row| Some(row.memory())));
    // A sum of requests that some lack would make the use look larger than it is.
    let asked = |of: fn(&Row) -> Option<u64>| if sampled.iter().all(|row| of(row).is_some()) { Some(sum(of)) } else { None };
    let (cpu_asked, memory_asked) = (asked(|row| row.cpu_asked), asked(|row| row.memory_asked));
    let oldest = sampled.iter().filter_map(|row| row.age(now)).max();
    let percents = (usage::percent(cpu, cpu_asked), usage::percent(memory, memory_asked));
    let of = if unit == "nodes" { "what they can give" } else { "what they ask for" };
    let part = |percent: Option<u64>| percent.map_or_else(|| "of nothing asked for".to_owned(), |percent| format!("{percent}% of {of}"));
    let mut summary = if sampled.is_empty() {
        format!("{what}: none of {} {unit} has a sample", rows.len())
    } else {
        let (cpu_part, memory_part) = (part(percents.0), part(percents.1));
        let mib = memory / (1 << 20);
        format!("{what}: {} {unit} use {cpu}m CPU ({cpu_part}) and {mib} MiB of memory ({memory_part})", sampled.len())
    };
    if let Some(age) = oldest {
        summary.push_str(&format!("; samples are up to {age} s old"));
    }
    if !sampled.is_empty() && !unsampled.is_empty() {
        summary.push_str(&format!("; {} without a sample", unsampled.len()));
    }
    json!({
        "count": rows.len(),
        "sampled": sampled.len(),
        "unsampled": unsampled.iter().take(MOST_NAMES).collect::<Vec<_>>(),
        "cpu_millicores": cpu,
        "memory_bytes": memory,
        "cpu_requested_millicores": cpu_asked,
        "memory_requested_bytes": memory_asked,
        "cpu_percent": percents.0,
        "memory_percent": percents.1,
        "cpu_limit_percent": sampled.iter().filter_map(|row| usage::percent(row.cpu(), row.cpu_limit)).max(),
        "memory_limit_percent": sampled.iter().filter_map(|row| usage::percent(row.memory(), row.memory_limit)).max(),
        "oldest_sample_s": oldest,
        "summary": summary,
        "truncated": sampled.len() > MOST || unsampled.len() > MOST_NAMES,
        "top": sampled.iter().take(MOST).map(|row| row.to_value(now)).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
