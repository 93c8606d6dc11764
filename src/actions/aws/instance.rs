//! How a DB instance stands: what it is, whether it serves, and what keeps it from that.
//!
//! Must not change anything. Invariant: `available` alone is not ready: it has to have an endpoint and, as a replica, to replicate.

use serde_json::{Value, json};

use super::errors::failure;
use crate::environment::{Aws, DbInstance};
use crate::model::outcome::Failure;
use crate::ports::action::Log;

/// The tag by which a replica that this tool made is known; its value is the step's own key.
pub(super) const MARK: &str = "runsheet:created-by";
/// The tag that tells people which run made it.
pub(super) const RUN: &str = "runsheet:run";
/// States that nothing comes of by itself.
const BROKEN: &[&str] = &[
    "failed",
    "storage-full",
    "inaccessible-encryption-credentials",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-parameters",
    "incompatible-restore",
    "insufficient-capacity",
    "restore-error",
    "stopped",
];

/// An instance as it was read.
pub(super) struct Instance(pub(super) DbInstance);

impl Instance {
    /// Reads it; `None` where there is none.
    ///
    /// # Errors
    /// A read that failed.
    pub(super) async fn read(aws: &Aws, id: &str, log: &dyn Log) -> Result<Option<Self>, Failure> {
        let read = aws.db_instance(id).await;
        Ok(read.map_err(|error| failure(aws, &format!("look at the DB instance {id}"), &error, log))?.map(Self))
    }

    /// Whether it serves, as a replica too.
    pub(super) fn is_ready(&self) -> bool {
        self.holds().is_none()
    }

    /// Whether nothing comes of it by itself.
    pub(super) fn is_broken(&self) -> bool {
        let replicates = self.0.replication.as_ref().is_none_or(|replication| replication.normal);
        BROKEN.contains(&self.0.status.as_str()) || (self.0.status == "available" && !replicates)
    }

    /// What keeps it from serving, in words.
    pub(super) fn holds(&self) -> Option<String> {
        let DbInstance { id, status, endpoint, replication, source, .. } = &self.0;
        if status != "available" {
            return Some(format!("{id} is `{status}`"));
        }
        if endpoint.is_none() {
            return Some(format!("{id} is `available` and has no endpoint yet"));
        }
        match replication.as_ref().filter(|_| source.is_some()) {
            Some(replication) if !replication.normal || replication.status != "replicating" => {
                let why = if replication.message.is_empty() { String::new() } else { format!(": {}", replication.message) };
                Some(format!("{id} is `available` and its replication is `{}`{why}", replication.status))
            }
            _ => None,
        }
    }

    /// Whose doing it is, where this tool made it: the key of the step.
    pub(super) fn mark(&self) -> Option<&str> {
        self.0.tags.get(MARK).map(String::as_str)
    }

    /// The endpoint: host and port.
    pub(super) fn endpoint(&self) -> Value {
        self.0.endpoint.as_ref().map_or(Value::Null, |(host, port)| json!({ "host": host, "port": port }))
    }

    /// What a step observes.
    pub(super) fn observed(&self) -> Value {
        let instance = &self.0;
        let replication = instance.replication.as_ref();
        json!({
            "db_instance": instance.id,
            "arn": instance.arn,
            "status": instance.status,
            "class": instance.class,
            "engine": instance.engine,
            "engine_version": instance.engine_version,
            "source": instance.source,
            "replicas": instance.replicas,
            "backup_retention_days": instance.backup_retention_days,
            "endpoint": self.endpoint(),
            "storage_gib": instance.storage,
            "multi_az": instance.multi_az,
            "availability_zone": instance.zone,
            "replication": replication.map(|replication| replication.status.clone()),
            "cluster": instance.cluster,
            "deletion_protection": instance.protected,
            "made_by_runsheet": self.mark().is_some(),
            "ready": self.is_ready(),
            "holds": self.holds(),
        })
    }
}

/// That there is no such instance.
pub(super) fn missing(aws: &Aws, id: &str) -> Failure {
    Failure::permanent(format!("there is no DB instance {id} in {}", aws.access().place()))
        .hint("check the name and the environment: `aws rds describe-db-instances` lists them")
}
