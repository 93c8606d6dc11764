//! What a step that creates or changes a scaler touches, and what it has to be allowed.
//!
//! Must not ask anything. Invariant: the workload is locked together with what scales it.

use serde_json::Value;

use crate::actions::kubernetes::argocd;
use crate::actions::kubernetes::permissions::{Asking, On, text};
use crate::actions::kubernetes::scaler::{Kind, ScalerName};
use crate::actions::kubernetes::workload::Workload;
use crate::actions::kubernetes::{namespace, object_ref};
use crate::model::change::ObjectRef;
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;

/// The scaler and its workload.
pub(in crate::actions::kubernetes) fn touches(kind: Kind, inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let text = |key: &str| inputs.get(key).and_then(Value::as_str);
    let objects = || {
        let (name, workload): (_, Workload) = (text("name")?, text("workload")?.parse().ok()?);
        let namespace = namespace(text("namespace"), target).ok()?;
        let scaler = ScalerName { kind, name: name.to_owned() };
        Some([scaler.object_ref(target?, &namespace)?, object_ref(target?, &namespace, &workload)?])
    };
    objects().map(Vec::from).unwrap_or_default()
}

/// What it needs.
pub(in crate::actions::kubernetes) fn permissions(kind: Kind, inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    let workload = asking.workload(inputs);
    if let Some(workload) = &workload {
        asking.reads("get", workload);
    }
    let (any, absent, present, made) = match kind {
        Kind::Horizontal => (
            On::autoscalers(),
            "there is no autoscaler of this name yet",
            "there is an autoscaler of this name",
            "the step created the autoscaler",
        ),
        Kind::ScaledObject => (
            On::scaled_objects(),
            "there is no ScaledObject of this name yet",
            "there is a ScaledObject of this name",
            "the step created the ScaledObject",
        ),
    };
    let own = text(inputs, "name").map_or_else(|| any.clone(), |name| any.clone().named(name));
    asking.reads("list", &any);
    match kind {
        Kind::Horizontal => asking.add(Purpose::Reads, Extent::Where("KEDA is there"), "list", &On::scaled_objects()),
        Kind::ScaledObject => asking.reads("list", &On::autoscalers()),
    }
    asking.reads("get", &own);
    asking.add(Purpose::Changes, Extent::Where(absent), "create", &any);
    asking.add(Purpose::Changes, Extent::Where(present), "patch", &own);
    asking.add(Purpose::Reverts, Extent::Where(made), "delete", &own);
    if kind == Kind::ScaledObject {
        asking.add(Purpose::Reverts, Extent::Where("the step changed the ScaledObject"), "get", &On::autoscalers());
    }
    if let Some(scale) = workload.map(|workload| workload.part("scale")) {
        let left = Extent::Where("the step created what has changed the replicas");
        asking.add(Purpose::Reverts, left, "patch", &scale);
    }
    asking.reverts("list", &On::pods());
    let mut needs = asking.needs();
    argocd::reads(&mut needs, target);
    needs
}
