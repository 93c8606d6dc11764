//! Why an autoscaler keeps the pods it keeps, in words.
//!
//! Must not ask anything. Invariant: only what the object itself says is told; where it says nothing, that is what is told.
//! After the algorithm of the controller: <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details>

use serde_json::Value;

/// The controller's tolerance where an autoscaler has none of its own.
const TOLERANCE: f64 = 0.1;

/// One metric: what it is of, and how its value stands to its target.
struct Metric {
    /// `memory`, `cpu of container app`, `http_requests`.
    what: String,
    /// `78% of 80%`; `None` where there is no value.
    reading: Option<Reading>,
}

struct Reading {
    shown: String,
    ratio: f64,
}

/// Why it does not come down, or that it has.
pub(in crate::actions::kubernetes) fn what_holds(object: &Value) -> String {
    let number = |path: &str| object.pointer(path).and_then(Value::as_i64);
    let floor = number("/spec/minReplicas").unwrap_or(1);
    let Some(current) = number("/status/currentReplicas") else {
        return "the autoscaler has not looked yet: it has no status".to_owned();
    };
    if let Some(condition) = condition(object, "ScalingActive").filter(|condition| condition["status"] == "False") {
        return format!("the autoscaler does not scale: {}", told(condition));
    }
    if let Some(condition) = condition(object, "AbleToScale").filter(|condition| condition["status"] == "False") {
        return format!("the autoscaler cannot scale: {}", told(condition));
    }
    if current <= floor {
        return format!("the autoscaler is at its floor of {floor}");
    }
    let metrics = metrics(object);
    let tolerance = tolerance(object);
    let missing: Vec<&str> = metrics.iter().filter(|metric| metric.reading.is_none()).map(|metric| metric.what.as_str()).collect();
    let holding: Vec<String> = metrics.iter().filter_map(|metric| metric.holds(current, tolerance)).collect();
    if !holding.is_empty() {
        return holding.join("; ");
    }
    if !missing.is_empty() {
        return format!("{} has no value, and an autoscaler does not come down while one is missing", missing.join(", "));
    }
    let wanted = metrics.iter().filter_map(|metric| metric.wants(current)).max().unwrap_or(floor).max(floor);
    if object.pointer("/spec/behavior/scaleDown/selectPolicy").is_some_and(|policy| policy == "Disabled") {
        return format!(
            "the metrics want {wanted} of {current} pods, but `behavior.scaleDown.selectPolicy` is Disabled: it never comes down"
        );
    }
    let window = number("/spec/behavior/scaleDown/stabilizationWindowSeconds").unwrap_or(300);
    let stabilised = condition(object, "AbleToScale").is_some_and(|condition| condition["reason"] == "ScaleDownStabilized");
    let waits = if stabilised || window > 0 {
        format!("it waits until no higher count was wanted for {window} s (stabilisation window)")
    } else {
        "it comes down at its next looks".to_owned()
    };
    format!("the metrics want {wanted} of {current} pods: {waits}{}", policies(object))
}

impl Metric {
    /// How many pods it wants.
    fn wants(&self, current: i64) -> Option<i64> {
        let reading = self.reading.as_ref()?;
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "counts of pods are small, and casts saturate")]
        let wanted = (current as f64 * reading.ratio).ceil() as i64;
        Some(wanted)
    }

    /// Why it keeps at least the pods that are there; `None` where it does not.
    fn holds(&self, current: i64, tolerance: f64) -> Option<String> {
        let Reading { shown, ratio } = self.reading.as_ref()?;
        let what = &self.what;
        let wanted = self.wants(current)?;
        if (ratio - 1.0).abs() <= tolerance {
            let percent = (tolerance * 1000.0).round() / 10.0;
            return Some(format!("{what} is at {shown}: within the {percent}% tolerance, so it keeps {current} pods"));
        }
        if wanted > current {
            return Some(format!("{what} is at {shown}: it wants {wanted} pods"));
        }
        (wanted == current).then(|| format!("{what} is at {shown}: it still needs all {current} pods"))
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn told(condition: &Value) -> String {
    let text = |key: &str| condition.get(key).and_then(Value::as_str).unwrap_or_default();
    format!("{}: {}", text("reason"), crate::actions::support::at_most(text("message"), 300))
}

/// The tolerance for coming down, which newer clusters let an autoscaler set.
fn tolerance(object: &Value) -> f64 {
    object.pointer("/spec/behavior/scaleDown/tolerance").and_then(quantity).unwrap_or(TOLERANCE)
}

fn policies(object: &Value) -> String {
    let list = object.pointer("/spec/behavior/scaleDown/policies").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let shown: Vec<String> = list
        .iter()
        .filter_map(|policy| {
            let (value, seconds) = (policy.get("value")?.as_i64()?, policy.get("periodSeconds")?.as_i64()?);
            Some(if policy["type"] == "Percent" { format!("{value}% in {seconds} s") } else { format!("{value} pods in {seconds} s") })
        })
        .collect();
    if shown.is_empty() { String::new() } else { format!(", then goes down by at most {}", shown.join(" or ")) }
}

/// Each metric of the spec with its reading from the status.
fn metrics(object: &Value) -> Vec<Metric> {
    let list = |path: &str| object.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let current = list("/status/currentMetrics");
    let mut metrics = Vec::new();
    for metric in list("/spec/metrics") {
        let Some((part, what)) = identity(metric) else { continue };
        let now = current.iter().find(|other| identity(other).as_ref() == Some(&(part, what.clone())));
        let reading = now.and_then(|now| reading(metric.get(part)?.get("target")?, now.get(part)?.get("current")?));
        metrics.push(Metric { what, reading });
    }
    metrics
}

/// Which part of a metric holds it, and what it is of.
fn identity(metric: &Value) -> Option<(&'static str, String)> {
    let part = match metric.get("type")?.as_str()? {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return None,
    };
    let held = metric.get(part)?;
    let name = held.get("name").or_else(|| held.pointer("/metric/name"))?.as_str()?;
    let of = match held.get("container").and_then(Value::as_str) {
        Some(container) => format!("{name} of container {container}"),
        None => name.to_owned(),
    };
    Some((part, of))
}

fn reading(target: &Value, current: &Value) -> Option<Reading> {
    if let (Some(wanted), Some(now)) = (
        target.get("averageUtilization").and_then(Value::as_f64).filter(|wanted| *wanted > 0.0),
        current.get("averageUtilization").and_then(Value::as_f64),
    ) {
        return Some(Reading { shown: format!("{now}% of {wanted}%"), ratio: now / wanted });
    }
    for key in ["averageValue", "value"] {
        if let (Some(wanted), Some(now)) = (target.get(key), current.get(key)) {
            let ratio = quantity(now)? / quantity(wanted).filter(|wanted| *wanted > 0.0)?;
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            return Some(Reading { shown: format!("{} of {}", text(now), text(wanted)), ratio });
        }
    }
    None
}

/// A quantity of the API as a number: `100m`, `1500`, `200Mi`.
fn quantity(value: &Value) -> Option<f64> {
    let Some(text) = value.as_str() else { return value.as_f64() };
    const UNITS: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let unit = UNITS.iter().find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, *factor)));
    let (number, factor) = unit.unwrap_or((text, 1.0));
    number.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number * factor)
}

#[cfg(test)]
#[path = "holds_tests.rs"]
mod tests;
