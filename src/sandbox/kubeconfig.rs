//! The kubeconfig by which `kubectl` reaches a running sandbox, for each of its accounts.
//!
//! It must not start a sandbox. Invariant: the token is of the sandbox in the folder that answers at the address.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::client;
use super::error::SandboxError;
use super::identity::Identity;
use super::persist;

/// An account of the sandbox's cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// May do everything.
    Admin,
    /// Reads everything and writes nothing.
    Viewer,
    /// Changes workloads and what belongs to them in the namespace `production`.
    Deployer,
    /// Sets replicas in the namespace `production`.
    Scaler,
    /// Its token has expired: each request is refused with 401.
    Expired,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Scaler => "scaler",
            Self::Expired => "expired",
        })
    }
}

/// How an account reaches the API server. It holds the account's token.
#[derive(Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    /// The account.
    pub account: Account,
    address: SocketAddr,
    token: String,
}

impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubeconfig").field("account", &self.account).field("address", &self.address).finish_non_exhaustive()
    }
}

impl Kubeconfig {
    /// The API server. Without TLS kubectl sends no token of a user, but it sends the user and the password of an address; other clients
    /// send the token.
    fn server(&self) -> String {
        format!("http://{}:{}@{}", self.account, self.token, self.address)
    }

    /// The file, with the context `sandbox`.
    #[must_use]
    pub fn yaml(&self) -> String {
        let (account, token, server) = (self.account, &self.token, self.server());
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: sandbox\nclusters:\n- name: sandbox\n  cluster:\n    server: {server}\n\
             users:\n- name: {account}\n  user:\n    token: \"{token}\"\n\
             contexts:\n- name: sandbox\n  context:\n    cluster: sandbox\n    user: {account}\n    namespace: production\n"
        )
    }

    /// The same as a document.
    #[must_use]
    pub fn json(&self) -> Value {
        let account = self.account.to_string();
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "sandbox",
            "clusters": [{ "name": "sandbox", "cluster": { "server": self.server() } }],
            "users": [{ "name": account, "user": { "token": self.token } }],
            "contexts": [{ "name": "sandbox", "context": { "cluster": "sandbox", "user": account, "namespace": "production" } }],
        })
    }
}

/// The kubeconfig of an account for the sandbox that runs in `dir`.
///
/// # Errors
/// [`SandboxError::NotRunning`] where none runs; [`SandboxError::Io`] and [`SandboxError::Damaged`] for its files.
pub async fn kubeconfig(dir: &Path, account: Account) -> Result<Kubeconfig, SandboxError> {
    let not_running = || SandboxError::NotRunning { dir: dir.to_owned() };
    let ready = client::find(dir).await?.ok_or_else(not_running)?;
    let identity: Identity = persist::load(dir, persist::IDENTITY)?.ok_or_else(not_running)?;
    let token = match account {
        Account::Admin => identity.admin_token,
        Account::Viewer => identity.viewer_token,
        Account::Deployer => identity.deployer_token,
        Account::Scaler => identity.scaler_token,
        Account::Expired => identity.expired_token,
    };
    Ok(Kubeconfig { account, address: ready.address, token })
}
