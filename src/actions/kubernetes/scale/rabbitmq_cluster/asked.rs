//! A step of `k8s.scale` on a RabbitmqCluster, as its inputs say it.
//!
//! Must not ask anything. Invariant: what is not wholly understood is refused.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GROUP, KIND, PLURAL, RabbitmqCluster};
use crate::actions::kubernetes::by_hand::namespace_word;
use crate::actions::kubernetes::namespace;
use crate::actions::kubernetes::permissions::{Asking, On};
use crate::actions::kubernetes::scale::NAME;
use crate::actions::kubernetes::workload::is_name;
use crate::actions::support::{parse, whole};
use crate::model::by_hand::{ByHand, variables_in, word};
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::ports::action::Inputs;

/// Every workload that is scaled, for the schema.
pub(in crate::actions::kubernetes::scale) struct AnyWorkload;

impl JsonSchema for AnyWorkload {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ScaledWorkload".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(deployment|statefulset|replicaset|rabbitmqcluster)/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        })
    }
}

/// The inputs that such a step may have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    workload: String,
    #[serde(deserialize_with = "whole")]
    replicas: i32,
    namespace: Option<String>,
    #[serde(default)]
    raise_maximum: bool,
    settle: Option<Span>,
}

/// What is wanted of which cluster.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) cluster: RabbitmqCluster,
    pub(super) replicas: i64,
}

/// Whether a step is about a RabbitmqCluster.
pub(in crate::actions::kubernetes::scale) fn wants(inputs: &Value) -> bool {
    inputs.get("workload").and_then(Value::as_str).is_some_and(|text| text.strip_prefix(KIND).is_some_and(|rest| rest.starts_with('/')))
}

fn name(workload: &str) -> Option<&str> {
    workload.strip_prefix(KIND)?.strip_prefix('/').filter(|name| is_name(name))
}

impl Wanted {
    pub(super) fn of(inputs: &Inputs, target: Option<&TargetSpec>) -> Result<Self, Failure> {
        let Input { workload, replicas, namespace: named, raise_maximum, settle } = parse(NAME, inputs)?;
        let name = name(&workload).ok_or_else(|| {
            let shown: String = workload.chars().take(80).collect();
            Failure::permanent(format!("`{shown}` names no RabbitMQ cluster")).hint("write `rabbitmqcluster/NAME`")
        })?;
        if replicas < 0 {
            return Err(Failure::permanent(format!("replicas cannot be {replicas}")).hint("0 or more"));
        }
        if raise_maximum || settle.is_some() {
            return Err(Failure::permanent(format!("`raise_maximum` and `settle` of {NAME} are not for {workload}"))
                .hint("no autoscaler scales it, and its scaling is not taken back: leave them out"));
        }
        let namespace = namespace(named.as_deref(), target)?;
        Ok(Self { cluster: RabbitmqCluster { name: name.to_owned(), namespace }, replicas: i64::from(replicas) })
    }

    /// The cluster alone, where it can be told.
    pub(super) fn named(inputs: &Value, target: Option<&TargetSpec>) -> Option<RabbitmqCluster> {
        let name = name(inputs.get("workload")?.as_str()?)?.to_owned();
        let namespace = namespace(inputs.get("namespace").and_then(Value::as_str), target).ok()?;
        Some(RabbitmqCluster { name, namespace })
    }
}

/// What the account must be allowed.
pub(in crate::actions::kubernetes::scale) fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    let written = inputs.get("workload").and_then(Value::as_str).and_then(|text| text.split_once('/')).map(|(_, name)| name);
    let named = |on: On, name: Option<String>| name.map_or_else(|| on.clone(), |name| on.clone().named(&name));
    let known = written.filter(|name| variables_in(name).is_empty());
    let cluster = named(On::any(GROUP, PLURAL), known.map(str::to_owned));
    let set = named(On::any("apps", "statefulsets"), known.map(|name| format!("{name}-server")));
    asking.reads("get", &cluster);
    asking.reads("get", &set);
    asking.reads("list", &On::pods());
    asking.add(Purpose::Changes, Extent::Always, "patch", &cluster);
    asking.needs()
}

/// By a person's hands. It is not undone.
pub(in crate::actions::kubernetes::scale) fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let (Some(workload), Some(replicas)) = (inputs.get("workload").and_then(Value::as_str), inputs.get("replicas")) else {
        return ByHand::default();
    };
    let namespace = namespace_word(inputs, target);
    let name = word(&json!(workload.split_once('/').map_or(workload, |(_, name)| name)));
    let count = replicas.as_str().map_or_else(|| replicas.to_string(), str::to_owned);
    let patch = word(&json!(format!("{{\"spec\":{{\"replicas\":{count}}}}}")));
    ByHand {
        look: vec![format!("kubectl get {KIND} {name} -n {namespace} -o jsonpath='{{.spec.replicas}}'")],
        act: vec![format!("kubectl patch {KIND} {name} -n {namespace} --type=merge -p {patch}")],
        undo: Vec::new(),
    }
}
