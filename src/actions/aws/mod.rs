//! AWS, by way of its own APIs: ElastiCache and RDS.
//!
//! Must not hold credentials. Invariants: nothing is asked of another account or region than the run recorded; what takes its time in AWS has not
//! happened before it is seen to have: a status of `available` alone is never taken for that.
//!
//! | folder | action |
//! |---|---|
//! | `modify_replication_group` | `aws.elasticache.modify_replication_group` |
//! | `replica_count` | `aws.elasticache.replica_count` |
//! | `describe` | `aws.rds.describe` |
//! | `create_read_replica` | `aws.rds.create_read_replica` |
//! | `delete_read_replica` | `aws.rds.delete_read_replica` |

mod account;
mod by_hand;
mod create_read_replica;
mod delete_read_replica;
mod describe;
mod errors;
mod group;
mod group_change;
mod instance;
mod modify_replication_group;
mod replica_count;
mod settling;

use std::sync::Arc;

use super::reading::Reader;
use crate::environment::Connections;
use crate::ports::action::Action;

/// The actions on the account that these connections lead to.
pub fn builtin(connections: &Arc<Connections>) -> Vec<Arc<dyn Action>> {
    vec![
        Arc::new(modify_replication_group::ModifyReplicationGroup::new(Arc::clone(connections))),
        Arc::new(replica_count::SetReplicaCount::new(Arc::clone(connections))),
        Arc::new(Reader::<describe::Describe>::new(connections)),
        Arc::new(create_read_replica::CreateReadReplica::new(Arc::clone(connections))),
        Arc::new(delete_read_replica::DeleteReadReplica::new(Arc::clone(connections))),
    ]
}
