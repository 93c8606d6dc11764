//! The quality-of-service class of a Pod, as `status.qosClass` shows it.
//!
//! It must not change objects. Invariant: the class follows from the requests and limits of CPU and memory alone.

use serde_json::Value;

use super::quantity;

/// `Guaranteed` where each container is limited to exactly what it asks for, `BestEffort` where none asks for anything, else `Burstable`.
pub(crate) fn class(spec: &Value) -> &'static str {
    let (mut asks, mut guaranteed) = (false, true);
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array().into_iter().flatten() {
            for resource in ["cpu", "memory"] {
                let amount = |side: &str| quantity::milli(&container["resources"][side][resource]).filter(|amount| *amount > 0);
                let (request, limit) = (amount("requests"), amount("limits"));
                asks |= request.is_some() || limit.is_some();
                guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
            }
        }
    }
    match (asks, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::class;

    #[test]
    fn the_class_follows_from_requests_and_limits() {
        let of = |resources: serde_json::Value| class(&json!({ "containers": [{ "resources": resources }] }));
        assert_eq!(of(json!({})), "BestEffort");
        assert_eq!(of(json!({ "requests": { "cpu": "0" } })), "BestEffort");
        assert_eq!(of(json!({ "limits": { "cpu": "1", "memory": "1Gi" } })), "Guaranteed");
        let equal = json!({ "requests": { "cpu": "1000m", "memory": "1Gi" }, "limits": { "cpu": "1", "memory": "1024Mi" } });
        assert_eq!(of(equal), "Guaranteed");
        assert_eq!(of(json!({ "requests": { "cpu": "250m" }, "limits": { "cpu": "1", "memory": "1Gi" } })), "Burstable");
        assert_eq!(of(json!({ "limits": { "cpu": "1" } })), "Burstable");
    }
}
