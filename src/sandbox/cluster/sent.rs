//! What a client sent: the document, who sends it, whether it is an object of the path's kind and has only fields of that.
//!
//! It must not know what is stored.

use serde_json::{Value, json};

use super::admit::{self, strict};
use super::managed_fields::{Manager, Operation};
use super::resource::{Resource, ResourcePath};
use super::status_error::ApiError;
use super::store::text;
use super::{patch, protobuf};
use crate::sandbox::call::Call;

/// The body as a document.
///
/// # Errors
/// 415 for another media type, 400 for what cannot be read.
pub(super) fn document(call: &Call, kind: &str) -> Result<Value, ApiError> {
    let unread = |error: String| {
        let sent = String::from_utf8_lossy(&call.body);
        let mut shown: String = sent.chars().take(30).collect();
        if shown.len() < sent.len() {
            shown.push_str(" ...");
        }
        let problem = format!("couldn't get version/kind; json parse error: {error}");
        ApiError::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {problem} ({shown})"))
    };
    let said = |error: serde_json::Error| if error.is_eof() { "unexpected end of JSON input".to_owned() } else { error.to_string() };
    match call.media_type() {
        "" | "application/json" => serde_json::from_slice(&call.body).map_err(|error| unread(said(error))),
        // JSON is YAML, and quicker to read.
        "application/yaml" | patch::APPLY => match serde_json::from_slice(&call.body) {
            Ok(document) => Ok(document),
            Err(_) => serde_saphyr::from_slice(&call.body).map_err(|error| unread(error.to_string())),
        },
        protobuf::MEDIA_TYPE => Err(ApiError::unsupported_media_type(
            "application/json, application/yaml (the sandbox reads no protobuf: add `--dry-run=client -o yaml | kubectl apply -f -`)",
        )),
        _ => Err(ApiError::unsupported_media_type(DOCUMENTS)),
    }
}

/// The media types of documents, as the API server lists them.
const DOCUMENTS: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// The longest name of a field manager.
const LONGEST_MANAGER: usize = 128;

/// Who changes it, by the request's own words.
pub(super) fn manager(call: &Call, resource: Resource, subresource: Option<&str>, operation: Operation) -> Result<Manager, ApiError> {
    let name = call.field_manager();
    let named = call.query("fieldManager");
    let refuse = |problem: &str| Err(ApiError::invalid("PatchOptions.meta.k8s.io", "", "fieldManager", problem));
    if named.len() > LONGEST_MANAGER {
        return refuse(&format!("Too long: may not be more than {LONGEST_MANAGER} bytes"));
    }
    if named.chars().any(char::is_control) {
        return refuse(&format!("Invalid value: {}: should not contain non-printable characters", json!(named)));
    }
    if operation == Operation::Apply && named.is_empty() {
        return refuse("Required value: is required for apply patch");
    }
    Ok(Manager { subresource: subresource.unwrap_or_default().to_owned(), ..Manager::new(name, operation, resource) })
}

/// Checks that `sent` is an object of the path's kind, and fills kind and version where they are missing.
pub(super) fn claim(path: &ResourcePath, sent: &mut Value) -> Result<(), ApiError> {
    let (resource, api_version) = (path.resource, path.resource.api_version());
    let kind = resource.kind();
    if !sent.is_object() {
        return Err(ApiError::bad_request(format!("the body must be an object of the kind {kind} of {api_version}")));
    }
    let (given_kind, given_version) = (text(sent, "/kind").to_owned(), text(sent, "/apiVersion").to_owned());
    if (!given_kind.is_empty() && given_kind != kind) || (!given_version.is_empty() && given_version != api_version) {
        return Err(another_kind(resource, &given_version, &given_kind));
    }
    sent["apiVersion"] = json!(api_version);
    sent["kind"] = json!(kind);
    if !sent["metadata"].is_object() {
        sent["metadata"] = json!({});
    }
    let claimed = text(sent, "/metadata/namespace").to_owned();
    if !claimed.is_empty() && path.namespace.as_deref() != Some(claimed.as_str()) {
        return Err(ApiError::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    }
    if let Some(namespace) = &path.namespace {
        sent["metadata"]["namespace"] = json!(namespace);
    }
    Ok(())
}

/// The refusal of an object of another kind, or of another version of it.
fn another_kind(resource: Resource, api_version: &str, kind: &str) -> ApiError {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let expected = resource.kind();
    let handled = format!("{kind} in version \"{version}\" cannot be handled as a {expected}");
    let known = Resource::ALL.into_iter().any(|other| other.kind() == kind && other.api_version() == api_version);
    ApiError::bad_request(if known {
        let internal = if resource.group().is_empty() { "core" } else { resource.group().split('.').next().unwrap_or_default() };
        format!("{handled}: converting ({version}.{kind}) to ({internal}.{expected}): unknown conversion")
    } else if kind == expected && group == resource.group() {
        format!("{handled}: no kind \"{kind}\" is registered for version \"{api_version}\" in scheme \"pkg/runtime/scheme.go:111\"")
    } else {
        let here = resource.api_version();
        format!(
            "the API version in the data ({api_version}, Kind={kind}) does not match the expected API version ({here}, Kind={expected})"
        )
    })
}

/// What `fieldValidation` says to the fields that the kind does not have.
pub(super) fn check_fields(call: &Call, resource: Resource, sent: &Value) -> Result<Vec<String>, ApiError> {
    let unknown =
        strict::unknown_fields(sent, &admit::declared(resource, sent)?).into_iter().map(|field| format!("unknown field \"{field}\""));
    match call.query("fieldValidation") {
        "" | "Warn" => Ok(unknown.collect()),
        "Ignore" => Ok(Vec::new()),
        "Strict" => match unknown.collect::<Vec<_>>() {
            unknown if unknown.is_empty() => Ok(unknown),
            unknown => Err(admit::mismatch(resource, &format!("strict decoding error: {}", unknown.join(", ")))),
        },
        other => {
            let problem = format!("Unsupported value: \"{other}\": supported values: \"Ignore\", \"Strict\", \"Warn\"");
            Err(ApiError::invalid("CreateOptions.meta.k8s.io", "", "fieldValidation", &problem))
        }
    }
}

/// What was sent without what the server replaces, which is no unknown field.
pub(super) fn without_servers(sent: &Value, resource: Resource) -> Value {
    let mut sent = sent.clone();
    if let Some(metadata) = sent["metadata"].as_object_mut() {
        metadata.retain(|name, _| !matches!(name.as_str(), "managedFields" | "resourceVersion" | "selfLink" | "generation"));
    }
    if let Some(members) = sent.as_object_mut()
        && resource.has_status()
    {
        members.shift_remove("status");
    }
    sent
}
