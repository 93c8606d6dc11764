//! What the cluster says of a workload's connections: its pods, its surge, its autoscaler's maximum, the size of a pod's pool.
//!
//! Must not ask anything. Invariant: what cannot be told is an error that says why, never a guess.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::budget::Surge;
use crate::actions::kubernetes::Capacity;
use crate::model::outcome::Failure;

/// How many pods there are, and from where they connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pods {
    /// Those on their way out.
    pub(super) terminating: i64,
    /// The others.
    pub(super) staying: i64,
    /// The addresses of all of them.
    pub(super) addresses: BTreeSet<IpAddr>,
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// The pods.
pub(super) fn pods(capacity: &Capacity) -> Pods {
    let mut pods = Pods::default();
    for pod in &capacity.pods {
        if pod.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null()) {
            pods.terminating += 1;
        } else {
            pods.staying += 1;
        }
        let more = pod.pointer("/status/podIPs").and_then(Value::as_array).into_iter().flatten().filter_map(|one| text(one, "/ip"));
        pods.addresses.extend(text(pod, "/status/podIP").into_iter().chain(more).filter_map(|address| address.parse::<IpAddr>().ok()));
    }
    pods
}

/// What a rollout adds, as its strategy says.
pub(super) fn surge(capacity: &Capacity) -> Result<Surge, Failure> {
    if !capacity.surges || text(&capacity.object, "/spec/strategy/type") == Some("Recreate") {
        return Ok(Surge::None);
    }
    let pointer = "/spec/strategy/rollingUpdate/maxSurge";
    let wrong =
        |value: &Value| Failure::permanent(format!("spec.strategy.rollingUpdate.maxSurge of the workload is {value}, which is no count"));
    match capacity.object.pointer(pointer) {
        // What the API server fills in.
        None | Some(Value::Null) => Ok(Surge::Percent(25)),
        Some(Value::String(percent)) => {
            let number = percent.strip_suffix('%').and_then(|number| number.parse().ok());
            number.map(Surge::Percent).ok_or_else(|| wrong(&Value::String(percent.clone())))
        }
        Some(value) => value.as_i64().map(Surge::Pods).ok_or_else(|| wrong(value)),
    }
}

/// What KEDA goes up to where a ScaledObject does not say it.
const KEDAS_MAXIMUM: i64 = 100;

/// The autoscaler's maximum, where there is an autoscaler: an HPA, or a ScaledObject of KEDA.
pub(super) fn maximum(capacity: &Capacity) -> Result<Option<i64>, Failure> {
    let name = |autoscaler: &Value| text(autoscaler, "/metadata/name").unwrap_or("?").to_owned();
    match capacity.autoscalers.as_slice() {
        [] => Ok(None),
        [one] if one["kind"] == "ScaledObject" => {
            Ok(Some(one.pointer("/spec/maxReplicaCount").and_then(Value::as_i64).unwrap_or(KEDAS_MAXIMUM)))
        }
        [one] => one
            .pointer("/spec/maxReplicas")
            .and_then(Value::as_i64)
            .map(Some)
            .ok_or_else(|| Failure::permanent(format!("the HorizontalPodAutoscaler {} has no spec.maxReplicas", name(one)))),
        several => {
            let names: Vec<String> = several.iter().take(5).map(name).collect();
            Err(Failure::permanent(format!("{} autoscalers scale this workload and fight each other: {}", several.len(), names.join(", ")))
                .hint("delete all but one (the HPA `keda-hpa-NAME` is KEDA's own), or give the step the `maximum` to count with"))
        }
    }
}

/// The size of a pod's pool, from a variable of its container.
pub(super) fn pool_size(capacity: &Capacity, variable: &str, container: Option<&str>) -> Result<i64, Failure> {
    let containers: Vec<&Value> =
        capacity.object.pointer("/spec/template/spec/containers").and_then(Value::as_array).into_iter().flatten().collect();
    let names = || containers.iter().filter_map(|container| text(container, "/name")).take(10).collect::<Vec<_>>().join(", ");
    let chosen: Vec<&Value> = match container {
        Some(wanted) => containers.iter().copied().filter(|container| text(container, "/name") == Some(wanted)).collect(),
        None => containers.clone(),
    };
    if chosen.is_empty() {
        return Err(Failure::permanent(format!("the workload has no container {}; it has {}", container.unwrap_or("at all"), names())));
    }
    let env = |container: &&'_ Value| container.get("env").and_then(Value::as_array).cloned().unwrap_or_default();
    let found: Vec<(String, Value)> = chosen
        .iter()
        .filter_map(|container| {
            // Where a name is there twice, the last one counts.
            let entry = env(container).into_iter().rev().find(|entry| text(entry, "/name") == Some(variable))?;
            Some((text(container, "/name").unwrap_or("?").to_owned(), entry))
        })
        .collect();
    let plainly = "or give the step `pool_size`, the number of connections that each pod opens";
    let (owner, entry) = match found.as_slice() {
        [] => {
            return Err(Failure::permanent(format!(
                "the variable {variable} is not set in the workload's template (containers: {})",
                names()
            ))
            .hint(format!("check `pool_env`, {plainly}")));
        }
        [one] => one,
        several => {
            let owners: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Failure::permanent(format!("{variable} is set in several containers: {}", owners.join(", ")))
                .hint("name the one that opens the connections as `container`; where all do, give the step `pool_size`, their sum"));
        }
    };
    if entry.get("valueFrom").is_some_and(|from| !from.is_null()) {
        return Err(Failure::permanent(format!(
            "{variable} of the container {owner} is not a plain value: it comes from elsewhere (`valueFrom`)"
        ))
        .hint(format!("set it as a plain value, {plainly}")));
    }
    let value = text(entry, "/value").unwrap_or_default().trim();
    value.parse().ok().filter(|size| *size > 0).ok_or_else(|| {
        let shown: String = value.chars().take(40).collect();
        Failure::permanent(format!("{variable} of the container {owner} is `{shown}`, which is not a number of connections"))
            .hint(format!("correct it, {plainly}"))
    })
}

/// What the pools of all pods come to, each by its own variable (`otherwise` where it does not say), and of those that are still to come.
pub(super) fn held(capacity: &Capacity, container: &str, variable: &str, otherwise: i64) -> i64 {
    let size = |pod: &Value| {
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array)?;
        let env = containers.iter().find(|one| text(one, "/name") == Some(container))?.get("env")?.as_array()?;
        let entry = env.iter().rev().find(|entry| text(entry, "/name") == Some(variable))?;
        text(entry, "/value")?.trim().parse::<i64>().ok().filter(|size| *size > 0)
    };
    let there = capacity.pods.iter().map(|pod| size(pod).unwrap_or(otherwise)).fold(0, i64::saturating_add);
    let to_come = capacity.replicas.saturating_sub(pods(capacity).staying).max(0);
    there.saturating_add(to_come.saturating_mul(otherwise))
}

/// The largest size that a pod which is there has, with how many have more than the template says: while a rollout goes on, or hangs, or pods are on
/// their way out, they hold what they were started with. `None` where all have the template's.
pub(super) fn larger_in_pods(capacity: &Capacity, variable: &str, container: Option<&str>, template: i64) -> Option<(i64, usize)> {
    let size = |pod: &Value| -> Option<i64> {
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array)?;
        let chosen = containers.iter().filter(|one| container.is_none_or(|wanted| text(one, "/name") == Some(wanted)));
        let sizes = chosen.filter_map(|one| {
            let env = one.get("env").and_then(Value::as_array)?;
            let entry = env.iter().rev().find(|entry| text(entry, "/name") == Some(variable))?;
            text(entry, "/value")?.trim().parse().ok()
        });
        sizes.max()
    };
    let larger: Vec<i64> = capacity.pods.iter().filter_map(size).filter(|size| *size > template).collect();
    larger.iter().max().map(|most| (*most, larger.len()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn capacity(strategy: Value, containers: Value) -> Capacity {
        let object = json!({ "spec": { "strategy": strategy, "template": { "spec": { "containers": containers } } } });
        Capacity { object, replicas: 2, surges: true, autoscalers: Vec::new(), pods: Vec::new() }
    }

    #[test]
    fn surge_is_what_the_strategy_says() {
        let rolling = |surge: Value| json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": surge } });
        for (strategy, wanted) in [
            (Value::Null, Surge::Percent(25)),
            (json!({ "type": "RollingUpdate" }), Surge::Percent(25)),
            (rolling(json!("50%")), Surge::Percent(50)),
            (rolling(json!(3)), Surge::Pods(3)),
            (rolling(json!(0)), Surge::Pods(0)),
            (json!({ "type": "Recreate" }), Surge::None),
        ] {
            assert_eq!(surge(&capacity(strategy.clone(), json!([]))).unwrap(), wanted, "{strategy}");
        }
        assert!(surge(&capacity(rolling(json!("many")), json!([]))).is_err());
        let stateful = Capacity { surges: false, ..capacity(Value::Null, json!([])) };
        assert_eq!(surge(&stateful).unwrap(), Surge::None);
    }

    #[test]
    fn a_pools_size_is_read_or_the_reason_is_said() {
        let env = |value: Value| json!([{ "name": "app", "env": [value] }]);
        let read = |containers: Value, container: Option<&str>| pool_size(&capacity(Value::Null, containers), "POOL", container);
        assert_eq!(read(env(json!({ "name": "POOL", "value": "20" })), None).unwrap(), 20);
        let two = json!([
            { "name": "app", "env": [{ "name": "POOL", "value": "1" }, { "name": "POOL", "value": "20" }] },
            { "name": "side", "env": [{ "name": "POOL", "value": "5" }] },
        ]);
        assert_eq!(read(two.clone(), Some("app")).unwrap(), 20);
        for (containers, container, text) in [
            (two, None, "is set in several containers: app, side"),
            (env(json!({ "name": "OTHER", "value": "20" })), None, "POOL is not set in the workload's template (containers: app)"),
            (env(json!({ "name": "POOL", "valueFrom": { "configMapKeyRef": {} } })), None, "is not a plain value"),
            (env(json!({ "name": "POOL", "value": "many" })), None, "`many`, which is not a number"),
            (env(json!({ "name": "POOL", "value": "0" })), None, "`0`, which is not a number"),
            (env(json!({ "name": "POOL" })), None, "``, which is not a number"),
            (env(json!({ "name": "POOL", "value": "20" })), Some("web"), "has no container web; it has app"),
        ] {
            let error = read(containers, container).unwrap_err();
            assert!(error.message.contains(text), "{error}");
        }
    }

    #[test]
    fn pods_that_were_started_with_a_larger_size_are_seen() {
        let pod = |env: Value| json!({ "spec": { "containers": [{ "name": "side" }, { "name": "app", "env": env }] } });
        let of = |pods: Vec<Value>| Capacity { pods, ..capacity(Value::Null, json!([])) };
        let size = |size: &str| pod(json!([{ "name": "POOL", "value": size }]));
        let rolling = of(vec![size("9"), size("20"), size("15"), size("many"), pod(json!([]))]);
        assert_eq!(larger_in_pods(&rolling, "POOL", None, 9), Some((20, 2)));
        assert_eq!(larger_in_pods(&rolling, "POOL", Some("app"), 9), Some((20, 2)));
        assert_eq!(larger_in_pods(&rolling, "POOL", Some("side"), 9), None);
        assert_eq!(larger_in_pods(&of(vec![size("9"), size("5")]), "POOL", None, 9), None);
    }

    #[test]
    fn kedas_maximum_counts_and_where_it_says_none_it_is_kedas_own() {
        let scaled = |spec: Value| json!({ "kind": "ScaledObject", "metadata": { "name": "tickets" }, "spec": spec });
        let with = |autoscalers: Vec<Value>| maximum(&Capacity { autoscalers, ..capacity(Value::Null, json!([])) });
        assert_eq!(with(vec![scaled(json!({ "maxReplicaCount": 20 }))]).unwrap(), Some(20));
        assert_eq!(with(vec![scaled(json!({}))]).unwrap(), Some(100));
        let hpa = json!({ "metadata": { "name": "ticket-service-hpa" }, "spec": { "maxReplicas": 16 } });
        let error = with(vec![scaled(json!({ "maxReplicaCount": 20 })), hpa]).unwrap_err();
        assert!(error.message.ends_with("fight each other: tickets, ticket-service-hpa"), "{error}");
    }

    #[test]
    fn one_autoscaler_counts_and_two_are_an_error() {
        let hpa = |name: &str| json!({ "metadata": { "name": name }, "spec": { "maxReplicas": 16 } });
        let with = |autoscalers: Vec<Value>| maximum(&Capacity { autoscalers, ..capacity(Value::Null, json!([])) });
        assert_eq!(with(vec![]).unwrap(), None);
        assert_eq!(with(vec![hpa("a")]).unwrap(), Some(16));
        let error = with(vec![hpa("ticket-service-hpa"), hpa("another")]).unwrap_err();
        assert!(error.message.ends_with("ticket-service-hpa, another"), "{error}");
    }
}
