//! DB instances: what they are, what they become, and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sandbox::cluster::controller::Moment;

/// How long a replica is `creating`, then `backing-up`, and how long one is `deleting`, in milliseconds.
const CREATING: f64 = 60_000.0;
const BACKING_UP: f64 = 20_000.0;
const DELETING: f64 = 20_000.0;

/// An instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) class: String,
    pub(super) status: String,
    pub(super) source: Option<String>,
    pub(super) backup_retention_days: u32,
    pub(super) tags: BTreeMap<String, String>,
    /// The states to come, each with when it begins: milliseconds since 1970. `gone` ends it.
    to_come: Vec<(u64, String)>,
}

/// All instances, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Databases(pub(super) BTreeMap<String, Instance>);

impl Default for Databases {
    fn default() -> Self {
        let instance = Instance {
            class: "db.r6g.large".to_owned(),
            status: "available".to_owned(),
            source: None,
            backup_retention_days: 7,
            tags: BTreeMap::from([("team".to_owned(), "tickets".to_owned())]),
            to_come: Vec::new(),
        };
        Self(BTreeMap::from([("ticket-db".to_owned(), instance)]))
    }
}

fn after(moment: Moment, milliseconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and far below the largest")]
    let scaled = (milliseconds / moment.speed).ceil() as u64;
    moment.now + scaled
}

impl Instance {
    pub(super) fn replica(source: &str, class: String, tags: BTreeMap<String, String>, moment: Moment) -> Self {
        Self {
            class,
            status: "creating".to_owned(),
            source: Some(source.to_owned()),
            backup_retention_days: 0,
            tags,
            to_come: vec![
                (after(moment, CREATING), "backing-up".to_owned()),
                (after(moment, CREATING + BACKING_UP), "available".to_owned()),
            ],
        }
    }

    pub(super) fn delete(&mut self, moment: Moment) {
        self.status = "deleting".to_owned();
        self.to_come = vec![(after(moment, DELETING), "gone".to_owned())];
    }
}

impl Databases {
    pub(super) fn advance(&mut self, moment: Moment) -> bool {
        let mut changed = false;
        for instance in self.0.values_mut() {
            while let Some((_, status)) = instance.to_come.first().filter(|(at, _)| *at <= moment.now) {
                instance.status.clone_from(status);
                instance.to_come.remove(0);
                changed = true;
            }
        }
        self.0.retain(|_, instance| instance.status != "gone");
        changed
    }

    pub(super) fn due(&self) -> Option<u64> {
        self.0.values().filter_map(|instance| instance.to_come.first().map(|(at, _)| *at)).min()
    }
}
