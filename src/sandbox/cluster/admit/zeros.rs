//! Values that say nothing: the API leaves `paused: false`, `minReadySeconds: 0` and empty lists out, so that setting them is no change.
//!
//! It must not touch a field whose absence means something else. Invariant: what is left out reads the same as what was sent.

use serde_json::Value;

use crate::sandbox::cluster::resource::Resource;

/// The fields that the API's types leave out while they have their zero value.
const OPTIONAL: [&str; 38] = [
    "annotations",
    "args",
    "binaryData",
    "command",
    "data",
    "env",
    "envFrom",
    "externalName",
    "finalizers",
    "generateName",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostname",
    "imagePullSecrets",
    "initContainers",
    "initialDelaySeconds",
    "labels",
    "matchExpressions",
    "matchLabels",
    "minReadySeconds",
    "nodeName",
    "nodePort",
    "nodeSelector",
    "ownerReferences",
    "paused",
    "priorityClassName",
    "publishNotReadyAddresses",
    "readOnly",
    "serviceAccountName",
    "stdin",
    "stdinOnce",
    "subPath",
    "subdomain",
    "tolerations",
    "tty",
    "workingDir",
];

/// Maps whose names are a person's own.
const FREE: [&str; 11] =
    ["annotations", "labels", "matchLabels", "nodeSelector", "data", "binaryData", "limits", "requests", "hard", "used", "managedFields"];

/// Leaves out what says nothing.
pub(crate) fn leave_out(resource: Resource, object: &mut Value) {
    match object {
        Value::Object(members) => {
            for (name, value) in members.iter_mut().filter(|(name, _)| !FREE.contains(&name.as_str())) {
                leave_out(resource, value);
                if name == "env" {
                    super::pod_spec::elements(value, |variable| {
                        if variable["value"] == ""
                            && let Some(members) = variable.as_object_mut()
                        {
                            members.shift_remove("value");
                        }
                    });
                }
            }
            // An EndpointSlice without ports is one of any port.
            let says_nothing = |name: &str, value: &Value| {
                zero(value)
                    && (OPTIONAL.contains(&name)
                        || (matches!(name, "ports" | "volumes" | "volumeMounts") && resource != Resource::EndpointSlices))
            };
            members.retain(|name, value| !says_nothing(name, value));
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| leave_out(resource, element)),
        _ => {}
    }
}

fn zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn zero_values_go_where_they_say_nothing() {
        let mut object = json!({
            "metadata": { "labels": {}, "annotations": { "paused": "" } },
            "spec": {
                "replicas": 0, "paused": false, "minReadySeconds": 0,
                "template": { "spec": { "containers": [{ "command": [], "env": [{ "name": "value", "value": "" }], "ports": [] }] } },
            },
        });
        leave_out(Resource::Deployments, &mut object);
        let expected = json!({
            "metadata": { "annotations": { "paused": "" } },
            "spec": { "replicas": 0, "template": { "spec": { "containers": [{ "env": [{ "name": "value" }] }] } } },
        });
        assert_eq!(object, expected);
        let mut slice = json!({ "ports": [] });
        leave_out(Resource::EndpointSlices, &mut slice);
        assert_eq!(slice, json!({ "ports": [] }));
    }
}
