//! The specification of Pods, alone or in a template: its defaults and what is wrong with one.
//!
//! It must not know the kind around it. Invariant: an admitted specification has at least one container, each with a name and an image.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::defaults::default;
use super::problems::Problems;
use super::quantity;

/// Fills what the API server fills.
pub(crate) fn fill(spec: &mut Value) {
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", json!("default-scheduler"));
    for list in ["initContainers", "containers"] {
        each(spec, list, fill_container);
    }
    each(spec, "volumes", |volume| {
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            if let Some(source) = volume.get_mut(source) {
                default(source, "defaultMode", json!(420));
            }
        }
    });
}

/// Calls `act` with each element of a list, where there is one.
pub(crate) fn each(parent: &mut Value, list: &str, act: impl FnMut(&mut Value)) {
    if let Some(list) = parent.get_mut(list) {
        elements(list, act);
    }
}

/// Calls `act` with each element, where it is a list.
pub(crate) fn elements(list: &mut Value, act: impl FnMut(&mut Value)) {
    if let Value::Array(elements) = list {
        elements.iter_mut().for_each(act);
    }
}

fn fill_container(container: &mut Value) {
    default(container, "resources", json!({}));
    default(container, "terminationMessagePath", json!("/dev/termination-log"));
    default(container, "terminationMessagePolicy", json!("File"));
    let image = container["image"].as_str().unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let latest = name.ends_with(":latest") || !name.contains([':', '@']);
    default(container, "imagePullPolicy", json!(if latest { "Always" } else { "IfNotPresent" }));
    each(container, "ports", |port| default(port, "protocol", json!("TCP")));
    each(container, "env", |variable| {
        if let Some(reference) = variable.pointer_mut("/valueFrom/fieldRef") {
            default(reference, "apiVersion", json!("v1"));
        }
    });
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe) else { continue };
        for (field, value) in [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)] {
            default(probe, field, json!(value));
        }
        if let Some(get) = probe.get_mut("httpGet") {
            default(get, "path", json!("/"));
            default(get, "scheme", json!("HTTP"));
        }
    }
}

/// Adds what is wrong with the specification at `field`.
pub(crate) fn validate(spec: &Value, field: &str, problems: &mut Problems) {
    let containers = spec["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if containers.is_empty() {
        problems.required(format!("{field}.containers"));
    }
    let mut names = BTreeSet::new();
    for (nth, container) in containers.iter().enumerate() {
        let at = format!("{field}.containers[{nth}]");
        match container["name"].as_str().unwrap_or_default() {
            "" => problems.required(format!("{at}.name")),
            name if !names.insert(name) => problems.add(format!("{at}.name"), format!("Duplicate value: \"{name}\"")),
            name if !super::update::dns_label(name) || name.contains('.') || name.len() > 63 => {
                let rule = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
                problems.invalid(format!("{at}.name"), &container["name"], rule);
            }
            _ => {}
        }
        if container["image"].as_str().unwrap_or_default().is_empty() {
            problems.required(format!("{at}.image"));
        }
        variables(container, &at, problems);
        resources(&container["resources"], &format!("{at}.resources"), problems);
    }
}

fn variables(container: &Value, at: &str, problems: &mut Problems) {
    for (nth, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{at}.env[{nth}]");
        if variable["name"].as_str().unwrap_or_default().is_empty() {
            problems.required(format!("{at}.name"));
        }
        let plain = variable["value"].as_str().is_some_and(|value| !value.is_empty());
        if plain && variable["valueFrom"].is_object() {
            problems.add(format!("{at}.valueFrom"), "Invalid value: \"\": may not be specified when `value` is not empty");
        }
    }
}

fn resources(resources: &Value, at: &str, problems: &mut Problems) {
    for (name, request) in resources["requests"].as_object().into_iter().flatten() {
        let amount = |value: &Value| value.as_str().and_then(quantity::parse);
        let limit = &resources["limits"][name.as_str()];
        if let (Some(wanted), Some(most)) = (amount(request), amount(limit))
            && wanted > most
        {
            let why = format!("must be less than or equal to {name} limit of {}", limit.as_str().unwrap_or_default());
            problems.invalid(format!("{at}.requests"), request, &why);
        }
    }
}
