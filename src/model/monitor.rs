//! The construct `monitor`: what is sampled, for how long, and what an alert starts.
//!
//! Must not hold a sample: samples are files of the step, never part of a run's state.

use serde::{Deserialize, Serialize};

use super::duration::Span;
use super::step::{Gate, Reading};
use super::template::{Source, Template};

/// The key of the instance that samples, among a monitor's instances: `STEP[samples]`. No alert can be called that.
pub const SAMPLES: &str = "samples";

/// Samples actions that read, every so often, until a time or a condition. Holds no slot and no lock while it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    /// From one sample to the next.
    pub every: Span,
    /// It ends so long after it began; the end is fixed then and survives a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Template>,
    /// It ends at this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Template>,
    /// It ends when this holds for a sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub that: Option<Source>,
    /// What is read, by the name it has in `result`.
    pub samples: Vec<(String, Reading)>,
    /// Numbers that are kept and plotted, by name; may use `result`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<(String, Template)>,
    /// What is looked out for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
}

/// What a monitor looks out for, and the playbook that it starts then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its name; its firings are the steps `STEP[NAME]`, `STEP[NAME-2]` and so on.
    pub name: String,
    /// The condition; may use `result`, the latest sample.
    pub when: Source,
    /// How long it must hold without a break.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// What people are told when it fires; may use `result`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Template>,
    /// The playbook.
    pub playbook: String,
    /// Its parameters; may use `item`: `alert`, `firing`, `message` and the latest `series`.
    pub params: Template,
    /// How often it may fire.
    pub max_firings: u32,
    /// How long after a firing it cannot fire again.
    pub cooldown: Span,
    /// The gate before the playbook's steps; `None`: they start by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Gate>,
}

impl Alert {
    /// The keys of its firings, in order.
    pub fn firings(&self) -> impl Iterator<Item = String> + '_ {
        (1..=self.max_firings).map(|firing| if firing == 1 { self.name.clone() } else { format!("{}-{firing}", self.name) })
    }
}

impl Monitor {
    /// The keys of its instances, in order, each with its alert: first the one that samples, then every firing that there may be.
    pub fn instances(&self) -> Vec<(String, Option<&Alert>)> {
        let mut all = vec![(SAMPLES.to_owned(), None)];
        all.extend(self.alerts.iter().flat_map(|alert| alert.firings().map(move |key| (key, Some(alert)))));
        all
    }

    /// The alert that an instance is a firing of; none for the one that samples.
    pub fn alert_of(&self, key: &str) -> Option<&Alert> {
        self.alerts.iter().find(|alert| alert.firings().any(|firing| firing == key))
    }
}
