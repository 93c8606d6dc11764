//! A target: what a run records of it, and what this process knows beyond that.
//!
//! Invariant: what is recorded (`spec`) holds no secret.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::aws::{AwsAccess, AwsLogin};
use super::brokers;
use super::connections::Connections;
use super::identity::{AWS, IdentityError, KUBERNETES, Recorded, compare};
use super::kubeconfig::{KubeconfigOptions, Login};
use super::kubeconfig_error::KubeconfigError;
use super::kubernetes::KubernetesAccess;
use super::pgbouncer::{self, PgBouncerAccess};
use super::postgres::{POSTGRES_PORT, PostgresAccess, TlsMode};
use super::secrets::{SecretSource, resolve};
use crate::model::environment::{ClusterAccount, EnvironmentDefinition, KubernetesTarget, PostgresTarget};
use crate::model::notification::SecretRef;
use crate::model::playbook::SecretDeclaration;
use crate::model::run::TargetSpec;

/// The id of the access key that the sandbox takes.
const SANDBOX_ACCESS_KEY: &str = "SANDBOXACCESSKEY0000";

/// Where a run acts.
#[derive(Clone, Debug)]
pub struct Environment {
    /// What is recorded with the run.
    pub spec: TargetSpec,
    /// Where secrets come from, by name. These win over the playbook's own sources.
    pub secret_sources: BTreeMap<String, SecretSource>,
    /// How its systems are reached.
    pub connections: Arc<Connections>,
    /// What its file says; `None` for the sandbox.
    pub definition: Option<Arc<EnvironmentDefinition>>,
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
        let mut identity = Map::from_iter([(KUBERNETES.to_owned(), Value::String(cluster_uid.to_owned()))]);
        if let Some(access) = target_values.get("aws").and_then(|value| sandbox_aws(value, postgres_password.clone())) {
            identity.insert(AWS.to_owned(), Value::String(access.account.clone()));
            for service in ["sts", "elasticache", "rds"] {
                connections = connections.with_host(format!("{service}.{}.amazonaws.com", access.region), address);
            }
            connections = connections.with_aws(access);
        }
        connections = brokers::of_sandbox(connections, &target_values, address, &postgres_password);
        if let Some(access) = target_values.get("postgres").and_then(|value| sandbox_postgres(value, postgres_password.clone())) {
            connections = connections.with_host(access.host.clone(), address).with_postgres("postgres", access);
        }
        if let Some(access) = target_values.get("pgbouncer").and_then(|value| pgbouncer::of_sandbox(value, postgres_password)) {
            for instance in access.instances().unwrap_or_default() {
                connections = connections.with_host(instance.at.host, address);
            }
            connections = connections.with_pgbouncer(access);
        }
        Self {
            spec: TargetSpec { environment: "sandbox".to_owned(), identity, values: target_values },
            secret_sources: BTreeMap::from([("service_token".to_owned(), SecretSource::Value(service_token))]),
            connections: Arc::new(connections),
            definition: None,
        }
    }

    /// What a file says. Reads the kubeconfig; reaches nothing.
    ///
    /// # Errors
    /// When the kubeconfig gives no way to the cluster.
    pub fn of(definition: EnvironmentDefinition) -> Result<Self, KubeconfigError> {
        let mut connections = Connections::new();
        let mut identity = Map::new();
        if let Some(kubernetes) = &definition.kubernetes {
            connections = connections.with_kubernetes(KubernetesAccess::Login(Box::new(login(kubernetes)?)));
            identity.insert(KUBERNETES.to_owned(), Value::String(kubernetes.cluster_uid.clone()));
        }
        if let Some(aws) = &definition.aws {
            connections = connections.with_aws(AwsAccess {
                region: aws.region.clone(),
                account: aws.account.clone(),
                endpoint: aws.endpoint.clone(),
                login: AwsLogin::Chain { profile: aws.profile.clone() },
            });
            identity.insert(AWS.to_owned(), Value::String(aws.account.clone()));
        }
        if let Some(postgres) = &definition.postgres {
            connections = connections.with_postgres("postgres", access(postgres));
        }
        connections = brokers::of_file(connections, &definition);
        if let Some(pooler) = &definition.pgbouncer {
            let password = pooler.password.as_ref().and_then(credential);
            let access = PgBouncerAccess { target: pooler.clone(), ca_file: pooler.ca_file.clone(), password };
            connections = connections.with_pgbouncer(access);
        }
        for via in &definition.via {
            connections = connections.with_via(via.clone());
        }
        let spec = TargetSpec { environment: definition.name.clone(), identity, values: definition.target_values() };
        let secret_sources = definition.secrets.iter().map(|(name, source)| (name.clone(), source.into())).collect();
        Ok(Self { spec, secret_sources, connections: Arc::new(connections), definition: Some(Arc::new(definition)) })
    }

    /// The passwords and tokens of its systems whose sources have one now, by their places in the file, which no playbook's secret can be called. Whoever
    /// connects without is told by the server; `environment check` tells what the source lacks. They have to be among the secrets that are kept out of
    /// texts.
    pub fn credentials(&self) -> Vec<(&'static str, SecretString)> {
        let sources = self.definition.iter().flat_map(|definition| definition.credentials());
        let mut all: Vec<_> = sources.filter_map(|(place, source)| Some((place, credential(source)?))).collect();
        if self.definition.as_ref().is_some_and(|definition| definition.aws.is_some()) {
            // What the standard chain would take first; it is shown nowhere all the same.
            let variables = [("aws (AWS_SECRET_ACCESS_KEY)", "AWS_SECRET_ACCESS_KEY"), ("aws (AWS_SESSION_TOKEN)", "AWS_SESSION_TOKEN")];
            all.extend(variables.into_iter().filter_map(|(place, name)| Some((place, credential(&SecretRef::Env(name.to_owned()))?))));
        }
        all
    }

    /// Whether it is the simulated platform.
    pub fn is_sandbox(&self) -> bool {
        self.definition.is_none()
    }

    /// Compares what the target says it is with what its file says, and with what a run recorded where there is one: in this order, so that a wrong
    /// file is named first. `file` is the file as people know it.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub async fn prove_identity(&self, file: &str, run: Option<(&Map<String, Value>, &str)>) -> Result<(), IdentityError> {
        let live = self.connections.identity().await?;
        let line = |what: &str| {
            let definition = self.definition.as_ref()?;
            match what {
                AWS => definition.aws.as_ref().map(|aws| aws.account_line),
                _ => definition.kubernetes.as_ref().map(|kubernetes| kubernetes.cluster_uid_line),
            }
        };
        let in_file = |what: &str| Recorded::InFile(line(what).map_or_else(|| file.to_owned(), |line| format!("{file}:{line}")));
        compare(&self.spec.identity, &live, in_file)?;
        match run {
            Some((recorded, run)) => compare(recorded, &live, |_| Recorded::ByRun(run.to_owned())),
            None => Ok(()),
        }
    }
}

/// A password or token, where its source has one now.
pub(super) fn credential(source: &SecretRef) -> Option<SecretString> {
    const NAME: &str = "credential";
    let declared = SecretDeclaration { name: NAME.to_owned(), env: None, help: None };
    let values = resolve(&[declared], &BTreeMap::from([(NAME.to_owned(), source.into())])).ok()?;
    values.get(NAME).cloned()
}

/// The way to a database server that a file describes.
fn access(postgres: &PostgresTarget) -> PostgresAccess {
    PostgresAccess {
        host: postgres.host.clone(),
        port: postgres.port,
        user: postgres.user.clone(),
        database: postgres.database.clone(),
        tls: postgres.tls,
        ca_file: postgres.ca_file.clone(),
        password: postgres.password.as_ref().and_then(credential),
    }
}

/// The way to a cluster that a file describes.
///
/// # Errors
/// When the kubeconfig gives none.
fn login(kubernetes: &KubernetesTarget) -> Result<Login, KubeconfigError> {
    match &kubernetes.account {
        ClusterAccount::InCluster => Login::in_cluster(kubernetes.proxy.as_deref()),
        ClusterAccount::Context { name, kubeconfig } => Login::from_kubeconfig(&KubeconfigOptions {
            context: Some(name.clone()),
            file: kubeconfig.clone(),
            proxy: kubernetes.proxy.clone(),
            exec_timeout: kubernetes.exec_timeout.0,
        }),
    }
}

impl From<&SecretRef> for SecretSource {
    fn from(source: &SecretRef) -> Self {
        match source {
            SecretRef::Env(name) => Self::Env(name.clone()),
            SecretRef::File(path) => Self::File(path.clone()),
        }
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
        tls: TlsMode::Disable,
        ca_file: None,
        password: Some(password),
    })
}

/// The sandbox's AWS account, with keys of its own: the machine's are never looked for.
fn sandbox_aws(value: &Value, secret: SecretString) -> Option<AwsAccess> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let login = AwsLogin::Keys { id: SANDBOX_ACCESS_KEY.to_owned(), secret };
    Some(AwsAccess { region: text("region")?, account: text("account")?, endpoint: None, login })
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
