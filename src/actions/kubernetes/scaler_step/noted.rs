//! What an intent keeps of a step that creates or changes a scaler, without its inputs.
//!
//! Must not ask anything. Invariant: it names what was planned for, so that everything later goes by that alone.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::actions::kubernetes::created::Created;
use crate::actions::kubernetes::scaler::{Kind, ScalerName};
use crate::actions::kubernetes::workload::Workload;
use crate::model::change::Change;
use crate::model::intent::Intent;
use crate::model::outcome::Failure;

/// What is kept.
#[derive(Serialize, Deserialize)]
pub(in crate::actions::kubernetes) struct Noted {
    #[serde(serialize_with = "as_text")]
    pub(in crate::actions::kubernetes) workload: Workload,
    pub(in crate::actions::kubernetes) namespace: String,
    /// The scaler's name.
    pub(in crate::actions::kubernetes) name: String,
    /// The workload's pods.
    pub(super) selector: String,
    pub(super) min_before: i64,
    pub(super) max_before: i64,
    /// The count that it goes down to while nothing is to do, whatever its floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) idle_before: Option<i64>,
    pub(super) replicas_before: i64,
    pub(super) outputs: Value,
    /// The scaler that is changed; null where one is created.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) uid: Value,
    /// Containers without a request that a metric needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) without_requests: Vec<String>,
    /// What is told of Argo CD.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) argocd: Value,
    /// What people are told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) says: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) creation: Option<Creation>,
}

/// What is created, and by whom.
#[derive(Serialize, Deserialize)]
pub(in crate::actions::kubernetes) struct Creation {
    /// What is sent.
    pub(in crate::actions::kubernetes) manifest: Value,
    /// What the server makes of it.
    pub(in crate::actions::kubernetes) made: Value,
    /// The step's idempotency key.
    pub(in crate::actions::kubernetes) mark: String,
}

fn as_text<S: serde::Serializer>(workload: &Workload, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(workload)
}

impl Noted {
    pub(super) fn of(kind: Kind, intent: &Intent) -> Result<Self, Failure> {
        Self::deserialize(&intent.note)
            .map_err(|error| Failure::permanent(format!("what this step recorded does not name the {} it is about: {error}", kind.word())))
    }

    /// The scaler.
    pub(super) fn scaler(&self, kind: Kind) -> ScalerName {
        ScalerName { kind, name: self.name.clone() }
    }

    /// What the step creates; `None` where it changes what is there.
    pub(super) fn created(&self, kind: Kind) -> Option<Created> {
        let Creation { manifest, made, mark } = self.creation.as_ref()?;
        let place = self.scaler(kind).place(&self.namespace);
        Some(Created { place, manifest: manifest.clone(), made: made.clone(), mark: mark.clone() })
    }

    /// The fewest pods there may be once this is taken back.
    pub(super) fn least(&self) -> i64 {
        self.idle_before.map_or(self.min_before, |idle| idle.min(self.min_before))
    }

    /// The most pods there may be once this is taken back.
    pub(super) fn most(&self, kind: Kind, intent: &Intent) -> i64 {
        let bounded = |change: &Change| change.field == kind.floor() || change.field.starts_with("metadata.annotations");
        if intent.changes.iter().any(bounded) {
            // What the scaler had wanted by itself, above the floor, was there before.
            self.min_before.max(self.replicas_before)
        } else {
            self.max_before
        }
    }
}
