//! Why KEDA keeps the pods it keeps, in words: the trigger, where it is one.
//!
//! Must not ask anything. Invariant: only what the objects themselves say is told.

use serde_json::Value;

use super::{PAUSED_SCALE_IN, ScaledObject};
use crate::actions::kubernetes::horizontal::{self, Horizontal};
use crate::actions::support::at_most;

/// Why it does not come down, or that it has. `hpa`: the one that KEDA made for it.
pub(in crate::actions::kubernetes) fn what_holds(scaled: &ScaledObject, hpa: Option<&Horizontal>) -> String {
    let name = &scaled.name;
    if let Some(annotation) = scaled.paused() {
        return format!("KEDA is paused for {name} (`{annotation}`), and neither grows nor comes down");
    }
    if let Some(why) = not_ready(scaled) {
        return format!("KEDA cannot work with the ScaledObject {name}: {why}");
    }
    let Some(hpa) = hpa else {
        return format!("KEDA has not made its autoscaler {} yet", scaled.hpa());
    };
    if scaled.only_grows() && hpa.current > hpa.min {
        return format!("`{PAUSED_SCALE_IN}` of the ScaledObject {name} lets it grow only");
    }
    by_trigger(scaled, horizontal::what_holds(&hpa.object))
}

/// Why KEDA says that it is not ready.
fn not_ready(scaled: &ScaledObject) -> Option<String> {
    let ready = scaled.condition("Ready").filter(|condition| condition["status"] == "False")?;
    let text = |key: &str| ready.get(key).and_then(Value::as_str).unwrap_or_default();
    Some(format!("{}: {}", text("reason"), at_most(text("message"), 300)))
}

/// The words about a metric, with the trigger that it is of: KEDA names the metric of the first one `s0-…`.
fn by_trigger(scaled: &ScaledObject, words: String) -> String {
    let list = |pointer: &str| scaled.object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (metrics, triggers) = (list("/status/externalMetricNames"), list("/spec/triggers"));
    metrics.iter().filter_map(Value::as_str).fold(words, |words, metric| {
        let place = metric.strip_prefix('s').and_then(|rest| rest.split_once('-')).and_then(|(place, _)| place.parse::<usize>().ok());
        let trigger = place.and_then(|place| triggers.get(place));
        let text = |key: &str| trigger.and_then(|trigger| trigger.get(key)).and_then(Value::as_str);
        match text("name").or_else(|| text("type")) {
            Some(name) => words.replace(metric, &format!("the trigger {name} ({metric})")),
            None => words,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::actions::kubernetes::scaled_object::testing::{hpa, tickets};

    fn told(object: Value, hpa: Option<Value>) -> String {
        what_holds(&ScaledObject::of(object).unwrap(), hpa.and_then(Horizontal::of).as_ref())
    }

    #[test]
    fn the_trigger_that_keeps_the_pods_is_named() {
        let trigger = "the trigger rabbitmq (s0-rabbitmq-ticket-purchases)";
        assert_eq!(
            told(tickets(2, 20), Some(hpa(2, 20, 8, "52"))),
            format!("{trigger} is at 52 of 50: within the 10% tolerance, so it keeps 8 pods")
        );
        assert_eq!(told(tickets(2, 20), Some(hpa(2, 20, 8, "100"))), format!("{trigger} is at 100 of 50: it wants 16 pods"));
        let mut named = tickets(2, 20);
        named["spec"]["triggers"][0]["name"] = json!("purchases");
        assert!(told(named, Some(hpa(2, 20, 8, "100"))).starts_with("the trigger purchases (s0-"));
        assert_eq!(told(tickets(2, 20), Some(hpa(2, 20, 2, "0"))), "the autoscaler is at its floor of 2");
    }

    #[test]
    fn what_else_holds_them_is_named() {
        assert_eq!(told(tickets(2, 20), None), "KEDA has not made its autoscaler keda-hpa-tickets yet");
        let mut object = tickets(2, 20);
        object["metadata"]["annotations"] = json!({ PAUSED_SCALE_IN: "true" });
        assert_eq!(
            told(object.clone(), Some(hpa(2, 20, 8, "0"))),
            "`autoscaling.keda.sh/paused-scale-in` of the ScaledObject tickets lets it grow only"
        );
        assert_eq!(told(object.clone(), Some(hpa(2, 20, 2, "0"))), "the autoscaler is at its floor of 2");
        object["status"]["conditions"] =
            json!([{ "type": "Ready", "status": "False", "reason": "ScaledObjectCheckFailed", "message": "no host" }]);
        let failed = "KEDA cannot work with the ScaledObject tickets: ScaledObjectCheckFailed: no host";
        assert_eq!(told(object.clone(), Some(hpa(2, 20, 8, "0"))), failed);
        object["metadata"]["annotations"] = json!({ super::super::PAUSED_REPLICAS: "4" });
        assert_eq!(
            told(object, None),
            "KEDA is paused for tickets (`autoscaling.keda.sh/paused-replicas: \"4\"`), and neither grows nor comes down"
        );
    }
}
