//! Everything that the sandbox remembers: the cluster, the load on it, the ticket service, the faults, the tail of the effect log and the account
//! of the database's connections.
//!
//! It must not read files or clocks. Invariant: this one value is what a commit writes, so after a crash all of it is as it was at the
//! last commit.

use serde::{Deserialize, Serialize};

use super::aws::Aws;
use super::cluster::controller::{Memory, Moment};
use super::cluster::{self, ArgoCd, Autoscaler, Store, controller};
use super::connections::Accounting;
use super::effects::Tail;
use super::fault::FaultSet;
use super::load::Load;
use super::pooler::{Bouncers, Pooler};
use super::ticket_service::TicketService;
use super::traffic::Traffic;

/// The state of the simulated platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) ticket_service: TicketService,
    pub(crate) faults: FaultSet,
    pub(crate) effects: Tail,
    #[serde(default)]
    pub(crate) connections: Accounting,
    /// PgBouncer's instances, where there are any: a reset goes back to their files.
    #[serde(default)]
    pub(crate) bouncers: Bouncers,
    /// The requests a second that reach the ticket service.
    #[serde(default)]
    pub(crate) load: Load,
    /// The autoscaler that the cluster was made with: a reset goes back to it.
    #[serde(default)]
    pub(crate) autoscaler: Autoscaler,
    /// The Argo CD that the cluster was made with: a reset goes back to it.
    #[serde(default)]
    pub(crate) argocd: ArgoCd,
    /// What the cluster's controllers remember.
    #[serde(default)]
    pub(crate) memory: Memory,
    /// The caches and databases that AWS runs.
    #[serde(default)]
    pub(crate) aws: Aws,
    /// What the load has come to.
    #[serde(default)]
    pub(crate) traffic: Traffic,
    /// The last change was one of the controllers' memory alone, which need not be on disk.
    #[serde(skip)]
    pub(crate) quiet: bool,
}

impl World {
    /// The uid of its cluster: that of the namespace `kube-system`.
    pub(crate) fn cluster_uid(&self) -> Option<String> {
        cluster::uid(&self.store)
    }

    /// The platform as it is at first; resource versions go on from `version`. `now` is in milliseconds since 1970.
    pub(crate) fn initial(cluster_uid: &str, version: u64, now: u64, autoscaler: Autoscaler, argocd: ArgoCd) -> Self {
        let (store, memory) = cluster::initial(cluster_uid, version, now, autoscaler, argocd);
        Self {
            store,
            memory,
            load: Load::default(),
            autoscaler,
            argocd,
            aws: Aws::default(),
            quiet: false,
            traffic: Traffic::default(),
            ticket_service: TicketService::default(),
            faults: FaultSet::default(),
            effects: Tail::default(),
            connections: Accounting::default(),
            bouncers: Bouncers::default(),
        }
    }

    /// With this between the Pods and the database.
    #[must_use]
    pub(crate) fn with_pooler(self, pooler: Pooler) -> Self {
        Self { bouncers: Bouncers::new(pooler), ..self }
    }

    /// Lets the cluster do what is due; the answer is when the next thing is.
    pub(crate) fn advance(&mut self, moment: Moment) -> Option<u64> {
        let outcome = controller::reconcile(&mut self.store, &mut self.memory, &self.faults, self.load, &self.traffic, moment);
        let (aws_changed, aws_due) = self.aws.advance(moment);
        self.quiet = !outcome.changed && !aws_changed;
        outcome.due.into_iter().chain(aws_due).min()
    }
}
