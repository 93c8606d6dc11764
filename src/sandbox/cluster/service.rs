//! Services: the one that a fresh cluster has.
//!
//! It must not know Pods (the endpoints' controller does). Invariant: its selector is the label of the ticket service's Pods.

use serde_json::{Value, json};

/// The Service in front of the ticket service.
pub(crate) fn initial(uid: &str, created: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "ticket-service", "namespace": "production", "uid": uid, "creationTimestamp": created, "labels": { "app": "ticket-service" },
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20"], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
            "selector": { "app": "ticket-service" },
            "ports": [{ "name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080 }],
        },
        "status": { "loadBalancer": {} },
    })
}
