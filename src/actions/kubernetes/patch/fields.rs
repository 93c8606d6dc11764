//! Which fields `k8s.patch` may set, what each is called in the ledger, and how its live value is read.
//!
//! Must not ask anything. Invariant: a field that was set can be put back exactly: nothing that is made on the way to it stays behind.

use serde_json::Value;

use crate::actions::kubernetes::field_path::{FieldPath, NotAField};
use crate::actions::kubernetes::quantity::same;
use crate::model::outcome::Failure;

/// What the API server owns, or what would make it another object.
const NOT_OURS: [&str; 12] = [
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "managedFields",
    "ownerReferences",
    "finalizers",
    "creationTimestamp",
    "deletionTimestamp",
    "selfLink",
];
/// Maps that the API leaves out when they are empty, so that the first member makes them and the last one takes them away.
const MAPS: [&str; 8] = ["annotations", "labels", "matchLabels", "nodeSelector", "data", "requests", "limits", "hard"];

/// Reads a field, and refuses those that may not be set on this object (`deployment/x`).
///
/// # Errors
/// What is wrong with it, and what to use in its place.
pub(super) fn read(text: &str, object: &str) -> Result<FieldPath, Failure> {
    let path: FieldPath = text.parse().map_err(|error: NotAField| Failure::permanent(error.to_string()))?;
    let parts: Vec<&str> = path.parts().iter().map(String::as_str).collect();
    let refuse = |why: &str, hint: &str| Err(Failure::permanent(format!("{path} of {object} cannot be set: {why}")).hint(hint));
    match parts.as_slice() {
        ["status", ..] => refuse("the status is its controller's", "set what the controller goes by, under `spec`"),
        ["apiVersion" | "kind", ..] => refuse("it would be another object", "name the object that is meant"),
        ["metadata"] | ["spec"] => refuse("it is no single field", "name the fields within it, so that each can be put back"),
        ["metadata", field, ..] if NOT_OURS.contains(field) => {
            refuse("it belongs to the API server or to the object's owner", "use `kubectl` if it must be")
        }
        [.., "env", _] | [.., "env", _, _] if object.starts_with("deployment/") || object.starts_with("statefulset/") => {
            refuse("the ledger keeps variables in another form", "use `k8s.set_env`")
        }
        _ => Ok(path),
    }
}

/// The field's one name: list elements and names with dots in brackets, everything else dotted.
pub(super) fn name(path: &FieldPath, object: &Value) -> String {
    let mut out = String::new();
    let mut at = Some(object);
    for part in path.parts() {
        let element = at.is_some_and(Value::is_array);
        if element || part.contains(['.', '[', '/']) {
            out.push_str(&format!("[{part}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(part);
        }
        at = at.and_then(|at| step(at, part));
    }
    out
}

fn step<'a>(at: &'a Value, part: &str) -> Option<&'a Value> {
    match at {
        Value::Array(list) => list.iter().find(|element| element["name"] == part),
        other => other.get(part).filter(|next| !next.is_null()),
    }
}

/// Whether this value can be put there, and what was there can be put back.
///
/// # Errors
/// Why not.
pub(super) fn settable(path: &FieldPath, object: &Value, to: &Value) -> Result<(), Failure> {
    let refuse = |why: String, hint: String| Err(Failure::permanent(why).hint(hint));
    let parts = path.parts();
    let mut at = object;
    for (depth, part) in parts.iter().enumerate() {
        let last = depth + 1 == parts.len();
        if let Value::Array(list) = at
            && last
        {
            let there = list.iter().position(|element| element["name"] == part.as_str());
            if to.is_null() && there.is_some_and(|there| there + 1 != list.len()) {
                let hint = "set the whole list, so that its order can be put back".to_owned();
                return refuse(format!("{path} is not the last element of its list, and would come back as the last"), hint);
            }
            if !to.is_null() && to.get("name") != Some(&Value::String(part.clone())) {
                let hint = format!("write `{{ name: {part}, .. }}`, or name a field within it");
                return refuse(format!("the value for {path} is not the list element of that name"), hint);
            }
        } else if !at.is_array() && !at.is_object() {
            return refuse(format!("{path} lies within a value that is no map and no list"), "check the field's name".to_owned());
        }
        match step(at, part) {
            Some(next) => at = next,
            // What is made for it is the field itself, or a map that goes with its last member.
            None if last || to.is_null() || (depth + 2 == parts.len() && MAPS.contains(&part.as_str())) => return Ok(()),
            None => {
                let hint = format!("set `{}` as a whole: `{{ .. }}`", parts[..=depth].join("."));
                return refuse(format!("{path} cannot be put back alone: `{part}`, which it lies in, is not there"), hint);
            }
        }
    }
    Ok(())
}

/// The path that is really swapped: where the last member of a map goes that is left out when it is empty, the map goes.
pub(super) fn swapped(path: &FieldPath, object: &Value, to: &Value) -> Option<FieldPath> {
    let (_, above) = path.parts().split_last()?;
    if !to.is_null() || !above.last().is_some_and(|map| MAPS.contains(&map.as_str())) {
        return None;
    }
    // In brackets, any name is a part.
    let text: String = above.iter().map(|part| format!("[{part}]")).collect();
    text.parse::<FieldPath>().ok().filter(|above| above.get(object).as_object().is_some_and(|map| map.len() == 1))
}

/// The live value in the words of the ledger: an amount that the server writes in another way is the same amount.
pub(super) fn live(path: &FieldPath, object: &Value, prior: &Value, after: &Value) -> Value {
    let live = path.get(object);
    if !path.parts().iter().any(|part| part == "resources" || part == "hard") {
        return live;
    }
    [prior, after].into_iter().find(|known| same(&live, known)).cloned().unwrap_or(live)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_ours_is_refused() {
        for field in [
            "status.replicas",
            "status",
            "metadata",
            "spec",
            "kind",
            "metadata.name",
            "metadata.namespace",
            "metadata.uid",
            "metadata.resourceVersion",
            "metadata.managedFields",
            "metadata.ownerReferences",
            "metadata.finalizers",
            "[metadata][finalizers]",
            "spec.template.spec.containers[a].env[X]",
            "spec.template.spec.containers[a].env[X].value",
        ] {
            assert!(read(field, "deployment/x").is_err(), "{field}");
        }
        for field in ["spec.replicas", "metadata.annotations[a.b/c]", "spec.template.metadata.name", "data.env.x"] {
            assert!(read(field, "configmap/x").is_ok(), "{field}");
        }
    }

    #[test]
    fn a_field_has_one_name() {
        let object = json!({ "spec": { "containers": [{ "name": "a", "image": "i" }] }, "metadata": { "labels": { "x": "1" } } });
        for (text, wanted) in [
            ("spec.containers[a].image", "spec.containers[a].image"),
            ("spec.containers.a.image", "spec.containers[a].image"),
            ("[spec][containers][a][image]", "spec.containers[a].image"),
            ("metadata.labels[x]", "metadata.labels.x"),
            ("metadata.annotations[a.b/c]", "metadata.annotations[a.b/c]"),
        ] {
            assert_eq!(name(&text.parse().unwrap(), &object), wanted);
        }
    }

    #[test]
    fn only_what_can_be_put_back_is_set() {
        let object = json!({ "spec": { "a": { "b": 1 }, "list": [{ "name": "x" }, { "name": "y" }] }, "metadata": {} });
        for (field, to, fine) in [
            ("spec.a.b", json!(2), true),
            ("spec.a.c", json!(2), true),
            ("spec.n.c", json!(2), false),
            ("spec.n.c", json!(null), true),
            ("spec.n", json!({ "c": 2 }), true),
            ("spec.a.b.c", json!(2), false),
            ("metadata.annotations[a.b]", json!("1"), true),
            ("spec.list[x].image", json!("i"), true),
            ("spec.list[y]", json!(null), true),
            ("spec.list[x]", json!(null), false),
            ("spec.list[z]", json!({ "name": "z" }), true),
            ("spec.list[z]", json!({ "image": "i" }), false),
            ("spec.list[z].image", json!("i"), false),
        ] {
            assert_eq!(settable(&field.parse().unwrap(), &object, &to).is_ok(), fine, "{field}");
        }
    }
}
