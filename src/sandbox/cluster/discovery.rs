//! Discovery: what the cluster says it serves.
//!
//! It must not name what [`super::api`] would refuse. Invariant: the lists are built from [`Resource`], so they cannot miss a kind.

use serde_json::{Value, json};

use super::metrics;
use super::resource::Resource;

/// The version of Kubernetes that the cluster behaves as, because that is the one it is held against (`docs/sandbox.md`).
pub(crate) const VERSION: &str = "v1.36.3";

/// What Pods have beside `status`: the name, the kind and the verbs.
const OF_PODS: [(&str, &str, &[&str]); 5] = [
    ("pods/exec", "PodExecOptions", &["create", "get"]),
    ("pods/log", "Pod", &["get"]),
    ("pods/portforward", "PodPortForwardOptions", &["create", "get"]),
    ("pods/proxy", "PodProxyOptions", &["create", "delete", "get", "patch", "update"]),
    ("pods/resize", "Pod", &["get", "patch", "update"]),
];

/// The reviews, which are no objects: group, plural and kind.
const REVIEWS: [(&str, &str, &str); 2] = [
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
];

/// Whether a kind is one that this cluster does not serve, as its definition is not installed.
pub(crate) type Hidden = fn(Resource) -> bool;

/// The answer for a discovery path; none for any other path.
pub(crate) fn answer(path: &str, host: &str, hidden: Hidden) -> Option<Value> {
    let path = path.trim_end_matches('/');
    match path {
        "/version" => Some(json!({
            "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1",
            "minCompatibilityMinor": "35", "gitVersion": format!("{VERSION}+sandbox"), "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "2026-07-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "sandbox",
        })),
        "/api" => Some(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": host }],
        })),
        "/apis" => {
            let groups: Vec<Value> = groups(hidden).into_iter().map(|(group, version)| described(group, version)).collect();
            Some(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
        }
        "/api/v1" => Some(resources("v1")),
        _ => {
            let rest = path.strip_prefix("/apis/")?;
            groups(hidden).into_iter().find_map(|(group, version)| {
                if rest == group {
                    let mut found = described(group, version);
                    found["kind"] = json!("APIGroup");
                    found["apiVersion"] = json!("v1");
                    return Some(found);
                }
                let group_version = format!("{group}/{version}");
                (rest == group_version).then(|| resources(&group_version))
            })
        }
    }
}

/// Whether a path lies in a version of a group that is served.
pub(crate) fn serves(path: &str, hidden: Hidden) -> bool {
    let groups = groups(hidden).into_iter().map(|(group, version)| format!("/apis/{group}/{version}/"));
    groups.chain(["/api/v1/".to_owned()]).any(|place| path.starts_with(&place))
}

/// The groups with their versions, each once.
fn groups(hidden: Hidden) -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<(&str, &str)> = Vec::new();
    let kinds = Resource::ALL.into_iter().filter(|resource| !hidden(*resource)).map(|resource| (resource.group(), resource.version()));
    for found in kinds.chain(REVIEWS.into_iter().map(|(group, ..)| (group, "v1"))).chain([metrics::GROUP]) {
        if !found.0.is_empty() && !groups.contains(&found) {
            groups.push(found);
        }
    }
    groups
}

fn described(group: &str, version: &str) -> Value {
    let version = json!({ "groupVersion": format!("{group}/{version}"), "version": version });
    json!({ "name": group, "versions": [version], "preferredVersion": version })
}

/// The verbs of a kind, as discovery lists them.
fn verbs(resource: Resource) -> &'static [&'static str] {
    match resource {
        Resource::Namespaces => &["create", "get", "list", "patch", "update", "watch"],
        _ => &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    }
}

fn in_all(resource: Resource) -> bool {
    use Resource::{Deployments, HorizontalPodAutoscalers, Jobs, Pods, ReplicaSets, Services, StatefulSets};
    matches!(resource, Pods | Services | Deployments | ReplicaSets | StatefulSets | Jobs | HorizontalPodAutoscalers)
}

fn resources(group_version: &str) -> Value {
    let mut list = Vec::new();
    for resource in Resource::ALL.into_iter().filter(|resource| resource.api_version() == group_version) {
        let categories = if in_all(resource) { json!(["all"]) } else { json!([]) };
        let (plural, namespaced) = (resource.plural(), resource.namespaced());
        list.push(json!({
            "name": plural, "singularName": resource.kind().to_lowercase(), "namespaced": namespaced,
            "kind": resource.kind(), "verbs": verbs(resource), "shortNames": resource.short_names(), "categories": categories,
        }));
        let verbs = ["get", "patch", "update"];
        if resource.has_subresource("scale") {
            list.push(json!({
                "name": format!("{plural}/scale"), "singularName": "", "namespaced": namespaced, "group": "autoscaling", "version": "v1",
                "kind": "Scale", "verbs": verbs,
            }));
        }
        if resource == Resource::Pods {
            for (name, kind, verbs) in OF_PODS {
                list.push(json!({ "name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": verbs }));
            }
        }
        if resource.has_subresource("status") {
            list.push(json!({
                "name": format!("{plural}/status"), "singularName": "", "namespaced": namespaced, "kind": resource.kind(), "verbs": verbs,
            }));
        }
    }
    for (_, plural, kind) in REVIEWS.into_iter().filter(|(group, ..)| format!("{group}/v1") == group_version) {
        list.push(json!({ "name": plural, "singularName": kind.to_lowercase(), "namespaced": false, "kind": kind, "verbs": ["create"] }));
    }
    if group_version == format!("{}/{}", metrics::GROUP.0, metrics::GROUP.1) {
        list.extend(metrics::resources().as_array().cloned().unwrap_or_default());
    }
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list })
}
