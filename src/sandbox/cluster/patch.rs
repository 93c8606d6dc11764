//! The three kinds of patches: JSON Patch, JSON merge patch and strategic merge patch.
//!
//! It must not validate the result. Invariant: a patch that does not apply leaves no half-patched document behind, because it works on
//! a copy; a directive of the strategic merge that is not understood is refused, not dropped.

use serde_json::{Map, Value};

use super::status_error::ApiError;

/// The media types of patches, as errors list them.
pub(crate) const MEDIA_TYPES: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json";

/// The API server's own limit.
const MOST_OPERATIONS: usize = 10_000;

/// Applies `patch`, whose kind the content type tells, to a copy of `document`.
///
/// # Errors
/// 415 for an unknown content type, 400 for text that is no such patch, 422 for a JSON Patch that does not apply.
pub(crate) fn apply(document: &Value, content_type: &str, patch: &[u8]) -> Result<Value, ApiError> {
    let mut patched = document.clone();
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json-patch+json" => {
            let patch: json_patch::Patch = parse(patch)?;
            if patch.0.len() > MOST_OPERATIONS {
                return Err(ApiError::too_large(MOST_OPERATIONS));
            }
            json_patch::patch(&mut patched, &patch.0).map_err(|_| ApiError::patch_does_not_apply())?;
        }
        "application/merge-patch+json" => json_patch::merge(&mut patched, &object(patch)?),
        "application/strategic-merge-patch+json" => strategic(&mut patched, object(patch)?)?,
        _ => return Err(ApiError::unsupported_media_type(MEDIA_TYPES)),
    }
    Ok(patched)
}

fn parse<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(text).map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))
}

fn object(text: &[u8]) -> Result<Value, ApiError> {
    let value: Value = parse(text)?;
    if value.is_object() { Ok(value) } else { Err(ApiError::bad_request("error decoding patch: it is not an object")) }
}

/// The field by which the elements of a list are merged; none for lists that are replaced as a whole.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => Some("name"),
        "ports" => Some("containerPort"),
        "volumeMounts" => Some("mountPath"),
        "conditions" => Some("type"),
        _ => None,
    }
}

fn strategic(document: &mut Value, patch: Value) -> Result<(), ApiError> {
    let Value::Object(mut patch) = patch else {
        *document = patch;
        return Ok(());
    };
    match patch.remove("$patch").as_ref().map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => {
            *document = Value::Object(patch);
            return Ok(());
        }
        Some(other) => return Err(ApiError::bad_request(format!("unknown patch type: {other}"))),
    }
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Value::Object(fields) = document else { return Ok(()) };
    for (name, value) in patch {
        if name.starts_with("$setElementOrder/") {
            continue;
        }
        if name.starts_with('$') {
            return Err(ApiError::bad_request(format!("the directive {name} is not supported by the sandbox")));
        }
        match (value, merge_key(&name)) {
            (Value::Null, _) => {
                fields.shift_remove(&name);
            }
            (Value::Array(elements), Some(key)) => {
                let list = fields.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                merge_list(list, elements, key, &name)?;
            }
            (value @ Value::Object(_), _) => {
                let field = fields.entry(name).or_insert(Value::Null);
                strategic(field, value)?;
            }
            (value, _) => {
                fields.insert(name, value);
            }
        }
    }
    Ok(())
}

fn merge_list(list: &mut Value, elements: Vec<Value>, key: &str, name: &str) -> Result<(), ApiError> {
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    let Value::Array(list) = list else { return Ok(()) };
    if elements.iter().any(|element| element.get("$patch").and_then(Value::as_str) == Some("replace")) {
        *list = elements.into_iter().filter(|element| element.get("$patch").is_none()).collect();
        return Ok(());
    }
    for element in elements {
        let Some(wanted) = element.get(key).cloned() else {
            return Err(ApiError::bad_request(format!("map: {name} does not contain declared merge key: {key}")));
        };
        let position = list.iter().position(|found| found.get(key) == Some(&wanted));
        match (element.get("$patch").and_then(Value::as_str), position) {
            (Some("delete"), Some(at)) => {
                list.remove(at);
            }
            (Some("delete"), None) => {}
            (_, Some(at)) => strategic(&mut list[at], element)?,
            (_, None) => {
                let mut fresh = Value::Null;
                strategic(&mut fresh, element)?;
                list.push(fresh);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STRATEGIC: &str = "application/strategic-merge-patch+json";

    #[test]
    fn a_strategic_merge_changes_one_variable_and_keeps_the_others() {
        let before = json!({ "containers": [{ "name": "a", "env": [{ "name": "X", "value": "1" }, { "name": "Y", "value": "2" }] }] });
        let patch = json!({ "$setElementOrder/containers": [{ "name": "a" }],
            "containers": [{ "name": "a", "env": [{ "name": "X", "value": "9" }, { "name": "Y", "$patch": "delete" }, { "name": "Z", "value": "3" }] }] });
        let after = apply(&before, STRATEGIC, patch.to_string().as_bytes()).unwrap();
        assert_eq!(
            after,
            json!({ "containers": [{ "name": "a", "env": [{ "name": "X", "value": "9" }, { "name": "Z", "value": "3" }] }] })
        );
    }

    #[test]
    fn a_failing_test_is_what_the_api_server_says() {
        let patch = json!([{ "op": "test", "path": "/a", "value": 2 }, { "op": "replace", "path": "/a", "value": 3 }]);
        let error = apply(&json!({ "a": 1 }), "application/json-patch+json", patch.to_string().as_bytes()).unwrap_err();
        assert_eq!((error.code, error.reason), (422, "Invalid"));
        assert_eq!(error.message, "the server rejected our request due to an error in our request");
    }

    #[test]
    fn hostile_patches_are_refused() {
        for (kind, patch, code) in [
            ("application/json-patch+json", "{}", 400),
            ("application/merge-patch+json", "[]", 400),
            ("application/merge-patch+json", "{", 400),
            (STRATEGIC, r#"{"$retainKeys":["a"]}"#, 400),
            (STRATEGIC, r#"{"containers":[{}]}"#, 400),
            ("application/apply-patch+yaml", "{}", 415),
        ] {
            assert_eq!(apply(&json!({}), kind, patch.as_bytes()).unwrap_err().code, code, "{kind} {patch}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(apply(&json!({}), STRATEGIC, deep.as_bytes()).unwrap_err().code, 400);
    }
}
