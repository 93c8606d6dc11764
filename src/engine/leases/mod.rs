//! Locks between machines: for each object of a cluster that is locked, a `coordination.k8s.io` Lease in its namespace, beside the lock of this machine.
//!
//! It must not compare another machine's clock with this one's. Invariants: the lock of this machine is taken first and freed last; every write
//! of a Lease is refused by the server where somebody else has changed it since; a Lease is ours only until a time by this machine's own clock
//! (one that counts suspend) that lies before the one at which others may take it over.
//!
//! A Lease whose holder is dead is taken over at once where that can be proved (its holder had locked the very file that we have locked now), else once
//! it was seen unchanged for its whole duration. An account that may not write Leases has the locks of its machine, and the run says so.

mod acquire;
mod api;
mod guard;
mod lease;
mod note;
mod place;
#[cfg(test)]
mod stand_in;
mod terms;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;

use self::acquire::Leases;
use self::api::LeaseApi;
use self::note::Note;
pub use self::note::Tell;
pub use self::terms::{Terms, boot_clock};
use super::lock_files::{FileAttempt, FileLocks};
use crate::environment::Connections;
use crate::model::change::ObjectRef;
use crate::ports::lock::{Attempt, Keeper, LockError, Locks};

/// The cluster whose objects are locked by Leases too.
#[derive(Clone, Debug)]
pub struct LeaseCluster {
    /// Its UID, as objects name it.
    pub uid: String,
    /// The namespace for the Leases of what is in none.
    pub namespace: String,
    /// The ways to it.
    pub connections: Arc<Connections>,
}

/// Locks as files of this machine and, for the objects of one cluster, as Leases there.
pub struct LeaseLocks {
    files: FileLocks,
    leases: Arc<Leases>,
    runtime: Handle,
}

impl LeaseLocks {
    /// Locks of this cluster's objects. `tell` is told, once for each namespace, where locks hold on this machine only.
    pub fn new(files: FileLocks, cluster: LeaseCluster, terms: Terms, runtime: Handle, tell: Tell) -> Self {
        let api = LeaseApi::new(Arc::clone(&cluster.connections), terms.request());
        let leases = Arc::new(Leases::new(api, cluster.uid, cluster.namespace, terms, runtime.clone(), Note::new(tell)));
        Self { files, leases, runtime }
    }
}

#[async_trait]
impl Locks for LeaseLocks {
    async fn try_lock(&self, object: &ObjectRef, holder: &str) -> Result<Attempt, LockError> {
        let file = match self.files.try_file(object, holder)? {
            FileAttempt::Taken(file) => file,
            FileAttempt::Held { by } => return Ok(Attempt::Held { by }),
        };
        let Some(place) = self.leases.place(object) else { return Ok(Attempt::Taken(Box::new(file))) };
        // On a task of its own: where nobody waits for it any more, what it has taken is given back.
        let (leases, asked, holder) = (Arc::clone(&self.leases), object.clone(), holder.to_owned());
        let taking = self.runtime.spawn(async move { leases.take(place, &asked, &holder, file).await });
        taking.await.unwrap_or_else(|error| {
            let (object, why) = (object.clone(), format!("the task that takes its Lease ended: {error}"));
            Err(LockError { object, why, hint: "try again: `runsheet resume`".to_owned(), keeper: Keeper::Target })
        })
    }
}
