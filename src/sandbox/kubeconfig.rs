//! The kubeconfig by which `kubectl` reaches a running sandbox, for each of its accounts.
//!
//! It must not start a sandbox. Invariant: the token is of the sandbox in the folder that answers at the address.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::client;
use super::error::SandboxError;
use super::identity::Identity;
use super::persist;
use super::tls;

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
    /// The certificate that it shows: PEM.
    certificate: String,
}

impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubeconfig").field("account", &self.account).field("address", &self.address).finish_non_exhaustive()
    }
}

impl Kubeconfig {
    /// The file, with the context `sandbox`. The address has TLS: without, kubectl sends no token of a user.
    #[must_use]
    pub fn yaml(&self) -> String {
        let Self { account, token, address, .. } = self;
        let certificate = self.certificate_data();
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: sandbox\nclusters:\n- name: sandbox\n  cluster:\n    server: https://{address}\n    \
             certificate-authority-data: {certificate}\nusers:\n- name: {account}\n  user:\n    token: \"{token}\"\n\
             contexts:\n- name: sandbox\n  context:\n    cluster: sandbox\n    user: {account}\n    namespace: production\n"
        )
    }

    fn certificate_data(&self) -> String {
        STANDARD.encode(&self.certificate)
    }

    /// The same as a document.
    #[must_use]
    pub fn json(&self) -> Value {
        let account = self.account.to_string();
        let cluster = json!({ "server": format!("https://{}", self.address), "certificate-authority-data": self.certificate_data() });
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "sandbox",
            "clusters": [{ "name": "sandbox", "cluster": cluster }],
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
    let certificate = tls::certificate_pem(&identity.tls_secret).ok_or_else(not_running)?;
    Ok(Kubeconfig { account, address: ready.address, token, certificate })
}
