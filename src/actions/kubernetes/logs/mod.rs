//! `k8s.logs`: the last lines of a pod's log, or of each pod of a workload.
//!
//! Must not follow a log. Invariant: whatever a pod writes, what is kept of it is bounded, and no line is kept or shown before secrets are taken out
//! of it.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Api;
use super::errors::{Asked, Trouble};
use super::permissions::{Asking, On, of_chosen_pods, text};
use super::pod_choice::Chosen;
use super::reading::{self, Reading};
use super::workload::{Workload, is_name};
use super::{by_hand, pod_log};
use crate::actions::support::{DurationText, at_most, output, parse};
use crate::environment::Connections;
use crate::model::by_hand::{ByHand, quoted, variables_in, word};
use crate::model::catalogue::ActionEntry;
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "k8s.logs";
const TAIL: u32 = 100;
const LONGEST_TAIL: u32 = 5000;
/// How much of one pod's log is read, in bytes.
const READ: usize = 1024 * 1024;
/// How many pods are read.
const MOST_PODS: usize = 20;
/// How much of all lines is kept as an output, in bytes of JSON.
const KEPT: usize = 3 * 1024;
/// The longest line, in bytes.
const LONGEST_LINE: usize = 2000;

/// The inputs of `k8s.logs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// One pod's name. Either this or `workload`.
    pod: Option<String>,
    /// The workload whose pods are read: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`.
    workload: Option<Workload>,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// The container; where it is left out, the one that the pod names as its default, else its first.
    container: Option<String>,
    /// How many lines of each pod are read, from the end; 100 where it is left out.
    #[schemars(range(min = 1, max = 5000))]
    tail: Option<u32>,
    /// How old a line may be: `10m`. In whole seconds; all of the log where it is left out.
    #[schemars(with = "Option<DurationText>")]
    since: Option<Span>,
    /// Whether the log of the container's last end is read instead: what it said before it crashed.
    #[serde(default)]
    previous: bool,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        match (&input.pod, &input.workload) {
            (Some(_), Some(_)) => return Err(Failure::permanent("`pod` and `workload` cannot both be given").hint("keep one of them")),
            (None, None) => return Err(Failure::permanent("it needs `pod` or `workload`").hint("`workload: deployment/NAME`")),
            (Some(pod), None) if !is_name(pod) => {
                return Err(Failure::permanent("`pod` is not a pod's name").hint("only its name: `NAME-5d8f-abcde`"));
            }
            _ => {}
        }
        if input.tail.is_some_and(|tail| !(1..=LONGEST_TAIL).contains(&tail)) {
            return Err(Failure::permanent(format!("`tail` must be from 1 to {LONGEST_TAIL}")));
        }
        Ok(input)
    }

    fn query(&self, container: &str) -> String {
        let mut query = format!("?container={}&tailLines={}", utf8_percent_encode(container, NON_ALPHANUMERIC), self.tail.unwrap_or(TAIL));
        if let Some(since) = self.since {
            query.push_str(&format!("&sinceSeconds={}", since.0.as_secs().max(1)));
        }
        if self.previous {
            query.push_str("&previous=true");
        }
        query
    }
}

/// The question.
pub(super) struct LogsReading;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    let outputs = vec![
        output("count", "integer", "how many lines were read"),
        output(
            "lines",
            "list",
            "the last of them, at most 3 KB, an equal share for each pod; with several pods each begins with its pod's name",
        ),
        output("pods", "list", "the pods: `pod`, `container`, `lines` (how many), `error` (null where it was read); at most 20"),
        output("truncated", "boolean", "whether `lines` or `pods` leaves something out"),
    ];
    reading::entry::<Input>(NAME, "Read the last lines of the logs of pods", include_str!("page.md"), outputs, by_hand, permissions)
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let given = |key: &str| by_hand::given(inputs, key);
    let place = by_hand::place(inputs, target);
    let mut options = given("container").map(|name| format!(" -c {}", word(name))).unwrap_or_default();
    options.push_str(&format!(" --tail={}", given("tail").map_or_else(|| TAIL.to_string(), word)));
    match given("since").and_then(Value::as_str) {
        // kubectl's durations know no days.
        Some(text) if variables_in(text).is_empty() => {
            options.push_str(&text.parse::<Span>().map(|span| format!(" --since={}s", span.0.as_secs().max(1))).unwrap_or_default());
        }
        Some(text) => options.push_str(&format!(" --since={}", quoted(text))),
        None => {}
    }
    if given("previous").is_some_and(|previous| *previous != Value::Bool(false)) {
        options.push_str(" --previous");
    }
    if let Some(pod) = given("pod") {
        return by_hand::lines([format!("kubectl logs {}{place}{options}", word(pod))]);
    }
    let (line, selector) = by_hand::selector(inputs, target);
    let logs = format!("kubectl logs{place} -l {selector} --prefix --max-log-requests={MOST_PODS}{options}");
    by_hand::lines(line.into_iter().chain([logs]))
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    let mut pods = On::pods();
    if by_hand::given(inputs, "pod").is_some() {
        pods = text(inputs, "pod").map_or_else(On::pods, |name| On::pods().named(name));
        asking.reads("get", &pods);
    } else {
        of_chosen_pods(&mut asking, inputs);
    }
    asking.reads("get", &pods.part("log"));
    asking.needs()
}

/// A pod, and the container that is meant.
struct Source {
    pod: String,
    container: String,
}

impl Source {
    fn of(pod: &Value, container: Option<&str>) -> Option<Self> {
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).filter(|name| is_name(name))?;
        let annotations = pod.pointer("/metadata/annotations");
        let default = annotations.and_then(|all| all.get("kubectl.kubernetes.io/default-container")).and_then(Value::as_str);
        let first = pod.pointer("/spec/containers/0/name").and_then(Value::as_str);
        Some(Self { pod: name.to_owned(), container: container.or(default).or(first).unwrap_or_default().to_owned() })
    }
}

async fn one(api: &Api, input: &Input, namespace: &str, source: &Source) -> Result<(Vec<String>, bool), Trouble> {
    let log = pod_log::read(api, namespace, &source.pod, &input.query(&source.container), READ).await?;
    let mut lines: Vec<String> = log.text.lines().map(|line| at_most(line, LONGEST_LINE).to_owned()).collect();
    if log.truncated {
        // Its last line is a part of one, in which half a secret would not be seen as one.
        lines.pop();
    }
    Ok((lines, log.truncated))
}

#[async_trait]
impl Reading for LogsReading {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        let input = Input::of(inputs)?;
        super::namespace(input.namespace.as_deref(), cx.target.as_ref()).map(drop)
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input = Input::of(inputs)?;
        let namespace = super::namespace(input.namespace.as_deref(), cx.target.as_ref())?;
        let api = Api::new(connections, cx)?;
        let container = input.container.as_deref();
        let mut sources = match &input.pod {
            Some(pod) => {
                let asked = Asked { verb: "get", resource: "pods", name: pod, namespace: &namespace };
                let object =
                    api.get(&format!("/api/v1/namespaces/{namespace}/pods/{pod}")).await.map_err(|trouble| trouble.failure(asked))?;
                Source::of(&object, container).into_iter().collect()
            }
            None => {
                let chosen = Chosen::of(&api, input.workload.as_ref(), None, namespace.clone()).await?;
                let found = chosen.pods(&api, |pod| Source::of(pod, container)).await?;
                if found.is_empty() {
                    return Err(Failure::transient(format!("there is no pod of {}", chosen.what)).hint("look at the workload's replicas"));
                }
                found
            }
        };
        sources.sort_by(|a, b| a.pod.cmp(&b.pod));
        let left_out = sources.len().saturating_sub(MOST_PODS);
        sources.truncate(MOST_PODS);
        if left_out > 0 {
            cx.log.line(&format!("{left_out} more pods are left out: at most {MOST_PODS} are read"));
        }
        let several = sources.len() > 1;
        let mut told = Told { truncated: left_out > 0, ..Told::default() };
        let mut failures = Vec::new();
        for source in &sources {
            let Source { pod, container } = source;
            match one(&api, &input, &namespace, source).await {
                Ok((lines, cut)) => {
                    let lines: Vec<String> = if several { lines.iter().map(|line| format!("{pod}: {line}")).collect() } else { lines };
                    lines.iter().for_each(|line| cx.log.line(line));
                    told.pods.push(json!({ "pod": pod, "container": container, "lines": lines.len(), "error": null }));
                    told.truncated |= cut;
                    told.lines.push(lines);
                }
                Err(trouble) => {
                    let failure = trouble.failure(Asked { verb: "get", resource: "pods/log", name: pod, namespace: &namespace });
                    let error = if trouble.is_gone() { "it is gone" } else { at_most(&failure.message, 300) };
                    cx.log.line(&format!("{pod}: {error}"));
                    told.pods.push(json!({ "pod": pod, "container": container, "lines": 0, "error": error }));
                    failures.push(failure);
                }
            }
        }
        match failures.into_iter().next() {
            // Not one log could be read.
            Some(first) if told.lines.is_empty() => Err(first),
            _ => Ok(told.outputs()),
        }
    }
}

/// What was read.
#[derive(Default)]
struct Told {
    pods: Vec<Value>,
    /// Of each pod that was read.
    lines: Vec<Vec<String>>,
    truncated: bool,
}

impl Told {
    fn outputs(mut self) -> Value {
        let count: usize = self.lines.iter().map(Vec::len).sum();
        let share = KEPT / self.lines.len().max(1);
        let mut kept = Vec::new();
        for lines in &self.lines {
            let mut room = share;
            let fitting = lines.iter().rev().take_while(|line| {
                let size = json!(line).to_string().len() + 1;
                let fits = size <= room;
                room = room.saturating_sub(size);
                fits
            });
            let first = lines.len() - fitting.count();
            self.truncated |= first > 0;
            kept.extend(lines.iter().skip(first).cloned());
        }
        json!({ "count": count, "lines": kept, "pods": self.pods, "truncated": self.truncated })
    }
}

#[cfg(test)]
mod tests;
