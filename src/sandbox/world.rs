//! Everything that the sandbox remembers: the cluster, the load on it, the ticket service, the faults, the tail of the effect log and the account
//! of the database's connections.
//!
//! It must not read files or clocks. Invariant: this one value is what a commit writes, so after a crash all of it is as it was at the
//! last commit.

use serde::{Deserialize, Serialize};

use super::cluster::controller::{Memory, Moment};
use super::cluster::{self, Autoscaler, Store, controller};
use super::connections::Accounting;
use super::effects::Tail;
use super::fault::FaultSet;
use super::load::Load;
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
    /// The requests a second that reach the ticket service.
    #[serde(default)]
    pub(crate) load: Load,
    /// What the cluster's controllers remember.
    #[serde(default)]
    pub(crate) memory: Memory,
    /// The last change was one of the controllers' memory alone, which need not be on disk.
    #[serde(skip)]
    pub(crate) quiet: bool,
}

impl World {
    /// The platform as it is at first; resource versions go on from `version`. `now` is in milliseconds since 1970.
    pub(crate) fn initial(cluster_uid: &str, version: u64, now: u64, autoscaler: Autoscaler) -> Self {
        let (store, memory) = cluster::initial(cluster_uid, version, now, autoscaler);
        Self {
            store,
            memory,
            load: Load::default(),
            quiet: false,
            ticket_service: TicketService::default(),
            faults: FaultSet::default(),
            effects: Tail::default(),
            connections: Accounting::default(),
        }
    }

    /// Lets the cluster do what is due; the answer is when the next thing is.
    pub(crate) fn advance(&mut self, moment: Moment) -> Option<u64> {
        let outcome = controller::reconcile(&mut self.store, &mut self.memory, &self.faults, self.load, moment);
        self.quiet = !outcome.changed;
        outcome.due
    }
}
