//! `k8s.pods`: how the pods of a workload stand, and what is wrong with them.
//!
//! Must not change anything. Invariant: the counts are of all pods, whatever is left out of the list; a pod that could not even be created is
//! told, too.

mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::state::PodState;
use super::api::Api;
use super::by_hand::given;
use super::errors::Asked;
use super::permissions::{Asking, On, of_chosen_pods};
use super::pod_choice::{self, Chosen};
use super::reading::{self, Reading};
use super::workload::Workload;
use super::{by_hand, pages};
use crate::actions::support::{at_most, output, parse, redacted};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::ActionEntry;
use crate::model::outcome::Failure;
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "k8s.pods";
/// How many pods are listed.
const MOST_PODS: usize = 50;
/// How many problems are listed.
const MOST_PROBLEMS: usize = 10;
/// How many names are listed.
const MOST_NAMES: usize = 20;

/// The inputs of `k8s.pods`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The workload: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`. Either this or `selector`.
    workload: Option<Workload>,
    /// A label selector, as `kubectl -l` takes it: `app=ticket-service,tier!=batch`.
    selector: Option<String>,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
}

/// The question.
pub(super) struct PodsReading;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    let outputs = vec![
        output("total", "integer", "the pods that take part: all but those that have ended for good"),
        output("ready", "integer", "those that are ready and not terminating"),
        output("pending", "integer", "those in the phase Pending"),
        output("terminating", "integer", "those on their way out"),
        output("finished", "integer", "those that have ended for good: completed, failed, evicted"),
        output("restarts", "integer", "how often containers of all of them were restarted"),
        output("not_ready", "list", "the names of those that are to be ready and are not, at most 20"),
        output("problems", "list", "what is wrong: `pod`, `reason`, `message`; at most 10"),
        output("quota", "list", "why pods could not be created: `object`, `reason`, `message`; at most 5"),
        output("summary", "string", "all of it in one line"),
        output("truncated", "boolean", "whether a list leaves something out"),
        output(
            "pods",
            "list",
            "the pods, those with problems first, at most 50: `name`, `phase`, `ready`, `restarts`, `node`, `zone`, `age_s`, `reason`, `message`, `terminating`, `owner`",
        ),
    ];
    reading::entry::<Input>(
        NAME,
        "Tell how the pods of a workload stand, and what is wrong with them",
        include_str!("page.md"),
        outputs,
        by_hand,
        permissions,
    )
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let (line, selector) = by_hand::selector(inputs, target);
    let place = by_hand::place(inputs, target);
    by_hand::lines(line.into_iter().chain([format!("kubectl get pods{place} -l {selector} -o wide")]))
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    of_chosen_pods(&mut asking, inputs);
    if given(inputs, "selector").is_some() {
        let without = Extent::Without("whether pods could not be created");
        asking.add(Purpose::Reads, without, "list", &On::any("apps", "replicasets"));
    }
    asking.needs()
}

#[async_trait]
impl Reading for PodsReading {
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
        let now = Timestamp::now();
        let pods = chosen.pods(&api, |pod| Some(PodState::of(pod, now))).await?;
        let (refused, untold) = match &chosen.workload {
            Some(object) => (refused(object, &chosen.what), None),
            None => match replica_sets(&api, &chosen).await {
                Ok(refused) => (refused, None),
                // The pods were read: that their owners may not be is told, not a failure.
                Err(failure) => (Vec::new(), Some(failure.message)),
            },
        };
        let outputs = redacted(&*cx.log, outputs(&chosen.what, pods, refused));
        cx.log.line(outputs["summary"].as_str().unwrap_or_default());
        for problem in outputs["problems"].as_array().into_iter().flatten() {
            let part = |key: &str| problem[key].as_str().unwrap_or_default();
            cx.log.line(&format!("{}: {}: {}", part("pod"), part("reason"), part("message")));
        }
        if let Some(untold) = untold {
            cx.log.line(&format!("whether pods could not be created is not known: {untold}"));
        }
        Ok(outputs)
    }
}

/// Why the owner of pods could not create some: the condition that its controller leaves there.
fn refused(object: &Value, what: &str) -> Vec<Value> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let failures =
        conditions.into_iter().flatten().filter(|condition| condition["type"] == "ReplicaFailure" && condition["status"] == "True");
    let text = |condition: &Value, key: &str| at_most(condition[key].as_str().unwrap_or_default(), 200).to_owned();
    failures
        .map(|condition| json!({ "object": what, "reason": text(condition, "reason"), "message": text(condition, "message") }))
        .collect()
}

async fn replica_sets(api: &Api, chosen: &Chosen) -> Result<Vec<Value>, Failure> {
    let path = format!("/apis/apps/v1/namespaces/{}/replicasets", chosen.namespace);
    let asked = Asked { verb: "list", resource: "replicasets", name: "", namespace: &chosen.namespace };
    let query = [("labelSelector", chosen.selector.as_str())];
    let sets = pages::list(api, &path, &query, asked, |set| {
        let refused = refused(set, &format!("replicaset/{}", set.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?")));
        (!refused.is_empty()).then_some(refused)
    });
    Ok(sets.await?.into_iter().flatten().collect())
}

fn outputs(what: &str, mut pods: Vec<PodState>, mut quota: Vec<Value>) -> Value {
    // Those with problems first, then those that are not ready; names keep their order.
    pods.sort_by(|a, b| {
        let rank = |pod: &PodState| (pod.problems.is_empty(), !pod.is_missed(), pod.finished);
        rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name))
    });
    let count = |is: fn(&PodState) -> bool| pods.iter().filter(|pod| is(pod)).count();
    let (total, ready, pending) = (count(|pod| !pod.finished), count(|pod| pod.ready), count(|pod| pod.phase == "Pending"));
    let (terminating, finished) = (count(|pod| pod.terminating && !pod.finished), count(|pod| pod.finished));
    let missed: Vec<&str> = pods.iter().filter(|pod| pod.is_missed()).map(|pod| pod.name.as_str()).collect();
    let problems: Vec<Value> = pods
        .iter()
        .flat_map(|pod| pod.problems.iter().map(|problem| json!({ "pod": pod.name, "reason": problem.reason, "message": problem.message })))
        .collect();
    let mut summary = format!("{what}: {total} pods, {ready} ready");
    if !missed.is_empty() {
        summary.push_str(&format!(", {} not ready", missed.len()));
    }
    if terminating > 0 {
        summary.push_str(&format!(", {terminating} terminating"));
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for problem in pods.iter().flat_map(|pod| &pod.problems) {
        *reasons.entry(&problem.reason).or_default() += 1;
    }
    if !reasons.is_empty() {
        let reasons: Vec<String> = reasons.iter().take(5).map(|(reason, count)| format!("{reason}: {count}")).collect();
        summary.push_str(&format!(" ({})", reasons.join(", ")));
    }
    if let Some(first) = quota.first() {
        summary.push_str(&format!("; pods could not be created: {}", first["message"].as_str().unwrap_or_default()));
    }
    let truncated = pods.len() > MOST_PODS || problems.len() > MOST_PROBLEMS || missed.len() > MOST_NAMES || quota.len() > 5;
    quota.truncate(5);
    json!({
        "total": total,
        "ready": ready,
        "pending": pending,
        "terminating": terminating,
        "finished": finished,
        "restarts": pods.iter().map(|pod| pod.restarts).fold(0, i64::saturating_add),
        "not_ready": missed.iter().take(MOST_NAMES).collect::<Vec<_>>(),
        "problems": problems.into_iter().take(MOST_PROBLEMS).collect::<Vec<_>>(),
        "quota": quota,
        "summary": summary,
        "truncated": truncated,
        "pods": pods.iter().take(MOST_PODS).map(PodState::to_value).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
