//! Requests to ElastiCache.

use aws_sdk_elasticache::Client;
use aws_sdk_elasticache::types;

use super::super::{AllowedNodeTypes, AwsError, Member, NodeGroup, ReplicaCount, ReplicationGroup};
use super::Session;

/// The most members that are read page by page.
const MOST_PAGES: usize = 50;

impl Session {
    async fn elasticache(&self) -> Result<Client, AwsError> {
        Ok(Client::new(&self.config_of("elasticache").await?))
    }

    pub(in super::super) async fn replication_group(&self, id: &str) -> Result<Option<ReplicationGroup>, AwsError> {
        let client = self.elasticache().await?;
        let asked = client.describe_replication_groups().replication_group_id(id).send();
        let groups = match self.send("elasticache:DescribeReplicationGroups", asked).await {
            Ok(answer) => answer.replication_groups.unwrap_or_default(),
            Err(error) if error.code() == "ReplicationGroupNotFoundFault" => return Ok(None),
            Err(error) => return Err(error),
        };
        // Of what is not there ElastiCache says so: an answer without it is none.
        let Some(group) = groups.into_iter().find(|group| group.replication_group_id.as_deref() == Some(id)) else {
            let what = format!("it neither describes {id} nor says that there is none");
            return Err(AwsError::Garbled { operation: "elasticache:DescribeReplicationGroups", status: 200, what });
        };
        let mut group = group_of(group);
        group.members = self.members(&client, id).await?;
        Ok(Some(group))
    }

    async fn members(&self, client: &Client, group: &str) -> Result<Vec<Member>, AwsError> {
        let mut members = Vec::new();
        let mut marker: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let asked = client.describe_cache_clusters().max_records(100).set_marker(marker).send();
            let answer = self.send("elasticache:DescribeCacheClusters", asked).await?;
            let own = |cluster: &types::CacheCluster| cluster.replication_group_id.as_deref() == Some(group);
            members.extend(answer.cache_clusters.unwrap_or_default().into_iter().filter(own).map(member_of));
            marker = answer.marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                break;
            }
        }
        Ok(members)
    }

    pub(in super::super) async fn allowed_node_types(&self, id: &str) -> Result<AllowedNodeTypes, AwsError> {
        let client = self.elasticache().await?;
        let asked = client.list_allowed_node_type_modifications().replication_group_id(id).send();
        let answer = self.send("elasticache:ListAllowedNodeTypeModifications", asked).await?;
        let (up, down) = (answer.scale_up_modifications.unwrap_or_default(), answer.scale_down_modifications.unwrap_or_default());
        Ok(AllowedNodeTypes { up, down })
    }

    pub(in super::super) async fn modify_node_type(&self, id: &str, node_type: &str, immediately: bool) -> Result<(), AwsError> {
        let client = self.elasticache().await?;
        let asked = client.modify_replication_group().replication_group_id(id).cache_node_type(node_type).apply_immediately(immediately);
        self.send("elasticache:ModifyReplicationGroup", asked.send()).await.map(drop)
    }

    pub(in super::super) async fn replica_count(&self, id: &str, count: &ReplicaCount) -> Result<(), AwsError> {
        let client = self.elasticache().await?;
        if count.increase {
            let asked = client.increase_replica_count().replication_group_id(id).new_replica_count(count.replicas).apply_immediately(true);
            return self.send("elasticache:IncreaseReplicaCount", asked.send()).await.map(drop);
        }
        let remove = (!count.remove.is_empty()).then(|| count.remove.clone());
        let asked = client
            .decrease_replica_count()
            .replication_group_id(id)
            .new_replica_count(count.replicas)
            .set_replicas_to_remove(remove)
            .apply_immediately(true);
        self.send("elasticache:DecreaseReplicaCount", asked.send()).await.map(drop)
    }
}

fn group_of(group: types::ReplicationGroup) -> ReplicationGroup {
    let mut pending = Vec::new();
    if let Some(values) = &group.pending_modified_values {
        let is_there = [
            (values.primary_cluster_id.is_some(), "PrimaryClusterId"),
            (values.automatic_failover_status.is_some(), "AutomaticFailoverStatus"),
            (values.resharding.is_some(), "Resharding"),
            (values.auth_token_status.is_some(), "AuthTokenStatus"),
            (values.user_groups.is_some(), "UserGroups"),
            (values.log_delivery_configurations.as_ref().is_some_and(|logs| !logs.is_empty()), "LogDeliveryConfigurations"),
            (values.transit_encryption_enabled.is_some(), "TransitEncryptionEnabled"),
            (values.transit_encryption_mode.is_some(), "TransitEncryptionMode"),
            (values.cluster_mode.is_some(), "ClusterMode"),
        ];
        pending.extend(is_there.into_iter().filter_map(|(there, name)| there.then_some(name)));
    }
    ReplicationGroup {
        id: group.replication_group_id.unwrap_or_default(),
        arn: group.arn.unwrap_or_default(),
        status: group.status.unwrap_or_default(),
        node_type: group.cache_node_type.unwrap_or_default(),
        cluster_mode: group.cluster_enabled.unwrap_or_default(),
        automatic_failover: group.automatic_failover.map(|failover| failover.as_str().to_owned()).unwrap_or_default(),
        multi_az: group.multi_az.map(|multi| multi.as_str().to_owned()).unwrap_or_default(),
        node_groups: group.node_groups.unwrap_or_default().into_iter().map(node_group_of).collect(),
        members: Vec::new(),
        pending,
    }
}

fn node_group_of(group: types::NodeGroup) -> NodeGroup {
    let members = group.node_group_members.unwrap_or_default().into_iter();
    let role = |member: types::NodeGroupMember| {
        let primary = member.current_role.as_deref().map(|role| role == "primary");
        (member.cache_cluster_id.unwrap_or_default(), primary)
    };
    NodeGroup { id: group.node_group_id.unwrap_or_default(), members: members.map(role).collect() }
}

fn member_of(cluster: types::CacheCluster) -> Member {
    let mut pending = Vec::new();
    let mut pending_node_type = None;
    if let Some(values) = cluster.pending_modified_values {
        let is_there = [
            (values.num_cache_nodes.is_some(), "NumCacheNodes"),
            (values.cache_node_ids_to_remove.as_ref().is_some_and(|nodes| !nodes.is_empty()), "CacheNodeIdsToRemove"),
            (values.engine_version.is_some(), "EngineVersion"),
            (values.auth_token_status.is_some(), "AuthTokenStatus"),
            (values.log_delivery_configurations.as_ref().is_some_and(|logs| !logs.is_empty()), "LogDeliveryConfigurations"),
            (values.transit_encryption_enabled.is_some(), "TransitEncryptionEnabled"),
            (values.transit_encryption_mode.is_some(), "TransitEncryptionMode"),
        ];
        pending.extend(is_there.into_iter().filter_map(|(there, name)| there.then_some(name)));
        pending_node_type = values.cache_node_type.filter(|node_type| !node_type.is_empty());
    }
    Member {
        id: cluster.cache_cluster_id.unwrap_or_default(),
        status: cluster.cache_cluster_status.unwrap_or_default(),
        node_type: cluster.cache_node_type.unwrap_or_default(),
        pending_node_type,
        pending,
        window: cluster.preferred_maintenance_window,
    }
}
