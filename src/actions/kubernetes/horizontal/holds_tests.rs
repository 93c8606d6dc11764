//! What holds an autoscaler, from objects as the API gives them.

use serde_json::json;

use super::*;

/// Under the procedure's rules, with these readings of cpu (target 70) and memory (target 80); `null`: no value.
fn autoscaler(current: i64, cpu: Value, memory: Value) -> Value {
    let metric = |name: &str, target: i64| json!({ "type": "Resource", "resource": { "name": name, "target": { "type": "Utilization", "averageUtilization": target } } });
    let now = |name: &str, value: &Value| json!({ "type": "Resource", "resource": { "name": name, "current": { "averageUtilization": value, "averageValue": "1" } } });
    let mut metrics = vec![metric("cpu", 70)];
    let mut readings = Vec::new();
    if !cpu.is_null() {
        readings.push(now("cpu", &cpu));
    }
    if memory != false {
        metrics.push(metric("memory", 80));
        if !memory.is_null() {
            readings.push(now("memory", &memory));
        }
    }
    json!({
        "spec": {
            "minReplicas": 2, "maxReplicas": 16, "metrics": metrics,
            "behavior": { "scaleDown": { "stabilizationWindowSeconds": 300, "policies": [{ "type": "Percent", "value": 10, "periodSeconds": 60 }] } },
        },
        "status": { "currentReplicas": current, "desiredReplicas": current, "currentMetrics": readings },
    })
}

#[test]
fn the_metric_that_keeps_the_pods_is_named() {
    let comes_down = ": it waits until no higher count was wanted for 300 s (stabilisation window), then goes down by at most 10% in 60 s";
    let table = [
        (autoscaler(2, json!(5), json!(78)), "the autoscaler is at its floor of 2".to_owned()),
        (autoscaler(8, json!(5), json!(78)), "memory is at 78% of 80%: within the 10% tolerance, so it keeps 8 pods".to_owned()),
        (autoscaler(8, json!(90), json!(50)), "cpu is at 90% of 70%: it wants 11 pods".to_owned()),
        (
            autoscaler(8, json!(72), json!(78)),
            "cpu is at 72% of 70%: within the 10% tolerance, so it keeps 8 pods; memory is at 78% of 80%: within the 10% tolerance, so it keeps 8 pods"
                .to_owned(),
        ),
        (autoscaler(3, json!(60), json!(false)), "cpu is at 60% of 70%: it still needs all 3 pods".to_owned()),
        (autoscaler(8, json!(5), json!(false)), format!("the metrics want 2 of 8 pods{comes_down}")),
        (autoscaler(8, json!(20), json!(false)), format!("the metrics want 3 of 8 pods{comes_down}")),
        (
            autoscaler(8, json!(5), Value::Null),
            "memory has no value, and an autoscaler does not come down while one is missing".to_owned(),
        ),
        (json!({ "spec": { "maxReplicas": 4 } }), "the autoscaler has not looked yet: it has no status".to_owned()),
    ];
    for (object, wanted) in table {
        assert_eq!(what_holds(&object), wanted, "{object}");
    }
}

#[test]
fn what_the_controller_says_of_itself_comes_first() {
    let mut object = autoscaler(8, json!(5), json!(false));
    object["spec"]["behavior"]["scaleDown"]["selectPolicy"] = json!("Disabled");
    assert!(what_holds(&object).contains("`behavior.scaleDown.selectPolicy` is Disabled: it never comes down"));
    object["status"]["conditions"] = json!([
        { "type": "AbleToScale", "status": "False", "reason": "FailedGetScale", "message": "not found" },
        { "type": "ScalingActive", "status": "True" },
    ]);
    assert_eq!(what_holds(&object), "the autoscaler cannot scale: FailedGetScale: not found");
    object["status"]["conditions"] = json!([{ "type": "ScalingActive", "status": "False", "reason": "ScalingDisabled", "message": "scaling is disabled since the replica count of the target is zero" }]);
    assert_eq!(
        what_holds(&object),
        "the autoscaler does not scale: ScalingDisabled: scaling is disabled since the replica count of the target is zero"
    );
}

#[test]
fn values_that_are_no_percentages_are_compared_as_quantities() {
    let object = |now: &str, wanted: &str| {
        json!({
            "spec": { "maxReplicas": 16, "metrics": [{ "type": "Pods", "pods": { "metric": { "name": "rps" }, "target": { "averageValue": wanted } } }] },
            "status": { "currentReplicas": 4, "currentMetrics": [{ "type": "Pods", "pods": { "metric": { "name": "rps" }, "current": { "averageValue": now } } }] },
        })
    };
    assert_eq!(what_holds(&object("375", "250")), "rps is at 375 of 250: it wants 6 pods");
    assert_eq!(what_holds(&object("249500m", "250")), "rps is at 249500m of 250: within the 10% tolerance, so it keeps 4 pods");
    assert!(what_holds(&object("100", "0")).starts_with("rps has no value"), "a target of 0 says nothing");
    assert_eq!(quantity(&json!("200Mi")), Some(209_715_200.0));
    assert_eq!(quantity(&json!("x")), None);
    let mut own = object("100", "125");
    own["spec"]["behavior"]["scaleDown"]["tolerance"] = json!("250m");
    assert!(what_holds(&own).contains("within the 25% tolerance"), "{}", what_holds(&own));
}
