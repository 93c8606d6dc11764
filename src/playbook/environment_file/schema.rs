//! The format of environments' files as a JSON Schema, for editors.
//!
//! Must not be what a file is checked with: its messages are an editor's. Invariant: whatever is loaded, it accepts.

use serde_json::{Value, json};

use crate::model::environment::{SYSTEMS, TlsMode};
use crate::model::notification::Occasion;

/// The JSON Schema (draft 2020-12) of environments' files.
pub fn environment_schema() -> Value {
    let occasions = Occasion::ALL.map(Occasion::as_str);
    let secret = json!({ "$ref": "#/$defs/secret" });
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "runsheet environment",
        "type": "object",
        "additionalProperties": false,
        "required": ["environment"],
        "properties": {
            "environment": { "type": "string", "pattern": "^[a-z][a-z0-9-]*$", "not": { "const": "sandbox" }, "description": "Its name, the same as its file's" },
            "summary": { "type": ["string", "null"], "description": "One line that says what it is" },
            "confirm": { "enum": ["yes", "name", null], "description": "How a run is confirmed: by a yes (the default), or by typing the environment's name" },
            "via": {
                "type": ["object", "null"],
                "propertyNames": { "pattern": "^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9_.-]+)(:[0-9]+)?$" },
                "additionalProperties": { "type": "string", "pattern": "^(k8s:([a-z0-9.-]+/)?(service|pod)/[a-z0-9.-]+(:[A-Za-z0-9-]+)?|ssh:.+)$" },
                "description": "How hosts are reached that cannot be reached from here, by HOST or HOST:PORT: k8s:service/NAME:PORT, k8s:pod/NAME:PORT (a port-forward; k8s:NAMESPACE/service/NAME:PORT in another namespace), or ssh:[USER@]HOST[:PORT]. As long as a connection is needed, it begins at a port of 127.0.0.1",
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
            "values": { "type": ["object", "null"], "propertyNames": { "pattern": "^[a-z][a-z0-9_]*$", "not": { "enum": SYSTEMS } }, "description": "What playbooks read as target.NAME" },
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
    });
    if let (Some(properties), Value::Object(systems)) = (schema["properties"].as_object_mut(), systems(&secret)) {
        properties.extend(systems);
    }
    schema
}

/// What each system is described by.
fn systems(secret: &Value) -> Value {
    let tls = TlsMode::ALL.map(TlsMode::as_str);
    json!({
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
        "argocd": {
            "type": ["object", "null"], "additionalProperties": false,
            "properties": { "namespace": { "type": "string", "description": "Where Argo CD's Applications and AppProjects are; argocd by default" } },
        },
        "aws": {
            "type": ["object", "null"], "additionalProperties": false, "required": ["region", "account"],
            "properties": {
                "region": { "type": "string", "description": "The region that is acted in" },
                "account": { "type": "string", "pattern": "^[0-9]{12}$", "description": "The account's number, in quotes: compared with what the credentials lead to before every run" },
                "endpoint": { "type": "string", "format": "uri", "description": "Where every call goes in the place of the region's own endpoints" },
                "profile": { "type": "string", "minLength": 1, "description": "The profile of ~/.aws/config; by default the standard chain: environment variables, profiles, SSO, the machine's role" },
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
        "prometheus": {
            "type": ["object", "null"], "additionalProperties": false, "required": ["url"],
            "dependentRequired": { "user": ["password"], "password": ["user"] },
            "not": { "required": ["bearer", "user"] },
            "properties": {
                "url": { "type": "string", "format": "uri", "description": "The server, without /api/v1" },
                "bearer": secret, "user": { "type": "string" }, "password": secret,
                "ca_file": { "type": "string", "description": "PEM certificates to be trusted beside the machine's" },
            },
        },
        "rabbitmq": {
            "type": ["object", "null"], "additionalProperties": false, "required": ["url", "user", "password"],
            "properties": {
                "url": { "type": "string", "format": "uri", "description": "The management API, without /api" },
                "user": { "type": "string", "description": "Who asks; the tag `monitoring` is enough" }, "password": secret,
                "ca_file": { "type": "string", "description": "PEM certificates to be trusted beside the machine's" },
            },
        },
        "redis": {
            "type": ["object", "null"], "additionalProperties": false, "required": ["host"],
            "dependentRequired": { "user": ["password"] },
            "properties": {
                "host": { "type": "string" }, "port": { "type": "integer", "minimum": 1, "maximum": 65535, "description": "6379 by default" },
                "user": { "type": "string", "description": "A user of the access control list; `default` where it is left out" }, "password": secret,
                "tls": { "enum": tls, "description": "verify-full by default" },
                "ca_file": { "type": "string", "description": "PEM certificates to be trusted" },
            },
        },
        "pgbouncer": {
            "type": ["object", "null"], "additionalProperties": false, "required": ["user"],
            "oneOf": [{ "required": ["instances"] }, { "required": ["service"] }],
            "properties": {
                "instances": { "type": "array", "minItems": 1, "items": { "type": "string", "description": "HOST:PORT" }, "description": "Every instance by itself: an address that leads to any of them will not do" },
                "service": { "type": "string", "description": "The Service whose pods are the instances" },
                "namespace": { "type": "string", "description": "The Service's namespace; the cluster's own where it is left out" },
                "port": { "type": "integer", "minimum": 1, "maximum": 65535, "description": "The port of each pod; 6432 by default" },
                "user": { "type": "string", "description": "One of its admin_users, or of its stats_users, who may only look" },
                "database": { "type": "string", "description": "The admin console's; pgbouncer by default" }, "password": secret,
                "tls": { "enum": tls, "description": "verify-full by default" },
                "ca_file": { "type": "string", "description": "PEM certificates to be trusted" },
            },
        },
    })
}
