//! ElastiCache's requests.

use serde_json::json;

use super::groups::{Group, Groups, NODE_TYPES};
use super::query::{Query, Refused};
use super::xml::Xml;
use super::{ACCOUNT, REGION};
use crate::sandbox::call::Caller;
use crate::sandbox::cluster::controller::Moment;
use crate::sandbox::world::World;

/// The most replicas of a shard.
const MOST_REPLICAS: u32 = 5;

fn not_found(id: &str) -> Refused {
    Refused::new(404, "ReplicationGroupNotFoundFault", format!("ReplicationGroup {id} not found."))
}

fn member(id: &str, number: u32) -> String {
    format!("{id}-{number:03}")
}

fn number_of(id: &str, member: &str) -> Option<u32> {
    member.strip_prefix(id)?.strip_prefix('-')?.parse().ok()
}

/// `DescribeReplicationGroups`.
pub(super) fn describe(groups: &Groups, query: &Query) -> Result<Xml, Refused> {
    let found: Vec<Xml> = match query.get("ReplicationGroupId") {
        Some(id) => vec![shown(id, groups.0.get(id).ok_or_else(|| not_found(id))?)],
        None => groups.0.iter().map(|(id, group)| shown(id, group)).collect(),
    };
    Ok(Xml::new().list("ReplicationGroups", "ReplicationGroup", found))
}

fn shown(id: &str, group: &Group) -> Xml {
    let names: Vec<String> = group.members.iter().map(|number| member(id, *number)).collect();
    let node = |(at, name): (usize, &String)| {
        let role = if at == 0 { "primary" } else { "replica" };
        Xml::new().text("CacheClusterId", name).text("CacheNodeId", "0001").text("CurrentRole", role)
    };
    let shard = Xml::new().text("NodeGroupId", "0001").text("Status", group.status()).list(
        "NodeGroupMembers",
        "NodeGroupMember",
        names.iter().enumerate().map(node),
    );
    Xml::new()
        .text("ReplicationGroupId", id)
        .text("Description", "the cache of ticket-service")
        .text("Status", group.status())
        .within("PendingModifiedValues", &Xml::new())
        .list("MemberClusters", "ClusterId", names.iter().map(|name| Xml::plain(name)))
        .list("NodeGroups", "NodeGroup", [shard])
        .text("AutomaticFailover", "enabled")
        .text("MultiAZ", "enabled")
        .text("ClusterEnabled", "false")
        .text("CacheNodeType", &group.node_type)
        .text("ARN", format!("arn:aws:elasticache:{REGION}:{ACCOUNT}:replicationgroup:{id}"))
        .text("Engine", "redis")
}

/// `DescribeCacheClusters`.
pub(super) fn members(groups: &Groups, query: &Query) -> Result<Xml, Refused> {
    let wanted = query.get("CacheClusterId");
    let mut found = Vec::new();
    for (id, group) in &groups.0 {
        for number in &group.members {
            let name = member(id, *number);
            if wanted.is_some_and(|wanted| wanted != name) {
                continue;
            }
            let waits = group.work.as_ref().and_then(|work| work.node_type.as_ref());
            found.push(
                Xml::new()
                    .text("CacheClusterId", &name)
                    .text("CacheClusterStatus", group.status())
                    .text("CacheNodeType", &group.node_type)
                    .text("NumCacheNodes", 1)
                    .text("Engine", "redis")
                    .text("EngineVersion", "7.0.7")
                    .text("PreferredMaintenanceWindow", &group.window)
                    .within("PendingModifiedValues", &Xml::new().maybe("CacheNodeType", waits))
                    .text("ReplicationGroupId", id),
            );
        }
    }
    match wanted {
        Some(wanted) if found.is_empty() => Err(Refused::new(404, "CacheClusterNotFound", format!("CacheCluster {wanted} not found."))),
        _ => Ok(Xml::new().list("CacheClusters", "CacheCluster", found)),
    }
}

/// `ListAllowedNodeTypeModifications`.
pub(super) fn allowed(groups: &Groups, query: &Query) -> Result<Xml, Refused> {
    let id = query.needed("ReplicationGroupId")?;
    let group = groups.0.get(id).ok_or_else(|| not_found(id))?;
    let at = NODE_TYPES.iter().position(|node_type| *node_type == group.node_type).unwrap_or(NODE_TYPES.len());
    let list = |types: &[&str]| types.iter().map(|node_type| Xml::plain(node_type)).collect::<Vec<_>>();
    let (down, up) = (list(&NODE_TYPES[..at]), list(NODE_TYPES.get(at + 1..).unwrap_or_default()));
    Ok(Xml::new().list("ScaleUpModifications", "member", up).list("ScaleDownModifications", "member", down))
}

/// The requests that change a group.
pub(super) fn change(world: &mut World, caller: &Caller, query: &Query, moment: Moment) -> Result<Xml, Refused> {
    let id = query.needed("ReplicationGroupId")?.to_owned();
    let group = world.aws.groups.0.get_mut(&id).ok_or_else(|| not_found(&id))?;
    if group.is_busy() {
        let message = format!("Replication group {id} must be in available state to modify.");
        return Err(Refused::new(400, "InvalidReplicationGroupState", message));
    }
    let (field, from, to) = match query.action.as_str() {
        "ModifyReplicationGroup" => {
            let node_type = query.needed("CacheNodeType")?;
            if !NODE_TYPES.contains(&node_type) {
                return Err(Refused::invalid(format!("Invalid Cache Node Type: {node_type}.")));
            }
            let from = group.work.as_ref().and_then(|work| work.node_type.clone()).unwrap_or_else(|| group.node_type.clone());
            group.resize(node_type, query.is_true("ApplyImmediately"), moment);
            ("CacheNodeType", json!(from), json!(node_type))
        }
        action => {
            let wanted = query.number("NewReplicaCount")?;
            let now = u32::try_from(group.members.len()).unwrap_or(0).saturating_sub(1);
            if !query.is_true("ApplyImmediately") {
                return Err(Refused::invalid("ApplyImmediately=false is not supported for this operation"));
            }
            let more = action == "IncreaseReplicaCount";
            if wanted == now {
                return Err(Refused::new(400, "NoOperationFault", "The operation was not performed because no changes were required"));
            }
            if (wanted > now) != more || wanted > MOST_REPLICAS || (!more && wanted == 0) {
                return Err(Refused::invalid(format!("NewReplicaCount cannot be {wanted}: there are {now}")));
            }
            let count = usize::try_from(wanted).unwrap_or(0);
            if more {
                group.grow(count, moment);
            } else {
                let named = query.list("ReplicasToRemove");
                let remove: Vec<u32> = named.iter().filter_map(|name| number_of(&id, name)).collect();
                let unknown = remove.len() != named.len() || remove.iter().any(|number| !group.members.contains(number));
                if unknown || group.members.first().is_some_and(|primary| remove.contains(primary)) {
                    return Err(Refused::invalid(format!("ReplicasToRemove are not replicas of {id}: {}", named.join(", "))));
                }
                group.shrink(count, &remove, moment);
            }
            ("ReplicaCount", json!(now), json!(wanted))
        }
    };
    let answer = Xml::new().within("ReplicationGroup", &shown(&id, group));
    world.effects.record(caller, &format!("aws/elasticache/{id}"), field, from, to);
    Ok(answer)
}
