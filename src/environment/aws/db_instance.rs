//! A DB instance, as RDS tells it.

use std::collections::BTreeMap;

/// A DB instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DbInstance {
    /// Its name.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// `available`, `creating`, `backing-up`, `modifying`, `deleting`, `failed`, `storage-full`, …
    pub status: String,
    /// `db.r6g.large`
    pub class: String,
    /// `postgres`
    pub engine: String,
    /// `15.4`
    pub engine_version: String,
    /// The instance that it replicates; `None`: it is no replica.
    pub source: Option<String>,
    /// The names of its replicas.
    pub replicas: Vec<String>,
    /// For how many days automatic backups are kept; 0: there are none.
    pub backup_retention_days: i32,
    /// Where it listens: host and port; `None` until it does.
    pub endpoint: Option<(String, i32)>,
    /// In GiB.
    pub storage: i32,
    /// Whether it has a standby in another zone.
    pub multi_az: bool,
    /// Its availability zone.
    pub zone: Option<String>,
    /// How its replication stands, where RDS tells.
    pub replication: Option<Replication>,
    /// The cluster that it belongs to (Aurora).
    pub cluster: Option<String>,
    /// Whether it is protected from deletion.
    pub protected: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// How a replica's replication stands (`StatusInfos`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replication {
    /// `replicating`, `error`, `stopped`, `terminated`.
    pub status: String,
    /// Whether it is as it should be.
    pub normal: bool,
    /// What is wrong, where something is.
    pub message: String,
}

/// A read replica that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReplica {
    /// Its name.
    pub id: String,
    /// The instance that it is to replicate.
    pub source: String,
    /// Its class; `None`: the source's.
    pub class: Option<String>,
    /// Its availability zone; `None`: RDS chooses.
    pub zone: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}
