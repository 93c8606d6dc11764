//! RDS's requests.

use serde_json::{Value, json};

use super::db::{Databases, Instance};
use super::query::{Query, Refused};
use super::xml::Xml;
use super::{ACCOUNT, REGION};
use crate::sandbox::call::Caller;
use crate::sandbox::cluster::controller::Moment;
use crate::sandbox::world::World;

/// The most replicas of an instance.
const MOST_REPLICAS: usize = 15;

fn not_found(id: &str) -> Refused {
    Refused::new(404, "DBInstanceNotFound", format!("DBInstance {id} not found."))
}

/// `DescribeDBInstances`.
pub(super) fn describe(databases: &Databases, query: &Query) -> Result<Xml, Refused> {
    let found: Vec<Xml> = match query.get("DBInstanceIdentifier") {
        Some(id) => vec![shown(databases, id, databases.0.get(id).ok_or_else(|| not_found(id))?)],
        None => databases.0.iter().map(|(id, instance)| shown(databases, id, instance)).collect(),
    };
    Ok(Xml::new().list("DBInstances", "DBInstance", found))
}

fn replicas_of<'d>(databases: &'d Databases, id: &'d str) -> impl Iterator<Item = &'d String> {
    databases.0.iter().filter(move |(_, instance)| instance.source.as_deref() == Some(id)).map(|(name, _)| name)
}

fn shown(databases: &Databases, id: &str, instance: &Instance) -> Xml {
    let tag = |(key, value): (&String, &String)| Xml::new().text("Key", key).text("Value", value);
    let mut xml = Xml::new()
        .text("DBInstanceIdentifier", id)
        .text("DBInstanceClass", &instance.class)
        .text("Engine", "postgres")
        .text("EngineVersion", "15.7")
        .text("DBInstanceStatus", &instance.status)
        .text("AllocatedStorage", 100)
        .text("BackupRetentionPeriod", instance.backup_retention_days)
        .text("AvailabilityZone", format!("{REGION}a"))
        .text("MultiAZ", "false")
        .text("DeletionProtection", instance.source.is_none())
        .maybe("ReadReplicaSourceDBInstanceIdentifier", instance.source.as_ref())
        .list(
            "ReadReplicaDBInstanceIdentifiers",
            "ReadReplicaDBInstanceIdentifier",
            replicas_of(databases, id).map(|name| Xml::plain(name)),
        )
        .within("PendingModifiedValues", &Xml::new())
        .text("DBInstanceArn", format!("arn:aws:rds:{REGION}:{ACCOUNT}:db:{id}"))
        .list("TagList", "Tag", instance.tags.iter().map(tag));
    if instance.status != "creating" {
        let host = format!("{id}.sandbox.{REGION}.rds.amazonaws.com");
        xml = xml.within("Endpoint", &Xml::new().text("Address", host).text("Port", 5432));
    }
    if instance.source.is_some() && instance.status == "available" {
        let info = Xml::new().text("StatusType", "read replication").text("Normal", "true").text("Status", "replicating");
        xml = xml.list("StatusInfos", "DBInstanceStatusInfo", [info]);
    }
    xml
}

/// The requests that change an instance.
pub(super) fn change(world: &mut World, caller: &Caller, query: &Query, moment: Moment) -> Result<Xml, Refused> {
    let id = query.needed("DBInstanceIdentifier")?.to_owned();
    let databases = &mut world.aws.databases;
    let (from, to) = if query.action == "DeleteDBInstance" {
        let instance = databases.0.get_mut(&id).ok_or_else(|| not_found(&id))?;
        if instance.source.is_none() {
            let message = "Cannot delete protected DB Instance, please disable deletion protection and try again.";
            return Err(Refused::new(400, "InvalidParameterCombination", message));
        }
        if instance.status == "deleting" {
            let message = format!("Instance {id} is already being deleted.");
            return Err(Refused::new(400, "InvalidDBInstanceState", message));
        }
        if !query.is_true("SkipFinalSnapshot") {
            let message = "FinalDBSnapshotIdentifier can not be specified when deleting a replica instance";
            return Err(Refused::new(400, "InvalidParameterCombination", message));
        }
        instance.delete(moment);
        (json!(instance.source), Value::Null)
    } else {
        let source = query.needed("SourceDBInstanceIdentifier")?.to_owned();
        create(databases, &id, &source, query, moment)?;
        (Value::Null, json!(source))
    };
    let instance = databases.0.get(&id).ok_or_else(|| not_found(&id))?;
    let answer = Xml::new().within("DBInstance", &shown(databases, &id, instance));
    world.effects.record(caller, &format!("aws/rds/{id}"), "ReadReplicaSourceDBInstanceIdentifier", from, to);
    Ok(answer)
}

fn create(databases: &mut Databases, id: &str, source: &str, query: &Query, moment: Moment) -> Result<(), Refused> {
    if databases.0.contains_key(id) {
        return Err(Refused::new(400, "DBInstanceAlreadyExists", "DB instance already exists"));
    }
    let of = databases.0.get(source).ok_or_else(|| not_found(source))?;
    if of.backup_retention_days == 0 {
        let message = format!(
            "Automated backups are not enabled for this database instance. To enable automated backups, use ModifyDBInstance to set the backup retention period to a non-zero value. ({source})"
        );
        return Err(Refused::new(400, "InvalidDBInstanceState", message));
    }
    if of.status != "available" {
        return Err(Refused::new(400, "InvalidDBInstanceState", format!("DB instance {source} is not in the available state.")));
    }
    if replicas_of(databases, source).count() >= MOST_REPLICAS {
        return Err(Refused::new(400, "InstanceQuotaExceeded", "Read Replica count exceeded."));
    }
    let class = query.get("DBInstanceClass").unwrap_or(&of.class).to_owned();
    databases.0.insert(id.to_owned(), Instance::replica(source, class, query.tags(), moment));
    Ok(())
}
