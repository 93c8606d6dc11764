//! What a target says it is. A run is never continued against another.
//!
//! Invariant: only reads; an identity that cannot be read is an error, never a match.

use std::time::Duration;

use serde_json::{Map, Value};

use super::aws::AwsError;
use super::connections::{ConnectionError, Connections};
use super::kubernetes::{KubeCall, KubeError};

/// Where a cluster says who it is. Every account of a run may read it: its run would not have been started otherwise.
pub const IDENTITY_PATH: &str = "/api/v1/namespaces/kube-system";
/// The key of a cluster's identity: the UID of its namespace `kube-system`.
pub const KUBERNETES: &str = "kubernetes";
/// The key of an AWS account's identity: its number.
pub const AWS: &str = "aws";

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
    /// The credentials lead to another AWS account.
    #[error("this is another target: the credentials lead to the AWS account {live}, and {by} says {recorded}")]
    OtherAccount {
        /// What was recorded.
        recorded: String,
        /// Where the credentials lead now.
        live: String,
        /// Where it was recorded.
        by: Recorded,
    },
    /// Which AWS account it is cannot be told.
    #[error("the AWS account cannot be told: {0}")]
    Account(AwsError),
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
            Self::OtherAccount { by: Recorded::ByRun(_), .. } => {
                "a run never moves to another account: log in to the one that it was started against".to_owned()
            }
            Self::OtherAccount { by: Recorded::InFile(_), .. } => {
                "nothing was done: log in to the account that is meant, or check `account` and `profile` in that file".to_owned()
            }
            Self::Account(error) => error.hint(),
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
        if self.aws_access().is_some() {
            let account = self.aws()?.caller_account().await.map_err(IdentityError::Account)?;
            identity.insert(AWS.to_owned(), Value::String(account));
        }
        Ok(identity)
    }

    /// Compares what was recorded with what the systems say now.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub async fn check_identity(&self, recorded: &Map<String, Value>, by: &Recorded) -> Result<(), IdentityError> {
        // One of a kind that is not known says nothing of what is reached, and is not asked for.
        known(recorded)?;
        let live = self.identity().await?;
        compare(recorded, &live, |_| by.clone())
    }

    /// The UID of the cluster's namespace `kube-system`, read now.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub async fn cluster_uid(&self) -> Result<String, IdentityError> {
        let url = self.kubernetes().map(|access| access.url().to_owned()).unwrap_or_default();
        let unreachable = |error: KubeError| IdentityError::Unreachable { error, url: url.clone() };
        self.log_in().await?.map_err(|error| unreachable(KubeError::Credentials(error)))?;
        let reply = KubeCall::get(IDENTITY_PATH, TIMEOUT).send(&self.kube_client()?).await.map_err(unreachable)?;
        let uid = reply.body.pointer("/metadata/uid").and_then(Value::as_str);
        uid.filter(|_| reply.status == 200).map(str::to_owned).ok_or_else(|| IdentityError::Refused {
            status: reply.status,
            url: url.clone(),
            message: reply.body.get("message").and_then(Value::as_str).map(said).unwrap_or_default(),
        })
    }
}

/// That nothing was recorded that this program cannot check.
fn known(recorded: &Map<String, Value>) -> Result<(), IdentityError> {
    let unknown = recorded.keys().find(|what| ![KUBERNETES, AWS].contains(&what.as_str()));
    unknown.map_or(Ok(()), |what| Err(IdentityError::Unknown { what: what.clone() }))
}

/// Compares what was recorded with what the systems have just answered. `by` says where a kind was recorded.
///
/// # Errors
/// [`IdentityError`]
pub(super) fn compare(
    recorded: &Map<String, Value>,
    live: &Map<String, Value>,
    by: impl Fn(&str) -> Recorded,
) -> Result<(), IdentityError> {
    known(recorded)?;
    let text =
        |map: &Map<String, Value>, what: &str| map.get(what).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    match (text(recorded, KUBERNETES), text(live, KUBERNETES)) {
        (None, None) => {}
        (None, Some(live)) => return Err(IdentityError::Added { live, by: by(KUBERNETES) }),
        (Some(_), None) => return Err(ConnectionError::NoKubernetes.into()),
        (Some(recorded), Some(live)) if recorded != live => {
            return Err(IdentityError::Different { what: "the cluster's UID".to_owned(), recorded, live, by: by(KUBERNETES) });
        }
        (Some(_), Some(_)) => {}
    }
    match (text(recorded, AWS), text(live, AWS)) {
        // A run of before the environment had an account cannot have touched one, and its steps are refused one: they go by what was recorded.
        (None, _) => Ok(()),
        (Some(_), None) => Err(ConnectionError::NoAws.into()),
        (Some(recorded), Some(live)) if recorded != live => Err(IdentityError::OtherAccount { recorded, live, by: by(AWS) }),
        (Some(_), Some(_)) => Ok(()),
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

    #[test]
    fn another_account_is_refused_and_one_that_came_later_is_not() {
        let account = |number: &str| Map::from_iter([(AWS.to_owned(), json!(number))]);
        let file = |what: &str| Recorded::InFile(format!("staging.yaml ({what})"));
        compare(&account("123456789012"), &account("123456789012"), file).unwrap();
        compare(&Map::new(), &account("123456789012"), file).unwrap();
        let error = compare(&account("123456789012"), &Map::new(), file).unwrap_err();
        assert_eq!(error, IdentityError::NoConnection(ConnectionError::NoAws));
        let error = compare(&account("123456789012"), &account("210987654321"), file).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this is another target: the credentials lead to the AWS account 210987654321, and staging.yaml (aws) says 123456789012"
        );
        assert!(error.hint().contains("log in"), "{}", error.hint());
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
