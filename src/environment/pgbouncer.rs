//! How PgBouncer's instances are reached: which pooler a playbook's `target.pgbouncer` means, and with which credentials.
//!
//! Must not: send anything but by a session, nor show a password. Invariant: as with a database server, a playbook names the pooler and never brings
//! credentials of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::connections::{ConnectionError, Connections};
use super::kubernetes::KubeCall;
use super::postgres::{PostgresAccess, PostgresError, PostgresSession, TlsMode};
use crate::model::environment::{HostPort, PgBouncerPlace, PgBouncerTarget};

/// PgBouncer, with all its instances.
#[derive(Clone, Debug)]
pub struct PgBouncerAccess {
    /// What playbooks say of it.
    pub target: PgBouncerTarget,
    /// PEM certificates to be trusted in the place of the machine's.
    pub ca_file: Option<PathBuf>,
    /// The password of the admin console; none where it asks for none.
    pub password: Option<SecretString>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PgBouncerInstance {
    /// Where its admin console is.
    pub at: HostPort,
    /// The name that its certificate is for, where that is not the host.
    pub server_name: Option<String>,
}

impl PgBouncerAccess {
    /// Its instances, where the environment names them; none where they are behind a Service.
    pub fn instances(&self) -> Option<Vec<PgBouncerInstance>> {
        match &self.target.place {
            PgBouncerPlace::Instances(all) => Some(all.iter().map(|at| PgBouncerInstance { at: at.clone(), server_name: None }).collect()),
            PgBouncerPlace::Service { .. } => None,
        }
    }

    /// How the admin console of an instance is reached.
    fn console(&self, instance: &PgBouncerInstance) -> PostgresAccess {
        PostgresAccess {
            host: instance.at.host.clone(),
            port: instance.at.port,
            user: self.target.user.clone(),
            database: self.target.database.clone(),
            tls: self.target.tls,
            ca_file: self.ca_file.clone(),
            password: self.password.clone(),
        }
    }
}

/// Why the instances behind a Service are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the instances of PgBouncer behind the Service {service} in namespace {namespace} are not known: {why}")]
pub struct InstancesError {
    /// The Service.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
    /// In words.
    pub why: String,
    /// What to do about it.
    pub hint: &'static str,
    /// Whether trying again can help.
    pub transient: bool,
    /// How long the API server asks to be left alone, as it stands in `Retry-After`.
    pub retry_after: Option<String>,
}

impl Connections {
    /// With PgBouncer.
    #[must_use]
    pub fn with_pgbouncer(mut self, access: PgBouncerAccess) -> Self {
        self.pgbouncer = Some(access);
        self
    }

    /// The environment's PgBouncer.
    ///
    /// # Errors
    /// [`ConnectionError::NoPgBouncer`]
    pub fn pgbouncer(&self) -> Result<&PgBouncerAccess, ConnectionError> {
        self.pgbouncer.as_ref().ok_or_else(|| ConnectionError::NoPgBouncer { why: "the environment names no PgBouncer".to_owned() })
    }

    /// The environment's PgBouncer, which a playbook names as `target.pgbouncer`.
    ///
    /// # Errors
    /// [`ConnectionError::NoPgBouncer`]: it names none, or another.
    pub fn pgbouncer_for(&self, value: &Value) -> Result<&PgBouncerAccess, ConnectionError> {
        let access = self.pgbouncer()?;
        if access.target.value() == *value {
            Ok(access)
        } else {
            Err(ConnectionError::NoPgBouncer { why: "this is not the PgBouncer that the environment names".to_owned() })
        }
    }

    /// Every instance. Behind a Service: those that its EndpointSlices list, but for pods on their way out; `namespace` is the cluster's own, where
    /// the environment names none for the Service.
    ///
    /// # Errors
    /// [`InstancesError`]; also where there is not one.
    pub async fn pgbouncer_instances(
        &self,
        access: &PgBouncerAccess,
        namespace: &str,
        within: Duration,
    ) -> Result<Vec<PgBouncerInstance>, InstancesError> {
        let PgBouncerPlace::Service { name, namespace: own, port } = &access.target.place else {
            return Ok(access.instances().unwrap_or_default());
        };
        let namespace = own.as_deref().unwrap_or(namespace);
        let failed = |why: String, hint: &'static str, transient: bool| InstancesError {
            service: name.clone(),
            namespace: namespace.to_owned(),
            why,
            hint,
            transient,
            retry_after: None,
        };
        let client = self.kube_client().map_err(|error| failed(error.to_string(), error.hint(), false))?;
        let path = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{name}&limit=500"
        );
        let reply = KubeCall::get(path, within).send(&client).await;
        let reply = reply.map_err(|error| failed(error.to_string(), "check the cluster and the way to it", true))?;
        let status = reply.status;
        let slices = match (status, reply.body.get("items").and_then(Value::as_array)) {
            (200, Some(slices)) => slices,
            (200, None) => return Err(failed("the answer is no list of EndpointSlices".to_owned(), "check the cluster's URL", true)),
            (401 | 403, _) => {
                let why = format!("the cluster refuses it (status {status})");
                return Err(failed(why, "let this account `list` `endpointslices` of `discovery.k8s.io` there", false));
            }
            _ => {
                let error = failed(format!("the cluster answered with status {status}"), "try it again", matches!(status, 429 | 500..));
                return Err(InstancesError { retry_after: reply.retry_after, ..error });
            }
        };
        let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let endpoints = slices.iter().flat_map(|slice| list(slice, "endpoints"));
        let staying = endpoints.filter(|endpoint| endpoint.pointer("/conditions/terminating") != Some(&Value::Bool(true)));
        let addresses: BTreeSet<String> =
            staying.filter_map(|endpoint| endpoint.pointer("/addresses/0").and_then(Value::as_str).map(str::to_owned)).collect();
        if addresses.is_empty() {
            return Err(failed("it leads to no pod".to_owned(), "check the Service's name and selector: `k8s.endpoints` shows why", true));
        }
        let server_name = Some(format!("{name}.{namespace}.svc"));
        let instance = |host| PgBouncerInstance { at: HostPort { host, port: *port }, server_name: server_name.clone() };
        Ok(addresses.into_iter().map(instance).collect())
    }

    /// A session with the admin console of an instance. `within` bounds what it may take, where that is less than 5 s to get in and 10 s for each
    /// statement.
    ///
    /// # Errors
    /// [`PostgresError`]
    pub async fn pgbouncer_session(
        &self,
        access: &PgBouncerAccess,
        instance: &PgBouncerInstance,
        within: Duration,
    ) -> Result<PostgresSession, PostgresError> {
        self.console_session(&access.console(instance), instance.server_name.as_deref(), within).await
    }
}

/// The sandbox's, whose instances are all reached on loopback.
pub(super) fn of_sandbox(value: &Value, password: SecretString) -> Option<PgBouncerAccess> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let instances = value.get("instances")?.as_array()?.iter().filter_map(|one| HostPort::parse(one.as_str()?, 0)).collect();
    let target = PgBouncerTarget {
        place: PgBouncerPlace::Instances(instances),
        user: text("user")?,
        database: text("database")?,
        password: None,
        tls: TlsMode::Disable,
        ca_file: None,
    };
    Some(PgBouncerAccess { target, ca_file: None, password: Some(password) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_playbook_names_the_pooler_that_the_environment_has_and_no_other() {
        let value = json!({ "instances": ["10.0.0.5:6432", "10.0.0.6:6432"], "user": "runsheet", "database": "pgbouncer" });
        let connections = Connections::new();
        let error = connections.pgbouncer_for(&value).unwrap_err().to_string();
        assert!(error.contains("the environment names no PgBouncer"), "{error}");
        let access = of_sandbox(&value, "hunter2".to_owned().into()).unwrap();
        assert!(!format!("{access:?}").contains("hunter2"));
        let connections = connections.with_pgbouncer(access);
        assert_eq!(connections.pgbouncer_for(&value).unwrap().instances().unwrap().len(), 2);
        for other in
            [json!({ "instances": ["10.0.0.5:6432"], "user": "runsheet", "database": "pgbouncer" }), json!("pgbouncer"), json!(null)]
        {
            let error = connections.pgbouncer_for(&other).unwrap_err().to_string();
            assert!(error.contains("not the PgBouncer that the environment names"), "{error}");
        }
    }

    async fn behind(answer: wiremock::ResponseTemplate) -> Result<Vec<String>, InstancesError> {
        let cluster = wiremock::MockServer::start().await;
        let path = "/apis/discovery.k8s.io/v1/namespaces/pooling/endpointslices";
        let asked = wiremock::Mock::given(wiremock::matchers::path(path));
        let asked = asked.and(wiremock::matchers::query_param("labelSelector", "kubernetes.io/service-name=pgbouncer"));
        asked.respond_with(answer).mount(&cluster).await;
        let kubernetes = super::super::KubernetesAccess::Token { url: cluster.uri(), token: "a-token".to_owned().into() };
        let place = PgBouncerPlace::Service { name: "pgbouncer".to_owned(), namespace: Some("pooling".to_owned()), port: 6432 };
        let of_sandbox = of_sandbox(&json!({ "instances": [], "user": "u", "database": "d" }), "x".to_owned().into()).unwrap();
        let access = PgBouncerAccess { target: PgBouncerTarget { place, ..of_sandbox.target }, ..of_sandbox };
        let connections = Connections::new().with_kubernetes(kubernetes);
        let found = connections.pgbouncer_instances(&access, "production", Duration::from_secs(5)).await?;
        assert!(found.iter().all(|one| one.server_name.as_deref() == Some("pgbouncer.pooling.svc")));
        Ok(found.into_iter().map(|one| one.at.to_string()).collect())
    }

    #[tokio::test]
    async fn the_instances_of_a_service_are_those_that_its_slices_list() {
        let endpoint = |address: &str, terminating: bool| json!({ "addresses": [address], "conditions": { "terminating": terminating } });
        let slices = json!({ "items": [
            { "endpoints": [endpoint("10.1.0.2", false), endpoint("10.1.0.9", true)] },
            { "endpoints": [endpoint("10.1.0.1", false), endpoint("10.1.0.2", false)] },
        ] });
        let answer = |status: u16| wiremock::ResponseTemplate::new(status);
        assert_eq!(behind(answer(200).set_body_json(slices)).await.unwrap(), ["10.1.0.1:6432", "10.1.0.2:6432"]);
        let none = behind(answer(200).set_body_json(json!({ "items": [] }))).await.unwrap_err();
        assert!(
            none.to_string().ends_with("behind the Service pgbouncer in namespace pooling are not known: it leads to no pod"),
            "{none}"
        );
        let forbidden = behind(answer(403)).await.unwrap_err();
        assert!(!forbidden.transient && forbidden.hint.contains("`list` `endpointslices`"), "{forbidden:?}");
        let throttled = behind(answer(429).insert_header("retry-after", "7")).await.unwrap_err();
        assert_eq!((throttled.transient, throttled.retry_after.as_deref()), (true, Some("7")));
        let html = behind(answer(200).set_body_string("<html>")).await.unwrap_err();
        assert!(html.to_string().ends_with("the answer is no list of EndpointSlices"), "{html}");
    }
}
