//! Requests to RDS.

use aws_sdk_rds::Client;
use aws_sdk_rds::types;

use super::super::{AwsError, DbInstance, NewReplica, Replication};
use super::Session;

impl Session {
    async fn rds(&self) -> Result<Client, AwsError> {
        Ok(Client::new(&self.config_of("rds").await?))
    }

    pub(in super::super) async fn db_instance(&self, id: &str) -> Result<Option<DbInstance>, AwsError> {
        let client = self.rds().await?;
        let instances = match self.send("rds:DescribeDBInstances", client.describe_db_instances().db_instance_identifier(id).send()).await {
            Ok(answer) => answer.db_instances.unwrap_or_default(),
            Err(error) if ["DBInstanceNotFound", "DBInstanceNotFoundFault"].contains(&error.code()) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = instances.into_iter().map(instance_of).find(|instance| instance.id.eq_ignore_ascii_case(id));
        // Of what is not there RDS says so: an answer without it is none.
        let what = || format!("it neither describes {id} nor says that there is none");
        found.map(Some).ok_or_else(|| AwsError::Garbled { operation: "rds:DescribeDBInstances", status: 200, what: what() })
    }

    pub(in super::super) async fn create_read_replica(&self, replica: &NewReplica) -> Result<(), AwsError> {
        let client = self.rds().await?;
        let tags = replica.tags.iter().map(|(key, value)| types::Tag::builder().key(key).value(value).build()).collect();
        let asked = client
            .create_db_instance_read_replica()
            .db_instance_identifier(&replica.id)
            .source_db_instance_identifier(&replica.source)
            .set_db_instance_class(replica.class.clone())
            .set_availability_zone(replica.zone.clone())
            .set_tags(Some(tags));
        self.send("rds:CreateDBInstanceReadReplica", asked.send()).await.map(drop)
    }

    pub(in super::super) async fn delete_replica(&self, id: &str) -> Result<(), AwsError> {
        let client = self.rds().await?;
        let asked = client.delete_db_instance().db_instance_identifier(id).skip_final_snapshot(true);
        self.send("rds:DeleteDBInstance", asked.send()).await.map(drop)
    }
}

fn instance_of(instance: types::DbInstance) -> DbInstance {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let replication =
        instance.status_infos.unwrap_or_default().into_iter().find(|info| info.status_type.as_deref() == Some("read replication"));
    DbInstance {
        id: instance.db_instance_identifier.unwrap_or_default(),
        arn: instance.db_instance_arn.unwrap_or_default(),
        status: instance.db_instance_status.unwrap_or_default(),
        class: instance.db_instance_class.unwrap_or_default(),
        engine: instance.engine.unwrap_or_default(),
        engine_version: instance.engine_version.unwrap_or_default(),
        source: filled(instance.read_replica_source_db_instance_identifier),
        replicas: instance.read_replica_db_instance_identifiers.unwrap_or_default(),
        backup_retention_days: instance.backup_retention_period.unwrap_or_default(),
        endpoint: instance.endpoint.and_then(|endpoint| Some((filled(endpoint.address)?, endpoint.port.unwrap_or_default()))),
        storage: instance.allocated_storage.unwrap_or_default(),
        multi_az: instance.multi_az.unwrap_or_default(),
        zone: filled(instance.availability_zone),
        replication: replication.map(|info| Replication {
            status: info.status.unwrap_or_default(),
            normal: info.normal.unwrap_or(true),
            message: info.message.unwrap_or_default(),
        }),
        cluster: filled(instance.db_cluster_identifier),
        protected: instance.deletion_protection.unwrap_or_default(),
        tags: instance.tag_list.unwrap_or_default().into_iter().filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect(),
    }
}
