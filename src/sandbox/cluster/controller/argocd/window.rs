//! Sync windows: whether one of a project's denies an Application to sync.
//!
//! It must not read a clock. Invariant: of schedules it knows those of one moment of certain days and of every minute; another opens nothing.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::sandbox::cluster::store::text;

/// Until when a window denies it, in milliseconds since 1970; none where none does.
pub(super) fn denied_until(project: &Value, application: &Value, now: u64) -> Option<u64> {
    let now = Timestamp::from_millisecond(i64::try_from(now).ok()?).ok()?;
    let windows = project["spec"]["syncWindows"].as_array().into_iter().flatten();
    let denies = windows.filter(|window| window["kind"] == "deny" && is_about(window, application));
    denies.filter_map(|window| open_until(window, now)).max().and_then(|until| u64::try_from(until.as_millisecond()).ok())
}

fn is_about(window: &Value, application: &Value) -> bool {
    let named = |list: &str, name: &str| {
        let patterns = window[list].as_array().into_iter().flatten().filter_map(Value::as_str);
        patterns.into_iter().any(|pattern| pattern == name || pattern.strip_suffix('*').is_some_and(|start| name.starts_with(start)))
    };
    named("applications", text(application, "/metadata/name")) || named("namespaces", text(application, "/spec/destination/namespace"))
}

fn open_until(window: &Value, now: Timestamp) -> Option<Timestamp> {
    let duration = duration(text(window, "/duration"))?;
    let fields: Vec<&str> = text(window, "/schedule").split_ascii_whitespace().collect();
    let [minute, hour, day, month, "*"] = fields.as_slice() else { return None };
    let takes = |field: &str, value: i8| field == "*" || field.parse() == Ok(value);
    let mut at = Timestamp::from_second(now.as_second().div_euclid(60) * 60).ok()?;
    let earliest = now.checked_sub(duration).ok()?;
    while at > earliest {
        let there = jiff::tz::Offset::UTC.to_datetime(at);
        let began = takes(minute, there.minute()) && takes(hour, there.hour()) && takes(day, there.day()) && takes(month, there.month());
        if began && at < now {
            return at.checked_add(duration).ok();
        }
        at = at.checked_sub(SignedDuration::from_mins(1)).ok()?;
    }
    None
}

/// Whole hours, minutes and seconds, at most a month.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut seconds = 0_i64;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = rest.split_at(end);
        let factor = match unit.chars().next()? {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.parse::<i64>().ok()?.checked_mul(factor)?)?;
        rest = unit.get(1..)?;
    }
    (1..=31 * 24 * 3600).contains(&seconds).then(|| SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_window_denies_from_its_beginning_to_its_end() {
        let application = json!({ "metadata": { "name": "shop" }, "spec": { "destination": { "namespace": "production" } } });
        let until = |window: Value| {
            let now: Timestamp = "2026-12-05T19:30:15Z".parse().unwrap();
            let found =
                denied_until(&json!({ "spec": { "syncWindows": [window] } }), &application, u64::try_from(now.as_millisecond()).unwrap());
            found.map(|until| Timestamp::from_millisecond(i64::try_from(until).unwrap()).unwrap().to_string())
        };
        let window =
            |schedule: &str, duration: &str| json!({ "kind": "deny", "schedule": schedule, "duration": duration, "applications": ["sh*"] });
        assert_eq!(until(window("25 19 5 12 *", "485m")).as_deref(), Some("2026-12-06T03:30:00Z"));
        assert_eq!(until(window("25 19 5 12 *", "5m")), None);
        assert_eq!(until(window("31 19 5 12 *", "1h")), None);
        assert!(until(window("* * * * *", "1h30m")).is_some());
        assert_eq!(until(window("@daily", "1h")), None);
        assert_eq!(until(json!({ "kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["other"] })), None);
        assert_eq!(until(json!({ "kind": "allow", "schedule": "* * * * *", "duration": "1h", "applications": ["*"] })), None);
    }
}
