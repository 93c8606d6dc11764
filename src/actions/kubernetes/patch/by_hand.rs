//! `k8s.patch` as lines for a person's hands.
//!
//! Invariant: what is put back is what the first lines read; where nothing was there, nothing is left.

use serde_json::{Map, Value, json};

use crate::actions::kubernetes::by_hand::{input_word, place, variable_name};
use crate::actions::kubernetes::field_path::FieldPath;
use crate::actions::kubernetes::object::ObjectName;
use crate::model::by_hand::{ByHand, quoted, variable, variables_in};
use crate::model::run::TargetSpec;

/// The lists whose elements have names, on which a strategic patch merges.
const LISTS: [&str; 6] = ["containers", "initContainers", "volumes", "env", "imagePullSecrets", "ephemeralContainers"];

/// From the inputs alone.
pub(super) fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let named = inputs.get("object").and_then(Value::as_str).and_then(|text| text.parse::<ObjectName>().ok());
    let object = named.map_or_else(|| input_word(inputs, "object"), |object| object.kubectl());
    let namespace = place(inputs, target);
    let set: Vec<(FieldPath, &Value)> = inputs
        .get("set")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(field, value)| Some((field.parse().ok()?, value)))
        .collect();
    if set.is_empty() {
        return ByHand::default();
    }
    let mut lines = ByHand::default();
    let act: Vec<(&FieldPath, Value)> = set.iter().map(|(path, value)| (path, (*value).clone())).collect();
    let mut undo = Vec::new();
    for (path, _) in &set {
        let before = variable_name(&path.to_string(), "BEFORE");
        lines.look.push(format!("{before}=$(kubectl get {object}{namespace} -o jsonpath='{}')", json_path(path)));
        undo.push((path, json!(variable(&before))));
    }
    let mut line = patch(&object, &namespace, &act);
    for (path, value) in &set {
        // A number that is not known yet stands without quotes.
        if let Some(unknown) = value.as_str().filter(|text| !is_text(path, value) && variables_in(text).len() == 1) {
            let name = variables_in(unknown).join("");
            line = line.replace(&format!("\"'\"${{{name}}}\"'\""), &format!("'\"${{{name}}}\"'"));
        }
    }
    lines.act.push(line);
    let mut line = patch(&object, &namespace, &undo);
    for (path, value) in &set {
        let before = variable_name(&path.to_string(), "BEFORE");
        // A text goes in quotes, where there was one; nothing there is `null`, which removes it.
        let inner = if is_text(path, value) {
            format!("\"${{{before}:+\\\"}}${{{before}:-null}}${{{before}:+\\\"}}\"")
        } else {
            format!("\"${{{before}:-null}}\"")
        };
        line = line.replace(&format!("\"'\"${{{before}}}\"'\""), &format!("'{inner}'"));
    }
    lines.undo.push(line);
    lines
}

/// Whether the field takes a text, as far as that can be told: of a value that is not known yet, only where every value is a text.
fn is_text(path: &FieldPath, value: &Value) -> bool {
    let unknown = value.as_str().is_some_and(|text| variables_in(text).first().is_some_and(|name| variable(name) == text));
    let texts = ["annotations", "labels", "matchLabels", "nodeSelector", "data", "image"];
    value.is_string() && (!unknown || path.parts().iter().any(|part| texts.contains(&part.as_str())))
}

/// A line that sets these.
pub(super) fn patch(object: &str, namespace: &str, set: &[(&FieldPath, Value)]) -> String {
    let lists = set.iter().any(|(path, _)| path.parts().iter().any(|part| LISTS.contains(&part.as_str())));
    let kind = if lists { "strategic" } else { "merge" };
    let mut body = Value::Object(Map::new());
    for (path, value) in set {
        put(&mut body, path.parts(), value);
    }
    format!("kubectl patch {object}{namespace} --type {kind} -p {}", quoted(&body.to_string()))
}

fn put(at: &mut Value, parts: &[String], value: &Value) {
    match parts {
        [] => {}
        [last] => at[last.as_str()] = value.clone(),
        [list, name, rest @ ..] if LISTS.contains(&list.as_str()) => {
            if !at[list.as_str()].is_array() {
                at[list.as_str()] = json!([]);
            }
            let Some(elements) = at[list.as_str()].as_array_mut() else { return };
            let found = elements.iter().position(|element| element["name"] == name.as_str());
            let index = found.unwrap_or_else(|| {
                elements.push(json!({ "name": name }));
                elements.len() - 1
            });
            let Some(element) = elements.get_mut(index) else { return };
            match (rest, value) {
                ([], Value::Null) => *element = json!({ "$patch": "delete", "name": name }),
                ([], value) => *element = value.clone(),
                (rest, value) => put(element, rest, value),
            }
        }
        [first, rest @ ..] => {
            if !at[first.as_str()].is_object() {
                at[first.as_str()] = json!({});
            }
            put(&mut at[first.as_str()], rest, value);
        }
    }
}

fn json_path(path: &FieldPath) -> String {
    let mut out = String::from("{");
    let mut list = false;
    for part in path.parts() {
        if list {
            out.push_str(&format!("[?(@.name==\"{part}\")]"));
        } else {
            out.push_str(&format!(".{}", part.replace('.', "\\.")));
        }
        list = !list && LISTS.contains(&part.as_str());
    }
    out.push('}');
    out
}
