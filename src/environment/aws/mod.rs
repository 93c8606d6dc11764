//! How an AWS account is reached: in which region, at which endpoints, with whose credentials; and what its services answer, in types of our own.
//!
//! Must not try anything again, nor show a secret. Invariants: each request is sent once and ends within its time; nothing of the machine's own
//! configuration says where requests go, only the environment does; in a confined environment no request leaves it, and the machine's credentials
//! are never looked for. A build without the feature `aws` has all of this but the requests.
//!
//! | file | what is in it |
//! |---|---|
//! | `replication_group`, `db_instance` | what ElastiCache and RDS say |
//! | `error` | why there is no answer |
//! | `sdk` | the requests, by way of the AWS SDK |
//! | `without` | what stands in their place in a build without it |

mod db_instance;
mod error;
mod replication_group;
#[cfg(feature = "aws")]
mod sdk;
#[cfg(not(feature = "aws"))]
mod without;

#[cfg(feature = "aws")]
pub use db_instance::Replication;
pub use db_instance::{DbInstance, NewReplica};
pub use error::AwsError;
pub use replication_group::{AllowedNodeTypes, Member, NodeGroup, ReplicaCount, ReplicationGroup};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use secrecy::SecretString;

use super::connections::{ConnectionError, Connections};
#[cfg(feature = "aws")]
use sdk::Session;
#[cfg(not(feature = "aws"))]
use without::Session;

/// An account, in one region.
#[derive(Clone, Debug)]
pub struct AwsAccess {
    /// The region.
    pub region: String,
    /// The account's number.
    pub account: String,
    /// Where every call goes in the place of the region's own endpoints.
    pub endpoint: Option<String>,
    /// Whose credentials.
    pub login: AwsLogin,
}

/// Whose credentials an account is reached with.
#[derive(Clone, Debug)]
pub enum AwsLogin {
    /// As the standard chain finds them: environment variables, profiles, SSO, a web identity, the machine's role.
    Chain {
        /// The profile, where it is not the default one.
        profile: Option<String>,
    },
    /// These, and nothing else is looked for.
    Keys {
        /// The id of the access key.
        id: String,
        /// Its secret.
        secret: SecretString,
    },
}

impl AwsAccess {
    /// What people are shown: `account 123456789012 in eu-central-1`, and at which endpoint where that is not AWS's own.
    pub fn place(&self) -> String {
        let at = self.endpoint.as_ref().map(|endpoint| format!(", at {endpoint}")).unwrap_or_default();
        format!("account {} in {}{at}", self.account, self.region)
    }
}

/// The way to an account's services: made once, and shared.
#[derive(Clone)]
pub struct Aws {
    access: AwsAccess,
    session: Arc<Session>,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws").field("access", &self.access).finish_non_exhaustive()
    }
}

impl Aws {
    pub(super) fn new(access: AwsAccess, hosts: &BTreeMap<String, SocketAddr>, confined: bool) -> Self {
        let session = Arc::new(Session::new(access.clone(), hosts.clone(), confined));
        Self { access, session }
    }

    /// Which account, where.
    pub fn access(&self) -> &AwsAccess {
        &self.access
    }

    /// The number of the account that the credentials lead to (`sts:GetCallerIdentity`).
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn caller_account(&self) -> Result<String, AwsError> {
        self.session.caller_account().await
    }

    /// A replication group with its members; `None` where there is none of this name.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn replication_group(&self, id: &str) -> Result<Option<ReplicationGroup>, AwsError> {
        self.session.replication_group(id).await
    }

    /// The node types that a replication group can be changed to.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn allowed_node_types(&self, id: &str) -> Result<AllowedNodeTypes, AwsError> {
        self.session.allowed_node_types(id).await
    }

    /// Asks for another node type: at once, with whatever else is pending, or in the maintenance window.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn modify_node_type(&self, id: &str, node_type: &str, immediately: bool) -> Result<(), AwsError> {
        self.session.modify_node_type(id, node_type, immediately).await
    }

    /// Asks for another number of replicas in each shard, at once.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn replica_count(&self, id: &str, count: &ReplicaCount) -> Result<(), AwsError> {
        self.session.replica_count(id, count).await
    }

    /// A DB instance; `None` where there is none of this name.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn db_instance(&self, id: &str) -> Result<Option<DbInstance>, AwsError> {
        self.session.db_instance(id).await
    }

    /// Asks for a read replica.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn create_read_replica(&self, replica: &NewReplica) -> Result<(), AwsError> {
        self.session.create_read_replica(replica).await
    }

    /// Asks for a read replica's deletion: it has no snapshot of its own to be left behind.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn delete_replica(&self, id: &str) -> Result<(), AwsError> {
        self.session.delete_replica(id).await
    }
}

impl Connections {
    /// With this account.
    #[must_use]
    pub fn with_aws(mut self, access: AwsAccess) -> Self {
        self.aws = Some(access);
        self
    }

    /// The account's number and region, where the environment has one.
    pub fn aws_access(&self) -> Option<&AwsAccess> {
        self.aws.as_ref()
    }

    /// The way to the environment's account: made at the first call, and shared.
    ///
    /// # Errors
    /// [`ConnectionError::NoAws`]
    pub fn aws(&self) -> Result<Aws, ConnectionError> {
        let access = self.aws.as_ref().ok_or(ConnectionError::NoAws)?;
        Ok(self.aws_made.get_or_init(|| Aws::new(access.clone(), &self.hosts, self.confined)).clone())
    }
}
