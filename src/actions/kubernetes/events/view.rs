//! Events as people read them: when, how often, of what, why.
//!
//! Must not ask anything. Invariant: pure; the newest comes first, and what was said several times of the same object is one entry.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::actions::support::at_most;

/// The longest message that is kept, in bytes.
const LONGEST: usize = 300;

/// One event, or several that say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) last: Option<Timestamp>,
    pub(super) count: i64,
    /// `Normal` or `Warning`.
    pub(super) kind: String,
    pub(super) reason: String,
    /// `pod/ticket-service-5d8f-abcde`
    pub(super) object: String,
    pub(super) message: String,
}

impl Event {
    /// From the object, of `v1` or as `events.k8s.io/v1` shows it there.
    pub(super) fn of(event: &Value) -> Self {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let time = |pointer: &str| text(pointer).parse::<Timestamp>().ok();
        // Who writes which of them has changed over the years; the latest is when it was last seen.
        let last = ["/lastTimestamp", "/series/lastObservedTime", "/eventTime", "/firstTimestamp"].into_iter().filter_map(time).max();
        let count = event.pointer("/series/count").or_else(|| event.get("count")).and_then(Value::as_i64).unwrap_or(1).max(1);
        Self {
            last: last.or_else(|| time("/metadata/creationTimestamp")),
            count,
            kind: text("/type").to_owned(),
            reason: at_most(text("/reason"), 80).to_owned(),
            object: format!("{}/{}", text("/involvedObject/kind").to_lowercase(), text("/involvedObject/name")),
            message: at_most(text("/message").trim(), LONGEST).to_owned(),
        }
    }

    /// As an output.
    pub(super) fn to_value(&self) -> Value {
        json!({
            "last": self.last.map(|last| last.to_string()),
            "count": self.count,
            "type": self.kind,
            "reason": self.reason,
            "object": self.object,
            "message": self.message,
        })
    }
}

/// Those since a time, each said once, the newest first. One without any time is kept: nobody knows that it is old.
pub(super) fn grouped(events: Vec<Event>, since: Timestamp) -> Vec<Event> {
    let mut groups: Vec<Event> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for event in events.into_iter().filter(|event| event.last.is_none_or(|last| last >= since)) {
        let key = (event.object.clone(), event.kind.clone(), event.reason.clone(), event.message.clone());
        let place = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => {
                group.count = group.count.saturating_add(event.count);
                group.last = group.last.max(event.last);
            }
            None => groups.push(event),
        }
    }
    groups.sort_by(|a, b| b.last.cmp(&a.last).then_with(|| (&a.object, &a.reason).cmp(&(&b.object, &b.reason))));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_latest_of_all_that_are_written() {
        let at = |event: Value| Event::of(&event).last.map(|last| last.to_string()).unwrap_or_default();
        assert_eq!(
            at(json!({ "firstTimestamp": "2026-11-23T18:00:00Z", "lastTimestamp": "2026-11-23T18:30:00Z" })),
            "2026-11-23T18:30:00Z"
        );
        let series =
            json!({ "eventTime": "2026-11-23T18:00:00.123456Z", "series": { "count": 9, "lastObservedTime": "2026-11-23T18:40:00.5Z" } });
        assert_eq!((at(series.clone()), Event::of(&series).count), ("2026-11-23T18:40:00.5Z".to_owned(), 9));
        assert_eq!(
            at(json!({ "lastTimestamp": null, "eventTime": null, "metadata": { "creationTimestamp": "2026-11-23T17:00:00Z" } })),
            "2026-11-23T17:00:00Z"
        );
        assert_eq!(at(json!({ "lastTimestamp": 5 })), "");
    }

    #[test]
    fn the_same_is_said_once_and_the_newest_first() {
        let event = |object: &str, minute: u8, count: i64| Event {
            last: format!("2026-11-23T18:{minute:02}:00Z").parse().ok(),
            count,
            kind: "Warning".to_owned(),
            reason: "BackOff".to_owned(),
            object: object.to_owned(),
            message: "m".to_owned(),
        };
        let since = "2026-11-23T18:10:00Z".parse().unwrap();
        let untimed = Event { last: None, ..event("pod/c", 0, 1) };
        let events = vec![event("pod/a", 20, 2), event("pod/old", 9, 1), event("pod/b", 30, 1), event("pod/a", 40, 3), untimed];
        let grouped: Vec<(String, i64)> = grouped(events, since).into_iter().map(|event| (event.object, event.count)).collect();
        assert_eq!(grouped, [("pod/a".to_owned(), 5), ("pod/b".to_owned(), 1), ("pod/c".to_owned(), 1)]);
    }
}
