//! OpenAPI, as far as kubectl needs it: which requests there are, and that they take `fieldValidation` and `dryRun`.
//!
//! It must not describe fields: a schema that names none refuses no object. Invariant: it is built from [`Resource`], so it cannot miss a
//! kind.

use serde_json::{Map, Value, json};

use super::discovery::VERSION;
use super::resource::Resource;

/// The media type of the second version that kubectl asks for.
pub(crate) const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The answer for a path below `/openapi/v3`; none for any other path.
pub(crate) fn v3(path: &str) -> Option<Value> {
    let rest = path.strip_prefix("/openapi/v3")?;
    if rest.is_empty() || rest == "/" {
        let mut paths = Map::new();
        for resource in Resource::ALL {
            let place = place(resource);
            paths.insert(place.clone(), json!({ "serverRelativeURL": format!("/openapi/v3/{place}?hash=1") }));
        }
        return Some(json!({ "paths": paths }));
    }
    let place_asked = rest.strip_prefix('/')?;
    let resources: Vec<Resource> = Resource::ALL.into_iter().filter(|resource| place(*resource) == place_asked).collect();
    if resources.is_empty() {
        return None;
    }
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for resource in resources {
        let gvk = json!({ "group": resource.group(), "version": resource.version(), "kind": resource.kind() });
        let namespace = if resource.namespaced() { "namespaces/{namespace}/" } else { "" };
        let all = format!("/{place_asked}/{namespace}{}", resource.plural());
        let operation = |action: &str, writes: bool| {
            let names: &[&str] = if writes { &["dryRun", "fieldManager", "fieldValidation"] } else { &[] };
            let parameters: Vec<Value> =
                names.iter().map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } })).collect();
            json!({
                "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk, "parameters": parameters,
                "responses": { "200": { "description": "OK" } },
            })
        };
        paths.insert(all.clone(), json!({ "get": operation("list", false), "post": operation("post", true) }));
        paths.insert(
            format!("{all}/{{name}}"),
            json!({
                "get": operation("get", false), "put": operation("put", true), "patch": operation("patch", true),
                "delete": operation("delete", false),
            }),
        );
        let name = format!("io.k8s.api.{}.{}.{}", group_folder(resource), resource.version(), resource.kind());
        let schema = json!({
            "type": "object", "x-kubernetes-group-version-kind": [gvk], "x-kubernetes-preserve-unknown-fields": true,
        });
        schemas.insert(name, schema);
    }
    let info = json!({ "title": "Kubernetes", "version": VERSION });
    Some(json!({ "openapi": "3.0.0", "info": info, "paths": paths, "components": { "schemas": schemas } }))
}

/// The second version as JSON: no definitions.
pub(crate) fn v2() -> Value {
    json!({ "swagger": "2.0", "info": { "title": "Kubernetes", "version": VERSION }, "paths": {}, "definitions": {} })
}

/// The second version as protobuf: no definitions.
pub(crate) fn v2_protobuf() -> Vec<u8> {
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        // Wire type 2, a length and the bytes; all of them are short.
        let length = u8::try_from(content.len()).unwrap_or(0);
        [&[number << 3 | 2, length], content].concat()
    }
    let info = [field(1, b"Kubernetes"), field(2, VERSION.as_bytes())].concat();
    [field(1, b"2.0"), field(2, &info)].concat()
}

/// `api/v1`, `apis/apps/v1`
fn place(resource: Resource) -> String {
    match resource.group() {
        "" => format!("api/{}", resource.version()),
        group => format!("apis/{group}/{}", resource.version()),
    }
}

fn group_folder(resource: Resource) -> &'static str {
    match resource.group() {
        "" => "core",
        group => group.split('.').next().unwrap_or(group),
    }
}
