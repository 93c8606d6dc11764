//! The format of environments' files as a JSON Schema, for editors.
//!
//! Must not be what a file is checked with: its messages are an editor's. Invariant: whatever is loaded, it accepts.

use serde_json::{Value, json};

use crate::model::environment::PostgresTls;
use crate::model::notification::Occasion;

/// The JSON Schema (draft 2020-12) of environments' files.
pub fn environment_schema() -> Value {
    let occasions = Occasion::ALL.map(Occasion::as_str);
    let tls = [PostgresTls::VerifyFull, PostgresTls::Require, PostgresTls::Disable].map(PostgresTls::as_str);
    let secret = json!({ "$ref": "#/$defs/secret" });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "runsheet environment",
        "type": "object",
        "additionalProperties": false,
        "required": ["environment"],
        "properties": {
            "environment": { "type": "string", "pattern": "^[a-z][a-z0-9-]*$", "not": { "const": "sandbox" }, "description": "Its name, the same as its file's" },
            "summary": { "type": ["string", "null"], "description": "One line that says what it is" },
            "confirm": { "enum": ["yes", "name", null], "description": "How a run is confirmed: by a yes (the default), or by typing the environment's name" },
            "kubernetes": {
                "type": ["object", "null"], "additionalProperties": false, "required": ["namespace", "cluster_uid"],
                "anyOf": [{ "required": ["context"] }, { "required": ["in_cluster"] }],
                "properties": {
                    "context": { "type": "string", "minLength": 1, "description": "A context of the kubeconfig" },
                    "in_cluster": { "type": "boolean", "description": "Use the service account of the Pod that runsheet runs in" },
                    "kubeconfig": { "type": "string", "description": "The kubeconfig's file; by default those of KUBECONFIG, else ~/.kube/config. A relative path begins at this file's folder" },
                    "namespace": { "type": "string", "description": "Where steps act that name no namespace" },
                    "cluster_uid": { "type": "string", "description": "The UID of the cluster's namespace kube-system: compared with the live one before every run. `runsheet environment check` prints it" },
                    "proxy": { "type": "string", "format": "uri", "description": "An HTTP proxy; it wins over the kubeconfig's and HTTPS_PROXY" },
                    "exec_timeout": { "type": "string", "pattern": "^([0-9]+(d|h|m|s|ms))+$", "description": "How long a credential plugin of the kubeconfig may take, 100ms to 5m; 60s by default" },
                },
            },
            "postgres": {
                "type": ["object", "null"], "additionalProperties": false, "required": ["host", "database", "user"],
                "properties": {
                    "host": { "type": "string" }, "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
                    "database": { "type": "string" }, "user": { "type": "string" }, "password": secret,
                    "tls": { "enum": tls, "description": "verify-full by default" },
                    "ca_file": { "type": "string", "description": "PEM certificates to be trusted" },
                },
            },
            "secrets": { "type": ["object", "null"], "propertyNames": { "pattern": "^[a-z][a-z0-9_]*$" }, "additionalProperties": secret, "description": "Where each secret comes from" },
            "notify": { "type": ["array", "null"], "description": "Whom to tell of what", "items": {
                "type": "object", "additionalProperties": false, "required": ["on"],
                "oneOf": [{ "required": ["webhook"] }, { "required": ["command"] }],
                "properties": {
                    "on": { "type": "array", "minItems": 1, "items": { "enum": occasions } },
                    "webhook": { "type": "object", "additionalProperties": false, "required": ["url"], "properties": {
                        "url": { "anyOf": [{ "type": "string", "format": "uri" }, secret] }, "bearer": secret } },
                    "command": { "type": "array", "minItems": 1, "items": { "type": "string" }, "description": "A program and its arguments; it reads the event as JSON from its standard input" },
                },
            } },
            "values": { "type": ["object", "null"], "propertyNames": { "pattern": "^[a-z][a-z0-9_]*$", "not": { "enum": ["kubernetes", "postgres"] } }, "description": "What playbooks read as target.NAME" },
        },
        "$defs": {
            "secret": {
                "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
                "properties": {
                    "env": { "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "description": "The environment variable it comes from" },
                    "file": { "type": "string", "description": "The file it comes from; a relative path begins at this file's folder" },
                },
            },
        },
    })
}
