//! A build without the feature `aws`: every request says that there is none.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{AllowedNodeTypes, AwsAccess, AwsError, DbInstance, NewReplica, ReplicaCount, ReplicationGroup};

/// What stands in the place of the SDK.
pub(super) struct Session;

impl Session {
    pub(super) fn new(_: AwsAccess, _: BTreeMap<String, SocketAddr>, _: bool) -> Self {
        Self
    }

    pub(super) async fn caller_account(&self) -> Result<String, AwsError> {
        Err(AwsError::NotBuilt)
    }

    pub(super) async fn replication_group(&self, _: &str) -> Result<Option<ReplicationGroup>, AwsError> {
        Err(AwsError::NotBuilt)
    }

    pub(super) async fn allowed_node_types(&self, _: &str) -> Result<AllowedNodeTypes, AwsError> {
        Err(AwsError::NotBuilt)
    }

    pub(super) async fn modify_node_type(&self, _: &str, _: &str, _: bool) -> Result<(), AwsError> {
        Err(AwsError::NotBuilt)
    }

    pub(super) async fn replica_count(&self, _: &str, _: &ReplicaCount) -> Result<(), AwsError> {
        Err(AwsError::NotBuilt)
    }

    pub(super) async fn db_instance(&self, _: &str) -> Result<Option<DbInstance>, AwsError> {
        Err(AwsError::NotBuilt)
    }

    pub(super) async fn create_read_replica(&self, _: &NewReplica) -> Result<(), AwsError> {
        Err(AwsError::NotBuilt)
    }

    pub(super) async fn delete_replica(&self, _: &str) -> Result<(), AwsError> {
        Err(AwsError::NotBuilt)
    }
}
