//! How fast an autoscaler may go: stabilisation windows and policies.
//!
//! It must not read metrics. Invariant: it computes what the real controller computes from the same recommendations and scale events.

use serde_json::Value;

use super::History;
use crate::sandbox::cluster::controller::Moment;

/// The rules of one direction.
#[derive(Debug, Clone)]
struct Rules {
    window: f64,
    select: Select,
    policies: Vec<Policy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Select {
    Max,
    Min,
    Disabled,
}

#[derive(Debug, Clone, Copy)]
struct Policy {
    percent: bool,
    value: i64,
    /// Milliseconds at speed 1.
    period: f64,
}

/// The rules of both directions.
#[derive(Debug, Clone)]
pub(super) struct Behaviour {
    up: Rules,
    down: Rules,
}

/// Why the wanted size was or was not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) reason: &'static str,
    pub(super) message: &'static str,
}

const WITHIN: Limited = Limited { reason: "DesiredWithinRange", message: "the desired count is within the acceptable range" };

impl Behaviour {
    /// The behaviour that an autoscaler asks for, with the defaults for what it leaves out.
    pub(super) fn of(behavior: &Value) -> Self {
        let policy = |percent, value| Policy { percent, value, period: 15_000.0 };
        let up = rules(&behavior["scaleUp"], 0.0, vec![policy(true, 100), policy(false, 4)]);
        let down = rules(&behavior["scaleDown"], 300_000.0, vec![policy(true, 100)]);
        Self { up, down }
    }
}

fn rules(rules: &Value, window: f64, policies: Vec<Policy>) -> Rules {
    let stated = rules["policies"].as_array().filter(|policies| !policies.is_empty()).map(|policies| {
        let read = |policy: &Value| Policy {
            percent: policy["type"] == "Percent",
            value: policy["value"].as_i64().unwrap_or(0),
            period: policy["periodSeconds"].as_f64().unwrap_or(15.0) * 1000.0,
        };
        policies.iter().map(read).collect()
    });
    Rules {
        window: rules["stabilizationWindowSeconds"].as_f64().map_or(window, |seconds| seconds * 1000.0),
        select: match rules["selectPolicy"].as_str() {
            Some("Min") => Select::Min,
            Some("Disabled") => Select::Disabled,
            _ => Select::Max,
        },
        policies: stated.unwrap_or(policies),
    }
}

/// The time so many milliseconds ago.
fn ago(moment: Moment, milliseconds: f64) -> u64 {
    moment.now.saturating_sub((milliseconds / moment.speed) as u64)
}

/// Holds what is wanted against what was recommended within the windows, and remembers it; with the reason where it was held back.
pub(super) fn stabilize(
    behaviour: &Behaviour,
    history: &mut History,
    moment: Moment,
    current: i64,
    wanted: i64,
) -> (i64, Option<(&'static str, &'static str)>) {
    let within = |window: f64| {
        let since = ago(moment, window);
        history.recommended.iter().filter(move |(at, _)| *at > since).map(|(_, recommended)| *recommended)
    };
    let up = within(behaviour.up.window).fold(wanted, i64::min);
    let down = within(behaviour.down.window).fold(wanted, i64::max);
    let stable = current.max(up).min(down);
    history.recommended.push((moment.now, wanted));
    if stable == wanted {
        return (stable, None);
    }
    let held = if wanted >= current {
        ("ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation")
    } else {
        ("ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation")
    };
    (stable, Some(held))
}

fn changed(changes: &[(u64, i64)], since: u64) -> i64 {
    changes.iter().filter(|(at, _)| *at > since).map(|(_, by)| by).sum()
}

/// Brings a size within the policies and the limits `(minReplicas, maxReplicas)`.
pub(super) fn rate(
    behaviour: &Behaviour,
    history: &History,
    moment: Moment,
    current: i64,
    wanted: i64,
    bounds: (i64, i64),
) -> (i64, Limited) {
    let (least, most) = bounds;
    if wanted > current {
        let limit = limit(&behaviour.up, history, moment, current, true).max(current);
        let (allowed, limited) = if most > limit {
            (limit, ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"))
        } else {
            (most, ("TooManyReplicas", "the desired replica count is more than the maximum replica count"))
        };
        if wanted > allowed {
            return (allowed, Limited { reason: limited.0, message: limited.1 });
        }
    } else if wanted < current {
        let limit = limit(&behaviour.down, history, moment, current, false).min(current);
        let (allowed, limited) = if least < limit {
            (limit, ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"))
        } else {
            (least, ("TooFewReplicas", "the desired replica count is less than the minimum replica count"))
        };
        if wanted < allowed {
            return (allowed, Limited { reason: limited.0, message: limited.1 });
        }
    }
    (wanted, WITHIN)
}

/// How far the policies of one direction let the size go.
fn limit(rules: &Rules, history: &History, moment: Moment, current: i64, up: bool) -> i64 {
    let proposals = rules.policies.iter().map(|policy| {
        let since = ago(moment, policy.period);
        let start = current - changed(&history.ups, since) + changed(&history.downs, since);
        match (policy.percent, up) {
            (false, true) => start + policy.value,
            (false, false) => start - policy.value,
            // Rounded up, since it might never grow otherwise; and cut off downwards.
            (true, true) => (start as f64 * (1.0 + policy.value as f64 / 100.0)).ceil() as i64,
            (true, false) => (start as f64 * (1.0 - policy.value as f64 / 100.0)) as i64,
        }
    });
    let furthest = match (rules.select, up) {
        (Select::Disabled, _) => None,
        (Select::Max, true) | (Select::Min, false) => proposals.max(),
        (Select::Min, true) | (Select::Max, false) => proposals.min(),
    };
    furthest.unwrap_or(current)
}

/// Forgets what no window or period reaches back to.
pub(super) fn forget(behaviour: &Behaviour, history: &mut History, moment: Moment) {
    let longest = |rules: &Rules| rules.policies.iter().map(|policy| policy.period).fold(rules.window, f64::max);
    let since = ago(moment, longest(&behaviour.up).max(longest(&behaviour.down)));
    for list in [&mut history.recommended, &mut history.ups, &mut history.downs] {
        list.retain(|(at, _)| *at >= since);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn moment(seconds: u64) -> Moment {
        Moment { now: 1_000_000_000 + seconds * 1000, speed: 1.0 }
    }

    #[test]
    fn the_procedures_ten_percent_takes_one_pod_a_minute() {
        let behaviour = Behaviour::of(&json!({ "scaleDown": { "policies": [{ "type": "Percent", "value": 10, "periodSeconds": 60 }] } }));
        let mut history = History::default();
        assert_eq!(rate(&behaviour, &history, moment(0), 8, 1, (2, 16)).0, 7);
        history.downs.push((moment(0).now, 1));
        // Within the period nothing more goes: 8 less 10% is 7.
        let (size, limited) = rate(&behaviour, &history, moment(30), 7, 1, (2, 16));
        assert_eq!((size, limited.reason), (7, "ScaleDownLimit"));
        assert_eq!(rate(&behaviour, &history, moment(60), 7, 1, (2, 16)).0, 6);
    }

    #[test]
    fn doubling_is_the_most_and_the_maximum_is_the_end() {
        let behaviour = Behaviour::of(&json!({ "scaleUp": { "policies": [{ "type": "Percent", "value": 100, "periodSeconds": 60 }] } }));
        let history = History::default();
        let (size, limited) = rate(&behaviour, &history, moment(0), 2, 12, (2, 16));
        assert_eq!((size, limited.reason), (4, "ScaleUpLimit"));
        let (size, limited) = rate(&behaviour, &history, moment(0), 12, 30, (2, 16));
        assert_eq!((size, limited.reason), (16, "TooManyReplicas"));
        let (size, limited) = rate(&behaviour, &history, moment(0), 3, 1, (2, 16));
        assert_eq!((size, limited.reason), (2, "TooFewReplicas"));
    }

    #[test]
    fn a_window_holds_the_highest_recommendation() {
        let behaviour = Behaviour::of(&json!({ "scaleDown": { "stabilizationWindowSeconds": 300 } }));
        let mut history = History { recommended: vec![(moment(0).now, 8)], ..History::default() };
        let (size, held) = stabilize(&behaviour, &mut history, moment(299), 8, 1);
        assert_eq!((size, held.map(|held| held.0)), (8, Some("ScaleDownStabilized")));
        let (size, held) = stabilize(&behaviour, &mut history, moment(300), 8, 1);
        assert_eq!((size, held), (1, None));
    }

    #[test]
    fn a_disabled_direction_stays() {
        let behaviour = Behaviour::of(&json!({ "scaleDown": { "selectPolicy": "Disabled" } }));
        assert_eq!(rate(&behaviour, &History::default(), moment(0), 8, 1, (2, 16)).0, 8);
    }
}
