//! Namespaces: what a fresh cluster has.
//!
//! It must not create Deployments. Invariant: the uid of `kube-system` is the uid of the cluster, which is how clients know one.

use serde_json::{Value, json};

/// The namespaces of a fresh cluster.
pub(crate) const INITIAL: [&str; 3] = ["kube-system", "production", "staging"];

/// A namespace object without its resource version.
pub(crate) fn object(name: &str, uid: &str, created: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": name, "uid": uid, "creationTimestamp": created, "labels": { "kubernetes.io/metadata.name": name } },
        "spec": { "finalizers": ["kubernetes"] },
        "status": { "phase": "Active" },
    })
}
