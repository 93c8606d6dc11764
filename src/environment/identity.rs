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
    #[error("this is another target: {what} is {live}, and the run was started against {recorded}")]
    Different {
        /// What was compared.
        what: String,
        /// What the run recorded.
        recorded: String,
        /// What the target says now.
        live: String,
    },
    /// It cannot be reached.
    #[error("the target's identity cannot be read: {0}")]
    Unreachable(#[from] KubeError),
    /// There is no way to it.
    #[error("the target's identity cannot be read: {0}")]
    NoConnection(#[from] ConnectionError),
    /// It does not say.
    #[error("the cluster does not tell its identity: reading the namespace kube-system was answered with status {status}{message}")]
    Refused {
        /// The answer's HTTP status.
        status: u16,
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

impl IdentityError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Different { .. } => "name the environment that the run was started against; a run never moves to another",
            Self::Unreachable(_) => "check that the cluster is up and reachable from here, then try again",
            Self::NoConnection(error) => error.hint(),
            Self::Refused { .. } => "let the credentials `get` the namespace kube-system",
            Self::Unknown { .. } => "use the runsheet that started the run",
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
    pub async fn check_identity(&self, recorded: &Map<String, Value>) -> Result<(), IdentityError> {
        for (what, recorded) in recorded {
            let live = match what.as_str() {
                KUBERNETES => self.cluster_uid().await?,
                _ => return Err(IdentityError::Unknown { what: what.clone() }),
            };
            let recorded = recorded.as_str().map_or_else(|| recorded.to_string(), str::to_owned);
            if live != recorded {
                return Err(IdentityError::Different { what: "the cluster's UID".to_owned(), recorded, live });
            }
        }
        Ok(())
    }

    async fn cluster_uid(&self) -> Result<String, IdentityError> {
        let reply = KubeCall::get("/api/v1/namespaces/kube-system", TIMEOUT).send(&self.kube_client()?).await?;
        let uid = reply.body.pointer("/metadata/uid").and_then(Value::as_str);
        uid.filter(|_| reply.status == 200).map(str::to_owned).ok_or_else(|| IdentityError::Refused {
            status: reply.status,
            message: reply.body.get("message").and_then(Value::as_str).map(|text| format!(": {text}")).unwrap_or_default(),
        })
    }
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

    fn recorded(uid: &str) -> Map<String, Value> {
        Map::from_iter([(KUBERNETES.to_owned(), json!(uid))])
    }

    #[tokio::test]
    async fn another_cluster_is_refused_and_both_are_named() {
        let (_server, connections) = cluster(ResponseTemplate::new(200).set_body_json(json!({"metadata": {"uid": "uid-1"}}))).await;
        assert_eq!(connections.identity().await.unwrap(), recorded("uid-1"));
        connections.check_identity(&recorded("uid-1")).await.unwrap();
        let error = connections.check_identity(&recorded("uid-2")).await.unwrap_err().to_string();
        assert_eq!(error, "this is another target: the cluster's UID is uid-1, and the run was started against uid-2");
    }

    #[tokio::test]
    async fn an_identity_that_cannot_be_read_is_no_match() {
        let (_server, connections) = cluster(ResponseTemplate::new(403).set_body_json(json!({"message": "no"}))).await;
        let error = connections.check_identity(&recorded("uid-1")).await.unwrap_err();
        assert_eq!(error, IdentityError::Refused { status: 403, message: ": no".into() });
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let gone = KubernetesAccess::Token { url: format!("http://{free}"), token: "a-token".to_owned().into() };
        let error = Connections::new().with_kubernetes(gone).check_identity(&recorded("uid-1")).await.unwrap_err();
        assert!(matches!(&error, IdentityError::Unreachable(KubeError::NotSent { .. })), "{error:?}");
        assert!(error.to_string().contains("refused") && !error.to_string().contains("os error"), "{error}");
        let error = Connections::new().check_identity(&recorded("uid-1")).await.unwrap_err();
        assert_eq!(error, IdentityError::NoConnection(ConnectionError::NoKubernetes));
    }

    #[tokio::test]
    async fn an_identity_of_an_unknown_kind_is_no_match() {
        let recorded = Map::from_iter([("mainframe".to_owned(), json!("1"))]);
        let error = Connections::new().check_identity(&recorded).await.unwrap_err();
        assert_eq!(error, IdentityError::Unknown { what: "mainframe".into() });
    }
}
