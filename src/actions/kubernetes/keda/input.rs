//! The inputs of `k8s.keda`, and what is refused of them.
//!
//! Must not ask anything. Invariant: what KEDA would not take, or could not work with, is refused before anything is sent, with what to write
//! instead.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::state::Observed;
use super::triggers::{self, Trigger};
use crate::actions::kubernetes::namespace;
use crate::actions::kubernetes::scaled_object::{CEILING, DEFAULT_CEILING, FLOOR, PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN};
use crate::actions::kubernetes::scaler;
use crate::actions::kubernetes::workload::{Workload, is_name};
use crate::actions::support::{DurationText, maybe_whole, parse};
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::ports::action::Inputs;

/// The action's name.
pub(super) const NAME: &str = "k8s.keda";
/// The longest name: KEDA puts `keda-hpa-` before it, and both become labels.
const LONGEST: usize = 54;

/// The inputs of `k8s.keda`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The ScaledObject's name.
    pub(super) name: String,
    /// The workload it scales: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`.
    pub(super) workload: Workload,
    /// The fewest pods (`minReplicaCount`); at 0 KEDA takes the workload down to none while no trigger is active. As it is where it is left out; a
    /// new one needs it.
    #[serde(default, deserialize_with = "maybe_whole")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 2_147_483_647))]
    min: Option<i32>,
    /// The most pods (`maxReplicaCount`); as it is where it is left out; a new one needs it, since KEDA goes up to 100 without.
    #[serde(default, deserialize_with = "maybe_whole")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 2_147_483_647))]
    max: Option<i32>,
    /// What it goes by, in KEDA's own spelling: `[{ type: rabbitmq, metadata: { hostFromEnv: RABBITMQ_URL, queueName: q, mode: QueueLength, value: 50
    /// } }]`. They take the place of all triggers; as they are where it is left out; a new one needs them.
    triggers: Option<Vec<Trigger>>,
    /// How fast its HPA goes up and down, as `autoscaling/v2` has it: `{ scaleDown: { stabilizationWindowSeconds: 300 } }`. It takes the place of the
    /// whole behaviour; as it is where it is left out.
    behavior: Option<Map<String, Value>>,
    /// `true`: KEDA neither grows nor shrinks the workload (`autoscaling.keda.sh/paused`), and its HPA goes. `false`: that annotation and
    /// `paused-replicas` are taken away. As it is where it is left out.
    paused: Option<bool>,
    /// The workload is brought to so many pods and stays there (`autoscaling.keda.sh/paused-replicas`): frozen, no floor. As it is where it is left
    /// out; `paused: false` takes it away.
    #[serde(default, deserialize_with = "maybe_whole")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 2_147_483_647))]
    paused_replicas: Option<i32>,
    /// `true`: it only grows (`autoscaling.keda.sh/paused-scale-in`), and its HPA stays. `false`: that annotation is taken away. As it is where it is
    /// left out.
    paused_scale_in: Option<bool>,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// How long a rollback waits for KEDA and the pods to follow; `10m` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    pub(super) settle: Option<Span>,
}

/// The field of an annotation.
pub(super) fn annotation(name: &str) -> String {
    format!("metadata.annotations[{name}]")
}

impl Input {
    pub(super) fn of(inputs: &Inputs, target: Option<&TargetSpec>) -> Result<(Self, String), Failure> {
        let input: Self = parse(NAME, inputs)?;
        if !is_name(&input.name) || input.name.len() > LONGEST {
            let name: String = input.name.chars().take(80).collect();
            return Err(Failure::permanent(format!("`{name}` is not a ScaledObject's name"))
                .hint(format!("lower-case letters, digits, `-` and `.`, at most {LONGEST}: KEDA puts `keda-hpa-` before it")));
        }
        let namespace = namespace(input.namespace.as_deref(), target)?;
        Ok((input, namespace))
    }

    /// The fields that are given and what each is to be (`null`: not there), by what people call them.
    pub(super) fn fields(&self, observed: &Observed) -> Vec<(String, &'static str, Value)> {
        let mut fields = Vec::new();
        let mut set = |field: String, label: &'static str, value: Value| fields.push((field, label, value));
        if let Some(min) = self.min {
            set(FLOOR.to_owned(), "floor", json!(min));
        }
        if let Some(max) = self.max {
            set(CEILING.to_owned(), "maximum", json!(max));
        }
        if let Some(triggers) = self.triggers() {
            set("spec.triggers".to_owned(), "triggers", triggers);
        }
        if let Some(behavior) = &self.behavior {
            let (field, value) = observed.behavior_field(json!(behavior));
            set(field, "behaviour", value);
        }
        match (self.paused, self.paused_replicas) {
            (Some(true), _) => set(annotation(PAUSED), "pause", json!("true")),
            (Some(false), _) => {
                set(annotation(PAUSED), "pause", Value::Null);
                set(annotation(PAUSED_REPLICAS), "pause at a count", Value::Null);
            }
            (None, Some(count)) => set(annotation(PAUSED_REPLICAS), "pause at a count", json!(count.to_string())),
            (None, None) => {}
        }
        match self.paused_scale_in {
            Some(true) => set(annotation(PAUSED_SCALE_IN), "growth only", json!("true")),
            Some(false) => set(annotation(PAUSED_SCALE_IN), "growth only", Value::Null),
            None => {}
        }
        fields
    }

    /// Whether KEDA is paused in both directions once this is done.
    pub(super) fn pauses_it(&self, observed: &Observed) -> bool {
        self.paused.or(self.paused_replicas.map(|_| true)).unwrap_or(observed.paused.is_some())
    }

    /// The triggers as the API has them.
    pub(super) fn triggers(&self) -> Option<Value> {
        self.triggers.as_ref().map(|triggers| triggers.iter().map(Trigger::object).collect())
    }

    /// The variables of the workload's container that the triggers are read from.
    pub(super) fn variables(&self) -> Vec<String> {
        self.triggers.iter().flatten().flat_map(Trigger::variables).collect()
    }

    /// A new ScaledObject. Deleted, it gives the workload the replicas back that it had before.
    pub(super) fn manifest(&self, namespace: &str) -> Value {
        let mut annotations = Map::new();
        let pauses = [
            (PAUSED, (self.paused == Some(true)).then(|| "true".to_owned())),
            (PAUSED_REPLICAS, self.paused_replicas.map(|count| count.to_string())),
            (PAUSED_SCALE_IN, (self.paused_scale_in == Some(true)).then(|| "true".to_owned())),
        ];
        for (name, value) in pauses {
            if let Some(value) = value {
                annotations.insert(name.to_owned(), json!(value));
            }
        }
        let mut advanced = json!({ "restoreToOriginalReplicaCount": true });
        if let Some(behavior) = &self.behavior {
            advanced["horizontalPodAutoscalerConfig"] = json!({ "behavior": behavior });
        }
        json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": { "name": self.name, "namespace": namespace, "annotations": annotations },
            "spec": {
                "scaleTargetRef": self.workload.reference(),
                "minReplicaCount": self.min,
                "maxReplicaCount": self.max,
                "advanced": advanced,
                "triggers": self.triggers(),
            },
        })
    }

    /// Why this cannot be had from what is there.
    pub(super) fn refusal(&self, observed: &Observed) -> Option<Failure> {
        let Self { name, workload, .. } = self;
        let there = &observed.there;
        let namespace = &there.namespace;
        let place = format!("{workload} in namespace {namespace}");
        if there.replicas.is_none() {
            return Some(
                Failure::permanent(format!("there is no {place} for the ScaledObject {name} to scale"))
                    .hint("check the name, the namespace and the environment"),
            );
        }
        if let (Some(scales), false) = (&there.scales, there.ours) {
            return Some(
                Failure::permanent(format!("the ScaledObject {name} in namespace {namespace} scales {scales}, not {workload}"))
                    .hint("give the ScaledObject another name, or name the workload that it scales"),
            );
        }
        if observed.leaving {
            return Some(
                Failure::transient(format!("the ScaledObject {name} in namespace {namespace} is being deleted"))
                    .hint("wait until KEDA's operator has let it go (`kubectl get scaledobject`), then `runsheet retry`"),
            );
        }
        if let Some(other) = there.others.first() {
            return Some(
                Failure::permanent(format!("{place} has another ScaledObject already, {other}: two on one workload fight each other"))
                    .hint(format!("change that one (`name: {other}`), or delete it first")),
            );
        }
        if let Some(hpa) = observed.hpas.first() {
            return Some(scaler::beside(&place, name, hpa));
        }
        self.limits(observed).or_else(|| self.pauses()).or_else(|| self.of_triggers(observed))
    }

    fn limits(&self, observed: &Observed) -> Option<Failure> {
        let (name, there) = (&self.name, &observed.there);
        if !there.exists {
            let missing = [("triggers", self.triggers.is_none()), ("min", self.min.is_none()), ("max", self.max.is_none())];
            if let Some((input, _)) = missing.iter().find(|(_, missing)| *missing) {
                let why = match *input {
                    "min" => "KEDA takes 0 where nothing is said, and takes the workload down to none while no trigger is active",
                    "max" => "KEDA goes up to 100 where nothing is said",
                    _ => "it would have nothing to go by",
                };
                return Some(
                    Failure::permanent(format!(
                        "there is no ScaledObject {name} in namespace {}, and a new one needs `{input}`",
                        there.namespace
                    ))
                    .hint(format!("give `{input}` ({why}); or check the name, the namespace and the environment")),
                );
            }
        }
        let floor = self.min.map_or(there.min.unwrap_or(0), i64::from);
        let ceiling = self.max.map_or(there.max.unwrap_or(DEFAULT_CEILING), i64::from);
        if floor < 0 || ceiling < 1 {
            return Some(
                Failure::permanent(format!("{name} cannot have a floor of {floor} and a maximum of {ceiling}"))
                    .hint("the lowest floor is 0, the lowest maximum 1"),
            );
        }
        if floor > ceiling {
            let message = format!("the floor of {name} would be {floor} and its maximum {ceiling}: it can never meet both");
            return Some(Failure::permanent(message).hint("lower `min` or raise `max`"));
        }
        if let Some(idle) = there.idle.filter(|idle| *idle >= floor) {
            let message = format!(
                "{name} goes down to {idle} pods while no trigger is active (`idleReplicaCount`), and a floor of {floor} is not above that"
            );
            return Some(Failure::permanent(message).hint("raise `min`, or take `idleReplicaCount` away first (`k8s.patch`)"));
        }
        None
    }

    fn pauses(&self) -> Option<Failure> {
        match (self.paused, self.paused_replicas) {
            (Some(_), Some(_)) => Some(
                Failure::permanent("`paused` and `paused_replicas` are both given")
                    .hint("`paused_replicas: N` pauses at a count, `paused: true` where it stands, `paused: false` lets KEDA go on"),
            ),
            (_, Some(count)) if count < 0 => Some(Failure::permanent(format!("paused_replicas cannot be {count}")).hint("0 or more")),
            _ => None,
        }
    }

    fn of_triggers(&self, observed: &Observed) -> Option<Failure> {
        let triggers = self.triggers.as_ref()?;
        if let Some(failure) = triggers::refusal(triggers) {
            return Some(failure);
        }
        let floor = self.min.map_or(observed.there.min.unwrap_or(0), i64::from);
        if floor == 0 && triggers.iter().all(Trigger::of_resources) {
            return Some(
                Failure::permanent(format!(
                    "{} goes by cpu and memory alone, which without a pod have no value: it would never leave 0",
                    self.name
                ))
                .hint("a floor of 1 or more, or a trigger from outside beside them"),
            );
        }
        let resources = triggers.iter().filter(|trigger| trigger.of_resources()).map(|trigger| trigger.kind.as_str());
        for resource in resources {
            if let Some(container) =
                observed.there.without_requests.iter().find_map(|missing| missing.strip_suffix(&format!(": {resource}")))
            {
                return Some(
                    Failure::permanent(format!(
                        "the container {container} of {} has no request for {resource}, which its use is measured by",
                        self.workload
                    ))
                    .hint("give it one (`k8s.set_resources`)"),
                );
            }
        }
        if let Some(variable) = observed.missing_variables.first() {
            return Some(
                Failure::permanent(format!(
                    "a trigger is to be read from the variable {variable}, and {} of {} has none of that name",
                    observed.read_from.as_ref().map_or_else(|| "the first container".to_owned(), |name| format!("the container {name}")),
                    self.workload
                ))
                .hint("KEDA reads the container's own variables: set it there (`k8s.set_env`), or use an `authenticationRef`"),
            );
        }
        None
    }
}
