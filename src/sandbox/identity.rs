//! What a sandbox keeps over restarts: the cluster's uid, its tokens, the port it had. A reset makes another cluster, and so another uid.
//!
//! It must not change once made, but for the port and a reset's uid. Invariant: the tokens are in files that only their owner can read, and in no `Debug`
//! text.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::SandboxError;
use super::persist;
use super::pooler::Pooler;

/// The identity of a sandbox.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) cluster_uid: String,
    pub(crate) admin_token: String,
    pub(crate) service_token: String,
    /// Of its PostgreSQL user. Empty in a folder from before there was one, until it is next loaded.
    #[serde(default)]
    pub(crate) postgres_password: String,
    /// The token of the account that reads only; empty in a folder of before there was one.
    #[serde(default)]
    pub(crate) viewer_token: String,
    /// A token that the cluster no longer takes; empty in a folder of before there was one.
    #[serde(default)]
    pub(crate) expired_token: String,
    /// The token of the account that changes workloads; empty in a folder of before there was one.
    #[serde(default)]
    pub(crate) deployer_token: String,
    /// The token of the account that sets replicas; empty in a folder of before there was one.
    #[serde(default)]
    pub(crate) scaler_token: String,
    /// What the key of its certificate is made of; empty in a folder of before there was one.
    #[serde(default)]
    pub(crate) tls_secret: String,
    pub(crate) port: u16,
}

/// A running sandbox, as `ready.json` says where it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Where it listens, on 127.0.0.1.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// The uid of the namespace `kube-system`, which identifies the cluster.
    pub cluster_uid: String,
    /// The bearer token of the Kubernetes API and of the control endpoints.
    pub admin_token: String,
    /// The bearer token of the ticket service.
    pub service_token: String,
    /// The password of the user `runsheet` of its PostgreSQL server.
    #[serde(default)]
    pub postgres_password: String,
    /// Whether PgBouncer is before its PostgreSQL server.
    #[serde(default)]
    pub pooler: Pooler,
}

impl Ready {
    /// Says of the sandbox that serves this folder, if one does, that it has this cluster and this pooler.
    pub(crate) fn set(dir: &Path, cluster_uid: String, pooler: Pooler) -> Result<(), SandboxError> {
        match persist::load::<Self>(dir, persist::READY)? {
            Some(ready) => persist::save_json(dir, persist::READY, &Self { cluster_uid, pooler, ..ready }),
            None => Ok(()),
        }
    }
}

fn token() -> String {
    // Two version 7 ids hold some 150 random bits.
    let digest = Sha256::digest(format!("{}{}", Uuid::now_v7(), Uuid::now_v7()));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Identity {
    /// The identity in `dir`, made at the first time.
    pub(crate) fn load_or_make(dir: &Path) -> Result<Self, SandboxError> {
        let loaded: Option<Self> = persist::load(dir, persist::IDENTITY)?;
        let mut identity = loaded.unwrap_or_else(|| Self {
            cluster_uid: Uuid::now_v7().to_string(),
            admin_token: token(),
            service_token: token(),
            postgres_password: String::new(),
            viewer_token: String::new(),
            expired_token: String::new(),
            deployer_token: String::new(),
            scaler_token: String::new(),
            tls_secret: String::new(),
            port: 0,
        });
        // A folder of before has not all of them.
        let later = [
            &mut identity.postgres_password,
            &mut identity.viewer_token,
            &mut identity.expired_token,
            &mut identity.deployer_token,
            &mut identity.scaler_token,
            &mut identity.tls_secret,
        ];
        let missing = later.into_iter().filter(|secret| secret.is_empty()).map(|secret| *secret = token()).count();
        if missing == 0 {
            return Ok(identity);
        }
        identity.save(dir)?;
        Ok(identity)
    }

    /// The uid of the cluster in `dir`; `None` where there is none.
    pub(crate) fn uid_in(dir: &Path) -> Result<Option<String>, SandboxError> {
        Ok(persist::load::<Self>(dir, persist::IDENTITY)?.map(|identity| identity.cluster_uid))
    }

    pub(crate) fn save(&self, dir: &Path) -> Result<(), SandboxError> {
        persist::save_json(dir, persist::IDENTITY, self)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("cluster_uid", &self.cluster_uid).field("port", &self.port).finish_non_exhaustive()
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Ready");
        shown.field("address", &self.address).field("pid", &self.pid).field("cluster_uid", &self.cluster_uid).finish_non_exhaustive()
    }
}
