//! Who asks the API server, what each account may do, and the reviews by which a client asks that itself.
//!
//! It must not carry out requests. Invariant: what a review says is what the check then does.

use http::Method;
use serde_json::{Value, json};

use super::protobuf;
use super::resource::{Resource, ResourcePath};
use super::rules::{self, Wanted};
use super::status_error::ApiError;
use crate::sandbox::call::Call;
use crate::sandbox::identity::Identity;

/// An account that a token can belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// May do everything.
    Admin,
    /// Reads everything and writes nothing.
    Viewer,
    /// Changes workloads and what belongs to them in its namespace.
    Deployer,
    /// Sets replicas in its namespace.
    Scaler,
}

/// The path of the review of what one may do.
pub(crate) const ACCESS_REVIEW: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// The path of the review of who one is.
pub(crate) const SUBJECT_REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

impl User {
    /// Whose token the request bears.
    ///
    /// # Errors
    /// 401 for no token, one that nobody has, and one that has expired.
    pub(crate) fn of(call: &Call, identity: &Identity) -> Result<Self, ApiError> {
        let tokens = [
            (Self::Admin, &identity.admin_token),
            (Self::Viewer, &identity.viewer_token),
            (Self::Deployer, &identity.deployer_token),
            (Self::Scaler, &identity.scaler_token),
        ];
        let found = tokens.into_iter().find(|(_, token)| call.bears(token));
        found.map(|(user, _)| user).ok_or_else(ApiError::unauthorized)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Scaler => "scaler",
        }
    }

    fn may(self, wanted: &Wanted<'_>) -> bool {
        let rules = match self {
            Self::Admin => rules::ADMIN,
            Self::Viewer => rules::VIEWER,
            Self::Deployer => rules::DEPLOYER,
            Self::Scaler => rules::SCALER,
        };
        rules::allow(rules, wanted)
    }

    /// Refuses a request that the account may not make.
    ///
    /// # Errors
    /// 403 that names the verb, the resource, its group and the namespace.
    pub(crate) fn check(self, path: &ResourcePath, call: &Call) -> Result<(), ApiError> {
        self.check_verb(path, verb(path, call))
    }

    /// The same for a resource that another server than this one keeps: of metrics.k8s.io.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) fn check_in_group(
        self,
        group: &str,
        resource: &str,
        verb: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<(), ApiError> {
        if self.may(&Wanted { verb, group, resource, namespace, name }) {
            return Ok(());
        }
        let scope = namespace.map_or_else(|| "at the cluster scope".to_owned(), |name| format!("in the namespace \"{name}\""));
        let user = self.name();
        let why = format!("User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {scope}");
        Err(ApiError::not_allowed_in_group(&format!("{resource}.{group}"), name.unwrap_or_default(), &why))
    }

    /// The same for a verb that is asked for beside the request's own.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) fn check_verb(self, path: &ResourcePath, verb: &str) -> Result<(), ApiError> {
        let plural = path.resource.plural();
        let resource = path.subresource.as_ref().map_or_else(|| plural.to_owned(), |name| format!("{plural}/{name}"));
        let (namespace, name) = (path.namespace.as_deref(), path.name.as_deref());
        let wanted = Wanted { verb, group: path.resource.group(), resource: &resource, namespace, name };
        if self.may(&wanted) {
            return Ok(());
        }
        let scope =
            path.namespace.as_ref().map_or_else(|| "at the cluster scope".to_owned(), |name| format!("in the namespace \"{name}\""));
        let (user, group) = (self.name(), path.resource.group());
        let why = format!("User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {scope}");
        Err(ApiError::not_allowed(path.resource, path.name.as_deref().unwrap_or_default(), &why))
    }
}

/// What a request does, as roles name it.
fn verb(path: &ResourcePath, call: &Call) -> &'static str {
    let one = path.name.is_some();
    if call.method == Method::GET || call.method == Method::HEAD {
        match (one, matches!(call.query("watch"), "" | "false" | "0")) {
            (_, false) => "watch",
            (true, true) => "get",
            (false, true) => "list",
        }
    } else if call.method == Method::POST {
        "create"
    } else if call.method == Method::PUT {
        "update"
    } else if call.method == Method::PATCH {
        "patch"
    } else if one {
        "delete"
    } else {
        "deletecollection"
    }
}

/// The answer to a review; none for a path that is none.
///
/// # Errors
/// 400 for a body that is no review.
pub(crate) fn review(user: User, path: &str, call: &Call) -> Option<Result<Value, ApiError>> {
    match path {
        ACCESS_REVIEW => Some(access(user, call)),
        SUBJECT_REVIEW => {
            let info = json!({ "username": user.name(), "groups": ["system:authenticated"] });
            Some(Ok(
                json!({ "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "status": { "userInfo": info } }),
            ))
        }
        _ => None,
    }
}

fn access(user: User, call: &Call) -> Result<Value, ApiError> {
    let sent: Value = if call.media_type() == protobuf::MEDIA_TYPE {
        protobuf::access_review(&call.body).ok_or_else(|| ApiError::bad_request("this is no review that can be read"))?
    } else {
        serde_json::from_slice(&call.body).map_err(|error| ApiError::bad_request(format!("this is no review: {error}")))?
    };
    let spec = &sent["spec"];
    let verb = match (spec["resourceAttributes"]["verb"].as_str(), spec["nonResourceAttributes"]["verb"].as_str()) {
        (Some(verb), None) | (None, Some(verb)) => verb,
        _ => return Err(ApiError::bad_request("exactly one of nonResourceAttributes or resourceAttributes must be specified")),
    };
    let attributes = &spec["resourceAttributes"];
    let text = |key: &str| attributes[key].as_str().filter(|text| !text.is_empty());
    let plural = text("resource").unwrap_or_default();
    let resource = text("subresource").map_or_else(|| plural.to_owned(), |part| format!("{plural}/{part}"));
    let wanted =
        Wanted { verb, group: text("group").unwrap_or_default(), resource: &resource, namespace: text("namespace"), name: text("name") };
    // What is no resource is the API's description of itself, and its health: whoever is let in may read that.
    let allowed = if attributes.is_null() { verb == "get" || user == User::Admin } else { user.may(&wanted) };
    let mut status = json!({ "allowed": allowed });
    if !attributes.is_null() {
        let known = plural == "*" || Resource::ALL.into_iter().any(|resource| resource.plural() == plural);
        if !known && user != User::Admin {
            status = json!({ "allowed": false, "reason": format!("the sandbox has no {plural}") });
        }
    }
    Ok(
        json!({ "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": spec, "status": status }),
    )
}
