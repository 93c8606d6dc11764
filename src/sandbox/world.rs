//! Everything that the sandbox remembers: the cluster, the ticket service, the faults, the tail of the effect log and the account of the database's connections.
//!
//! It must not read files or clocks. Invariant: this one value is what a commit writes, so after a crash all of it is as it was at the
//! last commit.

use serde::{Deserialize, Serialize};

use super::cluster::{self, Store};
use super::connections::Accounting;
use super::effects::Tail;
use super::fault::FaultSet;
use super::ticket_service::TicketService;

/// The state of the simulated platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) ticket_service: TicketService,
    pub(crate) faults: FaultSet,
    pub(crate) effects: Tail,
    #[serde(default)]
    pub(crate) connections: Accounting,
}

impl World {
    /// The platform as it is at first; resource versions go on from `version`. `now` is in milliseconds since 1970.
    pub(crate) fn initial(cluster_uid: &str, version: u64, now: u64) -> Self {
        Self {
            store: cluster::initial(cluster_uid, version, now),
            ticket_service: TicketService::default(),
            faults: FaultSet::default(),
            effects: Tail::default(),
            connections: Accounting::default(),
        }
    }
}
