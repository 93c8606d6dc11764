//! What both are asked that they refuse: locks that others hold, accounts that may not, and requests that cannot be understood.

use http::Method;
use serde_json::json;

use super::{Ask, DEPLOYMENTS, JSON, LEASES, MAPS, MERGE, PROBE, SCALE, TICKETS, ask, delete, get, lease, map, patch, post, probe};

/// A lease as a lock: taken, renewed, and lost.
pub(super) fn leases() -> Vec<Ask> {
    let path = format!("{LEASES}/probe");
    let versioned = |holder: &str, version: &str| {
        let mut lease = lease(holder);
        lease["metadata"]["resourceVersion"] = json!(version);
        lease
    };
    vec![
        post("a lease", LEASES, &lease("a")),
        post("a lease that is held", LEASES, &lease("b")),
        ask("a lease taken over from an old version", Method::PUT, &path).with(JSON, &versioned("b", "1")),
        ask("a lease renewed", Method::PUT, &path).with(JSON, &versioned("a", "<<a lease/metadata/resourceVersion>>")),
        delete("a lease released by who has it no more", &path).with(JSON, &json!({ "preconditions": { "resourceVersion": "1" } })),
        delete("a lease released by another", &path)
            .with(JSON, &json!({ "preconditions": { "uid": "00000000-0000-0000-0000-000000000000" } })),
        delete("a lease released", &path).with(JSON, &json!({ "preconditions": { "uid": "<<a lease/metadata/uid>>" } })),
        ask("a lease renewed that is gone", Method::PUT, &path).with(JSON, &lease("a")).not_compared(),
    ]
}

/// What is refused.
pub(super) fn all() -> Vec<Ask> {
    let review = |verb: &str| {
        let attributes = json!({ "namespace": "{NS}", "verb": verb, "group": "apps", "resource": "deployments", "subresource": "scale" });
        json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": { "resourceAttributes": attributes } })
    };
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    vec![
        get("a read without a token", TICKETS).by("nobody"),
        patch("a change that an account may not make", SCALE, MERGE, &json!({ "spec": { "replicas": 1 } })).by("viewer"),
        post("a creation that an account may not make", MAPS, &map("x", &json!({}))).by("viewer"),
        delete("a deletion that an account may not make", TICKETS).by("viewer"),
        get("a read that it may make", &format!("{TICKETS}/scale")).by("viewer").not_compared(),
        post("whether it may read", reviews, &review("get")).by("viewer"),
        post("whether it may change", reviews, &review("patch")).by("viewer"),
        ask("a body that is no JSON", Method::POST, MAPS).raw(JSON, "{"),
        ask("a body of another type", Method::POST, MAPS).raw("text/plain", "x"),
        ask("a method that there is not", Method::PUT, MAPS).raw(JSON, "{}"),
        patch("a patch of a type that there is not", PROBE, "application/x-patch", &json!({})),
        post("an object of another kind", MAPS, &probe(1)),
        post("an object without a name", MAPS, &json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {} })),
        post("an object with a wrong name", MAPS, &map("No Name", &json!({}))),
        post(
            "an object of another namespace",
            MAPS,
            &json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x", "namespace": "other" } }),
        ),
        post("an object in a namespace that is not there", "/api/v1/namespaces/nowhere/configmaps", &map("x", &json!({}))),
        patch("a patch of what is not there", &format!("{DEPLOYMENTS}/none"), MERGE, &json!({})),
    ]
}
