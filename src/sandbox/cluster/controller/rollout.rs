//! The sums of a rolling update: how many Pods there may be, and how a change of replicas is shared out.
//!
//! It must not touch the store. Invariant: surge rounds up, unavailability down, and the two are never zero together.

use serde_json::Value;

/// How far a rolling update may go beyond and below the wanted replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) surge: i64,
    pub(super) unavailable: i64,
}

/// The limits of a Deployment.
pub(super) fn limits(deployment: &Value) -> Limits {
    let wanted = replicas(deployment);
    if !rolls(deployment) || wanted == 0 {
        return Limits { surge: 0, unavailable: 0 };
    }
    let rule = &deployment["spec"]["strategy"]["rollingUpdate"];
    let surge = part(&rule["maxSurge"], wanted, true);
    let unavailable = part(&rule["maxUnavailable"], wanted, false).min(wanted);
    if surge == 0 && unavailable == 0 { Limits { surge, unavailable: 1 } } else { Limits { surge, unavailable } }
}

/// Whether the Deployment replaces its Pods bit by bit.
pub(super) fn rolls(deployment: &Value) -> bool {
    deployment["spec"]["strategy"]["type"] != "Recreate"
}

pub(super) fn replicas(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap_or(1)
}

fn part(value: &Value, wanted: i64, up: bool) -> i64 {
    if let Some(count) = value.as_i64() {
        return count.max(0);
    }
    let text = value.as_str().unwrap_or("25%");
    let percent: i64 = text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or(25);
    let product = wanted.saturating_mul(percent.clamp(0, 1000));
    if up { product.saturating_add(99) / 100 } else { product / 100 }
}

/// The replicas of the new set, given those of all sets together.
pub(super) fn next_size(deployment: &Value, new: i64, all: i64) -> i64 {
    let wanted = replicas(deployment);
    if !rolls(deployment) || new >= wanted {
        return wanted;
    }
    let room = wanted + limits(deployment).surge - all;
    new + room.clamp(0, wanted - new)
}

/// A set's share of a change of replicas: `size` now, `most_before` what the Deployment could have at most before the change.
pub(super) fn share(size: i64, most_before: i64, most: i64, left: i64) -> i64 {
    if size == 0 || left == 0 || most_before <= 0 {
        return 0;
    }
    let share = ((size * most) as f64 / most_before as f64).round() as i64 - size;
    if left > 0 { share.min(left) } else { share.max(left) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: i64, surge: &Value, unavailable: &Value) -> Value {
        let rule = json!({ "maxSurge": surge, "maxUnavailable": unavailable });
        json!({ "spec": { "replicas": replicas, "strategy": { "type": "RollingUpdate", "rollingUpdate": rule } } })
    }

    #[test]
    fn surge_rounds_up_and_unavailability_down() {
        for (replicas, surge, unavailable, expected) in [
            (8, json!("25%"), json!("25%"), (2, 2)),
            (2, json!("25%"), json!("25%"), (1, 0)),
            (16, json!("25%"), json!("25%"), (4, 4)),
            (10, json!(3), json!(0), (3, 0)),
            (4, json!(0), json!(0), (0, 1)),
            (3, json!(0), json!("10%"), (0, 1)),
        ] {
            let found = limits(&deployment(replicas, &surge, &unavailable));
            assert_eq!((found.surge, found.unavailable), expected, "{replicas} {surge} {unavailable}");
        }
    }

    #[test]
    fn the_new_set_grows_into_the_surge() {
        let deployment = deployment(8, &json!("25%"), &json!("25%"));
        assert_eq!(next_size(&deployment, 0, 8), 2);
        assert_eq!(next_size(&deployment, 2, 10), 2);
        assert_eq!(next_size(&deployment, 4, 9), 5);
        assert_eq!(next_size(&deployment, 9, 9), 8);
    }
}
