//! Replication groups: what they are, what they become, and when.
//!
//! It must not answer requests. Invariant: a group has the node type that it says at every moment; what waits or is under way is kept beside it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::window;
use crate::sandbox::cluster::controller::Moment;

/// The node types of here, from the smallest on.
pub(super) const NODE_TYPES: [&str; 8] = [
    "cache.t4g.micro",
    "cache.t4g.small",
    "cache.t4g.medium",
    "cache.m6g.large",
    "cache.r6g.large",
    "cache.r6g.xlarge",
    "cache.r6g.2xlarge",
    "cache.r6g.4xlarge",
];
/// How long a group is still `available` after a change was taken, in milliseconds.
const TAKEN_UP: f64 = 2_000.0;
/// How long a change of the node type takes.
const RESIZED: f64 = 60_000.0;
/// How long a change of the replicas takes.
const REPLICATED: f64 = 30_000.0;

/// A group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) node_type: String,
    /// The numbers of its members; the first is the primary.
    pub(super) members: Vec<u32>,
    /// The number that the next member is given.
    next_member: u32,
    pub(super) window: String,
    pub(super) work: Option<Work>,
}

/// A change that waits or is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Work {
    pub(super) node_type: Option<String>,
    pub(super) members: Option<Vec<u32>>,
    /// When it begins, and when it is done: milliseconds since 1970.
    begins: u64,
    ends: u64,
    /// Whether it has begun: the group is `modifying`.
    pub(super) begun: bool,
    /// Whether it waits for the maintenance window.
    pub(super) in_window: bool,
}

/// All groups, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Groups(pub(super) BTreeMap<String, Group>);

impl Default for Groups {
    fn default() -> Self {
        let group = Group {
            node_type: "cache.t4g.medium".to_owned(),
            members: vec![1, 2],
            next_member: 3,
            window: "sun:05:00-sun:06:00".to_owned(),
            work: None,
        };
        Self(BTreeMap::from([("ticket-redis".to_owned(), group)]))
    }
}

fn after(moment: Moment, milliseconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and far below the largest")]
    let scaled = (milliseconds / moment.speed).ceil() as u64;
    moment.now + scaled
}

impl Group {
    pub(super) fn status(&self) -> &'static str {
        if self.work.as_ref().is_some_and(|work| work.begun) { "modifying" } else { "available" }
    }

    /// Whether another change is refused now. One that waits for the window can be replaced.
    pub(super) fn is_busy(&self) -> bool {
        self.work.as_ref().is_some_and(|work| !work.in_window || work.begun)
    }

    /// Takes another node type: at once, or in the window.
    pub(super) fn resize(&mut self, node_type: &str, immediately: bool, moment: Moment) {
        if self.node_type == node_type {
            // What waited is taken back.
            self.work = None;
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most a week")]
        let wait = if immediately { TAKEN_UP } else { (window::until(&self.window, moment.now) as f64).max(TAKEN_UP) };
        self.work = Some(Work {
            node_type: Some(node_type.to_owned()),
            members: None,
            begins: after(moment, wait),
            ends: after(moment, wait + RESIZED),
            begun: false,
            in_window: !immediately,
        });
    }

    /// Takes more replicas.
    pub(super) fn grow(&mut self, replicas: usize, moment: Moment) {
        let mut members = self.members.clone();
        while members.len() < replicas + 1 {
            members.push(self.next_member);
            self.next_member += 1;
        }
        self.replicate(members, moment);
    }

    /// Takes fewer: without these members, or without the youngest ones.
    pub(super) fn shrink(&mut self, replicas: usize, remove: &[u32], moment: Moment) {
        let mut members: Vec<u32> = self.members.iter().copied().filter(|member| !remove.contains(member)).collect();
        members.truncate(replicas + 1);
        self.replicate(members, moment);
    }

    fn replicate(&mut self, members: Vec<u32>, moment: Moment) {
        self.work = Some(Work {
            node_type: None,
            members: Some(members),
            begins: after(moment, TAKEN_UP),
            ends: after(moment, TAKEN_UP + REPLICATED),
            begun: false,
            in_window: false,
        });
    }

    fn advance(&mut self, now: u64) -> bool {
        let Some(work) = &mut self.work else { return false };
        if work.ends <= now {
            let work = self.work.take();
            let (node_type, members) = work.map(|work| (work.node_type, work.members)).unwrap_or_default();
            self.node_type = node_type.unwrap_or_else(|| self.node_type.clone());
            self.members = members.unwrap_or_else(|| self.members.clone());
            return true;
        }
        let begins = !work.begun && work.begins <= now;
        work.begun |= begins;
        begins
    }
}

impl Groups {
    pub(super) fn advance(&mut self, moment: Moment) -> bool {
        self.0.values_mut().fold(false, |changed, group| group.advance(moment.now) | changed)
    }

    pub(super) fn due(&self) -> Option<u64> {
        let due = |work: &Work| if work.begun { work.ends } else { work.begins };
        self.0.values().filter_map(|group| group.work.as_ref().map(due)).min()
    }

    /// Sets a field as somebody else's finished change would have left it; what was there.
    pub(super) fn meddle(&mut self, name: &str, field: &str, value: &Value) -> Result<Value, String> {
        let group = self.0.get_mut(name).ok_or_else(|| format!("there is no object aws/elasticache/{name}"))?;
        match (field, value.as_str(), value.as_u64()) {
            ("CacheNodeType", Some(node_type), _) if NODE_TYPES.contains(&node_type) => {
                let was = std::mem::replace(&mut group.node_type, node_type.to_owned());
                group.work = None;
                Ok(json!(was))
            }
            ("ReplicaCount", _, Some(replicas @ 0..=5)) => {
                let was = group.members.len() - 1;
                let replicas = usize::try_from(replicas).unwrap_or(0);
                group.members.truncate(replicas + 1);
                while group.members.len() < replicas + 1 {
                    group.members.push(group.next_member);
                    group.next_member += 1;
                }
                group.work = None;
                Ok(json!(was))
            }
            _ => Err(format!(
                "`{field}` of a replication group cannot be {value}: CacheNodeType is one of {}, ReplicaCount 0 to 5",
                NODE_TYPES.join(", ")
            )),
        }
    }
}
