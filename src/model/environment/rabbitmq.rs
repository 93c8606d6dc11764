//! A RabbitMQ cluster's management API, as an environment's file says where it is.

use std::path::PathBuf;

use serde::Serialize;

use crate::model::notification::SecretRef;

/// The management API of a RabbitMQ cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RabbitmqTarget {
    /// Where it is, without the path `/api`: `https://rabbitmq.production:15671`.
    pub url: String,
    /// The user, who needs the tag `monitoring`.
    pub user: String,
    /// Where the password comes from.
    pub password: SecretRef,
    /// PEM certificates to be trusted beside the machine's, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}
