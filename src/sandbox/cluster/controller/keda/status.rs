//! The status of a ScaledObject while it is worked out.
//!
//! It must not store it. Invariant: conditions stand in KEDA's own order, and bear no times, so that what did not change is the same.

use serde_json::{Value, json};

use crate::sandbox::cluster::controller::Moment;
use crate::sandbox::cluster::controller::rollout::replicas;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::text;

/// The status.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) status: Value,
}

impl Draft {
    /// As it is, with the conditions that each has.
    pub(super) fn of(object: &Value) -> Self {
        let mut status = if object["status"].is_object() { object["status"].clone() } else { json!({}) };
        if !status["conditions"].is_array() {
            status["conditions"] = json!([
                { "type": "Ready", "status": "Unknown" },
                { "type": "Active", "status": "Unknown" },
                {
                    "type": "Fallback", "status": "False", "reason": "NoFallbackFound",
                    "message": "No fallbacks are active on this scaled object",
                },
                { "type": "Paused", "status": "False" },
            ]);
        }
        Self { status }
    }

    /// Sets a condition; whether it had another status.
    pub(super) fn condition(&mut self, kind: &str, status: &str, reason: &str, message: &str) -> bool {
        let Some(conditions) = self.status["conditions"].as_array_mut() else { return false };
        let condition = json!({ "type": kind, "status": status, "reason": reason, "message": message });
        match conditions.iter_mut().find(|condition| condition["type"] == kind) {
            Some(known) => {
                let changed = known["status"] != status;
                *known = condition;
                changed
            }
            None => {
                conditions.push(condition);
                true
            }
        }
    }

    /// Whether KEDA can work with it; whether that is new.
    pub(super) fn ready(&mut self, ready: bool, reason: &str, message: &str) -> bool {
        self.condition("Ready", if ready { "True" } else { "False" }, reason, message)
    }

    /// One that was paused goes on.
    pub(super) fn unpaused(&mut self) {
        let conditions = self.status["conditions"].as_array();
        if conditions.is_some_and(|list| list.iter().any(|condition| condition["type"] == "Paused" && condition["status"] == "True")) {
            self.condition("Paused", "False", "ScaledObjectUnpaused", "pause annotation removed for ScaledObject");
        }
    }

    /// Sets a member, or takes it away.
    pub(super) fn set(&mut self, member: &str, value: Option<Value>) {
        let Some(members) = self.status.as_object_mut() else { return };
        match value {
            Some(value) => drop(members.insert(member.to_owned(), value)),
            None => drop(members.shift_remove(member)),
        }
    }

    /// What it scales has been found.
    pub(super) fn found(&mut self, target: &Value, resource: Resource, triggers: &[Value]) {
        let kind = resource.kind();
        self.set("scaleTargetKind", Some(json!(format!("apps/v1.{kind}"))));
        let gvkr = json!({ "group": resource.group(), "kind": kind, "resource": resource.plural(), "version": resource.version() });
        self.set("scaleTargetGVKR", Some(gvkr));
        if self.status["originalReplicaCount"].is_null() {
            self.set("originalReplicaCount", Some(json!(replicas(target))));
        }
        let mut types: Vec<&str> = Vec::new();
        let mut logins: Vec<&str> = Vec::new();
        for trigger in triggers {
            let (kind, login) = (text(trigger, "/type"), text(trigger, "/authenticationRef/name"));
            if !types.contains(&kind) {
                types.push(kind);
            }
            if !login.is_empty() && !logins.contains(&login) {
                logins.push(login);
            }
        }
        self.set("triggersTypes", Some(json!(types.join(","))));
        self.set("authenticationsTypes", Some(json!(logins.join(","))));
    }

    /// The metrics of its HPA.
    pub(super) fn metrics(&mut self, hpa: &Value) {
        let all = hpa["spec"]["metrics"].as_array().cloned().unwrap_or_default();
        for (member, pointer) in [("externalMetricNames", "/external/metric/name"), ("resourceMetricNames", "/resource/name")] {
            let names: Vec<&str> = all.iter().map(|metric| text(metric, pointer)).filter(|name| !name.is_empty()).collect();
            let names = (!names.is_empty()).then(|| json!(names));
            self.set(member, names);
        }
    }

    /// When nothing was active any more: now, where that is new.
    pub(super) fn idle_since(&mut self, moment: Moment) -> u64 {
        let said = self.status["lastActiveTime"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        match said.and_then(|time| u64::try_from(time.as_millisecond()).ok()) {
            Some(time) => time,
            None => {
                self.set("lastActiveTime", Some(json!(moment.stamp())));
                // The stamp has whole seconds, and is what the next look will read.
                moment.now / 1000 * 1000
            }
        }
    }
}
