//! The values under `target` that playbooks see when they run against the sandbox.
//!
//! It must not hold tokens or addresses that change. Invariant: the capacity table is the one of the scaling procedure.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::error::SandboxError;
use super::identity::Ready;
use super::pooler::{self, Pooler};
use super::{aws, cluster, persist, postgres, prometheus, rabbitmq, redis};

/// What an environment file would say of the sandbox in `dir`: with its PgBouncer, where it has one.
///
/// # Errors
/// [`SandboxError::Damaged`], [`SandboxError::Io`], where what it says of itself cannot be read.
pub fn target_values_in(dir: &Path) -> Result<Map<String, Value>, SandboxError> {
    let ready: Option<Ready> = persist::load(dir, persist::READY)?;
    Ok(target_values_with(ready.map(|ready| ready.pooler).unwrap_or_default()))
}

/// What an environment file would say of a sandbox with this pooler.
#[must_use]
pub fn target_values_with(pooler: Pooler) -> Map<String, Value> {
    let mut values = target_values();
    if pooler != Pooler::None {
        let instances = pooler::HOSTS.map(|host| format!("{host}:{}", pooler::PORT));
        values.insert("pgbouncer".to_owned(), json!({ "instances": instances, "user": postgres::USER, "database": pooler::CONSOLE }));
    }
    values
}

/// What an environment file would say of the sandbox without a pooler.
#[must_use]
pub fn target_values() -> Map<String, Value> {
    let values = json!({
        "kubernetes": { "namespace": "production", "cluster": "sandbox" },
        "argocd": { "namespace": cluster::argocd::NAMESPACE },
        "aws": { "region": aws::REGION, "account": aws::ACCOUNT },
        "ticket_service": { "url": "http://ticket-service.production" },
        "load_test": { "allowed": true },
        "capacity": {
            "low": { "replicas": 2, "rps": 500 },
            "medium": { "replicas": 4, "rps": 1000 },
            "high": { "replicas": 8, "rps": 2000 },
            "critical": { "replicas": 16, "rps": 4000 },
        },
        "postgres": { "host": postgres::HOST, "port": 5432, "user": postgres::USER, "database": postgres::DATABASE },
        "prometheus": { "url": format!("http://{}:{}", prometheus::HOST, prometheus::PORT) },
        "rabbitmq": { "url": format!("http://{}:{}", rabbitmq::HOST, rabbitmq::PORT) },
        "redis": { "host": redis::HOST, "port": redis::PORT },
    });
    match values {
        Value::Object(values) => values,
        _ => Map::new(),
    }
}
