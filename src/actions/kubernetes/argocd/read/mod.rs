//! `argocd.application`: which Application of Argo CD owns an object, whether it heals itself, and which fields it would put back.
//!
//! Must not change anything. Invariant: it tells of a field what an action that changes it would be told.

mod findings;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use self::findings::Findings;
use super::foretold::{REPLICAS, foretell, names_replicas};
use super::tracking::Thing;
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::field_path::{FieldPath, NotAField};
use crate::actions::kubernetes::horizontal::{CEILING, FLOOR};
use crate::actions::kubernetes::object::ObjectName;
use crate::actions::kubernetes::permissions::{Asking, On};
use crate::actions::kubernetes::pod_template;
use crate::actions::kubernetes::reading::{self, Reading};
use crate::actions::kubernetes::scaled_object;
use crate::actions::kubernetes::scaler::{self, Scaler};
use crate::actions::kubernetes::workload::Workload;
use crate::actions::kubernetes::{by_hand, namespace};
use crate::actions::support::{output, parse};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::ActionEntry;
use crate::model::outcome::Failure;
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "argocd.application";

/// The inputs of `argocd.application`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The object, as in `k8s.get`: `KIND/NAME` or `GROUP/VERSION/Kind/NAME`.
    object: ObjectName,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// Fields of it that are to be changed: `spec.replicas`, `spec.template.spec.containers[NAME].image`.
    #[serde(default)]
    fields: Vec<String>,
    /// Variables of its container that are to be changed, by name.
    #[serde(default)]
    env: Vec<String>,
    /// The container of these variables; its only one where it is left out.
    container: Option<String>,
    /// Whether the number of its pods is to be changed: of a workload that an autoscaler scales, that autoscaler's floor and maximum are looked at in its
    /// place, and of one that KEDA made, its ScaledObject's.
    #[serde(default)]
    replicas: bool,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        for field in &input.fields {
            field.parse::<FieldPath>().map_err(|error: NotAField| Failure::permanent(error.to_string()))?;
        }
        if let Some(name) = input.env.iter().find(|name| name.is_empty() || name.contains(['[', ']', '/'])) {
            return Err(
                Failure::permanent(format!("`{name}` is not a variable's name")).hint("name the variables in `env`: `[DB_POOL_MAX]`")
            );
        }
        if input.replicas && input.workload().is_none() {
            return Err(Failure::permanent(format!("{} has no replicas: `replicas: true` is for workloads", input.object))
                .hint("name a Deployment, StatefulSet or ReplicaSet, or leave `replicas` out"));
        }
        Ok(input)
    }

    fn workload(&self) -> Option<Workload> {
        self.object.canonical().parse().ok()
    }
}

/// The question.
pub(super) struct ApplicationReading;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    let outputs = vec![
        output(
            "applications",
            "list",
            "the Applications that own what was asked about: `application` (`NAMESPACE/NAME`), `project`, `syncs` (`heals`, `by_commit`, `by_hand` or `not`), `frozen_until` (a time, or null) and `objects`",
        ),
        output("puts_back", "list", "what would be put back within seconds: `spec.minReplicas of hpa/NAME, by NAMESPACE/NAME`"),
        output("to_pause", "list", "the Applications that would do that: `NAMESPACE/NAME`"),
        output(
            "ignored",
            "list",
            "what was asked about and is left alone: its differences are ignored, or the repository says nothing of it",
        ),
        output("unknown", "list", "what could not be found out, and why"),
        output("summary", "string", "all of it in one line"),
    ];
    reading::entry::<Input>(
        NAME,
        "Find the Argo CD Application that owns an object, and what it would put back",
        include_str!("page.md"),
        outputs,
        lines,
        permissions,
    )
});

fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let object = by_hand::get(inputs, target);
    let there = super::namespace(target);
    by_hand::lines([
        format!("{object} | grep -E 'argocd.argoproj.io/(tracking-id|instance)|app.kubernetes.io/instance'"),
        format!(
            "kubectl get applications.argoproj.io -n {there} -o custom-columns=NAME:.metadata.name,AUTOMATED:.spec.syncPolicy.automated,IGNORED:.spec.ignoreDifferences"
        ),
    ])
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    const KEDA: Extent = Extent::Where("KEDA is there");
    let mut asking = Asking::of(inputs, target);
    if let Some(on) = by_hand::given(inputs, "object").and_then(Value::as_str).and_then(|written| asking.object(written)) {
        asking.reads("get", &on);
    }
    if by_hand::given(inputs, "replicas").is_some_and(|replicas| *replicas != Value::Bool(false)) {
        asking.reads("list", &On::autoscalers());
        asking.add(Purpose::Reads, KEDA, "list", &On::scaled_objects());
    }
    let mut needs = asking.needs();
    super::reads(&mut needs, target);
    needs
}

#[async_trait]
impl Reading for ApplicationReading {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(_: &Context, inputs: &Inputs) -> Result<(), Failure> {
        Input::of(inputs).map(drop)
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input = Input::of(inputs)?;
        let target = cx.target.as_ref();
        let api = Api::new(connections, cx)?;
        let place = input.object.place(&api, || namespace(input.namespace.as_deref(), target)).await?;
        let object = place.read(&api).await?.ok_or_else(|| place.missing())?;
        let mut fields = input.fields.clone();
        if !input.env.is_empty() {
            let container = pod_template::container(&place, &object, input.container.as_deref())?;
            fields.extend(input.env.iter().map(|name| format!("spec.template.spec.containers[{container}].env[{name}]")));
        }
        let mut findings = Findings::default();
        let mut scaled_by = None;
        if let Some(workload) = input.workload().filter(|_| input.replicas) {
            scaled_by = scaler::of_workload(&api, &workload, &place.namespace).await?;
            // What an autoscaler sets of them is put back too, where the repository names them.
            if scaled_by.is_none() || names_replicas(&object) {
                fields.push(REPLICAS.to_owned());
            }
        }
        let foretold = foretell(&api, target, Thing::of(&object), fields.iter().map(String::as_str)).await?;
        findings.add(&place.shown, &foretold);
        match scaled_by {
            None => {}
            Some(Scaler::Horizontal(one)) => {
                findings.add(&format!("hpa/{}", one.name), &foretell(&api, target, one.thing(), [FLOOR, CEILING]).await?);
            }
            Some(Scaler::ScaledObject(one, _)) => {
                let fields = [scaled_object::FLOOR, scaled_object::CEILING];
                findings.add(&format!("scaledobject/{}", one.name), &foretell(&api, target, one.thing(), fields).await?);
            }
        }
        Ok(findings.outputs(&place.shown))
    }
}

#[cfg(test)]
mod tests;
