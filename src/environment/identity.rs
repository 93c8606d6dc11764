//! What a target says it is. A run is never continued against another.
//!
//! Invariant: only reads; an identity that cannot be read is an error, never a match.

use std::time::Duration;

use serde_json::{Map, Value};

use super::connections::{ConnectionError, Connections};
use super::kubernetes::{KubeCall, KubeError};

/// The key of a cluster's identity: the UID of its namespace `kube-system`.
pub const KUBERNETES: &str = "kubernetes";

const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a target is not, or not known to be, the one that was recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is another.
    #[error("this is another target: {what} is {live}, and {by} says {recorded}")]
    Different {
        /// What was compared.
        what: String,
        /// What was recorded.
        recorded: String,
        /// What the target says now.
        live: String,
        /// Where it was recorded.
        by: Recorded,
    },
    /// The run was started where the environment had none of it.
    #[error("the environment has a cluster by now, whose UID is {live}, and {by} knows of none")]
    Added {
        /// What the target says now.
        live: String,
        /// Where it was not recorded.
        by: Recorded,
    },
    /// It cannot be reached.
    #[error("{}", unreachable(error, url))]
    Unreachable {
        /// Why.
        error: KubeError,
        /// The API server.
        url: String,
    },
    /// There is no way to it.
    #[error("the target's identity cannot be read: {0}")]
    NoConnection(#[from] ConnectionError),
    /// It does not say.
    #[error("the cluster does not tell its identity: {}{message}", answered(*status, url))]
    Refused {
        /// The answer's HTTP status.
        status: u16,
        /// The API server.
        url: String,
        /// What the server said, after `: `, or nothing.
        message: String,
    },
    /// The run recorded an identity that this program cannot check.
    #[error("the run recorded an identity of kind `{what}`, which this runsheet cannot check")]
    Unknown {
        /// The kind.
        what: String,
    },
}

/// Where an identity was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// By a run, when it started: its short id.
    ByRun(String),
    /// In a file: `playbooks/environments/staging.yaml:7`.
    InFile(String),
}

impl std::fmt::Display for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByRun(run) => write!(f, "run {run}, which recorded it when it started,"),
            Self::InFile(place) => f.write_str(place),
        }
    }
}

fn unreachable(error: &KubeError, url: &str) -> String {
    match error {
        KubeError::Credentials(error) => format!("there are no credentials for the Kubernetes API at {url}: {error}"),
        error => format!("the target's identity cannot be read from {url}: {error}"),
    }
}

fn answered(status: u16, url: &str) -> String {
    match status {
        401 => format!("the Kubernetes API at {url} does not accept the credentials (401)"),
        403 => format!("the account may not get the namespace kube-system of the Kubernetes API at {url} (403)"),
        status => format!("reading the namespace kube-system from {url} was answered with status {status}"),
    }
}

impl IdentityError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Different { by: Recorded::ByRun(_), .. } => {
                "a run never moves to another cluster: let its environment lead to the one it was started against".to_owned()
            }
            Self::Different { by: Recorded::InFile(_), .. } => {
                "nothing was done: check `context` and `kubeconfig` in that file; where the cluster was made anew on purpose, write its UID there"
                    .to_owned()
            }
            Self::Added { .. } => "start a new run, or take the cluster out of the environment again".to_owned(),
            Self::Unreachable { error: KubeError::Credentials(error), .. } => error.hint(),
            Self::Unreachable { .. } => "check that the cluster is up and reachable from here, then try again; nothing was done".to_owned(),
            Self::NoConnection(error) => error.hint().to_owned(),
            Self::Refused { status: 401, .. } => "log in to the cluster again; nothing was done, and a run that is open goes on with `runsheet resume`".to_owned(),
            Self::Refused { status: 403, .. } => {
                "let this account `get` the namespace kube-system (a ClusterRole with resourceNames: [kube-system])".to_owned()
            }
            Self::Refused { .. } => "check that the URL is a Kubernetes API server's and not a proxy's page".to_owned(),
            Self::Unknown { .. } => "use the runsheet that started the run".to_owned(),
        }
    }
}

impl Connections {
    /// What the systems reached say they are.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub async fn identity(&self) -> Result<Map<String, Value>, IdentityError> {
        let mut identity = Map::new();
        if self.kubernetes().is_some() {
            identity.insert(KUBERNETES.to_owned(), Value::String(self.cluster_uid().await?));
        }
        Ok(identity)
    }

    /// Compares what was recorded with what the systems say now.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub async fn check_identity(&self, recorded: &Map<String, Value>, by: &Recorded) -> Result<(), IdentityError> {
        self.compare(recorded, by, None).await
    }

    /// As [`check_identity`](Self::check_identity), without asking again what was just answered.
    pub(super) async fn compare(&self, recorded: &Map<String, Value>, by: &Recorded, answered: Option<&str>) -> Result<(), IdentityError> {
        if let Some(what) = recorded.keys().find(|what| *what != KUBERNETES) {
            return Err(IdentityError::Unknown { what: what.clone() });
        }
        let recorded = recorded.get(KUBERNETES);
        if recorded.is_none() && self.kubernetes().is_none() {
            return Ok(());
        }
        let live = match answered {
            Some(live) => live.to_owned(),
            None => self.cluster_uid().await?,
        };
        let Some(recorded) = recorded else { return Err(IdentityError::Added { live, by: by.clone() }) };
        let recorded = recorded.as_str().map_or_else(|| recorded.to_string(), str::to_owned);
        if live == recorded {
            return Ok(());
        }
        Err(IdentityError::Different { what: "the cluster's UID".to_owned(), recorded, live, by: by.clone() })
    }

    /// The UID of the cluster's namespace `kube-system`, read now.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub async fn cluster_uid(&self) -> Result<String, IdentityError> {
        let url = self.kubernetes().map(|access| access.url().to_owned()).unwrap_or_default();
        let unreachable = |error: KubeError| IdentityError::Unreachable { error, url: url.clone() };
        self.log_in().await?.map_err(|error| unreachable(KubeError::Credentials(error)))?;
        let reply = KubeCall::get("/api/v1/namespaces/kube-system", TIMEOUT).send(&self.kube_client()?).await.map_err(unreachable)?;
        let uid = reply.body.pointer("/metadata/uid").and_then(Value::as_str);
        uid.filter(|_| reply.status == 200).map(str::to_owned).ok_or_else(|| IdentityError::Refused {
            status: reply.status,
            url: url.clone(),
            message: reply.body.get("message").and_then(Value::as_str).map(said).unwrap_or_default(),
        })
    }
}

/// What the server said, shortened, in one line.
fn said(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    format!(": {line}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::environment::KubernetesAccess;

    async fn cluster(answer: ResponseTemplate) -> (MockServer, Connections) {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/api/v1/namespaces/kube-system"))
            .and(header("authorization", "Bearer a-token"))
            .respond_with(answer)
            .mount(&server)
            .await;
        let connections =
            Connections::new().with_kubernetes(KubernetesAccess::Token { url: server.uri(), token: "a-token".to_owned().into() });
        (server, connections)
    }

    fn by_run() -> Recorded {
        Recorded::ByRun("3fa9c1d2".to_owned())
    }

    fn recorded(uid: &str) -> Map<String, Value> {
        Map::from_iter([(KUBERNETES.to_owned(), json!(uid))])
    }

    #[tokio::test]
    async fn another_cluster_is_refused_and_both_are_named() {
        let (_server, connections) = cluster(ResponseTemplate::new(200).set_body_json(json!({"metadata": {"uid": "uid-1"}}))).await;
        assert_eq!(connections.identity().await.unwrap(), recorded("uid-1"));
        connections.check_identity(&recorded("uid-1"), &by_run()).await.unwrap();
        let error = connections.check_identity(&recorded("uid-2"), &by_run()).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "this is another target: the cluster's UID is uid-1, and run 3fa9c1d2, which recorded it when it started, says uid-2"
        );
    }

    #[tokio::test]
    async fn an_identity_that_cannot_be_read_is_no_match() {
        let (_server, connections) = cluster(ResponseTemplate::new(403).set_body_json(json!({"message": "no"}))).await;
        let error = connections.check_identity(&recorded("uid-1"), &by_run()).await.unwrap_err();
        assert!(error.to_string().ends_with("(403): no"), "{error}");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let gone = KubernetesAccess::Token { url: format!("http://{free}"), token: "a-token".to_owned().into() };
        let error = Connections::new().with_kubernetes(gone).check_identity(&recorded("uid-1"), &by_run()).await.unwrap_err();
        assert!(matches!(&error, IdentityError::Unreachable { error: KubeError::NotSent { .. }, .. }), "{error:?}");
        assert!(error.to_string().contains("refused") && !error.to_string().contains("os error"), "{error}");
        let error = Connections::new().check_identity(&recorded("uid-1"), &by_run()).await.unwrap_err();
        assert_eq!(error, IdentityError::NoConnection(ConnectionError::NoKubernetes));
    }

    #[tokio::test]
    async fn an_identity_of_an_unknown_kind_is_no_match() {
        let (_server, connections) = cluster(ResponseTemplate::new(200).set_body_json(json!({"metadata": {"uid": "uid-1"}}))).await;
        let error = connections.check_identity(&Map::new(), &by_run()).await.unwrap_err();
        assert_eq!(error, IdentityError::Added { live: "uid-1".into(), by: by_run() }, "a cluster that came later is no match");
        let recorded = Map::from_iter([("mainframe".to_owned(), json!("1"))]);
        let error = Connections::new().check_identity(&recorded, &by_run()).await.unwrap_err();
        assert_eq!(error, IdentityError::Unknown { what: "mainframe".into() });
    }
}
