//! What the lines for a person's hands share.
//!
//! Must not ask anything. Invariant: an input may be a variable's text in the place of any value; a comment is one line.

use serde_json::Value;

use super::workload::is_name;
use crate::model::by_hand::{ByHand, quoted, variable, variables_in, word};
use crate::model::run::TargetSpec;

/// An input that is given.
pub(super) fn given<'a>(inputs: &'a Value, key: &str) -> Option<&'a Value> {
    inputs.get(key).filter(|value| !value.is_null())
}

/// ` -n NAMESPACE`, where one can be told.
pub(super) fn place(inputs: &Value, target: Option<&TargetSpec>) -> String {
    namespace(inputs, target).map(|name| format!(" -n {name}")).unwrap_or_default()
}

/// The namespace as a word.
pub(super) fn namespace(inputs: &Value, target: Option<&TargetSpec>) -> Option<String> {
    let default = || target?.values.get("kubernetes")?.get("namespace");
    given(inputs, "namespace").or_else(default).map(word)
}

/// The line that finds the selector of the step's pods, where it takes one, and the selector as a word.
pub(super) fn selector(inputs: &Value, target: Option<&TargetSpec>) -> (Option<String>, String) {
    match (given(inputs, "selector"), given(inputs, "workload")) {
        (Some(selector), _) => (None, word(selector)),
        (None, Some(workload)) => {
            let place = place(inputs, target);
            let line = format!("SELECTOR=$(kubectl get {}{place} --subresource=scale -o jsonpath='{{.status.selector}}')", word(workload));
            (Some(line), "\"$SELECTOR\"".to_owned())
        }
        (None, None) => (None, quoted("")),
    }
}

/// The line that reads the input `object`, in `kubectl`'s spelling of a kind with its group.
pub(super) fn get(inputs: &Value, target: Option<&TargetSpec>) -> String {
    let object =
        given(inputs, "object").map(|object| object.as_str().map_or_else(|| object.to_string(), str::to_owned)).unwrap_or_default();
    let object = match object.split('/').collect::<Vec<_>>().as_slice() {
        ["v1", kind, name] => format!("{kind}/{name}"),
        [group, version, kind, name] => format!("{kind}.{version}.{group}/{name}"),
        _ => object,
    };
    format!("kubectl get {}{} -o yaml", quoted(&object), place(inputs, target))
}

/// Lines that only read.
pub(super) fn lines(lines: impl IntoIterator<Item = String>) -> ByHand {
    ByHand { act: lines.into_iter().collect(), ..ByHand::default() }
}

/// A namespace as the inputs or the environment say, or a variable.
pub(super) fn namespace_word(inputs: &Value, target: Option<&TargetSpec>) -> String {
    namespace(inputs, target).unwrap_or_else(|| quoted(&variable("namespace")))
}

/// A variable's name that is this step's own: of `deployment/x` and `REPLICAS_BEFORE`, `REPLICAS_BEFORE_X`.
pub(super) fn own(name: &str, of: &str) -> String {
    let of = of.rsplit('/').next().unwrap_or_default();
    if of.is_empty() || !variables_in(of).is_empty() { name.to_owned() } else { format!("{name}_{of}") }
}

/// The name of a variable as a shell assigns it.
pub(super) fn assigned(name: &str) -> String {
    variables_in(&variable(name)).first().map_or_else(String::new, |name| (*name).to_owned())
}

/// An input as a word for a shell; empty where it is left out.
pub(super) fn input_word(inputs: &Value, key: &str) -> String {
    given(inputs, key).map(word).unwrap_or_default()
}

/// ` -c NAME`, where the step names a container.
pub(super) fn container(inputs: &Value) -> String {
    let name = input_word(inputs, "container");
    if name.is_empty() { name } else { format!(" -c {name}") }
}

/// The container in a `jsonpath` within single quotes: `containers[?(@.name=="x")]`.
pub(super) fn container_path(inputs: &Value) -> String {
    match given(inputs, "container").and_then(Value::as_str) {
        Some(name) if is_name(name) => format!("containers[?(@.name==\"{name}\")]"),
        // With a single container, which a step that names none must have, all of them are that one.
        _ => "containers[*]".to_owned(),
    }
}

/// A name for a shell variable: `cpu`, `BEFORE` gives `CPU_BEFORE`.
pub(super) fn variable_name(name: &str, suffix: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let name = if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name };
    format!("{name}_{suffix}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_named_as_kubectl_does() {
        for (object, wanted) in [
            ("deployment/x".to_owned(), "deployment/x"),
            ("v1/Pod/x".to_owned(), "Pod/x"),
            ("keda.sh/v1alpha1/ScaledObject/x".to_owned(), "ScaledObject.v1alpha1.keda.sh/x"),
            (format!("deployment/{}", variable("name")), "deployment/\"${NAME}\""),
            (variable("object"), "\"${OBJECT}\""),
        ] {
            assert_eq!(get(&json!({ "object": object, "namespace": "n" }), None), format!("kubectl get {wanted} -n n -o yaml"));
        }
    }
}
