//! `k8s.events`: what the cluster says of an object, of a workload with its pods, or of a namespace.
//!
//! Must not change anything. Invariant: an event belongs to a workload only by the names that its controllers give, so that nothing of a workload
//! with a longer name is taken for its own.

mod view;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::view::{Event, grouped};
use super::api::Api;
use super::errors::Asked;
use super::permissions::{Asking, On, text};
use super::pod_choice::Chosen;
use super::reading::{self, Reading};
use super::workload::{Kind, Workload, is_name};
use super::{by_hand, pages};
use crate::actions::support::{DurationText, output, parse, redacted};
use crate::environment::Connections;
use crate::model::by_hand::{ByHand, word};
use crate::model::catalogue::ActionEntry;
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "k8s.events";
const LIMIT: usize = 50;
const LARGEST_LIMIT: usize = 200;
const SINCE: Span = Span::seconds(3600);

/// The inputs of `k8s.events`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// One object, `KIND/NAME`: `pod/NAME`, `hpa/NAME`, `node/NAME`, or the kind as the API writes it (`CronJob/NAME`).
    #[schemars(extend("pattern" = "^[A-Za-z]+/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    object: Option<String>,
    /// A workload with its ReplicaSets and pods: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`.
    workload: Option<Workload>,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// Only events of this type.
    #[serde(rename = "type")]
    kind: Option<EventType>,
    /// How long ago an event may last have been seen; `1h` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    since: Option<Span>,
    /// How many events are listed at most; 50 where it is left out.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
enum EventType {
    Normal,
    Warning,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        if input.object.is_some() && input.workload.is_some() {
            return Err(Failure::permanent("`object` and `workload` cannot both be given").hint("keep one of them"));
        }
        if input.limit.is_some_and(|limit| !(1..=LARGEST_LIMIT).contains(&limit)) {
            return Err(Failure::permanent(format!("`limit` must be from 1 to {LARGEST_LIMIT}")));
        }
        if let Some(text) = &input.object {
            object(text)?;
        }
        Ok(input)
    }
}

/// Kind, as events write it, and name.
fn object(text: &str) -> Result<(String, String), Failure> {
    let wrong = || {
        Failure::permanent(format!("`{}` names no object", text.chars().take(80).collect::<String>()))
            .hint("`KIND/NAME`: `pod/NAME`, `hpa/NAME`, or the kind as the API writes it, `CronJob/NAME`")
    };
    let (kind, name) = text.split_once('/').ok_or_else(wrong)?;
    let long = match kind {
        "pod" => "Pod",
        "deployment" => "Deployment",
        "statefulset" => "StatefulSet",
        "replicaset" => "ReplicaSet",
        "service" => "Service",
        "configmap" => "ConfigMap",
        "namespace" => "Namespace",
        "node" => "Node",
        "job" => "Job",
        "hpa" => "HorizontalPodAutoscaler",
        "scaledobject" => "ScaledObject",
        other if other.starts_with(|c: char| c.is_ascii_uppercase()) && other.chars().all(|c| c.is_ascii_alphanumeric()) => other,
        _ => return Err(wrong()),
    };
    if is_name(name) { Ok((long.to_owned(), name.to_owned())) } else { Err(wrong()) }
}

/// The question.
pub(super) struct EventsReading;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    let outputs = vec![
        output("total", "integer", "how many different events there were in that time"),
        output("warnings", "integer", "how many of them are of the type Warning"),
        output("summary", "string", "all of it in one line"),
        output("truncated", "boolean", "whether `events` leaves some out"),
        output("events", "list", "the events, the newest first: `last` (a time), `count`, `type`, `reason`, `object`, `message`"),
    ];
    reading::entry::<Input>(
        NAME,
        "Read the cluster's events of an object or a workload",
        include_str!("page.md"),
        outputs,
        by_hand,
        permissions,
    )
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let given = |key: &str| by_hand::given(inputs, key);
    let place = by_hand::place(inputs, target);
    let types = given("type").map(|kind| format!(" --types={}", word(kind))).unwrap_or_default();
    let of = given("object").map(|object| format!(" --for {}", word(object))).unwrap_or_default();
    // kubectl has no way to ask for a workload with its pods: they have its name in theirs.
    let only = given("workload").and_then(Value::as_str).and_then(|workload| workload.split_once('/'));
    let only = only.map(|(_, name)| format!(" | grep -F -- {}", word(&json!(name)))).unwrap_or_default();
    by_hand::lines([format!("kubectl events{place}{of}{types}{only}")])
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    if let Some(workload) = asking.workload(inputs) {
        asking.reads("get", &workload);
        asking.reads("list", &On::pods());
        if workload.is("deployments") {
            asking.reads("list", &On::any("apps", "replicasets"));
        }
    }
    let of_the_cluster = |kind: &str| matches!(kind, "node" | "Node" | "namespace" | "Namespace");
    if text(inputs, "object").and_then(|text| text.split_once('/')).is_some_and(|(kind, _)| of_the_cluster(kind)) {
        asking = Asking::within(Some("default"));
    }
    asking.reads("list", &On::any("", "events"));
    asking.needs()
}

/// The objects that events are asked of.
enum Scope {
    Everything,
    Object { kind: String, name: String },
    Workload { workload: Workload, sets: Vec<String>, pods: Vec<String> },
}

impl Scope {
    async fn of(api: &Api, input: &Input, namespace: &str) -> Result<Self, Failure> {
        if let Some(text) = &input.object {
            let (kind, name) = object(text)?;
            return Ok(Self::Object { kind, name });
        }
        let Some(workload) = &input.workload else { return Ok(Self::Everything) };
        let chosen = Chosen::of(api, Some(workload), None, namespace.to_owned()).await?;
        let name_of = |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
        let pods = chosen.pods(api, name_of).await?;
        let mut sets = Vec::new();
        if workload.kind == Kind::Deployment {
            let uid = chosen.workload.as_ref().and_then(|object| object.pointer("/metadata/uid")).cloned();
            let path = format!("/apis/apps/v1/namespaces/{namespace}/replicasets");
            let asked = Asked { verb: "list", resource: "replicasets", name: "", namespace };
            sets = pages::list(api, &path, &[("labelSelector", &chosen.selector)], asked, |set| {
                let owners = set.pointer("/metadata/ownerReferences").and_then(Value::as_array);
                let owned = owners.into_iter().flatten().any(|owner| uid.as_ref().is_some_and(|uid| &owner["uid"] == uid));
                owned.then(|| name_of(set)).flatten()
            })
            .await?;
        }
        Ok(Self::Workload { workload: workload.clone(), sets, pods })
    }

    /// Whether an event of `kind/name`, in lower case, belongs here.
    fn holds(&self, event: &str) -> bool {
        let (kind, name) = event.split_once('/').unwrap_or_default();
        match self {
            Self::Everything => true,
            Self::Object { kind: wanted, name: named } => kind == wanted.to_lowercase() && name == named,
            Self::Workload { workload, sets, pods } => match kind {
                "pod" => {
                    // A pod that is gone has left its events, and its name tells whose it was.
                    let born = |set: &str| name.strip_prefix(set).and_then(|rest| rest.strip_prefix('-')).is_some_and(is_last);
                    let direct = workload.kind != Kind::Deployment && born(&workload.name);
                    pods.iter().any(|pod| pod == name) || direct || sets.iter().any(|set| born(set))
                }
                "replicaset" if sets.iter().any(|set| set == name) => true,
                _ => event == workload.to_string(),
            },
        }
    }
}

/// The last part of a pod's name: an ordinal, or random letters and digits.
fn is_last(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}

#[async_trait]
impl Reading for EventsReading {
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
        let scope = Scope::of(&api, &input, &namespace).await?;
        let mut fields = Vec::new();
        // Events of what belongs to no namespace are kept in `default`.
        let mut place = namespace;
        if let Scope::Object { kind, name } = &scope {
            fields.extend([format!("involvedObject.kind={kind}"), format!("involvedObject.name={name}")]);
            if matches!(kind.as_str(), "Node" | "Namespace") {
                "default".clone_into(&mut place);
            }
        }
        if let Some(kind) = input.kind {
            fields.push(format!("type={}", kind.as_str()));
        }
        let path = format!("/api/v1/namespaces/{place}/events");
        let asked = Asked { verb: "list", resource: "events", name: "", namespace: &place };
        let events = pages::list(&api, &path, &[("fieldSelector", &fields.join(","))], asked, |event| {
            let event = Event::of(event);
            let typed = input.kind.is_none_or(|kind| event.kind == kind.as_str());
            (typed && scope.holds(&event.object)).then_some(event)
        })
        .await?;
        let age = input.since.unwrap_or(SINCE);
        let since = Timestamp::now().saturating_sub(SignedDuration::from_millis(age.as_millis())).unwrap_or(Timestamp::MIN);
        let events = grouped(events, since);
        let limit = input.limit.unwrap_or(LIMIT);
        for event in events.iter().take(limit).rev() {
            let Event { last, count, kind, reason, object, message } = event;
            let last = last.map_or_else(|| "-".to_owned(), |last| last.to_string());
            cx.log.line(&format!("{last} {kind} {object} {reason} ({count}x): {message}"));
        }
        Ok(redacted(&*cx.log, outputs(&events, age, limit)))
    }
}

fn outputs(events: &[Event], age: Span, limit: usize) -> Value {
    let warnings: Vec<&Event> = events.iter().filter(|event| event.kind == "Warning").collect();
    let many = |count: usize, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
    let mut summary = format!("{} in the last {age}, {}", many(events.len(), "event"), many(warnings.len(), "warning"));
    let mut reasons: Vec<&str> = warnings.iter().map(|event| event.reason.as_str()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    if !reasons.is_empty() {
        reasons.truncate(6);
        summary.push_str(&format!(" ({})", reasons.join(", ")));
    }
    json!({
        "total": events.len(),
        "warnings": warnings.len(),
        "summary": summary,
        "truncated": events.len() > limit,
        "events": events.iter().take(limit).map(Event::to_value).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
