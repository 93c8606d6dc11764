//! What there is to know about `k8s.scale`: its page, its outputs, what it touches and what it has to be allowed.
//!
//! Must not ask anything. Invariant: whatever form a scaling takes, its rights are named.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::input::{Input, NAME};
use super::rabbitmq_cluster;
use crate::actions::kubernetes::argocd;
use crate::actions::kubernetes::permissions::{Asking, On};
use crate::actions::kubernetes::workload::Workload;
use crate::actions::kubernetes::{namespace, object_ref};
use crate::actions::support::{output, schema};
use crate::model::by_hand::ByHand;
use crate::model::catalogue::ActionEntry;
use crate::model::change::ObjectRef;
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::model::step::Effect;

/// The entry.
pub(super) static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Set the number of replicas of a Deployment, StatefulSet, ReplicaSet or RabbitmqCluster".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("replicas", "integer", "the replicas that are wanted now (`spec.replicas`, or the floor)"),
            output("ready_replicas", "integer", "the replicas that were ready right after the change; null where that could not be read"),
            output("previous_replicas", "integer", "the replicas that were wanted before; where an autoscaler owns them, its floor before"),
            output("floor", "boolean", "whether an autoscaler owns the replicas, so that its floor was set instead"),
            output("autoscaler", "string", "that autoscaler's name, of KEDA its ScaledObject's; null where there is none"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches,
        by_hand: lines,
        permissions,
    })
});

fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    if rabbitmq_cluster::wants(inputs) { rabbitmq_cluster::by_hand(inputs, target) } else { super::by_hand::lines(inputs, target) }
}

pub(super) fn touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    if rabbitmq_cluster::wants(inputs) {
        return rabbitmq_cluster::touches(inputs, target);
    }
    let object = || {
        let workload: Workload = inputs.get("workload")?.as_str()?.parse().ok()?;
        let namespace = namespace(inputs.get("namespace").and_then(Value::as_str), target).ok()?;
        object_ref(target?, &namespace, &workload)
    };
    object().into_iter().collect()
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    const OWNED: Extent = Extent::Where("an autoscaler owns the replicas");
    const BY_KEDA: Extent = Extent::Where("a ScaledObject of KEDA owns the replicas");
    if rabbitmq_cluster::wants(inputs) {
        let mut needs = rabbitmq_cluster::permissions(inputs, target);
        argocd::reads(&mut needs, target);
        return needs;
    }
    let mut asking = Asking::of(inputs, target);
    if let Some(workload) = asking.workload(inputs) {
        let scale = workload.part("scale");
        let from_zero = Extent::Where("there are 0 replicas, and no autoscaler owns them");
        asking.reads("get", &workload);
        asking.add(Purpose::Reads, Extent::Where("there are 0 replicas, or somebody else changes them meanwhile"), "get", &scale);
        asking.add(Purpose::Changes, Extent::Where("no autoscaler owns the replicas"), "patch", &scale);
        asking.add(Purpose::Changes, from_zero, "update", &scale);
    }
    asking.reads("list", &On::pods());
    asking.reads("list", &On::autoscalers());
    asking.add(Purpose::Reads, OWNED, "get", &On::autoscalers());
    asking.add(Purpose::Changes, OWNED, "patch", &On::autoscalers());
    asking.add(Purpose::Reads, Extent::Where("KEDA is there"), "list", &On::scaled_objects());
    asking.add(Purpose::Reads, BY_KEDA, "get", &On::scaled_objects());
    asking.add(Purpose::Changes, BY_KEDA, "patch", &On::scaled_objects());
    let mut needs = asking.needs();
    argocd::reads(&mut needs, target);
    needs
}
