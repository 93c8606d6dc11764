//! The errors of the simulated API server: `Status` objects with the codes, reasons and texts of kube-apiserver.
//!
//! It must not decide when an error is due. Invariant: the HTTP status and the `code` in the body are the same number.

use serde_json::{Value, json};

use super::resource::Resource;

/// One refusal, with what goes into its `Status` object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Value,
    /// Whether the details are written even when they are empty.
    detailed: bool,
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: json!({}), detailed: false }
    }

    /// The body of the answer.
    pub(crate) fn to_status(&self) -> Value {
        let mut status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure" });
        status["message"] = json!(self.message);
        // What says nothing is left out.
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        let mut details = self.details.clone();
        if let Some(members) = details.as_object_mut() {
            members.retain(|_, value| *value != "");
            // What a list can be continued with all the same is no detail.
            if let Some(token) = members.shift_remove("continue") {
                status["metadata"]["continue"] = token;
            }
        }
        if details != json!({}) || self.detailed {
            status["details"] = details;
        }
        status["code"] = json!(self.code);
        status
    }

    fn about(mut self, resource: Resource, name: &str) -> Self {
        self.details = json!({ "name": name, "group": resource.group(), "kind": resource.plural() });
        self
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn not_found(resource: Resource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} \"{name}\" not found", resource.qualified())).about(resource, name)
    }

    /// What has no sample.
    pub(crate) fn no_metrics(resource: Resource, name: &str) -> Self {
        let what = format!("{}metrics.metrics.k8s.io", resource.kind().to_lowercase());
        Self::new(404, "NotFound", format!("{what} \"{name}\" not found"))
    }

    /// A path in a group that there is, which names no resource.
    pub(crate) fn no_such_path() -> Self {
        Self { detailed: true, ..Self::new(404, "NotFound", "the server could not find the requested resource") }
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self { detailed: true, ..Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource") }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    pub(crate) fn unsupported_media_type(accepted: &str) -> Self {
        let message = format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// A patch of a kind that there is not.
    pub(crate) fn unsupported_patch() -> Self {
        Self { detailed: true, ..Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type") }
    }

    pub(crate) fn conflict(resource: Resource, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your changes to the latest version and try again",
            resource.qualified()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// An update with a uid that is not the stored one.
    pub(crate) fn precondition(resource: Resource, name: &str, given: &str, found: &str) -> Self {
        let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {found}");
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// A uid of what is to be applied, where no object is.
    pub(crate) fn no_such_uid(resource: Resource, name: &str, given: &str) -> Self {
        let why = format!("uid mismatch: the provided object specified uid {given}, and no existing object was found");
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// A deletion with a uid or a version that is not the stored one; `means` says what that may come from.
    pub(crate) fn delete_precondition(resource: Resource, name: &str, what: &str, (given, found): (&str, &str), means: &str) -> Self {
        let why = format!("the {what} in the precondition ({given}) does not match the {what} in record ({found}). {means}");
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified_kind());
        let mut error = Self::new(409, "Conflict", message).about(resource, name);
        error.details["kind"] = json!(resource.kind());
        error
    }

    /// Server-side apply of values that others manage.
    pub(crate) fn apply_conflict(message: String, causes: Vec<Value>) -> Self {
        let mut error = Self::new(409, "Conflict", message);
        error.details = json!({ "causes": causes });
        error
    }

    /// A configuration to apply with a field that its kind does not have: the API server gives no reason for it.
    pub(crate) fn untyped(message: String) -> Self {
        Self::new(500, "", message)
    }

    pub(crate) fn not_acceptable(accepted: &str) -> Self {
        Self::new(406, "NotAcceptable", format!("only the following media types are accepted: {accepted}"))
    }

    /// An account that may not do it.
    pub(crate) fn not_allowed(resource: Resource, name: &str, why: &str) -> Self {
        let quoted = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
        Self::new(403, "Forbidden", format!("{}{quoted} is forbidden: {why}", resource.qualified())).about(resource, name)
    }

    /// The same for a group that is served by somebody else: metrics.k8s.io.
    pub(crate) fn not_allowed_in_group(what: &str, name: &str, why: &str) -> Self {
        let quoted = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
        Self::new(403, "Forbidden", format!("{what}{quoted} is forbidden: {why}"))
    }

    pub(crate) fn already_exists(resource: Resource, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", resource.qualified())).about(resource, name)
    }

    pub(crate) fn forbidden(resource: Resource, name: &str, why: &str) -> Self {
        Self::new(403, "Forbidden", format!("{} \"{name}\" is forbidden: {why}", resource.qualified())).about(resource, name)
    }

    /// What an admission webhook refuses.
    pub(crate) fn denied(webhook: &str, why: &str) -> Self {
        Self::new(403, "Forbidden", format!("admission webhook \"{webhook}\" denied the request: {why}"))
    }

    /// A JSON Patch that does not apply, a failed `test` included: the API server says no more than this.
    pub(crate) fn patch_does_not_apply() -> Self {
        Self { detailed: true, ..Self::new(422, "Invalid", "the server rejected our request due to an error in our request") }
    }

    /// A field that fails validation. `kind` is, for example, `Deployment.apps`.
    pub(crate) fn invalid(kind: &str, name: &str, field: &str, problem: &str) -> Self {
        let mut error = Self::new(422, "Invalid", format!("{kind} \"{name}\" is invalid: {field}: {problem}"));
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        error.details = json!({
            "name": name, "group": group, "kind": kind,
            "causes": [{ "reason": reason(problem), "message": problem, "field": field }],
        });
        error
    }

    /// A page of a list that is no longer kept. By `token` the rest can be had as it is now.
    pub(crate) fn page_expired(token: &str) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
        Self { details: json!({ "continue": token }), ..Self::new(410, "Expired", message) }
    }

    /// A watch or a list from a version that is no longer kept.
    pub(crate) fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    pub(crate) fn version_in_the_future(asked: u64, current: u64) -> Self {
        let mut error = Self::new(504, "Timeout", format!("Timeout: Too large resource version: {asked}, current: {current}"));
        error.details =
            json!({ "retryAfterSeconds": 1, "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }] });
        error
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    pub(crate) fn internal(message: &str) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {message}"))
    }

    /// The answer of a fault that refuses with `code`.
    pub(crate) fn injected(code: u16, retry_after: Option<u32>) -> Self {
        let (reason, message) = match code {
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "forbidden: refused by a fault of the sandbox"),
            404 => ("NotFound", "the server could not find the requested resource"),
            409 => ("Conflict", "the server reported a conflict"),
            429 => ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
            500 => (
                "InternalError",
                "an error on the server (\"refused by a fault of the sandbox\") has prevented the request from succeeding",
            ),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => ("Timeout", "the server was unable to return a response in the time allotted"),
            _ => ("", "refused by a fault of the sandbox"),
        };
        let mut error = Self::new(code, reason, message);
        if let Some(seconds) = retry_after {
            error.details = json!({ "retryAfterSeconds": seconds });
        }
        error
    }
}

/// The reason of a cause, which follows from its text.
pub(crate) fn reason(problem: &str) -> &'static str {
    match problem.split(':').next() {
        Some("Required value") => "FieldValueRequired",
        Some("Forbidden") => "FieldValueForbidden",
        Some("Unsupported value") => "FieldValueNotSupported",
        Some("Duplicate value") => "FieldValueDuplicate",
        _ => "FieldValueInvalid",
    }
}
