//! What the load has come to over time: requests that were served and that failed, and purchases that wait in a queue.
//!
//! It must not know who asks. Invariant: everything follows from when the load and the number of ready Pods changed, so that a restart loses nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cluster::Store;
use super::cluster::pod::{self, Stage};
use super::cluster::resource::Resource;
use super::load::Load;

/// The queue that purchases wait in.
pub(crate) const PURCHASES: &str = "ticket-purchases";
/// The requests a second that one Pod takes, as the scaling procedure counts; what comes beyond that fails.
const PER_POD: f64 = 250.0;
/// One request of so many is a purchase, which goes through the queue.
const PURCHASE: f64 = 5.0;
/// How many changes of a rate are remembered.
const MOST: usize = 128;

/// From when on something grows at what rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Step {
    /// Milliseconds since 1970.
    at: u64,
    value: f64,
    /// A second of the platform's own time.
    rate: f64,
}

/// Something that grows (or shrinks, down to nothing) at a rate that changes now and then.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    steps: Vec<Step>,
}

impl Tally {
    /// How much there was at a time.
    pub(crate) fn at(&self, time: u64, speed: f64) -> f64 {
        let Some(step) = self.steps.iter().rev().find(|step| step.at <= time) else { return 0.0 };
        // Times differ by far less than 2^53 milliseconds.
        let seconds = (time - step.at) as f64 / 1000.0 * speed;
        (step.value + step.rate * seconds).max(0.0)
    }

    /// By how much a second it grew over so many seconds of the platform's own time.
    pub(crate) fn rate(&self, time: u64, speed: f64, seconds: f64) -> f64 {
        let before = time.saturating_sub((seconds / speed * 1000.0) as u64);
        (self.at(time, speed) - self.at(before, speed)) / seconds
    }

    fn goes(&mut self, rate: f64, now: u64, speed: f64) {
        if self.steps.last().map_or(0.0, |step| step.rate) == rate {
            return;
        }
        let value = self.at(now, speed);
        if self.steps.len() >= MOST {
            self.steps.remove(0);
        }
        self.steps.push(Step { at: now, value, rate });
    }
}

/// What has come of the load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// Requests that were answered.
    pub(crate) served: Tally,
    /// Requests that no Pod had time for.
    pub(crate) failed: Tally,
    /// Purchases that wait.
    pub(crate) waiting: Tally,
    /// Purchases that were published, and those that a Pod took.
    pub(crate) published: Tally,
    pub(crate) taken: Tally,
}

/// The ready Pods of the ticket service.
pub(crate) fn ready_pods(store: &Store) -> Vec<String> {
    let ready = |pod: &Value| pod["metadata"]["labels"]["app"] == "ticket-service" && pod::stage(pod) == Stage::Ready;
    let pods = store.list(Resource::Pods, Some("production")).filter(|entry| ready(&entry.object));
    pods.filter_map(|entry| entry.object["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

impl Traffic {
    /// Takes up a change of the load or of the Pods.
    pub(crate) fn sample(&mut self, store: &Store, load: Load, now: u64, speed: f64) {
        let pods = ready_pods(store).len() as f64;
        let capacity = pods * PER_POD;
        self.served.goes(load.rps.min(capacity), now, speed);
        self.failed.goes((load.rps - capacity).max(0.0), now, speed);
        let (come, can) = (load.rps / PURCHASE, capacity / PURCHASE);
        let backlog = self.waiting.at(now, speed) > 0.0;
        self.published.goes(come, now, speed);
        self.taken.goes(if backlog { can } else { come.min(can) }, now, speed);
        // While there is nothing to drain, nothing is drained.
        self.waiting.goes(if come > can || backlog { come - can } else { 0.0 }, now, speed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_grows_shrinks_to_nothing_and_knows_its_past() {
        let mut tally = Tally::default();
        assert_eq!(tally.at(5_000, 1.0), 0.0);
        tally.goes(0.0, 1_000, 1.0);
        assert_eq!(tally, Tally::default(), "nothing changed");
        tally.goes(10.0, 10_000, 1.0);
        assert_eq!((tally.at(9_000, 1.0), tally.at(20_000, 1.0), tally.at(20_000, 2.0)), (0.0, 100.0, 200.0));
        assert_eq!(tally.rate(20_000, 1.0, 5.0), 10.0);
        assert_eq!(tally.rate(20_000, 1.0, 20.0), 5.0, "half of that time there was nothing");
        tally.goes(-50.0, 20_000, 1.0);
        assert_eq!((tally.at(21_000, 1.0), tally.at(30_000, 1.0), tally.at(15_000, 1.0)), (50.0, 0.0, 50.0));
        let kept: Tally = serde_json::from_value(serde_json::to_value(&tally).unwrap()).unwrap();
        assert_eq!(kept, tally);
    }
}
