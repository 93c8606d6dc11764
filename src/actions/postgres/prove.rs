//! The sum, from the cluster and the server as they are now; and the proof that a size of the pool fits, for whoever is about to let one grow.
//!
//! Must not change anything. Invariant: a proof counts the pods that are there as well as those that are wanted, so that it holds on the way, too:
//! a rollout does not wait for old pods to be gone, so that all of them and all new ones may be there at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::activity::{self, Activity, Answers};
use super::budget::{Parts, Sum, Surge};
use super::pooled::Pooled;
use super::workload::{self, Pods};
use crate::actions::kubernetes::{Capacity, WorkloadName, capacity};
use crate::actions::pgbouncer::{self, Limits, Server};
use crate::actions::support;
use crate::environment::Connections;
use crate::model::outcome::Failure;
use crate::ports::action::Context;

/// How long a session and its statements may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Whether a size of the pool fits. It can be kept in an intent's note: it holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Question {
    /// `deployment/ticket-service`
    pub(crate) workload: String,
    /// Its namespace; the target's where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// The server, as `target.postgres` names it.
    pub(crate) database: Value,
    /// What stands between the pods and the server.
    #[serde(default, skip_serializing_if = "Through::is_direct")]
    pub(crate) through: Through,
    /// The wanted replicas; those that the workload has where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replicas: Option<i64>,
    /// The most replicas, in the place of the autoscaler's maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) maximum: Option<i64>,
    /// Connections to be left free.
    #[serde(default)]
    pub(crate) reserve: i64,
    /// The size of the pool that is to fit.
    pub(crate) pool_size: i64,
    /// The rollout that brings this size; none where the pods that are there stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rollout: Option<Replacing>,
}

/// What stands between the pods and the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Through {
    /// Nothing: each connection of a pod is one of the server.
    #[default]
    Direct,
    /// The environment's PgBouncer.
    PgBouncer,
}

impl Through {
    /// Whether nothing does.
    pub(crate) fn is_direct(&self) -> bool {
        *self == Self::Direct
    }
}

/// What a rollout replaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Replacing {
    /// The container that opens the connections.
    pub(crate) container: String,
    /// Its variable that says how many.
    pub(crate) variable: String,
    /// What the variable was, for pods that do not say it themselves.
    pub(crate) size: i64,
}

/// Which server and workload are read.
pub(super) struct Reading<'a> {
    pub(super) action: &'a str,
    pub(super) workload: &'a WorkloadName,
    pub(super) namespace: Option<&'a str>,
    pub(super) database: &'a Value,
    pub(super) through: Through,
    /// In the place of the autoscaler's maximum.
    pub(super) maximum: Option<i64>,
}

/// What was read.
pub(super) struct Read {
    pub(super) capacity: Capacity,
    pub(super) pods: Pods,
    pub(super) activity: Activity,
    /// Surge, maximum, terminating pods and the server's side; the rest is the caller's.
    pub(super) parts: Parts,
    /// That pods which are there have a larger pool than the template says, where they do.
    pub(super) larger: Option<String>,
    /// What to know of PgBouncer's part before it is believed.
    pub(super) pooler_doubts: Vec<String>,
}

impl Reading<'_> {
    /// Reads the cluster, then the server.
    pub(super) async fn read(&self, connections: &Arc<Connections>, cx: &Context) -> Result<Read, Failure> {
        // What the environment does not know is said before anything is asked.
        let access = connections.postgres_for(self.database).map_err(|error| support::not_connected(&error))?;
        let pooler = match self.through {
            Through::Direct => None,
            Through::PgBouncer => Some(connections.pgbouncer().map_err(|error| support::not_connected(&error))?),
        };
        let capacity = capacity(self.action, connections, cx, self.workload, self.namespace).await?;
        let pods = workload::pods(&capacity);
        let maximum = match self.maximum {
            Some(maximum) => Some(maximum),
            None => workload::maximum(&capacity)?,
        };
        let mut parts = Parts { maximum, surge: workload::surge(&capacity)?, terminating: pods.terminating, ..Parts::default() };
        let safe = |mut failure: Failure| {
            failure.message = cx.log.redact(&failure.message);
            failure
        };
        // PgBouncer first: what it opens while the server is asked is counted as somebody else's.
        let instances = match pooler {
            Some(pooler) => Some(pgbouncer::all(connections, cx, pooler).await?),
            None => None,
        };
        let session = connections.postgres_session(&access, support::within(cx, WITHIN)).await;
        let session = session.map_err(|error| safe(activity::failure(&error)))?;
        let answers = Answers::read(&session).await.map_err(safe)?;
        let server = Server { host: &access.host, port: access.port, database: &access.database };
        let limits = instances.map(|instances| Limits::of(&instances, server, &pods.addresses, &answers.seen()));
        let none = BTreeSet::new();
        let activity = answers.counted(&pods.addresses, limits.as_ref().map_or(&none, |limits| &limits.held)).map_err(safe)?;
        activity.fill(&mut parts);
        let mut pooler_doubts = Vec::new();
        if let Some(limits) = limits {
            let mut pooled = Pooled::from(&limits);
            if activity.own > 0 {
                // Counted as clients of PgBouncer, they would be free of charge.
                pooled.refused.get_or_insert_with(|| {
                    format!("{} connections come from the workload's pods to the server itself, past PgBouncer", activity.own)
                });
            }
            parts.pooled = Some(pooled);
            pooler_doubts = limits.doubts;
        }
        Ok(Read { capacity, pods, activity, parts, larger: None, pooler_doubts })
    }
}

impl Read {
    /// What to know before the sum is believed, and who the others are.
    pub(super) fn remarks(&self) -> Vec<String> {
        let doubts = match &self.parts.pooled {
            // Through PgBouncer no connection of a pod is seen.
            Some(_) => self.pooler_doubts.clone(),
            None => self.activity.doubts(self.pods.staying),
        };
        std::iter::once(self.activity.holders()).chain(doubts).filter(|text| !text.is_empty()).collect()
    }

    /// The failure of a sum that does not fit, with all that leads to it.
    pub(super) fn failure(&self, sum: &Sum, cx: &Context) -> Failure {
        let obstacle = sum.pooled.as_ref().and_then(|pooled| pooled.obstacle(sum.free));
        let mut message = if let Some(obstacle) = &obstacle {
            format!("the connections do not fit through PgBouncer: {obstacle}; {}", sum.line())
        } else if sum.largest_pool_size < 1 {
            format!("not even one connection a pod fits: {}", sum.line())
        } else {
            format!("the connections do not fit: {}", sum.line())
        };
        let causes = sum.causes();
        if !causes.is_empty() && obstacle.is_none() {
            message.push_str(&format!("; what it takes: {}", causes.join(", ")));
        }
        for text in self.remarks() {
            message.push_str(&format!("; {text}"));
        }
        if let Some(larger) = &self.larger {
            message.push_str(&format!("; {larger}"));
        }
        let failure = Failure::permanent(cx.log.redact(&message));
        if let Some(pooled) = sum.pooled.as_ref().filter(|_| obstacle.is_some()) {
            failure.hint(if pooled.refused.is_none() {
                "lower PgBouncer's `default_pool_size` (`pgbouncer.set`), bound it by `max_db_connections`, or free what others hold"
            } else if self.activity.own > 0 {
                "point the pods to PgBouncer, or count them without it (`through: direct`); pods of an earlier template are gone when the rollout is done"
            } else {
                "give the pool `pool_mode = transaction` in PgBouncer's configuration, or count without it (`through: direct`)"
            })
        } else if self.larger.is_some() {
            failure.hint("wait until the rollout is done and the old pods are gone (`kubectl rollout status`), or undo it where it hangs")
        } else if sum.largest_pool_size < 1 {
            failure.hint("fewer pods, a lower maximum of the autoscaler, or a connection pooler (PgBouncer) before the server")
        } else if sum.pooled.is_some() {
            failure.hint(format!(
                "a pool of {} a pod fits, or raise `max_client_conn` of every instance of PgBouncer (`pgbouncer.set`, within its limit of open files)",
                sum.largest_pool_size
            ))
        } else {
            failure.hint(format!(
                "a pool of {0} a pod fits: set it before the pods become more (`k8s.set_env`; as a playbook: `runsheet run pool-size -p pool_size={0}`)",
                sum.largest_pool_size
            ))
        }
    }
}

impl Read {
    /// Proves that all pods that are there and all that take their place fit together.
    fn replaced(&self, sum: &Sum, replacing: &Replacing, cx: &Context) -> Result<(), Failure> {
        let old = workload::held(&self.capacity, &replacing.container, &replacing.variable, replacing.size);
        let (new, size, free) = (sum.replicas, sum.current_pool_size, sum.room());
        let both = i128::from(new) * i128::from(size) + i128::from(old);
        let line = format!(
            "while pods are replaced, the {} old ones with {old} connections and {new} new ones × {size} may be there at once = {both}; {}",
            self.capacity.pods.len(),
            sum.room_line()
        );
        cx.log.line(&line);
        if both <= i128::from(free) {
            return Ok(());
        }
        let holders = self.activity.holders();
        let holders = if holders.is_empty() { holders } else { format!("; {holders}") };
        let failure = Failure::permanent(cx.log.redact(&format!("the connections do not fit on the way: {line}{holders}")));
        Err(failure.hint("change the size where there are fewer pods (give back a scale-up first), or free what others hold"))
    }
}

/// Proves that a pool of this size fits, with the pods that there are and those that are wanted.
///
/// # Errors
/// That it does not fit, with the whole sum; or a read that failed, which may be transient.
pub(crate) async fn prove(connections: &Arc<Connections>, cx: &Context, question: &Question) -> Result<Sum, Failure> {
    let workload: WorkloadName = question.workload.parse()?;
    let reading = Reading {
        action: "the budget of connections",
        workload: &workload,
        namespace: question.namespace.as_deref(),
        database: &question.database,
        through: question.through,
        maximum: question.maximum,
    };
    let mut read = reading.read(connections, cx).await?;
    let replicas = question.replicas.unwrap_or(read.capacity.replicas);
    // A scale-down that the cluster has not begun yet: its pods still hold what they hold.
    let at_least = read.pods.staying;
    read.parts = Parts { replicas, at_least, pool_size: question.pool_size, spare: question.reserve, ..read.parts };
    let sum = read.parts.sum();
    cx.log.line(&sum.line());
    let largest = sum.largest_pool_size;
    let hint = format!(
        "at most {largest} a pod fits now; more does when others hold fewer connections, pods are fewer, or a rollout adds fewer (`maxSurge`)"
    );
    if !sum.fits {
        return Err(read.failure(&sum, cx).hint(hint));
    }
    if let Some(replacing) = question.rollout.as_ref().filter(|_| read.parts.surge != Surge::None) {
        read.replaced(&sum, replacing, cx)?;
    }
    Ok(sum)
}
