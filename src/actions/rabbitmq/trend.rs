//! What the counts of queues do between two samples.
//!
//! Must not take a sample. Invariant: a queue that is not in both, or whose counts one of them lacks, has no rate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::queue::Queue;

/// Messages a second by which each queue grew (less than 0: it was drained), and all of them together.
#[derive(Debug, Default)]
pub(super) struct Trend {
    by_queue: BTreeMap<(String, String), f64>,
    /// Of all queues that have one; `None` where none has.
    pub(super) sum: Option<f64>,
}

impl Trend {
    /// From two samples and the time between them.
    pub(super) fn between(first: &[Queue], second: &[Queue], apart: Duration) -> Self {
        let counts: BTreeMap<(&str, &str), u64> =
            first.iter().filter_map(|queue| Some(((queue.vhost.as_str(), queue.name.as_str()), queue.messages?))).collect();
        let mut trend = Self::default();
        for queue in second {
            let Some((before, after)) = counts.get(&(queue.vhost.as_str(), queue.name.as_str())).zip(queue.messages) else { continue };
            // Counts stay far below 2^53.
            let rate = (after as f64 - *before as f64) / apart.as_secs_f64().max(0.001);
            trend.by_queue.insert((queue.vhost.clone(), queue.name.clone()), rate);
            trend.sum = Some(trend.sum.unwrap_or_default() + rate);
        }
        trend
    }

    /// Of one queue.
    pub(super) fn of(&self, queue: &Queue) -> Option<f64> {
        self.by_queue.get(&(queue.vhost.clone(), queue.name.clone())).copied()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn queue(name: &str, messages: Option<u64>) -> Queue {
        Queue::of(&json!({ "name": name, "vhost": "/", "messages": messages })).unwrap()
    }

    #[test]
    fn queues_grow_and_drain() {
        let first = [queue("a", Some(10)), queue("b", Some(100)), queue("new", None), queue("gone", Some(5))];
        let second = [queue("a", Some(30)), queue("b", Some(80)), queue("new", Some(7)), queue("newer", Some(1))];
        let trend = Trend::between(&first, &second, Duration::from_secs(10));
        assert_eq!((trend.of(&second[0]), trend.of(&second[1])), (Some(2.0), Some(-2.0)));
        assert_eq!((trend.of(&second[2]), trend.of(&second[3])), (None, None), "what was not counted before has no rate");
        assert_eq!(trend.sum, Some(0.0));
        assert_eq!(Trend::between(&[], &second, Duration::from_secs(10)).sum, None);
    }
}
