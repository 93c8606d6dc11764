//! The strategic merge patch: a merge that knows keys, and its directives.
//!
//! It must not validate the result. Invariant: a directive that is not understood is refused, not dropped.

use serde_json::{Map, Value};

use super::schema;
use super::status_error::ApiError;

const DELETE_VALUES: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Merges `patch` into `document`.
///
/// # Errors
/// 400 for a directive that is not known and for an element without its key.
pub(crate) fn merge(document: &mut Value, patch: Value) -> Result<(), ApiError> {
    let Value::Object(mut patch) = patch else {
        *document = patch;
        return Ok(());
    };
    match directive(&patch) {
        None | Some("merge") => {
            patch.shift_remove("$patch");
        }
        Some("replace") => {
            patch.shift_remove("$patch");
            *document = Value::Object(patch);
            return Ok(());
        }
        Some("delete") => {
            *document = Value::Object(Map::new());
            return Ok(());
        }
        Some(other) => return Err(ApiError::bad_request(format!("unknown patch type: {other}"))),
    }
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Value::Object(fields) = document else { return Ok(()) };
    if let Some(keep) = patch.shift_remove("$retainKeys") {
        let Value::Array(keep) = keep else { return Err(wrong("$retainKeys")) };
        fields.retain(|name, _| keep.iter().any(|kept| kept == name.as_str()));
    }
    let mut orders = Vec::new();
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(ORDER) {
            let Value::Array(order) = value else { return Err(wrong(&name)) };
            orders.push((list.to_owned(), order));
        } else if let Some(list) = name.strip_prefix(DELETE_VALUES) {
            let Value::Array(gone) = value else { return Err(wrong(&name)) };
            if let Some(Value::Array(values)) = fields.get_mut(list) {
                values.retain(|value| !gone.contains(value));
            }
        } else if name.starts_with('$') {
            return Err(ApiError::bad_request(format!("the directive {name} is not supported by the sandbox")));
        } else {
            merge_field(fields, name, value)?;
        }
    }
    for (list, order) in orders {
        if let Some(Value::Array(elements)) = fields.get_mut(&list) {
            arrange(elements, &order, &list);
        }
    }
    Ok(())
}

fn directive(patch: &Map<String, Value>) -> Option<&str> {
    patch.get("$patch").map(|directive| directive.as_str().unwrap_or_default())
}

fn wrong(directive: &str) -> ApiError {
    ApiError::bad_request(format!("the directive {directive} must be a list"))
}

fn merge_field(fields: &mut Map<String, Value>, name: String, value: Value) -> Result<(), ApiError> {
    match value {
        Value::Null => {
            fields.shift_remove(&name);
        }
        Value::Array(elements) => {
            if schema::merged_values(&name) {
                let list = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if !list.is_array() {
                    *list = Value::Array(Vec::new());
                }
                if let Value::Array(list) = list {
                    for element in elements {
                        if !list.contains(&element) {
                            list.push(element);
                        }
                    }
                }
            } else if let Some(key) = schema::merge_key(&name, &elements) {
                let list = fields.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                merge_list(list, elements, key, &name)?;
            } else {
                fields.insert(name, Value::Array(elements));
            }
        }
        Value::Object(object) if directive(&object) == Some("delete") => {
            fields.shift_remove(&name);
        }
        value @ Value::Object(_) => merge(fields.entry(name).or_insert(Value::Null), value)?,
        value => {
            fields.insert(name, value);
        }
    }
    Ok(())
}

fn merge_list(list: &mut Value, elements: Vec<Value>, key: &str, name: &str) -> Result<(), ApiError> {
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    let Value::Array(list) = list else { return Ok(()) };
    let told = |element: &Value| element.get("$patch").and_then(Value::as_str).map(str::to_owned);
    if elements.iter().any(|element| told(element).as_deref() == Some("replace")) {
        *list = elements.into_iter().filter(|element| element.get("$patch").is_none()).collect();
        return Ok(());
    }
    for element in elements {
        let Some(wanted) = element.get(key).cloned() else {
            return Err(ApiError::bad_request(format!("map: {name} does not contain declared merge key: {key}")));
        };
        let position = list.iter().position(|found| found.get(key) == Some(&wanted));
        match (told(&element).as_deref(), position) {
            (Some("delete"), Some(at)) => {
                list.remove(at);
            }
            (Some("delete"), None) => {}
            (_, Some(at)) => match list.get_mut(at) {
                Some(found) => merge(found, element)?,
                None => list.push(element),
            },
            (_, None) => {
                let mut fresh = Value::Null;
                merge(&mut fresh, element)?;
                list.push(fresh);
            }
        }
    }
    Ok(())
}

/// Puts the elements that `order` names into that order; the others keep their place behind the one they followed.
fn arrange(elements: &mut Vec<Value>, order: &[Value], list: &str) {
    let key = schema::merge_key(list, elements);
    let rank = |element: &Value| {
        order.iter().position(|named| match key {
            Some(key) => named.get(key).is_some() && named.get(key) == element.get(key),
            None => named == element,
        })
    };
    let mut ranked: Vec<(Option<usize>, Vec<Value>)> = vec![(None, Vec::new())];
    for element in elements.drain(..) {
        match (rank(&element), ranked.last_mut()) {
            (None, Some((_, group))) => group.push(element),
            (rank, _) => ranked.push((rank, vec![element])),
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    elements.extend(ranked.into_iter().flat_map(|(_, group)| group));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn merged(mut document: Value, patch: Value) -> Value {
        merge(&mut document, patch).unwrap();
        document
    }

    #[test]
    fn one_variable_changes_and_the_others_stay() {
        let before = json!({ "containers": [{ "name": "a", "env": [{ "name": "X", "value": "1" }, { "name": "Y", "value": "2" }] }] });
        let patch = json!({ "$setElementOrder/containers": [{ "name": "a" }],
            "containers": [{ "name": "a", "env": [{ "name": "X", "value": "9" }, { "name": "Y", "$patch": "delete" }, { "name": "Z", "value": "3" }] }] });
        let after = json!({ "containers": [{ "name": "a", "env": [{ "name": "X", "value": "9" }, { "name": "Z", "value": "3" }] }] });
        assert_eq!(merged(before, patch), after);
    }

    #[test]
    fn the_order_of_the_patch_is_that_of_the_result() {
        let before = json!({ "env": [{ "name": "A" }, { "name": "B" }, { "name": "C" }] });
        let patch =
            json!({ "$setElementOrder/env": [{ "name": "N" }, { "name": "C" }, { "name": "A" }], "env": [{ "name": "N", "value": "1" }] });
        let after = merged(before, patch);
        let names: Vec<&str> = after["env"].as_array().unwrap().iter().map(|element| element["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["N", "C", "A", "B"]);
    }

    #[test]
    fn keys_that_are_not_retained_go() {
        let before = json!({ "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1 } } });
        let patch = json!({ "strategy": { "$retainKeys": ["type"], "type": "Recreate" } });
        assert_eq!(merged(before, patch), json!({ "strategy": { "type": "Recreate" } }));
    }

    #[test]
    fn values_are_added_to_a_set_and_taken_from_it() {
        let before = json!({ "finalizers": ["a", "b"] });
        let patch = json!({ "$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["b", "c"] });
        assert_eq!(merged(before, patch), json!({ "finalizers": ["b", "c"] }));
        assert_eq!(merged(json!({ "a": { "b": 1 } }), json!({ "a": { "$patch": "delete" } })), json!({}));
        assert_eq!(merged(json!({ "a": { "b": 1 } }), json!({ "a": { "$patch": "replace", "c": 2 } })), json!({ "a": { "c": 2 } }));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for patch in [json!({ "$other": 1 }), json!({ "$retainKeys": 1 }), json!({ "containers": [{}] }), json!({ "$patch": "odd" })] {
            assert_eq!(merge(&mut json!({}), patch.clone()).unwrap_err().code, 400, "{patch}");
        }
    }
}
