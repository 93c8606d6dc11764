//! The columns of RabbitmqClusters, as their definition names them.
//!
//! It must not change objects. Invariant: as many cells as columns, in their order.

use serde_json::{Value, json};

use super::columns::{Column, age, name, text};
use crate::sandbox::cluster::deployment::former;

pub(super) const CLUSTER: &[Column] = &[text("Name"), text("AllReplicasReady"), text("ReconcileSuccess"), text("Age")];

pub(super) fn cluster(object: &Value, now: u64) -> Vec<Value> {
    let condition = |kind: &str| former(object, kind).map_or(json!(""), |condition| condition["status"].clone());
    vec![name(object), condition("AllReplicasReady"), condition("ReconcileSuccess"), age(object, now)]
}
