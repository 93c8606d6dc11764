//! Nodes: the three that a fresh cluster has, one in each zone.
//!
//! It must not place Pods (the scheduler does). Invariant: together they have room for 64 Pods of 250m and 256Mi, also while one is drained.

use serde_json::{Value, json};

/// The nodes' names, each with its zone.
pub(crate) const INITIAL: [(&str, &str); 3] = [("node-a", "zone-a"), ("node-b", "zone-b"), ("node-c", "zone-c")];

/// The address of the node with this number.
pub(crate) fn address(number: usize) -> String {
    format!("10.0.0.{}", number + 10)
}

/// A ready node.
pub(crate) fn object(number: usize, name: &str, zone: &str, uid: &str, created: &str) -> Value {
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
        json!({
            "type": kind, "status": if holds { "True" } else { "False" }, "reason": reason, "message": message,
            "lastHeartbeatTime": created, "lastTransitionTime": created,
        })
    };
    let size = json!({ "cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi" });
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name, "uid": uid, "creationTimestamp": created,
            "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/region": "region-1", "topology.kubernetes.io/zone": zone,
            },
        },
        "spec": { "podCIDR": format!("10.244.{number}.0/24"), "podCIDRs": [format!("10.244.{number}.0/24")] },
        "status": {
            "capacity": size, "allocatable": size,
            "addresses": [{ "type": "InternalIP", "address": address(number) }, { "type": "Hostname", "address": name }],
            "conditions": [
                condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
            ],
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": super::discovery::VERSION, "kubeProxyVersion": "",
                "containerRuntimeVersion": "containerd://2.0.0", "kernelVersion": "6.1.0", "osImage": "Linux", "machineID": name,
                "bootID": uid, "systemUUID": uid,
            },
        },
    })
}
