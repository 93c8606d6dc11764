//! The patches that say what to change: JSON Patch, JSON merge patch and strategic merge patch.
//!
//! It must not validate the result, nor apply a whole configuration (`managed_fields` does). Invariant: a patch that does not apply leaves
//! no half-patched document behind, because it works on a copy.

use json_patch::PatchOperation;
use serde_json::Value;

use super::status_error::ApiError;
use super::strategic;

/// The media type of a strategic merge patch.
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// The media type of server-side apply.
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// The API server's own limit.
const MOST_OPERATIONS: usize = 10_000;

/// Applies `patch`, whose kind the media type tells, to a copy of `document`.
///
/// # Errors
/// 415 for an unknown media type, 400 for text that is no such patch, 422 for a JSON Patch that does not apply.
pub(crate) fn apply(document: &Value, media_type: &str, patch: &[u8]) -> Result<Value, ApiError> {
    let mut patched = document.clone();
    match media_type {
        "application/json-patch+json" => {
            if serde_json::from_slice::<Value>(patch).is_ok_and(|patch| patch.is_object()) {
                let why = "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp";
                return Err(ApiError::bad_request(why));
            }
            let patch: json_patch::Patch = parse(patch)?;
            if patch.0.len() > MOST_OPERATIONS {
                return Err(ApiError::too_large(MOST_OPERATIONS));
            }
            for operation in &patch.0 {
                if !passes_as_absent(&patched, operation) {
                    json_patch::patch(&mut patched, std::slice::from_ref(operation)).map_err(|_| ApiError::patch_does_not_apply())?;
                }
            }
        }
        "application/merge-patch+json" => json_patch::merge(&mut patched, &object(patch)?),
        STRATEGIC => strategic::merge(&mut patched, object(patch)?)?,
        _ => return Err(ApiError::unsupported_patch()),
    }
    Ok(patched)
}

/// Whether this is a `test` for null of a member that an object has not: the API server's JSON Patch lets it pass.
fn passes_as_absent(document: &Value, operation: &PatchOperation) -> bool {
    let PatchOperation::Test(test) = operation else { return false };
    let path = test.path.to_string();
    let Some((parent, _)) = path.rsplit_once('/') else { return false };
    test.value.is_null() && document.pointer(&path).is_none() && document.pointer(parent).is_some_and(Value::is_object)
}

fn parse<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(text).map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))
}

fn object(text: &[u8]) -> Result<Value, ApiError> {
    let value: Value = parse(text)?;
    if value.is_object() { Ok(value) } else { Err(ApiError::bad_request("error decoding patch: it is not an object")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const JSON: &str = "application/json-patch+json";

    #[test]
    fn a_failing_test_is_what_the_api_server_says() {
        let patch = json!([{ "op": "test", "path": "/a", "value": 2 }, { "op": "replace", "path": "/a", "value": 3 }]);
        let error = apply(&json!({ "a": 1 }), JSON, patch.to_string().as_bytes()).unwrap_err();
        assert_eq!((error.code, error.reason), (422, "Invalid"));
        assert_eq!(error.message, "the server rejected our request due to an error in our request");
    }

    #[test]
    fn a_test_for_null_passes_where_the_member_is_missing() {
        let patch =
            |path: &str| json!([{ "op": "test", "path": path, "value": null }, { "op": "add", "path": "/b", "value": 1 }]).to_string();
        assert_eq!(apply(&json!({}), JSON, patch("/b").as_bytes()).unwrap(), json!({ "b": 1 }));
        assert_eq!(apply(&json!({ "b": null }), JSON, patch("/b").as_bytes()).unwrap(), json!({ "b": 1 }));
        for (document, path) in [(json!({ "b": 2 }), "/b"), (json!({}), "/a/b"), (json!({ "a": [] }), "/a/0")] {
            assert_eq!(apply(&document, JSON, patch(path).as_bytes()).unwrap_err().code, 422, "{document} {path}");
        }
    }

    #[test]
    fn hostile_patches_are_refused() {
        for (kind, patch, code) in [
            (JSON, "{}", 400),
            ("application/merge-patch+json", "[]", 400),
            ("application/merge-patch+json", "{", 400),
            (STRATEGIC, r#"{"$odd":["a"]}"#, 400),
            (STRATEGIC, r#"{"containers":[{}]}"#, 400),
            ("application/x-patch", "{}", 415),
        ] {
            assert_eq!(apply(&json!({}), kind, patch.as_bytes()).unwrap_err().code, code, "{kind} {patch}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(apply(&json!({}), STRATEGIC, deep.as_bytes()).unwrap_err().code, 400);
    }
}
