//! `k8s.distribution`: how the pods of a workload are spread over nodes and zones.
//!
//! Must not change anything. Invariant: what could not be read (nodes, and so zones) is told, and is null, never 0.

mod spread;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::spread::{Node, Spread};
use super::api::Api;
use super::errors::Asked;
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
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "k8s.distribution";
/// How many nodes are listed.
const MOST: usize = 40;

/// The inputs of `k8s.distribution`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The workload: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`. Either this or `selector`.
    workload: Option<Workload>,
    /// A label selector, as `kubectl -l` takes it: `app=ticket-service`.
    selector: Option<String>,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
}

/// The question.
pub(super) struct DistributionReading;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    let outputs = vec![
        output("pods", "integer", "the pods that are on a node: not terminating, and not ended"),
        output("unscheduled", "integer", "the pods that are on no node yet"),
        output("by_node", "map", "how many of them each node has; nodes that could have some and have none are 0; at most 40"),
        output("by_zone", "map", "the same for zones; null where no zone is known"),
        output("skew_nodes", "integer", "the most minus the fewest, over nodes that could have some"),
        output("skew_zones", "integer", "the same over zones; null where no zone is known"),
        output("even", "boolean", "whether a skew is at most 1: of zones where there are several, else of nodes"),
        output("zones_known", "boolean", "whether nodes could be read, and have zones"),
        output("truncated", "boolean", "whether `by_node` leaves some out"),
        output("summary", "string", "all of it in one line, and what could not be read"),
    ];
    reading::entry::<Input>(
        NAME,
        "Tell how the pods of a workload are spread over nodes and zones",
        include_str!("page.md"),
        outputs,
        by_hand,
        permissions,
    )
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let (line, selector) = by_hand::selector(inputs, target);
    let place = by_hand::place(inputs, target);
    let count = format!(
        "kubectl get pods{place} -l {selector} -o jsonpath='{{range .items[*]}}{{.spec.nodeName}}{{\"\\n\"}}{{end}}' | sort | uniq -c"
    );
    by_hand::lines(line.into_iter().chain([count, "kubectl get nodes -L topology.kubernetes.io/zone".to_owned()]))
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    of_chosen_pods(&mut asking, inputs);
    asking.add(Purpose::Reads, Extent::Without("zones, and nodes without a pod"), "list", &On::nodes());
    asking.needs()
}

#[async_trait]
impl Reading for DistributionReading {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        let input: Input = parse(NAME, inputs)?;
        pod_choice::check(input.workload.as_ref(), input.selector.as_deref())?;
        super::namespace(input.namespace.as_deref(), cx.target.as_ref()).map(drop)
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input: Input = parse(NAME, inputs)?;
        let namespace = super::namespace(input.namespace.as_deref(), cx.target.as_ref())?;
        let api = Api::new(connections, cx)?;
        let chosen = Chosen::of(&api, input.workload.as_ref(), input.selector.as_deref(), namespace).await?;
        let mut spec = chosen.workload.as_ref().and_then(|object| object.pointer("/spec/template/spec")).cloned();
        let placed = chosen.pods(&api, |pod| {
            let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            if !text("/metadata/deletionTimestamp").is_empty() || matches!(text("/status/phase"), "Succeeded" | "Failed") {
                return None;
            }
            if spec.is_none() {
                spec = pod.get("spec").cloned();
            }
            Some(text("/spec/nodeName").to_owned())
        });
        let (placed, unscheduled): (Vec<String>, Vec<String>) = placed.await?.into_iter().partition(|node| !node.is_empty());
        let spec = spec.unwrap_or_default();
        let asked = Asked { verb: "list", resource: "nodes", name: "", namespace: "" };
        let (nodes, untold) = match pages::list(&api, "/api/v1/nodes", &[], asked, |node| Some(Node::of(node, &spec))).await {
            Ok(nodes) => (Some(nodes), None),
            // Without permission on nodes the nodes of the pods are still known.
            Err(failure) if !failure.transient => (None, Some(failure.message)),
            Err(failure) => return Err(failure),
        };
        let spread = Spread::of(&placed, nodes.as_deref());
        let outputs = redacted(&*cx.log, outputs(&chosen.what, &spread, placed.len(), unscheduled.len(), untold));
        cx.log.line(outputs["summary"].as_str().unwrap_or_default());
        Ok(outputs)
    }
}

fn outputs(what: &str, spread: &Spread, pods: usize, unscheduled: usize, untold: Option<String>) -> Value {
    let used = spread.by_node.values().filter(|count| **count > 0).count();
    let mut summary = format!("{what}: {pods} pods on {used} of {} nodes, skew {}", spread.by_node.len(), spread.skew_nodes);
    match (&spread.by_zone, spread.skew_zones, untold) {
        (Some(zones), Some(skew), _) => {
            let zones: Vec<String> = zones.iter().take(10).map(|(zone, count)| format!("{zone}: {count}")).collect();
            summary.push_str(&format!("; zones {}, skew {skew}", zones.join(", ")));
        }
        (_, _, Some(untold)) => {
            summary.push_str(&format!("; zones, and nodes without a pod, are not known: {untold}"));
        }
        _ => summary.push_str("; the nodes have no label topology.kubernetes.io/zone"),
    }
    if unscheduled > 0 {
        summary.push_str(&format!("; {unscheduled} pods are on no node yet"));
    }
    // The fullest nodes first, so that what is left out matters least.
    let mut nodes: Vec<(&String, &u64)> = spread.by_node.iter().collect();
    nodes.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let shown: BTreeMap<&String, &u64> = nodes.iter().take(MOST).copied().collect();
    json!({
        "pods": pods,
        "unscheduled": unscheduled,
        "by_node": shown,
        "by_zone": spread.by_zone,
        "skew_nodes": spread.skew_nodes,
        "skew_zones": spread.skew_zones,
        "even": spread.is_even(),
        "zones_known": spread.by_zone.is_some(),
        "truncated": nodes.len() > MOST,
        "summary": summary,
    })
}

#[cfg(test)]
mod tests;
