//! The HPA that KEDA makes of a ScaledObject, and what its triggers come to.
//!
//! It must not write. Invariant: a metric is named by the place of its trigger, `s0-…`, so that two of one kind differ.

use serde_json::{Map, Value, json};

use crate::sandbox::cluster::controller::owners::{name, namespace, uid};
use crate::sandbox::cluster::controller::{Cluster, Moment};
use crate::sandbox::cluster::quantity;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::scaled_object::{self as facts, NAME_LABEL};
use crate::sandbox::cluster::store::text;
use crate::sandbox::traffic::PURCHASES;

/// The HPA as the ScaledObject says, without what a server gives it.
pub(super) fn wanted(object: &Value, target: &Value) -> Result<Value, String> {
    let mut metrics = Vec::new();
    for (nth, trigger) in facts::triggers(object).iter().enumerate() {
        metrics.push(metric(object, target, nth, trigger)?);
    }
    // By their types, as KEDA sorts them.
    metrics.sort_by_key(|metric| text(metric, "/type").to_owned());
    let mut spec = json!({
        "scaleTargetRef": { "apiVersion": target["apiVersion"], "kind": target["kind"], "name": name(target) },
        "minReplicas": facts::least(object).max(1), "maxReplicas": facts::most(object), "metrics": metrics,
    });
    let mut behavior = object["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"].clone();
    for direction in facts::paused_directions(object) {
        if !behavior.is_object() {
            behavior = json!({});
        }
        if !behavior[direction].is_object() {
            behavior[direction] = json!({});
        }
        behavior[direction]["selectPolicy"] = json!("Disabled");
    }
    if behavior.is_object() {
        spec["behavior"] = behavior;
    }
    let own = facts::hpa_name(object);
    let mut labels: Map<String, Value> = object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    for (label, value) in [
        ("app.kubernetes.io/managed-by", SELF.to_owned()),
        ("app.kubernetes.io/name", own.clone()),
        ("app.kubernetes.io/part-of", name(object).to_owned()),
        ("app.kubernetes.io/version", VERSION.to_owned()),
    ] {
        labels.insert(label.to_owned(), json!(value));
    }
    let mut made = json!({
        "apiVersion": Resource::HorizontalPodAutoscalers.api_version(), "kind": Resource::HorizontalPodAutoscalers.kind(),
        "metadata": {
            "name": own, "namespace": namespace(object), "labels": labels,
            "ownerReferences": [{
                "apiVersion": "keda.sh/v1alpha1", "blockOwnerDeletion": true, "controller": true, "kind": "ScaledObject", "name": name(object),
                "uid": uid(object),
            }],
        },
        "spec": spec,
    });
    if object["metadata"]["annotations"].is_object() {
        made["metadata"]["annotations"] = object["metadata"]["annotations"].clone();
    }
    Ok(made)
}

const SELF: &str = "keda-operator";
const VERSION: &str = "2.21.0";

/// What a scaler makes of its trigger.
fn metric(object: &Value, target: &Value, nth: usize, trigger: &Value) -> Result<Value, String> {
    let metadata = &trigger["metadata"];
    let given = |key: &str| metadata[key].as_str().filter(|text| !text.is_empty());
    let kind = text(trigger, "/type");
    let external = |called: String, each: &str| {
        json!({
            "type": "External",
            "external": {
                "metric": { "name": format!("s{nth}-{called}"), "selector": { "matchLabels": { NAME_LABEL: name(object) } } },
                "target": { "type": "AverageValue", "averageValue": each },
            },
        })
    };
    let missing = |what: &str| {
        format!("error parsing {kind} metadata: missing required parameter {what:?} in [triggerMetadata authParams resolvedEnv]")
    };
    match kind {
        "rabbitmq" => {
            let from = given("hostFromEnv").filter(|variable| has_variable(target, variable));
            if given("host").or(from).is_none() && !trigger["authenticationRef"].is_object() {
                return Err(missing("host"));
            }
            let queue = given("queueName").ok_or_else(|| missing("queueName"))?;
            let each = match (given("queueLength"), given("mode"), given("value")) {
                (None, None, None) => "20",
                (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                    return Err("error parsing rabbitmq metadata: queueLength is deprecated; use mode and value".to_owned());
                }
                (Some(length), None, None) => length,
                (None, Some(_), Some(value)) => value,
                (None, None, Some(_)) => return Err("error parsing rabbitmq metadata: mode must be specified".to_owned()),
                (None, Some(_), None) => return Err("error parsing rabbitmq metadata: value must be specified".to_owned()),
            };
            Ok(external(format!("rabbitmq-{queue}"), each))
        }
        "prometheus" => {
            given("serverAddress").ok_or_else(|| missing("serverAddress"))?;
            given("query").ok_or_else(|| missing("query"))?;
            Ok(external("prometheus".to_owned(), given("threshold").ok_or_else(|| missing("threshold"))?))
        }
        "cpu" | "memory" => {
            let value = given("value").ok_or_else(|| missing("value"))?;
            let aim = match text(trigger, "/metricType") {
                "Utilization" => json!({ "type": "Utilization", "averageUtilization": value.parse::<i64>().unwrap_or(0) }),
                "AverageValue" => json!({ "type": "AverageValue", "averageValue": value }),
                other => return Err(format!("unknown metric type: {other}, allowed values are 'Utilization' or 'AverageValue'")),
            };
            Ok(json!({ "type": "Resource", "resource": { "name": kind, "target": aim } }))
        }
        other => Err(format!("no scaler found for type: {other}")),
    }
}

fn has_variable(target: &Value, variable: &str) -> bool {
    let env = target["spec"]["template"]["spec"]["containers"][0]["env"].as_array();
    env.is_some_and(|env| env.iter().any(|one| one["name"] == variable))
}

/// Over how long KEDA's rates are averaged, in seconds.
const AVERAGED: f64 = 5.0;

/// The thousandths that a trigger comes to now: requests a second, or what its queue holds or is given a second.
fn value(cluster: &Cluster<'_>, trigger: &Value) -> i128 {
    let thousandths = |count: f64| (count * 1000.0).round() as i128;
    match text(trigger, "/type") {
        "prometheus" => thousandths(cluster.load.rps),
        "rabbitmq" if text(trigger, "/metadata/queueName") == PURCHASES => {
            let (traffic, Moment { now, speed }) = (cluster.traffic, cluster.moment);
            match text(trigger, "/metadata/mode") {
                "MessageRate" => thousandths(traffic.published.rate(now, speed, AVERAGED)),
                // Whole messages, as its management API counts them.
                _ => thousandths(traffic.waiting.at(now, speed).round()),
            }
        }
        _ => 0,
    }
}

/// Whether any trigger is active: above its threshold of activation, which is 0. What pods use always is.
pub(super) fn is_active(cluster: &Cluster<'_>, object: &Value) -> bool {
    facts::triggers(object).iter().any(|trigger| match text(trigger, "/type") {
        "cpu" | "memory" => true,
        _ => {
            let threshold = trigger["metadata"].get("activationThreshold").or_else(|| trigger["metadata"].get("activationValue"));
            value(cluster, trigger) > threshold.and_then(quantity::milli).unwrap_or(0)
        }
    })
}

/// What a metric of an HPA of KEDA's comes to, in thousandths; none for one that is not KEDA's.
pub(in crate::sandbox::cluster::controller) fn measured(cluster: &Cluster<'_>, hpa: &Value, source: &Value) -> Option<i128> {
    let owner = source["metric"]["selector"]["matchLabels"][NAME_LABEL].as_str()?;
    let object = &cluster.store.get(Resource::ScaledObjects, namespace(hpa), owner)?.object;
    let place = text(source, "/metric/name").strip_prefix('s')?.split_once('-')?.0.parse::<usize>().ok()?;
    facts::triggers(object).get(place).map(|trigger| value(cluster, trigger))
}
