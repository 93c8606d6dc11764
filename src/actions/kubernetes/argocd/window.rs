//! Sync windows of an AppProject: which of them keeps an Application from syncing now, and until when.
//!
//! Must not read a clock. Invariant: a window that cannot be read freezes nothing here.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cron::{Schedule, go_duration};
use super::ignore::glob;
use crate::model::duration::Span;

/// The longest that is looked back for a window's beginning: what is longer than its schedule's period is always open.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 32);
/// How much earlier a freeze begins than now, so that a clock that is behind has it begun too.
const EARLIER: SignedDuration = SignedDuration::from_mins(5);

/// A window, as the AppProject has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Window {
    kind: String,
    schedule: String,
    duration: String,
    applications: Vec<String>,
    namespaces: Vec<String>,
    clusters: Vec<String>,
    time_zone: String,
    and_operator: bool,
}

/// What a window is matched with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matched<'a> {
    /// The Application's name.
    pub(super) name: &'a str,
    /// Its `spec.destination`.
    pub(super) destination: &'a Value,
}

impl Window {
    fn is_about(&self, one: Matched<'_>) -> bool {
        let any = |patterns: &[String], texts: &[&str]| {
            patterns.iter().any(|pattern| texts.iter().any(|text| !text.is_empty() && glob(pattern, text)))
        };
        let text = |key: &str| one.destination.get(key).and_then(Value::as_str).unwrap_or_default();
        let parts = [
            (&self.applications, any(&self.applications, &[one.name])),
            (&self.clusters, any(&self.clusters, &[text("server"), text("name")])),
            (&self.namespaces, any(&self.namespaces, &[text("namespace")])),
        ];
        let mut said = parts.into_iter().filter(|(patterns, _)| !patterns.is_empty()).map(|(_, fits)| fits).peekable();
        if self.and_operator { said.peek().is_some() && said.all(|fits| fits) } else { said.any(|fits| fits) }
    }

    /// Until when it is open; `None` where it is not.
    fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        let duration = go_duration(&self.duration).filter(|duration| duration.is_positive())?;
        let schedule = Schedule::read(&self.schedule)?;
        // As Argo CD does: the zone's offset of this moment, and UTC for a zone that nobody knows.
        let offset = jiff::tz::TimeZone::get(&self.time_zone).map_or(0, |zone| zone.to_offset(now).seconds());
        let began = schedule.last(now, duration.min(LONGEST), SignedDuration::from_secs(i64::from(offset)))?;
        began.checked_add(duration).ok()
    }
}

/// The windows of an AppProject.
pub(super) fn windows(project: &Value) -> Vec<Window> {
    let all = project.pointer("/spec/syncWindows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(|window| Window::deserialize(window).ok()).collect()
}

/// Until when the last of the open windows denies an Application to sync; `None` where none does.
pub(super) fn frozen_until(project: &Value, one: Matched<'_>, now: Timestamp) -> Option<Timestamp> {
    let denies = windows(project).into_iter().filter(|window| window.kind == "deny" && window.is_about(one));
    denies.filter_map(|window| window.open_until(now)).max()
}

/// Until when open windows of a project deny all that these patterns name: those that list each of them.
pub(super) fn denied_until(project: &Value, applications: &[String], now: Timestamp) -> Option<Timestamp> {
    let lists = |window: &Window| {
        let all = window.applications.iter().any(|one| one == "*") || applications.iter().all(|one| window.applications.contains(one));
        all && (!window.and_operator || (window.namespaces.is_empty() && window.clusters.is_empty()))
    };
    let denies = windows(project).into_iter().filter(|window| window.kind == "deny" && lists(window));
    denies.filter_map(|window| window.open_until(now)).max()
}

/// A window that denies these from now on, for at least so long, and when it ends.
pub(super) fn freeze(applications: &[String], now: Timestamp, duration: Span, manual: bool) -> Option<(Value, Timestamp)> {
    let begin = now.checked_sub(EARLIER).ok()?.as_second();
    let begin = Timestamp::from_second(begin - begin.rem_euclid(60)).ok()?;
    let end = now.checked_add(SignedDuration::try_from(duration.0).ok()?).ok()?;
    // Whole minutes, up.
    let minutes = (end.duration_since(begin).as_secs() + 59) / 60;
    let at = jiff::tz::Offset::UTC.to_datetime(begin);
    let schedule = format!("{} {} {} {} *", at.minute(), at.hour(), at.day(), at.month());
    let mut window =
        json!({ "kind": "deny", "schedule": schedule, "duration": format!("{minutes}m"), "applications": applications, "timeZone": "UTC" });
    if manual {
        window["manualSync"] = json!(true);
    }
    Some((window, begin.checked_add(SignedDuration::from_mins(minutes)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-12-05T19:30:15Z";

    fn until(window: Value) -> Option<String> {
        let destination = json!({ "server": "https://kubernetes.default.svc", "namespace": "production" });
        let project = json!({ "spec": { "syncWindows": [window] } });
        let one = Matched { name: "shop", destination: &destination };
        frozen_until(&project, one, NOW.parse().unwrap()).map(|until| until.to_string())
    }

    #[test]
    fn an_open_window_denies_what_it_names() {
        let open = |more: Value| {
            let mut window = json!({ "kind": "deny", "schedule": "0 18 * * *", "duration": "8h" });
            window.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            window
        };
        let ends = Some("2026-12-06T02:00:00Z".to_owned());
        for (window, wanted) in [
            (open(json!({ "applications": ["*"] })), ends.clone()),
            (open(json!({ "applications": ["sh*"] })), ends.clone()),
            (open(json!({ "applications": ["other"] })), None),
            (open(json!({ "namespaces": ["production"] })), ends.clone()),
            (open(json!({ "clusters": ["https://kubernetes.default.svc"] })), ends.clone()),
            (open(json!({ "applications": ["other"], "namespaces": ["production"] })), ends.clone()),
            (open(json!({ "applications": ["other"], "namespaces": ["production"], "andOperator": true })), None),
            (open(json!({ "applications": ["shop"], "namespaces": ["production"], "andOperator": true })), ends),
            (open(json!({})), None),
            (open(json!({ "applications": ["*"], "kind": "allow" })), None),
            (open(json!({ "applications": ["*"], "duration": "1h" })), None),
            (open(json!({ "applications": ["*"], "duration": "soon" })), None),
            (open(json!({ "applications": ["*"], "schedule": "@daily" })), None),
            (open(json!({ "applications": ["*"], "timeZone": "Europe/Berlin" })), Some("2026-12-06T01:00:00Z".to_owned())),
            (open(json!({ "applications": ["*"], "timeZone": "Nowhere/Atall" })), Some("2026-12-06T02:00:00Z".to_owned())),
        ] {
            assert_eq!(until(window.clone()), wanted, "{window}");
        }
    }

    #[test]
    fn a_freeze_is_open_from_now_on_for_as_long_as_is_asked() {
        let patterns = ["shop".to_owned()];
        for now in ["2026-12-05T19:30:15Z", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"] {
            let now: Timestamp = now.parse().unwrap();
            let (window, end) = freeze(&patterns, now, Span::seconds(8 * 3600), false).unwrap();
            let wanted = now.checked_add(SignedDuration::from_hours(8)).unwrap();
            assert!(end >= wanted && end < wanted.checked_add(SignedDuration::from_mins(1)).unwrap(), "{now}: {end}");
            let project = json!({ "spec": { "syncWindows": [window] } });
            for moment in
                [now.checked_sub(SignedDuration::from_mins(4)).unwrap(), now, wanted.checked_sub(SignedDuration::from_secs(1)).unwrap()]
            {
                assert_eq!(denied_until(&project, &patterns, moment), Some(end), "{now} at {moment}");
            }
            assert_eq!(denied_until(&project, &patterns, end), None);
            assert_eq!(denied_until(&project, &["other".to_owned()], now), None);
        }
    }
}
