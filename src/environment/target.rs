//! A target: what a run records of it, and what this process knows beyond that.
//!
//! Invariant: what is recorded (`spec`) holds no secret.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::connections::Connections;
use super::identity::{IdentityError, KUBERNETES};
use super::kubernetes::KubernetesAccess;
use super::postgres::{POSTGRES_PORT, PostgresAccess, PostgresTls};
use super::secrets::SecretSource;
use crate::model::run::TargetSpec;

/// Where a run acts.
#[derive(Clone, Debug)]
pub struct Environment {
    /// What is recorded with the run.
    pub spec: TargetSpec,
    /// Where secrets come from, by name. These win over the playbook's own sources.
    pub secret_sources: BTreeMap<String, SecretSource>,
    /// How its systems are reached.
    pub connections: Arc<Connections>,
}

impl Environment {
    /// The sandbox: one address serves the Kubernetes API and every `http` host that the target's values name, and nothing else is reached.
    pub fn sandbox(
        address: SocketAddr,
        token: SecretString,
        cluster_uid: &str,
        service_token: SecretString,
        postgres_password: SecretString,
        target_values: Map<String, Value>,
    ) -> Self {
        let mut connections =
            Connections::new().confined().with_kubernetes(KubernetesAccess::Token { url: format!("http://{address}"), token });
        let mut hosts = Vec::new();
        target_values.values().for_each(|value| http_hosts(value, &mut hosts));
        for host in hosts {
            connections = connections.with_host(host, address);
        }
        if let Some(access) = target_values.get("postgres").and_then(|value| sandbox_postgres(value, postgres_password)) {
            connections = connections.with_host(access.host.clone(), address).with_postgres("postgres", access);
        }
        Self {
            spec: TargetSpec {
                environment: "sandbox".to_owned(),
                identity: Map::from_iter([(KUBERNETES.to_owned(), Value::String(cluster_uid.to_owned()))]),
                values: target_values,
            },
            secret_sources: BTreeMap::from([("service_token".to_owned(), SecretSource::Value(service_token))]),
            connections: Arc::new(connections),
        }
    }

    /// Compares what the target says it is with what a run recorded.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub async fn check_identity(&self, recorded: &Map<String, Value>) -> Result<(), IdentityError> {
        self.connections.check_identity(recorded).await
    }
}

/// The sandbox's PostgreSQL server, which is reached on loopback.
fn sandbox_postgres(value: &Value, password: SecretString) -> Option<PostgresAccess> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(PostgresAccess {
        host: text("host")?,
        port: value.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()).unwrap_or(POSTGRES_PORT),
        user: text("user")?,
        database: text("database")?,
        tls: PostgresTls::Disable,
        ca_file: None,
        password: Some(password),
    })
}

fn http_hosts(value: &Value, hosts: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let url = url::Url::parse(text).ok().filter(|url| url.scheme() == "http");
            hosts.extend(url.and_then(|url| url.host_str().map(str::to_owned)));
        }
        Value::Array(items) => items.iter().for_each(|item| http_hosts(item, hosts)),
        Value::Object(map) => map.values().for_each(|item| http_hosts(item, hosts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_sandbox_serves_the_hosts_that_its_values_name() {
        let Value::Object(values) = json!({"ticket_service": {"url": "http://ticket-service.production"}, "other": ["https://x.example"],
            "postgres": {"host": "postgres.production", "port": 5432, "user": "runsheet", "database": "tickettoken"}})
        else {
            unreachable!("it is an object")
        };
        let address: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let sandbox = Environment::sandbox(
            address,
            "a-token".to_owned().into(),
            "uid-1",
            "service".to_owned().into(),
            "hunter2".to_owned().into(),
            values,
        );
        assert_eq!(sandbox.connections.address_of("Ticket-Service.production"), Some(address));
        assert_eq!(sandbox.connections.address_of("x.example"), None);
        assert_eq!(sandbox.spec.identity["kubernetes"], "uid-1");
        assert_eq!(sandbox.connections.address_of("postgres.production"), Some(address));
        assert_eq!(sandbox.connections.postgres_for(&sandbox.spec.values["postgres"]).unwrap().user, "runsheet");
        assert!(!format!("{sandbox:?}").contains("a-token") && !format!("{sandbox:?}").contains("hunter2"));
    }
}
