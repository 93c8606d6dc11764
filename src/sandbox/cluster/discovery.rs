//! Discovery: what the cluster says it serves.
//!
//! It must not name what [`super::api`] would refuse. Invariant: the lists are built from [`Resource`], so they cannot miss a kind.

use serde_json::{Value, json};

use super::resource::Resource;

/// The answer for a discovery path; none for any other path.
pub(crate) fn answer(path: &str, host: &str) -> Option<Value> {
    match path.trim_end_matches('/') {
        "/version" => Some(json!({
            "major": "1", "minor": "33", "gitVersion": "v1.33.0+sandbox", "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "2025-04-23T00:00:00Z", "goVersion": "", "compiler": "", "platform": "sandbox",
        })),
        "/api" => Some(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": host }],
        })),
        "/apis" => Some(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [apps()] })),
        "/apis/apps" => {
            let mut group = apps();
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            Some(group)
        }
        "/api/v1" => Some(resources("v1")),
        "/apis/apps/v1" => Some(resources("apps/v1")),
        _ => None,
    }
}

fn apps() -> Value {
    let version = json!({ "groupVersion": "apps/v1", "version": "v1" });
    json!({ "name": "apps", "versions": [version], "preferredVersion": version })
}

/// The verbs of a kind, as discovery lists them.
fn verbs(resource: Resource) -> &'static [&'static str] {
    match resource {
        Resource::Pods => &["delete", "get", "list", "watch"],
        Resource::Deployments => &["create", "delete", "get", "list", "patch", "update", "watch"],
        _ => &["get", "list", "watch"],
    }
}

fn resources(group_version: &str) -> Value {
    let mut list = Vec::new();
    for resource in Resource::ALL.into_iter().filter(|resource| resource.api_version() == group_version) {
        let categories = if matches!(resource, Resource::Pods | Resource::Deployments) { json!(["all"]) } else { json!([]) };
        list.push(json!({
            "name": resource.plural(), "singularName": resource.kind().to_lowercase(), "namespaced": resource.namespaced(),
            "kind": resource.kind(), "verbs": verbs(resource), "shortNames": resource.short_names(), "categories": categories,
        }));
        if resource == Resource::Deployments {
            list.push(json!({
                "name": "deployments/scale", "singularName": "", "namespaced": true, "group": "autoscaling", "version": "v1",
                "kind": "Scale", "verbs": ["get", "patch", "update"],
            }));
        }
    }
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list })
}
