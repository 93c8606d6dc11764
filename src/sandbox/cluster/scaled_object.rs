//! ScaledObjects of KEDA: the one that a fresh cluster may have, and how KEDA reads one.
//!
//! It must not scale (the controller does) nor refuse any (`admit` does). Invariant: what is left out is what KEDA 2.21 takes for it.

use serde_json::{Value, json};

use super::store::text;

/// The label of a ScaledObject and of the selectors of its metrics: its name.
pub(crate) const NAME_LABEL: &str = "scaledobject.keda.sh/name";
/// What holds a ScaledObject that is deleted until KEDA has given back what it scaled.
pub(crate) const FINALIZER: &str = "finalizer.keda.sh";
/// The annotation that freezes what it scales at a count.
pub(crate) const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";
const PAUSED: &str = "autoscaling.keda.sh/paused";
const PAUSED_SCALE_IN: &str = "autoscaling.keda.sh/paused-scale-in";
const PAUSED_SCALE_OUT: &str = "autoscaling.keda.sh/paused-scale-out";

/// The ScaledObject of the scaling procedure, with what KEDA needs of its triggers and the procedure leaves out.
pub(crate) fn initial(uid: &str, created: &str) -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {
            "name": "ticket-service-scaler", "namespace": "production", "uid": uid, "creationTimestamp": created, "generation": 1,
        },
        "spec": {
            "scaleTargetRef": { "name": "ticket-service" },
            "minReplicaCount": 2, "maxReplicaCount": 20,
            "triggers": [
                {
                    "type": "rabbitmq",
                    "metadata": {
                        "host": "http://rabbitmq.production:15672/", "queueName": "ticket-purchases", "mode": "QueueLength", "value": "50",
                    },
                },
                {
                    "type": "prometheus",
                    "metadata": {
                        "serverAddress": "http://prometheus:9090",
                        "query": "sum(rate(http_requests_total{app=\"ticket-service\"}[1m]))", "threshold": "200",
                    },
                },
            ],
        },
    })
}

fn annotation<'a>(scaled: &'a Value, name: &str) -> Option<&'a str> {
    scaled["metadata"]["annotations"][name].as_str()
}

/// Whether an annotation is on: what is no boolean of Go's counts as true.
fn is_on(scaled: &Value, name: &str) -> bool {
    annotation(scaled, name).is_some_and(|value| !matches!(value, "0" | "f" | "F" | "false" | "False" | "FALSE"))
}

/// Whether KEDA leaves it alone in both directions.
pub(crate) fn is_paused(scaled: &Value) -> bool {
    annotation(scaled, PAUSED_REPLICAS).is_some() || is_on(scaled, PAUSED)
}

/// The directions, `scaleUp` and `scaleDown`, in which it does not scale.
pub(crate) fn paused_directions(scaled: &Value) -> Vec<&'static str> {
    let all = [("scaleDown", PAUSED_SCALE_IN), ("scaleUp", PAUSED_SCALE_OUT)];
    all.into_iter().filter(|(_, name)| is_on(scaled, name)).map(|(direction, _)| direction).collect()
}

/// The count that it is frozen at; an error where it is none.
pub(crate) fn paused_count(scaled: &Value) -> Result<Option<i64>, String> {
    let Some(text) = annotation(scaled, PAUSED_REPLICAS) else { return Ok(None) };
    text.parse::<i32>().map(|count| Some(i64::from(count))).map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
}

/// Kind and name of what it scales.
pub(crate) fn target(scaled: &Value) -> (&str, &str) {
    let target = &scaled["spec"]["scaleTargetRef"];
    let kind = text(target, "/kind");
    (if kind.is_empty() { "Deployment" } else { kind }, text(target, "/name"))
}

/// The name that its HPA is to have.
pub(crate) fn hpa_name(scaled: &Value) -> String {
    match text(scaled, "/spec/advanced/horizontalPodAutoscalerConfig/name") {
        "" => format!("keda-hpa-{}", text(scaled, "/metadata/name")),
        name => name.to_owned(),
    }
}

/// Its floor.
pub(crate) fn least(scaled: &Value) -> i64 {
    scaled["spec"]["minReplicaCount"].as_i64().unwrap_or(0)
}

/// Its maximum.
pub(crate) fn most(scaled: &Value) -> i64 {
    scaled["spec"]["maxReplicaCount"].as_i64().unwrap_or(100)
}

/// Its triggers.
pub(crate) fn triggers(scaled: &Value) -> &[Value] {
    scaled["spec"]["triggers"].as_array().map(Vec::as_slice).unwrap_or_default()
}
