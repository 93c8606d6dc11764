//! Tables: how `kubectl get` shows objects, with the columns of the real API server.
//!
//! It must not choose objects. Invariant: each row has a cell for each column.

mod age;
mod cluster;
mod columns;
mod keda;
mod rabbitmq;
mod workloads;

use serde_json::{Value, json};

use super::resource::Resource;
use columns::{Column, Row};

/// How a client wants objects shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As they are.
    Objects,
    /// As tables whose rows hold the metadata.
    Table,
    /// As tables whose rows hold the whole object.
    TableOfObjects,
    /// As tables whose rows hold nothing.
    BareTable,
}

/// What the `Accept` header and `includeObject` ask for.
pub(crate) fn asked(accept: &str, include: &str) -> Shown {
    let first = accept.split(',').find(|kind| {
        let kind = kind.trim();
        kind.starts_with("application/json") || kind.starts_with("*/*")
    });
    let table = first.is_some_and(|kind| kind.contains("as=Table") && kind.contains("g=meta.k8s.io"));
    match (table, include) {
        (false, _) => Shown::Objects,
        (true, "Object") => Shown::TableOfObjects,
        (true, "None") => Shown::BareTable,
        (true, _) => Shown::Table,
    }
}

/// The table of objects of a kind; `now` is in milliseconds since 1970.
pub(crate) fn table(resource: Resource, shown: Shown, metadata: Value, objects: &[&Value], now: u64) -> Value {
    let (columns, cells): (&[Column], Row) = match resource {
        Resource::Pods => (workloads::POD, workloads::pod),
        Resource::Deployments => (workloads::DEPLOYMENT, workloads::deployment),
        Resource::ReplicaSets => (workloads::REPLICA_SET, workloads::replica_set),
        Resource::StatefulSets => (workloads::STATEFUL_SET, workloads::stateful_set),
        Resource::Jobs => (workloads::JOB, workloads::job),
        Resource::HorizontalPodAutoscalers => (workloads::AUTOSCALER, workloads::autoscaler),
        Resource::Services => (cluster::SERVICE, cluster::service),
        Resource::Endpoints => (cluster::ENDPOINTS, cluster::endpoints),
        Resource::EndpointSlices => (cluster::ENDPOINT_SLICE, cluster::endpoint_slice),
        Resource::ConfigMaps => (cluster::CONFIG_MAP, cluster::config_map),
        Resource::Events => (cluster::EVENT, cluster::event),
        Resource::ResourceQuotas => (cluster::QUOTA, cluster::quota),
        Resource::Namespaces => (cluster::NAMESPACE, cluster::namespace),
        Resource::Nodes => (cluster::NODE, cluster::node),
        Resource::Leases => (cluster::LEASE, cluster::lease),
        Resource::PodDisruptionBudgets => (cluster::BUDGET, cluster::budget),
        Resource::RabbitmqClusters => (rabbitmq::CLUSTER, rabbitmq::cluster),
        Resource::Applications => (cluster::APPLICATION, cluster::application),
        Resource::AppProjects => (cluster::PROJECT, cluster::project),
        Resource::ScaledObjects => (keda::SCALED_OBJECT, keda::scaled_object),
    };
    let definitions: Vec<Value> = columns.iter().map(Column::definition).collect();
    let rows = objects.iter().map(|object| {
        let mut row = json!({ "cells": cells(object, now) });
        match shown {
            Shown::BareTable => {}
            Shown::TableOfObjects => row["object"] = (*object).clone(),
            Shown::Objects | Shown::Table => {
                row["object"] = json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] });
            }
        }
        row
    });
    let rows: Vec<Value> = rows.collect();
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions, "rows": rows })
}
