//! Who says how many pods a workload has, where it is not the workload itself: a HorizontalPodAutoscaler, or a ScaledObject of KEDA.
//!
//! Must not change anything. Invariant: the HPA that KEDA made is never the one; of several that fight each other none is picked, and they are
//! named.

use std::fmt;

use serde_json::Value;

use super::api::Api;
use super::horizontal::{self, Horizontal};
use super::scaled_object::{self, ScaledObject};
use super::swap_fields::Place;
use super::workload::Workload;
use crate::model::change::ObjectRef;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;

/// What kind of scaler it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A HorizontalPodAutoscaler.
    Horizontal,
    /// A ScaledObject of KEDA.
    ScaledObject,
}

impl Kind {
    /// What people call one.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Horizontal => "autoscaler",
            Self::ScaledObject => SCALED_OBJECT,
        }
    }

    /// The field of its floor.
    pub(super) fn floor(self) -> &'static str {
        match self {
            Self::Horizontal => horizontal::FLOOR,
            Self::ScaledObject => scaled_object::FLOOR,
        }
    }

    /// The field of its maximum.
    pub(super) fn ceiling(self) -> &'static str {
        match self {
            Self::Horizontal => horizontal::CEILING,
            Self::ScaledObject => scaled_object::CEILING,
        }
    }
}

/// A scaler by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScalerName {
    pub(super) kind: Kind,
    pub(super) name: String,
}

impl fmt::Display for ScalerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} {}", self.kind.word(), self.name)
    }
}

impl ScalerName {
    /// As an observation or a note names it: a `ScaledObject` says so, anything else is an HPA.
    pub(super) fn of(kind: Option<&str>, name: &str) -> Self {
        let kind = if kind == Some(SCALED_OBJECT) { Kind::ScaledObject } else { Kind::Horizontal };
        Self { kind, name: name.to_owned() }
    }

    /// Its kind in a note; `None` for an HPA.
    pub(super) fn noted(&self) -> Option<&'static str> {
        (self.kind == Kind::ScaledObject).then_some(SCALED_OBJECT)
    }

    /// Where it is.
    pub(super) fn place(&self, namespace: &str) -> Place {
        match self.kind {
            Kind::Horizontal => horizontal::place(namespace, &self.name),
            Kind::ScaledObject => scaled_object::place(namespace, &self.name),
        }
    }

    /// What it is called in the ledger and in locks.
    pub(super) fn object_ref(&self, target: &TargetSpec, namespace: &str) -> Option<ObjectRef> {
        match self.kind {
            Kind::Horizontal => horizontal::object_ref(target, namespace, &self.name),
            Kind::ScaledObject => scaled_object::object_ref(target, namespace, &self.name),
        }
    }

    /// As `kubectl` takes it: `hpa x`, `scaledobject x`.
    pub(super) fn kubectl(&self) -> String {
        match self.kind {
            Kind::Horizontal => format!("hpa {}", self.name),
            Kind::ScaledObject => format!("scaledobject {}", self.name),
        }
    }
}

const SCALED_OBJECT: &str = "ScaledObject";

/// A scaler as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scaler {
    /// A HorizontalPodAutoscaler of its own.
    Horizontal(Horizontal),
    /// A ScaledObject, with the HPA that KEDA made for it, where it is there.
    ScaledObject(ScaledObject, Option<Horizontal>),
}

impl Scaler {
    /// Its name.
    pub(super) fn name(&self) -> ScalerName {
        match self {
            Self::Horizontal(one) => ScalerName { kind: Kind::Horizontal, name: one.name.clone() },
            Self::ScaledObject(one, _) => ScalerName { kind: Kind::ScaledObject, name: one.name.clone() },
        }
    }

    /// What observers see of it.
    pub(super) fn shown(&self) -> Value {
        match self {
            Self::Horizontal(one) => one.shown(),
            Self::ScaledObject(one, hpa) => one.shown(hpa.as_ref()),
        }
    }
}

/// The scaler of a workload.
///
/// # Errors
/// A read that failed; several that fight each other, which are named.
pub(super) async fn of_workload(api: &Api, workload: &Workload, namespace: &str) -> Result<Option<Scaler>, Failure> {
    let hpas: Vec<Horizontal> = horizontal::list(api, namespace).await?.into_iter().filter(|one| one.scales(workload)).collect();
    let scaled: Vec<ScaledObject> = scaled_object::list(api, namespace).await?.into_iter().filter(|one| one.scales(workload)).collect();
    let place = format!("{workload} in namespace {namespace}");
    match <[ScaledObject; 1]>::try_from(scaled) {
        Ok([one]) => {
            let (own, others): (Vec<Horizontal>, Vec<Horizontal>) = hpas.into_iter().partition(|hpa| one.owns(hpa));
            if let Some(other) = others.first() {
                return Err(beside(&place, &one.name, &other.name));
            }
            Ok(Some(Scaler::ScaledObject(one, own.into_iter().next())))
        }
        Err(none) if none.is_empty() => Ok(horizontal::only(hpas, &place)?.map(Scaler::Horizontal)),
        Err(several) => {
            let names: Vec<&str> = several.iter().map(|one| one.name.as_str()).collect();
            let message = format!("{} ScaledObjects scale {place}, against each other: {}", several.len(), names.join(", "));
            Err(Failure::permanent(message).hint("leave one of them: `kubectl delete scaledobject NAME`"))
        }
    }
}

/// An HPA that KEDA did not make scales what a ScaledObject scales.
pub(super) fn beside(place: &str, scaled_object: &str, hpa: &str) -> Failure {
    let message = format!(
        "two scale {place}, against each other: KEDA's ScaledObject {scaled_object} and the HPA {hpa}, which is not KEDA's: each sets back what the other wants"
    );
    Failure::permanent(message).hint(format!(
        "leave one of them: `kubectl delete hpa {hpa}`, or have KEDA take it over (annotation `scaledobject.keda.sh/transfer-hpa-ownership: \"true\"`, and its name under `advanced.horizontalPodAutoscalerConfig`)"
    ))
}

/// Why the HPA of a ScaledObject is not changed: no workload has two scalers.
pub(super) fn of_keda(hpa: &str, workload: &Workload, scaled_object: &str) -> Failure {
    Failure::permanent(format!(
        "KEDA's ScaledObject {scaled_object} scales {workload}: it makes its own autoscaler, and {hpa} beside it would fight that"
    ))
    .hint(format!("change scaledobject/{scaled_object} instead (`k8s.keda`)"))
}
