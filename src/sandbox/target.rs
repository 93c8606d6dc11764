//! The values under `target` that playbooks see when they run against the sandbox.
//!
//! It must not hold tokens or addresses that change. Invariant: the capacity table is the one of the scaling procedure.

use serde_json::{Map, Value, json};

use super::postgres;

/// What an environment file would say of the sandbox.
#[must_use]
pub fn target_values() -> Map<String, Value> {
    let values = json!({
        "kubernetes": { "namespace": "production", "cluster": "sandbox" },
        "ticket_service": { "url": "http://ticket-service.production" },
        "capacity": {
            "low": { "replicas": 2, "rps": 500 },
            "medium": { "replicas": 4, "rps": 1000 },
            "high": { "replicas": 8, "rps": 2000 },
            "critical": { "replicas": 16, "rps": 4000 },
        },
        "postgres": { "host": postgres::HOST, "port": 5432, "user": postgres::USER, "database": postgres::DATABASE },
    });
    match values {
        Value::Object(values) => values,
        _ => Map::new(),
    }
}
