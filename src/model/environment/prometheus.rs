//! A Prometheus server, as an environment's file says where it is.

use std::path::PathBuf;

use serde::Serialize;

use crate::model::notification::SecretRef;

/// A Prometheus server, or another that answers its HTTP API (Thanos, Mimir, VictoriaMetrics).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrometheusTarget {
    /// Where it is, without the path `/api/v1`.
    pub url: String,
    /// Who asks.
    pub login: PrometheusLogin,
    /// PEM certificates to be trusted beside the machine's, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// Who asks a Prometheus server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PrometheusLogin {
    /// Anybody.
    None,
    /// Whoever has this token.
    Bearer(SecretRef),
    /// A user with a password.
    Basic {
        /// The user.
        user: String,
        /// Where the password comes from.
        password: SecretRef,
    },
}

impl PrometheusTarget {
    /// Where its password or token comes from, by its place in the file.
    pub(super) fn credential(&self) -> Option<(&'static str, &SecretRef)> {
        match &self.login {
            PrometheusLogin::None => None,
            PrometheusLogin::Bearer(source) => Some(("prometheus.bearer", source)),
            PrometheusLogin::Basic { password, .. } => Some(("prometheus.password", password)),
        }
    }
}
