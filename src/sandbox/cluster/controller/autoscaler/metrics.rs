//! What the metrics of an autoscaler ask for, from what the Pods of its target use.
//!
//! It must not write. Invariant: a metric within 10% of its target asks for the replicas that there are.

use serde_json::{Value, json};

use crate::sandbox::cluster::controller::owners::{name, namespace, selects};
use crate::sandbox::cluster::controller::{Cluster, keda};
use crate::sandbox::cluster::pod::{self, Stage};
use crate::sandbox::cluster::quantity;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, Store, text};
use crate::sandbox::load::Load;

const TOLERANCE: f64 = 0.1;
/// The label of the Pods that take the platform's requests.
const SERVICE: &str = "ticket-service";

/// What all metrics of an autoscaler came to.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The replicas and the name of each metric that could be read.
    pub(super) proposals: Vec<(i64, String)>,
    /// The reason and the message of each that could not.
    pub(super) failures: Vec<(&'static str, String)>,
    /// `status.currentMetrics`
    pub(super) statuses: Value,
}

impl Reading {
    /// Why no replicas could be computed.
    pub(super) fn failure(&self) -> String {
        match self.failures.first() {
            Some((_, first)) => {
                format!(
                    "invalid metrics ({} invalid out of {}), first error is: {first}",
                    self.failures.len(),
                    self.failures.len() + self.proposals.len()
                )
            }
            None => "no metrics are given".to_owned(),
        }
    }
}

/// One Pod with what it uses and asks for, in thousandths.
struct Sample {
    used: i128,
    asked: i128,
}

/// The Pods of the target, sorted by what their samples are worth.
struct Samples {
    counted: Vec<Sample>,
    /// Pods that are not ready or that have no sample yet, by what they ask for.
    unready: Vec<i128>,
}

/// Reads all metrics.
pub(super) fn read(cluster: &Cluster<'_>, autoscaler: &Value, target: &Value, current: i64) -> Reading {
    let selector = &target["spec"]["selector"];
    let here = cluster.store.list(Resource::Pods, Some(namespace(target)));
    let pods: Vec<Entry> = here.filter(|entry| selects(selector, &entry.object)).cloned().collect();
    let default =
        [json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } })];
    let metrics = autoscaler["spec"]["metrics"].as_array().filter(|metrics| !metrics.is_empty());
    let mut reading = Reading::default();
    let mut statuses = Vec::new();
    for metric in metrics.map_or(&default[..], Vec::as_slice) {
        let source = match text(metric, "/type") {
            "Resource" => &metric["resource"],
            "ContainerResource" => &metric["containerResource"],
            kind => {
                if let Some(total) = keda::measured(cluster, autoscaler, &metric["external"]) {
                    external(&mut reading, &mut statuses, &metric["external"], total, current);
                    continue;
                }
                let reason = match kind {
                    "Pods" => "FailedGetPodsMetric",
                    "Object" => "FailedGetObjectMetric",
                    "External" => "FailedGetExternalMetric",
                    _ => "InvalidMetricSourceType",
                };
                reading.failures.push((reason, format!("the sandbox serves no metrics of type {kind}")));
                statuses.push(json!({ "type": "" }));
                continue;
            }
        };
        let resource = text(source, "/name");
        match resource_metric(cluster, &pods, source, current) {
            Ok((wanted, value)) => {
                let how = if source["target"]["averageUtilization"].is_number() {
                    format!("{resource} resource utilization (percentage of request)")
                } else {
                    format!("{resource} resource")
                };
                reading.proposals.push((wanted, how));
                statuses.push(json!({ "type": "Resource", "resource": { "name": resource, "current": value } }));
            }
            Err(why) => {
                reading.failures.push(("FailedGetResourceMetric", format!("failed to get {resource} {why}")));
                statuses.push(json!({ "type": "" }));
            }
        }
    }
    reading.statuses = Value::Array(statuses);
    reading
}

/// The replicas that a metric from outside asks for: `total` thousandths, of which each Pod is to have so many.
fn external(reading: &mut Reading, statuses: &mut Vec<Value>, source: &Value, total: i128, current: i64) {
    let metric = &source["metric"];
    let name = text(metric, "/name");
    let Some(each) = quantity::milli(&source["target"]["averageValue"]).filter(|each| *each > 0) else {
        let why = format!("invalid external metric source: neither a value target nor an average value target was set for {name}");
        reading.failures.push(("FailedGetExternalMetric", why));
        return statuses.push(json!({ "type": "" }));
    };
    let ratio = total as f64 / (each as f64 * current.max(1) as f64);
    let tolerable = (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&ratio) && current > 0;
    let wanted = if tolerable { current } else { (total as f64 / each as f64).ceil() as i64 };
    let count = i128::from(current.max(1));
    let average = (total + count - 1) / count;
    reading.proposals.push((wanted, format!("external metric {name}({})", selector(metric))));
    statuses
        .push(json!({ "type": "External", "external": { "metric": metric, "current": { "averageValue": quantity::show("", average) } } }));
}

/// A selector as the controller prints it.
fn selector(metric: &Value) -> String {
    let labels = metric["selector"]["matchLabels"].as_object();
    let shown: String =
        labels.into_iter().flatten().map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or_default())).collect();
    format!("&LabelSelector{{MatchLabels:map[string]string{{{shown}}},MatchExpressions:[]LabelSelectorRequirement{{}},}}")
}

/// The replicas that one resource asks for, and its current value as the status shows it.
fn resource_metric(cluster: &Cluster<'_>, pods: &[Entry], source: &Value, current: i64) -> Result<(i64, Value), String> {
    let resource = text(source, "/name");
    let failed = |what: &str, why: &str| format!("{what}: unable to get metrics for resource {resource}: {why}");
    if !matches!(resource, "cpu" | "memory") {
        return Err(failed("resource metric value", "no metrics known for it"));
    }
    if pods.is_empty() {
        return Err(failed("resource metric value", "no metrics returned from resource metrics API"));
    }
    let by_use = source["target"]["averageUtilization"].as_i64();
    let samples = samples(cluster, pods, resource, by_use.is_some()).map_err(|why| format!("{resource} utilization: {why}"))?;
    if samples.counted.is_empty() {
        return Err(format!("{resource} utilization: did not receive metrics for targeted pods (pods might be unready)"));
    }
    let count = i128::try_from(samples.counted.len()).unwrap_or(1);
    let used: i128 = samples.counted.iter().map(|sample| sample.used).sum();
    let average = used / count;
    let shown = quantity::show(resource, average);
    if let Some(target) = by_use {
        let asked: i128 = samples.counted.iter().map(|sample| sample.asked).sum();
        if asked == 0 || target <= 0 {
            return Err(format!("{resource} utilization: no metrics returned matched known pods"));
        }
        let utilization = used * 100 / asked;
        let ratio = |asked: i128| (used * 100 / asked) as f64 / target as f64;
        let with_unready = ratio(asked + samples.unready.iter().sum::<i128>());
        let wanted = replicas(ratio(asked), with_unready, &samples, current);
        let utilization = i64::try_from(utilization).unwrap_or(i64::MAX);
        return Ok((wanted, json!({ "averageUtilization": utilization, "averageValue": shown })));
    }
    let target = quantity::milli(&source["target"]["averageValue"]).filter(|target| *target > 0);
    let target = target.ok_or_else(|| format!("{resource} utilization: invalid target: neither an utilization nor an average value"))?;
    let all = count + i128::try_from(samples.unready.len()).unwrap_or(0);
    let wanted = replicas(average as f64 / target as f64, (used / all) as f64 / target as f64, &samples, current);
    Ok((wanted, json!({ "averageValue": shown })))
}

/// The replicas for a ratio of use to target. Pods that are not ready slow a scale-up down, as if they used nothing.
fn replicas(ratio: f64, with_unready: f64, samples: &Samples, current: i64) -> i64 {
    let tolerable = |ratio: f64| (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&ratio);
    let size = |ratio: f64, pods: usize| (ratio * pods as f64).ceil() as i64;
    if samples.unready.is_empty() || ratio <= 1.0 {
        return if tolerable(ratio) { current } else { size(ratio, samples.counted.len()) };
    }
    let wanted = size(with_unready, samples.counted.len() + samples.unready.len());
    if tolerable(with_unready) || with_unready < 1.0 || wanted < current { current } else { wanted }
}

fn samples(cluster: &Cluster<'_>, pods: &[Entry], resource: &str, by_use: bool) -> Result<Samples, String> {
    let mut samples = Samples { counted: Vec::new(), unready: Vec::new() };
    for entry in pods {
        let pod = &entry.object;
        let asked = asked(pod, resource);
        if by_use && asked.is_none() {
            let container = text(pod, "/spec/containers/0/name");
            return Err(format!("missing request for {resource} in container {container} of Pod {}", name(pod)));
        }
        let asked = asked.unwrap_or(0);
        let stage = pod::stage(pod);
        match stage {
            Stage::Terminating | Stage::Ended => {}
            Stage::Pending => samples.unready.push(asked),
            Stage::Running if resource == "cpu" => samples.unready.push(asked),
            Stage::Running | Stage::Ready if resource == "memory" => samples.counted.push(Sample { used: cluster.load.memory(), asked }),
            Stage::Running | Stage::Ready => {
                samples.counted.push(Sample { used: cpu_of(cluster.store, cluster.load, pod), asked });
            }
        }
    }
    Ok(samples)
}

/// The thousandths of a CPU that a Pod uses whose containers run.
pub(crate) fn cpu_of(store: &Store, load: Load, pod: &Value) -> i128 {
    let service = |pod: &Value| pod["metadata"]["labels"]["app"] == SERVICE;
    // The load reaches the Pods behind the Service, which need not be those of one workload alone.
    let here = store.list(Resource::Pods, Some(namespace(pod)));
    let ready = here.filter(|entry| service(&entry.object) && pod::stage(&entry.object) == Stage::Ready).count();
    let used = load.cpu(ready, service(pod) && pod::stage(pod) == Stage::Ready);
    let limit = quantity::of_pod(&pod["spec"], "limits", "cpu");
    if limit > 0 { used.min(limit) } else { used }
}

/// What the Pod's containers ask for; none where one of them does not say.
fn asked(pod: &Value, resource: &str) -> Option<i128> {
    let containers = pod["spec"]["containers"].as_array()?;
    containers.iter().map(|container| quantity::milli(&container["resources"]["requests"][resource])).sum()
}
