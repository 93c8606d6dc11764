//! A queue, as the management API shows it.
//!
//! Must not ask anything. Invariant: a count that the statistics do not hold yet (a queue that was just declared) is none, not 0.

use serde_json::{Value, json};

/// A queue.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Queue {
    pub(super) vhost: String,
    pub(super) name: String,
    /// `classic`, `quorum` or `stream`.
    pub(super) kind: String,
    pub(super) state: Option<String>,
    pub(super) messages: Option<u64>,
    pub(super) ready: Option<u64>,
    pub(super) unacknowledged: Option<u64>,
    pub(super) consumers: Option<u64>,
    pub(super) leader: Option<String>,
    pub(super) members: Vec<String>,
    pub(super) online: Vec<String>,
    publish_rate: Option<f64>,
    deliver_rate: Option<f64>,
    ack_rate: Option<f64>,
}

impl Queue {
    /// From the answer; `None` where it is no queue.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
        let count = |key: &str| value.get(key)?.as_u64();
        let names = |key: &str| {
            let names = value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
        };
        // Without statistics there are none of its messages either.
        let told = count("messages").is_some();
        let rate = |key: &str| {
            let rate = value.pointer(&format!("/message_stats/{key}_details/rate")).and_then(Value::as_f64);
            rate.or_else(|| told.then_some(0.0))
        };
        Some(Self {
            vhost: text("vhost")?,
            name: text("name")?,
            kind: text("type").unwrap_or_else(|| "classic".to_owned()),
            state: text("state"),
            messages: count("messages"),
            ready: count("messages_ready"),
            unacknowledged: count("messages_unacknowledged"),
            consumers: count("consumers"),
            // A classic queue is on one node, which leads it.
            leader: text("leader").or_else(|| text("node")),
            members: names("members"),
            online: names("online"),
            publish_rate: rate("publish"),
            deliver_rate: rate("deliver_get"),
            ack_rate: rate("ack"),
        })
    }

    pub(super) fn is_quorum(&self) -> bool {
        self.kind == "quorum"
    }

    /// The nodes without any one of which a quorum queue would have no majority: none while one more than it takes is online. One of which no member is
    /// online needs each of them back.
    pub(super) fn critical_nodes(&self) -> &[String] {
        let majority = self.members.len() / 2 + 1;
        if !self.is_quorum() || self.online.len() > majority {
            return &[];
        }
        if self.online.is_empty() { &self.members } else { &self.online }
    }

    /// As people know it: `tickets/purchases`, `/purchases` in the virtual host `/`.
    pub(super) fn shown(&self) -> String {
        if self.vhost == "/" { format!("/{}", self.name) } else { format!("{}/{}", self.vhost, self.name) }
    }

    /// The element of the outputs.
    pub(super) fn output(&self, rate: Option<f64>) -> Value {
        json!({
            "vhost": self.vhost,
            "name": self.name,
            "type": self.kind,
            "state": self.state,
            "messages": self.messages,
            "ready": self.ready,
            "unacknowledged": self.unacknowledged,
            "consumers": self.consumers,
            "publish_rate": self.publish_rate,
            "deliver_rate": self.deliver_rate,
            "ack_rate": self.ack_rate,
            "leader": self.leader,
            "members": self.members,
            "online": self.online,
            "rate": rate,
            "growing": rate.map(|rate| rate > 0.0),
            "draining": rate.map(|rate| rate < 0.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum(members: &[&str], online: &[&str]) -> Queue {
        Queue::of(&json!({ "name": "q", "vhost": "/", "type": "quorum", "members": members, "online": online })).unwrap()
    }

    #[test]
    fn a_queue_that_was_just_declared_has_no_counts() {
        let queue = Queue::of(&json!({ "name": "q", "vhost": "/", "type": "classic", "node": "a" })).unwrap();
        let told = queue.output(None);
        assert_eq!((&told["messages"], &told["consumers"], &told["publish_rate"]), (&Value::Null, &Value::Null, &Value::Null));
        let queue =
            Queue::of(&json!({ "name": "q", "vhost": "t", "messages": 3, "message_stats": { "ack_details": { "rate": 1.5 } } })).unwrap();
        let told = queue.output(Some(-2.0));
        assert_eq!((&told["publish_rate"], &told["ack_rate"]), (&json!(0.0), &json!(1.5)), "nobody has published yet");
        assert_eq!((&told["growing"], &told["draining"], queue.shown().as_str()), (&json!(false), &json!(true), "t/q"));
        assert_eq!(Queue::of(&json!({ "vhost": "/" })), None);
    }

    #[test]
    fn a_node_is_critical_where_a_majority_needs_it() {
        assert!(quorum(&["a", "b", "c"], &["a", "b", "c"]).critical_nodes().is_empty());
        assert_eq!(quorum(&["a", "b", "c"], &["a", "c"]).critical_nodes(), ["a", "c"]);
        assert_eq!(quorum(&["a", "b", "c"], &["a"]).critical_nodes(), ["a"], "it has no majority any more, and needs each that is left");
        assert_eq!(quorum(&["a", "b", "c"], &[]).critical_nodes(), ["a", "b", "c"], "none is online, and each is needed back");
        assert_eq!(quorum(&["a", "b"], &["a", "b"]).critical_nodes(), ["a", "b"], "of two, both are needed");
        assert!(quorum(&["a", "b", "c", "d", "e"], &["a", "b", "c", "d"]).critical_nodes().is_empty());
        let classic = Queue::of(&json!({ "name": "q", "vhost": "/", "type": "classic", "node": "a" })).unwrap();
        assert!(classic.critical_nodes().is_empty());
    }
}
